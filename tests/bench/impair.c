/* SPDX-License-Identifier: Apache-2.0 */
/* How exact impairments are, as captures have it.
 *
 *      build/bench/impair [FOLDER]     FOLDER is for the captures, default /tmp; takes about a minute.
 *
 * Two stations on a link; the first one's frames are sent from the data plane's thread, at the times that a timer of
 * its loop has, and the link is impaired in that direction.  What happened is then read from the capture of the lab:
 * when a frame was sent, when it came out, and which did not.
 *
 * Times are as exact as the data plane's thread has a processor; how late frames came out is what is measured.
 * Numbers of frames, and rates, do not depend on that. */
#include <inttypes.h>

#include "netlab/impairment.h"
#include "netlab/pcapng_reader.h"
#include "netlab/random.h"
#include "netlab/wire.h"
#include "tests/bench/stations.h"

#define MILLISECOND 1000000ull
#define PERCENT (IMPAIRMENT_ALL / 100)
#define FRAMES_MAX 500000u

/* Frames that are sent one after the other. */
struct traffic {
	struct bench *bench;
	struct loop_timer timer;
	uint64_t next, interval; /* Nanoseconds. */
	size_t size;
	unsigned int left;
	_Atomic bool is_over;
};

/* What became of each frame, by its id. */
struct journey {
	uint64_t sent, came;
	unsigned int times; /* It came. */
};

static void pause_for(uint64_t nanoseconds)
{
	struct timespec time = {.tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};

	nanosleep(&time, NULL);
}

static void send_due(void *opaque)
{
	struct traffic *traffic = opaque;
	uint64_t now = loop_now();

	for (int i = 0; i < BURST && traffic->left > 0 && traffic->next <= now; i++, traffic->left--) {
		send(&traffic->bench->stations[0], traffic->size);
		traffic->next += traffic->interval;
	}
	if (traffic->left > 0)
		loop_timer_set(dataplane_loop(traffic->bench->dataplane), &traffic->timer,
			       traffic->next > now ? traffic->next : now + 1);
	else
		traffic->is_over = true;
}

static void begin(void *opaque)
{
	struct traffic *traffic = opaque;

	traffic->next = loop_now();
	send_due(traffic);
}

struct change {
	struct port *port;
	const struct impairment *impairment;
};

static void impair(void *opaque)
{
	const struct change *change = opaque;

	port_impair(change->port, PORT_SENDS, change->impairment, 1);
}

static void wait_for_arrival(const struct bench *bench)
{
	struct wire_counters counters = {0};

	do {
		pause_for(20 * MILLISECOND);
		port_read_wire(bench->stations[0].port, PORT_SENDS, &counters);
	} while (counters.waiting + counters.in_flight > 0);
}

static void read_journeys(const char *path, struct journey *journeys)
{
	FILE *stream = check(fopen(path, "r"), &(struct error){.text = "no capture"});
	struct pcapng_reader *reader = check(pcapng_reader_create(stream), &(struct error){.text = "out of memory"});
	struct pcapng_reader_packet packet;

	memset(journeys, 0, FRAMES_MAX * sizeof(*journeys));
	while (pcapng_reader_next(reader, &packet) == 1) {
		struct journey *journey = &journeys[packet.id % FRAMES_MAX];

		if (packet.direction == 1) {
			journey->came = packet.time;
			journey->times++;
		} else if (journey->sent == 0) {
			journey->sent = packet.time;
		}
	}
	pcapng_reader_destroy(reader);
	fclose(stream);
}

/* Sends 'count' frames of 'size' bytes, one every 'interval' nanoseconds, and finds out what became of them.
 * Returns how many the capture lacks. */
static uint64_t run(const char *folder, const struct impairment *impairment, unsigned int count, size_t size,
		    uint64_t interval, struct journey *journeys)
{
	const struct capture_options options = {.folder = folder, .has_lab_file = true, .snap_len = 60};
	struct bench bench;
	struct change change = {.impairment = impairment};
	struct traffic traffic = {.bench = &bench, .interval = interval, .size = size, .left = count};
	struct error error = {.text = "out of memory"};
	char path[4200];
	uint64_t lost;

	set_up(&bench, false, &options);
	snprintf(path, sizeof(path), "%s", capture_lab_path(bench.capture));
	traffic.timer = (struct loop_timer){.function = send_due, .opaque = &traffic, .is_precise = true};
	check(dataplane_start(bench.dataplane, &error) < 0 ? NULL : &bench, &error);
	change.port = bench.stations[0].port;
	dataplane_call(bench.dataplane, impair, &change);
	dataplane_call(bench.dataplane, begin, &traffic);
	while (!traffic.is_over)
		pause_for(20 * MILLISECOND);
	wait_for_arrival(&bench);
	dataplane_stop(bench.dataplane);
	lost = count_lost(&bench);
	dataplane_set_capture(bench.dataplane, NULL);
	capture_destroy(bench.capture);
	bench.capture = NULL;
	read_journeys(path, journeys);
	unlink(path);
	tear_down(&bench);
	return lost;
}

/* How much longer than 'delay' the frames were on their way, sorted; returns how many came. */
static unsigned int collect(const struct journey *journeys, unsigned int count, double *times)
{
	unsigned int came = 0;

	for (unsigned int id = 1; id <= count; id++)
		if (journeys[id].times > 0)
			times[came++] = (double)(journeys[id].came - journeys[id].sent);
	qsort(times, came, sizeof(times[0]), compare);
	return came;
}

static void measure_delays(const char *folder, struct journey *journeys, double *times)
{
	static const unsigned int delays[] = {1, 10, 50, 200};

	printf("| delay, ms | frames | later than that, us: median | p99 | most |\n");
	for (unsigned int i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		const struct impairment impairment = {.delay = delays[i] * MILLISECOND};
		unsigned int came;

		run(folder, &impairment, 3000, 60, 700000, journeys);
		came = collect(journeys, 3000, times);
		printf("| %u | %u | %.1f | %.1f | %.1f |\n", delays[i], came,
		       (times[came / 2] - (double)impairment.delay) / 1e3,
		       (times[came * 99 / 100] - (double)impairment.delay) / 1e3,
		       (times[came - 1] - (double)impairment.delay) / 1e3);
		fflush(stdout);
	}
}

static double below_uniform(double x)
{
	return x < -1 ? 0 : x > 1 ? 1 : (x + 1) / 2;
}

static double below_pareto(double x)
{
	double shifted = x * 0.8660254037844386 + 1.5;

	return shifted <= 1 ? 0 : 1 - random_exp(-3 * random_log(shifted));
}

/* Kolmogorov's and Smirnov's distance. */
static double distance_of(const double *times, unsigned int count, const struct impairment *impairment,
			  double (*below)(double))
{
	double distance = 0;

	for (unsigned int i = 0; i < count; i++) {
		double p = below((times[i] - (double)impairment->delay) / (double)impairment->jitter);

		distance = p - (double)i / count > distance ? p - (double)i / count : distance;
		distance = (i + 1.0) / count - p > distance ? (i + 1.0) / count - p : distance;
	}
	return distance;
}

static void measure_jitter(const char *folder, struct journey *journeys, double *times)
{
	static const char *const names[] = {"uniform", "normal", "pareto"};
	double (*const below[])(double) = {below_uniform, random_normal_below, below_pareto};

	printf("\n| jitter of 2 ms | frames | distance from the distribution | limit at 1 %% |\n");
	for (int i = 0; i < 3; i++) {
		/* The interval is such that no frame must wait for another, or hardly any. */
		const struct impairment impairment = {.delay = 20 * MILLISECOND,
						      .jitter = 2 * MILLISECOND,
						      .distribution = (enum impairment_distribution)i};
		unsigned int came;

		run(folder, &impairment, 300, 60, 14 * MILLISECOND, journeys);
		came = collect(journeys, 300, times);
		printf("| %s | %u | %.4f | %.4f |\n", names[i], came, distance_of(times, came, &impairment, below[i]),
		       1.63 / random_square_root(came));
		fflush(stdout);
	}
}

static void print_share(const char *name, unsigned int count, unsigned int all, double share)
{
	double half = 2.576 * random_square_root(all * share * (1 - share));

	printf("| %s | %g %% | %u | %u | %.0f to %.0f |\n", name, share * 100, all, count, all * share - half,
	       all * share + half);
	fflush(stdout);
}

static void measure_losses(const char *folder, struct journey *journeys)
{
	static const unsigned int tenths[] = {1, 10, 100, 500};
	unsigned int count = 50000, lost, twice;

	printf("\n| | asked for | frames | seen | 99 %% of tries are within |\n");
	for (unsigned int i = 0; i < sizeof(tenths) / sizeof(tenths[0]); i++) {
		const struct impairment loss = {.loss = tenths[i] * (PERCENT / 10)};
		const struct impairment duplicate = {.duplicate = tenths[i] * (PERCENT / 10)};

		run(folder, &loss, count, 60, 5000, journeys);
		lost = twice = 0;
		for (unsigned int id = 1; id <= count; id++)
			lost += journeys[id].times == 0;
		print_share("loss", lost, count, tenths[i] / 1000.0);
		run(folder, &duplicate, count, 60, 5000, journeys);
		for (unsigned int id = 1; id <= count; id++)
			twice += journeys[id].times == 2;
		print_share("duplicate", twice, count, tenths[i] / 1000.0);
	}
}

static void measure_rates(const char *folder, struct journey *journeys)
{
	static const uint64_t rates[] = {64000, 1000000, 10000000, 100000000, 1000000000};

	printf("\n| rate asked for, bit/s | seconds | seen | off by |\n");
	for (unsigned int i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		size_t size = rates[i] < 1000000 ? 200 : 1514;
		const struct impairment impairment = {.rate = rates[i], .queue_frames = IMPAIRMENT_QUEUE_FRAMES_MAX};
		uint64_t bits = size * 8, first = UINT64_MAX, last = 0;
		unsigned int count = (unsigned int)(5 * rates[i] / bits), came = 0;
		double rate;

		/* A tenth faster than the rate. */
		run(folder, &impairment, count, size, bits * SECOND / rates[i] * 10 / 11, journeys);
		for (unsigned int id = 1; id <= count; id++) {
			if (journeys[id].times == 0)
				continue;
			came++;
			first = journeys[id].came < first ? journeys[id].came : first;
			last = journeys[id].came > last ? journeys[id].came : last;
		}
		rate = (double)(came - 1) * (double)bits * 1e9 / (double)(last - first);
		printf("| %" PRIu64 " | %.2f | %.0f | %.3f %% |\n", rates[i], (double)(last - first) / 1e9, rate,
		       (rate / (double)rates[i] - 1) * 100);
		fflush(stdout);
	}
}

/* What comes out each second, with a delay and without. */
static void measure_throughput(const char *folder, struct journey *journeys)
{
	static const unsigned int delays[] = {0, 10, 100};

	printf("\n| delay, ms | sent, Mb/s | came, Mb/s | lost |\n");
	for (unsigned int i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		const struct impairment impairment = {.delay = delays[i] * MILLISECOND};
		unsigned int count = 160000, came = 0;
		uint64_t lost = run(folder, &impairment, count, 1514, 12000, journeys);
		uint64_t sent = journeys[count].sent - journeys[1].sent, taken;

		for (unsigned int id = 1; id <= count; id++)
			came += journeys[id].times;
		taken = journeys[count].came - journeys[1].came;
		printf("| %u | %.0f | %.0f | %" PRIu64 " |\n", delays[i], count * 1514.0 * 8e3 / (double)sent,
		       came * 1514.0 * 8e3 / (double)taken, count - came - lost / 2);
		fflush(stdout);
	}
}

static void compare_runs(const char *folder, struct journey *journeys)
{
	const struct impairment impairment = {.loss = 5 * PERCENT, .jitter = MILLISECOND, .delay = MILLISECOND};
	static bool first[20001];
	unsigned int lost = 0, different = 0;

	run(folder, &impairment, 20000, 60, 5000, journeys);
	for (unsigned int id = 1; id <= 20000; id++)
		first[id] = journeys[id].times == 0;
	run(folder, &impairment, 20000, 60, 20000, journeys);
	for (unsigned int id = 1; id <= 20000; id++) {
		lost += first[id];
		different += first[id] != (journeys[id].times == 0);
	}
	printf("\nTwo runs with one seed, the second at a quarter of the speed: %u of 20000 frames lost, %u of them others.\n",
	       lost, different);
}

int main(int argc, char **argv)
{
	struct journey *journeys = calloc(FRAMES_MAX, sizeof(*journeys));
	double *times = calloc(FRAMES_MAX, sizeof(*times));
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s/bench-impair-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!journeys || !times || !mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	measure_delays(folder, journeys, times);
	measure_jitter(folder, journeys, times);
	measure_losses(folder, journeys);
	measure_rates(folder, journeys);
	measure_throughput(folder, journeys);
	compare_runs(folder, journeys);
	rmdir(folder);
	free(journeys);
	free(times);
	return 0;
}
