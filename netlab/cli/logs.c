/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/stream.h"

/* netlab logs: a node's log, as it is in the file. */

static int run(struct client *client, const char *node, bool follow, json_int_t tail)
{
	struct stream stream = {
		.client = client,
		.input = -1,
		.output = STDOUT_FILENO,
		.error_output = STDERR_FILENO,
	};
	json_t *request = json_pack("{s:s, s:s, s:b}", "command", "logs", "node", node, "follow", follow);
	int code = 0;

	if (tail >= 0)
		json_object_set_new(request, "tail", json_integer(tail));
	stream_run(&stream, request);
	if (stream.end == STREAM_FAILED || (stream.end == STREAM_BROKEN && !stream.end_signal))
		code = cli_fail(&stream.error);
	else if (stream.end_signal)
		code = 128 + stream.end_signal;
	stream_free(&stream);
	return code;
}

int cli_logs(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'},
		{"tail", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	struct error error = {0};
	struct client client;
	json_int_t tail = -1;
	bool follow = false;
	const char *node;
	char *lab, *end;
	int option, code;

	while ((option = cli_option(cli, argc, argv, "fn:", options)) != -1) {
		if (option == 'f') {
			follow = true;
		} else if (option == 'n') {
			tail = strtoll(optarg, &end, 10);
			if (*end || end == optarg || tail < 0)
				return cli_usage(cli, "--tail takes a number of bytes, not \"%s\"", optarg);
		} else {
			return ERROR_USAGE;
		}
	}
	if (argc - optind != 1)
		return cli_usage(cli, "one node is needed");
	lab = cli_find_lab_of_node(cli, argv[optind], &node, &error);
	if (lab && client_open(&client, lab, &error) == 0) {
		code = run(&client, node, follow, tail);
		client_close(&client);
	} else {
		code = cli_fail(&error);
	}
	free(lab);
	return code;
}
