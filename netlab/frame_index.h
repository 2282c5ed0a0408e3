/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_INDEX_H
#define NETLAB_FRAME_INDEX_H 1

/* Frames of a capture of a lab, and where each went
 * ==================================================
 *
 * Takes the packets of a capture that netlab wrote, one after the other, and keeps of each frame (what has one
 * epb_packetid) its ports in their order, why it died, its first bytes, and by what it can be recognised behind a
 * router (netlab/packet_identity.h).
 *
 * An index has room for as much as was asked for.  When it is full, the older half of its frames is forgotten.
 * Frames of several labs in one capture may have the same id, and are then taken for one.
 *
 * Whose a port is, its owner, is what stands before the colon of an interface's name: "h1" of "h1:eth0".  What leads
 * out of the lab is its own owner: "network:uplink".
 *
 * Thread-safety: one thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/packet_identity.h"
#include "netlab/pcapng_reader.h"

#define FRAME_INDEX_NONE UINT32_MAX

/* Bytes that are kept of why a frame died. */
#define FRAME_INDEX_TEXT_MAX 128

struct frame_index_limits {
	uint32_t frames, crossings; /* Two of each at least. */
	uint32_t bytes;             /* Of frames, and of texts; 1024 at least. */
	uint32_t ports;             /* 1 at least.  They are never forgotten. */
};

/* Enough for a recorder of 64 MiB full of the shortest frames, nearly twice.  400 MB of memory at the very most. */
extern const struct frame_index_limits frame_index_usual_limits;

/* A frame at a port. */
struct frame_index_crossing {
	uint64_t time;    /* Nanoseconds since the epoch. */
	uint32_t port;    /* For frame_index_port_name(). */
	uint32_t next;    /* The frame's next crossing, or FRAME_INDEX_NONE. */
	uint32_t reason;  /* It died here: for frame_index_text(); or FRAME_INDEX_NONE. */
	uint32_t detail;  /* With a reason: what else is known, "limit=1500"; as above. */
	uint32_t wire;    /* What a wire did to it before it came here, "delay=20.1ms late=0.1ms"; as above, or NONE. */
	bool is_received; /* It came out of the wire here; else it went in. */
};

struct frame_index_frame {
	uint64_t id;
	struct packet_identity identity;
	uint32_t first, last; /* Crossings. */
	uint32_t bytes;       /* For frame_index_bytes(). */
	uint32_t byte_count;
	uint32_t size; /* Of the whole frame. */
};

struct frame_index;

/* Returns NULL when out of memory. */
struct frame_index *frame_index_create(const struct frame_index_limits *limits);
void frame_index_destroy(struct frame_index *index);

/* Adds a packet.  Returns 1; 0 if it is none of a lab's capture: it has no id, no interface with a name, or an id above
 * INT64_MAX; or -ENOSPC when the index is full, -ENOMEM when there is no memory for the name of a port,
 * or there are too many. */
int frame_index_add(struct frame_index *index, const struct pcapng_reader_packet *packet);

/* Forgets the older half, which is frame_index_old_count() frames.  Frames get other numbers.  Returns 0, or
 * -ENOMEM. */
int frame_index_forget(struct frame_index *index);
uint32_t frame_index_old_count(const struct frame_index *index);

/* Frames are numbered from 0 on in the order in which they came. */
uint32_t frame_index_count(const struct frame_index *index);
uint64_t frame_index_forgotten(const struct frame_index *index);
const struct frame_index_frame *frame_index_get(const struct frame_index *index, uint32_t number);
/* Returns the frame's number, or FRAME_INDEX_NONE. */
uint32_t frame_index_find(const struct frame_index *index, uint64_t id);

/* The number is that of a frame's 'first', or a crossing's 'next'. */
const struct frame_index_crossing *frame_index_crossing(const struct frame_index *index, uint32_t number);
const uint8_t *frame_index_bytes(const struct frame_index *index, const struct frame_index_frame *frame);
const char *frame_index_text(const struct frame_index *index, uint32_t text);

const char *frame_index_port_name(const struct frame_index *index, uint32_t port);
/* Owners have numbers, too. */
uint32_t frame_index_owner(const struct frame_index *index, uint32_t port);
const char *frame_index_owner_name(const struct frame_index *index, uint32_t owner);
/* Returns FRAME_INDEX_NONE if no port of it was seen. */
uint32_t frame_index_find_owner(const struct frame_index *index, const char *name);

/* The drop of a packet, "REASON" and what stands behind it, from the comment of netlab's.  Returns false if there is
 * none.  Both are cut off, and what is not printable ASCII in them is a question mark. */
struct frame_drop {
	char reason[FRAME_INDEX_TEXT_MAX];
	char detail[FRAME_INDEX_TEXT_MAX];
};

bool frame_drop_read(const struct pcapng_reader_packet *packet, struct frame_drop *drop);

/* What a wire did to the packet, from such a comment, in the same way.  Returns false if there is none. */
bool frame_wire_read(const struct pcapng_reader_packet *packet, char text[FRAME_INDEX_TEXT_MAX]);

#endif /* frame_index.h */
