/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state on a real KVM: nothing is missing in it, and another vCPU that gets it has it all.  No guest runs. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cmocka.h>

#include "core/state.h"
#include "core/vcpu_state.h"
#include "tests/state_bytes.h"

#define ENTRIES_MAX 1024

#define TAG_MSRS STATE_TAG('m', 's', 'r', 's')
#define TAG_FREQUENCY STATE_TAG('t', 'k', 'h', 'z')

#define MSR_TSC 0x10
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

#define LAPIC_SPURIOUS 0xf0
#define LAPIC_ENABLED 0x1ff
#define LAPIC_TIMER 0x320
#define LAPIC_TIMER_TSC_DEADLINE (2u << 17)
#define TIMER_VECTOR 0xec

/* Minutes, so that it is not due before it was looked at. */
#define FAR (1ull << 40)

struct machine_of_one {
	int vm, vcpu;
};

struct fixture {
	int kvm;
	struct machine_of_one saved, restored;
};

static void set_cpuid(const struct fixture *fixture, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(struct kvm_cpuid_entry2));

	assert_non_null(cpuid);
	cpuid->nent = 256;
	assert_int_equal(ioctl(fixture->kvm, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 1)
			cpuid->entries[i].ecx |= 1u << 24; /* The timer can be given a deadline. */
	}
	assert_int_equal(ioctl(vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

static struct machine_of_one make_machine(const struct fixture *fixture)
{
	struct machine_of_one machine = {.vm = ioctl(fixture->kvm, KVM_CREATE_VM, 0)};
	uint64_t identity_map = 0xfeffc000;

	assert_true(machine.vm >= 0);
	assert_int_equal(ioctl(machine.vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map), 0);
	assert_int_equal(ioctl(machine.vm, KVM_SET_TSS_ADDR, 0xfeffd000), 0);
	assert_int_equal(ioctl(machine.vm, KVM_CREATE_IRQCHIP, 0), 0);
	machine.vcpu = ioctl(machine.vm, KVM_CREATE_VCPU, 0);
	assert_true(machine.vcpu >= 0);
	set_cpuid(fixture, machine.vcpu);
	return machine;
}

static void close_machine(const struct machine_of_one *machine)
{
	close(machine->vcpu);
	close(machine->vm);
}

static int set_up(void **state)
{
	struct fixture *fixture;

	*state = NULL;
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		return 0;
	fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	assert_true(fixture->kvm >= 0);
	fixture->saved = make_machine(fixture);
	fixture->restored = make_machine(fixture);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	if (!fixture)
		return 0;
	close_machine(&fixture->saved);
	close_machine(&fixture->restored);
	close(fixture->kvm);
	free(fixture);
	return 0;
}

static struct fixture *fixture_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* Returns false where KVM has no such MSR. */
static bool get_msr(const struct machine_of_one *machine, uint32_t index, uint64_t *value)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} one = {.header.nmsrs = 1, .entry.index = index};
	bool given = ioctl(machine->vcpu, KVM_GET_MSRS, &one) == 1;

	*value = one.entry.data;
	return given;
}

static bool set_msr(const struct machine_of_one *machine, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} one = {.header.nmsrs = 1, .entry = {.index = index, .data = value}};

	return ioctl(machine->vcpu, KVM_SET_MSRS, &one) == 1;
}

static uint64_t msr_of(const struct machine_of_one *machine, uint32_t index)
{
	uint64_t value = 0;

	assert_true(get_msr(machine, index, &value));
	return value;
}

static struct state save(const struct fixture *fixture)
{
	struct state state = {0};
	struct error error = {0};

	assert_int_equal(vcpu_state_save(fixture->kvm, fixture->saved.vm, fixture->saved.vcpu, &state, &error), 0);
	assert_false(state.bad);
	return state;
}

static void restore(const struct fixture *fixture, struct state *state)
{
	struct error error = {0};

	assert_int_equal(vcpu_state_restore(fixture->restored.vm, fixture->restored.vcpu, true, state, &error), 0);
	assert_false(state->bad);
	assert_int_equal(state->at, state->size);
	state_release(state);
}

/* Copies the MSRs of the state; returns how many. */
static size_t read_saved(const struct state *state, struct kvm_msr_entry entries[ENTRIES_MAX])
{
	size_t size;
	const void *section = state_section(state, TAG_MSRS, 0, &size);

	assert_true(size <= ENTRIES_MAX * sizeof(entries[0]));
	memcpy(entries, section, size);
	return size / sizeof(entries[0]);
}

/* Returns false where it is not in the state. */
static bool find_saved(const struct state *state, uint32_t index, uint64_t *value)
{
	struct kvm_msr_entry entries[ENTRIES_MAX];
	size_t count = read_saved(state, entries);

	for (size_t i = 0; i < count; i++) {
		*value = entries[i].data;
		if (entries[i].index == index)
			return true;
	}
	return false;
}

static uint64_t saved_msr(const struct state *state, uint32_t index)
{
	uint64_t value = 0;

	assert_true(find_saved(state, index, &value));
	return value;
}

static void change_saved(const struct state *state, uint32_t index, uint64_t value)
{
	struct kvm_msr_entry entries[ENTRIES_MAX];
	size_t count = read_saved(state, entries);

	for (size_t i = 0; i < count; i++) {
		if (entries[i].index == index)
			entries[i].data = value;
	}
	memcpy(state_section(state, TAG_MSRS, 0, NULL), entries, count * sizeof(entries[0]));
}

static void every_msr_is_in_the_state(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + ENTRIES_MAX * sizeof(list->indices[0]));
	struct state bytes = save(fixture);
	struct kvm_msr_entry entries[ENTRIES_MAX];
	unsigned int given = 0;
	uint64_t value = 0;

	assert_non_null(list);
	list->nmsrs = ENTRIES_MAX;
	assert_int_equal(ioctl(fixture->kvm, KVM_GET_MSR_INDEX_LIST, list), 0);
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		if (!get_msr(&fixture->saved, list->indices[i], &value))
			continue;
		given++;
		if (!find_saved(&bytes, list->indices[i], &value))
			fail_msg("MSR %#x is missing", list->indices[i]);
	}
	assert_int_equal(read_saved(&bytes, entries), given);
	free(list);
	state_release(&bytes);
}

/* Firecracker's list of MSRs had those of the clock missing, and a restored guest's clock stood still. */
static void msrs_of_the_clock_are_in_the_state(void **state)
{
	static const uint32_t msrs[] = {MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW};
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save(fixture);
	uint64_t value = 0;

	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		if (get_msr(&fixture->saved, msrs[i], &value))
			assert_true(find_saved(&bytes, msrs[i], &value));
	}
	state_release(&bytes);
}

static void msrs_are_set_again(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} msrs[] = {
		{MSR_STAR, 0x0023001000000000},
		{MSR_LSTAR, 0xffffffff81000000},
		{MSR_KERNEL_GS_BASE, 0xffff888000123000},
		{MSR_KVM_SYSTEM_TIME_NEW, 0x5000}, /* Not enabled: there is no memory. */
	};
	const struct fixture *fixture = fixture_of(state);
	struct state bytes;
	uint64_t value = 0;

	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		if (get_msr(&fixture->saved, msrs[i].index, &value))
			assert_true(set_msr(&fixture->saved, msrs[i].index, msrs[i].value));
	}
	bytes = save(fixture);
	restore(fixture, &bytes);
	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		if (get_msr(&fixture->restored, msrs[i].index, &value))
			assert_true(value == msrs[i].value);
	}
}

static void restored_vcpu_has_the_same_msrs(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save(fixture);
	struct kvm_msr_entry entries[ENTRIES_MAX];
	size_t count = read_saved(&bytes, entries);
	struct error error = {0};

	assert_int_equal(vcpu_state_restore(fixture->restored.vm, fixture->restored.vcpu, true, &bytes, &error), 0);
	for (size_t i = 0; i < count; i++) {
		if (entries[i].index != MSR_TSC && msr_of(&fixture->restored, entries[i].index) != entries[i].data)
			fail_msg("MSR %#x differs", entries[i].index);
	}
	state_release(&bytes);
}

/* The local APIC's timer is as Linux has it. */
static void use_deadlines(const struct fixture *fixture)
{
	const uint32_t enabled = LAPIC_ENABLED, timer = LAPIC_TIMER_TSC_DEADLINE | TIMER_VECTOR;
	struct kvm_lapic_state lapic;

	assert_int_equal(ioctl(fixture->saved.vcpu, KVM_GET_LAPIC, &lapic), 0);
	memcpy(lapic.regs + LAPIC_SPURIOUS, &enabled, sizeof(enabled));
	memcpy(lapic.regs + LAPIC_TIMER, &timer, sizeof(timer));
	assert_int_equal(ioctl(fixture->saved.vcpu, KVM_SET_LAPIC, &lapic), 0);
}

/* A state in which the counter was 'counter', and the timer's deadline 'deadline'. */
static struct state save_with_timer(const struct fixture *fixture, uint64_t counter, uint64_t deadline)
{
	struct state state;

	use_deadlines(fixture);
	state = save(fixture);
	change_saved(&state, MSR_TSC, counter);
	change_saved(&state, MSR_TSC_DEADLINE, deadline);
	return state;
}

/* What is left until the timer fires after the restore is what was left, less the time that passed here. */
static void expect_left(const struct fixture *fixture, struct state *state, uint64_t wanted)
{
	uint64_t before = __rdtsc(), passed, left;

	restore(fixture, state);
	left = msr_of(&fixture->restored, MSR_TSC_DEADLINE) - msr_of(&fixture->restored, MSR_TSC);
	passed = __rdtsc() - before;
	assert_in_range(left, wanted - passed, wanted);
}

static void deadline_is_as_far_as_it_was(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	uint64_t counter = msr_of(&fixture->saved, MSR_TSC);
	struct state bytes;

	use_deadlines(fixture);
	assert_true(set_msr(&fixture->saved, MSR_TSC_DEADLINE, counter + FAR));
	bytes = save(fixture);
	assert_true(saved_msr(&bytes, MSR_TSC_DEADLINE) == counter + FAR);
	expect_left(fixture, &bytes, counter + FAR - saved_msr(&bytes, MSR_TSC));
}

/* Saved long ago. */
static void deadline_after_a_long_time(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save_with_timer(fixture, 1000, 1000 + FAR);

	expect_left(fixture, &bytes, FAR);
}

/* Saved on a host that had been up for much longer than this one. */
static void deadline_after_the_host_booted_anew(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save_with_timer(fixture, 1ull << 55, (1ull << 55) + FAR);

	expect_left(fixture, &bytes, FAR);
}

/* What the guest sets later counts from what its counter shows, too. */
static void later_deadlines_are_taken_as_they_are(void **state)
{
	static const uint64_t counters[] = {1000, 1ull << 45, 1ull << 55};
	const struct fixture *fixture = fixture_of(state);

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		struct state bytes = save_with_timer(fixture, counters[i], counters[i] + FAR);
		uint64_t deadline;

		restore(fixture, &bytes);
		deadline = msr_of(&fixture->restored, MSR_TSC) + FAR;
		assert_true(set_msr(&fixture->restored, MSR_TSC_DEADLINE, deadline));
		assert_true(msr_of(&fixture->restored, MSR_TSC_DEADLINE) == deadline);
	}
}

/* The timer must fire: it is due, or has fired already. */
static void expect_due(const struct fixture *fixture, struct state *state)
{
	restore(fixture, state);
	assert_true(msr_of(&fixture->restored, MSR_TSC_DEADLINE) > 0);
	assert_true(msr_of(&fixture->restored, MSR_TSC_DEADLINE) <= msr_of(&fixture->restored, MSR_TSC));
}

static void deadline_that_was_due(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save_with_timer(fixture, 1ull << 55, 1);

	expect_due(fixture, &bytes);
}

/* 0 is what is left of a deadline when the timer has fired, and its interrupt may not have come. */
static void deadline_of_zero_is_due(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save_with_timer(fixture, 1ull << 55, 0);

	expect_due(fixture, &bytes);
}

/* With the timer in another mode KVM has no deadline. */
static void no_deadline_without_a_timer_that_has_one(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save(fixture);

	change_saved(&bytes, MSR_TSC_DEADLINE, FAR);
	restore(fixture, &bytes);
	assert_true(msr_of(&fixture->restored, MSR_TSC_DEADLINE) == 0);
}

static void another_frequency_is_refused(void **state)
{
	const struct fixture *fixture = fixture_of(state);
	struct state bytes = save(fixture);
	struct error error = {0};
	void *at = state_section(&bytes, TAG_FREQUENCY, 0, NULL);
	int32_t frequency;

	memcpy(&frequency, at, sizeof(frequency));
	if (frequency <= 0) {
		state_release(&bytes);
		skip();
	}
	frequency += frequency / 100;
	memcpy(at, &frequency, sizeof(frequency));
	assert_true(vcpu_state_restore(fixture->restored.vm, fixture->restored.vcpu, true, &bytes, &error) < 0);
	assert_non_null(strstr(error.text, "another clock"));
	state_release(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_msr_is_in_the_state),
		TEST(msrs_of_the_clock_are_in_the_state),
		TEST(msrs_are_set_again),
		TEST(restored_vcpu_has_the_same_msrs),
		TEST(deadline_is_as_far_as_it_was),
		TEST(deadline_after_a_long_time),
		TEST(deadline_after_the_host_booted_anew),
		TEST(later_deadlines_are_taken_as_they_are),
		TEST(deadline_that_was_due),
		TEST(deadline_of_zero_is_due),
		TEST(no_deadline_without_a_timer_that_has_one),
		TEST(another_frequency_is_refused),
	};

	return cmocka_run_group_tests_name("vcpu_state", tests, NULL, NULL);
}
