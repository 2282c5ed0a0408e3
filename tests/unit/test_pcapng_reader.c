/* SPDX-License-Identifier: Apache-2.0 */
/* Captures as others may write them, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <byteswap.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/pcapng_reader.h"

#define SECTION 0x0a0d0d0au
#define INTERFACE 1u
#define PACKET 6u

/* Of the block of a section without options. */
#define SECTION_SIZE 28

/* A file, in either byte order. */
struct file {
	uint8_t bytes[8192];
	size_t size;
	size_t block; /* Where the block begins that is being put. */
	bool is_swapped;
};

static void put(struct file *file, const void *bytes, size_t size)
{
	assert_true(size <= sizeof(file->bytes) - file->size);
	memcpy(file->bytes + file->size, bytes, size);
	file->size += size;
}

static void put_16(struct file *file, uint16_t value)
{
	value = file->is_swapped ? bswap_16(value) : value;
	put(file, &value, sizeof(value));
}

static void put_32(struct file *file, uint32_t value)
{
	value = file->is_swapped ? bswap_32(value) : value;
	put(file, &value, sizeof(value));
}

static void put_64(struct file *file, uint64_t value)
{
	value = file->is_swapped ? bswap_64(value) : value;
	put(file, &value, sizeof(value));
}

static void put_padding(struct file *file)
{
	while (file->size % 4 > 0)
		put(file, "", 1);
}

static void put_option(struct file *file, uint16_t code, const void *value, size_t size)
{
	put_16(file, code);
	put_16(file, (uint16_t)size);
	put(file, value, size);
	put_padding(file);
}

static void put_option_64(struct file *file, uint16_t code, uint64_t value)
{
	put_16(file, code);
	put_16(file, sizeof(value));
	put_64(file, value);
}

static void begin_block(struct file *file, uint32_t type)
{
	file->block = file->size;
	put_32(file, type);
	put_32(file, 0);
}

static void end_block(struct file *file)
{
	size_t end = file->size, size = end + 4 - file->block;

	file->size = file->block + 4;
	put_32(file, (uint32_t)size);
	file->size = end;
	put_32(file, (uint32_t)size);
}

static void put_section(struct file *file)
{
	begin_block(file, SECTION);
	put_32(file, 0x1a2b3c4d);
	put_16(file, 1);
	put_16(file, 0);
	put_64(file, UINT64_MAX);
	end_block(file);
}

static void begin_interface(struct file *file, const char *name)
{
	begin_block(file, INTERFACE);
	put_16(file, 1);
	put_16(file, 0);
	put_32(file, 0);
	if (name)
		put_option(file, 2, name, strlen(name));
}

static void put_interface(struct file *file, const char *name)
{
	begin_interface(file, name);
	end_block(file);
}

static void begin_packet(struct file *file, uint32_t interface, uint64_t time, const char *bytes)
{
	begin_block(file, PACKET);
	put_32(file, interface);
	put_32(file, (uint32_t)(time >> 32));
	put_32(file, (uint32_t)time);
	put_32(file, (uint32_t)strlen(bytes));
	put_32(file, (uint32_t)strlen(bytes) + 1);
	put(file, bytes, strlen(bytes));
	put_padding(file);
}

static void put_packet(struct file *file, uint32_t interface, const char *bytes)
{
	begin_packet(file, interface, 1, bytes);
	end_block(file);
}

/* Reading. */

struct session {
	FILE *stream;
	struct pcapng_reader *reader;
	struct pcapng_reader_packet packet;
};

/* 'size' bytes, in memory of just that size. */
static void open_bytes(struct session *session, const uint8_t *bytes, size_t size)
{
	session->stream = fmemopen(NULL, size + 1, "w+");
	assert_non_null(session->stream);
	assert_int_equal(fwrite(bytes, 1, size, session->stream), size);
	rewind(session->stream);
	session->reader = pcapng_reader_create(session->stream);
	assert_non_null(session->reader);
}

static void open_file(struct session *session, const struct file *file)
{
	open_bytes(session, file->bytes, file->size);
}

static void end(struct session *session)
{
	pcapng_reader_destroy(session->reader);
	fclose(session->stream);
}

static void assert_packet(struct session *session, const char *name, const char *bytes)
{
	assert_int_equal(pcapng_reader_next(session->reader, &session->packet), 1);
	assert_string_equal(session->packet.interface->name, name);
	assert_int_equal(session->packet.captured, strlen(bytes));
	assert_memory_equal(session->packet.bytes, bytes, strlen(bytes));
}

/* Reads to the end, which is 'result', there and when one tries again.  Returns how many packets there were. */
static size_t read_all(const uint8_t *bytes, size_t size, int result, uint64_t position)
{
	struct session session;
	size_t count = 0;
	int last;

	open_bytes(&session, bytes, size);
	while ((last = pcapng_reader_next(session.reader, &session.packet)) > 0)
		count++;
	assert_int_equal(last, result);
	assert_int_equal(strlen(pcapng_reader_problem(session.reader)) > 0, result < 0);
	assert_int_equal(pcapng_reader_position(session.reader), position);
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), result);
	end(&session);
	return count;
}

static void everything_is_read_in_both_byte_orders(void **state)
{
	(void)state;
	for (unsigned int swapped = 0; swapped < 2; swapped++) {
		struct file file = {.is_swapped = swapped};
		struct session session;

		put_section(&file);
		begin_interface(&file, "r1:eth2");
		put_option(&file, 3, "lan", 3);
		put_option(&file, 9, "\x09", 1);
		end_block(&file);
		begin_packet(&file, 0, 0x123456789abcdef0, "12345");
		put_16(&file, 2);
		put_16(&file, 4);
		put_32(&file, 0xfffffff2);
		put_option(&file, 7, "\0\x0b", 2);
		put_option_64(&file, 4, 7);
		put_option_64(&file, 5, 0x8899aabbccddeeff);
		put_option(&file, 1, "why", 3);
		put_option(&file, 0, "", 0);
		end_block(&file);
		begin_packet(&file, 0, 1, "");
		put_option_64(&file, 4, 3);
		end_block(&file);
		open_file(&session, &file);
		assert_packet(&session, "r1:eth2", "12345");
		assert_string_equal(session.packet.interface->description, "lan");
		assert_int_equal(session.packet.interface->link_type, 1);
		assert_int_equal(session.packet.time, 0x123456789abcdef0);
		assert_int_equal(session.packet.size, 6);
		assert_int_equal(session.packet.direction, 2);
		assert_int_equal(session.packet.verdict, 11);
		assert_int_equal(session.packet.lost, 7);
		assert_true(session.packet.has_id);
		assert_int_equal(session.packet.id, 0x8899aabbccddeeff);
		assert_string_equal(session.packet.comments[0], "why");
		assert_null(session.packet.comments[1]);
		assert_int_equal(session.packet.interface->lost, 7);
		assert_packet(&session, "r1:eth2", "");
		assert_int_equal(session.packet.direction, 0);
		assert_int_equal(session.packet.verdict, 0);
		assert_int_equal(session.packet.lost, 3);
		assert_false(session.packet.has_id);
		assert_null(session.packet.comments[0]);
		assert_int_equal(session.packet.interface->lost, 10);
		assert_int_equal(pcapng_reader_next(session.reader, &session.packet), 0);
		assert_int_equal(pcapng_reader_position(session.reader), file.size);
		end(&session);
	}
}

static void each_section_has_its_interfaces(void **state)
{
	const struct pcapng_reader_interface *first;
	struct file file = {.size = 0};
	struct session session;

	(void)state;
	put_section(&file);
	put_interface(&file, "a0");
	put_packet(&file, 0, "one");
	put_interface(&file, "a1");
	put_packet(&file, 1, "two");
	file.is_swapped = true;
	put_section(&file);
	put_interface(&file, NULL);
	put_packet(&file, 0, "three");
	file.is_swapped = false;
	put_section(&file);
	put_interface(&file, "a0");
	put_packet(&file, 0, "four");
	put_packet(&file, 1, "five");
	open_file(&session, &file);
	assert_packet(&session, "a0", "one");
	first = session.packet.interface;
	assert_packet(&session, "a1", "two");
	assert_packet(&session, "", "three");
	assert_string_equal(session.packet.interface->description, "");
	assert_packet(&session, "a0", "four");
	assert_ptr_not_equal(session.packet.interface, first);
	assert_string_equal(first->name, "a0");
	/* The section has one, though the file has more. */
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), -EINVAL);
	end(&session);
}

static void times_are_nanoseconds_whatever_they_were(void **state)
{
	static const struct {
		int resolution; /* -1: no option. */
		int64_t offset; /* 0: no option. */
		uint64_t ticks, expected;
	} times[] = {
		{-1, 0, 1700000000123456, 1700000000123456000},
		{6, 0, 1700000000123456, 1700000000123456000},
		{9, 0, UINT64_MAX, UINT64_MAX},
		{0, 0, 1700000000, 1700000000000000000},
		{0, 0, UINT64_MAX, UINT64_MAX},
		{3, 0, 18446744073710, UINT64_MAX},
		{10, 0, 19, 1},
		{12, 0, 1700000000123456789, 1700000000123456},
		{28, 0, UINT64_MAX, 1},
		{29, 0, UINT64_MAX, 0},
		{127, 0, UINT64_MAX, 0},
		{0x80, 0, 7, 7000000000},
		{0x80 | 1, 0, 3, 1500000000},
		{0x80 | 30, 0, 1ull << 29, 500000000},
		{0x80 | 32, 0, (5ull << 32) + (1ull << 31), 5500000000},
		{0x80 | 63, 0, UINT64_MAX, 1999999999},
		{0x80 | 64, 0, UINT64_MAX, 999999999},
		{0x80 | 127, 0, UINT64_MAX, 0},
		{9, 1700000000, 5, 1700000000000000005},
		{9, -1, 1000000005, 5},
		{9, -2, 1000000005, 0},
		{9, INT64_MAX, UINT64_MAX, UINT64_MAX},
		{0, INT64_MIN, UINT64_MAX, UINT64_MAX},
		{0, INT64_MIN, INT64_MAX, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		const uint8_t resolution = (uint8_t)times[i].resolution;
		struct file file = {.size = 0};
		struct session session;

		put_section(&file);
		begin_interface(&file, "a");
		if (times[i].resolution >= 0)
			put_option(&file, 9, &resolution, 1);
		if (times[i].offset != 0)
			put_option_64(&file, 14, (uint64_t)times[i].offset);
		end_block(&file);
		begin_packet(&file, 0, times[i].ticks, "x");
		end_block(&file);
		open_file(&session, &file);
		assert_packet(&session, "a", "x");
		assert_int_equal(session.packet.time, times[i].expected);
		end(&session);
	}
}

static void unknown_things_are_skipped(void **state)
{
	static const uint32_t types[] = {2, 3, 4, 10, 0xbad, 0x80000001, 3};
	struct file file = {.size = 0};
	struct session session;

	(void)state;
	put_section(&file);
	begin_interface(&file, "a");
	put_option(&file, 77, "what", 4);
	end_block(&file);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		begin_block(&file, types[i]);
		put(&file, "anything", i % 2 ? 8 : 0);
		end_block(&file);
	}
	begin_packet(&file, 0, 1, "x");
	put_option(&file, 0x8001, "mine", 4);
	put_option(&file, 7, "\1\2\3\4\5\6\7\x8\x9", 9); /* A verdict of another type. */
	put_option(&file, 7, "\0", 1);                   /* One without a value. */
	end_block(&file);
	open_file(&session, &file);
	assert_packet(&session, "a", "x");
	assert_int_equal(session.packet.verdict, 0);
	assert_int_equal(pcapng_reader_skipped(session.reader), 3);
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), 0);
	end(&session);
}

static void begin_statistics(struct file *file, uint32_t interface)
{
	begin_block(file, 5);
	put_32(file, interface);
	put_64(file, 0);
}

/* What statistics say is missing, beyond what packets said: of each interface, whatever the order. */
static void statistics_tell_the_rest(void **state)
{
	struct file file = {.size = 0};
	struct session session;

	(void)state;
	put_section(&file);
	for (int i = 0; i < 3; i++) {
		begin_interface(&file, "a");
		end_block(&file);
	}
	begin_statistics(&file, 0);
	put_option_64(&file, 5, 77); /* isb_ifdrop */
	put_option_64(&file, 7, 10);
	end_block(&file);
	begin_packet(&file, 0, 1, "x");
	put_option_64(&file, 4, 6);
	end_block(&file);
	begin_packet(&file, 1, 1, "x");
	put_option_64(&file, 4, 3);
	end_block(&file);
	begin_statistics(&file, 1);
	put_option_64(&file, 7, 2);
	end_block(&file);
	begin_statistics(&file, 2);
	put_option_64(&file, 7, 1);
	end_block(&file);
	open_file(&session, &file);
	assert_packet(&session, "a", "x");
	assert_packet(&session, "a", "x");
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), 0);
	assert_int_equal(pcapng_reader_untold(session.reader), 4 + 1);
	end(&session);
}

/* However they lie beside each other: where one ends, the next option may begin, or the block may end. */
static void comments_are_texts(void **state)
{
	static const char *const texts[] = {"four", "", "eight888", "three", "fo\0r", "x", "1234", "last"};
	struct file file = {.size = 0};
	struct session session;

	(void)state;
	put_section(&file);
	put_interface(&file, "a");
	begin_packet(&file, 0, 1, "x");
	for (size_t i = 0; i < 8; i++)
		put_option(&file, 1, texts[i], i == 4 ? 4 : strlen(texts[i]));
	end_block(&file);
	begin_packet(&file, 0, 1, "y");
	for (size_t i = 0; i < PCAPNG_READER_COMMENTS_MAX + 2; i++)
		put_option(&file, 1, i < PCAPNG_READER_COMMENTS_MAX ? "some" : "more", 4);
	put_option_64(&file, 5, 99);
	end_block(&file);
	begin_packet(&file, 0, 1, "z");
	put_option(&file, 1, "only", 4);
	end_block(&file);
	open_file(&session, &file);
	assert_packet(&session, "a", "x");
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(session.packet.comments[i], texts[i]);
	assert_packet(&session, "a", "y");
	for (size_t i = 0; i < PCAPNG_READER_COMMENTS_MAX; i++)
		assert_string_equal(session.packet.comments[i], "some");
	assert_int_equal(session.packet.id, 99);
	assert_packet(&session, "a", "z");
	assert_string_equal(session.packet.comments[0], "only");
	assert_null(session.packet.comments[1]);
	end(&session);
}

static void long_names_are_cut(void **state)
{
	char name[PCAPNG_READER_TEXT_MAX + 2];
	struct file file = {.size = 0};
	struct session session;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	put_section(&file);
	begin_interface(&file, name);
	put_option(&file, 3, name, 3);
	put_option(&file, 3, "again", 5);
	end_block(&file);
	put_packet(&file, 0, "x");
	name[PCAPNG_READER_TEXT_MAX] = '\0';
	open_file(&session, &file);
	assert_packet(&session, name, "x");
	assert_string_equal(session.packet.interface->description, "again");
	end(&session);
}

/* Damage. */

static void a_file_may_end_anywhere(void **state)
{
	size_t ends[8], count = 0;
	struct file file = {.size = 0};

	(void)state;
	ends[count++] = 0;
	put_section(&file);
	ends[count++] = file.size;
	put_interface(&file, "a");
	ends[count++] = file.size;
	begin_packet(&file, 0, 1, "12345");
	put_option(&file, 1, "comment", 7);
	end_block(&file);
	ends[count++] = file.size;
	put_packet(&file, 0, "1");
	ends[count++] = file.size;
	file.is_swapped = true;
	put_section(&file);
	ends[count++] = file.size;
	for (size_t size = 0, last = 0; size <= file.size; size++) {
		while (last + 1 < count && ends[last + 1] <= size)
			last++;
		assert_int_equal(read_all(file.bytes, size, size == ends[last] ? 0 : -EPIPE, ends[last]), last < 3 ? 0 :
													  last < 4 ? 1 :
														     2);
	}
}

static void what_is_no_pcapng_file_is_not_read(void **state)
{
	static const char *const files[] = {
		"x",
		"hello",
		"nodes: [h1, h2]\nlinks: []\n",
		"\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0",
		"\x0a\x0d\x0d\x0b",
		"\x0a\x0d\x0d\x0a....neither",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		assert_int_equal(read_all((const uint8_t *)files[i], i == 3 ? 24 : strlen(files[i]), -EINVAL, 0), 0);
}

/* A section, an interface and a packet "12345" with a comment, in which the 4 bytes at 'offset' of block 'block' are
 * changed. */
static void lengths_that_lie_are_seen(void **state)
{
	static const struct {
		unsigned int block;
		int offset; /* Negative: from the block's end. */
		uint32_t value;
		int result;
	} lies[] = {
		{0, 8, 0x1a2b3c4e, -EINVAL}, /* No byte order. */
		{0, 12, 2, -EINVAL},         /* Version 2. */
		{0, 4, 24, -EINVAL},         /* The block's length; the one at its end. */
		{0, -4, 24, -EINVAL},
		{1, 4, 0, -EINVAL},
		{1, 4, 8, -EINVAL},
		{1, 4, 12, -EINVAL},
		{1, 4, 27, -EINVAL},
		{1, 4, 0x1c000000, -E2BIG},
		{1, 4, UINT32_MAX, -EINVAL},
		{1, 4, UINT32_MAX - 3, -E2BIG},
		{1, 4, PCAPNG_READER_BLOCK_MAX, -EPIPE},
		{1, 4, PCAPNG_READER_BLOCK_MAX + 4, -E2BIG},
		{1, -4, 0, -EINVAL},
		{1, 4, 0x2c, -EINVAL}, /* Two blocks as one. */
		{2, 8, 1, -EINVAL},    /* The interface's number. */
		{2, 8, UINT32_MAX, -EINVAL},
		{2, 20, 6 + 1, -EINVAL}, /* More than there was. */
		{2, 20, UINT32_MAX, -EINVAL},
		{2, 20, 0x80000000, -EINVAL},
		{2, 24, 4, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct file file = {.size = 0};
		size_t starts[4] = {0}, at;

		put_section(&file);
		starts[1] = file.size;
		put_interface(&file, "a");
		starts[2] = file.size;
		begin_packet(&file, 0, 1, "12345");
		put_option(&file, 1, "comment", 7);
		end_block(&file);
		starts[3] = file.size;
		at = lies[i].offset < 0 ? starts[lies[i].block + 1] + (size_t)lies[i].offset :
					  starts[lies[i].block] + (size_t)lies[i].offset;
		memcpy(file.bytes + at, &lies[i].value, 4);
		assert_int_equal(read_all(file.bytes, file.size, lies[i].result, starts[lies[i].block]), 0);
	}
}

/* A packet that says it has more bytes than its block, and that there were even more. */
static void packets_end_in_their_block(void **state)
{
	static const uint32_t captured[] = {9, 12, 1u << 24, 0x7fffffff, 0xfffffffd, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < sizeof(captured) / sizeof(captured[0]); i++) {
		struct file file = {.size = 0};
		size_t start;

		put_section(&file);
		put_interface(&file, "a");
		start = file.size;
		put_packet(&file, 0, "12345678");
		memcpy(file.bytes + start + 20, &captured[i], 4);
		memset(file.bytes + start + 24, 0xff, 4);
		assert_int_equal(read_all(file.bytes, file.size, -EINVAL, start), 0);
	}
}

static void blocks_have_their_fixed_part(void **state)
{
	static const uint32_t types[] = {SECTION, INTERFACE, PACKET};
	static const size_t sizes[] = {16, 8, 20};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t size = i == 0 ? 4 : 0; size < sizes[i]; size += 4) {
			struct file file = {.size = 0};
			size_t start;

			put_section(&file);
			put_interface(&file, "a");
			start = file.size;
			begin_block(&file, types[i]);
			put_32(&file, 0x1a2b3c4d);
			put_64(&file, 1);
			put_64(&file, 0);
			file.size = start + 8 + size;
			end_block(&file);
			assert_int_equal(read_all(file.bytes, file.size, -EINVAL, start), 0);
		}
	}
}

static void options_that_lie_are_seen(void **state)
{
	static const struct {
		bool of_packet;
		uint16_t code, length; /* As they say. */
		size_t size;           /* Bytes there are. */
		int result;
	} options[] = {
		{false, 2, 5, 4, -EINVAL},
		{false, 3, UINT16_MAX, 8, -EINVAL},
		{false, 9, 0, 0, -EINVAL},
		{false, 9, 2, 4, -EINVAL},
		{false, 14, 4, 4, -EINVAL},
		{false, 77, 1, 0, -EINVAL},
		{false, 0, 99, 0, 0},
		{false, 6, 1, 4, 0},
		{true, 1, 1, 0, -EINVAL},
		{true, 1, 9, 8, -EINVAL},
		{true, 1, UINT16_MAX, 8, -EINVAL},
		{true, 2, 3, 4, -EINVAL},
		{true, 2, 8, 8, -EINVAL},
		{true, 4, 4, 4, -EINVAL},
		{true, 5, 0, 0, -EINVAL},
		{true, 5, 9, 12, -EINVAL},
		{true, 7, 0, 0, -EINVAL},
		{true, 0x8000, 5, 4, -EINVAL},
		{true, 0, UINT16_MAX, 0, 0},
		{true, 3, 0, 0, 0},
		{true, 1, 8, 8, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct file file = {.size = 0};
		size_t start = 0;
		int result = options[i].result;

		put_section(&file);
		for (unsigned int of_packet = 0; of_packet < 2; of_packet++) {
			if (of_packet == options[i].of_packet)
				start = file.size;
			if (of_packet)
				begin_packet(&file, 0, 1, "x");
			else
				begin_interface(&file, NULL);
			if (of_packet == options[i].of_packet) {
				put_16(&file, options[i].code);
				put_16(&file, options[i].length);
				put(&file, "abcdefghijkl", options[i].size);
			}
			end_block(&file);
		}
		assert_int_equal(read_all(file.bytes, file.size, result, result == 0 ? file.size : start), result == 0);
	}
}

static void interfaces_are_bounded(void **state)
{
	struct file file = {.size = 0};
	struct session session;
	size_t section, size;

	(void)state;
	session.stream = fmemopen(NULL, 2 << 20, "w+");
	assert_non_null(session.stream);
	put_section(&file);
	section = file.size;
	put_interface(&file, NULL);
	size = file.size - section;
	assert_int_equal(fwrite(file.bytes, 1, section, session.stream), section);
	for (unsigned int i = 0; i < PCAPNG_READER_INTERFACES_MAX; i++) {
		/* Those of all sections count. */
		if (i == PCAPNG_READER_INTERFACES_MAX - 1)
			assert_int_equal(fwrite(file.bytes, 1, section, session.stream), section);
		assert_int_equal(fwrite(file.bytes + section, 1, size, session.stream), size);
	}
	put_packet(&file, 0, "x");
	assert_int_equal(fwrite(file.bytes + section + size, 1, file.size - section - size, session.stream),
			 file.size - section - size);
	assert_int_equal(fwrite(file.bytes + section, 1, size, session.stream), size);
	rewind(session.stream);
	session.reader = pcapng_reader_create(session.stream);
	assert_non_null(session.reader);
	assert_packet(&session, "", "x");
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), -E2BIG);
	end(&session);
}

static void longest_block_is_read(void **state)
{
	const uint32_t head[2] = {0xbad, PCAPNG_READER_BLOCK_MAX};
	uint8_t *bytes = calloc(1, SECTION_SIZE + PCAPNG_READER_BLOCK_MAX);
	struct file file = {.size = 0};
	size_t size = SECTION_SIZE + PCAPNG_READER_BLOCK_MAX;

	(void)state;
	assert_non_null(bytes);
	put_section(&file);
	assert_int_equal(file.size, SECTION_SIZE);
	memcpy(bytes, file.bytes, SECTION_SIZE);
	memcpy(bytes + SECTION_SIZE, head, sizeof(head));
	memcpy(bytes + size - 4, head + 1, 4);
	read_all(bytes, size, 0, size);
	read_all(bytes, size - 1, -EPIPE, SECTION_SIZE);
	free(bytes);
}

static ssize_t fail_to_read(void *opaque, char *to, size_t size)
{
	unsigned int *left = opaque;
	struct file file = {.size = 0};

	put_section(&file);
	if (*left == 0) {
		errno = EIO;
		return -1;
	}
	*left -= 1;
	assert_true(size >= file.size);
	memcpy(to, file.bytes, file.size);
	return (ssize_t)file.size;
}

static void errors_of_reading_are_told(void **state)
{
	unsigned int left = 1;
	struct session session;

	(void)state;
	session.stream = fopencookie(&left, "r", (cookie_io_functions_t){.read = fail_to_read});
	assert_non_null(session.stream);
	session.reader = pcapng_reader_create(session.stream);
	assert_non_null(session.reader);
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), -EIO);
	assert_non_null(strstr(pcapng_reader_problem(session.reader), strerror(EIO)));
	assert_int_equal(pcapng_reader_position(session.reader), SECTION_SIZE);
	assert_int_equal(pcapng_reader_next(session.reader, &session.packet), -EIO);
	end(&session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_read_in_both_byte_orders),
		cmocka_unit_test(each_section_has_its_interfaces),
		cmocka_unit_test(times_are_nanoseconds_whatever_they_were),
		cmocka_unit_test(unknown_things_are_skipped),
		cmocka_unit_test(statistics_tell_the_rest),
		cmocka_unit_test(comments_are_texts),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(a_file_may_end_anywhere),
		cmocka_unit_test(what_is_no_pcapng_file_is_not_read),
		cmocka_unit_test(lengths_that_lie_are_seen),
		cmocka_unit_test(packets_end_in_their_block),
		cmocka_unit_test(blocks_have_their_fixed_part),
		cmocka_unit_test(options_that_lie_are_seen),
		cmocka_unit_test(interfaces_are_bounded),
		cmocka_unit_test(longest_block_is_read),
		cmocka_unit_test(errors_of_reading_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
