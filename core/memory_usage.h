/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_MEMORY_USAGE_H
#define CORE_MEMORY_USAGE_H 1

/* Memory usage: what memory takes of the host's
 * =============================================
 *
 * The kernel's account of this process (/proc/self/smaps), added up over ranges of addresses, such as guests' memory
 * (core/memory.h).  What only one has is kept apart from what it shares with all who map the same file:
 *
 *      a saved guest's memory    private: the pages that were written to, which are copies
 *                                shared: pages of the file, even when nobody else maps it now
 *      a booted guest's memfd    private, all of it
 *
 * The tables that KVM keeps for a guest are in nobody's account and so not here.
 *
 * The kernel looks at every page to fill smaps: 100 mappings of 64 MiB, all of it in use, took 58 ms, and 100 clones
 * that had just started 30 ms.  So ask once for all ranges, and only when somebody wants to know.
 *
 * Thread-safety: any thread.
 */

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Bytes. */
struct memory_usage {
	uint64_t private; /* In RAM, or swapped out. */
	uint64_t shared;  /* In RAM. */
	/* Of 'shared', each page divided by how often it is mapped: a sum over all who share it counts it once. */
	uint64_t proportional;
};

struct memory_range {
	const void *base; /* The caller sets these two. */
	uint64_t size;    /* Bytes. */
	struct memory_usage usage;
};

/* Sets the usage of each of the ranges, which must not overlap, from text in the form of /proc/PID/smaps; and '*rest'
 * to that of all that is in none of them.  A mapping belongs to the range in which it begins.  Returns 0; or -EBADMSG
 * if the text is something else, and then the numbers are of no use. */
int memory_usage_read(FILE *smaps, struct memory_range *ranges, size_t count, struct memory_usage *rest);
/* The same for this process, now.  Returns 0 or a negative errno value. */
int memory_usage_read_own(struct memory_range *ranges, size_t count, struct memory_usage *rest);

#endif /* memory_usage.h */
