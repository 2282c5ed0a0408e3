/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of pcapng, byte for byte, in the order of bytes of all machines that netlab runs on: little-endian. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/pcapng.h"
#include "netlab/pcapng_reader.h"

#define TIME 0x0102030405060708ull

/* Behind a block, where nothing may be written. */
#define UNTOUCHED 0xa5

/* Compares with hexadecimal digits, among which spaces mean nothing. */
static void assert_block(const uint8_t *block, size_t size, const char *expected)
{
	char digits[3] = "";
	size_t at = 0;

	for (; *expected; expected += 2) {
		expected += strspn(expected, " ");
		memcpy(digits, expected, 2);
		assert_true(at < size);
		if (block[at] != strtoul(digits, NULL, 16))
			fail_msg("byte %zu is %02x, not %s", at, block[at], digits);
		at++;
	}
	assert_int_equal(at, size);
}

static void section_is_as_the_format_has_it(void **state)
{
	const struct pcapng_section section = {.hardware = "kvm!",
					       .system = "linux",
					       .application = "netlab",
					       .comment = "two"};
	const struct pcapng_section nothing = {.hardware = NULL};
	uint8_t block[128];

	(void)state;
	assert_block(block, pcapng_put_section(block, sizeof(block), &section),
		     "0a0d0d0a 48000000 4d3c2b1a 0100 0000 ffffffffffffffff"
		     "0100 0300 74776f 00"
		     "0200 0400 6b766d21"
		     "0300 0500 6c696e7578 000000"
		     "0400 0600 6e65746c6162 0000"
		     "0000 0000 48000000");
	assert_block(block, pcapng_put_section(block, sizeof(block), &nothing),
		     "0a0d0d0a 20000000 4d3c2b1a 0100 0000 ffffffffffffffff"
		     "0000 0000 20000000");
}

static void interface_is_as_the_format_has_it(void **state)
{
	struct pcapng_interface interface = {.name = "r1:eth2",
					     .description = "lan",
					     .has_mac = true,
					     .mac = {0x52, 0x54, 0, 1, 2, 3},
					     .speed = 1000000000,
					     .snap_len = 262144};
	uint8_t block[128];

	(void)state;
	assert_block(block, pcapng_put_interface(block, sizeof(block), &interface),
		     "01000000 4c000000 0100 0000 00000400"
		     "0200 0700 72313a65746832 00"
		     "0300 0300 6c616e 00"
		     "0600 0600 525400010203 0000"
		     "0800 0800 00ca9a3b00000000"
		     "0900 0100 09 000000"
		     "0000 0000 4c000000");
	interface.description = NULL;
	interface.has_mac = false;
	interface.speed = 0;
	assert_block(block, pcapng_put_interface(block, sizeof(block), &interface),
		     "01000000 2c000000 0100 0000 00000400"
		     "0200 0700 72313a65746832 00"
		     "0900 0100 09 000000"
		     "0000 0000 2c000000");
}

static void one_address_may_have_two_names(void **state)
{
	const struct pcapng_name names[] = {
		{.address = {10, 0, 0, 1, 99}, .name = "h1"},
		{.address = {10, 0, 0, 1}, .name = "www"},
		{.is_ipv6 = true, .address = {0x20, 1, 0xd, 0xb8, [15] = 1}, .name = "h1.v6"},
	};
	uint8_t block[128];

	(void)state;
	assert_int_equal(pcapng_put_names(NULL, 0, names, 3), 68);
	assert_block(block, pcapng_put_names(block, sizeof(block), names, 3),
		     "04000000 44000000"
		     "0100 0700 0a000001 683100 00"
		     "0100 0800 0a000001 77777700"
		     "0200 1600 20010db8000000000000000000000001 68312e763600 0000"
		     "0000 0000 44000000");
	assert_int_equal(pcapng_put_names(NULL, 0, NULL, 0), 16);
	assert_block(block, pcapng_put_names(block, sizeof(block), NULL, 0), "04000000 10000000 0000 0000 10000000");
}

static void packet_is_as_the_format_has_it(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct pcapng_packet packet = {
		.interface = 3,
		.time = TIME,
		.bytes = bytes,
		.captured = 5,
		.size = 60,
		.direction = PCAPNG_OUTBOUND,
		.id = 0x1122334455667788,
		.lost = 7,
		.verdict = 0x42,
		.comments = {"drop", "a"},
	};
	uint8_t block[256];

	(void)state;
	memset(block, UNTOUCHED, sizeof(block));
	assert_block(block, pcapng_put_packet(block, sizeof(block), &packet),
		     "06000000 64000000 03000000 0403020108070605 05000000 3c000000"
		     "0102030405 000000"
		     "0200 0400 02000000"
		     "0400 0800 0700000000000000"
		     "0500 0800 8877665544332211"
		     "0700 0200 0042 0000"
		     "0100 0400 64726f70"
		     "0100 0100 61 000000"
		     "0000 0000 64000000");
	assert_int_equal(block[0x64], UNTOUCHED);
	packet = (struct pcapng_packet){.time = 1, .size = 60};
	assert_block(block, pcapng_put_packet(block, sizeof(block), &packet),
		     "06000000 38000000 00000000 0000000001000000 00000000 3c000000"
		     "0200 0400 00000000"
		     "0500 0800 0000000000000000"
		     "0000 0000 38000000");
}

static void statistics_are_as_the_format_has_them(void **state)
{
	const struct pcapng_statistics statistics = {.interface = 1,
						     .time = TIME,
						     .start = TIME - 1,
						     .end = TIME + 1,
						     .received = 2,
						     .dropped = 3,
						     .lost = 4,
						     .delivered = 5};
	uint8_t block[128];

	(void)state;
	assert_block(block, pcapng_put_statistics(block, sizeof(block), &statistics),
		     "05000000 64000000 01000000 0403020108070605"
		     "0200 0800 0403020107070605"
		     "0300 0800 0403020109070605"
		     "0400 0800 0200000000000000"
		     "0500 0800 0300000000000000"
		     "0700 0800 0400000000000000"
		     "0800 0800 0500000000000000"
		     "0000 0000 64000000");
}

static void notes_are_as_the_format_has_them(void **state)
{
	uint8_t block[64];

	(void)state;
	assert_block(block, pcapng_put_note(block, sizeof(block), "end"),
		     "04000000 1c000000 0000 0000"
		     "0100 0300 656e64 00"
		     "0000 0000 1c000000");
}

/* Blocks with everything that they can have, as long as they can be, and how they are put. */

static char *text_of(const char *beginning, size_t size)
{
	char *text = malloc(size + 1);

	assert_non_null(text);
	memset(text, 'x', size);
	text[size] = '\0';
	memcpy(text, beginning, strlen(beginning));
	return text;
}

static size_t put_section(uint8_t *to, size_t room, const char *text)
{
	const struct pcapng_section section = {.hardware = text, .system = text, .application = text, .comment = text};

	return pcapng_put_section(to, room, &section);
}

static size_t put_interface(uint8_t *to, size_t room, const char *text)
{
	const struct pcapng_interface interface = {.name = text, .description = text, .has_mac = true, .speed = 1};

	return pcapng_put_interface(to, room, &interface);
}

static size_t put_names(uint8_t *to, size_t room, const char *text)
{
	const struct pcapng_name names[] = {{.name = text}, {.name = text, .is_ipv6 = true}};

	return pcapng_put_names(to, room, names, 2);
}

static size_t put_packet(uint8_t *to, size_t room, const char *text)
{
	const struct pcapng_packet packet = {.lost = 1,
					     .verdict = 1,
					     .bytes = (const uint8_t *)"",
					     .captured = 1,
					     .comments = {text, text, text}};

	return pcapng_put_packet(to, room, &packet);
}

static size_t put_statistics(uint8_t *to, size_t room, const char *text)
{
	const struct pcapng_statistics statistics = {.interface = 1};

	(void)text;
	return pcapng_put_statistics(to, room, &statistics);
}

static size_t (*const put_functions[])(uint8_t *to, size_t room, const char *text) = {put_section,    put_interface,
										      put_names,      put_packet,
										      put_statistics, pcapng_put_note};

#define FUNCTION_COUNT (sizeof(put_functions) / sizeof(put_functions[0]))

/* In memory of just that size: what is written beside it the sanitizers find. */
static void without_room_there_is_no_block(void **state)
{
	(void)state;
	for (size_t i = 0; i < FUNCTION_COUNT; i++) {
		uint8_t whole[512], *part;
		size_t size = put_functions[i](whole, sizeof(whole), "text");

		assert_in_range(size, 16, sizeof(whole));
		assert_int_equal(size % 4, 0);
		for (size_t room = 0; room <= size; room++) {
			part = malloc(room + 1);
			assert_non_null(part);
			part[room] = UNTOUCHED;
			assert_int_equal(put_functions[i](part, room, "text"), room < size ? 0 : size);
			assert_int_equal(part[room], UNTOUCHED);
			if (room == size)
				assert_memory_equal(part, whole, size);
			free(part);
		}
	}
}

static void longest_texts_fit_and_longer_ones_are_cut(void **state)
{
	char *longest = text_of("", PCAPNG_TEXT_MAX), *longer = text_of("", 3 * PCAPNG_TEXT_MAX);

	(void)state;
	for (size_t i = 0; i < FUNCTION_COUNT; i++) {
		uint8_t expected[PCAPNG_PACKET_MAX + 4], block[PCAPNG_PACKET_MAX + 4];
		size_t max = put_functions[i] == put_packet ? PCAPNG_PACKET_MAX + 4 : PCAPNG_BLOCK_MAX;
		size_t size = put_functions[i](expected, max, longest);

		assert_true(size > 0);
		assert_int_equal(put_functions[i](block, max, longer), size);
		assert_memory_equal(block, expected, size);
	}
	free(longest);
	free(longer);
}

/* The length of the comment, the first option of its block, when that is 'text'. */
static size_t comment_length(const char *text)
{
	const struct pcapng_section section = {.comment = text};
	uint8_t block[PCAPNG_BLOCK_MAX];

	assert_true(pcapng_put_section(block, sizeof(block), &section) > 0);
	assert_int_equal(block[24], 1);
	assert_memory_equal(block + 28, text, block[26] | block[27] << 8);
	return block[26] | (size_t)block[27] << 8;
}

static void characters_are_not_cut(void **state)
{
	static const char *const characters[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\xa7"};
	char *text = text_of("", PCAPNG_TEXT_MAX + 8), *name = text_of("", 300);
	const struct pcapng_name names[] = {{.name = name}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t size = strlen(characters[i]);

		/* The character begins so many bytes before what is cut. */
		for (size_t before = 0; before <= size; before++) {
			memset(text, 'x', PCAPNG_TEXT_MAX + 8);
			memcpy(text + PCAPNG_TEXT_MAX - before, characters[i], size);
			assert_int_equal(comment_length(text), PCAPNG_TEXT_MAX - (before < size ? before : 0));
		}
	}
	/* What is no UTF-8 is cut anywhere, and what is not too long is not looked at. */
	memset(text, 0x80, PCAPNG_TEXT_MAX + 8);
	assert_int_equal(comment_length(text), PCAPNG_TEXT_MAX);
	text[PCAPNG_TEXT_MAX] = '\0';
	assert_int_equal(comment_length(text), PCAPNG_TEXT_MAX);
	assert_int_equal(comment_length(""), 0);
	/* Names have their own limit. */
	assert_int_equal(pcapng_put_names(NULL, 0, names, 1), 16 + 4 + 4 + 256);
	memcpy(name + 254, characters[0], 2);
	assert_int_equal(pcapng_put_names(NULL, 0, names, 1), 16 + 4 + 4 + 256);
	name[254] = '\0';
	assert_int_equal(pcapng_put_names(NULL, 0, names, 1), 16 + 4 + 4 + 256);
	name[251] = '\0';
	assert_int_equal(pcapng_put_names(NULL, 0, names, 1), 16 + 4 + 4 + 252);
	free(text);
	free(name);
}

/* What is written is read again, beside blocks that a reader passes over. */
static void packets_are_read_as_they_were_written(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
	const struct pcapng_interface interfaces[] = {{.name = "h1:eth0", .description = "lan"}, {.name = "uplink"}};
	const struct pcapng_packet packets[] = {
		{.time = TIME,
		 .bytes = bytes,
		 .captured = 7,
		 .size = 60,
		 .direction = PCAPNG_INBOUND,
		 .id = 1ull << 40,
		 .comments = {"one", "", "three"}},
		{.interface = 1,
		 .time = UINT64_MAX,
		 .bytes = bytes,
		 .captured = 4,
		 .size = 4,
		 .direction = PCAPNG_OUTBOUND,
		 .lost = 1ull << 33,
		 .verdict = 255,
		 .comments = {"four"}},
		{.interface = 1, .size = UINT32_MAX, .lost = 1, .verdict = 1},
	};
	const struct pcapng_name name = {.name = "h1"};
	struct pcapng_reader_packet packet;
	struct pcapng_reader *reader;
	uint8_t file[2048] = {0};
	size_t size = put_section(file, sizeof(file), "text");
	FILE *stream = fmemopen(file, sizeof(file), "r");

	(void)state;
	assert_non_null(stream);
	size += pcapng_put_names(file + size, sizeof(file) - size, &name, 1);
	for (size_t i = 0; i < 2; i++)
		size += pcapng_put_interface(file + size, sizeof(file) - size, &interfaces[i]);
	for (size_t i = 0; i < 3; i++)
		size += pcapng_put_packet(file + size, sizeof(file) - size, &packets[i]);
	size += pcapng_put_note(file + size, sizeof(file) - size, "text");
	size += put_statistics(file + size, sizeof(file) - size, "text");
	reader = pcapng_reader_create(stream);
	assert_non_null(reader);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pcapng_reader_next(reader, &packet), 1);
		assert_string_equal(packet.interface->name, interfaces[packets[i].interface].name);
		assert_string_equal(packet.interface->description, packets[i].interface == 0 ? "lan" : "");
		assert_int_equal(packet.interface->link_type, 1);
		assert_int_equal(packet.time, packets[i].time);
		assert_int_equal(packet.captured, packets[i].captured);
		assert_memory_equal(packet.bytes, bytes, packet.captured);
		assert_int_equal(packet.size, packets[i].size);
		assert_int_equal(packet.direction, packets[i].direction);
		assert_true(packet.has_id);
		assert_int_equal(packet.id, packets[i].id);
		assert_int_equal(packet.lost, packets[i].lost);
		assert_int_equal(packet.verdict, packets[i].verdict);
		for (size_t j = 0; j < 3; j++) {
			if (packets[i].comments[j])
				assert_string_equal(packet.comments[j], packets[i].comments[j]);
			else
				assert_null(packet.comments[j]);
		}
		assert_null(packet.comments[3]);
	}
	assert_int_equal(packet.interface->lost, (1ull << 33) + 1);
	/* Behind the blocks are the zeros of the array, which are none. */
	assert_true(pcapng_reader_next(reader, &packet) < 0);
	assert_int_equal(pcapng_reader_position(reader), size);
	pcapng_reader_destroy(reader);
	fclose(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(section_is_as_the_format_has_it),
		cmocka_unit_test(interface_is_as_the_format_has_it),
		cmocka_unit_test(one_address_may_have_two_names),
		cmocka_unit_test(packet_is_as_the_format_has_it),
		cmocka_unit_test(statistics_are_as_the_format_has_them),
		cmocka_unit_test(notes_are_as_the_format_has_them),
		cmocka_unit_test(without_room_there_is_no_block),
		cmocka_unit_test(longest_texts_fit_and_longer_ones_are_cut),
		cmocka_unit_test(characters_are_not_cut),
		cmocka_unit_test(packets_are_read_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
