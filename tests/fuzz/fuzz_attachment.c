/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever comes from the peers of a lab: a stream that is cut anywhere, and datagrams with and without VXLAN's header.
 * Afterwards each still takes a good frame.  Sockets are real, and of this process. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/attachment.h"
#include "netlab/dataplane.h"
#include "netlab/topology.h"
#include "stand_in.h"

#define SMALL 60
#define VNI 42
#define PIECES_MAX 64

struct target {
	struct dataplane *dataplane;
	struct port *port, *station;
	struct topology_attachment topology;
	struct attachment *attachment;
	char path[64], peer_path[64];
	int peer;
	unsigned int heard; /* Frames of SMALL bytes that begin with 'A'. */
};

static enum port_result hear(void *opaque, const struct frame *frame)
{
	struct target *target = opaque;
	uint8_t byte = 0;

	stand_in_check(frame->size >= FRAME_SIZE_MIN && frame->size <= FRAME_SIZE_MAX);
	for (unsigned int i = 0; i < frame->rest_count; i++)
		for (size_t j = 0; j < frame->rest[i].iov_len; j++)
			byte ^= ((const uint8_t *)frame->rest[i].iov_base)[j]; /* All of it is there. */
	target->heard += frame->size == SMALL && frame->header[0] == 'A';
	return byte ? PORT_DELIVERED : PORT_FILTERED;
}

static const struct port_ops port_ops = {.deliver = hear};

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static void turn(struct target *target)
{
	for (unsigned int i = 0; i < 4; i++) /* A connection, what came, and what is answered. */
		loop_turn(dataplane_loop(target->dataplane));
}

/* A stream's peer. */
static void reach(struct target *target)
{
	const struct sockaddr_un address = address_of(target->path);

	if (target->peer >= 0)
		close(target->peer);
	turn(target);
	target->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	stand_in_check(connect(target->peer, (const struct sockaddr *)&address, sizeof(address)) == 0);
	turn(target);
}

static void plug(struct target *target)
{
	struct sockaddr_in *local = (struct sockaddr_in *)&target->topology.local;
	struct sockaddr_in *remote = (struct sockaddr_in *)&target->topology.remote;
	struct sockaddr_un address = address_of(target->peer_path);
	socklen_t size = sizeof(*remote);

	target->peer = -1;
	if (target->topology.kind == TOPOLOGY_DATAGRAM) {
		unlink(target->peer_path);
		target->peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		stand_in_check(bind(target->peer, (const struct sockaddr *)&address, sizeof(address)) == 0);
	} else if (target->topology.kind != TOPOLOGY_STREAM) {
		int free_port = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		local->sin_family = remote->sin_family = AF_INET;
		local->sin_addr.s_addr = remote->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		target->peer = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		stand_in_check(bind(target->peer, (const struct sockaddr *)remote, sizeof(*remote)) == 0 &&
			       bind(free_port, (const struct sockaddr *)local, sizeof(*local)) == 0 &&
			       getsockname(target->peer, (struct sockaddr *)remote, &size) == 0 &&
			       getsockname(free_port, (struct sockaddr *)local, &size) == 0);
		close(free_port);
	}
	stand_in_check(attachment_create(&target->topology, NULL, &target->attachment, NULL) == 0 &&
		       attachment_plug(target->attachment, dataplane_loop(target->dataplane), target->port) == 0);
	if (target->topology.kind == TOPOLOGY_STREAM)
		reach(target);
}

static void say(struct target *target, const uint8_t *bytes, size_t size)
{
	const struct sockaddr_un path = address_of(target->path);

	if (target->topology.kind == TOPOLOGY_STREAM) {
		if (send(target->peer, bytes, size, MSG_NOSIGNAL) < 0)
			reach(target); /* It was told nonsense. */
	} else if (target->topology.kind == TOPOLOGY_DATAGRAM) {
		sendto(target->peer, bytes, size, 0, (const struct sockaddr *)&path, sizeof(path));
	} else {
		sendto(target->peer, bytes, size, 0, (const struct sockaddr *)&target->topology.local,
		       sizeof(struct sockaddr_in));
	}
	turn(target);
}

/* A good frame; on a stream of a peer that is new. */
static void check_works(struct target *target)
{
	static const uint8_t stream_header[] = {0, 0, 0, SMALL}, vxlan_header[] = {8, 0, 0, 0, 0, 0, VNI, 0};
	uint8_t bytes[8 + SMALL] = {0};
	size_t header = 0;

	if (target->topology.kind == TOPOLOGY_STREAM) {
		reach(target);
		header = sizeof(stream_header);
		memcpy(bytes, stream_header, header);
	} else if (target->topology.kind == TOPOLOGY_VXLAN) {
		header = sizeof(vxlan_header);
		memcpy(bytes, vxlan_header, header);
	}
	bytes[header] = 'A';
	target->heard = 0;
	say(target, bytes, header + SMALL);
	stand_in_check(target->heard == 1);
}

static void run(struct target *target, struct input *input)
{
	uint8_t answer[SMALL] = {2};
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, answer, sizeof(answer));
	for (unsigned int pieces = 0; pieces < PIECES_MAX && input->size > 0; pieces++) {
		size_t size = input_8(input);

		size = size < input->size ? size : input->size;
		say(target, input->data, size);
		input->data += size;
		input->size -= size;
		port_transmit(target->station, &frame);
		dataplane_end_turn(target->dataplane);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum topology_attachment_kind kinds[] = {TOPOLOGY_STREAM, TOPOLOGY_DATAGRAM, TOPOLOGY_UDP,
							      TOPOLOGY_VXLAN};
	struct input input = {.data = data, .size = size};
	struct target target = {.topology = {.name = (char *)(uintptr_t) "socket:one", .vni = VNI}};

	snprintf(target.path, sizeof(target.path), "/tmp/netlab-fuzz-%d.sock", getpid());
	snprintf(target.peer_path, sizeof(target.peer_path), "/tmp/netlab-fuzz-%d-peer.sock", getpid());
	target.topology.kind = kinds[input_8(&input) % 4];
	target.topology.path = target.path;
	target.topology.remote_path = target.peer_path;
	target.dataplane = dataplane_create(NULL);
	stand_in_check(target.dataplane);
	loop_adopt(dataplane_loop(target.dataplane));
	target.port = dataplane_add_port(target.dataplane, "socket:one");
	target.station = dataplane_add_port(target.dataplane, "h1:eth0");
	stand_in_check(target.port && target.station);
	port_join_port(target.port, target.station);
	port_plug(target.station, &port_ops, &target);
	plug(&target);
	run(&target, &input);
	check_works(&target);
	attachment_unplug(target.attachment);
	attachment_destroy(target.attachment);
	dataplane_destroy(target.dataplane);
	close(target.peer);
	unlink(target.peer_path);
	return 0;
}
