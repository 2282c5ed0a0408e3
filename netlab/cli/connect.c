/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/stream.h"
#include "netlab/cli/terminal.h"

/* netlab connect: a node's console on the user's terminal. */

#define ESCAPE 0x1d /* Ctrl-] */

/* Sends what comes before Ctrl-], and leaves there.  Only a person can press it: a file may hold that byte. */
static size_t find_escape(struct stream *stream, uint8_t *data, size_t size)
{
	uint8_t *escape = isatty(STDIN_FILENO) ? memchr(data, ESCAPE, size) : NULL;

	if (!escape)
		return size;
	stream_leave(stream, 0);
	return (size_t)(escape - data);
}

static void signalled(struct stream *stream, int number)
{
	int rows, columns;

	if (number != SIGWINCH)
		stream_leave(stream, number);
	else if (terminal_size(&rows, &columns))
		stream_request(stream, "resize", json_pack("{s:i, s:i}", "rows", rows, "columns", columns));
}

static json_t *make_request(const char *node)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "console", "node", node);
	int rows, columns;

	if (terminal_size(&rows, &columns)) {
		json_object_set_new(request, "rows", json_integer(rows));
		json_object_set_new(request, "columns", json_integer(columns));
	}
	return request;
}

static int run(struct client *client, const char *node)
{
	struct terminal terminal = {0};
	struct stream stream = {
		.client = client,
		.input = STDIN_FILENO,
		.output = STDOUT_FILENO,
		.error_output = STDERR_FILENO,
		.input_end = STREAM_LEAVES,
		.filter = find_escape,
		.signalled = signalled,
	};
	bool is_terminal = isatty(STDIN_FILENO);
	int code = 0;

	if (is_terminal)
		fprintf(stderr, "Console of %s; Ctrl-] leaves, Enter shows the prompt.\n", node);
	terminal_make_raw(&terminal);
	stream_run(&stream, make_request(node));
	terminal_restore(&terminal);
	if (is_terminal)
		fputs("\n", stderr);
	if (stream.end == STREAM_FAILED || (stream.end == STREAM_BROKEN && !stream.end_signal))
		code = cli_fail(&stream.error);
	else if (stream.end_signal)
		code = 128 + stream.end_signal;
	stream_free(&stream);
	return code;
}

int cli_connect(struct cli *cli, int argc, char **argv)
{
	struct error error = {0};
	struct client client;
	const char *node;
	char *lab;
	int code;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind != 1)
		return cli_usage(cli, "one node is needed");
	lab = cli_find_lab_of_node(cli, argv[optind], &node, &error);
	if (lab && client_open(&client, lab, &error) == 0) {
		code = run(&client, node);
		client_close(&client);
	} else {
		code = cli_fail(&error);
	}
	free(lab);
	return code;
}
