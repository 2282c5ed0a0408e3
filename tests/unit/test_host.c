/* SPDX-License-Identifier: Apache-2.0 */
/* What the host profile hides from guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kvm.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/host.h"

#define CX16 (1u << 13)
#define ENTRIES 5

/* Highest leaf 0x1f, features, power management, extended features, highest extended leaf. */
static struct kvm_cpuid2 *make_cpuid(void)
{
	static const struct kvm_cpuid_entry2 entries[ENTRIES] = {
		{.function = 0, .eax = 0x1f, .ebx = 0x756e6547},
		{.function = 1, .eax = 0x806f8, .ebx = 0x00100800, .ecx = 0xfffa3203, .edx = 0x1f8bfbff},
		{.function = 6, .eax = 4},
		{.function = 7, .ebx = 0xffffffff, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
		{.function = 0x80000000, .eax = 0x80000008},
	};
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + sizeof(entries));

	assert_non_null(cpuid);
	cpuid->nent = ENTRIES;
	memcpy(cpuid->entries, entries, sizeof(entries));
	return cpuid;
}

static void hardware_shows_all(void **state)
{
	static const enum host_backend backends[] = {HOST_VMX, HOST_SVM};
	const size_t size = sizeof(struct kvm_cpuid2) + ENTRIES * sizeof(struct kvm_cpuid_entry2);

	(void)state;
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		const struct host_profile profile = {.backend = backends[i]};
		struct kvm_cpuid2 *cpuid = make_cpuid(), *before = make_cpuid();

		host_filter_cpuid(&profile, cpuid);
		assert_memory_equal(cpuid, before, size);
		free(cpuid);
		free(before);
	}
}

static void pagetable_hides_what_is_not_emulated(void **state)
{
	const struct host_profile profile = {.backend = HOST_PAGETABLE};
	struct kvm_cpuid2 *cpuid = make_cpuid(), *before = make_cpuid();

	(void)state;
	host_filter_cpuid(&profile, cpuid);
	before->entries[0].eax = 6; /* Leaves 7 and 0xd are hidden, 6 is not. */
	before->entries[1].ecx &= ~CX16;
	assert_memory_equal(cpuid, before, sizeof(*cpuid) + ENTRIES * sizeof(struct kvm_cpuid_entry2));
	free(cpuid);
	free(before);
}

static void nothing_to_hide(void **state)
{
	const struct host_profile profile = {.backend = HOST_PAGETABLE};
	struct kvm_cpuid2 cpuid = {.nent = 0};

	(void)state;
	host_filter_cpuid(&profile, &cpuid);
	assert_int_equal(cpuid.nent, 0);
}

/* Whatever this machine is, the profile fits together, or the error says what to do. */
static void this_machine(void **state)
{
	struct host_profile profile;
	struct error error = {.class = ERROR_NONE};
	int fd = host_probe(&profile, &error);

	(void)state;
	if (fd < 0) {
		assert_int_equal(error.class, ERROR_HOST);
		assert_non_null(strstr(error.text, "/dev/kvm"));
		skip();
	}
	close(fd);
	assert_int_not_equal(profile.backend_name[0], '\0');
	assert_non_null(profile.cmdline);
	/* Emulated ring 0 goes with completion and words for the kernel, and nothing else does. */
	assert_int_equal(profile.completes_instructions, profile.backend == HOST_PAGETABLE);
	assert_int_equal(profile.cmdline[0] != '\0', profile.backend == HOST_PAGETABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hardware_shows_all),
		cmocka_unit_test(pagetable_hides_what_is_not_emulated),
		cmocka_unit_test(nothing_to_hide),
		cmocka_unit_test(this_machine),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
