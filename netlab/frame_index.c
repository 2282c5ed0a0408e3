/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "netlab/frame_summary.h"
#include "netlab/topology_units.h"

/* Theory of operation
 * -------------------
 * Frames, crossings and bytes are arrays of a fixed size, of which the kernel gives only what is touched.  Frames are
 * found by id, and names by what they are, with tables of open addressing that are twice as large as they need be, so
 * that a free place ends every search.  A file may have any ids, so they are hashed. */

#define DROP_PREFIX "netlab: drop="
#define WIRE_PREFIX "netlab: delay="

const struct frame_index_limits frame_index_usual_limits = {
	.frames = 1u << 20,
	.crossings = 4u << 20,
	.bytes = 128u << 20,
	.ports = PCAPNG_READER_INTERFACES_MAX,
};

struct name {
	char *text;
	uint32_t owner; /* Its own number, if it is no port's. */
};

struct frame_index {
	struct frame_index_limits limits;
	struct frame_index_frame *frames;
	struct frame_index_crossing *crossings;
	uint8_t *bytes;
	uint32_t frame_count, crossing_count, byte_count;
	uint64_t forgotten;
	uint32_t *places; /* Numbers of frames plus 1, by id. */
	uint32_t place_count;
	struct name *names; /* Of ports and their owners. */
	uint32_t name_count;
	uint32_t *name_places; /* Numbers plus 1. */
	uint32_t name_place_count;
};

struct frame_index *frame_index_create(const struct frame_index_limits *limits)
{
	struct frame_index *index = calloc(1, sizeof(*index));

	if (!index)
		return NULL;
	index->limits = *limits;
	index->place_count = 2 * limits->frames;
	index->name_place_count = 4 * limits->ports;
	index->frames = calloc(limits->frames, sizeof(*index->frames));
	index->crossings = calloc(limits->crossings, sizeof(*index->crossings));
	index->bytes = calloc(limits->bytes, 1);
	index->places = calloc(index->place_count, sizeof(*index->places));
	index->names = calloc(2 * (size_t)limits->ports, sizeof(*index->names));
	index->name_places = calloc(index->name_place_count, sizeof(*index->name_places));
	if (!index->frames || !index->crossings || !index->bytes || !index->places || !index->names ||
	    !index->name_places) {
		frame_index_destroy(index);
		return NULL;
	}
	return index;
}

void frame_index_destroy(struct frame_index *index)
{
	if (!index)
		return;
	for (uint32_t i = 0; index->names && i < index->name_count; i++)
		free(index->names[i].text);
	free(index->names);
	free(index->name_places);
	free(index->frames);
	free(index->crossings);
	free(index->bytes);
	free(index->places);
	free(index);
}

/* Names. */

/* Returns the place of the name, or the free one where it belongs. */
static uint32_t *name_place(const struct frame_index *index, const char *text, size_t size)
{
	uint32_t at = (uint32_t)(XXH3_64bits(text, size) % index->name_place_count);

	for (;; at = (at + 1) % index->name_place_count) {
		uint32_t number = index->name_places[at];

		if (number == 0 ||
		    (!strncmp(index->names[number - 1].text, text, size) && !index->names[number - 1].text[size]))
			return &index->name_places[at];
	}
}

/* Returns the name's number, or FRAME_INDEX_NONE when there is no memory or no room. */
static uint32_t add_name(struct frame_index *index, const char *text, size_t size)
{
	uint32_t *place = name_place(index, text, size);
	struct name *name = &index->names[index->name_count];

	if (*place)
		return *place - 1;
	if (index->name_count >= 2 * index->limits.ports)
		return FRAME_INDEX_NONE;
	name->text = strndup(text, size);
	if (!name->text)
		return FRAME_INDEX_NONE;
	name->owner = index->name_count++;
	*place = index->name_count;
	return name->owner;
}

/* How much of a port's name is its owner's.  What leads out of the lab has no name that could be an interface's, but
 * for a network, which may have any. */
static size_t owner_size(const char *port)
{
	const char *colon = strchr(port, ':');
	unsigned int number;
	bool is_node = colon && colon > port && !topology_parse_interface(colon + 1, &number) &&
		       strncmp(port, "network:", strlen("network:")) != 0;

	return is_node ? (size_t)(colon - port) : strlen(port);
}

static uint32_t add_port(struct frame_index *index, const char *text)
{
	uint32_t port = add_name(index, text, strlen(text)), owner = add_name(index, text, owner_size(text));

	if (port == FRAME_INDEX_NONE || owner == FRAME_INDEX_NONE)
		return FRAME_INDEX_NONE;
	index->names[port].owner = owner;
	return port;
}

const char *frame_index_port_name(const struct frame_index *index, uint32_t port)
{
	return index->names[port].text;
}

uint32_t frame_index_owner(const struct frame_index *index, uint32_t port)
{
	return index->names[port].owner;
}

const char *frame_index_owner_name(const struct frame_index *index, uint32_t owner)
{
	return index->names[owner].text;
}

uint32_t frame_index_find_owner(const struct frame_index *index, const char *name)
{
	uint32_t number = *name_place(index, name, strlen(name));

	return number && index->names[number - 1].owner == number - 1 ? number - 1 : FRAME_INDEX_NONE;
}

/* Drops. */

static void copy_printable(char to[FRAME_INDEX_TEXT_MAX], const char *text, size_t size)
{
	size_t count = size < FRAME_INDEX_TEXT_MAX ? size : FRAME_INDEX_TEXT_MAX - 1;

	for (size_t i = 0; i < count; i++)
		to[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	to[count] = '\0';
}

/* What stands behind the prefix in the comment that begins with it, or NULL. */
static const char *find_comment(const struct pcapng_reader_packet *packet, const char *prefix)
{
	for (size_t i = 0; i < PCAPNG_READER_COMMENTS_MAX && packet->comments[i]; i++)
		if (strncmp(packet->comments[i], prefix, strlen(prefix)) == 0)
			return packet->comments[i] + strlen(prefix);
	return NULL;
}

bool frame_drop_read(const struct pcapng_reader_packet *packet, struct frame_drop *drop)
{
	const char *reason = find_comment(packet, DROP_PREFIX);
	size_t size;

	if (!reason)
		return false;
	size = strcspn(reason, " ");
	copy_printable(drop->reason, reason, size);
	reason += size + (reason[size] == ' ');
	copy_printable(drop->detail, reason, strlen(reason));
	return size > 0;
}

bool frame_wire_read(const struct pcapng_reader_packet *packet, char text[FRAME_INDEX_TEXT_MAX])
{
	const char *found = find_comment(packet, WIRE_PREFIX);

	if (found)
		copy_printable(text, found - strlen("delay="), strlen(found) + strlen("delay="));
	return found != NULL;
}

/* Adding. */

static const char *text_of(const struct frame_index *index, uint32_t text)
{
	return (const char *)index->bytes + text;
}

static uint32_t *place_of(const struct frame_index *index, uint64_t id)
{
	uint32_t at = (uint32_t)(XXH3_64bits(&id, sizeof(id)) % index->place_count);

	while (index->places[at] && index->frames[index->places[at] - 1].id != id)
		at = (at + 1) % index->place_count;
	return &index->places[at];
}

/* There is room. */
static uint32_t keep(struct frame_index *index, const void *bytes, size_t size)
{
	uint32_t at = index->byte_count;

	memcpy(index->bytes + at, bytes, size);
	index->byte_count += (uint32_t)size;
	return at;
}

static bool has_room(const struct frame_index *index)
{
	return index->frame_count < index->limits.frames && index->crossing_count < index->limits.crossings &&
	       index->limits.bytes - index->byte_count >= FRAME_SUMMARY_BYTES + 3 * FRAME_INDEX_TEXT_MAX;
}

static void add_frame(struct frame_index *index, const struct pcapng_reader_packet *packet)
{
	struct frame_index_frame *frame = &index->frames[index->frame_count];
	struct frame_headers headers;

	*frame = (struct frame_index_frame){
		.id = packet->id,
		.first = index->crossing_count,
		.last = FRAME_INDEX_NONE,
		.byte_count = packet->captured < FRAME_SUMMARY_BYTES ? packet->captured : FRAME_SUMMARY_BYTES,
		.size = packet->size,
	};
	frame->bytes = keep(index, packet->bytes, frame->byte_count);
	if (frame_headers_read(packet->bytes, packet->captured, &headers))
		frame->identity = packet_identity(&headers);
	*place_of(index, packet->id) = ++index->frame_count;
}

static void add_crossing(struct frame_index *index, struct frame_index_frame *frame, uint32_t port,
			 const struct pcapng_reader_packet *packet)
{
	struct frame_index_crossing *crossing = &index->crossings[index->crossing_count];
	char wire[FRAME_INDEX_TEXT_MAX];
	struct frame_drop drop;

	*crossing = (struct frame_index_crossing){
		.time = packet->time,
		.port = port,
		.next = FRAME_INDEX_NONE,
		.reason = FRAME_INDEX_NONE,
		.detail = FRAME_INDEX_NONE,
		.wire = FRAME_INDEX_NONE,
		.is_received = packet->direction == 1, /* epb_flags: inbound. */
	};
	if (frame_drop_read(packet, &drop)) {
		crossing->reason = keep(index, drop.reason, strlen(drop.reason) + 1);
		crossing->detail = keep(index, drop.detail, strlen(drop.detail) + 1);
	}
	if (frame_wire_read(packet, wire))
		crossing->wire = keep(index, wire, strlen(wire) + 1);
	if (frame->last != FRAME_INDEX_NONE)
		index->crossings[frame->last].next = index->crossing_count;
	frame->last = index->crossing_count++;
}

int frame_index_add(struct frame_index *index, const struct pcapng_reader_packet *packet)
{
	uint32_t port, *place;

	if (!packet->has_id || packet->id > INT64_MAX || !packet->interface->name[0])
		return 0;
	if (!has_room(index))
		return -ENOSPC;
	port = add_port(index, packet->interface->name);
	if (port == FRAME_INDEX_NONE)
		return -ENOMEM;
	place = place_of(index, packet->id);
	if (!*place)
		add_frame(index, packet);
	add_crossing(index, &index->frames[*place - 1], port, packet);
	return 1;
}

/* Forgetting. */

static void copy_text(struct frame_index *to, const struct frame_index *from, uint32_t *text)
{
	if (*text != FRAME_INDEX_NONE)
		*text = keep(to, from->bytes + *text, strlen(text_of(from, *text)) + 1);
}

static void copy_frame(struct frame_index *to, const struct frame_index *from, const struct frame_index_frame *frame)
{
	struct frame_index_frame *copy = &to->frames[to->frame_count];

	*copy = *frame;
	copy->first = to->crossing_count;
	copy->bytes = keep(to, from->bytes + frame->bytes, frame->byte_count);
	for (uint32_t i = frame->first; i != FRAME_INDEX_NONE; i = from->crossings[i].next) {
		struct frame_index_crossing *crossing = &to->crossings[to->crossing_count++];

		*crossing = from->crossings[i];
		if (crossing->next != FRAME_INDEX_NONE)
			crossing->next = to->crossing_count;
		copy_text(to, from, &crossing->reason);
		copy_text(to, from, &crossing->detail);
		copy_text(to, from, &crossing->wire);
	}
	copy->last = to->crossing_count - 1;
	*place_of(to, frame->id) = ++to->frame_count;
}

static void swap_names(struct frame_index *a, struct frame_index *b)
{
	struct frame_index before = *a;

	a->names = b->names;
	a->name_count = b->name_count;
	a->name_places = b->name_places;
	b->names = before.names;
	b->name_count = before.name_count;
	b->name_places = before.name_places;
}

uint32_t frame_index_old_count(const struct frame_index *index)
{
	return (index->frame_count + 1) / 2;
}

int frame_index_forget(struct frame_index *index)
{
	struct frame_index *kept = frame_index_create(&index->limits), before = *index;
	uint32_t forgotten = frame_index_old_count(index);

	if (!kept)
		return -ENOMEM;
	for (uint32_t i = forgotten; i < index->frame_count; i++)
		copy_frame(kept, index, &index->frames[i]);
	kept->forgotten = index->forgotten + forgotten;
	*index = *kept;
	*kept = before;
	swap_names(index, kept);
	frame_index_destroy(kept);
	return 0;
}

/* Asking. */

uint32_t frame_index_count(const struct frame_index *index)
{
	return index->frame_count;
}

uint64_t frame_index_forgotten(const struct frame_index *index)
{
	return index->forgotten;
}

const struct frame_index_frame *frame_index_get(const struct frame_index *index, uint32_t number)
{
	return &index->frames[number];
}

uint32_t frame_index_find(const struct frame_index *index, uint64_t id)
{
	uint32_t number = *place_of(index, id);

	return number ? number - 1 : FRAME_INDEX_NONE;
}

const struct frame_index_crossing *frame_index_crossing(const struct frame_index *index, uint32_t number)
{
	return &index->crossings[number];
}

const uint8_t *frame_index_bytes(const struct frame_index *index, const struct frame_index_frame *frame)
{
	return index->bytes + frame->bytes;
}

const char *frame_index_text(const struct frame_index *index, uint32_t text)
{
	return text_of(index, text);
}
