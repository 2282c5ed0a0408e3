/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says of what it left undone, and the frame it says it of, are the input.  What is found good is
 * finished, with tags that come and go on the way; then each frame is as long as its headers say. */

#include <stdlib.h>
#include <string.h>

#include "devices/offload.h"
#include "finishing.h"
#include "netlab/vlan.h"
#include "stand_in.h"
#include "tests/unit/tcp_frame.h"

/* As a switch has it that takes tags off, and puts them on. */
static void retag(struct frame *frame, uint8_t how)
{
	if (how & 1 && vlan_has_tag(frame) && vlan_is_whole(frame))
		vlan_pop(frame);
	if (how & 2 && frame->header_size <= FRAME_HEADER_SIZE && frame->size + FRAME_TAG_SIZE <= FRAME_SIZE_MAX)
		vlan_push(frame, 10);
}

/* Reads a frame that begins with the input, and has headers of the usual form if it is to. */
static uint8_t *read_frame(struct input *input, size_t size, uint8_t form, struct frame_offload *offload)
{
	uint8_t *bytes = calloc(1, size);
	struct frame_offload usual;
	size_t given = input->size < size ? input->size : size;

	stand_in_check(bytes);
	if (form & 1 && size > TCP_FRAME_HEADERS) {
		tcp_frame_make(bytes, size, offload->segment_size, &usual);
		if (form & 2)
			*offload = usual;
		/* The input is what differs. */
		for (size_t i = 0; i < given && i < TCP_FRAME_HEADERS; i++)
			bytes[i] ^= input->data[i];
	} else if (given > 0) {
		memcpy(bytes, input->data, given);
	}
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	uint8_t form = input_8(&input);
	size_t frame_size = FRAME_SIZE_MIN + input_16(&input) % (FRAME_SIZE_MAX - FRAME_SIZE_MIN + 1);
	struct frame_offload offload = {.checksum_start = input_16(&input),
					.checksum_offset = input_16(&input),
					.segment_size = input_16(&input),
					.segmentation = form & 4 ? FRAME_TCPV4 : FRAME_TCPV6};
	uint8_t *bytes = read_frame(&input, frame_size, form, &offload), *headers;
	size_t most = offload.segment_size > 0 ? OFFLOAD_HEADERS_MAX : FRAME_HEADER_SIZE;
	size_t count = frame_size < most ? frame_size : most;
	struct frame frame;
	struct iovec rest;

	/* No more of it than is given. */
	headers = malloc(count);
	stand_in_check(headers);
	memcpy(headers, bytes, count);
	if (offload_check(&offload, headers, count, frame_size)) {
		frame_set(&frame, &rest, bytes, frame_size);
		frame.offload = offload;
		finishing_check(&frame);
		retag(&frame, form >> 3);
		finishing_check(&frame);
	}
	free(headers);
	free(bytes);
	return 0;
}
