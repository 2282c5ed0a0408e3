/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_PROGRESS_H
#define NETLAB_CLI_PROGRESS_H 1

/* Nodes on their way to being ready
 * =================================
 *
 * Follows the control protocol's events and shows them: on a terminal as a table that is redrawn in place,
 * otherwise as a line for each change.
 *
 * A node has settled when it is ready, crashed or stopped; it has failed when it crashed, stopped, or is
 * ready with something to complain of.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>

#include "netlab/cli/client.h"

struct progress_node {
	char *name;
	char *state;
	char *reason;
	double seconds;
};

struct progress {
	/* The caller fills these. */
	bool quiet;          /* Show nothing. */
	const char *only;    /* Follow this node alone, from when it is created anew; NULL: all. */
	const json_t *among; /* Follow nodes with these names; NULL: all. */
	json_int_t request;  /* An error in answer to this request ends the waiting; 0: none. */

	struct progress_node *nodes;
	size_t count, expected;
	bool is_live; /* Redrawn in place. */
	bool has_colours;
	size_t lines;      /* Lines of the table that stand on the terminal. */
	long long started; /* Milliseconds. */
	json_int_t id;     /* Of the event stream. */
};

enum progress_end {
	PROGRESS_SETTLED,
	PROGRESS_TIMEOUT,
	PROGRESS_SIGNAL, /* A signal arrived at 'signal_fd'. */
	PROGRESS_LOST,   /* The connection ended, or the daemon sent an error: 'error' is set. */
};

/* Asks for events.  Call before whatever causes them. */
void progress_begin(struct progress *progress, struct client *client);

/* Waits until all nodes have settled, at most until 'deadline' (milliseconds of cli_milliseconds(); 0: for
 * ever). */
enum progress_end progress_wait(struct progress *progress, struct client *client, int signal_fd, long long deadline,
				struct error *error);

bool progress_node_settled(const struct progress_node *node);
bool progress_node_failed(const struct progress_node *node);

void progress_free(struct progress *progress);

#endif /* progress.h */
