/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PACKET_IDENTITY_H
#define NETLAB_PACKET_IDENTITY_H 1

/* What a router leaves of a packet
 * ================================
 *
 * A guest that routes makes a new frame of the packet it got.  What it must not change, nor does unless it translates
 * addresses, tells that the two are the same packet: addresses, protocol, the identification (IPv4) or flow label
 * (IPv6), which fragment it is, and the payload.  Time to live or hop limit is less by as much as routers it met.
 *
 * That is a heuristic.  Two packets may have the same identity: a datagram that is sent twice without an
 * identification, as Linux does where nobody may fragment it.  And it misses some: what a router fragmented, or a NAT
 * changed; and, where captures are cut short, packets whose cut payload a VLAN's tag leaves a different part of.
 *
 * Thread-safety: any thread. */

#include <stdint.h>

#include "netlab/frame_headers.h"

struct packet_identity {
	uint64_t hash; /* Of all that stays the same.  0: it is no packet that could be recognised. */
	uint8_t hop_limit;
};

/* Of a frame of which frame_headers_read() was told all that is known.  A packet of IPv4 with a wrong header checksum
 * has none: no router passes it on. */
struct packet_identity packet_identity(const struct frame_headers *headers);

/* Whether 'after' may be 'before' behind a router. */
bool packet_identity_follows(const struct packet_identity *before, const struct packet_identity *after);

#endif /* packet_identity.h */
