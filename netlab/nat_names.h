/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_NAMES_H
#define NETLAB_NAT_NAMES_H 1

/* The names a NAT gateway knows
 * =============================
 *
 * Those it was given, and those of nodes that have a lease from it, as records for its name server (netlab/nat_dns.h).
 *
 * Thread-safety: one thread at a time.
 */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/nat_dns.h"

/* Leases that libslirp has to give. */
#define NAT_LEASES_MAX 16

/* What names a gateway is given.  The strings last as long as the gateway. */
struct nat_station { /* A node's interface on the network, which may ask for a lease. */
	uint8_t mac[6];
	const char *name;
};

struct nat_names {
	const struct nat_dns_record *records; /* Nodes' addresses, and those of hosts that the lab's file names. */
	size_t record_count;
	const struct nat_station *stations;
	size_t station_count;
};

struct nat_lease {
	uint8_t mac[6];
	struct in_addr address;
};

/* Zero-initialised it knows none. */
struct nat_name_table {
	struct nat_dns_record *records; /* Those that were given, and then those of leases. */
	size_t record_count, given_count;
	struct nat_station *stations;
	size_t station_count;
	struct nat_lease leases[NAT_LEASES_MAX];
	size_t lease_count;
};

/* Has it know 'names', which are copied, and those that have leases, in place of what it knew before.  Returns 0 or
 * -ENOMEM. */
int nat_name_table_set(struct nat_name_table *table, const struct nat_names *names);
/* The interface with this address has a lease now. */
void nat_name_table_add_lease(struct nat_name_table *table, const struct nat_lease *lease);
void nat_name_table_forget_leases(struct nat_name_table *table);
void nat_name_table_clear(struct nat_name_table *table);

#endif /* nat_names.h */
