/* SPDX-License-Identifier: Apache-2.0 */
/* What an ordinary user may ask netlab-bridge-helper for, and the TAP that comes of it, here a socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "netlab/bridge/request.h"
#include "netlab/bridge/rules.h"
#include "netlab/bridge/tap_device.h"
#include "netlab/dataplane.h"
#include "netlab/tap.h"

#define USER 4711
#define GROUP 4712

static struct bridge_request join_request(void)
{
	return (struct bridge_request){.protocol = BRIDGE_PROTOCOL,
				       .kind = BRIDGE_JOIN,
				       .bridge = "nlbr0",
				       .mtu = 1500};
}

static void expect_refused(const struct bridge_request *request, const char *reason)
{
	struct error error = {.class = ERROR_NONE};

	assert_int_equal(bridge_request_check(request, &error), -EINVAL);
	assert_non_null(strstr(error.text, reason));
}

static void test_names(void **state)
{
	(void)state;
	assert_true(bridge_name_is_valid("nlbr0"));
	assert_true(bridge_name_is_valid("enp3s0f1.100"));
	assert_true(bridge_name_is_valid("123456789012345"));
	assert_false(bridge_name_is_valid("1234567890123456"));
	assert_false(bridge_name_is_valid(""));
	assert_false(bridge_name_is_valid("."));
	assert_false(bridge_name_is_valid(".."));
	assert_false(bridge_name_is_valid("a/b"));
	assert_false(bridge_name_is_valid("tap%d"));
	assert_false(bridge_name_is_valid("a b"));
	assert_false(bridge_name_is_valid("a\nb"));
	assert_false(bridge_name_is_valid("-a"));
}

static void test_good_requests(void **state)
{
	struct bridge_request request = join_request();

	(void)state;
	assert_int_equal(bridge_request_check(&request, NULL), 0);
	request.address_count = 1;
	request.addresses[0] = (struct bridge_address){.family = AF_INET6, .prefix_length = 128};
	assert_int_equal(bridge_request_check(&request, NULL), 0);
	request = (struct bridge_request){.protocol = BRIDGE_PROTOCOL, .kind = BRIDGE_RELEASE, .bridge = "nlbr0"};
	assert_int_equal(bridge_request_check(&request, NULL), 0);
	request = (struct bridge_request){.protocol = BRIDGE_PROTOCOL,
					  .kind = BRIDGE_MACVTAP,
					  .interface = "eth0",
					  .mac = {0x52, 0x54},
					  .mtu = 9000};
	assert_int_equal(bridge_request_check(&request, NULL), 0);
}

static void test_bad_requests(void **state)
{
	struct bridge_request request = join_request();

	(void)state;
	request.protocol++;
	expect_refused(&request, "another version");
	request = join_request();
	request.kind = 77;
	expect_refused(&request, "nobody knows");
	request = join_request();
	memset(request.bridge, 'x', sizeof(request.bridge));
	expect_refused(&request, "does not end");
	request = join_request();
	memset(request.namespace, 'x', sizeof(request.namespace));
	expect_refused(&request, "does not end");
	request = join_request();
	strcpy(request.bridge, "../etc");
	expect_refused(&request, "a name cannot be");
	request = join_request();
	strcpy(request.interface, "a b");
	expect_refused(&request, "a name cannot be");
	request = join_request();
	request.bridge[0] = '\0';
	expect_refused(&request, "lacks a bridge");
	request = join_request();
	request.mtu = 67;
	expect_refused(&request, "MTU");
	request.mtu = 65536;
	expect_refused(&request, "MTU");
	request = join_request();
	request.address_count = BRIDGE_ADDRESSES_MAX + 1;
	expect_refused(&request, "address");
	request.address_count = 1;
	request.addresses[0] = (struct bridge_address){.family = AF_INET, .prefix_length = 33};
	expect_refused(&request, "address");
	request.addresses[0] = (struct bridge_address){.family = AF_UNIX};
	expect_refused(&request, "address");
	request = (struct bridge_request){.protocol = BRIDGE_PROTOCOL,
					  .kind = BRIDGE_MACVTAP,
					  .interface = "eth0",
					  .mac = {0x53, 0x54},
					  .mtu = 1500};
	expect_refused(&request, "MAC address");
	request = (struct bridge_request){.protocol = BRIDGE_PROTOCOL, .kind = BRIDGE_RELEASE};
	expect_refused(&request, "names nothing");
}

/* Returns what the rules in 'text' say to the request of a user. */
static int judge(const char *text, const struct bridge_request *request, struct error *error)
{
	const struct bridge_asker asker = {.user = USER, .groups = {GROUP}, .group_count = 1};
	FILE *file = fmemopen((char *)text, strlen(text) + 1, "r");
	int result = bridge_rules_judge(file, "bridge.conf", &asker, request, error);

	fclose(file);
	return result;
}

static void expect_rule(const char *text, const struct bridge_request *request, int expected)
{
	struct error error = {.class = ERROR_NONE};

	assert_int_equal(judge(text, request, &error), expected);
}

static void test_rules(void **state)
{
	const struct bridge_request request = join_request();

	(void)state;
	expect_rule("", &request, -EACCES);
	expect_rule("allow 4711 bridge nlbr0\n", &request, 0);
	expect_rule("allow 4711 bridge nlbr0", &request, 0);
	expect_rule("allow @4712 bridge nlbr*\n", &request, 0);
	expect_rule("allow * bridge nlbr?\n", &request, 0);
	expect_rule("# a comment\n\n  allow\t*   bridge nlbr0 # and another\n", &request, 0);
	expect_rule("allow 4712 bridge nlbr0\n", &request, -EACCES);
	expect_rule("allow @4711 bridge nlbr0\n", &request, -EACCES);
	expect_rule("allow 4711 macvtap nlbr0\n", &request, -EACCES);
	expect_rule("allow 4711 bridge nlbr\n", &request, -EACCES);
	expect_rule("allow nobodyhasthisname bridge nlbr0\n", &request, -EACCES);
	expect_rule("allow -1 bridge nlbr0\n", &request, -EACCES);
	expect_rule("allow 4294967295 bridge nlbr0\n", &request, -EACCES);
}

static void test_first_rule_decides(void **state)
{
	const struct bridge_request request = join_request();

	(void)state;
	expect_rule("deny 4711 bridge *\nallow * bridge nlbr0\n", &request, -EACCES);
	expect_rule("allow * bridge nlbr0\ndeny 4711 bridge *\n", &request, 0);
}

static void test_every_right_is_needed(void **state)
{
	struct bridge_request request = join_request();

	(void)state;
	strcpy(request.interface, "eth1");
	request.address_count = 1;
	request.addresses[0] =
		(struct bridge_address){.family = AF_INET, .prefix_length = 25, .bytes = {192, 0, 2, 129}};
	expect_rule("allow * bridge nlbr0\n", &request, -EACCES);
	expect_rule("allow * bridge nlbr0\nallow * interface eth1\n", &request, -EACCES);
	expect_rule("allow * bridge nlbr0\nallow * interface eth1\nallow * address 192.0.2.0/24\n", &request, 0);
	expect_rule("allow * bridge nlbr0\nallow * interface eth1\nallow * address 192.0.2.128/25\n", &request, 0);
	/* A host with an address of a subnet takes all of the subnet for its own. */
	expect_rule("allow * bridge nlbr0\nallow * interface eth1\nallow * address 192.0.2.128/26\n", &request,
		    -EACCES);
	expect_rule("allow * bridge nlbr0\nallow * interface eth1\nallow * address 0.0.0.0/0\n", &request, 0);
	expect_rule("allow * bridge nlbr0\nallow * interface eth1\nallow * address ::/0\n", &request, -EACCES);
	/* What it has made is a lab's to give back. */
	request = (struct bridge_request){.protocol = BRIDGE_PROTOCOL, .kind = BRIDGE_RELEASE, .bridge = "nlbr0"};
	expect_rule("", &request, 0);
}

static void test_namespaces_are_for_root(void **state)
{
	struct bridge_request request = {.protocol = BRIDGE_PROTOCOL, .kind = BRIDGE_NAMESPACE, .namespace = "web"};
	struct error error = {.class = ERROR_NONE};

	(void)state;
	assert_int_equal(judge("allow * bridge *\n", &request, &error), -EPERM);
	assert_non_null(strstr(error.text, "only root"));
}

static void test_bad_rules(void **state)
{
	static const char *const rules[] = {
		"allow 4711 bridge\n",
		"allow 4711 bridge nlbr0 nlbr1\n",
		"permit 4711 bridge nlbr0\n",
		"allow 4711 bridges nlbr0\n",
		"allow 4711 address 192.0.2.1\n",
		"allow 4711 address 192.0.2.0/33\n",
		"allow 4711 address /24\n",
		"allow 4711 bridge nlbr0\nnonsense\n",
	};
	const struct bridge_request request = join_request();
	char line[2048] = "allow 4711 bridge ";

	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		expect_rule(rules[i], &request, -EINVAL);
	memset(line + strlen(line), 'n', sizeof(line) - strlen(line) - 1);
	expect_rule(line, &request, -EINVAL);
}

static void test_file_must_be_roots(void **state)
{
	const struct bridge_asker asker = {.user = USER};
	const struct bridge_request request = join_request();
	char path[] = "/tmp/netlab-bridge-conf-XXXXXX";
	struct error error = {.class = ERROR_NONE};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_true(write(fd, "allow * bridge *\n", 17) == 17);
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_int_equal(bridge_rules_check(path, &asker, &request, &error), -EPERM);
	assert_non_null(strstr(error.text, "root's"));
	close(fd);
	unlink(path);
	assert_int_equal(bridge_rules_check(path, &asker, &request, &error), -EACCES);
}

/* TAPs. */

struct fixture {
	struct dataplane *dataplane;
	struct port *tap_port, *guest;
	struct tap *tap;
	int wire; /* The kernel's end. */
	unsigned int delivered;
	uint8_t bytes[2048];
	size_t size;
};

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct fixture *fixture = opaque;

	fixture->delivered++;
	fixture->size = frame->size;
	frame_copy(frame, fixture->bytes, frame->size);
	return PORT_DELIVERED;
}

static const struct port_ops port_ops = {.deliver = deliver};

static int set_up(void **state)
{
	struct fixture *fixture = test_calloc(1, sizeof(*fixture));
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	fixture->wire = ends[0];
	fixture->dataplane = dataplane_create(NULL);
	loop_adopt(dataplane_loop(fixture->dataplane));
	fixture->tap_port = dataplane_add_port(fixture->dataplane, "network:office");
	fixture->guest = dataplane_add_port(fixture->dataplane, "h1:eth0");
	port_join_port(fixture->tap_port, fixture->guest);
	port_plug(fixture->guest, &port_ops, fixture);
	fixture->tap = tap_create(dataplane_loop(fixture->dataplane), fixture->tap_port, ends[1], "tap0", 100, NULL);
	assert_non_null(fixture->tap);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	tap_destroy(fixture->tap);
	dataplane_destroy(fixture->dataplane);
	close(fixture->wire);
	test_free(fixture);
	return 0;
}

static uint64_t dropped(const struct port *port, enum drop_reason reason)
{
	struct port_counters counters;

	port_read_counters(port, &counters);
	return counters.dropped[reason];
}

static void send_to_lab(struct fixture *fixture, const uint8_t *bytes, size_t size)
{
	assert_int_equal(send(fixture->wire, bytes, size, 0), size);
	loop_turn(dataplane_loop(fixture->dataplane));
}

static void transmit(struct fixture *fixture, size_t size, uint16_t type)
{
	uint8_t bytes[256] = {[12] = (uint8_t)(type >> 8), [13] = (uint8_t)type, [100] = 0xab};
	struct iovec rest = {.iov_base = bytes + FRAME_HEADER_SIZE, .iov_len = size - FRAME_HEADER_SIZE};
	struct frame frame = {.header_size = FRAME_HEADER_SIZE, .rest = &rest, .rest_count = 1, .size = size};

	memcpy(frame.header, bytes, FRAME_HEADER_SIZE);
	port_transmit(fixture->guest, &frame);
}

static void test_frame_from_host(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[TAP_HEADER_SIZE + 80] = {[TAP_HEADER_SIZE] = 0x52, [TAP_HEADER_SIZE + 79] = 0xcd};

	send_to_lab(fixture, bytes, sizeof(bytes));
	assert_int_equal(fixture->delivered, 1);
	assert_int_equal(fixture->size, 80);
	assert_memory_equal(fixture->bytes, bytes + TAP_HEADER_SIZE, 80);
}

static void test_more_than_a_batch(void **state)
{
	struct fixture *fixture = *state;
	const uint8_t bytes[TAP_HEADER_SIZE + 60] = {0};
	unsigned int sent = 0;

	while (send(fixture->wire, bytes, sizeof(bytes), 0) > 0)
		sent++;
	while (fixture->delivered < sent)
		loop_turn(dataplane_loop(fixture->dataplane));
	assert_int_equal(fixture->delivered, sent);
}

/* Nothing of the kind is asked for, so nothing of the kind is passed on. */
static void test_offloads_from_host_are_refused(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[TAP_HEADER_SIZE + 80] = {1}; /* VIRTIO_NET_HDR_F_NEEDS_CSUM. */

	send_to_lab(fixture, bytes, sizeof(bytes));
	bytes[0] = 0;
	bytes[1] = 1; /* VIRTIO_NET_HDR_GSO_TCPV4. */
	send_to_lab(fixture, bytes, sizeof(bytes));
	send_to_lab(fixture, bytes, TAP_HEADER_SIZE + 13);
	send_to_lab(fixture, bytes, 3);
	assert_int_equal(fixture->delivered, 0);
	assert_int_equal(dropped(fixture->tap_port, DROP_MALFORMED), 4);
}

static void test_frame_to_host(void **state)
{
	static const uint8_t no_offload[TAP_HEADER_SIZE];
	struct fixture *fixture = *state;
	uint8_t bytes[256];

	transmit(fixture, 114, 0x0800);
	assert_int_equal(recv(fixture->wire, bytes, sizeof(bytes), 0), TAP_HEADER_SIZE + 114);
	assert_memory_equal(bytes, no_offload, sizeof(no_offload));
	assert_int_equal(bytes[TAP_HEADER_SIZE + 100], 0xab);
}

static void test_mtu_of_host(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[256];

	transmit(fixture, 115, 0x0800);
	assert_int_equal(dropped(fixture->tap_port, DROP_MTU), 1);
	transmit(fixture, 118, 0x8100);
	assert_int_equal(recv(fixture->wire, bytes, sizeof(bytes), 0), TAP_HEADER_SIZE + 118);
	transmit(fixture, 119, 0x8100);
	assert_int_equal(dropped(fixture->tap_port, DROP_MTU), 2);
}

static void test_full_queue_of_host(void **state)
{
	struct fixture *fixture = *state;

	while (dropped(fixture->tap_port, DROP_RECEIVE_RING_FULL) == 0)
		transmit(fixture, 114, 0x0800);
	assert_int_equal(dropped(fixture->tap_port, DROP_NOT_READY), 0);
}

static void test_device_that_goes(void **state)
{
	struct fixture *fixture = *state;

	shutdown(fixture->wire, SHUT_RDWR);
	close(fixture->wire);
	fixture->wire = -1;
	for (int i = 0; i < 10; i++)
		loop_turn(dataplane_loop(fixture->dataplane));
	transmit(fixture, 114, 0x0800);
	assert_int_equal(dropped(fixture->tap_port, DROP_NOT_READY), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_good_requests),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_first_rule_decides),
		cmocka_unit_test(test_every_right_is_needed),
		cmocka_unit_test(test_namespaces_are_for_root),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_file_must_be_roots),
		cmocka_unit_test_setup_teardown(test_frame_from_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_than_a_batch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_offloads_from_host_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_frame_to_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mtu_of_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_queue_of_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_device_that_goes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
