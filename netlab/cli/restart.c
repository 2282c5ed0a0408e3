/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/log_tail.h"
#include "netlab/cli/progress.h"

/* netlab restart: a new machine for a node. */

#define TIMEOUT_SECONDS 300
#define LOG_LINES 10

static int judge(struct client *client, const struct progress *progress, enum progress_end end, struct error *error)
{
	const struct progress_node *node = progress->count ? &progress->nodes[0] : NULL;

	if (end == PROGRESS_LOST)
		return cli_fail(error);
	if (end == PROGRESS_TIMEOUT) {
		cli_error("%s is still %s; \"netlab logs -f %s\" shows what it is at", progress->only,
			  node ? node->state : "not created", progress->only);
		return ERROR_FAILED;
	}
	if (node && !progress_node_failed(node))
		return 0;
	cli_error("%s %s: %s", progress->only, node ? node->state : "did not start",
		  node && node->reason[0] ? node->reason : "it did not say why");
	log_tail_print(client, progress->only, LOG_LINES);
	return ERROR_FAILED;
}

static int run(const struct cli *cli, struct client *client, const char *node, long timeout)
{
	struct progress progress = {.only = node, .quiet = cli->json};
	long long deadline = timeout ? cli_milliseconds() + timeout * 1000 : 0;
	struct error error = {0};
	json_int_t id;
	int code;

	progress_begin(&progress, client);
	/* Not client_call(): that would pass over the events that come before the answer. */
	id = client_new_id(client);
	client_send(client, json_pack("{s:I, s:s, s:s}", "id", id, "command", "restart", "node", node));
	progress.request = id;
	code = judge(client, &progress, progress_wait(&progress, client, -1, deadline, &error), &error);
	if (cli->json && !code) {
		json_t *answer = json_pack("{s:s, s:s, s:f}", "node", node, "state", progress.nodes[0].state, "seconds",
					   progress.nodes[0].seconds);

		cli_put_json(answer);
		json_decref(answer);
	}
	progress_free(&progress);
	return code;
}

int cli_restart(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"timeout", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
	long timeout = TIMEOUT_SECONDS;
	struct error error = {0};
	struct client client;
	const char *node;
	char *lab, *end;
	int option, code;

	while ((option = cli_option(cli, argc, argv, "", options)) != -1) {
		if (option != 't')
			return ERROR_USAGE;
		timeout = strtol(optarg, &end, 10);
		if (*end || end == optarg || timeout < 0 || timeout > 1000000)
			return cli_usage(cli, "--timeout takes seconds, not \"%s\"", optarg);
	}
	if (argc - optind != 1)
		return cli_usage(cli, "one node is needed");
	lab = cli_find_lab_of_node(cli, argv[optind], &node, &error);
	if (lab && client_open(&client, lab, &error) == 0) {
		code = run(cli, &client, node, timeout);
		client_close(&client);
	} else {
		code = cli_fail(&error);
	}
	free(lab);
	return code;
}
