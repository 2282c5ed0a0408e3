/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/bridge/work.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "netlab/bridge/links.h"
#include "netlab/bridge/tap_device.h"

#define TAG "netlab-kvm"
#define TAG_FORMAT TAG " %u %s %d"
#define HELPER_NAME "netlab-bridge-h" /* As /proc/PID/stat has it: 15 bytes. */

/* udev may need a moment to let a user at a new /dev/tapN. */
#define DEVICE_ATTEMPTS 100
#define DEVICE_MILLISECONDS 20

/* -EPERM has one cause, whatever was tried. */
static int fail(struct error *error, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct error *error, int result, const char *format, ...)
{
	char text[512], path[512] = "";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (result != -EPERM)
		return error_set(error, ERROR_HOST, -result, "%s: %s", text, strerror(-result));
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		snprintf(path, sizeof(path), "netlab-bridge-helper");
	return error_set(error, ERROR_HOST, EPERM,
			 "%s: netlab-bridge-helper lacks the capability CAP_NET_ADMIN\n  help: sudo setcap "
			 "cap_net_admin+ep %s",
			 text, path);
}

int bridge_work_open(struct bridge_work *work, uid_t user, const char *lab, struct error *error)
{
	work->links = links_open();
	if (!work->links)
		return error_set(error, ERROR_HOST, errno, "the host's network cannot be asked about: %s",
				 strerror(errno));
	snprintf(work->tag, sizeof(work->tag), TAG_FORMAT, (unsigned int)user, lab, (int)getpid());
	return 0;
}

void bridge_work_close(struct bridge_work *work)
{
	links_close(work->links);
	work->links = NULL;
}

/* IPv6. */

static int write_setting(const char *device, const char *setting, const char *value)
{
	char path[128];
	int fd, result = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", device, setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* A host without IPv6. */
	if (write(fd, value, strlen(value)) < 0)
		result = -errno;
	close(fd);
	return result;
}

/* Keeps the host from taking part in IPv6 on the device; with 'has_address' only from believing what it hears there. */
static int silence(const char *device, bool has_address)
{
	return has_address ? write_setting(device, "accept_ra", "0") : write_setting(device, "disable_ipv6", "1");
}

static bool asks_for_ipv6(const struct bridge_request *request)
{
	for (size_t i = 0; i < request->address_count; i++)
		if (request->addresses[i].family == AF_INET6)
			return true;
	return false;
}

/* TAPs. */

/* Makes a TAP that is down, and returns its descriptor. */
static int make_tap(const char *name, char *device, struct error *error)
{
	int fd = tap_device_open(name, device, error);

	if (fd == -EPERM)
		return fail(error, -EPERM, "a TAP cannot be made");
	return fd;
}

static int add_addresses(struct links *links, int index, const char *device, const struct bridge_request *request,
			 struct error *error)
{
	for (size_t i = 0; i < request->address_count; i++) {
		int result = links_add_address(links, index, &request->addresses[i]);
		char text[64];

		bridge_address_text(&request->addresses[i], text, sizeof(text));
		if (result < 0 && result != -EEXIST)
			return fail(error, result, "%s cannot get the address %s", device, text);
	}
	return 0;
}

/* Bridges. */

static bool is_tagged(const struct link_info *info)
{
	return strncmp(info->alias, TAG " ", sizeof(TAG)) == 0;
}

static int make_bridge(struct bridge_work *work, const struct bridge_request *request, struct link_info *bridge,
		       struct error *error)
{
	const struct link_change change = {.alias = work->tag}, up = {.up = true};
	int result = links_add_bridge(work->links, request->bridge, request->mtu);

	if (result == 0)
		result = links_find(work->links, request->bridge, bridge);
	if (result == 0)
		result = links_change(work->links, bridge->index, &change);
	if (result == 0)
		result = silence(request->bridge, asks_for_ipv6(request));
	if (result == 0)
		result = links_change(work->links, bridge->index, &up);
	if (result == 0)
		result = links_find(work->links, request->bridge, bridge);
	return result < 0 ? fail(error, result, "the bridge %s cannot be made", request->bridge) : 0;
}

/* A bridge that was there before is its maker's. */
static int check_bridge(const struct link_info *bridge, const struct bridge_request *request, struct error *error)
{
	if (strcmp(bridge->kind, "bridge") != 0)
		return error_set(error, ERROR_HOST, EEXIST, "%s is no bridge, but another interface of this host",
				 bridge->name);
	if (!bridge->is_up)
		return error_set(error, ERROR_HOST, ENETDOWN, "the bridge %s is down\n  help: sudo ip link set %s up",
				 bridge->name, bridge->name);
	if (!is_tagged(bridge) && (request->address_count > 0 || request->interface[0]))
		return error_set(
			error, ERROR_HOST, EEXIST,
			"the bridge %s was there before, and its addresses and ports are left alone\n  help: leave out "
			"\"%s\", or take a name that no bridge has",
			bridge->name, request->interface[0] ? "interface" : "address");
	return 0;
}

/* An interface that this host uses is not taken from it. */
static int check_interface(struct bridge_work *work, const char *name, const struct link_info *bridge,
			   struct link_info *interface, struct error *error)
{
	int result = links_find(work->links, name, interface);

	if (result < 0)
		return fail(error, result, "the interface %s cannot be put on a bridge", name);
	if (interface->master == bridge->index)
		return 0;
	if (interface->is_loopback || interface->master || links_has_address(work->links, interface->index))
		return error_set(
			error, ERROR_HOST, EBUSY,
			"the interface %s is in use by this host: %s\n  help: put it on a bridge yourself and name that "
			"as \"bridge\", or use \"mode: macvtap\", which shares it",
			name,
			interface->master      ? "it is a port of another bridge" :
			interface->is_loopback ? "it is the loopback" :
						 "it has addresses");
	if (!interface->is_up)
		return error_set(error, ERROR_HOST, ENETDOWN,
				 "the interface %s is down\n  help: sudo ip link set %s up", name, name);
	return 0;
}

static int add_interface(struct bridge_work *work, const struct link_info *interface, const struct link_info *bridge,
			 struct error *error)
{
	const struct link_change change = {.master = bridge->index};
	int result = interface->master == bridge->index ? 0 : links_change(work->links, interface->index, &change);

	return result < 0 ? fail(error, result, "the interface %s cannot be put on the bridge %s", interface->name,
				 bridge->name) :
			    0;
}

static int put_tap_on(struct bridge_work *work, const char *device, const struct link_info *bridge, struct error *error)
{
	const struct link_change change = {.alias = work->tag, .mtu = bridge->mtu, .master = bridge->index};
	const struct link_change up = {.up = true};
	struct link_info tap;
	int result = links_find(work->links, device, &tap);

	if (result == 0)
		result = silence(device, false);
	if (result == 0)
		result = links_change(work->links, tap.index, &change);
	if (result == 0)
		result = links_change(work->links, tap.index, &up);
	return result < 0 ? fail(error, result, "a TAP cannot be put on the bridge %s", bridge->name) : 0;
}

static void release_bridge(struct bridge_work *work, const char *name);

static int join(struct bridge_work *work, const struct bridge_request *request, struct bridge_reply *reply,
		struct error *error)
{
	struct link_info bridge, interface;
	bool is_new = links_find(work->links, request->bridge, &bridge) == -ENODEV;
	int fd = -1, result;

	result = is_new ? make_bridge(work, request, &bridge, error) : check_bridge(&bridge, request, error);
	if (result == 0 && request->interface[0])
		result = check_interface(work, request->interface, &bridge, &interface, error);
	if (result == 0)
		result = fd = make_tap("netlab%d", reply->device, error);
	if (fd >= 0)
		result = put_tap_on(work, reply->device, &bridge, error);
	/* The bridge may be another lab's: what does not go with the TAP comes last. */
	if (result == 0 && request->interface[0])
		result = add_interface(work, &interface, &bridge, error);
	if (result == 0)
		result = add_addresses(work->links, bridge.index, bridge.name, request, error);
	if (result == 0) {
		reply->mtu = bridge.mtu;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	if (is_new)
		release_bridge(work, request->bridge);
	return result;
}

/* Macvtaps. */

static void sleep_milliseconds(long milliseconds)
{
	const struct timespec time = {.tv_nsec = milliseconds * 1000000};

	nanosleep(&time, NULL);
}

/* Opens the character device of a macvtap, /dev/tapINDEX.  Indices are those of one network namespace, device files
 * everybody's, so it is asked whose it is. */
static int open_macvtap(const struct link_info *link, struct error *error)
{
	char path[32];
	int fd = -1, result;

	snprintf(path, sizeof(path), "/dev/tap%d", link->index);
	for (int i = 0; fd < 0 && i < DEVICE_ATTEMPTS; i++) {
		fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0 && errno != ENOENT && errno != EACCES)
			break;
		if (fd < 0)
			sleep_milliseconds(DEVICE_MILLISECONDS);
	}
	if (fd < 0)
		return error_set(error, ERROR_HOST, errno, "%s cannot be opened: %s%s", path, strerror(errno),
				 errno == EACCES ?
					 "\n  help: let users have it by the udev rule SUBSYSTEM==\"macvtap\", "
					 "MODE=\"0660\", GROUP=\"netlab\", or use sudo" :
					 "");
	result = tap_device_adopt(fd, link->name, error);
	if (result == 0)
		return fd;
	close(fd);
	return result;
}

static int add_macvtap(struct bridge_work *work, const struct bridge_request *request, const struct link_info *parent,
		       struct link_info *link, struct error *error)
{
	const struct link_change change = {.alias = work->tag}, up = {.up = true};
	char name[IF_NAMESIZE];
	int result;

	/* Of all names the helper's process has the only ones with its number. */
	snprintf(name, sizeof(name), "nlt%d.%u", (int)getpid(), work->macvtap_count++ % 1000);
	result = links_add_macvtap(work->links, parent->index, name, request->mac,
				   request->mtu < parent->mtu ? request->mtu : parent->mtu);
	if (result == 0)
		result = links_find(work->links, name, link);
	if (result == 0)
		result = links_change(work->links, link->index, &change);
	if (result == 0)
		result = silence(name, false);
	if (result == 0)
		result = links_change(work->links, link->index, &up);
	return result < 0 ? fail(error, result, "a macvtap on %s cannot be made", parent->name) : 0;
}

static int make_macvtap(struct bridge_work *work, const struct bridge_request *request, struct bridge_reply *reply,
			struct error *error)
{
	struct link_info parent, link = {.index = 0};
	int result = links_find(work->links, request->interface, &parent), fd = -1;

	if (result < 0)
		return fail(error, result, "there can be no macvtap on %s", request->interface);
	result = add_macvtap(work, request, &parent, &link, error);
	if (result == 0)
		result = fd = open_macvtap(&link, error);
	if (fd >= 0) {
		reply->mtu = link.mtu;
		memcpy(reply->device, link.name, sizeof(reply->device));
		return fd;
	}
	if (link.index)
		links_remove(work->links, link.index);
	return result;
}

/* Network namespaces. */

static int enter_namespace(const char *name)
{
	char path[BRIDGE_NAMESPACE_MAX + 16];
	int fd, result;

	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" : "/run/netns/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
	close(fd);
	return result;
}

/* In the namespace. */
static int make_tap_there(const struct bridge_request *request, struct bridge_reply *reply, struct error *error)
{
	const struct link_change change = {.mac = request->mac, .mtu = request->mtu}, up = {.up = true};
	struct links *links = links_open();
	struct link_info tap;
	int result = links ? 0 : -errno, fd = -1;

	if (links && links_find(links, request->interface, &tap) == 0)
		result = error_set(error, ERROR_HOST, EEXIST, "the network namespace %s has an interface %s already",
				   request->namespace, request->interface);
	else if (links)
		result = fd = make_tap(request->interface, reply->device, error);
	if (fd >= 0) {
		result = links_find(links, reply->device, &tap);
		if (result == 0)
			result = links_change(links, tap.index, &change);
		if (result == 0)
			result = links_change(links, tap.index, &up);
		if (result < 0)
			fail(error, result, "the interface %s cannot be set up", request->interface);
		else
			result = add_addresses(links, tap.index, request->interface, request, error);
	}
	links_close(links);
	reply->mtu = request->mtu;
	if (result == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return result;
}

static int join_namespace(const struct bridge_request *request, struct bridge_reply *reply, struct error *error)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int result = home < 0 ? -errno : enter_namespace(request->namespace);

	if (result < 0) {
		error_set(error, ERROR_HOST, -result, "the network namespace %s cannot be entered: %s",
			  request->namespace, strerror(-result));
	} else {
		result = make_tap_there(request, reply, error);
		if (setns(home, CLONE_NEWNET) < 0)
			abort(); /* Nothing is right any more in a namespace that is not ours. */
	}
	if (home >= 0)
		close(home);
	return result;
}

/* Removal. */

struct removal {
	struct bridge_work *work;
	const char *name; /* Or NULL: all that is ours. */
};

struct heir {
	struct link_info bridge;
	const char *tag;             /* Of the lab that goes. */
	char alias[LINKS_ALIAS_MAX]; /* Of another lab's TAP on it. */
};

static void find_heir(void *opaque, const struct link_info *info)
{
	struct heir *heir = opaque;

	if (info->master == heir->bridge.index && is_tagged(info) && strcmp(info->alias, heir->tag) != 0)
		memcpy(heir->alias, info->alias, sizeof(heir->alias));
}

/* Removes a device of ours, unless it is a bridge that another lab is on, which then has it. */
static void remove_device(struct links *links, const struct link_info *info)
{
	struct heir heir = {.bridge = *info, .tag = info->alias};
	const struct link_change change = {.alias = heir.alias};

	if (!strcmp(info->kind, "bridge"))
		links_for_each(links, find_heir, &heir);
	if (heir.alias[0])
		links_change(links, info->index, &change);
	else
		links_remove(links, info->index);
}

static void remove_ours(void *opaque, const struct link_info *info)
{
	const struct removal *removal = opaque;

	if (!strcmp(info->alias, removal->work->tag) && (!removal->name || !strcmp(info->name, removal->name)))
		remove_device(removal->work->links, info);
}

static void release_bridge(struct bridge_work *work, const char *name)
{
	struct removal removal = {.work = work, .name = name};

	links_for_each(work->links, remove_ours, &removal);
}

void bridge_work_undo(struct bridge_work *work)
{
	struct removal removal = {.work = work};

	links_for_each(work->links, remove_ours, &removal);
}

/* Whether a process of that number is a helper that lives: one that nobody has waited for yet does not. */
static bool is_helper(int process)
{
	char path[64], text[128] = "", state = 'Z';
	ssize_t size = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", process);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	return size > 0 && sscanf(text, "%*d (" HELPER_NAME ") %c", &state) == 1 && state != 'Z' && state != 'X';
}

struct cleaning {
	struct links *links;
	uid_t user;
};

static void clean(void *opaque, const struct link_info *info)
{
	const struct cleaning *cleaning = opaque;
	unsigned int user;
	char lab[64];
	int process;

	if (sscanf(info->alias, TAG " %u %63s %d", &user, lab, &process) == 3 && user == cleaning->user &&
	    !is_helper(process))
		remove_device(cleaning->links, info);
}

int bridge_work_clean(uid_t user, struct error *error)
{
	struct cleaning cleaning = {.links = links_open(), .user = user};
	int result;

	if (!cleaning.links)
		return error_set(error, ERROR_HOST, errno, "the host's network cannot be asked about: %s",
				 strerror(errno));
	result = links_for_each(cleaning.links, clean, &cleaning);
	links_close(cleaning.links);
	return result;
}

int bridge_work_do(struct bridge_work *work, const struct bridge_request *request, struct bridge_reply *reply,
		   struct error *error)
{
	switch (request->kind) {
	case BRIDGE_JOIN:
		return join(work, request, reply, error);
	case BRIDGE_MACVTAP:
		return make_macvtap(work, request, reply, error);
	case BRIDGE_NAMESPACE:
		return join_namespace(request, reply, error);
	default:
		release_bridge(work, request->bridge[0] ? request->bridge : request->interface);
		return 0;
	}
}
