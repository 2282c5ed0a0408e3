/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PCAPNG_READER_H
#define NETLAB_PCAPNG_READER_H 1

/* Reading pcapng
 * ==============
 *
 * Packets of a capture in the PCAP Next Generation format (draft-ietf-opsawg-pcapng), one after the other, with the
 * options that libpcap's reader does not hand out: names of interfaces, comments, packet ids, verdicts.  Both byte
 * orders, any number of sections, any if_tsresol and if_tsoffset, and blocks that are not known, which are skipped.
 * Simple Packet Blocks and the obsolete Packet Block are skipped as well, and counted.
 *
 * A file comes from an enemy: all lengths are checked, and memory is bounded by PCAPNG_READER_BLOCK_MAX and, for what
 * is kept of interfaces, by PCAPNG_READER_INTERFACES_MAX and PCAPNG_READER_TEXT_MAX.  A file that ends within a block
 * is read up to there (-EPIPE), as one is whose writer was killed or is still at it; an empty one has no packets.
 *
 * Thread-safety: one thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAPNG_READER_BLOCK_MAX (16u << 20)
#define PCAPNG_READER_INTERFACES_MAX 65536 /* Of all sections. */
#define PCAPNG_READER_TEXT_MAX 1024        /* Bytes of an interface's name and description; the rest is cut off. */
#define PCAPNG_READER_COMMENTS_MAX 8       /* Of a packet; more are left out. */

struct pcapng_reader;

struct pcapng_reader_interface {
	char *name;        /* "" if it has none; control characters as they are: print with cli_put_text(). */
	char *description; /* "" if it has none. */
	uint32_t link_type;
	uint64_t lost; /* Sum of epb_dropcount so far. */
};

struct pcapng_reader_packet {
	const struct pcapng_reader_interface *interface; /* As long as the reader; none is freed before it. */
	uint64_t time;                                   /* Nanoseconds since the epoch. */
	const uint8_t *bytes;
	uint32_t captured, size; /* 'captured' is at most 'size'. */
	unsigned int direction;  /* Of epb_flags: 0 unknown, 1 inbound, 2 outbound. */
	uint32_t flags;          /* All of epb_flags (netlab/pcapng.h), or 0. */
	bool has_id;
	uint64_t id;
	uint64_t lost;                                    /* epb_dropcount, or 0. */
	unsigned int verdict;                             /* First byte of a verdict of type 0, or 0. */
	const char *comments[PCAPNG_READER_COMMENTS_MAX]; /* NUL-terminated; the first that is NULL ends them. */
};

/* Reads from 'stream', which stays the caller's.  Returns NULL when out of memory. */
struct pcapng_reader *pcapng_reader_create(FILE *stream);
void pcapng_reader_destroy(struct pcapng_reader *reader);

/* Reads on to the next packet, which is valid until the next call.  Returns 1; 0 at the end of the file; or a negative
 * errno value: -EINVAL (it is no pcapng file, or damaged), -EPIPE (it ends within a block), -E2BIG (a block is longer
 * than PCAPNG_READER_BLOCK_MAX, or there are too many interfaces), -ENOMEM, or that of reading.  After an error there
 * is nothing more. */
int pcapng_reader_next(struct pcapng_reader *reader, struct pcapng_reader_packet *packet);

/* What was wrong, as a sentence without its subject ("is no pcapng file"), after an error of pcapng_reader_next(). */
const char *pcapng_reader_problem(const struct pcapng_reader *reader);

/* Packets that were skipped, since their blocks are not Enhanced Packet Blocks. */
uint64_t pcapng_reader_skipped(const struct pcapng_reader *reader);

/* Packets that are missing, as statistics of interfaces have it (isb_osdrop), beyond what packets say: behind the last
 * ones, as far as the file was read.  Of the last section: what one before it lacks netlab has the next one say. */
uint64_t pcapng_reader_untold(const struct pcapng_reader *reader);

/* Bytes of the stream that were read as whole blocks. */
uint64_t pcapng_reader_position(const struct pcapng_reader *reader);

#endif /* pcapng_reader.h */
