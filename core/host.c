/* SPDX-License-Identifier: Apache-2.0 */
#include "core/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* CPUID leaf 1, ECX. */
#define CPUID_1_ECX_CX16 (1u << 13)

/* Words for kernels whose ring 0 is emulated: no XSAVE (so user programs must not use AVX, whose upper halves would be
 * lost at a context switch), no instruction the emulator lacks, no calibration loop.  Words the kernel does not know
 * become the environment of its first process, and so of every process. */
#define PAGETABLE_CMDLINE \
	"noxsave clearcpuid=popcnt,smap lpj=1000000 tsc=reliable clocksource=kvm-clock " \
	"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load," \
	"-Prefer_No_AVX512_Probing,-ERMS,-XSAVEC,-XSAVE,-BMI2 " \
	"OPENSSL_ia32cap=~0x1000000010000000:~0x20"

static bool read_flag(const char *path)
{
	char value = 'N';
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	if (fread(&value, 1, 1, file) != 1)
		value = 'N';
	fclose(file);
	return value == 'Y' || value == '1';
}

static void find_backend(struct host_profile *profile)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (access("/sys/module/kvm_intel", F_OK) == 0 && read_flag("/sys/module/kvm_intel/parameters/ept")) {
		profile->backend = HOST_VMX;
		snprintf(profile->backend_name, sizeof(profile->backend_name), "kvm_intel");
	} else if (access("/sys/module/kvm_amd", F_OK) == 0 && read_flag("/sys/module/kvm_amd/parameters/npt")) {
		profile->backend = HOST_SVM;
		snprintf(profile->backend_name, sizeof(profile->backend_name), "kvm_amd");
	} else {
		profile->backend = HOST_PAGETABLE;
		snprintf(profile->backend_name, sizeof(profile->backend_name), "%s",
			 access("/sys/module/kvm_pvm", F_OK) == 0 ? "kvm_pvm" : "kvm");
	}
	profile->completes_instructions = profile->backend == HOST_PAGETABLE;
	profile->cmdline = profile->backend == HOST_PAGETABLE ? PAGETABLE_CMDLINE : "";
	profile->boots_at_once = profile->backend == HOST_PAGETABLE && processors > 0 ? (unsigned int)processors :
											UINT_MAX;
}

static bool is_for_a_group(void)
{
	struct stat status;

	return stat("/dev/kvm", &status) == 0 && status.st_gid != 0 && (status.st_mode & 060) == 060;
}

static int open_failed(struct error *error, int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return error_set(
			error, ERROR_HOST, errnum,
			"no /dev/kvm on this machine\n"
			"  help: sudo modprobe kvm_intel   (or kvm_amd); if that fails, turn on virtualization "
			"(VT-x, AMD-V) in the firmware, or nested virtualization for this virtual machine");
	case EACCES:
	case EPERM:
		/* Debian's udev rules give it to the group kvm; in containers and odd machines nobody does. */
		return error_set(error, ERROR_HOST, errnum,
				 "no permission to open /dev/kvm\n"
				 "  help: %ssudo usermod -aG kvm \"$USER\"   and log in again",
				 is_for_a_group() ? "" : "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && ");
	default:
		return error_set(error, ERROR_HOST, errnum, "cannot open /dev/kvm: %s", strerror(errnum));
	}
}

int host_probe(struct host_profile *profile, struct error *error)
{
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (kvm_fd < 0)
		return open_failed(error, errno);
	version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		close(kvm_fd);
		return error_set(error, ERROR_HOST, ENOTSUP, "/dev/kvm speaks version %d of the KVM API, %d is needed",
				 version, KVM_API_VERSION);
	}
	find_backend(profile);
	return kvm_fd;
}

void host_filter_cpuid(const struct host_profile *profile, struct kvm_cpuid2 *cpuid)
{
	if (profile->backend != HOST_PAGETABLE)
		return;
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		/* Leaves 7 and 0xd show native values whatever is set, so they are hidden.  Leaf 6 stays: without its
		 * ARAT bit the timer is taken for one that stops in idle, and an idle guest is never idle. */
		if (entry->function == 0)
			entry->eax = 6;
		else if (entry->function == 1)
			entry->ecx &= ~CPUID_1_ECX_CX16;
	}
}
