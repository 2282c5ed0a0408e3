/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_H
#define NETLAB_NAT_H 1

/* NAT gateway of a network
 * ========================
 *
 * What is plugged into the outer port of a network with "mode: nat": libslirp, which ends the guests' connections in
 * this process and makes them again as ordinary sockets of the user who runs the lab, so that no privilege is needed.
 * It answers ARP and neighbour discovery, gives addresses by DHCP and router advertisements, and brings TCP, UDP and,
 * where the host lets users ping, ICMP to wherever the host gets.
 *
 * Of an IPv4 subnet, host number 2 is the gateway, and stands for the host itself: what a guest sends there arrives at
 * 127.0.0.1.  Number 3 is the name server, which knows the lab's names and passes other questions on to the host's
 * resolver.  Leases, 16 at most, begin at number 15 unless told otherwise.  In the IPv6 prefix ::2 and ::3 are gateway
 * and name server.
 *
 * With a resolver of its own choice there is no number 3: guests are told of the resolver, and the gateway answers
 * questions for the lab's names on their way there.  That is for IPv4 only; without DNS guests are told of none.
 *
 * Limits are libslirp's: it knows no window scaling, so a TCP connection has at most 64 KiB on their way, and what
 * guests send beyond TCP, UDP and ICMP echo is dropped.  Its connections are not saved: after reset() each is answered
 * by a TCP reset.
 *
 * Thread-safety: the data plane's thread, or the building thread while there is none.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "netlab/nat_names.h"

struct loop;
struct nat;
struct port;

/* Host numbers within the IPv4 subnet and the IPv6 prefix. */
#define NAT_HOST_GATEWAY 2
#define NAT_HOST_NAME_SERVER 3
#define NAT_HOST_FIRST_LEASE 15
/* Prefix lengths of the IPv4 subnet: a smaller one has no room for leases. */
#define NAT_PREFIX_LENGTH_MIN 8
#define NAT_PREFIX_LENGTH_MAX 27
/* And of the IPv6 prefix: addresses are made from 64 bits (RFC 4862). */
#define NAT_PREFIX6_LENGTH 64

/* A port of the host whose connections (TCP) or datagrams (UDP) go to a guest. */
struct nat_forward {
	bool is_udp;
	struct in_addr host_address;
	uint16_t host_port; /* 1 to 65535, host byte order. */
	struct in_addr guest_address;
	uint16_t guest_port;
};

/* Search domains: DHCP's answer has no room for more. */
#define NAT_SEARCH_MAX 6
#define NAT_SEARCH_LENGTH_MAX 100 /* Characters of all of them. */
/* Characters of the boot file's name. */
#define NAT_BOOTFILE_MAX 127

/* The name is copied; the other strings last as long as the gateway. */
struct nat_options {
	const char *name;      /* Of the port, "network:uplink", for the log. */
	struct in_addr subnet; /* First address. */
	unsigned int prefix_length;
	struct in6_addr prefix6; /* All zeroes: no IPv6. */
	bool is_restricted;      /* Guests reach the gateway's own services only, and what is forwarded to them. */
	bool is_dhcp_off;
	struct in_addr first_lease; /* 0.0.0.0: host number 15. */
	bool is_dns_off;
	struct in_addr resolver; /* 0.0.0.0: the host's. */
	/* Domains in which guests look for names; none: the lab's zone. */
	const char *const *search;
	size_t search_count;  /* At most NAT_SEARCH_MAX. */
	const char *tftp;     /* Folder whose files guests may read (netlab/nat_tftp.h), or NULL. */
	const char *bootfile; /* Name of the file that DHCP has guests boot from, or NULL. */
};

/* Makes a gateway and plugs it into the port.  Its sockets are the loop's, which is the data plane's.  Returns NULL
 * with 'error' set when there is not enough memory. */
struct nat *nat_create(struct loop *loop, struct port *port, const struct nat_options *options, struct error *error);

/* Unplugs and frees it; its connections and forwards end. */
void nat_destroy(struct nat *nat);

/* Has the name server know these, and those that have leases, in place of what it knew before.  The arrays are copied.
 * Returns 0 or -ENOMEM. */
int nat_set_names(struct nat *nat, const struct nat_names *names);

/* Adds a forward.  Returns 0 or a negative errno value with 'error' set: -EADDRINUSE, -EACCES for a port below 1024
 * that the user may not have, -EADDRNOTAVAIL when the host does not have the address. */
int nat_add_forward(struct nat *nat, const struct nat_forward *forward, struct error *error);

/* Ends a forward; connections that were made through it go on.  Returns 0 or -ENOENT. */
int nat_remove_forward(struct nat *nat, const struct nat_forward *forward);

/* Calls 'function' for each forward, in the order in which they were added. */
void nat_for_each_forward(const struct nat *nat, void (*function)(void *opaque, const struct nat_forward *forward),
			  void *opaque);

/* Forgets all connections, transfers and leases; forwards stay.  Returns 0 or a negative errno value with 'error' set:
 * -ENOMEM, and then all is as before, or that of the first forward that could not be made again. */
int nat_reset(struct nat *nat, struct error *error);

/* Whether one of the 'count' forwards leads from the same port of the host to the same one of the same guest. */
bool nat_has_forward(const struct nat_forward *forwards, size_t count, const struct nat_forward *forward);

/* The address of the subnet's host 'number'. */
struct in_addr nat_host_address(struct in_addr subnet, uint32_t number);

#endif /* nat.h */
