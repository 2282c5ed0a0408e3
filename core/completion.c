/* SPDX-License-Identifier: Apache-2.0 */
#include "core/completion.h"

#include <stdbool.h>
#include <string.h>

/* Theory of operation
 * -------------------
 * decode() takes prefixes, opcode, ModRM, SIB and displacement apart (SDM volume 2, chapter 2), which suffices for
 * every instruction in the table at the end: none has an immediate operand.  Each has a function that does its work;
 * RIP is moved on when it succeeds. */

#define FLAG_CF (1u << 0)
#define FLAG_PF (1u << 2)
#define FLAG_AF (1u << 4)
#define FLAG_ZF (1u << 6)
#define FLAG_SF (1u << 7)
#define FLAG_OF (1u << 11)
#define FLAG_AC (1u << 18)

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* Reserved bits of MXCSR; setting one is #GP on hardware. */
#define MXCSR_RESERVED 0xffff0000u

struct instruction {
	const uint8_t *bytes;
	size_t size;
	size_t length; /* Bytes decoded so far; in the end the instruction's length. */
	uint8_t rex;
	bool operand_16;
	bool repeat; /* F3 */
	bool lock;
	uint8_t segment; /* Override prefix, or 0. */
	uint8_t opcode;  /* The byte after 0F. */
	uint8_t modrm;
	bool has_address;
	uint64_t address; /* Linear, of the memory operand. */
};

static bool take(struct instruction *in, uint8_t *byte)
{
	if (in->length >= in->size)
		return false;
	*byte = in->bytes[in->length++];
	return true;
}

static bool take_displacement(struct instruction *in, unsigned int size, int64_t *value)
{
	int32_t four;

	if (in->size - in->length < size)
		return false;
	if (size == 1) {
		*value = (int8_t)in->bytes[in->length];
	} else {
		memcpy(&four, in->bytes + in->length, sizeof(four));
		*value = four;
	}
	in->length += size;
	return true;
}

/* General register 'number' in the order of the encoding. */
static __u64 *general(struct kvm_regs *regs, unsigned int number)
{
	__u64 *const order[16] = {
		&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx, &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi,
		&regs->r8,  &regs->r9,  &regs->r10, &regs->r11, &regs->r12, &regs->r13, &regs->r14, &regs->r15,
	};

	return order[number & 15];
}

static bool take_prefixes(struct instruction *in, uint8_t *byte)
{
	while (take(in, byte)) {
		switch (*byte) {
		case 0x66:
			in->operand_16 = true;
			break;
		case 0xf3:
			in->repeat = true;
			break;
		case 0xf0:
			in->lock = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			break; /* ES, CS, SS and DS have base 0 in 64-bit mode. */
		case 0x64:
		case 0x65:
			in->segment = *byte;
			break;
		default:
			if ((*byte & 0xf0) != 0x40)
				return true;
			in->rex = *byte & 0x0f;
			return take(in, byte); /* REX comes last. */
		}
	}
	return false;
}

/* SDM volume 2, table 2-3: the scaled index and base. */
static bool take_sib(struct instruction *in, struct kvm_regs *regs, unsigned int mod, uint64_t *address, bool *no_base)
{
	uint8_t sib;
	unsigned int index, base;

	if (!take(in, &sib))
		return false;
	index = ((sib >> 3) & 7) | (in->rex & REX_X ? 8 : 0);
	base = (sib & 7) | (in->rex & REX_B ? 8 : 0);
	*no_base = (sib & 7) == 5 && mod == 0;
	*address = *no_base ? 0 : *general(regs, base);
	if (index != 4)
		*address += *general(regs, index) << (sib >> 6);
	return true;
}

static bool take_modrm(struct instruction *in, const struct completion *completion)
{
	struct kvm_regs *regs = completion->regs;
	unsigned int mod, rm;
	uint64_t address = 0;
	int64_t displacement = 0;
	bool no_base = false, relative = false;

	if (!take(in, &in->modrm))
		return false;
	mod = in->modrm >> 6;
	rm = in->modrm & 7;
	if (mod == 3)
		return true;
	if (rm == 4) {
		if (!take_sib(in, regs, mod, &address, &no_base))
			return false;
	} else if (mod == 0 && rm == 5) {
		relative = true;
	} else {
		address = *general(regs, rm | (in->rex & REX_B ? 8 : 0));
	}
	if (mod == 1 && !take_displacement(in, 1, &displacement))
		return false;
	if ((mod == 2 || no_base || relative) && !take_displacement(in, 4, &displacement))
		return false;
	if (relative)
		address = regs->rip + in->length; /* No immediate follows, so this is the next instruction. */
	if (in->segment)
		address += in->segment == 0x64 ? completion->fs_base : completion->gs_base;
	in->address = address + (uint64_t)displacement;
	in->has_address = true;
	return true;
}

static void *operand(const struct completion *completion, const struct instruction *in, size_t size)
{
	return in->has_address ? completion->memory(completion->opaque, in->address, size) : NULL;
}

/* F3 0F B8: POPCNT reg, r/m. */
static bool popcnt(struct completion *completion, const struct instruction *in)
{
	struct kvm_regs *regs = completion->regs;
	size_t size = in->rex & REX_W ? 8 : in->operand_16 ? 2 : 4;
	unsigned int target = ((in->modrm >> 3) & 7) | (in->rex & REX_R ? 8 : 0);
	uint64_t value = 0, count;

	if (in->has_address) {
		const void *from = operand(completion, in, size);

		if (!from)
			return false;
		memcpy(&value, from, size);
	} else {
		memcpy(&value, general(regs, (in->modrm & 7) | (in->rex & REX_B ? 8 : 0)), size);
	}
	count = (uint64_t)__builtin_popcountll(value);
	if (size == 2) /* A 16-bit result leaves the upper bits of the register alone. */
		count |= *general(regs, target) & ~0xffffull;
	*general(regs, target) = count;
	regs->rflags &= ~(uint64_t)(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF);
	if (value == 0)
		regs->rflags |= FLAG_ZF;
	return true;
}

/* 0F AE /2 and /3: LDMXCSR, STMXCSR. */
static bool mxcsr(struct completion *completion, const struct instruction *in)
{
	void *at = operand(completion, in, sizeof(uint32_t));
	uint32_t value;

	if (!at)
		return false;
	if (((in->modrm >> 3) & 7) == 3) {
		memcpy(at, &completion->mxcsr, sizeof(completion->mxcsr));
		return true;
	}
	memcpy(&value, at, sizeof(value));
	if (value & MXCSR_RESERVED)
		return false;
	completion->mxcsr = value;
	return true;
}

/* 0F C7 /1 with REX.W: CMPXCHG16B.  Atomic on the host, as another vCPU may look. */
static bool cmpxchg16b(struct completion *completion, const struct instruction *in)
{
	struct kvm_regs *regs = completion->regs;
	uint64_t *at = operand(completion, in, 16);
	uint64_t low = regs->rax, high = regs->rdx;
	bool equal;

	if (!at || (in->address & 15) != 0)
		return false;
	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(equal), "+m"(*(__int128 *)at), "+a"(low), "+d"(high)
			 : "b"(regs->rbx), "c"(regs->rcx)
			 : "memory");
	if (!equal) {
		regs->rax = low;
		regs->rdx = high;
	}
	regs->rflags = equal ? regs->rflags | FLAG_ZF : regs->rflags & ~(uint64_t)FLAG_ZF;
	return true;
}

/* 0F 01 CA and CB: CLAC, STAC. */
static bool access_flag(struct completion *completion, const struct instruction *in)
{
	struct kvm_regs *regs = completion->regs;

	regs->rflags = in->modrm == 0xcb ? regs->rflags | FLAG_AC : regs->rflags & ~(uint64_t)FLAG_AC;
	return true;
}

static bool two_byte(struct completion *completion, struct instruction *in)
{
	unsigned int extension;

	if (!take(in, &in->opcode) || !take_modrm(in, completion))
		return false;
	extension = (in->modrm >> 3) & 7;
	if (in->opcode == 0xc7 && (in->rex & REX_W) && extension == 1)
		return cmpxchg16b(completion, in);
	if (in->lock) /* #UD for all others. */
		return false;
	if (in->opcode == 0xb8 && in->repeat)
		return popcnt(completion, in);
	if (in->opcode == 0xae && !in->repeat && !in->operand_16 && (extension == 2 || extension == 3))
		return mxcsr(completion, in);
	if (in->opcode == 0x01 && (in->modrm == 0xca || in->modrm == 0xcb))
		return access_flag(completion, in);
	return false;
}

enum completion_result completion_run(struct completion *completion, const uint8_t *bytes, size_t size)
{
	struct instruction in = {.bytes = bytes, .size = size};
	enum completion_result result = COMPLETION_DONE;
	uint8_t first;

	if (!take_prefixes(&in, &first) || (in.lock && first != 0x0f))
		return COMPLETION_UNKNOWN;
	if (first == 0xcc)
		result = COMPLETION_BREAKPOINT;
	else if (first != 0x9b && (first != 0x0f || !two_byte(completion, &in))) /* 9B: FWAIT */
		return COMPLETION_UNKNOWN;
	completion->regs->rip += in.length;
	return result;
}
