/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_SNAPSHOT_ARCHIVE_H
#define NETLAB_SNAPSHOT_ARCHIVE_H 1

/* A snapshot as one file, to be handed on
 * =======================================
 *
 * An archive is a tar in pax format, compressed with zstd, of the files a snapshot has (netlab/snapshot.h), in this
 * order and without folders:
 *
 *     about           JSON: what the snapshot's has, and "format" (SNAPSHOT_ARCHIVE_FORMAT), "lab", "name", "bytes"
 *     topology.yaml, state, file-N, disk-IMAGE, memory-N
 *     checksum        XXH3 of all between, as 16 hexadecimal digits and a newline
 *
 * Memory has its holes in the archive too, so that it takes no more room than where it came from.  "bytes" counts what
 * is no hole.  The path of the topology stays where it means something.
 *
 * An archive to be imported comes from a stranger.  Only regular files with those names are taken, each once, none
 * bigger than what it stands for can be, all together no bigger than the archive says and the file system has room
 * for; the topology and the state must be readable.  The checksum finds accidents.  Nothing but the new snapshot's
 * folder is ever written, and nothing stays of one that is refused.  What the state says is checked by who restores it.
 *
 * Thread-safety: any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "netlab/snapshot.h"
#include "netlab/topology.h"

#define SNAPSHOT_ARCHIVE_FORMAT 1

/* Who follows an export or import. */
struct snapshot_watch {
	/* Bytes that are done, of how many.  Called often.  May be NULL. */
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
	int stop_fd; /* It ends, with -EINTR, when this can be read; -1: it cannot be ended. */
};

/* Writes a snapshot to a file, a pipe or a socket.  Returns 0 or a negative errno value with 'error' set; what has been
 * written by then is of no use. */
int snapshot_export(const char *lab, const char *name, int fd, const struct snapshot_watch *watch, struct error *error);

struct snapshot_import {
	const char *lab;  /* Only one of this lab is taken; NULL: any. */
	const char *name; /* NULL: as it was called when exported. */
	bool replace;     /* One that has the name. */
};

struct snapshot_imported {
	char lab[TOPOLOGY_NAME_MAX + 1];
	char name[SNAPSHOT_NAME_MAX + 1];
	uint64_t size; /* Bytes of data. */
};

/* Makes a snapshot of what is read from a file, a pipe or a socket.  Returns 0 and fills 'imported', or a negative
 * errno value with 'error' set: -EEXIST when there is one of the name. */
int snapshot_import(int fd, const struct snapshot_import *import, const struct snapshot_watch *watch,
		    struct snapshot_imported *imported, struct error *error);

#endif /* snapshot_archive.h */
