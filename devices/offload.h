/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_OFFLOAD_H
#define DEVICES_OFFLOAD_H 1

/* Offloads: work on a frame that its sender left to others
 * ========================================================
 *
 * A checksum whose field has only the pseudo-header's sum so far, and TCP segments that are still one frame (virtio
 * 1.2, section 5.1.6.2).  What a guest says of such a frame is checked once, before anybody relies on it; whoever must
 * have what a wire would carry has the work done here.
 *
 * Segments are those that Linux would make: each has the frame's headers, with its own lengths, sequence number,
 * identification (counted up) and checksums; FIN and PSH are in the last one alone, CWR in the first one.  The
 * pseudo-header's sum is the sender's word, as it is for a NIC: one that lies sends wrong checksums, and harms itself.
 *
 * Thread-safety: any thread; a frame belongs to one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/frame.h"

/* All headers of a frame with segments, at most: Ethernet with two VLAN tags, IPv6 with extension headers, TCP with
 * options. */
#define OFFLOAD_HEADERS_MAX 256

/* Segments a frame may stand for, a bound on what a guest can have others do.  Linux's smallest MSS is 48 bytes, 12 of
 * which timestamps may take: the largest frame has 1820 segments then. */
#define OFFLOAD_SEGMENTS_MAX 2048

/* Room that offload_finish() needs. */
#define OFFLOAD_ROOM (FRAME_SIZE_MAX + 64)

/* Checks what a sender said of its frame of 'size' bytes: 'offload' has all but header_size, which is set.  'bytes' are
 * the frame's first 'count' bytes in private memory: min(size, OFFLOAD_HEADERS_MAX) with segments, and else
 * min(size, FRAME_HEADER_SIZE).  Returns false when it does not fit the frame. */
bool offload_check(struct frame_offload *offload, const uint8_t *bytes, size_t count, size_t size);

/* Frames on a wire that this frame stands for. */
unsigned int offload_count(const struct frame *frame);

/* The size of the largest of them. */
static inline size_t offload_wire_size(const struct frame *frame)
{
	size_t largest = (size_t)frame->offload.header_size + frame->offload.segment_size;

	return frame->offload.segment_size == 0 || frame->size < largest ? frame->size : largest;
}

/* Calls 'function' for each of them in their order, with nothing left undone.  Each is in 'room', of OFFLOAD_ROOM
 * bytes, and lasts until 'function' returns.  One in which nothing was left undone is passed on as it is. */
typedef void offload_function(void *opaque, const struct frame *frame);
void offload_finish(const struct frame *frame, uint8_t *room, offload_function *function, void *opaque);

#endif /* offload.h */
