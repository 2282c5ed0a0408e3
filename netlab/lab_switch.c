/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/topology.h"

/* The switches of a running lab: the rules of their ports are set, what they do and have learnt is told, and that is
 * forgotten when asked for. */

#define NANOSECONDS 1e9

static const struct port_rules *rules_or_default(const struct port_rules *rules)
{
	return rules ? rules : &port_rules_default;
}

static struct network *find_network(const struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab->topology->network_count; i++)
		if (strcmp(lab->topology->networks[i].name, name) == 0)
			return lab->networks[i]->network;
	return NULL;
}

static void mirror(const struct lab *lab, const char *mirrored, struct port *to)
{
	struct network *network = find_network(lab, mirrored);
	struct port *port = network ? NULL : dataplane_find_port(lab->context.dataplane, mirrored);

	if (network)
		network_add_mirror(network, to);
	else if (port) /* The outer port of a network that could not be connected is not there. */
		port_add_mirror(port, to);
}

void lab_apply_mirrors(void *opaque)
{
	struct lab *lab = opaque;

	dataplane_clear_mirrors(lab->context.dataplane);
	for (size_t i = 0; i < 2 * lab->topology->link_count; i++) {
		const struct topology_endpoint *end = &lab->topology->links[i / 2].endpoints[i % 2];

		for (size_t j = 0; j < end->mirrored_count; j++)
			mirror(lab, end->mirrored[j], lab_endpoint_port(lab, end));
	}
}

void lab_apply_rules(struct lab *lab)
{
	for (size_t i = 0; i < lab->topology->network_count; i++) {
		const struct topology_network *network = &lab->topology->networks[i];
		const struct network_options options = {.has_vlans = network->has_vlans,
							.is_hub = network->is_hub,
							.passes_reserved = network->passes_reserved};

		network_set_options(lab->networks[i]->network, &options);
		if (lab->networks[i]->outer)
			port_set_rules(lab->networks[i]->outer, rules_or_default(network->rules));
	}
	for (size_t i = 0; i < 2 * lab->topology->link_count; i++) {
		const struct topology_endpoint *end = &lab->topology->links[i / 2].endpoints[i % 2];

		if (end->kind != TOPOLOGY_END_NETWORK)
			port_set_rules(lab_endpoint_port(lab, end), rules_or_default(end->rules));
	}
	lab_apply_mirrors(lab);
}

/* Telling. */

static json_t *guard_status(const struct port_rules *rules)
{
	json_t *status = json_array();

	for (unsigned int bit = PORT_GUARD_MAC; bit <= PORT_GUARD_IP; bit <<= 1)
		if (rules->guard & bit)
			json_array_append_new(status, json_string(port_guard_name(bit)));
	return status;
}

/* The port of one of the network's links, or (NULL) its outer port. */
static json_t *port_status(const struct lab *lab, const struct topology_network *network, const struct port *port,
			   const struct topology_endpoint *end)
{
	const struct port_rules *rules = rules_or_default(end ? end->rules : network->rules);
	json_t *status = lab_port_status(lab, port), *mirrored = json_array();
	char *trunk = port_rules_trunk_text(rules);

	for (size_t i = 0; end && i < end->mirrored_count; i++)
		json_array_append_new(mirrored, json_string(end->mirrored[i]));
	json_object_set_new(status, "up", json_boolean(port_is_plugged(port)));
	json_object_set_new(status, "vlan",
			    network->has_vlans && rules->vlan ? json_integer(rules->vlan) : json_null());
	json_object_set_new(status, "trunk", json_string(trunk));
	json_object_set_new(status, "isolated", json_boolean(rules->is_isolated));
	json_object_set_new(status, "storm", rules->storm ? json_integer(rules->storm) : json_null());
	json_object_set_new(status, "guard", guard_status(rules));
	json_object_set_new(status, "mirror", mirrored);
	free(trunk);
	return status;
}

static json_t *ports_status(const struct lab *lab, size_t index)
{
	const struct topology *topology = lab->topology;
	const struct topology_network *network = &topology->networks[index];
	json_t *ports = json_array();

	for (size_t i = 0; i < 2 * topology->link_count; i++) {
		const struct topology_endpoint *end = &topology->links[i / 2].endpoints[i % 2];
		const struct topology_endpoint *other = &topology->links[i / 2].endpoints[1 - i % 2];

		if (other->kind == TOPOLOGY_END_NETWORK && other->network == index)
			json_array_append_new(ports, port_status(lab, network, lab_endpoint_port(lab, end), end));
	}
	if (lab->networks[index]->outer)
		json_array_append_new(ports, port_status(lab, network, lab->networks[index]->outer, NULL));
	return ports;
}

/* What is to be done in the data plane's thread: a network is looked at, or forgets what it learnt. */
struct request {
	struct network *network;
	struct network_station *stations; /* To be freed; NULL when there is no memory for them. */
	size_t count;
};

static void add_station(void *opaque, const struct network_station *station)
{
	struct request *request = opaque;

	request->stations[request->count++] = *station;
}

/* loop_function: only copies, since frames wait meanwhile. */
static void list_stations(void *opaque)
{
	struct request *request = opaque;

	request->stations = calloc(network_mac_count(request->network) + 1, sizeof(request->stations[0]));
	if (request->stations)
		network_for_each_station(request->network, add_station, request);
}

/* loop_function */
static void flush(void *opaque)
{
	struct request *request = opaque;

	request->count = network_flush(request->network);
}

static int compare_stations(const void *left, const void *right)
{
	const struct network_station *a = left, *b = right;

	if (a->vlan != b->vlan)
		return a->vlan < b->vlan ? -1 : 1;
	return (a->address > b->address) - (a->address < b->address);
}

static json_t *station_status(const struct network_station *station)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", (unsigned int)(station->address >> 40 & 0xff),
		 (unsigned int)(station->address >> 32 & 0xff), (unsigned int)(station->address >> 24 & 0xff),
		 (unsigned int)(station->address >> 16 & 0xff), (unsigned int)(station->address >> 8 & 0xff),
		 (unsigned int)(station->address & 0xff));
	return json_pack("{s:o, s:s, s:s, s:f}", "vlan", station->vlan ? json_integer(station->vlan) : json_null(),
			 "mac", mac, "port", port_name(station->port), "age", (double)station->age / NANOSECONDS);
}

static json_t *stations_status(const struct lab *lab, struct network *network)
{
	struct request request = {.network = network};
	json_t *status = json_array();

	loop_call(dataplane_loop(lab->context.dataplane), list_stations, &request);
	if (request.count > 0)
		qsort(request.stations, request.count, sizeof(request.stations[0]), compare_stations);
	for (size_t i = 0; i < request.count; i++)
		json_array_append_new(status, station_status(&request.stations[i]));
	free(request.stations);
	return status;
}

static json_t *network_status(const struct lab *lab, size_t index)
{
	const struct topology_network *network = &lab->topology->networks[index];

	return json_pack("{s:s, s:s, s:b, s:b, s:s, s:o, s:o}", "name", network->name, "mode",
			 topology_mode_name(network->mode), "hub", network->is_hub, "vlans", network->has_vlans,
			 "reserved_addresses", network->passes_reserved ? "pass" : "drop", "ports",
			 ports_status(lab, index), "macs", stations_status(lab, lab->networks[index]->network));
}

static int report_unknown(const struct lab *lab, const char *name, struct error *error)
{
	return error_set(error, ERROR_FAILED, ENOENT,
			 "there is no network \"%.64s\" in lab %s; \"netlab switch\" shows those there are", name,
			 lab_name(lab));
}

json_t *lab_switch(const struct lab *lab, const char *network, struct error *error)
{
	json_t *networks = json_array();

	if (network && !find_network(lab, network)) {
		json_decref(networks);
		report_unknown(lab, network, error);
		return NULL;
	}
	for (size_t i = 0; i < lab->topology->network_count; i++)
		if (!network || strcmp(lab->topology->networks[i].name, network) == 0)
			json_array_append_new(networks, network_status(lab, i));
	return json_pack("{s:o}", "networks", networks);
}

ssize_t lab_flush(struct lab *lab, const char *network, struct error *error)
{
	ssize_t count = 0;

	if (network && !find_network(lab, network))
		return report_unknown(lab, network, error);
	for (size_t i = 0; i < lab->topology->network_count; i++) {
		struct request request = {.network = lab->networks[i]->network};

		if (network && strcmp(lab->topology->networks[i].name, network) != 0)
			continue;
		loop_call(dataplane_loop(lab->context.dataplane), flush, &request);
		count += (ssize_t)request.count;
	}
	return count;
}
