/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_VLAN_H
#define NETLAB_VLAN_H 1

/* VLAN tags (IEEE Std 802.1Q-2018, 9.6)
 * ======================================
 *
 * The tag of a customer VLAN: after the addresses four bytes, EtherType 0x8100 and the tag control information, which
 * is priority (3 bits), drop eligibility (1) and VLAN (12).  A frame with another outermost EtherType, 0x88a8 among
 * them, has no such tag.  What is behind the outermost tag is not looked at.
 *
 * Only the private copy of a frame's first bytes is read and changed.
 *
 * Thread-safety: any thread; a frame belongs to one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "devices/frame.h"

#define VLAN_PRIORITY_ONLY 0 /* No VLAN: the tag has a priority alone (6.9.1). */
#define VLAN_DEFAULT 1       /* That of a port of which nothing is said (Table 9-2). */
#define VLAN_MAX 4094        /* The last that a frame may be in. */
#define VLAN_MASK 0xfffu     /* Of the tag control information; 4095 is in no frame (Table 9-2). */
#define VLAN_COUNT (VLAN_MASK + 1)

/* Of one of FRAME_SIZE_MIN bytes at least. */
static inline bool vlan_has_tag(const struct frame *frame)
{
	return frame->header[FRAME_TYPE_AT] == FRAME_CUSTOMER_TAG >> 8 &&
	       frame->header[FRAME_TYPE_AT + 1] == (FRAME_CUSTOMER_TAG & 0xff);
}

/* Whether the tag is whole, and an EtherType behind it: else a frame with a tag is none. */
static inline bool vlan_is_whole(const struct frame *frame)
{
	return frame->header_size >= FRAME_SIZE_MIN + FRAME_TAG_SIZE;
}

/* The tag control information of a frame whose tag is whole. */
static inline uint16_t vlan_control(const struct frame *frame)
{
	return (uint16_t)(frame->header[FRAME_TYPE_AT + 2] << 8 | frame->header[FRAME_TYPE_AT + 3]);
}

/* What is behind the addresses is further on by so many bytes, modulo 2^16. */
static inline void vlan_shift(struct frame *frame, uint16_t by)
{
	if (!frame_is_offloaded(frame))
		return;
	frame->offload.checksum_start = (uint16_t)(frame->offload.checksum_start + by);
	if (frame->offload.segment_size > 0)
		frame->offload.header_size = (uint16_t)(frame->offload.header_size + by);
}

/* Takes off the tag, which is whole. */
static inline void vlan_pop(struct frame *frame)
{
	uint8_t *tag = frame->header + FRAME_TYPE_AT;

	memmove(tag, tag + FRAME_TAG_SIZE, frame->header_size - FRAME_TYPE_AT - FRAME_TAG_SIZE);
	frame->header_size -= FRAME_TAG_SIZE;
	frame->size -= FRAME_TAG_SIZE;
	vlan_shift(frame, (uint16_t)-FRAME_TAG_SIZE);
}

/* Puts one on a frame that came without, or whose tag was taken off. */
static inline void vlan_push(struct frame *frame, uint16_t control)
{
	uint8_t *tag = frame->header + FRAME_TYPE_AT;

	memmove(tag + FRAME_TAG_SIZE, tag, frame->header_size - FRAME_TYPE_AT);
	tag[0] = FRAME_CUSTOMER_TAG >> 8;
	tag[1] = FRAME_CUSTOMER_TAG & 0xff;
	tag[2] = (uint8_t)(control >> 8);
	tag[3] = (uint8_t)control;
	frame->header_size += FRAME_TAG_SIZE;
	frame->size += FRAME_TAG_SIZE;
	vlan_shift(frame, FRAME_TAG_SIZE);
}

#endif /* vlan.h */
