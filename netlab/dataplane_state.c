/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/state.h"
#include "netlab/dataplane_internal.h"

/* The data plane in a snapshot: counters, carrier and cuts of ports, and what networks have learnt.  All is by name,
 * since the ports of a lab that was changed are in another order than those of one that was built so. */

#define TAG_PORT STATE_TAG('p', 'o', 'r', 't')
#define TAG_NETWORK STATE_TAG('n', 'e', 't', 'w')
#define TAG_ADDRESS STATE_TAG('m', 'a', 'c', ' ')
#define TAG_DATAPLANE STATE_TAG('d', 'a', 't', 'a')

#define SAVED_NAME_SIZE 96

struct port_state {
	char name[SAVED_NAME_SIZE];
	uint64_t transmitted_frames, transmitted_bytes, received_frames, received_bytes, filtered_frames;
	uint64_t dropped[DROP_REASON_COUNT];
	uint64_t blocked; /* As struct port has it. */
};

struct network_state {
	char name[SAVED_NAME_SIZE];
	uint64_t addresses;
};

struct address_state {
	uint64_t address;
	uint64_t age;  /* Nanoseconds since it was seen. */
	uint64_t vlan; /* 0 in a network without VLANs. */
	char port[SAVED_NAME_SIZE];
};

struct dataplane_state {
	uint32_t ports, networks;
};

static void save_port(const struct port *port, struct state *state)
{
	struct port_state saved = {
		.transmitted_frames = read_counter(&port->transmitted_frames),
		.transmitted_bytes = read_counter(&port->transmitted_bytes),
		.received_frames = read_counter(&port->received_frames),
		.received_bytes = read_counter(&port->received_bytes),
		.filtered_frames = read_counter(&port->filtered_frames),
		.blocked = atomic_load_explicit(&port->blocked, memory_order_relaxed),
	};

	snprintf(saved.name, sizeof(saved.name), "%s", port->name);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		saved.dropped[reason] = read_counter(&port->dropped[reason]);
	state_put(state, TAG_PORT, &saved, sizeof(saved));
	port_save_wires(port, state);
}

struct saving {
	struct state *state;
	uint64_t now;
};

static void save_address(void *opaque, const struct switch_station *station)
{
	const struct saving *saving = opaque;
	struct address_state saved = {.address = station->address,
				      .age = saving->now - station->seen,
				      .vlan = station->vlan};

	snprintf(saved.port, sizeof(saved.port), "%s", port_of(station->port)->name);
	state_put(saving->state, TAG_ADDRESS, &saved, sizeof(saved));
}

static void save_network(const struct network *network, struct state *state)
{
	struct network_state saved = {.addresses = switch_count(network->table)};
	struct saving saving = {.state = state, .now = dataplane_time(network->dataplane, loop_now())};

	snprintf(saved.name, sizeof(saved.name), "%s", network->name);
	state_put(state, TAG_NETWORK, &saved, sizeof(saved));
	switch_for_each(network->table, save_address, &saving);
}

void dataplane_save(struct dataplane *dataplane, struct state *state)
{
	struct dataplane_state saved = {0};
	const struct network *network;
	const struct port *port;

	dataplane_end_turn(dataplane);
	TAILQ_FOREACH(port, &dataplane->ports, next)
		saved.ports++;
	SLIST_FOREACH(network, &dataplane->networks, next)
		saved.networks++;
	state_put(state, TAG_DATAPLANE, &saved, sizeof(saved));
	TAILQ_FOREACH(port, &dataplane->ports, next)
		save_port(port, state);
	SLIST_FOREACH(network, &dataplane->networks, next)
		save_network(network, state);
}

static struct port *find_port(struct dataplane *dataplane, char name[SAVED_NAME_SIZE])
{
	name[SAVED_NAME_SIZE - 1] = '\0';
	return dataplane_find_port(dataplane, name);
}

static void set_counter(struct counter *counter, uint64_t value)
{
	atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static bool restore_port(struct dataplane *dataplane, struct state *state)
{
	struct port_state saved;
	struct port *port;

	if (!state_get(state, TAG_PORT, &saved, sizeof(saved)) || !(port = find_port(dataplane, saved.name)) ||
	    saved.blocked & ~(uint64_t)PORT_BLOCKED_ALL)
		return false;
	port_set_blocked(port, (unsigned int)saved.blocked);
	set_counter(&port->transmitted_frames, saved.transmitted_frames);
	set_counter(&port->transmitted_bytes, saved.transmitted_bytes);
	set_counter(&port->received_frames, saved.received_frames);
	set_counter(&port->received_bytes, saved.received_bytes);
	set_counter(&port->filtered_frames, saved.filtered_frames);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		set_counter(&port->dropped[reason], saved.dropped[reason]);
	return port_restore_wires(port, state);
}

static struct network *find_network(struct dataplane *dataplane, char name[SAVED_NAME_SIZE])
{
	struct network *network;

	name[SAVED_NAME_SIZE - 1] = '\0';
	SLIST_FOREACH(network, &dataplane->networks, next) {
		if (strcmp(network->name, name) == 0)
			break;
	}
	return network;
}

static bool may_learn(const struct network *network, const struct port *port, uint64_t vlan)
{
	if (!network->options.has_vlans)
		return vlan == 0;
	return vlan >= 1 && vlan <= VLAN_MAX && port_rules_is_in(&port->rules, (uint16_t)vlan);
}

/* '*age' is that of the address before this one, which is as old at least.  Where the clock began later than the
 * address was seen, when that was is below 0 and wraps around: its age, the difference, is right. */
static bool restore_address(struct network *network, struct state *state, uint64_t now, uint64_t *age)
{
	struct switch_station station;
	struct address_state saved;
	struct port *port;

	if (!state_get(state, TAG_ADDRESS, &saved, sizeof(saved)))
		return false;
	port = find_port(network->dataplane, saved.port);
	if (!port || port->network != network || saved.address >> 48 != 0 || saved.age > *age ||
	    !may_learn(network, port, saved.vlan))
		return false;
	*age = saved.age;
	station = (struct switch_station){.address = saved.address,
					  .vlan = (uint16_t)saved.vlan,
					  .port = &port->learnt,
					  .seen = now - saved.age};
	switch_learn(network->table, &station);
	return true;
}

static bool restore_network(struct dataplane *dataplane, struct state *state)
{
	struct network_state saved;
	struct network *network;
	uint64_t now = dataplane_time(dataplane, loop_now());
	uint64_t age = INT64_MAX; /* More than any clock has counted. */
	struct port *port;

	if (!state_get(state, TAG_NETWORK, &saved, sizeof(saved)) || !(network = find_network(dataplane, saved.name)))
		return false;
	TAILQ_FOREACH(port, &network->ports, next_in_network)
		switch_forget_port(network->table, &port->learnt);
	for (uint64_t i = 0; i < saved.addresses; i++) {
		if (!restore_address(network, state, now, &age))
			return false;
	}
	if (saved.addresses > 0)
		loop_timer_set(dataplane->loop, &network->ageing, loop_now() + AGEING_INTERVAL);
	return true;
}

void dataplane_restore(struct dataplane *dataplane, struct state *state)
{
	struct dataplane_state saved;
	bool good = state_get(state, TAG_DATAPLANE, &saved, sizeof(saved));

	for (uint32_t i = 0; good && i < saved.ports; i++)
		good = restore_port(dataplane, state);
	for (uint32_t i = 0; good && i < saved.networks; i++)
		good = restore_network(dataplane, state);
	state->bad = state->bad || !good;
}
