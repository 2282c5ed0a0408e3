/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/bridge/links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/macvtap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct links {
	struct nl_sock *socket;
};

/* libnl has numbers of its own; these are the ones that say something. */
static int to_errno(int result)
{
	static const struct {
		int nl, number;
	} names[] = {
		{NLE_EXIST, EEXIST}, {NLE_PERM, EPERM},   {NLE_NOACCESS, EACCES},      {NLE_OBJ_NOTFOUND, ENODEV},
		{NLE_NODEV, ENODEV}, {NLE_BUSY, EBUSY},   {NLE_NOMEM, ENOMEM},         {NLE_OPNOTSUPP, EOPNOTSUPP},
		{NLE_INVAL, EINVAL}, {NLE_RANGE, ERANGE}, {NLE_NOADDR, EADDRNOTAVAIL}, {NLE_MSG_TOOSHORT, EBADMSG},
	};

	if (result >= 0)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].nl == -result)
			return -names[i].number;
	return -EIO;
}

struct links *links_open(void)
{
	struct links *links = calloc(1, sizeof(*links));
	int result;

	if (!links)
		return NULL;
	links->socket = nl_socket_alloc();
	result = links->socket ? nl_connect(links->socket, NETLINK_ROUTE) : -NLE_NOMEM;
	if (result < 0) {
		links_close(links);
		errno = -to_errno(result);
		return NULL;
	}
	return links;
}

void links_close(struct links *links)
{
	if (!links)
		return;
	if (links->socket)
		nl_socket_free(links->socket);
	free(links);
}

static void describe(struct rtnl_link *link, struct link_info *info)
{
	const char *kind = rtnl_link_get_type(link), *alias = rtnl_link_get_ifalias(link);

	*info = (struct link_info){
		.index = rtnl_link_get_ifindex(link),
		.master = rtnl_link_get_master(link),
		.is_up = rtnl_link_get_flags(link) & IFF_UP,
		.is_loopback = rtnl_link_get_flags(link) & IFF_LOOPBACK,
		.mtu = rtnl_link_get_mtu(link),
	};
	snprintf(info->name, sizeof(info->name), "%s", rtnl_link_get_name(link));
	snprintf(info->kind, sizeof(info->kind), "%s", kind ? kind : "");
	snprintf(info->alias, sizeof(info->alias), "%s", alias ? alias : "");
}

int links_find(struct links *links, const char *name, struct link_info *info)
{
	struct rtnl_link *link = NULL;
	int result = rtnl_link_get_kernel(links->socket, 0, name, &link);

	if (result < 0)
		return to_errno(result);
	describe(link, info);
	rtnl_link_put(link);
	return 0;
}

int links_for_each(struct links *links, void (*function)(void *opaque, const struct link_info *info), void *opaque)
{
	struct nl_cache *cache;
	int result = rtnl_link_alloc_cache(links->socket, AF_UNSPEC, &cache);

	if (result < 0)
		return to_errno(result);
	for (struct nl_object *object = nl_cache_get_first(cache); object; object = nl_cache_get_next(object)) {
		struct link_info info;

		describe((struct rtnl_link *)object, &info);
		function(opaque, &info);
	}
	nl_cache_free(cache);
	return 0;
}

int links_add_bridge(struct links *links, const char *name, unsigned int mtu)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int result = link ? rtnl_link_set_type(link, "bridge") : -NLE_NOMEM;

	if (result == 0) {
		rtnl_link_set_name(link, name);
		rtnl_link_set_mtu(link, mtu);
		result = rtnl_link_add(links->socket, link, NLM_F_CREATE | NLM_F_EXCL);
	}
	rtnl_link_put(link);
	return to_errno(result);
}

static void set_mac(struct rtnl_link *link, const uint8_t *mac)
{
	struct nl_addr *address = nl_addr_build(AF_LLC, mac, 6);

	if (!address)
		return;
	rtnl_link_set_addr(link, address);
	nl_addr_put(address);
}

int links_add_macvtap(struct links *links, int parent, const char *name, const uint8_t *mac, unsigned int mtu)
{
	struct rtnl_link *link = rtnl_link_macvtap_alloc();
	int result = link ? rtnl_link_macvtap_set_mode(link, MACVLAN_MODE_BRIDGE) : -NLE_NOMEM;

	if (result == 0) {
		rtnl_link_set_link(link, parent);
		rtnl_link_set_name(link, name);
		rtnl_link_set_mtu(link, mtu);
		set_mac(link, mac);
		result = rtnl_link_add(links->socket, link, NLM_F_CREATE | NLM_F_EXCL);
	}
	rtnl_link_put(link);
	return to_errno(result);
}

int links_change(struct links *links, int index, const struct link_change *change)
{
	struct rtnl_link *link = rtnl_link_alloc(), *current = rtnl_link_alloc();
	int result = link && current ? 0 : -NLE_NOMEM;

	if (result == 0) {
		rtnl_link_set_ifindex(current, index);
		rtnl_link_set_ifindex(link, index);
		if (change->alias)
			rtnl_link_set_ifalias(link, change->alias);
		if (change->mac)
			set_mac(link, change->mac);
		if (change->mtu)
			rtnl_link_set_mtu(link, change->mtu);
		if (change->master)
			rtnl_link_set_master(link, change->master);
		if (change->up)
			rtnl_link_set_flags(link, IFF_UP);
		result = rtnl_link_change(links->socket, current, link, 0);
	}
	rtnl_link_put(link);
	rtnl_link_put(current);
	return to_errno(result);
}

int links_remove(struct links *links, int index)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int result = -NLE_NOMEM;

	if (link) {
		rtnl_link_set_ifindex(link, index);
		result = rtnl_link_delete(links->socket, link);
	}
	rtnl_link_put(link);
	return to_errno(result);
}

int links_add_address(struct links *links, int index, const struct bridge_address *address)
{
	struct nl_addr *local = nl_addr_build(address->family, address->bytes, address->family == AF_INET ? 4 : 16);
	struct rtnl_addr *entry = rtnl_addr_alloc();
	int result = -NLE_NOMEM;

	if (local && entry) {
		nl_addr_set_prefixlen(local, (int)address->prefix_length);
		rtnl_addr_set_ifindex(entry, index);
		result = rtnl_addr_set_local(entry, local);
		if (result == 0)
			result = rtnl_addr_add(links->socket, entry, 0);
	}
	rtnl_addr_put(entry);
	nl_addr_put(local);
	return to_errno(result);
}

bool links_has_address(struct links *links, int index)
{
	struct nl_cache *cache;
	bool has = false;

	if (rtnl_addr_alloc_cache(links->socket, &cache) < 0)
		return true; /* It cannot be known, so nothing may be done to it. */
	for (struct nl_object *object = nl_cache_get_first(cache); object && !has; object = nl_cache_get_next(object)) {
		struct rtnl_addr *address = (struct rtnl_addr *)object;

		has = rtnl_addr_get_ifindex(address) == index && rtnl_addr_get_scope(address) < RT_SCOPE_LINK;
	}
	nl_cache_free(cache);
	return has;
}
