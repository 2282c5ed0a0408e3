/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NODE_SHAPE_H
#define NETLAB_NODE_SHAPE_H 1

/* Shape: what a node is made of by its topology
 * =============================================
 *
 * Image, memory, CPUs and interfaces with their ports.  A shape is made before the node's guest is stopped, with all
 * that can fail, and put on when it has ended, which cannot.  Interfaces whose names stay go on with their ports, and
 * so with their counters and captures.
 *
 * Thread-safety: the control loop's.
 */

#include "core/error.h"

struct image;
struct node;
struct node_context;
struct node_interface;
struct topology_node;

struct node_shape {
	const struct topology_node *topology;
	struct image *image;
	struct node_interface *interfaces; /* One for each of the topology's. */
};

/* Makes a shape for 'node', or for one that is yet to be made (NULL).  Returns 0 or a negative errno value with 'error'
 * set and nothing left. */
int node_shape_make(struct node_shape *shape, const struct topology_node *topology, const struct node *node,
		    const struct node_context *context, struct error *error);
/* Frees one that is not put on. */
void node_shape_drop(struct node_shape *shape, const struct node *node);
/* Puts it on a node without a guest, whose ports that are not in it are removed. */
void node_shape_apply(struct node_shape *shape, struct node *node);

/* Has the node and its interfaces point to another description of the same shape. */
void node_shape_repoint(struct node *node, const struct topology_node *topology);

/* Removes the ports of a node that is about to be destroyed. */
void node_shape_remove_ports(struct node *node);

#endif /* node_shape.h */
