/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/node_shape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/dataplane.h"
#include "netlab/image.h"
#include "netlab/node.h"

/* The port of the node's interface of that name, or NULL. */
static struct port *find_port(const struct node *node, const char *port_name)
{
	for (size_t i = 0; node && node->interfaces && i < node->topology->interface_count; i++)
		if (strcmp(node->interfaces[i].port_name, port_name) == 0)
			return node->interfaces[i].port;
	return NULL;
}

static bool has_port(const struct node_shape *shape, const struct port *port)
{
	for (size_t i = 0; i < shape->topology->interface_count; i++)
		if (shape->interfaces[i].port == port)
			return true;
	return false;
}

static int make_interface(struct node_interface *interface, const char *node_name, const struct node *node,
			  struct dataplane *dataplane, struct error *error)
{
	snprintf(interface->port_name, sizeof(interface->port_name), "%s:%s", node_name, interface->topology->name);
	interface->port = find_port(node, interface->port_name);
	if (interface->port)
		return 0;
	interface->port = dataplane_add_port(dataplane, interface->port_name);
	if (!interface->port)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	return dataplane_capture_port(interface->port, error);
}

int node_shape_make(struct node_shape *shape, const struct topology_node *topology, const struct node *node,
		    const struct node_context *context, struct error *error)
{
	int result = 0;

	*shape = (struct node_shape){.topology = topology};
	shape->image = image_load(topology->image, error);
	if (!shape->image)
		return -ENOENT;
	shape->interfaces = calloc(topology->interface_count + 1, sizeof(*shape->interfaces));
	if (!shape->interfaces) {
		node_shape_drop(shape, node);
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	}
	for (size_t i = 0; result == 0 && i < topology->interface_count; i++) {
		shape->interfaces[i].topology = &topology->interfaces[i];
		result = make_interface(&shape->interfaces[i], topology->name, node, context->dataplane, error);
	}
	if (result < 0)
		node_shape_drop(shape, node);
	return result;
}

void node_shape_drop(struct node_shape *shape, const struct node *node)
{
	for (size_t i = 0; shape->interfaces && i < shape->topology->interface_count; i++) {
		struct node_interface *interface = &shape->interfaces[i];

		if (interface->port && !find_port(node, interface->port_name))
			dataplane_remove_port(interface->port);
	}
	free(shape->interfaces);
	image_free(shape->image);
	*shape = (struct node_shape){.topology = NULL};
}

void node_shape_apply(struct node_shape *shape, struct node *node)
{
	for (size_t i = 0; node->interfaces && i < node->topology->interface_count; i++)
		if (!has_port(shape, node->interfaces[i].port))
			dataplane_remove_port(node->interfaces[i].port);
	free(node->interfaces);
	image_free(node->image);
	node->topology = shape->topology;
	node->image = shape->image;
	node->memory = shape->topology->memory ? shape->topology->memory : shape->image->memory;
	node->cpus = shape->topology->cpus ? shape->topology->cpus : shape->image->cpus;
	node->interfaces = shape->interfaces;
	for (size_t i = 0; i < node->topology->interface_count; i++)
		node->interfaces[i].node = node;
	*shape = (struct node_shape){.topology = NULL};
}

void node_shape_repoint(struct node *node, const struct topology_node *topology)
{
	node->topology = topology;
	for (size_t i = 0; i < topology->interface_count; i++)
		node->interfaces[i].topology = &topology->interfaces[i];
}

void node_shape_remove_ports(struct node *node)
{
	for (size_t i = 0; i < node->topology->interface_count; i++) {
		dataplane_remove_port(node->interfaces[i].port);
		node->interfaces[i].port = NULL;
	}
}
