/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_SNAPSHOT_ARCHIVE_INTERNAL_H
#define NETLAB_SNAPSHOT_ARCHIVE_INTERNAL_H 1

/* What exporting and importing a snapshot have in common: which entries there are, the checksum, and a descriptor that
 * is waited for.
 *
 * Thread-safety: each object belongs to one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/snapshot_archive.h"

/* In the order in which they are in an archive. */
enum snapshot_entry_kind {
	SNAPSHOT_ENTRY_ABOUT,
	SNAPSHOT_ENTRY_TOPOLOGY,
	SNAPSHOT_ENTRY_STATE,
	SNAPSHOT_ENTRY_SOURCE,
	SNAPSHOT_ENTRY_DISK,
	SNAPSHOT_ENTRY_MEMORY,
	SNAPSHOT_ENTRY_CHECKSUM,
	SNAPSHOT_ENTRY_UNKNOWN,
};

#define SNAPSHOT_ENTRIES_MAX 16384u    /* In an archive. */
#define SNAPSHOT_ABOUT_SIZE_MAX 65536u /* Bytes. */
#define SNAPSHOT_CHECKSUM_SIZE 17u     /* Bytes: 16 digits and a newline. */

struct snapshot_entry {
	enum snapshot_entry_kind kind;
	unsigned int number; /* N of file-N and memory-N. */
};

/* What a name stands for; its kind is SNAPSHOT_ENTRY_UNKNOWN when a snapshot has no such file. */
struct snapshot_entry snapshot_entry_parse(const char *name);
/* Bytes that one of this kind may have, holes included. */
uint64_t snapshot_entry_size_max(enum snapshot_entry_kind kind);

/* Covers names and sizes, and data with where it is: a hole is another thing than zeros, so that it takes no time. */
struct snapshot_checksum;

/* Returns NULL when out of memory. */
struct snapshot_checksum *snapshot_checksum_create(void);
void snapshot_checksum_destroy(struct snapshot_checksum *checksum);
void snapshot_checksum_entry(struct snapshot_checksum *checksum, const char *name, uint64_t size);
/* Data of the entry begun last, in order; it does not matter how it is cut up. */
void snapshot_checksum_data(struct snapshot_checksum *checksum, uint64_t offset, const void *data, size_t size);
void snapshot_checksum_text(const struct snapshot_checksum *checksum, char text[SNAPSHOT_CHECKSUM_SIZE + 1]);

struct snapshot_stream {
	int fd;
	const struct snapshot_watch *watch;
	bool stopped; /* The watcher wanted it to end. */
};

/* Waits until the stream is ready for 'events' of poll().  Returns false when it is to end, with 'stopped' set, or
 * cannot be waited for, with errno set. */
bool snapshot_stream_wait(struct snapshot_stream *stream, short events);

#endif /* snapshot_archive_internal.h */
