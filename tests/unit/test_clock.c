/* SPDX-License-Identifier: Apache-2.0 */
/* Time by a counter: with counters that the tests turn, of rates that do as they like; and the machine's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"

#define SECOND 1000000000ull
#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull

/* A counter and the other clock, as they are at some instant. */
struct world {
	struct tick_clock clock;
	uint64_t time;
	uint64_t ticks;
	double ticks_each; /* Nanosecond. */
	double fraction;   /* Of a tick. */
	uint64_t told, farthest, jump;
	unsigned int untold;
};

static void pass(struct world *world, uint64_t nanoseconds)
{
	double ticks = (double)nanoseconds * world->ticks_each + world->fraction;

	world->time += nanoseconds;
	world->ticks += (uint64_t)ticks;
	world->fraction = ticks - (double)(uint64_t)ticks;
}

/* As clock_now() does. */
static uint64_t ask(struct world *world)
{
	uint64_t now = tick_clock_read(&world->clock, world->ticks), distance;

	if (now == 0)
		now = tick_clock_compare(&world->clock, world->ticks, world->time);
	if (now == 0) {
		world->untold++;
		now = world->time > world->clock.time ? world->time : world->clock.time;
	}
	assert_true(now >= world->told);
	if (now - world->told > world->jump)
		world->jump = now - world->told;
	world->told = now;
	distance = now > world->time ? now - world->time : world->time - now;
	if (distance > world->farthest)
		world->farthest = distance;
	return now;
}

static void ask_for(struct world *world, uint64_t span, uint64_t interval)
{
	for (uint64_t passed = 0; passed < span; passed += interval) {
		pass(world, interval);
		ask(world);
	}
}

static struct world begin(double ticks_each)
{
	return (struct world){.time = 1000 * SECOND, .ticks = 12345, .ticks_each = ticks_each, .told = 1000 * SECOND};
}

static void rates(void **state)
{
	static const double each[] = {0.1001, 0.9999, 1, 2.5999, 3.7, 9.9};

	(void)state;
	for (unsigned int i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		struct world world = begin(each[i]);

		ask_for(&world, 10 * MILLISECOND, MICROSECOND); /* It learns the rate. */
		world.untold = 0;
		world.farthest = world.jump = 0;
		ask_for(&world, SECOND, MICROSECOND);
		assert_int_equal(world.untold, 0);
		assert_in_range(world.farthest, 0, 100);
		assert_in_range(world.jump, MICROSECOND - 100, MICROSECOND + 100);
		assert_false(tick_clock_is_bad(&world.clock));
	}
}

/* The system's clock is hastened and slowed down, which is the same as the counter being slower and faster. */
static void other_clock_is_adjusted(void **state)
{
	struct world world = begin(2.6);

	(void)state;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	world.farthest = world.jump = 0;
	for (int i = 0; i < 20; i++) {
		world.ticks_each = i % 2 ? 2.6 * 1.0005 : 2.6 * 0.9995;
		ask_for(&world, SECOND / 5, 10 * MICROSECOND);
	}
	assert_in_range(world.farthest, 0, 10 * MICROSECOND);
	assert_in_range(world.jump, 0, 12 * MICROSECOND);
	assert_false(tick_clock_is_bad(&world.clock));
}

static void who_asks_seldom_is_told_the_truth(void **state)
{
	struct world world = begin(2.6);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		pass(&world, (uint64_t)(i * i) * 100 * MICROSECOND);
		ask(&world);
		ask(&world);
		pass(&world, 100);
		ask(&world);
	}
	assert_in_range(world.farthest, 0, MICROSECOND);
	assert_false(tick_clock_is_bad(&world.clock));
}

/* The machine was stopped, and one of the two knows. */
static void jumps(void **state)
{
	struct world world = begin(2.6);

	(void)state;
	ask_for(&world, 2 * SECOND, 10 * MICROSECOND);
	world.time += 3 * SECOND;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	world.farthest = 0;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	assert_in_range(world.farthest, 0, MICROSECOND);
	world.ticks += 1000 * MILLISECOND; /* It is ahead, and waits. */
	ask_for(&world, 2 * SECOND, 10 * MICROSECOND);
	world.farthest = 0;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	assert_in_range(world.farthest, 0, 10 * MICROSECOND);
	world.ticks -= 2000 * MILLISECOND;
	ask_for(&world, 3 * SECOND, 10 * MICROSECOND);
	world.farthest = 0;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	assert_in_range(world.farthest, 0, 10 * MICROSECOND);
}

/* A counter that follows the processor's frequency. */
static void bad_counters_are_left(void **state)
{
	struct world world = begin(2.6);

	(void)state;
	for (int i = 0; i < 200; i++) {
		world.ticks_each = i % 2 ? 2.6 : 1.2;
		ask_for(&world, 7 * MILLISECOND, 10 * MICROSECOND);
	}
	assert_true(tick_clock_is_bad(&world.clock));
	world.farthest = 0;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	assert_int_equal(world.farthest, 0);
}

static void counters_that_stand_still(void **state)
{
	struct world world = begin(0);

	(void)state;
	ask_for(&world, SECOND, 10 * MICROSECOND);
	assert_int_equal(world.farthest, 0);
}

static uint64_t system_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* This machine's: between two readings of the system's clock, give or take some microseconds. */
static void agrees_with_the_system(void **state)
{
	uint64_t begin = system_now(), before, now = 0, last = 0, after;

	(void)state;
	do {
		before = system_now();
		now = clock_now();
		after = system_now();
		assert_true(now >= last);
		assert_true(now + 50 * MICROSECOND >= before);
		assert_true(now <= after + 50 * MICROSECOND);
		last = now;
	} while (now - begin < SECOND / 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),
		cmocka_unit_test(other_clock_is_adjusted),
		cmocka_unit_test(who_asks_seldom_is_told_the_truth),
		cmocka_unit_test(jumps),
		cmocka_unit_test(bad_counters_are_left),
		cmocka_unit_test(counters_that_stand_still),
		cmocka_unit_test(agrees_with_the_system),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
