/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "netlab/dataplane_internal.h"

/* Rules of ports, options of networks, mirrors, and what networks have learnt: all that is set and asked while no frame
 * is on its way. */

void port_set_rules(struct port *port, const struct port_rules *rules)
{
	if (port->network && !port_rules_have_same_vlans(&port->rules, rules))
		switch_forget_port(port->network->table, &port->learnt);
	if (port->rules.storm != rules->storm)
		port->storm_due = 0;
	port->rules = *rules;
}

const struct port_rules *port_get_rules(const struct port *port)
{
	return &port->rules;
}

bool port_is_plugged(const struct port *port)
{
	return port->ops != NULL;
}

struct port *dataplane_find_port(const struct dataplane *dataplane, const char *name)
{
	struct port *port;

	TAILQ_FOREACH(port, &dataplane->ports, next) {
		if (strcmp(port->name, name) == 0)
			break;
	}
	return port;
}

/* Mirrors. */

void port_add_mirror(struct port *port, struct port *mirror)
{
	for (unsigned int i = 0; i < port->mirror_count; i++)
		if (port->mirrors[i] == mirror)
			return;
	if (port == mirror || port->is_mirror || mirror->mirror_count > 0 || port->mirror_count == PORT_MIRRORS_MAX)
		return;
	port->mirrors[port->mirror_count++] = mirror;
	mirror->is_mirror = true;
}

void network_add_mirror(struct network *network, struct port *mirror)
{
	struct port *port;

	TAILQ_FOREACH(port, &network->ports, next_in_network)
		port_add_mirror(port, mirror);
}

void dataplane_clear_mirrors(struct dataplane *dataplane)
{
	struct port *port;

	TAILQ_FOREACH(port, &dataplane->ports, next) {
		port->mirror_count = 0;
		port->is_mirror = false;
	}
}

/* Networks. */

void network_set_options(struct network *network, const struct network_options *options)
{
	if (network->options.has_vlans != options->has_vlans || network->options.is_hub != options->is_hub)
		switch_flush(network->table);
	network->options = *options;
}

size_t network_mac_count(const struct network *network)
{
	return switch_count(network->table);
}

size_t network_flush(struct network *network)
{
	size_t count = switch_count(network->table);

	switch_flush(network->table);
	return count;
}

struct listing {
	const struct network *network;
	uint64_t now;
	void (*function)(void *opaque, const struct network_station *station);
	void *opaque;
};

static void list_station(void *opaque, const struct switch_station *learnt)
{
	const struct listing *listing = opaque;
	const struct network_station station = {.address = learnt->address,
						.vlan = learnt->vlan,
						.port = port_of(learnt->port),
						.age = listing->now - learnt->seen};

	if (!switch_has_aged(listing->network->table, station.age))
		listing->function(listing->opaque, &station);
}

void network_for_each_station(const struct network *network,
			      void (*function)(void *opaque, const struct network_station *station), void *opaque)
{
	struct listing listing = {.network = network,
				  .now = dataplane_time(network->dataplane, loop_now()),
				  .function = function,
				  .opaque = opaque};

	switch_for_each(network->table, list_station, &listing);
}
