/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/control.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "netlab/base64.h"
#include "netlab/control_internal.h"
#include "netlab/json_text.h"

/* Theory of operation
 * -------------------
 * A client is a socket, a buffer of input that starts at the beginning of a line, and a buffer of output.
 * Answers and events are only ever appended to the output; the client's task, which runs in the loop's next
 * turn, does what could pull the ground from under a caller: writing to the socket, telling streams that
 * there is room, handling lines that waited for room, and freeing the client.
 *
 * Memory a client can make us hold: CONTROL_LINE_MAX of input; CONTROL_OUTPUT_STOP of output plus one answer,
 * since above that no line is handled; for each stream a window of input, and a window of output that the
 * agent may still send after it gets no more credit; never more than CONTROL_OUTPUT_END of output in all.
 */

#define READ_SIZE 65536u
#define ACCEPT_RETRY_NANOSECONDS 1000000000ull
#define FINAL_FLUSH_MILLISECONDS 1000

static void client_kill(struct control_client *client)
{
	client->dead = true;
	loop_task_queue(client->control->loop, &client->task);
}

void control_leave(struct control_client *client)
{
	client_kill(client);
}

/* Makes room for 'size' more bytes in '*buffer'. */
static bool reserve(char **buffer, size_t used, size_t *capacity, size_t size)
{
	size_t wanted = *capacity ? *capacity : 4096;
	char *larger;

	if (used + size <= *capacity)
		return true;
	while (wanted < used + size)
		wanted *= 2;
	larger = realloc(*buffer, wanted);
	if (!larger)
		return false;
	*buffer = larger;
	*capacity = wanted;
	return true;
}

static int append_output(const char *text, size_t size, void *opaque)
{
	struct control_client *client = opaque;

	if (client->output_start && client->output_start + client->output_size + size > client->output_capacity) {
		memmove(client->output, client->output + client->output_start, client->output_size);
		client->output_start = 0;
	}
	if (!reserve(&client->output, client->output_start + client->output_size, &client->output_capacity, size))
		return -1;
	memcpy(client->output + client->output_start + client->output_size, text, size);
	client->output_size += size;
	return 0;
}

void control_send(struct control_client *client, json_t *message)
{
	if (!client->dead) {
		if (!message ||
		    json_dump_callback(message, append_output, client, JSON_COMPACT | JSON_REAL_PRECISION(13)) < 0 ||
		    append_output("\n", 1, client) < 0)
			client_kill(client);
		if (client->output_size > CONTROL_OUTPUT_PAUSE)
			client->was_full = true;
		/* What a guest says in bits and pieces becomes far longer as JSON than the windows are. */
		if (client->output_size > CONTROL_OUTPUT_END)
			client_kill(client);
		loop_task_queue(client->control->loop, &client->task);
	}
	json_decref(message);
}

bool control_is_full(const struct control_client *client)
{
	return client->output_size > CONTROL_OUTPUT_PAUSE;
}

static json_t *with_id(json_t *message, json_int_t id)
{
	if (message && id >= 0)
		json_object_set_new(message, "id", json_integer(id));
	return message;
}

void control_send_result(struct control_client *client, json_int_t id, json_t *result)
{
	control_send(client, with_id(json_pack("{s:o}", "result", result), id));
}

static void send_error(struct control_client *client, json_int_t id, const char *code, const char *format,
		       va_list arguments)
{
	char text[1200];

	vsnprintf(text, sizeof(text), format, arguments);
	control_send(client,
		     with_id(json_pack("{s:{s:s, s:o}}", "error", "code", code, "message", json_text(text)), id));
}

void control_send_error(struct control_client *client, json_int_t id, const char *code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	send_error(client, id, code, format, arguments);
	va_end(arguments);
}

/* Streams. */

void control_stream_add(struct control_client *client, struct control_stream *stream, json_int_t id,
			const struct control_stream_ops *ops)
{
	stream->ops = ops;
	stream->client = client;
	stream->id = id;
	stream->next = client->streams;
	client->streams = stream;
	client->stream_count++;
}

struct control_stream *control_stream_find(struct control_client *client, json_int_t id)
{
	struct control_stream *stream = client->streams;

	while (stream && stream->id != id)
		stream = stream->next;
	return stream;
}

void control_stream_event(struct control_stream *stream, const char *name, json_t *members)
{
	json_t *message = members ? members : json_object();

	if (message)
		json_object_set_new(message, "event", json_string(name));
	control_send(stream->client, with_id(message, stream->id));
}

void control_stream_output(struct control_stream *stream, bool is_error, const uint8_t *data, size_t size)
{
	char *text = malloc(BASE64_SIZE(size) + 1);
	json_t *members = NULL;

	if (text) {
		base64_encode(data, size, text);
		members = json_pack("{s:s, s:s#}", "stream", is_error ? "stderr" : "stdout", "data", text,
				    (int)BASE64_SIZE(size));
		free(text);
	}
	if (members)
		control_stream_event(stream, "output", members);
	else
		client_kill(stream->client);
}

bool control_stream_keep(struct control_stream *stream, const uint8_t *data, size_t size)
{
	if (!size)
		return true;
	if (!stream->pending)
		stream->pending = malloc(CONTROL_WINDOW);
	if (!stream->pending || stream->pending_size + size > CONTROL_WINDOW)
		return false;
	memcpy(stream->pending + stream->pending_size, data, size);
	stream->pending_size += size;
	return true;
}

void control_stream_taken(struct control_stream *stream, size_t size)
{
	stream->pending_size -= size;
	memmove(stream->pending, stream->pending + size, stream->pending_size);
}

/* Frees a stream that is in no list. */
static void stream_release(struct control_stream *stream)
{
	if (stream->ops->close)
		stream->ops->close(stream);
	free(stream->pending);
	free(stream);
}

static void stream_free(struct control_stream *stream)
{
	struct control_stream **link = &stream->client->streams;

	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	stream->client->stream_count--;
	stream_release(stream);
}

void control_stream_finish(struct control_stream *stream, json_t *result)
{
	control_send_result(stream->client, stream->id, result);
	stream_free(stream);
}

void control_stream_fail(struct control_stream *stream, const char *code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	send_error(stream->client, stream->id, code, format, arguments);
	va_end(arguments);
	stream_free(stream);
}

bool control_stream_drop_if_slow(struct control_stream *stream)
{
	if (stream->client->output_size <= CONTROL_OUTPUT_DROP)
		return false;
	control_stream_fail(stream, "too-slow", "more than %u bytes waited to be read; the stream was ended",
			    CONTROL_OUTPUT_DROP);
	return true;
}

/* Clients. */

/* Frees a client that is in no list. */
static void client_release(struct control_client *client)
{
	struct control *control = client->control;

	while (client->streams) {
		struct control_stream *stream = client->streams;

		client->streams = stream->next;
		stream_release(stream);
	}
	loop_watch_remove(control->loop, &client->watch);
	loop_task_cancel(control->loop, &client->task);
	close(client->fd);
	free(client->input);
	free(client->output);
	free(client);
}

static void client_free(struct control_client *client)
{
	struct control_client **link = &client->control->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	client->control->client_count--;
	client_release(client);
}

static void client_write(struct control_client *client)
{
	while (client->output_size && !client->dead) {
		ssize_t sent = send(client->fd, client->output + client->output_start, client->output_size,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			client->dead = errno != EAGAIN;
			return;
		}
		client->output_start += (size_t)sent;
		client->output_size -= (size_t)sent;
	}
	client->output_start = 0;
	if (client->output_capacity > CONTROL_OUTPUT_PAUSE) {
		free(client->output); /* One large answer need not stay in memory as long as the client. */
		client->output = NULL;
		client->output_capacity = 0;
	}
}

static void client_tell_streams(struct control_client *client)
{
	if (!client->was_full || client->output_size > CONTROL_OUTPUT_PAUSE / 2)
		return;
	client->was_full = false;
	for (struct control_stream *stream = client->streams, *next; stream; stream = next) {
		next = stream->next;
		if (stream->ops->drained)
			stream->ops->drained(stream);
	}
}

/* Handles the lines that are complete, as long as there is room for the answers. */
static void client_handle_input(struct control_client *client)
{
	size_t start = 0;

	while (!client->dead && client->output_size <= CONTROL_OUTPUT_STOP) {
		char *end = memchr(client->input + client->input_scanned, '\n',
				   client->input_size - client->input_scanned);
		size_t length;

		if (!end) {
			client->input_scanned = client->input_size;
			break;
		}
		length = (size_t)(end - client->input) - start;
		if (!client->skipping)
			control_handle_line(client, client->input + start, length);
		client->skipping = false;
		start += length + 1;
		client->input_scanned = start;
	}
	if (start) {
		memmove(client->input, client->input + start, client->input_size - start);
		client->input_size -= start;
		client->input_scanned -= start;
	}
	if (client->input_size > CONTROL_LINE_MAX && client->input_scanned == client->input_size) {
		if (!client->skipping)
			control_send_error(client, -1, "too-long", "a line may have at most %u bytes",
					   CONTROL_LINE_MAX);
		client->skipping = true;
	}
	if (client->skipping && client->input_scanned == client->input_size)
		client->input_size = client->input_scanned = 0;
}

static void client_read(struct control_client *client)
{
	ssize_t received;

	if (!reserve(&client->input, client->input_size, &client->input_capacity, READ_SIZE)) {
		client->dead = true;
		return;
	}
	received = recv(client->fd, client->input + client->input_size, READ_SIZE, MSG_DONTWAIT);
	if (received > 0)
		client->input_size += (size_t)received;
	else if (received == 0)
		client->input_ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		client->dead = true;
}

static bool client_has_line(const struct control_client *client)
{
	return client->input_scanned < client->input_size;
}

static void client_update_watch(struct control_client *client)
{
	uint32_t events = 0;

	if (!client->input_ended && client->output_size <= CONTROL_OUTPUT_STOP)
		events |= EPOLLIN;
	if (client->output_size)
		events |= EPOLLOUT;
	loop_watch_change(client->control->loop, &client->watch, events);
}

static void client_turn(void *opaque)
{
	struct control_client *client = opaque;

	client_write(client);
	client_tell_streams(client);
	if (!client->dead && client_has_line(client) && client->output_size <= CONTROL_OUTPUT_STOP)
		client_handle_input(client);
	if (client->input_ended && !client->output_size && !client->streams && !client->wants_stop &&
	    !client_has_line(client))
		client->dead = true;
	if (client->dead)
		client_free(client);
	else
		client_update_watch(client);
}

static void client_ready(void *opaque, uint32_t events)
{
	struct control_client *client = opaque;

	if (events & EPOLLIN) {
		client_read(client);
		client_handle_input(client);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		client->dead = true;
	}
	loop_task_queue(client->control->loop, &client->task);
}

int control_add_client(struct control *control, int fd)
{
	struct control_client *client = calloc(1, sizeof(*client));
	int result = -ENOMEM;

	if (client) {
		client->control = control;
		client->fd = fd;
		client->stop_id = -1;
		client->task = (struct loop_task){.function = client_turn, .opaque = client};
		client->watch = (struct loop_watch){.fd = fd, .ready = client_ready, .opaque = client};
		client->input = malloc(READ_SIZE);
		client->input_capacity = READ_SIZE;
		result = client->input ? loop_watch_add(control->loop, &client->watch, EPOLLIN) : -ENOMEM;
	}
	if (result < 0) {
		if (client)
			free(client->input);
		free(client);
		close(fd);
		return result;
	}
	client->next = control->clients;
	control->clients = client;
	control->client_count++;
	return 0;
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void accept_client(void *opaque, uint32_t events)
{
	static const char full[] = "{\"error\":{\"code\":\"too-many\",\"message\":\"too many connections\"}}\n";
	struct control *control = opaque;
	int fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		/* Out of descriptors or memory: the client stays in the queue, so wait instead of spinning. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			loop_watch_remove(control->loop, &control->listener);
			loop_timer_set(control->loop, &control->accept_again, loop_now() + ACCEPT_RETRY_NANOSECONDS);
		}
		return;
	}
	if (!is_allowed(fd)) {
		close(fd);
	} else if (control->client_count >= CONTROL_CLIENTS_MAX) {
		send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
	} else {
		control_add_client(control, fd);
	}
}

static void accept_again(void *opaque)
{
	struct control *control = opaque;

	loop_watch_add(control->loop, &control->listener, EPOLLIN);
}

/* What the lab says goes to all streams; one that ends itself meanwhile is why the next is taken first. */
#define FOR_EACH_STREAM(control, stream, next) \
	for (struct control_client *client_ = (control)->clients; client_; client_ = client_->next) \
		for (struct control_stream *stream = client_->streams, *next; stream && (next = stream->next, true); \
		     stream = next)

static void lab_changed(void *opaque, struct node *node)
{
	FOR_EACH_STREAM((struct control *)opaque, stream, next)
		if (stream->ops->changed)
			stream->ops->changed(stream, node);
}

static void lab_removed(void *opaque, struct node *node)
{
	FOR_EACH_STREAM((struct control *)opaque, stream, next)
		if (stream->ops->removed)
			stream->ops->removed(stream, node);
}

static void lab_logged(void *opaque, struct node *node, const char *text, size_t size)
{
	(void)text;
	(void)size;
	FOR_EACH_STREAM((struct control *)opaque, stream, next)
		if (stream->ops->logged)
			stream->ops->logged(stream, node);
}

static void lab_console(void *opaque, struct node *node, const uint8_t *data, size_t size)
{
	FOR_EACH_STREAM((struct control *)opaque, stream, next)
		if (stream->ops->console)
			stream->ops->console(stream, node, data, size);
}

struct control *control_create(struct loop *loop, struct lab *lab, const struct control_options *options,
			       struct error *error)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	control->loop = loop;
	control->lab = lab;
	control->options = *options;
	control->listener.fd = -1;
	control->accept_again = (struct loop_timer){.function = accept_again, .opaque = control};
	control->lab_listener = (struct lab_listener){
		.changed = lab_changed,
		.removed = lab_removed,
		.logged = lab_logged,
		.console = lab_console,
		.opaque = control,
	};
	lab_listen(lab, &control->lab_listener);
	return control;
}

int control_listen(struct control *control, int listener)
{
	control->listener = (struct loop_watch){.fd = listener, .ready = accept_client, .opaque = control};
	return loop_watch_add(control->loop, &control->listener, EPOLLIN);
}

void control_stopped(struct control *control)
{
	for (struct control_client *client = control->clients; client; client = client->next) {
		for (struct control_stream *stream = client->streams, *next; stream; stream = next) {
			next = stream->next;
			control_stream_fail(stream, "stopping", "the lab has been taken down");
		}
		if (client->wants_stop)
			control_send_result(client, client->stop_id, json_object());
		client->wants_stop = false;
	}
}

/* Waits a little for the client to read the end of what it was told. */
static void client_flush(struct control_client *client, uint64_t deadline)
{
	for (;;) {
		struct pollfd poll_fd = {.fd = client->fd, .events = POLLOUT};
		uint64_t now = loop_now();

		client_write(client);
		if (client->dead || !client->output_size || now >= deadline)
			return;
		poll(&poll_fd, 1, (int)((deadline - now) / 1000000) + 1);
	}
}

void control_destroy(struct control *control)
{
	uint64_t deadline = loop_now() + FINAL_FLUSH_MILLISECONDS * 1000000ull;

	if (!control)
		return;
	lab_unlisten(control->lab, &control->lab_listener);
	loop_timer_cancel(control->loop, &control->accept_again);
	loop_watch_remove(control->loop, &control->listener);
	if (control->listener.fd >= 0)
		close(control->listener.fd);
	for (struct control_client *client = control->clients, *next; client; client = next) {
		next = client->next;
		client_flush(client, deadline);
		client_release(client);
	}
	free(control);
}
