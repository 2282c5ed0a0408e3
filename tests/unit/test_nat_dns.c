/* SPDX-License-Identifier: Apache-2.0 */
/* The name service of a NAT gateway, and the datagrams that carry it. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/nat_datagram.h"
#include "netlab/nat_dns.h"

#define TYPE_A 1
#define TYPE_MX 15
#define TYPE_AAAA 28

static const struct nat_dns_record records[] = {
	{.name = "web", .family = AF_INET, .address = {10, 0, 2, 10}},
	{.name = "web", .family = AF_INET6, .address = {0xfd, [15] = 0x10}},
	{.name = "h1", .family = AF_INET, .address = {10, 0, 2, 15}},
	{.name = "h1", .family = AF_INET, .address = {10, 0, 9, 1}},
	{.name = "printer.example", .is_outside = true, .family = AF_INET, .address = {192, 0, 2, 1}},
};
static const struct nat_dns_zone zone = {.records = records, .count = sizeof(records) / sizeof(records[0])};

struct message {
	uint8_t bytes[NAT_DNS_ANSWER_MAX];
	size_t size;
};

/* A question as a resolver asks it. */
static struct message ask(const char *name, uint16_t type)
{
	struct message message = {.bytes = {0x12, 0x34, 0x01, 0x00, 0, 1}, .size = 12};

	while (*name) {
		size_t length = strcspn(name, ".");

		message.bytes[message.size++] = (uint8_t)length;
		memcpy(message.bytes + message.size, name, length);
		message.size += length;
		name += length + (name[length] == '.');
	}
	message.size++;
	message.bytes[message.size++] = (uint8_t)(type >> 8);
	message.bytes[message.size++] = (uint8_t)type;
	message.bytes[message.size++] = 0;
	message.bytes[message.size++] = 1;
	return message;
}

static struct message answer(const struct message *question)
{
	struct message message = {.size = 0};

	message.size = nat_dns_answer(&zone, question->bytes, question->size, message.bytes);
	return message;
}

static struct message resolve(const char *name, uint16_t type)
{
	struct message question = ask(name, type);
	struct message message = answer(&question);

	if (message.size > 0) {
		assert_in_range(message.size, question.size, NAT_DNS_ANSWER_MAX);
		assert_int_equal(message.bytes[0], 0x12);
		assert_int_equal(message.bytes[1], 0x34);
		assert_int_equal(message.bytes[2], 0x85); /* Response, authoritative, recursion desired. */
		assert_int_equal(message.bytes[3] & 0xf0, 0x80);
		assert_memory_equal(message.bytes + 12, question.bytes + 12, question.size - 12);
	}
	return message;
}

static unsigned int answers(const struct message *message)
{
	return (unsigned int)(message->bytes[6] << 8 | message->bytes[7]);
}

static unsigned int code(const struct message *message)
{
	return message->bytes[3] & 0xf;
}

static void addresses_of_a_node(void **state)
{
	struct message message = resolve("web.lab", TYPE_A);

	(void)state;
	assert_int_equal(answers(&message), 1);
	assert_memory_equal(message.bytes + message.size - 4, records[0].address, 4);
	message = resolve("web.lab", TYPE_AAAA);
	assert_int_equal(answers(&message), 1);
	assert_memory_equal(message.bytes + message.size - 16, records[1].address, 16);
	message = resolve("h1.lab", TYPE_A);
	assert_int_equal(answers(&message), 2);
	message = resolve("WEB.Lab", TYPE_A);
	assert_int_equal(answers(&message), 1);
}

static void name_without_such_an_address(void **state)
{
	struct message message = resolve("h1.lab", TYPE_AAAA);

	(void)state;
	assert_int_equal(answers(&message), 0);
	assert_int_equal(code(&message), 0);
	message = resolve("web.lab", TYPE_MX);
	assert_int_equal(answers(&message), 0);
	assert_int_equal(code(&message), 0);
	message = resolve("lab", TYPE_A);
	assert_int_equal(code(&message), 0);
}

static void zone_ends_here(void **state)
{
	struct message message = resolve("nobody.lab", TYPE_A);

	(void)state;
	assert_int_equal(answers(&message), 0);
	assert_int_equal(code(&message), 3);
	message = resolve("x.web.lab", TYPE_A);
	assert_int_equal(code(&message), 3);
}

static void other_names_are_asked_for_elsewhere(void **state)
{
	(void)state;
	assert_int_equal(resolve("www.example", TYPE_A).size, 0);
	assert_int_equal(resolve("web", TYPE_A).size, 0);
	assert_int_equal(resolve("collab", TYPE_A).size, 0);
	assert_int_equal(resolve("web.lab.example", TYPE_A).size, 0);
}

static void name_outside_of_the_zone(void **state)
{
	struct message message = resolve("printer.example", TYPE_A);

	(void)state;
	assert_int_equal(answers(&message), 1);
	assert_memory_equal(message.bytes + message.size - 4, records[4].address, 4);
}

static void what_is_no_question_gets_no_answer(void **state)
{
	const struct message good = ask("web.lab", TYPE_A);
	struct message bad;

	(void)state;
	for (size_t size = 0; size < good.size; size++) {
		bad = good;
		bad.size = size;
		assert_int_equal(answer(&bad).size, 0);
	}
	bad = good;
	bad.bytes[2] |= 0x80; /* A response. */
	assert_int_equal(answer(&bad).size, 0);
	bad = good;
	bad.bytes[2] |= 0x28; /* An update. */
	assert_int_equal(answer(&bad).size, 0);
	bad = good;
	bad.bytes[5] = 2; /* Two questions. */
	assert_int_equal(answer(&bad).size, 0);
	bad = good;
	bad.bytes[12] = 0xc0; /* Compressed, into itself. */
	assert_int_equal(answer(&bad).size, 0);
	bad = good;
	bad.bytes[12] = 200;
	assert_int_equal(answer(&bad).size, 0);
	bad = good;
	bad.bytes[13] = '.';
	assert_int_equal(answer(&bad).size, 0);
	bad = good;
	bad.bytes[bad.size - 1] = 3; /* Another class. */
	assert_int_equal(answer(&bad).size, 0);
}

static void answer_has_as_many_records_as_fit(void **state)
{
	struct nat_dns_record many[100];
	const struct nat_dns_zone large = {.records = many, .count = 100};
	struct message question = ask("web.lab", TYPE_AAAA), message;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		many[i] = (struct nat_dns_record){.name = "web", .family = AF_INET6, .address = {(uint8_t)i}};
	message.size = nat_dns_answer(&large, question.bytes, question.size, message.bytes);
	assert_in_range(message.size, NAT_DNS_ANSWER_MAX - 28, NAT_DNS_ANSWER_MAX);
	assert_int_equal(answers(&message), (message.size - question.size) / 28);
}

/* ---- Datagrams ---- */

/* The sum over a datagram with its pseudo-header is 0xffff when its checksum is right. */
static uint32_t sum_of(const uint8_t *bytes, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += (uint32_t)(i % 2 ? bytes[i] : bytes[i] << 8);
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static struct nat_datagram question_of(int family)
{
	struct nat_datagram question = {
		.source_mac = {2, 0, 0, 0, 0, 1},
		.destination_mac = {2, 0, 0, 0, 0, 2},
		.family = family,
		.source_port = 4321,
		.destination_port = 53,
	};

	for (uint8_t i = 0; i < 16; i++) {
		question.source.s6_addr[i] = (uint8_t)(0x20 + i);
		question.destination.s6_addr[i] = (uint8_t)(0x80 + i);
	}
	return question;
}

static void answers_with_right_checksums(int family)
{
	const struct nat_datagram question = question_of(family);
	size_t address = family == AF_INET ? 4 : 16, ip = family == AF_INET ? 20 : 40;
	uint8_t payload[101], frame[NAT_DATAGRAM_HEADERS_MAX + sizeof(payload)];

	memset(payload, 0xa5, sizeof(payload));
	for (size_t size = 0; size <= sizeof(payload); size++) {
		size_t length = nat_datagram_answer(&question, payload, size, frame);
		struct nat_datagram again;
		uint32_t sum;

		assert_int_equal(length, 14 + ip + 8 + size);
		if (family == AF_INET)
			assert_int_equal(fold(sum_of(frame + 14, ip)), 0xffff);
		sum = sum_of(frame + 14 + ip - 2 * address, length - 14 - ip + 2 * address);
		assert_int_equal(fold(sum + IPPROTO_UDP + (uint32_t)(8 + size)), 0xffff);
		assert_true(nat_datagram_read(frame, length, &again));
		assert_memory_equal(again.destination_mac, question.source_mac, 6);
		assert_memory_equal(&again.source, &question.destination, address);
		assert_int_equal(again.source_port, 53);
		assert_int_equal(again.destination_port, 4321);
		assert_int_equal(again.size, size);
		assert_memory_equal(again.payload, payload, size);
	}
}

static void answer_over_ipv4(void **state)
{
	(void)state;
	answers_with_right_checksums(AF_INET);
}

static void answer_over_ipv6(void **state)
{
	(void)state;
	answers_with_right_checksums(AF_INET6);
}

/* Cut short anywhere, and with each byte another, a frame is read within its bounds or not at all. */
static void damaged_frames_are_read_within_bounds(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};
	uint8_t payload[20] = {0}, good[NAT_DATAGRAM_HEADERS_MAX + sizeof(payload)], frame[sizeof(good)];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct nat_datagram question = question_of(families[i]);
		size_t size = nat_datagram_answer(&question, payload, sizeof(payload), good);
		struct nat_datagram datagram;

		for (size_t cut = 0; cut < size; cut++)
			assert_false(nat_datagram_read(good, cut, &datagram));
		for (size_t at = 0; at < size * 256; at++) {
			memcpy(frame, good, size);
			frame[at / 256] = (uint8_t)at;
			if (nat_datagram_read(frame, size, &datagram))
				assert_true(datagram.payload >= frame && datagram.size <= size &&
					    datagram.payload + datagram.size <= frame + size);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_a_node),
		cmocka_unit_test(name_without_such_an_address),
		cmocka_unit_test(zone_ends_here),
		cmocka_unit_test(other_names_are_asked_for_elsewhere),
		cmocka_unit_test(name_outside_of_the_zone),
		cmocka_unit_test(what_is_no_question_gets_no_answer),
		cmocka_unit_test(answer_has_as_many_records_as_fit),
		cmocka_unit_test(answer_over_ipv4),
		cmocka_unit_test(answer_over_ipv6),
		cmocka_unit_test(damaged_frames_are_read_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
