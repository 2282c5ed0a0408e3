/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_RECORD_H
#define NETLAB_CAPTURE_RECORD_H 1

/* What the data plane's thread tells the capture's writer (netlab/capture_ring.h), and what the recorder keeps
 * (netlab/capture_recorder.h).
 *
 * A frame is one record, whatever the number of ports it crosses: its bytes, once, and then its crossings in their
 * order.  One that gets another tag on its way, is cut into segments, or crosses more than CAPTURE_CROSSINGS_MAX ports,
 * is several records of the same id.
 *
 * Thread-safety: a record is its thread's alone until it is committed to the ring, and constant from then on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CAPTURE_CROSSINGS_MAX 64

enum capture_kind {
	CAPTURE_FRAME,
	CAPTURE_EVENT, /* Something that is no frame happened: 'bytes' is a text. */
	CAPTURE_END,   /* 'id' is the number of a port whose last frame was captured. */
	CAPTURE_MARK,  /* 'id' is a struct capture_mark's address. */
};

/* What was left to others. */
enum capture_undone {
	CAPTURE_CHECKSUM = 1,     /* Its checksum is to be completed. */
	CAPTURE_SEGMENTATION = 2, /* It is to be cut into segments. */
};

struct capture_crossing {
	uint32_t port;
	uint32_t limit;      /* With some reasons, the number that the frame was above, or 0. */
	uint8_t is_received; /* It came out of the wire at this port; else it went in. */
	uint8_t is_on_wire;  /* It did cross the port, and is in the port's own capture. */
	uint8_t drop;        /* 0: it went on, else it died here, for the reason drop - 1 of enum drop_reason. */
	uint8_t unused;
};

/* What a wire with impairments did to a frame before it came to these crossings. */
struct capture_impairment {
	uint64_t delay; /* Nanoseconds from its sending to here, ... */
	uint64_t late;  /* ... of which so many are not the wire's, but since nobody came to let it out. */
	uint32_t corrupted_bit;
	uint8_t is_corrupted, is_duplicate, has_overtaken, unused;
};

struct capture_record {
	uint64_t time; /* Nanoseconds since the epoch. */
	uint64_t id;
	uint16_t kind;
	uint8_t is_impaired;     /* There is a struct capture_impairment behind the crossings. */
	uint8_t undone;          /* Bits of enum capture_undone: the frame is not what a wire would carry. */
	uint32_t size;           /* Of the frame. */
	uint32_t captured;       /* Bytes that are here ... */
	uint32_t crossing_count; /* ... and crossings behind them. */
	uint8_t bytes[];
};

/* Bytes of a record of so many, without an impairment. */
static inline size_t capture_record_size(uint32_t captured, uint32_t crossing_count)
{
	return sizeof(struct capture_record) + ((size_t)captured + 3) / 4 * 4 +
	       crossing_count * sizeof(struct capture_crossing);
}

static inline const struct capture_crossing *capture_record_crossings(const struct capture_record *record)
{
	return (const struct capture_crossing *)(const void *)(record->bytes + ((size_t)record->captured + 3) / 4 * 4);
}

/* Copies what a wire did to the frame of a record that has such; it has no alignment of its own. */
static inline void capture_record_impairment(const struct capture_record *record, struct capture_impairment *impairment)
{
	memcpy(impairment, capture_record_crossings(record) + record->crossing_count, sizeof(*impairment));
}

#endif /* capture_record.h */
