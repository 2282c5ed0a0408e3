/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BRIDGE_LINKS_H
#define NETLAB_BRIDGE_LINKS_H 1

/* Network devices of this host, by rtnetlink(7)
 * =============================================
 *
 * What netlab-bridge-helper needs of it: find, make, change and remove, one device at a time.  Nothing here asks who
 * may have what; that is done before.
 *
 * A struct links is of the network namespace in which it was opened.
 *
 * Functions return 0 or a negative errno value; they set no error, since what to say depends on what was wanted.
 *
 * Thread-safety: one thread for each struct links.
 */

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "netlab/bridge/request.h"

#define LINKS_ALIAS_MAX 256 /* Linux's IFALIASZ. */

struct nl_sock;
struct links;

struct link_info {
	int index;
	char name[IF_NAMESIZE];
	char kind[16];               /* "bridge", "tun", "macvtap", or "" for one that is none of a kind. */
	char alias[LINKS_ALIAS_MAX]; /* ifalias: for people, and the mark by which its maker knows it. */
	int master;                  /* Index of the bridge it is a port of, or 0. */
	bool is_up, is_loopback;
	unsigned int mtu;
};

/* What to change; zero-initialise, and set what is to be set. */
struct link_change {
	const char *alias;
	const uint8_t *mac;
	unsigned int mtu;
	int master;
	bool up;
};

/* Returns NULL with errno set. */
struct links *links_open(void);
void links_close(struct links *links);

/* Returns -ENODEV if there is none of that name. */
int links_find(struct links *links, const char *name, struct link_info *info);

/* Calls 'function' for every device there was at the call; it may change and remove them. */
int links_for_each(struct links *links, void (*function)(void *opaque, const struct link_info *info), void *opaque);

/* Makes a bridge that is down.  Returns -EEXIST if there is a device of that name. */
int links_add_bridge(struct links *links, const char *name, unsigned int mtu);
/* Makes a macvtap in bridge mode (Linux, driver macvlan) on the device 'parent', that is down. */
int links_add_macvtap(struct links *links, int parent, const char *name, const uint8_t *mac, unsigned int mtu);
int links_change(struct links *links, int index, const struct link_change *change);
int links_remove(struct links *links, int index);

int links_add_address(struct links *links, int index, const struct bridge_address *address);
/* Whether the device has an address that is more than link-local. */
bool links_has_address(struct links *links, int index);

#endif /* bridge/links.h */
