/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"

/* netlab down: stops labs. */

#define END_MILLISECONDS 60000

static bool has_ended(int process)
{
	struct pollfd poll_fd = {.fd = process, .events = POLLIN};

	return poll(&poll_fd, 1, END_MILLISECONDS) > 0;
}

static int take_down(const char *lab, struct error *error)
{
	struct client client;
	json_t *answer;
	int process, result = 0;

	if (client_connect(&client, lab, error) < 0)
		return -EIO;
	process = client_open_process(&client);
	answer = client_call(&client, json_pack("{s:s}", "command", "down"), error);
	client_close(&client);
	json_decref(answer);
	if (!answer)
		result = -EIO;
	/* The answer comes when all is stopped; netlabd then cleans up and ends. */
	else if (process >= 0 && !has_ended(process))
		result = error_set(
			error, ERROR_FAILED, ETIMEDOUT,
			"lab %s has stopped, but its netlabd has not ended; \"netlab list\" shows whether it still runs",
			lab);
	if (process >= 0)
		close(process);
	return result;
}

/* Says it at once, or adds it to 'told'. */
static int take_down_and_tell(const struct cli *cli, const char *lab, json_t *told)
{
	struct error error = {0};

	if (take_down(lab, &error) < 0)
		return cli_fail(&error);
	if (cli->json)
		json_array_append_new(told, json_pack("{s:s, s:s}", "lab", lab, "state", "down"));
	else
		printf("Lab %s is down.\n", lab);
	return 0;
}

static int take_down_all(const struct cli *cli)
{
	struct error error = {0};
	int code = 0;
	json_t *told;
	size_t count;
	char **labs;

	if (cli_running_labs(&labs, &count, true, &error) < 0)
		return cli_fail(&error);
	told = json_array();
	for (size_t i = 0; i < count; i++) {
		int result = take_down_and_tell(cli, labs[i], told);

		code = code ? code : result;
	}
	if (cli->json)
		cli_put_json(told);
	else if (!count)
		puts("No lab is running.");
	json_decref(told);
	cli_free_labs(labs, count);
	return code;
}

int cli_down(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
	struct error error = {0};
	bool all = false;
	int option, code;
	json_t *told;
	char *lab;

	while ((option = cli_option(cli, argc, argv, "", options)) != -1) {
		if (option != 'a')
			return ERROR_USAGE;
		all = true;
	}
	if (argc - optind > (all ? 0 : 1))
		return cli_usage(cli, "too many arguments");
	if (all)
		return take_down_all(cli);
	lab = cli_find_lab(cli, argv[optind], &error);
	if (!lab)
		return cli_fail(&error);
	told = json_array();
	code = take_down_and_tell(cli, lab, told);
	if (json_array_size(told))
		cli_put_json(json_array_get(told, 0));
	json_decref(told);
	free(lab);
	return code;
}
