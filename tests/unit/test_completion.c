/* SPDX-License-Identifier: Apache-2.0 */
/* Completion of refused instructions, against this machine's own processor.
 *
 * The arena is a page of code and one of data, below 2 GiB so that absolute addresses of 32 bits reach it.  Each
 * instruction is run twice from the same registers and data: natively, by run_native(), and by completion_run(), whose
 * linear addresses are taken for addresses in this process.  Registers, flags, MXCSR, data and length must come out the
 * same.  What user space may not run (CLAC, STAC), or not without harm (INT3, FS, RSP), is compared with the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/completion.h"

#define PAGE 4096
#define TARGET 0x180 /* Of operands, from the beginning of the data; a multiple of 16. */
#define FLAGS 0x8d5u /* CF, PF, AF, ZF, SF, OF */
#define FLAG_ZF 0x40u
#define FLAG_AC 0x40000u
#define MXCSR_DEFAULT 0x1f80u

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R15 = 15 };

struct arena {
	uint8_t *code;
	uint8_t *data;
	uint64_t gs_base;
};

/* Offsets are known to the assembler below. */
struct native {
	uint64_t general[16]; /* In the order of the encoding; RSP is left alone. */
	uint64_t flags;
	uint32_t mxcsr;
};

/* Loads the registers from 'native', jumps to 'code', which ends with a jump to native_back, and stores them. */
void run_native(struct native *native, const void *code);
void native_back(void);

__asm__(".text\n"
	".globl run_native, native_back\n"
	"run_native:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	push %rdi; push %rsi\n"
	"	ldmxcsr 136(%rdi)\n"
	"	pushq 128(%rdi); popfq\n"
	"	mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
	"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
	"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov 56(%rdi), %rdi\n"
	"	jmp *(%rsp)\n"
	"native_back:\n" /* No instruction up to pushfq changes flags. */
	"	xchg %rax, 8(%rsp)\n"
	"	mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax)\n"
	"	mov %rbp, 40(%rax); mov %rsi, 48(%rax); mov %rdi, 56(%rax)\n"
	"	mov %r8, 64(%rax); mov %r9, 72(%rax); mov %r10, 80(%rax); mov %r11, 88(%rax)\n"
	"	mov %r12, 96(%rax); mov %r13, 104(%rax); mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
	"	mov 8(%rsp), %rcx; mov %rcx, (%rax)\n"
	"	pushfq; popq 128(%rax)\n"
	"	stmxcsr 136(%rax)\n"
	"	movl $0x1f80, (%rsp); ldmxcsr (%rsp)\n"
	"	lea 16(%rsp), %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

static void fill(uint8_t *data)
{
	for (unsigned int i = 0; i < PAGE; i++)
		data[i] = (uint8_t)(i * 151 + (i >> 3));
}

static int set_up(void **state)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	void *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
			   -1, 0);

	if (!arena || pages == MAP_FAILED)
		return -1;
	arena->code = pages;
	arena->data = arena->code + PAGE;
	fill(arena->data);
	*state = arena;
	return 0;
}

static int tear_down(void **state)
{
	struct arena *arena = *state;

	munmap(arena->code, 2 * PAGE);
	free(arena);
	return 0;
}

static void *memory(void *opaque, uint64_t linear, size_t size)
{
	const struct arena *arena = opaque;
	uint64_t start = (uint64_t)(uintptr_t)arena->data;

	return linear >= start && linear - start <= PAGE - size ? arena->data + (linear - start) : NULL;
}

static uint64_t address_of(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static void get_general(const struct kvm_regs *regs, uint64_t general[16])
{
	const uint64_t order[16] = {
		regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp, regs->rsi, regs->rdi,
		regs->r8,  regs->r9,  regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15,
	};

	memcpy(general, order, sizeof(order));
}

static void put_general(struct kvm_regs *regs, unsigned int number, uint64_t value)
{
	__u64 *const order[16] = {
		&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx, &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi,
		&regs->r8,  &regs->r9,  &regs->r10, &regs->r11, &regs->r12, &regs->r13, &regs->r14, &regs->r15,
	};

	*order[number] = value;
}

/* Registers that have nothing to do with the arena, with all arithmetic flags set. */
static struct kvm_regs plain_registers(const struct arena *arena)
{
	struct kvm_regs regs = {.rip = address_of(arena->code), .rflags = 2 | FLAGS};

	for (unsigned int i = 0; i < 16; i++)
		put_general(&regs, i, 0x1111222233334440u * (i + 1) + i);
	return regs;
}

static enum completion_result complete(struct arena *arena, struct kvm_regs *regs, uint32_t *mxcsr, const void *bytes,
				       size_t size)
{
	struct completion completion = {.regs = regs,
					.mxcsr = *mxcsr,
					.gs_base = arena->gs_base,
					.memory = memory,
					.opaque = arena};
	enum completion_result result = completion_run(&completion, bytes, size);

	*mxcsr = completion.mxcsr;
	return result;
}

static void write_code(struct arena *arena, const uint8_t *bytes, size_t size)
{
	static const uint8_t jump[6] = {0xff, 0x25}; /* jmp *0(%rip) */
	uint64_t back = address_of((const void *)native_back);

	memcpy(arena->code, bytes, size);
	memcpy(arena->code + size, jump, sizeof(jump));
	memcpy(arena->code + size + sizeof(jump), &back, sizeof(back));
}

/* Runs it natively and by completion, and compares all there is. */
static void compare(struct arena *arena, struct kvm_regs regs, uint32_t mxcsr, const uint8_t *bytes, size_t size)
{
	struct native native = {.flags = regs.rflags, .mxcsr = mxcsr};
	static uint8_t after[PAGE]; /* Too large for the stack's taste; used here alone. */
	uint64_t general[16];

	get_general(&regs, native.general);
	write_code(arena, bytes, size);
	run_native(&native, arena->code);
	memcpy(after, arena->data, PAGE);
	fill(arena->data);

	assert_int_equal(complete(arena, &regs, &mxcsr, bytes, size), COMPLETION_DONE);
	assert_int_equal(regs.rip - address_of(arena->code), size);
	get_general(&regs, general);
	assert_memory_equal(general, native.general, sizeof(general));
	assert_int_equal(regs.rflags & FLAGS, native.flags & FLAGS);
	assert_int_equal(mxcsr, native.mxcsr);
	assert_memory_equal(arena->data, after, PAGE);
	fill(arena->data);
}

/* Nothing may change. */
static void expect_unknown(struct arena *arena, const void *bytes, size_t size)
{
	struct kvm_regs regs = plain_registers(arena), before;
	uint32_t mxcsr = MXCSR_DEFAULT;

	regs.rsi = address_of(arena->data);
	before = regs;
	assert_int_equal(complete(arena, &regs, &mxcsr, bytes, size), COMPLETION_UNKNOWN);
	assert_memory_equal(&regs, &before, sizeof(regs));
	assert_int_equal(mxcsr, MXCSR_DEFAULT);
}

/* An instruction with a memory operand: prefixes, 0F, opcode, and the register field of its ModRM. */
struct shape {
	uint8_t prefixes[4];
	size_t prefix_count;
	uint8_t rex; /* W and R; X and B depend on the operand. */
	uint8_t opcode;
	uint8_t field;
};

struct operand {
	unsigned int mod, rm, scale, index, base; /* 'index' and 'base' with their REX bits: 0 to 15. */
};

/* Writes the instruction and sets the registers so that the operand is at TARGET.  Returns its size, or 0 for operands
 * that cannot be tried: those with RSP, or with one register in both roles. */
static size_t encode(const struct arena *arena, const struct shape *shape, const struct operand *operand,
		     uint64_t segment_base, uint8_t *bytes, struct kvm_regs *regs)
{
	bool has_sib = (operand->rm & 7) == 4, has_index = has_sib && operand->index != 4;
	unsigned int base = has_sib ? operand->base : operand->rm;
	bool relative = !has_sib && operand->mod == 0 && (base & 7) == 5;
	bool has_base = !relative && !(operand->mod == 0 && (base & 7) == 5);
	uint64_t address = address_of(arena->data) + TARGET - segment_base, rest;
	int32_t displacement = operand->mod == 1 ? -0x35 : operand->mod == 2 ? 0x12345 : 0;
	size_t size = 0, wide = relative || !has_base || operand->mod == 2 ? 4 : operand->mod;

	if ((has_base && (base == RSP || (has_index && base == operand->index))) ||
	    (shape->opcode == 0xb8 && shape->field == RSP && !(shape->rex & 4)))
		return 0;
	memcpy(bytes, shape->prefixes, shape->prefix_count);
	size += shape->prefix_count;
	bytes[size] = (uint8_t)(0x40 | shape->rex | (has_index && operand->index > 7 ? 2 : 0) | (base > 7 ? 1 : 0));
	if (bytes[size] != 0x40)
		size++;
	bytes[size++] = 0x0f;
	bytes[size++] = shape->opcode;
	bytes[size++] = (uint8_t)(operand->mod << 6 | shape->field << 3 | (operand->rm & 7));
	if (has_sib)
		bytes[size++] = (uint8_t)(operand->scale << 6 | (operand->index & 7) << 3 | (base & 7));
	rest = address - (uint64_t)(int64_t)displacement;
	if (has_index) {
		put_general(regs, operand->index, 0x10 + operand->index);
		rest -= (uint64_t)(0x10 + operand->index) << operand->scale;
	}
	if (relative)
		displacement = (int32_t)(address - (address_of(arena->code) + size + 4));
	else if (has_base)
		put_general(regs, base, rest);
	else
		displacement = (int32_t)rest;
	memcpy(bytes + size, &displacement, wide);
	return size + wide;
}

/* Tries 'shape' with every form of operand there is. */
static void compare_all_operands(struct arena *arena, const struct shape *shape, const struct kvm_regs *start)
{
	struct operand operand;
	uint8_t bytes[32];

	for (unsigned int i = 0; i < 3 * 16 * 4 * 16 * 16; i++) {
		struct kvm_regs regs = *start;
		size_t size;

		operand = (struct operand){.mod = i % 3,
					   .rm = i / 3 % 16,
					   .scale = i / 48 % 4,
					   .index = i / 192 % 16,
					   .base = i / 3072};
		if ((operand.rm & 7) != 4 && i >= 48) /* SIB bytes are for R/M 4 alone. */
			continue;
		if (operand.rm == 12) /* The same as 4: REX.B belongs to the SIB byte. */
			continue;
		size = encode(arena, shape, &operand, 0, bytes, &regs);
		if (size > 0)
			compare(arena, regs, MXCSR_DEFAULT, bytes, size);
	}
}

static void popcnt_of_registers(void **state)
{
	static const uint64_t values[] =
		{0, 1, 0x8000, 0xffff, 0x10000, 0xffff0000, 0xffffffff00000000, ~0ull, 0x123456789abcdef0};
	struct arena *arena = *state;

	for (unsigned int i = 0; i < 3 * 16 * 16; i++) {
		unsigned int width = i % 3, target = i / 3 % 16, from = i / 48;
		uint8_t bytes[6];
		size_t size = 0;

		if (target == RSP || from == RSP)
			continue;
		if (width == 0)
			bytes[size++] = 0x66;
		bytes[size++] = 0xf3;
		bytes[size++] = (uint8_t)(0x40 | (width == 2 ? 8 : 0) | (target > 7 ? 4 : 0) | (from > 7 ? 1 : 0));
		bytes[size++] = 0x0f;
		bytes[size++] = 0xb8;
		bytes[size++] = (uint8_t)(0xc0 | (target & 7) << 3 | (from & 7));
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			struct kvm_regs regs = plain_registers(arena);

			put_general(&regs, from, values[v]);
			compare(arena, regs, MXCSR_DEFAULT, bytes, size);
		}
	}
}

static void popcnt_of_memory(void **state)
{
	static const struct shape shapes[] = {
		{{0x66, 0xf3}, 2, 0, 0xb8, RDX}, {{0xf3}, 1, 0, 0xb8, RDI},     {{0xf3}, 1, 8, 0xb8, RAX},
		{{0xf3}, 1, 12, 0xb8, 7},        {{0xf3, 0x66}, 2, 4, 0xb8, 1}, {{0x2e, 0xf3}, 2, 8, 0xb8, RBX},
	};
	struct arena *arena = *state;
	struct kvm_regs regs = plain_registers(arena);

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		compare_all_operands(arena, &shapes[i], &regs);
}

static void mxcsr_is_stored(void **state)
{
	static const struct shape shapes[] = {{{0}, 0, 0, 0xae, 3}, {{0x3e}, 1, 8, 0xae, 3}};
	struct arena *arena = *state;
	struct kvm_regs regs = plain_registers(arena);

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		compare_all_operands(arena, &shapes[i], &regs);
}

static void mxcsr_is_loaded(void **state)
{
	static const uint32_t values[] = {0x1f80, 0, 0x9fc0, 0x7fbf, 0x3f};
	static const uint8_t load[] = {0x0f, 0xae, 0x96, 0x80, 0x01, 0, 0}; /* ldmxcsr TARGET(%rsi) */
	static const uint8_t load_gs[] = {0x65, 0x0f, 0xae, 0x50, 0x10};    /* ldmxcsr %gs:16(%rax) */
	struct arena *arena = *state;
	struct kvm_regs regs = plain_registers(arena);
	uint32_t mxcsr;

	/* Natively only the value that is there anyway: others would trap in the code around it. */
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		regs = plain_registers(arena);
		regs.rsi = address_of(arena->data);
		memcpy(arena->data + TARGET, &values[i], sizeof(values[i]));
		mxcsr = MXCSR_DEFAULT;
		assert_int_equal(complete(arena, &regs, &mxcsr, load, sizeof(load)), COMPLETION_DONE);
		assert_int_equal(mxcsr, values[i]);
		assert_int_equal(regs.rip - address_of(arena->code), sizeof(load));
	}
	arena->gs_base = address_of(arena->data);
	regs.rax = TARGET - 16;
	mxcsr = MXCSR_DEFAULT;
	assert_int_equal(complete(arena, &regs, &mxcsr, load_gs, sizeof(load_gs)), COMPLETION_DONE);
	assert_int_equal(mxcsr, 0x3f);
	arena->gs_base = 0;
	fill(arena->data);
}

static void mxcsr_has_reserved_bits(void **state)
{
	static const uint8_t load[] = {0x0f, 0xae, 0x16}; /* ldmxcsr (%rsi) */
	struct arena *arena = *state;
	uint32_t value = 0x00011f80;

	memcpy(arena->data, &value, sizeof(value));
	expect_unknown(arena, load, sizeof(load));
	fill(arena->data);
}

static void segments_have_bases(void **state)
{
	static const struct shape shapes[] = {{{0x65, 0xf3}, 2, 8, 0xb8, RDX}, {{0x65}, 1, 0, 0xae, 3}};
	static const struct operand operands[] = {{.mod = 0, .rm = RSI},
						  {.mod = 0, .rm = 5},
						  {.mod = 1, .rm = RBP},
						  {.mod = 2, .rm = 15},
						  {.mod = 0, .rm = 4, .index = 4, .base = 5},
						  {.mod = 0, .rm = 4, .index = 13, .base = 5, .scale = 3},
						  {.mod = 1, .rm = 4, .index = 12, .base = 13, .scale = 1}};
	struct arena *arena = *state;
	uint8_t bytes[32];

	arena->gs_base = 0x12340;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, arena->gs_base), 0);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (size_t j = 0; j < sizeof(operands) / sizeof(operands[0]); j++) {
			struct kvm_regs regs = plain_registers(arena);
			size_t size = encode(arena, &shapes[i], &operands[j], arena->gs_base, bytes, &regs);

			assert_true(size > 0);
			compare(arena, regs, MXCSR_DEFAULT, bytes, size);
		}
	}
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
	arena->gs_base = 0;
}

/* The C library lives in FS, and the stack in RSP: these are compared with the manual alone. */
static void fs_and_rsp(void **state)
{
	static const uint8_t fs[] = {0x64, 0xf3, 0x48, 0x0f, 0xb8, 0x46, 0xf8};  /* popcnt %fs:-8(%rsi), %rax */
	static const uint8_t rsp[] = {0xf3, 0x48, 0x0f, 0xb8, 0x44, 0x24, 0x10}; /* popcnt 16(%rsp), %rax */
	struct arena *arena = *state;
	struct kvm_regs regs = plain_registers(arena);
	struct completion completion = {.regs = &regs, .memory = memory, .opaque = arena};
	uint64_t value;

	memcpy(&value, arena->data + TARGET, sizeof(value));
	completion.fs_base = address_of(arena->data);
	regs.rsi = TARGET + 8;
	assert_int_equal(completion_run(&completion, fs, sizeof(fs)), COMPLETION_DONE);
	assert_int_equal(regs.rax, __builtin_popcountll(value));
	regs.rax = 0;
	regs.rsp = address_of(arena->data) + TARGET - 16;
	assert_int_equal(completion_run(&completion, rsp, sizeof(rsp)), COMPLETION_DONE);
	assert_int_equal(regs.rax, __builtin_popcountll(value));
}

/* The operand's forms are common to all; here it is what is compared and exchanged. */
static void cmpxchg16b(void **state)
{
	static const uint8_t forms[][10] = {
		{8, 0xf0, 0x48, 0x0f, 0xc7, 0x8e, 0x80, 0x01, 0}, /* The first byte is the size, less one. */
		{7, 0x48, 0x0f, 0xc7, 0x8e, 0x80, 0x01, 0},
		{8, 0xf0, 0x49, 0x0f, 0xc7, 0x8e, 0x80, 0x01, 0}, /* TARGET(%r14) */
	};
	struct arena *arena = *state;

	for (size_t i = 0; i < 3 * 4; i++) {
		const uint8_t *form = forms[i % 3];
		struct kvm_regs regs = plain_registers(arena);

		regs.rflags = i & 1 ? 2 : 2 | FLAGS;
		regs.rsi = regs.r14 = address_of(arena->data);
		memcpy(&regs.rax, arena->data + TARGET, 8);
		memcpy(&regs.rdx, arena->data + TARGET + 8, 8);
		if (i / 3 == 1)
			regs.rax ^= 1;
		else if (i / 3 == 2)
			regs.rdx ^= 1ull << 63;
		compare(arena, regs, MXCSR_DEFAULT, form + 1, form[0] + 1u);
	}
}

static void cmpxchg16b_must_be_aligned(void **state)
{
	static const uint8_t at_8[] = {0xf0, 0x48, 0x0f, 0xc7, 0x4e, 0x08};

	expect_unknown(*state, at_8, sizeof(at_8));
}

static void breakpoint_and_wait(void **state)
{
	static const uint8_t int3[] = {0xcc, 0x90}, fwait[] = {0x9b, 0xdb, 0xe3};
	struct arena *arena = *state;
	struct kvm_regs regs = plain_registers(arena), before = regs;
	uint32_t mxcsr = MXCSR_DEFAULT;

	assert_int_equal(complete(arena, &regs, &mxcsr, int3, sizeof(int3)), COMPLETION_BREAKPOINT);
	before.rip++;
	assert_memory_equal(&regs, &before, sizeof(regs));
	assert_int_equal(complete(arena, &regs, &mxcsr, fwait, sizeof(fwait)), COMPLETION_DONE);
	before.rip++;
	assert_memory_equal(&regs, &before, sizeof(regs));
	compare(arena, plain_registers(arena), mxcsr, fwait, 1);
}

static void access_flag(void **state)
{
	static const uint8_t clac[] = {0x0f, 0x01, 0xca}, stac[] = {0x0f, 0x01, 0xcb};
	struct arena *arena = *state;
	struct kvm_regs regs = plain_registers(arena), before = regs;
	uint32_t mxcsr = MXCSR_DEFAULT;

	assert_int_equal(complete(arena, &regs, &mxcsr, stac, sizeof(stac)), COMPLETION_DONE);
	before.rip += 3;
	before.rflags |= FLAG_AC;
	assert_memory_equal(&regs, &before, sizeof(regs));
	assert_int_equal(complete(arena, &regs, &mxcsr, clac, sizeof(clac)), COMPLETION_DONE);
	before.rip += 3;
	before.rflags &= ~(uint64_t)FLAG_AC;
	assert_memory_equal(&regs, &before, sizeof(regs));
}

static void cut_off_instructions(void **state)
{
	static const uint8_t whole[][15] = {
		{9, 0x66, 0xf3, 0x41, 0x0f, 0xb8, 0x86, 0x80, 0x01, 0, 0},
		{8, 0xf3, 0x48, 0x0f, 0xb8, 0x84, 0x26, 0x80, 0x01, 0},
		{6, 0x65, 0x48, 0x0f, 0xae, 0x5e, 0x10, 0},
		{7, 0x0f, 0xae, 0x1d, 0, 0, 0, 0},
		{5, 0xf0, 0x48, 0x0f, 0xc7, 0x4e, 0x10},
		{2, 0x0f, 0x01, 0xcb},
	};

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		for (size_t size = 0; size < whole[i][0]; size++)
			expect_unknown(*state, whole[i] + 1, size);
	}
}

static void unknown_instructions(void **state)
{
	static const uint8_t unknown[][8] = {
		{0x90},                         /* nop */
		{0x0f, 0x0b},                   /* ud2 */
		{0x0f, 0x05},                   /* syscall */
		{0x0f, 0x01, 0xc1},             /* vmcall */
		{0x0f, 0x01, 0xc8},             /* monitor */
		{0x0f, 0xb8, 0xc0},             /* popcnt without F3 */
		{0xf0, 0xf3, 0x0f, 0xb8, 0xc0}, /* lock popcnt */
		{0xf2, 0x0f, 0xb8, 0xc0},       /* F2 in place of F3 */
		{0x67, 0xf3, 0x0f, 0xb8, 0x06}, /* 32-bit addresses */
		{0x0f, 0xae, 0x06},             /* fxsave */
		{0x48, 0x0f, 0xae, 0x2e},       /* xrstor */
		{0x0f, 0xae, 0xf8},             /* sfence */
		{0x0f, 0xae, 0xd0},             /* ldmxcsr of a register */
		{0xf3, 0x0f, 0xae, 0xd6},       /* wrfsbase */
		{0x66, 0x0f, 0xae, 0x16},       /* ldmxcsr with 66 */
		{0xf0, 0x0f, 0xae, 0x1e},       /* lock stmxcsr */
		{0xf0, 0x0f, 0xc7, 0x0e},       /* cmpxchg8b */
		{0x48, 0x0f, 0xc7, 0xce},       /* cmpxchg16b of a register */
		{0x48, 0x0f, 0xc7, 0x36},       /* vmptrld */
		{0xf0, 0xcc},                   /* lock int3 */
		{0xf0, 0x9b},                   /* lock fwait */
		{0xf0, 0x0f, 0x01, 0xca},       /* lock clac */
		{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66},
	};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		expect_unknown(*state, unknown[i], sizeof(unknown[i]));
	expect_unknown(*state, unknown, 0);
}

static void operands_outside_memory(void **state)
{
	static const uint8_t far[][6] = {{0xf3, 0x0f, 0xb8, 0x07},
					 {0x0f, 0xae, 0x17},
					 {0x0f, 0xae, 0x1f},
					 {0xf0, 0x48, 0x0f, 0xc7, 0x0f}};

	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		expect_unknown(*state, far[i], sizeof(far[i]));
}

/* Whatever the bytes: what is not known changes nothing, and what is moves RIP by no more than there were bytes. */
static void any_bytes(void **state)
{
	static const uint8_t likely[] = {0x0f, 0xae, 0xb8, 0xc7, 0x01, 0xf3, 0x66, 0xf0,
					 0x48, 0x65, 0x64, 0xca, 0xcb, 0x0e, 0x16, 0x1e};
	struct arena *arena = *state;
	uint32_t random = 1;

	for (unsigned int i = 0; i < 300000; i++) {
		struct kvm_regs regs = plain_registers(arena), before;
		uint32_t mxcsr = MXCSR_DEFAULT;
		uint8_t bytes[15];
		size_t size = i % 16;

		for (size_t j = 0; j < size; j++) {
			random = random * 1664525 + 1013904223;
			bytes[j] = random >> 31 ? (uint8_t)(random >> 16) : likely[random >> 24 & 15];
		}
		regs.rsi = address_of(arena->data) + TARGET;
		before = regs;
		if (complete(arena, &regs, &mxcsr, bytes, size) == COMPLETION_UNKNOWN) {
			assert_memory_equal(&regs, &before, sizeof(regs));
			assert_int_equal(mxcsr, MXCSR_DEFAULT);
		} else {
			assert_in_range(regs.rip - before.rip, 1, size);
		}
	}
	fill(arena->data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(popcnt_of_registers),
		cmocka_unit_test(popcnt_of_memory),
		cmocka_unit_test(mxcsr_is_stored),
		cmocka_unit_test(mxcsr_is_loaded),
		cmocka_unit_test(mxcsr_has_reserved_bits),
		cmocka_unit_test(segments_have_bases),
		cmocka_unit_test(fs_and_rsp),
		cmocka_unit_test(cmpxchg16b),
		cmocka_unit_test(cmpxchg16b_must_be_aligned),
		cmocka_unit_test(breakpoint_and_wait),
		cmocka_unit_test(access_flag),
		cmocka_unit_test(cut_off_instructions),
		cmocka_unit_test(unknown_instructions),
		cmocka_unit_test(operands_outside_memory),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests_name("completion", tests, set_up, tear_down);
}
