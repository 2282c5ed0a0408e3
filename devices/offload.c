/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/offload.h"

#include <netinet/in.h>
#include <string.h>

/* Theory of operation
 * -------------------
 * Checking finds IP behind Ethernet and its tags, and TCP behind that and IPv6's extension headers, and wants that to
 * be where the sender says its checksum begins; so that later all that is needed of the headers is at known offsets.
 *
 * Finishing copies: the sender's memory is not ours to write to, and what is summed up must be what is sent, though a
 * guest may change it meanwhile.  The headers are copied once, from private memory, and again for each segment, whose
 * payload is read behind them where the last one ended.
 *
 * Sums are ones' complement (RFC 1071), and so the same in either byte order: they are taken in this machine's. */

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd

#define IPV4_HEADER_MIN 20
#define IPV4_LENGTH_AT 2
#define IPV4_IDENTIFICATION_AT 4
#define IPV4_FRAGMENT_AT 6
#define IPV4_FRAGMENT_MASK 0x3fffu /* More fragments, and the offset. */
#define IPV4_PROTOCOL_AT 9
#define IPV4_CHECKSUM_AT 10
#define IPV6_HEADER 40
#define IPV6_LENGTH_AT 4
#define IPV6_NEXT_AT 6

#define TCP_HEADER_MIN 20
#define TCP_SEQUENCE_AT 4
#define TCP_DATA_OFFSET_AT 12
#define TCP_FLAGS_AT 13
#define TCP_CHECKSUM_AT 16
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

#define UDP_CHECKSUM_AT 6

static unsigned int get_16(const uint8_t *at)
{
	return (unsigned int)(at[0] << 8 | at[1]);
}

static void put_16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get_32(const uint8_t *at)
{
	return (uint32_t)get_16(at) << 16 | get_16(at + 2);
}

static void put_32(uint8_t *at, uint32_t value)
{
	put_16(at, value >> 16);
	put_16(at + 2, value & 0xffff);
}

/* Where the packet begins, behind all VLAN tags, and its EtherType; 0: not within 'count'. */
static size_t find_packet(const uint8_t *bytes, size_t count, uint16_t *ethertype)
{
	size_t at = count >= FRAME_SIZE_MIN ? frame_find_packet(bytes, count, ethertype) : 0;

	return at > 0 && !frame_is_tag(*ethertype) ? at : 0;
}

/* Where TCP begins behind an IPv4 header at 'at' that is no fragment's; 0: it does not. */
static size_t find_tcp_v4(const uint8_t *bytes, size_t count, size_t at)
{
	size_t size;

	if (at + IPV4_HEADER_MIN > count || bytes[at] >> 4 != 4)
		return 0;
	size = (bytes[at] & 0xfu) * 4;
	if (size < IPV4_HEADER_MIN || bytes[at + IPV4_PROTOCOL_AT] != IPPROTO_TCP ||
	    (get_16(bytes + at + IPV4_FRAGMENT_AT) & IPV4_FRAGMENT_MASK) != 0)
		return 0;
	return at + size;
}

/* The same for IPv6, whose extension headers are the same in each segment (RFC 8200, 4). */
static size_t find_tcp_v6(const uint8_t *bytes, size_t count, size_t at)
{
	size_t next_at = at + IPV6_NEXT_AT;

	if (at + IPV6_HEADER > count || bytes[at] >> 4 != 6)
		return 0;
	for (at += IPV6_HEADER; bytes[next_at] != IPPROTO_TCP; at += (bytes[at + 1] + 1u) * 8) {
		if (bytes[next_at] != IPPROTO_HOPOPTS && bytes[next_at] != IPPROTO_ROUTING &&
		    bytes[next_at] != IPPROTO_DSTOPTS)
			return 0;
		if (at + 2 > count)
			return 0;
		next_at = at;
	}
	return at;
}

static bool check_segments(struct frame_offload *offload, const uint8_t *bytes, size_t count, size_t size)
{
	const bool is_v4 = offload->segmentation == FRAME_TCPV4;
	uint16_t ethertype = 0;
	size_t packet = find_packet(bytes, count, &ethertype), tcp, header_size;

	if (packet == 0 || ethertype != (is_v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6))
		return false;
	tcp = is_v4 ? find_tcp_v4(bytes, count, packet) : find_tcp_v6(bytes, count, packet);
	if (tcp == 0 || tcp != offload->checksum_start || offload->checksum_offset != TCP_CHECKSUM_AT ||
	    tcp + TCP_HEADER_MIN > count)
		return false;
	header_size = tcp + (size_t)(bytes[tcp + TCP_DATA_OFFSET_AT] >> 4) * 4;
	if (header_size < tcp + TCP_HEADER_MIN || header_size > count || header_size >= size)
		return false;
	offload->header_size = (uint16_t)header_size;
	return (size - header_size - 1) / offload->segment_size < OFFLOAD_SEGMENTS_MAX;
}

/* Where a checksum can begin behind a packet's header at 'at'; 0: nowhere.  What addresses there are is looked at
 * before checksums are completed, so no checksum may be among them. */
static size_t find_transport(size_t at, uint16_t ethertype)
{
	switch (ethertype) {
	case ETHERTYPE_ARP:
		return 0;
	case ETHERTYPE_IPV4:
		return at + IPV4_HEADER_MIN;
	case ETHERTYPE_IPV6:
		return at + IPV6_HEADER;
	default:
		return at;
	}
}

bool offload_check(struct frame_offload *offload, const uint8_t *bytes, size_t count, size_t size)
{
	uint16_t ethertype = 0;
	size_t packet = find_packet(bytes, count, &ethertype);
	size_t transport = packet > 0 ? find_transport(packet, ethertype) : 0;

	offload->header_size = 0;
	/* Behind the tags, which may come and go on the way; one more must fit. */
	if (transport == 0 || offload->checksum_start < transport ||
	    offload->checksum_start > UINT16_MAX - FRAME_TAG_SIZE ||
	    (size_t)offload->checksum_start + offload->checksum_offset + 2 > size)
		return false;
	return offload->segment_size == 0 || check_segments(offload, bytes, count, size);
}

unsigned int offload_count(const struct frame *frame)
{
	const struct frame_offload *offload = &frame->offload;

	if (offload->segment_size == 0)
		return 1;
	return (unsigned int)((frame->size - offload->header_size - 1) / offload->segment_size) + 1;
}

/* Sums. */

static uint64_t add(const uint8_t *bytes, size_t count, uint64_t sum)
{
	uint32_t word;
	uint16_t half;

	for (; count >= sizeof(word); bytes += sizeof(word), count -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum += word;
	}
	if (count >= sizeof(half)) {
		memcpy(&half, bytes, sizeof(half));
		sum += half;
		bytes += sizeof(half);
		count -= sizeof(half);
	}
	if (count > 0) {
		half = 0;
		memcpy(&half, bytes, 1); /* As if a zero followed. */
		sum += half;
	}
	return sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Completes the checksum at 'field' of the 'count' bytes at 'bytes', it among them. */
static void complete(const uint8_t *bytes, size_t count, uint8_t *field, bool is_udp)
{
	uint16_t checksum = (uint16_t)~fold(add(bytes, count, 0));

	if (checksum == 0 && is_udp)
		checksum = 0xffff; /* 0 would say that there is none (RFC 768). */
	memcpy(field, &checksum, sizeof(checksum));
}

static void finish_checksum(const struct frame *frame, uint8_t *room, offload_function *function, void *opaque)
{
	const size_t start = frame->offload.checksum_start, offset = frame->offload.checksum_offset;
	struct frame finished;
	struct iovec rest;

	frame_copy(frame, room, frame->size);
	complete(room + start, frame->size - start, room + start + offset, offset == UDP_CHECKSUM_AT);
	frame_set(&finished, &rest, room, frame->size);
	function(opaque, &finished);
}

/* Segments. */

/* A frame's bytes in their order. */
struct reader {
	const struct frame *frame;
	unsigned int piece; /* 0: the header, else one of the rest. */
	size_t at;          /* In that. */
};

/* Reads 'count' bytes, which are there; they go nowhere when 'to' is NULL. */
static void read_bytes(struct reader *reader, uint8_t *to, size_t count)
{
	while (count > 0) {
		const struct frame *frame = reader->frame;
		const struct iovec *rest = reader->piece > 0 ? &frame->rest[reader->piece - 1] : NULL;
		const uint8_t *bytes = rest ? rest->iov_base : frame->header;
		size_t part = (rest ? rest->iov_len : frame->header_size) - reader->at;

		if (part > count)
			part = count;
		if (to && part > 0) {
			memcpy(to, bytes + reader->at, part);
			to += part;
		}
		count -= part;
		reader->at += part;
		if (count > 0) {
			reader->piece++;
			reader->at = 0;
		}
	}
}

struct cut {
	const struct frame_offload *offload;
	size_t packet;   /* Where IP begins. */
	size_t tcp_size; /* Of TCP and payload of the whole frame. */
	size_t payload;  /* Bytes in all segments. */
	uint8_t headers[OFFLOAD_HEADERS_MAX + FRAME_TAG_SIZE];
};

static void set_packet_header(const struct cut *cut, uint8_t *packet, size_t size, unsigned int number)
{
	if (cut->offload->segmentation == FRAME_TCPV6) {
		put_16(packet + IPV6_LENGTH_AT, (unsigned int)(size - IPV6_HEADER));
		return;
	}
	put_16(packet + IPV4_LENGTH_AT, (unsigned int)size);
	put_16(packet + IPV4_IDENTIFICATION_AT, get_16(packet + IPV4_IDENTIFICATION_AT) + number);
	put_16(packet + IPV4_CHECKSUM_AT, 0);
	complete(packet, (packet[0] & 0xfu) * 4, packet + IPV4_CHECKSUM_AT, false);
}

/* 'done' bytes of payload are in earlier segments.  Their sum and the pseudo-header's are without each other's length
 * (RFC 1624, equation 3). */
static void set_tcp_header(const struct cut *cut, uint8_t *tcp, size_t size, size_t done, bool is_last)
{
	uint64_t pseudo = get_16(tcp + TCP_CHECKSUM_AT) + (0xffff - cut->tcp_size) + size;

	put_32(tcp + TCP_SEQUENCE_AT, get_32(tcp + TCP_SEQUENCE_AT) + (uint32_t)done);
	if (!is_last)
		tcp[TCP_FLAGS_AT] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (done > 0)
		tcp[TCP_FLAGS_AT] &= (uint8_t)~TCP_CWR;
	put_16(tcp + TCP_CHECKSUM_AT, fold(pseudo));
	complete(tcp, size, tcp + TCP_CHECKSUM_AT, false);
}

static void finish_segments(const struct frame *frame, uint8_t *room, offload_function *function, void *opaque)
{
	const struct frame_offload *offload = &frame->offload;
	struct cut cut = {.offload = offload,
			  .tcp_size = frame->size - offload->checksum_start,
			  .payload = frame->size - offload->header_size};
	struct reader reader = {.frame = frame};
	unsigned int number = 0;
	uint16_t ethertype;

	read_bytes(&reader, cut.headers, offload->header_size);
	cut.packet = find_packet(cut.headers, offload->header_size, &ethertype);
	for (size_t done = 0; done < cut.payload; number++) {
		size_t part = cut.payload - done < offload->segment_size ? cut.payload - done : offload->segment_size;
		size_t size = offload->header_size + part;
		struct frame segment;
		struct iovec rest;

		memcpy(room, cut.headers, offload->header_size);
		read_bytes(&reader, room + offload->header_size, part);
		set_packet_header(&cut, room + cut.packet, size - cut.packet, number);
		set_tcp_header(&cut, room + offload->checksum_start, size - offload->checksum_start, done,
			       done + part == cut.payload);
		frame_set(&segment, &rest, room, size);
		function(opaque, &segment);
		done += part;
	}
}

void offload_finish(const struct frame *frame, uint8_t *room, offload_function *function, void *opaque)
{
	if (!frame_is_offloaded(frame))
		function(opaque, frame);
	else if (frame->offload.segment_size > 0)
		finish_segments(frame, room, function, opaque);
	else
		finish_checksum(frame, room, function, opaque);
}
