/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_INTERNAL_H
#define NETLAB_LAB_INTERNAL_H 1

/* What netlab/lab.c, netlab/lab_status.c and netlab/lab_templates.c share.  Thread-safety: the control loop's, as
 * netlab/lab.h. */

#include "core/host.h"
#include "core/loop.h"
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
	void (*stopped)(void *opaque);
	void *stopped_opaque;
};

/* loop_function: starts what waited for a template, or for others to boot. */
void lab_start_more(void *opaque);

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
