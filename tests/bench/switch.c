/* SPDX-License-Identifier: Apache-2.0 */
/* What the data plane costs per frame, and whether the capture keeps up.
 *
 *      build/bench/switch [FOLDER]     FOLDER is for the captures, default /tmp; needs some 300 MB there.
 *
 * The first table is the path of a frame between stations (tests/bench/stations.h).  With capture, both ports' files
 * and the lab's are written meanwhile; runs are short enough for the ring, with a pause between them that is not
 * counted, so that the price of a captured frame is measured and not that of a lost one.
 *
 * The second table is a steady load on a link with both ports captured: what a frame costs then, and how many
 * records were lost.  It wants two processors with nothing else to do. / */
#include <inttypes.h>

#include "tests/bench/stations.h"

#define ROUNDS 5

/* Both files of all ports. */
static const struct capture_options *options_of(const char *folder)
{
	static struct capture_options options;

	options = (struct capture_options){.folder = folder, .has_port_files = true, .has_lab_file = true};
	return &options;
}

static void measure_path(const char *folder, bool network, size_t size, bool capture)
{
	double results[ROUNDS];
	uint64_t lost = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct bench bench;

		set_up(&bench, network, capture ? options_of(folder) : NULL);
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

	set_up(&bench, false, options_of(folder));
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
