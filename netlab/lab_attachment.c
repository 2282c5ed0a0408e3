/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/lab_attachment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/topology.h"

/* What is to be done in the data plane's thread, if it runs. */
struct request {
	const struct lab_attachment *attachment;
	struct attachment_status *status;
	int result;
};

static void in_dataplane(const struct lab_attachment *attachment, loop_function *function, struct request *request)
{
	request->attachment = attachment;
	dataplane_call(attachment->dataplane, function, request);
}

struct lab_attachment *lab_attachment_create(struct dataplane *dataplane, struct bridge_client *bridge_client,
					     const struct topology_attachment *topology, struct error *error)
{
	struct lab_attachment *attachment = calloc(1, sizeof(*attachment));

	if (attachment) {
		attachment->dataplane = dataplane;
		attachment->bridge_client = bridge_client;
		attachment->topology = topology;
		attachment->port = dataplane_add_port(dataplane, topology->name);
	}
	if (!attachment || !attachment->port) {
		free(attachment);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	if (dataplane_capture_port(attachment->port, error) < 0) {
		lab_attachment_destroy(attachment);
		return NULL;
	}
	return attachment;
}

void lab_attachment_destroy(struct lab_attachment *attachment)
{
	if (!attachment)
		return;
	lab_attachment_close(attachment);
	dataplane_remove_port(attachment->port);
	free(attachment);
}

/* loop_function */
static void plug(void *opaque)
{
	struct request *request = opaque;
	const struct lab_attachment *attachment = request->attachment;

	request->result = attachment_plug(attachment->attachment, dataplane_loop(attachment->dataplane),
					  attachment->port);
}

int lab_attachment_open(struct lab_attachment *attachment, struct error *error)
{
	struct error reason = {.class = ERROR_NONE};
	struct request request = {.result = 0};
	int result;

	if (attachment->attachment)
		return 0;
	result = attachment_create(attachment->topology, attachment->bridge_client, &attachment->attachment, &reason);
	if (result == 0) {
		in_dataplane(attachment, plug, &request);
		result = request.result;
		if (result == 0)
			return 0;
		error_set(&reason, ERROR_FAILED, -result, "cannot be plugged in: %s", strerror(-result));
		attachment_destroy(attachment->attachment);
		attachment->attachment = NULL;
	}
	snprintf(attachment->failure, sizeof(attachment->failure), "%.*s", (int)strcspn(reason.text, "\n"),
		 reason.text);
	return error_set(error, reason.class, -result, "%s: %.900s", attachment->topology->name, reason.text);
}

/* loop_function */
static void unplug(void *opaque)
{
	const struct request *request = opaque;

	attachment_unplug(request->attachment->attachment);
}

void lab_attachment_close(struct lab_attachment *attachment)
{
	struct request request = {.result = 0};

	if (!attachment->attachment)
		return;
	in_dataplane(attachment, unplug, &request);
	attachment_destroy(attachment->attachment);
	attachment->attachment = NULL;
	attachment->is_started = false;
}

/* loop_function */
static void start(void *opaque)
{
	const struct request *request = opaque;

	attachment_start(request->attachment->attachment);
}

void lab_attachment_start(struct lab_attachment *attachment)
{
	struct request request = {.result = 0};

	if (!attachment->attachment || attachment->is_started)
		return;
	attachment->is_started = true;
	in_dataplane(attachment, start, &request);
}

/* loop_function */
static void describe(void *opaque)
{
	const struct request *request = opaque;

	attachment_describe(request->attachment->attachment, request->status);
}

void lab_attachment_describe(const struct lab_attachment *attachment, struct attachment_status *status)
{
	struct request request = {.status = status};

	if (attachment->attachment) {
		in_dataplane(attachment, describe, &request);
		return;
	}
	*status = (struct attachment_status){.state = "failed"};
	snprintf(status->detail, sizeof(status->detail), "%s", attachment->failure);
}
