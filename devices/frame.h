/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_FRAME_H
#define DEVICES_FRAME_H 1

/* A frame on its way from one port to others
 * ==========================================
 *
 * A frame from a guest is still in that guest's memory, where the guest may change it at any instant.  So its
 * first FRAME_HEADER_SIZE bytes are copied here once, before any decision is taken, and everyone (the
 * switch, the capture, the receiver) takes them from here; the rest is only ever copied, never interpreted.
 *
 * A frame has no FCS and no virtio-net header.  It lives until the function it was given to returns.
 *
 * A sender may leave work to others (struct frame_offload): then the frame is not what a wire would carry, but stands
 * for it, as long as all who get it can take that.  For those who cannot, devices/offload.h does the work.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* Ethernet, two VLAN tags and an IPv6 header fit. */
#define FRAME_HEADER_SIZE 64

/* A VLAN tag, which a switch puts on frames and takes off (netlab/vlan.h): an EtherType and two bytes more. */
#define FRAME_TAG_SIZE 4
#define FRAME_CUSTOMER_TAG 0x8100 /* IEEE Std 802.1Q-2018, Table 9-1. */
#define FRAME_SERVICE_TAG 0x88a8

/* Destination, source, EtherType: no shorter frame is taken from a guest. */
#define FRAME_SIZE_MIN 14
#define FRAME_TYPE_AT 12 /* The EtherType, or the outermost tag. */

/* The longest frame: the largest MTU and an Ethernet header with two VLAN tags. */
#define FRAME_SIZE_MAX (65535 + 14 + 8)

/* A frame that is still to be cut into segments. */
enum frame_segmentation { FRAME_TCPV4 = 1, FRAME_TCPV6 };

/* What the sender has left undone; all zero: nothing, and the frame is what a wire would carry.  It is known to fit the
 * frame (offload_check()), and so is what it says of headers that are in private memory.  Offsets count from the
 * frame's first byte. */
struct frame_offload {
	uint16_t checksum_start;  /* The checksum is of all from here on; 0: it is complete. */
	uint16_t checksum_offset; /* Of the checksum's two bytes, from there on. */
	uint16_t segment_size;    /* Bytes of payload of a segment, at most; 0: the frame is one. */
	uint16_t header_size;     /* With segments: all headers of each, in private memory. */
	uint8_t segmentation;     /* With segments: enum frame_segmentation. */
	uint8_t has_ecn;          /* With segments: the first one has CWR set (RFC 3168, 6.1.2). */
};

struct frame {
	uint8_t header[FRAME_HEADER_SIZE + FRAME_TAG_SIZE];
	size_t header_size;       /* min(size, FRAME_HEADER_SIZE), and a tag more or less once it was forwarded. */
	const struct iovec *rest; /* The bytes after the header. */
	unsigned int rest_count;
	struct frame_offload offload;
	size_t size; /* All bytes, FRAME_SIZE_MIN to FRAME_SIZE_MAX. */
};

/* Makes 'frame' the one that is the 'size' bytes at 'bytes', in one piece, which only we change.  It lasts as long as
 * they and 'rest'. */
static inline void frame_set(struct frame *frame, struct iovec *rest, const uint8_t *bytes, size_t size)
{
	frame->size = size;
	frame->offload = (struct frame_offload){0};
	frame->header_size = size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE;
	memcpy(frame->header, bytes, frame->header_size);
	rest->iov_base = (uint8_t *)(uintptr_t)bytes + frame->header_size;
	rest->iov_len = size - frame->header_size;
	frame->rest = rest;
	frame->rest_count = rest->iov_len > 0;
}

/* Whether something was left undone: whoever cannot take that must not get the frame as it is. */
static inline bool frame_is_offloaded(const struct frame *frame)
{
	return frame->offload.checksum_start != 0;
}

/* Copies the first 'count' bytes of the frame (at most 'size') to 'to'. */
static inline void frame_copy(const struct frame *frame, void *to, size_t count)
{
	uint8_t *at = to;
	size_t part = count < frame->header_size ? count : frame->header_size;

	memcpy(at, frame->header, part);
	at += part;
	count -= part;
	for (unsigned int i = 0; i < frame->rest_count && count > 0; i++) {
		part = count < frame->rest[i].iov_len ? count : frame->rest[i].iov_len;
		memcpy(at, frame->rest[i].iov_base, part);
		at += part;
		count -= part;
	}
}

static inline bool frame_is_tag(uint16_t type)
{
	return type == FRAME_CUSTOMER_TAG || type == FRAME_SERVICE_TAG;
}

/* Where the packet begins, behind the addresses, all VLAN tags and the EtherType, which is set.  'bytes' are the first
 * 'count' of a frame, FRAME_SIZE_MIN at least; a tag that they do not have all of, with the EtherType behind it, is
 * left: then the type is the tag's. */
static inline size_t frame_find_packet(const uint8_t *bytes, size_t count, uint16_t *type)
{
	size_t at = FRAME_SIZE_MIN;

	*type = (uint16_t)(bytes[at - 2] << 8 | bytes[at - 1]);
	while (frame_is_tag(*type) && at + FRAME_TAG_SIZE <= count) {
		at += FRAME_TAG_SIZE;
		*type = (uint16_t)(bytes[at - 2] << 8 | bytes[at - 1]);
	}
	return at;
}

#endif /* frame.h */
