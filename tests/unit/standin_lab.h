/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_STANDIN_LAB_H
#define TESTS_UNIT_STANDIN_LAB_H 1

/* A lab without machines, for testing the control server
 * ======================================================
 *
 * Defines all that the control server uses of netlab/lab.h and netlab/agent.h, so that the linker takes
 * nothing of the real ones.  To be included by one file of a test program.  The test plays the guest: it
 * finds the channels that were opened in lab->channels and calls their ops.
 *
 * h1 is ready and has an agent, h2 boots and has none. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/agent.h"
#include "netlab/lab.h"
#include "netlab/lab_link.h"

#define STANDIN_TAKEN_MAX 4096

struct agent {
	struct lab *lab;
};

struct node {
	const char *name;
	enum node_state state;
	const char *reason;
	struct agent agent;
	bool has_agent;
	const char *log_path;
	unsigned int restarts;
	bool restart_fails;
	uint16_t rows, columns;
	bool attached;
	size_t console_limit; /* Bytes that are taken by one call. */
	uint8_t console[STANDIN_TAKEN_MAX];
	size_t console_size;
};

struct agent_channel {
	struct agent_channel *next;
	const struct agent_channel_ops *ops;
	void *opaque;
	char what[64]; /* "exec sh", "read /etc/motd", "write /etc/motd". */
	unsigned int mode;
	struct agent_terminal terminal;
	size_t input_limit; /* Bytes that are taken by one call. */
	uint8_t input[STANDIN_TAKEN_MAX];
	size_t input_size; /* All that were taken; the first are in 'input'. */
	size_t consumed;
	int signal;
	bool input_ended, abandoned;
};

struct lab {
	struct node nodes[2];
	struct lab_listener *listener;
	struct agent_channel *channels; /* Newest first. */
	bool refuses;                   /* The agent opens no channels. */
	size_t input_limit;             /* For new channels. */
	size_t status_size;             /* Length of a string in the status. */
	const char *occupied;           /* What is under way, so that nothing else may be. */
	char task[32];                  /* "save one": what was asked for last. */
	lab_done *done;                 /* Who waits for that. */
	void *done_opaque;
	bool is_up;              /* The link of h1:eth0. */
	char impairment[64];     /* What it was given last. */
	lab_flapped *flapped;    /* While it flaps. */
	struct error plan_error; /* Of a class: there is no plan, for this reason. */
	int converge_result;     /* Negative: it is refused. */
	lab_converge_done *converged;
	void *converged_opaque;
};

static inline void standin_create(struct lab *lab, const char *log_path)
{
	*lab = (struct lab){.input_limit = SIZE_MAX};
	lab->nodes[0] = (struct node){.name = "h1", .state = NODE_READY, .has_agent = true};
	lab->nodes[1] = (struct node){.name = "h2", .state = NODE_BOOTING};
	for (int i = 0; i < 2; i++) {
		lab->nodes[i].reason = "";
		lab->nodes[i].agent.lab = lab;
		lab->nodes[i].log_path = log_path;
		lab->nodes[i].console_limit = SIZE_MAX;
	}
}

/* Takes a channel out of the list and frees it, as the agent does with one that has ended. */
static inline void standin_forget(struct lab *lab, struct agent_channel *channel)
{
	struct agent_channel **link = &lab->channels;

	while (*link != channel)
		link = &(*link)->next;
	*link = channel->next;
	free(channel);
}

static inline void standin_end(struct lab *lab, struct agent_channel *channel, int status, int signal_number)
{
	channel->ops->ended(channel->opaque, status, signal_number);
	standin_forget(lab, channel);
}

static inline void standin_destroy(struct lab *lab)
{
	while (lab->channels) {
		struct agent_channel *channel = lab->channels;

		lab->channels = channel->next;
		free(channel);
	}
}

static inline int standin_begin(struct lab *lab, const char *task, lab_done *done, void *opaque, struct error *error)
{
	if (lab->occupied)
		return error_set(error, ERROR_FAILED, EBUSY, "%s", lab->occupied);
	snprintf(lab->task, sizeof(lab->task), "%s", task);
	lab->done = done;
	lab->done_opaque = opaque;
	return 0;
}

static inline void standin_finish(struct lab *lab, const char *failure)
{
	json_t *result = json_pack("{s:f}", "pause", 0.5);

	lab->done(lab->done_opaque, failure, result);
	json_decref(result);
	lab->done = NULL;
}

/* netlab/lab.h */

int lab_add_forward(struct lab *lab, const char *text, struct error *error)
{
	(void)lab;
	return strcmp(text, "tcp:2222:h1:22") ? error_set(error, ERROR_FAILED, EINVAL, "bad forward") : 0;
}

int lab_remove_forward(struct lab *lab, const char *text, struct error *error)
{
	return lab_add_forward(lab, text, error);
}

json_t *lab_switch(const struct lab *lab, const char *network, struct error *error)
{
	(void)lab;
	if (network && strcmp(network, "lan") != 0) {
		error_set(error, ERROR_FAILED, ENOENT, "no such network");
		return NULL;
	}
	return json_pack("{s:[]}", "networks");
}

ssize_t lab_flush(struct lab *lab, const char *network, struct error *error)
{
	(void)lab;
	return network && strcmp(network, "lan") ? error_set(error, ERROR_FAILED, ENOENT, "no such network") : 4;
}

/* netlab/lab_link.h: one link, of h1:eth0. */

static inline int standin_find_port(const char *port, struct error *error)
{
	return strcmp(port, "h1:eth0") ? error_set(error, ERROR_FAILED, ENOENT, "no such port") : 0;
}

json_t *lab_links(const struct lab *lab, const char *port, struct error *error)
{
	if (port && standin_find_port(port, error) < 0)
		return NULL;
	return json_pack("{s:[{s:b, s:s}]}", "links", "carrier", lab->is_up, "text", lab->impairment);
}

int lab_set_link(struct lab *lab, const char *port, enum lab_side side, bool is_up, struct error *error)
{
	if (side == LAB_BOTH)
		lab->is_up = is_up;
	return standin_find_port(port, error);
}

int lab_impair(struct lab *lab, const char *port, enum lab_side side, enum lab_impair action, const char *text,
	       struct error *error)
{
	static const char *const sides[] = {"both", "tx", "rx"}, *const actions[] = {"set", "clear", "reset"};

	if (text && strlen(text) > 40)
		return error_set(error, ERROR_USAGE, EINVAL, "no such key");
	snprintf(lab->impairment, sizeof(lab->impairment), "%s %s %s", actions[action], sides[side], text ? text : "");
	return standin_find_port(port, error);
}

int lab_flap(struct lab *lab, const char *port, const struct lab_flap_options *options, lab_flapped *flapped,
	     lab_done *done, void *opaque, struct error *error)
{
	char task[32];
	int result = standin_find_port(port, error);

	snprintf(task, sizeof(task), "flap %u %u %u", options->count, (unsigned int)(options->down / 1000000),
		 (unsigned int)(options->up / 1000000));
	if (result == 0)
		result = standin_begin(lab, task, done, opaque, error);
	if (result == 0)
		lab->flapped = flapped;
	return result;
}

int lab_pause(struct lab *lab, struct node *node, lab_done *done, void *opaque, struct error *error)
{
	return standin_begin(lab, node ? "pause h1" : "pause", done, opaque, error);
}

int lab_resume(struct lab *lab, struct node *node, struct error *error)
{
	return standin_begin(lab, node ? "resume h1" : "resume", NULL, NULL, error);
}

int lab_save(struct lab *lab, const char *name, bool replace, lab_done *done, void *opaque, struct error *error)
{
	char task[32];

	snprintf(task, sizeof(task), "%s %.16s", replace ? "replace" : "save", name);
	return standin_begin(lab, task, done, opaque, error);
}

int lab_restore(struct lab *lab, const char *name, lab_done *done, void *opaque, struct error *error)
{
	char task[32];

	snprintf(task, sizeof(task), "restore %.16s", name);
	return standin_begin(lab, task, done, opaque, error);
}

int lab_read_capture(struct lab *lab, int fd, const struct capture_reader_options *options, struct error *error)
{
	(void)lab;
	(void)fd;
	(void)options;
	return error_set(error, ERROR_FAILED, ENOSYS, "the stand-in captures nothing");
}

int lab_capture_position(struct lab *lab, const char *port, lab_done *done, void *opaque, struct error *error)
{
	char task[32];

	snprintf(task, sizeof(task), "position %.16s", port);
	return standin_begin(lab, task, done, opaque, error);
}

json_t *lab_tests(const struct lab *lab)
{
	(void)lab;
	return json_pack("[{s:s}]", "name", "ping");
}

void lab_forget(struct lab *lab, const void *opaque)
{
	if (lab->done_opaque == opaque)
		lab->done = NULL;
}

void lab_listen(struct lab *lab, struct lab_listener *listener)
{
	lab->listener = listener;
}

void lab_unlisten(struct lab *lab, struct lab_listener *listener)
{
	if (lab->listener == listener)
		lab->listener = NULL;
}

const char *lab_name(const struct lab *lab)
{
	return lab ? "office" : "";
}

size_t lab_node_count(const struct lab *lab)
{
	return sizeof(lab->nodes) / sizeof(lab->nodes[0]);
}

struct node *lab_node(struct lab *lab, size_t index)
{
	return &lab->nodes[index];
}

struct node *lab_find_node(struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab_node_count(lab); i++)
		if (!strcmp(lab->nodes[i].name, name))
			return &lab->nodes[i];
	return NULL;
}

json_t *lab_status(struct lab *lab, bool with_memory)
{
	char *text = calloc(lab->status_size + 1, 1);
	json_t *status = NULL;

	if (text) {
		memset(text, 'x', lab->status_size);
		status = json_pack("{s:s, s:s}", "lab", lab_name(lab), "filling", text);
		if (with_memory)
			json_object_set_new(status, "memory", json_object());
		free(text);
	}
	return status;
}

json_t *lab_plan(struct lab *lab, const char *path, struct error *error)
{
	if (lab->plan_error.class != ERROR_NONE) {
		*error = lab->plan_error;
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s, s:[]}", "lab", lab_name(lab), "topology", path, "token", "0123", "changes");
}

/* The test calls lab->converged. */
int lab_converge(struct lab *lab, const char *path, const char *token, lab_converge_done *done, void *opaque,
		 struct error *error)
{
	if (lab->converge_result < 0)
		return error_set(error, lab->plan_error.class, -lab->converge_result, "%s is refused", path);
	if (lab->converged)
		return error_set(error, ERROR_FAILED, EALREADY, "it is being changed");
	if (strcmp(token, "0123") != 0)
		return error_set(error, ERROR_FAILED, ESTALE, "it has changed");
	lab->converged = done;
	lab->converged_opaque = opaque;
	return 0;
}

static inline void standin_converged(struct lab *lab)
{
	json_t *failures = json_pack("[s]", "port 80 is taken");
	lab_converge_done *done = lab->converged;

	lab->converged = NULL;
	if (done)
		done(lab->converged_opaque, failures);
	json_decref(failures);
}

const char *node_name(const struct node *node)
{
	return node->name;
}

enum node_state node_state(const struct node *node)
{
	return node->state;
}

const char *node_state_name(enum node_state state)
{
	return state == NODE_READY ? "ready" : state == NODE_BOOTING ? "booting" : "crashed";
}

double node_state_seconds(const struct node *node)
{
	return node->state == NODE_READY ? 1.25 : 0;
}

const char *node_reason(const struct node *node)
{
	return node->reason;
}

struct agent *node_agent(struct node *node)
{
	return node->has_agent ? &node->agent : NULL;
}

const char *node_log_path(const struct node *node)
{
	return node->log_path;
}

int node_restart(struct node *node, struct error *error)
{
	if (node->restart_fails)
		return error_set(error, ERROR_FAILED, ENOMEM, "no memory for it");
	node->restarts++;
	return 0;
}

size_t node_console_write(struct node *node, const uint8_t *data, size_t size)
{
	size_t taken = size < node->console_limit ? size : node->console_limit;

	for (size_t i = 0; i < taken && node->console_size < sizeof(node->console); i++)
		node->console[node->console_size++] = data[i];
	return taken;
}

void node_console_resize(struct node *node, uint16_t rows, uint16_t columns)
{
	node->rows = rows;
	node->columns = columns;
}

void node_console_attach(struct node *node)
{
	node->attached = true;
}

size_t node_console_history(struct node *node, uint8_t *to, size_t size)
{
	(void)node;
	if (size < 5)
		return 0;
	memcpy(to, "login", 5);
	return 5;
}

/* netlab/agent.h */

static inline struct agent_channel *standin_open(struct agent *agent, const char *what, const char *argument,
						 const struct agent_channel_ops *ops, void *opaque)
{
	struct agent_channel *channel = agent->lab->refuses ? NULL : calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->ops = ops;
	channel->opaque = opaque;
	channel->input_limit = agent->lab->input_limit;
	strncpy(channel->what, what, sizeof(channel->what) - 1);
	strncat(channel->what, argument, sizeof(channel->what) - strlen(channel->what) - 1);
	channel->next = agent->lab->channels;
	agent->lab->channels = channel;
	return channel;
}

struct agent_channel *agent_exec(struct agent *agent, const char *const *argv, const char *const *environment,
				 const struct agent_terminal *terminal, const struct agent_channel_ops *ops,
				 void *opaque)
{
	struct agent_channel *channel = standin_open(agent, "exec ", argv[0], ops, opaque);

	(void)environment;
	if (channel && terminal)
		channel->terminal = *terminal;
	return channel;
}

struct agent_channel *agent_read_file(struct agent *agent, const char *path, const struct agent_channel_ops *ops,
				      void *opaque)
{
	return standin_open(agent, "read ", path, ops, opaque);
}

struct agent_channel *agent_write_file(struct agent *agent, const char *path, unsigned int mode,
				       const struct agent_channel_ops *ops, void *opaque)
{
	struct agent_channel *channel = standin_open(agent, "write ", path, ops, opaque);

	if (channel)
		channel->mode = mode;
	return channel;
}

size_t agent_channel_write(struct agent_channel *channel, const uint8_t *data, size_t size)
{
	size_t taken = size < channel->input_limit ? size : channel->input_limit;

	for (size_t i = 0; i < taken; i++, channel->input_size++)
		if (channel->input_size < sizeof(channel->input))
			channel->input[channel->input_size] = data[i];
	return taken;
}

void agent_channel_end_input(struct agent_channel *channel)
{
	channel->input_ended = true;
}

void agent_channel_consumed(struct agent_channel *channel, size_t size)
{
	channel->consumed += size;
}

void agent_channel_signal(struct agent_channel *channel, int signal_number)
{
	channel->signal = signal_number;
}

void agent_channel_resize(struct agent_channel *channel, uint16_t rows, uint16_t columns)
{
	channel->terminal = (struct agent_terminal){.rows = rows, .columns = columns};
}

void agent_channel_abandon(struct agent_channel *channel)
{
	channel->abandoned = true;
	channel->ops = NULL;
}

#endif /* standin_lab.h */
