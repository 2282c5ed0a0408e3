/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "netlab/allocate.h"
#include "netlab/lab_internal.h"
#include "netlab/node_setup.h"

/* Theory of operation
 * -------------------
 * Two commands for a guest, one after the other, since both change the same file: sed takes lines out, and lines for
 * AGENT_CONFIGURE add some.  Names and addresses have been checked by the topology's reader, and have nothing in them
 * that means something to sed but the dot, which stands for itself as well. */

/* What is under way in one guest.  It ends at the latest when the guest does, and so before the node. */
struct update {
	struct node *node;
	char *script; /* NULL: run already, or none. */
	char *lines;  /* For AGENT_CONFIGURE. */
	size_t done;  /* Bytes of the lines. */
	struct agent_channel *channel;
};

static void free_update(struct update *update)
{
	free(update->script);
	free(update->lines);
	free(update);
}

static void on_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct update *update = opaque;

	(void)is_error;
	(void)data;
	agent_channel_consumed(update->channel, size);
}

static void take_step(struct update *update);

static void on_ended(void *opaque, int status, int signal)
{
	struct update *update = opaque;

	(void)signal;
	if (status == AGENT_LOST)
		free_update(update);
	else
		take_step(update);
}

static const struct agent_channel_ops channel_ops = {.output = on_output, .ended = on_ended};

static struct agent_channel *run_script(struct update *update, struct agent *agent)
{
	const char *argv[] = {"sh", "-c", update->script, NULL};
	struct agent_channel *channel = agent_exec(agent, argv, NULL, NULL, &channel_ops, update);

	free(update->script);
	update->script = NULL;
	if (channel)
		agent_channel_end_input(channel);
	return channel;
}

/* As many lines as fit into one message. */
static struct agent_channel *add_lines(struct update *update, struct agent *agent)
{
	const char *from = update->lines + update->done;
	size_t length = strlen(from);
	struct agent_channel *channel = NULL;
	const char *end;
	char *part;

	if (length > AGENT_MESSAGE_MAX) {
		end = memrchr(from, '\n', AGENT_MESSAGE_MAX);
		length = end ? (size_t)(end + 1 - from) : AGENT_MESSAGE_MAX;
	}
	update->done += length;
	part = strndup(from, length);
	if (part)
		channel = agent_configure(agent, part, &channel_ops, update);
	free(part);
	return channel;
}

static void take_step(struct update *update)
{
	struct agent *agent = node_agent(update->node);

	update->channel = NULL;
	if (agent && update->script)
		update->channel = run_script(update, agent);
	if (agent && !update->channel && update->lines[update->done])
		update->channel = add_lines(update, agent);
	if (!update->channel)
		free_update(update);
}

static void begin(struct node *node, const char *script, const char *lines)
{
	struct update *update = calloc(1, sizeof(*update));

	if (!update)
		return;
	*update = (struct update){.node = node, .script = script[0] ? strdup(script) : NULL, .lines = strdup(lines)};
	if (update->lines)
		take_step(update);
	else
		free_update(update);
}

static char *hosts_text(const struct topology *topology)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	node_setup_put_hosts(out, topology);
	fclose(out);
	return text;
}

/* Writes what it makes of a line of 'length' bytes, the newline among them. */
typedef void put_function(FILE *out, const char *line, int length);

/* Calls 'put' for each line of 'text' that is not a line of 'other'. */
static void for_each_difference(const char *text, const char *other, put_function *put, FILE *out)
{
	size_t length;

	for (const char *line = text; *line; line += length) {
		const char *found = other;

		length = strcspn(line, "\n") + 1;
		while ((found = strstr(found, "host ")) && strncmp(found, line, length) != 0)
			found++;
		if (!found)
			put(out, line, (int)length);
	}
}

static void put_line(FILE *out, const char *line, int length)
{
	fprintf(out, "%.*s", length, line);
}

/* "host 10.0.0.2 h2" has become "10.0.0.2<tab>h2" in the guest's file. */
static void put_deletion(FILE *out, const char *line, int length)
{
	const char *address = line + strlen("host "), *space = strchr(address, ' ');

	fprintf(out, " -e '/^%.*s\t%.*s$/d'", (int)(space - address), address, (int)(line + length - 2 - space),
		space + 1);
}

/* What 'put' makes of the lines of 'text' that 'other' lacks; "" if there are none. */
static char *difference_text(const char *text, const char *other, put_function *put)
{
	char *result = NULL;
	size_t size;
	FILE *out = open_memstream(&result, &size);

	if (!out)
		return NULL;
	for_each_difference(text, other, put, out);
	fclose(out);
	return result;
}

static void update_all(struct lab *lab, const char *deletions, const char *lines)
{
	char *script = deletions[0] ? allocate_text("sed -i%s /etc/hosts", deletions) : allocate_copy("");

	for (size_t i = 0; (script[0] || lines[0]) && i < lab->node_count; i++) {
		struct node *node = lab->nodes[i];

		if ((node->state == NODE_READY || node->state == NODE_CONFIGURING) && node_agent(node))
			begin(node, script, lines);
	}
	free(script);
}

void lab_update_hosts(struct lab *lab, const struct topology *from)
{
	char *before = hosts_text(from), *after = hosts_text(lab->topology);
	char *deletions = before && after ? difference_text(before, after, put_deletion) : NULL;
	char *lines = before && after ? difference_text(after, before, put_line) : NULL;

	if (deletions && lines)
		update_all(lab, deletions, lines);
	free(before);
	free(after);
	free(deletions);
	free(lines);
}
