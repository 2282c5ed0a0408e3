/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
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

	*memory = (struct guest_memory){.fd = -1, .base_fd = -1};
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

	*memory = (struct guest_memory){.fd = -1, .base_fd = -1};
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
	memory->base_fd = fcntl(file_fd, F_DUPFD_CLOEXEC, 0);
	madvise(memory->base, size, MADV_DONTDUMP);
	if (memory->base_fd >= 0)
		return 0;
	guest_memory_release(memory);
	return error_set(error, ERROR_FAILED, EMFILE, "no descriptor is left for a guest's memory");
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

static int write_failed(int errnum, struct error *error)
{
	return error_set(error, ERROR_FAILED, errnum, "cannot write a guest's memory: %s", strerror(errnum));
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	static const size_t part_size = 1 << 20;
	off_t at_from = at, at_to = at;
	uint8_t *part;
	ssize_t got = 1;

	while (at_from < end && got > 0)
		got = copy_file_range(from, &at_from, to, &at_to, (size_t)(end - at_from), 0);
	if (at_from >= end)
		return 0;
	/* Not between these file systems. */
	part = malloc(part_size);
	if (!part)
		return -ENOMEM;
	for (; at_from < end; at_from += got) {
		size_t wanted = (size_t)(end - at_from) < part_size ? (size_t)(end - at_from) : part_size;

		got = pread(from, part, wanted, at_from);
		if (got <= 0 || pwrite(to, part, (size_t)got, at_from) != got)
			break;
	}
	free(part);
	return at_from >= end ? 0 : errno ? -errno : -EIO;
}

int guest_memory_write_base(int base_fd, uint64_t size, int file_fd, struct error *error)
{
	off_t at = 0, end = 0;

	if (ftruncate(file_fd, (off_t)size) < 0)
		return write_failed(errno, error);
	if (base_fd < 0)
		return 0;
	while ((at = lseek(base_fd, end, SEEK_DATA)) >= 0 && (uint64_t)at < size) {
		int result;

		end = lseek(base_fd, at, SEEK_HOLE);
		if (end < 0)
			return write_failed(errno, error);
		result = copy_range(base_fd, file_fd, at, (uint64_t)end < size ? end : (off_t)size);
		if (result < 0)
			return write_failed(-result, error);
	}
	return at < 0 && errno != ENXIO ? write_failed(errno, error) : 0;
}

/* Pages a guest has of its own, in place of the file's: proc(5), /proc/PID/pagemap. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61)

static bool is_own(uint64_t entry)
{
	return (entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) && !(entry & PAGEMAP_FILE);
}

static int write_range(const struct guest_memory *memory, int file_fd, uint64_t at, uint64_t end)
{
	while (at < end) {
		ssize_t written = pwrite(file_fd, memory->base + at, end - at, (off_t)at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		at += (uint64_t)written;
	}
	return 0;
}

/* What the guest has changed of the file it was mapped from. */
static int write_own_pages(const struct guest_memory *memory, int file_fd)
{
	uint64_t entries[512], pages = memory->size / PAGE_SIZE, first = (uint64_t)(uintptr_t)memory->base / PAGE_SIZE;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), result = pagemap < 0 ? -errno : 0;

	for (uint64_t page = 0; page < pages && result == 0;) {
		uint64_t count = pages - page < 512 ? pages - page : 512;

		if (pread(pagemap, entries, count * 8, (off_t)((first + page) * 8)) != (ssize_t)(count * 8))
			result = -EIO;
		for (uint64_t i = 0, end; result == 0 && i < count; i = end + 1) {
			for (end = i; end < count && is_own(entries[end]); end++)
				;
			result = write_range(memory, file_fd, (page + i) * PAGE_SIZE, (page + end) * PAGE_SIZE);
		}
		page += count;
	}
	if (pagemap >= 0)
		close(pagemap);
	return result;
}

int guest_memory_write_rest(const struct guest_memory *memory, int file_fd, struct error *error)
{
	uint64_t at = 0, end;
	int result;

	if (memory->base_fd >= 0) {
		result = write_own_pages(memory, file_fd);
		return result < 0 ? write_failed(-result, error) : 0;
	}
	while ((at = next_page(memory, at)) < memory->size) {
		if (is_zero(memory->base + at)) {
			at += PAGE_SIZE;
			continue;
		}
		for (end = at + PAGE_SIZE;
		     next_page(memory, end) == end && end < memory->size && !is_zero(memory->base + end);
		     end += PAGE_SIZE)
			;
		result = write_range(memory, file_fd, at, end);
		if (result < 0)
			return write_failed(-result, error);
		at = end;
	}
	return 0;
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
	if (memory->base_fd >= 0)
		close(memory->base_fd);
	*memory = (struct guest_memory){.fd = -1, .base_fd = -1};
}
