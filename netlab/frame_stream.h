/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_STREAM_H
#define NETLAB_FRAME_STREAM_H 1

/* Frames in a stream of bytes
 * ===========================
 *
 * The form QEMU's "-netdev stream" and "-netdev socket" have (net/stream.c, net_fill_rstate()): each frame stands
 * after its length, 4 bytes, big endian.  The stream can be cut into pieces anywhere.
 *
 * A reader keeps what has come of a frame; a writer a bounded number of bytes that are still to be sent.
 *
 * Thread-safety: one thread at a time for each.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/frame.h"

#define FRAME_STREAM_LENGTH_SIZE 4

struct frame_reader {
	size_t size; /* Bytes that are there, and are no whole frame. */
	uint8_t bytes[2 * (FRAME_STREAM_LENGTH_SIZE + FRAME_SIZE_MAX)];
};

struct frame_writer {
	size_t begin, end; /* What is to be sent. */
	uint8_t bytes[256u << 10];
};

typedef void frame_stream_function(void *opaque, const uint8_t *frame, size_t size);

/* Where the next bytes of the stream go, '*room' of them, which is never 0. */
uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room);

/* 'count' bytes have come there.  Calls 'function' for each frame that is whole; it may be of any size up to
 * FRAME_SIZE_MAX, 0 among them.  Returns false when the stream has a length beyond that, of which nothing can be
 * made. */
bool frame_reader_add(struct frame_reader *reader, size_t count, frame_stream_function *function, void *opaque);

/* Adds a frame.  Returns false when there is no room for it. */
bool frame_writer_add(struct frame_writer *writer, const struct frame *frame);

/* The bytes to be sent next, '*size' of them, 0 when there are none. */
const uint8_t *frame_writer_bytes(const struct frame_writer *writer, size_t *size);

/* 'count' of them were sent. */
void frame_writer_sent(struct frame_writer *writer, size_t count);

#endif /* frame_stream.h */
