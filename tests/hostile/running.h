/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_RUNNING_H
#define TESTS_HOSTILE_RUNNING_H 1

/* Guests of the bench that run, pause, and go on elsewhere
 * ========================================================
 *
 * A few bytes of machine code take the place of a kernel.  They lie apart from where the drivers of the tests have
 * their rings.  All functions are called by the test's thread and do what they do in the control loop, as netlabd does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"
#include "core/state.h"

/* Where the code is, and a place in memory that is for the code alone. */
#define RUNNING_CODE 0x1000000ull
#define RUNNING_MEMORY 0x1100000ull

void guest_run(struct guest *guest, const uint8_t *code, size_t size);
/* Has it halted, with interrupts off: a machine that has vCPUs, whose devices are the test's alone. */
void guest_run_halted(struct guest *guest);
void guest_stop(struct guest *guest);

/* What can be seen of it. */
struct sample {
	const struct guest *guest;
	bool ended;
	enum machine_end end;
	size_t written; /* Bytes at the UART. */
	struct machine_exits exits;
};
struct sample guest_sample(const struct guest *guest);

/* Waits for a guest to end. */
void guest_expect_end(const struct guest *guest, enum machine_end end);
/* It goes on: so many more exits, and bytes at its UART, than there are now. */
void guest_expect_progress(const struct guest *guest, uint64_t exits, size_t written);

/* Waits until it is paused. */
void guest_pause(struct guest *guest);
void guest_resume(struct guest *guest);
void guest_drain(struct guest *guest);
void guest_pause_and_drain(struct guest *guest);
/* Calls 'condition' until it is true.  Returns false when it never is. */
bool guest_wait(bool (*condition)(void *opaque), void *opaque);

/* A guest that was saved: its state, and a file with its memory. */
struct saved_guest {
	struct state state;
	int memory;
	struct error error; /* Of the class ERROR_NONE when all went well. */
};
/* Saves a guest that is drained. */
struct saved_guest guest_save(struct guest *guest);
/* The same in the thread that calls, which may be the data plane's, in the middle of a turn. */
struct saved_guest guest_save_here(struct guest *guest);
/* Has the machine of the guest end, and another one go on from what was saved, up to where it is resumed.  Its driver
 * is that of the one before. */
void guest_restore(struct guest *guest, struct saved_guest *saved);
/* The same; returns machine_restore()'s result. */
int guest_try_restore(struct guest *guest, struct saved_guest *saved);
void guest_forget(struct saved_guest *saved);

#endif /* running.h */
