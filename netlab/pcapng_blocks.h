/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PCAPNG_BLOCKS_H
#define NETLAB_PCAPNG_BLOCKS_H 1

/* Blocks of a stream of pcapng, for one that passes it on
 * =======================================================
 *
 * Who passes a capture on must know where a block ends, of which type it is, and how many frames it says are missing
 * (draft-ietf-opsawg-pcapng, sections 3.1 and 4.3); what is in the frames is for others (netlab/pcapng_reader.h).
 * In this machine's byte order only, as netlabd writes it.
 *
 * Thread-safety: any thread. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A block that says it is longer is none. */
#define PCAPNG_BLOCKS_SIZE_MAX (16u << 20)

enum pcapng_block_type {
	PCAPNG_BLOCK_SECTION = 0x0a0d0d0a,
	PCAPNG_BLOCK_INTERFACE = 1,
	PCAPNG_BLOCK_NAMES = 4,
	PCAPNG_BLOCK_STATISTICS = 5,
	PCAPNG_BLOCK_PACKET = 6,
};

/* Returns how many bytes the block has that begins at 'bytes', of which 'size' are there, or 0 when too few are
 * there to tell; -EINVAL when no block begins so. */
ssize_t pcapng_block_size(const uint8_t *bytes, size_t size);

/* Of a whole block: its type. */
uint32_t pcapng_block_type(const uint8_t *block);

/* What is in blocks. */
struct pcapng_blocks {
	size_t size; /* Of the blocks, together. */
	uint64_t frames;
	uint64_t lost;           /* That frames say are missing before them, the sum of epb_dropcount ... */
	uint64_t lost_of_totals; /* ... and that statistics say are missing in all, the sum of isb_osdrop. */
};

/* Adds a whole block of 'size' bytes. */
void pcapng_blocks_add(struct pcapng_blocks *blocks, const uint8_t *block, size_t size);

/* Counts the whole blocks at the beginning of 'size' bytes. */
struct pcapng_blocks pcapng_blocks_count(const uint8_t *bytes, size_t size);

/* How many frames are missing, as far as the blocks say.  netlabd writes the statistics of each interface once, at the
 * section's end: what was lost after an interface's last frame is said there alone. */
uint64_t pcapng_blocks_lost(const struct pcapng_blocks *blocks);

#endif /* pcapng_blocks.h */
