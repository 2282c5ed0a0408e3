/* SPDX-License-Identifier: Apache-2.0 */
#include "running.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/memory.h"

/* A machine of this size has long done what it is waited for; only one that never will is waited for so long. */
#define PATIENCE_SECONDS 60

struct program {
	const uint8_t *code;
	size_t size;
};

/* An ELF kernel that is the program. */
static void write_kernel(char *path, const struct program *program)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
		uint8_t code[64];
	} kernel = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
			   .e_machine = EM_X86_64,
			   .e_entry = RUNNING_CODE,
			   .e_phoff = sizeof(Elf64_Ehdr),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1},
		.segment = {.p_type = PT_LOAD,
			    .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
			    .p_paddr = RUNNING_CODE,
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

/* loop_function, as those below are. */
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

void guest_run(struct guest *guest, const uint8_t *code, size_t size)
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

void guest_run_halted(struct guest *guest)
{
	/* halt: cli; hlt; jmp halt */
	static const uint8_t halt[] = {0xfa, 0xf4, 0xeb, 0xfc};

	guest_run(guest, halt, sizeof(halt));
}

static void stop_machine(void *opaque)
{
	machine_stop(((struct guest *)opaque)->machine);
}

void guest_stop(struct guest *guest)
{
	loop_call(guest->bench->control, stop_machine, guest);
}

static void take_sample(void *opaque)
{
	struct sample *sample = opaque;

	sample->ended = sample->guest->ended;
	sample->end = sample->guest->end;
	sample->written = sample->guest->uart.size + sample->guest->uart.lost;
	machine_read_exits(sample->guest->machine, &sample->exits);
}

struct sample guest_sample(const struct guest *guest)
{
	struct sample sample = {.guest = guest};

	loop_call(guest->bench->control, take_sample, &sample);
	return sample;
}

bool guest_wait(bool (*condition)(void *opaque), void *opaque)
{
	const struct timespec time = {.tv_nsec = 1000000};
	uint64_t last = loop_now() + PATIENCE_SECONDS * 1000000000ull;

	while (!condition(opaque)) {
		if (loop_now() >= last)
			return false;
		nanosleep(&time, NULL);
	}
	return true;
}

static bool has_ended(void *opaque)
{
	return guest_sample(opaque).ended;
}

void guest_expect_end(const struct guest *guest, enum machine_end end)
{
	assert_true(guest_wait(has_ended, (void *)(uintptr_t)guest));
	assert_int_equal(guest_sample(guest).end, end);
	assert_true(machine_is_ending(guest->machine));
}

struct progress {
	struct sample before;
	uint64_t exits;
	size_t written;
};

static bool has_gone_on(void *opaque)
{
	const struct progress *progress = opaque;
	struct sample now = guest_sample(progress->before.guest);

	return now.exits.port - progress->before.exits.port >= progress->exits &&
	       now.written - progress->before.written >= progress->written;
}

void guest_expect_progress(const struct guest *guest, uint64_t exits, size_t written)
{
	struct progress progress = {.before = guest_sample(guest), .exits = exits, .written = written};

	assert_true(guest_wait(has_gone_on, &progress));
	assert_false(guest_sample(guest).ended);
}

struct pause {
	struct guest *guest;
	_Atomic bool paused;
};

static void on_paused(void *opaque)
{
	((struct pause *)opaque)->paused = true;
}

static void pause_machine(void *opaque)
{
	struct pause *pause = opaque;

	machine_pause(pause->guest->machine, on_paused, pause);
}

static bool is_paused(void *opaque)
{
	return ((struct pause *)opaque)->paused;
}

void guest_pause(struct guest *guest)
{
	struct pause pause = {.guest = guest};

	loop_call(guest->bench->control, pause_machine, &pause);
	assert_true(guest_wait(is_paused, &pause));
}

static void resume_machine(void *opaque)
{
	machine_resume(((struct guest *)opaque)->machine);
}

void guest_resume(struct guest *guest)
{
	loop_call(guest->bench->control, resume_machine, guest);
	bench_settle(guest->bench);
}

static void drain_machine(void *opaque)
{
	machine_drain(((struct guest *)opaque)->machine);
}

void guest_drain(struct guest *guest)
{
	loop_call(guest->bench->control, drain_machine, guest);
}

void guest_pause_and_drain(struct guest *guest)
{
	guest_pause(guest);
	guest_drain(guest);
}

struct saved_guest guest_save_here(struct guest *guest)
{
	struct saved_guest saved = {.memory = memfd_create("saved", MFD_CLOEXEC), .error = {.class = ERROR_NONE}};
	const struct guest_memory *memory = machine_memory(guest->machine);

	if (machine_save(guest->machine, &saved.state, &saved.error) == 0 &&
	    guest_memory_write_base(memory->base_fd, memory->size, saved.memory, &saved.error) == 0)
		guest_memory_write_rest(memory, saved.memory, &saved.error);
	return saved;
}

struct saving {
	struct guest *guest;
	struct saved_guest saved;
};

static void save_machine(void *opaque)
{
	struct saving *saving = opaque;

	saving->saved = guest_save_here(saving->guest);
}

struct saved_guest guest_save(struct guest *guest)
{
	struct saving saving = {.guest = guest};

	loop_call(guest->bench->control, save_machine, &saving);
	if (saving.saved.error.class != ERROR_NONE)
		fail_msg("%s", saving.saved.error.text);
	return saving.saved;
}

struct restoring {
	struct guest *guest;
	struct saved_guest *saved;
	int result;
};

static void restore_machine(void *opaque)
{
	struct restoring *restoring = opaque;

	restoring->result = machine_restore(restoring->guest->machine, &restoring->saved->state,
					    &restoring->saved->error);
}

int guest_try_restore(struct guest *guest, struct saved_guest *saved)
{
	struct restoring restoring = {.guest = guest, .saved = saved};

	if (guest->started) {
		guest_stop(guest);
		assert_true(guest_wait(has_ended, guest));
	}
	guest_build(guest, guest->cpus, saved->memory);
	guest->nic.machine = guest->machine;
	saved->state.at = 0;
	saved->state.bad = false;
	loop_call(guest->bench->control, restore_machine, &restoring);
	guest->started = restoring.result == 0;
	return restoring.result;
}

void guest_restore(struct guest *guest, struct saved_guest *saved)
{
	if (guest_try_restore(guest, saved) < 0)
		fail_msg("%s", saved->error.text);
	bench_settle(guest->bench);
}

void guest_forget(struct saved_guest *saved)
{
	state_release(&saved->state);
	close(saved->memory);
}
