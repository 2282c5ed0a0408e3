/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/table.h"

/* netlab forward: ports of this machine that lead to a guest. */

static void add_row(struct table *table, const char *network, const json_t *forward)
{
	table_add(table, "%s", network);
	table_add(table, "%s", cli_string(forward, "protocol"));
	table_add(table, "%s:%lld", cli_string(forward, "host_address"),
		  (long long)json_integer_value(json_object_get(forward, "host_port")));
	table_add(table, "%s:%lld", cli_string(forward, "guest_address"),
		  (long long)json_integer_value(json_object_get(forward, "guest_port")));
}

static void put_table(const json_t *networks)
{
	static const char *const heads[] = {"NETWORK", "PROTOCOL", "HOST", "GUEST"};
	struct table table = {.columns = 4};
	size_t count = 0;

	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(networks); i++) {
		const json_t *network = json_array_get(networks, i);
		const json_t *forwards = json_object_get(network, "forwards");

		for (size_t j = 0; j < json_array_size(forwards); j++, count++)
			add_row(&table, cli_string(network, "name"), json_array_get(forwards, j));
	}
	if (count == 0)
		puts("Nothing is forwarded. \"netlab forward add tcp:2222:NODE:22\" has port 2222 lead to a node.");
	else
		table_print(&table, stdout, 0);
}

/* An array of all forwards, each with its network's name. */
static json_t *make_list(const json_t *networks)
{
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(networks); i++) {
		const json_t *network = json_array_get(networks, i);
		const json_t *forwards = json_object_get(network, "forwards");

		for (size_t j = 0; j < json_array_size(forwards); j++) {
			json_t *item = json_pack("{s:O}", "network", json_object_get(network, "name"));

			json_object_update(item, json_array_get(forwards, j));
			json_array_append_new(list, item);
		}
	}
	return list;
}

static int list(const struct cli *cli, const char *lab)
{
	struct error error = {0};
	json_t *status = client_call_once(lab, json_pack("{s:s}", "command", "status"), &error), *forwards;

	if (!status)
		return cli_fail(&error);
	forwards = make_list(json_object_get(status, "networks"));
	if (cli->json)
		cli_put_json(forwards);
	else
		put_table(json_object_get(status, "networks"));
	json_decref(forwards);
	json_decref(status);
	return 0;
}

int cli_forward(struct cli *cli, int argc, char **argv)
{
	struct error error = {0};
	const char *what, *forward;
	char *lab;
	int code;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	what = optind < argc ? argv[optind] : "";
	forward = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (argc - optind > 2 || (strcmp(what, "list") && strcmp(what, "add") && strcmp(what, "remove")))
		return cli_usage(cli, "add, remove or list");
	if (!strcmp(what, "list") ? forward != NULL : !forward)
		return cli_usage(cli, "add and remove need a forward, such as tcp:127.0.0.1:2222:r1:22");
	lab = cli_find_lab(cli, NULL, &error);
	if (!lab)
		return cli_fail(&error);
	if (!forward)
		code = list(cli, lab);
	else
		code = client_do(cli, lab,
				 json_pack("{s:s, s:s}", "command",
					   !strcmp(what, "add") ? "add-forward" : "remove-forward", "forward",
					   forward));
	free(lab);
	return code;
}
