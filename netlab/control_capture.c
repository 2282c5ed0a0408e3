/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "netlab/capture_reader.h"
#include "netlab/control_internal.h"

/* A connection that becomes a capture: the request's answer is the last line on it, written by the capture's thread
 * like all that follows, and the socket is that thread's. */

#define SECOND 1000000000.0
#define SECONDS_MAX (365 * 24 * 3600.0)
#define SNAP_LEN_MAX 262144

#define BEFORE_DEFAULT 5.0
#define AFTER_DEFAULT 2.0

static bool fail(const struct control_request *request, const char *what)
{
	control_send_error(request->client, request->id, "bad-request", "%s", what);
	return false;
}

/* Seconds, as nanoseconds.  '*has' says whether they are there, and may be NULL. */
static bool get_time(const struct control_request *request, const char *name, double usual, bool *has, uint64_t *to)
{
	const json_t *value = json_object_get(request->message, name);
	double seconds = value ? json_number_value(value) : usual;

	if ((value && !json_is_number(value)) || !isfinite(seconds) || seconds < 0 || seconds > SECONDS_MAX) {
		control_send_error(request->client, request->id, "bad-request",
				   "\"%s\" must be a number of seconds, from 0 to a year", name);
		return false;
	}
	if (has)
		*has = value != NULL;
	*to = (uint64_t)(seconds * SECOND);
	return true;
}

static bool get_boolean(const struct control_request *request, const char *name, bool *to)
{
	const json_t *value = json_object_get(request->message, name);

	if (value && !json_is_boolean(value)) {
		control_send_error(request->client, request->id, "bad-request", "\"%s\" must be true or false", name);
		return false;
	}
	*to = json_is_true(value);
	return true;
}

static bool get_text(const struct control_request *request, const char *name, const char **to)
{
	const json_t *value = json_object_get(request->message, name);

	*to = json_string_value(value);
	if (value && !*to) {
		control_send_error(request->client, request->id, "bad-request", "\"%s\" must be a string", name);
		return false;
	}
	return true;
}

/* The list of ports, to be freed; its strings are the request's. */
static bool get_ports(const struct control_request *request, struct capture_reader_options *options)
{
	const json_t *list = json_object_get(request->message, "ports");
	size_t count = json_array_size(list);
	const char **ports;

	if (!list)
		return true;
	ports = json_is_array(list) && count > 0 ? calloc(count, sizeof(*ports)) : NULL;
	options->ports = ports;
	options->port_count = count;
	for (size_t i = 0; ports && i < count; i++) {
		ports[i] = json_string_value(json_array_get(list, i));
		if (!ports[i])
			return fail(request, "\"ports\" must be a list of ports' names, such as h1:eth0");
	}
	return ports || fail(request, "\"ports\" must be a list of ports' names, such as h1:eth0");
}

static bool get_options(const struct control_request *request, struct capture_reader_options *options)
{
	json_int_t snap_len = 0;

	if (!get_ports(request, options) || !get_text(request, "filter", &options->filter) ||
	    !get_text(request, "trigger", &options->trigger) || !get_boolean(request, "clean", &options->is_clean) ||
	    !get_boolean(request, "events", &options->has_events) ||
	    !get_time(request, "last", 0, &options->has_last, &options->last) ||
	    !get_time(request, "before", BEFORE_DEFAULT, NULL, &options->before) ||
	    !get_time(request, "after", AFTER_DEFAULT, NULL, &options->after) ||
	    !control_get_number(request, request->message, "snaplen", 0, SNAP_LEN_MAX, false, &snap_len))
		return false;
	options->snap_len = (uint32_t)snap_len;
	return !(options->has_last && options->trigger) ||
	       fail(request, "\"last\" and \"trigger\" do not go together: what was recorded is not waited for");
}

static const char *code_of(int result)
{
	switch (result) {
	case -ENOENT:
		return "no-such-port";
	case -EINVAL:
		return "bad-request";
	case -EUSERS:
		return "too-many";
	default:
		return "failed";
	}
}

static void start(const struct control_request *request, const struct capture_reader_options *wanted)
{
	struct capture_reader_options options = *wanted;
	struct control_client *client = request->client;
	int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 0);
	struct error error = {.text = "out of file descriptors"};
	int result = -EMFILE;
	char answer[64];

	if (request->id >= 0)
		snprintf(answer, sizeof(answer), "{\"id\":%lld,\"result\":{}}\n", (long long)request->id);
	else
		snprintf(answer, sizeof(answer), "{\"result\":{}}\n");
	options.preamble = answer;
	if (fd >= 0)
		result = lab_read_capture(client->control->lab, fd, &options, &error);
	if (result == 0) {
		control_leave(client);
		return;
	}
	if (fd >= 0)
		close(fd);
	control_send_error(client, request->id, code_of(result), "%s", error.text);
}

void control_capture(const struct control_request *request)
{
	struct capture_reader_options options = {0};

	if (request->client->streams || request->client->output_size > 0)
		fail(request, "a connection that becomes a capture has no open streams and no answers to be read");
	else if (request->client->control->stopping)
		control_send_error(request->client, request->id, "stopping", "the lab is being taken down");
	else if (get_options(request, &options))
		start(request, &options);
	free((void *)options.ports);
}
