/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_H
#define NETLAB_LAB_H 1

/* Lab: a running topology
 * =======================
 *
 * Builds the data plane, the captures and one machine per node from a topology, starts them, and tells those who
 * asked of every change.  A node's ports and captures last when its machine is replaced, as it restarts.  A lab that
 * runs can be made what another topology says; nodes that are the same in both are not touched.
 *
 * Thread-safety: all of it belongs to the control loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "core/error.h"

struct agent;
struct lab;
struct loop;
struct node;
struct topology;

enum node_state {
	NODE_CREATED,     /* The machine is built, no vCPU has run. */
	NODE_BOOTING,     /* vCPUs run, the agent has not greeted. */
	NODE_CONFIGURING, /* The agent is setting up interfaces, files and start-up commands. */
	NODE_READY,
	NODE_PAUSED,  /* Its vCPUs are held where they were. */
	NODE_STOPPED, /* Powered off, by the guest or by us. */
	NODE_CRASHED, /* A vCPU failed; node_reason() says how, node_registers() with what. */
};

struct lab_options {
	const char *captures; /* Folder for this lab's captures; ... */
	bool no_capture;      /* ... only what was recorded before a node crashed is written there. */
	const char *runtime;  /* Folder for the nodes' logs: RUNTIME/NODE.log. */
	const char *origin;   /* Path of the topology it is of, where that is not the one it was read from, or NULL. */
	const char *from;     /* Name of a snapshot of it to go on from, or NULL. */
	bool cold;            /* Boot every node, rather than have it go on from a template (netlab/template.h). */
	bool overcommit;      /* Build it even if its nodes may come to need more memory than there is. */
};

/* Who wants to know of changes.  Zero-initialise, set 'changed' and 'opaque'. */
struct lab_listener {
	void (*changed)(void *opaque, struct node *node); /* Its state changed. */
	void (*removed)(void *opaque, struct node *node); /* It is freed after this; may be NULL. */
	void (*logged)(void *opaque, struct node *node, const char *text, size_t size); /* Its log grew; may be NULL. */
	void (*console)(void *opaque, struct node *node, const uint8_t *data,
			size_t size); /* Console output; may be NULL. */
	void *opaque;
	struct lab_listener *next;
};

/* Sets '*bytes' to the memory that the nodes and the recorder may come to need.  Returns 0, or a negative errno value
 * with 'error' set.  No lab is needed. */
int lab_memory_wanted(const struct topology *topology, uint64_t *bytes, struct error *error);
/* Whether the host has that memory, beside what this user's other labs may still come to need.  Returns 0, or a
 * negative errno value with 'error' set.  With 'overcommit' it is no error that there is too little: the result is 1,
 * and the text of 'error' is a warning.  No lab is needed. */
int lab_check_memory(const struct topology *topology, bool overcommit, struct error *error);

/* Builds everything; starts nothing.  'topology' must outlive the lab.  Checks memory against the host's.  Returns NULL
 * with 'error' set. */
struct lab *lab_create(const struct topology *topology, const struct lab_options *options, struct loop *control,
		       struct error *error);
/* Arms the captures, then starts every node; those that must wait for others to boot are started later. */
int lab_start(struct lab *lab, struct error *error);
/* What takes a while: pausing, saving, restoring.  One at a time.  'done' is called in the control loop when it is
 * over, never from within: 'failure' says why it failed, or is ""; 'result' is a JSON object, which stays the caller's. */
typedef void lab_done(void *opaque, const char *failure, json_t *result);
/* Holds the vCPUs of a node, or (NULL) of all, until lab_resume().  While all nodes that run are paused, the lab's time
 * stands still: frames that are on their way in links, schedules and flapping go on where they were.  Returns 0, or a
 * negative errno value with 'error' set, and then 'done' is not called. */
int lab_pause(struct lab *lab, struct node *node, lab_done *done, void *opaque, struct error *error);
int lab_resume(struct lab *lab, struct node *node, struct error *error);
/* Saves the lab as a snapshot (netlab/snapshot.h), in place of one of that name if 'replace'.  Its nodes are held
 * meanwhile; 'result' has "pause", the seconds of that, and "size", bytes.  As lab_pause(). */
int lab_save(struct lab *lab, const char *name, bool replace, lab_done *done, void *opaque, struct error *error);
/* Has the lab be what it was when the snapshot was made.  As lab_pause(); 'result' has "seconds". */
int lab_restore(struct lab *lab, const char *name, lab_done *done, void *opaque, struct error *error);
struct capture_reader_options;

/* Has a capture be read by 'fd' (netlab/capture_reader.h), which becomes the lab's when 0 is returned. */
int lab_read_capture(struct lab *lab, int fd, const struct capture_reader_options *options, struct error *error);

/* Where the capture of a port is: 'result' has "file", "position", the bytes of the file in which all is that crossed the
 * port before this call, and "lost", the frames of those that are missing there.  As lab_pause(), but any number of them
 * at once. */
int lab_capture_position(struct lab *lab, const char *port, lab_done *done, void *opaque, struct error *error);
/* Nobody waits for 'done' with this 'opaque' any more. */
void lab_forget(struct lab *lab, const void *opaque);

/* Stops every node and completes the captures, then calls 'stopped' in the control loop; the lab may then be
 * destroyed. */
void lab_stop(struct lab *lab, void (*stopped)(void *opaque), void *opaque);
void lab_destroy(struct lab *lab);

void lab_listen(struct lab *lab, struct lab_listener *listener);
void lab_unlisten(struct lab *lab, struct lab_listener *listener);

/* Compares the running lab with the topology in the file 'path'.  Returns the plan as docs/control-protocol.md
 * describes it (a new reference), or NULL with 'error' set: ERROR_USAGE when the file is wrong, with its errors. */
json_t *lab_plan(struct lab *lab, const char *path, struct error *error);

/* Makes the lab what 'path' says, provided that the plan is still the one that has this token.  Whatever can fail is
 * done first, and when it does, nothing has changed: returns a negative errno value with 'error' set (-EALREADY: it is
 * being changed; -ESTALE: the plan would be another).  Otherwise returns 0, and calls 'done' in the control loop when
 * all is in place and the nodes that come or restart have been started, or wait for their turn; or never, when the lab
 * is taken down before.  'failures' is an array of strings, which stays the caller's: what could not be put in place
 * even so, such as a forward on a port that somebody else has. */
typedef void lab_converge_done(void *opaque, json_t *failures);
int lab_converge(struct lab *lab, const char *path, const char *token, lab_converge_done *done, void *opaque,
		 struct error *error);

/* Adds a forward, "tcp:127.0.0.1:2222:r1:22", to the network with NAT on which the guest is; or ends one, of which the
 * host's end, "tcp:127.0.0.1:2222", is enough.  It is not in the topology, and so ends with the next lab_converge().
 * Returns 0 or a negative errno value with 'error' set. */
int lab_add_forward(struct lab *lab, const char *text, struct error *error);
int lab_remove_forward(struct lab *lab, const char *text, struct error *error);

/* Returns the network of that name, or (NULL) all, as their switches have them: ports with their rules, and what was
 * learnt, as docs/control-protocol.md describes it (a new reference); or NULL with 'error' set. */
json_t *lab_switch(const struct lab *lab, const char *network, struct error *error);
/* Has that network, or (NULL) all, forget what was learnt.  Returns how much that was, or a negative errno value with
 * 'error' set. */
ssize_t lab_flush(struct lab *lab, const char *network, struct error *error);

/* What it is made of now.  It lasts as long as the lab. */
const struct topology *lab_topology(const struct lab *lab);

const char *lab_name(const struct lab *lab);
size_t lab_node_count(const struct lab *lab);
struct node *lab_node(struct lab *lab, size_t index);
struct node *lab_find_node(struct lab *lab, const char *name); /* NULL if there is none. */

/* The tests of its topology as a JSON array (a new reference), as docs/control-protocol.md describes it. */
json_t *lab_tests(const struct lab *lab);

/* The whole status as JSON (a new reference), as docs/control-protocol.md describes it; 'with_memory': and what memory
 * the nodes take, which is not cheap to learn (core/memory_usage.h). */
json_t *lab_status(struct lab *lab, bool with_memory);

const char *node_name(const struct node *node);
enum node_state node_state(const struct node *node);
const char *node_state_name(enum node_state state); /* "created", "booting", "configuring", "ready", ... */
double node_state_seconds(const struct node *node); /* Seconds from the start of its vCPUs to this state. */
const char *node_reason(
	const struct node *node); /* Why it stopped or crashed, or what failed in configuring; "" if nothing. */
struct agent *node_agent(struct node *node);        /* NULL unless the agent has greeted, and can answer. */
const char *node_log_path(const struct node *node); /* The boot log and what the VMM says of the node. */

/* Replaces the machine by a new one and starts it.  Works in every state. */
int node_restart(struct node *node, struct error *error);

/* Somebody is at the interactive console, now and from now on: its shell is started, when the guest is there. */
void node_console_attach(struct node *node);
/* Input for the interactive console; returns how many bytes were taken. */
size_t node_console_write(struct node *node, const uint8_t *data, size_t size);
void node_console_resize(struct node *node, uint16_t rows, uint16_t columns);
/* The last bytes the console said (up to 16 KiB), for one who connects late.  Returns the number copied. */
size_t node_console_history(struct node *node, uint8_t *to, size_t size);

#endif /* lab.h */
