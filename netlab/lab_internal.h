/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_INTERNAL_H
#define NETLAB_LAB_INTERNAL_H 1

/* What the files netlab/lab*.c share.  Thread-safety: the control loop's, as netlab/lab.h. */

#include <pthread.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/state.h"
#include "netlab/bridge/client.h"
#include "netlab/guest.h"
#include "netlab/held_clock.h"
#include "netlab/lab.h"
#include "netlab/node.h"
#include "netlab/template.h"

struct capture;
struct lab_attachment;
struct lab_link;
struct lab_network;
struct lab_position;
struct port;
struct topology_endpoint;

/* The template of all nodes with the same image, memory and CPUs: there, being made, or neither, and then they boot. */
struct lab_template {
	struct lab *lab;
	struct guest_options options; /* What they have in common. */
	struct image *image;          /* Of the options: nodes come and go. */
	char key[TEMPLATE_KEY_SIZE];
	uint64_t stamp; /* Of the image's files that the key is of. */
	struct template *template;
	struct template_maker *maker;
	struct lab_template *next;
};

/* What is under way (netlab/lab_snapshot.c).  It goes on when no node is being frozen, and no guest is ending. */
struct lab_operation_memory {
	int base, file; /* Descriptors, or -1: what the memory was mapped from, and where it is saved. */
	int disk;       /* A descriptor of the disk the guest has, or -1. */
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
	double pause;                        /* Seconds. */
	pthread_t thread;
	bool has_thread;
	char failure[1024];
};

struct lab {
	const struct topology *topology;
	struct topology **later_topologies; /* What it was changed to, the last one being 'topology'. */
	size_t later_topology_count;
	struct lab_converge *converge; /* While it is being changed. */
	const char *folder;            /* For captures, even if there are no files but those of crashes. */
	const char *captures;          /* The same, or NULL: there are none. */
	char *runtime;                 /* The nodes' logs. */
	bool cold;                     /* No node is a clone. */
	bool overcommit;               /* Too little memory is no reason not to go on. */
	uint64_t created;              /* loop_now() */
	struct held_clock clock;       /* lab_time() */
	struct host_profile host;
	struct node_context context;
	struct capture *capture;
	struct topology_capture captured;    /* What it is asked for; a later topology may ask for more. */
	struct lab_network **networks;       /* In the topology's order. */
	struct lab_attachment **attachments; /* In the topology's order. */
	struct lab_link **links;             /* In its order as well, and then those of outer ports. */
	size_t link_count;
	struct bridge_client bridge_client;
	char *bridge_marker;
	struct node **nodes; /* In the topology's order. */
	size_t node_count;
	struct lab_template *templates;
	bool started;
	struct loop_timer start_more; /* Armed while a node waits for others to have booted. */
	struct lab_listener *listeners;
	bool stopping;
	size_t ending; /* Guests still to end. */
	struct lab_operation operation;
	struct lab_position *positions; /* Asked for, and not known yet. */
	char *origin;                   /* Path of its topology, for snapshots. */
	char *from;                     /* Snapshot to start from, or NULL. */
	void (*stopped)(void *opaque);
	void *stopped_opaque;
};

/* Whether the lab may be changed now.  Returns 0, or -EBUSY with 'error' set: something else is under way. */
int lab_check_free(const struct lab *lab, struct error *error);
/* loop_function: starts what waited for a template, or for others to boot. */
void lab_start_more(void *opaque);
/* loop_function, in the data plane's thread if there is one: joins every port as the topology says, with its rules. */
void lab_join_all(void *opaque);
/* The port at the end of a link that is no network. */
struct port *lab_endpoint_port(const struct lab *lab, const struct topology_endpoint *endpoint);
/* Tells the listeners that the node goes. */
void lab_node_removed(struct lab *lab, struct node *node);

/* netlab/lab_plan.c */

#define LAB_TOKEN_SIZE 17 /* With the final NUL. */

/* What a topology's file would have a running lab be. */
struct lab_plan {
	struct topology *topology; /* With the images' memory and CPUs where it says none. */
	struct plan *plan;
	char token[LAB_TOKEN_SIZE]; /* A hash of the file and of the plan. */
};

/* Reads the file and compares.  Returns 0, or a negative errno value with 'error' set; release it either way. */
int lab_plan_read(const struct lab *lab, const char *path, struct lab_plan *plan, struct error *error);
void lab_plan_release(struct lab_plan *plan);

/* netlab/lab_converge.c */

/* loop_function: goes on with the change of 'opaque', the lab, if there is one and no guest is waited for. */
void lab_converge_go_on(void *opaque);
/* Gives up the change that is going on, if there is one: the lab is being taken down. */
void lab_converge_abandon(struct lab *lab);

/* netlab/lab_capture.c */

struct lab_options;

/* Makes the lab's capture, and gives it to the data plane.  Returns 0 or a negative errno value with 'error' set. */
int lab_create_capture(struct lab *lab, const struct lab_options *options, struct error *error);
/* Changes of it what can be changed to what the topology says. */
void lab_change_capture(struct lab *lab);
/* Has captures that begin from now on say what the topology says of ports and addresses. */
void lab_describe_capture(const struct lab *lab);
/* Tells captures that something happened: one line. */
void lab_tell_capture(const struct lab *lab, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The node is in another state.  When it crashed, what was recorded before it is written to a file. */
void lab_capture_node(const struct lab *lab, const struct node *node);

/* netlab/lab_tests.c */

/* Nobody waits for the position with this 'opaque', or (NULL) for any, and the lab may go. */
void lab_forget_positions(struct lab *lab, const void *opaque);

/* netlab/lab_hosts.c */

/* Brings /etc/hosts of the guests that are set up from what the topology 'from' has in it to what the lab's has.  Best
 * effort: nobody is told when it fails, and a guest that is just being set up may miss it. */
void lab_update_hosts(struct lab *lab, const struct topology *from);

/* netlab/lab_status.c */

/* What the status says of a port (a new reference). */
json_t *lab_port_status(const struct lab *lab, const struct port *port);

/* netlab/lab_switch.c */

/* In the data plane's thread, if there is one: sets the rules of ports that are joined as the topology says, and the
 * options of networks. */
void lab_apply_rules(struct lab *lab);
/* loop_function, in that thread as well: has the lab's mirrors be given copies of what crosses the ports there are. */
void lab_apply_mirrors(void *opaque);

/* The name of an end of a link: a port's, or a network's. */
const char *lab_endpoint_name(const struct lab *lab, const struct topology_endpoint *endpoint);

/* netlab/lab_clock.c */

/* Nanoseconds of the lab's time, which stands still while all nodes that run are paused. */
uint64_t lab_time(const struct lab *lab);
/* Has it stand still or go on, as nodes are now; their states may have changed. */
void lab_keep_time(struct lab *lab);

/* netlab/lab_link.c */

/* Makes the links of a lab whose ports are there, and has frames meet what the topology says.  Returns 0 or a negative
 * errno value with 'error' set. */
int lab_links_create(struct lab *lab, struct error *error);
/* The lab was 'from', and is now something else: links that stay go on.  Adds to 'failures', strings, what could not
 * be. */
void lab_links_change(struct lab *lab, const struct topology *from, json_t *failures);
/* Nothing must be to happen to them any more. */
void lab_links_destroy(struct lab *lab);
/* Fills in the impairments that were set by hand, of a copy of the lab's topology with links and networks of its
 * own. */
void lab_links_describe(const struct lab *lab, struct topology *topology);

/* netlab/lab_link_json.c */

/* What the status says of links that are not as usual (a new reference). */
json_t *lab_links_status(const struct lab *lab);

/* netlab/lab_link_state.c */

void lab_links_save(const struct lab *lab, struct state *state);
/* Makes the state bad when it is not of these links. */
void lab_links_restore(struct lab *lab, struct state *state);

/* netlab/lab_schedule.c */

/* All nodes are ready: the schedules of links begin that have not yet. */
void lab_links_start(struct lab *lab);
/* The lab's time stands still now, or goes on. */
void lab_links_keep_time(struct lab *lab);
/* Nothing happens to links by itself any more; those that flap are up, and 'failure' is told to who waits for that. */
void lab_links_quiet(struct lab *lab, const char *failure);
/* Nobody waits for the flapping with this 'opaque' any more, which so ends. */
void lab_forget_flap(struct lab *lab, const void *opaque);

/* netlab/lab_snapshot.c */

/* Starts the lab from the snapshot lab->from. */
int lab_start_saved(struct lab *lab, struct error *error);
/* loop_function: has the operation go on, if it awaits nothing more. */
void lab_operation_check(void *opaque);
/* Gives up what is under way; it has let go of everything when this returns. */
void lab_operation_abandon(struct lab *lab);

/* netlab/lab_templates.c */

/* Opens the templates that are there, and has the others made; for nodes that have come since, when called again. */
int lab_find_templates(struct lab *lab, struct error *error);
/* True while the node's template is being made. */
bool lab_awaits_template(const struct lab *lab, const struct node *node);
/* How many are being made, each by a guest that boots. */
unsigned int lab_templates_in_work(const struct lab *lab);
/* Gives up those being made, and returns how many; lab_guest_ended() follows for each. */
size_t lab_stop_templates(struct lab *lab);
void lab_close_templates(struct lab *lab);

#endif /* lab_internal.h */
