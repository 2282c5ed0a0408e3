/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_ATTACHMENT_H
#define NETLAB_ATTACHMENT_H 1

/* Attachment: what is plugged into a port and leads out of the lab
 * ================================================================
 *
 * A socket to a virtual machine of another VMM, a tunnel to another host's lab, a capture that is replayed: each gives
 * its port the frames that come from elsewhere, and takes elsewhere those that the port receives.  Which one it is, and
 * where it leads, is in the topology; each kind is a file of its own, netlab/attachment_KIND.c.
 *
 * It never holds up the data plane: what the other side does not take in time is dropped and counted at the port,
 * with a reason.  All that comes from there is an enemy's.
 *
 * Two threads have to do with one.  Whoever builds the lab creates and destroys it, and that is where whatever can
 * fail or take a while is done; from attachment_plug() to attachment_unplug() it belongs to the data plane.
 */

#include <stddef.h>

#include "core/error.h"

struct attachment;
struct bridge_client;
struct loop;
struct port;
struct topology_attachment;

#define ATTACHMENT_DETAIL_SIZE 256

struct attachment_status {
	const char *state; /* A word: "listening", "connected", "replaying", "failed". */
	char detail[ATTACHMENT_DETAIL_SIZE];
	size_t queued; /* Bytes kept for the other side, which has not taken them yet. */
};

/* Opens what 'topology', which must outlive it, describes, by 'bridge_client' where that takes a privilege, and sets
 * '*attachment', to be destroyed.  Returns 0, or a negative errno value with 'error' set: -EADDRINUSE where something
 * else has the path, address or name. */
int attachment_create(const struct topology_attachment *topology, struct bridge_client *bridge_client,
		      struct attachment **attachment, struct error *error);
/* Unplugged, or never plugged.  May be NULL. */
void attachment_destroy(struct attachment *attachment);

/* In the thread of 'loop', or before it runs. */
/* Plugs it into the port.  Returns 0 or a negative errno value. */
int attachment_plug(struct attachment *attachment, struct loop *loop, struct port *port);
void attachment_unplug(struct attachment *attachment);
/* What waits for the lab begins.  Once. */
void attachment_start(struct attachment *attachment);
void attachment_describe(const struct attachment *attachment, struct attachment_status *status);

#endif /* attachment.h */
