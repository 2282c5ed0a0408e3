/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/extcap.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/capture_pump.h"
#include "netlab/cli/capture_request.h"
#include "netlab/cli/client.h"
#include "netlab/frame_filter.h"
#include "netlab/version.h"

#define PREFIX "netlab-"

struct extcap {
	enum { NOTHING, INTERFACES, LINK_TYPES, CONFIGURATION, CAPTURE } what;
	const char *interface;
	const char *port; /* Of the interface, or NULL: all. */
	const char *fifo;
	struct capture_source_options options;
};

/* What leads to 'link', a port or the name of a network. */
static void put_interface(const char *lab, const char *port, const char *link)
{
	printf("interface {value=" PREFIX "%s/%s}{display=%s (lab %s%s%s)}\n", lab, port, port, lab,
	       !link[0]          ? "" :
	       strchr(link, ':') ? ", link to " :
				   ", network ",
	       link);
}

static void put_node(const char *lab, const json_t *node)
{
	const json_t *interfaces = json_object_get(node, "interfaces");

	for (size_t i = 0; i < json_array_size(interfaces); i++)
		put_interface(lab, cli_string(json_array_get(interfaces, i), "port"),
			      cli_string(json_array_get(interfaces, i), "link"));
}

/* Ports that are no node's: what else leads out of the lab, and the outer sides of networks. */
static void put_others(const char *lab, const json_t *status)
{
	const json_t *attachments = json_object_get(status, "attachments");
	const json_t *networks = json_object_get(status, "networks");

	for (size_t i = 0; i < json_array_size(attachments); i++)
		put_interface(lab, cli_string(json_array_get(attachments, i), "name"),
			      cli_string(json_array_get(attachments, i), "link"));
	for (size_t i = 0; i < json_array_size(networks); i++) {
		const char *name = cli_string(json_array_get(networks, i), "name");
		char *port = allocate_text("network:%s", name);

		if (strcmp(cli_string(json_array_get(networks, i), "mode"), "isolated") != 0)
			put_interface(lab, port, name);
		free(port);
	}
}

static void put_lab(const char *lab)
{
	struct error error = {0};
	json_t *status = client_call_once(lab, json_pack("{s:s}", "command", "status"), &error);
	const json_t *nodes = json_object_get(status, "nodes");

	if (status)
		printf("interface {value=" PREFIX "%s}{display=all ports of lab %s}\n", lab, lab);
	for (size_t i = 0; i < json_array_size(nodes); i++)
		put_node(lab, json_array_get(nodes, i));
	put_others(lab, status);
	json_decref(status);
}

static int put_interfaces(void)
{
	struct error error = {0};
	size_t count;
	char **labs;

	puts("extcap {version=" NETLAB_VERSION "}{display=netlab}");
	if (cli_running_labs(&labs, &count, false, &error) < 0)
		return 0; /* No labs, no interfaces. */
	for (size_t i = 0; i < count; i++)
		put_lab(labs[i]);
	cli_free_labs(labs, count);
	return 0;
}

static int put_link_types(void)
{
	puts("dlt {number=1}{name=EN10MB}{display=Ethernet}");
	return 0;
}

static int put_configuration(void)
{
	puts("arg {number=0}{call=--last}{display=Only the last seconds}"
	     "{tooltip=0: what crosses from now on. Otherwise what crossed in so many seconds before now, and no more}"
	     "{type=unsigned}{default=0}\n"
	     "arg {number=1}{call=--snaplen}{display=Bytes of a frame}"
	     "{tooltip=At most so many are captured. 0: all}{type=unsigned}{default=0}\n"
	     "arg {number=2}{call=--clean}{display=Without dropped frames}"
	     "{tooltip=Leaves out frames that were dropped, and the comments that say why}{type=boolflag}{default=false}");
	return 0;
}

/* What Wireshark shows beside a filter that is being typed: nothing when it is good. */
static int put_filter_problem(const char *text)
{
	char room[FRAME_FILTER_PROBLEM_MAX];
	struct frame_filter filter;
	const char *problem = frame_filter_compile(&filter, text, room);

	if (problem)
		printf("The filter %s\n", problem);
	else
		frame_filter_clear(&filter);
	return 0;
}

/* Takes the interface apart.  Returns the lab's name, to be freed with free(), or NULL if it is none of ours. */
static char *split_interface(struct extcap *extcap)
{
	const char *name, *slash;

	if (!extcap->interface || strncmp(extcap->interface, PREFIX, strlen(PREFIX)) != 0 ||
	    !extcap->interface[strlen(PREFIX)])
		return NULL;
	name = extcap->interface + strlen(PREFIX);
	slash = strchr(name, '/');
	if (!slash)
		return allocate_copy(name);
	extcap->port = slash + 1;
	extcap->options.ports = &extcap->port;
	extcap->options.port_count = 1;
	return allocate_copy_part(name, (size_t)(slash - name));
}

/* Opens the FIFO before anything can go wrong: who waits at its other end learns of that by its end alone. */
static int pass_on(const struct extcap *extcap, const char *lab)
{
	const struct capture_output_options to = {.path = extcap->fifo};
	struct capture_output output;
	struct capture_pump pump = {.output = &output};
	struct error error = {0};
	int result = capture_output_open(&output, &to, &error);

	if (result == 0)
		result = pump.source = capture_source_open(lab, &extcap->options, &error);
	if (result >= 0) {
		result = capture_pump_run(&pump, &error);
		close(pump.source);
	}
	capture_output_close(&output);
	return result == 0 || result == -EPIPE ? 0 : cli_fail(&error);
}

static int capture(struct extcap *extcap)
{
	char *lab = split_interface(extcap);
	int code;

	if (!lab || !extcap->fifo) {
		cli_error("--capture needs --extcap-interface with one of --extcap-interfaces, and --fifo");
		free(lab);
		return ERROR_USAGE;
	}
	code = pass_on(extcap, lab);
	free(lab);
	return code;
}

enum { OPTION_INTERFACE = NOTHING + 100, OPTION_FILTER, OPTION_FIFO, OPTION_SNAPLEN, OPTION_CLEAN, OPTION_LAST };

static void set_option(struct extcap *extcap, int option)
{
	struct capture_source_options *options = &extcap->options;

	switch (option) {
	case INTERFACES:
	case LINK_TYPES:
	case CONFIGURATION:
	case CAPTURE:
		extcap->what = option;
		break;
	case OPTION_INTERFACE:
		extcap->interface = optarg;
		break;
	case OPTION_FILTER:
		options->filter = optarg[0] ? optarg : NULL;
		break;
	case OPTION_FIFO:
		extcap->fifo = optarg;
		break;
	case OPTION_SNAPLEN:
		options->snap_len = (uint32_t)capture_request_number(optarg, UINT32_MAX);
		break;
	case OPTION_CLEAN:
		options->is_clean = !optarg || strcmp(optarg, "false") != 0;
		break;
	case OPTION_LAST:
		options->last = (double)capture_request_number(optarg, UINT32_MAX);
		options->has_last = options->last > 0;
		break;
	default: /* Of another version of Wireshark: what we do not know we do not need. */
		break;
	}
}

bool extcap_is_meant(int argc, char **argv)
{
	return argc > 1 && (!strncmp(argv[1], "--extcap-", strlen("--extcap-")) || !strcmp(argv[1], "--capture"));
}

int extcap_run(int argc, char **argv)
{
	static const struct option options[] = {
		{"extcap-interfaces", no_argument, NULL, INTERFACES},
		{"extcap-dlts", no_argument, NULL, LINK_TYPES},
		{"extcap-config", no_argument, NULL, CONFIGURATION},
		{"capture", no_argument, NULL, CAPTURE},
		{"extcap-interface", required_argument, NULL, OPTION_INTERFACE},
		{"extcap-capture-filter", required_argument, NULL, OPTION_FILTER},
		{"extcap-version", optional_argument, NULL, '?'},
		{"fifo", required_argument, NULL, OPTION_FIFO},
		{"snaplen", required_argument, NULL, OPTION_SNAPLEN},
		{"clean", optional_argument, NULL, OPTION_CLEAN},
		{"last", required_argument, NULL, OPTION_LAST},
		{NULL, 0, NULL, 0},
	};
	struct extcap extcap = {.what = NOTHING};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(&extcap, option);
	switch (extcap.what) {
	case INTERFACES:
		return put_interfaces();
	case LINK_TYPES:
		return put_link_types();
	case CONFIGURATION:
		return put_configuration();
	case CAPTURE:
		return capture(&extcap);
	default:
		return extcap.options.filter ? put_filter_problem(extcap.options.filter) : 0;
	}
}
