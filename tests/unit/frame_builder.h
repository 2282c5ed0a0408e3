/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FRAME_BUILDER_H
#define TESTS_UNIT_FRAME_BUILDER_H 1

/* Frames for tests, from hexadecimal digits; and the packets of a capture that has them. */

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/frame_index.h"

#define BUILT_MAX 2048

struct built_frame {
	uint8_t bytes[BUILT_MAX];
	size_t size;
};

/* Spaces among the digits mean nothing. */
static inline struct built_frame frame_of(const char *digits)
{
	struct built_frame frame = {.size = 0};
	char byte[3] = "";

	for (digits += strspn(digits, " "); *digits; digits += strspn(digits, " ")) {
		memcpy(byte, digits, 2);
		frame.bytes[frame.size++] = (uint8_t)strtoul(byte, NULL, 16);
		digits += 2;
	}
	return frame;
}

/* RFC 1071. */
static inline void set_checksum(uint8_t *header)
{
	uint32_t sum = 0;

	header[10] = header[11] = 0;
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(header[i] << 8 | header[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	header[10] = (uint8_t)(~sum >> 8);
	header[11] = (uint8_t)~sum;
}

/* A UDP datagram from 10.0.x.1 to 10.0.y.1, with an identification. */
static inline struct built_frame datagram(uint8_t x, uint8_t y, uint16_t identification, uint8_t hop_limit)
{
	struct built_frame frame = frame_of("525400000002 525400000001 0800"
					    "4500 0020 0000 4000 0011 0000 0a000001 0a000001"
					    "0bb8 0035 000c 0000 61626364");
	uint8_t *ip = frame.bytes + 14;

	ip[4] = (uint8_t)(identification >> 8);
	ip[5] = (uint8_t)identification;
	ip[8] = hop_limit;
	ip[14] = x;
	ip[18] = y;
	set_checksum(ip);
	return frame;
}

/* Adds the frame to the index, as a port has it. */
static inline int cross(struct frame_index *index, uint64_t id, uint64_t time, const char *port, bool is_received,
			const struct built_frame *frame, const char *comment)
{
	char name[64] = "";
	const struct pcapng_reader_interface interface = {.name = strncpy(name, port, sizeof(name) - 1)};
	const struct pcapng_reader_packet packet = {
		.interface = &interface,
		.time = time,
		.bytes = frame->bytes,
		.captured = (uint32_t)frame->size,
		.size = (uint32_t)frame->size,
		.direction = is_received ? 1 : 2,
		.has_id = true,
		.id = id,
		.comments = {comment},
	};

	return frame_index_add(index, &packet);
}

/* From one port to another. */
static inline void pass(struct frame_index *index, uint64_t id, uint64_t time, const char *from, const char *to,
			const struct built_frame *frame)
{
	assert_int_equal(cross(index, id, time, from, false, frame, NULL), 1);
	assert_int_equal(cross(index, id, time, to, true, frame, NULL), 1);
}

#endif /* frame_builder.h */
