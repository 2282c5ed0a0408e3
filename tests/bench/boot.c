/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time goes until a node is ready
 * =========================================
 *
 * Boots one node of an image in this process, or has it go on from its template and set up one interface; prints when
 * the kernel, init and the agent were there, the exits to user space, and the kernel functions most often found under
 * the instruction pointer, which is sampled all along.  Times are of this run; what compares is the share of each
 * function.
 *
 *      build/bench/boot [--clone] [IMAGE]      (make bench builds it)
 *
 * The exit status is 1 when no agent greeted. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/loop.h"
#include "netlab/agent.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/lab_internal.h"
#include "netlab/topology.h"

#define SAMPLES_MAX 100000
#define SAMPLE_NANOSECONDS 1000000
#define GIVE_UP_SECONDS 120
#define ROWS 25

struct symbol {
	uint64_t address;
	unsigned int samples;
	char name[64];
};

struct bench {
	struct loop *loop;
	struct lab *lab;
	struct lab_listener listener;
	struct loop_timer sampler;
	uint64_t samples[SAMPLES_MAX];
	size_t sample_count;
	uint64_t started;
	double uptime, init, agent_seconds, ready_seconds; /* 0 until it greeted. */
	struct machine_exits exits;
	struct symbol *symbols;
	size_t symbol_count;
};

static void sample(void *opaque)
{
	struct bench *bench = opaque;
	struct node *node = lab_node(bench->lab, 0);

	if (node->guest && bench->sample_count < SAMPLES_MAX)
		bench->samples[bench->sample_count++] = machine_sample(node->guest->machine);
	if (loop_now() - bench->started > GIVE_UP_SECONDS * 1000000000ull) {
		fprintf(stderr, "%d s have passed\n", GIVE_UP_SECONDS);
		loop_stop(bench->loop);
		return;
	}
	loop_timer_set(bench->loop, &bench->sampler, loop_now() + SAMPLE_NANOSECONDS);
}

static void changed(void *opaque, struct node *node)
{
	struct bench *bench = opaque;

	if (node_state(node) == NODE_CONFIGURING) {
		bench->uptime = agent_greeting_value(node_agent(node), "uptime");
		bench->init = agent_greeting_value(node_agent(node), "init");
		bench->agent_seconds = node_state_seconds(node);
	}
	if (node_state(node) == NODE_READY || node_state(node) == NODE_CRASHED) {
		bench->ready_seconds = node_state_seconds(node);
		if (node->guest)
			machine_read_exits(node->guest->machine, &bench->exits);
		loop_stop(bench->loop);
	}
}

static void read_symbols(struct bench *bench, const char *folder)
{
	char path[4096], line[512], kind;
	unsigned long long address;
	struct symbol symbol = {0};
	FILE *file;

	snprintf(path, sizeof(path), "%s/System.map", folder);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %63s", &address, &kind, symbol.name) != 3 || (kind != 't' && kind != 'T'))
			continue;
		symbol.address = address;
		bench->symbols = realloc(bench->symbols, (bench->symbol_count + 1) * sizeof(symbol));
		if (!bench->symbols)
			abort();
		bench->symbols[bench->symbol_count++] = symbol;
	}
	if (file)
		fclose(file);
}

/* The map is sorted: the last symbol at or below the address. */
static struct symbol *find_symbol(struct bench *bench, uint64_t address)
{
	size_t low = 0, high = bench->symbol_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (bench->symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &bench->symbols[low - 1] : NULL;
}

static int by_samples(const void *a, const void *b)
{
	const struct symbol *first = a, *second = b;

	return (first->samples < second->samples) - (first->samples > second->samples);
}

static void print_profile(struct bench *bench)
{
	unsigned int user = 0, unknown = 0;

	if (bench->sample_count == 0 || !bench->symbols)
		return;
	for (size_t i = 0; i < bench->sample_count; i++) {
		struct symbol *symbol = find_symbol(bench, bench->samples[i]);

		if (bench->samples[i] < 0x800000000000ull && bench->samples[i] > 0x400000)
			user++;
		else if (symbol)
			symbol->samples++;
		else
			unknown++;
	}
	qsort(bench->symbols, bench->symbol_count, sizeof(*bench->symbols), by_samples);
	printf("\n%zu samples; user code (or the first 1:1 mapping) %.1f %%, unknown %.1f %%\n", bench->sample_count,
	       100.0 * user / (double)bench->sample_count, 100.0 * unknown / (double)bench->sample_count);
	for (size_t i = 0; i < ROWS && i < bench->symbol_count && bench->symbols[i].samples > 0; i++)
		printf("%6.1f %%  %s\n", 100.0 * bench->symbols[i].samples / (double)bench->sample_count,
		       bench->symbols[i].name);
}

static void print_times(const struct bench *bench, bool cold)
{
	printf("step                          seconds\n");
	if (cold) {
		printf("kernel to init                %7.2f\n", bench->init);
		printf("init to agent's greeting      %7.2f\n", bench->uptime - bench->init);
	}
	printf("first instruction to agent    %7.3f\n", bench->agent_seconds);
	printf("set up (%s)       %7.3f\n", cold ? "no interfaces" : "one interface",
	       bench->ready_seconds - bench->agent_seconds);
	printf("exits: port %llu, memory %llu, completed instructions %llu, interrupted %llu\n",
	       (unsigned long long)bench->exits.port, (unsigned long long)bench->exits.memory,
	       (unsigned long long)bench->exits.completed, (unsigned long long)bench->exits.interrupted);
}

static void stopped(void *opaque)
{
	struct bench *bench = opaque;

	loop_stop(bench->loop);
}

static int fail(const struct error *error)
{
	fprintf(stderr, "%s\n", error->text);
	return 1;
}

/* In the loop: clones are restored in it, and wait for it otherwise. */
static void start(void *opaque)
{
	struct bench *bench = opaque;
	struct error error = {.class = ERROR_NONE};

	if (lab_start(bench->lab, &error) == 0)
		return;
	fail(&error);
	loop_stop(bench->loop);
}

int main(int argc, char **argv)
{
	struct error error = {.class = ERROR_NONE};
	struct bench *bench = calloc(1, sizeof(*bench));
	char text[128], runtime[] = "/tmp/bench-boot-XXXXXX";
	bool cold = argc < 2 || strcmp(argv[1], "--clone") != 0;
	const char *image = argc > 1 + !cold ? argv[1 + !cold] : "lab";
	struct lab_options options = {.runtime = mkdtemp(runtime), .cold = cold};
	struct topology *topology;
	int status;

	snprintf(text, sizeof(text), "name: bench\nnodes: {n1: {image: %s}}\nnetworks: {lan: {}}\n%s", image,
		 cold ? "" : "links: [{endpoints: [n1, lan], ip: [10.0.0.1/24]}]\n");
	topology = topology_read_text(text, strlen(text), "bench.yaml", NULL, stderr);
	if (!bench || !topology || !options.runtime)
		return 1;
	bench->loop = loop_create(&error);
	bench->lab = bench->loop ? lab_create(topology, &options, bench->loop, &error) : NULL;
	if (!bench->lab)
		return fail(&error);
	bench->listener = (struct lab_listener){.changed = changed, .opaque = bench};
	bench->sampler = (struct loop_timer){.function = sample, .opaque = bench};
	lab_listen(bench->lab, &bench->listener);
	bench->started = loop_now();
	loop_post(bench->loop, start, bench);
	loop_timer_set(bench->loop, &bench->sampler, loop_now() + SAMPLE_NANOSECONDS);
	loop_run(bench->loop);
	read_symbols(bench, lab_node(bench->lab, 0)->image->folder);
	if (bench->agent_seconds > 0)
		print_times(bench, cold);
	else
		fprintf(stderr, "no agent: %s\n", node_reason(lab_node(bench->lab, 0)));
	print_profile(bench);
	loop_timer_cancel(bench->loop, &bench->sampler);
	lab_unlisten(bench->lab, &bench->listener);
	lab_stop(bench->lab, stopped, bench);
	loop_run(bench->loop);
	snprintf(text, sizeof(text), "%s/n1.log", runtime);
	remove(text);
	remove(runtime);
	lab_destroy(bench->lab);
	topology_free(topology);
	loop_destroy(bench->loop);
	status = bench->agent_seconds > 0 ? 0 : 1;
	free(bench->symbols);
	free(bench);
	return status;
}
