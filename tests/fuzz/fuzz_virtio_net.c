/* SPDX-License-Identifier: Apache-2.0 */

/* A NIC whose driver and whose peer are the input.  Whatever they did, the NIC passes frames again after a reset. */

#include <linux/virtio_net.h>
#include <string.h>

#include "core/loop.h"
#include "devices/offload.h"
#include "devices/virtio_net.h"
#include "finishing.h"
#include "tests/unit/tcp_frame.h"
#include "virtio_input.h"

#define SLOT 8
#define RECEIVE 0
#define TRANSMIT 1

#define OFFLOADS \
	(1 << VIRTIO_NET_F_CSUM | 1 << VIRTIO_NET_F_HOST_TSO4 | 1 << VIRTIO_NET_F_HOST_TSO6 | \
	 1 << VIRTIO_NET_F_HOST_ECN | 1 << VIRTIO_NET_F_GUEST_CSUM | 1 << VIRTIO_NET_F_GUEST_TSO4 | \
	 1 << VIRTIO_NET_F_GUEST_TSO6 | 1 << VIRTIO_NET_F_GUEST_ECN)

struct target {
	struct machine *machine;
	struct virtio_net *net;
	unsigned int frames;
	uint8_t copy[FRAME_SIZE_MAX];
	uint8_t room[OFFLOAD_ROOM];
};

/* offload_function */
static void receive_one(void *opaque, const struct frame *frame)
{
	struct target *target = opaque;

	virtio_net_receive(target->net, frame);
	virtio_net_flush(target->net);
}

/* As a switch does. */
static void receive(struct target *target, const struct frame *frame)
{
	if (virtio_net_takes(target->net, frame))
		receive_one(target, frame);
	else
		offload_finish(frame, target->room, receive_one, target);
}

static void on_transmit(void *opaque, const struct frame *frame)
{
	struct target *target = opaque;
	size_t size = frame->header_size;

	stand_in_check(frame->size >= FRAME_SIZE_MIN && frame->size <= FRAME_SIZE_MAX);
	for (unsigned int i = 0; i < frame->rest_count; i++)
		size += frame->rest[i].iov_len;
	stand_in_check(size == frame->size);
	frame_copy(frame, target->copy, frame->size);
	target->frames++;
	if (frame_is_offloaded(frame))
		finishing_check(frame);
	/* Some are answered at once, as by a gateway: the sender is still at its transmit chain. */
	if (frame->header[0] & 1)
		receive(target, frame);
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size)
{
	struct target *target = opaque;
	size_t there = frame->header_size;

	stand_in_check(reason <= VIRTIO_NET_OFFLOAD);
	stand_in_check(reason != VIRTIO_NET_RUNT || size < FRAME_SIZE_MIN);
	stand_in_check(frame->size == (size < FRAME_SIZE_MAX ? size : FRAME_SIZE_MAX));
	stand_in_check(!frame_is_offloaded(frame));
	for (unsigned int i = 0; i < frame->rest_count; i++)
		there += frame->rest[i].iov_len;
	stand_in_check(there == size);
	frame_copy(frame, target->copy, frame->size);
}

static const struct virtio_net_ops net_ops = {.transmit = on_transmit, .refused = on_refused};

/* A frame from the peer, in pieces; or the carrier. */
static void operation(void *opaque, struct input *input)
{
	struct target *target = opaque;
	struct frame frame = {.size = input_16(input)};
	struct iovec rest[4] = {{.iov_base = target->copy}};

	if (frame.size < FRAME_SIZE_MIN) {
		virtio_net_set_link(target->net, frame.size & 1);
		return;
	}
	frame.header_size = frame.size < FRAME_HEADER_SIZE ? frame.size : FRAME_HEADER_SIZE;
	frame.rest = rest;
	for (size_t left = frame.size - frame.header_size; left > 0; frame.rest_count++) {
		size_t part = frame.rest_count < 3 ? input_16(input) % (left + 1) : left;

		rest[frame.rest_count] = (struct iovec){.iov_base = target->copy, .iov_len = part};
		left -= part;
	}
	/* One that fits, as the switch has it from another NIC. */
	if (frame.size >= TCP_FRAME_HEADERS && (frame.header[0] = input_8(input)) & 2) {
		uint16_t segment_size = input_16(input);

		if (segment_size > 0)
			segment_size |= 32; /* No more than a guest may have made of it. */
		tcp_frame_make(frame.header, TCP_FRAME_HEADERS, segment_size, &frame.offload);
		if (frame.size == TCP_FRAME_HEADERS)
			frame.offload.segment_size = frame.offload.header_size = 0;
	}
	receive(target, &frame);
}

static void check_works(struct target *target, struct virtio_input *driver)
{
	unsigned int before;

	virtio_input_start(driver, 0);
	stand_in_check(!virtio_net_quarantine_reason(target->net));
	before = target->frames;
	memset(driver->memory + 0x8000, 0, 0x400);
	virtio_input_offer(driver, TRANSMIT, 1, 100);
	loop_turn(stand_in_loop(target->machine));
	stand_in_check(target->frames == before + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	struct target target = {.machine = stand_in_create(VIRTIO_INPUT_MEMORY)};
	struct virtio_input driver = {
		.machine = target.machine,
		.input = &input,
		.slot = SLOT,
		.queue_count = 3,
		.writable_queues = 1 << RECEIVE,
		.features = 1 << VIRTIO_NET_F_MRG_RXBUF | 1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS |
			    1 << VIRTIO_NET_F_MTU | 1 << VIRTIO_NET_F_CTRL_VQ | 1 << VIRTIO_NET_F_CTRL_RX |
			    1 << VIRTIO_NET_F_CTRL_MAC_ADDR | OFFLOADS,
		.operation = operation,
		.opaque = &target,
	};
	const struct virtio_net_options options = {.slot = SLOT,
						   .name = "fuzz",
						   .has_offload = true,
						   .mtu = 65535, /* So that no length is out of reach. */
						   .ops = &net_ops,
						   .opaque = &target};
	struct error error;

	target.net = virtio_net_create(target.machine, stand_in_loop(target.machine), &options, &error);
	stand_in_check(target.net);
	virtio_input_run(&driver);
	check_works(&target, &driver);
	stand_in_destroy(target.machine);
	return 0;
}
