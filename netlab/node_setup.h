/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NODE_SETUP_H
#define NETLAB_NODE_SETUP_H 1

/* Setting a node up through its agent: host name, time, entropy, interfaces, addresses, sysctls and /etc/hosts in
 * one message, then files, routes and start-up commands, one after the other.  A step that fails is reported in the
 * node's log, the first one also as the node's reason, and the rest goes on: a node that is half set up can be
 * looked at.
 *
 * Thread-safety: the control loop's. */

#include <stdio.h>

struct node;
struct node_setup;
struct topology;

/* Begins, with node->setup pointing to the new struct; node_setup_done() follows, possibly from within. */
void node_setup_start(struct node *node);
/* The same for a node that is set up already: only 'lines', for the agent, which are freed. */
void node_setup_start_more(struct node *node, char *lines);

/* Writes the lines that have guests know each other's names, so that "ping h2" works: the first IPv4 and the first IPv6
 * address of every node. */
void node_setup_put_hosts(FILE *out, const struct topology *topology);

/* Frees it.  Steps that are under way are abandoned. */
void node_setup_destroy(struct node_setup *setup);

#endif /* node_setup.h */
