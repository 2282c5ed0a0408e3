/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_TCP_FRAME_H
#define TESTS_UNIT_TCP_FRAME_H 1

/* Frames with TCP over IPv4 of which the sender has left work to others, and what they should be when that is done. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "devices/frame.h"

#define TCP_FRAME_HEADERS 54 /* Without a tag: Ethernet, IPv4, TCP. */

static inline void tcp_frame_put(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline unsigned int tcp_frame_get(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

/* RFC 1071, word by word. */
static inline unsigned int tcp_frame_sum(const uint8_t *bytes, size_t size, unsigned long sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (unsigned long)bytes[i] << 8;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned int)sum;
}

/* Of the pseudo-header of a packet, with 'size' bytes of TCP. */
static inline unsigned int tcp_frame_pseudo_sum(const uint8_t *packet, bool is_v6, size_t size)
{
	return tcp_frame_sum(packet + (is_v6 ? 8 : 12), is_v6 ? 32 : 8, size + 6);
}

/* Writes the 'size' bytes of a frame without a tag, from its EtherType on, and what is left undone on it: its checksum,
 * and segments, unless 'segment_size' is 0.  Its payload counts up. */
static inline void tcp_frame_make(uint8_t *bytes, size_t size, uint16_t segment_size, struct frame_offload *offload)
{
	uint8_t *packet = bytes + 14, *tcp = packet + 20;

	memset(bytes + 12, 0, TCP_FRAME_HEADERS - 12);
	for (size_t i = TCP_FRAME_HEADERS; i < size; i++)
		bytes[i] = (uint8_t)(i - TCP_FRAME_HEADERS);
	bytes[12] = 0x08;
	packet[0] = 0x45;
	tcp_frame_put(packet + 2, size - 14);
	packet[8] = 64;
	packet[9] = 6;
	memcpy(packet + 12, (const uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
	tcp_frame_put(packet + 10, ~tcp_frame_sum(packet, 20, 0));
	tcp[12] = 0x50;
	tcp[13] = 0x18; /* ACK, PSH */
	tcp_frame_put(tcp + 16, tcp_frame_pseudo_sum(packet, false, size - 34));
	*offload = (struct frame_offload){.checksum_start = 34,
					  .checksum_offset = 16,
					  .segment_size = segment_size,
					  .header_size = segment_size ? TCP_FRAME_HEADERS : 0,
					  .segmentation = segment_size ? FRAME_TCPV4 : 0};
}

/* Whether lengths and checksums of a frame as tcp_frame_make() made it, or a segment of it, with or without a tag, are
 * those that a wire would carry. */
static inline bool tcp_frame_is_true(const uint8_t *bytes, size_t size)
{
	size_t packet = bytes[12] == 0x81 ? 18 : 14;

	return size >= packet + 40 && tcp_frame_get(bytes + packet + 2) == size - packet &&
	       tcp_frame_sum(bytes + packet, 20, 0) == 0xffff &&
	       tcp_frame_sum(bytes + packet + 20, size - packet - 20,
			     tcp_frame_pseudo_sum(bytes + packet, false, size - packet - 20)) == 0xffff;
}

#endif /* tcp_frame.h */
