/* SPDX-License-Identifier: Apache-2.0 */

/* The control queue of virtio-net: a driver that behaves chooses what it hears, and one that does not loses its NIC. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "devices/virtio_pci.h"
#include "running.h"

#define FEATURE(bit) (1ull << (bit))
#define FILTERING (NET_HAS_CONTROL | FEATURE(VIRTIO_NET_F_CTRL_RX) | FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define WRITABLE VRING_DESC_F_WRITE
#define UNTOUCHED 0x77
#define FRAME 60

static struct bench *start(void **state, uint64_t features)
{
	struct bench *bench = bench_of(state);

	net_start(ENEMY(bench), features);
	for (unsigned int i = 0; i < 8; i++)
		net_post(ENEMY(bench), i, DRIVER_BUFFER_SIZE);
	return bench;
}

/* Puts a command into the queue without a kick; its status is the last byte of the buffer. */
static uint8_t *offer(struct guest *guest, const void *command, uint32_t size)
{
	unsigned int index = guest->nic.queues[NET_CONTROL].next_available * 2 % DRIVER_RING_SIZE;
	uint64_t buffer = driver_buffer(NET_CONTROL, index);
	uint8_t *to = driver_memory(&guest->nic, buffer, DRIVER_BUFFER_SIZE);

	memcpy(to, command, size);
	to[DRIVER_BUFFER_SIZE - 1] = UNTOUCHED;
	driver_describe(&guest->nic, NET_CONTROL, index,
			(struct vring_desc){.addr = buffer,
					    .len = size,
					    .flags = VRING_DESC_F_NEXT,
					    .next = (uint16_t)(index + 1)});
	driver_describe(&guest->nic, NET_CONTROL, index + 1,
			(struct vring_desc){.addr = buffer + DRIVER_BUFFER_SIZE - 1,
					    .len = 1,
					    .flags = VRING_DESC_F_WRITE});
	driver_offer(&guest->nic, NET_CONTROL, (uint16_t)index);
	return to + DRIVER_BUFFER_SIZE - 1;
}

static uint8_t command(struct guest *guest, const void *bytes, uint32_t size)
{
	const uint8_t *status = offer(guest, bytes, size);
	struct vring_used_elem used;

	driver_kick(&guest->nic, NET_CONTROL);
	bench_settle(guest->bench);
	assert_true(driver_take_used(&guest->nic, NET_CONTROL, &used));
	assert_int_equal(used.len, 1);
	return *status;
}

static uint8_t set_promiscuous(struct guest *guest, uint8_t on)
{
	const uint8_t bytes[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, on};

	return command(guest, bytes, sizeof(bytes));
}

/* No address of the bench's has these bytes; see net_deliver(). */
#define FOR_ANOTHER 0x52
#define FOR_A_GROUP 0x33
#define FOR_ALL 0xff

static void driver_chooses_what_it_hears(void **state)
{
	static const uint8_t tables[] = {
		VIRTIO_NET_CTRL_MAC,
		VIRTIO_NET_CTRL_MAC_TABLE_SET,
		0,
		0,
		0,
		0,
		1,
		0,
		0,
		0,
		0x33,
		0x33,
		0x33,
		0x33,
		0x33,
		0x33,
	};
	struct guest *guest = ENEMY(start(state, FILTERING));

	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_DELIVERED);
	assert_int_equal(set_promiscuous(guest, 0), VIRTIO_NET_OK);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_FILTERED);
	assert_int_equal(net_deliver(guest, FOR_A_GROUP, FRAME), VIRTIO_NET_FILTERED);
	assert_int_equal(net_deliver(guest, FOR_ALL, FRAME), VIRTIO_NET_DELIVERED);
	assert_int_equal(command(guest, tables, sizeof(tables)), VIRTIO_NET_OK);
	assert_int_equal(net_deliver(guest, FOR_A_GROUP, FRAME), VIRTIO_NET_DELIVERED);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_FILTERED);
	assert_int_equal(set_promiscuous(guest, 1), VIRTIO_NET_OK);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_DELIVERED);
}

static void driver_that_cannot_tell_its_address_hears_all(void **state)
{
	struct guest *guest = ENEMY(start(state, NET_HAS_CONTROL | FEATURE(VIRTIO_NET_F_CTRL_RX)));

	assert_int_equal(set_promiscuous(guest, 0), VIRTIO_NET_OK);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_DELIVERED);
}

static void filtered_frame_takes_no_buffer(void **state)
{
	struct guest *guest = ENEMY(start(state, FILTERING));
	struct vring_used_elem used;

	assert_int_equal(set_promiscuous(guest, 0), VIRTIO_NET_OK);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_FILTERED);
	assert_false(driver_take_used(&guest->nic, NET_RECEIVE, &used));
	assert_int_equal(net_deliver(guest, FOR_ALL, FRAME), VIRTIO_NET_DELIVERED);
	assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
	assert_int_equal(used.id, 0);
}

static void reset_ends_the_filter(void **state)
{
	struct guest *guest = ENEMY(start(state, FILTERING));

	assert_int_equal(set_promiscuous(guest, 0), VIRTIO_NET_OK);
	net_start(guest, FILTERING);
	net_post(guest, 0, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_DELIVERED);
}

static void goes_on(struct bench *bench)
{
	assert_null(virtio_net_quarantine_reason(ENEMY(bench)->net));
	assert_int_equal(set_promiscuous(ENEMY(bench), 1), VIRTIO_NET_OK);
	net_check_works(BYSTANDER(bench));
}

static void unknown_commands_are_refused(void **state)
{
	struct bench *bench = start(state, FILTERING);
	uint8_t bytes[64] = {0};

	for (unsigned int class = 0; class < 256; class += 5) {
		bytes[0] = (uint8_t) class;
		bytes[1] = 200;
		assert_int_equal(command(ENEMY(bench), bytes, sizeof(bytes)), VIRTIO_NET_ERR);
	}
	assert_int_equal(command(ENEMY(bench), bytes, 1), VIRTIO_NET_ERR);
	goes_on(bench);
}

static void tables_longer_than_the_command_are_refused(void **state)
{
	static const uint8_t tables[] =
		{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 0xff, 0xff, 0xff, 0xff, 1, 0};
	struct bench *bench = start(state, FILTERING);

	assert_int_equal(command(ENEMY(bench), tables, sizeof(tables)), VIRTIO_NET_ERR);
	goes_on(bench);
}

/* A ring full of commands at one kick: all are done, and other NICs have their turn in between. */
static void many_commands_are_done_in_order(void **state)
{
	struct guest *guest = ENEMY(start(state, FILTERING));
	const uint8_t *status[DRIVER_RING_SIZE / 2];

	for (unsigned int round = 0; round < 4; round++) {
		for (unsigned int i = 0; i < DRIVER_RING_SIZE / 2; i++) {
			const uint8_t bytes[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, i % 2 == 0};

			status[i] = offer(guest, bytes, sizeof(bytes));
		}
		driver_kick(&guest->nic, NET_CONTROL);
		bench_settle(guest->bench);
		for (unsigned int i = 0; i < DRIVER_RING_SIZE / 2; i++)
			assert_int_equal(*status[i], VIRTIO_NET_OK);
		assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_FILTERED);
	}
}

static void command_without_room_for_its_status_quarantines(void **state)
{
	struct bench *bench = start(state, FILTERING);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_describe(nic, NET_CONTROL, 0, (struct vring_desc){.addr = driver_buffer(NET_CONTROL, 0), .len = 3});
	driver_offer(nic, NET_CONTROL, 0);
	driver_kick(nic, NET_CONTROL);
	bench_settle(bench);
	bench_expect_quarantine(bench, "command without room for its status");
}

static void command_with_a_bad_descriptor_quarantines(void **state)
{
	struct bench *bench = start(state, FILTERING);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_describe(nic, NET_CONTROL, 0,
			(struct vring_desc){.addr = BENCH_MEMORY - 1, .len = 2, .flags = WRITABLE});
	driver_offer(nic, NET_CONTROL, 0);
	driver_kick(nic, NET_CONTROL);
	bench_settle(bench);
	assert_non_null(virtio_net_quarantine_reason(ENEMY(bench)->net));
	net_check_works(BYSTANDER(bench));
}

static void filter_and_waiting_commands_are_saved(void **state)
{
	const uint8_t off[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0};
	struct guest *guest = ENEMY(bench_of(state));
	struct saved_guest saved;
	const uint8_t *status;

	guest_run_halted(guest);
	net_start(guest, FILTERING);
	net_post(guest, 0, DRIVER_BUFFER_SIZE);
	guest_pause_and_drain(guest);
	status = offer(guest, off, sizeof(off));
	driver_kick(&guest->nic, NET_CONTROL);
	bench_settle(guest->bench);
	assert_int_equal(*status, UNTOUCHED);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	bench_settle(guest->bench);
	status = driver_memory(&guest->nic, driver_buffer(NET_CONTROL, 0) + DRIVER_BUFFER_SIZE - 1, 1);
	assert_int_equal(*status, VIRTIO_NET_OK);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_FILTERED);
	guest_forget(&saved);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	assert_int_equal(net_deliver(guest, FOR_ANOTHER, FRAME), VIRTIO_NET_FILTERED);
	assert_int_equal(net_deliver(guest, FOR_ALL, FRAME), VIRTIO_NET_DELIVERED);
	guest_forget(&saved);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(driver_chooses_what_it_hears),
		TEST(driver_that_cannot_tell_its_address_hears_all),
		TEST(filtered_frame_takes_no_buffer),
		TEST(reset_ends_the_filter),
		TEST(unknown_commands_are_refused),
		TEST(tables_longer_than_the_command_are_refused),
		TEST(many_commands_are_done_in_order),
		TEST(command_without_room_for_its_status_quarantines),
		TEST(command_with_a_bad_descriptor_quarantines),
		TEST(filter_and_waiting_commands_are_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
