/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams as ends of links: sockets with paths, UDP and VXLAN, and what comes from strangers. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "attachment_fixture.h"
#include "recording.h"

#define SMALL 60
#define VNI 0x123456

static void bind_path(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

/* A socket of the loopback's, at any port, which is set in 'address'. */
static int bind_udp(int family, struct sockaddr_storage *address)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*address);

	memset(address, 0, sizeof(*address));
	address->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
	assert_true(fd >= 0);
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
	return fd;
}

/* The peer's socket; the fixture's attachment is at a port that was just free. */
static int plug_udp(struct fixture *fixture, enum topology_attachment_kind kind, int family)
{
	int fd = bind_udp(family, &fixture->topology.remote), other = bind_udp(family, &fixture->topology.local);

	if (fd < 0 || other < 0)
		skip(); /* No IPv6. */
	close(other);
	fixture->topology.kind = kind;
	fixture->topology.vni = VNI;
	fixture_plug(fixture);
	return fd;
}

static void say(const struct fixture *fixture, int fd, const uint8_t *bytes, size_t size)
{
	assert_int_equal(sendto(fd, bytes, size, 0, (const struct sockaddr *)&fixture->topology.local,
				sizeof(fixture->topology.local)),
			 size);
}

/* Until so many have been counted as malformed. */
static void await_refused(struct fixture *fixture, uint64_t count)
{
	uint64_t end = loop_now() + FIXTURE_PATIENCE;

	while (fixture_dropped(fixture, DROP_MALFORMED) < count) {
		assert_true(loop_now() < end);
		fixture_turn(fixture);
	}
}

static void paths_lead_both_ways(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	uint8_t bytes[SMALL] = {4};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	fixture->topology.kind = TOPOLOGY_DATAGRAM;
	fixture->topology.remote_path = fixture->other_path;
	fixture_plug(fixture);
	assert_string_equal(fixture_state(fixture), "open");
	fixture_transmit(fixture, 2, SMALL);
	assert_int_equal(fixture_dropped(fixture, DROP_NOT_READY), 1);
	bind_path(fd, fixture->other_path);
	fixture_transmit(fixture, 6, SMALL);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), SMALL);
	assert_int_equal(bytes[0], 6);
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", fixture->path);
	assert_int_equal(sendto(fd, bytes, sizeof(bytes), 0, (const struct sockaddr *)&to, sizeof(to)), SMALL);
	fixture_await(fixture, 1);
	assert_int_equal(fixture->sizes[0], SMALL);
	fixture_unplug(fixture);
	assert_int_equal(access(fixture->path, F_OK), -1);
	close(fd);
}

static void peer_that_does_not_read_loses_frames(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[SMALL];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	fixture->topology.kind = TOPOLOGY_DATAGRAM;
	fixture->topology.remote_path = fixture->other_path;
	bind_path(fd, fixture->other_path);
	fixture_plug(fixture);
	for (unsigned int i = 0; fixture_dropped(fixture, DROP_QUEUE_FULL) < 10; i++) {
		assert_true(i < 100000);
		fixture_transmit(fixture, 2, SMALL);
	}
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), SMALL);
	fixture_transmit(fixture, 2, SMALL);
	assert_int_equal(fixture_dropped(fixture, DROP_QUEUE_FULL), 10);
	close(fd);
}

static void check_udp(struct fixture *fixture, int family)
{
	int fd = plug_udp(fixture, TOPOLOGY_UDP, family);
	uint8_t bytes[SMALL] = {4};

	say(fixture, fd, bytes, sizeof(bytes));
	fixture_await(fixture, 1);
	assert_int_equal(fixture->heads[0][0], 4);
	fixture_transmit(fixture, 6, SMALL);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), SMALL);
	assert_int_equal(bytes[0], 6);
	close(fd);
}

static void udp_leads_both_ways(void **state)
{
	check_udp(*state, AF_INET);
}

static void udp_leads_both_ways_over_ipv6(void **state)
{
	check_udp(*state, AF_INET6);
}

static void datagrams_of_strangers_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_storage address;
	uint8_t bytes[SMALL] = {4};
	int fd = plug_udp(fixture, TOPOLOGY_UDP, AF_INET), stranger = bind_udp(AF_INET, &address);
	struct recording recording;

	recording_begin(&recording, fixture->dataplane, 0);
	say(fixture, stranger, bytes, sizeof(bytes));
	await_refused(fixture, 1);
	say(fixture, fd, bytes, sizeof(bytes));
	fixture_await(fixture, 1);
	assert_int_equal(fixture->heard, 1);
	recording_end(&recording);
	recording_expect_refused(&recording, SMALL, SMALL, bytes[0]);
	recording_release(&recording);
	close(stranger);
	close(fd);
}

static void datagrams_that_are_no_frames_are_refused(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[SMALL] = {4};
	int fd = plug_udp(fixture, TOPOLOGY_UDP, AF_INET);

	say(fixture, fd, bytes, 0);
	say(fixture, fd, bytes, 13);
	await_refused(fixture, 2);
	say(fixture, fd, bytes, 14);
	fixture_await(fixture, 1);
	close(fd);
}

static void frames_that_no_datagram_holds_are_too_long(void **state)
{
	struct fixture *fixture = *state;
	int fd = plug_udp(fixture, TOPOLOGY_UDP, AF_INET);

	fixture_transmit(fixture, 2, FRAME_SIZE_MAX);
	assert_int_equal(fixture_dropped(fixture, DROP_TOO_LONG), 1);
	close(fd);
}

static void check_vxlan(struct fixture *fixture, int family)
{
	int fd = plug_udp(fixture, TOPOLOGY_VXLAN, family);
	static const uint8_t header[] = {8, 0, 0, 0, 0x12, 0x34, 0x56, 0};
	uint8_t bytes[8 + SMALL] = {0x0c, 1, 2, 3, 0x12, 0x34, 0x56, 4, 10};
	struct sockaddr_storage address;
	int other_port = bind_udp(family, &address);

	/* What is reserved is ignored; the remote sends from any port. */
	say(fixture, fd, bytes, sizeof(bytes));
	say(fixture, other_port, bytes, sizeof(bytes));
	fixture_await(fixture, 2);
	assert_int_equal(fixture->heads[1][0], 10);
	assert_int_equal(fixture->sizes[1], SMALL);
	fixture_transmit(fixture, 6, SMALL);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_memory_equal(bytes, header, sizeof(header));
	assert_int_equal(bytes[8], 6);
	close(other_port);
	close(fd);
}

static void vxlan_leads_both_ways(void **state)
{
	check_vxlan(*state, AF_INET);
}

static void vxlan_leads_both_ways_over_ipv6(void **state)
{
	check_vxlan(*state, AF_INET6);
}

static void vxlan_of_another_network_is_refused(void **state)
{
	struct fixture *fixture = *state;
	static const uint8_t good[8 + SMALL] = {8, 0, 0, 0, 0x12, 0x34, 0x56, 0, 10};
	uint8_t bad[8 + SMALL];
	int fd = plug_udp(fixture, TOPOLOGY_VXLAN, AF_INET);

	memcpy(bad, good, sizeof(bad));
	bad[6] = 0x57;
	say(fixture, fd, bad, sizeof(bad)); /* Another VNI, */
	memcpy(bad, good, sizeof(bad));
	bad[0] = 0xf7;
	say(fixture, fd, bad, sizeof(bad)); /* none, */
	say(fixture, fd, good, 7);          /* no header, */
	say(fixture, fd, good, 0);
	say(fixture, fd, good, 8); /* no frame, */
	say(fixture, fd, good, 8 + 13);
	await_refused(fixture, 6);
	say(fixture, fd, good, sizeof(good));
	fixture_await(fixture, 1);
	assert_int_equal(fixture->heard, 1);
	close(fd);
}

static void address_that_is_taken_is_an_error(void **state)
{
	struct fixture *fixture = *state;
	int fd = bind_udp(AF_INET, &fixture->topology.local);

	fixture->topology.kind = TOPOLOGY_UDP;
	fixture->topology.remote = fixture->topology.local;
	fixture_fails(fixture, -EADDRINUSE, "give this one another port");
	((struct sockaddr_in *)&fixture->topology.local)->sin_addr.s_addr = htonl(0xc0000207);
	fixture_fails(fixture, -EADDRNOTAVAIL, "must be one of this host's");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(paths_lead_both_ways, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(peer_that_does_not_read_loses_frames, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(udp_leads_both_ways, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(udp_leads_both_ways_over_ipv6, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(datagrams_of_strangers_are_refused, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(datagrams_that_are_no_frames_are_refused, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(frames_that_no_datagram_holds_are_too_long, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(vxlan_leads_both_ways, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(vxlan_leads_both_ways_over_ipv6, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(vxlan_of_another_network_is_refused, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(address_that_is_taken_is_an_error, fixture_set_up, fixture_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
