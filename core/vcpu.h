/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H 1

/* vCPU: one thread in KVM_RUN
 * ===========================
 *
 * The thread runs the guest, passes its accesses to the machine, has refused instructions completed, and ends when the
 * machine is ending.  A vCPU that cannot go on keeps its registers for the crash report.
 *
 * Thread-safety: vcpu_kick() may be called by any thread; the rest by the thread that builds the machine.
 */

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/error.h"
#include "core/host.h"
#include "core/machine.h"

struct state;
struct vcpu;

struct vcpu_registers {
	struct kvm_regs general;
	struct kvm_sregs special;
	uint8_t code[16]; /* At RIP, as far as it could be read. */
	unsigned int code_size;
};

struct vcpu_options {
	struct machine *machine;
	const struct host_profile *host;
	int kvm_fd;
	int vm_fd;
	unsigned int index; /* And APIC id. */
	unsigned int count; /* vCPUs of the machine. */
};

/* Makes a vCPU with CPUID and MSRs set.  Returns NULL with 'error' set. */
struct vcpu *vcpu_create(const struct vcpu_options *options, struct error *error);
/* Fills 'cpuid', which has room for VCPU_CPUID_ENTRIES, with what vCPU 'index' of 'count' shows to its guest.  Returns
 * 0 or a negative errno value. */
#define VCPU_CPUID_ENTRIES 256
int vcpu_describe(int kvm_fd, const struct host_profile *host, unsigned int index, unsigned int count,
		  struct kvm_cpuid2 *cpuid);
/* The thread must have been joined. */
void vcpu_destroy(struct vcpu *vcpu);

/* Sets the registers for an entry in long mode (core/boot.h).  For vCPU 0; the others wait to be started by it. */
int vcpu_set_entry(struct vcpu *vcpu, uint64_t entry, struct error *error);

/* Takes a vCPU's state, while it does not run: before it is started, or while the machine is paused.  Return 0 or a
 * negative errno value with 'error' set. */
int vcpu_save(const struct vcpu *vcpu, struct state *state, struct error *error);
int vcpu_restore(struct vcpu *vcpu, struct state *state, struct error *error);

int vcpu_start(struct vcpu *vcpu, struct error *error);
/* Makes the vCPU leave the guest, if it is there, and look at the machine's state. */
void vcpu_kick(struct vcpu *vcpu);
void vcpu_join(struct vcpu *vcpu);

/* The registers at the crash, or NULL.  After the thread has ended. */
const struct vcpu_registers *vcpu_crash_registers(const struct vcpu *vcpu);
void vcpu_add_exits(const struct vcpu *vcpu, struct machine_exits *exits);
/* The instruction pointer at the last kick. */
uint64_t vcpu_sampled_rip(const struct vcpu *vcpu);

#endif /* vcpu.h */
