/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOST_H
#define CORE_HOST_H 1

/* Host profile: what KVM is on this machine, and all that follows from it for a guest.
 *
 * With VMX/SVM and EPT/NPT a guest runs as on hardware.  Where KVM is pagetable-based (no VMX/SVM; the guest's
 * ring 0 is emulated instruction by instruction, ring 3 runs natively) the guest must be kept from what the
 * emulator does not know.  That is decided here, once, and nowhere else.
 *
 * Thread-safety: read-only after host_probe(). */

#include <stdbool.h>

#include "core/error.h"

struct kvm_cpuid2;

enum host_backend {
	HOST_VMX,       /* kvm_intel with EPT. */
	HOST_SVM,       /* kvm_amd with NPT. */
	HOST_PAGETABLE, /* Guest ring 0 is emulated. */
};

struct host_profile {
	enum host_backend backend;
	char backend_name[32];       /* "kvm_intel", "kvm_amd", "kvm_pvm", ... as /sys/module has it. */
	bool completes_instructions; /* KVM refuses some; core/completion.h finishes them. */
	/* Words to append to every guest's kernel command line, "" if none. */
	const char *cmdline;
	/* Guests of one lab that may boot at the same time.  Where ring 0 is emulated, guests that share a processor
	 * spend what they get of it on their timer ticks, and hardly boot at all. */
	unsigned int boots_at_once;
};

/* Opens /dev/kvm and finds the profile.  Returns KVM's file descriptor, or a negative errno value with 'error' set
 * (ERROR_HOST and the command that helps). */
int host_probe(struct host_profile *profile, struct error *error);

/* Changes CPUID as KVM_GET_SUPPORTED_CPUID gave it to what guests may see on this host. */
void host_filter_cpuid(const struct host_profile *profile, struct kvm_cpuid2 *cpuid);

#endif /* host.h */
