/* SPDX-License-Identifier: Apache-2.0 */
#include "finishing.h"

#include <stdlib.h>

#include "devices/offload.h"
#include "stand_in.h"
#include "tests/unit/tcp_frame.h"

/* What became of a frame. */
struct finished {
	const struct frame *frame;
	unsigned int count;
	size_t size; /* In sum. */
};

static void check_segment(const struct frame *whole, const struct frame *segment)
{
	/* Of the size it has, so that whoever reads beyond is seen. */
	uint8_t *bytes = malloc(segment->size);
	const size_t tcp = whole->offload.checksum_start;

	stand_in_check(bytes);
	frame_copy(segment, bytes, segment->size);
	stand_in_check(segment->size > whole->offload.header_size);
	stand_in_check(tcp + (size_t)(bytes[tcp + 12] >> 4) * 4 == whole->offload.header_size);
	/* No tag, and no options. */
	if (tcp == 34 && tcp_frame_get(bytes + 12) == 0x0800)
		stand_in_check(tcp_frame_get(bytes + 16) == segment->size - 14 &&
			       tcp_frame_sum(bytes + 14, 20, 0) == 0xffff);
	free(bytes);
}

/* offload_function */
static void look_at(void *opaque, const struct frame *frame)
{
	struct finished *finished = opaque;

	stand_in_check(!frame_is_offloaded(frame));
	stand_in_check(frame->size >= FRAME_SIZE_MIN && frame->size <= offload_wire_size(finished->frame));
	if (finished->frame->offload.segment_size > 0)
		check_segment(finished->frame, frame);
	finished->count++;
	finished->size += frame->size;
}

void finishing_check(const struct frame *frame)
{
	struct finished finished = {.frame = frame};
	uint8_t *room = malloc(OFFLOAD_ROOM);

	stand_in_check(room);
	offload_finish(frame, room, look_at, &finished);
	stand_in_check(finished.count == offload_count(frame) && finished.count <= OFFLOAD_SEGMENTS_MAX);
	stand_in_check(finished.size == frame->size + (finished.count - 1) * (size_t)frame->offload.header_size);
	free(room);
}
