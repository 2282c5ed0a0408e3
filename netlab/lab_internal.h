/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_INTERNAL_H
#define NETLAB_LAB_INTERNAL_H 1

/* What netlab/lab.c, netlab/lab_status.c and netlab/lab_templates.c share.  Thread-safety: the control loop's, as
 * netlab/lab.h. */

#include <pthread.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/state.h"
#include "netlab/lab.h"
#include "netlab/node.h"
#include "netlab/template.h"

struct capture;
struct network;

/* The template of all nodes with the same image, memory and CPUs: there, being made, or neither, and then they boot. */
struct lab_template {
	struct lab *lab;
	const struct node *node; /* The first of them. */
	char key[TEMPLATE_KEY_SIZE];
	uint64_t stamp; /* Of the image's files that the key is of. */
	struct template *template;
	struct template_maker *maker;
};

/* What is under way (netlab/lab_snapshot.c).  It goes on when no node is being frozen, and no guest is ending. */
struct lab_operation_memory {
	int base, file; /* Descriptors, or -1: what the memory was mapped from, and where it is saved. */
	uint64_t size;
	uint64_t started; /* Of the node: it is still the same guest. */
};

struct lab_operation {
	const char *what; /* NULL: nothing is. */
	void (*go_on)(struct lab *lab);
	lab_done *done;
	void *opaque;
	struct node *node; /* To be paused, or NULL for all. */
	uint64_t started;  /* loop_now() */
	bool ends_guests;
	size_t ending; /* Guests still to end. */
	/* Saving and restoring. */
	char *name;
	int folder; /* Of the snapshot, or -1. */
	struct state state;
	struct lab_operation_memory *memory; /* One per node, while the lab is saved. */
	double pause; /* Seconds. */
	pthread_t thread;
	bool has_thread;
	char failure[1024];
};

struct lab {
	const struct topology *topology;
	const char *captures; /* Folder, or NULL. */
	bool cold;            /* No node is a clone. */
	uint64_t created;     /* loop_now() */
	struct host_profile host;
	struct node_context context;
	struct capture *capture;
	struct network **networks; /* In the topology's order. */
	struct node *nodes;
	size_t node_count;
	struct lab_template *templates; /* Room for one per node. */
	size_t template_count;
	bool started;
	struct loop_timer start_more; /* Armed while a node waits for others to have booted. */
	struct lab_listener *listeners;
	bool stopping;
	size_t ending; /* Guests still to end. */
	struct lab_operation operation;
	char *origin; /* Path of its topology, for snapshots. */
	char *from;   /* Snapshot to start from, or NULL. */
	void (*stopped)(void *opaque);
	void *stopped_opaque;
};

/* loop_function: starts what waited for a template, or for others to boot. */
void lab_start_more(void *opaque);

/* netlab/lab_snapshot.c */

/* Starts the lab from the snapshot lab->from. */
int lab_start_saved(struct lab *lab, struct error *error);
/* loop_function: has the operation go on, if it awaits nothing more. */
void lab_operation_check(void *opaque);
/* Gives up what is under way; it has let go of everything when this returns. */
void lab_operation_abandon(struct lab *lab);

/* netlab/lab_templates.c */

/* Opens the templates that are there, and has the others made. */
int lab_find_templates(struct lab *lab, struct error *error);
/* True while the node's template is being made. */
bool lab_awaits_template(const struct lab *lab, const struct node *node);
/* How many are being made, each by a guest that boots. */
unsigned int lab_templates_in_work(const struct lab *lab);
/* Gives up those being made, and returns how many; lab_guest_ended() follows for each. */
size_t lab_stop_templates(struct lab *lab);
void lab_close_templates(struct lab *lab);

#endif /* lab_internal.h */
