/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_LAUNCH_H
#define NETLAB_CLI_LAUNCH_H 1

/* Starts a netlabd and, where that must be, ends it.
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"

struct launch {
	const char *lab;      /* The caller fills these. */
	const char *topology; /* Absolute path. */
	const char *from;     /* A snapshot, in place of the topology, or NULL. */
	bool cold;            /* No clones. */
	bool overcommit;      /* Too little memory is no reason not to start. */
	const char *captures; /* Absolute path. */
	bool no_capture;      /* Nothing is written there but what was recorded before a crash. */
	int signal_fd;        /* A signalfd that interrupts. */
	pid_t pid;            /* netlabd's, a child of ours; 0 when it has ended. */
};

enum launch_end {
	LAUNCH_STARTED,
	LAUNCH_FAILED,      /* 'error' is set, and nothing is left. */
	LAUNCH_INTERRUPTED, /* A signal is to be read from 'signal_fd'; netlabd still runs. */
};

/* Starts netlabd and waits for its report.  The signals of 'signal_fd' must be blocked. */
enum launch_end launch_start(struct launch *launch, struct error *error);

/* Tells netlabd to end and waits until it and its folder are gone.  A further signal at 'signal_fd' makes it
 * short. */
void launch_stop(struct launch *launch);

/* After the connection to netlabd was lost: waits for its end and describes it in 'error', with the end of
 * its log.  Its folder is removed. */
void launch_explain_death(struct launch *launch, struct error *error);

#endif /* launch.h */
