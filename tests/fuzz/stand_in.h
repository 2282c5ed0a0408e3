/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_STAND_IN_H
#define TESTS_FUZZ_STAND_IN_H 1

/* A machine without KVM
 * =====================
 *
 * Stands in for core/machine.c, core/interrupts.c and core/log.c, so that devices can be fuzzed fast and anywhere:
 * memory is a block of the heap, whose edges AddressSanitizer guards; interrupts go nowhere; kicks arrive as writes to
 * the BAR; the log is silent.  The loop is turned by hand, and everything happens in one thread.
 *
 * Its functions are weak: a target that links the real ones for other reasons gets the real ones.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct machine;

/* Bytes still to be consumed.  Past the end everything is 0. */
struct input {
	const uint8_t *data;
	size_t size;
};

uint8_t input_8(struct input *input);
uint16_t input_16(struct input *input);
uint32_t input_32(struct input *input);

/* Dies where the fuzzer sees it. */
void stand_in_check(bool condition);

struct machine *stand_in_create(size_t memory_size);
void stand_in_destroy(struct machine *machine);
struct loop *stand_in_loop(struct machine *machine);

/* Accesses as a vCPU makes them.  Reads give the value. */
uint64_t stand_in_access(struct machine *machine, uint64_t address, unsigned int size, uint64_t value, bool is_write);
uint64_t stand_in_config(struct machine *machine, unsigned int slot, unsigned int offset, unsigned int size,
			 uint64_t value, bool is_write);
uint64_t stand_in_port(struct machine *machine, uint16_t port, unsigned int size, uint64_t value, bool is_write);

#endif /* stand_in.h */
