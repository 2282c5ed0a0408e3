/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NODE_SETUP_H
#define NETLAB_NODE_SETUP_H 1

/* Setting a node up through its agent: host name, time, entropy, interfaces, addresses, sysctls and /etc/hosts in
 * one message, then files, routes and start-up commands, one after the other.  A step that fails is reported in the
 * node's log, the first one also as the node's reason, and the rest goes on: a node that is half set up can be
 * looked at.
 *
 * Thread-safety: the control loop's. */

struct node;
struct node_setup;

/* Begins, with node->setup pointing to the new struct; node_setup_done() follows, possibly from within. */
void node_setup_start(struct node *node);

/* Frees it.  Steps that are under way are abandoned. */
void node_setup_destroy(struct node_setup *setup);

#endif /* node_setup.h */
