/* SPDX-License-Identifier: Apache-2.0 */
/* Completion of refused instructions: the bytes at RIP and all registers are the guest's.  The input is the registers,
 * then the instruction.  Memory is a page at PAGE, so that operands are there, at its edge, or not there. */

#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "core/completion.h"

#define PAGE 0x10000u
#define PAGE_SIZE 4096u
#define INSTRUCTION_MAX 15

static _Alignas(16) uint8_t page[PAGE_SIZE];

static void *memory(void *opaque, uint64_t linear, size_t size)
{
	(void)opaque;
	if (linear < PAGE || linear - PAGE >= PAGE_SIZE || size > PAGE_SIZE - (linear - PAGE))
		return NULL;
	return page + (linear - PAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvm_regs regs, before;
	struct completion completion = {.regs = &regs, .memory = memory, .mxcsr = 0x1f80};
	uint8_t bytes[INSTRUCTION_MAX];
	size_t count;

	if (size < sizeof(regs))
		return 0;
	memcpy(&regs, data, sizeof(regs));
	/* Most addresses would be nowhere near the page. */
	regs.rax = PAGE + regs.rax % (2 * PAGE_SIZE);
	regs.rbx = PAGE - 64 + regs.rbx % 128;
	completion.fs_base = regs.r15;
	completion.gs_base = PAGE;
	before = regs;
	count = size - sizeof(regs) < sizeof(bytes) ? size - sizeof(regs) : sizeof(bytes);
	memcpy(bytes, data + sizeof(regs), count);
	if (completion_run(&completion, bytes, count) == COMPLETION_UNKNOWN) {
		if (memcmp(&regs, &before, sizeof(regs)) != 0)
			abort(); /* What is not completed must leave no trace. */
	} else if (regs.rip == before.rip || regs.rip - before.rip > count) {
		abort();
	}
	return 0;
}
