/* SPDX-License-Identifier: Apache-2.0 */

/* The read-only disk, used well and badly. */

#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_pci.h"

#define SLOT_DISK 3
#define SECTOR 512u
#define SECTORS 16u
/* Chosen by the test: the status before the device has written one. */
#define NO_STATUS 0xff

struct disk {
	struct bench *bench;
	struct virtio_blk *blk;
	struct driver driver;
	uint8_t contents[SECTORS * SECTOR];
};

/* Makes a disk of random contents with half a sector at its end, which does not count. */
static struct disk start(void **state)
{
	struct disk disk = {.bench = bench_of(state)};
	char path[] = "/tmp/netlab-test-disk-XXXXXX";
	struct error error = {.class = ERROR_NONE};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(disk.contents); i++)
		disk.contents[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(write(fd, disk.contents, sizeof(disk.contents)), sizeof(disk.contents));
	assert_int_equal(write(fd, disk.contents, SECTOR / 2), SECTOR / 2);
	close(fd);
	net_start(ENEMY(disk.bench), 0);
	disk.blk = virtio_blk_create(ENEMY(disk.bench)->machine, disk.bench->control, SLOT_DISK, path, &error);
	unlink(path);
	assert_non_null(disk.blk);
	driver_attach(&disk.driver, ENEMY(disk.bench)->machine, SLOT_DISK);
	driver_start(&disk.driver, 0, 1);
	return disk;
}

/* Buffer 0 is the header, 1 the data, 2 the status. */
static struct vring_desc buffer(unsigned int index, uint32_t length, uint16_t flags)
{
	return (struct vring_desc){.addr = driver_buffer(0, index),
				   .len = length,
				   .flags = flags,
				   .next = (uint16_t)(index + 1)};
}

static void offer(struct disk *disk)
{
	driver_offer(&disk->driver, 0, 0);
	driver_kick(&disk->driver, 0);
	bench_settle(disk->bench);
}

static void write_header(struct disk *disk, uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr header = {.type = type, .sector = sector};

	memcpy(driver_memory(&disk->driver, driver_buffer(0, 0), sizeof(header)), &header, sizeof(header));
}

/* Makes a request and returns its status. */
static uint8_t request(struct disk *disk, uint32_t type, uint64_t sector, uint32_t length)
{
	uint8_t *status = driver_memory(&disk->driver, driver_buffer(0, 2), 1);
	const uint16_t direction = type == VIRTIO_BLK_T_OUT ? 0 : VRING_DESC_F_WRITE;
	struct vring_used_elem used;

	*status = NO_STATUS;
	write_header(disk, type, sector);
	driver_describe(&disk->driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	driver_describe(&disk->driver, 0, 1, buffer(1, length, direction | VRING_DESC_F_NEXT));
	driver_describe(&disk->driver, 0, 2, buffer(2, 1, VRING_DESC_F_WRITE));
	offer(disk);
	assert_true(driver_take_used(&disk->driver, 0, &used));
	return *status;
}

static void check_reads(struct disk *disk)
{
	for (unsigned int sector = 0; sector < SECTORS; sector++) {
		assert_int_equal(request(disk, VIRTIO_BLK_T_IN, sector, SECTOR), VIRTIO_BLK_S_OK);
		assert_memory_equal(driver_memory(&disk->driver, driver_buffer(0, 1), SECTOR),
				    disk->contents + sector * (size_t)SECTOR, SECTOR);
	}
}

static void disk_is_read(void **state)
{
	struct disk disk = start(state);

	assert_int_equal(driver_read(&disk.driver, BAR_DEVICE, 4), SECTORS);
	check_reads(&disk);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES), VIRTIO_BLK_S_OK);
	bench_expect_tolerated(disk.bench);
}

static void disk_is_not_written(void **state)
{
	struct disk disk = start(state);

	assert_int_equal(request(&disk, VIRTIO_BLK_T_OUT, 0, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, 0xdead, 0, SECTOR), VIRTIO_BLK_S_UNSUPP);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

static void reads_beyond_the_end_fail(void **state)
{
	struct disk disk = start(state);

	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, SECTORS, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, SECTORS - 1, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, UINT64_MAX, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, UINT64_MAX / SECTOR + 1, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, 0, SECTOR + 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, 0, 8u << 20), VIRTIO_BLK_S_IOERR);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

static void expect_quarantine(struct disk *disk, const char *reason)
{
	bench_settle(disk->bench);
	assert_non_null(virtio_blk_quarantine_reason(disk->blk));
	assert_string_equal(virtio_blk_quarantine_reason(disk->blk), reason);
	driver_expect_needs_reset(&disk->driver);
	bench_expect_tolerated(disk->bench);
	driver_start(&disk->driver, 0, 1);
	check_reads(disk);
}

static void request_without_status(void **state)
{
	struct disk disk = start(state);

	write_header(&disk, VIRTIO_BLK_T_IN, 0);
	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), 0));
	offer(&disk);
	expect_quarantine(&disk, "disk request without header or status");
}

static void request_with_half_a_header(void **state)
{
	struct disk disk = start(state);

	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr) / 2, VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 1, buffer(1, SECTOR + 1, VRING_DESC_F_WRITE));
	offer(&disk);
	expect_quarantine(&disk, "disk request without header or status");
}

static void case_3_request_is_a_loop(void **state)
{
	struct disk disk = start(state);

	driver_describe(&disk.driver, 0, 0,
			(struct vring_desc){.addr = driver_buffer(0, 0), .len = 16, .flags = VRING_DESC_F_NEXT});
	offer(&disk);
	expect_quarantine(&disk, "descriptor chain is a loop");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(disk_is_read),           CASE(disk_is_not_written),        CASE(reads_beyond_the_end_fail),
		CASE(request_without_status), CASE(request_with_half_a_header), CASE(case_3_request_is_a_loop),
	};

	return cmocka_run_group_tests_name("hostile/disk", tests, NULL, NULL);
}
