/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "netlab/control_internal.h"

/* What is asked of the whole lab.  Streams wait for something that takes a while: pausing, saving, restoring, a capture
 * that is written out; their only message is the answer. */

static void task_close(struct control_stream *stream)
{
	lab_forget(stream->client->control->lab, stream);
}

const struct control_stream_ops control_task_ops = {.close = task_close};

void control_task_done(void *opaque, const char *failure, json_t *result)
{
	struct control_stream *stream = opaque;

	if (failure[0])
		control_stream_fail(stream, "failed", "%s", failure);
	else
		control_stream_finish(stream, json_incref(result));
}

static struct control_stream *add_task(const struct control_request *request)
{
	struct control_stream *stream = calloc(1, sizeof(*stream));

	if (stream)
		control_stream_add(request->client, stream, request->id, &control_task_ops);
	else
		control_send_error(request->client, request->id, "failed", "netlabd is out of memory");
	return stream;
}

/* The node a request names, if it names one.  Returns false after answering that there is none. */
static bool get_optional_node(const struct control_request *request, struct node **node)
{
	*node = NULL;
	if (!json_object_get(request->message, "node"))
		return true;
	*node = control_get_node(request);
	return *node != NULL;
}

static const char *get_name(const struct control_request *request)
{
	const char *name = json_string_value(json_object_get(request->message, "name"));

	if (!name)
		control_send_error(request->client, request->id, "bad-request", "\"name\" must be a snapshot's name");
	return name;
}

void control_pause(const struct control_request *request)
{
	struct control_stream *stream;
	struct error error = {0};
	struct node *node;

	if (!get_optional_node(request, &node) || !(stream = add_task(request)))
		return;
	if (lab_pause(request->client->control->lab, node, control_task_done, stream, &error) < 0)
		control_stream_fail(stream, "failed", "%s", error.text);
}

void control_resume(const struct control_request *request)
{
	struct error error = {0};
	struct node *node;

	if (!get_optional_node(request, &node))
		return;
	if (lab_resume(request->client->control->lab, node, &error) < 0)
		control_send_error(request->client, request->id, "failed", "%s", error.text);
	else
		control_send_result(request->client, request->id, json_object());
}

void control_save(const struct control_request *request)
{
	bool replace = json_is_true(json_object_get(request->message, "replace"));
	const char *name = get_name(request);
	struct control_stream *stream = name ? add_task(request) : NULL;
	struct error error = {0};

	if (!stream)
		return;
	if (lab_save(request->client->control->lab, name, replace, control_task_done, stream, &error) < 0)
		control_stream_fail(stream, "failed", "%s", error.text);
}

void control_restore(const struct control_request *request)
{
	const char *name = get_name(request);
	struct control_stream *stream = name ? add_task(request) : NULL;
	struct error error = {0};

	if (!stream)
		return;
	if (lab_restore(request->client->control->lab, name, control_task_done, stream, &error) < 0)
		control_stream_fail(stream, "failed", "%s", error.text);
}

void control_tests(const struct control_request *request)
{
	struct lab *lab = request->client->control->lab;

	control_send_result(request->client, request->id, json_pack("{s:o}", "tests", lab_tests(lab)));
}

void control_capture_position(const struct control_request *request)
{
	const char *port = json_string_value(json_object_get(request->message, "port"));
	struct control_stream *stream;
	struct error error = {0};

	if (!port) {
		control_send_error(request->client, request->id, "bad-request",
				   "\"port\" must be a port's name, such as h1:eth0");
		return;
	}
	stream = add_task(request);
	if (stream && lab_capture_position(request->client->control->lab, port, control_task_done, stream, &error) < 0)
		control_stream_fail(stream, "failed", "%s", error.text);
}
