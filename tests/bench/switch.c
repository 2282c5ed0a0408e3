/* SPDX-License-Identifier: Apache-2.0 */
/* How fast frames go from one guest's ring to another's, and what others make of the same machine.
 *
 *      build/bench/switch [FOLDER]     FOLDER is for the captures, default /tmp; needs some 2 GB there.
 *      build/bench/switch --count SIZE [--captured]
 *
 * The table has guests that are drivers of virtio-net devices without a machine around them (tests/bench/switch/):
 * they share a network that learns, and send all the time, as much as is taken.  The data plane has one processor, and
 * all drivers together another.  With capture, both ports' files and the lab's are written meanwhile; runs are short
 * enough for the ring, with a pause between them that is not counted.  "Faults" are frames that were lost, or came out
 * of order, or are missing in captures.
 *
 * The guests of the last peer, DPDK's testpmd, pass on frames without a look at them, which therefore stay in the cache
 * of the data plane's processor; guests of netlab's are measured both ways, like those and like Linux.
 *
 * With --count the data plane is turned by hand, and nothing is measured: it is for valgrind, which counts the
 * instructions in lan_turn() (scripts/count-instructions). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/bench/peers/peers.h"
#include "tests/bench/switch/lan.h"

#define ROUNDS 7
#define MILLISECOND 1000000ull
#define WARM_UP (20 * MILLISECOND)
#define RUN (100 * MILLISECOND)
/* A run that is captured, for whose records the ring has room, and how long the writer has for them. */
#define CAPTURED_RUN (5 * MILLISECOND)
#define CAPTURED_PAUSE (200 * MILLISECOND)
#define LATENCIES 20000

/* Times that all rings are filled for valgrind. */
#define COUNTED_ROUNDS 400

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double measure_once(struct lan *lan)
{
	const struct timespec pause = {.tv_nsec = CAPTURED_PAUSE};

	if (!lan->options.captures)
		return lan_measure_rate(lan, RUN);
	nanosleep(&pause, NULL);
	return lan_measure_rate(lan, CAPTURED_RUN);
}

/* The rates of some rounds, the lowest first.  Returns the number of faults. */
static uint64_t measure_rates(const struct lan_options *options, double *rates)
{
	struct lan lan;
	uint64_t faults;

	lan_create(&lan, options);
	lan_measure_rate(&lan, options->captures ? CAPTURED_RUN : WARM_UP);
	for (int round = 0; round < ROUNDS; round++)
		rates[round] = measure_once(&lan);
	qsort(rates, ROUNDS, sizeof(rates[0]), compare);
	lan_settle(&lan);
	faults = lan_count_faults(&lan);
	lan_destroy(&lan);
	return faults;
}

static void measure(const struct lan_options *options)
{
	double rates[ROUNDS];
	uint64_t faults = measure_rates(options, rates);

	printf("| %6u | %-8s | %5" PRIu32 " | %-7s | %6.2f [%.2f-%.2f] | %6.1f | %6.2f | %" PRIu64 " |\n",
	       options->guests, options->both_ways ? "both" : "one", options->size, options->captures ? "yes" : "no",
	       rates[ROUNDS / 2] / 1e6, rates[0] / 1e6, rates[ROUNDS - 1] / 1e6, 1e9 / rates[ROUNDS / 2],
	       rates[ROUNDS / 2] * options->size * 8 / 1e9, faults);
	fflush(stdout);
}

/* The longest is TCP in 44 segments of 1,460 bytes that are not cut out yet, which the others are not asked for. */
static const uint32_t sizes[] = {64, 512, 1514, 64294};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define PEER_SIZES (SIZES - 1)

static void print_peer(const char *name, uint32_t size, double *rates)
{
	qsort(rates, ROUNDS, sizeof(rates[0]), compare);
	printf("| %-23s | %5" PRIu32 " | %6.2f [%.2f-%.2f] | %6.1f | %6.2f |\n", name, size, rates[ROUNDS / 2] / 1e6,
	       rates[0] / 1e6, rates[ROUNDS - 1] / 1e6, 1e9 / rates[ROUNDS / 2], rates[ROUNDS / 2] * size * 8 / 1e9);
	fflush(stdout);
}

static void measure_peer(enum peer peer)
{
	for (unsigned int i = 0; i < PEER_SIZES; i++) {
		double rates[ROUNDS];
		const char *failure = peer_measure(peer, sizes[i], rates, ROUNDS, RUN, NULL);

		if (failure) {
			printf("| %-23s | skipped: %s |\n", peer_name(peer), failure);
			return;
		}
		print_peer(peer_name(peer), sizes[i], rates);
	}
}

/* The last of them, and netlab with them, has guests that look at no frame. */
static void measure_peers(void)
{
	printf("\n| peer                    | bytes | Mframes/s, median of %d [range] | ns/frame | Gb/s |\n|---|---|---|---|---|\n",
	       ROUNDS);
	for (enum peer peer = 0; peer < PEER_COUNT; peer++)
		measure_peer(peer);
	for (unsigned int i = 0; i < PEER_SIZES; i++) {
		double rates[ROUNDS];

		measure_rates(&(struct lan_options){.guests = 2,
						    .both_ways = true,
						    .size = sizes[i],
						    .are_untouched = true},
			      rates);
		print_peer("netlab, like testpmd", sizes[i], rates);
	}
}

static void measure_all(const char *folder)
{
	static const unsigned int guests[] = {2, 16};

	printf("| guests | ways     | bytes | capture | Mframes/s, median of %d [range] | ns/frame | Gb/s | faults |\n"
	       "|---|---|---|---|---|---|---|---|\n",
	       ROUNDS);
	for (unsigned int capture = 0; capture < 2; capture++)
		for (unsigned int i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
			for (unsigned int both = 0; both < 2; both++)
				for (unsigned int size = 0; size < SIZES; size++)
					measure(&(struct lan_options){.guests = guests[i],
								      .both_ways = both,
								      .size = sizes[size],
								      .captures = capture ? folder : NULL});
}

static void measure_quiet(void)
{
	const struct lan_options options = {.guests = 2, .size = 64};
	double latencies[ROUNDS];
	struct lan lan;

	lan_create(&lan, &options);
	for (int round = 0; round < ROUNDS; round++)
		latencies[round] = lan_measure_latency(&lan, LATENCIES);
	qsort(latencies, ROUNDS, sizeof(latencies[0]), compare);
	printf("\nOne frame of 64 bytes at a time, from ring to ring: %.0f ns [%.0f-%.0f].\n", latencies[ROUNDS / 2],
	       latencies[0], latencies[ROUNDS - 1]);
	printf("A second in which nothing happens takes the data plane's thread %.1f us.\n",
	       (double)lan_measure_idle(&lan) / 1e3);
	lan_destroy(&lan);
}

static void measure_storm(void)
{
	const struct lan_options options = {.guests = 8, .networks = 2, .size = 64};
	double idle, stormy;
	uint64_t begin, frames;
	struct lan lan;

	lan_create(&lan, &options);
	idle = lan_measure_round_trip(&lan, LATENCIES, false);
	frames = lan.guests[0].received;
	begin = loop_now();
	stormy = lan_measure_round_trip(&lan, LATENCIES, true);
	frames = lan.guests[0].received - frames;
	printf("A frame and its answer, from ring to ring: %.1f us; while in another network four guests flood each\n"
	       "other, %.1f Mframes/s: %.1f us.\n",
	       idle / 1e3, 4 * (double)frames * 1e3 / (double)(loop_now() - begin), stormy / 1e3);
	lan_destroy(&lan);
}

/* Prints the number of frames. */
static void count(uint32_t size, const char *captures)
{
	const struct lan_options options = {.guests = 2,
					    .both_ways = true,
					    .size = size,
					    .captures = captures,
					    .by_hand = true};
	uint64_t frames = 0;
	struct lan lan;

	lan_create(&lan, &options);
	for (unsigned int round = 0; round < COUNTED_ROUNDS; round++) {
		lan_drive(&lan);
		lan_turn(&lan);
	}
	lan_settle(&lan);
	for (unsigned int i = 0; i < options.guests; i++)
		frames += lan.guests[i].received;
	printf("%" PRIu64 " frames, %" PRIu64 " faults\n", frames, lan_count_faults(&lan));
	lan_destroy(&lan);
}

int main(int argc, char **argv)
{
	bool counts = argc > 2 && strcmp(argv[1], "--count") == 0;
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s/bench-switch-XXXXXX", argc > 1 && !counts ? argv[1] : "/tmp");
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	if (counts) {
		count((uint32_t)strtoul(argv[2], NULL, 10), argc > 3 ? folder : NULL);
	} else {
		measure_all(folder);
		measure_peers();
		measure_quiet();
		measure_storm();
	}
	rmdir(folder);
	return 0;
}
