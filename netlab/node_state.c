/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/state.h"
#include "netlab/agent.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/node.h"
#include "netlab/node_log.h"
#include "netlab/template.h"

/* A node in a snapshot: what it was, its log and its console's last words; and, if it has a guest, the processor that
 * runs on, its machine, and the connection to its agent. */

#define TAG_NODE STATE_TAG('n', 'o', 'd', 'e')
#define TAG_NAME STATE_TAG('n', 'a', 'm', 'e')
#define TAG_REASON STATE_TAG('r', 'e', 'a', 's')
#define TAG_LOG STATE_TAG('n', 'l', 'o', 'g')
#define TAG_HISTORY STATE_TAG('h', 'i', 's', 't')
#define TAG_PROCESSOR STATE_TAG('p', 'r', 'o', 'c')

/* Bytes of the log that are kept, the last ones. */
#define LOG_KEPT 65536

struct node_record {
	uint32_t state, paused_from; /* enum node_state */
	uint32_t found_nics;
	uint8_t has_guest, is_clone, greeted, console_wanted;
	double seconds, paused_seconds;
	uint64_t age; /* Nanoseconds since its vCPUs started. */
};

static void save_log(const struct node *node, struct state *state)
{
	char *text = malloc(LOG_KEPT);
	size_t size = text ? node_log_tail(node->log, text, LOG_KEPT) : 0;

	state_put(state, TAG_LOG, text, size);
	free(text);
}

static void save_history(const struct node *node, struct state *state)
{
	uint8_t history[NODE_HISTORY_SIZE];
	size_t size = node_console_history((struct node *)(uintptr_t)node, history, sizeof(history));

	state_put(state, TAG_HISTORY, history, size);
}

int node_save(const struct node *node, struct state *state, struct error *error)
{
	const struct node_record record = {
		.state = node->state,
		.paused_from = node->paused_from,
		.found_nics = node->found_nics,
		.has_guest = node->guest != NULL,
		.is_clone = node->is_clone,
		.greeted = node->greeted,
		.console_wanted = node->console_wanted,
		.seconds = node->seconds,
		.paused_seconds = node->paused_seconds,
		.age = node->started ? loop_now() - node->started : 0,
	};
	char processor[TEMPLATE_KEY_SIZE] = "";
	struct guest_options options;
	int result;

	state_put(state, TAG_NODE, &record, sizeof(record));
	state_put(state, TAG_NAME, node->topology->name, strlen(node->topology->name));
	state_put(state, TAG_REASON, node->reason, strlen(node->reason));
	save_log(node, state);
	save_history(node, state);
	if (!node->guest)
		return 0;
	node_describe(node, &options);
	result = template_processor_key(&options, processor, error);
	if (result < 0)
		return result;
	state_put(state, TAG_PROCESSOR, processor, sizeof(processor));
	result = machine_save(node->guest->machine, state, error);
	agent_save(node->guest->agent, state);
	return result;
}

/* A log that has begun goes on, one that is new begins with what was saved. */
static void restore_log(struct node *node, struct state *state)
{
	char *text = malloc(LOG_KEPT);
	size_t size;

	if (!text) {
		state->bad = true;
		return;
	}
	if (state_get_up_to(state, TAG_LOG, text, LOG_KEPT, &size) && node_log_is_empty(node->log))
		node_log_write(node->log, text, size);
	free(text);
}

static void restore_history(struct node *node, struct state *state)
{
	uint8_t history[NODE_HISTORY_SIZE];
	size_t size;

	if (!state_get_up_to(state, TAG_HISTORY, history, sizeof(history), &size))
		return;
	memcpy(node->history, history, size);
	node->history_end = size;
}

static int check_processor(const struct guest_options *options, struct state *state, struct error *error)
{
	char here[TEMPLATE_KEY_SIZE], there[TEMPLATE_KEY_SIZE];
	int result = template_processor_key(options, here, error);

	if (result < 0)
		return result;
	if (!state_get(state, TAG_PROCESSOR, there, sizeof(there)))
		return error_set(error, ERROR_FAILED, EBADMSG, "what was saved of it is incomplete");
	if (memcmp(here, there, sizeof(here)) != 0)
		return error_set(error, ERROR_HOST, EINVAL,
				 "it was saved on another kind of processor or of KVM than this machine has, and a "
				 "guest cannot go on there; \"netlab up\" starts the lab anew");
	return 0;
}

static int restore_guest(struct node *node, struct state *state, const struct node_saved_files *files,
			 struct error *error)
{
	struct guest_options options;
	struct image image = *node->image;
	int result;

	if (files->memory_fd < 0)
		return error_set(error, ERROR_FAILED, ENOENT, "its memory is missing");
	/* Its own, whatever the image has become since. */
	image.disk = (char *)(uintptr_t)files->disk;
	node_describe(node, &options);
	options.image = &image;
	options.memory_fd = files->memory_fd;
	result = check_processor(&options, state, error);
	if (result == 0)
		result = node_build_guest(node, &options, error);
	if (result < 0 || !node->guest)
		return result;
	node->guest->options.image = node->image;
	result = machine_restore(node->guest->machine, state, error);
	if (result < 0)
		return result;
	agent_restore(node->guest->agent, state);
	node->frozen = true;
	return 0;
}

static bool is_sensible(const struct node_record *record)
{
	return record->state >= NODE_READY && record->state <= NODE_CRASHED && record->paused_from <= NODE_CRASHED &&
	       record->has_guest == (record->state == NODE_READY || record->state == NODE_PAUSED) &&
	       (!record->has_guest || record->paused_from == NODE_READY || record->state == NODE_READY);
}

int node_restore(struct node *node, struct state *state, const struct node_saved_files *files, struct error *error)
{
	struct node_record record;
	char name[TOPOLOGY_NAME_MAX + 1];
	size_t size;
	int result = 0;

	state_get(state, TAG_NODE, &record, sizeof(record));
	state_get_up_to(state, TAG_NAME, name, sizeof(name) - 1, &size);
	name[size] = '\0';
	if (state->bad || strcmp(name, node->topology->name) != 0 || !is_sensible(&record))
		return error_set(error, ERROR_FAILED, EBADMSG, "what was saved is not this node");
	state_get_up_to(state, TAG_REASON, node->reason, sizeof(node->reason) - 1, &size);
	node->reason[size] = '\0';
	node->has_registers = false;
	restore_log(node, state);
	restore_history(node, state);
	if (record.has_guest)
		result = restore_guest(node, state, files, error);
	if (result == 0 && state->bad)
		result = error_set(error, ERROR_FAILED, EBADMSG, "what was saved of it is incomplete");
	if (result < 0)
		return result;
	node->is_clone = record.is_clone;
	node->greeted = record.greeted;
	node->found_nics = record.found_nics;
	node->has_network = node->was_ready = record.has_guest;
	node->console_wanted = record.console_wanted;
	node->paused_from = record.paused_from;
	node->paused_seconds = record.paused_seconds;
	node->started = loop_now() - (record.age < loop_now() ? record.age : 0);
	if (node->guest)
		node_plug(node);
	node_set_state(node, record.state);
	node->seconds = record.seconds;
	return 0;
}
