/* SPDX-License-Identifier: Apache-2.0 */
/* How long until a lab is ready: booted, and cloned from a template
 * =================================================================
 *
 * Brings the same lab up twice in this process, nodes on one network: each node booted, and each a clone; and prints
 * for both when the agents had greeted and when all nodes were set up; how long a node took by itself for the one and
 * the other, on average; what memory it took; and what part of a processor it takes when all are idle.  The template
 * is made first if it is not there, and that is not counted.
 *
 *      build/bench/ready [NODES [IMAGE]]       default: 4 of image lab
 *
 * The exit status is 1 when a node did not get ready. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/lab_internal.h"
#include "netlab/topology.h"

#define NODES_MAX 250
#define GIVE_UP_SECONDS 600
/* All is done, and some more seconds have passed, before the idle time begins. */
#define SETTLE_SECONDS 10
#define IDLE_SECONDS 20

struct bench {
	struct loop *loop;
	struct lab *lab;
	struct lab_listener listener;
	struct loop_timer give_up;
	uint64_t started;
	size_t greeted, ready;
	double greeted_at[2], ready_at[2]; /* The first and the last node, seconds. */
	double started_at[NODES_MAX], configured_at[NODES_MAX];
	double start_sum, set_up_sum; /* Seconds of all nodes. */
	bool failed;
};

static void changed(void *opaque, struct node *node)
{
	struct bench *bench = opaque;
	double now = (double)(loop_now() - bench->started) / 1e9;
	size_t index = 0;

	while (lab_node(bench->lab, index) != node)
		index++;
	switch (node_state(node)) {
	case NODE_BOOTING:
		bench->started_at[index] = now;
		break;
	case NODE_CONFIGURING:
		bench->greeted_at[bench->greeted++ > 0] = now;
		bench->configured_at[index] = now;
		bench->start_sum += now - bench->started_at[index];
		break;
	case NODE_READY:
		bench->ready_at[bench->ready++ > 0] = now;
		bench->set_up_sum += now - bench->configured_at[index];
		break;
	case NODE_CRASHED:
		bench->failed = true;
		break;
	default:
		break;
	}
	if (bench->failed || bench->ready == lab_node_count(bench->lab))
		loop_stop(bench->loop);
}

static void give_up(void *opaque)
{
	struct bench *bench = opaque;

	bench->failed = true;
	loop_stop(bench->loop);
}

static void stopped(void *opaque)
{
	loop_stop(((struct bench *)opaque)->loop);
}

/* In the loop: clones are restored in it, and wait for it otherwise. */
static void start(void *opaque)
{
	struct bench *bench = opaque;
	struct error error = {.class = ERROR_NONE};

	if (lab_start(bench->lab, &error) == 0)
		return;
	fprintf(stderr, "%s\n", error.text);
	bench->failed = true;
	loop_stop(bench->loop);
}

/* Of this process, in KiB. */
static long private_memory(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[128];
	long sum = 0, part;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Private_Clean: %ld", &part) == 1 || sscanf(line, "Private_Dirty: %ld", &part) == 1)
			sum += part;
	}
	if (file)
		fclose(file);
	return sum;
}

/* Seconds of processor this process has used. */
static double processor_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void stop_loop(void *opaque)
{
	loop_stop(((struct bench *)opaque)->loop);
}

static void pass(struct bench *bench, unsigned int seconds)
{
	struct loop_timer timer = {.function = stop_loop, .opaque = bench};

	loop_timer_set(bench->loop, &timer, loop_now() + seconds * 1000000000ull);
	loop_run(bench->loop);
}

static void print(const char *name, struct bench *bench, size_t nodes, long memory)
{
	double before;

	printf("%-6s %5zu   %6.2f %6.2f   %6.2f %6.2f   %6.3f %6.3f   %6.1f", name, nodes, bench->greeted_at[0],
	       bench->greeted_at[nodes > 1], bench->ready_at[0], bench->ready_at[nodes > 1],
	       bench->start_sum / (double)nodes, bench->set_up_sum / (double)nodes,
	       (double)memory / 1024 / (double)nodes);
	fflush(stdout);
	pass(bench, SETTLE_SECONDS);
	before = processor_time();
	pass(bench, IDLE_SECONDS);
	printf("   %6.2f\n", (processor_time() - before) / IDLE_SECONDS * 100 / (double)nodes);
}

/* Returns false when it did not get ready.  'name' is NULL for a lab that is only to make the template. */
static bool run(const char *name, const struct topology *topology, const char *runtime, bool cold)
{
	struct bench bench = {0};
	struct error error = {.class = ERROR_NONE};
	const struct lab_options options = {.runtime = runtime, .cold = cold};
	long before = private_memory();

	bench.loop = loop_create(&error);
	bench.lab = bench.loop ? lab_create(topology, &options, bench.loop, &error) : NULL;
	if (!bench.lab) {
		fprintf(stderr, "%s\n", error.text);
		return false;
	}
	bench.listener = (struct lab_listener){.changed = changed, .opaque = &bench};
	bench.give_up = (struct loop_timer){.function = give_up, .opaque = &bench};
	lab_listen(bench.lab, &bench.listener);
	loop_timer_set(bench.loop, &bench.give_up, loop_now() + GIVE_UP_SECONDS * 1000000000ull);
	bench.started = loop_now();
	loop_post(bench.loop, start, &bench);
	loop_run(bench.loop);
	loop_timer_cancel(bench.loop, &bench.give_up);
	if (!bench.failed && name)
		print(name, &bench, topology->node_count, private_memory() - before);
	lab_unlisten(bench.lab, &bench.listener);
	lab_stop(bench.lab, stopped, &bench);
	loop_run(bench.loop);
	lab_destroy(bench.lab);
	loop_destroy(bench.loop);
	return !bench.failed;
}

static struct topology *make_topology(unsigned int nodes, const char *image)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct topology *topology;

	if (!out)
		return NULL;
	fprintf(out, "name: bench\ndefaults: {image: %s}\nnetworks: {lan: {}}\nnodes: [", image);
	for (unsigned int i = 1; i <= nodes; i++)
		fprintf(out, "%sn%u", i > 1 ? ", " : "", i);
	fprintf(out, "]\nlinks:\n");
	for (unsigned int i = 1; i <= nodes; i++)
		fprintf(out, "  - {endpoints: [n%u, lan], ip: [10.0.0.%u/24]}\n", i, i);
	fclose(out);
	topology = topology_read_text(text, size, "bench.yaml", NULL, stderr);
	free(text);
	return topology;
}

static void remove_logs(const char *runtime, const struct topology *topology)
{
	char path[256];

	for (size_t i = 0; i < topology->node_count; i++) {
		snprintf(path, sizeof(path), "%s/%s.log", runtime, topology->nodes[i].name);
		unlink(path);
	}
	rmdir(runtime);
}

int main(int argc, char **argv)
{
	unsigned int nodes = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 4;
	const char *image = argc > 2 ? argv[2] : "lab";
	char runtime[] = "/tmp/bench-ready-XXXXXX";
	struct topology *one, *all;
	bool good;

	if (nodes < 1 || nodes > NODES_MAX || !mkdtemp(runtime)) {
		fprintf(stderr, "usage: ready [NODES [IMAGE]], at most %d nodes\n", NODES_MAX);
		return 2;
	}
	one = make_topology(1, image);
	all = make_topology(nodes, image);
	if (!one || !all)
		return 1;
	good = run(NULL, one, runtime, false);
	printf("                 all greeted         all ready       one node   MiB of    %% of a\n");
	printf("       nodes    first   last    first   last    start set up     each      CPU\n");
	/* Booting many takes minutes, and tells no more than booting some. */
	good = good && run("clone", all, runtime, false) && (nodes > 16 || run("cold", all, runtime, true));
	remove_logs(runtime, all);
	topology_free(one);
	topology_free(all);
	return good ? 0 : 1;
}
