/* SPDX-License-Identifier: Apache-2.0 */
#include "core/vcpu_state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/state.h"

/* Theory of operation
 * -------------------
 * Order matters (Documentation/virt/kvm/api.rst, and what others found out): special registers first, since the local
 * APIC's base and mode are among them; the MSRs next; then general and floating point registers; the local APIC; and
 * after it the deadline of its timer, which KVM takes only once the APIC says that it has such a timer.
 *
 * A deadline of 0 may mean that the timer has just fired and its interrupt was not yet injected, which no other state
 * tells.  It is then set to the present, so that the timer fires (again): one interrupt too many does no harm, one too
 * few leaves an idle guest asleep for ever.
 *
 * What is kept of a deadline is the time that was left, not its number.  The two are the same where KVM sets the
 * guest's time-stamp counter to what it was.  A pagetable-based KVM does not: there it stays the host's own, which has
 * gone on,
 * or begun anew when the host did.  By its number the timer would then fire at once, or after as long as the other host
 * had been up. */

#define MSRS_MAX 1024

#define MSR_TSC 0x10
#define MSR_TSC_DEADLINE 0x6e0

/* Ticks that may pass between setting the counter and reading it.  If it was not set, it is hardly within them. */
#define TSC_PASSED 0x100000000ull

#define LAPIC_TIMER 0x320
#define LAPIC_TIMER_MASKED (1u << 16)
#define LAPIC_TIMER_MODE (3u << 17)
#define LAPIC_TIMER_TSC_DEADLINE (2u << 17)

#define TAG_SPECIAL STATE_TAG('s', 'r', 'e', 'g')
#define TAG_FREQUENCY STATE_TAG('t', 'k', 'h', 'z')
#define TAG_MSRS STATE_TAG('m', 's', 'r', 's')
#define TAG_GENERAL STATE_TAG('r', 'e', 'g', 's')
#define TAG_FPU STATE_TAG('f', 'p', 'u', ' ')
#define TAG_XSAVE STATE_TAG('x', 's', 'a', 'v')
#define TAG_XCRS STATE_TAG('x', 'c', 'r', 's')
#define TAG_LAPIC STATE_TAG('l', 'a', 'p', 'c')
#define TAG_EVENTS STATE_TAG('e', 'v', 'n', 't')
#define TAG_DEBUG STATE_TAG('d', 'b', 'g', 'r')
#define TAG_MP STATE_TAG('m', 'p', 's', 't')

static int failed(struct error *error, const char *what)
{
	int errnum = errno;

	return error_set(error, ERROR_FAILED, errnum, "KVM: %s: %s", what, strerror(errnum));
}

static bool has(int vm_fd, int capability)
{
	return ioctl(vm_fd, KVM_CHECK_EXTENSION, capability) > 0;
}

/* One at a time: there are MSRs in KVM's list that it does not give, and it stops at the first. */
static bool read_msr(int vcpu_fd, struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} one = {.header.nmsrs = 1, .entry = *entry};

	if (ioctl(vcpu_fd, KVM_GET_MSRS, &one) != 1)
		return false;
	*entry = one.entry;
	return true;
}

static bool write_msr(int vcpu_fd, const struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} one = {.header.nmsrs = 1, .entry = *entry};

	return ioctl(vcpu_fd, KVM_SET_MSRS, &one) == 1;
}

static int save_msrs(int kvm_fd, int vcpu_fd, struct state *state, struct error *error)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(list->indices[0]));
	struct kvm_msr_entry *entries = calloc(MSRS_MAX, sizeof(*entries));
	size_t count = 0;
	int result = 0;

	if (!list || !entries) {
		result = error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		goto out;
	}
	list->nmsrs = MSRS_MAX;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0) {
		result = failed(error, "cannot list MSRs");
		goto out;
	}
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		entries[count].index = list->indices[i];
		count += read_msr(vcpu_fd, &entries[count]);
	}
	state_put(state, TAG_MSRS, entries, count * sizeof(*entries));
out:
	free(list);
	free(entries);
	return result;
}

static int save_floating_point(int vm_fd, int vcpu_fd, struct state *state, struct error *error)
{
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_xsave *xsave;
	int size = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	int result = 0;

	if (!has(vm_fd, KVM_CAP_XSAVE) || !has(vm_fd, KVM_CAP_XCRS)) {
		if (ioctl(vcpu_fd, KVM_GET_FPU, &fpu) < 0)
			return failed(error, "cannot read floating point registers");
		state_put(state, TAG_FPU, &fpu, sizeof(fpu));
		return 0;
	}
	if (size < (int)sizeof(*xsave))
		size = sizeof(*xsave);
	xsave = calloc(1, (size_t)size);
	if (!xsave)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (ioctl(vcpu_fd, has(vm_fd, KVM_CAP_XSAVE2) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave) < 0 ||
	    ioctl(vcpu_fd, KVM_GET_XCRS, &xcrs) < 0)
		result = failed(error, "cannot read extended registers");
	state_put(state, TAG_XSAVE, xsave, (size_t)size);
	state_put(state, TAG_XCRS, &xcrs, sizeof(xcrs));
	free(xsave);
	return result;
}

int vcpu_state_save(int kvm_fd, int vm_fd, int vcpu_fd, struct state *state, struct error *error)
{
	struct kvm_sregs special;
	struct kvm_regs general;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug = {0};
	struct kvm_mp_state mp;
	int32_t frequency;
	int result;

	/* First, as KVM says: reading it may end a wait for INIT. */
	if (ioctl(vcpu_fd, KVM_GET_MP_STATE, &mp) < 0 || ioctl(vcpu_fd, KVM_GET_SREGS, &special) < 0 ||
	    ioctl(vcpu_fd, KVM_GET_REGS, &general) < 0 || ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic) < 0 ||
	    ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return failed(error, "cannot read a vCPU's registers");
	if (has(vm_fd, KVM_CAP_DEBUGREGS) && ioctl(vcpu_fd, KVM_GET_DEBUGREGS, &debug) < 0)
		return failed(error, "cannot read a vCPU's debug registers");
	state_put(state, TAG_SPECIAL, &special, sizeof(special));
	frequency = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);
	state_put(state, TAG_FREQUENCY, &frequency, sizeof(frequency));
	result = save_msrs(kvm_fd, vcpu_fd, state, error);
	if (result < 0)
		return result;
	state_put(state, TAG_GENERAL, &general, sizeof(general));
	result = save_floating_point(vm_fd, vcpu_fd, state, error);
	if (result < 0)
		return result;
	state_put(state, TAG_LAPIC, &lapic, sizeof(lapic));
	state_put(state, TAG_EVENTS, &events, sizeof(events));
	state_put(state, TAG_DEBUG, &debug, sizeof(debug));
	state_put(state, TAG_MP, &mp, sizeof(mp));
	return 0;
}

/* Before Linux 6.7 KVM takes a value within a second of what the counter has for an attempt to have all vCPUs agree,
 * and leaves it as it is; a guest that was saved early would go back in time.  So the counter is first taken far away.
 */
static void leave_tsc(int vcpu_fd, uint64_t value)
{
	const struct kvm_msr_entry entry = {.index = MSR_TSC, .data = value + (1ull << 40)};

	write_msr(vcpu_fd, &entry);
}

/* Returns the counter as the guest will find it.  A KVM that does not set it yet remembers what it was told, and takes
 * the difference, if that is ahead, off all deadlines the guest will set: so it is told what the counter is. */
static uint64_t settle_tsc(int vcpu_fd, uint64_t wanted)
{
	struct kvm_msr_entry entry = {.index = MSR_TSC};

	if (!read_msr(vcpu_fd, &entry))
		return wanted;
	if (entry.data - wanted > TSC_PASSED)
		write_msr(vcpu_fd, &entry);
	return entry.data;
}

/* The local APIC's timer as it was saved, in ticks of the time-stamp counter. */
struct saved_timer {
	uint64_t counter, deadline;
};

/* Sets all but the timer's deadline, which goes to '*timer', as the counter does. */
static int restore_msrs(int vcpu_fd, bool is_first, struct state *state, struct saved_timer *timer, struct error *error)
{
	struct kvm_msr_entry *entries = calloc(MSRS_MAX, sizeof(*entries));
	size_t size;

	if (!entries)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (!state_get_up_to(state, TAG_MSRS, entries, MSRS_MAX * sizeof(*entries), &size))
		size = 0;
	for (size_t i = 0; i < size / sizeof(*entries); i++) {
		if (entries[i].index == MSR_TSC) {
			timer->counter = entries[i].data;
			if (is_first)
				leave_tsc(vcpu_fd, entries[i].data);
		}
		if (entries[i].index == MSR_TSC_DEADLINE)
			timer->deadline = entries[i].data;
		/* What KVM gave and does not take are read-only ones, which are as they must be. */
		else
			write_msr(vcpu_fd, &entries[i]);
	}
	free(entries);
	return 0;
}

static int restore_floating_point(int vm_fd, int vcpu_fd, struct state *state, struct error *error)
{
	static const size_t room = 65536; /* KVM reads as much as the guest's features take. */
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	void *xsave;
	size_t size;
	int result = 0;

	if (!has(vm_fd, KVM_CAP_XSAVE) || !has(vm_fd, KVM_CAP_XCRS)) {
		if (state_get(state, TAG_FPU, &fpu, sizeof(fpu)) && ioctl(vcpu_fd, KVM_SET_FPU, &fpu) < 0)
			return failed(error, "cannot set floating point registers");
		return 0;
	}
	xsave = calloc(1, room);
	if (!xsave)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	state_get_up_to(state, TAG_XSAVE, xsave, room, &size);
	state_get(state, TAG_XCRS, &xcrs, sizeof(xcrs));
	if (!state->bad && (ioctl(vcpu_fd, KVM_SET_XSAVE, xsave) < 0 || ioctl(vcpu_fd, KVM_SET_XCRS, &xcrs) < 0))
		result = failed(error, "cannot set extended registers");
	free(xsave);
	return result;
}

static void restore_deadline(int vcpu_fd, const struct kvm_lapic_state *lapic, const struct saved_timer *timer)
{
	uint64_t left = timer->deadline > timer->counter ? timer->deadline - timer->counter : 0;
	struct kvm_msr_entry entry = {.index = MSR_TSC_DEADLINE, .data = settle_tsc(vcpu_fd, timer->counter) + left};
	uint32_t mode;

	memcpy(&mode, lapic->regs + LAPIC_TIMER, sizeof(mode));
	if ((mode & LAPIC_TIMER_MODE) == LAPIC_TIMER_TSC_DEADLINE && !(mode & LAPIC_TIMER_MASKED))
		write_msr(vcpu_fd, &entry);
}

/* A guest measures the frequency of its time-stamp counter once.  A host's own measurement varies a little. */
static bool has_same_tsc(int vcpu_fd, struct state *state)
{
	int64_t here = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0), difference;
	int32_t saved;

	if (!state_get(state, TAG_FREQUENCY, &saved, sizeof(saved)))
		return true; /* A bad state, which is told of later. */
	difference = here > saved ? here - saved : saved - here;
	return here <= 0 || saved <= 0 || difference <= here / 1000;
}

int vcpu_state_restore(int vm_fd, int vcpu_fd, bool is_first, struct state *state, struct error *error)
{
	struct kvm_sregs special;
	struct kvm_regs general;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_mp_state mp;
	struct saved_timer timer = {0};
	int result;

	if (state_get(state, TAG_SPECIAL, &special, sizeof(special)) && ioctl(vcpu_fd, KVM_SET_SREGS, &special) < 0)
		return failed(error, "cannot set special registers");
	if (!has_same_tsc(vcpu_fd, state))
		return error_set(error, ERROR_FAILED, EINVAL, "it was saved on a processor with another clock");
	result = restore_msrs(vcpu_fd, is_first, state, &timer, error);
	if (result < 0)
		return result;
	if (state_get(state, TAG_GENERAL, &general, sizeof(general)) && ioctl(vcpu_fd, KVM_SET_REGS, &general) < 0)
		return failed(error, "cannot set registers");
	result = restore_floating_point(vm_fd, vcpu_fd, state, error);
	if (result < 0)
		return result;
	state_get(state, TAG_LAPIC, &lapic, sizeof(lapic));
	state_get(state, TAG_EVENTS, &events, sizeof(events));
	state_get(state, TAG_DEBUG, &debug, sizeof(debug));
	state_get(state, TAG_MP, &mp, sizeof(mp));
	if (state->bad)
		return error_set(error, ERROR_FAILED, EBADMSG, "the state of a vCPU is not what this KVM has");
	if (ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic) < 0)
		return failed(error, "cannot set a local APIC");
	restore_deadline(vcpu_fd, &lapic, &timer);
	if (ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, &events) < 0 || ioctl(vcpu_fd, KVM_SET_MP_STATE, &mp) < 0)
		return failed(error, "cannot set a vCPU's events");
	if (has(vm_fd, KVM_CAP_DEBUGREGS) && ioctl(vcpu_fd, KVM_SET_DEBUGREGS, &debug) < 0)
		return failed(error, "cannot set debug registers");
	return 0;
}
