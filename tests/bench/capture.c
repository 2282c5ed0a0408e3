/* SPDX-License-Identifier: Apache-2.0 */
/* What a capture costs the thread of the data plane, and what the disk takes.
 *
 *      build/bench/capture [FOLDER [SECONDS]]     FOLDER is for the captures, default /tmp; needs up to 5 GB there.
 *
 * The first table has a frame's way over a link (tests/bench/stations.h) without a capture, with the recorder alone,
 * and with files.  At the beginning of each millisecond this thread sends some bursts, about as much as the writer can
 * follow, and spins until the next one, as the data plane's thread does that waits for frames; the spinning is not
 * counted.  Settings take turns, in ROUNDS rounds.  A frame from one station to another is two records, so "a record"
 * is half of what is more than without a capture: medians of the differences within a round.
 *
 * Below it is what one burst takes longer after silence, when the writer sleeps and must be woken.
 *
 * The second table has what other captures take from the path they capture, both going as fast as they can: tcpdump's
 * of a Linux bridge, and QEMU's of its own hub.  "Lost" is what tcpdump says that it lost.
 *
 * The third table sends frames as fast as this thread can for SECONDS (30), with the lab's file in pieces of 1 GiB,
 * of which the last four are kept.  What the disk did not take is counted as lost. */
#include <dirent.h>
#include <inttypes.h>

#include "tests/bench/peers/peers.h"
#include "tests/bench/stations.h"

#define ROUNDS 9
#define GIBIBYTE (1ull << 30)

enum setting { NONE, RECORDER, LAB_FILE, ALL_FILES, SETTINGS };

static const char *const setting_names[] = {"none", "recorder", "and the lab's file", "and the ports' files"};

/* How frames are sent: so many bursts at a time, and when again, nanoseconds. */
struct pace {
	unsigned int bursts, times;
	uint64_t interval;
};

static void spin_until(uint64_t time)
{
	while (loop_now() < time)
		__builtin_ia32_pause();
}

/* Nanoseconds per frame. */
static double measure(struct bench *bench, size_t size, const struct pace *pace)
{
	uint64_t total = 0;

	send_bursts(bench, size, 2 * PORTS); /* Warms up. */
	for (unsigned int i = 0; i < pace->times; i++) {
		uint64_t next = loop_now() + pace->interval, start;

		spin_until(next);
		start = loop_now();
		send_bursts(bench, size, pace->bursts);
		total += loop_now() - start;
	}
	return (double)total / pace->times / pace->bursts / BURST;
}

static double measure_once(const char *folder, enum setting setting, size_t size, const struct pace *pace,
			   uint64_t *lost)
{
	const struct capture_options options = {.folder = folder,
						.has_lab_file = setting >= LAB_FILE,
						.has_port_files = setting == ALL_FILES};
	struct bench bench;
	double result;

	set_up(&bench, false, setting == NONE ? NULL : &options);
	result = measure(&bench, size, pace);
	*lost += count_lost(&bench);
	tear_down(&bench);
	return result;
}

static double median(double *results)
{
	qsort(results, ROUNDS, sizeof(results[0]), compare);
	return results[ROUNDS / 2];
}

static void measure_cost(const char *folder, size_t size, unsigned int bursts)
{
	const struct pace pace = {.bursts = bursts, .times = 200, .interval = SECOND / 1000};
	double frames[SETTINGS][ROUNDS], records[SETTINGS][ROUNDS];
	uint64_t lost[SETTINGS] = {0};

	for (int round = 0; round < ROUNDS; round++)
		for (enum setting setting = NONE; setting < SETTINGS; setting++) {
			frames[setting][round] = measure_once(folder, setting, size, &pace, &lost[setting]);
			records[setting][round] = (frames[setting][round] - frames[NONE][round]) / 2;
		}
	for (enum setting setting = NONE; setting < SETTINGS; setting++) {
		double frame = median(frames[setting]), record = median(records[setting]);

		printf("| %5zu | %-20s | %8.1f | %8.1f [%.1f-%.1f] | %" PRIu64 " |\n", size, setting_names[setting],
		       frame, record, records[setting][0], records[setting][ROUNDS - 1], lost[setting]);
	}
	fflush(stdout);
}

/* What a burst takes longer when the writer has been asleep. */
static void measure_waking(const char *folder)
{
	const struct pace pace = {.bursts = 1, .times = 50, .interval = SECOND / 100};
	double more[ROUNDS];
	uint64_t lost = 0;

	for (int round = 0; round < ROUNDS; round++) {
		more[round] = -measure_once(folder, NONE, 64, &pace, &lost);
		more[round] += measure_once(folder, RECORDER, 64, &pace, &lost);
	}
	printf("\nA burst of %d frames after 10 ms of silence takes %.1f us longer with the recorder.\n", BURST,
	       median(more) * BURST / 1e3);
}

/* In turns: a path, and the same with a capture. */
static void measure_peer(enum peer without, enum peer with, uint32_t size)
{
	double plain[ROUNDS], captured[ROUNDS], more[ROUNDS], lost = 0, part = 0;
	const char *failure = NULL;

	for (int round = 0; round < ROUNDS && !failure; round++) {
		failure = peer_measure(without, size, &plain[round], 1, SECOND / 10, NULL);
		if (!failure)
			failure = peer_measure(with, size, &captured[round], 1, SECOND / 10, &part);
		if (failure)
			break;
		plain[round] = 1e9 / plain[round];
		captured[round] = 1e9 / captured[round];
		more[round] = captured[round] - plain[round];
		lost += part / ROUNDS;
	}
	if (failure)
		printf("| %5" PRIu32 " | %-23s | %-20s | skipped: %s |\n", size, peer_name(without), peer_name(with),
		       failure);
	else
		printf("| %5" PRIu32 " | %-23s | %-20s | %7.0f | %7.0f | %7.0f | %4.1f %% |\n", size,
		       peer_name(without), peer_name(with), median(plain), median(captured), median(more), lost * 100);
	fflush(stdout);
}

static void measure_peers(void)
{
	puts("\n| bytes | path                    | capture              | ns/frame | captured | more | lost |\n"
	     "|---|---|---|---|---|---|---|");
	for (int i = 0; i < 2; i++) {
		measure_peer(PEER_BRIDGE, PEER_BRIDGE_TCPDUMP, i ? 1514 : 64);
		measure_peer(PEER_QEMU, PEER_QEMU_DUMP, i ? 1514 : 64);
	}
}

/* All files of the folder: the lab's file in pieces, of which the last one may be begun when the capture ends. */
static void empty(const char *folder)
{
	DIR *files = opendir(folder);
	const struct dirent *file;

	while (files && (file = readdir(files)))
		if (file->d_name[0] != '.')
			unlinkat(dirfd(files), file->d_name, 0);
	if (files)
		closedir(files);
}

static void fill_disk(const char *folder, size_t size, uint64_t seconds)
{
	const struct capture_options options = {.folder = folder,
						.has_lab_file = true,
						.rotation = {.size = GIBIBYTE, .files = 4}};
	uint64_t start, now, sent = 0, lost;
	struct bench bench;

	set_up(&bench, false, &options);
	start = loop_now();
	do {
		send_bursts(&bench, size, 16);
		sent += 16 * BURST;
		now = loop_now();
	} while (now - start < seconds * SECOND);
	lost = count_lost(&bench);
	printf("| %5zu | %9.2f | %6.2f | %11" PRIu64 " | %11" PRIu64 " | %5.1f %% |\n", size,
	       (double)sent * 1e3 / (double)(now - start), (double)sent * (double)size * 8 / (double)(now - start),
	       2 * sent, lost, (double)lost * 100 / (double)(2 * sent));
	fflush(stdout);
	tear_down(&bench);
	empty(folder);
}

int main(int argc, char **argv)
{
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 30;
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s/bench-capture-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	puts("| bytes | capture              | ns/frame | ns/record, median [range] | lost |\n|---|---|---|---|---|");
	measure_cost(folder, 64, 16);
	measure_cost(folder, 1514, 2);
	measure_waking(folder);
	measure_peers();
	puts("\n| bytes | Mframes/s | Gb/s | records | lost | |\n|---|---|---|---|---|---|");
	fill_disk(folder, 64, seconds);
	fill_disk(folder, 1514, seconds);
	rmdir(folder);
	return 0;
}
