/* SPDX-License-Identifier: Apache-2.0 */
#include "lan.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"

#define SECOND 1000000000ull

static void *check(void *pointer, const struct error *error)
{
	if (pointer)
		return pointer;
	fprintf(stderr, "%s\n", error->text);
	exit(1);
}

/* To the first or the last of the processors. */
static void pin(const cpu_set_t *all, bool to_last)
{
	cpu_set_t one;

	for (int i = 0, found = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, all) || ++found != (to_last ? CPU_COUNT(all) : 1))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		(void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
	}
}

/* loop_function */
static void pin_dataplane(void *opaque)
{
	pin(&((struct lan *)opaque)->processors, false);
}

/* Of a pair, the other one. */
static unsigned int peer_of(unsigned int number)
{
	return number ^ 1;
}

static unsigned int network_of(const struct lan *lan, unsigned int number)
{
	return lan->options.networks > 1 ? number / 2 % lan->options.networks : 0;
}

static bool sends(const struct lan *lan, unsigned int number)
{
	return lan->options.both_ways || number % 2 == 0;
}

static void start_capture(struct lan *lan)
{
	const struct capture_options options = {.folder = lan->options.captures,
						.has_port_files = true,
						.has_lab_file = true};
	struct error error;

	lan->capture = check(capture_create(&options, &error), &error);
	dataplane_set_capture(lan->dataplane, lan->capture);
}

void lan_turn(struct lan *lan)
{
	loop_turn(dataplane_loop(lan->dataplane));
}

/* One of the stormy guests does what it can, each time another one. */
static void rage(struct lan *lan)
{
	struct guest *guest;

	do
		lan->raging = (lan->raging + 1) % lan->options.guests;
	while (network_of(lan, lan->raging) != 0);
	guest = &lan->guests[lan->raging];
	guest_receive(guest);
	guest_send(guest, GUEST_RING);
}

static void wait_for(struct lan *lan, struct guest *guest, uint64_t received)
{
	while (guest->received < received) {
		if (lan->options.by_hand)
			lan_turn(lan);
		if (lan->has_storm)
			rage(lan);
		guest_receive(guest);
	}
}

/* One frame of each: the first of a pair does not know where the other is, so all get its frame. */
static void learn(struct lan *lan)
{
	for (unsigned int i = 0; i < lan->options.guests; i++) {
		guest_send(&lan->guests[i], 1);
		for (unsigned int j = 0; j < lan->options.guests; j++)
			if (j != i && (i % 2 == 0 || j == peer_of(i)) && network_of(lan, i) == network_of(lan, j))
				wait_for(lan, &lan->guests[j], lan->guests[j].received + 1);
	}
	for (unsigned int i = 0; i < lan->options.guests; i++) {
		struct guest *guest = &lan->guests[i];

		guest->sent = guest->received = guest->bytes = guest->misordered = 0;
		guest->number_sent = guest->number_received = 0;
	}
}

static void start(struct lan *lan)
{
	struct error error = {.text = "out of memory"};

	check(dataplane_start(lan->dataplane, &error) < 0 ? NULL : lan, &error);
	if (lan->options.by_hand) {
		dataplane_stop(lan->dataplane);
		loop_adopt(dataplane_loop(lan->dataplane));
	} else {
		dataplane_call(lan->dataplane, pin_dataplane, lan);
		pin(&lan->processors, true);
	}
}

struct joining {
	struct port *port;
	struct network *network;
};

/* loop_function */
static void join(void *opaque)
{
	const struct joining *joining = opaque;

	port_join_network(joining->port, joining->network);
}

void lan_create(struct lan *lan, const struct lan_options *options)
{
	struct error error = {.text = "out of memory"};
	struct network *networks[LAN_NETWORKS_MAX];

	*lan = (struct lan){.options = *options};
	if (sched_getaffinity(0, sizeof(lan->processors), &lan->processors) < 0)
		CPU_ZERO(&lan->processors);
	lan->dataplane = check(dataplane_create(&error), &error);
	if (options->captures)
		start_capture(lan);
	start(lan);
	for (unsigned int i = 0; i < LAN_NETWORKS_MAX; i++)
		networks[i] = check(dataplane_add_network(lan->dataplane, "lan", 4096, 300), &error);
	for (unsigned int i = 0; i < options->guests; i++) {
		struct joining joining;

		guest_create(&lan->guests[i], lan->dataplane, i, options->size);
		guest_address(&lan->guests[i], i, peer_of(i));
		lan->guests[i].is_untouched = options->are_untouched;
		check(dataplane_capture_port(lan->guests[i].port, &error) < 0 ? NULL : lan, &error);
		joining = (struct joining){.port = lan->guests[i].port, .network = networks[network_of(lan, i)]};
		dataplane_call(lan->dataplane, join, &joining);
	}
	learn(lan);
}

void lan_destroy(struct lan *lan)
{
	for (unsigned int i = 0; i < lan->options.guests; i++)
		guest_destroy(&lan->guests[i]);
	dataplane_destroy(lan->dataplane);
	for (unsigned int i = 0; lan->capture && i < lan->options.guests; i++)
		unlink(capture_file(lan->capture, (int)i));
	if (lan->capture)
		unlink(capture_lab_path(lan->capture));
	capture_destroy(lan->capture);
	if (!lan->options.by_hand)
		(void)sched_setaffinity(0, sizeof(lan->processors), &lan->processors);
}

unsigned int lan_drive(struct lan *lan)
{
	unsigned int received = 0;

	for (unsigned int i = 0; i < lan->options.guests; i++) {
		struct guest *guest = &lan->guests[i], *peer = &lan->guests[peer_of(i)];

		received += guest_receive(guest);
		if (sends(lan, i))
			guest_send(guest, guest->window - (unsigned int)(guest->sent - peer->received));
	}
	return received;
}

void lan_settle(struct lan *lan)
{
	for (unsigned int i = 0; i < lan->options.guests; i++)
		wait_for(lan, &lan->guests[i], lan->guests[peer_of(i)].sent);
}

double lan_measure_rate(struct lan *lan, uint64_t nanoseconds)
{
	uint64_t begin = loop_now(), now = begin, frames = 0;

	for (unsigned int i = 0; now - begin < nanoseconds; i++) {
		frames += lan_drive(lan);
		if (i % 64 == 0)
			now = loop_now();
	}
	return (double)frames * (double)SECOND / (double)(loop_now() - begin);
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The median of what it takes, nanoseconds. */
static double measure_often(struct lan *lan, unsigned int count, void (*function)(struct lan *lan))
{
	double *times = check(calloc(count, sizeof(*times)), &(struct error){.text = "out of memory"});
	double median;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t begin = loop_now();

		function(lan);
		times[i] = (double)(loop_now() - begin);
	}
	qsort(times, count, sizeof(times[0]), compare);
	median = times[count / 2];
	free(times);
	return median;
}

static void send_one(struct lan *lan)
{
	guest_send(&lan->guests[0], 1);
	wait_for(lan, &lan->guests[1], lan->guests[0].sent);
}

double lan_measure_latency(struct lan *lan, unsigned int count)
{
	lan_settle(lan);
	return measure_often(lan, count, send_one);
}

static void answer(struct lan *lan)
{
	guest_send(&lan->guests[2], 1);
	wait_for(lan, &lan->guests[3], lan->guests[3].received + 1);
	guest_send(&lan->guests[3], 1);
	wait_for(lan, &lan->guests[2], lan->guests[2].received + 1);
}

double lan_measure_round_trip(struct lan *lan, unsigned int count, bool has_storm)
{
	lan->has_storm = has_storm;
	for (unsigned int i = 0; has_storm && i < lan->options.guests; i++)
		if (network_of(lan, i) == 0)
			guest_address(&lan->guests[i], i, GUEST_ALL);
	return measure_often(lan, count, answer);
}

/* loop_function */
static void read_time(void *opaque)
{
	struct timespec *time = opaque;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, time);
}

uint64_t lan_measure_idle(struct lan *lan)
{
	struct timespec before, after;

	dataplane_call(lan->dataplane, read_time, &before);
	sleep(1);
	dataplane_call(lan->dataplane, read_time, &after);
	return (uint64_t)(after.tv_sec - before.tv_sec) * SECOND + (uint64_t)after.tv_nsec - (uint64_t)before.tv_nsec;
}

uint64_t lan_count_faults(const struct lan *lan)
{
	uint64_t sent = 0, received = 0, faults = 0;

	for (unsigned int i = 0; i < lan->options.guests; i++) {
		struct port_counters counters;

		port_read_counters(lan->guests[i].port, &counters);
		sent += lan->guests[i].sent;
		received += lan->guests[i].received;
		faults += lan->guests[i].misordered + counters.capture_lost;
	}
	return faults + sent - received;
}
