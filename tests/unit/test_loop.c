/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: in which order it calls, and what callbacks and other threads may do.
 *
 * Each test runs a loop in its own thread until something in it stops it; nothing waits for time to pass, but for
 * timers a few milliseconds away whose order alone matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"

#define MILLISECOND 1000000ull
#define THREADS 4
#define CALLS 2000

struct fixture {
	struct loop *loop;
	char order[64]; /* A letter for each call, in their order. */
	size_t count;
};

/* A callback that notes its letter. */
struct note {
	struct fixture *fixture;
	char letter;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	*state = fixture;
	fixture->loop = loop_create(NULL);
	return fixture->loop ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	loop_destroy(fixture->loop);
	free(fixture);
	return 0;
}

static void note(void *opaque)
{
	const struct note *letter = opaque;
	struct fixture *fixture = letter->fixture;

	assert_true(loop_is_current(fixture->loop));
	assert_true(fixture->count < sizeof(fixture->order) - 1);
	fixture->order[fixture->count++] = letter->letter;
}

static void stop(void *opaque)
{
	struct fixture *fixture = opaque;

	loop_stop(fixture->loop);
}

static void posts_keep_their_order(void **state)
{
	struct fixture *fixture = *state;
	struct note a = {fixture, 'a'}, b = {fixture, 'b'}, c = {fixture, 'c'};

	loop_post(fixture->loop, note, &a);
	loop_post(fixture->loop, note, &b);
	loop_post(fixture->loop, stop, fixture);
	loop_post(fixture->loop, note, &c); /* Before the loop ended, so it is run. */
	assert_false(loop_is_current(fixture->loop));
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "abc");
	assert_false(loop_is_current(fixture->loop));
}

/* A loop that was stopped can run again. */
static void stop_is_for_one_run(void **state)
{
	struct fixture *fixture = *state;
	struct note a = {fixture, 'a'};

	for (int i = 0; i < 3; i++) {
		loop_post(fixture->loop, note, &a);
		loop_post(fixture->loop, stop, fixture);
		loop_run(fixture->loop);
	}
	assert_string_equal(fixture->order, "aaa");
}

static void stop_before_run(void **state)
{
	struct fixture *fixture = *state;
	struct note a = {fixture, 'a'};

	loop_stop(fixture->loop);
	loop_post(fixture->loop, note, &a);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "a");
}

static void what_never_ran_is_dropped(void **state)
{
	struct fixture *fixture = *state;
	struct note a = {fixture, 'a'};

	loop_post(fixture->loop, note, &a); /* The sanitizers see to it that tear_down() frees it. */
	assert_int_equal(fixture->count, 0);
}

static void *run(void *opaque)
{
	const struct fixture *fixture = opaque;

	loop_run(fixture->loop);
	return NULL;
}

struct caller {
	struct fixture *fixture;
	unsigned int *total; /* The loop's own: no lock, no atomics. */
	unsigned int seen;
};

static void add(void *opaque)
{
	struct caller *caller = opaque;

	assert_true(loop_is_current(caller->fixture->loop));
	++*caller->total;
	caller->seen++;
}

/* Every second one by loop_post(), and the loop_call() after it must find that done. */
static void *call_often(void *opaque)
{
	struct caller *caller = opaque;

	for (unsigned int i = 0; i < CALLS; i += 2) {
		loop_post(caller->fixture->loop, add, caller);
		loop_call(caller->fixture->loop, add, caller);
		if (caller->seen != i + 2)
			return caller;
	}
	return NULL;
}

static void calls_from_many_threads(void **state)
{
	struct fixture *fixture = *state;
	struct caller callers[THREADS];
	pthread_t threads[THREADS], runner;
	unsigned int total = 0;

	assert_int_equal(pthread_create(&runner, NULL, run, fixture), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){.fixture = fixture, .total = &total};
		assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	loop_stop(fixture->loop);
	pthread_join(runner, NULL);
	assert_int_equal(total, THREADS * CALLS);
}

static void call_inside(void *opaque)
{
	struct note *inner = opaque;

	loop_call(inner->fixture->loop, note, inner);
	note(&(struct note){inner->fixture, 'z'});
}

/* It would wait for itself for ever. */
static void call_from_the_loop_is_direct(void **state)
{
	struct fixture *fixture = *state;
	struct note a = {fixture, 'a'};

	loop_post(fixture->loop, call_inside, &a);
	loop_post(fixture->loop, stop, fixture);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "az");
}

static void timers_fire_by_deadline(void **state)
{
	struct fixture *fixture = *state;
	struct note a = {fixture, 'a'}, b = {fixture, 'b'}, c = {fixture, 'c'}, d = {fixture, 'd'}, x = {fixture, 'x'};
	struct loop_timer first = {.function = note, .opaque = &a}, second = {.function = note, .opaque = &b},
			  same = {.function = note, .opaque = &c}, moved = {.function = note, .opaque = &d},
			  cancelled = {.function = note, .opaque = &x}, last = {.function = stop, .opaque = fixture};
	uint64_t now = loop_now();

	loop_timer_set(fixture->loop, &last, now + 8 * MILLISECOND);
	loop_timer_set(fixture->loop, &moved, now); /* Set again below. */
	loop_timer_set(fixture->loop, &second, now + 4 * MILLISECOND);
	loop_timer_set(fixture->loop, &same, now + 4 * MILLISECOND); /* The same: in the order they were set. */
	loop_timer_set(fixture->loop, &cancelled, now + 1 * MILLISECOND);
	loop_timer_set(fixture->loop, &first, now + 2 * MILLISECOND);
	loop_timer_set(fixture->loop, &moved, now + 6 * MILLISECOND);
	loop_timer_cancel(fixture->loop, &cancelled);
	loop_timer_cancel(fixture->loop, &cancelled);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "abcd");
	assert_true(loop_now() >= now + 8 * MILLISECOND);
	assert_false(first.armed);
}

struct repeating {
	struct fixture *fixture;
	struct loop_timer timer, other;
	unsigned int left;
};

static void fire_again(void *opaque)
{
	struct repeating *repeating = opaque;

	note(&(struct note){repeating->fixture, 'r'});
	if (--repeating->left == 0)
		loop_stop(repeating->fixture->loop);
	else
		loop_timer_set(repeating->fixture->loop, &repeating->timer, loop_now());
	loop_timer_cancel(repeating->fixture->loop, &repeating->other);
}

/* A timer sets itself again, and cancels another that is due at the same time. */
static void timers_change_timers(void **state)
{
	struct fixture *fixture = *state;
	struct note x = {fixture, 'x'};
	struct repeating repeating = {.fixture = fixture, .left = 3};
	uint64_t now = loop_now();

	repeating.timer = (struct loop_timer){.function = fire_again, .opaque = &repeating};
	repeating.other = (struct loop_timer){.function = note, .opaque = &x};
	loop_timer_set(fixture->loop, &repeating.timer, now);
	loop_timer_set(fixture->loop, &repeating.other, now);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "rrr");
}

/* Deadlines that no int of milliseconds can hold must neither fire nor keep the loop from sleeping: it would miss
 * nothing, but turn for ever.  The turns are counted. */
static void count_turn(void *opaque)
{
	unsigned int *turns = opaque;

	++*turns;
}

static void far_deadlines_are_slept_for(void **state)
{
	struct fixture *fixture = *state;
	struct note x = {fixture, 'x'};
	struct loop_timer far = {.function = note, .opaque = &x};
	const uint64_t deadlines[] = {loop_now() + ((1ull << 32) + 5) * MILLISECOND, UINT64_MAX, UINT64_MAX - 1};
	unsigned int turns = 0;

	loop_set_turn_end(fixture->loop, count_turn, &turns);
	for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
		pthread_t runner;

		loop_timer_set(fixture->loop, &far, deadlines[i]);
		assert_int_equal(pthread_create(&runner, NULL, run, fixture), 0);
		for (unsigned int call = 0; call < 10; call++)
			loop_call(fixture->loop, count_turn, &(unsigned int){0});
		usleep(20000);
		loop_stop(fixture->loop);
		pthread_join(runner, NULL);
	}
	/* A turn for each call and stop, and one or two that were woken for nothing. */
	assert_in_range(turns, 1, 100);
	assert_string_equal(fixture->order, "");
	loop_timer_cancel(fixture->loop, &far);
}

/* Of two kinds, in one order; and none fires before its deadline. */
static void precise_timers_are_timers(void **state)
{
	struct fixture *fixture = *state;
	struct note letters[] = {{fixture, 'a'}, {fixture, 'b'}, {fixture, 'c'}, {fixture, 'd'}, {fixture, 'x'}};
	struct loop_timer timers[5], last = {.function = stop, .opaque = fixture, .is_precise = true};
	uint64_t now = loop_now();

	for (unsigned int i = 0; i < 5; i++) {
		timers[i] = (struct loop_timer){.function = note, .opaque = &letters[i], .is_precise = i % 2 == 1};
		loop_timer_set(fixture->loop, &timers[i], now + (i + 1) * MILLISECOND / 2);
	}
	loop_timer_cancel(fixture->loop, &timers[4]);
	loop_timer_set(fixture->loop, &timers[0], now + MILLISECOND / 4);
	loop_timer_set(fixture->loop, &last, now + 4 * MILLISECOND);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "abcd");
	assert_true(loop_now() >= now + 4 * MILLISECOND);
	assert_false(last.armed);
}

/* What a loop that did not sleep would turn in the time is far more than this. */
static void precise_timers_are_slept_for(void **state)
{
	struct fixture *fixture = *state;
	struct loop_timer end = {.function = stop, .opaque = fixture, .is_precise = true};
	uint64_t deadline = loop_now() + 200 * MILLISECOND;
	unsigned int turns = 0;

	loop_set_turn_end(fixture->loop, count_turn, &turns);
	loop_timer_set(fixture->loop, &end, deadline);
	loop_run(fixture->loop);
	assert_true(loop_now() >= deadline);
	assert_in_range(turns, 1, 20000);
}

/* Beside timers that are always nearer. */
static void far_precise_deadlines_are_slept_for(void **state)
{
	struct fixture *fixture = *state;
	struct note x = {fixture, 'x'};
	struct loop_timer far = {.function = note, .opaque = &x, .is_precise = true},
			  end = {.function = stop, .opaque = fixture};
	unsigned int turns = 0;

	loop_set_turn_end(fixture->loop, count_turn, &turns);
	loop_timer_set(fixture->loop, &far, UINT64_MAX);
	loop_timer_set(fixture->loop, &end, loop_now() + 20 * MILLISECOND);
	loop_run(fixture->loop);
	assert_in_range(turns, 1, 100);
	assert_string_equal(fixture->order, "");
}

static void polling_loops_sleep_when_nothing_comes(void **state)
{
	struct fixture *fixture = *state;
	struct note letters[] = {{fixture, 'a'}, {fixture, 'b'}};
	struct loop_timer end = {.function = stop, .opaque = fixture};
	unsigned int turns = 0;

	loop_set_turn_end(fixture->loop, count_turn, &turns);
	loop_set_polling(fixture->loop, LOOP_POLLING_MAX);
	loop_post(fixture->loop, note, &letters[0]);
	loop_post(fixture->loop, note, &letters[1]);
	loop_timer_set(fixture->loop, &end, loop_now() + 200 * MILLISECOND);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "ab");
	assert_in_range(turns, 1, 20000);
	loop_set_polling(fixture->loop, 0);
	loop_post(fixture->loop, stop, fixture);
	loop_run(fixture->loop);
}

/* A loop that polls hears of what comes as one that sleeps does. */
static void calls_of_polling_loops(void **state)
{
	struct fixture *fixture = *state;

	loop_set_polling(fixture->loop, LOOP_POLLING_MAX);
	calls_from_many_threads(state);
}

/* Something in memory that a loop looks at while it polls. */
struct watched_memory {
	struct fixture *fixture;
	struct loop_poll poll;
	_Atomic unsigned int value, seen, left;
	bool added;
};

static bool look_at_memory(void *opaque)
{
	struct watched_memory *memory = opaque;

	assert_true(loop_is_current(memory->fixture->loop));
	assert_int_equal(memory->left, 0);
	if (memory->seen == memory->value)
		return false;
	memory->seen = memory->value;
	return true;
}

static bool leave_memory(void *opaque)
{
	struct watched_memory *memory = opaque;

	assert_false(memory->poll.added);
	memory->left++;
	return false;
}

static void try_to_add(void *opaque)
{
	struct watched_memory *memory = opaque;

	memory->added = loop_poll_add(memory->fixture->loop, &memory->poll);
}

static void remove_poll(void *opaque)
{
	struct watched_memory *memory = opaque;

	loop_poll_remove(memory->fixture->loop, &memory->poll);
	loop_poll_remove(memory->fixture->loop, &memory->poll);
}

static struct watched_memory watch_memory(struct fixture *fixture)
{
	return (struct watched_memory){.fixture = fixture, .poll = {.look = look_at_memory, .leave = leave_memory}};
}

/* The calls come soon enough one after the other for the loop to poll; unless the machine is busy with other things. */
static bool call_until_added(struct watched_memory *memory)
{
	for (unsigned int i = 0; i < 20000 && !memory->added; i++)
		loop_call(memory->fixture->loop, try_to_add, memory);
	return memory->added;
}

static void memory_is_looked_at_until_the_loop_sleeps(void **state)
{
	struct fixture *fixture = *state;
	struct watched_memory memory = watch_memory(fixture), removed = watch_memory(fixture);
	pthread_t runner;
	bool added;

	memory.poll.opaque = &memory;
	removed.poll.opaque = &removed;
	loop_set_polling(fixture->loop, LOOP_POLLING_MAX);
	assert_int_equal(pthread_create(&runner, NULL, run, fixture), 0);
	added = call_until_added(&removed);
	loop_call(fixture->loop, remove_poll, &removed);
	added = added && call_until_added(&memory);
	if (added) {
		memory.value = 1;
		while (memory.left == 0)
			sched_yield();
	}
	loop_stop(fixture->loop);
	pthread_join(runner, NULL);
	if (!added)
		skip();
	assert_int_equal(memory.left, 1);
	assert_in_range(memory.seen, 0, 1); /* It can have been left before. */
}

static void memory_is_not_looked_at_without_polling(void **state)
{
	struct fixture *fixture = *state;
	struct watched_memory memory = watch_memory(fixture);

	memory.poll.opaque = &memory;
	memory.value = 1;
	assert_false(loop_poll_add(fixture->loop, &memory.poll));
	loop_adopt(fixture->loop);
	loop_turn(fixture->loop);
	assert_int_equal(memory.seen, 0);
	assert_int_equal(memory.left, 0);
}

struct worker {
	struct fixture *fixture;
	struct loop_task task;
	char letter;
	unsigned int left;
};

static void work(void *opaque)
{
	struct worker *worker = opaque;

	note(&(struct note){worker->fixture, worker->letter});
	if (--worker->left > 0)
		loop_task_queue(worker->fixture->loop, &worker->task);
}

static void note_turn(void *opaque)
{
	note(&(struct note){opaque, '.'});
}

/* Tasks that queue themselves again take turns, and a turn ends between. */
static void tasks_take_turns(void **state)
{
	struct fixture *fixture = *state;
	struct worker a = {.fixture = fixture, .letter = 'a', .left = 3},
		      b = {.fixture = fixture, .letter = 'b', .left = 2};
	struct loop_timer end = {.function = stop, .opaque = fixture};

	a.task = (struct loop_task){.function = work, .opaque = &a};
	b.task = (struct loop_task){.function = work, .opaque = &b};
	loop_set_turn_end(fixture->loop, note_turn, fixture);
	loop_task_queue(fixture->loop, &a.task);
	loop_task_queue(fixture->loop, &b.task);
	loop_task_queue(fixture->loop, &a.task); /* It is queued. */
	loop_timer_set(fixture->loop, &end, loop_now() + 5 * MILLISECOND);
	loop_run(fixture->loop);
	assert_memory_equal(fixture->order, "ab.ab.a.", 8);
	assert_null(strpbrk(fixture->order + 8, "ab"));
}

static void cancelled_tasks_do_not_run(void **state)
{
	struct fixture *fixture = *state;
	struct note letters[4] = {{fixture, 'a'}, {fixture, 'b'}, {fixture, 'c'}, {fixture, 'd'}};
	struct loop_task tasks[4];

	for (int i = 0; i < 4; i++) {
		tasks[i] = (struct loop_task){.function = note, .opaque = &letters[i]};
		loop_task_queue(fixture->loop, &tasks[i]);
	}
	loop_task_cancel(fixture->loop, &tasks[0]);
	loop_task_cancel(fixture->loop, &tasks[3]); /* The last one: what comes next must find the end. */
	loop_task_cancel(fixture->loop, &tasks[3]);
	loop_task_queue(fixture->loop, &tasks[0]);
	loop_post(fixture->loop, stop, fixture);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "bca");
}

struct watched {
	struct fixture *fixture;
	struct loop_watch watch;
	struct watched *other;
	char letter;
};

/* Removes and frees the other one, whose event may be the next of the same turn. */
static void remove_other(void *opaque, uint32_t events)
{
	struct watched *watched = opaque;
	eventfd_t value;

	assert_int_equal(events, EPOLLIN);
	eventfd_read(watched->watch.fd, &value);
	note(&(struct note){watched->fixture, watched->letter});
	loop_watch_remove(watched->fixture->loop, &watched->other->watch);
	close(watched->other->watch.fd);
	free(watched->other);
	loop_post(watched->fixture->loop, stop, watched->fixture);
}

static struct watched *add_watched(struct fixture *fixture, char letter)
{
	struct watched *watched = calloc(1, sizeof(*watched));

	assert_non_null(watched);
	watched->fixture = fixture;
	watched->letter = letter;
	watched->watch = (struct loop_watch){.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK),
					     .ready = remove_other,
					     .opaque = watched};
	assert_true(watched->watch.fd >= 0);
	assert_int_equal(loop_watch_add(fixture->loop, &watched->watch, EPOLLIN), 0);
	return watched;
}

static void removed_watch_is_not_called(void **state)
{
	struct fixture *fixture = *state;
	struct watched *a = add_watched(fixture, 'a'), *b = add_watched(fixture, 'b'), *left;

	a->other = b;
	b->other = a;
	loop_run(fixture->loop);
	assert_int_equal(fixture->count, 1);
	left = fixture->order[0] == 'a' ? a : b;
	loop_watch_remove(fixture->loop, &left->watch);
	loop_watch_remove(fixture->loop, &left->watch); /* Does nothing. */
	close(left->watch.fd);
	free(left);
}

static void note_event(void *opaque, uint32_t events)
{
	struct watched *watched = opaque;

	note(&(struct note){watched->fixture, events & EPOLLOUT ? 'o' : 'i'});
	loop_watch_change(watched->fixture->loop, &watched->watch, 0);
	loop_post(watched->fixture->loop, stop, watched->fixture);
}

static void watches_change_what_they_wait_for(void **state)
{
	struct fixture *fixture = *state;
	struct watched *watched = add_watched(fixture, 'a');

	watched->watch.ready = note_event;
	assert_int_equal(loop_watch_change(fixture->loop, &watched->watch, EPOLLOUT), 0);
	loop_run(fixture->loop);
	assert_int_equal(loop_watch_change(fixture->loop, &watched->watch, EPOLLIN), 0);
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "oi");
	assert_true(loop_watch_add(fixture->loop, &watched->watch, EPOLLIN) < 0); /* It is watched. */
	loop_watch_remove(fixture->loop, &watched->watch);
	close(watched->watch.fd);
	free(watched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(posts_keep_their_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stop_is_for_one_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stop_before_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_never_ran_is_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(calls_from_many_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(call_from_the_loop_is_direct, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timers_fire_by_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timers_change_timers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(far_deadlines_are_slept_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(precise_timers_are_timers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(precise_timers_are_slept_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(far_precise_deadlines_are_slept_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(polling_loops_sleep_when_nothing_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(calls_of_polling_loops, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_is_looked_at_until_the_loop_sleeps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_is_not_looked_at_without_polling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tasks_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancelled_tasks_do_not_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removed_watch_is_not_called, set_up, tear_down),
		cmocka_unit_test_setup_teardown(watches_change_what_they_wait_for, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
