/* SPDX-License-Identifier: Apache-2.0 */

/* What all virtio devices have in common, PCI and ports: accesses of any kind to any place are answered or ignored, and
 * the state machine cannot be talked out of its order. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/pci.h"
#include "core/platform.h"
#include "devices/virtio_pci.h"

#define STATUS_BEFORE_OK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

static struct bench *start(void **state)
{
	struct bench *bench = bench_of(state);

	net_start(ENEMY(bench), 0);
	return bench;
}

/* The same numbers in every run. */
static uint64_t random_64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void case_27_configuration_space_of_any_kind(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;
	uint64_t seed = 27;

	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		nic->slot = slot;
		for (unsigned int offset = 0; offset < 0x200; offset++) {
			for (unsigned int size = 1; size <= 4; size++) {
				driver_config_write(nic, offset, size, random_64(&seed));
				driver_config_read(nic, offset, size);
			}
		}
	}
	/* What identifies the devices is as it was. */
	nic->slot = BENCH_SLOT_NET;
	assert_int_equal(driver_config_read(nic, 0, 4), 0x10411af4);
	assert_int_equal(driver_config_read(nic, 0x0e, 1), 0);
	assert_int_equal(driver_config_read(nic, PCI_CONFIG_BAR0, 4) & 0x7fff, 0);
	/* Behind the BARs there may be another device now; put it where it was, as firmware would. */
	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		nic->slot = slot;
		driver_config_write(nic, PCI_CONFIG_COMMAND, 2, 0);
		driver_config_write(nic, PCI_CONFIG_BAR0, 4, PCI_WINDOW_BASE + slot * 0x10000);
	}
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_27_configuration_ports_of_any_kind(void **state)
{
	struct bench *bench = start(state);
	struct machine *machine = ENEMY(bench)->machine;
	uint64_t seed = 2;

	for (unsigned int i = 0; i < 20000; i++) {
		static const unsigned int sizes[] = {1, 2, 4};
		unsigned int size = sizes[random_64(&seed) % 3];
		uint64_t value = i % 4 == 0 ? 0x80000000u | random_64(&seed) % 0x10000 : random_64(&seed);
		uint16_t port = i % 4 == 0 ? 0xcf8 : (uint16_t)(0xcf8 + random_64(&seed) % 8);

		if (port == PLATFORM_PORT_RESET_CONTROL && size == 1)
			continue; /* That one is meant to end the machine. */
		machine_port_access(machine, port, &value, i % 4 == 0 ? 4 : size, i % 4 == 0 || i % 2 == 1);
	}
	assert_false(machine_is_ending(machine));
	net_check_works(BYSTANDER(bench));
}

static void move_bar(struct driver *nic, uint32_t address)
{
	driver_config_write(nic, PCI_CONFIG_BAR0, 4, address);
	nic->bar = driver_config_read(nic, PCI_CONFIG_BAR0, 4) & ~0xfull;
}

static void case_27_bar_moves_over_memory_and_other_bars(void **state)
{
	static const uint32_t addresses[] = {0,
					     0x100000,
					     BENCH_MEMORY - 0x4000,
					     PCI_WINDOW_BASE + BENCH_SLOT_RNG * 0x10000,
					     PCI_ECAM_BASE,
					     0xfec00000,
					     0xfee00000,
					     0xffff8000,
					     0xffffffff};
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		move_bar(nic, addresses[i]);
		for (unsigned int offset = 0; offset < 0x6000; offset += 0x100)
			driver_read(nic, offset, 4);
		driver_kick(nic, NET_TRANSMIT);
	}
	/* It works where it is now, with the doorbells there. */
	move_bar(nic, PCI_WINDOW_BASE + 0x900000);
	bench_expect_tolerated(bench);
}

static void case_27_bar_registers_of_any_kind(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;
	uint64_t seed = 1;

	for (uint64_t offset = 0; offset < 0x8000; offset += 1 + random_64(&seed) % 7) {
		for (unsigned int size = 1; size <= 8; size++) {
			/* Whatever is not a whole register at its place must not be taken for one. */
			if (offset < 0x40 && (size == 1 || size == 2 || size == 4))
				continue;
			driver_write(nic, offset, size, random_64(&seed));
			driver_read(nic, offset, size > 4 ? 4 : size);
		}
	}
	driver_read(nic, 0x7fff, 4);
	bench_expect_tolerated(bench);
}

/* The PCI configuration access capability, with a pointer to anywhere. */
static void case_27_access_window_of_any_kind(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;
	unsigned int at = driver_config_read(nic, PCI_CONFIG_CAPABILITIES, 1);
	uint64_t seed = 5;

	while (driver_config_read(nic, at, 1) != 9 || driver_config_read(nic, at + 3, 1) != VIRTIO_PCI_CAP_PCI_CFG)
		at = driver_config_read(nic, at + 1, 1);
	/* It is a way to the registers: the status says DRIVER_OK. */
	driver_config_write(nic, at + 8, 4, VIRTIO_PCI_COMMON_STATUS);
	driver_config_write(nic, at + 12, 4, 1);
	assert_int_equal(driver_config_read(nic, at + 16, 1), 0xf);
	for (unsigned int i = 0; i < 20000; i++) {
		driver_config_write(nic, at + 4, 1, i % 8 == 0);
		driver_config_write(nic, at + 8, 4, i % 2 ? random_64(&seed) % 0x9000 : random_64(&seed));
		driver_config_write(nic, at + 12, 4, i % 2 ? 1u << i % 3 : random_64(&seed));
		if (i % 2)
			driver_config_read(nic, at + 16, 4);
		else
			driver_config_write(nic, at + 14, 4, random_64(&seed));
	}
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_28_features_not_offered(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	assert_true(driver_negotiate(nic, 0));
	assert_false(driver_negotiate(nic, 1ull << VIRTIO_NET_F_GUEST_UFO));
	assert_false(driver_negotiate(nic, 1ull << 63));
	driver_add_status(nic, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(driver_status(nic), STATUS_BEFORE_OK);
	/* The old interface is not there either. */
	driver_write_features(nic, 0);
	driver_add_status(nic, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(driver_status(nic), STATUS_BEFORE_OK);
	/* It may think again. */
	driver_write_features(nic, VIRTIO_FEATURE_VERSION_1);
	driver_add_status(nic, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(driver_status(nic), STATUS_BEFORE_OK | VIRTIO_CONFIG_S_FEATURES_OK);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_28_features_after_features_ok(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_write_features(nic, ~0ull);
	driver_write(nic, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_GF, 4), 0);
	driver_write(nic, VIRTIO_PCI_COMMON_GFSELECT, 4, 0xffffffff);
	driver_write(nic, VIRTIO_PCI_COMMON_GF, 4, 0xffffffff);
	driver_write(nic, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_DF, 4), 0);
	bench_expect_tolerated(bench);
}

static void case_28_queues_changed_while_in_use(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;
	struct driver_queue before = nic->queues[NET_TRANSMIT];

	nic->queues[NET_TRANSMIT] = (struct driver_queue){.size = 3, .descriptors = ~0ull, .available = 1, .used = 3};
	driver_write_queue(nic, NET_TRANSMIT);
	driver_write(nic, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_SIZE, 2), DRIVER_RING_SIZE);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	nic->queues[NET_TRANSMIT] = before;
	/* Nor is there a queue beyond the last. */
	driver_write(nic, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0xffff);
	driver_write(nic, VIRTIO_PCI_COMMON_Q_SIZE, 2, 1);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	bench_expect_tolerated(bench);
}

static void case_29_status_bits_cleared(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_write(nic, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	assert_int_equal(driver_status(nic), 0xf);
	/* The driver cannot claim what is the device's to say. */
	driver_write(nic, VIRTIO_PCI_COMMON_STATUS, 1, 0xff);
	assert_false(driver_status(nic) & VIRTIO_CONFIG_S_NEEDS_RESET);
	bench_expect_tolerated(bench);
}

static void case_29_driver_ok_too_early(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	driver_reset(nic);
	driver_write(nic, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(driver_status(nic), 0);
	assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_NOT_READY);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_29_reset_storm(void **state)
{
	struct bench *bench = start(state);

	for (unsigned int i = 0; i < 200; i++) {
		driver_start(&ENEMY(bench)->nic, 0, 2);
		driver_kick(&ENEMY(bench)->nic, NET_TRANSMIT);
		driver_reset(&ENEMY(bench)->nic);
	}
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_30_msix_vector_out_of_range(void **state)
{
	static const uint16_t vectors[] = {4, 5, 16, 2048, 0xfffe, 0xffff};
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	assert_true(driver_negotiate(nic, 0));
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		driver_write(nic, VIRTIO_PCI_COMMON_MSIX, 2, vectors[i]);
		assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
		driver_write(nic, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
		driver_write(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2, vectors[i]);
		assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	}
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

/* Enables a queue before it says which vector is its. */
static void enable_queue_without_vector(struct driver *nic, unsigned int index)
{
	driver_set_up_queue(nic, index, DRIVER_RING_SIZE);
	driver_write(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2, VIRTIO_MSI_NO_VECTOR);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
}

/* The order of NetBSD's, OpenBSD's and Windows' drivers; even DRIVER_OK may come first. */
static void vectors_may_be_written_after_enabling(void **state)
{
	struct bench *bench = start(state);
	struct guest *guest = ENEMY(bench);
	struct driver *nic = &guest->nic;

	assert_true(driver_negotiate(nic, 0));
	enable_queue_without_vector(nic, NET_RECEIVE);
	enable_queue_without_vector(nic, NET_TRANSMIT);
	driver_write(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	driver_add_status(nic, VIRTIO_CONFIG_S_DRIVER_OK);
	net_post(guest, 0, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(guest, 1, 60), VIRTIO_NET_DELIVERED);
	assert_false(driver_is_pending(nic, 1));
	driver_write(nic, VIRTIO_PCI_COMMON_Q_SELECT, 2, NET_RECEIVE);
	driver_write(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	net_post(guest, 1, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(guest, 1, 60), VIRTIO_NET_DELIVERED);
	assert_true(driver_is_pending(nic, 1));
	assert_false(driver_is_pending(nic, 2));
	net_send(guest, NULL, "0123456789abcdef", 16);
	assert_true(driver_is_pending(nic, 2));
	/* A reset takes the vectors away. */
	driver_reset(nic);
	driver_write(nic, VIRTIO_PCI_COMMON_Q_SELECT, 2, NET_RECEIVE);
	assert_int_equal(driver_read(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	net_start(guest, 0);
	bench_expect_tolerated(bench);
}

static void case_30_msix_vector_out_of_range_while_in_use(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;

	for (unsigned int i = 0; i < 1000; i++) {
		driver_write(nic, VIRTIO_PCI_COMMON_Q_SELECT, 2, i % 3); /* The third is none. */
		driver_write(nic, VIRTIO_PCI_COMMON_Q_MSIX, 2, i * 40503u);
		driver_write(nic, VIRTIO_PCI_COMMON_MSIX, 2, i * 40503u);
		net_post(ENEMY(bench), i % DRIVER_RING_SIZE, DRIVER_BUFFER_SIZE);
		assert_int_equal(net_deliver(ENEMY(bench), 1, 60), VIRTIO_NET_DELIVERED);
	}
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_30_msix_messages_of_garbage(void **state)
{
	struct bench *bench = start(state);
	struct driver *nic = &ENEMY(bench)->nic;
	uint64_t seed = 30;

	for (unsigned int i = 0; i < 600; i++) {
		unsigned int vector = i % 3;

		for (unsigned int offset = 0; offset < 12; offset += 4)
			driver_write(nic, BAR_MSIX_TABLE + 16 * vector + offset, 4, random_64(&seed));
		driver_write(nic, BAR_MSIX_TABLE + 16 * vector + 12, 4, i & 1); /* Unmasks every other time. */
		net_post(ENEMY(bench), i % DRIVER_RING_SIZE, DRIVER_BUFFER_SIZE);
		net_deliver(ENEMY(bench), 1, 60);
	}
	driver_write(nic, BAR_MSIX_TABLE + 13, 4, ~0ull); /* Across two entries. */
	driver_write(nic, BAR_MSIX_TABLE + 16 * 3, 8, ~0ull);
	driver_write(nic, BAR_MSIX_PENDING, 8, ~0ull);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

/* Has its NIC quarantined and reset, over and over. */
static void quarantine_and_reset(struct guest *guest, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		net_start(guest, 0);
		driver_offer(&guest->nic, NET_TRANSMIT, 0xffff);
		driver_kick(&guest->nic, NET_TRANSMIT);
		bench_settle(guest->bench);
		assert_non_null(virtio_net_quarantine_reason(guest->net));
	}
}

static unsigned int count_lines(int fd)
{
	unsigned int lines = 0;
	char text[4096];
	ssize_t size;

	while ((size = read(fd, text, sizeof(text))) > 0) {
		for (ssize_t i = 0; i < size; i++)
			lines += text[i] == '\n';
	}
	return lines;
}

/* The log is standard error, which a file takes the place of here. */
static void case_33_quarantine_loop_floods_no_log(void **state)
{
	struct bench *bench = start(state);
	uint64_t began = loop_now();
	int log = memfd_create("log", MFD_CLOEXEC), before = dup(STDERR_FILENO);
	unsigned int windows;

	assert_true(log >= 0 && before >= 0);
	dup2(log, STDERR_FILENO);
	quarantine_and_reset(ENEMY(bench), 5 * LOG_LIMIT_BURST);
	dup2(before, STDERR_FILENO);
	close(before);
	/* However slow this machine is: so many lines in each window, and one that says how many were left out. */
	windows = 1 + (unsigned int)((loop_now() - began) / (LOG_LIMIT_SECONDS * 1000000000ull));
	assert_int_equal(lseek(log, 0, SEEK_SET), 0);
	assert_in_range(count_lines(log), LOG_LIMIT_BURST, windows * (LOG_LIMIT_BURST + 1) - 1);
	close(log);
	net_start(ENEMY(bench), 0);
	bench_expect_tolerated(bench);
}

static void case_34_spinning_on_ports(void **state)
{
	struct bench *bench = start(state);
	struct machine *machine = ENEMY(bench)->machine;

	for (unsigned int i = 0; i < 200000; i++) {
		uint32_t value = 0;

		machine_port_access(machine, (uint16_t)(i * 7 % 0x600), &value, 1u << i % 3, false);
	}
	assert_false(machine_is_ending(machine));
	bench_expect_tolerated(bench);
}

static void memory_holes_read_as_ones(void **state)
{
	static const uint64_t addresses[] = {0xd0000000, PCI_ECAM_BASE + PCI_ECAM_SIZE, 1ull << 40, ~0ull - 7};
	struct bench *bench = start(state);

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		uint64_t value = 0;

		machine_memory_access(ENEMY(bench)->machine, addresses[i], &value, 8, true);
		machine_memory_access(ENEMY(bench)->machine, addresses[i], &value, 8, false);
		assert_int_equal(value, ~0ull);
	}
	bench_expect_tolerated(bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(case_27_configuration_space_of_any_kind),
		CASE(case_27_configuration_ports_of_any_kind),
		CASE(case_27_bar_moves_over_memory_and_other_bars),
		CASE(case_27_bar_registers_of_any_kind),
		CASE(case_27_access_window_of_any_kind),
		CASE(case_28_features_not_offered),
		CASE(case_28_features_after_features_ok),
		CASE(case_28_queues_changed_while_in_use),
		CASE(case_29_status_bits_cleared),
		CASE(case_29_driver_ok_too_early),
		CASE(case_29_reset_storm),
		CASE(vectors_may_be_written_after_enabling),
		CASE(case_30_msix_vector_out_of_range),
		CASE(case_30_msix_vector_out_of_range_while_in_use),
		CASE(case_30_msix_messages_of_garbage),
		CASE(case_33_quarantine_loop_floods_no_log),
		CASE(case_34_spinning_on_ports),
		CASE(memory_holes_read_as_ones),
	};

	return cmocka_run_group_tests_name("hostile/transport", tests, NULL, NULL);
}
