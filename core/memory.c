/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE 4096ull

static int check_size(uint64_t size, struct error *error)
{
	if (size > 0 && size <= GUEST_MEMORY_MAX)
		return 0;
	return error_set(error, ERROR_USAGE, EINVAL, "a guest has at most %llu MiB of memory", GUEST_MEMORY_MAX >> 20);
}

int guest_memory_init(struct guest_memory *memory, uint64_t size, struct error *error)
{
	int errnum;

	*memory = (struct guest_memory){.fd = -1};
	if (check_size(size, error) < 0)
		return -EINVAL;
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

int guest_memory_map(struct guest_memory *memory, int file_fd, uint64_t size, struct error *error)
{
	struct stat status;

	*memory = (struct guest_memory){.fd = -1};
	if (check_size(size, error) < 0)
		return -EINVAL;
	/* Pages beyond the end of the file would be SIGBUS. */
	if (size % PAGE_SIZE != 0 || fstat(file_fd, &status) < 0 || (uint64_t)status.st_size != size)
		return error_set(error, ERROR_FAILED, EBADMSG, "the file with a guest's memory has another size");
	memory->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file_fd, 0);
	if (memory->base == MAP_FAILED) {
		memory->base = NULL;
		return error_set(error, ERROR_FAILED, errno, "cannot map %llu MiB of guest memory: %s",
				 (unsigned long long)size >> 20, strerror(errno));
	}
	memory->size = size;
	madvise(memory->base, size, MADV_DONTDUMP);
	return 0;
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

/* The first page at or after 'at' that there is.  Looking at one that is not would make it. */
static uint64_t next_page(const struct guest_memory *memory, uint64_t at)
{
	off_t next;

	if (memory->fd < 0 || at >= memory->size)
		return at;
	next = lseek(memory->fd, (off_t)at, SEEK_DATA);
	if (next < 0) /* ENXIO: no more. */
		return errno == ENXIO ? memory->size : at;
	return (uint64_t)next & ~(PAGE_SIZE - 1);
}

int guest_memory_write(const struct guest_memory *memory, int file_fd, struct error *error)
{
	uint64_t at = 0, end;

	if (ftruncate(file_fd, (off_t)memory->size) < 0)
		goto failed;
	while ((at = next_page(memory, at)) < memory->size) {
		if (is_zero(memory->base + at)) {
			at += PAGE_SIZE;
			continue;
		}
		for (end = at + PAGE_SIZE;
		     next_page(memory, end) == end && end < memory->size && !is_zero(memory->base + end);
		     end += PAGE_SIZE)
			;
		while (at < end) {
			ssize_t written = pwrite(file_fd, memory->base + at, end - at, (off_t)at);

			if (written < 0 && errno == EINTR)
				continue;
			if (written <= 0)
				goto failed;
			at += (uint64_t)written;
		}
	}
	return 0;
failed:
	return error_set(error, ERROR_FAILED, errno, "cannot write a guest's memory: %s", strerror(errno));
}

int guest_memory_discard(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
	uint64_t first, end;

	if (!guest_memory_slice(memory, address, length))
		return -EFAULT;
	first = (address + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	end = (address + length) & ~(PAGE_SIZE - 1);
	if (first >= end)
		return 0;
	/* A memfd keeps its pages unless they are taken out of the file; of a file's private mapping only the copies
	 * are there to be dropped. */
	if (madvise(memory->base + first, end - first, memory->fd < 0 ? MADV_DONTNEED : MADV_REMOVE) < 0)
		return -errno;
	return 0;
}

void guest_memory_release(struct guest_memory *memory)
{
	if (memory->base)
		munmap(memory->base, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct guest_memory){.fd = -1};
}
