/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from and to the bytes of the port.
 *
 * Two buffers of fixed size.  A message is handed out as a pointer into the input buffer, valid until the next
 * call of read_stream().  Output is gathered, and written with as few system calls as the port takes. */
#include "agent.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void reset_stream(struct stream *stream, int fd)
{
	stream->fd = fd;
	stream->lost = false;
	stream->input_start = stream->input_end = 0;
	stream->output_start = stream->output_end = 0;
}

/* Reads until the port has no more or the buffer is full; the virtio driver gives at most a page a call. */
void read_stream(struct stream *stream)
{
	const ssize_t page = 4096;
	ssize_t got;

	memmove(stream->input, stream->input + stream->input_start, stream->input_end - stream->input_start);
	stream->input_end -= stream->input_start;
	stream->input_start = 0;
	do {
		size_t room = sizeof(stream->input) - stream->input_end;

		if (!room)
			return;
		got = read(stream->fd, stream->input + stream->input_end, room);
		if (got > 0)
			stream->input_end += (size_t)got;
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			stream->lost = true;
	} while (got >= page);
}

void flush_stream(struct stream *stream)
{
	while (stream->output_start < stream->output_end) {
		ssize_t put = write(stream->fd, stream->output + stream->output_start,
				    stream->output_end - stream->output_start);

		if (put < 0 && errno != EAGAIN && errno != EINTR)
			stream->lost = true;
		if (put <= 0)
			return;
		stream->output_start += (size_t)put;
	}
	stream->output_start = stream->output_end = 0;
}

/* Gives the next whole message, if there is one; marks the stream lost if it cannot be one. */
bool next_message(struct stream *stream, struct agent_header *header, const uint8_t **payload)
{
	size_t have = stream->input_end - stream->input_start;

	if (stream->lost || have < sizeof(*header))
		return false;
	memcpy(header, stream->input + stream->input_start, sizeof(*header));
	if (header->length > AGENT_MESSAGE_MAX) {
		stream->lost = true;
		return false;
	}
	if (have - sizeof(*header) < header->length)
		return false;
	*payload = stream->input + stream->input_start + sizeof(*header);
	stream->input_start += sizeof(*header) + header->length;
	return true;
}

/* Bytes of payload the next message may have. */
size_t get_output_room(const struct stream *stream)
{
	size_t used = stream->output_end - stream->output_start + sizeof(struct agent_header);

	return used < sizeof(stream->output) ? sizeof(stream->output) - used : 0;
}

/* Gives the place where up to 'length' bytes of payload go; the caller has seen that there is room. */
uint8_t *begin_message(struct stream *stream, size_t length)
{
	if (stream->output_end + sizeof(struct agent_header) + length > sizeof(stream->output)) {
		memmove(stream->output, stream->output + stream->output_start,
			stream->output_end - stream->output_start);
		stream->output_end -= stream->output_start;
		stream->output_start = 0;
	}
	return stream->output + stream->output_end + sizeof(struct agent_header);
}

void commit_message(struct stream *stream, uint32_t channel, uint16_t type, size_t length)
{
	struct agent_header header = {.length = (uint32_t)length, .channel = channel, .type = type};

	memcpy(stream->output + stream->output_end, &header, sizeof(header));
	stream->output_end += sizeof(header) + length;
}

void put_message(struct stream *stream, uint32_t channel, uint16_t type, const void *payload, size_t length)
{
	if (get_output_room(stream) < length) {
		stream->lost = true; /* Cannot happen while callers keep to OUTPUT_RESERVE. */
		return;
	}
	if (length)
		memcpy(begin_message(stream, length), payload, length);
	else
		begin_message(stream, 0);
	commit_message(stream, channel, type, length);
}
