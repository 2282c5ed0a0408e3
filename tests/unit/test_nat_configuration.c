/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP answers and router advertisements of a NAT gateway, read and changed on their way to a guest. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/nat_configuration.h"
#include "netlab/nat_datagram.h"

#define OPTIONS 240
#define HEADERS (14 + 20 + 8)

static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 1};

struct answer {
	uint8_t frame[HEADERS + 320];
	size_t size;
};

static struct in_addr address_of(const char *text)
{
	struct in_addr address;

	assert_int_equal(inet_pton(AF_INET, text, &address), 1);
	return address;
}

/* An answer of the gateway 10.0.2.2 with these options. */
static struct answer dhcp_answer(const uint8_t *options, size_t size)
{
	struct nat_datagram question = {.family = AF_INET, .source_port = 68, .destination_port = 67};
	const struct in_addr gateway = address_of("10.0.2.2"), lease = address_of("10.0.2.15");
	uint8_t payload[300] = {2, 1, 6};
	struct answer answer;

	memcpy(&question.destination, &gateway, 4);
	memcpy(payload + 16, &lease, 4);
	memcpy(payload + 28, mac, 6);
	memcpy(payload + OPTIONS, options, size);
	answer.size = nat_datagram_answer(&question, payload, OPTIONS + size, answer.frame);
	return answer;
}

static bool read_lease(const struct answer *answer, struct nat_lease *lease)
{
	return nat_configuration_read_lease(answer->frame, answer->size, address_of("10.0.2.2"), lease);
}

static void lease_is_read(void **state)
{
	static const uint8_t acknowledged[] = {0, 0, 53, 1, 5, 255}, offered[] = {53, 1, 2, 255};
	struct answer answer = dhcp_answer(acknowledged, sizeof(acknowledged));
	struct nat_lease lease;

	(void)state;
	assert_true(read_lease(&answer, &lease));
	assert_memory_equal(lease.mac, mac, 6);
	assert_int_equal(lease.address.s_addr, address_of("10.0.2.15").s_addr);
	assert_false(nat_configuration_read_lease(answer.frame, answer.size, address_of("10.0.2.3"), &lease));
	answer = dhcp_answer(offered, sizeof(offered));
	assert_false(read_lease(&answer, &lease));
}

static void name_server_is_another(void **state)
{
	static const uint8_t options[] = {53, 1, 5, 6, 4, 10, 0, 2, 2, 51, 4, 0, 0, 1, 0, 255};
	struct answer answer = dhcp_answer(options, sizeof(options));
	uint8_t expected[sizeof(options)];

	(void)state;
	nat_configuration_set_name_server(answer.frame, answer.size, address_of("192.0.2.53"));
	memcpy(expected, options, sizeof(options));
	memcpy(expected + 5, (const uint8_t[]){192, 0, 2, 53}, 4);
	assert_memory_equal(answer.frame + HEADERS + OPTIONS, expected, sizeof(expected));
	assert_int_equal(answer.frame[HEADERS - 2] << 8 | answer.frame[HEADERS - 1], 0); /* No checksum. */
	nat_configuration_set_name_server(answer.frame, answer.size, (struct in_addr){INADDR_ANY});
	memset(expected + 3, 0, 6);
	assert_memory_equal(answer.frame + HEADERS + OPTIONS, expected, sizeof(expected));
}

/* Options that lie about their size, in a frame with nothing behind it. */
static void options_beyond_the_end(void **state)
{
	static const uint8_t bad[][8] = {{53, 255, 5}, {6, 200, 1}, {53}, {0, 0, 0, 0, 0, 0, 0, 6}, {6, 1, 9, 255}};
	struct nat_lease lease;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (size_t size = 0; size <= sizeof(bad[0]); size++) {
			const struct answer answer = dhcp_answer(bad[i], size);
			uint8_t *frame = malloc(answer.size);

			assert_non_null(frame);
			memcpy(frame, answer.frame, answer.size);
			assert_false(nat_configuration_read_lease(frame, answer.size, address_of("10.0.2.2"), &lease));
			nat_configuration_set_name_server(frame, answer.size, address_of("192.0.2.53"));
			assert_memory_equal(frame, answer.frame, answer.size);
			free(frame);
		}
	}
}

/* Prefix, and then name servers, with a right checksum. */
#define ADVERTISEMENT_SIZE (14 + 40 + 16 + 32 + 24)

static uint32_t sum_up(const uint8_t *bytes, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += (uint32_t)(i % 2 ? bytes[i] : bytes[i] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void make_advertisement(uint8_t frame[ADVERTISEMENT_SIZE])
{
	uint32_t sum;

	for (size_t i = 0; i < ADVERTISEMENT_SIZE; i++)
		frame[i] = (uint8_t)(i * 37);
	memcpy(frame + 12, (const uint8_t[]){0x86, 0xdd, 0x60, 0, 0, 0, 0, 72, 58}, 9);
	memcpy(frame + 54, (const uint8_t[]){134, 0, 0, 0}, 4);
	memcpy(frame + 70, (const uint8_t[]){3, 4}, 2);
	memcpy(frame + 102, (const uint8_t[]){25, 3, 0, 0, 0, 0, 0x0e, 0x10}, 8);
	sum = sum_up(frame + 54, ADVERTISEMENT_SIZE - 54);
	frame[56] = (uint8_t)(~sum >> 8);
	frame[57] = (uint8_t)~sum;
	assert_int_equal(sum_up(frame + 54, ADVERTISEMENT_SIZE - 54), 0xffff);
}

static void router_is_no_name_server(void **state)
{
	uint8_t frame[ADVERTISEMENT_SIZE], before[ADVERTISEMENT_SIZE];

	(void)state;
	make_advertisement(frame);
	memcpy(before, frame, sizeof(frame));
	nat_configuration_set_name_server(frame, sizeof(frame), address_of("192.0.2.53"));
	assert_int_equal(sum_up(frame + 54, sizeof(frame) - 54), 0xffff);
	memset(before + 106, 0, 4);
	memcpy(before + 56, frame + 56, 2);
	assert_memory_equal(frame, before, sizeof(frame));
}

static void advertisements_cut_short(void **state)
{
	uint8_t whole[ADVERTISEMENT_SIZE];

	(void)state;
	make_advertisement(whole);
	whole[103] = 200;
	for (size_t size = 0; size <= sizeof(whole); size++) {
		uint8_t *frame = malloc(size + 1);

		assert_non_null(frame);
		memcpy(frame, whole, size);
		nat_configuration_set_name_server(frame, size, address_of("192.0.2.53"));
		free(frame);
	}
	whole[71] = 0; /* An option of no size does not go on for ever. */
	nat_configuration_set_name_server(whole, sizeof(whole), address_of("192.0.2.53"));
	assert_int_equal(whole[109], 0x10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lease_is_read),
		cmocka_unit_test(name_server_is_another),
		cmocka_unit_test(options_beyond_the_end),
		cmocka_unit_test(router_is_no_name_server),
		cmocka_unit_test(advertisements_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
