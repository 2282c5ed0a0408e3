/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/capture_request.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/cli/client.h"
#include "netlab/frame_filter.h"
#include "netlab/topology_units.h"

#define BEFORE_SECONDS 5
#define AFTER_SECONDS 2

void capture_request_init(struct capture_request *request)
{
	*request = (struct capture_request){.options = {.before = BEFORE_SECONDS, .after = AFTER_SECONDS}};
}

unsigned long long capture_request_number(const char *text, unsigned long long maximum)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	return isdigit((unsigned char)text[0]) && !*end && !errno && number <= maximum ? number : 0;
}

static int set_filter(const char *name, const char *text, const char **to)
{
	char room[FRAME_FILTER_PROBLEM_MAX];
	struct frame_filter filter;
	const char *problem = frame_filter_compile(&filter, text, room);

	if (problem) {
		cli_error("%s \"%s\" %s", name, text, problem);
		return ERROR_USAGE;
	}
	frame_filter_clear(&filter);
	*to = text;
	return 0;
}

static int set_seconds(const struct cli *cli, const char *name, const char *text, double *seconds)
{
	uint64_t nanoseconds = 0;
	const char *problem = topology_parse_time(text, &nanoseconds);

	if (problem)
		return cli_usage(cli, "%s \"%s\" %s", name, text, problem);
	*seconds = (double)nanoseconds / 1e9;
	return 0;
}

static int set_snap_len(struct capture_request *request, const struct cli *cli, const char *text)
{
	unsigned long long number = capture_request_number(text, UINT32_MAX);

	if (!number && strcmp(text, "0") != 0)
		return cli_usage(cli, "--snaplen takes a number of bytes, not \"%s\"", text);
	request->options.snap_len = (uint32_t)number;
	return 0;
}

static int set_last(struct capture_request *request, const struct cli *cli, const char *text)
{
	request->options.has_last = true;
	request->options.last = 0;
	if (!strcmp(text, "all") || !strcmp(text, "0"))
		return 0;
	return set_seconds(cli, "--last", text, &request->options.last);
}

int capture_request_option(struct capture_request *request, const struct cli *cli, int option, const char *argument)
{
	struct capture_source_options *options = &request->options;

	switch (option) {
	case CAPTURE_REQUEST_ALL:
		request->is_all = true;
		return 0;
	case 'f':
		return set_filter("filter", argument, &options->filter);
	case 's':
		return set_snap_len(request, cli, argument);
	case CAPTURE_REQUEST_CLEAN:
		options->is_clean = true;
		return 0;
	case CAPTURE_REQUEST_EVENTS:
		options->has_events = true;
		return 0;
	case CAPTURE_REQUEST_LAST:
		return set_last(request, cli, argument);
	case CAPTURE_REQUEST_TRIGGER:
		return set_filter("trigger", argument, &options->trigger);
	case CAPTURE_REQUEST_BEFORE:
		request->has_context = true;
		return set_seconds(cli, "--before", argument, &options->before);
	case CAPTURE_REQUEST_AFTER:
		request->has_context = true;
		return set_seconds(cli, "--after", argument, &options->after);
	default:
		return ERROR_USAGE; /* cli_option() has complained. */
	}
}

static void add_port(struct capture_request *request, const char *name)
{
	for (size_t i = 0; i < request->port_count; i++)
		if (!strcmp(request->ports[i], name))
			return;
	request->ports = allocate_grow(request->ports, request->port_count, sizeof(*request->ports));
	request->ports[request->port_count++] = allocate_copy(name);
}

/* Adds all ports of the node that is called so; if there is none, netlabd will say so. */
static int add_node(struct capture_request *request, const json_t *status, const char *name, struct error *error)
{
	const json_t *nodes = json_object_get(status, "nodes"), *interfaces;

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		if (strcmp(cli_string(json_array_get(nodes, i), "name"), name) != 0)
			continue;
		interfaces = json_object_get(json_array_get(nodes, i), "interfaces");
		for (size_t j = 0; j < json_array_size(interfaces); j++)
			add_port(request, cli_string(json_array_get(interfaces, j), "port"));
		if (!json_array_size(interfaces))
			return error_set(error, ERROR_USAGE, ENOENT, "node %s has no ports", name);
		return 0;
	}
	add_port(request, name);
	return 0;
}

static int add_ports(struct capture_request *request, int count, char **arguments, struct error *error)
{
	json_t *status = NULL;
	int result = 0;

	for (int i = 0; i < count && result == 0; i++) {
		const char *slash = strchr(arguments[i], '/'), *name = slash ? slash + 1 : arguments[i];

		if (strchr(name, ':')) {
			add_port(request, name);
			continue;
		}
		if (!status)
			status = client_call_once(request->lab, json_pack("{s:s}", "command", "status"), error);
		result = status ? add_node(request, status, name, error) : -EIO;
	}
	json_decref(status);
	request->options.ports = (const char *const *)request->ports;
	request->options.port_count = request->port_count;
	return result;
}

/* All ports must be of one lab. */
static int find_lab(struct capture_request *request, const struct cli *cli, int count, char **arguments,
		    struct error *error)
{
	const char *port;

	if (count == 0)
		request->lab = cli_find_lab(cli, NULL, error);
	for (int i = 0; i < count; i++) {
		char *lab = cli_find_lab_of_node(cli, arguments[i], &port, error);
		bool is_other = lab && request->lab && strcmp(lab, request->lab) != 0;

		if (is_other)
			error_set(error, ERROR_USAGE, EINVAL, "a capture is of one lab, not of %s and %s", request->lab,
				  lab);
		free(request->lab);
		request->lab = lab;
		if (!lab || is_other)
			return -EINVAL;
	}
	return request->lab ? 0 : -ENOENT;
}

int capture_request_find(struct capture_request *request, const struct cli *cli, int argc, char **argv)
{
	struct error error = {0};
	int count = argc - optind;

	if (request->is_all && count > 0)
		return cli_usage(cli, "either ports, such as h1:eth0, or --all");
	if (request->has_context && !request->options.trigger)
		return cli_usage(cli, "--before and --after go with --trigger");
	if (request->options.trigger && request->options.has_last)
		return cli_usage(cli, "--trigger waits for a frame, --last waits for none: one of the two");
	if (find_lab(request, cli, count, argv + optind, &error) < 0 ||
	    add_ports(request, count, argv + optind, &error) < 0)
		return cli_fail(&error);
	return 0;
}

void capture_request_free(struct capture_request *request)
{
	for (size_t i = 0; i < request->port_count; i++)
		free(request->ports[i]);
	free(request->ports);
	free(request->lab);
}
