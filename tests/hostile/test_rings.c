/* SPDX-License-Identifier: Apache-2.0 */

/* Drivers that break the rules of the rings: descriptors, indices, addresses (virtio 1.2, section 2.7).  Each is tried
 * on a NIC's transmit queue, which the device reads at once.  The numbers are those of the list of malicious cases. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "devices/virtio_pci.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define MERGEABLE (1ull << VIRTIO_NET_F_MRG_RXBUF)

static struct bench *start(void **state, uint64_t features)
{
	struct bench *bench = bench_of(state);

	net_start(ENEMY(bench), features);
	return bench;
}

/* Descriptor 'index' of the transmit queue: its own buffer, 'size' bytes long. */
static void describe(struct bench *bench, unsigned int index, uint32_t size, uint16_t flags, uint16_t next)
{
	driver_describe(&ENEMY(bench)->nic, NET_TRANSMIT, index,
			(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, index),
					    .len = size,
					    .flags = flags,
					    .next = next});
}

static void describe_indirect(struct bench *bench, unsigned int index, uint32_t size, uint16_t flags, uint16_t next)
{
	driver_describe_indirect(&ENEMY(bench)->nic, NET_TRANSMIT, index,
				 (struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, index),
						     .len = size,
						     .flags = flags,
						     .next = next});
}

static void describe_table(struct bench *bench, unsigned int index, uint32_t size, uint16_t flags)
{
	driver_describe(&ENEMY(bench)->nic, NET_TRANSMIT, index,
			(struct vring_desc){.addr = driver_table(NET_TRANSMIT),
					    .len = size,
					    .flags = flags,
					    .next = 1});
}

static void offer(struct bench *bench, uint16_t head)
{
	driver_offer(&ENEMY(bench)->nic, NET_TRANSMIT, head);
	driver_kick(&ENEMY(bench)->nic, NET_TRANSMIT);
}

static void case_1_head_outside_of_queue(void **state)
{
	struct bench *bench = start(state, 0);

	offer(bench, DRIVER_RING_SIZE);
	bench_expect_quarantine(bench, "descriptor index is outside of the queue");
	offer(bench, 0xffff);
	bench_expect_quarantine(bench, "descriptor index is outside of the queue");
}

static void case_2_next_outside_of_queue(void **state)
{
	struct bench *bench = start(state, 0);

	describe(bench, 0, 100, NEXT, DRIVER_RING_SIZE);
	offer(bench, 0);
	bench_expect_quarantine(bench, "descriptor index is outside of the queue");
}

static void case_2_next_outside_of_indirect_table(void **state)
{
	struct bench *bench = start(state, VIRTIO_FEATURE_INDIRECT_DESC);

	describe_table(bench, 0, 2 * 16, INDIRECT);
	describe_indirect(bench, 0, 100, NEXT, 2);
	offer(bench, 0);
	bench_expect_quarantine(bench, "next descriptor is outside of the indirect table");
}

static void case_3_descriptor_is_its_own_next(void **state)
{
	struct bench *bench = start(state, 0);

	describe(bench, 0, 100, NEXT, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "descriptor chain is a loop");
}

static void case_3_long_loop(void **state)
{
	struct bench *bench = start(state, 0);

	for (uint16_t i = 0; i < DRIVER_RING_SIZE; i++)
		describe(bench, i, 100, NEXT, (uint16_t)((i + 1) % DRIVER_RING_SIZE));
	offer(bench, 0);
	bench_expect_quarantine(bench, "descriptor chain is a loop");
}

static void case_3_loop_in_indirect_table(void **state)
{
	struct bench *bench = start(state, VIRTIO_FEATURE_INDIRECT_DESC);

	describe_table(bench, 0, 2 * 16, INDIRECT);
	describe_indirect(bench, 0, 100, NEXT, 1);
	describe_indirect(bench, 1, 100, NEXT, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "indirect table is a loop");
}

static void case_4_available_index_jumps(void **state)
{
	struct bench *bench = start(state, 0);

	driver_set_available(&ENEMY(bench)->nic, NET_TRANSMIT, DRIVER_RING_SIZE + 1);
	driver_kick(&ENEMY(bench)->nic, NET_TRANSMIT);
	bench_expect_quarantine(bench, "available index jumped");
}

static void case_4_available_index_goes_backwards(void **state)
{
	struct bench *bench = start(state, 0);
	static const uint8_t frame[60];

	net_send(ENEMY(bench), NULL, frame, sizeof(frame));
	net_send(ENEMY(bench), NULL, frame, sizeof(frame));
	driver_set_available(&ENEMY(bench)->nic, NET_TRANSMIT, 1);
	driver_kick(&ENEMY(bench)->nic, NET_TRANSMIT);
	bench_expect_quarantine(bench, "available index jumped");
}

/* Starts the enemy with these areas for its transmit queue. */
static void start_with_queue(struct bench *bench, const struct driver_queue *queue)
{
	struct driver *nic = &ENEMY(bench)->nic;

	driver_attach(nic, ENEMY(bench)->machine, BENCH_SLOT_NET);
	assert_true(driver_negotiate(nic, 0));
	driver_set_up_queue(nic, NET_RECEIVE, DRIVER_RING_SIZE);
	nic->queues[NET_TRANSMIT] = *queue;
	driver_write_queue(nic, NET_TRANSMIT);
	driver_enable_queue(nic, NET_TRANSMIT);
	driver_add_status(nic, VIRTIO_CONFIG_S_DRIVER_OK);
}

static struct driver_queue good_queue(void)
{
	return (struct driver_queue){.size = DRIVER_RING_SIZE,
				     .descriptors = 0x200000,
				     .available = 0x202000,
				     .used = 0x204000};
}

static void case_5_areas_not_aligned(void **state)
{
	struct bench *bench = bench_of(state);
	struct driver_queue queue = good_queue();

	queue.descriptors += 8;
	start_with_queue(bench, &queue);
	bench_expect_quarantine(bench, "queue area is not aligned");
	queue = good_queue();
	queue.available += 1;
	start_with_queue(bench, &queue);
	bench_expect_quarantine(bench, "queue area is not aligned");
	queue = good_queue();
	queue.used += 2;
	start_with_queue(bench, &queue);
	bench_expect_quarantine(bench, "queue area is not aligned");
}

static void case_5_areas_outside_of_memory(void **state)
{
	/* The end, beyond it, the PCI hole, ECAM, the last bytes there are (address + length wraps). */
	static const uint64_t addresses[] = {BENCH_MEMORY, 1ull << 40, 0xc0000000, 0xe0000000, ~0ull & ~0xfull};
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct driver_queue queue = good_queue();

		queue.descriptors = addresses[i];
		start_with_queue(bench, &queue);
		bench_expect_quarantine(bench, "queue area is outside of memory");
		queue = good_queue();
		queue.available = addresses[i];
		start_with_queue(bench, &queue);
		bench_expect_quarantine(bench, "queue area is outside of memory");
		queue = good_queue();
		queue.used = addresses[i];
		start_with_queue(bench, &queue);
		bench_expect_quarantine(bench, "queue area is outside of memory");
	}
}

static void case_5_areas_straddle_end_of_memory(void **state)
{
	struct bench *bench = bench_of(state);
	struct driver_queue queue = good_queue();

	queue.descriptors = BENCH_MEMORY - 16 * (DRIVER_RING_SIZE - 1);
	start_with_queue(bench, &queue);
	bench_expect_quarantine(bench, "queue area is outside of memory");
	/* All but used_event, two bytes behind the ring. */
	queue = good_queue();
	queue.available = BENCH_MEMORY - (4 + 2 * DRIVER_RING_SIZE);
	start_with_queue(bench, &queue);
	bench_expect_quarantine(bench, "queue area is outside of memory");
	queue = good_queue();
	queue.used = BENCH_MEMORY - (4 + 8 * DRIVER_RING_SIZE);
	start_with_queue(bench, &queue);
	bench_expect_quarantine(bench, "queue area is outside of memory");
}

static void case_5_buffers_outside_of_memory(void **state)
{
	static const uint64_t addresses[] = {BENCH_MEMORY, BENCH_MEMORY - 99, 0xfee00000, ~0ull, ~0ull - 99};
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		net_start(ENEMY(bench), 0);
		driver_describe(&ENEMY(bench)->nic, NET_TRANSMIT, 0,
				(struct vring_desc){.addr = addresses[i], .len = 100});
		offer(bench, 0);
		bench_expect_quarantine(bench, "buffer is outside of memory");
	}
}

/* Case 8 is the same: a size of 0 is what others divided by. */
static void case_6_and_8_queue_size_impossible(void **state)
{
	static const uint16_t sizes[] = {0, 3, 63, 257, 512, 0x8000, 0xffff};
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct driver_queue queue = good_queue();

		queue.size = sizes[i];
		start_with_queue(bench, &queue);
		bench_expect_quarantine(bench, "queue size is no power of two, or too large");
	}
}

/* Address 0 is memory like any other: the queue is what stands there. */
static void case_7_ready_without_addresses(void **state)
{
	static const struct driver_queue nowhere = {.size = DRIVER_RING_SIZE};
	struct bench *bench = bench_of(state);

	start_with_queue(bench, &nowhere);
	assert_null(virtio_net_quarantine_reason(ENEMY(bench)->net));
	memset(driver_memory(&ENEMY(bench)->nic, 0, 4096), 0xff, 4096);
	driver_kick(&ENEMY(bench)->nic, NET_TRANSMIT);
	bench_expect_quarantine(bench, "available index jumped");
}

static void case_7_no_queue_enabled(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_start(nic, 0, 0);
	driver_kick(nic, NET_TRANSMIT);
	bench_settle(bench);
	assert_null(virtio_net_quarantine_reason(ENEMY(bench)->net));
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_NOT_READY);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_7_use_after_reset(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;
	uint16_t used = driver_used_index(nic, NET_TRANSMIT);

	describe(bench, 0, 100, 0, 0);
	driver_reset(nic);
	offer(bench, 0);
	net_post(ENEMY(bench), 0, 2048);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->wire.frames, 0);
	assert_int_equal(driver_used_index(nic, NET_TRANSMIT), used);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_NOT_READY);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_9_indirect_not_negotiated(void **state)
{
	struct bench *bench = start(state, 0);

	describe_table(bench, 0, 16, INDIRECT);
	describe_indirect(bench, 0, 100, 0, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "indirect descriptor without the feature");
}

static void case_9_indirect_within_indirect(void **state)
{
	struct bench *bench = start(state, VIRTIO_FEATURE_INDIRECT_DESC);

	describe_table(bench, 0, 16, INDIRECT);
	describe_indirect(bench, 0, 16, INDIRECT, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "indirect descriptor within an indirect table");
}

static void case_9_indirect_with_next(void **state)
{
	struct bench *bench = start(state, VIRTIO_FEATURE_INDIRECT_DESC);

	describe_table(bench, 0, 16, INDIRECT | NEXT);
	describe_indirect(bench, 0, 100, 0, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "indirect descriptor with a next one");
}

static void case_9_indirect_table_of_bad_size(void **state)
{
	static const uint32_t sizes[] = {0, 8, 17, 16 * (DRIVER_RING_SIZE + 1), 0xfffffff0};
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		net_start(ENEMY(bench), VIRTIO_FEATURE_INDIRECT_DESC);
		describe_table(bench, 0, sizes[i], INDIRECT);
		offer(bench, 0);
		bench_expect_quarantine(bench, "indirect table has a bad size");
	}
}

static void case_9_indirect_table_outside_of_memory(void **state)
{
	static const uint64_t addresses[] = {BENCH_MEMORY - 16, BENCH_MEMORY, ~0ull - 15, 0x200001};
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		net_start(ENEMY(bench), VIRTIO_FEATURE_INDIRECT_DESC);
		driver_describe(&ENEMY(bench)->nic, NET_TRANSMIT, 0,
				(struct vring_desc){.addr = addresses[i], .len = 32, .flags = INDIRECT});
		offer(bench, 0);
		bench_expect_quarantine(bench, "indirect table is outside of memory or not aligned");
	}
}

/* Each buffer is the whole of memory, so the sum is larger than 32 bits hold. */
static void case_10_lengths_sum_beyond_32_bits(void **state)
{
	struct bench *bench = bench_of(state);
	struct guest *enemy = ENEMY(bench);
	unsigned int count = 256;

	net_start(enemy, 0);
	assert_true(driver_negotiate(&enemy->nic, 0));
	driver_set_up_queue(&enemy->nic, NET_TRANSMIT, (uint16_t)count);
	driver_add_status(&enemy->nic, VIRTIO_CONFIG_S_DRIVER_OK);
	_Static_assert(BENCH_MEMORY * 256 >= 1ull << 32, "the sum has to be too large for 32 bits");
	for (unsigned int i = 0; i < count; i++)
		driver_describe(&enemy->nic, NET_TRANSMIT, i,
				(struct vring_desc){.len = (uint32_t)BENCH_MEMORY,
						    .flags = i + 1 < count ? NEXT : 0,
						    .next = (uint16_t)(i + 1)});
	offer(bench, 0);
	bench_settle(bench);
	assert_int_equal(enemy->wire.refused[VIRTIO_NET_OVERSIZED], 1);
	net_start(enemy, 0);
	bench_expect_tolerated(bench);
}

static void case_11_zero_length_chain(void **state)
{
	struct bench *bench = start(state, 0);

	describe(bench, 0, 0, 0, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "transmit chain is writable or shorter than the header");
}

static void case_11_zero_length_descriptors_in_a_good_chain(void **state)
{
	struct bench *bench = start(state, 0);

	describe(bench, 0, 0, NEXT, 1);
	describe(bench, 1, NET_HEADER, NEXT, 2);
	describe(bench, 2, 0, NEXT, 3);
	describe(bench, 3, 60, NEXT, 4);
	describe(bench, 4, 0, 0, 0);
	offer(bench, 0);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->wire.frames, 1);
	assert_int_equal(ENEMY(bench)->wire.size, 60);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_12_readable_after_writable(void **state)
{
	struct bench *bench = start(state, 0);

	describe(bench, 0, 100, NEXT | WRITE, 1);
	describe(bench, 1, 100, 0, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "readable descriptor after a writable one");
}

static void case_13_transmit_chain_is_writable(void **state)
{
	struct bench *bench = start(state, 0);

	describe(bench, 0, 100, NEXT, 1);
	describe(bench, 1, 100, WRITE, 0);
	offer(bench, 0);
	bench_expect_quarantine(bench, "transmit chain is writable or shorter than the header");
}

static void case_13_receive_chain_is_readable(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_describe(nic, NET_RECEIVE, 0,
			(struct vring_desc){.addr = driver_buffer(NET_RECEIVE, 0), .len = DRIVER_BUFFER_SIZE});
	driver_offer(nic, NET_RECEIVE, 0);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_NOT_READY);
	bench_expect_quarantine(bench, "receive chain is readable or shorter than the header");
}

/* There is one region of memory; its neighbours are the hole and nothing. */
static void case_14_buffer_spans_end_of_region(void **state)
{
	struct bench *bench = start(state, 0);

	driver_describe(&ENEMY(bench)->nic, NET_TRANSMIT, 0,
			(struct vring_desc){.addr = BENCH_MEMORY - 64, .len = 128});
	offer(bench, 0);
	bench_expect_quarantine(bench, "buffer is outside of memory");
}

static void case_15_chains_share_memory(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;

	/* One and the same memory, transmitted twice and received into twice. */
	for (uint16_t i = 0; i < 2; i++) {
		driver_describe(nic, NET_TRANSMIT, i,
				(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, 0), .len = 100});
		driver_offer(nic, NET_TRANSMIT, i);
		driver_describe(nic, NET_RECEIVE, i,
				(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, 0),
						    .len = 2048,
						    .flags = WRITE});
		driver_offer(nic, NET_RECEIVE, i);
	}
	driver_kick(nic, NET_TRANSMIT);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->wire.frames, 2);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_DELIVERED);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_DELIVERED);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

/* What is received overwrites the rings: the driver's own loss, whatever comes of it. */
static void case_15_buffer_overlaps_its_ring(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;

	for (uint16_t i = 0; i < 8; i++) {
		driver_describe(nic, NET_RECEIVE, i,
				(struct vring_desc){.addr = DRIVER_BASE, .len = 0x6000, .flags = WRITE});
		driver_offer(nic, NET_RECEIVE, i);
	}
	for (int i = 0; i < 8; i++)
		net_deliver(ENEMY(bench), 0xff, 9000);
	bench_expect_quarantine(bench, "descriptor index is outside of the queue");
}

static void case_17_more_chains_than_descriptors(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;

	/* Nothing is taken while no frame comes; then the index says that more wait than there can be. */
	for (unsigned int i = 0; i < DRIVER_RING_SIZE + 1; i++)
		net_post(ENEMY(bench), i % DRIVER_RING_SIZE, DRIVER_BUFFER_SIZE);
	assert_int_equal(nic->queues[NET_RECEIVE].next_available, DRIVER_RING_SIZE + 1);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_NOT_READY);
	bench_expect_quarantine(bench, "available index jumped");
}

static void case_18_same_head_twice(void **state)
{
	struct bench *bench = start(state, 0);
	struct vring_used_elem used;

	describe(bench, 0, 100, 0, 0);
	driver_offer(&ENEMY(bench)->nic, NET_TRANSMIT, 0);
	offer(bench, 0);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->wire.frames, 2);
	for (int i = 0; i < 2; i++) {
		assert_true(driver_take_used(&ENEMY(bench)->nic, NET_TRANSMIT, &used));
		assert_int_equal(used.id, 0);
	}
	bench_expect_tolerated(bench);
}

static void case_19_kick_for_nonexistent_queue(void **state)
{
	struct bench *bench = start(state, 0);

	for (unsigned int queue = 2; queue < 1024; queue++)
		driver_kick(&ENEMY(bench)->nic, queue);
	driver_write(&ENEMY(bench)->nic, BAR_NOTIFY + 1, 4, 0xffffffff);
	driver_write(&ENEMY(bench)->nic, BAR_NOTIFY + 0xffc, 8, ~0ull);
	bench_expect_tolerated(bench);
}

static void case_19_kick_before_driver_ok(void **state)
{
	struct bench *bench = start(state, 0);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_kick(nic, NET_TRANSMIT);
	assert_true(driver_negotiate(nic, 0));
	driver_set_up_queue(nic, NET_RECEIVE, DRIVER_RING_SIZE);
	driver_set_up_queue(nic, NET_TRANSMIT, DRIVER_RING_SIZE);
	describe(bench, 0, NET_HEADER + 60, 0, 0);
	offer(bench, 0);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->wire.frames, 0);
	/* What was offered too early goes out when the device is ready, without another kick. */
	driver_add_status(nic, VIRTIO_CONFIG_S_DRIVER_OK);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->wire.frames, 1);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_19_kick_storm(void **state)
{
	struct bench *bench = start(state, 0);

	for (unsigned int i = 0; i < 20000; i++)
		driver_kick(&ENEMY(bench)->nic, i % 2);
	assert_int_equal(ENEMY(bench)->wire.frames, 0);
	bench_expect_tolerated(bench);
}

struct changer {
	struct bench *bench;
	_Atomic bool stop;
};

/* Changes descriptors, heads and the indirect table as fast as it can: good, out of bounds, loops. */
static void *change(void *opaque)
{
	struct changer *changer = opaque;
	struct driver *nic = &ENEMY(changer->bench)->nic;
	volatile struct vring_desc *descriptors = driver_memory(nic, nic->queues[NET_TRANSMIT].descriptors, 16 * 64);
	volatile struct vring_desc *table = driver_memory(nic, driver_table(NET_TRANSMIT), 16 * 64);

	for (unsigned int i = 0; !changer->stop; i++) {
		volatile struct vring_desc *at = &(i & 64 ? descriptors : table)[i % 4];

		/* Mostly good, so that a round lasts until a bad value meets the device at a bad moment. */
		bool bad = i % 997 == 0;

		at->len = bad ? i * 2654435761u : 12 + i % 100;
		at->addr = bad ? BENCH_MEMORY - i % 256 : driver_buffer(NET_TRANSMIT, i % 16);
		at->next = (uint16_t)(bad ? i * 40503u : i % 4 + 1);
		at->flags = (uint16_t)(bad ? i / 997 % 8 : i % 4 < 3 ? NEXT : 0);
	}
	return NULL;
}

static void case_16_descriptors_change_while_read(void **state)
{
	struct bench *bench = bench_of(state);
	struct guest *enemy = ENEMY(bench);
	struct changer changer = {.bench = bench};
	pthread_t thread;

	for (unsigned int round = 0; round < 20; round++) {
		changer.stop = false;
		net_start(enemy, VIRTIO_FEATURE_INDIRECT_DESC);
		assert_int_equal(pthread_create(&thread, NULL, change, &changer), 0);
		for (unsigned int i = 0; i < 500 && !virtio_net_quarantine_reason(enemy->net); i++) {
			if (i % 4 == 0)
				describe_table(bench, 0, 64, INDIRECT);
			offer(bench, (uint16_t)(i % 4));
			driver_offer(&enemy->nic, NET_RECEIVE, (uint16_t)(i % 4));
			bench_settle(bench);
		}
		changer.stop = true;
		pthread_join(thread, NULL);
	}
	net_start(enemy, 0);
	bench_expect_tolerated(bench);
}

/* The frame itself changes the ring while it is filled in: the first buffer lies over the descriptors of the second and
 * third, which were good when they were counted. */
static void case_16_receive_buffers_change_while_filled(void **state)
{
	/* Not writable any more, or indirect, without the feature. */
	static const uint8_t bytes[] = {0, 0xff};
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(bytes); i++) {
		net_start(ENEMY(bench), MERGEABLE);
		for (unsigned int buffer = 0; buffer < 3; buffer++)
			net_post(ENEMY(bench), buffer, DRIVER_BUFFER_SIZE);
		driver_describe(&ENEMY(bench)->nic, NET_RECEIVE, 0,
				(struct vring_desc){.addr = DRIVER_BASE, .len = 1024, .flags = WRITE});
		assert_int_equal(net_deliver(ENEMY(bench), bytes[i], 4000), VIRTIO_NET_NOT_READY);
		bench_expect_quarantine(bench, "receive buffers changed while in use");
	}
}

/* The same by another CPU, which hits where it will. */
static void *change_receive_ring(void *opaque)
{
	struct changer *changer = opaque;
	struct driver *nic = &ENEMY(changer->bench)->nic;
	volatile struct vring_desc *descriptors = driver_memory(nic, nic->queues[NET_RECEIVE].descriptors, 16 * 64);
	volatile uint16_t *available = driver_memory(nic, nic->queues[NET_RECEIVE].available, 4 + 2 * 64);

	for (unsigned int i = 0; !changer->stop; i++) {
		bool bad = i % 9973 == 0;

		descriptors[i % 64].len = bad ? i * 2654435761u : 16 + i % 2000;
		descriptors[i % 64].flags = (uint16_t)(bad ? i / 9973 % 8 : i % 3 ? WRITE : WRITE | NEXT);
		descriptors[i % 64].next = (uint16_t)(bad ? i * 40503u : i % 64);
		available[2 + i % 64] = (uint16_t)(bad ? i * 40503u : i % 64);
		/* As many as there are wait, or fewer. */
		available[1] = (uint16_t)(driver_used_index(nic, NET_RECEIVE) + 64 - i % 4);
	}
	return NULL;
}

static void case_16_receive_ring_changes_while_used(void **state)
{
	struct bench *bench = bench_of(state);
	struct guest *enemy = ENEMY(bench);
	struct changer changer = {.bench = bench};
	pthread_t thread;

	for (unsigned int round = 0; round < 20; round++) {
		changer.stop = false;
		net_start(enemy, MERGEABLE);
		for (unsigned int i = 0; i < DRIVER_RING_SIZE; i++)
			net_post(enemy, i, DRIVER_BUFFER_SIZE);
		assert_int_equal(pthread_create(&thread, NULL, change_receive_ring, &changer), 0);
		for (unsigned int i = 0; i < 2000 && !virtio_net_quarantine_reason(enemy->net); i++)
			net_deliver(enemy, (uint8_t)i, 60 + i % 64 * 100);
		changer.stop = true;
		pthread_join(thread, NULL);
	}
	net_start(enemy, 0);
	bench_expect_tolerated(bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(case_1_head_outside_of_queue),
		CASE(case_2_next_outside_of_queue),
		CASE(case_2_next_outside_of_indirect_table),
		CASE(case_3_descriptor_is_its_own_next),
		CASE(case_3_long_loop),
		CASE(case_3_loop_in_indirect_table),
		CASE(case_4_available_index_jumps),
		CASE(case_4_available_index_goes_backwards),
		CASE(case_5_areas_not_aligned),
		CASE(case_5_areas_outside_of_memory),
		CASE(case_5_areas_straddle_end_of_memory),
		CASE(case_5_buffers_outside_of_memory),
		CASE(case_6_and_8_queue_size_impossible),
		CASE(case_7_ready_without_addresses),
		CASE(case_7_no_queue_enabled),
		CASE(case_7_use_after_reset),
		CASE(case_9_indirect_not_negotiated),
		CASE(case_9_indirect_within_indirect),
		CASE(case_9_indirect_with_next),
		CASE(case_9_indirect_table_of_bad_size),
		CASE(case_9_indirect_table_outside_of_memory),
		CASE(case_10_lengths_sum_beyond_32_bits),
		CASE(case_11_zero_length_chain),
		CASE(case_11_zero_length_descriptors_in_a_good_chain),
		CASE(case_12_readable_after_writable),
		CASE(case_13_transmit_chain_is_writable),
		CASE(case_13_receive_chain_is_readable),
		CASE(case_14_buffer_spans_end_of_region),
		CASE(case_15_chains_share_memory),
		CASE(case_15_buffer_overlaps_its_ring),
		CASE(case_16_descriptors_change_while_read),
		CASE(case_16_receive_buffers_change_while_filled),
		CASE(case_16_receive_ring_changes_while_used),
		CASE(case_17_more_chains_than_descriptors),
		CASE(case_18_same_head_twice),
		CASE(case_19_kick_for_nonexistent_queue),
		CASE(case_19_kick_before_driver_ok),
		CASE(case_19_kick_storm),
	};

	return cmocka_run_group_tests_name("hostile/rings", tests, NULL, NULL);
}
