/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/runtime.h"

/* netlab down: stops labs. */

#define GONE_SECONDS 15

static int take_down(const char *lab, struct error *error)
{
	struct client client;
	json_t *answer;

	if (client_connect(&client, lab, error) < 0)
		return -EIO;
	answer = client_call(&client, json_pack("{s:s}", "command", "down"), error);
	client_close(&client);
	json_decref(answer);
	if (!answer)
		return -EIO;
	/* The answer comes when all is stopped; netlabd then cleans up and ends. */
	if (!runtime_wait_gone(lab, GONE_SECONDS))
		return error_set(
			error, ERROR_FAILED, ETIMEDOUT,
			"lab %s has stopped, but its netlabd has not ended; \"netlab list\" shows whether it still runs",
			lab);
	return 0;
}

static int take_down_and_tell(const struct cli *cli, const char *lab)
{
	struct error error = {0};

	if (take_down(lab, &error) < 0)
		return cli_fail(&error);
	if (!cli->json)
		printf("Lab %s is down.\n", lab);
	return 0;
}

static int take_down_all(const struct cli *cli)
{
	struct error error = {0};
	int code = 0;
	size_t count;
	char **labs;

	if (cli_running_labs(&labs, &count, true, &error) < 0)
		return cli_fail(&error);
	for (size_t i = 0; i < count; i++) {
		int result = take_down_and_tell(cli, labs[i]);

		code = code ? code : result;
	}
	if (!count && !cli->json)
		puts("No lab is running.");
	cli_free_labs(labs, count);
	return code;
}

int cli_down(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
	struct error error = {0};
	bool all = false;
	int option, code;
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
	code = take_down_and_tell(cli, lab);
	if (cli->json && !code) {
		json_t *answer = json_pack("{s:s, s:s}", "lab", lab, "state", "down");

		cli_put_json(answer);
		json_decref(answer);
	}
	free(lab);
	return code;
}
