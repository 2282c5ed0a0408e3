/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/wire.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/state.h"
#include "netlab/fate.h"
#include "netlab/frame_filter.h"
#include "netlab/queue_discipline.h"
#include "netlab/random.h"

/* Theory of operation
 * -------------------
 * A frame is copied when it is put in, its fate decided by then but for what the queue does.  It goes to the end of the
 * queue.  Whenever somebody comes by, with wire_send() or wire_run(), the queue is brought up to date: those at its
 * head whose turn has come by now leave it, each at the instant at which that was, not now, and go into the heap of
 * those in flight with the time at which they are due.  What CoDel drops leaves in the same way, due at once, as a dead
 * frame.  So all that leaves a wire leaves the heap.
 *
 * The rate is a token bucket, kept as one time: 'free_at', when all that was sent is paid for.  A frame's turn comes
 * when no more than the burst is owed, and it has gone when that is so with its own price.  What a division leaves
 * over goes to the next price, so that the rate is exact in the long run. */

#define SECOND 1000000000ull

/* Bytes of a frame that a filter sees. */
#define FILTERED_SIZE 2048

/* What RED takes for a frame of middling size. */
#define MIDDLING_SIZE 1000

#define TAG_WIRE STATE_TAG('w', 'i', 'r', 'e')
#define TAG_FLYING STATE_TAG('f', 'l', 'y', ' ')
#define TAG_BYTES STATE_TAG('f', 'l', 'y', 'b')

#define ALIVE (-1)

/* Nanoseconds from now; beyond, no snapshot can have anything: the longest queue at the lowest rate, a week, and the
 * longest delay are less. */
#define DUE_MAX (1ull << 60)

/* What is kept of a frame, in a snapshot too. */
struct flight {
	uint64_t id, sent, delay;
	uint64_t due; /* Once it is in the heap. */
	uint64_t position;
	uint32_t size;
	int32_t death; /* enum wire_death, or ALIVE. */
	uint8_t is_duplicated, is_duplicate, is_corrupted, overtakes;
	uint8_t unused[4];
};

struct flying {
	struct deadline deadline; /* First. */
	STAILQ_ENTRY(flying) next;
	struct flight flight;
	uint8_t bytes[];
};

#define COUNTER(name) (offsetof(struct wire_counters, name) / sizeof(uint64_t))
#define COUNTER_COUNT (sizeof(struct wire_counters) / sizeof(uint64_t))

struct wire {
	struct impairment impairment;
	struct fate_source fates;
	struct frame_filter filter; /* The impairment's, compiled, once it was given. */
	struct buffer_pool *pool;
	const struct wire_ops *ops;
	void *opaque;
	STAILQ_HEAD(, flying) queue;
	uint32_t queue_frames;
	uint64_t queue_bytes;
	struct deadline_heap heap;
	size_t room;        /* Bytes that its frames take of the pool. */
	uint64_t last_due;  /* Of those that keep their order. */
	uint64_t free_at;   /* See above. */
	uint64_t credit;    /* What may be owed for its sending when a frame goes: the burst's price. */
	uint64_t remainder; /* Of the last price, as a share of a nanosecond: this, divided by the rate. */
	struct red red;
	struct codel codel;
	_Atomic uint64_t counters[COUNTER_COUNT];
};

static void add(struct wire *wire, size_t counter, uint64_t number)
{
	uint64_t value = atomic_load_explicit(&wire->counters[counter], memory_order_relaxed);

	atomic_store_explicit(&wire->counters[counter], value + number, memory_order_relaxed);
}

static void set(struct wire *wire, size_t counter, uint64_t number)
{
	atomic_store_explicit(&wire->counters[counter], number, memory_order_relaxed);
}

void wire_read_counters(const struct wire *wire, struct wire_counters *counters)
{
	uint64_t values[COUNTER_COUNT] = {0};

	for (size_t i = 0; i < COUNTER_COUNT; i++)
		values[i] = atomic_load_explicit(&wire->counters[i], memory_order_relaxed);
	memcpy(counters, values, sizeof(*counters));
}

static void count_death(struct wire *wire, enum wire_death death)
{
	static const size_t counters[] = {
		[WIRE_MTU] = COUNTER(mtu),     [WIRE_LOSS] = COUNTER(lost),
		[WIRE_EARLY] = COUNTER(early), [WIRE_QUEUE_FULL] = COUNTER(queue_full),
		[WIRE_CUT] = COUNTER(cut),     [WIRE_IN_FLIGHT_FULL] = COUNTER(no_room),
	};

	add(wire, counters[death], 1);
}

static void count_contents(struct wire *wire)
{
	set(wire, COUNTER(waiting), wire->queue_frames);
	set(wire, COUNTER(in_flight), wire->heap.count);
}

struct wire *wire_create(struct buffer_pool *pool, const struct wire_ops *ops, void *opaque)
{
	struct wire *wire = calloc(1, sizeof(*wire));

	if (!wire)
		return NULL;
	wire->pool = pool;
	wire->ops = ops;
	wire->opaque = opaque;
	STAILQ_INIT(&wire->queue);
	return wire;
}

static size_t size_of(const struct flying *flying)
{
	return sizeof(*flying) + flying->flight.size;
}

static void free_flying(struct wire *wire, struct flying *flying)
{
	wire->room -= buffer_pool_room(size_of(flying));
	buffer_pool_give(wire->pool, flying, size_of(flying));
}

/* Takes the first one out of the queue, which has one. */
static struct flying *dequeue(struct wire *wire)
{
	struct flying *flying = STAILQ_FIRST(&wire->queue);

	STAILQ_REMOVE_HEAD(&wire->queue, next);
	wire->queue_frames--;
	wire->queue_bytes -= flying->flight.size;
	return flying;
}

static void empty(struct wire *wire)
{
	struct deadline *first;

	while (!STAILQ_EMPTY(&wire->queue))
		free_flying(wire, dequeue(wire));
	while ((first = deadline_heap_first(&wire->heap))) {
		deadline_heap_remove(&wire->heap, first);
		free_flying(wire, (struct flying *)first);
	}
}

void wire_destroy(struct wire *wire)
{
	if (!wire)
		return;
	empty(wire);
	deadline_heap_release(&wire->heap);
	frame_filter_clear(&wire->filter);
	free(wire);
}

static uint64_t at_most(uint64_t number, uint64_t most)
{
	return number < most ? number : most;
}

/* Nanoseconds that so many bytes take, 'remainder' being what was left over before, and is now. */
static uint64_t price_of(const struct wire *wire, uint64_t size, uint64_t *remainder)
{
	uint64_t share = size * 8 * SECOND + *remainder; /* Below 2^63: BUFFER_POOL_SIZE_MAX, IMPAIRMENT_BURST_MAX. */

	*remainder = share % wire->impairment.rate;
	return share / wire->impairment.rate;
}

/* When what is owed now at one rate will have been paid at another. */
static uint64_t change_rate(uint64_t free_at, uint64_t before, uint64_t after, uint64_t now)
{
	unsigned __int128 nanoseconds;

	if (free_at <= now || before == 0 || after == 0)
		return free_at <= now ? free_at : now;
	nanoseconds = (unsigned __int128)(free_at - now) * before / after;
	return now + (nanoseconds < DUE_MAX / 2 ? (uint64_t)nanoseconds : DUE_MAX / 2);
}

void wire_set(struct wire *wire, const struct impairment *impairment, uint64_t seed, uint64_t now)
{
	uint64_t remainder = 0, before = wire->impairment.rate;

	frame_filter_clear(&wire->filter);
	wire->impairment = *impairment;
	impairment_limit(&wire->impairment);
	wire->free_at = change_rate(wire->free_at, before, wire->impairment.rate, now);
	wire->last_due = 0;
	wire->remainder = 0;
	wire->credit = wire->impairment.rate > 0 ? price_of(wire, wire->impairment.burst, &remainder) : 0;
	wire->red = (struct red){.since = -1};
	wire->codel = (struct codel){0};
	/* One seed that is given to many directions is another in each. */
	fate_begin(&wire->fates, impairment->has_seed ? random_bits(impairment->seed, seed, 0) : seed);
}

void wire_set_filter(struct wire *wire, struct frame_filter *filter)
{
	frame_filter_clear(&wire->filter);
	wire->filter = *filter;
	*filter = (struct frame_filter){0};
}

const struct impairment *wire_impairment(const struct wire *wire)
{
	return &wire->impairment;
}

/* The queue and the rate. */

/* When it is the turn of the first frame in the queue. */
static uint64_t turn_of(const struct wire *wire, const struct flying *flying)
{
	uint64_t paid = wire->impairment.rate > 0 ? wire->free_at : 0, sent = flying->flight.sent;

	return paid <= sent || paid - sent <= wire->credit ? sent : paid - wire->credit;
}

/* The frame is sent, beginning at 'turn'.  Returns when it is. */
static uint64_t send_at(struct wire *wire, const struct flying *flying, uint64_t turn)
{
	uint64_t begin = wire->free_at > turn ? wire->free_at : turn;

	if (wire->impairment.rate == 0)
		return turn;
	wire->free_at = begin + price_of(wire, flying->flight.size, &wire->remainder);
	return wire->free_at > turn + wire->credit ? wire->free_at - wire->credit : turn;
}

static void take_off(struct wire *wire, struct flying *flying, uint64_t due)
{
	flying->flight.due = due;
	if (deadline_heap_add(&wire->heap, &flying->deadline, due) == 0)
		return;
	add(wire, COUNTER(no_room), 1); /* No memory: nobody can be told where it died. */
	free_flying(wire, flying);
}

/* Takes room for a frame in flight, with 'size' bytes in all.  Returns NULL when there is none. */
static struct flying *take_room(struct wire *wire, size_t size)
{
	size_t room = buffer_pool_room(size);
	struct flying *flying = wire->room + room <= IMPAIRMENT_IN_FLIGHT_MAX ? buffer_pool_take(wire->pool, size) :
										NULL;

	if (flying)
		wire->room += room;
	return flying;
}

static struct flying *duplicate(struct wire *wire, const struct flying *flying)
{
	struct flying *copy = take_room(wire, size_of(flying));

	if (!copy)
		return NULL;
	memcpy(copy, flying, size_of(flying));
	copy->deadline = (struct deadline){0};
	copy->flight.is_duplicate = true;
	return copy;
}

/* The frame leaves the queue at this time. */
static void depart(struct wire *wire, struct flying *flying, uint64_t time)
{
	struct flying *copy = flying->flight.is_duplicated ? duplicate(wire, flying) : NULL;
	uint64_t due = time + flying->flight.delay;

	if (!flying->flight.overtakes) {
		if (due < wire->last_due)
			due = wire->last_due;
		wire->last_due = due;
	}
	take_off(wire, flying, due);
	if (copy)
		take_off(wire, copy, due);
}

static bool is_dropped(struct wire *wire, const struct flying *flying, uint64_t turn)
{
	return wire->impairment.discipline == IMPAIRMENT_CODEL && wire->impairment.rate > 0 &&
	       codel_drops(&wire->codel, &wire->impairment, flying->flight.sent, turn, wire->queue_bytes);
}

/* Brings the queue up to date. */
static void serve(struct wire *wire, uint64_t now)
{
	struct flying *flying;
	uint64_t turn = 0;

	if (STAILQ_EMPTY(&wire->queue))
		return;
	while ((flying = STAILQ_FIRST(&wire->queue)) && (turn = turn_of(wire, flying)) <= now) {
		dequeue(wire);
		if (is_dropped(wire, flying, turn)) {
			flying->flight.death = WIRE_EARLY;
			take_off(wire, flying, turn);
		} else {
			depart(wire, flying, send_at(wire, flying, turn));
		}
	}
	if (!flying) {
		red_idle(&wire->red, turn);
		codel_idle(&wire->codel);
	}
}

/* Frames that come in. */

static bool is_matching(const struct wire *wire, const struct frame *frame)
{
	struct pcap_pkthdr header = {.len = (bpf_u_int32)frame->size};
	uint8_t bytes[FILTERED_SIZE];

	if (!frame_filter_is_given(&wire->filter))
		return false;
	header.caplen = (bpf_u_int32)at_most(frame->size, sizeof(bytes));
	frame_copy(frame, bytes, header.caplen);
	return frame_filter_passes(&wire->filter, &header, bytes);
}

/* Bytes that are not part of the MTU: the Ethernet header, and a VLAN tag or two (IEEE 802.1Q, 802.1ad). */
static size_t header_size(const struct frame *frame)
{
	uint16_t type;

	return frame_find_packet(frame->header, at_most(frame->header_size, FRAME_SIZE_MIN + 2 * FRAME_TAG_SIZE),
				 &type);
}

static uint64_t middling_pause(const struct wire *wire)
{
	uint64_t remainder = 0;

	return price_of(wire, MIDDLING_SIZE, &remainder);
}

/* Whether the queue takes one more of this size. */
static bool is_queued(struct wire *wire, size_t size, uint64_t now, enum wire_death *death, uint32_t *limit)
{
	const struct impairment *impairment = &wire->impairment;
	uint32_t frames = impairment->queue_frames;

	if (impairment->rate == 0)
		return true;
	if (frames == 0)
		frames = impairment->queue_bytes == 0 ? IMPAIRMENT_QUEUE_FRAMES : impairment->queue_bytes / 500 + 1;
	*death = WIRE_QUEUE_FULL;
	*limit = impairment->queue_bytes;
	if (*limit > 0 && wire->queue_bytes + size > *limit)
		return false;
	*limit = frames;
	if (wire->queue_frames >= frames && (impairment->queue_frames > 0 || impairment->queue_bytes == 0))
		return false;
	*death = WIRE_EARLY;
	*limit = 0;
	return impairment->discipline != IMPAIRMENT_RED ||
	       !red_drops(&wire->red, impairment, wire->queue_frames, frames, now, middling_pause(wire),
			  fate_chance(&wire->fates, FATE_EARLY));
}

static struct flying *copy_frame(struct wire *wire, const struct frame *frame)
{
	struct flying *flying = take_room(wire, sizeof(struct flying) + frame->size);

	if (!flying)
		return NULL;
	flying->deadline = (struct deadline){0};
	flying->flight = (struct flight){.size = (uint32_t)frame->size, .death = ALIVE};
	frame_copy(frame, flying->bytes, frame->size);
	return flying;
}

/* Has the frame's fate done to it. */
static void apply(struct flying *flying, const struct fate *fate)
{
	struct flight *flight = &flying->flight;

	flight->delay = fate->delay;
	flight->is_duplicated = fate->is_duplicated;
	flight->overtakes = fate->overtakes;
	flight->is_corrupted = fate->is_corrupted;
	if (!fate->is_corrupted)
		return;
	flight->position = fate->position % ((uint64_t)flight->size * 8);
	flying->bytes[flight->position / 8] ^= (uint8_t)(0x80u >> flight->position % 8);
}

static bool is_untouched(const struct wire *wire, const struct fate *fate)
{
	return wire->heap.count == 0 && wire->queue_frames == 0 && wire->impairment.rate == 0 && fate->delay == 0 &&
	       !fate->is_duplicated && !fate->is_corrupted;
}

static enum wire_result take_in(struct wire *wire, const struct frame *frame, const struct fate *fate, uint64_t id,
				uint64_t now, enum wire_death *death, uint32_t *limit)
{
	struct flying *flying;

	if (!is_queued(wire, frame->size, now, death, limit))
		return WIRE_DIED;
	flying = copy_frame(wire, frame);
	if (!flying) {
		*death = WIRE_IN_FLIGHT_FULL;
		*limit = IMPAIRMENT_IN_FLIGHT_MAX;
		return WIRE_DIED;
	}
	flying->flight.id = id;
	flying->flight.sent = now;
	apply(flying, fate);
	STAILQ_INSERT_TAIL(&wire->queue, flying, next);
	wire->queue_frames++;
	wire->queue_bytes += frame->size;
	serve(wire, now);
	return WIRE_TAKEN;
}

static enum wire_result try_send(struct wire *wire, const struct frame *frame, uint64_t id, uint64_t now,
				 enum wire_death *death, uint32_t *limit)
{
	uint32_t mtu = wire->impairment.mtu;
	struct fate fate;

	fate_next(&wire->fates, &wire->impairment, &fate);
	*limit = mtu;
	*death = WIRE_MTU;
	if (mtu > 0 && frame->size > mtu + header_size(frame))
		return WIRE_DIED;
	*limit = 0;
	*death = WIRE_LOSS;
	if (fate.is_lost || is_matching(wire, frame))
		return WIRE_DIED;
	if (is_untouched(wire, &fate))
		return WIRE_PASSES;
	serve(wire, now);
	return take_in(wire, frame, &fate, id, now, death, limit);
}

enum wire_result wire_send(struct wire *wire, const struct frame *frame, uint64_t id, uint64_t now,
			   enum wire_death *death, uint32_t *limit)
{
	enum wire_result result = try_send(wire, frame, id, now, death, limit);

	add(wire, COUNTER(frames), 1);
	if (result == WIRE_DIED)
		count_death(wire, *death);
	else if (result == WIRE_PASSES)
		add(wire, COUNTER(passed), 1);
	count_contents(wire);
	return result;
}

/* Frames that come out. */

uint64_t wire_deadline(const struct wire *wire)
{
	const struct flying *queued = STAILQ_FIRST(&wire->queue);
	const struct deadline *first = deadline_heap_first(&wire->heap);
	uint64_t turn = queued ? turn_of(wire, queued) : UINT64_MAX;

	return first && first->time < turn ? first->time : turn;
}

static void count_arrival(struct wire *wire, const struct flight *flight, uint64_t now)
{
	uint64_t late = now > flight->due ? now - flight->due : 0;

	add(wire, COUNTER(arrived), 1);
	add(wire, COUNTER(duplicated), flight->is_duplicate);
	add(wire, COUNTER(corrupted), flight->is_corrupted);
	add(wire, COUNTER(overtaking), flight->overtakes);
	add(wire, COUNTER(late_sum), late);
	if (late > atomic_load_explicit(&wire->counters[COUNTER(late_max)], memory_order_relaxed))
		set(wire, COUNTER(late_max), late);
}

static void let_out(struct wire *wire, struct flying *flying, uint64_t now)
{
	const struct flight *flight = &flying->flight;
	struct wire_frame out = {
		.id = flight->id,
		.sent = flight->sent,
		.due = flight->due,
		.is_duplicate = flight->is_duplicate,
		.is_corrupted = flight->is_corrupted,
		.corrupted_bit = (uint32_t)flight->position,
		.has_overtaken = flight->overtakes,
	};
	struct iovec rest;
	struct frame frame;

	frame_set(&frame, &rest, flying->bytes, flight->size);
	out.frame = &frame;
	if (flight->death == ALIVE) {
		count_arrival(wire, flight, now);
		wire->ops->arrive(wire->opaque, &out);
	} else {
		count_death(wire, (enum wire_death)flight->death);
		wire->ops->die(wire->opaque, &out, (enum wire_death)flight->death);
	}
	free_flying(wire, flying);
}

void wire_run(struct wire *wire, uint64_t now, unsigned int most)
{
	struct deadline *first;

	serve(wire, now);
	for (; most > 0 && (first = deadline_heap_first(&wire->heap)) && first->time <= now; most--) {
		deadline_heap_remove(&wire->heap, first);
		let_out(wire, (struct flying *)first, now);
	}
	count_contents(wire);
}

void wire_lose_all(struct wire *wire, uint64_t now)
{
	struct deadline *first;
	struct flying *flying;

	while ((first = deadline_heap_first(&wire->heap))) {
		deadline_heap_remove(&wire->heap, first);
		flying = (struct flying *)first;
		if (flying->flight.death == ALIVE)
			flying->flight.death = WIRE_CUT;
		let_out(wire, flying, now);
	}
	while (!STAILQ_EMPTY(&wire->queue)) {
		flying = dequeue(wire);
		flying->flight.death = WIRE_CUT;
		flying->flight.due = now;
		let_out(wire, flying, now);
	}
	wire->free_at = now;
	wire->last_due = 0;
	count_contents(wire);
}

/* Snapshots. */

struct wire_state {
	struct impairment impairment;
	struct fate_source fates;
	struct wire_counters counters;
	uint64_t owed; /* Nanoseconds until all is paid for. */
	uint64_t remainder;
	uint64_t last_due; /* After 'now', or 0. */
	uint32_t waiting, in_flight;
};

/* Times are kept as differences from now, whichever clock there is then. */
static void save_flying(const struct flying *flying, struct state *state, uint64_t now)
{
	struct flight saved = flying->flight;

	saved.sent = now - saved.sent;
	saved.due = saved.due > now ? saved.due - now : 0;
	state_put(state, TAG_FLYING, &saved, sizeof(saved));
	state_put(state, TAG_BYTES, flying->bytes, saved.size);
}

static int compare(const void *a, const void *b)
{
	const struct deadline *one = *(struct deadline *const *)a, *other = *(struct deadline *const *)b;

	if (one->time != other->time)
		return one->time < other->time ? -1 : 1;
	return one->order < other->order ? -1 : 1;
}

/* Those in flight, in their order. */
static void save_flights(const struct wire *wire, struct state *state, uint64_t now)
{
	size_t count = wire->heap.count;
	struct deadline **items = count > 0 ? malloc(count * sizeof(struct deadline *)) : NULL;

	if (count == 0)
		return;
	if (!items) {
		state->bad = true;
		return;
	}
	memcpy(items, wire->heap.items, count * sizeof(struct deadline *));
	qsort(items, count, sizeof(items[0]), compare);
	for (size_t i = 0; i < count; i++)
		save_flying((const struct flying *)items[i], state, now);
	free(items);
}

void wire_save(const struct wire *wire, struct state *state, uint64_t now)
{
	struct wire_state saved = {
		.impairment = wire->impairment,
		.fates = wire->fates,
		.owed = wire->free_at > now ? wire->free_at - now : 0,
		.remainder = wire->remainder,
		.last_due = wire->last_due > now ? wire->last_due - now : 0,
		.waiting = wire->queue_frames,
		.in_flight = (uint32_t)wire->heap.count,
	};
	const struct flying *flying;

	wire_read_counters(wire, &saved.counters);
	state_put(state, TAG_WIRE, &saved, sizeof(saved));
	STAILQ_FOREACH(flying, &wire->queue, next)
		save_flying(flying, state, now);
	save_flights(wire, state, now);
}

static bool is_sound(const struct flight *flight)
{
	return flight->size >= FRAME_SIZE_MIN && flight->size <= FRAME_SIZE_MAX && flight->death >= ALIVE &&
	       flight->death <= WIRE_CUT && flight->position < (uint64_t)flight->size * 8 &&
	       flight->delay <= IMPAIRMENT_TIME_MAX && flight->due <= DUE_MAX;
}

/* Returns NULL when the frame cannot be, or there is no room for it. */
static struct flying *restore_flying(struct wire *wire, struct state *state, uint64_t now)
{
	struct flying *flying;
	struct flight saved;

	if (!state_get(state, TAG_FLYING, &saved, sizeof(saved)) || !is_sound(&saved))
		return NULL;
	flying = take_room(wire, sizeof(*flying) + saved.size);
	if (!flying)
		return NULL;
	flying->deadline = (struct deadline){0};
	flying->flight = saved;
	/* The clock may have begun later than the frame was sent. */
	flying->flight.sent = saved.sent < now ? now - saved.sent : 0;
	flying->flight.due = now + saved.due;
	if (state_get(state, TAG_BYTES, flying->bytes, saved.size))
		return flying;
	free_flying(wire, flying);
	return NULL;
}

static bool restore_frames(struct wire *wire, const struct wire_state *saved, struct state *state, uint64_t now)
{
	struct flying *flying;

	for (uint32_t i = 0; i < saved->waiting; i++) {
		if (!(flying = restore_flying(wire, state, now)))
			return false;
		STAILQ_INSERT_TAIL(&wire->queue, flying, next);
		wire->queue_frames++;
		wire->queue_bytes += flying->flight.size;
	}
	for (uint32_t i = 0; i < saved->in_flight; i++) {
		if (!(flying = restore_flying(wire, state, now)))
			return false;
		take_off(wire, flying, flying->flight.due);
	}
	return true;
}

/* A bool has one of two values. */
static bool is_bool(const bool *value)
{
	uint8_t byte;

	memcpy(&byte, value, sizeof(byte));
	return byte <= 1;
}

void wire_restore(struct wire *wire, struct state *state, uint64_t now)
{
	struct wire_state saved;
	uint64_t values[COUNTER_COUNT];

	empty(wire);
	if (!state_get(state, TAG_WIRE, &saved, sizeof(saved)) || !is_bool(&saved.impairment.has_seed) ||
	    !is_bool(&saved.fates.is_bad) || saved.owed > DUE_MAX / 2 || saved.last_due > DUE_MAX / 2) {
		state->bad = true;
		return;
	}
	wire_set(wire, &saved.impairment, 0, now);
	wire->fates = saved.fates;
	wire->free_at = now + saved.owed;
	wire->remainder = wire->impairment.rate > 0 ? saved.remainder % wire->impairment.rate : 0;
	wire->last_due = saved.last_due > 0 ? now + saved.last_due : 0;
	memcpy(values, &saved.counters, sizeof(values));
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		set(wire, i, values[i]);
	state->bad = state->bad || !restore_frames(wire, &saved, state, now);
	count_contents(wire);
}
