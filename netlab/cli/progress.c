/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/progress.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/terminal.h"

#define REDRAW_MILLISECONDS 100
#define LINES_KEPT_FREE 3 /* So that the table never scrolls, which would break redrawing it. */

bool progress_node_settled(const struct progress_node *node)
{
	return !strcmp(node->state, "ready") || !strcmp(node->state, "paused") || !strcmp(node->state, "crashed") ||
	       !strcmp(node->state, "stopped");
}

bool progress_node_failed(const struct progress_node *node)
{
	return progress_node_settled(node) && strcmp(node->state, "paused") &&
	       (strcmp(node->state, "ready") || node->reason[0]);
}

void progress_begin(struct progress *progress, struct client *client)
{
	const char *term = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");

	progress->is_live = !progress->quiet && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb");
	progress->has_colours = progress->is_live && !(no_color && no_color[0]);
	progress->started = cli_milliseconds();
	progress->id = client_new_id(client);
	client_send(client, json_pack("{s:I, s:s}", "id", progress->id, "command", "events"));
}

void progress_free(struct progress *progress)
{
	for (size_t i = 0; i < progress->count; i++) {
		free(progress->nodes[i].name);
		free(progress->nodes[i].state);
		free(progress->nodes[i].reason);
	}
	free(progress->nodes);
	progress->nodes = NULL;
	progress->count = 0;
}

static void put_coloured(const struct progress *progress, const char *colour, const char *text)
{
	if (progress->has_colours)
		printf("\x1b[%sm%s\x1b[m", colour, text);
	else
		fputs(text, stdout);
}

/* "ready in 12.3 s", "booting, 4.1 s", "crashed after 2.0 s: REASON" */
static void put_state(const struct progress *progress, const struct progress_node *node)
{
	char duration[32];
	double running = (double)(cli_milliseconds() - progress->started) / 1000;

	if (!strcmp(node->state, "ready")) {
		put_coloured(progress, node->reason[0] ? "31" : "32", "ready");
		printf(" in %s", cli_duration(node->seconds, duration));
	} else if (progress_node_settled(node)) {
		put_coloured(progress, "31", node->state);
		printf(" after %s", cli_duration(node->seconds, duration));
	} else {
		put_coloured(progress, "33", node->state);
		if (progress->is_live)
			printf(", %s", cli_duration(running, duration));
	}
}

/* One line, cut where the terminal ends. */
static void put_reason(const struct progress_node *node, int room)
{
	size_t length = strcspn(node->reason, "\n");
	char *line;

	if (!length)
		return;
	if (room < 20)
		room = 20;
	line = allocate_copy_part(node->reason, length < (size_t)room ? length : (size_t)room);
	printf(": ");
	cli_put_text(stdout, line);
	free(line);
}

static void put_counts(const struct progress *progress)
{
	static const char *const states[] = {"created", "booting", "configuring", "ready", "stopped", "crashed"};
	const char *separator = "";

	printf("\r\x1b[K  ");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		size_t count = 0;

		for (size_t j = 0; j < progress->count; j++)
			count += !strcmp(progress->nodes[j].state, states[i]);
		if (count)
			printf("%s%zu %s", separator, count, states[i]);
		if (count)
			separator = ", ";
	}
	putchar('\n');
}

static void draw(struct progress *progress)
{
	int rows, columns;
	size_t width = 0;

	if (!progress->is_live)
		return;
	terminal_size(&rows, &columns);
	if (progress->lines)
		printf("\x1b[%zuA", progress->lines);
	if (progress->count + LINES_KEPT_FREE > (size_t)rows) {
		put_counts(progress);
		progress->lines = 1;
		fflush(stdout);
		return;
	}
	for (size_t i = 0; i < progress->count; i++)
		if (strlen(progress->nodes[i].name) > width)
			width = strlen(progress->nodes[i].name);
	for (size_t i = 0; i < progress->count; i++) {
		const struct progress_node *node = &progress->nodes[i];

		printf("\r\x1b[K  %-*s  ", (int)width, node->name);
		put_state(progress, node);
		put_reason(node, columns - (int)width - 32);
		putchar('\n');
	}
	progress->lines = progress->count;
	fflush(stdout);
}

static void put_change(const struct progress *progress, const struct progress_node *node)
{
	if (progress->quiet || progress->is_live)
		return;
	printf("%s: ", node->name);
	put_state(progress, node);
	put_reason(node, 400);
	putchar('\n');
	fflush(stdout);
}

static struct progress_node *find_or_add(struct progress *progress, const char *name)
{
	for (size_t i = 0; i < progress->count; i++)
		if (!strcmp(progress->nodes[i].name, name))
			return &progress->nodes[i];
	progress->nodes = allocate_grow(progress->nodes, progress->count, sizeof(*progress->nodes));
	progress->nodes[progress->count] = (struct progress_node){.name = allocate_copy(name)};
	return &progress->nodes[progress->count++];
}

static bool is_followed(const struct progress *progress, const char *name)
{
	if (progress->only)
		return !strcmp(progress->only, name);
	for (size_t i = 0; i < json_array_size(progress->among); i++)
		if (!strcmp(json_string_value(json_array_get(progress->among, i)), name))
			return true;
	return !progress->among;
}

/* The lab was changed, and the node has gone. */
static void drop_node(struct progress *progress, const char *name)
{
	for (size_t i = 0; i < progress->count; i++) {
		struct progress_node *node = &progress->nodes[i];

		if (strcmp(node->name, name))
			continue;
		free(node->name);
		free(node->state);
		free(node->reason);
		*node = progress->nodes[--progress->count];
		progress->expected--;
		return;
	}
}

static void take_node(struct progress *progress, const json_t *message)
{
	const char *name = cli_string(message, "node");
	const char *state = cli_string(message, "state");
	bool is_new = !strcmp(state, "created") || !strcmp(state, "booting");
	struct progress_node *node;

	if (!is_followed(progress, name))
		return;
	/* What a node was before it is restarted, and that it stops for that, does not matter. */
	if (progress->only && !progress->count && (json_is_true(json_object_get(message, "present")) || !is_new))
		return;
	node = find_or_add(progress, name);
	free(node->state);
	free(node->reason);
	node->state = allocate_copy(state);
	node->reason = allocate_copy(cli_string(message, "reason"));
	node->seconds = json_number_value(json_object_get(message, "seconds"));
	put_change(progress, node);
}

static size_t count_expected(const struct progress *progress, const json_t *started)
{
	if (progress->only)
		return 1;
	if (progress->among)
		return json_array_size(progress->among);
	return (size_t)json_integer_value(json_object_get(started, "nodes"));
}

/* Returns false when the stream has ended. */
static bool take_message(struct progress *progress, const struct client *client, const json_t *message,
			 struct error *error)
{
	const char *event = cli_string(message, "event");
	json_int_t id = json_integer_value(json_object_get(message, "id"));

	if (id != progress->id && (id != progress->request || !json_object_get(message, "error")))
		return true;
	if (!strcmp(event, "node"))
		take_node(progress, message);
	else if (!strcmp(event, "removed"))
		drop_node(progress, cli_string(message, "node"));
	else if (!strcmp(event, "started"))
		progress->expected = count_expected(progress, message);
	if (event[0])
		return true;
	client_set_error(client, message, error);
	return false;
}

static bool all_settled(const struct progress *progress)
{
	if (!progress->expected || progress->count < progress->expected)
		return false;
	for (size_t i = 0; i < progress->count; i++)
		if (!progress_node_settled(&progress->nodes[i]))
			return false;
	return true;
}

static bool take_messages(struct progress *progress, struct client *client, struct error *error)
{
	json_t *message;

	while ((message = client_next(client))) {
		bool goes_on = take_message(progress, client, message, error);

		json_decref(message);
		if (!goes_on)
			return false;
	}
	if (client->ended)
		client_set_error(client, NULL, error);
	return !client->ended;
}

enum progress_end progress_wait(struct progress *progress, struct client *client, int signal_fd, long long deadline,
				struct error *error)
{
	for (;;) {
		struct pollfd fds[2] = {{.fd = client->fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
		long long left = deadline ? deadline - cli_milliseconds() : REDRAW_MILLISECONDS;
		bool goes_on = take_messages(progress, client, error);

		draw(progress);
		if (all_settled(progress))
			return PROGRESS_SETTLED;
		if (!goes_on)
			return PROGRESS_LOST;
		if (deadline && left <= 0)
			return PROGRESS_TIMEOUT;
		if (poll(fds, 2, left < REDRAW_MILLISECONDS ? (int)left : REDRAW_MILLISECONDS) <= 0)
			continue;
		if (fds[1].revents)
			return PROGRESS_SIGNAL;
		if (fds[0].revents)
			client_fill(client);
	}
}
