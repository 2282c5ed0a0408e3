/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_links.h"

#include <stdlib.h>

/* How much is looked at to find a frame's parent: frames, and of them crossings and children. */
#define CANDIDATES_MAX 64
#define STEPS_MAX 1024

struct link {
	uint32_t parent, child, next;
	uint32_t older; /* The frame before it with the same identity. */
};

struct frame_links {
	const struct frame_index *index;
	struct link *links; /* Of each frame. */
};

/* What is known of a frame whose parent is looked for. */
struct search {
	const struct frame_links *links;
	const struct frame_index_frame *frame;
	uint32_t port, owner; /* That sent it. */
	uint64_t time;
	unsigned int steps; /* That are left. */
};

/* Whether the owner of the port that sent the frame received 'candidate' before. */
static bool was_received(struct search *search, const struct frame_index_frame *candidate)
{
	const struct frame_index *index = search->links->index;

	for (uint32_t i = candidate->first; i != FRAME_INDEX_NONE && search->steps > 0; search->steps--) {
		const struct frame_index_crossing *crossing = frame_index_crossing(index, i);

		if (crossing->is_received && crossing->reason == FRAME_INDEX_NONE && crossing->time <= search->time &&
		    frame_index_owner(index, crossing->port) == search->owner)
			return true;
		i = crossing->next;
	}
	return false;
}

static const struct frame_index_crossing *first_crossing(const struct frame_index *index, uint32_t frame)
{
	return frame_index_crossing(index, frame_index_get(index, frame)->first);
}

/* Whether the port that sent the frame may have passed on 'candidate' already. */
static bool was_passed_on(struct search *search, uint32_t candidate)
{
	const struct frame_links *links = search->links;

	for (uint32_t i = links->links[candidate].child; i != FRAME_INDEX_NONE; i = links->links[i].next) {
		if (search->steps == 0 || first_crossing(links->index, i)->port == search->port)
			return true;
		search->steps--;
	}
	return false;
}

static uint32_t find_parent(struct search *search, uint32_t newest)
{
	const struct frame_links *links = search->links;
	const struct packet_identity *identity = &search->frame->identity;
	unsigned int nearest = UINT8_MAX + 1, candidates = 0;
	uint32_t parent = FRAME_INDEX_NONE;

	for (uint32_t i = newest; i != FRAME_INDEX_NONE && candidates < CANDIDATES_MAX; i = links->links[i].older) {
		const struct frame_index_frame *candidate = frame_index_get(links->index, i);
		unsigned int distance = (unsigned int)(candidate->identity.hop_limit - identity->hop_limit);

		candidates++;
		if (!packet_identity_follows(&candidate->identity, identity) || distance >= nearest ||
		    !was_received(search, candidate) || was_passed_on(search, i))
			continue;
		nearest = distance;
		parent = i;
	}
	return parent;
}

static void link_frame(struct frame_links *links, uint32_t number)
{
	const struct frame_index_crossing *sent = first_crossing(links->index, number);
	struct search search = {
		.links = links,
		.frame = frame_index_get(links->index, number),
		.port = sent->port,
		.owner = frame_index_owner(links->index, sent->port),
		.time = sent->time,
		.steps = STEPS_MAX,
	};
	uint32_t parent = sent->is_received ? FRAME_INDEX_NONE : find_parent(&search, links->links[number].older);

	if (parent == FRAME_INDEX_NONE)
		return;
	links->links[number].parent = parent;
	links->links[number].next = links->links[parent].child;
	links->links[parent].child = number;
}

/* Finds the frame before this one that has the same identity, and has this one be found next. */
static uint32_t exchange_newest(const struct frame_links *links, uint32_t *newest, uint32_t place_count,
				uint32_t number)
{
	uint64_t hash = frame_index_get(links->index, number)->identity.hash;
	uint32_t at = (uint32_t)(hash % place_count), before;

	while (newest[at] && frame_index_get(links->index, newest[at] - 1)->identity.hash != hash)
		at = (at + 1) % place_count;
	before = newest[at] ? newest[at] - 1 : FRAME_INDEX_NONE;
	newest[at] = number + 1;
	return before;
}

static bool link_all(struct frame_links *links)
{
	uint32_t count = frame_index_count(links->index), place_count = 2 * count + 1;
	uint32_t *newest = calloc(place_count, sizeof(*newest)); /* Numbers plus 1, by identity. */

	if (!newest)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		links->links[i] = (struct link){FRAME_INDEX_NONE, FRAME_INDEX_NONE, FRAME_INDEX_NONE, FRAME_INDEX_NONE};
		if (frame_index_get(links->index, i)->identity.hash == 0)
			continue;
		links->links[i].older = exchange_newest(links, newest, place_count, i);
		link_frame(links, i);
	}
	free(newest);
	return true;
}

struct frame_links *frame_links_create(const struct frame_index *index)
{
	struct frame_links *links = calloc(1, sizeof(*links));

	if (!links)
		return NULL;
	links->index = index;
	links->links = calloc((size_t)frame_index_count(index) + 1, sizeof(*links->links));
	if (!links->links || !link_all(links)) {
		frame_links_destroy(links);
		return NULL;
	}
	return links;
}

void frame_links_destroy(struct frame_links *links)
{
	if (!links)
		return;
	free(links->links);
	free(links);
}

uint32_t frame_links_parent(const struct frame_links *links, uint32_t frame)
{
	return links->links[frame].parent;
}

uint32_t frame_links_child(const struct frame_links *links, uint32_t frame)
{
	return links->links[frame].child;
}

uint32_t frame_links_next(const struct frame_links *links, uint32_t frame)
{
	return links->links[frame].next;
}

uint32_t frame_links_root(const struct frame_links *links, uint32_t frame)
{
	while (links->links[frame].parent != FRAME_INDEX_NONE)
		frame = links->links[frame].parent;
	return frame;
}

static int compare(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

	return (first > second) - (first < second);
}

size_t frame_links_collect(const struct frame_links *links, uint32_t root, uint32_t *frames, size_t room)
{
	size_t count = 0;

	if (room > 0)
		frames[count++] = root;
	/* Those that are in the list already have theirs added behind them. */
	for (size_t i = 0; i < count; i++)
		for (uint32_t child = links->links[frames[i]].child; child != FRAME_INDEX_NONE && count < room;
		     child = links->links[child].next)
			frames[count++] = child;
	qsort(frames, count, sizeof(*frames), compare);
	return count;
}
