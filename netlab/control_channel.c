/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "netlab/control_internal.h"

/* Streams that are a channel of a guest's agent: a command, or a file read or written.
 *
 * Output goes to the client as it comes.  Credit for it is returned to the agent at once while the client
 * reads, and owed while it does not: then the agent stops after a window, and the command in the guest waits
 * in write(2). */

#define GUEST_ERROR_MAX 512 /* Bytes of what the guest says of a file it could not read or write. */
#define ARGUMENTS_MAX (AGENT_MESSAGE_MAX - 12u)

struct channel {
	struct control_stream stream;
	const struct node *node;
	struct agent_channel *agent; /* NULL when it has ended. */
	bool is_file;
	bool input_ended; /* The client said so; the agent is told when it has all of the input. */
	size_t owed;      /* Bytes of output we have not given credit for. */
	char guest_error[GUEST_ERROR_MAX];
	size_t guest_error_size;
};

static struct channel *channel_of(struct control_stream *stream)
{
	return (struct channel *)stream;
}

static void send_credit(struct channel *channel, size_t size)
{
	if (size)
		control_stream_event(&channel->stream, "credit", json_pack("{s:I}", "bytes", (json_int_t)size));
}

static void end_input_if_all_sent(struct channel *channel)
{
	if (channel->input_ended && !channel->stream.pending_size)
		agent_channel_end_input(channel->agent);
}

/* What the client asks for. */

static void channel_input(struct control_stream *stream, const uint8_t *data, size_t size)
{
	struct channel *channel = channel_of(stream);
	size_t taken = 0;

	if (channel->input_ended) {
		control_stream_fail(stream, "bad-request", "input after the end of input");
		return;
	}
	if (!stream->pending_size)
		taken = agent_channel_write(channel->agent, data, size);
	if (!control_stream_keep(stream, data + taken, size - taken))
		control_stream_fail(stream, "failed", "netlabd has no memory for the input");
	else
		send_credit(channel, taken);
}

static void channel_end_input(struct control_stream *stream)
{
	struct channel *channel = channel_of(stream);

	if (channel->input_ended)
		return;
	channel->input_ended = true;
	end_input_if_all_sent(channel);
}

static void channel_signal(struct control_stream *stream, int signal_number)
{
	agent_channel_signal(channel_of(stream)->agent, signal_number);
}

static void channel_resize(struct control_stream *stream, uint16_t rows, uint16_t columns)
{
	agent_channel_resize(channel_of(stream)->agent, rows, columns);
}

static void channel_drained(struct control_stream *stream)
{
	struct channel *channel = channel_of(stream);
	size_t owed = channel->owed;

	channel->owed = 0;
	if (owed)
		agent_channel_consumed(channel->agent, owed);
}

static void channel_close(struct control_stream *stream)
{
	struct channel *channel = channel_of(stream);

	if (channel->agent)
		agent_channel_abandon(channel->agent);
}

/* What the agent says. */

static void keep_guest_error(struct channel *channel, const uint8_t *data, size_t size)
{
	size_t room = sizeof(channel->guest_error) - 1 - channel->guest_error_size;

	if (size > room)
		size = room;
	memcpy(channel->guest_error + channel->guest_error_size, data, size);
	channel->guest_error_size += size;
}

static void agent_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct channel *channel = opaque;

	if (channel->is_file && is_error)
		keep_guest_error(channel, data, size);
	else
		control_stream_output(&channel->stream, is_error, data, size);
	if (control_is_full(channel->stream.client))
		channel->owed += size;
	else
		agent_channel_consumed(channel->agent, size);
}

static void agent_writable(void *opaque)
{
	struct channel *channel = opaque;
	struct control_stream *stream = &channel->stream;
	size_t taken;

	if (!stream->pending_size)
		return;
	taken = agent_channel_write(channel->agent, stream->pending, stream->pending_size);
	control_stream_taken(stream, taken);
	send_credit(channel, taken);
	end_input_if_all_sent(channel);
}

static void agent_file_mode(void *opaque, unsigned int mode)
{
	struct channel *channel = opaque;

	control_stream_event(&channel->stream, "mode", json_pack("{s:i}", "mode", (int)(mode & 07777)));
}

/* The guest's words for a user's terminal: one line, nothing that moves a cursor. */
static const char *clean_guest_error(struct channel *channel)
{
	char *text = channel->guest_error;

	while (channel->guest_error_size && text[channel->guest_error_size - 1] == '\n')
		channel->guest_error_size--;
	text[channel->guest_error_size] = '\0';
	for (size_t i = 0; i < channel->guest_error_size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = text[i] == '\n' ? ';' : '?';
	return text[0] ? text : "the guest did not say why";
}

static void agent_ended(void *opaque, int status, int signal_number)
{
	struct channel *channel = opaque;
	struct control_stream *stream = &channel->stream;

	channel->agent = NULL;
	if (status == AGENT_LOST)
		control_stream_fail(stream, "lost",
				    "the guest went away; \"netlab status\" and \"netlab logs\" say why");
	else if (!channel->is_file)
		control_stream_finish(stream, json_pack("{s:i, s:i}", "status", status, "signal", signal_number));
	else if (status != 0)
		control_stream_fail(stream, "guest", "%s: %s", node_name(channel->node), clean_guest_error(channel));
	else
		control_stream_finish(stream, json_object());
}

static const struct agent_channel_ops agent_ops = {
	.output = agent_output,
	.writable = agent_writable,
	.file_mode = agent_file_mode,
	.ended = agent_ended,
};

static const struct control_stream_ops exec_ops = {
	.input = channel_input,
	.end_input = channel_end_input,
	.signal = channel_signal,
	.resize = channel_resize,
	.drained = channel_drained,
	.close = channel_close,
};

static const struct control_stream_ops read_ops = {
	.drained = channel_drained,
	.close = channel_close,
};

static const struct control_stream_ops write_ops = {
	.input = channel_input,
	.end_input = channel_end_input,
	.close = channel_close,
};

/* Returns the agent of the request's node, or NULL after answering why there is none. */
static struct agent *get_agent(const struct control_request *request, struct node *node)
{
	struct agent *agent = node_agent(node);

	if (!agent)
		control_send_error(request->client, request->id, "not-ready",
				   "%s is %s, its agent cannot be reached; \"netlab logs %s\" shows what it is at",
				   node_name(node), node_state_name(node_state(node)), node_name(node));
	return agent;
}

static struct channel *new_channel(const struct control_request *request, const struct node *node, bool is_file)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (!channel) {
		control_send_error(request->client, request->id, "failed", "netlabd is out of memory");
		return NULL;
	}
	channel->node = node;
	channel->is_file = is_file;
	return channel;
}

/* Makes the channel a stream of the client, or answers that the agent could not open it. */
static void begin(const struct control_request *request, struct channel *channel, const struct control_stream_ops *ops)
{
	json_t *members = NULL;

	if (!channel->agent) {
		control_send_error(request->client, request->id, "not-ready", "the node's agent cannot be reached now");
		free(channel);
		return;
	}
	control_stream_add(request->client, &channel->stream, request->id, ops);
	if (ops->input)
		members = json_pack("{s:i}", "window", (int)CONTROL_WINDOW);
	control_stream_event(&channel->stream, "started", members);
}

/* Copies a list of strings, which live as long as the request, into a new array with a NULL at its end.
 * Returns NULL if it is no such list.  Adds the bytes they will need to '*size'. */
static const char **copy_strings(const json_t *list, size_t *size)
{
	size_t count = json_array_size(list);
	const char **strings = list && !json_is_array(list) ? NULL : calloc(count + 1, sizeof(*strings));

	for (size_t i = 0; strings && i < count; i++) {
		const json_t *item = json_array_get(list, i);

		strings[i] = json_string_value(item);
		*size += json_string_length(item) + 1;
		if (!strings[i]) {
			free(strings);
			return NULL;
		}
	}
	return strings;
}

static bool is_environment(const char **strings)
{
	for (; *strings; strings++)
		if ((*strings)[0] == '=' || !strchr(*strings, '='))
			return false;
	return true;
}

static bool get_terminal(const struct control_request *request, struct agent_terminal *terminal, bool *wanted)
{
	const json_t *object = json_object_get(request->message, "terminal");
	json_int_t rows, columns;

	*wanted = object != NULL;
	if (!object)
		return true;
	if (!control_get_number(request, object, "rows", 1, UINT16_MAX, true, &rows) ||
	    !control_get_number(request, object, "columns", 1, UINT16_MAX, true, &columns))
		return false;
	*terminal = (struct agent_terminal){.rows = (uint16_t)rows, .columns = (uint16_t)columns};
	return true;
}

static void exec_strings(const struct control_request *request, struct node *node, const char **argv,
			 const char **environment, size_t size)
{
	struct control_client *client = request->client;
	struct agent_terminal terminal;
	struct channel *channel;
	bool wants_terminal;

	if (!argv || !argv[0] || !argv[0][0])
		control_send_error(client, request->id, "bad-request",
				   "\"argv\" must be a list of strings that begins with a command");
	else if (!environment || !is_environment(environment))
		control_send_error(client, request->id, "bad-request",
				   "\"environment\" must be a list of strings KEY=VALUE");
	else if (size > ARGUMENTS_MAX)
		control_send_error(client, request->id, "too-long",
				   "the command and its arguments are %zu bytes long, at most %u are allowed; "
				   "\"netlab cp\" a script instead",
				   size, ARGUMENTS_MAX);
	else if (get_terminal(request, &terminal, &wants_terminal) && (channel = new_channel(request, node, false))) {
		channel->agent = agent_exec(node_agent(node), (const char *const *)argv,
					    (const char *const *)environment, wants_terminal ? &terminal : NULL,
					    &agent_ops, channel);
		begin(request, channel, &exec_ops);
	}
}

void control_exec(const struct control_request *request)
{
	struct node *node = control_get_node(request);
	const char **argv, **environment;
	size_t size = 0;

	if (!node || !get_agent(request, node))
		return;
	argv = copy_strings(json_object_get(request->message, "argv"), &size);
	environment = copy_strings(json_object_get(request->message, "environment"), &size);
	exec_strings(request, node, argv, environment, size);
	free(argv);
	free(environment);
}

void control_read_file(const struct control_request *request)
{
	struct node *node = control_get_node(request);
	const char *path = node ? control_get_path(request) : NULL;
	struct agent *agent = path ? get_agent(request, node) : NULL;
	struct channel *channel = agent ? new_channel(request, node, true) : NULL;

	if (!channel)
		return;
	channel->agent = agent_read_file(agent, path, &agent_ops, channel);
	begin(request, channel, &read_ops);
}

void control_write_file(const struct control_request *request)
{
	struct node *node = control_get_node(request);
	const char *path = node ? control_get_path(request) : NULL;
	json_int_t mode = 0644;
	struct agent *agent;
	struct channel *channel;

	if (!path || !control_get_number(request, request->message, "mode", 0, 0777, false, &mode))
		return;
	agent = get_agent(request, node);
	channel = agent ? new_channel(request, node, true) : NULL;
	if (!channel)
		return;
	channel->agent = agent_write_file(agent, path, (unsigned int)mode, &agent_ops, channel);
	begin(request, channel, &write_ops);
}
