/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "netlab/cli/cli.h"
#include "netlab/topology.h"

/* netlab check: reads a topology and starts nothing. */

static void put_summary(const struct cli *cli, const struct topology *topology)
{
	char tests[32] = "";
	json_t *summary;

	if (topology->test_count)
		snprintf(tests, sizeof(tests), ", %zu test%s", topology->test_count,
			 topology->test_count == 1 ? "" : "s");
	if (!cli->json) {
		printf("%s: lab %s, %zu node%s, %zu network%s, %zu link%s%s: good\n", topology->path, topology->name,
		       topology->node_count, topology->node_count == 1 ? "" : "s", topology->network_count,
		       topology->network_count == 1 ? "" : "s", topology->link_count,
		       topology->link_count == 1 ? "" : "s", tests);
		return;
	}
	summary = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "lab", topology->name, "topology", topology->path,
			    "nodes", (json_int_t)topology->node_count, "networks", (json_int_t)topology->network_count,
			    "links", (json_int_t)topology->link_count, "tests", (json_int_t)topology->test_count);
	cli_put_json(summary);
	json_decref(summary);
}

int cli_check(struct cli *cli, int argc, char **argv)
{
	struct error error = {0};
	struct topology *topology;
	char *path;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind > 1)
		return cli_usage(cli, "one file at a time");
	path = cli_find_topology(argv[optind], &error);
	if (!path)
		return cli_fail(&error);
	topology = topology_read(path, NULL, stderr);
	free(path);
	if (!topology)
		return ERROR_USAGE;
	put_summary(cli, topology);
	topology_free(topology);
	return 0;
}
