/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_DATAGRAM_H
#define NETLAB_NAT_DATAGRAM_H 1

/* A UDP datagram within an Ethernet frame
 * =======================================
 *
 * For the few services that a NAT gateway gives itself: takes a guest's frame apart, and makes the frame of the answer.
 * Fragments, IPv6 extension headers and VLAN tags are not followed: what has them is no datagram here.
 *
 * Thread-safety: any thread. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the headers before the payload of an answer, at most: Ethernet, IPv6, UDP. */
#define NAT_DATAGRAM_HEADERS_MAX (14 + 40 + 8)

struct nat_datagram {
	uint8_t source_mac[6], destination_mac[6];
	int family;                             /* AF_INET or AF_INET6. */
	struct in6_addr source, destination;    /* For AF_INET the first four bytes. */
	uint16_t source_port, destination_port; /* Host byte order. */
	const uint8_t *payload;                 /* Within the frame. */
	size_t size;
};

/* Takes 'frame' apart.  Returns false for what is no datagram, or not whole. */
bool nat_datagram_read(const uint8_t *frame, size_t size, struct nat_datagram *datagram);

/* Puts the frame that answers 'question' with 'size' bytes into 'frame', which has room for them and for
 * NAT_DATAGRAM_HEADERS_MAX more.  Returns the frame's size. */
size_t nat_datagram_answer(const struct nat_datagram *question, const uint8_t *payload, size_t size, uint8_t *frame);

#endif /* nat_datagram.h */
