/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_SIZE 4096ull

int guest_memory_init(struct guest_memory *memory, uint64_t size, struct error *error)
{
	int errnum;

	*memory = (struct guest_memory){.fd = -1};
	if (size == 0 || size > GUEST_MEMORY_MAX)
		return error_set(error, ERROR_USAGE, EINVAL, "a guest has at most %llu MiB of memory",
				 GUEST_MEMORY_MAX >> 20);
	size = (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	memory->fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory->fd < 0 || ftruncate(memory->fd, (off_t)size) < 0)
		goto failed;
	/* A file that shrank under the mapping would be a SIGBUS in the data plane. */
	if (fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto failed;
	memory->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->fd, 0);
	if (memory->base == MAP_FAILED)
		goto failed;
	memory->size = size;
	/* Guest secrets and gigabytes of zeroes do not belong in a core dump. */
	madvise(memory->base, size, MADV_DONTDUMP);
	return 0;
failed:
	errnum = errno;
	memory->base = NULL;
	guest_memory_release(memory);
	return error_set(error, ERROR_FAILED, errnum, "cannot map %llu MiB of guest memory: %s",
			 (unsigned long long)size >> 20, strerror(errnum));
}

void guest_memory_release(struct guest_memory *memory)
{
	if (memory->base)
		munmap(memory->base, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct guest_memory){.fd = -1};
}
