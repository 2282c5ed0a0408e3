/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BRIDGE_CLIENT_H
#define NETLAB_BRIDGE_CLIENT_H 1

/* netlabd's side of netlab-bridge-helper (bridge/request.h)
 * =========================================================
 *
 * A lab has one helper, which is started when it is first asked for something, and ends when it is let go of, having
 * removed what it made.  Answers are waited for: they take milliseconds, and never is there a frame that waits with
 * them.
 *
 * Thread-safety: one thread, which is the control loop's.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"
#include "netlab/bridge/request.h"

/* In a lab's runtime folder: it may have asked a helper for something. */
#define BRIDGE_MARKER "bridge"

struct bridge_client {
	const char *lab;    /* The lab's name, for the tags of what is made. */
	const char *marker; /* Path of the marker, which is made before a helper is started. */
	int socket;         /* -1: there is no helper. */
	pid_t process;
	bool has_lost_one; /* A helper was killed, so not all may have been removed that it made. */
};

/* Prepares; nothing is started.  'lab' and 'marker' are not copied. */
void bridge_client_init(struct bridge_client *client, const char *lab, const char *marker);

/* Has the helper do what the request says; 'protocol' is filled in.  Returns a descriptor, which is the caller's, or 0
 * if none was asked for, or a negative errno value with 'error' set. */
int bridge_client_ask(struct bridge_client *client, struct bridge_request *request, struct bridge_reply *reply,
		      struct error *error);

/* Lets go of the helper and waits, some seconds at most, until it has removed all it made.  TAPs should be closed
 * before. */
void bridge_client_close(struct bridge_client *client);

/* Removes what helpers that were killed have left of this user's labs. */
void bridge_clean(void);

#endif /* bridge/client.h */
