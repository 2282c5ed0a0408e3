/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"

/* netlab pause, netlab resume: of a node, or of a whole lab. */

/* True if 'name' is a running lab's and no node's of the lab meant otherwise. */
static bool is_lab(const char *name)
{
	struct error error = {0};
	bool found = false;
	size_t count;
	char **labs;

	if (cli_running_labs(&labs, &count, false, &error) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		found = found || !strcmp(labs[i], name);
	cli_free_labs(labs, count);
	return found;
}

static int run(struct cli *cli, const char *command, int argc, char **argv)
{
	struct error error = {0};
	const char *node = NULL, *what;
	char *lab;
	int code;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind > 1)
		return cli_usage(cli, "one node, or one lab");
	what = optind < argc ? argv[optind] : NULL;
	if (what && (cli->lab || !is_lab(what)))
		lab = cli_find_lab_of_node(cli, what, &node, &error);
	else
		lab = cli_find_lab(cli, what, &error);
	code = lab ? client_do(cli, lab, json_pack("{s:s, s:s*}", "command", command, "node", node)) : cli_fail(&error);
	free(lab);
	return code;
}

int cli_pause(struct cli *cli, int argc, char **argv)
{
	return run(cli, "pause", argc, argv);
}

int cli_resume(struct cli *cli, int argc, char **argv)
{
	return run(cli, "resume", argc, argv);
}
