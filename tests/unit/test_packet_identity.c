/* SPDX-License-Identifier: Apache-2.0 */
/* By what a packet is recognised behind a router, and by what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frame_builder.h"
#include "netlab/packet_identity.h"

static struct packet_identity identity_of(const struct built_frame *frame)
{
	struct frame_headers headers;

	assert_true(frame_headers_read(frame->bytes, frame->size, &headers));
	return packet_identity(&headers);
}

static bool follows(const struct built_frame *before, const struct built_frame *after)
{
	const struct packet_identity first = identity_of(before), second = identity_of(after);

	return packet_identity_follows(&first, &second);
}

static void a_router_changes_macs_and_hop_limit(void **state)
{
	const struct built_frame before = datagram(1, 2, 7, 64);
	struct built_frame after = datagram(1, 2, 7, 63);

	(void)state;
	memcpy(after.bytes, "abcdefghijkl", 12);
	assert_true(follows(&before, &after));
	assert_false(follows(&after, &before));
	assert_false(follows(&before, &before));
}

static void what_differs_is_another_packet(void **state)
{
	const struct built_frame before = datagram(1, 2, 7, 64), from = datagram(3, 2, 7, 63),
				 to = datagram(1, 3, 7, 63), identification = datagram(1, 2, 8, 63);
	struct built_frame payload = datagram(1, 2, 7, 63), protocol = payload, fragment = payload;

	(void)state;
	payload.bytes[payload.size - 1] ^= 1;
	protocol.bytes[23]++;
	set_checksum(protocol.bytes + 14);
	fragment.bytes[21]++;
	set_checksum(fragment.bytes + 14);
	assert_false(follows(&before, &from));
	assert_false(follows(&before, &to));
	assert_false(follows(&before, &identification));
	assert_false(follows(&before, &payload));
	assert_false(follows(&before, &protocol));
	assert_false(follows(&before, &fragment));
}

static void a_checksum_that_was_not_adapted_is_no_routers(void **state)
{
	const struct built_frame before = datagram(1, 2, 7, 64);
	struct built_frame after = before;

	(void)state;
	after.bytes[22]--;
	assert_int_equal(identity_of(&after).hash, 0);
	assert_false(follows(&before, &after));
}

static void padding_and_tags_do_not_matter(void **state)
{
	const struct built_frame before = datagram(1, 2, 7, 64);
	struct built_frame padded = datagram(1, 2, 7, 63), tagged = padded;

	(void)state;
	padded.size = 60;
	memset(padded.bytes + padded.size, 0xee, 8);
	assert_true(follows(&before, &padded));
	memmove(tagged.bytes + 16, tagged.bytes + 12, tagged.size - 12);
	memcpy(tagged.bytes + 12, "\x81\x00\x00\x0a", 4);
	tagged.size += 4;
	assert_true(follows(&before, &tagged));
}

static void ipv6_has_a_flow_label(void **state)
{
	static const char packet[] = "525400000002 525400000001 86dd 60012345 000c 1140"
				     "fd000000000000000000000000000001 fd000000000000000000000000000002"
				     "0bb8 0035 000c 0000 61626364";
	const struct built_frame before = frame_of(packet);
	struct built_frame after = before, flow;

	(void)state;
	after.bytes[21]--;
	after.bytes[14] |= 0x0f; /* A router may change the traffic class. */
	assert_true(follows(&before, &after));
	flow = after;
	flow.bytes[17]++;
	assert_false(follows(&before, &flow));
}

static void arp_and_parts_of_headers_are_no_packets(void **state)
{
	const struct built_frame arp = frame_of(
		"ffffffffffff 525400000001 0806 0001 0800 06 04 0001 525400000001 0a000001 "
		"000000000000 0a000002");
	struct built_frame cut = datagram(1, 2, 7, 64);

	(void)state;
	assert_int_equal(identity_of(&arp).hash, 0);
	cut.size = 14 + 19;
	assert_int_equal(identity_of(&cut).hash, 0);
}

/* With --snaplen, and another tag on the other side. */
static void payload_that_is_cut_off_may_differ_in_length(void **state)
{
	struct built_frame before = datagram(1, 2, 7, 64), after;

	(void)state;
	before.bytes[16] = 4; /* 1056 bytes and more. */
	set_checksum(before.bytes + 14);
	before.size = 128;
	after = before;
	after.bytes[22]--;
	set_checksum(after.bytes + 14);
	after.size = 124;
	assert_true(follows(&before, &after));
	after.bytes[60] ^= 1;
	assert_false(follows(&before, &after));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_router_changes_macs_and_hop_limit),
		cmocka_unit_test(what_differs_is_another_packet),
		cmocka_unit_test(a_checksum_that_was_not_adapted_is_no_routers),
		cmocka_unit_test(padding_and_tags_do_not_matter),
		cmocka_unit_test(ipv6_has_a_flow_label),
		cmocka_unit_test(arp_and_parts_of_headers_are_no_packets),
		cmocka_unit_test(payload_that_is_cut_off_may_differ_in_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
