/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/stream.h"
#include "netlab/cli/terminal.h"

/* netlab exec: runs a command in a node, as ssh does on a remote host. */

#define SIGNALS_BEFORE_LEAVING 3
#define TERMINATION_MILLISECONDS 5000

struct exec_options {
	const char *node;
	bool wants_terminal;
	bool no_input;
	char **environment;
	size_t environment_count;
	char **argv;
};

struct exec_state {
	bool has_terminal;
	int interrupts; /* How often the user has tried to end it. */
};

static void send_size(struct stream *stream)
{
	int rows, columns;

	if (terminal_size(&rows, &columns))
		stream_request(stream, "resize", json_pack("{s:i, s:i}", "rows", rows, "columns", columns));
}

static void signalled(struct stream *stream, int number)
{
	struct exec_state *state = stream->opaque;

	if (number == SIGWINCH) {
		if (state->has_terminal)
			send_size(stream);
		return;
	}
	/* The command may not care, and the guest may not answer: somebody who insists gets away. */
	if (++state->interrupts >= SIGNALS_BEFORE_LEAVING || number == SIGHUP) {
		stream_leave(stream, number);
		return;
	}
	stream_request(stream, "signal", json_pack("{s:i}", "signal", number));
	if (number == SIGTERM)
		stream_leave_after(stream, number, TERMINATION_MILLISECONDS);
}

static json_t *make_request(const struct exec_options *options)
{
	json_t *argv = json_array();
	json_t *environment = json_array();
	json_t *request;
	const char *term = getenv("TERM");
	bool is_good = true;
	int rows, columns;

	for (char **word = options->argv; *word; word++)
		is_good = json_array_append_new(argv, json_string(*word)) == 0 && is_good;
	for (size_t i = 0; i < options->environment_count; i++)
		is_good = json_array_append_new(environment, json_string(options->environment[i])) == 0 && is_good;
	request = json_pack("{s:s, s:s, s:o, s:o}", "command", "exec", "node", options->node, "argv", argv,
			    "environment", environment);
	if (options->wants_terminal) {
		terminal_size(&rows, &columns);
		json_object_set_new(request, "terminal", json_pack("{s:i, s:i}", "rows", rows, "columns", columns));
		if (term && term[0])
			json_array_append_new(environment, json_sprintf("TERM=%s", term));
	}
	if (is_good)
		return request;
	json_decref(request); /* Not UTF-8. */
	return NULL;
}

static int exit_code(const struct stream *stream)
{
	int signal_number;

	switch (stream->end) {
	case STREAM_FINISHED:
		signal_number = (int)json_integer_value(json_object_get(stream->result, "signal"));
		if (signal_number)
			return 128 + signal_number;
		return (int)json_integer_value(json_object_get(stream->result, "status"));
	case STREAM_LEFT:
		return 128 + stream->end_signal;
	case STREAM_BROKEN:
		if (stream->end_signal)
			return 128 + stream->end_signal;
		/* Fall through. */
	default:
		cli_error("%s", stream->error.text);
		return CLI_EXIT_NETLAB_FAILED;
	}
}

static int run(struct client *client, const struct exec_options *options)
{
	struct exec_state state = {.has_terminal = options->wants_terminal};
	struct terminal terminal = {0};
	struct stream stream = {
		.client = client,
		.input = options->no_input ? -1 : STDIN_FILENO,
		.output = STDOUT_FILENO,
		.error_output = STDERR_FILENO,
		.input_end = STREAM_TELLS,
		.signalled = signalled,
		.opaque = &state,
	};
	int code;

	if (options->wants_terminal)
		terminal_make_raw(&terminal);
	stream_run(&stream, make_request(options));
	terminal_restore(&terminal);
	code = exit_code(&stream);
	stream_free(&stream);
	return code;
}

static int find_and_run(const struct cli *cli, struct exec_options *options)
{
	struct error error = {0};
	char *lab = cli_find_lab_of_node(cli, options->node, &options->node, &error);
	struct client client;
	int code = CLI_EXIT_NETLAB_FAILED;

	if (lab && client_open(&client, lab, &error) == 0) {
		code = run(&client, options);
		client_close(&client);
	} else {
		cli_fail(&error);
	}
	free(lab);
	return code;
}

int cli_exec(struct cli *cli, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"tty", no_argument, NULL, 't'},
		{"no-stdin", no_argument, NULL, 'n'},
		{"interactive", no_argument, NULL, 'i'},
		{"env", required_argument, NULL, 'e'},
		{NULL, 0, NULL, 0},
	};
	struct exec_options options = {.environment = calloc((size_t)argc, sizeof(char *))};
	int option, code = ERROR_USAGE;

	while ((option = cli_option(cli, argc, argv, "+tnie:", long_options)) != -1) {
		if (option == 't')
			options.wants_terminal = true;
		else if (option == 'n')
			options.no_input = true;
		else if (option == 'e' && strchr(optarg, '='))
			options.environment[options.environment_count++] = optarg;
		else if (option == 'e') {
			cli_usage(cli, "-e takes KEY=VALUE, not \"%s\"", optarg);
			goto out;
		} else if (option == '?')
			goto out;
	}
	if (optind < argc)
		options.node = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	options.argv = argv + optind;
	if (!options.node || optind >= argc)
		cli_usage(cli, options.node ? "no command given" : "no node given");
	else
		code = find_and_run(cli, &options);
out:
	free(options.environment);
	return code;
}
