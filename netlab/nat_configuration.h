/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_CONFIGURATION_H
#define NETLAB_NAT_CONFIGURATION_H 1

/* What a NAT gateway has guests configure
 * =======================================
 *
 * libslirp's DHCP answers (RFC 2131) and router advertisements (RFC 4861), read and changed on their way to the guest:
 * leases are learnt from them, and they tell of the name server that the lab's file wants, rather than of libslirp's.
 *
 * Thread-safety: any thread.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/nat_names.h"

/* Whether the frame gives a lease, and then sets it.  'gateway' is the server's address: a server elsewhere may have
 * sent the like, as an answer to a guest. */
bool nat_configuration_read_lease(const uint8_t *frame, size_t size, struct in_addr gateway, struct nat_lease *lease);

/* Has a frame of the gateway's tell of this name server, or of none when it is 0.0.0.0: a DHCP answer names it, and a
 * router advertisement says that what it names is one no more (RFC 8106, 5.1: lifetime 0).  Other frames stay as they
 * are. */
void nat_configuration_set_name_server(uint8_t *frame, size_t size, struct in_addr name_server);

#endif /* nat_configuration.h */
