/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio_net.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "devices/offload.h"
#include "devices/receive_filter.h"
#include "devices/virtio_pci.h"

/* Theory of operation
 * -------------------
 * Transmit: a kick starts a batch; each chain is a virtio-net header and a frame, which is given to ops->transmit while
 * it is in the guest's memory, and then pushed.  After TRANSMIT_BATCH frames the other ports have their turn, and a
 * task goes on.
 *
 * The header of a frame on which something was left undone is the driver's word, as is all in the frame: one is
 * checked against the other, in a copy of all headers, before anybody sees it.  That may be longer than what a frame
 * has room for, and then its end is the first piece of the frame's rest.
 *
 * Receive: a frame goes into one buffer, or, with mergeable buffers, into as many as it takes.  In that case they are
 * counted first, put back, and popped again to be filled, so that memory for one chain suffices; a driver that changes
 * them in between harms itself only.
 *
 * Buffers that are put back are looked at again for the next frame, and it is the thread of all NICs that does so.  So
 * there is a limit to the descriptors looked at for one frame, and a driver that goes beyond it is quarantined: else
 * the next frame would cost as much again.  No honest driver does.  Where buffers are not merged, the limit is that of
 * a chain; where they are, Linux posts one descriptor a buffer, and MERGED_MAX buffers of four each are within it.
 *
 * Control: commands for the receive filter.  Linux waits for each, spinning, so they are done at once, up to a
 * batch. */

#define DEVICE_ID_NET 1
#define QUEUE_RECEIVE 0
#define QUEUE_TRANSMIT 1
#define QUEUE_CONTROL 2
#define QUEUE_COUNT 3

#define FEATURE(bit) (1ull << (bit))

/* Frames of one NIC in a row before others have their turn. */
#define TRANSMIT_BATCH 64
/* Segments that these may have, each of which is a frame for whoever takes no offloads. */
#define SEGMENTS_BATCH 4096
/* And commands. */
#define CONTROL_BATCH 64

/* Buffers one received frame may be spread over, and the descriptors they may have in sum. */
#define MERGED_MAX 64
#define PIECES_MAX VIRTQUEUE_SIZE_MAX

/* An Ethernet header with two VLAN tags, which are not part of the MTU. */
#define MTU_EXTRA (14 + 8)

/* A driver that cannot tell its address, or what else it wants, gets everything. */
#define FILTER_FEATURES (FEATURE(VIRTIO_NET_F_CTRL_RX) | FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR))

#define OFFLOAD_FEATURES \
	(FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6) | \
	 FEATURE(VIRTIO_NET_F_HOST_ECN) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) | \
	 FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN))

#define HEADER_SIZE sizeof(struct virtio_net_hdr_mrg_rxbuf)

struct virtio_net {
	struct virtio_device device; /* First. */
	const struct virtio_net_ops *net_ops;
	void *opaque;
	uint8_t mac[6];
	uint16_t mtu;
	bool has_link;         /* Carrier. */
	bool stopped;          /* Its machine is being saved or restored: nothing is transmitted. */
	struct loop_task more; /* Goes on with a batch that was cut short. */
	struct loop_task more_control;
	struct loop_poll poll; /* What is sent while the loop polls, for which nobody need notify. */
	struct receive_filter filter;
	struct virtqueue_chain chain; /* Transmit and control. */
	unsigned int segments;        /* Of frames with segments, in this batch. */
	/* Receive.  An answer to a frame may come back to its sender while that is still at its transmit chain. */
	struct virtqueue_chain receive_chain;
	struct iovec source[VIRTQUEUE_SIZE_MAX + 3]; /* virtio-net header, frame's header, its rest. */
	struct iovec pieces[VIRTQUEUE_SIZE_MAX + 1]; /* The rest of a frame whose headers are long. */
};

static struct virtio_net *from_device(struct virtio_device *device)
{
	return (struct virtio_net *)device; /* The first member. */
}

/* Moves the chain's buffers past their first 'count' bytes. */
static void skip(struct virtqueue_chain *chain, struct frame *frame, size_t count)
{
	unsigned int i = 0;

	while (i < chain->readable_count && count >= chain->buffers[i].iov_len)
		count -= chain->buffers[i++].iov_len;
	if (i < chain->readable_count) {
		chain->buffers[i].iov_base = (uint8_t *)chain->buffers[i].iov_base + count;
		chain->buffers[i].iov_len -= count;
	}
	frame->rest = chain->buffers + i;
	frame->rest_count = chain->readable_count - i;
}

/* A frame in one piece on which nothing was left undone, as most are.  Returns false if it is none of those. */
static bool transmit_simple(struct virtio_net *net)
{
	const struct iovec *buffer = net->chain.buffers;
	const uint8_t *bytes = buffer->iov_base;
	struct virtio_net_hdr header;
	struct frame frame;
	struct iovec rest;

	if (net->chain.readable_count != 1 || buffer->iov_len < HEADER_SIZE + FRAME_HEADER_SIZE ||
	    buffer->iov_len > HEADER_SIZE + FRAME_SIZE_MAX)
		return false;
	memcpy(&header, bytes, sizeof(header));
	if (header.flags != 0 || header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return false;
	memcpy(frame.header, bytes + HEADER_SIZE, FRAME_HEADER_SIZE);
	frame.header_size = FRAME_HEADER_SIZE;
	frame.offload = (struct frame_offload){0};
	frame.size = buffer->iov_len - HEADER_SIZE;
	rest.iov_base = (uint8_t *)buffer->iov_base + HEADER_SIZE + FRAME_HEADER_SIZE;
	rest.iov_len = frame.size - FRAME_HEADER_SIZE;
	frame.rest = &rest;
	frame.rest_count = rest.iov_len > 0;
	net->net_ops->transmit(net->opaque, &frame);
	return true;
}

/* The features that a driver needs to leave work undone, and those it needs to be given such frames. */
struct offload_features {
	uint64_t checksum, tcpv4, tcpv6, ecn;
};

static const struct offload_features to_send = {.checksum = FEATURE(VIRTIO_NET_F_CSUM),
						.tcpv4 = FEATURE(VIRTIO_NET_F_HOST_TSO4),
						.tcpv6 = FEATURE(VIRTIO_NET_F_HOST_TSO6),
						.ecn = FEATURE(VIRTIO_NET_F_HOST_ECN)};
static const struct offload_features to_receive = {.checksum = FEATURE(VIRTIO_NET_F_GUEST_CSUM),
						   .tcpv4 = FEATURE(VIRTIO_NET_F_GUEST_TSO4),
						   .tcpv6 = FEATURE(VIRTIO_NET_F_GUEST_TSO6),
						   .ecn = FEATURE(VIRTIO_NET_F_GUEST_ECN)};

static bool has_negotiated(const struct virtio_net *net, const struct offload_features *features,
			   const struct frame_offload *offload)
{
	uint64_t needed = features->checksum;

	if (offload->segment_size > 0)
		needed |= offload->segmentation == FRAME_TCPV4 ? features->tcpv4 : features->tcpv6;
	if (offload->has_ecn)
		needed |= features->ecn;
	return virtio_device_has(&net->device, needed);
}

/* What the driver's header says, if it says nothing that no driver may (5.1.6.2.1). */
static bool read_header(const struct virtio_net_hdr *header, struct frame_offload *offload)
{
	const unsigned int type = header->gso_type & ~(unsigned int)VIRTIO_NET_HDR_GSO_ECN;

	*offload = (struct frame_offload){.checksum_start = header->csum_start, .checksum_offset = header->csum_offset};
	if (header->flags != VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return false; /* Segments need checksums too. */
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	offload->segment_size = header->gso_size;
	offload->segmentation = type == VIRTIO_NET_HDR_GSO_TCPV4 ? FRAME_TCPV4 : FRAME_TCPV6;
	offload->has_ecn = (header->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0;
	return header->gso_size > 0 && (type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6);
}

static void write_header(struct virtio_net_hdr *header, const struct frame_offload *offload)
{
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = offload->checksum_start;
	header->csum_offset = offload->checksum_offset;
	if (offload->segment_size == 0)
		return;
	header->gso_type =
		(uint8_t)((offload->segmentation == FRAME_TCPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6) |
			  (offload->has_ecn ? VIRTIO_NET_HDR_GSO_ECN : 0));
	header->gso_size = offload->segment_size;
	header->hdr_len = offload->header_size;
}

/* Puts the headers that are beyond the frame's own before its rest. */
static void add_headers(struct virtio_net *net, struct frame *frame, uint8_t *bytes, size_t count)
{
	net->pieces[0] = (struct iovec){.iov_base = bytes, .iov_len = count};
	memcpy(net->pieces + 1, frame->rest, frame->rest_count * sizeof(*frame->rest));
	frame->rest = net->pieces;
	frame->rest_count++;
}

/* A frame of the right size on which something was left undone. */
__attribute__((noinline)) static void transmit_offloaded(struct virtio_net *net, struct iov_cursor *cursor,
							 const struct virtio_net_hdr *header, size_t size)
{
	struct frame frame = {.size = size};
	uint8_t bytes[OFFLOAD_HEADERS_MAX];
	size_t count;
	bool is_good;

	is_good = read_header(header, &frame.offload) && has_negotiated(net, &to_send, &frame.offload);
	count = iov_read(cursor, bytes, is_good && frame.offload.segment_size > 0 ? sizeof(bytes) : FRAME_HEADER_SIZE);
	is_good = is_good && offload_check(&frame.offload, bytes, count, size);
	frame.header_size = count < FRAME_HEADER_SIZE ? count : FRAME_HEADER_SIZE;
	memcpy(frame.header, bytes, frame.header_size);
	skip(&net->chain, &frame, HEADER_SIZE + count);
	if (count > frame.header_size)
		add_headers(net, &frame, bytes + frame.header_size, count - frame.header_size);
	if (is_good) {
		net->segments += offload_count(&frame);
		net->net_ops->transmit(net->opaque, &frame);
		return;
	}
	frame.offload = (struct frame_offload){0}; /* Nothing that it says is so. */
	net->net_ops->refused(net->opaque, VIRTIO_NET_OFFLOAD, &frame, size);
}

/* One of an impossible size, of which as much is shown as a frame can have. */
__attribute__((noinline)) static void refuse_size(struct virtio_net *net, struct iov_cursor *cursor, size_t size)
{
	struct frame frame = {.size = size < FRAME_SIZE_MAX ? size : FRAME_SIZE_MAX};

	frame.header_size = iov_read(cursor, frame.header, FRAME_HEADER_SIZE);
	skip(&net->chain, &frame, HEADER_SIZE + frame.header_size);
	net->net_ops->refused(net->opaque, size < FRAME_SIZE_MIN ? VIRTIO_NET_RUNT : VIRTIO_NET_OVERSIZED, &frame,
			      size);
}

static void transmit(struct virtio_net *net)
{
	struct iov_cursor cursor = {.buffers = net->chain.buffers, .count = net->chain.readable_count};
	size_t size = net->chain.readable_size - HEADER_SIZE;
	struct virtio_net_hdr_mrg_rxbuf header;
	struct frame frame = {.size = size};

	iov_read(&cursor, &header, sizeof(header));
	if (size < FRAME_SIZE_MIN || size > FRAME_SIZE_MAX) {
		refuse_size(net, &cursor, size);
	} else if (header.hdr.flags != 0 || header.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		transmit_offloaded(net, &cursor, &header.hdr, size);
	} else {
		frame.header_size = iov_read(&cursor, frame.header, FRAME_HEADER_SIZE);
		skip(&net->chain, &frame, HEADER_SIZE + frame.header_size);
		net->net_ops->transmit(net->opaque, &frame);
	}
}

/* Takes the next chain of what the driver sends.  Returns false when there is none, and the driver will notify or the
 * loop looks. */
static bool take(struct virtio_net *net, unsigned int index)
{
	struct virtqueue *queue = virtio_device_queue(&net->device, index);
	enum virtqueue_result result = virtqueue_pop(queue, &net->chain);

	if (result == VIRTQUEUE_EMPTY && !(index == QUEUE_TRANSMIT && loop_poll_add(net->device.owner, &net->poll)) &&
	    virtqueue_enable_notify(queue))
		result = virtqueue_pop(queue, &net->chain);
	if (result == VIRTQUEUE_BROKEN)
		virtio_device_quarantine(&net->device, virtqueue_error(queue));
	return result == VIRTQUEUE_OK;
}

/* Sends up to a batch.  Returns true when there is nothing left. */
static bool transmit_batch(struct virtio_net *net)
{
	struct virtqueue *queue = virtio_device_queue(&net->device, QUEUE_TRANSMIT);

	net->segments = 0;
	for (unsigned int frames = 0; frames < TRANSMIT_BATCH && net->segments < SEGMENTS_BATCH; frames++) {
		if (!take(net, QUEUE_TRANSMIT))
			return true;
		if (net->chain.writable_count > 0 || net->chain.readable_size < HEADER_SIZE) {
			virtio_device_quarantine(&net->device, "transmit chain is writable or shorter than the header");
			return true;
		}
		if (!transmit_simple(net))
			transmit(net);
		virtqueue_push(queue, net->chain.head, 0);
	}
	return false;
}

static void run_transmit(void *opaque)
{
	struct virtio_net *net = opaque;
	struct virtqueue *queue = virtio_device_queue(&net->device, QUEUE_TRANSMIT);

	if (net->stopped || !virtio_device_is_running(&net->device) || !queue->started)
		return;
	virtqueue_disable_notify(queue);
	if (!transmit_batch(net))
		loop_task_queue(net->device.owner, &net->more);
	virtio_device_publish(&net->device, QUEUE_TRANSMIT);
}

/* As loop_poll has it. */
static bool look_for_frames(void *opaque)
{
	struct virtio_net *net = opaque;

	/* A batch that was cut short goes on by itself. */
	if (net->more.queued || !virtio_device_is_running(&net->device) ||
	    !virtqueue_has_more(virtio_device_queue(&net->device, QUEUE_TRANSMIT)))
		return false;
	run_transmit(net);
	return true;
}

static bool leave_to_notify(void *opaque)
{
	struct virtio_net *net = opaque;

	if (!virtqueue_enable_notify(virtio_device_queue(&net->device, QUEUE_TRANSMIT)))
		return false;
	run_transmit(net);
	return true;
}

/* Does the command just popped and says how it went (5.1.6.5). */
static void do_command(struct virtio_net *net)
{
	struct iov_cursor command = {.buffers = net->chain.buffers, .count = net->chain.readable_count};
	struct iov_cursor answer = {.buffers = net->chain.buffers + net->chain.readable_count,
				    .count = net->chain.writable_count};
	bool good = receive_filter_command(&net->filter, &command, net->chain.readable_size);
	virtio_net_ctrl_ack status = good ? VIRTIO_NET_OK : VIRTIO_NET_ERR;

	iov_write(&answer, &status, sizeof(status));
	virtqueue_push(virtio_device_queue(&net->device, QUEUE_CONTROL), net->chain.head, sizeof(status));
}

/* As transmit_batch(). */
static bool control_batch(struct virtio_net *net)
{
	for (unsigned int commands = 0; commands < CONTROL_BATCH; commands++) {
		if (!take(net, QUEUE_CONTROL))
			return true;
		if (net->chain.writable_size == 0) {
			virtio_device_quarantine(&net->device, "command without room for its status");
			return true;
		}
		do_command(net);
	}
	return false;
}

static void run_control(void *opaque)
{
	struct virtio_net *net = opaque;

	if (net->stopped || !virtio_device_is_running(&net->device) ||
	    !virtio_device_queue(&net->device, QUEUE_CONTROL)->started)
		return;
	if (!control_batch(net))
		loop_task_queue(net->device.owner, &net->more_control);
	virtio_device_publish(&net->device, QUEUE_CONTROL);
}

static void kicked(struct virtio_device *device, unsigned int queue)
{
	/* A kick of the receive queue says there are buffers; the next frame will find them. */
	if (queue == QUEUE_TRANSMIT)
		run_transmit(from_device(device));
	else if (queue == QUEUE_CONTROL)
		run_control(from_device(device));
}

static void activate(struct virtio_device *device)
{
	/* What was queued before DRIVER_OK was notified of when nobody listened. */
	run_control(from_device(device));
	run_transmit(from_device(device));
}

static void cancel_tasks(struct virtio_net *net)
{
	loop_task_cancel(net->device.owner, &net->more);
	loop_task_cancel(net->device.owner, &net->more_control);
	loop_poll_remove(net->device.owner, &net->poll);
}

static void reset(struct virtio_device *device)
{
	struct virtio_net *net = from_device(device);

	cancel_tasks(net);
	receive_filter_reset(&net->filter, net->mac);
}

/* What the guest has queued stays in its ring. */
static void drain(struct virtio_device *device)
{
	struct virtio_net *net = from_device(device);

	net->stopped = true;
	cancel_tasks(net);
}

static void tell_link(struct virtio_net *net)
{
	uint16_t status = net->has_link ? VIRTIO_NET_S_LINK_UP : 0;

	virtio_device_set_config(&net->device, offsetof(struct virtio_net_config, status), &status, sizeof(status));
}

static void resume(struct virtio_device *device)
{
	struct virtio_net *net = from_device(device);

	net->stopped = false;
	if (!net->has_link)
		tell_link(net); /* It may have gone while the driver could not be told. */
	run_control(net);
	run_transmit(net);
}

static void save(struct virtio_device *device, struct state *state)
{
	receive_filter_save(&from_device(device)->filter, state);
}

/* Its address and MTU are what it was made with, and its link is as it was set: who restores a template gives each
 * clone its own.  The filter has the address the driver uses until it is told of that. */
static void restore(struct virtio_device *device, struct state *state)
{
	struct virtio_net *net = from_device(device);

	receive_filter_restore(&net->filter, state);
	net->stopped = true;
	virtio_device_set_config(device, offsetof(struct virtio_net_config, mac), net->mac, sizeof(net->mac));
	virtio_device_set_config(device, offsetof(struct virtio_net_config, mtu), &net->mtu, sizeof(net->mtu));
	tell_link(net);
}

static void destroy(struct virtio_device *device)
{
	virtio_device_release(device);
	free(device);
}

static const struct virtio_device_ops device_ops = {
	.activate = activate,
	.reset = reset,
	.kicked = kicked,
	.drain = drain,
	.resume = resume,
	.save = save,
	.restore = restore,
	.destroy = destroy,
};

struct virtio_net *virtio_net_create(struct machine *machine, struct loop *loop,
				     const struct virtio_net_options *options, struct error *error)
{
	struct virtio_net *net = calloc(1, sizeof(*net));
	const struct virtio_device_options device_options = {
		.machine = machine,
		.owner = loop,
		.name = options->name,
		.device_id = DEVICE_ID_NET,
		.class_code = VIRTIO_CLASS_NETWORK,
		.features = FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_STATUS) | FEATURE(VIRTIO_NET_F_MTU) |
			    FEATURE(VIRTIO_NET_F_MRG_RXBUF) | FEATURE(VIRTIO_NET_F_CTRL_VQ) | FILTER_FEATURES |
			    (options->has_offload ? OFFLOAD_FEATURES : 0),
		.queue_count = QUEUE_COUNT,
		.config_size = sizeof(struct virtio_net_config),
		.slot = options->slot,
		.ops = &device_ops,
	};
	struct virtio_net_config config = {.status = VIRTIO_NET_S_LINK_UP, .mtu = options->mtu};

	if (!net) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	net->net_ops = options->ops;
	net->opaque = options->opaque;
	memcpy(net->mac, options->mac, sizeof(net->mac));
	net->mtu = options->mtu;
	net->has_link = true;
	net->more = (struct loop_task){.function = run_transmit, .opaque = net};
	net->poll = (struct loop_poll){.look = look_for_frames, .leave = leave_to_notify, .opaque = net};
	net->more_control = (struct loop_task){.function = run_control, .opaque = net};
	receive_filter_reset(&net->filter, net->mac);
	if (virtio_device_init(&net->device, &device_options, error) < 0) {
		free(net);
		return NULL;
	}
	memcpy(config.mac, options->mac, sizeof(config.mac));
	virtio_device_set_config(&net->device, 0, &config, sizeof(config));
	return net;
}

/* Why the device is to be quarantined for the receive chain just popped, or NULL. */
static const char *receive_fault(const struct virtio_net *net, enum virtqueue_result popped, unsigned int pieces)
{
	const struct virtqueue_chain *chain = &net->receive_chain;

	if (popped == VIRTQUEUE_BROKEN)
		return virtqueue_error(&net->device.queues[QUEUE_RECEIVE].ring);
	if (chain->readable_count > 0 || chain->writable_size < HEADER_SIZE)
		return "receive chain is readable or shorter than the header";
	return pieces > PIECES_MAX ? "receive buffers of one frame have too many descriptors" : NULL;
}

/* Pops buffers until they hold 'size' bytes, then puts them back.  Returns how many it took, or 0 with the reason in
 * 'result'. */
static unsigned int count_buffers(struct virtio_net *net, size_t size, enum virtio_net_result *result)
{
	struct virtqueue *queue = virtio_device_queue(&net->device, QUEUE_RECEIVE);
	unsigned int limit = virtio_device_has(&net->device, FEATURE(VIRTIO_NET_F_MRG_RXBUF)) ? MERGED_MAX : 1;
	unsigned int count = 0, pieces = 0;
	size_t room = 0;

	*result = VIRTIO_NET_TOO_LONG;
	while (room < size && count < limit) {
		enum virtqueue_result popped = virtqueue_pop(queue, &net->receive_chain);
		const char *fault;

		if (popped == VIRTQUEUE_EMPTY) {
			*result = VIRTIO_NET_RING_FULL;
			break;
		}
		pieces += net->receive_chain.writable_count;
		fault = receive_fault(net, popped, pieces);
		if (fault) {
			virtio_device_quarantine(&net->device, fault);
			*result = VIRTIO_NET_NOT_READY;
			break;
		}
		count++;
		room += net->receive_chain.writable_size;
	}
	virtqueue_unpop(queue, count);
	return room >= size ? count : 0;
}

/* Fills 'count' buffers, known to hold the frame and its header. */
static enum virtio_net_result fill_buffers(struct virtio_net *net, const struct frame *frame, unsigned int count)
{
	struct virtqueue *queue = virtio_device_queue(&net->device, QUEUE_RECEIVE);
	struct virtio_net_hdr_mrg_rxbuf header = {.num_buffers = (uint16_t)count};
	struct iov_cursor from = {.buffers = net->source, .count = frame->rest_count + 2};
	size_t left = HEADER_SIZE + frame->size;
	unsigned int pieces = 0;

	if (frame_is_offloaded(frame))
		write_header(&header.hdr, &frame->offload);
	net->source[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
	net->source[1] = (struct iovec){.iov_base = (void *)(uintptr_t)frame->header, .iov_len = frame->header_size};
	for (unsigned int i = 0; i < frame->rest_count; i++)
		net->source[2 + i] = frame->rest[i];
	for (unsigned int i = 0; i < count; i++) {
		enum virtqueue_result popped = virtqueue_pop(queue, &net->receive_chain);
		struct iov_cursor to = {.buffers = net->receive_chain.buffers};
		size_t written;

		to.count = net->receive_chain.writable_count;
		pieces += to.count;
		if (popped != VIRTQUEUE_OK || receive_fault(net, popped, pieces)) {
			virtio_device_quarantine(&net->device, "receive buffers changed while in use");
			return VIRTIO_NET_NOT_READY;
		}
		written = iov_copy(&to, &from, left);
		left -= written;
		virtqueue_push(queue, net->receive_chain.head, (uint32_t)written);
	}
	return left == 0 ? VIRTIO_NET_DELIVERED : VIRTIO_NET_TOO_LONG;
}

/* Copies a frame on which nothing was left undone into the next buffer, if that is in one piece and has room for it, as
 * most have.  Returns false, with nothing taken, if not. */
static bool fill_single(struct virtio_net *net, struct virtqueue *queue, const struct frame *frame)
{
	const struct virtio_net_hdr_mrg_rxbuf header = {.num_buffers = 1};
	struct virtqueue_chain *chain = &net->receive_chain;
	size_t left = frame->size - frame->header_size;
	uint8_t *at;

	if (frame_is_offloaded(frame) || virtqueue_pop(queue, chain) != VIRTQUEUE_OK)
		return false;
	if (chain->writable_count != 1 || chain->readable_count > 0 ||
	    chain->writable_size < HEADER_SIZE + frame->size) {
		virtqueue_unpop(queue, 1);
		return false;
	}
	at = chain->buffers[0].iov_base;
	memcpy(at, &header, HEADER_SIZE);
	at += HEADER_SIZE;
	/* Of a size that is known here it is a few instructions, and it is nearly always this one. */
	if (frame->header_size == FRAME_HEADER_SIZE)
		memcpy(at, frame->header, FRAME_HEADER_SIZE);
	else
		memcpy(at, frame->header, frame->header_size);
	at += frame->header_size;
	for (unsigned int i = 0; i < frame->rest_count; i++) {
		size_t part = frame->rest[i].iov_len < left ? frame->rest[i].iov_len : left;

		/* Two guests' buffers never overlap, but one guest's may: it can post the same memory twice. */
		memmove(at, frame->rest[i].iov_base, part);
		at += part;
		left -= part;
	}
	virtqueue_push(queue, chain->head, (uint32_t)(HEADER_SIZE + frame->size));
	return true;
}

bool virtio_net_takes(const struct virtio_net *net, const struct frame *frame)
{
	return !frame_is_offloaded(frame) || has_negotiated(net, &to_receive, &frame->offload);
}

enum virtio_net_result virtio_net_receive(struct virtio_net *net, const struct frame *frame)
{
	struct virtqueue *queue = virtio_device_queue(&net->device, QUEUE_RECEIVE);
	enum virtio_net_result result;
	unsigned int count;

	if (!virtio_device_is_running(&net->device) || !queue->started)
		return VIRTIO_NET_NOT_READY;
	if (virtio_device_has(&net->device, FILTER_FEATURES) && !receive_filter_passes(&net->filter, frame->header))
		return VIRTIO_NET_FILTERED;
	if (offload_wire_size(frame) > (size_t)net->mtu + MTU_EXTRA)
		return VIRTIO_NET_MTU;
	if (fill_single(net, queue, frame))
		return VIRTIO_NET_DELIVERED;
	count = count_buffers(net, HEADER_SIZE + frame->size, &result);
	return count > 0 ? fill_buffers(net, frame, count) : result;
}

uint16_t virtio_net_receive_ring_size(const struct virtio_net *net)
{
	return net->device.queues[QUEUE_RECEIVE].ring.size;
}

bool virtio_net_receive_ring_free(struct virtio_net *net, uint16_t *count)
{
	const struct virtqueue *queue = virtio_device_queue(&net->device, QUEUE_RECEIVE);

	*count = virtqueue_waiting(queue);
	return virtio_device_is_running(&net->device) && queue->started;
}

void virtio_net_flush(struct virtio_net *net)
{
	virtio_device_publish(&net->device, QUEUE_RECEIVE);
}

void virtio_net_set_link(struct virtio_net *net, bool up)
{
	net->has_link = up;
	tell_link(net);
}

const char *virtio_net_quarantine_reason(const struct virtio_net *net)
{
	return virtio_device_quarantine_reason(&net->device);
}
