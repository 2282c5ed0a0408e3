/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/tap.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"
#include "netlab/bridge/tap_device.h"
#include "netlab/dataplane.h"
#include "netlab/vlan.h"

#define PARTS_MAX 64 /* Of a frame that is written without being copied first. */

struct tap {
	struct loop *loop;
	struct port *port;
	struct loop_watch watch;
	char device[IF_NAMESIZE];
	unsigned int mtu;
	struct log_limit log_limit;
	uint8_t buffer[TAP_HEADER_SIZE + FRAME_SIZE_MAX];
};

_Static_assert(sizeof(struct virtio_net_hdr_v1) == TAP_HEADER_SIZE, "the header is that of virtio 1");

/* A frame whose work is not done would need an offload, which was not asked for. */
static bool is_whole(const uint8_t *bytes)
{
	struct virtio_net_hdr_v1 header;

	memcpy(&header, bytes, sizeof(header));
	return header.gso_type == VIRTIO_NET_HDR_GSO_NONE && !(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

static void transmit(struct tap *tap, size_t size)
{
	struct frame frame;
	struct iovec rest;

	if (size < TAP_HEADER_SIZE + FRAME_SIZE_MIN || !is_whole(tap->buffer)) {
		port_refused(tap->port, NULL, size);
		return;
	}
	frame_set(&frame, &rest, tap->buffer + TAP_HEADER_SIZE, size - TAP_HEADER_SIZE);
	port_transmit(tap->port, &frame);
}

/* epoll tells again of what is left after a batch. */
static void on_ready(void *opaque, uint32_t events)
{
	struct tap *tap = opaque;

	for (int i = 0; i < TAP_BATCH; i++) {
		ssize_t size = read(tap->watch.fd, tap->buffer, sizeof(tap->buffer));

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return;
		if (size < 0) {
			/* The device has gone, or is down: EBADFD, EIO. */
			log_limited(&tap->log_limit, "%s: %s cannot be read: %s", port_name(tap->port), tap->device,
				    strerror(errno));
			if (events & (EPOLLERR | EPOLLHUP))
				loop_watch_remove(tap->loop, &tap->watch);
			return;
		}
		transmit(tap, (size_t)size);
	}
}

static bool is_too_long(const struct tap *tap, const struct frame *frame)
{
	size_t limit = tap->mtu + FRAME_SIZE_MIN;

	if (vlan_has_tag(frame))
		limit += FRAME_TAG_SIZE;
	return frame->size > limit;
}

static enum port_result judge(int reason)
{
	switch (reason) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return PORT_RING_FULL;
	default:
		return PORT_NOT_READY; /* The device is down, or has gone. */
	}
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	static const uint8_t header[TAP_HEADER_SIZE]; /* No offload was used. */
	struct tap *tap = opaque;
	struct iovec parts[PARTS_MAX] = {
		{.iov_base = (void *)header, .iov_len = sizeof(header)},
		{.iov_base = (void *)frame->header, .iov_len = frame->header_size},
	};

	if (is_too_long(tap, frame))
		return PORT_MTU;
	if (frame->rest_count + 2 <= PARTS_MAX) {
		for (unsigned int i = 0; i < frame->rest_count; i++)
			parts[i + 2] = frame->rest[i];
		if (writev(tap->watch.fd, parts, (int)frame->rest_count + 2) < 0)
			return judge(errno);
		return PORT_DELIVERED;
	}
	memset(tap->buffer, 0, TAP_HEADER_SIZE);
	frame_copy(frame, tap->buffer + TAP_HEADER_SIZE, frame->size);
	if (write(tap->watch.fd, tap->buffer, TAP_HEADER_SIZE + frame->size) < 0)
		return judge(errno);
	return PORT_DELIVERED;
}

static uint32_t limit(void *opaque, enum port_result result)
{
	const struct tap *tap = opaque;

	return result == PORT_MTU ? tap->mtu : 0;
}

/* A macvtap cannot: it has that of the interface it is on. */
static void set_carrier(void *opaque, bool is_up)
{
	const struct tap *tap = opaque;
	int carrier = is_up;

	if (ioctl(tap->watch.fd, TUNSETCARRIER, &carrier) < 0 && errno != EINVAL)
		log_line("%s: %s keeps its carrier: %s", port_name(tap->port), tap->device, strerror(errno));
}

static const struct port_ops port_ops = {.deliver = deliver, .limit = limit, .set_carrier = set_carrier};

struct tap *tap_create(struct loop *loop, struct port *port, int fd, const char *device, unsigned int mtu,
		       struct error *error)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int result = tap ? 0 : -ENOMEM;

	if (tap) {
		tap->loop = loop;
		tap->port = port;
		tap->mtu = mtu;
		snprintf(tap->device, sizeof(tap->device), "%s", device);
		tap->watch = (struct loop_watch){.fd = fd, .ready = on_ready, .opaque = tap};
		result = loop_watch_add(loop, &tap->watch, EPOLLIN);
	}
	if (result < 0) {
		error_set(error, ERROR_FAILED, -result, "%s: the TAP %s cannot be watched: %s", port_name(port), device,
			  strerror(-result));
		close(fd);
		free(tap);
		return NULL;
	}
	port_plug(port, &port_ops, tap);
	return tap;
}

void tap_destroy(struct tap *tap)
{
	if (!tap)
		return;
	port_plug(tap->port, NULL, NULL);
	loop_watch_remove(tap->loop, &tap->watch);
	close(tap->watch.fd);
	free(tap);
}

const char *tap_device(const struct tap *tap)
{
	return tap->device;
}
