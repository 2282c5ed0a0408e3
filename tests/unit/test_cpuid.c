/* SPDX-License-Identifier: Apache-2.0 */
/* The topology that guests see, whatever that of the host is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kvm.h>

#include <cmocka.h>

#include "core/cpuid.h"
#include "core/machine.h"

#define ENTRIES 14
#define VENDOR_INTEL 0x756e6547
#define VENDOR_AMD 0x68747541
#define HTT (1u << 28)

/* A host of 16 cores with two threads each, asked on the processor with APIC id 0x15. */
static struct kvm_cpuid2 *make_cpuid(uint32_t vendor)
{
	const struct kvm_cpuid_entry2 entries[ENTRIES] = {
		{.function = 0, .eax = 0x1f, .ebx = vendor},
		{.function = 1, .eax = 0x806f8, .ebx = 0x15200800, .ecx = 0xfffa3203, .edx = 0x0f8bfbff | HTT},
		{.function = 4, .index = 0, .eax = 0x3c004121, .ebx = 0x2c0003f}, /* L1, by two threads. */
		{.function = 4, .index = 3, .eax = 0x3c07c163, .ebx = 0x380003f}, /* L3, by all. */
		{.function = 4, .index = 4},
		{.function = 0xb, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 0x15},
		{.function = 0xb, .index = 1, .eax = 5, .ebx = 32, .ecx = 0x201, .edx = 0x15},
		{.function = 0x1f, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 0x15},
		{.function = 0x80000008, .eax = 0x3030, .ebx = 0x1000, .ecx = 0x501f},
		{.function = 0x8000001d, .index = 0, .eax = 0x4121, .ebx = 0x1c0003f},
		{.function = 0x8000001d, .index = 3, .eax = 0x3c163, .ebx = 0x3c0003f},
		{.function = 0x8000001d, .index = 4},
		{.function = 0x8000001e, .eax = 0x15, .ebx = 0x10a, .ecx = 0x101},
		{.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b},
	};
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + sizeof(entries));

	assert_non_null(cpuid);
	cpuid->nent = ENTRIES;
	memcpy(cpuid->entries, entries, sizeof(entries));
	return cpuid;
}

static struct kvm_cpuid_entry2 leaf(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return cpuid->entries[i];
	}
	fail_msg("no leaf %#x", function);
	return (struct kvm_cpuid_entry2){0};
}

static void each_has_its_own_id(void **state)
{
	(void)state;
	for (unsigned int count = 1; count <= MACHINE_CPUS_MAX; count++) {
		for (unsigned int index = 0; index < count; index++) {
			struct kvm_cpuid2 *cpuid = make_cpuid(index % 2 ? VENDOR_INTEL : VENDOR_AMD);

			cpuid_set_topology(cpuid, index, count);
			assert_int_equal(leaf(cpuid, 1, 0).ebx, index << 24 | count << 16 | 0x0800);
			assert_int_equal(leaf(cpuid, 1, 0).edx & HTT, count > 1 ? HTT : 0);
			assert_int_equal(leaf(cpuid, 0xb, 0).edx, index);
			assert_int_equal(leaf(cpuid, 0xb, 1).edx, index);
			assert_int_equal(leaf(cpuid, 0x1f, 0).edx, index);
			assert_int_equal(leaf(cpuid, 0x8000001e, 0).eax, index);
			free(cpuid);
		}
	}
}

static void levels_of_the_host_are_gone(void **state)
{
	struct kvm_cpuid2 *cpuid = make_cpuid(VENDOR_INTEL);

	(void)state;
	cpuid_set_topology(cpuid, 1, 2);
	for (uint32_t index = 0; index < 2; index++) {
		assert_int_equal(leaf(cpuid, 0xb, index).eax, 0);
		assert_int_equal(leaf(cpuid, 0xb, index).ebx, 0);
		assert_int_equal(leaf(cpuid, 0xb, index).ecx, 0);
	}
	free(cpuid);
}

/* Cores in EAX[31:26], sharing in EAX[25:14], both less one and by powers of two. */
static void caches(void **state)
{
	static const struct {
		unsigned int count;
		uint32_t ids;
	} cases[] = {{1, 0}, {2, 1}, {3, 3}, {4, 3}, {5, 7}, {16, 15}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kvm_cpuid2 *cpuid = make_cpuid(VENDOR_INTEL);
		uint32_t ids = cases[i].ids;

		cpuid_set_topology(cpuid, 0, cases[i].count);
		assert_int_equal(leaf(cpuid, 4, 0).eax, 0x121 | ids << 26);
		assert_int_equal(leaf(cpuid, 4, 3).eax, 0x163 | ids << 26 | ids << 14);
		assert_int_equal(leaf(cpuid, 4, 4).eax, 0); /* The end of the list. */
		assert_int_equal(leaf(cpuid, 4, 0).ebx, 0x2c0003f);
		assert_int_equal(leaf(cpuid, 0x8000001d, 0).eax, 0x121);
		assert_int_equal(leaf(cpuid, 0x8000001d, 3).eax, 0x163 | ids << 14);
		free(cpuid);
	}
}

static void cores_of_amd(void **state)
{
	struct kvm_cpuid2 *cpuid = make_cpuid(VENDOR_AMD), *intel = make_cpuid(VENDOR_INTEL);

	(void)state;
	cpuid_set_topology(cpuid, 2, 3);
	assert_int_equal(leaf(cpuid, 0x80000008, 0).ecx, 0x2002); /* Two bits of APIC id, three cores. */
	assert_int_equal(leaf(cpuid, 0x80000008, 0).eax, 0x3030);
	assert_int_equal(leaf(cpuid, 0x8000001e, 0).ebx, 2); /* Core 2, one thread. */
	assert_int_equal(leaf(cpuid, 0x8000001e, 0).ecx, 0);
	cpuid_set_topology(intel, 2, 3);
	assert_int_equal(leaf(intel, 0x80000008, 0).ecx, 0x501f); /* Reserved there, so left alone. */
	free(cpuid);
	free(intel);
}

static void the_rest_stays(void **state)
{
	struct kvm_cpuid2 *cpuid = make_cpuid(VENDOR_AMD), *before = make_cpuid(VENDOR_AMD);
	struct kvm_cpuid_entry2 *features = &cpuid->entries[1];

	(void)state;
	cpuid_set_topology(cpuid, 0, 1);
	assert_memory_equal(&cpuid->entries[0], &before->entries[0], sizeof(cpuid->entries[0]));
	assert_memory_equal(&cpuid->entries[13], &before->entries[13], sizeof(cpuid->entries[13]));
	assert_int_equal(features->eax, before->entries[1].eax);
	assert_int_equal(features->ecx, before->entries[1].ecx);
	assert_int_equal(features->edx | HTT, before->entries[1].edx);
	free(cpuid);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_own_id),
		cmocka_unit_test(levels_of_the_host_are_gone),
		cmocka_unit_test(caches),
		cmocka_unit_test(cores_of_amd),
		cmocka_unit_test(the_rest_stays),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
