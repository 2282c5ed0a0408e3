/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

/* Theory of operation
 * -------------------
 * Time is a line through the point at which the clocks were compared last, and a new one begins where the old one ends:
 * its slope is the rate, and as much more or less as brings it to the other clock by its own end.  A line is good for
 * some milliseconds.  Who asks later compares again, so a thread that slept starts with what the system has; the old
 * line's end is the most that anybody was told.
 *
 * The rate is measured over a second or two, the longer the better, but the system's clock is itself slowed down and
 * hastened (adjtimex(2)), by 500 parts in a million as a rule: half a microsecond in a millisecond.
 *
 * All is kept for each thread by itself: no thread waits for another, and none sees numbers that are half changed.
 */

#define SECOND 1000000000ull

/* How long a line is good, and the shortest time over which a rate is measured, nanoseconds. */
#define LINE_LENGTH 4000000
#define RATE_SPAN_MIN 4000000
#define RATE_SPAN SECOND

/* A clock that is so far behind jumps; one that is so far off in either direction, so often, has a bad counter. */
#define JUMP 20000
#define FAULT 200000
#define FAULTS_MAX 16

/* A counter is of 100 MHz to 10 GHz, or it is none: nanoseconds times 2^32 a tick. */
#define RATE_MIN ((1ull << 32) / 10)
#define RATE_MAX (10ull << 32)

bool tick_clock_is_bad(const struct tick_clock *clock)
{
	return clock->faults >= FAULTS_MAX;
}

/* Nanoseconds times 2^32 a tick, or 0 when it is too early to tell. */
static uint64_t measure_rate(struct tick_clock *clock, uint64_t ticks, uint64_t time)
{
	uint64_t span = time - clock->anchor_time, counted = ticks - clock->anchor_ticks;

	/* One who asks seldom measures since the last time he did. */
	if (time - clock->next_time > RATE_SPAN) {
		clock->anchor_ticks = clock->next_ticks;
		clock->anchor_time = clock->next_time;
		clock->next_ticks = ticks;
		clock->next_time = time;
	}
	if (span < RATE_SPAN_MIN || counted == 0)
		return 0;
	return (uint64_t)(((unsigned __int128)span << 32) / counted);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

/* A line from 'from' at 'ticks' to where the other clock, which has 'time', will be at its end. */
static void draw(struct tick_clock *clock, uint64_t ticks, uint64_t from, uint64_t time, uint64_t rate)
{
	uint64_t length = ((uint64_t)LINE_LENGTH << 32) / rate;
	uint64_t end = time + LINE_LENGTH;

	/* Far ahead it goes on at half the rate, until the other one comes. */
	if (end < from + LINE_LENGTH / 2)
		end = from + LINE_LENGTH / 2;
	clock->ticks = ticks;
	clock->time = from;
	clock->length = length;
	clock->rate = ((end - from) << 32) / length;
}

static uint64_t line_at(const struct tick_clock *clock, uint64_t since)
{
	return clock->time + (since * clock->rate >> 32);
}

/* What the clock has where the other one has 'time', no less than anybody was told. */
static uint64_t go_on(struct tick_clock *clock, uint64_t ticks, uint64_t time)
{
	uint64_t since = ticks - clock->ticks, had;

	if (since > 2 * clock->length) { /* Nobody asked since the line's end. */
		had = line_at(clock, clock->length);
		return had > time ? had : time;
	}
	had = line_at(clock, since);
	if (distance(had, time) > FAULT)
		clock->faults++;
	return had + JUMP < time ? time : had;
}

/* No line: what is told meanwhile is the other clock's time. */
static uint64_t tell_nothing(struct tick_clock *clock, uint64_t from)
{
	clock->length = 0;
	clock->time = from;
	return 0;
}

uint64_t tick_clock_compare(struct tick_clock *clock, uint64_t ticks, uint64_t time)
{
	uint64_t rate, from;

	if (!clock->is_set) {
		clock->is_set = true;
		clock->anchor_ticks = clock->next_ticks = ticks;
		clock->anchor_time = clock->next_time = time;
		return tell_nothing(clock, time);
	}
	rate = measure_rate(clock, ticks, time);
	from = go_on(clock, ticks, time);
	if (rate == 0 || tick_clock_is_bad(clock))
		return tell_nothing(clock, from);
	if (rate < RATE_MIN || rate > RATE_MAX) {
		clock->faults++;
		return tell_nothing(clock, from);
	}
	draw(clock, ticks, from, time, rate);
	return from;
}

static uint64_t system_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* Whether the kernel tells the time by the processor's counter, and so has found it constant, and the same on all
 * processors.  A hypervisor's clock, which is made of the counter too, it prefers only where it has not. */
static bool kernel_trusts_counter(void)
{
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	char name[32] = "";

	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	return strcmp(name, "tsc\n") == 0;
}

struct thread_clock {
	struct tick_clock ticks;
	uint64_t last; /* The most that was told without a line. */
	bool asked, is_system;
};

static _Thread_local struct thread_clock thread_clock;

/* Of a few readings, the one that was interrupted least. */
static uint64_t compare_with_system(struct tick_clock *clock)
{
	uint64_t shortest = UINT64_MAX, ticks = 0, time = 0;

	for (int i = 0; i < 3; i++) {
		uint64_t before = __rdtsc(), read = system_now(), after = __rdtsc();

		if (after - before >= shortest)
			continue;
		shortest = after - before;
		ticks = before + shortest / 2;
		time = read;
	}
	return tick_clock_compare(clock, ticks, time);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

__attribute__((noinline)) static uint64_t slow_now(struct thread_clock *clock)
{
	uint64_t now = 0;

	if (!clock->asked) {
		clock->asked = true;
		clock->is_system = !kernel_trusts_counter();
	}
	if (!clock->is_system && !tick_clock_is_bad(&clock->ticks))
		now = compare_with_system(&clock->ticks);
	/* What was told by the last line, and without one. */
	if (now == 0)
		now = larger(system_now(), clock->ticks.time);
	clock->last = larger(now, clock->last);
	return clock->last;
}

uint64_t clock_now(void)
{
	struct thread_clock *clock = &thread_clock;
	uint64_t now = tick_clock_read(&clock->ticks, __rdtsc());

	/* A line can begin a little before what was told without. */
	return now > clock->last ? now : slow_now(clock);
}
