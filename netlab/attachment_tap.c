/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netlab/attachment_internal.h"
#include "netlab/bridge/client.h"
#include "netlab/bridge/tap_device.h"
#include "netlab/tap.h"
#include "netlab/topology_units.h"

/* Interfaces of this host as ends of links
 * ========================================
 *
 * A TAP that the user has, and an interface in a network namespace, which is a TAP too: made there, so that it is an
 * Ethernet interface to whatever runs in the namespace, a container for one, and its wire is a descriptor here.  It is
 * gone when that is closed, and needs no removal.  To make it is for netlab-bridge-helper. */

struct attachment_tap {
	struct attachment common;
	int fd; /* Until it is plugged in; then it is the TAP's. */
	struct bridge_reply reply;
	struct tap *tap;
};

static int ask_for_interface(struct attachment_tap *attachment, struct error *error)
{
	const struct topology_interface *interface = &attachment->common.topology->interface;
	struct bridge_request request = {.kind = BRIDGE_NAMESPACE, .mtu = interface->mtu};

	snprintf(request.interface, sizeof(request.interface), "%s", interface->name);
	snprintf(request.namespace, sizeof(request.namespace), "%s", attachment->common.topology->namespace);
	memcpy(request.mac, interface->mac, sizeof(request.mac));
	for (size_t i = 0; i < interface->address_count; i++) {
		struct bridge_address *to = &request.addresses[request.address_count];
		struct topology_address address;

		if (i == BRIDGE_ADDRESSES_MAX)
			return error_set(error, ERROR_USAGE, E2BIG, "more than %d addresses", BRIDGE_ADDRESSES_MAX);
		if (topology_parse_address(interface->addresses[i], &address))
			continue; /* The topology has no other than good ones. */
		*to = (struct bridge_address){.family = address.family, .prefix_length = address.prefix};
		memcpy(to->bytes, address.bytes, sizeof(to->bytes));
		request.address_count++;
	}
	return bridge_client_ask(attachment->common.bridge_client, &request, &attachment->reply, error);
}

static int open_tap(struct attachment *common, struct error *error)
{
	struct attachment_tap *attachment = (struct attachment_tap *)common;

	attachment->fd = -1;
	if (common->topology->kind == TOPOLOGY_NETNS)
		attachment->fd = ask_for_interface(attachment, error);
	else
		attachment->fd = tap_device_open_own(common->topology->interface.name, attachment->reply.device,
						     &attachment->reply.mtu, error);
	return attachment->fd < 0 ? attachment->fd : 0;
}

static void close_tap(struct attachment *common)
{
	struct attachment_tap *attachment = (struct attachment_tap *)common;

	if (attachment->fd >= 0)
		close(attachment->fd);
}

static int plug(struct attachment *common)
{
	struct attachment_tap *attachment = (struct attachment_tap *)common;
	int fd = attachment->fd;

	attachment->fd = -1;
	attachment->tap = tap_create(common->loop, common->port, fd, attachment->reply.device, attachment->reply.mtu,
				     NULL);
	return attachment->tap ? 0 : -ENOMEM;
}

static void unplug(struct attachment *common)
{
	struct attachment_tap *attachment = (struct attachment_tap *)common;

	tap_destroy(attachment->tap);
	attachment->tap = NULL;
}

static void describe(const struct attachment *common, struct attachment_status *status)
{
	(void)common;
	status->state = "connected";
}

const struct attachment_ops attachment_tap_ops = {
	.size = sizeof(struct attachment_tap),
	.open = open_tap,
	.close = close_tap,
	.plug = plug,
	.unplug = unplug,
	.describe = describe,
};
