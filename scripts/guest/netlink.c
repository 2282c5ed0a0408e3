/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces and addresses, by route netlink. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX 256

/* How often, and how long between, new interfaces are looked for after a rescan. */
#define SEARCH_TRIES 25
#define SEARCH_PAUSE_MS 20

struct link {
	int index;
	unsigned int flags;
	uint8_t mac[6];
	char name[IFNAMSIZ];
};

struct links {
	size_t count;
	struct link entries[LINKS_MAX];
};

/* A request being built. */
struct request {
	struct nlmsghdr header;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
	} body;
	uint8_t attributes[256];
};

int open_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

static void start_request(struct request *request, uint16_t type, uint16_t flags, size_t body)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | flags;
	request->header.nlmsg_len = NLMSG_LENGTH(body);
}

static void add_attribute(struct request *request, uint16_t type, const void *data, size_t length)
{
	struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), data, length);
	request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_SPACE(length);
}

/* Sends a request and reads its acknowledgement; gives 0 or an error number. */
static int do_request(int fd, struct request *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[512];
	} answer;

	request->header.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return errno;
	if (recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)))
		return EIO;
	return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EIO;
}

static void take_link(struct links *links, struct nlmsghdr *header)
{
	struct ifinfomsg *information = NLMSG_DATA(header);
	struct rtattr *attribute = IFLA_RTA(information);
	int left = (int)IFLA_PAYLOAD(header);
	struct link link = {.index = information->ifi_index, .flags = information->ifi_flags};

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type == IFLA_IFNAME)
			snprintf(link.name, sizeof(link.name), "%s", (char *)RTA_DATA(attribute));
		if (attribute->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(attribute) == sizeof(link.mac))
			memcpy(link.mac, RTA_DATA(attribute), sizeof(link.mac));
	}
	if (links->count < LINKS_MAX)
		links->entries[links->count++] = link;
}

/* Takes the links of one part of the answer; true when it was the last. */
static bool take_links(struct links *links, void *answer, ssize_t got)
{
	struct nlmsghdr *header = answer;
	unsigned int left = (unsigned int)got;

	for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
			return true;
		if (header->nlmsg_type == RTM_NEWLINK)
			take_link(links, header);
	}
	return false;
}

static int read_links(int fd, struct links *links)
{
	uint64_t answer[4096]; /* The kernel's parts are at most 32 KiB; its messages want alignment. */
	const uint32_t without = RTEXT_FILTER_SKIP_STATS;
	struct request request;
	ssize_t got;

	links->count = 0;
	start_request(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(request.body.link));
	request.body.link.ifi_family = AF_UNSPEC;
	add_attribute(&request, IFLA_EXT_MASK, &without, sizeof(without));
	if (send(fd, &request, request.header.nlmsg_len, 0) < 0)
		return errno;
	do {
		got = recv(fd, answer, sizeof(answer), 0);
		if (got <= 0)
			return EIO;
	} while (!take_links(links, answer, got));
	return 0;
}

static struct link *find_by_mac(struct links *links, const uint8_t *mac)
{
	for (size_t index = 0; index < links->count; index++)
		if (!memcmp(links->entries[index].mac, mac, 6))
			return &links->entries[index];
	return NULL;
}

/* One that has been given its address already, or is still to be given it. */
static struct link *find_wanted(struct links *links, const struct interface_request *wanted)
{
	struct link *link = find_by_mac(links, wanted->mac);

	return link ? link : find_by_mac(links, wanted->present);
}

static struct link *find_by_name(struct links *links, const char *name)
{
	for (size_t index = 0; index < links->count; index++)
		if (!strcmp(links->entries[index].name, name))
			return &links->entries[index];
	return NULL;
}

static bool has_all(struct links *links, const struct interface_request *requests, size_t count)
{
	for (size_t index = 0; index < count; index++)
		if (!find_wanted(links, &requests[index]))
			return false;
	return true;
}

/* Drivers may take a moment to make the interfaces of devices that a rescan found. */
static int find_links(int fd, struct links *links, const struct interface_request *requests, size_t count,
		      bool may_wait)
{
	int reason = read_links(fd, links);

	for (int try = 0; may_wait && !reason && try < SEARCH_TRIES && !has_all(links, requests, count); try++) {
		poll(NULL, 0, SEARCH_PAUSE_MS);
		reason = read_links(fd, links);
	}
	return reason;
}

static int set_down(int fd, struct link *link)
{
	struct request request;

	if (!(link->flags & IFF_UP))
		return 0;
	start_request(&request, RTM_NEWLINK, 0, sizeof(request.body.link));
	request.body.link.ifi_index = link->index;
	request.body.link.ifi_change = IFF_UP;
	link->flags &= ~(unsigned int)IFF_UP;
	return do_request(fd, &request);
}

static int rename_link(int fd, struct link *link, const char *name)
{
	struct request request;
	int reason = set_down(fd, link);

	if (reason)
		return reason;
	start_request(&request, RTM_NEWLINK, 0, sizeof(request.body.link));
	request.body.link.ifi_index = link->index;
	add_attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
	reason = do_request(fd, &request);
	if (!reason)
		snprintf(link->name, sizeof(link->name), "%s", name);
	return reason;
}

/* A kernel without IPv6 has nothing to be set. */
static void set_ipv6(const char *name, bool on)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, on ? "0" : "1", 1) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	close(fd);
}

/* Address, MTU, name and state in one request: the kernel does them in this order. */
static int set_link(int fd, struct link *link, const struct interface_request *wanted)
{
	struct request request;
	int reason = 0;

	if (strcmp(link->name, wanted->name))
		reason = set_down(fd, link);
	if (reason)
		return reason;
	start_request(&request, RTM_NEWLINK, 0, sizeof(request.body.link));
	request.body.link.ifi_index = link->index;
	request.body.link.ifi_flags = request.body.link.ifi_change = IFF_UP;
	if (strcmp(link->name, wanted->name))
		add_attribute(&request, IFLA_IFNAME, wanted->name, strlen(wanted->name) + 1);
	if (memcmp(link->mac, wanted->mac, sizeof(link->mac)))
		add_attribute(&request, IFLA_ADDRESS, wanted->mac, sizeof(wanted->mac));
	if (wanted->mtu)
		add_attribute(&request, IFLA_MTU, &wanted->mtu, sizeof(wanted->mtu));
	reason = do_request(fd, &request);
	if (!reason && memcmp(link->mac, wanted->mac, sizeof(link->mac)))
		set_ipv6(wanted->name, true);
	return reason;
}

/* Gives 0 or an error number. */
int park_link(int fd, const uint8_t *mac)
{
	struct interface_request wanted;
	struct links links;
	struct link *link;
	int reason;

	memset(&wanted, 0, sizeof(wanted));
	memcpy(wanted.mac, mac, sizeof(wanted.mac));
	memcpy(wanted.present, mac, sizeof(wanted.present));
	reason = find_links(fd, &links, &wanted, 1, true);
	link = find_by_mac(&links, mac);
	if (reason || !link)
		return reason ? reason : ENODEV;
	snprintf(wanted.name, sizeof(wanted.name), "%s", link->name);
	set_ipv6(link->name, false);
	return set_link(fd, link, &wanted);
}

/* An interface that has a name another one is to get gives it up first; its own new one comes later. */
static void free_name(int fd, struct links *links, const struct interface_request *wanted)
{
	struct link *holder = find_by_name(links, wanted->name);
	char name[IFNAMSIZ];

	if (!holder || holder == find_wanted(links, wanted))
		return;
	snprintf(name, sizeof(name), "netlab%d", holder->index);
	rename_link(fd, holder, name);
}

void apply_interfaces(int fd, const struct interface_request *requests, size_t count, bool may_wait,
		      struct errors *errors)
{
	struct links links;
	int reason = find_links(fd, &links, requests, count, may_wait);

	if (reason) {
		add_error(errors, "interfaces: %s", strerror(reason));
		return;
	}
	for (size_t index = 0; index < count; index++)
		free_name(fd, &links, &requests[index]);
	for (size_t index = 0; index < count; index++) {
		struct link *link = find_wanted(&links, &requests[index]);

		reason = link ? set_link(fd, link, &requests[index]) : ENODEV;
		if (reason)
			add_error(errors, "interface %s: %s", requests[index].name, strerror(reason));
	}
}

/* Gives 0 or an error number.  An address that is there already is no error. */
int add_address(int fd, const char *name, int family, const void *address, unsigned int prefix)
{
	size_t length = family == AF_INET ? 4 : 16;
	struct request request;
	struct ifreq query;
	int reason;

	memset(&query, 0, sizeof(query));
	if (strlen(name) >= sizeof(query.ifr_name))
		return EINVAL;
	memcpy(query.ifr_name, name, strlen(name));
	if (ioctl(fd, SIOCGIFINDEX, &query))
		return errno;
	start_request(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(request.body.address));
	request.body.address.ifa_family = (uint8_t)family;
	request.body.address.ifa_prefixlen = (uint8_t)prefix;
	request.body.address.ifa_index = (uint32_t)query.ifr_ifindex;
	if (family == AF_INET6)
		request.body.address.ifa_flags = IFA_F_NODAD;
	add_attribute(&request, IFA_LOCAL, address, length);
	add_attribute(&request, IFA_ADDRESS, address, length);
	if (family == AF_INET && prefix < 31) {
		uint32_t broadcast;

		memcpy(&broadcast, address, sizeof(broadcast));
		broadcast |= __builtin_bswap32(0xffffffffu >> prefix);
		add_attribute(&request, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	}
	reason = do_request(fd, &request);
	return reason == EEXIST ? 0 : reason;
}
