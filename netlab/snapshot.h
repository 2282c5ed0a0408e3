/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_SNAPSHOT_H
#define NETLAB_SNAPSHOT_H 1

/* Snapshots: labs at one instant, on disk
 * =======================================
 *
 *     $XDG_DATA_HOME/netlab-kvm/snapshots/LAB/NAME/    ($HOME/.local/share where XDG_DATA_HOME is unset)
 *         topology.yaml   the topology as it was read
 *         file-N          what its files have as sources, in the order of the topology
 *         disk-IMAGE      the disk that nodes of that image have
 *         memory-N        the memory of the N-th node's guest, with holes
 *         state           all else (core/state.h, netlab/lab_snapshot.c)
 *         about           JSON, for "netlab snapshot list"
 *
 * A snapshot is made in a folder .new-NAME, which its maker holds a lock on, and gets its name when all of it is on
 * disk.  One whose lock is free was left by a maker that died, and is removed when seen.
 *
 * This is the store.  What is in a snapshot is netlab/lab_snapshot.h's, and packing it into one file
 * netlab/snapshot_archive.h's.
 *
 * Thread-safety: any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "core/error.h"

#define SNAPSHOT_NAME_MAX 63

/* Letters, digits, '.', '-' and '_', up to SNAPSHOT_NAME_MAX, and no '.' first. */
bool snapshot_name_is_valid(const char *name);

/* A descriptor of the folder of a snapshot, or a negative errno value with 'error' set, which names those there are. */
int snapshot_open(const char *lab, const char *name, struct error *error);
/* Its path, to be freed with free(). */
char *snapshot_path(const char *lab, const char *name);
bool snapshot_exists(const char *lab, const char *name);

/* The path of the topology the lab was started from, to be freed with free(), or NULL if that is not known. */
char *snapshot_origin(const char *lab, const char *name);

/* The name of the lab that has a snapshot of this name, to be freed with free(), or NULL with 'error' set when there is
 * none, or more than one. */
char *snapshot_find_lab(const char *name, struct error *error);

/* A descriptor of a new folder, or a negative errno value with 'error' set: -EBUSY while it is being made. */
int snapshot_create(const char *lab, const char *name, struct error *error);
/* Gives the folder its name, in place of one that had it. Returns 0 or a negative errno value with 'error' set. */
int snapshot_commit(const char *lab, const char *name, struct error *error);
/* Removes the folder that did not become one. */
void snapshot_abandon(const char *lab, const char *name);

/* Those of one lab, or (NULL) of all, newest first: "lab", "name", "size" (bytes on disk) and what "about" has. */
json_t *snapshot_list(const char *lab);
/* Returns 0 or a negative errno value with 'error' set. */
int snapshot_delete(const char *lab, const char *name, struct error *error);

#endif /* snapshot.h */
