/* SPDX-License-Identifier: Apache-2.0 */

/* Machines that run, are paused, and go on, here or in another machine: in whatever order they are asked for that. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "core/memory.h"
#include "running.h"

/* count: inc qword [RUNNING_MEMORY]; jmp count */
static const uint8_t count[] = {0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x10, 0x01, 0xeb, 0xf6};
/* spin: in al, 0x80; jmp spin */
static const uint8_t spin[] = {0xe4, 0x80, 0xeb, 0xfc};

static uint64_t counted(const struct guest *guest)
{
	return *(volatile uint64_t *)guest_memory_slice(machine_memory(guest->machine), RUNNING_MEMORY, 8);
}

struct counting {
	const struct guest *guest;
	uint64_t until;
};

static bool has_counted(void *opaque)
{
	const struct counting *counting = opaque;

	return counted(counting->guest) >= counting->until;
}

static void expect_counting(const struct guest *guest)
{
	struct counting counting = {.guest = guest, .until = counted(guest) + 1000};

	assert_true(guest_wait(has_counted, &counting));
}

static void expect_rest(const struct guest *guest)
{
	const struct timespec time = {.tv_nsec = 20000000};
	uint64_t before = counted(guest);

	nanosleep(&time, NULL);
	assert_true(counted(guest) == before);
}

static void guest_goes_on_where_it_was(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved;
	uint64_t before;

	guest_run(guest, count, sizeof(count));
	expect_counting(guest);
	guest_pause_and_drain(guest);
	expect_rest(guest);
	before = counted(guest);
	saved = guest_save(guest);
	guest_resume(guest);
	expect_counting(guest);
	for (int i = 0; i < 2; i++) {
		guest_restore(guest, &saved);
		assert_true(counted(guest) == before);
		expect_rest(guest);
		guest_resume(guest);
		expect_counting(guest);
	}
	/* It can be saved again, as any other. */
	guest_pause_and_drain(guest);
	guest_forget(&saved);
	before = counted(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	assert_true(counted(guest) == before);
	guest_resume(guest);
	expect_counting(guest);
	guest_forget(&saved);
}

/* An access that a vCPU is in the middle of is finished first. */
static void guest_is_paused_between_accesses(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved;

	guest_run(guest, spin, sizeof(spin));
	for (int i = 0; i < 20; i++) {
		guest_expect_progress(guest, 10, 0);
		guest_pause_and_drain(guest);
		saved = guest_save(guest);
		guest_restore(guest, &saved);
		guest_resume(guest);
		guest_forget(&saved);
	}
	guest_expect_progress(guest, 1000, 0);
}

struct pauses {
	struct guest *guest;
	_Atomic unsigned int told;
};

static void on_paused(void *opaque)
{
	((struct pauses *)opaque)->told++;
}

/* loop_function: before the vCPU has noticed that it may go on. */
static void pause_again(void *opaque)
{
	struct pauses *pauses = opaque;

	machine_resume(pauses->guest->machine);
	machine_pause(pauses->guest->machine, on_paused, pauses);
}

static bool was_told(void *opaque)
{
	return ((struct pauses *)opaque)->told > 0;
}

/* With more CPUs than one, of which all but the first wait to be started. */
static void pause_twice_in_a_row(void **state, unsigned int cpus)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct pauses pauses = {.guest = guest};

	guest_build(guest, cpus, 0);
	guest_run(guest, count, sizeof(count));
	guest_pause(guest);
	for (int i = 0; i < 200; i++) {
		pauses.told = 0;
		loop_call(guest->bench->control, pause_again, &pauses);
		assert_true(guest_wait(was_told, &pauses));
		bench_settle(guest->bench);
		assert_int_equal(pauses.told, 1);
	}
	expect_rest(guest);
	guest_resume(guest);
	expect_counting(guest);
}

static void pausing_twice_in_a_row(void **state)
{
	pause_twice_in_a_row(state, 1);
}

static void pausing_three_cpus_twice_in_a_row(void **state)
{
	pause_twice_in_a_row(state, 3);
}

static void three_cpus_go_on_where_they_were(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved;
	uint64_t before;

	guest_build(guest, 3, 0);
	guest_run(guest, count, sizeof(count));
	expect_counting(guest);
	guest_pause_and_drain(guest);
	before = counted(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	assert_true(counted(guest) == before);
	guest_resume(guest);
	expect_counting(guest);
	guest_pause(guest);
	expect_rest(guest);
	guest_forget(&saved);
}

static void paused_machine_is_stopped(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));

	guest_run(guest, count, sizeof(count));
	guest_pause(guest);
	guest_stop(guest);
	guest_expect_end(guest, MACHINE_STOPPED);
}

/* loop_function */
static void pause_and_stop(void *opaque)
{
	struct pauses *pauses = opaque;

	machine_pause(pauses->guest->machine, on_paused, pauses);
	machine_stop(pauses->guest->machine);
}

static void machine_that_ends_is_not_paused(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct pauses pauses = {.guest = guest};

	guest_run(guest, count, sizeof(count));
	expect_counting(guest);
	loop_call(guest->bench->control, pause_and_stop, &pauses);
	guest_expect_end(guest, MACHINE_STOPPED);
	bench_settle(guest->bench);
	assert_int_equal(pauses.told, 0);
}

static struct saved_guest save_counting(struct guest *guest)
{
	struct saved_guest saved;

	guest_run(guest, count, sizeof(count));
	net_start(guest, 0);
	expect_counting(guest);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	return saved;
}

static void restored_machine_is_destroyed_without_having_run(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved = save_counting(guest);

	guest_restore(guest, &saved);
	guest_build(guest, 1, 0);
	net_start(guest, 0);
	net_check_works(guest);
	guest_forget(&saved);
}

static void restored_machine_is_stopped_without_having_run(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved = save_counting(guest);
	uint64_t before;

	guest_restore(guest, &saved);
	before = counted(guest);
	guest_stop(guest);
	guest_expect_end(guest, MACHINE_STOPPED);
	guest_stop(guest);
	guest_resume(guest); /* Too late. */
	assert_true(counted(guest) == before);
	guest_forget(&saved);
}

static void restored_machine_is_saved_without_having_run(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved = save_counting(guest), again;
	uint64_t before = counted(guest);

	guest_restore(guest, &saved);
	guest_drain(guest);
	again = guest_save(guest);
	guest_restore(guest, &again);
	assert_true(counted(guest) == before);
	guest_resume(guest);
	expect_counting(guest);
	guest_forget(&saved);
	guest_forget(&again);
}

/* However much of its state is there: the machine has not started, and goes. */
static void state_cut_short(void **state)
{
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved = save_counting(guest);
	size_t size = saved.state.size;

	for (unsigned int part = 0; part < 16; part++) {
		saved.state.size = size * part / 16;
		assert_true(guest_try_restore(guest, &saved) < 0);
	}
	saved.state.size = size - 1;
	assert_true(guest_try_restore(guest, &saved) < 0);
	saved.state.size = size;
	guest_restore(guest, &saved);
	guest_resume(guest);
	expect_counting(guest);
	guest_forget(&saved);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(guest_goes_on_where_it_was),
		CASE(guest_is_paused_between_accesses),
		CASE(pausing_twice_in_a_row),
		CASE(pausing_three_cpus_twice_in_a_row),
		CASE(three_cpus_go_on_where_they_were),
		CASE(paused_machine_is_stopped),
		CASE(machine_that_ends_is_not_paused),
		CASE(restored_machine_is_destroyed_without_having_run),
		CASE(restored_machine_is_stopped_without_having_run),
		CASE(restored_machine_is_saved_without_having_run),
		CASE(state_cut_short),
	};

	return cmocka_run_group_tests_name("hostile/pausing", tests, NULL, NULL);
}
