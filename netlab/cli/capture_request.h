/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_CAPTURE_REQUEST_H
#define NETLAB_CLI_CAPTURE_REQUEST_H 1

/* What a command line says of a live capture: which ports of which lab, and which frames.  For the commands that
 * take one from a running lab, capture and wireshark.
 *
 * Thread-safety: one thread. */

#include "netlab/cli/capture_source.h"
#include "netlab/cli/cli.h"

struct capture_request {
	struct capture_source_options options;
	bool is_all;      /* --all */
	bool has_context; /* --before or --after */
	char *lab;        /* And what follows: capture_request_find()'s. */
	char **ports;
	size_t port_count;
};

/* Values of getopt_long() for the options they have in common; their short forms are CAPTURE_REQUEST_SHORTS. */
enum {
	CAPTURE_REQUEST_ALL = 2000,
	CAPTURE_REQUEST_CLEAN,
	CAPTURE_REQUEST_EVENTS,
	CAPTURE_REQUEST_LAST,
	CAPTURE_REQUEST_TRIGGER,
	CAPTURE_REQUEST_BEFORE,
	CAPTURE_REQUEST_AFTER,
};

#define CAPTURE_REQUEST_SHORTS "f:s:"
#define CAPTURE_REQUEST_OPTIONS \
	{"all", no_argument, NULL, CAPTURE_REQUEST_ALL}, {"filter", required_argument, NULL, 'f'}, \
		{"snaplen", required_argument, NULL, 's'}, {"clean", no_argument, NULL, CAPTURE_REQUEST_CLEAN}, \
		{"events", no_argument, NULL, CAPTURE_REQUEST_EVENTS}, \
		{"last", required_argument, NULL, CAPTURE_REQUEST_LAST}, \
		{"trigger", required_argument, NULL, CAPTURE_REQUEST_TRIGGER}, \
		{"before", required_argument, NULL, CAPTURE_REQUEST_BEFORE}, \
	{ \
		"after", required_argument, NULL, CAPTURE_REQUEST_AFTER \
	}

/* Before any option is read. */
void capture_request_init(struct capture_request *request);

/* Takes one of these options.  Returns 0, or ERROR_USAGE after complaining; any other option is a complaint as well.
 * */
int capture_request_option(struct capture_request *request, const struct cli *cli, int option, const char *argument);

/* Checks what goes together, and the ports among the arguments from optind on: "NODE:IF", "LAB/NODE:IF", or a node,
 * which means all of its ports; without any it is all of the lab.  Finds their lab.  Returns 0, or an exit code after
 * complaining. */
int capture_request_find(struct capture_request *request, const struct cli *cli, int argc, char **argv);

/* Of a number in 'text', from 1 to 'maximum'; 0 when it is none. */
unsigned long long capture_request_number(const char *text, unsigned long long maximum);

void capture_request_free(struct capture_request *request);

#endif /* capture_request.h */
