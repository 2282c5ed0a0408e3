/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames a NIC gives its guest, and how a driver says so. */
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "core/state.h"
#include "devices/receive_filter.h"
#include "devices/virtqueue.h"

static const uint8_t own[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t other[6] = {0x52, 0x54, 0, 0, 0, 2};
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t other_group[6] = {0x33, 0x33, 0, 0, 0, 2};

/* A command as a driver puts it into the queue, in two buffers. */
struct command {
	uint8_t bytes[4096];
	size_t size;
};

static struct command begin(uint8_t class, uint8_t number)
{
	return (struct command){.bytes = {class, number}, .size = 2};
}

static void add(struct command *command, const void *bytes, size_t size)
{
	assert_in_range(size, 0, sizeof(command->bytes) - command->size);
	memcpy(command->bytes + command->size, bytes, size);
	command->size += size;
}

static void add_count(struct command *command, uint32_t count)
{
	add(command, &count, sizeof(count));
}

static bool give(struct receive_filter *filter, const struct command *command, size_t first)
{
	struct iovec buffers[2] = {
		{.iov_base = (void *)command->bytes, .iov_len = first},
		{.iov_base = (void *)(command->bytes + first), .iov_len = command->size - first},
	};
	struct iov_cursor cursor = {.buffers = buffers, .count = 2};

	return receive_filter_command(filter, &cursor, command->size);
}

static bool set_mode(struct receive_filter *filter, uint8_t mode, uint8_t on)
{
	struct command command = begin(VIRTIO_NET_CTRL_RX, mode);

	add(&command, &on, 1);
	return give(filter, &command, 2);
}

/* The usual state of a NIC: only what is for it. */
static struct receive_filter selective(void)
{
	struct receive_filter filter;

	receive_filter_reset(&filter, own);
	assert_true(set_mode(&filter, VIRTIO_NET_CTRL_RX_PROMISC, 0));
	return filter;
}

static void everything_passes_before_the_first_command(void **state)
{
	struct receive_filter filter;

	(void)state;
	receive_filter_reset(&filter, own);
	assert_true(receive_filter_passes(&filter, own));
	assert_true(receive_filter_passes(&filter, other));
	assert_true(receive_filter_passes(&filter, group));
}

static void own_address_and_broadcast_pass(void **state)
{
	struct receive_filter filter = selective();

	(void)state;
	assert_true(receive_filter_passes(&filter, own));
	assert_true(receive_filter_passes(&filter, broadcast));
	assert_false(receive_filter_passes(&filter, other));
	assert_false(receive_filter_passes(&filter, group));
}

static void modes_are_switched(void **state)
{
	struct receive_filter filter = selective();

	(void)state;
	assert_true(set_mode(&filter, VIRTIO_NET_CTRL_RX_ALLMULTI, 1));
	assert_true(receive_filter_passes(&filter, group));
	assert_false(receive_filter_passes(&filter, other));
	assert_true(set_mode(&filter, VIRTIO_NET_CTRL_RX_PROMISC, 1));
	assert_true(receive_filter_passes(&filter, other));
	assert_true(set_mode(&filter, VIRTIO_NET_CTRL_RX_PROMISC, 0));
	assert_true(set_mode(&filter, VIRTIO_NET_CTRL_RX_ALLMULTI, 0));
	assert_false(receive_filter_passes(&filter, group));
}

static void tables_replace_what_was(void **state)
{
	struct command command = begin(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET);
	struct receive_filter filter = selective();

	(void)state;
	add_count(&command, 1);
	add(&command, other, 6);
	add_count(&command, 1);
	add(&command, group, 6);
	assert_true(give(&filter, &command, 9));
	assert_true(receive_filter_passes(&filter, other));
	assert_true(receive_filter_passes(&filter, group));
	assert_false(receive_filter_passes(&filter, other_group));
	command = begin(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET);
	add_count(&command, 0);
	add_count(&command, 1);
	add(&command, other_group, 6);
	assert_true(give(&filter, &command, 3));
	assert_false(receive_filter_passes(&filter, other));
	assert_false(receive_filter_passes(&filter, group));
	assert_true(receive_filter_passes(&filter, other_group));
}

static void own_address_is_changed(void **state)
{
	struct command command = begin(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET);
	struct receive_filter filter = selective();

	(void)state;
	add(&command, other, 6);
	assert_true(give(&filter, &command, 4));
	assert_true(receive_filter_passes(&filter, other));
	assert_false(receive_filter_passes(&filter, own));
	receive_filter_reset(&filter, own);
	assert_true(set_mode(&filter, VIRTIO_NET_CTRL_RX_PROMISC, 0));
	assert_true(receive_filter_passes(&filter, own));
}

static struct command make_tables(uint32_t unicast, uint32_t multicast)
{
	struct command command = begin(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET);
	uint8_t address[6] = {2};

	add_count(&command, unicast);
	for (uint32_t i = 0; i < unicast; i++) {
		address[5] = (uint8_t)i;
		add(&command, address, 6);
	}
	address[0] = 3;
	add_count(&command, multicast);
	for (uint32_t i = 0; i < multicast; i++) {
		address[5] = (uint8_t)i;
		add(&command, address, 6);
	}
	return command;
}

static void full_table_is_kept(void **state)
{
	struct command command = make_tables(RECEIVE_FILTER_ADDRESSES_MAX / 2, RECEIVE_FILTER_ADDRESSES_MAX / 2);
	const uint8_t last[6] = {3, 0, 0, 0, 0, RECEIVE_FILTER_ADDRESSES_MAX / 2 - 1};
	struct receive_filter filter = selective();

	(void)state;
	assert_true(give(&filter, &command, 2));
	assert_true(receive_filter_passes(&filter, last));
	assert_false(receive_filter_passes(&filter, other));
}

static void more_addresses_than_fit_let_everything_pass(void **state)
{
	const struct {
		uint32_t unicast, multicast;
	} sizes[] = {{RECEIVE_FILTER_ADDRESSES_MAX + 1, 0},
		     {0, RECEIVE_FILTER_ADDRESSES_MAX + 1},
		     {RECEIVE_FILTER_ADDRESSES_MAX, 1},
		     {300, 300}};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct command command = make_tables(sizes[i].unicast, sizes[i].multicast);
		struct receive_filter filter = selective();

		assert_true(give(&filter, &command, 100 < command.size ? 100 : 2));
		assert_true(receive_filter_passes(&filter, other));
		/* Until they fit again. */
		command = make_tables(1, 1);
		assert_true(give(&filter, &command, 2));
		assert_false(receive_filter_passes(&filter, other));
	}
}

static void malformed_commands_change_nothing(void **state)
{
	const struct command good = make_tables(2, 2);
	const struct receive_filter before = selective();
	struct receive_filter filter = before;
	struct command command;
	uint32_t count;

	(void)state;
	for (size_t size = 0; size < good.size; size++) {
		command = good;
		command.size = size;
		assert_false(give(&filter, &command, size / 2));
	}
	command = good;
	add(&command, own, 1);
	assert_false(give(&filter, &command, 2));
	for (count = 3; count != 0; count = count << 4 | 0xf) {
		command = good;
		memcpy(command.bytes + 2, &count, sizeof(count));
		assert_false(give(&filter, &command, 2));
		command = good;
		memcpy(command.bytes + 2 + 4 + 12, &count, sizeof(count));
		assert_false(give(&filter, &command, 2));
		if (count == UINT32_MAX)
			break;
	}
	for (unsigned int class = 0; class < 256; class += 3) {
		command = begin((uint8_t) class, 7);
		add(&command, own, 6);
		assert_false(give(&filter, &command, 2));
	}
	command = begin(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC);
	assert_false(give(&filter, &command, 1));
	add(&command, own, 2);
	assert_false(give(&filter, &command, 1));
	command = begin(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET);
	add(&command, own, 5);
	assert_false(give(&filter, &command, 1));
	assert_memory_equal(&filter, &before, sizeof(filter));
}

static void filter_comes_back_as_it_was(void **unused)
{
	struct receive_filter filter = selective(), restored;
	struct command command = make_tables(3, 4);
	struct state state = {0};

	(void)unused;
	assert_true(give(&filter, &command, 2));
	receive_filter_save(&filter, &state);
	receive_filter_reset(&restored, other);
	receive_filter_restore(&restored, &state);
	assert_false(state.bad);
	assert_memory_equal(&restored, &filter, sizeof(filter));
	state_release(&state);
}

static void damaged_filter_is_refused(void **unused)
{
	struct receive_filter filter = selective(), restored;
	struct state state = {0};

	(void)unused;
	filter.address_count = RECEIVE_FILTER_ADDRESSES_MAX + 1;
	receive_filter_save(&filter, &state);
	receive_filter_reset(&restored, own);
	receive_filter_restore(&restored, &state);
	assert_true(state.bad);
	assert_int_equal(restored.address_count, 0);
	state_release(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_passes_before_the_first_command),
		cmocka_unit_test(own_address_and_broadcast_pass),
		cmocka_unit_test(modes_are_switched),
		cmocka_unit_test(tables_replace_what_was),
		cmocka_unit_test(own_address_is_changed),
		cmocka_unit_test(full_table_is_kept),
		cmocka_unit_test(more_addresses_than_fit_let_everything_pass),
		cmocka_unit_test(malformed_commands_change_nothing),
		cmocka_unit_test(filter_comes_back_as_it_was),
		cmocka_unit_test(damaged_filter_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
