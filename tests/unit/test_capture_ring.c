/* SPDX-License-Identifier: Apache-2.0 */
/* The capture's ring between two threads: order, whole records, and what is seen when. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/capture_ring.h"

/* Bytes that no other number has, and that say whether they are whole. */
static void fill(uint8_t *bytes, size_t size, uint32_t number)
{
	for (size_t i = 0; i < size; i++) {
		number = number * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(number >> 24);
	}
}

static enum capture_ring_event wait_for_record(struct capture_ring *ring)
{
	struct pollfd event;

	return capture_ring_wait(ring, &event, 0, -1);
}

static void ring_refuses_what_does_not_fit(void **state)
{
	struct capture_ring *ring = capture_ring_create(4096, 2, NULL);
	size_t size, records = 0;
	const uint8_t *record;

	(void)state;
	assert_non_null(ring);
	assert_null(capture_ring_next(ring, &size));
	assert_null(capture_ring_reserve(ring, capture_ring_record_max(ring) + 1));
	assert_null(capture_ring_reserve(ring, SIZE_MAX));
	/* What is reserved and not committed is void. */
	assert_non_null(capture_ring_reserve(ring, 100));
	assert_null(capture_ring_next(ring, &size));
	for (uint8_t *to; (to = capture_ring_reserve(ring, 1000)); records++) {
		memset(to, (int)records, 1000);
		capture_ring_commit(ring, 1000);
	}
	assert_int_equal(records, 8);
	for (size_t i = 0; i < records; i++) {
		record = capture_ring_next(ring, &size);
		assert_non_null(record);
		assert_int_equal(size, 1000);
		assert_int_equal(record[0], i);
		assert_int_equal(record[999], i);
		capture_ring_release(ring);
	}
	assert_null(capture_ring_next(ring, &size));
	/* Now there is room for a block again. */
	assert_non_null(capture_ring_reserve(ring, capture_ring_record_max(ring)));
	capture_ring_commit(ring, capture_ring_record_max(ring));
	capture_ring_announce(ring);
	assert_int_equal(wait_for_record(ring), CAPTURE_RING_RECORD);
	assert_non_null(capture_ring_next(ring, &size));
	assert_int_equal(size, capture_ring_record_max(ring));
	capture_ring_release(ring);
	capture_ring_close(ring);
	assert_int_equal(wait_for_record(ring), CAPTURE_RING_CLOSED);
	capture_ring_destroy(ring);
}

/* Blocks of this size take more at once than the producer keeps to itself, those of 4096 bytes do not. */
#define LARGE_BLOCK (256u << 10)
#define LONGEST 4096u

static size_t nth_size(const struct capture_ring *ring, uint32_t number)
{
	size_t max = capture_ring_record_max(ring);

	return number * 37 % ((max < LONGEST ? max : LONGEST) + 1);
}

static uint32_t put_some(struct capture_ring *ring, uint32_t number, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, number++) {
		size_t size = nth_size(ring, number);
		uint8_t *to = capture_ring_reserve(ring, size);

		if (!to)
			break;
		fill(to, size, number);
		capture_ring_commit(ring, size);
	}
	capture_ring_announce(ring);
	return number;
}

static uint32_t take_some(struct capture_ring *ring, uint32_t number, uint32_t count)
{
	uint8_t expected[LONGEST];
	const void *record;
	size_t size;

	for (uint32_t i = 0; i < count && (record = capture_ring_next(ring, &size)); i++, number++) {
		assert_int_equal(size, nth_size(ring, number));
		fill(expected, size, number);
		assert_memory_equal(record, expected, size);
		capture_ring_release(ring);
	}
	return number;
}

/* Records of all sizes keep their bytes and order when the blocks go round many times, full and empty now and then. */
static void go_round(size_t block_size, uint32_t at_once)
{
	struct capture_ring *ring = capture_ring_create(block_size, 3, NULL);
	uint32_t put = 0, taken = 0, random = 1;

	while (taken < 20000) {
		random = random * 1664525 + 1013904223;
		put = put_some(ring, put, (random >> 20) % at_once);
		taken = take_some(ring, taken, (random >> 8) % at_once);
	}
	assert_int_equal(take_some(ring, taken, UINT32_MAX), put);
	capture_ring_destroy(ring);
}

static void ring_keeps_order_when_blocks_go_round(void **state)
{
	(void)state;
	go_round(4096, 16);
	go_round(LARGE_BLOCK, 200);
}

/* The ring's: a line of the cache, and what is before each record. */
#define LINE 64u
#define HEAD 8u

static void put_one_of(struct capture_ring *ring, size_t size)
{
	uint8_t *to = capture_ring_reserve(ring, size);

	assert_non_null(to);
	memset(to, 0, size);
	capture_ring_commit(ring, size);
}

/* A record that fits behind what is staged, but not behind the whole lines that this takes in the block, is the first
 * of the next block. */
static void ring_counts_whole_lines(void **state)
{
	struct capture_ring *ring = capture_ring_create(LARGE_BLOCK, 2, NULL);
	const size_t block = capture_ring_record_max(ring) + HEAD, left = 300 * LINE, first = 260 * LINE + HEAD;
	const uint8_t *record;
	size_t size;

	(void)state;
	put_one_of(ring, block - left - HEAD);
	capture_ring_announce(ring);
	/* More than is kept in the stage, and not whole lines. */
	put_one_of(ring, first - HEAD);
	put_one_of(ring, left - first - HEAD);
	capture_ring_announce(ring);
	/* One more fills the second block, and there is no third one. */
	put_one_of(ring, block - left - HEAD);
	capture_ring_announce(ring);
	assert_null(capture_ring_reserve(ring, left));
	for (int i = 0; i < 4; i++) {
		record = capture_ring_next(ring, &size);
		assert_non_null(record);
		capture_ring_release(ring);
	}
	assert_null(capture_ring_next(ring, &size));
	capture_ring_destroy(ring);
}

static void put_one(struct capture_ring *ring)
{
	put_one_of(ring, 8);
}

static void *announce_last(void *opaque)
{
	capture_ring_announce_last(opaque);
	return NULL;
}

/* What was committed is there when it is announced, and when the producer is at fault, but not by another's fault. */
static void ring_has_what_was_committed_before_a_fault(void **state)
{
	struct capture_ring *ring = capture_ring_create(4096, 2, NULL);
	pthread_t thread;
	size_t size;

	(void)state;
	capture_ring_announce_last(ring);
	put_one(ring);
	assert_null(capture_ring_next(ring, &size));
	capture_ring_announce(ring);
	assert_non_null(capture_ring_next(ring, &size));
	capture_ring_release(ring);
	put_one(ring);
	assert_int_equal(pthread_create(&thread, NULL, announce_last, ring), 0);
	pthread_join(thread, NULL);
	assert_null(capture_ring_next(ring, &size));
	assert_true(capture_ring_is_drained(ring));
	capture_ring_announce_last(ring);
	assert_false(capture_ring_is_drained(ring));
	assert_non_null(capture_ring_next(ring, &size));
	capture_ring_destroy(ring);
}

#define STRESS_RECORDS 300000

static void *produce(void *opaque)
{
	struct capture_ring *ring = opaque;
	uint32_t refused = 0;

	for (uint32_t number = 0; number < STRESS_RECORDS;) {
		size_t size = sizeof(number) + number % 256;
		uint8_t *to = capture_ring_reserve(ring, size);

		if (!to) {
			refused++;
			continue;
		}
		memcpy(to, &number, sizeof(number));
		fill(to + sizeof(number), size - sizeof(number), number);
		capture_ring_commit(ring, size);
		/* Announced now singly, now in batches, so that the consumer sleeps now and then. */
		if (number % 64 == 0 || (number >> 12) % 2)
			capture_ring_announce(ring);
		number++;
	}
	capture_ring_announce(ring);
	capture_ring_close(ring);
	return (void *)(uintptr_t)refused;
}

/* Every record arrives once, whole, in order, and the consumer is never left asleep. */
static void stand_two_threads(size_t block_size)
{
	struct capture_ring *ring = capture_ring_create(block_size, 8, NULL);
	uint32_t expected = 0;
	uint8_t bytes[256];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, produce, ring), 0);
	while (wait_for_record(ring) != CAPTURE_RING_CLOSED) {
		const uint8_t *record;
		uint32_t number;
		size_t size;

		while ((record = capture_ring_next(ring, &size))) {
			memcpy(&number, record, sizeof(number));
			assert_int_equal(number, expected);
			assert_int_equal(size, sizeof(number) + number % 256);
			fill(bytes, size - sizeof(number), number);
			assert_memory_equal(record + sizeof(number), bytes, size - sizeof(number));
			capture_ring_release(ring);
			expected++;
		}
	}
	assert_int_equal(expected, STRESS_RECORDS);
	pthread_join(thread, NULL);
	capture_ring_destroy(ring);
}

static void ring_stands_two_threads(void **state)
{
	(void)state;
	stand_two_threads(4096);
	stand_two_threads(LARGE_BLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_refuses_what_does_not_fit),
		cmocka_unit_test(ring_keeps_order_when_blocks_go_round),
		cmocka_unit_test(ring_counts_whole_lines),
		cmocka_unit_test(ring_has_what_was_committed_before_a_fault),
		cmocka_unit_test(ring_stands_two_threads),
	};

	return cmocka_run_group_tests_name("capture_ring", tests, NULL, NULL);
}
