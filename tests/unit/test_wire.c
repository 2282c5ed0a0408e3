/* SPDX-License-Identifier: Apache-2.0 */
/* Wires with a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/state.h"
#include "netlab/frame_filter.h"
#include "netlab/wire.h"

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull
#define PERCENT (IMPAIRMENT_ALL / 100)

#define OUT_MAX 20000
#define POOL_SIZE (80u << 20)

/* A frame that came out. */
struct out {
	uint64_t id, sent, due, at;
	size_t size;
	int death; /* Or -1. */
	bool is_duplicate, is_corrupted, has_overtaken;
	uint8_t bytes[80];
};

struct fixture {
	struct buffer_pool *pool;
	struct wire *wire;
	uint64_t now;
	uint64_t id; /* Of the last frame. */
	unsigned int count;
	struct out *outs;
	enum wire_death death; /* Of the last frame that died at once. */
	uint32_t limit;
};

static struct out *keep(struct fixture *fixture, const struct wire_frame *frame)
{
	struct out *out = &fixture->outs[fixture->count++];

	assert_true(fixture->count <= OUT_MAX);
	*out = (struct out){.id = frame->id,
			    .sent = frame->sent,
			    .due = frame->due,
			    .at = fixture->now,
			    .size = frame->frame->size,
			    .death = -1,
			    .is_duplicate = frame->is_duplicate,
			    .is_corrupted = frame->is_corrupted,
			    .has_overtaken = frame->has_overtaken};
	frame_copy(frame->frame, out->bytes, out->size < sizeof(out->bytes) ? out->size : sizeof(out->bytes));
	return out;
}

static void arrive(void *opaque, const struct wire_frame *frame)
{
	keep(opaque, frame);
}

static void die(void *opaque, const struct wire_frame *frame, enum wire_death death)
{
	keep(opaque, frame)->death = (int)death;
}

static const struct wire_ops ops = {.arrive = arrive, .die = die};

static void set_up(struct fixture *fixture, const struct impairment *impairment)
{
	*fixture = (struct fixture){.now = 5 * SECOND};
	fixture->outs = calloc(OUT_MAX, sizeof(struct out));
	fixture->pool = buffer_pool_create(POOL_SIZE);
	fixture->wire = wire_create(fixture->pool, &ops, fixture);
	wire_set(fixture->wire, impairment, 1, 0);
}

static void tear_down(struct fixture *fixture)
{
	wire_destroy(fixture->wire);
	buffer_pool_destroy(fixture->pool);
	free(fixture->outs);
}

static enum wire_result send_bytes(struct fixture *fixture, const uint8_t *bytes, size_t size)
{
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, bytes, size);
	return wire_send(fixture->wire, &frame, ++fixture->id, fixture->now, &fixture->death, &fixture->limit);
}

static enum wire_result send_frame(struct fixture *fixture, size_t size)
{
	static uint8_t bytes[FRAME_SIZE_MAX];

	bytes[14] = (uint8_t)fixture->id;
	return send_bytes(fixture, bytes, size);
}

/* Lets time go by until the wire is empty, or 'end'. */
static void run_until(struct fixture *fixture, uint64_t end)
{
	uint64_t deadline;

	while ((deadline = wire_deadline(fixture->wire)) <= end) {
		fixture->now = deadline > fixture->now ? deadline : fixture->now;
		wire_run(fixture->wire, fixture->now, 8);
	}
	if (end != UINT64_MAX - 1)
		fixture->now = end;
}

static void run_all(struct fixture *fixture)
{
	run_until(fixture, UINT64_MAX - 1);
}

static struct wire_counters counters_of(const struct fixture *fixture)
{
	struct wire_counters counters;

	wire_read_counters(fixture->wire, &counters);
	return counters;
}

static void test_without_impairments_frames_pass(void **state)
{
	const struct impairment none = {0};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &none);
	assert_int_equal(send_frame(&fixture, 60), WIRE_PASSES);
	assert_true(wire_deadline(fixture.wire) == UINT64_MAX);
	assert_int_equal(counters_of(&fixture).passed, 1);
	tear_down(&fixture);
}

static void test_delay(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send_frame(&fixture, 60 + (size_t)i), WIRE_TAKEN);
		fixture.now += MILLISECOND;
	}
	run_all(&fixture);
	assert_int_equal(fixture.count, 100);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(fixture.outs[i].id, i + 1);
		assert_int_equal(fixture.outs[i].size, 60 + i);
		assert_int_equal(fixture.outs[i].bytes[14], i);
		assert_int_equal(fixture.outs[i].due - fixture.outs[i].sent, 20 * MILLISECOND);
	}
	tear_down(&fixture);
}

/* The rate is as it was with a delay of 100 ms, and nothing is dropped: no queue holds what is on its way. */
static void test_delay_leaves_the_rate_alone(void **state)
{
	const struct impairment impairment = {.delay = 100 * MILLISECOND};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (unsigned int i = 0; i < OUT_MAX; i++) { /* 1 Gb/s, twelve times what netem holds at first. */
		assert_int_equal(send_frame(&fixture, 1514), WIRE_TAKEN);
		fixture.now += 12112;
		wire_run(fixture.wire, fixture.now, 8);
	}
	run_all(&fixture);
	assert_int_equal(fixture.count, OUT_MAX);
	assert_int_equal(fixture.outs[OUT_MAX - 1].due - fixture.outs[0].due, (OUT_MAX - 1) * 12112ull);
	tear_down(&fixture);
}

static void test_jitter_keeps_the_order(void **state)
{
	const struct impairment impairment = {.delay = 10 * MILLISECOND,
					      .jitter = 5 * MILLISECOND,
					      .distribution = IMPAIRMENT_NORMAL};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 1000; i++) {
		send_frame(&fixture, 60);
		fixture.now += 100 * MICROSECOND;
	}
	run_all(&fixture);
	assert_int_equal(fixture.count, 1000);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(fixture.outs[i].id, i + 1);
	tear_down(&fixture);
}

static void test_some_overtake(void **state)
{
	const struct impairment impairment = {.delay = 10 * MILLISECOND, .reorder = 20 * PERCENT};
	struct fixture fixture;
	unsigned int early = 0;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 1000; i++) {
		if (send_frame(&fixture, 60) == WIRE_PASSES)
			early++; /* Nothing to overtake. */
		fixture.now += 100 * MICROSECOND;
		wire_run(fixture.wire, fixture.now, 1000);
	}
	run_all(&fixture);
	for (unsigned int i = 0; i < fixture.count; i++) {
		assert_int_equal(fixture.outs[i].due - fixture.outs[i].sent,
				 fixture.outs[i].has_overtaken ? 0 : 10 * MILLISECOND);
		early += fixture.outs[i].has_overtaken;
	}
	assert_in_range(early, 160, 240);
	tear_down(&fixture);
}

/* Five seconds at each rate, on average of which no frame is early or late. */
static void test_rate(void **state)
{
	static const uint64_t rates[] = {64000, 1000000, 10000000, 1000000000, 3333333};
	struct fixture fixture;

	(void)state;
	for (unsigned int i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct impairment impairment = {.rate = rates[i], .queue_frames = IMPAIRMENT_QUEUE_FRAMES_MAX};
		uint64_t begin, bits;

		set_up(&fixture, &impairment);
		begin = fixture.now;
		for (unsigned int frame = 0; frame < 2000; frame++)
			assert_int_equal(send_frame(&fixture, 60 + 7 * frame % 1454), WIRE_TAKEN);
		run_all(&fixture);
		assert_int_equal(fixture.count, 2000);
		bits = 0;
		for (unsigned int frame = 0; frame < 2000; frame++) {
			bits += fixture.outs[frame].size * 8;
			assert_in_range(fixture.outs[frame].due - begin, bits * SECOND / rates[i] - 1,
					bits * SECOND / rates[i]);
		}
		tear_down(&fixture);
	}
}

/* Nobody comes by for a while: what was due meanwhile is due when it was. */
static void test_rate_with_a_late_loop(void **state)
{
	const struct impairment impairment = {.rate = 8000000, .delay = MILLISECOND};
	struct fixture fixture;
	uint64_t begin;

	(void)state;
	set_up(&fixture, &impairment);
	begin = fixture.now;
	for (int i = 0; i < 100; i++)
		send_frame(&fixture, 1000);
	fixture.now += 50 * MILLISECOND;
	wire_run(fixture.wire, fixture.now, 1000);
	assert_int_equal(fixture.count, 49);
	run_all(&fixture);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(fixture.outs[i].due - begin, (i + 2) * MILLISECOND);
	assert_int_equal(counters_of(&fixture).late_max, 48 * MILLISECOND);
	tear_down(&fixture);
}

static void test_burst(void **state)
{
	const struct impairment impairment = {.rate = 8000000, .burst = 10000};
	struct fixture fixture;
	uint64_t begin;

	(void)state;
	set_up(&fixture, &impairment);
	begin = fixture.now;
	for (int i = 0; i < 30; i++)
		send_frame(&fixture, 1000);
	run_all(&fixture);
	for (unsigned int i = 0; i < 30; i++)
		assert_int_equal(fixture.outs[i].due - begin, i < 10 ? 0 : (i - 9) * MILLISECOND);
	/* Half of the bucket is full again. */
	fixture.now += 5 * MILLISECOND;
	begin = fixture.now;
	for (int i = 0; i < 10; i++)
		send_frame(&fixture, 1000);
	run_all(&fixture);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(fixture.outs[30 + i].due - begin, i < 5 ? 0 : (i - 4) * MILLISECOND);
	tear_down(&fixture);
}

static void test_queue_of_frames(void **state)
{
	const struct impairment impairment = {.rate = 8000000, .queue_frames = 10};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 11; i++) /* One is being sent. */
		assert_int_equal(send_frame(&fixture, 1000), WIRE_TAKEN);
	assert_int_equal(send_frame(&fixture, 1000), WIRE_DIED);
	assert_int_equal(fixture.death, WIRE_QUEUE_FULL);
	assert_int_equal(fixture.limit, 10);
	assert_int_equal(counters_of(&fixture).waiting, 10);
	fixture.now += MILLISECOND; /* The next one's turn. */
	assert_int_equal(send_frame(&fixture, 1000), WIRE_TAKEN);
	run_all(&fixture);
	assert_int_equal(fixture.count, 12);
	assert_int_equal(counters_of(&fixture).queue_full, 1);
	assert_int_equal(counters_of(&fixture).waiting, 0);
	tear_down(&fixture);
}

static void test_queue_of_bytes(void **state)
{
	const struct impairment impairment = {.rate = 8000000, .queue_bytes = 5000};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 6; i++)
		assert_int_equal(send_frame(&fixture, 1000), WIRE_TAKEN);
	assert_int_equal(send_frame(&fixture, 60), WIRE_DIED);
	assert_int_equal(fixture.death, WIRE_QUEUE_FULL);
	assert_int_equal(fixture.limit, 5000);
	tear_down(&fixture);
}

/* Twice as much comes as may go: the delay settles at the target, and drops are what is too much. */
static void test_codel(void **state)
{
	const struct impairment impairment = {.rate = 8000000, .discipline = IMPAIRMENT_CODEL, .queue_frames = 10000};
	uint64_t waited = 0, dropped = 0, last = 0;
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	/* What adapts to drops, as TCP does: sends by half less after one. */
	for (uint64_t pause = 900 * MICROSECOND; fixture.id < 15000;) {
		uint64_t early = counters_of(&fixture).early;

		send_frame(&fixture, 1000);
		fixture.now += pause;
		wire_run(fixture.wire, fixture.now, 100);
		if (early < counters_of(&fixture).early)
			pause += 50 * MICROSECOND;
		else if (fixture.id % 100 == 0 && pause > 500 * MICROSECOND)
			pause -= 5 * MICROSECOND;
	}
	run_all(&fixture);
	for (unsigned int i = 0; i < fixture.count; i++) {
		const struct out *out = &fixture.outs[i];

		dropped += out->death == WIRE_EARLY;
		if (out->death < 0 && i > 1000) {
			waited += out->due - out->sent;
			last++;
		}
	}
	assert_int_equal(fixture.count, 15000);
	assert_true(dropped > 5);
	assert_int_equal(dropped, counters_of(&fixture).early);
	assert_true(last > 0 && waited / last < 40 * MILLISECOND);
	tear_down(&fixture);
}

static void test_codel_lets_a_short_queue_be(void **state)
{
	const struct impairment impairment = {.rate = 8000000, .discipline = IMPAIRMENT_CODEL};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 1000; i++) {
		send_frame(&fixture, 1000);
		fixture.now += MILLISECOND;
		wire_run(fixture.wire, fixture.now, 100);
	}
	run_all(&fixture);
	assert_int_equal(counters_of(&fixture).early, 0);
	assert_int_equal(fixture.count, 1000);
	tear_down(&fixture);
}

static void test_red(void **state)
{
	const struct impairment impairment = {.rate = 8000000,
					      .discipline = IMPAIRMENT_RED,
					      .queue_frames = 200,
					      .red_min = 20,
					      .red_max = 60,
					      .red_probability = 10 * PERCENT};
	struct wire_counters counters;
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 10000; i++) { /* Some more than may go. */
		send_frame(&fixture, 1000);
		fixture.now += 950 * MICROSECOND;
		wire_run(fixture.wire, fixture.now, 100);
	}
	counters = counters_of(&fixture);
	assert_int_equal(counters.queue_full, 0);
	assert_in_range(counters.early, 300, 600);
	assert_in_range(counters.waiting, 10, 80);
	tear_down(&fixture);
}

static void test_duplicates_and_corruption(void **state)
{
	const struct impairment impairment = {.duplicate = 10 * PERCENT, .corrupt = 10 * PERCENT};
	unsigned int changed, copies = 0, bits = 0;
	uint8_t bytes[64] = {0};
	struct wire_counters counters;
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 1000; i++) {
		send_bytes(&fixture, bytes, sizeof(bytes));
		wire_run(fixture.wire, fixture.now, 100);
	}
	for (unsigned int i = 0; i < fixture.count; i++) {
		changed = 0;
		for (unsigned int bit = 0; bit < 8 * sizeof(bytes); bit++)
			changed += fixture.outs[i].bytes[bit / 8] >> bit % 8 & 1;
		assert_int_equal(changed, fixture.outs[i].is_corrupted);
		bits += changed;
		copies += fixture.outs[i].is_duplicate;
		if (fixture.outs[i].is_duplicate)
			assert_int_equal(fixture.outs[i].id, fixture.outs[i - 1].id);
	}
	counters = counters_of(&fixture);
	assert_int_equal(counters.duplicated, copies);
	assert_int_equal(counters.corrupted, bits);
	assert_int_equal(counters.passed + counters.arrived, 1000 + copies);
	assert_in_range(copies, 70, 130);
	assert_in_range(bits, 70, 145);
	tear_down(&fixture);
}

static void test_mtu(void **state)
{
	const struct impairment impairment = {.mtu = 1400};
	uint8_t bytes[1500] = {0};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	assert_int_equal(send_bytes(&fixture, bytes, 1414), WIRE_PASSES);
	assert_int_equal(send_bytes(&fixture, bytes, 1415), WIRE_DIED);
	assert_int_equal(fixture.death, WIRE_MTU);
	assert_int_equal(fixture.limit, 1400);
	bytes[12] = 0x81;
	assert_int_equal(send_bytes(&fixture, bytes, 1418), WIRE_PASSES);
	assert_int_equal(send_bytes(&fixture, bytes, 1419), WIRE_DIED);
	bytes[12] = 0x88;
	bytes[13] = 0xa8;
	bytes[16] = 0x81;
	assert_int_equal(send_bytes(&fixture, bytes, 1422), WIRE_PASSES);
	assert_int_equal(send_bytes(&fixture, bytes, 1423), WIRE_DIED);
	tear_down(&fixture);
}

static void give_filter(struct fixture *fixture, const char *text)
{
	char problem[FRAME_FILTER_PROBLEM_MAX];
	struct frame_filter filter;

	assert_null(frame_filter_compile(&filter, text, problem));
	wire_set_filter(fixture->wire, &filter);
	assert_false(frame_filter_is_given(&filter)); /* It is the wire's now. */
}

static void test_what_matches_is_lost(void **state)
{
	const struct impairment impairment = {.loss_match = "arp"};
	const uint8_t arp[60] = {[12] = 0x08, [13] = 0x06}, ip[60] = {[12] = 0x08};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	assert_int_equal(send_bytes(&fixture, arp, sizeof(arp)), WIRE_PASSES); /* Nobody gave it a filter yet. */
	give_filter(&fixture, "arp");
	assert_int_equal(send_bytes(&fixture, arp, sizeof(arp)), WIRE_DIED);
	assert_int_equal(fixture.death, WIRE_LOSS);
	assert_int_equal(send_bytes(&fixture, ip, sizeof(ip)), WIRE_PASSES);
	give_filter(&fixture, "ip"); /* In place of the other. */
	assert_int_equal(send_bytes(&fixture, arp, sizeof(arp)), WIRE_PASSES);
	assert_int_equal(send_bytes(&fixture, ip, sizeof(ip)), WIRE_DIED);
	wire_set(fixture.wire, &(const struct impairment){0}, 1, fixture.now);
	assert_int_equal(send_bytes(&fixture, ip, sizeof(ip)), WIRE_PASSES);
	tear_down(&fixture);
}

/* With the filter's text: what it was compiled to is of the wire that was saved. */
static void test_restored_wires_await_their_filter(void **state)
{
	const struct impairment impairment = {.loss_match = "arp"};
	const uint8_t arp[60] = {[12] = 0x08, [13] = 0x06};
	struct fixture fixture;
	struct state saved = {0};

	(void)state;
	set_up(&fixture, &impairment);
	wire_save(fixture.wire, &saved, fixture.now);
	give_filter(&fixture, "ether[12:2] = 0x806");
	assert_int_equal(send_bytes(&fixture, arp, sizeof(arp)), WIRE_DIED);
	wire_restore(fixture.wire, &saved, fixture.now);
	assert_false(saved.bad);
	assert_string_equal(wire_impairment(fixture.wire)->loss_match, "arp");
	assert_int_equal(send_bytes(&fixture, arp, sizeof(arp)), WIRE_PASSES);
	give_filter(&fixture, "arp");
	assert_int_equal(send_bytes(&fixture, arp, sizeof(arp)), WIRE_DIED);
	state_release(&saved);
	tear_down(&fixture);
}

static void test_too_much_in_flight(void **state)
{
	const struct impairment impairment = {.delay = 100 * SECOND};
	struct fixture fixture;
	unsigned int taken = 0;

	(void)state;
	set_up(&fixture, &impairment);
	while (send_frame(&fixture, 65000) == WIRE_TAKEN)
		taken++;
	assert_int_equal(fixture.death, WIRE_IN_FLIGHT_FULL);
	assert_int_equal(fixture.limit, IMPAIRMENT_IN_FLIGHT_MAX);
	assert_in_range(taken, 900, IMPAIRMENT_IN_FLIGHT_MAX / 65000);
	run_all(&fixture);
	assert_int_equal(fixture.count, taken);
	for (; taken > 0; taken--) /* All came back. */
		assert_int_equal(send_frame(&fixture, 65000), WIRE_TAKEN);
	tear_down(&fixture);
}

static void test_all_are_lost_when_it_is_cut(void **state)
{
	const struct impairment impairment = {.delay = MILLISECOND, .rate = 8000000};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (int i = 0; i < 20; i++)
		send_frame(&fixture, 1000);
	fixture.now += 3 * MILLISECOND;
	wire_run(fixture.wire, fixture.now, 100);
	assert_int_equal(fixture.count, 2);
	wire_lose_all(fixture.wire, fixture.now);
	assert_int_equal(fixture.count, 20);
	for (unsigned int i = 2; i < 20; i++) {
		assert_int_equal(fixture.outs[i].death, WIRE_CUT);
		assert_int_equal(fixture.outs[i].id, i + 1);
	}
	assert_true(wire_deadline(fixture.wire) == UINT64_MAX);
	assert_int_equal(counters_of(&fixture).cut, 18);
	/* What comes after does not pay for them. */
	send_frame(&fixture, 1000);
	run_all(&fixture);
	assert_int_equal(fixture.outs[20].due - fixture.outs[20].sent, 2 * MILLISECOND);
	tear_down(&fixture);
}

static void test_a_shorter_delay_begins_at_once(void **state)
{
	const struct impairment before = {.delay = 10 * SECOND}, after = {.delay = MILLISECOND}, none = {0};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &before);
	send_frame(&fixture, 60);
	wire_set(fixture.wire, &after, 1, fixture.now);
	send_frame(&fixture, 60);
	wire_set(fixture.wire, &none, 1, fixture.now);
	assert_int_equal(send_frame(&fixture, 60),
			 WIRE_TAKEN); /* Not before those that are on their way at that time. */
	run_all(&fixture);
	assert_int_equal(fixture.count, 3);
	assert_int_equal(fixture.outs[0].id, 3);
	assert_int_equal(fixture.outs[1].id, 2);
	assert_int_equal(fixture.outs[2].id, 1);
	assert_int_equal(fixture.outs[2].due - fixture.outs[2].sent, 10 * SECOND);
	tear_down(&fixture);
}

/* What was sent at one rate is paid for at the next one. */
static void test_a_new_rate_takes_what_is_owed(void **state)
{
	const struct impairment slow = {.rate = 8000}, fast = {.rate = 8000000}, none = {0};
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &slow);
	send_frame(&fixture, 1000); /* A second. */
	send_frame(&fixture, 1000);
	wire_set(fixture.wire, &fast, 1, fixture.now);
	run_all(&fixture);
	/* The one that was being sent comes when it would have, as with a delay that changes. */
	assert_int_equal(fixture.count, 2);
	assert_int_equal(fixture.outs[0].id, 2);
	assert_int_equal(fixture.outs[0].due - fixture.outs[0].sent, 2 * MILLISECOND);
	assert_int_equal(fixture.outs[1].due - fixture.outs[1].sent, SECOND);
	send_frame(&fixture, 1000);
	wire_set(fixture.wire, &slow, 1, fixture.now);
	send_frame(&fixture, 1000);
	run_all(&fixture);
	assert_int_equal(fixture.outs[3].due - fixture.outs[3].sent, 2 * SECOND);
	/* Nor does it stand still after one without any. */
	send_frame(&fixture, 1000);
	wire_set(fixture.wire, &none, 1, fixture.now);
	wire_set(fixture.wire, &slow, 1, fixture.now);
	send_frame(&fixture, 1000);
	run_all(&fixture);
	assert_int_equal(fixture.outs[5].due - fixture.outs[5].sent, SECOND);
	tear_down(&fixture);
}

/* The same seed, and the same frames are lost, whatever the times. */
static void test_seeds(void **state)
{
	const struct impairment impairment = {.loss = 30 * PERCENT};
	const struct impairment other = {.loss = 30 * PERCENT, .seed = 2, .has_seed = true};
	enum wire_result first[500];
	unsigned int different = 0;
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &impairment);
	for (unsigned int i = 0; i < 500; i++)
		first[i] = send_frame(&fixture, 60);
	wire_set(fixture.wire, &impairment, 1, fixture.now);
	for (unsigned int i = 0; i < 500; i++) {
		fixture.now += i * MICROSECOND;
		assert_int_equal(send_frame(&fixture, 60 + i), first[i]);
	}
	wire_set(fixture.wire, &other, 1, fixture.now);
	for (unsigned int i = 0; i < 500; i++)
		different += send_frame(&fixture, 60) != first[i];
	assert_in_range(different, 150, 270);
	tear_down(&fixture);
}

/* Numbers that no topology has, as a damaged snapshot may. */
static void test_numbers_out_of_range(void **state)
{
	struct impairment impairment;
	struct fixture fixture;

	(void)state;
	memset(&impairment, 0xff, sizeof(impairment));
	impairment.has_seed = true;
	impairment.loss = impairment.loss_every = 0;
	impairment.gilbert_elliott = (struct impairment_gilbert_elliott){0};
	impairment.mtu = 0;
	impairment.loss_match[0] = '\0';
	set_up(&fixture, &impairment);
	for (int i = 0; i < 1000; i++) {
		send_frame(&fixture, 60 + (size_t)i);
		fixture.now += MILLISECOND;
		wire_run(fixture.wire, fixture.now, 100);
	}
	run_all(&fixture);
	assert_true(fixture.count > 0);
	tear_down(&fixture);
}

static void test_saved_and_restored(void **state)
{
	const struct impairment impairment = {.delay = 5 * MILLISECOND,
					      .jitter = MILLISECOND,
					      .rate = 8000000,
					      .loss = 10 * PERCENT,
					      .duplicate = 10 * PERCENT};
	struct fixture before, after;
	struct state saved = {0};

	(void)state;
	set_up(&before, &impairment);
	for (int i = 0; i < 30; i++)
		send_frame(&before, 1000);
	run_until(&before, before.now + 8 * MILLISECOND);
	wire_save(before.wire, &saved, before.now);
	assert_false(saved.bad);
	set_up(&after, &(const struct impairment){0});
	after.now = 3 * SECOND; /* Another clock. */
	wire_restore(after.wire, &saved, after.now);
	assert_false(saved.bad);
	assert_int_equal(saved.at, saved.size);
	after.id = before.id;
	before.count = 0;
	for (int i = 0; i < 10; i++) {
		send_frame(&before, 500);
		send_frame(&after, 500);
	}
	run_all(&before);
	run_all(&after);
	assert_int_equal(after.count, before.count);
	for (unsigned int i = 0; i < after.count; i++) {
		assert_int_equal(after.outs[i].id, before.outs[i].id);
		assert_int_equal(after.outs[i].at - 3 * SECOND, before.outs[i].at - (5 * SECOND + 8 * MILLISECOND));
		assert_memory_equal(after.outs[i].bytes, before.outs[i].bytes, sizeof(after.outs[i].bytes));
	}
	assert_int_equal(counters_of(&after).lost, counters_of(&before).lost);
	assert_int_equal(counters_of(&after).arrived, counters_of(&before).arrived);
	state_release(&saved);
	tear_down(&before);
	tear_down(&after);
}

/* Each byte of a state in turn is another: it is bad, or does no harm. */
static void test_damaged_states(void **state)
{
	const struct impairment impairment = {.delay = 5 * MILLISECOND, .rate = 8000000};
	struct fixture before, after;
	struct state saved = {0};

	(void)state;
	set_up(&before, &impairment);
	for (int i = 0; i < 3; i++)
		send_frame(&before, 60);
	wire_save(before.wire, &saved, before.now);
	for (size_t at = 0; at < saved.size; at++) {
		set_up(&after, &impairment);
		saved.bytes[at] ^= 0xff;
		saved.at = 0;
		saved.bad = false;
		wire_restore(after.wire, &saved, after.now);
		saved.bytes[at] ^= 0xff;
		send_frame(&after, 60);
		run_all(&after);
		tear_down(&after);
	}
	state_release(&saved);
	tear_down(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_impairments_frames_pass),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_delay_leaves_the_rate_alone),
		cmocka_unit_test(test_jitter_keeps_the_order),
		cmocka_unit_test(test_some_overtake),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_with_a_late_loop),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_queue_of_frames),
		cmocka_unit_test(test_queue_of_bytes),
		cmocka_unit_test(test_codel),
		cmocka_unit_test(test_codel_lets_a_short_queue_be),
		cmocka_unit_test(test_red),
		cmocka_unit_test(test_duplicates_and_corruption),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_what_matches_is_lost),
		cmocka_unit_test(test_restored_wires_await_their_filter),
		cmocka_unit_test(test_too_much_in_flight),
		cmocka_unit_test(test_all_are_lost_when_it_is_cut),
		cmocka_unit_test(test_a_shorter_delay_begins_at_once),
		cmocka_unit_test(test_a_new_rate_takes_what_is_owed),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_numbers_out_of_range),
		cmocka_unit_test(test_saved_and_restored),
		cmocka_unit_test(test_damaged_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
