/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_ATTACHMENT_H
#define NETLAB_LAB_ATTACHMENT_H 1

/* An attachment of a running lab
 * ==============================
 *
 * A port "KIND:LABEL" and what is plugged into it (netlab/attachment.h).  The port, with its capture and counters, stays
 * when what is plugged in is replaced.
 *
 * Thread-safety: the control loop's thread; what belongs to the data plane is done there.
 */

#include <stdbool.h>

#include "core/error.h"
#include "netlab/attachment.h"

struct bridge_client;
struct dataplane;
struct port;
struct topology_attachment;

struct lab_attachment {
	struct dataplane *dataplane;
	struct bridge_client *bridge_client; /* For what takes a privilege. */
	const struct topology_attachment *topology;
	struct port *port;
	struct attachment *attachment; /* NULL: nothing is plugged in. */
	bool is_started;
	char failure[ATTACHMENT_DETAIL_SIZE]; /* Why not. */
};

/* Makes the port, joined to nothing, with nothing plugged in.  Returns NULL with 'error' set. */
struct lab_attachment *lab_attachment_create(struct dataplane *dataplane, struct bridge_client *bridge_client,
					     const struct topology_attachment *topology, struct error *error);
void lab_attachment_destroy(struct lab_attachment *attachment);

/* Opens and plugs in what its topology says, unless that is so.  Returns 0, or a negative errno value with 'error' set;
 * then lab_attachment_describe() tells why. */
int lab_attachment_open(struct lab_attachment *attachment, struct error *error);
/* Unplugs it. */
void lab_attachment_close(struct lab_attachment *attachment);

/* Has what waits for the lab to be ready begin, once. */
void lab_attachment_start(struct lab_attachment *attachment);

void lab_attachment_describe(const struct lab_attachment *attachment, struct attachment_status *status);

#endif /* lab_attachment.h */
