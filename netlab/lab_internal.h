/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_INTERNAL_H
#define NETLAB_LAB_INTERNAL_H 1

/* What netlab/lab.c and netlab/lab_status.c share.  Thread-safety: the control loop's, as netlab/lab.h. */

#include "core/host.h"
#include "core/loop.h"
#include "netlab/lab.h"
#include "netlab/node.h"

struct capture;
struct network;

struct lab {
	const struct topology *topology;
	const char *captures; /* Folder, or NULL. */
	uint64_t created;     /* loop_now() */
	struct host_profile host;
	struct node_context context;
	struct capture *capture;
	struct network **networks; /* In the topology's order. */
	struct node *nodes;
	size_t node_count;
	size_t next_start;            /* The first node that waits for others to have booted. */
	struct loop_timer start_more; /* Armed while one waits. */
	struct lab_listener *listeners;
	bool stopping;
	size_t ending; /* Nodes still to end. */
	void (*stopped)(void *opaque);
	void *stopped_opaque;
};

#endif /* lab_internal.h */
