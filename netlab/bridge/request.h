/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BRIDGE_REQUEST_H
#define NETLAB_BRIDGE_REQUEST_H 1

/* What netlabd asks of netlab-bridge-helper
 * =========================================
 *
 * Only what is done to the host's network needs a privilege (CAP_NET_ADMIN), so a small program of its own does it,
 * which may have that one capability: "netlab-bridge-helper LAB", with a socket (AF_UNIX, SOCK_SEQPACKET) as its
 * standard input.  Each message there is one struct bridge_request, and is answered by one struct bridge_reply, with
 * the descriptor of a TAP where one was asked for.  The helper lives as long as the other end of the socket is open.
 * Then, however that came about, it removes all that it made.
 *
 * A request comes from an ordinary user: bridge_request_check() is the first thing that is done with it.
 *
 * Thread-safety: none needed; these are values.
 */

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

/* Another number whenever a structure here changes, for programs of two installations that meet. */
#define BRIDGE_PROTOCOL 1

#define BRIDGE_ADDRESSES_MAX 16
#define BRIDGE_NAMESPACE_MAX 256 /* Bytes of a network namespace's name or path, with the final zero. */
#define BRIDGE_MTU_MIN 68        /* RFC 791. */
#define BRIDGE_MTU_MAX 65535

enum bridge_kind {
	/* A TAP as port of 'bridge', which is made if there is none and then gets 'addresses'; 'interface', unless
	 * empty, becomes another port of it. */
	BRIDGE_JOIN = 1,
	/* A macvtap in bridge mode on 'interface', with the MAC address 'mac'. */
	BRIDGE_MACVTAP,
	/* A TAP in the network namespace 'namespace', called 'interface' there, with 'mac' and 'addresses'. */
	BRIDGE_NAMESPACE,
	/* Removes the bridge, or the macvtap on 'interface', that was made by one of the above. */
	BRIDGE_RELEASE,
};

struct bridge_address {
	int family; /* AF_INET or AF_INET6. */
	unsigned int prefix_length;
	uint8_t bytes[16]; /* As many as the family has, in network byte order. */
};

struct bridge_request {
	uint32_t protocol; /* BRIDGE_PROTOCOL. */
	uint32_t kind;     /* enum bridge_kind. */
	char bridge[IF_NAMESIZE];
	char interface[IF_NAMESIZE];
	char namespace[BRIDGE_NAMESPACE_MAX];
	uint32_t mtu; /* Of what is made; a TAP that joins a bridge has the bridge's. */
	uint8_t mac[6];
	uint16_t address_count;
	struct bridge_address addresses[BRIDGE_ADDRESSES_MAX];
};

struct bridge_reply {
	int32_t result;           /* 0 or a negative errno value, and then: */
	uint32_t class;           /* enum error_class. */
	char text[1024];          /* What failed, and the way out. */
	uint32_t mtu;             /* Of the TAP that comes with it. */
	char device[IF_NAMESIZE]; /* Its name. */
};

/* Whether 'text' can be a network device's name here: 1 to 15 letters, digits, '.', '-', '_' and '@'.  Linux allows
 * more, none of which is ever used; what is left out could be mistaken for a template, a path or an option. */
bool bridge_name_is_valid(const char *text);

/* Whether the request has all it needs and nothing that is out of range; strings end within their room.  Returns 0 or
 * a negative errno value with 'error' set. */
int bridge_request_check(const struct bridge_request *request, struct error *error);

/* "192.0.2.1/24"; 'to' has room for 'size' bytes, 50 are enough. */
void bridge_address_text(const struct bridge_address *address, char *to, size_t size);

#endif /* bridge/request.h */
