/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/agent.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"
#include "netlab/agent_protocol.h"

/* Theory of operation
 * -------------------
 * Bytes from the guest are gathered into one message at a time, which is at most AGENT_MESSAGE_MAX long, and handled
 * when whole. Messages to the guest go to a buffer and from there to the transport as fast as that takes them; flow
 * control bounds it, and a guest that takes nothing at all is cut off at AGENT_BACKLOG_MAX.
 *
 * A callback may open, write to and abandon channels.  Channels that have ended are freed when nothing of theirs is on
 * the call stack: an ended channel is unlinked first, then told, then freed. */

#define TAG_AGENT STATE_TAG('a', 'g', 'n', 't')
#define TAG_GREETING STATE_TAG('g', 'r', 'e', 't')
#define TAG_MESSAGE STATE_TAG('a', 'm', 's', 'g')
#define TAG_BACKLOG STATE_TAG('b', 'l', 'o', 'g')
#define TAG_CHANNEL STATE_TAG('c', 'h', 'a', 'n')

/* Far more than there are of commands that a guest has room for; each is looked for among all others. */
#define CHANNELS_RESTORED_MAX 8192u

#define HEADER_SIZE sizeof(struct agent_header)
#define GREETING_SIZE 512

struct agent_channel {
	struct agent *agent;
	struct agent_channel *next;
	uint32_t id;
	const struct agent_channel_ops *ops; /* NULL: abandoned. */
	void *opaque;
	size_t send_window;    /* Bytes of input the guest still allows. */
	size_t receive_window; /* Bytes of output we still allow. */
	size_t owed;           /* Consumed, and not yet returned as credit. */
	bool wants_writable;
	bool input_ended;   /* The guest was told so. */
	bool mode_may_come; /* Once for a file that is read, before any of it. */
};

struct agent {
	struct agent_transport transport;
	bool open;      /* The guest's side of the port. */
	bool connected; /* It has greeted. */
	bool broken;    /* It broke the rules: nothing is heard until it opens the port anew. */
	char greeting[GREETING_SIZE];
	struct agent_channel *channels;
	uint32_t next_id;
	uint8_t message[HEADER_SIZE + AGENT_MESSAGE_MAX];
	size_t filled;
	uint8_t *backlog;
	size_t backlog_start, backlog_size, backlog_room; /* Bytes wait from 'start' on. */
};

struct agent *agent_create(const struct agent_transport *transport)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (agent) {
		agent->transport = *transport;
		agent->next_id = 1;
	}
	return agent;
}

static void end_channel(struct agent_channel *channel, int status, int signal)
{
	for (struct agent_channel **at = &channel->agent->channels; *at; at = &(*at)->next) {
		if (*at == channel) {
			*at = channel->next;
			break;
		}
	}
	if (channel->ops)
		channel->ops->ended(channel->opaque, status, signal);
	free(channel);
}

static void disconnect(struct agent *agent, const char *reason)
{
	bool was_connected = agent->connected;

	agent->connected = false;
	agent->filled = 0;
	agent->backlog_start = agent->backlog_size = 0;
	while (agent->channels)
		end_channel(agent->channels, AGENT_LOST, 0);
	if (was_connected || reason[0])
		agent->transport.lost(agent->transport.opaque, reason);
}

static void break_off(struct agent *agent, const char *reason)
{
	agent->broken = true;
	disconnect(agent, reason);
}

void agent_destroy(struct agent *agent)
{
	if (!agent)
		return;
	agent->connected = false;
	while (agent->channels)
		end_channel(agent->channels, AGENT_LOST, 0);
	free(agent->backlog);
	free(agent);
}

void agent_opened(struct agent *agent, bool open)
{
	agent->open = open;
	agent->broken = false;
	disconnect(agent, "");
}

void agent_resume(struct agent *agent)
{
	while (agent->backlog_size > 0) {
		size_t sent = agent->transport.send(agent->transport.opaque, agent->backlog + agent->backlog_start,
						    agent->backlog_size);

		if (sent == 0)
			return;
		agent->backlog_start += sent;
		agent->backlog_size -= sent;
	}
	agent->backlog_start = 0;
}

static bool make_room(struct agent *agent, size_t size)
{
	size_t room = agent->backlog_room ? agent->backlog_room : 65536;
	uint8_t *grown;

	if (agent->backlog && agent->backlog_start + agent->backlog_size + size <= agent->backlog_room)
		return true;
	if (agent->backlog && agent->backlog_start > 0)
		memmove(agent->backlog, agent->backlog + agent->backlog_start, agent->backlog_size);
	agent->backlog_start = 0;
	while (room < agent->backlog_size + size)
		room *= 2;
	if (room > AGENT_BACKLOG_MAX)
		return false;
	grown = realloc(agent->backlog, room);
	if (!grown)
		return false;
	agent->backlog = grown;
	agent->backlog_room = room;
	return true;
}

static void append(struct agent *agent, const void *data, size_t size)
{
	if (size == 0 || !agent->backlog)
		return;
	memcpy(agent->backlog + agent->backlog_start + agent->backlog_size, data, size);
	agent->backlog_size += size;
}

static void send_message(struct agent *agent, uint32_t channel, uint16_t type, const void *payload, size_t size)
{
	struct agent_header header = {.length = htole32((uint32_t)size),
				      .channel = htole32(channel),
				      .type = htole16(type)};

	if (agent->broken)
		return; /* A message that was lost must not be followed by later ones. */
	if (!agent->backlog && !make_room(agent, 1))
		return;
	if (!make_room(agent, sizeof(header) + size)) {
		agent->broken =
			true; /* Ends with the next byte it sends; who called must not lose its channel under it. */
		return;
	}
	append(agent, &header, sizeof(header));
	append(agent, payload, size);
	agent_resume(agent);
}

static struct agent_channel *find_channel(struct agent *agent, uint32_t id)
{
	struct agent_channel *channel = agent->channels;

	while (channel && channel->id != id)
		channel = channel->next;
	return channel;
}

/* One that no open channel has, when they have all been used once. */
static uint32_t new_id(struct agent *agent)
{
	while (agent->next_id == 0 || find_channel(agent, agent->next_id))
		agent->next_id++;
	return agent->next_id++;
}

static struct agent_channel *open_channel(struct agent *agent, uint16_t type, const void *payload, size_t size,
					  const struct agent_channel_ops *ops, void *opaque)
{
	struct agent_channel *channel;

	if (!agent->connected || agent->broken || size > AGENT_MESSAGE_MAX)
		return NULL;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return NULL;
	channel->agent = agent;
	channel->id = new_id(agent);
	channel->ops = ops;
	channel->opaque = opaque;
	channel->send_window = channel->receive_window = AGENT_WINDOW;
	channel->next = agent->channels;
	agent->channels = channel;
	send_message(agent, channel->id, type, payload, size);
	return channel;
}

/* A payload being put together; too much of it makes 'size' larger than the buffer, which open_channel() refuses. */
struct payload {
	uint8_t bytes[AGENT_MESSAGE_MAX];
	size_t size;
};

static void payload_put(struct payload *payload, const void *data, size_t size)
{
	if (payload->size + size <= sizeof(payload->bytes))
		memcpy(payload->bytes + payload->size, data, size);
	payload->size += size;
}

static void payload_put_16(struct payload *payload, uint16_t value)
{
	value = htole16(value);
	payload_put(payload, &value, sizeof(value));
}

static void payload_put_32(struct payload *payload, uint32_t value)
{
	value = htole32(value);
	payload_put(payload, &value, sizeof(value));
}

static void payload_put_strings(struct payload *payload, const char *const *strings)
{
	for (; strings && *strings; strings++)
		payload_put(payload, *strings, strlen(*strings) + 1);
}

static uint32_t count_strings(const char *const *strings)
{
	uint32_t count = 0;

	while (strings[count])
		count++;
	return count;
}

struct agent_channel *agent_exec(struct agent *agent, const char *const *argv, const char *const *environment,
				 const struct agent_terminal *terminal, const struct agent_channel_ops *ops,
				 void *opaque)
{
	struct payload payload = {.size = 0};

	payload_put_32(&payload, terminal ? AGENT_EXEC_TERMINAL : 0);
	payload_put_16(&payload, terminal ? terminal->rows : 0);
	payload_put_16(&payload, terminal ? terminal->columns : 0);
	payload_put_32(&payload, count_strings(argv));
	payload_put_strings(&payload, argv);
	payload_put_strings(&payload, environment);
	return open_channel(agent, AGENT_EXEC, payload.bytes, payload.size, ops, opaque);
}

struct agent_channel *agent_read_file(struct agent *agent, const char *path, const struct agent_channel_ops *ops,
				      void *opaque)
{
	struct agent_channel *channel = open_channel(agent, AGENT_READ_FILE, path, strlen(path) + 1, ops, opaque);

	if (channel)
		channel->mode_may_come = true;
	return channel;
}

struct agent_channel *agent_write_file(struct agent *agent, const char *path, unsigned int mode,
				       const struct agent_channel_ops *ops, void *opaque)
{
	struct payload payload = {.size = 0};

	payload_put_32(&payload, mode);
	payload_put(&payload, path, strlen(path) + 1);
	return open_channel(agent, AGENT_WRITE_FILE, payload.bytes, payload.size, ops, opaque);
}

struct agent_channel *agent_configure(struct agent *agent, const char *lines, const struct agent_channel_ops *ops,
				      void *opaque)
{
	return open_channel(agent, AGENT_CONFIGURE, lines, strlen(lines), ops, opaque);
}

size_t agent_channel_write(struct agent_channel *channel, const uint8_t *data, size_t size)
{
	size_t taken = 0;

	while (taken < size && channel->send_window > 0 && !channel->input_ended) {
		size_t part = size - taken;

		if (part > channel->send_window)
			part = channel->send_window;
		if (part > AGENT_MESSAGE_MAX)
			part = AGENT_MESSAGE_MAX;
		send_message(channel->agent, channel->id, AGENT_STDIN, data + taken, part);
		channel->send_window -= part;
		taken += part;
	}
	channel->wants_writable = taken < size;
	return taken;
}

void agent_channel_end_input(struct agent_channel *channel)
{
	if (channel->input_ended)
		return;
	channel->input_ended = true;
	send_message(channel->agent, channel->id, AGENT_STDIN_END, NULL, 0);
}

void agent_channel_consumed(struct agent_channel *channel, size_t size)
{
	uint32_t credit;

	channel->owed += size;
	/* Small credits are gathered: one message for a quarter of the window. */
	if (channel->owed < AGENT_WINDOW / 4)
		return;
	channel->receive_window += channel->owed;
	credit = htole32((uint32_t)channel->owed);
	channel->owed = 0;
	send_message(channel->agent, channel->id, AGENT_CREDIT, &credit, sizeof(credit));
}

void agent_channel_signal(struct agent_channel *channel, int signal_number)
{
	uint32_t number = htole32((uint32_t)signal_number);

	send_message(channel->agent, channel->id, AGENT_SIGNAL, &number, sizeof(number));
}

void agent_channel_resize(struct agent_channel *channel, uint16_t rows, uint16_t columns)
{
	uint16_t size[2] = {htole16(rows), htole16(columns)};

	send_message(channel->agent, channel->id, AGENT_RESIZE, size, sizeof(size));
}

void agent_channel_abandon(struct agent_channel *channel)
{
	const int hangup = 1; /* SIGHUP is 1 on every Linux. */

	channel->ops = NULL;
	agent_channel_signal(channel, hangup);
	agent_channel_end_input(channel);
}

static void greet(struct agent *agent, const uint8_t *payload, size_t size)
{
	/* One that starts anew opens the port anew.  Greetings alone would have the node set up at each of them. */
	if (agent->connected) {
		break_off(agent, "the guest's agent greets twice");
		return;
	}
	if (size >= sizeof(agent->greeting))
		size = sizeof(agent->greeting) - 1;
	memcpy(agent->greeting, payload, size);
	agent->greeting[size] = '\0';
	if (agent_greeting_value(agent, "version") != (double)AGENT_PROTOCOL_VERSION) {
		break_off(agent, "the guest's agent speaks another version of the protocol; build the image anew");
		return;
	}
	agent->connected = true;
	agent->transport.greeted(agent->transport.opaque);
}

const char *agent_greeting(const struct agent *agent)
{
	return agent->greeting;
}

void agent_greet(struct agent *agent, const char *greeting)
{
	agent_opened(agent, true);
	greet(agent, (const uint8_t *)greeting, strlen(greeting));
}

bool agent_is_connected(const struct agent *agent)
{
	return agent->connected && !agent->broken;
}

double agent_greeting_value(const struct agent *agent, const char *key)
{
	size_t length = strlen(key);
	const char *line = agent->greeting;

	while (line && *line) {
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return strtod(line + length + 1, NULL);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return 0;
}

/* Returns false when there is none: no window would bound how often its receiver is called. */
static bool take_output(struct agent_channel *channel, bool is_error, const uint8_t *payload, size_t size)
{
	if (size == 0)
		return false;
	if (size > channel->receive_window) {
		break_off(channel->agent, "the guest's agent sends more than was allowed");
		return true;
	}
	channel->receive_window -= size;
	channel->mode_may_come = false;
	if (channel->ops)
		channel->ops->output(channel->opaque, is_error, payload, size);
	else
		agent_channel_consumed(channel, size);
	return true;
}

static bool take_file_mode(struct agent_channel *channel, unsigned int mode)
{
	if (!channel->mode_may_come)
		return false;
	channel->mode_may_come = false;
	if (channel->ops && channel->ops->file_mode)
		channel->ops->file_mode(channel->opaque, mode & 07777);
	return true;
}

static void take_credit(struct agent_channel *channel, uint32_t credit)
{
	if (credit > AGENT_WINDOW - channel->send_window) {
		break_off(channel->agent, "the guest's agent allows more than the window");
		return;
	}
	channel->send_window += credit;
	if (channel->ops && channel->ops->writable && channel->wants_writable) {
		channel->wants_writable = false;
		channel->ops->writable(channel->opaque);
	}
}

static uint32_t get_32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

/* A message on a channel that is open.  Returns false when it breaks the rules. */
static bool handle_channel(struct agent_channel *channel, uint16_t type, const uint8_t *payload, size_t size)
{
	switch (type) {
	case AGENT_STDOUT:
	case AGENT_STDERR:
		return take_output(channel, type == AGENT_STDERR, payload, size);
	case AGENT_CREDIT:
		if (size != 4)
			return false;
		take_credit(channel, get_32(payload));
		return true;
	case AGENT_FILE_MODE:
		return size == 4 && take_file_mode(channel, get_32(payload));
	case AGENT_EXIT:
		if (size != 8)
			return false;
		end_channel(channel, (int)(get_32(payload) & 0xff), (int)(get_32(payload + 4) & 0x7f));
		return true;
	default:
		return false;
	}
}

static void handle_message(struct agent *agent)
{
	struct agent_header header;
	const uint8_t *payload = agent->message + HEADER_SIZE;
	struct agent_channel *channel;

	memcpy(&header, agent->message, HEADER_SIZE);
	header.length = le32toh(header.length);
	header.channel = le32toh(header.channel);
	header.type = le16toh(header.type);
	agent->filled = 0; /* A callback may get more bytes handed in only after this returns. */
	if (header.type == AGENT_HELLO) {
		greet(agent, payload, header.length);
		return;
	}
	channel = agent->connected ? find_channel(agent, header.channel) : NULL;
	if (!channel || !handle_channel(channel, header.type, payload, header.length))
		break_off(agent, "the guest's agent breaks the protocol");
}

/* Takes bytes towards one message.  Returns how many. */
static size_t gather(struct agent *agent, const uint8_t *data, size_t size)
{
	size_t wanted = HEADER_SIZE, part;

	if (agent->filled >= HEADER_SIZE)
		wanted += get_32(agent->message); /* The length comes first, and was checked. */
	part = wanted - agent->filled < size ? wanted - agent->filled : size;
	memcpy(agent->message + agent->filled, data, part);
	agent->filled += part;
	return part;
}

static bool is_whole(const struct agent *agent)
{
	return agent->filled >= HEADER_SIZE && agent->filled == HEADER_SIZE + get_32(agent->message);
}

void agent_receive(struct agent *agent, const uint8_t *data, size_t size)
{
	while (size > 0 && agent->open && !agent->broken) {
		size_t part = gather(agent, data, size);

		data += part;
		size -= part;
		if (agent->filled == HEADER_SIZE && get_32(agent->message) > AGENT_MESSAGE_MAX)
			break_off(agent, "the guest's agent sends a message that is too long");
		else if (is_whole(agent))
			handle_message(agent);
	}
	if (agent->broken && agent->connected)
		disconnect(agent, "the guest's agent does not take what it is sent");
}

/* Saving. */

struct agent_state {
	uint32_t next_id, channel_count;
	uint8_t open, connected, broken;
	uint8_t reserved[5];
};

struct channel_state {
	uint32_t id, send_window, receive_window;
	uint8_t input_ended, mode_may_come;
	uint8_t reserved[2];
};

void agent_save(const struct agent *agent, struct state *state)
{
	struct agent_state saved = {.next_id = agent->next_id,
				    .open = agent->open,
				    .connected = agent->connected,
				    .broken = agent->broken};

	for (const struct agent_channel *channel = agent->channels; channel; channel = channel->next)
		saved.channel_count++;
	state_put(state, TAG_AGENT, &saved, sizeof(saved));
	state_put(state, TAG_GREETING, agent->greeting, strlen(agent->greeting));
	state_put(state, TAG_MESSAGE, agent->message, agent->filled);
	state_put(state, TAG_BACKLOG, agent->backlog ? agent->backlog + agent->backlog_start : NULL,
		  agent->backlog_size);
	for (const struct agent_channel *channel = agent->channels; channel; channel = channel->next) {
		const struct channel_state entry = {.id = channel->id,
						    .send_window = (uint32_t)channel->send_window,
						    .receive_window = (uint32_t)channel->receive_window,
						    .input_ended = channel->input_ended,
						    .mode_may_come = channel->mode_may_come};

		state_put(state, TAG_CHANNEL, &entry, sizeof(entry));
	}
}

/* A channel that nobody holds: what its owner had not taken yet is given back as credit. */
static bool restore_channel(struct agent *agent, struct state *state)
{
	struct agent_channel *channel;
	struct channel_state saved;

	if (!state_get(state, TAG_CHANNEL, &saved, sizeof(saved)) || saved.id == 0 ||
	    saved.send_window > AGENT_WINDOW || saved.receive_window > AGENT_WINDOW || find_channel(agent, saved.id))
		return false;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return false;
	*channel = (struct agent_channel){.agent = agent,
					  .next = agent->channels,
					  .id = saved.id,
					  .send_window = saved.send_window,
					  .receive_window = saved.receive_window,
					  .input_ended = saved.input_ended,
					  .mode_may_come = saved.mode_may_come};
	agent->channels = channel;
	return true;
}

static void restore_backlog(struct agent *agent, struct state *state)
{
	size_t size = state_next_size(state, TAG_BACKLOG);

	if (make_room(agent, size + 1) && state_get(state, TAG_BACKLOG, agent->backlog, size))
		agent->backlog_size = size;
	else
		state->bad = true;
}

static void restore_channels(struct agent *agent, uint32_t count, struct state *state)
{
	if (count > CHANNELS_RESTORED_MAX)
		state->bad = true;
	for (uint32_t i = 0; i < count && !state->bad; i++) {
		if (!restore_channel(agent, state))
			state->bad = true;
	}
	for (struct agent_channel *channel = agent->channels; channel && !state->bad; channel = channel->next)
		agent_channel_consumed(channel, AGENT_WINDOW - channel->receive_window - channel->owed);
}

/* As if it had just been created: half a message may be of a length that cannot be, and nothing is to go on from it. */
static void forget_restored(struct agent *agent)
{
	agent->open = agent->connected = agent->broken = false;
	agent->filled = agent->backlog_size = 0;
	agent->greeting[0] = '\0';
	agent->next_id = 1;
	while (agent->channels)
		end_channel(agent->channels, AGENT_LOST, 0);
}

void agent_restore(struct agent *agent, struct state *state)
{
	struct agent_state saved;
	size_t size;

	state_get(state, TAG_AGENT, &saved, sizeof(saved));
	state_get_up_to(state, TAG_GREETING, agent->greeting, sizeof(agent->greeting) - 1, &size);
	agent->greeting[size] = '\0';
	state_get_up_to(state, TAG_MESSAGE, agent->message, sizeof(agent->message), &agent->filled);
	if (agent->filled >= HEADER_SIZE &&
	    (get_32(agent->message) > AGENT_MESSAGE_MAX || agent->filled >= HEADER_SIZE + get_32(agent->message)))
		state->bad = true;
	restore_backlog(agent, state);
	agent->next_id = saved.next_id;
	agent->open = saved.open == 1;
	agent->connected = saved.connected == 1;
	agent->broken = saved.broken == 1;
	restore_channels(agent, saved.channel_count, state);
	if (state->bad)
		forget_restored(agent);
}
