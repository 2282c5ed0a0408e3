/* SPDX-License-Identifier: Apache-2.0 */

/* virtio-net: a driver that behaves gets its frames through in every mode there is, and one that does not loses its own. */

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
	static const uint8_t frame[FRAME];
	struct bench *bench = start(state, 0);

	for (size_t size = 0; size < FRAME_SIZE_MIN; size++)
		net_send(ENEMY(bench), NULL, frame, size);
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
	send_long(bench, FRAME_SIZE_MAX + 1);
	send_long(bench, 0xa00000);
	assert_int_equal(ENEMY(bench)->wire.frames, 1);
	assert_int_equal(ENEMY(bench)->wire.refused[VIRTIO_NET_OVERSIZED], 2);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

/* No offload is offered, so a header that asks for one costs its frame, whatever else it says (cases 22 to 24). */
static void check_refused(void **state, const struct virtio_net_hdr *headers, unsigned int count)
{
	static const uint8_t frame[FRAME];
	struct bench *bench = start(state, 0);

	for (unsigned int i = 0; i < count; i++) {
		struct virtio_net_hdr_mrg_rxbuf header = {.hdr = headers[i]};

		net_send(ENEMY(bench), &header, frame, sizeof(frame));
		assert_int_equal(ENEMY(bench)->wire.refused[VIRTIO_NET_OFFLOAD], i + 1);
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
		CASE(interrupts_when_the_used_event_says),
		CASE(interrupts_unless_the_flag_forbids),
		CASE(sender_is_answered_while_it_sends),
		CASE(full_ring_is_said_and_recovers),
		CASE(carrier_is_told),
		CASE(case_20_chain_shorter_than_header),
		CASE(case_20_receive_buffer_shorter_than_header),
		CASE(case_21_runts),
		CASE(case_21_giants),
		CASE(case_22_checksum_beyond_the_end),
		CASE(case_23_segmentation_nonsense),
		CASE(case_24_offload_not_negotiated),
		CASE(case_25_receive_buffer_too_small),
		CASE(case_25_more_small_buffers_than_may_be_merged),
		CASE(case_26_spoofed_and_group_source_addresses),
	};

	return cmocka_run_group_tests_name("hostile/net", tests, NULL, NULL);
}
