/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/lab_network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/loop.h"
#include "netlab/bridge/client.h"
#include "netlab/bridge/tap_device.h"
#include "netlab/dataplane.h"
#include "netlab/nat.h"
#include "netlab/tap.h"
#include "netlab/topology.h"
#include "netlab/topology_units.h"

#define PORT_NAME_MAX (TOPOLOGY_NAME_MAX + 16)

struct forward_list {
	struct nat_forward *forwards;
	size_t count;
};

/* What is to be done in the data plane's thread, if it runs. */
struct request {
	struct lab_network *network;
	const struct topology_network *topology;
	const struct nat_names *names;
	const struct nat_forward *forward;
	struct forward_list *list;
	const struct bridge_reply *reply;
	int fd; /* Of the TAP that came with it. */
	struct error *error;
	int result;
};

/* Before frames come by it.  Its topology's rules are those of this port. */
static void join_outer_port(const struct request *request)
{
	const struct port_rules *rules = request->topology->rules;

	port_set_rules(request->network->outer, rules ? rules : &port_rules_default);
	port_join_network(request->network->outer, request->network->network);
}

/* loop_function */
static void plug_gateway(void *opaque)
{
	struct request *request = opaque;
	struct lab_network *network = request->network;
	const struct topology_network *topology = request->topology;
	const struct nat_options options = {
		.name = port_name(network->outer),
		.subnet = topology->subnet,
		.prefix_length = topology->prefix_length,
		.prefix6 = topology->prefix6,
		.is_restricted = topology->is_restricted,
		.is_dhcp_off = topology->is_dhcp_off,
		.first_lease = topology->first_lease,
		.is_dns_off = topology->is_dns_off,
		.resolver = topology->resolver,
		.search = (const char *const *)topology->search,
		.search_count = topology->search_count,
		.tftp = topology->tftp,
		.bootfile = topology->bootfile,
	};

	network->nat = nat_create(dataplane_loop(network->dataplane), network->outer, &options, request->error);
	if (network->nat)
		join_outer_port(request);
	request->result = network->nat ? 0 : -ENOMEM;
}

static int make_outer_port(struct lab_network *network, const struct topology_network *topology, struct error *error)
{
	char name[PORT_NAME_MAX];

	if (network->outer)
		return 0;
	snprintf(name, sizeof(name), "network:%s", topology->name);
	network->outer = dataplane_add_port(network->dataplane, name);
	if (!network->outer)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	return dataplane_is_running(network->dataplane) ? dataplane_capture_port(network->outer, error) : 0;
}

static int make_gateway(struct lab_network *network, const struct topology_network *topology, struct error *error)
{
	struct request request = {.network = network, .topology = topology, .error = error};

	request.result = make_outer_port(network, topology, error);
	if (request.result == 0)
		dataplane_call(network->dataplane, plug_gateway, &request);
	return request.result;
}

/* TAPs. */

static int ask_for_tap(struct lab_network *network, const struct topology_network *topology, struct bridge_reply *reply,
		       struct error *error)
{
	struct bridge_request request = {.kind = topology->mode == TOPOLOGY_BRIDGE ? BRIDGE_JOIN : BRIDGE_MACVTAP,
					 .mtu = topology->host_mtu,
					 .address_count = (uint16_t)topology->host_address_count};
	int fd;

	snprintf(request.bridge, sizeof(request.bridge), "%s", topology->host_bridge ? topology->host_bridge : "");
	snprintf(request.interface, sizeof(request.interface), "%s",
		 topology->host_interface ? topology->host_interface : "");
	memcpy(request.mac, topology->host_mac, sizeof(request.mac));
	for (size_t i = 0; i < topology->host_address_count; i++)
		request.addresses[i] = topology->host_addresses[i];
	fd = bridge_client_ask(network->bridge_client, &request, reply, error);
	if (fd > 0)
		snprintf(network->made, sizeof(network->made), "%s",
			 topology->host_bridge ? topology->host_bridge : reply->device);
	return fd;
}

/* loop_function */
static void plug_tap(void *opaque)
{
	struct request *request = opaque;
	struct lab_network *network = request->network;

	network->tap = tap_create(dataplane_loop(network->dataplane), network->outer, request->fd,
				  request->reply->device, request->reply->mtu, request->error);
	if (network->tap)
		join_outer_port(request);
	request->result = network->tap ? 0 : -ENOMEM;
}

static int make_tap(struct lab_network *network, const struct topology_network *topology, struct error *error)
{
	struct bridge_reply reply = {.mtu = 0};
	struct request request = {.network = network, .topology = topology, .reply = &reply, .error = error};

	request.result = make_outer_port(network, topology, error);
	if (request.result < 0)
		return request.result;
	request.fd = topology->host_tap ? tap_device_open_own(topology->host_tap, reply.device, &reply.mtu, error) :
					  ask_for_tap(network, topology, &reply, error);
	if (request.fd < 0)
		return request.fd;
	dataplane_call(network->dataplane, plug_tap, &request);
	return request.result;
}

struct lab_network *lab_network_create(struct dataplane *dataplane, struct bridge_client *bridge_client,
				       const struct topology_network *topology, struct error *error)
{
	struct lab_network *network = calloc(1, sizeof(*network));

	if (network) {
		network->dataplane = dataplane;
		network->bridge_client = bridge_client;
		network->network = dataplane_add_network(dataplane, topology->name, topology->mac_table_size,
							 topology->mac_aging);
	}
	if (!network || !network->network) {
		free(network);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	return network;
}

/* loop_function */
static void unplug(void *opaque)
{
	struct lab_network *network = ((struct request *)opaque)->network;

	nat_destroy(network->nat);
	network->nat = NULL;
	tap_destroy(network->tap);
	network->tap = NULL;
}

/* Ends what leads out of the network, and has what was made for it on the host removed. */
static void disconnect(struct lab_network *network)
{
	struct bridge_request release = {.kind = BRIDGE_RELEASE};
	struct request request = {.network = network};
	struct error error = {.class = ERROR_NONE};
	struct bridge_reply reply;

	dataplane_call(network->dataplane, unplug, &request);
	if (!network->made[0])
		return;
	memcpy(release.bridge, network->made, sizeof(release.bridge));
	network->made[0] = '\0';
	if (bridge_client_ask(network->bridge_client, &release, &reply, &error) < 0)
		log_line("%s", error.text);
}

/* loop_function */
static void join_outer(void *opaque)
{
	const struct lab_network *network = ((struct request *)opaque)->network;

	port_join_network(network->outer, network->network);
}

void lab_network_succeed(struct lab_network *network, struct lab_network *former)
{
	struct request join = {.network = network};

	disconnect(former);
	network->outer = former->outer;
	former->outer = NULL;
	dataplane_call(network->dataplane, join_outer, &join);
}

void lab_network_destroy(struct lab_network *network)
{
	if (!network)
		return;
	disconnect(network);
	if (network->outer)
		dataplane_remove_port(network->outer);
	dataplane_remove_network(network->network);
	free(network);
}

/* Forwards. */

static void add_to_list(void *opaque, const struct nat_forward *forward)
{
	struct forward_list *list = opaque;
	struct nat_forward *larger = reallocarray(list->forwards, list->count + 1, sizeof(*larger));

	if (!larger)
		return; /* It stays, and so does the error of the next one with its port. */
	larger[list->count++] = *forward;
	list->forwards = larger;
}

/* Another line of 'to', as far as there is room. */
static void add_error(struct error *to, const struct error *error, bool is_further)
{
	size_t length = is_further ? strlen(to->text) : 0;

	to->class = error->class;
	snprintf(to->text + length, sizeof(to->text) - length, "%s%s", is_further ? "\n" : "", error->text);
}

/* loop_function */
static void set_forwards(void *opaque)
{
	struct request *request = opaque;
	const struct topology_network *topology = request->topology;
	struct nat *nat = request->network->nat;
	struct forward_list has = {.count = 0};

	nat_for_each_forward(nat, add_to_list, &has);
	for (size_t i = 0; i < has.count; i++)
		if (!nat_has_forward(topology->forwards, topology->forward_count, &has.forwards[i]))
			nat_remove_forward(nat, &has.forwards[i]);
	for (size_t i = 0; i < topology->forward_count; i++) {
		struct error error = {.class = ERROR_NONE};

		if (nat_has_forward(has.forwards, has.count, &topology->forwards[i]) ||
		    nat_add_forward(nat, &topology->forwards[i], &error) == 0)
			continue;
		add_error(request->error, &error, request->result < 0);
		request->result = -EIO;
	}
	free(has.forwards);
}

/* loop_function */
static void add_forward(void *opaque)
{
	struct request *request = opaque;

	request->result = nat_add_forward(request->network->nat, request->forward, request->error);
}

int lab_network_add_forward(struct lab_network *network, const struct nat_forward *forward, struct error *error)
{
	struct request request = {.network = network, .forward = forward, .error = error};

	dataplane_call(network->dataplane, add_forward, &request);
	return request.result;
}

/* loop_function */
static void remove_forward(void *opaque)
{
	struct request *request = opaque;

	request->result = nat_remove_forward(request->network->nat, request->forward);
}

int lab_network_remove_forward(struct lab_network *network, const struct nat_forward *forward)
{
	struct request request = {.network = network, .forward = forward};

	dataplane_call(network->dataplane, remove_forward, &request);
	return request.result;
}

/* loop_function */
static void list_forwards(void *opaque)
{
	struct request *request = opaque;

	nat_for_each_forward(request->network->nat, add_to_list, request->list);
}

struct nat_forward *lab_network_forwards(struct lab_network *network, size_t *count)
{
	struct forward_list list = {.count = 0};
	struct request request = {.network = network, .list = &list};

	if (network->nat)
		dataplane_call(network->dataplane, list_forwards, &request);
	*count = list.count;
	return list.forwards;
}

/* Names. */

/* Grown as they are needed; what does not fit in memory is left out. */
struct name_list {
	struct nat_dns_record *records;
	size_t record_count;
	struct nat_station *stations;
	size_t station_count;
};

static void add_record(struct name_list *list, const struct nat_dns_record *record)
{
	struct nat_dns_record *larger = reallocarray(list->records, list->record_count + 1, sizeof(*larger));

	if (!larger)
		return;
	larger[list->record_count++] = *record;
	list->records = larger;
}

static void add_address(struct name_list *list, const char *name, const char *text)
{
	struct nat_dns_record record = {.name = name};
	struct topology_address address;

	if (topology_parse_address(text, &address))
		return; /* The topology has no other than good ones. */
	record.family = address.family;
	memcpy(record.address, address.bytes, sizeof(record.address));
	add_record(list, &record);
}

/* A host without a domain is in the lab's zone as well, as nodes are. */
static void add_host(struct name_list *list, const struct topology_host *host)
{
	struct nat_dns_record record = {.name = host->name, .is_outside = true, .family = host->family};

	memcpy(record.address, host->address, sizeof(record.address));
	add_record(list, &record);
	record.is_outside = false;
	if (!strchr(host->name, '.'))
		add_record(list, &record);
}

static void add_station(struct name_list *list, const char *name, const uint8_t *mac)
{
	struct nat_station *larger = reallocarray(list->stations, list->station_count + 1, sizeof(*larger));

	if (!larger)
		return;
	list->stations = larger;
	larger[list->station_count].name = name;
	memcpy(larger[list->station_count++].mac, mac, sizeof(larger->mac));
}

/* A node on the network has the addresses it has there, another one all of its. */
static void add_node(struct name_list *list, const struct topology *topology, const struct topology_node *node,
		     size_t network)
{
	bool is_here = false;

	for (size_t i = 0; i < node->interface_count; i++) {
		if (!topology_is_on(topology, &node->interfaces[i], network))
			continue;
		is_here = true;
		add_station(list, node->name, node->interfaces[i].mac);
	}
	for (size_t i = 0; i < node->interface_count; i++) {
		const struct topology_interface *interface = &node->interfaces[i];

		for (size_t j = 0; j < interface->address_count; j++)
			if (!is_here || topology_is_on(topology, interface, network))
				add_address(list, node->name, interface->addresses[j]);
	}
}

/* loop_function */
static void set_names(void *opaque)
{
	struct request *request = opaque;

	request->result = nat_set_names(request->network->nat, request->names);
}

static int tell_names(struct lab_network *network, const struct topology *topology, size_t index, struct error *error)
{
	struct name_list list = {.record_count = 0};
	struct nat_names names;
	struct request request = {.network = network, .names = &names};

	for (size_t i = 0; i < topology->node_count; i++)
		add_node(&list, topology, &topology->nodes[i], index);
	for (size_t i = 0; i < topology->networks[index].host_count; i++)
		add_host(&list, &topology->networks[index].hosts[i]);
	names = (struct nat_names){.records = list.records,
				   .record_count = list.record_count,
				   .stations = list.stations,
				   .station_count = list.station_count};
	dataplane_call(network->dataplane, set_names, &request);
	free(list.records);
	free(list.stations);
	return request.result == 0 ? 0 : error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
}

int lab_network_connect(struct lab_network *network, const struct topology *topology, size_t index, struct error *error)
{
	struct request request = {.network = network, .topology = &topology->networks[index], .error = error};

	if (request.topology->mode == TOPOLOGY_ISOLATED)
		return 0;
	if (request.topology->mode != TOPOLOGY_NAT)
		return network->tap ? 0 : make_tap(network, request.topology, error);
	if (!network->nat)
		request.result = make_gateway(network, request.topology, error);
	if (request.result == 0)
		request.result = tell_names(network, topology, index, error);
	if (request.result == 0)
		dataplane_call(network->dataplane, set_forwards, &request);
	return request.result;
}

bool lab_network_is_connected(const struct lab_network *network, const struct topology_network *topology)
{
	return topology->mode == TOPOLOGY_ISOLATED || network->nat || network->tap;
}

/* loop_function */
static void reset_gateway(void *opaque)
{
	struct request *request = opaque;

	request->result = nat_reset(request->network->nat, request->error);
}

bool lab_network_reset(struct lab_network *network)
{
	struct error error = {.class = ERROR_NONE};
	struct request request = {.network = network, .error = &error};

	if (!network->nat)
		return false;
	dataplane_call(network->dataplane, reset_gateway, &request);
	if (request.result < 0)
		log_line("%s", error.text);
	return true;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool is_same_on_host(const struct topology_network *a, const struct topology_network *b)
{
	return is_same_text(a->host_bridge, b->host_bridge) && is_same_text(a->host_interface, b->host_interface) &&
	       is_same_text(a->host_tap, b->host_tap) && a->host_address_count == b->host_address_count &&
	       (a->host_address_count == 0 ||
		!memcmp(a->host_addresses, b->host_addresses, a->host_address_count * sizeof(a->host_addresses[0]))) &&
	       a->host_mtu == b->host_mtu &&
	       (a->mode != TOPOLOGY_MACVTAP || !memcmp(a->host_mac, b->host_mac, sizeof(a->host_mac)));
}

static bool same_services(const struct topology_network *a, const struct topology_network *b)
{
	return topology_same_search(a, b) && a->is_dhcp_off == b->is_dhcp_off &&
	       a->first_lease.s_addr == b->first_lease.s_addr && a->is_dns_off == b->is_dns_off &&
	       a->resolver.s_addr == b->resolver.s_addr && is_same_text(a->tftp, b->tftp) &&
	       is_same_text(a->bootfile, b->bootfile);
}

bool lab_network_is_same(const struct topology_network *a, const struct topology_network *b)
{
	return is_same_on_host(a, b) && !strcmp(a->name, b->name) && a->mac_table_size == b->mac_table_size &&
	       a->mac_aging == b->mac_aging && a->mode == b->mode && a->subnet.s_addr == b->subnet.s_addr &&
	       a->prefix_length == b->prefix_length && !memcmp(&a->prefix6, &b->prefix6, sizeof(a->prefix6)) &&
	       a->is_restricted == b->is_restricted && same_services(a, b);
}
