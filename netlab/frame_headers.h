/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_HEADERS_H
#define NETLAB_FRAME_HEADERS_H 1

/* The headers of a frame
 * ======================
 *
 * Takes an Ethernet frame apart as far as IP: addresses, VLAN, and where the upper layer's header is.  A frame may be
 * anything, and may be cut short anywhere; what is not there is not read.
 *
 * Thread-safety: any thread. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame_headers {
	uint8_t destination_mac[6], source_mac[6];
	bool has_vlan;
	uint16_t vlan; /* Of the outermost tag (IEEE Std 802.1Q-2018, 9.6). */
	uint16_t type; /* EtherType behind all tags, or a length. */
	const uint8_t *payload;
	size_t payload_size; /* Bytes of it that are there. */

	/* AF_INET or AF_INET6 if the addresses below are known: those of an IP packet, or, with 'type' ETHERTYPE_ARP,
	 * those that ARP for IPv4 speaks of, the sender's and the target's. */
	int family;
	struct in6_addr source, destination; /* For AF_INET the first four bytes. */
	uint16_t arp_operation;

	/* Of an IP packet. */
	uint8_t hop_limit;        /* Or time to live. */
	uint8_t protocol;         /* The upper layer's, behind IPv6's extension headers. */
	bool is_fragment;         /* One of several. */
	uint32_t fragment_offset; /* Bytes.  Only with 0 the upper layer's header is at 'upper'. */
	size_t packet_size;       /* As the header says: payload behind it is padding. */
	const uint8_t *upper;
	size_t upper_size;   /* Bytes that are there ... */
	size_t upper_length; /* ... of so many. */
};

/* Fills 'headers', which point into 'frame'.  Returns false for what is shorter than an Ethernet header. */
bool frame_headers_read(const uint8_t *frame, size_t size, struct frame_headers *headers);

/* Numbers in the network's byte order. */
static inline uint16_t frame_headers_16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t frame_headers_32(const uint8_t *bytes)
{
	return (uint32_t)frame_headers_16(bytes) << 16 | frame_headers_16(bytes + 2);
}

#endif /* frame_headers.h */
