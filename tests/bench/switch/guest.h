/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_SWITCH_GUEST_H
#define TESTS_BENCH_SWITCH_GUEST_H 1

/* A guest that is a virtio-net driver and nothing else
 * ====================================================
 *
 * Its machine is memory without KVM (tests/fuzz/stand_in.h), its NIC a device of netlab at a port of a data plane.  It
 * works its rings as Linux does: a descriptor and an entry of the available ring are written for each buffer, event
 * indices say when to notify, and interrupts are never asked for.  The frames it sends carry a number that it writes
 * and the receiver looks at, as Linux does at all headers; the rest of them stays as it is.  Of an untouched frame
 * neither looks at anything but the virtio-net header, as programs do that only pass frames on.
 *
 * Thread-safety: all functions by one thread, which is not that of the data plane, unless the benchmark turns that by
 * hand.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

struct dataplane;
struct loop;
struct machine;
struct port;
struct virtio_net;

#define GUEST_RING 256u

struct guest_queue {
	unsigned int number;
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	uint64_t buffers; /* Guest-physical. */
	uint16_t posted, seen;
};

/* A frame longer than an MTU of 1500 allows is one of TCP that was not cut into segments yet. */
#define GUEST_MTU_FRAME 1514u

struct guest {
	struct dataplane *dataplane;
	struct machine *machine;
	struct virtio_net *net;
	struct port *port;
	uint64_t bar;
	uint8_t *memory;
	struct guest_queue receive, transmit;
	bool has_offload;
	bool is_untouched; /* So are its frames. */
	uint32_t frame_size;
	unsigned int window;            /* Frames that may be on their way to it: its buffers hold no more. */
	uint64_t sent, received, bytes; /* Frames, and bytes of those received. */
	uint32_t number_sent, number_received;
	uint64_t misordered; /* Frames that were not the next one of their sender. */
};

/* Makes guest number 'number', which is to send frames of 'size' bytes, without the FCS, and to be sent such, with a
 * NIC at a port of its own, which is joined to nothing, and starts its driver.  The data plane's thread must run, or
 * be the calling one.  Ends the program when that fails. */
void guest_create(struct guest *guest, struct dataplane *dataplane, unsigned int number, uint32_t size);
/* As guest_create(); its port stays. */
void guest_destroy(struct guest *guest);

/* Frames it sends from now on are to guest number 'to', or to all. */
#define GUEST_ALL 0xffu
void guest_address(struct guest *guest, unsigned int from, unsigned int to);

/* Sends up to 'count' frames, as many as its ring has room for, and returns how many. */
unsigned int guest_send(struct guest *guest, unsigned int count);
/* Takes what was received and posts the buffers again.  Returns the number of frames. */
unsigned int guest_receive(struct guest *guest);

#endif /* guest.h */
