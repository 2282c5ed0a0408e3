/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in a stream of bytes: cut anywhere, of any length, and more than fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "netlab/frame_stream.h"

#define KEPT 8

struct heard {
	unsigned int count;
	size_t sizes[KEPT];
	uint8_t first[KEPT];
};

static void hear(void *opaque, const uint8_t *frame, size_t size)
{
	struct heard *heard = opaque;

	assert_true(heard->count < KEPT);
	heard->sizes[heard->count] = size;
	heard->first[heard->count++] = size > 0 ? frame[0] : 0;
}

/* Gives the reader 'size' bytes, as many at a time as 'step'. */
static bool feed(struct frame_reader *reader, const uint8_t *bytes, size_t size, size_t step, struct heard *heard)
{
	while (size > 0) {
		size_t room, part = step < size ? step : size;
		uint8_t *to = frame_reader_room(reader, &room);

		assert_true(room > 0);
		part = part < room ? part : room;
		memcpy(to, bytes, part);
		if (!frame_reader_add(reader, part, hear, heard))
			return false;
		bytes += part;
		size -= part;
	}
	return true;
}

static void frames_are_found_however_they_are_cut(void **state)
{
	static const uint8_t bytes[] = {0, 0, 0, 3, 'a', 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 'b', 0, 0, 0, 2, 'c', 3};
	struct frame_reader *reader = calloc(1, sizeof(*reader));

	(void)state;
	assert_non_null(reader);
	for (size_t step = 1; step <= sizeof(bytes); step++) {
		struct heard heard = {.count = 0};

		assert_true(feed(reader, bytes, sizeof(bytes), step, &heard));
		assert_int_equal(heard.count, 4);
		assert_int_equal(heard.sizes[0], 3);
		assert_int_equal(heard.first[0], 'a');
		assert_int_equal(heard.sizes[1], 0);
		assert_int_equal(heard.first[2], 'b');
		assert_int_equal(heard.sizes[3], 2);
		assert_int_equal(reader->size, 0);
	}
	free(reader);
}

static void longest_frames_fit_and_longer_ones_are_nonsense(void **state)
{
	const size_t size = FRAME_STREAM_LENGTH_SIZE + FRAME_SIZE_MAX;
	struct frame_reader *reader = calloc(1, sizeof(*reader));
	uint8_t *bytes = calloc(2, size), beyond[] = {0, 1, 0, 0x16};
	struct heard heard = {.count = 0};

	(void)state;
	assert_true(reader && bytes);
	assert_int_equal(FRAME_SIZE_MAX, 0x10015);
	for (size_t i = 0; i < 2; i++)
		memcpy(bytes + i * size, (const uint8_t[]){0, 1, 0, 0x15, 'x'}, 5);
	assert_true(feed(reader, bytes, 2 * size, 65536, &heard));
	assert_int_equal(heard.count, 2);
	assert_int_equal(heard.sizes[1], FRAME_SIZE_MAX);
	assert_false(feed(reader, beyond, sizeof(beyond), 4, &heard));
	reader->size = 0;
	memset(beyond, 0xff, sizeof(beyond));
	assert_false(feed(reader, beyond, sizeof(beyond), 1, &heard));
	assert_int_equal(heard.count, 2);
	free(bytes);
	free(reader);
}

/* What a writer is given a reader finds again, and no more is kept than there is room for. */
static void writer_is_bounded(void **state)
{
	struct frame_writer *writer = calloc(1, sizeof(*writer));
	struct frame_reader *reader = calloc(1, sizeof(*reader));
	uint8_t *bytes = calloc(1, FRAME_SIZE_MAX);
	struct heard heard = {.count = 0};
	struct frame frame;
	struct iovec rest;
	const uint8_t *at;
	size_t size;

	(void)state;
	assert_true(writer && reader && bytes);
	frame_set(&frame, &rest, bytes, FRAME_SIZE_MAX);
	for (unsigned int i = 0; i < 3; i++) {
		frame.header[0] = (uint8_t)i;
		assert_true(frame_writer_add(writer, &frame));
	}
	assert_false(frame_writer_add(writer, &frame));
	/* The beginning of the first is sent: there is still no room.  With all of it there is, at the beginning. */
	frame_writer_bytes(writer, &size);
	assert_int_equal(size, 3 * (FRAME_STREAM_LENGTH_SIZE + FRAME_SIZE_MAX));
	at = frame_writer_bytes(writer, &size);
	assert_true(feed(reader, at, 50, 50, &heard));
	frame_writer_sent(writer, 50);
	assert_false(frame_writer_add(writer, &frame));
	at = frame_writer_bytes(writer, &size);
	assert_true(feed(reader, at, FRAME_SIZE_MAX, 1000, &heard));
	frame_writer_sent(writer, FRAME_SIZE_MAX);
	frame.header[0] = 3;
	assert_true(frame_writer_add(writer, &frame));
	at = frame_writer_bytes(writer, &size);
	assert_true(feed(reader, at, size, 50000, &heard));
	frame_writer_sent(writer, size);
	frame_writer_bytes(writer, &size);
	assert_int_equal(size, 0);
	assert_int_equal(heard.count, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(heard.first[i], i);
	free(bytes);
	free(reader);
	free(writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_found_however_they_are_cut),
		cmocka_unit_test(longest_frames_fit_and_longer_ones_are_nonsense),
		cmocka_unit_test(writer_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
