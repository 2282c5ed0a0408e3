/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_IMPAIRMENT_H
#define NETLAB_IMPAIRMENT_H 1

/* What is wrong with one direction of a link
 * ==========================================
 *
 * A plain description, without state: what a topology, "netlab tc" and schedules set, and what a wire (netlab/wire.h)
 * carries out.  All zero is a link without impairments.
 *
 * A frame meets them in this order.  It is too long (mtu), or lost.  It waits in the queue for its turn at the rate,
 * where the queue may drop it.  Then it is on its way for as long as delay and jitter say, is overtaken or overtakes
 * (reorder), and arrives, with one bit changed (corrupt), or twice (duplicate).
 *
 * Words are those of tc-netem(8), tc-tbf(8), tc-red(8) and RFC 8289 (CoDel).  Unlike in netem, jitter alone never
 * changes the order of frames, and a correlation never changes how many are lost.
 *
 * Each key of a topology that describes one is a field in the table below, which what reads, prints, compares and
 * limits impairments goes by.
 *
 * Thread-safety: none needed; it is plain data. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A share of all frames, or a correlation: of so many. */
#define IMPAIRMENT_ALL 1000000000u

#define IMPAIRMENT_TIME_MAX 600000000000ull    /* Nanoseconds of delay or jitter. */
#define IMPAIRMENT_RATE_MIN 1000ull            /* Bits a second. */
#define IMPAIRMENT_RATE_MAX 400000000000ull    /* The same. */
#define IMPAIRMENT_BURST_MAX (64u << 20)       /* Bytes. */
#define IMPAIRMENT_QUEUE_FRAMES 1000u          /* That wait for their turn, unless another limit is given. */
#define IMPAIRMENT_QUEUE_FRAMES_MAX 100000u    /* The highest such limit. */
#define IMPAIRMENT_QUEUE_BYTES_MAX (64u << 20) /* The highest one in bytes. */
#define IMPAIRMENT_IN_FLIGHT_MAX (64u << 20)   /* Bytes that are on their way at a time: what is beyond is dropped. */
#define IMPAIRMENT_CODEL_TARGET 5000000ull     /* Nanoseconds (RFC 8289, 4.4). */
#define IMPAIRMENT_CODEL_INTERVAL 100000000ull /* The same. */
#define IMPAIRMENT_MATCH_SIZE 256              /* Bytes of a filter's text, with its end. */

enum impairment_distribution {
	IMPAIRMENT_UNIFORM, /* From delay - jitter to delay + jitter. */
	IMPAIRMENT_NORMAL,  /* With a standard deviation of jitter. */
	IMPAIRMENT_PARETO,  /* The same: of shape 3, moved so that its mean is the delay. */
};

/* How a queue chooses what it drops. */
enum impairment_discipline {
	IMPAIRMENT_TAIL, /* What comes when it is full. */
	IMPAIRMENT_RED,
	IMPAIRMENT_CODEL,
};

/* Losses in bursts: a chain of two states, which changes before each frame. */
struct impairment_gilbert_elliott {
	uint32_t to_bad, to_good;     /* How likely it is to go from the good state to the bad one, and back. */
	uint32_t loss_bad, loss_good; /* Frames lost in each. */
};

struct impairment {
	uint64_t delay, jitter; /* Nanoseconds. */
	enum impairment_distribution distribution;
	uint32_t jitter_correlation; /* With the frame before; the same below. */
	uint32_t loss, loss_correlation;
	uint32_t loss_every; /* Each n-th frame is lost; 0: none. */
	struct impairment_gilbert_elliott gilbert_elliott;
	uint32_t duplicate, duplicate_correlation;
	uint32_t corrupt, corrupt_correlation;
	uint32_t reorder, reorder_correlation; /* Frames that are not delayed, and so overtake others. */
	uint32_t reorder_gap;                  /* Only each n-th frame can be one of them; 0 and 1: each. */
	uint32_t mtu;                          /* Bytes after the Ethernet header and VLAN tags; 0: no limit. */
	uint64_t rate;                         /* Bits of frames (without FCS) a second; 0: no limit. */
	uint32_t burst;                        /* Bytes that may pass at once after a silence. */
	uint32_t queue_frames, queue_bytes;    /* That may wait; both 0: IMPAIRMENT_QUEUE_FRAMES. */
	enum impairment_discipline discipline;
	uint32_t red_probability;              /* 0: IMPAIRMENT_ALL / 50. */
	uint32_t red_min, red_max;             /* Frames; 0: a quarter and three quarters of the queue. */
	uint64_t codel_target, codel_interval; /* Nanoseconds; 0: IMPAIRMENT_CODEL_TARGET, _INTERVAL. */
	uint64_t seed;
	bool has_seed;                          /* Else it follows from the names of the lab and the port. */
	char loss_match[IMPAIRMENT_MATCH_SIZE]; /* Frames that match are lost; in libpcap's language.  "": none. */
};

enum impairment_kind {
	IMPAIRMENT_KIND_TIME,    /* uint64_t: nanoseconds. */
	IMPAIRMENT_KIND_SHARE,   /* uint32_t: of IMPAIRMENT_ALL. */
	IMPAIRMENT_KIND_NUMBER,  /* uint32_t */
	IMPAIRMENT_KIND_SIZE,    /* uint32_t: bytes. */
	IMPAIRMENT_KIND_RATE,    /* uint64_t: bits a second. */
	IMPAIRMENT_KIND_WORD,    /* An enum, the index into 'words'. */
	IMPAIRMENT_KIND_QUEUE,   /* queue_frames and queue_bytes, of which one is 0. */
	IMPAIRMENT_KIND_GILBERT, /* struct impairment_gilbert_elliott */
	IMPAIRMENT_KIND_SEED,    /* seed and has_seed. */
	IMPAIRMENT_KIND_FILTER,  /* loss_match */
};

struct impairment_field {
	const char *name; /* The key in a topology. */
	enum impairment_kind kind;
	size_t offset;             /* In struct impairment. */
	uint64_t minimum, maximum; /* Of what is given, in its unit (a queue's: frames); all zero: nothing is given. */
	const char *const *words;  /* IMPAIRMENT_KIND_WORD: up to NULL. */
};

/* Keys, in the order in which they are written. */
enum impairment_key {
	IMPAIRMENT_KEY_DELAY,
	IMPAIRMENT_KEY_JITTER,
	IMPAIRMENT_KEY_DISTRIBUTION,
	IMPAIRMENT_KEY_JITTER_CORRELATION,
	IMPAIRMENT_KEY_LOSS,
	IMPAIRMENT_KEY_LOSS_CORRELATION,
	IMPAIRMENT_KEY_LOSS_EVERY,
	IMPAIRMENT_KEY_LOSS_MATCH,
	IMPAIRMENT_KEY_GILBERT_ELLIOTT,
	IMPAIRMENT_KEY_DUPLICATE,
	IMPAIRMENT_KEY_DUPLICATE_CORRELATION,
	IMPAIRMENT_KEY_CORRUPT,
	IMPAIRMENT_KEY_CORRUPT_CORRELATION,
	IMPAIRMENT_KEY_REORDER,
	IMPAIRMENT_KEY_REORDER_CORRELATION,
	IMPAIRMENT_KEY_REORDER_GAP,
	IMPAIRMENT_KEY_RATE,
	IMPAIRMENT_KEY_BURST,
	IMPAIRMENT_KEY_QUEUE,
	IMPAIRMENT_KEY_DISCIPLINE,
	IMPAIRMENT_KEY_RED_MIN,
	IMPAIRMENT_KEY_RED_MAX,
	IMPAIRMENT_KEY_RED_PROBABILITY,
	IMPAIRMENT_KEY_CODEL_TARGET,
	IMPAIRMENT_KEY_CODEL_INTERVAL,
	IMPAIRMENT_KEY_MTU,
	IMPAIRMENT_KEY_SEED,
	IMPAIRMENT_FIELD_COUNT,
};

extern const struct impairment_field impairment_fields[IMPAIRMENT_FIELD_COUNT];

/* Whether the field is given: it is not zero. */
bool impairment_has(const struct impairment *impairment, const struct impairment_field *field);
/* Has the field as it is in 'from', or, if that is NULL, not given. */
void impairment_set(struct impairment *impairment, const struct impairment_field *field, const struct impairment *from);

/* The names of presets, up to NULL. */
extern const char *const impairment_preset_names[];
/* Sets what presets have: delay, jitter, its distribution and correlation, loss, its correlation, gilbert_elliott,
 * rate, burst, the queue's limit and discipline.  The rest stays.  Returns false when there is none of that name. */
bool impairment_apply_preset(struct impairment *impairment, const char *name);

/* Has numbers that are out of the range of their field be the nearest that is not, so that nothing that is computed
 * with them overflows, and ends the filter's text. */
void impairment_limit(struct impairment *impairment);

/* Whether it does anything. */
bool impairment_is_any(const struct impairment *impairment);
bool impairment_is_equal(const struct impairment *a, const struct impairment *b);
/* In words, as a topology has it: "delay: 20ms, loss: 0.5%", or "none"; to be freed.  NULL when out of memory. */
char *impairment_text(const struct impairment *impairment);

#endif /* impairment.h */
