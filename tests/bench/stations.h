/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_STATIONS_H
#define TESTS_BENCH_STATIONS_H 1

/* Stations at a data plane that this thread runs: the path of a frame, as a NIC has it.  Its header is copied out of
 * the sender's memory, it goes through port_transmit(), and the receiver copies it from the sender's memory to the
 * next of its buffers.  All ports together have 512 buffers to send and 512 to receive, whatever their number, so
 * that it is not the cache that is compared.  Virtqueues, notifications and interrupts are not in it.  Frames come
 * in bursts of 64, each followed by the end of the turn. */

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

/* A link of two ports, or a network of PORTS; 'options' are those of the capture, or NULL. */
static void set_up(struct bench *bench, bool network, const struct capture_options *options)
{
	struct error error = {.text = "out of memory"};
	struct network *lan = NULL;

	*bench = (struct bench){.port_count = network ? PORTS : 2};
	bench->dataplane = check(dataplane_create(&error), &error);
	if (options) {
		bench->capture = check(capture_create(options, &error), &error);
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

static void keep_path(char **path, const char *from)
{
	*path = from ? strdup(from) : NULL;
}

static void tear_down(struct bench *bench)
{
	char *paths[PORTS + 1] = {NULL};

	dataplane_destroy(bench->dataplane);
	for (int i = 0; bench->capture && i < bench->port_count; i++)
		keep_path(&paths[i], capture_file(bench->capture, i));
	if (bench->capture)
		keep_path(&paths[PORTS], capture_lab_path(bench->capture));
	capture_destroy(bench->capture);
	for (int i = 0; i <= PORTS; i++) {
		if (paths[i])
			unlink(paths[i]);
		free(paths[i]);
	}
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
static inline void send_bursts(struct bench *bench, size_t size, unsigned int bursts)
{
	for (unsigned int burst = 0; burst < bursts; burst++) {
		struct station *station = &bench->stations[burst % (unsigned int)bench->port_count];

		for (int i = 0; i < BURST; i++)
			send(station, size);
		dataplane_end_turn(bench->dataplane);
	}
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

#endif /* stations.h */
