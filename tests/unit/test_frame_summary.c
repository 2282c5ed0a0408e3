/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in a few words, whole and cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frame_builder.h"
#include "netlab/frame_summary.h"

#define ETHERNET "525400000002 525400000001 "
#define IPV4_HOSTS "0a000001 0a000002 "
#define IPV6_HOSTS "fd000000000000000000000000000001 fd000000000000000000000000000002 "

static void assert_summary(const char *digits, const char *expected)
{
	const struct built_frame frame = frame_of(digits);
	char text[FRAME_SUMMARY_MAX];

	assert_string_equal(frame_summary(frame.bytes, frame.size, text), expected);
}

static void arp_asks_and_answers(void **state)
{
	(void)state;
	assert_summary(
		"ffffffffffff 525400000001 0806 0001 0800 06 04 0001 525400000001 0a000001 000000000000 0a000002",
		"ARP who-has 10.0.0.2 tell 10.0.0.1");
	assert_summary(ETHERNET "0806 0001 0800 06 04 0002 525400000001 0a000001 525400000002 0a000002",
		       "ARP 10.0.0.1 is-at 52:54:00:00:00:01");
	assert_summary(ETHERNET "0806 0001 0800 06 04 0009 525400000001 0a000001 525400000002 0a000002",
		       "ARP operation 9");
	assert_summary(ETHERNET "0806 0001 0800 06 04 0001 525400000001",
		       "ARP, malformed or cut short 52:54:00:00:00:01 > 52:54:00:00:00:02");
}

static void icmp_has_its_numbers(void **state)
{
	(void)state;
	assert_summary(ETHERNET "0800 4500 001c 0001 0000 4001 0000 " IPV4_HOSTS "0800 0000 0005 0107",
		       "ICMP echo request 10.0.0.1 > 10.0.0.2 id 5 seq 263");
	assert_summary(ETHERNET "0800 4500 001c 0001 0000 4001 0000 " IPV4_HOSTS "0301 0000 0000 0000",
		       "ICMP unreachable 10.0.0.1 > 10.0.0.2 code 1");
	assert_summary(ETHERNET "0800 4500 001c 0001 0000 4001 0000 " IPV4_HOSTS "6302 0000 0000 0000",
		       "ICMP 10.0.0.1 > 10.0.0.2 type 99 code 2");
	assert_summary(ETHERNET "86dd 60000000 0008 3a40 " IPV6_HOSTS "8000 0000 0005 0001",
		       "ICMPv6 echo request fd00::1 > fd00::2 id 5 seq 1");
	assert_summary(ETHERNET "86dd 60000000 0018 3aff " IPV6_HOSTS
				"8700 0000 00000000 fe800000000000000000000000000009",
		       "ICMPv6 neighbour solicitation fd00::1 > fd00::2 for fe80::9");
}

static void tcp_has_flags_and_numbers(void **state)
{
	(void)state;
	assert_summary(ETHERNET "0800 4500 0028 0001 4000 4006 0000 " IPV4_HOSTS
				"9c40 0050 00000100 00000000 5002 ffff 0000 0000",
		       "TCP 10.0.0.1:40000 > 10.0.0.2:80 SYN seq 256 length 0");
	/* What stands behind the packet is padding. */
	assert_summary(ETHERNET "0800 4500 0029 0001 4000 4006 0000 " IPV4_HOSTS
				"9c40 0050 00000100 00000200 5018 ffff 0000 0000 61 000000000000",
		       "TCP 10.0.0.1:40000 > 10.0.0.2:80 PSH ACK seq 256 ack 512 length 1");
	assert_summary(ETHERNET "86dd 60000000 0014 0640 " IPV6_HOSTS "9c40 0050 00000100 00000200 5014 ffff 0000 0000",
		       "TCP [fd00::1]:40000 > [fd00::2]:80 RST ACK seq 256 ack 512 length 0");
	assert_summary(ETHERNET "0800 4500 0028 0001 4000 4006 0000 " IPV4_HOSTS "9c40 0050 0000",
		       "TCP 10.0.0.1 > 10.0.0.2");
}

static void udp_is_found_behind_tags_and_extension_headers(void **state)
{
	(void)state;
	assert_summary(ETHERNET "8100 000a 0800 4500 0020 0001 4000 4011 0000 " IPV4_HOSTS
				"9c40 0035 000c 0000 61626364",
		       "VLAN 10 UDP 10.0.0.1:40000 > 10.0.0.2:53 length 4");
	assert_summary(ETHERNET "88a8 0064 8100 000a 0800 4500 0020 0001 4000 4011 0000 " IPV4_HOSTS
				"9c40 0035 000c 0000 61626364",
		       "VLAN 100 UDP 10.0.0.1:40000 > 10.0.0.2:53 length 4");
	assert_summary(ETHERNET "86dd 60000000 0010 0040 " IPV6_HOSTS "1100 050200000100 9c40 0035 0008 0000",
		       "UDP [fd00::1]:40000 > [fd00::2]:53 length 0");
}

static void fragments_are_called_so(void **state)
{
	(void)state;
	assert_summary(ETHERNET "0800 4500 001c 0001 2000 4011 0000 " IPV4_HOSTS "9c40 0035 0ffc 0000",
		       "UDP 10.0.0.1:40000 > 10.0.0.2:53 length 4084, fragment at 0");
	assert_summary(ETHERNET "0800 4500 001c 0001 00b9 4011 0000 " IPV4_HOSTS "6162636465666768",
		       "UDP 10.0.0.1 > 10.0.0.2, fragment at 1480");
	assert_summary(ETHERNET "86dd 60000000 0010 2c40 " IPV6_HOSTS "1100 05a8 00000001 6162636465666768",
		       "UDP fd00::1 > fd00::2, fragment at 1448");
}

static void others_have_names_or_numbers(void **state)
{
	(void)state;
	assert_summary(ETHERNET "0800 4500 0014 0001 0000 0159 0000 " IPV4_HOSTS, "OSPF 10.0.0.1 > 10.0.0.2");
	assert_summary(ETHERNET "0800 4500 0014 0001 0000 01fd 0000 " IPV4_HOSTS,
		       "IPv4 protocol 253 10.0.0.1 > 10.0.0.2");
	assert_summary(ETHERNET "88cc 0000", "LLDP 52:54:00:00:00:01 > 52:54:00:00:00:02");
	assert_summary(ETHERNET "88b5 0000", "EtherType 0x88b5 52:54:00:00:00:01 > 52:54:00:00:00:02");
	assert_summary("0180c2000000 525400000001 0026 4242", "STP 52:54:00:00:00:01 > 01:80:c2:00:00:00");
	assert_summary(ETHERNET "0026 4242", "LLC 52:54:00:00:00:01 > 52:54:00:00:00:02");
}

static void what_is_cut_short_is_not_read(void **state)
{
	const struct built_frame whole = frame_of(ETHERNET "8100 000a 86dd 60000000 0020 0040 " IPV6_HOSTS
							   "3a00 050200000100 8700 0000 00000000 "
							   "fe800000000000000000000000000009");
	char text[FRAME_SUMMARY_MAX];

	(void)state;
	for (size_t size = 0; size <= whole.size; size++) {
		uint8_t *part = malloc(size + 1); /* AddressSanitizer sees what is read behind it. */

		assert_non_null(part);
		part = realloc(memcpy(part, whole.bytes, size), size ? size : 1);
		assert_non_null(part);
		assert_true(strlen(frame_summary(part, size, text)) > 0);
		free(part);
	}
	assert_string_equal(text, "VLAN 10 ICMPv6 neighbour solicitation fd00::1 > fd00::2 for fe80::9");
	assert_summary("", "no bytes");
	assert_summary("5254", "less than an Ethernet header");
	/* Headers that say they are longer than what there is, or shorter than they can be. */
	assert_summary(ETHERNET "0800 4f00 0014 0001 0000 4001 0000 " IPV4_HOSTS,
		       "IPv4, malformed or cut short 52:54:00:00:00:01 > 52:54:00:00:00:02");
	assert_summary(ETHERNET "0800 4200 0014 0001 0000 4001 0000 " IPV4_HOSTS,
		       "IPv4, malformed or cut short 52:54:00:00:00:01 > 52:54:00:00:00:02");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arp_asks_and_answers),
		cmocka_unit_test(icmp_has_its_numbers),
		cmocka_unit_test(tcp_has_flags_and_numbers),
		cmocka_unit_test(udp_is_found_behind_tags_and_extension_headers),
		cmocka_unit_test(fragments_are_called_so),
		cmocka_unit_test(others_have_names_or_numbers),
		cmocka_unit_test(what_is_cut_short_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
