/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of memory in use: the parser, with texts of its kind and others, and this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/memory.h"
#include "core/memory_usage.h"

#define MIB (1024ull << 10)

static int read_text(const char *text, struct memory_range *ranges, size_t count, struct memory_usage *rest)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");
	int result;

	assert_non_null(file);
	result = memory_usage_read(file, ranges, count, rest);
	fclose(file);
	return result;
}

/* A program's, a clone's memory in two pieces, a booted guest's, another clone's, a stack's. */
static const char text[] = "55b78773d000-55b787742000 r--p 00000000 fe:00 10986885                   /usr/bin/a b:c\n"
			   "Size:                 20 kB\n"
			   "Rss:                  20 kB\n"
			   "Pss:                  10 kB\n"
			   "Pss_Dirty:             3 kB\n"
			   "Anonymous:             4 kB\n"
			   "THPeligible:    0\n"
			   "VmFlags: rd mr mw me dw sd \n"
			   "7f0000000000-7f0000100000 rw-p 00000000 fe:00 11100261         /cache/memory\n"
			   "Rss:                 100 kB\n"
			   "Pss:                  60 kB\n"
			   "Shared_Clean:         60 kB\n"
			   "Private_Clean:        20 kB\n"
			   "Private_Dirty:        20 kB\n"
			   "Anonymous:            20 kB\n"
			   "Swap:                  8 kB\n"
			   "SwapPss:               8 kB\n"
			   "7f0000100000-7f0000400000 rw-p 00100000 fe:00 11100261         /cache/memory\n"
			   "Rss:                  10 kB\n"
			   "Pss:                  10 kB\n"
			   "Anonymous:            10 kB\n"
			   "7f0000400000-7f0000800000 rw-s 00000000 00:01 10396      /memfd:guest-memory (deleted)\n"
			   "Rss:                  40 kB\n"
			   "Pss:                  40 kB\n"
			   "Private_Clean:         8 kB\n"
			   "Private_Dirty:        32 kB\n"
			   "Anonymous:             0 kB\n"
			   "Swap:                  4 kB\n"
			   "7f0000800000-7f0000c00000 rw-p 00000000 fe:00 11100261         /cache/memory\n"
			   "Rss:                   0 kB\n"
			   "7ffec468a000-7ffec468b000 ---p 00000000 00:00 0                [stack]\n"
			   "Rss:                   4 kB\n"
			   "Pss:                   4 kB\n"
			   "Anonymous:             4 kB\n";

static void expect_usage(const struct memory_usage *usage, uint64_t private, uint64_t shared, uint64_t proportional)
{
	assert_int_equal(usage->private, private << 10);
	assert_int_equal(usage->shared, shared << 10);
	assert_int_equal(usage->proportional, proportional << 10);
}

static void ranges_and_rest(void **state)
{
	struct memory_range ranges[] = {
		{.base = (void *)0x7f0000800000, .size = 4 * MIB},
		{.base = NULL, .size = 0},
		{.base = (void *)0x7f0000000000, .size = 4 * MIB},
		{.base = (void *)0x7f0000400000, .size = 4 * MIB},
	};
	struct memory_usage rest;

	(void)state;
	assert_int_equal(read_text(text, ranges, 4, &rest), 0);
	expect_usage(&ranges[0].usage, 0, 0, 0);
	expect_usage(&ranges[1].usage, 0, 0, 0);
	expect_usage(&ranges[2].usage, 20 + 8 + 10, 80, 40);
	expect_usage(&ranges[3].usage, 40 + 4, 0, 0);
	expect_usage(&rest, 4 + 4, 16, 6);
	assert_int_equal(read_text(text, NULL, 0, &rest), 0);
	expect_usage(&rest, 8 + 38 + 44, 96, 46);
}

/* Numbers that do not fit together, and the longest of paths. */
static void odd_numbers(void **state)
{
	struct memory_range range = {.base = (void *)0x1000, .size = 0x1000};
	struct memory_usage rest;
	char *line = calloc(1, 20000);

	(void)state;
	assert_int_equal(read_text("1000-2000 rw-p\nAnonymous: 8 kB\nRss: 4 kB\nPss: 4 kB\n", &range, 1, &rest), 0);
	expect_usage(&range.usage, 8, 0, 0);
	assert_int_equal(read_text("1000-2000 rw-p 0 0 0 /x", &range, 1, &rest), 0);
	expect_usage(&range.usage, 0, 0, 0);
	assert_non_null(line);
	strcpy(line, "1000-2000 rw-p 00000000 00:00 1 ");
	memset(line + strlen(line), '/', 10000);
	strcat(line, "\nRss: 4 kB\nOfTomorrow: 1 kB\n");
	assert_int_equal(read_text(line, &range, 1, &rest), 0);
	expect_usage(&range.usage, 0, 4, 0);
	free(line);
}

static void other_texts(void **state)
{
	static const char *const texts[] = {
		"\n",
		"Rss: 4 kB\n",
		"hello\n",
		"1000-2000 rw-p\nRss:\n",
		"1000-2000 rw-p\nRss: x kB\n",
		"1000-2000 rw-p\nRss: 99999999999999999999 kB\n",
		"1000-2000 rw-p\nNothing\n",
		"1000-2000 rw-p\n\nRss: 4 kB\n",
		"1000-2000\n",
		"1000-2000 rw\n",
		"2000-1000 rw-p\n",
		"1000-2000 rw-p\nRss: 4 kB\n-2000 rw-p\n",
	};
	struct memory_range range = {.base = (void *)0x1000, .size = 0x1000};
	struct memory_usage rest;
	FILE *nothing = fopen("/dev/null", "r");

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(read_text(texts[i], &range, 1, &rest), -EBADMSG);
	assert_int_equal(memory_usage_read(nothing, &range, 1, &rest), -EBADMSG);
	fclose(nothing);
}

static void touch(const struct guest_memory *memory, uint64_t from, uint64_t size, bool write)
{
	for (uint64_t at = from; at < from + size; at += 4096) {
		volatile uint8_t *byte = memory->base + at;

		if (write)
			*byte = 7;
		else
			(void)*byte;
	}
}

/* A booted guest, and two that go on from what it wrote: one only looks, the other writes to a part. */
static void guests(void **state)
{
	struct guest_memory booted, reader, writer;
	struct memory_range ranges[3];
	struct memory_usage rest;
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	assert_int_equal(guest_memory_init(&booted, 16 * MIB, NULL), 0);
	touch(&booted, 0, 8 * MIB, true);
	assert_int_equal(guest_memory_write_base(-1, booted.size, fileno(file), NULL), 0);
	assert_int_equal(guest_memory_write_rest(&booted, fileno(file), NULL), 0);
	assert_int_equal(guest_memory_map(&reader, fileno(file), 16 * MIB, NULL), 0);
	assert_int_equal(guest_memory_map(&writer, fileno(file), 16 * MIB, NULL), 0);
	touch(&reader, 0, 8 * MIB, false);
	touch(&writer, 2 * MIB, 3 * MIB, true);
	touch(&writer, 0, 8 * MIB, false);
	ranges[0] = (struct memory_range){.base = booted.base, .size = booted.size};
	ranges[1] = (struct memory_range){.base = reader.base, .size = reader.size};
	ranges[2] = (struct memory_range){.base = writer.base, .size = writer.size};
	assert_int_equal(memory_usage_read_own(ranges, 3, &rest), 0);
	assert_int_equal(ranges[0].usage.private, 8 * MIB);
	assert_int_equal(ranges[0].usage.shared, 0);
	assert_int_equal(ranges[1].usage.private, 0);
	/* The kernel may map more of the file than was asked for. */
	assert_in_range(ranges[1].usage.shared, 8 * MIB, 16 * MIB);
	assert_int_equal(ranges[2].usage.private, 3 * MIB);
	assert_in_range(ranges[2].usage.shared, 5 * MIB, 13 * MIB);
	assert_in_range(ranges[1].usage.proportional + ranges[2].usage.proportional, 8 * MIB, 16 * MIB);
	assert_true(rest.private > 0);
	guest_memory_release(&booted);
	guest_memory_release(&reader);
	guest_memory_release(&writer);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_and_rest),
		cmocka_unit_test(odd_numbers),
		cmocka_unit_test(other_texts),
		cmocka_unit_test(guests),
	};

	return cmocka_run_group_tests_name("memory_usage", tests, NULL, NULL);
}
