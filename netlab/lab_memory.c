/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host_memory.h"
#include "netlab/capture.h"
#include "netlab/image.h"
#include "netlab/lab.h"
#include "netlab/runtime.h"
#include "netlab/topology.h"

/* Whether the host has the memory for a lab.  Nodes get theirs page by page as they touch it, and the recorder and the
 * capture's ring as they fill, so what a lab takes at its start says nothing of what it may come to need, and neither
 * does what the host has free say of what running labs still have a right to.  A host that runs out of memory kills
 * whole labs; so the worst case is what counts, and who knows better than that says so (overcommit). */

/* Memory of the host that is not given to guests. */
#define HOST_MEMORY_RESERVE (256ull << 20)

int lab_memory_wanted(const struct topology *topology, uint64_t *bytes, struct error *error)
{
	*bytes = topology->capture.recorder_size + CAPTURE_RING_SIZE;
	for (size_t i = 0; i < topology->node_count; i++) {
		const struct topology_node *node = &topology->nodes[i];
		struct image *image = NULL;

		if (node->memory == 0) {
			image = image_load(node->image, error);
			if (!image)
				return -ENOENT;
		}
		*bytes += image ? image->memory : node->memory;
		image_free(image);
	}
	return 0;
}

/* What the lab, which runs, may come to need on top of what it has. */
static uint64_t still_wanted(const char *lab)
{
	uint64_t wanted, has;
	pid_t pid;
	char *text;

	if (runtime_probe(lab, &pid) != RUNTIME_RUNNING || pid <= 0)
		return 0;
	text = runtime_read(lab, "memory", 32);
	wanted = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	has = host_memory_of_process("", pid);
	return wanted > has ? wanted - has : 0;
}

/* What this user's running labs, but for 'except', may come to need on top of what they have. */
static uint64_t promised_to_others(const char *except)
{
	uint64_t promised = 0;
	size_t count = 0;
	char **labs = NULL;

	if (runtime_labs(&labs, &count, NULL) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(labs[i], except) != 0)
			promised += still_wanted(labs[i]);
		free(labs[i]);
	}
	free(labs);
	return promised;
}

int lab_check_memory(const struct topology *topology, bool overcommit, struct error *error)
{
	struct host_memory host;
	uint64_t wanted, promised;
	pid_t pid;
	int result = lab_memory_wanted(topology, &wanted, error);

	if (result < 0)
		return result;
	promised = promised_to_others(topology->name);
	if (host_memory_read("", &host) < 0)
		return 0;
	/* What the lab has already, if it runs and is to be changed, is its own. */
	if (runtime_probe(topology->name, &pid) == RUNTIME_RUNNING && pid > 0)
		host.available += host_memory_of_process("", pid);
	if (wanted + promised + HOST_MEMORY_RESERVE <= host.available)
		return 0;
	result = error_set(
		error, ERROR_USAGE, ENOMEM,
		"%s:%u:%u: %s: the %zu node%s of lab %s and its capture may come to need %llu MiB of memory; "
		"%s %llu MiB free, of which running labs may still need %llu MiB, and %llu MiB are kept for the host%s",
		topology->path, topology->nodes_line, topology->nodes_column, overcommit ? "warning" : "error",
		topology->node_count, topology->node_count == 1 ? "" : "s", topology->name,
		(unsigned long long)wanted >> 20,
		host.is_limited ? "the limit of this control group leaves" : "this machine has",
		(unsigned long long)host.available >> 20, (unsigned long long)promised >> 20, HOST_MEMORY_RESERVE >> 20,
		overcommit ? "" :
			     "\n  help: give them less (memory:, capture: {recorder:}), leave nodes out, "
			     "stop other labs (netlab list), or start it all the same with --overcommit");
	return overcommit ? 1 : result;
}
