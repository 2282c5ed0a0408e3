/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "core/memory.h"
#include "devices/virtio_net.h"
#include "devices/virtio_pci.h"
#include "netlab/dataplane.h"
#include "tests/fuzz/stand_in.h"

#define SLOT 8
#define BAR_NOTIFY 0x3000
#define PCI_COMMAND 4
#define PCI_BAR0 0x10
#define PCI_COMMAND_MEMORY_AND_MASTER 6

/* Memory: rings of each queue, then its buffers. */
#define QUEUE_STEP 0x200000ull
#define AVAILABLE 0x2000
#define USED 0x4000
#define BUFFERS 0x10000
#define MEMORY_SIZE (2 * QUEUE_STEP)

/* As Linux has for mergeable buffers at an MTU of 1500, a multiple of a cache line, ... */
#define BUFFER_SIZE 1536
/* ... and for long frames, when it has seen some. */
#define LONG_BUFFER_SIZE 4096
/* Long frames are sent from few buffers, as a sender's socket has them in its cache. */
#define LONG_SEND_SIZE 69632
#define LONG_SEND_COUNT 16u

#define TCP_HEADERS_SIZE 54
#define SEGMENT_SIZE 1460

#define HEADER_SIZE sizeof(struct virtio_net_hdr_mrg_rxbuf)
/* Where a frame has its number, behind an Ethernet header or that of TCP. */
#define NUMBER_AT(guest) ((guest)->has_offload ? TCP_HEADERS_SIZE : 16)

static void fail(const char *text)
{
	fprintf(stderr, "%s\n", text);
	exit(1);
}

/* NIC and port. */

static void on_transmit(void *opaque, const struct frame *frame)
{
	struct guest *guest = opaque;

	port_transmit(guest->port, frame);
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size)
{
	struct guest *guest = opaque;

	(void)reason;
	port_refused(guest->port, frame, size);
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct guest *guest = opaque;
	enum virtio_net_result result = virtio_net_receive(guest->net, frame);

	return result == VIRTIO_NET_DELIVERED ? PORT_DELIVERED :
	       result == VIRTIO_NET_FILTERED  ? PORT_FILTERED :
						PORT_RING_FULL;
}

static bool takes(void *opaque, const struct frame *frame)
{
	const struct guest *guest = opaque;

	return virtio_net_takes(guest->net, frame);
}

static void flush(void *opaque)
{
	struct guest *guest = opaque;

	virtio_net_flush(guest->net);
}

static const struct virtio_net_ops net_ops = {.transmit = on_transmit, .refused = on_refused};
static const struct port_ops port_ops = {.deliver = deliver, .flush = flush, .takes = takes};

/* loop_function */
static void plug(void *opaque)
{
	struct guest *guest = opaque;

	port_plug(guest->port, &port_ops, guest);
}

/* The driver. */

static void write_register(const struct guest *guest, uint64_t offset, unsigned int size, uint64_t value)
{
	stand_in_access(guest->machine, guest->bar + offset, size, value, true);
}

static void write_address(const struct guest *guest, uint64_t offset, uint64_t address)
{
	write_register(guest, offset, 4, (uint32_t)address);
	write_register(guest, offset + 4, 4, address >> 32);
}

static void set_up_queue(struct guest *guest, struct guest_queue *queue, unsigned int number)
{
	uint64_t base = number * QUEUE_STEP;

	queue->number = number;
	queue->descriptors = (struct vring_desc *)(void *)(guest->memory + base);
	queue->available = (struct vring_avail *)(void *)(guest->memory + base + AVAILABLE);
	queue->used = (struct vring_used *)(void *)(guest->memory + base + USED);
	queue->buffers = base + BUFFERS;
	write_register(guest, VIRTIO_PCI_COMMON_Q_SELECT, 2, number);
	write_register(guest, VIRTIO_PCI_COMMON_Q_SIZE, 2, GUEST_RING);
	write_address(guest, VIRTIO_PCI_COMMON_Q_DESCLO, base);
	write_address(guest, VIRTIO_PCI_COMMON_Q_AVAILLO, base + AVAILABLE);
	write_address(guest, VIRTIO_PCI_COMMON_Q_USEDLO, base + USED);
	write_register(guest, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void add_status(const struct guest *guest, uint8_t bits)
{
	uint64_t status = stand_in_access(guest->machine, guest->bar + VIRTIO_PCI_COMMON_STATUS, 1, 0, false);

	write_register(guest, VIRTIO_PCI_COMMON_STATUS, 1, status | bits);
}

static void start_driver(struct guest *guest, uint64_t features)
{
	guest->bar = 0xc0000000;
	stand_in_config(guest->machine, SLOT, PCI_BAR0, 4, guest->bar, true);
	stand_in_config(guest->machine, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY_AND_MASTER, true);
	add_status(guest, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	for (unsigned int i = 0; i < 2; i++) {
		write_register(guest, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		write_register(guest, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> 32 * i));
	}
	add_status(guest, VIRTIO_CONFIG_S_FEATURES_OK);
	set_up_queue(guest, &guest->receive, 0);
	set_up_queue(guest, &guest->transmit, 1);
	add_status(guest, VIRTIO_CONFIG_S_DRIVER_OK);
	if (virtio_net_quarantine_reason(guest->net))
		fail(virtio_net_quarantine_reason(guest->net));
}

/* The event index of the other side, and ours, stand behind the rings (virtio 1.2, 2.7.10). */
static uint16_t *used_event(const struct guest_queue *queue)
{
	return &queue->available->ring[GUEST_RING];
}

static const uint16_t *available_event(const struct guest_queue *queue)
{
	return (const uint16_t *)(const void *)&queue->used->ring[GUEST_RING];
}

static void post(struct guest_queue *queue, uint16_t index, uint64_t address, uint32_t length, uint16_t flags)
{
	uint16_t slot = index % GUEST_RING;

	queue->descriptors[slot] = (struct vring_desc){.addr = address, .len = length, .flags = flags};
	queue->available->ring[slot] = slot;
}

/* Shows the device what was posted up to 'index', and notifies it when it wants that. */
static void publish(const struct guest *guest, struct guest_queue *queue, uint16_t index)
{
	uint16_t before = queue->posted;

	if (index == before)
		return;
	queue->posted = index;
	*used_event(queue) = (uint16_t)(queue->seen + 0x8000); /* Never. */
	__atomic_store_n(&queue->available->idx, index, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vring_need_event(__atomic_load_n(available_event(queue), __ATOMIC_ACQUIRE), index, before))
		write_register(guest, BAR_NOTIFY + 4ull * queue->number, 2, queue->number);
}

static uint16_t used_index(const struct guest_queue *queue)
{
	return __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE);
}

static uint32_t receive_size(const struct guest *guest)
{
	return guest->has_offload ? LONG_BUFFER_SIZE : BUFFER_SIZE;
}

/* Where the frame in this slot of the transmit ring is, with the header before it. */
static uint64_t send_buffer(const struct guest *guest, uint16_t slot)
{
	return guest->transmit.buffers + (guest->has_offload ? (uint64_t)(slot % LONG_SEND_COUNT) * LONG_SEND_SIZE :
							       (uint64_t)slot * BUFFER_SIZE);
}

unsigned int guest_send(struct guest *guest, unsigned int count)
{
	struct guest_queue *queue = &guest->transmit;
	uint16_t index = queue->posted, room;

	queue->seen = used_index(queue);
	room = (uint16_t)(GUEST_RING - (uint16_t)(index - queue->seen));
	if (count > room)
		count = room;
	for (unsigned int i = 0; i < count; i++, index++) {
		uint64_t buffer = send_buffer(guest, index % GUEST_RING);
		uint32_t number = guest->number_sent++;

		if (!guest->is_untouched)
			memcpy(guest->memory + buffer + HEADER_SIZE + NUMBER_AT(guest), &number, sizeof(number));
		post(queue, index, buffer, (uint32_t)HEADER_SIZE + guest->frame_size, 0);
	}
	publish(guest, queue, index);
	guest->sent += count;
	return count;
}

/* The first buffer of a frame.  Returns how many there are. */
static unsigned int look_at(struct guest *guest, const struct vring_used_elem *element)
{
	const uint8_t *buffer = guest->memory + guest->receive.buffers +
				(uint64_t)(element->id % GUEST_RING) * receive_size(guest);
	struct virtio_net_hdr_mrg_rxbuf header;
	uint32_t number;

	memcpy(&header, buffer, sizeof(header));
	guest->bytes -= HEADER_SIZE;
	if (guest->is_untouched)
		return header.num_buffers;
	memcpy(&number, buffer + HEADER_SIZE + NUMBER_AT(guest), sizeof(number));
	guest->misordered += number != guest->number_received;
	guest->number_received = number + 1;
	return header.num_buffers;
}

static void post_receive(struct guest *guest, uint16_t index)
{
	struct guest_queue *queue = &guest->receive;

	post(queue, index, queue->buffers + (uint64_t)(index % GUEST_RING) * receive_size(guest), receive_size(guest),
	     VRING_DESC_F_WRITE);
}

unsigned int guest_receive(struct guest *guest)
{
	struct guest_queue *queue = &guest->receive;
	uint16_t end = used_index(queue), index = queue->posted;
	unsigned int count = 0, left = 0;

	/* Buffers of one frame are shown together. */
	for (; queue->seen != end; queue->seen++, index++, left--) {
		const struct vring_used_elem *element = &queue->used->ring[queue->seen % GUEST_RING];

		if (left == 0) {
			left = look_at(guest, element);
			count++;
		}
		guest->bytes += element->len;
		post_receive(guest, index);
	}
	publish(guest, queue, index);
	guest->received += count;
	return count;
}

static void set_mac(uint8_t *mac, unsigned int number)
{
	memcpy(mac, (const uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)number}, 6);
}

/* What Linux leaves undone: it is checked by the device, so it must be right. */
static void write_tcp(uint8_t *buffer, uint32_t size)
{
	static const uint8_t headers[TCP_HEADERS_SIZE] = {
		[12] = 0x08, [14] = 0x45, [20] = 0x40, [22] = 64,   [23] = 6,
		[26] = 10,   [30] = 10,   [46] = 0x50, [47] = 0x10,
	};
	const struct virtio_net_hdr_mrg_rxbuf header = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
								.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
								.hdr_len = TCP_HEADERS_SIZE,
								.gso_size = SEGMENT_SIZE,
								.csum_start = 34,
								.csum_offset = 16}};
	uint8_t *frame = buffer + HEADER_SIZE;

	memcpy(buffer, &header, sizeof(header));
	memcpy(frame + 12, headers + 12, sizeof(headers) - 12);
	frame[16] = (uint8_t)((size - 14) >> 8);
	frame[17] = (uint8_t)(size - 14);
}

void guest_address(struct guest *guest, unsigned int from, unsigned int to)
{
	for (unsigned int i = 0; i < GUEST_RING; i++) {
		uint8_t *buffer = guest->memory + send_buffer(guest, (uint16_t)i), *frame = buffer + HEADER_SIZE;

		if (to == GUEST_ALL)
			memset(frame, 0xff, 6);
		else
			set_mac(frame, to);
		set_mac(frame + 6, from);
		frame[12] = 0x88; /* An EtherType for experiments (IEEE Std 802, 9.2.3). */
		frame[13] = 0xb5;
		if (guest->has_offload)
			write_tcp(buffer, guest->frame_size);
	}
}

static uint64_t offload_features(bool has_offload)
{
	return has_offload ? 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |
				     1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO4 :
			     0;
}

void guest_create(struct guest *guest, struct dataplane *dataplane, unsigned int number, uint32_t size)
{
	struct virtio_net_options options = {.mtu = 1500,
					     .slot = SLOT,
					     .has_offload = size > GUEST_MTU_FRAME,
					     .ops = &net_ops,
					     .opaque = guest};
	struct error error = {.text = "out of memory"};
	char name[32];

	snprintf(name, sizeof(name), "h%u:eth0", number + 1);
	set_mac(options.mac, number);
	options.name = name;
	*guest = (struct guest){.dataplane = dataplane,
				.machine = stand_in_create(MEMORY_SIZE),
				.has_offload = options.has_offload,
				.frame_size = size};
	guest->window = GUEST_RING / ((size + (unsigned int)HEADER_SIZE - 1) / receive_size(guest) + 1);
	guest->memory = machine_memory(guest->machine)->base;
	guest->net = virtio_net_create(guest->machine, dataplane_loop(dataplane), &options, &error);
	guest->port = dataplane_add_port(dataplane, name);
	if (!guest->net || !guest->port)
		fail(error.text);
	dataplane_call(dataplane, plug, guest);
	start_driver(guest, offload_features(guest->has_offload) | 1ull << VIRTIO_NET_F_MRG_RXBUF |
				    VIRTIO_FEATURE_VERSION_1 | VIRTIO_FEATURE_EVENT_IDX | VIRTIO_FEATURE_INDIRECT_DESC);
	for (unsigned int i = 0; i < GUEST_RING; i++)
		post_receive(guest, (uint16_t)i);
	publish(guest, &guest->receive, GUEST_RING);
}

/* loop_function */
static void unplug(void *opaque)
{
	struct guest *guest = opaque;

	port_plug(guest->port, NULL, NULL);
}

void guest_destroy(struct guest *guest)
{
	dataplane_call(guest->dataplane, unplug, guest);
	stand_in_destroy(guest->machine);
}
