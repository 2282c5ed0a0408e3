/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/dataplane_internal.h"

/* Theory of operation
 * -------------------
 * A frame looks at one byte of the port it leaves by, and at one of the port it comes to; either may say that it ends
 * there.  What is plugged into a port hears of its carrier alone: who sends into a cut direction does not know. */

static unsigned int read_blocked(const struct port *port)
{
	return atomic_load_explicit(&port->blocked, memory_order_relaxed);
}

bool port_has_carrier(const struct port *port)
{
	return !(read_blocked(port) & PORT_NO_CARRIER);
}

bool port_is_cut(const struct port *port, enum port_direction direction)
{
	return read_blocked(port) & PORT_CUT(direction);
}

void port_set_blocked(struct port *port, unsigned int blocked)
{
	bool had_carrier = port_has_carrier(port), has_carrier = !(blocked & PORT_NO_CARRIER);

	atomic_store_explicit(&port->blocked, (uint8_t)blocked, memory_order_relaxed);
	for (int direction = 0; direction < 2; direction++) {
		if (port_is_blocked(port, (enum port_direction)direction))
			port_lose_in_flight(port, (enum port_direction)direction);
	}
	if (had_carrier == has_carrier)
		return;
	if (!has_carrier && port->network)
		switch_forget_port(port->network->table, &port->learnt);
	if (port->ops && port->ops->set_carrier)
		port->ops->set_carrier(port->opaque, has_carrier);
}

static void set_carrier(struct port *port, bool is_up)
{
	unsigned int others = read_blocked(port) & ~PORT_NO_CARRIER;

	port_set_blocked(port, is_up ? others : others | PORT_NO_CARRIER);
}

void port_set_carrier(struct port *port, bool is_up)
{
	set_carrier(port, is_up);
	if (port->peer)
		set_carrier(port->peer, is_up);
}

void port_cut(struct port *port, enum port_direction direction, bool is_cut)
{
	unsigned int others = read_blocked(port) & ~PORT_CUT(direction);

	port_set_blocked(port, is_cut ? others | PORT_CUT(direction) : others);
}
