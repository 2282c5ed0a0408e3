/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_NETWORK_H
#define NETLAB_LAB_NETWORK_H 1

/* A network of a running lab
 * ==========================
 *
 * The data plane's network, and what leads out of it: with "mode: nat" a gateway, with "mode: bridge" and "mode: macvtap"
 * a TAP, plugged into the network's outer port "network:NAME", which is captured and counted as any other.
 *
 * Thread-safety: the control loop's thread; what belongs to the data plane is done there.
 */

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

struct bridge_client;
struct dataplane;
struct nat;
struct nat_forward;
struct network;
struct port;
struct tap;
struct topology;
struct topology_network;

struct lab_network {
	struct dataplane *dataplane;
	struct bridge_client *bridge_client;
	struct network *network;
	struct port *outer; /* NULL where nothing leads out.  What is plugged into it, if anything: */
	struct nat *nat;
	struct tap *tap;
	char made[IF_NAMESIZE]; /* The host's device that was made for it, or "". */
};

/* Makes the network, from which nothing leads out yet; 'bridge_client' is for what will.  Returns NULL with 'error'
 * set. */
struct lab_network *lab_network_create(struct dataplane *dataplane, struct bridge_client *bridge_client,
				       const struct topology_network *topology, struct error *error);

/* Ends what leads out of 'former', which 'network' is to take the place of, and gives the latter the outer port, so
 * that its capture and its counters go on. */
void lab_network_succeed(struct lab_network *network, struct lab_network *former);

/* Whether what leads out of it is there, if anything is to. */
bool lab_network_is_connected(const struct lab_network *network, const struct topology_network *topology);

/* No other port may be on it any more. */
void lab_network_destroy(struct lab_network *network);

/* Makes what leads out of it, if it is not there; tells the name server the nodes of 'topology', of which it is the
 * network 'index'; then ends the forwards that the topology does not have and adds those it has, all that can be.  No
 * other network may have the name any more, since the outer port has it too.  Returns 0 or a negative errno value with
 * 'error' set, one line for each forward that cannot be. */
int lab_network_connect(struct lab_network *network, const struct topology *topology, size_t index,
			struct error *error);

/* As nat_add_forward() and nat_remove_forward(); the network must have a gateway. */
int lab_network_add_forward(struct lab_network *network, const struct nat_forward *forward, struct error *error);
int lab_network_remove_forward(struct lab_network *network, const struct nat_forward *forward);
/* Returns the forwards there are, to be freed with free(), or NULL for none, and sets '*count'. */
struct nat_forward *lab_network_forwards(struct lab_network *network, size_t *count);

/* Forgets what the gateway has of the guests' connections: they go on from elsewhere.  Returns whether there is one. */
bool lab_network_reset(struct lab_network *network);

/* True when the one can become the other by its forwards and the names it knows alone. */
bool lab_network_is_same(const struct topology_network *a, const struct topology_network *b);

#endif /* lab_network.h */
