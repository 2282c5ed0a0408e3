/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/attachment.h"

#include <errno.h>
#include <stdlib.h>

#include "netlab/attachment_internal.h"

static const struct attachment_ops *const kinds[] = {
	[TOPOLOGY_STREAM] = &attachment_stream_ops, [TOPOLOGY_DATAGRAM] = &attachment_datagram_ops,
	[TOPOLOGY_UDP] = &attachment_datagram_ops,  [TOPOLOGY_VXLAN] = &attachment_datagram_ops,
	[TOPOLOGY_PCAP] = &attachment_replay_ops,   [TOPOLOGY_TAP] = &attachment_tap_ops,
	[TOPOLOGY_NETNS] = &attachment_tap_ops,
};

int attachment_create(const struct topology_attachment *topology, struct bridge_client *bridge_client,
		      struct attachment **attachment, struct error *error)
{
	const struct attachment_ops *ops = kinds[topology->kind];
	int result;

	*attachment = NULL;
	*attachment = calloc(1, ops->size);
	if (!*attachment)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	(*attachment)->ops = ops;
	(*attachment)->topology = topology;
	(*attachment)->bridge_client = bridge_client;
	result = ops->open(*attachment, error);
	if (result == 0)
		return 0;
	attachment_destroy(*attachment);
	*attachment = NULL;
	return result;
}

void attachment_destroy(struct attachment *attachment)
{
	if (!attachment)
		return;
	attachment->ops->close(attachment);
	free(attachment);
}

int attachment_plug(struct attachment *attachment, struct loop *loop, struct port *port)
{
	int result;

	attachment->loop = loop;
	attachment->port = port;
	result = attachment->ops->plug(attachment);
	if (result < 0)
		attachment_unplug(attachment);
	return result;
}

void attachment_unplug(struct attachment *attachment)
{
	if (!attachment->loop)
		return;
	attachment->ops->unplug(attachment);
	port_plug(attachment->port, NULL, NULL);
	attachment->loop = NULL;
	attachment->port = NULL;
}

void attachment_start(struct attachment *attachment)
{
	if (attachment->ops->start)
		attachment->ops->start(attachment);
}

void attachment_describe(const struct attachment *attachment, struct attachment_status *status)
{
	status->detail[0] = '\0';
	status->queued = 0;
	attachment->ops->describe(attachment, status);
}

void attachment_transmit(struct attachment *attachment, const uint8_t *bytes, size_t size)
{
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, bytes, size);
	port_transmit(attachment->port, &frame);
}

void attachment_refuse(struct attachment *attachment, const uint8_t *bytes, size_t size)
{
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, bytes, size < FRAME_SIZE_MAX ? size : FRAME_SIZE_MAX);
	port_refused(attachment->port, &frame, size);
}
