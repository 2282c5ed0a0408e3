/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BOOT_H
#define CORE_BOOT_H 1

/* Boot loader: puts a Linux kernel, its initramfs and command line into guest memory
 * ==================================================================================
 *
 * Kernels are ELF (vmlinux, entered at e_entry) or bzImage (Documentation/arch/x86/boot.rst).  A bzImage whose payload
 * is LZ4, as Debian's are, is unpacked here and loaded as the ELF file inside, which saves the guest's own unpacking;
 * others are entered at their 64-bit entry point.  Both get boot_params and long mode with the first 4 GiB mapped 1:1.
 *
 * Files are not trusted: every length and address is checked, they may change while they are read, and errors name the
 * file.  What is loaded as it stands is read straight into guest memory.
 *
 * Thread-safety: none needed; it works on what it is given.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

struct guest_memory;

struct boot_options {
	const char *kernel;
	const char *const *initramfs; /* Archives put one behind the other. */
	size_t initramfs_count;
	const char *cmdline; /* At most PLATFORM_CMDLINE_SIZE - 1 bytes. */
};

/* Loads all; the entry point (long mode, RSI = PLATFORM_BOOT_PARAMS) goes to 'entry'.  Returns 0 or a negative errno
 * value with 'error' set. */
int boot_load(const struct guest_memory *memory, const struct boot_options *options, uint64_t *entry,
	      struct error *error);

/* Loads the kernel alone, for boot_load() and for tests.  'setup' receives the bzImage's header when it is entered as
 * such, else it stays untouched.  'end' is the address behind the kernel. */
struct boot_kernel {
	const uint8_t *image; /* NULL: it is read from 'fd'. */
	int fd;
	size_t size;
	const char *name; /* For messages. */
};

struct setup_header;
int boot_load_kernel(const struct guest_memory *memory, const struct boot_kernel *kernel, struct setup_header *setup,
		     uint64_t *entry, uint64_t *end, struct error *error);

#endif /* boot.h */
