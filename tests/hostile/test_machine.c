/* SPDX-License-Identifier: Apache-2.0 */

/* Machines that run: a few bytes of machine code instead of a kernel.  A vCPU that never pauses can be stopped and does
 * not hold up others, and every way a guest has to end its machine is taken for what it is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "core/platform.h"
#include "running.h"

/* spin: in al, 0x80; jmp spin */
static const uint8_t spin[] = {0xe4, 0x80, 0xeb, 0xfc};
/* mov dx, 0x3f8; mov al, 'x'; write: out dx, al; jmp write */
static const uint8_t chatter[] = {0x66, 0xba, 0xf8, 0x03, 0xb0, 'x', 0xee, 0xeb, 0xfd};
/* halt: cli; hlt; jmp halt */
static const uint8_t halt[] = {0xfa, 0xf4, 0xeb, 0xfc};
/* ud2, with no table of interrupts */
static const uint8_t fault[] = {0x0f, 0x0b};

static void case_34_vcpu_spinning_on_a_port_is_stopped(void **state)
{
	struct bench *bench = bench_of(state);
	struct guest *enemy = ENEMY(bench), *bystander = BYSTANDER(bench);

	guest_run(enemy, spin, sizeof(spin));
	guest_run(bystander, chatter, sizeof(chatter));
	/* Neither holds up the other, nor the loops of both. */
	guest_expect_progress(enemy, 1000, 0);
	guest_expect_progress(bystander, 100, 100);
	guest_stop(enemy);
	guest_expect_end(enemy, MACHINE_STOPPED);
	guest_expect_progress(bystander, 100, 100);
	net_check_works(bystander);
	guest_stop(bystander);
	guest_expect_end(bystander, MACHINE_STOPPED);
}

static void case_34_vcpu_flooding_the_serial_port_is_stopped(void **state)
{
	struct bench *bench = bench_of(state);

	guest_run(ENEMY(bench), chatter, sizeof(chatter));
	guest_expect_progress(ENEMY(bench), 1000, 1000);
	net_check_works(BYSTANDER(bench));
	guest_stop(ENEMY(bench));
	guest_expect_end(ENEMY(bench), MACHINE_STOPPED);
}

/* Sleeps in the kernel for good, interrupts off. */
static void vcpu_that_halts_is_stopped(void **state)
{
	struct bench *bench = bench_of(state);

	guest_run(ENEMY(bench), halt, sizeof(halt));
	bench_settle(bench);
	assert_false(guest_sample(ENEMY(bench)).ended);
	guest_stop(ENEMY(bench));
	guest_expect_end(ENEMY(bench), MACHINE_STOPPED);
	/* Once more does nothing. */
	guest_stop(ENEMY(bench));
	bench_settle(bench);
	assert_int_equal(guest_sample(ENEMY(bench)).end, MACHINE_STOPPED);
}

/* A guest that writes the value to the port, and halts. */
static void write_and_expect(void **state, uint16_t port, uint8_t value, enum machine_end end)
{
	struct bench *bench = bench_of(state);
	/* mov dx, port; mov al, value; out dx, al; halt: hlt; jmp halt */
	const uint8_t code[] = {0x66, 0xba, (uint8_t)port, (uint8_t)(port >> 8), 0xb0, value, 0xee, 0xf4, 0xeb, 0xfd};

	guest_run(ENEMY(bench), code, sizeof(code));
	guest_expect_end(ENEMY(bench), end);
	net_check_works(BYSTANDER(bench));
}

static void end_by_keyboard_controller(void **state)
{
	write_and_expect(state, 0x64, 0xfe, MACHINE_RESET);
}

static void end_by_reset_control_register(void **state)
{
	write_and_expect(state, 0xcf9, 0x06, MACHINE_RESET);
}

static void end_by_acpi_reset_register(void **state)
{
	write_and_expect(state, PLATFORM_PORT_ACPI_RESET, PLATFORM_ACPI_RESET_VALUE, MACHINE_RESET);
}

/* SLP_EN and the sleep type of S5 in the DSDT. */
static void end_by_sleep_control_register(void **state)
{
	write_and_expect(state, PLATFORM_PORT_SLEEP_CONTROL, PLATFORM_SLEEP_ENABLE | 5 << 2, MACHINE_POWERED_OFF);
}

static void end_by_triple_fault(void **state)
{
	struct bench *bench = bench_of(state);

	guest_run(ENEMY(bench), fault, sizeof(fault));
	guest_expect_end(ENEMY(bench), MACHINE_RESET);
	net_check_works(BYSTANDER(bench));
}

/* Other values at these ports, and reads of them, end nothing. */
static void ports_that_end_a_machine_take_other_values(void **state)
{
	static const struct {
		uint16_t port;
		uint32_t value;
		unsigned int size;
	} writes[] = {
		{0x64, 0xfd, 1},  {0x64, 0x20, 1},    {0x60, 0xfe, 1},  {0xcf9, 0x00, 1},
		{0xcf9, 0x02, 1}, {0xcf9, 0xffff, 2}, /* The middle of the PCI address register. */
		{0x600, 0, 1},    {0x600, 0xff, 1},   {0x601, 0x14, 1}, {0x602, 0xff, 1},
	};
	struct bench *bench = bench_of(state);
	struct machine *machine = ENEMY(bench)->machine;

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		uint32_t value = writes[i].value;

		machine_port_access(machine, writes[i].port, &value, writes[i].size, true);
		machine_port_access(machine, writes[i].port, &value, writes[i].size, false);
		assert_false(machine_is_ending(machine));
	}
}

/* The first end is the one that counts. */
static void end_is_said_once(void **state)
{
	/* mov al, 0xfe; out 0x64, al; mov dx, 0x601; mov al, 0x34; out dx, al; halt: hlt; jmp halt */
	static const uint8_t code[] = {0xb0, 0xfe, 0xe6, 0x64, 0x66, 0xba, 0x01,
				       0x06, 0xb0, 0x34, 0xee, 0xf4, 0xeb, 0xfd};
	struct bench *bench = bench_of(state);

	guest_run(ENEMY(bench), code, sizeof(code));
	guest_expect_end(ENEMY(bench), MACHINE_RESET);
	guest_stop(ENEMY(bench));
	bench_settle(bench);
	assert_int_equal(guest_sample(ENEMY(bench)).end, MACHINE_RESET);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(case_34_vcpu_spinning_on_a_port_is_stopped),
		CASE(case_34_vcpu_flooding_the_serial_port_is_stopped),
		CASE(vcpu_that_halts_is_stopped),
		CASE(end_by_keyboard_controller),
		CASE(end_by_reset_control_register),
		CASE(end_by_acpi_reset_register),
		CASE(end_by_sleep_control_register),
		CASE(end_by_triple_fault),
		CASE(ports_that_end_a_machine_take_other_values),
		CASE(end_is_said_once),
	};

	return cmocka_run_group_tests_name("hostile/machine", tests, NULL, NULL);
}
