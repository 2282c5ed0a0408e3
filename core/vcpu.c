/* SPDX-License-Identifier: Apache-2.0 */
#include "core/vcpu.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/completion.h"
#include "core/cpuid.h"
#include "core/memory.h"
#include "core/platform.h"
#include "core/vcpu_state.h"

/* Theory of operation
 * -------------------
 * A kick sets 'immediate_exit' in the shared kvm_run page and then sends KICK_SIGNAL: whether the thread is in the
 * guest or about to enter it, KVM_RUN returns with EINTR.
 *
 * The instruction pointer is noted at each kick, which makes the kick a sampling profiler too. */

#define KICK_SIGNAL SIGRTMIN

#define MSR_IA32_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRING 1
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE_WRITE_BACK ((1u << 11) | 6)

#define LAPIC_LINT0 0x350
#define LAPIC_LINT1 0x360
#define LAPIC_MODE_MASK 0x700u
#define LAPIC_MODE_NMI 0x400u
#define LAPIC_MODE_EXTINT 0x700u

#define RESET_CS_BASE 0xffff0000u
#define RESET_RIP 0xfff0u

#define CPUID_1_ECX_VMX (1u << 5)
#define CPUID_80000001_ECX_SVM (1u << 2)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

/* With these a guest is told of a page that the host has yet to make, so that it may do something else meanwhile; but
 * the host has most at once, and each first write of a clone would cost it two faults and a switch of tasks. */
#define ASYNC_PAGE_FAULTS \
	(1u << KVM_FEATURE_ASYNC_PF | 1u << KVM_FEATURE_ASYNC_PF_VMEXIT | 1u << KVM_FEATURE_ASYNC_PF_INT)

struct vcpu {
	struct machine *machine;
	const struct host_profile *host;
	int kvm_fd, vm_fd, fd;
	unsigned int index;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	_Atomic bool started; /* Others may kick while machine_start() is still at it. */
	bool crashed;
	struct vcpu_registers registers;
	_Atomic uint64_t sampled_rip;
	_Atomic uint64_t exits_port, exits_memory, exits_completed, exits_interrupted, exits_other;
};

static void count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* CPUID as KVM offers it, with this vCPU's APIC id and the number of its siblings, less what the host profile hides,
 * and less virtualization: what a guest's own guests are at is not in snapshots (KVM_GET_NESTED_STATE). */
int vcpu_describe(int kvm_fd, const struct host_profile *host, unsigned int index, unsigned int count,
		  struct kvm_cpuid2 *cpuid)
{
	cpuid->nent = VCPU_CPUID_ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return -errno;
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 1) {
			cpuid->entries[i].ecx |= CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_TSC_DEADLINE;
			cpuid->entries[i].ecx &= ~CPUID_1_ECX_VMX;
		}
		if (cpuid->entries[i].function == 0x80000001)
			cpuid->entries[i].ecx &= ~CPUID_80000001_ECX_SVM;
		if (cpuid->entries[i].function == KVM_CPUID_FEATURES)
			cpuid->entries[i].eax &= ~ASYNC_PAGE_FAULTS;
	}
	cpuid_set_topology(cpuid, index, count);
	host_filter_cpuid(host, cpuid);
	return 0;
}

static int set_cpuid(struct vcpu *vcpu, const struct vcpu_options *options)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + VCPU_CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	int result;

	if (!cpuid)
		return -ENOMEM;
	result = vcpu_describe(options->kvm_fd, options->host, options->index, options->count, cpuid);
	if (result == 0 && ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		result = -errno;
	free(cpuid);
	return result;
}

static int set_msrs(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.header.nmsrs = 2,
		.entries = {{.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
			    {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WRITE_BACK}},
	};

	/* KVM returns how many it could set; a KVM without one of these has no need of it. */
	return ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) < 0 ? -errno : 0;
}

static void set_lapic_mode(struct kvm_lapic_state *lapic, unsigned int offset, uint32_t mode)
{
	uint32_t value;

	memcpy(&value, lapic->regs + offset, sizeof(value));
	value = (value & ~LAPIC_MODE_MASK) | mode;
	memcpy(lapic->regs + offset, &value, sizeof(value));
}

static int set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return -errno;
	set_lapic_mode(&lapic, LAPIC_LINT0, LAPIC_MODE_EXTINT);
	set_lapic_mode(&lapic, LAPIC_LINT1, LAPIC_MODE_NMI);
	return ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0 ? -errno : 0;
}

static int init(struct vcpu *vcpu, const struct vcpu_options *options)
{
	int size = ioctl(options->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int result;
	void *run;

	if (size < 0)
		return -errno;
	vcpu->fd = ioctl(options->vm_fd, KVM_CREATE_VCPU, options->index);
	if (vcpu->fd < 0)
		return -errno;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	vcpu->run = run;
	vcpu->run_size = (size_t)size;
	result = set_cpuid(vcpu, options); /* Before MSRs: some exist only with their CPUID bit. */
	if (result == 0)
		result = set_msrs(vcpu);
	return result == 0 ? set_lapic(vcpu) : result;
}

struct vcpu *vcpu_create(const struct vcpu_options *options, struct error *error)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int result = -ENOMEM;

	if (vcpu) {
		vcpu->machine = options->machine;
		vcpu->host = options->host;
		vcpu->index = options->index;
		vcpu->kvm_fd = options->kvm_fd;
		vcpu->vm_fd = options->vm_fd;
		vcpu->fd = -1;
		result = init(vcpu, options);
		if (result == 0)
			return vcpu;
		vcpu_destroy(vcpu);
	}
	error_set(error, ERROR_FAILED, -result, "cannot make vCPU %u: %s", options->index, strerror(-result));
	return NULL;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	free(vcpu);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = long_mode,
		.db = !long_mode,
	};
}

int vcpu_set_entry(struct vcpu *vcpu, uint64_t entry, struct error *error)
{
	struct kvm_regs regs = {
		.rip = entry,
		.rflags = 2,
		.rsi = PLATFORM_BOOT_PARAMS,
		.rsp = PLATFORM_BOOT_STACK,
		.rbp = PLATFORM_BOOT_STACK,
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		goto failed;
	sregs.cs = flat_segment(0x10, 0xb, true);
	sregs.ds = flat_segment(0x18, 0x3, false);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.gdt.base = PLATFORM_GDT;
	sregs.gdt.limit = 4 * 8 - 1;
	sregs.cr3 = PLATFORM_PAGE_TABLES;
	sregs.cr4 = 0x20;        /* PAE */
	sregs.cr0 = 0x80050033u; /* PG, AM, WP, NE, ET, MP, PE */
	sregs.efer = 0x500;      /* LMA, LME */
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		goto failed;
	return 0;
failed:
	return error_set(error, ERROR_FAILED, errno, "cannot set the registers of vCPU %u: %s", vcpu->index,
			 strerror(errno));
}

/* A pointer to guest memory at a linear address of the running guest, if it lies within one page. */
static void *linear_memory(void *opaque, uint64_t linear, size_t size)
{
	struct vcpu *vcpu = opaque;
	struct kvm_translation translation = {.linear_address = linear};

	if ((linear & 4095) + size > 4096)
		return NULL;
	if (ioctl(vcpu->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid)
		return NULL;
	return guest_memory_slice(machine_memory(vcpu->machine), translation.physical_address, size);
}

static void keep_registers(struct vcpu *vcpu)
{
	struct vcpu_registers *registers = &vcpu->registers;
	const uint8_t *code;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &registers->general) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_SREGS, &registers->special) < 0)
		return;
	vcpu->crashed = true;
	code = linear_memory(vcpu, registers->special.cs.base + registers->general.rip, sizeof(registers->code));
	if (code) {
		memcpy(registers->code, code, sizeof(registers->code));
		registers->code_size = sizeof(registers->code);
	}
}

__attribute__((format(printf, 2, 3))) static void crash(struct vcpu *vcpu, const char *format, ...)
{
	char text[256];
	va_list args;

	keep_registers(vcpu);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	machine_end(vcpu->machine, MACHINE_CRASHED, "vCPU %u: %s", vcpu->index, text);
}

static int inject_breakpoint(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	events.exception.injected = 1;
	events.exception.nr = 3;
	events.exception.has_error_code = 0;
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0 ? -errno : 0;
}

/* Completes the instruction KVM refused.  Returns false when it cannot. */
static bool complete(struct vcpu *vcpu, const uint8_t *bytes, size_t size)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct completion completion = {.regs = &regs, .memory = linear_memory, .opaque = vcpu};
	enum completion_result result;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_FPU, &fpu) < 0)
		return false;
	if (!sregs.cs.l)
		return false;
	completion.fs_base = sregs.fs.base;
	completion.gs_base = sregs.gs.base;
	completion.mxcsr = fpu.mxcsr;
	result = completion_run(&completion, bytes, size);
	if (result == COMPLETION_UNKNOWN)
		return false;
	if (completion.mxcsr != fpu.mxcsr) {
		fpu.mxcsr = completion.mxcsr;
		if (ioctl(vcpu->fd, KVM_SET_FPU, &fpu) < 0)
			return false;
	}
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return false;
	return result != COMPLETION_BREAKPOINT || inject_breakpoint(vcpu) == 0;
}

static void handle_internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint8_t bytes[15] = {0};
	size_t size = 0;
	char text[3 * sizeof(bytes) + 1] = "";

	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		crash(vcpu, "KVM internal error, suberror %u", run->internal.suberror);
		return;
	}
	if (run->emulation_failure.ndata > 1 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		size = run->emulation_failure.insn_size;
		if (size > sizeof(bytes))
			size = sizeof(bytes);
		memcpy(bytes, run->emulation_failure.insn_bytes, size);
	}
	if (vcpu->host->completes_instructions && complete(vcpu, bytes, size)) {
		count(&vcpu->exits_completed);
		return;
	}
	for (size_t i = 0; i < size; i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * i, " %02x", bytes[i]);
	crash(vcpu, "KVM cannot emulate the instruction with the bytes%s", text);
}

static void handle_port(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	count(&vcpu->exits_port);
	for (uint32_t i = 0; i < run->io.count; i++) {
		machine_port_access(vcpu->machine, run->io.port, data, run->io.size,
				    run->io.direction == KVM_EXIT_IO_OUT);
		data += run->io.size;
	}
}

static void handle_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_end(vcpu->machine, MACHINE_POWERED_OFF, "%s", "");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_end(vcpu->machine, MACHINE_RESET, "%s", "");
		break;
	default:
		crash(vcpu, "KVM system event %u", vcpu->run->system_event.type);
	}
}

static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_port(vcpu);
		break;
	case KVM_EXIT_MMIO:
		count(&vcpu->exits_memory);
		machine_memory_access(vcpu->machine, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
				      run->mmio.is_write);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN: /* Hardware resets at a triple fault, and some kernels reboot by one. */
		count(&vcpu->exits_other);
		keep_registers(vcpu);
		/* With SVM KVM has reset the vCPU, and its registers tell nothing. */
		if (vcpu->registers.special.cs.base == RESET_CS_BASE && vcpu->registers.general.rip == RESET_RIP)
			vcpu->crashed = false;
		machine_end(vcpu->machine, MACHINE_RESET, "vCPU %u: triple fault", vcpu->index);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		crash(vcpu, "KVM cannot enter the guest, hardware reason %#llx",
		      run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		count(&vcpu->exits_other);
		break;
	default:
		crash(vcpu, "unexpected exit %u from KVM", run->exit_reason);
	}
}

static void interrupted(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	count(&vcpu->exits_interrupted);
	vcpu->run->immediate_exit = 0;
	/* It may have been set again before this: whoever set it also says so in the machine's state, which is looked
	 * at next. */
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0)
		vcpu->sampled_rip = regs.rip;
}

int vcpu_save(const struct vcpu *vcpu, struct state *state, struct error *error)
{
	return vcpu_state_save(vcpu->kvm_fd, vcpu->vm_fd, vcpu->fd, state, error);
}

int vcpu_restore(struct vcpu *vcpu, struct state *state, struct error *error)
{
	return vcpu_state_restore(vcpu->vm_fd, vcpu->fd, vcpu->index == 0, state, error);
}

/* Has KVM finish the access it passed on last, which it does when it is next entered, and no more. */
static void finish_access(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	while (ioctl(vcpu->fd, KVM_RUN, 0) == 0 && !machine_is_ending(vcpu->machine)) {
		handle_exit(vcpu); /* A string of accesses is passed on bit by bit. */
		vcpu->run->immediate_exit = 1;
	}
	vcpu->run->immediate_exit = 0;
}

static void *run_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;

	while (!machine_is_ending(vcpu->machine)) {
		if (machine_is_pausing(vcpu->machine)) {
			finish_access(vcpu);
			machine_vcpu_paused(vcpu->machine);
		} else if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			handle_exit(vcpu);
		} else if (errno == EINTR || errno == EAGAIN) {
			interrupted(vcpu);
		} else {
			crash(vcpu, "KVM_RUN: %s", strerror(errno));
		}
	}
	machine_vcpu_ended(vcpu->machine);
	return NULL;
}

static void on_kick(int signal_number)
{
	(void)signal_number; /* Its arrival is what ends KVM_RUN. */
}

int vcpu_start(struct vcpu *vcpu, struct error *error)
{
	struct sigaction action = {.sa_handler = on_kick};
	char name[16];
	int result;

	sigaction(KICK_SIGNAL, &action, NULL);
	result = pthread_create(&vcpu->thread, NULL, run_thread, vcpu);
	if (result != 0)
		return error_set(error, ERROR_FAILED, result, "cannot start the thread of vCPU %u: %s", vcpu->index,
				 strerror(result));
	vcpu->started = true;
	snprintf(name, sizeof(name), "%.11s/%u", machine_name(vcpu->machine), vcpu->index % 100);
	pthread_setname_np(vcpu->thread, name);
	return 0;
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	vcpu->run->immediate_exit = 1;
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

void vcpu_join(struct vcpu *vcpu)
{
	if (vcpu->started)
		pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}

const struct vcpu_registers *vcpu_crash_registers(const struct vcpu *vcpu)
{
	return vcpu->crashed ? &vcpu->registers : NULL;
}

void vcpu_add_exits(const struct vcpu *vcpu, struct machine_exits *exits)
{
	exits->port += vcpu->exits_port;
	exits->memory += vcpu->exits_memory;
	exits->completed += vcpu->exits_completed;
	exits->interrupted += vcpu->exits_interrupted;
	exits->other += vcpu->exits_other;
}

uint64_t vcpu_sampled_rip(const struct vcpu *vcpu)
{
	return vcpu->sampled_rip;
}
