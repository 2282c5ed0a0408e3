/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_COMPLETION_H
#define CORE_COMPLETION_H 1

/* Completion of refused instructions
 * ==================================
 *
 * A pagetable-based KVM emulates the guest's ring 0 and refuses instructions its emulator does not know
 * (KVM_INTERNAL_ERROR_EMULATION).  completion_run() finishes the few that guests meet: it is given the
 * bytes at RIP and the registers, and changes the registers as the instruction would (Intel SDM, volume 2).
 *
 * Only 64-bit mode is handled, which is where guests meet them.
 *
 * Thread-safety: none needed; it works on what it is given.
 */

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

enum completion_result {
	COMPLETION_DONE,       /* RIP is past the instruction. */
	COMPLETION_BREAKPOINT, /* INT3: RIP is past it, and #BP is to be injected. */
	COMPLETION_UNKNOWN,    /* Nothing was changed. */
};

struct completion {
	struct kvm_regs *regs;
	uint64_t fs_base, gs_base;
	uint32_t mxcsr; /* Read by STMXCSR, changed by LDMXCSR. */
	/* Returns a pointer to the 'size' bytes (at most 16) at a linear address, or NULL; for operands in memory. */
	void *(*memory)(void *opaque, uint64_t linear, size_t size);
	void *opaque;
};

enum completion_result completion_run(struct completion *completion, const uint8_t *bytes, size_t size);

#endif /* completion.h */
