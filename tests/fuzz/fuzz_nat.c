/* SPDX-License-Identifier: Apache-2.0 */
/* A NAT gateway, libslirp and all, and frames of a guest that may be anything.  Nothing leaves this machine: the calls
 * by which libslirp would send are taken from it. */

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/socket.h>

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/nat.h"
#include "stand_in.h"

#define FRAMES_MAX 64

static const uint8_t gateway_mac[6] = {0x52, 0x55, 10, 0, 2, 2};
static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0, 0, 1};

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)fd;
	(void)address;
	(void)size;
	errno = ECONNREFUSED;
	return -1;
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address, socklen_t length)
{
	(void)fd;
	(void)bytes;
	(void)size;
	(void)flags;
	(void)address;
	(void)length;
	errno = ENETUNREACH;
	return -1;
}

struct target {
	struct port *port;
	unsigned int answers; /* ARP replies. */
};

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct target *target = opaque;

	stand_in_check(frame->size >= FRAME_SIZE_MIN && frame->size <= FRAME_SIZE_MAX);
	target->answers += frame->header[12] == 0x08 && frame->header[13] == 0x06 && frame->header[21] == 2;
	return PORT_DELIVERED;
}

static const struct port_ops port_ops = {.deliver = deliver};

static void transmit(struct target *target, const uint8_t *bytes, size_t size)
{
	struct frame frame = {.size = size};
	struct iovec rest;

	frame.header_size = size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE;
	memcpy(frame.header, bytes, frame.header_size);
	rest = (struct iovec){.iov_base = (void *)(uintptr_t)(bytes + frame.header_size),
			      .iov_len = size - frame.header_size};
	frame.rest = &rest;
	frame.rest_count = rest.iov_len > 0;
	port_transmit(target->port, &frame);
}

/* Beginnings of good frames, so that most inputs get past the first checks.  The input goes on from there. */
static size_t begin(uint8_t kind, uint8_t *frame)
{
	static const uint8_t arp[] = {0, 1, 8, 0, 6, 4, 0, 1};
	static const uint8_t udp[] = {0x45, 0,  0,  80, 0, 1, 0,  0, 64, 17, 0, 0,  10, 0,
				      2,    15, 10, 0,  2, 3, 16, 0, 0,  53, 0, 60, 0,  0};
	static const uint8_t dhcp[] = {0x45, 0, 1,    72,   0,    1,    0, 0,  64, 17, 0, 0,  0, 0,
				       0,    0, 0xff, 0xff, 0xff, 0xff, 0, 68, 0,  67, 1, 52, 0, 0};
	static const uint8_t tftp[] = {0x45, 0,  0, 60, 0, 1,  0, 0, 64, 17, 0,  0, 10, 0, 2,
				       15,   10, 0, 2,  2, 16, 0, 0, 69, 0,  40, 0, 0,  0, 1};
	static const uint8_t tcp[] = {0x45, 0, 0, 60, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2, 16, 0, 0, 80};
	static const uint8_t icmp[] = {0x45, 0, 0, 60, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2};
	static const uint8_t ipv6[] = {0x60, 0, 0, 0, 0, 40, 58, 255, 0xfe, 0x80};
	static const struct {
		const uint8_t *bytes;
		size_t size;
		uint16_t type;
	} kinds[] = {
		{arp, sizeof(arp), ETHERTYPE_ARP},
		{udp, sizeof(udp), ETHERTYPE_IP},
		{dhcp, sizeof(dhcp), ETHERTYPE_IP},
		{tftp, sizeof(tftp), ETHERTYPE_IP},
		{tcp, sizeof(tcp), ETHERTYPE_IP},
		{icmp, sizeof(icmp), ETHERTYPE_IP},
		{ipv6, sizeof(ipv6), ETHERTYPE_IPV6},
		{NULL, 0, ETHERTYPE_IP},
		{NULL, 0, ETHERTYPE_IPV6},
	};
	size_t i = kind % (sizeof(kinds) / sizeof(kinds[0]));

	memcpy(frame, gateway_mac, 6);
	memcpy(frame + 6, guest_mac, 6);
	frame[12] = (uint8_t)(kinds[i].type >> 8);
	frame[13] = (uint8_t)kinds[i].type;
	if (kinds[i].size > 0)
		memcpy(frame + 14, kinds[i].bytes, kinds[i].size);
	return 14 + kinds[i].size;
}

static void check_works(struct target *target, struct dataplane *dataplane)
{
	uint8_t frame[60] = {0};
	const uint8_t request[] = {0,  1, 8, 0,  6, 4, 0, 1, 0x52, 0x54, 0,  0, 0, 1,
				   10, 0, 2, 15, 0, 0, 0, 0, 0,    0,    10, 0, 2, 2};

	memset(frame, 0xff, 6);
	memcpy(frame + 6, guest_mac, 6);
	frame[12] = 8;
	frame[13] = 6;
	memcpy(frame + 14, request, sizeof(request));
	target->answers = 0;
	transmit(target, frame, sizeof(frame));
	loop_turn(dataplane_loop(dataplane));
	stand_in_check(target->answers > 0);
}

static void run(struct target *target, struct dataplane *dataplane, struct input *input)
{
	uint8_t frame[FRAME_SIZE_MAX] = {0};

	for (unsigned int frames = 0; frames < FRAMES_MAX && input->size > 0; frames++) {
		size_t size = begin(input_8(input), frame), more = input_16(input) % (FRAME_SIZE_MAX - size);
		size_t given = more < input->size ? more : input->size;

		/* Some frames are longer than what is known of them. */
		if (more > 4096)
			given = given % 256;
		else
			more = given;
		memcpy(frame + size, input->data, given);
		input->data += given;
		input->size -= given;
		transmit(target, frame, size + more);
		loop_turn(dataplane_loop(dataplane));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	const struct nat_dns_record record = {.name = "web", .family = AF_INET, .address = {10, 0, 2, 10}};
	const struct nat_station station = {.mac = {0x52, 0x54, 0, 0, 0, 1}, .name = "h1"};
	const struct nat_names names = {.records = &record,
					.record_count = 1,
					.stations = &station,
					.station_count = 1};
	struct nat_options options = {.name = "network:up", .prefix_length = 24};
	struct dataplane *dataplane = dataplane_create(NULL);
	struct target target = {.answers = 0};
	struct port *outer;
	struct nat *nat;
	uint8_t kinds;

	stand_in_check(dataplane);
	loop_adopt(dataplane_loop(dataplane));
	inet_pton(AF_INET, "10.0.2.0", &options.subnet);
	inet_pton(AF_INET6, "fd00:2::", &options.prefix6);
	kinds = input_8(&input);
	options.is_restricted = kinds & 1;
	options.is_dhcp_off = kinds & 2;
	options.is_dns_off = kinds & 4;
	options.tftp = kinds & 8 ? "tests/topologies" : NULL;
	if (kinds & 16)
		inet_pton(AF_INET, "10.0.2.2", &options.resolver);
	target.port = dataplane_add_port(dataplane, "h1:eth0");
	outer = dataplane_add_port(dataplane, "network:up");
	stand_in_check(target.port && outer);
	nat = nat_create(dataplane_loop(dataplane), outer, &options, NULL);
	stand_in_check(nat && nat_set_names(nat, &names) == 0);
	port_plug(target.port, &port_ops, &target);
	port_join_port(target.port, outer);
	run(&target, dataplane, &input);
	check_works(&target, dataplane);
	nat_destroy(nat);
	dataplane_destroy(dataplane);
	return 0;
}
