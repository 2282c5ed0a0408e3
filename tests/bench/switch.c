/* SPDX-License-Identifier: Apache-2.0 */
/* What the data plane costs per frame, and whether the capture keeps up.
 *
 *      build/bench/switch [FOLDER]     FOLDER is for the captures, default /tmp; needs some 300 MB there.
 *
 * The first table is the path of a frame, as a NIC has it: its header is copied out of the sender's memory,
 * it goes through port_transmit(), and the receiver copies it from the sender's memory to the next of its
 * buffers.  All ports together have 512 buffers to send and 512 to receive, whatever their number, so that
 * it is not the cache that is compared.  Virtqueues, notifications and interrupts are not in it.  Frames
 * come in bursts of 64, each followed by the end of the turn. With capture, both ports' files are written
 * meanwhile; runs are short enough for the ring, with a pause between them that is not counted, so that the
 * price of a captured frame is measured and not that of a lost one.
 *
 * The second table is a steady load on a link with both ports captured: what a frame costs then, and how
 * many records were lost.  It wants two processors with nothing else to do.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"

#define ROUNDS 5
#define BURST 64
#define PORTS 16
#define BUFFERS 512 /* Of all ports. */
#define BUFFER_SIZE 2048
#define SECOND 1000000000ull

struct station {
	struct port *port;
	unsigned int sent, received;
	unsigned int buffers; /* In each of these. */
	uint8_t (*send)[BUFFER_SIZE];
	uint8_t (*receive)[BUFFER_SIZE];
};

struct bench {
	const char *folder;
	struct capture *capture;
	struct dataplane *dataplane;
	struct station stations[PORTS];
	int port_count;
};

static void *check(void *pointer, const struct error *error)
{
	if (pointer)
		return pointer;
	fprintf(stderr, "%s\n", error->text);
	exit(1);
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct station *station = opaque;

	frame_copy(frame, station->receive[station->received++ % station->buffers], frame->size);
	return PORT_DELIVERED;
}

static void flush(void *opaque)
{
	(void)opaque;
}

static const struct port_ops ops = {.deliver = deliver, .flush = flush};

static void set_up_station(struct bench *bench, int number)
{
	struct station *station = &bench->stations[number];
	struct error error = {.text = "out of memory"};
	char name[32];

	snprintf(name, sizeof(name), "h%d:eth0", number + 1);
	station->port = check(dataplane_add_port(bench->dataplane, name), &error);
	station->buffers = BUFFERS / (unsigned int)bench->port_count;
	station->send = check(calloc(station->buffers, BUFFER_SIZE), &error);
	station->receive = check(calloc(station->buffers, BUFFER_SIZE), &error);
	for (unsigned int i = 0; i < station->buffers; i++) {
		uint8_t *bytes = station->send[i];

		memset(bytes, (int)i, BUFFER_SIZE);
		memcpy(bytes, (const uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)((number + 1) % bench->port_count)}, 6);
		memcpy(bytes + 6, (const uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)number}, 6);
	}
	port_plug(station->port, &ops, station);
}

/* A link of two ports, or a network of PORTS. */
static void set_up(struct bench *bench, const char *folder, bool network, bool capture)
{
	struct error error = {.text = "out of memory"};
	struct network *lan = NULL;

	*bench = (struct bench){.folder = folder, .port_count = network ? PORTS : 2};
	bench->dataplane = check(dataplane_create(&error), &error);
	if (capture) {
		const struct capture_options options = {.folder = folder, .has_port_files = true, .has_lab_file = true};

		bench->capture = check(capture_create(&options, &error), &error);
		dataplane_set_capture(bench->dataplane, bench->capture);
	}
	if (network)
		lan = check(dataplane_add_network(bench->dataplane, "lan", 4096, 300), &error);
	for (int i = 0; i < bench->port_count; i++) {
		set_up_station(bench, i);
		if (network)
			port_join_network(bench->stations[i].port, lan);
	}
	if (!network)
		port_join_port(bench->stations[0].port, bench->stations[1].port);
	/* Adds the ports to the capture and starts that.  The frames are sent by this thread. */
	check(dataplane_start(bench->dataplane, &error) < 0 ? NULL : bench, &error);
	dataplane_stop(bench->dataplane);
}

static uint64_t count_lost(const struct bench *bench)
{
	struct port_counters counters;
	uint64_t lost = 0;

	for (int i = 0; i < bench->port_count; i++) {
		port_read_counters(bench->stations[i].port, &counters);
		lost += counters.capture_lost;
	}
	return lost;
}

static void tear_down(struct bench *bench)
{
	dataplane_destroy(bench->dataplane);
	for (int i = 0; bench->capture && i < bench->port_count; i++)
		unlink(capture_file(bench->capture, i));
	if (bench->capture)
		unlink(capture_lab_path(bench->capture));
	capture_destroy(bench->capture);
	for (int i = 0; i < bench->port_count; i++) {
		free(bench->stations[i].send);
		free(bench->stations[i].receive);
	}
}

static void send(struct station *station, size_t size)
{
	uint8_t *bytes = station->send[station->sent++ % station->buffers];
	struct frame frame = {.size = size, .rest_count = 1};
	struct iovec rest;

	frame.header_size = size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE;
	memcpy(frame.header, bytes, frame.header_size);
	rest = (struct iovec){bytes + frame.header_size, size - frame.header_size};
	frame.rest = &rest;
	port_transmit(station->port, &frame);
}

/* Each port in turn sends a burst to the next. */
static void send_bursts(struct bench *bench, size_t size, unsigned int bursts)
{
	for (unsigned int burst = 0; burst < bursts; burst++) {
		struct station *station = &bench->stations[burst % (unsigned int)bench->port_count];

		for (int i = 0; i < BURST; i++)
			send(station, size);
		dataplane_end_turn(bench->dataplane);
	}
}

static void pause_for(uint64_t nanoseconds)
{
	struct timespec time = {.tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};

	nanosleep(&time, NULL);
}

/* Nanoseconds per frame. */
static double measure(struct bench *bench, size_t size)
{
	unsigned int runs = bench->capture ? 50 : 800;
	unsigned int bursts = PORTS;
	uint64_t total = 0;

	send_bursts(bench, size, 2 * PORTS); /* Learns all addresses, warms up. */
	for (unsigned int run = 0; run < runs; run++) {
		uint64_t start;

		if (bench->capture)
			pause_for(10000000);
		start = loop_now();
		send_bursts(bench, size, bursts);
		total += loop_now() - start;
	}
	return (double)total / runs / bursts / BURST;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure_path(const char *folder, bool network, size_t size, bool capture)
{
	double results[ROUNDS];
	uint64_t lost = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct bench bench;

		set_up(&bench, folder, network, capture);
		results[round] = measure(&bench, size);
		lost += count_lost(&bench);
		tear_down(&bench);
	}
	qsort(results, ROUNDS, sizeof(results[0]), compare);
	printf("| %-19s | %5zu | %-7s | %10.0f | %8.1f [%.1f-%.1f] | %" PRIu64 "\n",
	       network ? "network of 16 ports" : "link", size, capture ? "both" : "none", 1e9 / results[ROUNDS / 2],
	       results[ROUNDS / 2], results[0], results[ROUNDS - 1], lost);
	fflush(stdout);
}

/* Sends 'rate' frames a second for two seconds, in what bursts are due. */
static void measure_loss(const char *folder, size_t size, uint64_t rate)
{
	uint64_t start, now, busy = 0, sent = 0;
	struct bench bench;

	set_up(&bench, folder, false, true);
	start = loop_now();
	while ((now = loop_now()) - start < 2 * SECOND) {
		if ((now - start) * rate / SECOND < sent + BURST)
			continue;
		send_bursts(&bench, size, 1);
		busy += loop_now() - now;
		sent += BURST;
	}
	/* The rate that was reached: this thread loses its processor too. */
	printf("| %5zu | %9" PRIu64 " | %5.2f | %8.1f | %10" PRIu64 " | %8" PRIu64 "\n", size, sent / 2,
	       (double)sent * (double)size * 8 / 2e9, (double)busy / (double)sent, 2 * sent, count_lost(&bench));
	fflush(stdout);
	tear_down(&bench);
}

int main(int argc, char **argv)
{
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s/bench-switch-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	printf("| path                | bytes | capture | frames/s   | ns/frame, median of %d [range] | lost\n",
	       ROUNDS);
	for (int network = 0; network < 2; network++) {
		for (int capture = 0; capture < 2; capture++) {
			measure_path(folder, network, 64, capture);
			measure_path(folder, network, 1514, capture);
		}
	}
	printf("\n| bytes | frames/s  | Gb/s  | ns/frame | records    | lost\n");
	measure_loss(folder, 1514, 125000);
	measure_loss(folder, 1514, 250000);
	measure_loss(folder, 1514, 500000);
	measure_loss(folder, 64, 500000);
	measure_loss(folder, 64, 2000000);
	rmdir(folder);
	return 0;
}
