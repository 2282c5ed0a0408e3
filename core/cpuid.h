/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CPUID_H
#define CORE_CPUID_H 1

/* CPUID: what a vCPU says it is
 * =============================
 *
 * KVM_GET_SUPPORTED_CPUID gives the processor's features, and, on kernels before 6.2, the host's topology: which
 * APIC id asks, how many cores share a package and a cache.  A guest that believes the latter mistakes its vCPUs for
 * threads of one core, or all of them for one.  Here it becomes the guest's own: one package, whose cores have one
 * thread each and APIC ids 0, 1, ...
 *
 * Thread-safety: none needed; it works on what it is given.
 */

struct kvm_cpuid2;

/* Makes 'cpuid' that of the vCPU with APIC id 'index' of 'count'. */
void cpuid_set_topology(struct kvm_cpuid2 *cpuid, unsigned int index, unsigned int count);

#endif /* cpuid.h */
