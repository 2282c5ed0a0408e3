/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PORT_RATES_H
#define NETLAB_PORT_RATES_H 1

/* Rates of ports
 * ==============
 *
 * What crossed each port of a lab between two of its STATUS objects (docs/control-protocol.md), by the lab's own clock.
 *
 * Counters only rise, but for two occasions: a snapshot was restored, which sets those of all ports back to what they
 * were when it was saved; or a port went and another of its name came.  When any counter fell, nothing is known of the
 * interval, of no port.  A restored counter that is above what it was cannot be told from frames; it makes one interval
 * wrong.  A port that was not there before has all it counted in the interval.
 *
 * Thread-safety: any thread. */

#include <jansson.h>

/* Returns the interval as docs/control-protocol.md describes it under "Rates", or NULL when out of memory.  'before' is
 * NULL when there was no earlier status: then no rate is known. */
json_t *port_rates(const json_t *before, const json_t *status);

enum port_rates_order {
	PORT_RATES_BY_BITS,   /* Both ways together, the most first; ports with the same rate by name. */
	PORT_RATES_BY_FRAMES, /* The same. */
	PORT_RATES_BY_DROPS,  /* The same. */
	PORT_RATES_BY_NAME,
	PORT_RATES_ORDERS
};

/* Sorts the "ports" of what port_rates() returned. */
void port_rates_sort(json_t *rates, enum port_rates_order order);

#endif /* port_rates.h */
