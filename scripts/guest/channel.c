/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: opening, flow control, moving data between descriptors and messages, ending.
 *
 * Data from the host go straight from the message to the descriptor; only what that does not take at once is
 * kept, at most a window.  Data to the host are read straight into the output buffer, as many as the window
 * and the buffer allow. */
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Credit is given back in parts of this size, to save messages. */
#define CREDIT_PART (AGENT_WINDOW / 4)

/* Least room of a message that is worth a read. */
#define READ_LEAST 512

static struct channel *find_channel(struct agent *agent, uint32_t id)
{
	for (size_t index = 0; index < CHANNELS_MAX; index++)
		if (agent->channels[index].id == id)
			return &agent->channels[index];
	return NULL;
}

static void close_descriptor(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void free_channel(struct channel *channel)
{
	close_descriptor(&channel->input.fd);
	close_descriptor(&channel->output[0].fd);
	close_descriptor(&channel->output[1].fd);
	if (channel->temporary)
		unlink(channel->temporary);
	free(channel->temporary);
	free(channel->path);
	free(channel->input.data);
	memset(channel, 0, sizeof(*channel));
}

/* Ends the channel with a line of text for the host and a status. */
void fail_channel(struct channel *channel, uint32_t status, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	vsnprintf(channel->error, sizeof(channel->error) - 1, format, arguments);
	va_end(arguments);
	length = strlen(channel->error);
	channel->error[length] = '\n';
	channel->error[length + 1] = '\0';
	channel->status = status;
	channel->signal = 0;
	channel->finished = true;
}

static void put_exit(struct stream *stream, uint32_t id, uint32_t status, uint32_t signal)
{
	const uint32_t payload[2] = {status, signal};

	put_message(stream, id, AGENT_EXIT, payload, sizeof(payload));
}

static void put_refusal(struct stream *stream, uint32_t id)
{
	static const char text[] = "the agent has no free channel\n";

	put_message(stream, id, AGENT_STDERR, text, sizeof(text) - 1);
	put_exit(stream, id, 126, 0);
}

static void handle_configure(struct agent *agent, const struct agent_header *header, const uint8_t *payload)
{
	struct errors errors = {.length = 0};

	configure((const char *)payload, header->length, &errors);
	if (errors.length)
		put_message(&agent->stream, header->channel, AGENT_STDERR, errors.text, errors.length);
	put_exit(&agent->stream, header->channel, errors.length ? 1 : 0, 0);
}

/* Opens a channel of the kinds that last; false if the message is malformed. */
static bool open_channel(struct agent *agent, const struct agent_header *header, const uint8_t *payload)
{
	struct channel *channel = find_channel(agent, 0);

	if (!channel) {
		put_refusal(&agent->stream, header->channel);
		return true;
	}
	channel->id = header->channel;
	channel->window = AGENT_WINDOW;
	channel->input.fd = channel->output[0].fd = channel->output[1].fd = -1;
	switch (header->type) {
	case AGENT_EXEC:
		return open_command(channel, payload, header->length);
	case AGENT_READ_FILE:
		return open_reader(agent, channel, payload, header->length);
	default:
		return open_writer(channel, payload, header->length);
	}
}

static bool handle_open(struct agent *agent, const struct agent_header *header, const uint8_t *payload)
{
	if (find_channel(agent, header->channel))
		return false;
	if (header->type == AGENT_CONFIGURE) {
		handle_configure(agent, header, payload);
		return true;
	}
	return open_channel(agent, header, payload);
}

/* Keeps data that the descriptor does not take now. */
static bool keep_input(struct channel_input *input, const uint8_t *data, size_t length)
{
	size_t kept = input->end - input->start;

	if (kept)
		memmove(input->data, input->data + input->start, kept);
	input->start = 0;
	input->end = kept;
	if (kept + length > input->size) {
		size_t size = kept + length < AGENT_WINDOW / 8 ? AGENT_WINDOW / 8 : AGENT_WINDOW + 1;
		uint8_t *larger = realloc(input->data, size);

		if (!larger)
			return false;
		input->data = larger;
		input->size = size;
	}
	memcpy(input->data + kept, data, length);
	input->end += length;
	return true;
}

/* Writes what is possible; what nobody will read is taken and dropped. */
static size_t write_some(struct channel *channel, const uint8_t *data, size_t length)
{
	struct channel_input *input = &channel->input;
	size_t done = 0;

	while (done < length && !input->refused && input->fd >= 0) {
		ssize_t put = write(input->fd, data + done, length - done);

		if (put > 0) {
			done += (size_t)put;
		} else if (put < 0 && errno == EAGAIN) {
			return done;
		} else if (put == 0 || errno != EINTR) {
			input->refused = true;
			if (channel->kind == CHANNEL_WRITER)
				fail_channel(channel, 1, "%s: %s", channel->path, strerror(errno));
		}
	}
	return length;
}

/* All the host sent has been taken, and it will send no more. */
static void end_input(struct channel *channel)
{
	if (channel->kind == CHANNEL_WRITER)
		finish_writer(channel);
	close_descriptor(&channel->input.fd);
}

/* Writes what was kept, when the descriptor can take more. */
void write_channel_input(struct channel *channel)
{
	struct channel_input *input = &channel->input;
	size_t done = write_some(channel, input->data + input->start, input->end - input->start);

	input->start += done;
	input->consumed += (uint32_t)done;
	if (input->start == input->end && input->ended && !channel->finished)
		end_input(channel);
}

static bool handle_input(struct channel *channel, const uint8_t *payload, size_t length)
{
	struct channel_input *input = &channel->input;
	size_t done = 0;

	if (input->end - input->start + input->consumed + length > AGENT_WINDOW || input->ended)
		return false;
	if (channel->finished)
		return true;
	if (input->start == input->end)
		done = write_some(channel, payload, length);
	input->consumed += (uint32_t)done;
	if (done < length && !keep_input(input, payload + done, length - done))
		fail_channel(channel, 1, "out of memory");
	return true;
}

static void handle_input_end(struct channel *channel)
{
	static const uint8_t end_of_file = 4; /* Ctrl-D is how a terminal is told. */
	struct channel_input *input = &channel->input;

	if (input->ended)
		return;
	input->ended = true;
	if (channel->terminal)
		keep_input(input, &end_of_file, 1);
	if (!channel->finished)
		write_channel_input(channel);
}

static bool handle_credit(struct channel *channel, const uint8_t *payload, size_t length)
{
	uint32_t credit;

	if (length != sizeof(credit))
		return false;
	memcpy(&credit, payload, sizeof(credit));
	if (credit > AGENT_WINDOW - channel->window)
		return false;
	channel->window += credit;
	return true;
}

/* A command gets the signal; a copy is given up, and the file that was to be replaced stays. */
static bool handle_signal(struct channel *channel, const uint8_t *payload, size_t length)
{
	uint32_t number;

	if (length != sizeof(number))
		return false;
	memcpy(&number, payload, sizeof(number));
	if (channel->kind == CHANNEL_COMMAND)
		signal_command(channel, number);
	else if (!channel->finished)
		fail_channel(channel, 1, "%.400s: cancelled", channel->path);
	return true;
}

static bool handle_resize(const struct channel *channel, const uint8_t *payload, size_t length)
{
	uint16_t size[2];

	if (length != sizeof(size))
		return false;
	memcpy(size, payload, sizeof(size));
	resize_command(channel, size[0], size[1]);
	return true;
}

static bool handle_on_channel(struct channel *channel, const struct agent_header *header, const uint8_t *payload)
{
	switch (header->type) {
	case AGENT_STDIN:
		return handle_input(channel, payload, header->length);
	case AGENT_STDIN_END:
		if (header->length == 0)
			handle_input_end(channel);
		return header->length == 0;
	case AGENT_CREDIT:
		return handle_credit(channel, payload, header->length);
	case AGENT_SIGNAL:
		return handle_signal(channel, payload, header->length);
	default:
		return handle_resize(channel, payload, header->length);
	}
}

/* Does what the message says; one that breaks the protocol's rules loses the connection. */
void handle_message(struct agent *agent, const struct agent_header *header, const uint8_t *payload)
{
	struct channel *channel;
	bool good = false;

	switch (header->channel ? header->type : 0) {
	case AGENT_CONFIGURE:
	case AGENT_EXEC:
	case AGENT_READ_FILE:
	case AGENT_WRITE_FILE:
		good = handle_open(agent, header, payload);
		break;
	case AGENT_STDIN:
	case AGENT_STDIN_END:
	case AGENT_CREDIT:
	case AGENT_SIGNAL:
	case AGENT_RESIZE:
		channel = find_channel(agent, header->channel);
		good = !channel || handle_on_channel(channel, header, payload);
		break;
	default:
		break;
	}
	if (!good)
		agent->stream.lost = true;
}

static size_t get_data_room(const struct agent *agent, const struct channel *channel)
{
	size_t room = get_output_room(&agent->stream);

	room = room > OUTPUT_RESERVE ? room - OUTPUT_RESERVE : 0;
	if (room > channel->window)
		room = channel->window;
	return room < AGENT_MESSAGE_MAX ? room : AGENT_MESSAGE_MAX;
}

bool can_read_output(const struct agent *agent, const struct channel *channel, unsigned int which)
{
	size_t room = get_data_room(agent, channel);

	return channel->output[which].fd >= 0 && !channel->finished &&
	       (room >= READ_LEAST || (room && room == channel->window));
}

/* Reads a descriptor that has data, or its end, into a message. */
void read_channel_output(struct agent *agent, struct channel *channel, unsigned int which)
{
	struct channel_output *output = &channel->output[which];
	size_t room = get_data_room(agent, channel);
	ssize_t got;

	if (!room)
		return;
	got = read(output->fd, begin_message(&agent->stream, room), room);
	if (got > 0) {
		commit_message(&agent->stream, channel->id, which ? AGENT_STDERR : AGENT_STDOUT, (size_t)got);
		channel->window -= (uint32_t)got;
		output->unread = output->unread > got ? output->unread - (int)got : 0;
		return;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A terminal whose other side is closed says so with EIO. */
	if (got < 0 && channel->kind == CHANNEL_READER)
		fail_channel(channel, 1, "%s: %s", channel->path, strerror(errno));
	close_descriptor(&output->fd);
}

static void give_credit(struct agent *agent, struct channel *channel)
{
	struct channel_input *input = &channel->input;

	if (input->consumed < CREDIT_PART || input->ended)
		return;
	put_message(&agent->stream, channel->id, AGENT_CREDIT, &input->consumed, sizeof(input->consumed));
	input->consumed = 0;
}

static void end_channel(struct agent *agent, struct channel *channel)
{
	size_t length = strlen(channel->error);

	/* The text counts like other output; a host that left no window for it does without. */
	if (length && length <= channel->window)
		put_message(&agent->stream, channel->id, AGENT_STDERR, channel->error, length);
	put_exit(&agent->stream, channel->id, channel->status, channel->signal);
	free_channel(channel);
}

/* Gives credit back, and ends the channel when all is done. */
void advance_channel(struct agent *agent, struct channel *channel)
{
	bool done = channel->finished;

	if (get_output_room(&agent->stream) < sizeof(channel->error) + 4 * sizeof(struct agent_header))
		return;
	if (!done && channel->kind == CHANNEL_COMMAND)
		done = is_command_done(channel, read_clock());
	else if (!done && channel->kind == CHANNEL_READER)
		done = channel->output[0].fd < 0;
	if (done)
		end_channel(agent, channel);
	else
		give_credit(agent, channel);
}

/* The connection is lost, and with it all channels; their commands hang up as at the end of a terminal line. */
void drop_channels(struct agent *agent)
{
	for (size_t index = 0; index < CHANNELS_MAX; index++) {
		struct channel *channel = &agent->channels[index];

		if (!channel->id)
			continue;
		if (channel->kind == CHANNEL_COMMAND)
			signal_command(channel, SIGHUP);
		free_channel(channel);
	}
}
