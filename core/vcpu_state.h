/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_VCPU_STATE_H
#define CORE_VCPU_STATE_H 1

/* What KVM knows of a vCPU, to and from a state
 * =============================================
 *
 * Registers, MSRs, local APIC, pending events.  The vCPU must not run, and have no unfinished access: its thread has
 * left KVM_RUN with immediate_exit set.
 *
 * Thread-safety: any one thread while the vCPU does not run.
 */

#include <stdbool.h>

#include "core/error.h"

struct state;

/* Returns 0 or a negative errno value with 'error' set. */
int vcpu_state_save(int kvm_fd, int vm_fd, int vcpu_fd, struct state *state, struct error *error);
/* For a vCPU whose CPUID was set.  'is_first': its time-stamp counter is set first, and those of the others after it.
 */
int vcpu_state_restore(int vm_fd, int vcpu_fd, bool is_first, struct state *state, struct error *error);

#endif /* vcpu_state.h */
