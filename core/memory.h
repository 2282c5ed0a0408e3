/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H 1

/* Guest memory
 * ============
 *
 * A guest's RAM is one memfd, or a copy-on-write mapping of a file with the memory of a guest that was saved; mapped
 * once, in one KVM memory slot from guest-physical address 0 (registering a slot costs milliseconds on some hosts).  It
 * ends below the PCI hole, so a guest has at most GUEST_MEMORY_MAX bytes.
 *
 * guest_memory_slice() is the only way from a guest-physical address and length to a pointer.  What the pointer
 * leads to belongs to an enemy who may change it at any instant: copy first, then look.
 *
 * Thread-safety: read-only after creation; any thread may call guest_memory_slice() and guest_memory_discard().
 */

#include <stdint.h>

#include "core/error.h"

/* The PCI hole begins here: BARs, ECAM, IOAPIC, local APIC. */
#define GUEST_MEMORY_MAX (3ull << 30)

struct guest_memory {
	uint8_t *base;
	uint64_t size; /* Bytes, a multiple of 4096. */
	int fd;        /* The memfd, sealed against changes of its size; -1 for a saved guest's. */
	int base_fd;   /* The file of a saved guest's; else -1. */
};

/* Maps 'size' bytes, rounded up to pages.  Pages are allocated when touched.  Returns 0 or a negative errno value
 * with 'error' set. */
int guest_memory_init(struct guest_memory *memory, uint64_t size, struct error *error);
/* Maps the 'size' bytes of a file that guest_memory_write() wrote, copy-on-write: pages that are only read are shared
 * by all who map it.  The file must not be changed while it is mapped.  Returns 0 or a negative errno value with
 * 'error' set. */
int guest_memory_map(struct guest_memory *memory, int file_fd, uint64_t size, struct error *error);

/* Write the memory to an empty file, where pages of zeroes become holes: first what cannot change any more, while
 * the guest still runs, by any thread, given the descriptor of the file it was mapped from (-1 when there is none);
 * then the rest.  Each returns 0 or a negative errno value with 'error' set. */
int guest_memory_write_base(int base_fd, uint64_t size, int file_fd, struct error *error);
int guest_memory_write_rest(const struct guest_memory *memory, int file_fd, struct error *error);

void guest_memory_release(struct guest_memory *memory);

/* Returns a pointer to the 'length' bytes at guest-physical 'address', or NULL unless all of them are RAM.  A length of
 * 0 is within RAM when the address is. */
static inline void *guest_memory_slice(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
	if (address >= memory->size || length > memory->size - address)
		return 0;
	return memory->base + address;
}

/* Gives the whole pages among the 'length' bytes at guest-physical 'address' back to the host.  What was in them is
 * lost: when they are touched again they are zeroes, or what the file has that was mapped.  Returns 0 or a negative
 * errno value: EFAULT unless all of the bytes are RAM, or why the host would not have them. */
int guest_memory_discard(const struct guest_memory *memory, uint64_t address, uint64_t length);

#endif /* memory.h */
