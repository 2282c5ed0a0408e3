/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BRIDGE_WORK_H
#define NETLAB_BRIDGE_WORK_H 1

/* What netlab-bridge-helper does to the host's network
 * ====================================================
 *
 * All that is made bears a tag as its ifalias, "netlab-kvm USER LAB PROCESS" with the helper's process id, and what
 * does not bear it is never removed, nor changed beyond becoming a port of a bridge that does.  A TAP needs no
 * removal: it goes when the last descriptor of it is closed, however that comes about.
 *
 * Two labs may be on one bridge.  When the one goes that made it, the bridge is the other's from then on.
 *
 * On bridges that are made, and on TAPs, this host has no IPv6 (unless an address was asked for): a bridge is to join
 * guests to what it has as ports, not to have this host take part, least of all to let guests tell it its routes.
 *
 * Thread-safety: one thread.
 */

#include <sys/types.h>

#include "core/error.h"
#include "netlab/bridge/request.h"

struct links;

struct bridge_work {
	struct links *links;
	char tag[128];
	unsigned int macvtap_count; /* Made so far. */
};

/* Prepares work for a lab of the user.  Returns 0 or a negative errno value with 'error' set. */
int bridge_work_open(struct bridge_work *work, uid_t user, const char *lab, struct error *error);
void bridge_work_close(struct bridge_work *work);

/* Does what a checked and allowed request says.  Returns a descriptor, for the caller to close, and fills in the
 * device and MTU of the reply; 0 if none was asked for; or a negative errno value with 'error' set, and then nothing is
 * left of what was made for it. */
int bridge_work_do(struct bridge_work *work, const struct bridge_request *request, struct bridge_reply *reply,
		   struct error *error);

/* Removes all that bears the tag. */
void bridge_work_undo(struct bridge_work *work);

/* Removes all that bears a tag of the user's whose helper has died. */
int bridge_work_clean(uid_t user, struct error *error);

#endif /* bridge/work.h */
