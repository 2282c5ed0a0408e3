/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_stream.h"

#include <arpa/inet.h>
#include <string.h>

uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room)
{
	*room = sizeof(reader->bytes) - reader->size;
	return reader->bytes + reader->size;
}

bool frame_reader_add(struct frame_reader *reader, size_t count, frame_stream_function *function, void *opaque)
{
	size_t at = 0;

	reader->size += count;
	while (reader->size - at >= FRAME_STREAM_LENGTH_SIZE) {
		uint32_t length;

		memcpy(&length, reader->bytes + at, sizeof(length));
		length = ntohl(length);
		if (length > FRAME_SIZE_MAX)
			return false;
		if (reader->size - at - FRAME_STREAM_LENGTH_SIZE < length)
			break;
		function(opaque, reader->bytes + at + FRAME_STREAM_LENGTH_SIZE, length);
		at += FRAME_STREAM_LENGTH_SIZE + length;
	}
	/* What stays is less than one frame, so there is room for more. */
	reader->size -= at;
	if (at > 0)
		memmove(reader->bytes, reader->bytes + at, reader->size);
	return true;
}

bool frame_writer_add(struct frame_writer *writer, const struct frame *frame)
{
	uint32_t length = htonl((uint32_t)frame->size);
	size_t needed = sizeof(length) + frame->size;

	if (sizeof(writer->bytes) - (writer->end - writer->begin) < needed)
		return false;
	if (sizeof(writer->bytes) - writer->end < needed) {
		memmove(writer->bytes, writer->bytes + writer->begin, writer->end - writer->begin);
		writer->end -= writer->begin;
		writer->begin = 0;
	}
	memcpy(writer->bytes + writer->end, &length, sizeof(length));
	frame_copy(frame, writer->bytes + writer->end + sizeof(length), frame->size);
	writer->end += needed;
	return true;
}

const uint8_t *frame_writer_bytes(const struct frame_writer *writer, size_t *size)
{
	*size = writer->end - writer->begin;
	return writer->bytes + writer->begin;
}

void frame_writer_sent(struct frame_writer *writer, size_t count)
{
	writer->begin += count;
	if (writer->begin == writer->end)
		writer->begin = writer->end = 0;
}
