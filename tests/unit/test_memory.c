/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: the one way from a guest-physical address to a pointer, at its edges; and what is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
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
	assert_int_equal(guest_memory_write(&memory, fd, &error), 0);
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
		cmocka_unit_test(discarded_pages_are_the_hosts),
		cmocka_unit_test(only_whole_pages_are_discarded),
		cmocka_unit_test(only_ram_is_discarded),
		cmocka_unit_test(discarded_pages_are_the_files_again),
	};

	return cmocka_run_group_tests_name("memory", tests, set_up, tear_down);
}
