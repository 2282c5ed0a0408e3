/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/control_internal.h"

/* Changing the running lab: "plan" says what a topology's file would change, and "converge" changes it.
 *
 * A converge is a stream without input that ends when all is in place.  A client that leaves it does not stop it: half
 * a change would be neither one topology nor the other. */

static void fail(const struct control_request *request, int result, const struct error *error)
{
	const char *code = "failed";

	if (error->class == ERROR_USAGE)
		code = "bad-topology";
	else if (result == -EALREADY)
		code = "busy";
	else if (result == -ESTALE)
		code = "changed";
	else if (result == -ESHUTDOWN)
		code = "stopping";
	control_send_error(request->client, request->id, code, "%s", error->text);
}

void control_plan(const struct control_request *request)
{
	const char *path = control_get_path(request);
	struct error error = {.class = ERROR_NONE};
	json_t *plan;

	if (!path)
		return;
	plan = lab_plan(request->client->control->lab, path, &error);
	if (plan)
		control_send_result(request->client, request->id, plan);
	else
		fail(request, -EINVAL, &error);
}

/* lab_converge_done */
static void converged(void *opaque, json_t *failures)
{
	struct control *control = opaque;

	if (control->options.converged)
		control->options.converged(control->options.opaque);
	if (control->converging)
		control_stream_finish(control->converging, json_pack("{s:O}", "failures", failures));
}

static void converge_close(struct control_stream *stream)
{
	stream->client->control->converging = NULL;
}

static const struct control_stream_ops converge_ops = {.close = converge_close};

void control_converge(const struct control_request *request)
{
	struct control *control = request->client->control;
	const char *path = control_get_path(request);
	const char *token = json_string_value(json_object_get(request->message, "token"));
	struct error error = {.class = ERROR_NONE};
	struct control_stream *stream;
	int result;

	if (!path)
		return;
	if (!token) {
		control_send_error(request->client, request->id, "bad-request",
				   "\"token\" must be that of a plan, which the command \"plan\" gives");
		return;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream) {
		control_send_error(request->client, request->id, "failed", "netlabd is out of memory");
		return;
	}
	result = lab_converge(control->lab, path, token, converged, control, &error);
	if (result < 0) {
		free(stream);
		fail(request, result, &error);
		return;
	}
	control_stream_add(request->client, stream, request->id, &converge_ops);
	control->converging = stream;
	control_stream_event(stream, "started", NULL);
}
