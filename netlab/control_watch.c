/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/control_internal.h"
#include "netlab/json_text.h"

/* Streams that watch what happens: node states, a console, a node's log.
 *
 * State changes and console output exist once, so one who does not read them is dropped after a while.  A log
 * is a file, so one who reads it slowly just reads it later: the stream holds a place in the file and nothing
 * else. */

#define HISTORY_SIZE 16384u
#define LOG_READ_SIZE 32768u
#define CONSOLE_RETRY_NANOSECONDS 20000000ull
#define TAIL_MAX ((json_int_t)1 << 40)

/* Events. */

static void send_state(struct control_stream *stream, struct node *node, bool is_present)
{
	json_t *members = json_pack("{s:s, s:s, s:f, s:o, s:b}", "node", node_name(node), "state",
				    node_state_name(node_state(node)), "seconds", node_state_seconds(node), "reason",
				    json_text(node_reason(node)), "present", is_present);

	control_stream_event(stream, "node", members);
}

static void events_changed(struct control_stream *stream, struct node *node)
{
	if (!control_stream_drop_if_slow(stream))
		send_state(stream, node, false);
}

static void events_removed(struct control_stream *stream, struct node *node)
{
	if (!control_stream_drop_if_slow(stream))
		control_stream_event(stream, "removed", json_pack("{s:s}", "node", node_name(node)));
}

/* For streams that are about one node. */
static void end_with_node(struct control_stream *stream, const struct node *its_node, const struct node *node)
{
	if (its_node == node)
		control_stream_fail(stream, "no-such-node", "%s is not a node of lab %s any more", node_name(node),
				    lab_name(stream->client->control->lab));
}

void control_events(const struct control_request *request)
{
	static const struct control_stream_ops ops = {.changed = events_changed, .removed = events_removed};
	struct control_stream *stream = calloc(1, sizeof(*stream));
	struct lab *lab = request->client->control->lab;
	size_t count = lab_node_count(lab);

	if (!stream) {
		control_send_error(request->client, request->id, "failed", "netlabd is out of memory");
		return;
	}
	control_stream_add(request->client, stream, request->id, &ops);
	control_stream_event(stream, "started", json_pack("{s:I}", "nodes", (json_int_t)count));
	for (size_t i = 0; i < count; i++)
		send_state(stream, lab_node(lab, i), true);
}

/* Console. */

struct console {
	struct control_stream stream;
	struct node *node;
	struct loop_timer retry; /* A console does not say when it can take more, so it is asked. */
};

static void console_give_input(void *opaque)
{
	struct console *console = opaque;
	struct control_stream *stream = &console->stream;
	size_t taken = node_console_write(console->node, stream->pending, stream->pending_size);

	control_stream_taken(stream, taken);
	if (taken)
		control_stream_event(stream, "credit", json_pack("{s:I}", "bytes", (json_int_t)taken));
	if (stream->pending_size)
		loop_timer_set(stream->client->control->loop, &console->retry, loop_now() + CONSOLE_RETRY_NANOSECONDS);
}

static void console_input(struct control_stream *stream, const uint8_t *data, size_t size)
{
	struct console *console = (struct console *)stream;
	bool is_waiting = stream->pending_size > 0;

	if (!control_stream_keep(stream, data, size))
		control_stream_fail(stream, "failed", "netlabd has no memory for the input");
	else if (!is_waiting)
		console_give_input(console);
}

static void console_resize(struct control_stream *stream, uint16_t rows, uint16_t columns)
{
	node_console_resize(((struct console *)stream)->node, rows, columns);
}

static void console_output(struct control_stream *stream, struct node *node, const uint8_t *data, size_t size)
{
	if (((struct console *)stream)->node == node && !control_stream_drop_if_slow(stream))
		control_stream_output(stream, false, data, size);
}

static void console_removed(struct control_stream *stream, struct node *node)
{
	end_with_node(stream, ((struct console *)stream)->node, node);
}

static void console_close(struct control_stream *stream)
{
	loop_timer_cancel(stream->client->control->loop, &((struct console *)stream)->retry);
}

static const struct control_stream_ops console_ops = {
	.input = console_input,
	.resize = console_resize,
	.removed = console_removed,
	.console = console_output,
	.close = console_close,
};

static void send_history(struct console *console)
{
	uint8_t *history = malloc(HISTORY_SIZE);
	size_t size = history ? node_console_history(console->node, history, HISTORY_SIZE) : 0;

	if (size)
		control_stream_output(&console->stream, false, history, size);
	free(history);
}

void control_console(const struct control_request *request)
{
	struct node *node = control_get_node(request);
	json_int_t rows = 0, columns = 0;
	struct console *console;

	if (!node || !control_get_number(request, request->message, "rows", 1, UINT16_MAX, false, &rows) ||
	    !control_get_number(request, request->message, "columns", 1, UINT16_MAX, false, &columns))
		return;
	console = calloc(1, sizeof(*console));
	if (!console) {
		control_send_error(request->client, request->id, "failed", "netlabd is out of memory");
		return;
	}
	console->node = node;
	console->retry = (struct loop_timer){.function = console_give_input, .opaque = console};
	control_stream_add(request->client, &console->stream, request->id, &console_ops);
	control_stream_event(&console->stream, "started", json_pack("{s:i}", "window", (int)CONTROL_WINDOW));
	send_history(console);
	if (rows && columns)
		node_console_resize(node, (uint16_t)rows, (uint16_t)columns);
	node_console_attach(node);
}

/* Logs. */

struct logs {
	struct control_stream stream;
	struct node *node;
	struct loop_task task; /* Reads on. */
	int fd;
	off_t place; /* Where to read on. */
	bool follow;
};

/* The log was begun anew, as the same file or another: read that from its start. */
static bool logs_is_renewed(struct logs *logs)
{
	struct stat ours, named;
	int fd;

	if (fstat(logs->fd, &ours) < 0 || stat(node_log_path(logs->node), &named) < 0)
		return false;
	if (ours.st_dev == named.st_dev && ours.st_ino == named.st_ino) {
		if (ours.st_size >= logs->place)
			return false;
	} else {
		fd = open(node_log_path(logs->node), O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
		close(logs->fd);
		logs->fd = fd;
	}
	logs->place = 0;
	return true;
}

static void logs_read_on(void *opaque)
{
	struct logs *logs = opaque;
	struct control_client *client = logs->stream.client;
	uint8_t *data;
	ssize_t size;

	if (client->dead || control_is_full(client))
		return;
	data = malloc(LOG_READ_SIZE);
	size = data ? pread(logs->fd, data, LOG_READ_SIZE, logs->place) : -1;
	if (size > 0) {
		logs->place += size;
		control_stream_output(&logs->stream, false, data, (size_t)size);
	}
	free(data);
	/* One piece a turn, so that the rest of the lab is not kept waiting by a long log. */
	if (size > 0 || logs_is_renewed(logs))
		loop_task_queue(client->control->loop, &logs->task);
	else if (size < 0)
		control_stream_fail(&logs->stream, "failed", "cannot read %s: %s", node_log_path(logs->node),
				    strerror(data ? errno : ENOMEM));
	else if (!logs->follow)
		control_stream_finish(&logs->stream, json_object());
}

static void logs_drained(struct control_stream *stream)
{
	loop_task_queue(stream->client->control->loop, &((struct logs *)stream)->task);
}

static void logs_logged(struct control_stream *stream, struct node *node)
{
	/* In the next turn, when the file has it as well. */
	if (((struct logs *)stream)->node == node)
		logs_drained(stream);
}

static void logs_removed(struct control_stream *stream, struct node *node)
{
	end_with_node(stream, ((struct logs *)stream)->node, node);
}

static void logs_close(struct control_stream *stream)
{
	loop_task_cancel(stream->client->control->loop, &((struct logs *)stream)->task);
	close(((struct logs *)stream)->fd);
}

static const struct control_stream_ops logs_ops = {
	.drained = logs_drained,
	.removed = logs_removed,
	.logged = logs_logged,
	.close = logs_close,
};

/* Where to start so that no more than 'tail' bytes follow, the first of them beginning a line if one begins among
 * them. */
static off_t tail_place(int fd, off_t tail)
{
	struct stat status;
	char text[4096];
	ssize_t size;
	const char *end;
	off_t place;

	if (fstat(fd, &status) < 0 || status.st_size <= tail)
		return 0;
	place = status.st_size - tail;
	size = pread(fd, text, sizeof(text), place - 1);
	end = size > 0 ? memchr(text, '\n', (size_t)size) : NULL;
	/* Nothing begins after the last line's end: the end of that line is better than nothing at all. */
	return end && place + (end - text) < status.st_size ? place + (end - text) : place;
}

void control_logs(const struct control_request *request)
{
	struct node *node = control_get_node(request);
	const json_t *follow = json_object_get(request->message, "follow");
	json_int_t tail = TAIL_MAX;
	struct logs *logs;
	int fd;

	if (!node || !control_get_number(request, request->message, "tail", 0, TAIL_MAX, false, &tail))
		return;
	if (follow && !json_is_boolean(follow)) {
		control_send_error(request->client, request->id, "bad-request", "\"follow\" must be true or false");
		return;
	}
	fd = open(node_log_path(node), O_RDONLY | O_CLOEXEC);
	logs = fd < 0 ? NULL : calloc(1, sizeof(*logs));
	if (!logs) {
		control_send_error(request->client, request->id, "failed", "cannot read %s: %s", node_log_path(node),
				   strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	logs->node = node;
	logs->fd = fd;
	logs->follow = json_is_true(follow);
	logs->place = tail_place(fd, (off_t)tail);
	logs->task = (struct loop_task){.function = logs_read_on, .opaque = logs};
	control_stream_add(request->client, &logs->stream, request->id, &logs_ops);
	control_stream_event(&logs->stream, "started", NULL);
	loop_task_queue(request->client->control->loop, &logs->task);
}
