/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_RUNTIME_H
#define NETLAB_RUNTIME_H 1

/* The runtime folder
 * ==================
 *
 * Every running lab has a folder in the user's runtime folder, which is $XDG_RUNTIME_DIR/netlab-kvm, else
 * /run/user/UID/netlab-kvm if /run/user/UID is ours, else /tmp/netlab-kvm-UID:
 *
 *     LAB/pid            netlabd's process id; netlabd holds a lock on this file as long as it lives
 *     LAB/control.sock   the control socket
 *     LAB/topology       absolute path of the topology file
 *     LAB/memory         bytes of memory that it may come to need, for those who start other labs
 *     LAB/netlabd.log    what netlabd said
 *     LAB/nodes/         logs of the nodes
 *     LAB/bridge         there if something was made on the host's network (netlab/bridge/client.h)
 *
 * The lock, not the folder, says whether a lab runs: the kernel drops it however netlabd dies.  A folder
 * whose lock is free is a leftover and may be removed by whoever takes the lock.  The lock belongs to the
 * open file (F_OFD_SETLK), since such a lock can be asked about without taking it for a moment.
 *
 * pid is removed last and under the lock, and one who got the lock checks that the file it locked is still
 * the one with that name, so that two processes never own one folder.
 *
 * Paths of sockets may not be longer than 107 characters: sockets are reached through /proc/self/fd/N, which
 * is always short.
 *
 * Thread-safety: any thread; a struct runtime belongs to one. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/error.h"

struct runtime {
	char *path; /* Absolute path of the lab's folder. */
	char *lab;
	int base;   /* The user's runtime folder. */
	int folder; /* The lab's folder. */
	int lock;   /* Its pid file, locked. */
};

enum runtime_state {
	RUNTIME_ABSENT, /* No such folder. */
	RUNTIME_DEAD,   /* A leftover. */
	RUNTIME_RUNNING,
};

/* Returns the path of the user's runtime folder, made if need be, to be freed with free(); or NULL with
 * 'error' set. */
char *runtime_base(struct error *error);

/* True if 'lab' can be a folder's name here.  Reading a topology checks more. */
bool runtime_name_is_valid(const char *lab);

/* Makes 'lab' ours: its folder, empty but for a locked pid file with our process id and a nodes folder.
 * Returns 0; or -EBUSY when the lab runs, or another negative errno value, with 'error' set. */
int runtime_claim(struct runtime *runtime, const char *lab, struct error *error);

/* Removes the folder and gives up the lock.  Does nothing if 'runtime' was not claimed. */
void runtime_remove(struct runtime *runtime);

/* True while the folder on disk is still the one that was claimed. */
bool runtime_is_there(const struct runtime *runtime);

/* Returns a listening socket in the folder, or a negative errno value with 'error' set. */
int runtime_listen(struct runtime *runtime, struct error *error);

/* Returns a socket connected to the lab's netlabd, or a negative errno value with 'error' set. */
int runtime_connect(const char *lab, struct error *error);

/* Says how it is with 'lab'; with RUNTIME_RUNNING '*pid' is netlabd's process id if it is known, else 0. */
enum runtime_state runtime_probe(const char *lab, pid_t *pid);

/* Removes what a dead netlabd left.  Returns true if there was something and it is gone. */
bool runtime_clean(const char *lab);

/* Returns the last 'size' bytes at most of a file in the lab's folder as a string, to be freed with free(),
 * or NULL. */
char *runtime_read(const char *lab, const char *file, size_t size);

/* Fills '*labs' with the names of all labs that have a folder, running or not, in alphabetical order, and
 * '*count'.  Free each and the array.  Returns 0 or a negative errno value with 'error' set. */
int runtime_labs(char ***labs, size_t *count, struct error *error);

#endif /* runtime.h */
