/* SPDX-License-Identifier: Apache-2.0 */

/* The read-only disk, used well and badly. */

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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
};

/* What is on every disk, by offset. */
static uint8_t byte_at(size_t offset)
{
	return (uint8_t)(offset * 2654435761u >> 13);
}

static int make_file(char *path, size_t size)
{
	uint8_t block[65536];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (size_t at = 0; at < size; at += sizeof(block)) {
		size_t part = size - at < sizeof(block) ? size - at : sizeof(block);

		for (size_t i = 0; i < part; i++)
			block[i] = byte_at(at + i);
		assert_int_equal(write(fd, block, part), part);
	}
	return fd;
}

/* Makes a disk of that size, with half a sector at its end, which does not count. */
static struct disk start_sized(void **state, size_t size)
{
	struct disk disk = {.bench = bench_of(state)};
	char path[] = "/tmp/netlab-test-disk-XXXXXX";
	struct error error = {.class = ERROR_NONE};

	close(make_file(path, size + SECTOR / 2));
	net_start(ENEMY(disk.bench), 0);
	disk.blk = virtio_blk_create(ENEMY(disk.bench)->machine, disk.bench->control, SLOT_DISK, path, &error);
	unlink(path);
	assert_non_null(disk.blk);
	driver_attach(&disk.driver, ENEMY(disk.bench)->machine, SLOT_DISK);
	driver_start(&disk.driver, 0, 1);
	return disk;
}

static struct disk start(void **state)
{
	return start_sized(state, SECTORS * SECTOR);
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

/* The memory holds what is on the disk from 'offset' on. */
static void check_contents(struct disk *disk, uint64_t address, size_t offset, size_t size)
{
	const uint8_t *memory = driver_memory(&disk->driver, address, size);

	for (size_t i = 0; i < size; i++) {
		if (memory[i] != byte_at(offset + i))
			fail_msg("byte %zu of the disk is %u", offset + i, memory[i]);
	}
}

static void check_reads(struct disk *disk)
{
	for (unsigned int sector = 0; sector < SECTORS; sector++) {
		assert_int_equal(request(disk, VIRTIO_BLK_T_IN, sector, SECTOR), VIRTIO_BLK_S_OK);
		check_contents(disk, driver_buffer(0, 1), (size_t)sector * SECTOR, SECTOR);
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

/* ---- Reads longer than a batch ---- */

#define LONG_ADDRESS 0x1000000ull
#define MIB (1u << 20)

static uint8_t *status_of(struct disk *disk)
{
	return driver_memory(&disk->driver, driver_buffer(0, 2), 1);
}

/* Offers a read of so many bytes into one buffer at LONG_ADDRESS. */
static void offer_long_read(struct disk *disk, uint32_t size)
{
	*status_of(disk) = NO_STATUS;
	write_header(disk, VIRTIO_BLK_T_IN, 0);
	driver_describe(&disk->driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	driver_describe(&disk->driver, 0, 1,
			(struct vring_desc){.addr = LONG_ADDRESS,
					    .len = size,
					    .flags = VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
					    .next = 2});
	driver_describe(&disk->driver, 0, 2, buffer(2, 1, VRING_DESC_F_WRITE));
	driver_offer(&disk->driver, 0, 0);
}

/* Linux asks for 1.25 MiB by itself, and for more when /sys says so. */
static void reads_may_be_of_any_length(void **state)
{
	static const uint32_t sizes[] = {MIB - SECTOR, MIB, MIB + SECTOR, MIB + MIB / 4, 4 * MIB, 8 * MIB};
	struct disk disk = start_sized(state, 8 * MIB);
	struct vring_used_elem used;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(driver_memory(&disk.driver, LONG_ADDRESS, sizes[i] + 1), 0x5a, sizes[i] + 1);
		offer_long_read(&disk, sizes[i]);
		driver_kick(&disk.driver, 0);
		bench_settle(disk.bench);
		assert_int_equal(*status_of(&disk), VIRTIO_BLK_S_OK);
		assert_true(driver_take_used(&disk.driver, 0, &used));
		assert_int_equal(used.len, sizes[i] + 1);
		check_contents(&disk, LONG_ADDRESS, 0, sizes[i]);
		assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, LONG_ADDRESS + sizes[i], 1), 0x5a);
	}
	offer_long_read(&disk, 8 * MIB + SECTOR);
	driver_kick(&disk.driver, 0);
	bench_settle(disk.bench);
	assert_int_equal(*status_of(&disk), VIRTIO_BLK_S_IOERR);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

/* All buffers a chain can have, of no number of sectors each, and some of nothing. */
static void long_read_into_many_buffers(void **state)
{
	const uint32_t size = 5261;
	struct disk disk = start_sized(state, 2 * MIB);
	struct vring_used_elem used;
	uint32_t left = MIB + MIB / 8;
	uint64_t address = LONG_ADDRESS;

	assert_true(driver_negotiate(&disk.driver, 0));
	driver_set_up_queue(&disk.driver, 0, VIRTQUEUE_SIZE_MAX);
	driver_add_status(&disk.driver, VIRTIO_CONFIG_S_DRIVER_OK);
	write_header(&disk, VIRTIO_BLK_T_IN, 3);
	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	for (uint16_t i = 1; i < VIRTQUEUE_SIZE_MAX - 1; i++) {
		struct vring_desc piece = {.addr = address, .len = i % 16 == 0 ? 0 : size};

		if (piece.len > left)
			piece.len = left;
		piece.flags = VRING_DESC_F_WRITE | VRING_DESC_F_NEXT;
		piece.next = (uint16_t)(i + 1);
		driver_describe(&disk.driver, 0, i, piece);
		address += piece.len;
		left -= piece.len;
	}
	assert_int_equal(left, 0);
	driver_describe(&disk.driver, 0, VIRTQUEUE_SIZE_MAX - 1,
			(struct vring_desc){.addr = driver_buffer(0, 2), .len = 1, .flags = VRING_DESC_F_WRITE});
	*status_of(&disk) = NO_STATUS;
	offer(&disk);
	assert_int_equal(*status_of(&disk), VIRTIO_BLK_S_OK);
	assert_true(driver_take_used(&disk.driver, 0, &used));
	check_contents(&disk, LONG_ADDRESS, (size_t)3 * SECTOR, MIB + MIB / 8);
	bench_expect_tolerated(disk.bench);
}

static size_t read_used_index(void *opaque)
{
	return driver_used_index(&((struct disk *)opaque)->driver, 0);
}

/* 64 requests of 8 MiB at once. */
static void case_33_long_reads_take_turns(void **state)
{
	struct disk disk = start_sized(state, 8 * MIB);
	struct turns turns = {.read = read_used_index, .opaque = &disk, .until = DRIVER_RING_SIZE};

	bench_watch(disk.bench, &turns);
	for (unsigned int i = 0; i < DRIVER_RING_SIZE; i++)
		offer_long_read(&disk, 8 * MIB);
	driver_kick(&disk.driver, 0);
	assert_true(bench_watch_end(disk.bench, &turns));
	/* A MiB in each, and another in that of the kick. */
	assert_true(turns.count >= 8 * DRIVER_RING_SIZE - 1);
	assert_int_equal(turns.growth, 1);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

static void reset_during_a_long_read(void **state)
{
	struct disk disk = start_sized(state, 8 * MIB);

	for (unsigned int i = 0; i < 10; i++) {
		offer_long_read(&disk, 8 * MIB);
		driver_kick(&disk.driver, 0);
		driver_start(&disk.driver, 0, 1);
		/* What was being read is forgotten: the next request is the next. */
		assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, 1, SECTOR), VIRTIO_BLK_S_OK);
		check_contents(&disk, driver_buffer(0, 1), SECTOR, SECTOR);
		assert_int_equal(driver_used_index(&disk.driver, 0), 1);
	}
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

/* The file of a running lab's disk is cut off on the host: the guest's loss alone. */
static void disk_becomes_shorter(void **state)
{
	struct bench *bench = bench_of(state);
	struct disk disk = {.bench = bench};
	char path[] = "/tmp/netlab-test-disk-XXXXXX";
	struct error error = {.class = ERROR_NONE};
	int fd = make_file(path, (size_t)SECTORS * SECTOR);

	net_start(ENEMY(bench), 0);
	disk.blk = virtio_blk_create(ENEMY(bench)->machine, bench->control, SLOT_DISK, path, &error);
	unlink(path);
	assert_non_null(disk.blk);
	driver_attach(&disk.driver, ENEMY(bench)->machine, SLOT_DISK);
	driver_start(&disk.driver, 0, 1);
	check_reads(&disk);
	assert_int_equal(ftruncate(fd, SECTOR + 1), 0);
	close(fd);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, 0, SECTOR), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, 1, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, SECTORS - 1, SECTOR), VIRTIO_BLK_S_IOERR);
	bench_expect_tolerated(bench);
}

/* ---- Requests that are none, or strange ones ---- */

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

/* The sum of the lengths, less what 32 bits cannot hold, is one sector, which could be read. */
static void case_10_data_lengths_sum_beyond_32_bits(void **state)
{
	struct disk disk = start(state);
	const uint16_t count = (1ull << 32) / BENCH_MEMORY;

	assert_true(driver_negotiate(&disk.driver, 0));
	driver_set_up_queue(&disk.driver, 0, VIRTQUEUE_SIZE_MAX);
	driver_add_status(&disk.driver, VIRTIO_CONFIG_S_DRIVER_OK);
	write_header(&disk, VIRTIO_BLK_T_IN, 0);
	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	for (uint16_t i = 1; i <= count; i++)
		driver_describe(&disk.driver, 0, i,
				(struct vring_desc){.len = (uint32_t)BENCH_MEMORY,
						    .flags = VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
						    .next = (uint16_t)(i + 1)});
	driver_describe(&disk.driver, 0, count + 1u,
			buffer(count + 1u, SECTOR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, count + 2u,
			(struct vring_desc){.addr = driver_buffer(0, 2), .len = 1, .flags = VRING_DESC_F_WRITE});
	*status_of(&disk) = NO_STATUS;
	offer(&disk);
	assert_int_equal(*status_of(&disk), VIRTIO_BLK_S_IOERR);
	driver_start(&disk.driver, 0, 1);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

/* The status goes to the last byte there is, which is one of the data's; what is left is no number of sectors. */
static void case_11_zero_length_status(void **state)
{
	struct disk disk = start(state);
	uint8_t *last = driver_memory(&disk.driver, driver_buffer(0, 1) + SECTOR - 1, 1);
	struct vring_used_elem used;

	write_header(&disk, VIRTIO_BLK_T_IN, 0);
	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 1, buffer(1, SECTOR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 2, buffer(2, 0, VRING_DESC_F_WRITE));
	*last = NO_STATUS;
	offer(&disk);
	assert_int_equal(*last, VIRTIO_BLK_S_IOERR);
	assert_true(driver_take_used(&disk.driver, 0, &used));
	assert_int_equal(used.len, 1);
	check_reads(&disk);
	/* Where there is no byte at all, there is no request. */
	driver_describe(&disk.driver, 0, 1, buffer(1, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 2, buffer(2, 0, VRING_DESC_F_WRITE));
	offer(&disk);
	expect_quarantine(&disk, "disk request without header or status");
}

static void case_12_read_with_readable_data(void **state)
{
	struct disk disk = start(state);
	struct vring_used_elem used;

	/* Nothing to read into: nothing is read. */
	write_header(&disk, VIRTIO_BLK_T_IN, 0);
	memset(driver_memory(&disk.driver, driver_buffer(0, 1), SECTOR), 0x5a, SECTOR);
	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 1, buffer(1, SECTOR, VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 2, buffer(2, 1, VRING_DESC_F_WRITE));
	*status_of(&disk) = NO_STATUS;
	offer(&disk);
	assert_int_equal(*status_of(&disk), VIRTIO_BLK_S_OK);
	assert_true(driver_take_used(&disk.driver, 0, &used));
	assert_int_equal(used.len, 1);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, driver_buffer(0, 1), 1), 0x5a);
	check_reads(&disk);
	/* Behind the status. */
	driver_describe(&disk.driver, 0, 1, buffer(1, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 2, buffer(2, SECTOR, 0));
	offer(&disk);
	expect_quarantine(&disk, "readable descriptor after a writable one");
}

static void case_13_header_is_writable(void **state)
{
	struct disk disk = start(state);

	write_header(&disk, VIRTIO_BLK_T_IN, 0);
	driver_describe(&disk.driver, 0, 0,
			buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 1, buffer(1, SECTOR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 2, buffer(2, 1, VRING_DESC_F_WRITE));
	offer(&disk);
	expect_quarantine(&disk, "disk request without header or status");
}

static void case_13_write_with_writable_data(void **state)
{
	struct disk disk = start(state);

	write_header(&disk, VIRTIO_BLK_T_OUT, 0);
	memset(driver_memory(&disk.driver, driver_buffer(0, 1), SECTOR), 0x5a, SECTOR);
	driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 1, buffer(1, SECTOR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
	driver_describe(&disk.driver, 0, 2, buffer(2, 1, VRING_DESC_F_WRITE));
	*status_of(&disk) = NO_STATUS;
	offer(&disk);
	assert_int_equal(*status_of(&disk), VIRTIO_BLK_S_IOERR);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, driver_buffer(0, 1), 1), 0x5a);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

/* Offers a read of sector 1 with data and status at these addresses. */
static void read_into(struct disk *disk, uint64_t data, uint64_t status)
{
	write_header(disk, VIRTIO_BLK_T_IN, 1);
	*(uint8_t *)driver_memory(&disk->driver, status, 1) = NO_STATUS;
	driver_describe(&disk->driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
	driver_describe(&disk->driver, 0, 1,
			(struct vring_desc){.addr = data,
					    .len = SECTOR,
					    .flags = VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
					    .next = 2});
	driver_describe(&disk->driver, 0, 2,
			(struct vring_desc){.addr = status, .len = 1, .flags = VRING_DESC_F_WRITE});
	offer(disk);
}

static void case_15_data_and_status_overlap_the_header(void **state)
{
	const uint64_t header = driver_buffer(0, 0), status = driver_buffer(0, 2), data = driver_buffer(0, 1);
	struct disk disk = start(state);

	read_into(&disk, header, status);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, status, 1), VIRTIO_BLK_S_OK);
	check_contents(&disk, header, SECTOR, SECTOR);
	/* Over what follows the type: the priority, of which nobody asks, and the sector. */
	for (unsigned int i = 4; i < sizeof(struct virtio_blk_outhdr); i++) {
		read_into(&disk, data, header + i);
		assert_int_equal(driver_used_index(&disk.driver, 0), i - 2);
	}
	/* And over the data: the status comes last. */
	read_into(&disk, data, data + 7);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, data + 7, 1), VIRTIO_BLK_S_OK);
	check_contents(&disk, data, SECTOR, 7);
	check_contents(&disk, data + 8, SECTOR + 8, SECTOR - 8);
	driver_start(&disk.driver, 0, 1);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

static void case_15_data_overlaps_the_ring(void **state)
{
	struct disk disk = start(state);
	const struct driver_queue *ring = &disk.driver.queues[0];
	const uint64_t status = driver_buffer(0, 2);

	/* The descriptors were read already, and the next request brings its own. */
	read_into(&disk, ring->descriptors, status);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, status, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(driver_used_index(&disk.driver, 0), 1);
	driver_start(&disk.driver, 0, 1);
	read_into(&disk, ring->used, status);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, status, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(driver_used_index(&disk.driver, 0), 1); /* It writes what it knows, not what stands there. */
	driver_start(&disk.driver, 0, 1);
	check_reads(&disk);
	read_into(&disk, ring->available, status);
	assert_int_equal(*(uint8_t *)driver_memory(&disk.driver, status, 1), VIRTIO_BLK_S_OK);
	expect_quarantine(&disk, "available index jumped");
}

static void case_15_status_overlaps_the_ring(void **state)
{
	struct disk disk = start(state);
	const struct driver_queue *ring = &disk.driver.queues[0];

	/* Over the entry of the used ring that is written after it, and over the index. */
	read_into(&disk, driver_buffer(0, 1), ring->used + 4);
	assert_int_equal(driver_used_index(&disk.driver, 0), 1);
	read_into(&disk, driver_buffer(0, 1), ring->used + 2);
	assert_int_equal(driver_used_index(&disk.driver, 0), 2);
	check_contents(&disk, driver_buffer(0, 1), SECTOR, SECTOR);
	driver_start(&disk.driver, 0, 1);
	/* A status of 0 over the available index of 2 makes it smaller than what was taken. */
	assert_int_equal(request(&disk, VIRTIO_BLK_T_IN, 0, SECTOR), VIRTIO_BLK_S_OK);
	write_header(&disk, VIRTIO_BLK_T_IN, 1);
	driver_describe(&disk.driver, 0, 2,
			(struct vring_desc){.addr = ring->available + 2, .len = 1, .flags = VRING_DESC_F_WRITE});
	offer(&disk);
	expect_quarantine(&disk, "available index jumped");
}

struct changer {
	struct disk *disk;
	_Atomic bool stop;
};

static void *change_header(void *opaque)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_GET_ID, 0xdead};
	static const uint64_t sectors[] = {0, SECTORS - 1, SECTORS, UINT64_MAX, UINT64_MAX / SECTOR + 1};
	struct changer *changer = opaque;
	volatile struct virtio_blk_outhdr *header = driver_memory(&changer->disk->driver, driver_buffer(0, 0),
								  sizeof(*header));

	for (unsigned int i = 0; !changer->stop; i++) {
		header->type = types[i % 4];
		header->sector = sectors[i % 5];
	}
	return NULL;
}

/* Whatever is read is from the disk, or nothing is. */
static void case_16_header_changes_while_read(void **state)
{
	struct disk disk = start(state);
	struct changer changer = {.disk = &disk};
	struct vring_used_elem used;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, change_header, &changer), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		driver_describe(&disk.driver, 0, 0, buffer(0, sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT));
		driver_describe(&disk.driver, 0, 1, buffer(1, SECTOR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT));
		driver_describe(&disk.driver, 0, 2, buffer(2, 1, VRING_DESC_F_WRITE));
		*status_of(&disk) = NO_STATUS;
		offer(&disk);
		assert_true(driver_take_used(&disk.driver, 0, &used));
		switch (*status_of(&disk)) {
		case VIRTIO_BLK_S_OK:
			assert_true(used.len == SECTOR + 1 || used.len == VIRTIO_BLK_ID_BYTES + 1);
			break;
		case VIRTIO_BLK_S_IOERR:
		case VIRTIO_BLK_S_UNSUPP:
			assert_int_equal(used.len, 1);
			break;
		default:
			fail_msg("status %u", *status_of(&disk));
		}
	}
	changer.stop = true;
	pthread_join(thread, NULL);
	check_reads(&disk);
	bench_expect_tolerated(disk.bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(disk_is_read),
		CASE(disk_is_not_written),
		CASE(reads_beyond_the_end_fail),
		CASE(reads_may_be_of_any_length),
		CASE(long_read_into_many_buffers),
		CASE(reset_during_a_long_read),
		CASE(disk_becomes_shorter),
		CASE(request_without_status),
		CASE(request_with_half_a_header),
		CASE(case_3_request_is_a_loop),
		CASE(case_10_data_lengths_sum_beyond_32_bits),
		CASE(case_11_zero_length_status),
		CASE(case_12_read_with_readable_data),
		CASE(case_13_header_is_writable),
		CASE(case_13_write_with_writable_data),
		CASE(case_15_data_and_status_overlap_the_header),
		CASE(case_15_data_overlaps_the_ring),
		CASE(case_15_status_overlaps_the_ring),
		CASE(case_16_header_changes_while_read),
		CASE(case_33_long_reads_take_turns),
	};

	return cmocka_run_group_tests_name("hostile/disk", tests, NULL, NULL);
}
