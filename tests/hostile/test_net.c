/* SPDX-License-Identifier: Apache-2.0 */

/* virtio-net: a driver that behaves gets its frames through in every mode there is, and one that does not loses its
 * own. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "devices/virtio_pci.h"

#define MERGEABLE (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define WRITABLE VRING_DESC_F_WRITE
#define FRAME 60

static struct bench *start(void **state, uint64_t features)
{
	struct bench *bench = bench_of(state);

	net_start(ENEMY(bench), features);
	return bench;
}

/* ---- Drivers that behave ---- */

/* Offers frame 'number' in three descriptors, directly or in an indirect table.  Its bytes tell the number. */
static void offer_frame(struct guest *guest, unsigned int number, bool indirect)
{
	struct driver *nic = &guest->nic;
	uint64_t buffer = driver_buffer(NET_TRANSMIT, number % 16 * 4);
	struct vring_desc parts[3] = {
		{.addr = buffer, .len = NET_HEADER, .flags = VRING_DESC_F_NEXT},
		{.addr = buffer + NET_HEADER, .len = 14, .flags = VRING_DESC_F_NEXT},
		{.addr = buffer + NET_HEADER + 14, .len = FRAME + number % 1000 - 14},
	};
	unsigned int head = number % 16 * 4;

	memset(driver_memory(nic, buffer, DRIVER_BUFFER_SIZE), 0, NET_HEADER);
	memset(driver_memory(nic, buffer + NET_HEADER, FRAME + 1000), (int)number, FRAME + 1000);
	for (unsigned int i = 0; i < 3; i++) {
		parts[i].next = (uint16_t)(indirect ? i + 1 : head + i + 1);
		if (indirect)
			driver_describe_indirect(nic, NET_TRANSMIT, i, parts[i]);
		else
			driver_describe(nic, NET_TRANSMIT, head + i, parts[i]);
	}
	if (indirect)
		driver_describe(nic, NET_TRANSMIT, head,
				(struct vring_desc){.addr = driver_table(NET_TRANSMIT),
						    .len = sizeof(parts),
						    .flags = VRING_DESC_F_INDIRECT});
	driver_offer(nic, NET_TRANSMIT, (uint16_t)head);
}

static void send_many(struct guest *guest, bool indirect)
{
	struct vring_used_elem used;

	for (unsigned int number = 0; number < 300; number++) {
		uint16_t before = guest->nic.queues[NET_TRANSMIT].next_available;

		offer_frame(guest, number, indirect);
		/* A driver kicks only when it is asked to: a device that sleeps without asking hangs here. */
		if (driver_kick_wanted(&guest->nic, NET_TRANSMIT, before))
			driver_kick(&guest->nic, NET_TRANSMIT);
		bench_settle(guest->bench);
		assert_int_equal(guest->wire.frames, number + 1);
		assert_int_equal(guest->wire.size, FRAME + number % 1000);
		assert_int_equal(guest->wire.frame[0], (uint8_t)number);
		assert_int_equal(guest->wire.frame[guest->wire.size - 1], (uint8_t)number);
		assert_true(driver_take_used(&guest->nic, NET_TRANSMIT, &used));
		assert_int_equal(used.id, number % 16 * 4);
	}
}

static void receive_many(struct guest *guest)
{
	struct vring_used_elem used;

	for (unsigned int number = 0; number < 300; number++) {
		unsigned int index = number % DRIVER_RING_SIZE;
		struct virtio_net_hdr_mrg_rxbuf header;
		const uint8_t *buffer = driver_memory(&guest->nic, driver_buffer(NET_RECEIVE, index),
						      DRIVER_BUFFER_SIZE);

		net_post(guest, index, DRIVER_BUFFER_SIZE);
		assert_int_equal(net_deliver(guest, (uint8_t)number, FRAME + number), VIRTIO_NET_DELIVERED);
		assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
		assert_int_equal(used.id, index);
		assert_int_equal(used.len, NET_HEADER + FRAME + number);
		memcpy(&header, buffer, sizeof(header));
		assert_int_equal(header.num_buffers, 1);
		assert_int_equal(header.hdr.flags, 0);
		assert_int_equal(buffer[NET_HEADER], (uint8_t)number);
		assert_int_equal(buffer[NET_HEADER + FRAME + number - 1], (uint8_t)number);
	}
}

static void passes_frames_with(void **state, uint64_t features)
{
	struct bench *bench = start(state, features);

	send_many(ENEMY(bench), features & VIRTIO_FEATURE_INDIRECT_DESC);
	receive_many(ENEMY(bench));
	assert_null(virtio_net_quarantine_reason(ENEMY(bench)->net));
}

static void passes_frames_plainly(void **state)
{
	passes_frames_with(state, 0);
}

static void passes_frames_with_event_indices(void **state)
{
	passes_frames_with(state, VIRTIO_FEATURE_EVENT_IDX);
}

static void passes_frames_with_indirect_descriptors(void **state)
{
	passes_frames_with(state, VIRTIO_FEATURE_INDIRECT_DESC);
}

static void passes_frames_with_mergeable_buffers(void **state)
{
	passes_frames_with(state, MERGEABLE);
}

static void passes_frames_with_everything(void **state)
{
	passes_frames_with(state, MERGEABLE | VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX);
}

static void takes_a_full_ring_with_one_kick(void **state)
{
	struct bench *bench = start(state, VIRTIO_FEATURE_EVENT_IDX);
	struct guest *guest = ENEMY(bench);

	assert_true(driver_negotiate(&guest->nic, VIRTIO_FEATURE_EVENT_IDX));
	driver_set_up_queue(&guest->nic, NET_TRANSMIT, 256);
	driver_add_status(&guest->nic, 4);
	for (unsigned int i = 0; i < 256; i++) {
		driver_describe(&guest->nic, NET_TRANSMIT, i,
				(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, 0), .len = NET_HEADER + FRAME});
		driver_offer(&guest->nic, NET_TRANSMIT, (uint16_t)i);
	}
	driver_kick(&guest->nic, NET_TRANSMIT);
	bench_settle(bench);
	assert_int_equal(guest->wire.frames, 256);
	assert_int_equal(driver_used_index(&guest->nic, NET_TRANSMIT), 256);
}

static void merges_buffers_for_a_long_frame(void **state)
{
	struct bench *bench = start(state, MERGEABLE);
	struct guest *guest = ENEMY(bench);
	struct virtio_net_hdr_mrg_rxbuf header;
	struct vring_used_elem used;
	size_t total = 0;

	for (unsigned int i = 0; i < 5; i++)
		net_post(guest, i, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(guest, 0x77, 9000), VIRTIO_NET_DELIVERED);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
		assert_int_equal(used.id, i);
		total += used.len;
	}
	assert_false(driver_take_used(&guest->nic, NET_RECEIVE, &used));
	assert_int_equal(total, NET_HEADER + 9000);
	memcpy(&header, driver_memory(&guest->nic, driver_buffer(NET_RECEIVE, 0), sizeof(header)), sizeof(header));
	assert_int_equal(header.num_buffers, 5);
	assert_int_equal(*(uint8_t *)driver_memory(&guest->nic, driver_buffer(NET_RECEIVE, 4) + used.len - 1, 1), 0x77);
}

/* How many buffers are free is the driver's word, and never more than there can be. */
static void free_buffers_are_counted(void **state)
{
	struct bench *bench = start(state, 0);
	struct guest *guest = ENEMY(bench);
	uint8_t *index = driver_memory(&guest->nic, guest->nic.queues[NET_RECEIVE].available + 2, 2);
	const uint16_t lie = 0x8000;
	uint16_t count;

	assert_true(virtio_net_receive_ring_free(guest->net, &count));
	assert_int_equal(count, 0);
	for (unsigned int i = 0; i < 5; i++)
		net_post(guest, i, DRIVER_BUFFER_SIZE);
	assert_true(virtio_net_receive_ring_free(guest->net, &count));
	assert_int_equal(count, 5);
	assert_int_equal(net_deliver(guest, 1, FRAME), VIRTIO_NET_DELIVERED);
	assert_true(virtio_net_receive_ring_free(guest->net, &count));
	assert_int_equal(count, 4);
	memcpy(index, &lie, sizeof(lie));
	assert_true(virtio_net_receive_ring_free(guest->net, &count));
	assert_int_equal(count, 0);
	/* What is wrong is found when buffers are looked for beyond those that were seen. */
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(net_deliver(guest, 1, FRAME), VIRTIO_NET_DELIVERED);
	assert_int_equal(net_deliver(guest, 1, FRAME), VIRTIO_NET_NOT_READY);
	assert_false(virtio_net_receive_ring_free(guest->net, &count));
	assert_int_equal(count, 0);
}

static void set_used_event(struct guest *guest, uint16_t index)
{
	uint64_t address = guest->nic.queues[NET_RECEIVE].available + 4 + 2 * DRIVER_RING_SIZE;

	memcpy(driver_memory(&guest->nic, address, 2), &index, 2);
}

static void receive_one(struct guest *guest, unsigned int index)
{
	net_post(guest, index, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(guest, 1, FRAME), VIRTIO_NET_DELIVERED);
}

static void interrupts_when_the_used_event_says(void **state)
{
	struct bench *bench = start(state, VIRTIO_FEATURE_EVENT_IDX);
	struct guest *guest = ENEMY(bench);
	const unsigned int vector = NET_RECEIVE + 1;

	receive_one(guest, 0); /* The first is always told. */
	assert_true(driver_is_pending(&guest->nic, vector));
	driver_clear_pending(&guest->nic, vector);
	set_used_event(guest, 2);
	receive_one(guest, 1);
	assert_false(driver_is_pending(&guest->nic, vector));
	receive_one(guest, 2);
	assert_true(driver_is_pending(&guest->nic, vector));
}

static void interrupts_unless_the_flag_forbids(void **state)
{
	static const uint16_t forbid = VRING_AVAIL_F_NO_INTERRUPT;
	struct bench *bench = start(state, 0);
	struct guest *guest = ENEMY(bench);
	const unsigned int vector = NET_RECEIVE + 1;

	receive_one(guest, 0);
	assert_true(driver_is_pending(&guest->nic, vector));
	driver_clear_pending(&guest->nic, vector);
	memcpy(driver_memory(&guest->nic, guest->nic.queues[NET_RECEIVE].available, 2), &forbid, sizeof(forbid));
	receive_one(guest, 1);
	assert_false(driver_is_pending(&guest->nic, vector));
}

/* Both chains must end where they belong. */
static void sender_is_answered_while_it_sends(void **state)
{
	struct bench *bench = start(state, 0);
	struct guest *guest = ENEMY(bench);
	struct vring_used_elem used;
	uint8_t frame[200];

	guest->wire.answers = true;
	memset(frame, 0x42, sizeof(frame));
	for (unsigned int i = 0; i < 8; i++)
		net_post(guest, 40 + i, DRIVER_BUFFER_SIZE);
	for (unsigned int i = 0; i < 8; i++) {
		net_send(guest, NULL, frame, sizeof(frame));
		assert_true(driver_take_used(&guest->nic, NET_TRANSMIT, &used));
		assert_int_equal(used.id, i);
		assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
		assert_int_equal(used.id, 40 + i);
		assert_int_equal(used.len, NET_HEADER + sizeof(frame));
	}
	guest->wire.answers = false;
	bench_expect_tolerated(bench);
}

static void full_ring_is_said_and_recovers(void **state)
{
	struct bench *bench = start(state, MERGEABLE);

	assert_int_equal(net_deliver(ENEMY(bench), 1, FRAME), VIRTIO_NET_RING_FULL);
	net_post(ENEMY(bench), 0, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 5000), VIRTIO_NET_RING_FULL);
	assert_int_equal(net_deliver(ENEMY(bench), 1, FRAME), VIRTIO_NET_DELIVERED);
}

/* The MTU is the wire's: whether the driver knows of it makes no difference. */
static void frames_longer_than_the_mtu_are_lost(void **state)
{
	static const uint64_t features[] = {MERGEABLE, MERGEABLE | 1ull << VIRTIO_NET_F_MTU};
	const size_t longest = BENCH_MTU + 14 + 2 * 4; /* With two VLAN tags. */

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		struct bench *bench = start(state, features[i]);
		struct guest *guest = ENEMY(bench);

		assert_int_equal(driver_read(&guest->nic, BAR_DEVICE + 10, 2), BENCH_MTU);
		assert_true(driver_offered(&guest->nic) & 1ull << VIRTIO_NET_F_MTU);
		for (unsigned int buffer = 0; buffer < 8; buffer++)
			net_post(guest, buffer, DRIVER_BUFFER_SIZE);
		assert_int_equal(net_deliver(guest, 1, longest + 1), VIRTIO_NET_MTU);
		assert_int_equal(net_deliver(guest, 1, FRAME_SIZE_MAX), VIRTIO_NET_MTU);
		assert_int_equal(driver_used_index(&guest->nic, NET_RECEIVE), 0);
		assert_int_equal(net_deliver(guest, 1, longest), VIRTIO_NET_DELIVERED);
		net_start(guest, 0);
		bench_expect_tolerated(bench);
	}
}

struct link_change {
	struct virtio_net *net;
	bool up;
};

static void set_link(void *opaque)
{
	struct link_change *change = opaque;

	virtio_net_set_link(change->net, change->up);
}

static void carrier_is_told(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;
	struct link_change change = {.net = ENEMY(bench)->net};
	uint32_t generation = driver_read(nic, 21, 1);

	assert_int_equal(driver_read(nic, BAR_DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP);
	loop_call(bench->plane, set_link, &change);
	assert_int_equal(driver_read(nic, BAR_DEVICE + 6, 2), 0);
	assert_true(driver_is_pending(nic, DRIVER_VECTOR_CONFIG));
	assert_int_not_equal(driver_read(nic, 21, 1), generation);
}

/* ---- Drivers that do not ---- */

static void case_20_chain_shorter_than_header(void **state)
{
	struct bench *bench = bench_of(state);

	for (uint32_t size = 1; size < NET_HEADER; size++) {
		net_start(ENEMY(bench), 0);
		driver_describe(&ENEMY(bench)->nic, NET_TRANSMIT, 0,
				(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, 0), .len = size});
		driver_offer(&ENEMY(bench)->nic, NET_TRANSMIT, 0);
		driver_kick(&ENEMY(bench)->nic, NET_TRANSMIT);
		bench_expect_quarantine(bench, "transmit chain is writable or shorter than the header");
	}
}

static void case_20_receive_buffer_shorter_than_header(void **state)
{
	struct bench *bench = start(state, MERGEABLE);

	net_post(ENEMY(bench), 0, NET_HEADER - 1);
	assert_int_equal(net_deliver(ENEMY(bench), 1, FRAME), VIRTIO_NET_NOT_READY);
	bench_expect_quarantine(bench, "receive chain is readable or shorter than the header");
}

static void case_21_runts(void **state)
{
	uint8_t frame[FRAME];
	struct bench *bench = start(state, 0);

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(0x80 + i);
	for (size_t size = 0; size < FRAME_SIZE_MIN; size++) {
		net_send(ENEMY(bench), NULL, frame, size);
		assert_int_equal(ENEMY(bench)->wire.size, size);
		assert_int_equal(ENEMY(bench)->wire.refused_size, size);
		assert_memory_equal(ENEMY(bench)->wire.frame, frame, size);
	}
	assert_int_equal(ENEMY(bench)->wire.frames, 0);
	assert_int_equal(ENEMY(bench)->wire.refused[VIRTIO_NET_RUNT], FRAME_SIZE_MIN);
	net_send(ENEMY(bench), NULL, frame, FRAME_SIZE_MIN);
	assert_int_equal(ENEMY(bench)->wire.frames, 1);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void send_long(struct bench *bench, uint32_t size)
{
	struct driver *nic = &ENEMY(bench)->nic;
	uint16_t head = nic->queues[NET_TRANSMIT].next_available % DRIVER_RING_SIZE;

	driver_describe(nic, NET_TRANSMIT, head,
			(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, 0), .len = NET_HEADER + size});
	driver_offer(nic, NET_TRANSMIT, head);
	driver_kick(nic, NET_TRANSMIT);
	bench_settle(bench);
}

static void case_21_giants(void **state)
{
	struct bench *bench = start(state, 0);

	send_long(bench, FRAME_SIZE_MAX);
	assert_int_equal(ENEMY(bench)->wire.size, FRAME_SIZE_MAX);
	memset(driver_memory(&ENEMY(bench)->nic, driver_buffer(NET_TRANSMIT, 0) + NET_HEADER, FRAME_SIZE_MAX + 1), 0x5a,
	       FRAME_SIZE_MAX + 1);
	send_long(bench, FRAME_SIZE_MAX + 1);
	assert_int_equal(ENEMY(bench)->wire.refused_size, FRAME_SIZE_MAX + 1);
	assert_int_equal(ENEMY(bench)->wire.size, FRAME_SIZE_MAX);
	for (size_t i = 0; i < FRAME_SIZE_MAX; i++)
		assert_int_equal(ENEMY(bench)->wire.frame[i], 0x5a);
	send_long(bench, 0xa00000);
	assert_int_equal(ENEMY(bench)->wire.refused_size, 0xa00000);
	assert_int_equal(ENEMY(bench)->wire.size, FRAME_SIZE_MAX);
	assert_int_equal(ENEMY(bench)->wire.frames, 1);
	assert_int_equal(ENEMY(bench)->wire.refused[VIRTIO_NET_OVERSIZED], 2);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

/* No offload is offered, so a header that asks for one costs its frame, whatever else it says (cases 22 to 24). */
static void check_refused(void **state, const struct virtio_net_hdr *headers, unsigned int count)
{
	uint8_t frame[FRAME];
	struct bench *bench = start(state, 0);

	for (unsigned int i = 0; i < count; i++) {
		struct virtio_net_hdr_mrg_rxbuf header = {.hdr = headers[i]};

		memset(frame, 0x40 + (int)i, sizeof(frame));

		net_send(ENEMY(bench), &header, frame, sizeof(frame));
		assert_int_equal(ENEMY(bench)->wire.refused[VIRTIO_NET_OFFLOAD], i + 1);
		/* What it was is to be seen, and nothing that it asked for. */
		assert_int_equal(ENEMY(bench)->wire.size, sizeof(frame));
		assert_memory_equal(ENEMY(bench)->wire.frame, frame, sizeof(frame));
		assert_int_equal(ENEMY(bench)->wire.offload.checksum_start, 0);
	}
	assert_int_equal(ENEMY(bench)->wire.frames, 0);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_22_checksum_beyond_the_end(void **state)
{
	static const struct virtio_net_hdr headers[] = {
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 61},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 0xffff, .csum_offset = 0xffff},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 59, .csum_offset = 0xfffe},
	};

	check_refused(state, headers, 3);
}

static void case_23_segmentation_nonsense(void **state)
{
	static const struct virtio_net_hdr headers[] = {
		{.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0},
		{.gso_type = 0x7f, .gso_size = 100},
		{.gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 100},
		{.gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1, .hdr_len = 0xffff},
		{.gso_type = VIRTIO_NET_HDR_GSO_ECN},
	};

	check_refused(state, headers, 5);
}

static void case_24_offload_not_negotiated(void **state)
{
	static const struct virtio_net_hdr headers[] = {
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16},
		{.flags = VIRTIO_NET_HDR_F_DATA_VALID},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 40},
	};

	check_refused(state, headers, 3);
}

static void case_25_receive_buffer_too_small(void **state)
{
	struct bench *bench = start(state, 0);

	net_post(ENEMY(bench), 0, 200);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 1514), VIRTIO_NET_TOO_LONG);
	assert_int_equal(driver_used_index(&ENEMY(bench)->nic, NET_RECEIVE), 0);
	/* The buffer is still there for a frame that fits. */
	assert_int_equal(net_deliver(ENEMY(bench), 1, FRAME), VIRTIO_NET_DELIVERED);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_25_more_small_buffers_than_may_be_merged(void **state)
{
	struct bench *bench = start(state, MERGEABLE);

	for (unsigned int i = 0; i < DRIVER_RING_SIZE; i++)
		net_post(ENEMY(bench), i, 16);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 1514), VIRTIO_NET_TOO_LONG);
	assert_int_equal(driver_used_index(&ENEMY(bench)->nic, NET_RECEIVE), 0);
	assert_int_equal(net_deliver(ENEMY(bench), 1, FRAME), VIRTIO_NET_DELIVERED);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

/* Starts the enemy with queues of the largest size, which is what a chain needs to be as long as one may be. */
static struct bench *start_large(void **state, uint64_t features)
{
	struct bench *bench = bench_of(state);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_attach(nic, ENEMY(bench)->machine, BENCH_SLOT_NET);
	assert_true(driver_negotiate(nic, features));
	driver_set_up_queue(nic, NET_RECEIVE, VIRTQUEUE_SIZE_MAX);
	driver_set_up_queue(nic, NET_TRANSMIT, VIRTQUEUE_SIZE_MAX);
	driver_add_status(nic, VIRTIO_CONFIG_S_DRIVER_OK);
	return bench;
}

/* Makes all descriptors of the receive queue, or of its indirect table, one chain of 'size' bytes each. */
static void describe_pieces(struct bench *bench, bool indirect, uint64_t address, uint32_t size)
{
	for (unsigned int i = 0; i < VIRTQUEUE_SIZE_MAX; i++) {
		struct vring_desc piece = {.addr = address, .len = size, .flags = WRITABLE | VRING_DESC_F_NEXT};

		piece.next = (uint16_t)(i + 1);
		if (i + 1 == VIRTQUEUE_SIZE_MAX)
			piece.flags = WRITABLE;
		if (indirect)
			driver_describe_indirect(&ENEMY(bench)->nic, NET_RECEIVE, i, piece);
		else
			driver_describe(&ENEMY(bench)->nic, NET_RECEIVE, i, piece);
	}
}

/* Has 12 bytes in its last descriptor, and nothing in the 255 before it: the device could look at the chain for ever.
 * */
static void describe_header_behind_nothing(struct bench *bench, bool indirect)
{
	struct vring_desc last = {.addr = driver_buffer(NET_RECEIVE, 0), .len = NET_HEADER, .flags = WRITABLE};

	describe_pieces(bench, indirect, last.addr, 0);
	if (indirect)
		driver_describe_indirect(&ENEMY(bench)->nic, NET_RECEIVE, VIRTQUEUE_SIZE_MAX - 1, last);
	else
		driver_describe(&ENEMY(bench)->nic, NET_RECEIVE, VIRTQUEUE_SIZE_MAX - 1, last);
}

static void offer_all_of_the_same_chain(struct bench *bench)
{
	for (unsigned int i = 0; i < VIRTQUEUE_SIZE_MAX; i++)
		driver_offer(&ENEMY(bench)->nic, NET_RECEIVE, 0);
}

static void case_25_receive_buffers_of_many_descriptors(void **state)
{
	struct bench *bench = start_large(state, MERGEABLE);

	describe_header_behind_nothing(bench, false);
	offer_all_of_the_same_chain(bench);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 1514), VIRTIO_NET_NOT_READY);
	assert_int_equal(driver_used_index(&ENEMY(bench)->nic, NET_RECEIVE), 0);
	bench_expect_quarantine(bench, "receive buffers of one frame have too many descriptors");
}

static void case_25_receive_buffers_of_many_indirect_descriptors(void **state)
{
	struct bench *bench = start_large(state, MERGEABLE | VIRTIO_FEATURE_INDIRECT_DESC);

	describe_header_behind_nothing(bench, true);
	driver_describe(&ENEMY(bench)->nic, NET_RECEIVE, 0,
			(struct vring_desc){.addr = driver_table(NET_RECEIVE),
					    .len = 16 * VIRTQUEUE_SIZE_MAX,
					    .flags = VRING_DESC_F_INDIRECT});
	offer_all_of_the_same_chain(bench);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 1514), VIRTIO_NET_NOT_READY);
	bench_expect_quarantine(bench, "receive buffers of one frame have too many descriptors");
}

/* One chain may be as long as any, and have its bytes anywhere. */
static void case_25_receive_buffer_in_small_pieces(void **state)
{
	static const uint64_t features[] = {0, MERGEABLE};
	struct vring_used_elem used;

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		struct bench *bench = start_large(state, features[i]);
		struct driver *nic = &ENEMY(bench)->nic;

		for (unsigned int piece = 0; piece < VIRTQUEUE_SIZE_MAX; piece++)
			driver_describe(nic, NET_RECEIVE, piece,
					(struct vring_desc){
						.addr = driver_buffer(NET_RECEIVE, piece),
						.len = 7,
						.flags = piece + 1 < VIRTQUEUE_SIZE_MAX ? WRITABLE | VRING_DESC_F_NEXT :
											  WRITABLE,
						.next = (uint16_t)(piece + 1),
					});
		driver_offer(nic, NET_RECEIVE, 0);
		assert_int_equal(net_deliver(ENEMY(bench), 0x66, 1514), VIRTIO_NET_DELIVERED);
		assert_true(driver_take_used(nic, NET_RECEIVE, &used));
		assert_int_equal(used.len, NET_HEADER + 1514);
		assert_int_equal(*(uint8_t *)driver_memory(nic, driver_buffer(NET_RECEIVE, 1) + 5, 1), 0x66);
		assert_int_equal(*(uint8_t *)driver_memory(nic, driver_buffer(NET_RECEIVE, 218 - 1) + 6, 1), 0x66);
		assert_int_equal(*(uint8_t *)driver_memory(nic, driver_buffer(NET_RECEIVE, 218), 1), 0);
		net_start(ENEMY(bench), 0);
		bench_expect_tolerated(bench);
	}
}

/* Counted as three buffers of one descriptor each, and filled as chains that are too long together: the first buffer is
 * the table of descriptors, and the frame has others for it. */
static void case_16_receive_buffers_grow_while_filled(void **state)
{
	struct bench *bench = start_large(state, MERGEABLE);
	uint8_t table[16 * VIRTQUEUE_SIZE_MAX + 2 * DRIVER_BUFFER_SIZE] = {0};

	for (unsigned int i = 0; i < 3; i++)
		net_post(ENEMY(bench), i, DRIVER_BUFFER_SIZE);
	driver_describe(&ENEMY(bench)->nic, NET_RECEIVE, 0,
			(struct vring_desc){.addr = DRIVER_BASE, .len = 16 * VIRTQUEUE_SIZE_MAX, .flags = WRITABLE});
	for (unsigned int i = 1; i < VIRTQUEUE_SIZE_MAX; i++) {
		const struct vring_desc piece = {
			.addr = driver_buffer(NET_RECEIVE, i),
			.len = 1,
			.flags = i + 1 < VIRTQUEUE_SIZE_MAX ? WRITABLE | VRING_DESC_F_NEXT : WRITABLE,
			.next = (uint16_t)(i + 1),
		};

		memcpy(table + 16 * (size_t)i, &piece, sizeof(piece));
	}
	/* The device's own header comes before the frame. */
	assert_int_equal(net_deliver_bytes(ENEMY(bench), table + NET_HEADER, sizeof(table) - NET_HEADER),
			 VIRTIO_NET_NOT_READY);
	bench_expect_quarantine(bench, "receive buffers changed while in use");
}

/* Each piece is the whole of memory. */
static void case_10_receive_lengths_sum_beyond_32_bits(void **state)
{
	static const uint64_t features[] = {0, MERGEABLE};
	struct vring_used_elem used;

	_Static_assert(BENCH_MEMORY * VIRTQUEUE_SIZE_MAX >= 1ull << 32, "the sum has to be too large for 32 bits");
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		struct bench *bench = start_large(state, features[i]);

		describe_pieces(bench, false, 0, (uint32_t)BENCH_MEMORY);
		driver_offer(&ENEMY(bench)->nic, NET_RECEIVE, 0);
		assert_int_equal(net_deliver(ENEMY(bench), 1, 1514), VIRTIO_NET_DELIVERED);
		assert_true(driver_take_used(&ENEMY(bench)->nic, NET_RECEIVE, &used));
		assert_int_equal(used.len, NET_HEADER + 1514);
		net_start(ENEMY(bench), 0);
		bench_expect_tolerated(bench);
	}
}

/* A wire does not ask who speaks; what a switch does with such addresses is tested with the switch. */
static void case_26_spoofed_and_group_source_addresses(void **state)
{
	struct bench *bench = start(state, 0);
	uint8_t frame[FRAME];

	memset(frame, 0xff, sizeof(frame));
	net_send(ENEMY(bench), NULL, frame, sizeof(frame));
	assert_int_equal(ENEMY(bench)->wire.frames, 1);
	assert_memory_equal(ENEMY(bench)->wire.frame, frame, sizeof(frame));
	bench_expect_tolerated(bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(passes_frames_plainly),
		CASE(passes_frames_with_event_indices),
		CASE(passes_frames_with_indirect_descriptors),
		CASE(passes_frames_with_mergeable_buffers),
		CASE(passes_frames_with_everything),
		CASE(takes_a_full_ring_with_one_kick),
		CASE(merges_buffers_for_a_long_frame),
		CASE(free_buffers_are_counted),
		CASE(interrupts_when_the_used_event_says),
		CASE(interrupts_unless_the_flag_forbids),
		CASE(sender_is_answered_while_it_sends),
		CASE(full_ring_is_said_and_recovers),
		CASE(frames_longer_than_the_mtu_are_lost),
		CASE(carrier_is_told),
		CASE(case_10_receive_lengths_sum_beyond_32_bits),
		CASE(case_16_receive_buffers_grow_while_filled),
		CASE(case_20_chain_shorter_than_header),
		CASE(case_20_receive_buffer_shorter_than_header),
		CASE(case_21_runts),
		CASE(case_21_giants),
		CASE(case_22_checksum_beyond_the_end),
		CASE(case_23_segmentation_nonsense),
		CASE(case_24_offload_not_negotiated),
		CASE(case_25_receive_buffer_too_small),
		CASE(case_25_more_small_buffers_than_may_be_merged),
		CASE(case_25_receive_buffers_of_many_descriptors),
		CASE(case_25_receive_buffers_of_many_indirect_descriptors),
		CASE(case_25_receive_buffer_in_small_pieces),
		CASE(case_26_spoofed_and_group_source_addresses),
	};

	return cmocka_run_group_tests_name("hostile/net", tests, NULL, NULL);
}
