/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cpuid.h"

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

/* Theory of operation
 * -------------------
 * Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.  Leaves that describe a topology with more than one level
 * (0xb and 0x1f) are made to say that there is none, as KVM itself does since Linux 6.2: guests then take leaves 1 and
 * 4, or AMD's, which suffice for one package of cores. */

#define VENDOR_EBX_AMD 0x68747541u   /* "Auth" of "AuthenticAMD". */
#define VENDOR_EBX_HYGON 0x6f677948u /* "Hygo" of "HygonGenuine". */

#define FEATURES_EDX_HTT (1u << 28)
#define FEATURES_EBX_KEPT 0xff00u /* The size CLFLUSH works on. */

/* Fields of a cache's EAX, in leaves 4 and 0x8000001d. */
#define CACHE_LEVEL(eax) ((eax) >> 5 & 7)
#define CACHE_KEPT 0x00003fffu
#define CACHE_SHARING_SHIFT 14
#define CACHE_CORES_SHIFT 26

/* The number of bits that hold numbers below 'count'. */
static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

/* The last level is shared by all, the others by nobody.  Intel has the number of cores here too. */
static void set_cache(struct kvm_cpuid_entry2 *entry, unsigned int count)
{
	uint32_t ids = (1u << bits_for(count)) - 1; /* That could be given out, less one. */

	if ((entry->eax & 0x1f) == 0) /* No more caches. */
		return;
	entry->eax &= CACHE_KEPT;
	if (CACHE_LEVEL(entry->eax) >= 3)
		entry->eax |= ids << CACHE_SHARING_SHIFT;
	if (entry->function == 4)
		entry->eax |= ids << CACHE_CORES_SHIFT;
}

static bool is_amd(const struct kvm_cpuid_entry2 *entry)
{
	return entry->ebx == VENDOR_EBX_AMD || entry->ebx == VENDOR_EBX_HYGON;
}

static void set_entry(struct kvm_cpuid_entry2 *entry, unsigned int index, unsigned int count, bool amd)
{
	switch (entry->function) {
	case 1:
		entry->ebx = (entry->ebx & FEATURES_EBX_KEPT) | index << 24 | count << 16;
		entry->edx = count > 1 ? entry->edx | FEATURES_EDX_HTT : entry->edx & ~FEATURES_EDX_HTT;
		break;
	case 4:
	case 0x8000001d:
		set_cache(entry, count);
		break;
	case 0xb:
	case 0x1f:
		entry->eax = entry->ebx = entry->ecx = 0;
		entry->edx = index;
		break;
	case 0x80000008:
		if (amd) /* Reserved elsewhere. */
			entry->ecx = bits_for(count) << 12 | (count - 1);
		break;
	case 0x8000001e:
		entry->eax = index; /* The APIC id again, and the core's number with one thread, in node 0. */
		entry->ebx = index;
		entry->ecx = 0;
		break;
	}
}

void cpuid_set_topology(struct kvm_cpuid2 *cpuid, unsigned int index, unsigned int count)
{
	bool amd = false;

	for (uint32_t i = 0; i < cpuid->nent; i++)
		amd = amd || (cpuid->entries[i].function == 0 && is_amd(&cpuid->entries[i]));
	for (uint32_t i = 0; i < cpuid->nent; i++)
		set_entry(&cpuid->entries[i], index, count, amd);
}
