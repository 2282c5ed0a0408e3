/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: the one way from a guest-physical address to a pointer, at its edges; its way to a file and back; and
 * what is given back. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/memory.h"

#define SIZE 0x10000u
#define PAGE 0x1000u

static int set_up(void **state)
{
	static struct guest_memory memory; /* Of this program's one group. */

	*state = &memory;
	return guest_memory_init(&memory, SIZE, NULL);
}

static int tear_down(void **state)
{
	guest_memory_release(*state);
	return 0;
}

static void slices_within(void **state)
{
	const struct guest_memory *memory = *state;

	assert_ptr_equal(guest_memory_slice(memory, 0, SIZE), memory->base);
	assert_ptr_equal(guest_memory_slice(memory, 0, 1), memory->base);
	assert_ptr_equal(guest_memory_slice(memory, SIZE - 1, 1), memory->base + SIZE - 1);
	assert_ptr_equal(guest_memory_slice(memory, 0x1234, SIZE - 0x1234), memory->base + 0x1234);
}

static void slices_beyond(void **state)
{
	const struct guest_memory *memory = *state;

	assert_null(guest_memory_slice(memory, 0, SIZE + 1));
	assert_null(guest_memory_slice(memory, 1, SIZE));
	assert_null(guest_memory_slice(memory, SIZE - 1, 2));
	assert_null(guest_memory_slice(memory, SIZE, 1));
	assert_null(guest_memory_slice(memory, GUEST_MEMORY_MAX, 1));
}

static void empty_slices(void **state)
{
	const struct guest_memory *memory = *state;

	assert_ptr_equal(guest_memory_slice(memory, 0, 0), memory->base);
	assert_ptr_equal(guest_memory_slice(memory, SIZE - 1, 0), memory->base + SIZE - 1);
	assert_null(guest_memory_slice(memory, SIZE, 0));
	assert_null(guest_memory_slice(memory, UINT64_MAX, 0));
}

/* Sums of address and length that wrap around. */
static void sums_that_overflow(void **state)
{
	const struct guest_memory *memory = *state;

	assert_null(guest_memory_slice(memory, UINT64_MAX, 1));
	assert_null(guest_memory_slice(memory, UINT64_MAX, UINT64_MAX));
	assert_null(guest_memory_slice(memory, 1, UINT64_MAX));
	assert_null(guest_memory_slice(memory, 0, UINT64_MAX));
	assert_null(guest_memory_slice(memory, UINT64_MAX - 15, 16));
	assert_null(guest_memory_slice(memory, UINT64_MAX - 15, 16 + SIZE));
	assert_null(guest_memory_slice(memory, 1ull << 63, 1ull << 63));
	assert_null(guest_memory_slice(memory, SIZE - 16, UINT64_MAX - SIZE + 32));
	assert_null(guest_memory_slice(memory, 0x100000000ull, 1));
	assert_null(guest_memory_slice(memory, 16, 0x100000000ull));
}

static void starts_with_zeroes_and_keeps_its_size(void **state)
{
	const struct guest_memory *memory = *state;
	struct stat status;

	for (unsigned int i = 0; i < SIZE; i++)
		assert_int_equal(memory->base[i], 0);
	assert_int_not_equal(ftruncate(memory->fd, 0), 0);
	assert_int_not_equal(ftruncate(memory->fd, 2 * SIZE), 0);
	assert_int_equal(fstat(memory->fd, &status), 0);
	assert_int_equal(status.st_size, SIZE);
}

static void sizes(void **state)
{
	struct guest_memory memory;
	struct error error;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, 4097, &error), 0);
	assert_int_equal(memory.size, 8192);
	guest_memory_release(&memory);
	guest_memory_release(&memory); /* Of nothing: does nothing. */
	assert_null(guest_memory_slice(&memory, 0, 0));

	/* Pages come when touched, so the largest guest costs nothing yet. */
	assert_int_equal(guest_memory_init(&memory, GUEST_MEMORY_MAX, &error), 0);
	assert_non_null(guest_memory_slice(&memory, GUEST_MEMORY_MAX - 1, 1));
	assert_null(guest_memory_slice(&memory, GUEST_MEMORY_MAX, 1));
	guest_memory_release(&memory);

	assert_true(guest_memory_init(&memory, 0, &error) < 0);
	assert_int_equal(error.class, ERROR_USAGE);
	assert_true(guest_memory_init(&memory, GUEST_MEMORY_MAX + 1, &error) < 0);
	assert_int_equal(error.class, ERROR_USAGE);
	assert_true(guest_memory_init(&memory, UINT64_MAX, &error) < 0);
	assert_int_equal(error.class, ERROR_USAGE);
}

/* More pages than are looked at at a time. */
#define PAGES 1200u

/* In memory, where the size of a hole is that of a page. */
static int make_file(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void fill_page(uint8_t *page, unsigned int number, uint8_t salt)
{
	for (unsigned int i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(number * 7 + i / 16 + salt + 1);
}

static bool is_hole(int fd, unsigned int page)
{
	return lseek(fd, (off_t)page * PAGE, SEEK_DATA) != (off_t)page * PAGE;
}

static void save_memory(const struct guest_memory *memory, int file)
{
	struct error error = {0};

	assert_int_equal(guest_memory_write_base(memory->base_fd, memory->size, file, &error), 0);
	assert_int_equal(guest_memory_write_rest(memory, file, &error), 0);
}

/* The file has just what the memory has. */
static void expect_same(const struct guest_memory *memory, int file)
{
	uint8_t *bytes = malloc(memory->size);
	struct stat status;

	assert_non_null(bytes);
	assert_int_equal(fstat(file, &status), 0);
	assert_int_equal(status.st_size, memory->size);
	assert_int_equal(pread(file, bytes, memory->size, 0), memory->size);
	for (unsigned int page = 0; page < memory->size / PAGE; page++) {
		if (memcmp(bytes + (size_t)page * PAGE, memory->base + (size_t)page * PAGE, PAGE) != 0)
			fail_msg("page %u differs", page);
	}
	free(bytes);
}

static void new_memory_is_written(void **state)
{
	struct guest_memory memory;
	int file = make_file();

	(void)state;
	assert_int_equal(guest_memory_init(&memory, PAGES * PAGE, NULL), 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		if (page % 5 == 1 || page % 16 > 12)
			fill_page(memory.base + (size_t)page * PAGE, page, 0);
		else if (page % 5 == 2)
			memory.base[(size_t)page * PAGE] = 0; /* It is there, and zero. */
	}
	memory.base[3 * PAGE - 1] = 1; /* The last byte of a page counts as well. */
	save_memory(&memory, file);
	for (unsigned int page = 0; page < PAGES; page++)
		assert_int_equal(is_hole(file, page), page != 2 && page % 5 != 1 && page % 16 <= 12);
	expect_same(&memory, file);
	guest_memory_release(&memory);
	close(file);
}

static void memory_of_zeroes_is_one_hole(void **state)
{
	struct guest_memory memory;
	int file = make_file();

	(void)state;
	assert_int_equal(guest_memory_init(&memory, PAGES * PAGE, NULL), 0);
	save_memory(&memory, file);
	assert_true(lseek(file, 0, SEEK_DATA) < 0);
	expect_same(&memory, file);
	guest_memory_release(&memory);
	close(file);
}

static void full_memory_is_written(void **state)
{
	struct guest_memory memory;
	int file = make_file();

	(void)state;
	assert_int_equal(guest_memory_init(&memory, PAGES * PAGE, NULL), 0);
	for (unsigned int page = 0; page < PAGES; page++)
		fill_page(memory.base + (size_t)page * PAGE, page, 0);
	save_memory(&memory, file);
	expect_same(&memory, file);
	guest_memory_release(&memory);
	close(file);
}

/* A file with a hole for every fourth page. */
static int make_base(void)
{
	int file = make_file();
	uint8_t bytes[PAGE];

	assert_int_equal(ftruncate(file, PAGES * PAGE), 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		fill_page(bytes, page, 0);
		if (page % 4 != 0)
			assert_int_equal(pwrite(file, bytes, PAGE, (off_t)page * PAGE), PAGE);
	}
	return file;
}

enum change { UNTOUCHED, CHANGED, ZEROED, READ, PARTLY };

static enum change change_of(unsigned int page)
{
	/* Also a row that goes across what is looked at at a time. */
	return page >= 500 && page < 530 ? CHANGED : (enum change)(page / 3 % 5);
}

static void change_page(uint8_t *page, unsigned int number, uint8_t salt)
{
	switch (change_of(number)) {
	case CHANGED:
		fill_page(page, number, salt);
		break;
	case ZEROED:
		memset(page, 0, PAGE);
		break;
	case READ:
		/* Reading a hole of this kind of file would fill it. */
		if (number % 4 != 0)
			assert_int_equal(page[0], (uint8_t)(number * 7 + 1));
		break;
	case PARTLY:
		page[number % PAGE] ^= salt;
		break;
	default:
		break;
	}
}

static void mapped_memory_is_written(void **state)
{
	struct guest_memory memory;
	int base = make_base(), file = make_file();
	struct error error = {0};

	(void)state;
	assert_int_equal(guest_memory_map(&memory, base, PAGES * PAGE, &error), 0);
	for (unsigned int page = 0; page < PAGES; page++)
		change_page(memory.base + (size_t)page * PAGE, page, 9);
	assert_int_equal(guest_memory_write_base(memory.base_fd, memory.size, file, &error), 0);
	/* The guest still runs then. */
	for (unsigned int page = 1; page < PAGES; page += 2)
		change_page(memory.base + (size_t)page * PAGE, page, 77);
	assert_int_equal(guest_memory_write_rest(&memory, file, &error), 0);
	for (unsigned int page = 0; page < PAGES; page += 4) {
		if (change_of(page) == UNTOUCHED || change_of(page) == READ)
			assert_true(is_hole(file, page) && is_hole(base, page));
	}
	expect_same(&memory, file);
	guest_memory_release(&memory);
	close(base);
	close(file);
}

/* What was written is mapped, changed, and written again. */
static void generations_of_memory(void **state)
{
	struct guest_memory memory;
	int base = make_base();
	struct error error = {0};

	(void)state;
	for (uint8_t generation = 1; generation < 6; generation++) {
		int file = make_file();

		assert_int_equal(guest_memory_map(&memory, base, PAGES * PAGE, &error), 0);
		for (unsigned int page = generation; page < PAGES; page += 5)
			fill_page(memory.base + (size_t)page * PAGE, page, generation);
		save_memory(&memory, file);
		expect_same(&memory, file);
		guest_memory_release(&memory);
		close(base);
		base = file;
	}
	close(base);
}

/* Of a guest that is a copy of another nothing reaches that, or the file of both. */
static void copies_are_apart(void **state)
{
	struct guest_memory one, two;
	int base = make_base(), before = make_file();
	struct error error = {0};

	(void)state;
	assert_int_equal(guest_memory_write_base(base, PAGES * PAGE, before, &error), 0);
	assert_int_equal(guest_memory_map(&one, base, PAGES * PAGE, &error), 0);
	assert_int_equal(guest_memory_map(&two, base, PAGES * PAGE, &error), 0);
	for (unsigned int page = 0; page < PAGES; page++)
		change_page(one.base + (size_t)page * PAGE, page, 9);
	expect_same(&two, before);
	expect_same(&two, base);
	guest_memory_release(&one);
	guest_memory_release(&two);
	close(base);
	close(before);
}

static void files_of_another_size_are_not_mapped(void **state)
{
	struct guest_memory memory;
	int base = make_base();
	struct error error = {0};

	(void)state;
	assert_int_equal(guest_memory_map(&memory, base, (PAGES + 1) * PAGE, &error), -EBADMSG);
	assert_int_equal(guest_memory_map(&memory, base, (PAGES - 1) * PAGE, &error), -EBADMSG);
	assert_int_equal(guest_memory_map(&memory, base, PAGES * PAGE - 1, &error), -EBADMSG);
	assert_int_equal(guest_memory_map(&memory, base, 0, &error), -EINVAL);
	guest_memory_release(&memory);
	close(base);
}

static void files_that_cannot_be_written(void **state)
{
	struct guest_memory memory;
	int base = make_base(), file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct error error = {0};

	(void)state;
	assert_int_equal(guest_memory_map(&memory, base, PAGES * PAGE, &error), 0);
	memory.base[0] = 1;
	assert_true(guest_memory_write_base(memory.base_fd, memory.size, file, &error) < 0);
	assert_true(guest_memory_write_rest(&memory, file, &error) < 0);
	assert_true(error.text[0] != '\0');
	guest_memory_release(&memory);
	close(base);
	close(file);
}

static void fill(const struct guest_memory *memory, uint8_t value)
{
	memset(memory->base, value, memory->size);
}

/* Only the bytes from 'from' to 'to' have that value, and the others the value they were filled with. */
static void expect_changed(const struct guest_memory *memory, unsigned int from, unsigned int to, uint8_t value,
			   uint8_t filled)
{
	for (unsigned int i = 0; i < SIZE; i++)
		assert_int_equal(memory->base[i], i >= from && i < to ? value : filled);
}

static blkcnt_t blocks(const struct guest_memory *memory)
{
	struct stat status;

	assert_int_equal(fstat(memory->fd, &status), 0);
	return status.st_blocks;
}

static void discarded_pages_are_the_hosts(void **state)
{
	const struct guest_memory *memory = *state;
	blkcnt_t before;

	fill(memory, 0x5a);
	before = blocks(memory);
	assert_int_equal(guest_memory_discard(memory, PAGE, 3 * PAGE), 0);
	assert_int_equal(before - blocks(memory), 3 * PAGE / 512);
	expect_changed(memory, PAGE, 4 * PAGE, 0, 0x5a);
	assert_int_equal(guest_memory_discard(memory, 0, SIZE), 0);
	assert_int_equal(blocks(memory), 0);
	expect_changed(memory, 0, SIZE, 0, 0);
}

static void only_whole_pages_are_discarded(void **state)
{
	const struct guest_memory *memory = *state;

	fill(memory, 0x5a);
	assert_int_equal(guest_memory_discard(memory, PAGE, 0), 0);
	assert_int_equal(guest_memory_discard(memory, PAGE, PAGE - 1), 0);
	assert_int_equal(guest_memory_discard(memory, PAGE + 1, PAGE - 1), 0);
	assert_int_equal(guest_memory_discard(memory, PAGE + 1, 2 * PAGE - 2), 0);
	assert_int_equal(guest_memory_discard(memory, SIZE - 1, 1), 0);
	expect_changed(memory, 0, 0, 0, 0x5a);
	assert_int_equal(guest_memory_discard(memory, PAGE + 1, 3 * PAGE - 2), 0);
	expect_changed(memory, 2 * PAGE, 3 * PAGE, 0, 0x5a);
}

static void only_ram_is_discarded(void **state)
{
	const struct guest_memory *memory = *state;

	fill(memory, 0x5a);
	assert_int_equal(guest_memory_discard(memory, SIZE, PAGE), -EFAULT);
	assert_int_equal(guest_memory_discard(memory, SIZE - PAGE, 2 * PAGE), -EFAULT);
	assert_int_equal(guest_memory_discard(memory, 0, UINT64_MAX), -EFAULT);
	assert_int_equal(guest_memory_discard(memory, PAGE, UINT64_MAX - PAGE + 1), -EFAULT);
	assert_int_equal(guest_memory_discard(memory, UINT64_MAX - PAGE + 1, 2 * PAGE), -EFAULT);
	expect_changed(memory, 0, 0, 0, 0x5a);
}

/* Of a saved guest's memory the changes are discarded, and the file is as it was. */
static void discarded_pages_are_the_files_again(void **state)
{
	int fd = memfd_create("saved", MFD_CLOEXEC);
	struct guest_memory memory;
	struct error error;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(guest_memory_init(&memory, SIZE, &error), 0);
	fill(&memory, 0x11);
	save_memory(&memory, fd);
	guest_memory_release(&memory);

	assert_int_equal(guest_memory_map(&memory, fd, SIZE, &error), 0);
	fill(&memory, 0x5a);
	assert_int_equal(guest_memory_discard(&memory, PAGE, 2 * PAGE), 0);
	expect_changed(&memory, PAGE, 3 * PAGE, 0x11, 0x5a);
	guest_memory_release(&memory);

	assert_int_equal(guest_memory_map(&memory, fd, SIZE, &error), 0);
	expect_changed(&memory, 0, SIZE, 0x11, 0);
	guest_memory_release(&memory);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_with_zeroes_and_keeps_its_size),
		cmocka_unit_test(slices_within),
		cmocka_unit_test(slices_beyond),
		cmocka_unit_test(empty_slices),
		cmocka_unit_test(sums_that_overflow),
		cmocka_unit_test(sizes),
		cmocka_unit_test(new_memory_is_written),
		cmocka_unit_test(memory_of_zeroes_is_one_hole),
		cmocka_unit_test(full_memory_is_written),
		cmocka_unit_test(mapped_memory_is_written),
		cmocka_unit_test(generations_of_memory),
		cmocka_unit_test(copies_are_apart),
		cmocka_unit_test(files_of_another_size_are_not_mapped),
		cmocka_unit_test(files_that_cannot_be_written),
		cmocka_unit_test(discarded_pages_are_the_hosts),
		cmocka_unit_test(only_whole_pages_are_discarded),
		cmocka_unit_test(only_ram_is_discarded),
		cmocka_unit_test(discarded_pages_are_the_files_again),
	};

	return cmocka_run_group_tests_name("memory", tests, set_up, tear_down);
}
