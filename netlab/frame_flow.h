/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_FLOW_H
#define NETLAB_FRAME_FLOW_H 1

/* Packets between two nodes, and what became of them
 * ==================================================
 *
 * A packet is a frame that a node sent by itself, and all that routers made of it (netlab/frame_links.h).  It is
 * between two nodes if one of them sent it and it is for the other: its destination is an address that the other one
 * has used as its own, its source address in something it sent by itself, or what it says of itself in ARP.
 * Destinations are, what comes first: what ARP or a neighbour solicitation asks for, the address of an IP packet, the
 * MAC address.  What is for a group, or for an address that nobody used, is for the other node if it came to a port of
 * it.
 *
 * Whoever uses others' addresses, as a guest that translates them does, has these as well.
 *
 * Thread-safety: one thread at a time. */

#include "netlab/frame_links.h"

struct frame_flow;

/* Of the owners 'a' and 'b', which are two.  'links' must outlive it.  Returns NULL when out of memory. */
struct frame_flow *frame_flow_create(const struct frame_index *index, const struct frame_links *links, uint32_t a,
				     uint32_t b);
void frame_flow_destroy(struct frame_flow *flow);

/* What became of a packet, as seen from the one it is for. */
enum frame_fate_kind {
	FRAME_DELIVERED, /* The other one received it, ... */
	FRAME_DROPPED,   /* ... or it died on the way, ... */
	FRAME_ENDED,     /* ... or somebody else received it, who did not pass it on as far as can be told, ... */
	FRAME_UNKNOWN,   /* ... or it is not known who received it. */
};

struct frame_fate {
	enum frame_fate_kind kind;
	uint32_t frame;    /* Of the packet's frames the last one of the way, ... */
	uint32_t crossing; /* ... and where that ended. */
};

/* Whether the packet that began as the frame 'root' is between the two; if so, fills '*fate'. */
bool frame_flow_has(const struct frame_flow *flow, uint32_t root, struct frame_fate *fate);

/* Ports of the longest way: a packet passes 255 routers at most, each with two. */
#define FRAME_FLOW_PORTS_MAX 512

/* Fills 'ports' with those on the way to there, and returns how many they are. */
size_t frame_flow_way(const struct frame_flow *flow, const struct frame_fate *fate,
		      uint32_t ports[FRAME_FLOW_PORTS_MAX]);

#endif /* frame_flow.h */
