/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTIO_NET_H
#define DEVICES_VIRTIO_NET_H 1

/* virtio-net (virtio 1.2, section 5.1)
 * ====================================
 *
 * A NIC with one receive, one transmit and the control queue.  Frames from the guest go to a callback while they are
 * still in the guest's memory; frames to the guest are copied straight into its receive buffers.  The driver says which
 * destinations it wants to hear of (devices/receive_filter.h).
 *
 * Where offloads are offered, a driver that takes them leaves checksums, and the cutting of TCP into segments, to
 * others, and is given frames of others who did (struct frame_offload); else what passes is what a wire would carry.
 * What the header of such a frame says is checked here, once, so that all behind can rely on it.
 *
 * A frame longer than the MTU is lost on its way to the guest, with an Ethernet header and up to two VLAN tags on top
 * of the MTU; one that is still to be cut goes by its segments.  By the specification (5.1.4.1) a device would see to
 * that only where the driver negotiated VIRTIO_NET_F_MTU; here the MTU is the wire's, which does not ask.
 *
 * Thread-safety: the queues belong to the loop given at creation (the data plane's), and so do all functions
 * here but create and destroy.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "devices/frame.h"

struct loop;
struct machine;
struct virtio_net;

/* What became of a frame for the guest. */
enum virtio_net_result {
	VIRTIO_NET_DELIVERED,
	VIRTIO_NET_FILTERED,  /* It came, and the guest does not want it: it is for others. */
	VIRTIO_NET_RING_FULL, /* No receive buffers, or too few. */
	VIRTIO_NET_NOT_READY, /* No driver, or the device is quarantined. */
	VIRTIO_NET_TOO_LONG,  /* Longer than the receive buffers the driver posts without mergeable buffers. */
	VIRTIO_NET_MTU,       /* Longer than the MTU allows. */
};

/* Why a frame of the guest was thrown away by the device. */
enum virtio_net_refusal {
	VIRTIO_NET_RUNT,      /* Shorter than FRAME_SIZE_MIN. */
	VIRTIO_NET_OVERSIZED, /* Longer than FRAME_SIZE_MAX. */
	VIRTIO_NET_OFFLOAD, /* The header asks for an offload that was not negotiated, or that the frame cannot have. */
};

struct virtio_net_ops {
	/* A frame from the guest. */
	void (*transmit)(void *opaque, const struct frame *frame);
	/* A frame from the guest that is none; 'size' as the guest gave it, and 'frame' what there is to be seen of it:
	 * at most its first FRAME_SIZE_MAX bytes, and maybe none. */
	void (*refused)(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size);
};

struct virtio_net_options {
	uint8_t mac[6];
	uint16_t mtu;      /* Offered as VIRTIO_NET_F_MTU, and kept in any case. */
	bool has_offload;  /* Checksum and TCP segmentation offloads are offered, for both ways. */
	unsigned int slot; /* PCI slot, 1 to 31. */
	const char *name;  /* "h1:eth0", for the log; copied. */
	const struct virtio_net_ops *ops;
	void *opaque; /* For ops. */
};

/* Makes a NIC and puts it on the machine's PCI bus.  Returns it, or NULL with 'error' set.  It is destroyed with the
 * machine. */
struct virtio_net *virtio_net_create(struct machine *machine, struct loop *loop,
				     const struct virtio_net_options *options, struct error *error);

/* Whether the driver takes the frame with what was left undone on it. */
bool virtio_net_takes(const struct virtio_net *net, const struct frame *frame);

/* Copies a frame, which the driver takes, into the guest's receive ring.  The guest learns of it at
 * virtio_net_flush(). */
enum virtio_net_result virtio_net_receive(struct virtio_net *net, const struct frame *frame);

/* Buffers that the guest's receive ring can have, at most. */
uint16_t virtio_net_receive_ring_size(const struct virtio_net *net);

/* Sets how many of them the guest has posted and are free: when there are none, frames are lost.  Returns false if
 * there is no driver. */
bool virtio_net_receive_ring_free(struct virtio_net *net, uint16_t *count);

/* Publishes the frames received since the last call and interrupts the guest when it wants to know. */
void virtio_net_flush(struct virtio_net *net);

/* Carrier: sets VIRTIO_NET_S_LINK_UP and tells the guest. */
void virtio_net_set_link(struct virtio_net *net, bool up);

/* Why the device is quarantined (virtio_pci.h), or NULL.  Any thread. */
const char *virtio_net_quarantine_reason(const struct virtio_net *net);

#endif /* virtio_net.h */
