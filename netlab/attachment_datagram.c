/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/attachment_internal.h"
#include "netlab/socket_path.h"
#include "netlab/topology_units.h"

/* Theory of operation
 * -------------------
 * A frame is a datagram: of a socket with a path, as QEMU's "-netdev dgram" has it (net/dgram.c), of UDP, or, after
 * eight bytes of header, of VXLAN (RFC 7348).  There are no connections, so nothing is known of whether somebody is at
 * the other end.
 *
 * Of datagrams of the internet only those from the remote's address are taken, and of UDP from its port; one that sends
 * VXLAN chooses its port by the frame (RFC 7348, section 5), so any will do.  To a path, who may write there may send.
 *
 * Where a datagram does not fit the way, the host cuts it in fragments; a VXLAN tunnel's end should not (section 4.3),
 * but here guests need not know of it.  Frames with VLAN tags are passed on as well, as by a wire. */

/* RFC 7348, section 5: flags, 24 bits reserved, VNI, 8 bits reserved, which are ignored. */
#define VXLAN_HEADER_SIZE 8
#define VXLAN_FLAG_VNI 0x08

union address {
	struct sockaddr any;
	struct sockaddr_un local;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

struct datagram {
	struct attachment base;
	struct socket_path path;
	struct loop_watch watch; /* Descriptor -1: none. */
	size_t header_size;      /* Bytes before the frame. */
	union address remote;
	socklen_t remote_size;
	uint8_t buffer[VXLAN_HEADER_SIZE + FRAME_SIZE_MAX]; /* A datagram. */
};

static struct datagram *datagram_of(struct attachment *attachment)
{
	return (struct datagram *)attachment;
}

/* Life. */

static int open_internet(struct datagram *datagram, struct error *error)
{
	const struct topology_attachment *topology = datagram->base.topology;
	const int on = 1;
	char text[TOPOLOGY_SOCKET_ADDRESS_SIZE];

	memcpy(&datagram->remote, &topology->remote, sizeof(datagram->remote.ipv6));
	datagram->remote_size = topology->remote.ss_family == AF_INET ? sizeof(struct sockaddr_in) :
									sizeof(struct sockaddr_in6);
	/* So that another end may have the same port of IPv4. */
	if (topology->local.ss_family == AF_INET6)
		setsockopt(datagram->watch.fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(datagram->watch.fd, (const struct sockaddr *)&topology->local, datagram->remote_size) == 0)
		return 0;
	topology_format_socket_address(&topology->local, text);
	return error_set(error, ERROR_FAILED, errno, "cannot receive at UDP %s: %s%s", text, strerror(errno),
			 errno == EADDRINUSE ?
				 "\n  help: another end, another lab or another program has it; give this one another "
				 "port by \"local:\"" :
			 errno == EACCES ?
				 "\n  help: ports below 1024 are root's; take a higher one" :
			 errno == EADDRNOTAVAIL ?
				 "\n  help: the address must be one of this host's; \"ip address\" lists them" :
				 "");
}

static int open_datagram(struct attachment *attachment, struct error *error)
{
	struct datagram *datagram = datagram_of(attachment);
	const struct topology_attachment *topology = attachment->topology;
	int family = topology->kind == TOPOLOGY_DATAGRAM ? AF_UNIX : topology->local.ss_family;
	int result;

	datagram->header_size = topology->kind == TOPOLOGY_VXLAN ? VXLAN_HEADER_SIZE : 0;
	datagram->watch.fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (datagram->watch.fd < 0)
		return error_set(error, ERROR_FAILED, errno, "no socket: %s", strerror(errno));
	if (topology->kind != TOPOLOGY_DATAGRAM)
		return open_internet(datagram, error);
	datagram->remote_size = sizeof(datagram->remote.local);
	result = socket_path_address(topology->remote_path, &datagram->remote.local, error);
	return result < 0 ? result :
			    socket_path_bind(&datagram->path, datagram->watch.fd, SOCK_DGRAM, topology->path, error);
}

static void close_datagram(struct attachment *attachment)
{
	struct datagram *datagram = datagram_of(attachment);

	if (datagram->watch.fd >= 0)
		close(datagram->watch.fd);
	socket_path_remove(&datagram->path, attachment->topology->path);
}

/* From the other side. */

/* Whether a datagram that came from there is the remote's. */
static bool is_remote(const struct datagram *datagram, const union address *from)
{
	const union address *remote = &datagram->remote;
	bool any_port = datagram->base.topology->kind == TOPOLOGY_VXLAN;

	if (remote->any.sa_family == AF_UNIX)
		return true;
	if (from->any.sa_family != remote->any.sa_family)
		return false;
	if (from->any.sa_family == AF_INET)
		return from->ipv4.sin_addr.s_addr == remote->ipv4.sin_addr.s_addr &&
		       (any_port || from->ipv4.sin_port == remote->ipv4.sin_port);
	return IN6_ARE_ADDR_EQUAL(&from->ipv6.sin6_addr, &remote->ipv6.sin6_addr) &&
	       (any_port || from->ipv6.sin6_port == remote->ipv6.sin6_port);
}

/* Whether the datagram has a good header. */
static bool check_header(const struct datagram *datagram, size_t size)
{
	const uint8_t *header = datagram->buffer;

	if (datagram->header_size == 0)
		return true;
	return size >= VXLAN_HEADER_SIZE && header[0] & VXLAN_FLAG_VNI &&
	       (uint32_t)(header[4] << 16 | header[5] << 8 | header[6]) == datagram->base.topology->vni;
}

static void take(struct datagram *datagram, size_t size, const union address *from)
{
	struct attachment *base = &datagram->base;
	const char *problem = NULL;

	if (!is_remote(datagram, from))
		problem = "that is not the remote's";
	else if (!check_header(datagram, size))
		problem = "without a VXLAN header of this VNI";
	else if (size > sizeof(datagram->buffer))
		problem = "that is longer than any frame can be";
	if (problem) {
		log_limited(&base->log_limit, "%s: a datagram %s came", base->topology->name, problem);
		attachment_refuse(base, datagram->buffer, size);
		return;
	}
	attachment_transmit(base, datagram->buffer + datagram->header_size, size - datagram->header_size);
}

static void on_ready(void *opaque, uint32_t events)
{
	struct datagram *datagram = opaque;

	(void)events;
	for (unsigned int i = 0; i < ATTACHMENT_BATCH; i++) {
		union address from;
		socklen_t from_size = sizeof(from);
		ssize_t got;

		memset(&from, 0, sizeof(from));
		/* With MSG_TRUNC it tells the whole size. */
		got = recvfrom(datagram->watch.fd, datagram->buffer, sizeof(datagram->buffer), MSG_DONTWAIT | MSG_TRUNC,
			       &from.any, &from_size);
		if (got < 0)
			return; /* None is left; an error is told once, and is of one that was sent. */
		take(datagram, (size_t)got, &from);
	}
}

/* To the other side. */

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct datagram *datagram = opaque;
	struct attachment *base = &datagram->base;
	uint32_t vni = base->topology->vni;
	const uint8_t header[VXLAN_HEADER_SIZE] = {VXLAN_FLAG_VNI, 0, 0, 0, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8),
						   (uint8_t)vni,   0};

	memcpy(datagram->buffer, header, datagram->header_size);
	frame_copy(frame, datagram->buffer + datagram->header_size, frame->size);
	if (sendto(datagram->watch.fd, datagram->buffer, datagram->header_size + frame->size,
		   MSG_DONTWAIT | MSG_NOSIGNAL, &datagram->remote.any, datagram->remote_size) >= 0)
		return PORT_DELIVERED;
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return PORT_QUEUE_FULL;
	case EMSGSIZE:
		return PORT_TOO_LONG;
	case ENOENT:
	case ECONNREFUSED:
		return PORT_NOT_READY; /* Nobody is there yet. */
	default:
		log_limited(&base->log_limit, "%s: cannot send: %s", base->topology->name, strerror(errno));
		return PORT_NOT_READY;
	}
}

static const struct port_ops port_ops = {.deliver = deliver};

static int plug(struct attachment *attachment)
{
	struct datagram *datagram = datagram_of(attachment);

	datagram->watch.ready = on_ready;
	datagram->watch.opaque = datagram;
	port_plug(attachment->port, &port_ops, datagram);
	return loop_watch_add(attachment->loop, &datagram->watch, EPOLLIN);
}

static void unplug(struct attachment *attachment)
{
	loop_watch_remove(attachment->loop, &datagram_of(attachment)->watch);
}

static void describe(const struct attachment *attachment, struct attachment_status *status)
{
	const struct topology_attachment *topology = attachment->topology;
	char text[TOPOLOGY_SOCKET_ADDRESS_SIZE];

	status->state = "open";
	if (topology->kind != TOPOLOGY_DATAGRAM)
		topology_format_socket_address(&topology->local, text);
	snprintf(status->detail, sizeof(status->detail), "at %s",
		 topology->kind == TOPOLOGY_DATAGRAM ? topology->path : text);
}

const struct attachment_ops attachment_datagram_ops = {
	.size = sizeof(struct datagram),
	.open = open_datagram,
	.close = close_datagram,
	.plug = plug,
	.unplug = unplug,
	.describe = describe,
};
