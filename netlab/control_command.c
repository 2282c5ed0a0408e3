/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/base64.h"
#include "netlab/control_internal.h"
#include "netlab/version.h"

/* The commands of the control protocol: the table, those that are answered at once, and what all use to look
 * at a request. */

#define ID_MAX ((json_int_t)1 << 53)
#define PATH_SIZE_MAX 4096

typedef void command_function(const struct control_request *request);

struct command {
	const char *name;
	command_function *function;
	bool is_stream;     /* Begins one, and so needs an id. */
	bool is_for_stream; /* Is for one that is open, and has no answer. */
};

static void fail(const struct control_request *request, const char *message, const char *name)
{
	control_send_error(request->client, request->id, "bad-request", message, name);
}

struct node *control_get_node(const struct control_request *request)
{
	const char *name = json_string_value(json_object_get(request->message, "node"));
	struct node *node;

	if (!name) {
		control_send_error(request->client, request->id, "bad-request", "\"node\" must be a node's name");
		return NULL;
	}
	node = lab_find_node(request->client->control->lab, name);
	if (!node)
		control_send_error(request->client, request->id, "no-such-node",
				   "there is no node \"%.64s\" in lab %s; \"netlab status\" lists them", name,
				   lab_name(request->client->control->lab));
	return node;
}

const char *control_get_path(const struct control_request *request)
{
	const char *path = json_string_value(json_object_get(request->message, "path"));

	if (path && path[0] == '/' && strlen(path) <= PATH_SIZE_MAX)
		return path;
	control_send_error(request->client, request->id, "bad-request",
			   "\"path\" must be an absolute path of at most %d bytes", PATH_SIZE_MAX);
	return NULL;
}

bool control_get_number(const struct control_request *request, const json_t *object, const char *name,
			json_int_t minimum, json_int_t maximum, bool required, json_int_t *to)
{
	const json_t *value = json_object_get(object, name);

	if (!value && !required)
		return true;
	if (json_is_integer(value) && json_integer_value(value) >= minimum && json_integer_value(value) <= maximum) {
		*to = json_integer_value(value);
		return true;
	}
	control_send_error(request->client, request->id, "bad-request", "\"%s\" must be an integer from %lld to %lld",
			   name, (long long)minimum, (long long)maximum);
	return false;
}

static void hello(const struct control_request *request)
{
	control_send_result(request->client, request->id,
			    json_pack("{s:i, s:s, s:s, s:i}", "protocol", CONTROL_PROTOCOL_VERSION, "version",
				      NETLAB_VERSION, "lab", lab_name(request->client->control->lab), "pid",
				      (int)getpid()));
}

static void ping(const struct control_request *request)
{
	control_send_result(request->client, request->id, json_object());
}

static void status(const struct control_request *request)
{
	const json_t *memory = json_object_get(request->message, "memory");

	if (memory && !json_is_boolean(memory))
		fail(request, "\"%s\" must be true or false", "memory");
	else
		control_send_result(request->client, request->id,
				    lab_status(request->client->control->lab, json_is_true(memory)));
}

static void restart(const struct control_request *request)
{
	struct node *node = control_get_node(request);
	struct error error = {0};

	if (!node)
		return;
	if (node_restart(node, &error) < 0)
		control_send_error(request->client, request->id, "failed", "cannot restart %s: %s", node_name(node),
				   error.text);
	else
		control_send_result(request->client, request->id, json_object());
}

static void forward(const struct control_request *request, int (*function)(struct lab *, const char *, struct error *))
{
	const char *text = json_string_value(json_object_get(request->message, "forward"));
	struct error error = {0};

	if (!text)
		fail(request, "\"%s\" must be text such as tcp:127.0.0.1:2222:r1:22", "forward");
	else if (function(request->client->control->lab, text, &error) < 0)
		control_send_error(request->client, request->id, "failed", "%s", error.text);
	else
		control_send_result(request->client, request->id, json_object());
}

static void add_forward(const struct control_request *request)
{
	forward(request, lab_add_forward);
}

static void remove_forward(const struct control_request *request)
{
	forward(request, lab_remove_forward);
}

/* The network a request names, if it names one.  Returns false after answering that it is no name. */
static bool get_optional_network(const struct control_request *request, const char **network)
{
	const json_t *value = json_object_get(request->message, "network");

	*network = json_string_value(value);
	if (value && !*network)
		fail(request, "\"%s\" must be a network's name", "network");
	return !value || *network;
}

static void show_switch(const struct control_request *request)
{
	struct error error = {0};
	const char *network;
	json_t *result;

	if (!get_optional_network(request, &network))
		return;
	result = lab_switch(request->client->control->lab, network, &error);
	if (result)
		control_send_result(request->client, request->id, result);
	else
		control_send_error(request->client, request->id, "failed", "%s", error.text);
}

static void flush(const struct control_request *request)
{
	struct error error = {0};
	const char *network;
	ssize_t count;

	if (!get_optional_network(request, &network))
		return;
	count = lab_flush(request->client->control->lab, network, &error);
	if (count < 0)
		control_send_error(request->client, request->id, "failed", "%s", error.text);
	else
		control_send_result(request->client, request->id, json_pack("{s:I}", "flushed", (json_int_t)count));
}

static void down(const struct control_request *request)
{
	struct control *control = request->client->control;

	if (request->client->wants_stop) {
		control_send_error(request->client, request->id, "stopping", "asked for already");
		return;
	}
	request->client->wants_stop = true;
	request->client->stop_id = request->id;
	if (!control->stopping) {
		control->stopping = true;
		control->options.stop(control->options.opaque);
	}
}

/* Requests for an open stream.  What is wrong with one ends the stream. */

static void input(const struct control_request *request)
{
	struct control_stream *stream = control_stream_find(request->client, request->id);
	const json_t *value = json_object_get(request->message, "data");
	size_t length = json_string_length(value);
	uint8_t *data;
	ssize_t size;

	if (!json_is_string(value)) {
		control_stream_fail(stream, "bad-request", "\"data\" must be base64");
		return;
	}
	if (!stream->ops->input) {
		control_stream_fail(stream, "bad-request", "this stream takes no input");
		return;
	}
	data = malloc(length + 1);
	size = data ? base64_decode(json_string_value(value), length, data) : -1;
	if (size < 0)
		control_stream_fail(stream, "bad-request", "\"data\" must be base64");
	else if ((size_t)size > CONTROL_WINDOW - stream->pending_size)
		control_stream_fail(stream, "window", "more than %u bytes of input are waiting", CONTROL_WINDOW);
	else if (size > 0)
		stream->ops->input(stream, data, (size_t)size);
	free(data);
}

static void end_input(const struct control_request *request)
{
	struct control_stream *stream = control_stream_find(request->client, request->id);

	if (stream->ops->end_input)
		stream->ops->end_input(stream);
	else
		control_stream_fail(stream, "bad-request", "this stream has no end of input");
}

/* Reads a number of a request for a stream; ends the stream if it is not as wanted. */
static bool stream_number(struct control_stream *stream, const struct control_request *request, const char *name,
			  json_int_t maximum, json_int_t *to)
{
	const json_t *value = json_object_get(request->message, name);

	*to = json_integer_value(value);
	if (*to >= 1 && *to <= maximum)
		return true;
	control_stream_fail(stream, "bad-request", "\"%s\" must be an integer from 1 to %lld", name,
			    (long long)maximum);
	return false;
}

static void send_signal(const struct control_request *request)
{
	struct control_stream *stream = control_stream_find(request->client, request->id);
	json_int_t number;

	if (!stream->ops->signal)
		control_stream_fail(stream, "bad-request", "this stream takes no signals");
	else if (stream_number(stream, request, "signal", 64, &number))
		stream->ops->signal(stream, (int)number);
}

static void resize(const struct control_request *request)
{
	struct control_stream *stream = control_stream_find(request->client, request->id);
	json_int_t rows, columns;

	if (!stream->ops->resize)
		control_stream_fail(stream, "bad-request", "this stream has no terminal");
	else if (stream_number(stream, request, "rows", UINT16_MAX, &rows) &&
		 stream_number(stream, request, "columns", UINT16_MAX, &columns))
		stream->ops->resize(stream, (uint16_t)rows, (uint16_t)columns);
}

static void cancel(const struct control_request *request)
{
	control_stream_finish(control_stream_find(request->client, request->id), json_pack("{s:b}", "cancelled", 1));
}

static const struct command commands[] = {
	{.name = "hello", .function = hello},
	{.name = "ping", .function = ping},
	{.name = "status", .function = status},
	{.name = "restart", .function = restart},
	{.name = "add-forward", .function = add_forward},
	{.name = "remove-forward", .function = remove_forward},
	{.name = "switch", .function = show_switch},
	{.name = "flush", .function = flush},
	{.name = "link", .function = control_link},
	{.name = "tc", .function = control_tc},
	{.name = "resume", .function = control_resume},
	{.name = "plan", .function = control_plan},
	{.name = "converge", .function = control_converge, .is_stream = true},
	{.name = "tests", .function = control_tests},
	{.name = "capture", .function = control_capture},
	{.name = "down", .function = down},
	{.name = "flap", .function = control_flap, .is_stream = true},
	{.name = "pause", .function = control_pause, .is_stream = true},
	{.name = "save", .function = control_save, .is_stream = true},
	{.name = "restore", .function = control_restore, .is_stream = true},
	{.name = "capture-position", .function = control_capture_position, .is_stream = true},
	{.name = "events", .function = control_events, .is_stream = true},
	{.name = "exec", .function = control_exec, .is_stream = true},
	{.name = "read-file", .function = control_read_file, .is_stream = true},
	{.name = "write-file", .function = control_write_file, .is_stream = true},
	{.name = "console", .function = control_console, .is_stream = true},
	{.name = "logs", .function = control_logs, .is_stream = true},
	{.name = "input", .function = input, .is_for_stream = true},
	{.name = "end-input", .function = end_input, .is_for_stream = true},
	{.name = "signal", .function = send_signal, .is_for_stream = true},
	{.name = "resize", .function = resize, .is_for_stream = true},
	{.name = "cancel", .function = cancel, .is_for_stream = true},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static bool may_begin_stream(const struct control_request *request)
{
	struct control_client *client = request->client;

	if (request->id < 0)
		fail(request, "a stream needs an \"%s\"", "id");
	else if (control_stream_find(client, request->id))
		/* Without the id, which would say that the open stream has ended. */
		control_send_error(client, -1, "id-in-use", "a stream with id %lld is open", (long long)request->id);
	else if (client->stream_count >= CONTROL_STREAMS_MAX)
		control_send_error(client, request->id, "too-many", "a connection may have %d streams at once",
				   CONTROL_STREAMS_MAX);
	else if (client->control->stopping)
		control_send_error(client, request->id, "stopping", "the lab is being taken down");
	else
		return true;
	return false;
}

static void handle(struct control_client *client, const json_t *message)
{
	struct control_request request = {.client = client, .id = -1, .message = message};
	const json_t *id = json_object_get(message, "id");
	const char *name = json_string_value(json_object_get(message, "command"));
	const struct command *command;

	if (id && (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= ID_MAX)) {
		fail(&request, "\"%s\" must be an integer from 0 to 2^53-1", "id");
		return;
	}
	if (id)
		request.id = json_integer_value(id);
	if (!name) {
		fail(&request, "\"%s\" must be a string", "command");
		return;
	}
	command = find_command(name);
	if (!command)
		control_send_error(client, request.id, "unknown-command", "there is no command \"%.64s\"", name);
	else if (command->is_for_stream && !control_stream_find(client, request.id))
		return; /* It crossed with the stream's end. */
	else if (!command->is_stream || may_begin_stream(&request))
		command->function(&request);
}

void control_handle_line(struct control_client *client, const char *line, size_t length)
{
	json_error_t error = {.text = "a NUL byte"};
	/* Jansson passes over a NUL between words. */
	json_t *message = memchr(line, '\0', length) ? NULL : json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);

	if (!message)
		control_send_error(client, -1, "malformed", "not JSON, at byte %d: %s", error.position, error.text);
	else if (!json_is_object(message))
		control_send_error(client, -1, "malformed", "not a JSON object");
	else
		handle(client, message);
	json_decref(message);
}
