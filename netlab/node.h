/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NODE_H
#define NETLAB_NODE_H 1

/* Node: one guest of a lab, for netlab/lab.c and those it is made of
 * ==================================================================
 *
 * A node's interfaces, log and console history last as long as it does; its guest and setting-up are replaced when it
 * restarts.  When the lab is changed, its interfaces may be as well (netlab/node_shape.h).
 *
 *      created -> booting -> configuring -> ready -> stopped or crashed
 *
 * A node that is paused goes back to what it was.  Its vCPUs are also held, without its being called paused, while the
 * lab is saved: it is frozen then.
 *
 * A guest that resets before its agent ever greeted would do so for ever, and counts as crashed.
 *
 * Thread-safety: the control loop's, but for frames, which move in the data plane's thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"
#include "core/machine.h"
#include "core/vcpu.h"
#include "netlab/lab.h"
#include "netlab/topology.h"

struct agent;
struct dataplane;
struct guest;
struct guest_options;
struct image;
struct node_log;
struct node_setup;
struct port;
struct state;
struct template;
struct virtio_net;

/* Bytes of console output kept for those who connect late. */
#define NODE_HISTORY_SIZE 16384

struct node_interface {
	struct node *node;
	const struct topology_interface *topology;
	char port_name[TOPOLOGY_NAME_MAX + 20]; /* "h1:eth0" */
	struct port *port;
	struct virtio_net *net; /* NULL without a guest. */
	/* As node_look_at_rings() found it. */
	bool has_ring; /* There is a driver. */
	uint16_t ring_size, ring_free;
};

struct node {
	struct lab *lab;
	const struct topology_node *topology;
	struct image *image;
	uint64_t memory; /* Bytes. */
	unsigned int cpus;
	struct node_interface *interfaces;
	struct node_log *log;

	enum node_state state;
	double since; /* Seconds since the epoch. */
	double seconds;
	uint64_t started; /* loop_now() when its vCPUs started. */
	char reason[1024];
	bool restart_wanted;
	bool held;        /* It is not started again, whatever ends it: the lab is being changed. */
	bool has_network; /* Its interfaces are set up. */
	bool greeted;     /* The guest has been heard of since it started. */
	bool has_registers;
	struct vcpu_registers registers; /* Of the last crash. */

	struct guest *guest;         /* NULL before it starts and after it ended. */
	bool is_clone;               /* It went on from a template. */
	unsigned int found_nics;     /* Those it has found already, as that had (netlab/template.h). */
	struct node_setup *setup;    /* While it is configuring. */
	bool was_ready;              /* Since its guest started. */
	bool is_untold;              /* It was restored, paused, and does not know of it. */
	bool console_wanted;         /* Somebody has been at the console. */
	bool freezing, frozen;       /* Its vCPUs are to be held; are held. */
	enum node_state paused_from; /* What it was before it was paused. */
	double paused_seconds;       /* Its 'seconds' then. */
	uint8_t history[NODE_HISTORY_SIZE];
	size_t history_end; /* Bytes ever said; the last NODE_HISTORY_SIZE are kept. */
};

/* What a lab gives its nodes. */
struct node_context {
	struct lab *lab;
	int kvm_fd;
	const struct host_profile *host;
	struct loop *control;
	struct dataplane *dataplane;
	const char *runtime;
};

/* Makes a node with its ports and log, without a machine.  Returns NULL with 'error' set. */
struct node *node_create(const struct topology_node *topology, const struct node_context *context, struct error *error);
/* Frees it, but for its ports, which go with the data plane. */
void node_destroy(struct node *node);

/* Back to NODE_CREATED, without a machine: the lab starts it when its turn comes. */
void node_reset(struct node *node);
/* Sets up more of a node that is ready: 'lines' are for its agent, and are freed.  NODE_CONFIGURING meanwhile. */
void node_set_up_more(struct node *node, char *lines);

/* Fills in what its guest is made of, without a template. */
void node_describe(const struct node *node, struct guest_options *options);

/* Makes a guest and starts it: a clone of the template, or one that boots where that is NULL or of no use. */
int node_start(struct node *node, struct template *template, struct error *error);
/* Asks the machine to end; node_ended() of the lab follows.  Returns false when there is none. */
bool node_stop(struct node *node);

/* Has its vCPUs held; lab_node_frozen() follows, also when its guest ends first.  Returns false when that will not
 * come: there is no guest, or it is frozen. */
bool node_freeze(struct node *node);
/* Has them go on, unless it is paused. */
void node_thaw(struct node *node);
/* Finds out how full its NICs' receive rings are.  In the data plane's thread, while the control loop waits. */
void node_look_at_rings(struct node *node);
/* Calls a frozen node paused, or no longer. */
void node_set_paused(struct node *node, bool paused);

/* For netlab/node_state.c. */

/* Frees its guest, if it has one. */
void node_release_guest(struct node *node);
/* Makes a guest with the node's NICs, not plugged in. */
int node_build_guest(struct node *node, const struct guest_options *options, struct error *error);
void node_plug(struct node *node);
void node_set_state(struct node *node, enum node_state state);

/* netlab/node_state.c: all of a frozen node, or of one without a guest, but its memory; and a node without a guest made
 * what it was.  It is frozen then, if it has one. */
int node_save(const struct node *node, struct state *state, struct error *error);
struct node_saved_files {
	int memory_fd;    /* Or -1 when there is none. */
	const char *disk; /* Path of the disk it had, or NULL. */
};
int node_restore(struct node *node, struct state *state, const struct node_saved_files *files, struct error *error);

/* Gives a node up that could not be started: it counts as crashed, for this reason. */
void node_fail(struct node *node, const char *reason);

/* For node_setup.c: its interfaces are set up. */
void node_has_network(struct node *node);
/* For node_setup.c: everything is set up, but for 'failure' ("" if nothing failed). */
void node_setup_done(struct node *node, const char *failure);

/* For nodes, in netlab/lab.c. */
/* Others may start now. */
void lab_node_has_network(struct lab *lab);
/* The template for the node, or NULL: it boots. */
struct template *lab_node_template(struct lab *lab, const struct node *node);
/* That template does not work: it is not used again, and made anew by the next lab that wants it. */
void lab_drop_template(struct lab *lab, const struct node *node);
const struct node_context *lab_context(const struct lab *lab);
void lab_node_changed(struct lab *lab, struct node *node);
void lab_node_logged(struct lab *lab, struct node *node, const char *text, size_t size);
void lab_node_console(struct lab *lab, struct node *node, const uint8_t *data, size_t size);
/* A node was frozen, or its guest ended before. */
void lab_node_frozen(struct lab *lab);
/* A guest has gone, and is not being replaced. */
void lab_guest_ended(struct lab *lab);
/* Its guests end, and are not to be replaced. */
bool lab_is_stopping(const struct lab *lab);
/* Why nodes cannot be restarted now, or NULL. */
const char *lab_is_occupied(const struct lab *lab);

#endif /* node.h */
