/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/control_internal.h"
#include "netlab/lab_link.h"

/* Links: carrier, cuts and flapping ("link", "flap"), and impairments ("tc"). */

#define SECOND 1e9

static bool fail(const struct control_request *request, const char *what)
{
	control_send_error(request->client, request->id, "bad-request", "%s", what);
	return false;
}

static void fail_with(const struct control_request *request, int result, const struct error *error)
{
	const char *code = "failed";

	if (result == -ENOENT)
		code = "no-such-port";
	else if (result == -EINVAL)
		code = "bad-impairment";
	else if (result == -EBUSY)
		code = "busy";
	control_send_error(request->client, request->id, code, "%s", error->text);
}

/* The port a request names, if it names one. */
static bool get_port(const struct control_request *request, bool is_needed, const char **port)
{
	const json_t *value = json_object_get(request->message, "port");

	*port = json_string_value(value);
	return *port || (!value && !is_needed) || fail(request, "\"port\" must be a port's name, such as h1:eth0");
}

static bool get_side(const struct control_request *request, enum lab_side *side)
{
	const json_t *value = json_object_get(request->message, "side");
	const char *text = json_string_value(value);

	*side = LAB_BOTH;
	if (!value)
		return true;
	if (text && !strcmp(text, "tx"))
		*side = LAB_TX;
	else if (text && !strcmp(text, "rx"))
		*side = LAB_RX;
	else
		return fail(request, "\"side\" must be \"tx\", what the port sends, or \"rx\", what it receives");
	return true;
}

/* What has become of the links that were asked for. */
static void answer(const struct control_request *request, const char *port)
{
	struct error error = {.class = ERROR_NONE};
	json_t *links = lab_links(request->client->control->lab, port, &error);

	if (links)
		control_send_result(request->client, request->id, links);
	else
		fail_with(request, -ENOENT, &error);
}

/* "up" or "down", if that is asked for. */
static bool get_state(const struct control_request *request, bool *has_state, bool *is_up)
{
	const json_t *value = json_object_get(request->message, "state");
	const char *text = json_string_value(value);

	*has_state = value != NULL;
	*is_up = text && !strcmp(text, "up");
	return !value || *is_up || (text && !strcmp(text, "down")) ||
	       fail(request, "\"state\" must be \"up\" or \"down\"");
}

void control_link(const struct control_request *request)
{
	struct error error = {.class = ERROR_NONE};
	bool has_state, is_up;
	enum lab_side side;
	const char *port;
	int result = 0;

	if (!get_state(request, &has_state, &is_up) || !get_port(request, has_state, &port) ||
	    !get_side(request, &side))
		return;
	if (has_state)
		result = lab_set_link(request->client->control->lab, port, side, is_up, &error);
	if (result < 0)
		fail_with(request, result, &error);
	else
		answer(request, port);
}

/* lab_flapped */
static void flapped(void *opaque, bool is_up, uint32_t number)
{
	struct control_stream *stream = opaque;

	if (!control_stream_drop_if_slow(stream))
		control_stream_event(stream, is_up ? "up" : "down", json_pack("{s:I}", "number", (json_int_t)number));
}

/* Seconds, as nanoseconds; 1 if they are not there. */
static bool get_flap_time(const struct control_request *request, const char *name, uint64_t *to)
{
	const json_t *value = json_object_get(request->message, name);
	double seconds = value ? json_number_value(value) : 1;

	*to = 0;
	if (!value || json_is_number(value))
		*to = isfinite(seconds) && seconds >= 0 && seconds * SECOND <= (double)LAB_FLAP_TIME_MAX ?
			      (uint64_t)(seconds * SECOND) :
			      0;
	if (*to >= LAB_FLAP_TIME_MIN)
		return true;
	control_send_error(request->client, request->id, "bad-request",
			   "\"%s\" must be a number of seconds, from 0.001 to a day", name);
	return false;
}

void control_flap(const struct control_request *request)
{
	struct lab *lab = request->client->control->lab;
	struct lab_flap_options options = {.count = 1};
	struct error error = {.class = ERROR_NONE};
	struct control_stream *stream;
	json_int_t count = 1;
	const char *port;
	int result;

	if (!get_port(request, true, &port) ||
	    !control_get_number(request, request->message, "count", 1, LAB_FLAPS_MAX, false, &count) ||
	    !get_flap_time(request, "down", &options.down) || !get_flap_time(request, "up", &options.up))
		return;
	options.count = (uint32_t)count;
	stream = calloc(1, sizeof(*stream));
	if (!stream) {
		control_send_error(request->client, request->id, "failed", "netlabd is out of memory");
		return;
	}
	result = lab_flap(lab, port, &options, flapped, control_task_done, stream, &error);
	if (result < 0) {
		free(stream);
		fail_with(request, result, &error);
		return;
	}
	control_stream_add(request->client, stream, request->id, &control_task_ops);
	control_stream_event(stream, "started", NULL);
}

/* What is to be done with impairments: "impair" has the text of what to set, to be freed. */
static bool get_impair(const struct control_request *request, bool *has_action, enum lab_impair *action, char **text)
{
	const json_t *set = json_object_get(request->message, "impair");
	const json_t *clear = json_object_get(request->message, "clear");
	const json_t *reset = json_object_get(request->message, "reset");

	*has_action = set || clear || reset;
	*action = set ? LAB_IMPAIR_SET : clear ? LAB_IMPAIR_CLEAR : LAB_IMPAIR_RESET;
	*text = NULL;
	if ((set != NULL) + (clear != NULL) + (reset != NULL) > 1)
		return fail(request, "only one of \"impair\", \"clear\" and \"reset\" can be asked for");
	if ((clear && !json_is_true(clear)) || (reset && !json_is_true(reset)))
		return fail(request, "\"clear\" and \"reset\" must be true");
	if (!set)
		return true;
	if (!json_is_object(set))
		return fail(request, "\"impair\" must be an object, as {\"delay\": \"20ms\", \"loss\": \"1%\"}");
	*text = json_dumps(set, JSON_COMPACT);
	if (*text && strlen(*text) <= LAB_IMPAIR_TEXT_MAX)
		return true;
	free(*text);
	control_send_error(request->client, request->id, "too-long", "\"impair\" may have at most %u bytes",
			   LAB_IMPAIR_TEXT_MAX);
	return false;
}

void control_tc(const struct control_request *request)
{
	struct error error = {.class = ERROR_NONE};
	enum lab_impair action;
	enum lab_side side;
	const char *port;
	bool has_action;
	int result = 0;
	char *text;

	if (!get_side(request, &side) || !get_impair(request, &has_action, &action, &text))
		return;
	if (!get_port(request, has_action, &port)) {
		free(text);
		return;
	}
	if (has_action)
		result = lab_impair(request->client->control->lab, port, side, action, text, &error);
	free(text);
	if (result < 0)
		fail_with(request, result, &error);
	else
		answer(request, port);
}
