/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_flow.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Of each frame that somebody sent there are two addresses, each of which is remembered as its sender's and as
 * anybody's; and there are places for twice as many. */
#define PLACES_PER_FRAME 8

#define ANYBODY FRAME_INDEX_NONE

/* Who sends one frame from an address for so many of another has it too, or has it now and then. */
#define OFTEN 2
#define SELDOM 16

/* Frames of one packet that are looked at. */
#define FRAMES_MAX 1024

/* Hashed as bytes, so without holes. */
struct address {
	uint8_t bytes[16];
	uint32_t kind; /* AF_INET, AF_INET6, or AF_UNSPEC for a MAC address. */
	uint32_t owner;
};

struct frame_flow {
	const struct frame_index *index;
	const struct frame_links *links;
	uint32_t a, b;
	uint64_t *addresses; /* Hashes of them. */
	uint32_t *counts;    /* Frames from each, and where it is anybody's, from it by whoever sent most. */
	size_t place_count;
};

/* Addresses. */

static struct address make_address(int family, const void *bytes)
{
	struct address address = {.kind = (uint32_t)family};

	memcpy(address.bytes, bytes, family == AF_INET ? 4 : family == AF_INET6 ? 16 : ETHER_ADDR_LEN);
	return address;
}

/* Of a group, or none at all. */
static bool is_nobodys(const struct address *address)
{
	static const uint8_t none[sizeof(address->bytes)];
	uint8_t first = address->bytes[0];

	return !memcmp(address->bytes, none, sizeof(none)) || (address->kind == AF_INET  ? first >= 224 :
							       address->kind == AF_INET6 ? first == 0xff :
											   first & 1);
}

/* Where it is in the table, or belongs. */
static size_t find_place(const struct frame_flow *flow, struct address address, uint32_t owner, uint64_t *hash)
{
	size_t at;

	address.owner = owner;
	*hash = XXH3_64bits(&address, sizeof(address)) | 1; /* 0 is a place that is free. */
	at = *hash % flow->place_count;
	while (flow->addresses[at] && flow->addresses[at] != *hash)
		at = (at + 1) % flow->place_count;
	return at;
}

/* Whether the owner sends from the address at least once for 'share' times that whoever does so most does. */
static bool has_share(const struct frame_flow *flow, const struct address *address, uint32_t owner, uint32_t share)
{
	uint64_t hash;
	uint32_t count = flow->counts[find_place(flow, *address, owner, &hash)];
	uint32_t most = flow->counts[find_place(flow, *address, ANYBODY, &hash)];

	return count > 0 && count >= most / share + (most % share > 0);
}

/* An address is also a router's, some of whose frames could not be linked with what they are of.  So it belongs to
 * whoever sends from it about as often as the one who does so most. */
static bool is_used_by(const struct frame_flow *flow, const struct address *address, uint32_t owner)
{
	return has_share(flow, address, owner, OFTEN);
}

/* Less often, but more often than a few frames that could not be linked. */
static bool was_used_by(const struct frame_flow *flow, const struct address *address, uint32_t owner)
{
	return has_share(flow, address, owner, SELDOM);
}

static void add_address(struct frame_flow *flow, const struct address *address, uint32_t owner)
{
	uint64_t hash, hash_of_all;
	size_t place = find_place(flow, *address, owner, &hash), of_all;

	if (is_nobodys(address))
		return;
	flow->addresses[place] = hash;
	flow->counts[place]++;
	of_all = find_place(flow, *address, ANYBODY, &hash_of_all);
	flow->addresses[of_all] = hash_of_all;
	if (flow->counts[of_all] < flow->counts[place])
		flow->counts[of_all] = flow->counts[place];
}

/* Frames. */

static bool read_headers(const struct frame_flow *flow, uint32_t number, struct frame_headers *headers)
{
	const struct frame_index_frame *frame = frame_index_get(flow->index, number);

	return frame_headers_read(frame_index_bytes(flow->index, frame), frame->byte_count, headers);
}

/* Returns FRAME_INDEX_NONE if it is not known who sent the frame. */
static uint32_t sender_of(const struct frame_flow *flow, uint32_t number)
{
	const struct frame_index_frame *frame = frame_index_get(flow->index, number);
	const struct frame_index_crossing *crossing = frame_index_crossing(flow->index, frame->first);

	return crossing->is_received ? FRAME_INDEX_NONE : frame_index_owner(flow->index, crossing->port);
}

static void learn(struct frame_flow *flow, uint32_t number)
{
	uint32_t sender = sender_of(flow, number);
	struct frame_headers headers;
	struct address address;

	if (sender == FRAME_INDEX_NONE || !read_headers(flow, number, &headers))
		return;
	address = make_address(AF_UNSPEC, headers.source_mac);
	add_address(flow, &address, sender);
	if (!headers.family || frame_links_parent(flow->links, number) != FRAME_INDEX_NONE)
		return;
	address = make_address(headers.family, &headers.source);
	add_address(flow, &address, sender);
}

struct frame_flow *frame_flow_create(const struct frame_index *index, const struct frame_links *links, uint32_t a,
				     uint32_t b)
{
	struct frame_flow *flow = calloc(1, sizeof(*flow));

	if (!flow)
		return NULL;
	*flow = (struct frame_flow){.index = index, .links = links, .a = a, .b = b};
	flow->place_count = ((size_t)frame_index_count(index) + 1) * PLACES_PER_FRAME;
	flow->addresses = calloc(flow->place_count, sizeof(*flow->addresses));
	flow->counts = calloc(flow->place_count, sizeof(*flow->counts));
	if (!flow->addresses || !flow->counts) {
		frame_flow_destroy(flow);
		return NULL;
	}
	for (uint32_t i = 0; i < frame_index_count(index); i++)
		learn(flow, i);
	return flow;
}

void frame_flow_destroy(struct frame_flow *flow)
{
	if (!flow)
		return;
	free(flow->addresses);
	free(flow->counts);
	free(flow);
}

/* Returns false if there is none that could be somebody's. */
static bool read_destination(const struct frame_headers *headers, struct address *address)
{
	bool is_for_group = headers->destination_mac[0] & 1;

	*address = make_address(AF_UNSPEC, headers->destination_mac);
	if (headers->type == ETHERTYPE_ARP && headers->family) {
		/* Who asks for its own address tells the others of it (RFC 5227). */
		*address = make_address(AF_INET, &headers->destination);
		return memcmp(&headers->source, &headers->destination, 4) != 0 && !is_nobodys(address);
	}
	if (headers->family == AF_INET6 && headers->protocol == IPPROTO_ICMPV6 && headers->upper_size >= 24 &&
	    headers->upper[0] == ND_NEIGHBOR_SOLICIT) {
		*address = make_address(AF_INET6, headers->upper + 8);
		return !is_nobodys(address);
	}
	if (headers->family)
		*address = make_address(headers->family, &headers->destination);
	return !is_for_group && !is_nobodys(address);
}

/* Fates. */

/* How a way could end, the best one last. */
enum rank { RANK_UNKNOWN, RANK_ENDED, RANK_DROPPED, RANK_DROPPED_THERE, RANK_DELIVERED };

struct best {
	enum rank rank;
	uint32_t frame, crossing;
};

/* Of ways that do not lead there, the one that got through most routers. */
static bool is_better(const struct best *a, const struct best *b)
{
	if (a->rank >= RANK_DROPPED_THERE || b->rank >= RANK_DROPPED_THERE || a->frame == b->frame)
		return a->rank > b->rank;
	return a->frame > b->frame;
}

static enum rank rank_of(const struct frame_flow *flow, const struct frame_index_crossing *crossing, uint32_t to)
{
	bool is_there = frame_index_owner(flow->index, crossing->port) == to;

	if (crossing->reason != FRAME_INDEX_NONE)
		return is_there && crossing->is_received ? RANK_DROPPED_THERE : RANK_DROPPED;
	if (!crossing->is_received)
		return RANK_UNKNOWN;
	return is_there ? RANK_DELIVERED : RANK_ENDED;
}

static void find_best(const struct frame_flow *flow, uint32_t number, uint32_t to, struct best *best)
{
	const struct frame_index_crossing *crossing;

	for (uint32_t i = frame_index_get(flow->index, number)->first; i != FRAME_INDEX_NONE; i = crossing->next) {
		struct best way = {.frame = number, .crossing = i};

		crossing = frame_index_crossing(flow->index, i);
		way.rank = rank_of(flow, crossing, to);
		if (best->frame == FRAME_INDEX_NONE || is_better(&way, best))
			*best = way;
	}
}

static struct best find_way(const struct frame_flow *flow, uint32_t root, uint32_t to)
{
	struct best best = {.frame = FRAME_INDEX_NONE};
	uint32_t frames[FRAMES_MAX];
	size_t count = frame_links_collect(flow->links, root, frames, FRAMES_MAX);

	for (size_t i = 0; i < count; i++)
		find_best(flow, frames[i], to, &best);
	return best;
}

/* Whether 'to' has sent the frame on. */
static bool was_passed_on(const struct frame_flow *flow, uint32_t frame, uint32_t to)
{
	uint32_t child = frame_links_child(flow->links, frame);

	while (child != FRAME_INDEX_NONE && sender_of(flow, child) != to)
		child = frame_links_next(flow->links, child);
	return child != FRAME_INDEX_NONE;
}

/* Whether a frame for this address, which came to its end so, was for 'to': for the owner of the address, or one who
 * has it now and then, as a router that took it over. */
static bool is_for(const struct frame_flow *flow, const struct address *address, const struct best *best, uint32_t to)
{
	return is_used_by(flow, address, to) || (best->rank >= RANK_DROPPED_THERE && was_used_by(flow, address, to) &&
						 !was_passed_on(flow, best->frame, to));
}

bool frame_flow_has(const struct frame_flow *flow, uint32_t root, struct frame_fate *fate)
{
	static const enum frame_fate_kind kinds[] = {
		[RANK_UNKNOWN] = FRAME_UNKNOWN,     [RANK_ENDED] = FRAME_ENDED,
		[RANK_DROPPED] = FRAME_DROPPED,     [RANK_DROPPED_THERE] = FRAME_DROPPED,
		[RANK_DELIVERED] = FRAME_DELIVERED,
	};
	uint32_t from = sender_of(flow, root), to = from == flow->a ? flow->b : flow->a;
	struct frame_headers headers;
	struct address address;
	struct best best;

	if ((from != flow->a && from != flow->b) || frame_links_parent(flow->links, root) != FRAME_INDEX_NONE)
		return false;
	best = find_way(flow, root, to);
	if (read_headers(flow, root, &headers) && read_destination(&headers, &address) &&
	    was_used_by(flow, &address, ANYBODY)) {
		if (!is_for(flow, &address, &best, to))
			return false;
	} else if (best.rank < RANK_DROPPED_THERE) {
		return false;
	}
	*fate = (struct frame_fate){.kind = kinds[best.rank], .frame = best.frame, .crossing = best.crossing};
	return true;
}

/* The port by which the owner of 'sender' received the frame. */
static uint32_t receiving_port(const struct frame_flow *flow, uint32_t frame, uint32_t sender)
{
	const struct frame_index_crossing *crossing;
	uint32_t owner = frame_index_owner(flow->index, sender);

	for (uint32_t i = frame_index_get(flow->index, frame)->first; i != FRAME_INDEX_NONE; i = crossing->next) {
		crossing = frame_index_crossing(flow->index, i);
		if (crossing->is_received && frame_index_owner(flow->index, crossing->port) == owner)
			return crossing->port;
	}
	return sender;
}

size_t frame_flow_way(const struct frame_flow *flow, const struct frame_fate *fate,
		      uint32_t ports[FRAME_FLOW_PORTS_MAX])
{
	const struct frame_index *index = flow->index;
	uint32_t frame = fate->frame, first = frame_index_get(index, frame)->first;
	size_t at = FRAME_FLOW_PORTS_MAX;

	/* From the end backwards.  What died on the wire did so at the port that had sent it. */
	if (frame_index_crossing(index, fate->crossing)->port != frame_index_crossing(index, first)->port)
		ports[--at] = frame_index_crossing(index, fate->crossing)->port;
	while (at > 0) {
		ports[--at] = frame_index_crossing(index, first)->port;
		frame = frame_links_parent(flow->links, frame);
		if (frame == FRAME_INDEX_NONE || at == 0)
			break;
		ports[at - 1] = receiving_port(flow, frame, ports[at]);
		at--;
		first = frame_index_get(index, frame)->first;
	}
	memmove(ports, ports + at, (FRAME_FLOW_PORTS_MAX - at) * sizeof(*ports));
	return FRAME_FLOW_PORTS_MAX - at;
}
