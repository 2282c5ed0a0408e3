/* SPDX-License-Identifier: Apache-2.0 */

/* Machines that run: a few bytes of machine code instead of a kernel.  A vCPU that never pauses can be stopped and does
 * not hold up others, and every way a guest has to end its machine is taken for what it is. */

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "core/memory.h"
#include "core/platform.h"

/* A machine of this size has long done what it is waited for; only one that never will is waited for so long. */
#define PATIENCE_SECONDS 60

struct program {
	const uint8_t *code;
	size_t size;
};

/* An ELF kernel that is the program, at 1 MiB. */
static void write_kernel(char *path, const struct program *program)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
		uint8_t code[64];
	} kernel = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
			   .e_machine = EM_X86_64,
			   .e_entry = PLATFORM_HIGH_START,
			   .e_phoff = sizeof(Elf64_Ehdr),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1},
		.segment = {.p_type = PT_LOAD,
			    .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
			    .p_paddr = PLATFORM_HIGH_START,
			    .p_filesz = program->size,
			    .p_memsz = 4096},
	};
	int fd = mkstemp(path);

	assert_true(fd >= 0 && program->size <= sizeof(kernel.code));
	memcpy(kernel.code, program->code, program->size);
	assert_int_equal(write(fd, &kernel, sizeof(kernel)), sizeof(kernel));
	close(fd);
}

struct start {
	struct guest *guest;
	const char *kernel;
	int result;
	struct error error;
};

static void start_machine(void *opaque)
{
	struct start *start = opaque;
	const struct machine_options options = {.name = "guest",
						.memory = BENCH_MEMORY,
						.cpus = 1,
						.kernel = start->kernel,
						.cmdline = ""};

	start->result = machine_start(start->guest->machine, &options, &start->error);
	start->guest->started = start->result == 0;
}

static void run(struct guest *guest, const uint8_t *code, size_t size)
{
	const struct program program = {.code = code, .size = size};
	char path[] = "/tmp/test-kernel-XXXXXX";
	struct start start = {.guest = guest, .kernel = path};

	write_kernel(path, &program);
	loop_call(guest->bench->control, start_machine, &start);
	unlink(path);
	if (start.result < 0)
		fail_msg("%s", start.error.text);
}

static void stop_machine(void *opaque)
{
	machine_stop(((struct guest *)opaque)->machine);
}

struct sample {
	const struct guest *guest;
	bool ended;
	enum machine_end end;
	size_t written;
	struct machine_exits exits;
};

static void take_sample(void *opaque)
{
	struct sample *sample = opaque;

	sample->ended = sample->guest->ended;
	sample->end = sample->guest->end;
	sample->written = sample->guest->uart.size + sample->guest->uart.lost;
	machine_read_exits(sample->guest->machine, &sample->exits);
}

static struct sample sample_of(const struct guest *guest)
{
	struct sample sample = {.guest = guest};

	loop_call(guest->bench->control, take_sample, &sample);
	return sample;
}

static void pause_a_little(void)
{
	const struct timespec time = {.tv_nsec = 1000000};

	nanosleep(&time, NULL);
}

static uint64_t deadline(void)
{
	return loop_now() + PATIENCE_SECONDS * 1000000000ull;
}

static void expect_end(const struct guest *guest, enum machine_end end)
{
	struct sample sample = sample_of(guest);

	for (uint64_t last = deadline(); !sample.ended && loop_now() < last; sample = sample_of(guest))
		pause_a_little();
	assert_true(sample.ended);
	assert_int_equal(sample.end, end);
	assert_true(machine_is_ending(guest->machine));
}

/* It goes on: so many more exits, and bytes at its UART, than there are now. */
static void expect_progress(const struct guest *guest, uint64_t exits, size_t written)
{
	const struct sample before = sample_of(guest);
	struct sample now = before;

	for (uint64_t last = deadline(); loop_now() < last; now = sample_of(guest)) {
		if (now.exits.port - before.exits.port >= exits && now.written - before.written >= written)
			break;
		pause_a_little();
	}
	assert_true(now.exits.port - before.exits.port >= exits);
	assert_true(now.written - before.written >= written);
	assert_false(now.ended);
}

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

	run(enemy, spin, sizeof(spin));
	run(bystander, chatter, sizeof(chatter));
	/* Neither holds up the other, nor the loops of both. */
	expect_progress(enemy, 1000, 0);
	expect_progress(bystander, 100, 100);
	loop_call(bench->control, stop_machine, enemy);
	expect_end(enemy, MACHINE_STOPPED);
	expect_progress(bystander, 100, 100);
	net_check_works(bystander);
	loop_call(bench->control, stop_machine, bystander);
	expect_end(bystander, MACHINE_STOPPED);
}

static void case_34_vcpu_flooding_the_serial_port_is_stopped(void **state)
{
	struct bench *bench = bench_of(state);

	run(ENEMY(bench), chatter, sizeof(chatter));
	expect_progress(ENEMY(bench), 1000, 1000);
	net_check_works(BYSTANDER(bench));
	loop_call(bench->control, stop_machine, ENEMY(bench));
	expect_end(ENEMY(bench), MACHINE_STOPPED);
}

/* Sleeps in the kernel for good, interrupts off. */
static void vcpu_that_halts_is_stopped(void **state)
{
	struct bench *bench = bench_of(state);

	run(ENEMY(bench), halt, sizeof(halt));
	bench_settle(bench);
	assert_false(sample_of(ENEMY(bench)).ended);
	loop_call(bench->control, stop_machine, ENEMY(bench));
	expect_end(ENEMY(bench), MACHINE_STOPPED);
	/* Once more does nothing. */
	loop_call(bench->control, stop_machine, ENEMY(bench));
	bench_settle(bench);
	assert_int_equal(sample_of(ENEMY(bench)).end, MACHINE_STOPPED);
}

/* A guest that writes the value to the port, and halts. */
static void write_and_expect(void **state, uint16_t port, uint8_t value, enum machine_end end)
{
	struct bench *bench = bench_of(state);
	/* mov dx, port; mov al, value; out dx, al; halt: hlt; jmp halt */
	const uint8_t code[] = {0x66, 0xba, (uint8_t)port, (uint8_t)(port >> 8), 0xb0, value, 0xee, 0xf4, 0xeb, 0xfd};

	run(ENEMY(bench), code, sizeof(code));
	expect_end(ENEMY(bench), end);
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

	run(ENEMY(bench), fault, sizeof(fault));
	expect_end(ENEMY(bench), MACHINE_RESET);
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

	run(ENEMY(bench), code, sizeof(code));
	expect_end(ENEMY(bench), MACHINE_RESET);
	loop_call(bench->control, stop_machine, ENEMY(bench));
	bench_settle(bench);
	assert_int_equal(sample_of(ENEMY(bench)).end, MACHINE_RESET);
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
