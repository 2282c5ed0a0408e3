/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/pcapng_blocks.h"

#include <errno.h>
#include <string.h>

#define HEAD_SIZE 8u /* Type and total length. */
#define SIZE_MIN 12u /* Those, and the length once more. */
#define SECTION_HEAD_SIZE 12u
#define SECTION_MAGIC 0x1a2b3c4du
#define PACKET_HEAD_SIZE 28u /* Up to the packet's bytes. */
#define PACKET_CAPTURED_AT 20u
#define OPTION_HEAD_SIZE 4u
#define OPTION_DROPCOUNT 4u
#define STATISTICS_HEAD_SIZE 20u
#define OPTION_OSDROP 7u

static uint32_t get_32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint16_t get_16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static size_t padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

uint32_t pcapng_block_type(const uint8_t *block)
{
	return get_32(block);
}

ssize_t pcapng_block_size(const uint8_t *bytes, size_t size)
{
	uint32_t total;

	if (size < HEAD_SIZE)
		return 0;
	total = get_32(bytes + 4);
	if (total < SIZE_MIN || total % 4 || total > PCAPNG_BLOCKS_SIZE_MAX)
		return -EINVAL;
	if (pcapng_block_type(bytes) == PCAPNG_BLOCK_SECTION) {
		if (size < SECTION_HEAD_SIZE)
			return 0;
		if (total < SECTION_HEAD_SIZE + 4 || get_32(bytes + 8) != SECTION_MAGIC)
			return -EINVAL;
	}
	if (size >= total && get_32(bytes + total - 4) != total)
		return -EINVAL;
	return total;
}

/* The value of an option with 64 bits, among those of a block that begin at 'at'; 0 if there is none. */
static uint64_t get_option(const uint8_t *block, size_t at, uint16_t code)
{
	size_t end = get_32(block + 4) - 4, length;
	uint64_t value;

	for (; at + OPTION_HEAD_SIZE <= end; at += OPTION_HEAD_SIZE + padded(length)) {
		length = get_16(block + at + 2);
		if (get_16(block + at) == code && length == sizeof(value) && at + OPTION_HEAD_SIZE + length <= end) {
			memcpy(&value, block + at + OPTION_HEAD_SIZE, sizeof(value));
			return value;
		}
	}
	return 0;
}

void pcapng_blocks_add(struct pcapng_blocks *blocks, const uint8_t *block, size_t size)
{
	uint32_t type = pcapng_block_type(block);

	blocks->size += size;
	blocks->frames += type == PCAPNG_BLOCK_PACKET;
	if (type == PCAPNG_BLOCK_PACKET && size > PACKET_HEAD_SIZE)
		blocks->lost += get_option(block, PACKET_HEAD_SIZE + padded(get_32(block + PACKET_CAPTURED_AT)),
					   OPTION_DROPCOUNT);
	else if (type == PCAPNG_BLOCK_STATISTICS)
		blocks->lost_of_totals += get_option(block, STATISTICS_HEAD_SIZE, OPTION_OSDROP);
}

struct pcapng_blocks pcapng_blocks_count(const uint8_t *bytes, size_t size)
{
	struct pcapng_blocks blocks = {0};
	ssize_t next;

	while ((next = pcapng_block_size(bytes + blocks.size, size - blocks.size)) > 0 &&
	       (size_t)next <= size - blocks.size)
		pcapng_blocks_add(&blocks, bytes + blocks.size, (size_t)next);
	return blocks;
}

uint64_t pcapng_blocks_lost(const struct pcapng_blocks *blocks)
{
	return blocks->lost_of_totals > blocks->lost ? blocks->lost_of_totals : blocks->lost;
}
