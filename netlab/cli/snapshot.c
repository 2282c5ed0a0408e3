/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/snapshot_archive.h"
#include "netlab/cli/table.h"
#include "netlab/snapshot.h"

/* netlab snapshot: what is about a running lab is asked of its netlabd; the rest is done here. */

static double number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static int save(const struct cli *cli, const char *name, bool replace)
{
	struct error error = {0};
	char *lab = cli_find_lab(cli, NULL, &error);
	json_t *result = lab ? client_call_once(lab,
						json_pack("{s:s, s:s, s:b}", "command", "save", "name", name, "replace",
							  replace),
						&error) :
			       NULL;
	int code = 0;

	if (!result)
		code = cli_fail(&error);
	else if (cli->json)
		cli_put_json(result);
	else
		printf("Lab %s is saved as %s; it stood still for %.0f ms.\n", lab, name,
		       number(result, "pause") * 1000);
	json_decref(result);
	free(lab);
	return code;
}

static int restore(const struct cli *cli, const char *name)
{
	struct error error = {0};
	char *lab = cli_find_lab(cli, NULL, &error);
	json_t *result =
		lab ? client_call_once(lab, json_pack("{s:s, s:s}", "command", "restore", "name", name), &error) : NULL;
	int code = 0;

	if (!lab && snapshot_name_is_valid(name)) {
		cli_error("no lab is running; \"netlab up --from %s\" starts one from a snapshot", name);
		return ERROR_FAILED;
	}
	if (!result)
		code = cli_fail(&error);
	else if (cli->json)
		cli_put_json(result);
	else
		printf("Lab %s is what it was when %s was saved, after %.0f ms.\n%s", lab, name,
		       number(result, "seconds") * 1000,
		       json_is_true(json_object_get(result, "nat_reset")) ?
			       "Its connections to the outside, through NAT, are not: they are reset.\n" :
			       "");
	json_decref(result);
	free(lab);
	return code;
}

static void put_table(const json_t *snapshots)
{
	static const char *const heads[] = {"LAB", "SNAPSHOT", "SAVED", "NODES", "ON DISK"};
	struct table table = {.columns = 5, .right = 1u << 3 | 1u << 4};
	char size[32], saved[32];

	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(snapshots); i++) {
		const json_t *snapshot = json_array_get(snapshots, i);
		time_t time = json_integer_value(json_object_get(snapshot, "saved"));
		struct tm local;

		/* Of one that came from elsewhere it may be any number, and some are in no year. */
		if (!localtime_r(&time, &local) || !strftime(saved, sizeof(saved), "%Y-%m-%d %H:%M:%S", &local))
			strcpy(saved, "?");
		table_add(&table, "%s", cli_string(snapshot, "lab"));
		table_add(&table, "%s", cli_string(snapshot, "name"));
		table_add(&table, "%s", saved);
		table_add(&table, "%.0f", number(snapshot, "nodes"));
		table_add(&table, "%s", cli_size((json_int_t)number(snapshot, "size"), size));
	}
	table_print(&table, stdout, 0);
}

static int list(const struct cli *cli)
{
	json_t *snapshots = snapshot_list(cli->lab);

	if (cli->json)
		cli_put_json(snapshots);
	else if (json_array_size(snapshots) == 0)
		puts("There is no snapshot. \"netlab snapshot save NAME\" makes one of a running lab.");
	else
		put_table(snapshots);
	json_decref(snapshots);
	return 0;
}

/* The lab of a snapshot that need not run: --lab, or the only one that has one of this name. */
static char *lab_of(const struct cli *cli, const char *name, struct error *error)
{
	return cli->lab ? allocate_copy(cli->lab) : snapshot_find_lab(name, error);
}

static int delete (const struct cli *cli, const char *name)
{
	struct error error = {0};
	char *lab = lab_of(cli, name, &error);
	int result = lab ? snapshot_delete(lab, name, &error) : -1;

	free(lab);
	return result < 0 ? cli_fail(&error) : 0;
}

int cli_snapshot(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"replace", no_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	bool replace = false;
	const char *what, *first, *second;
	int option, left;

	while ((option = cli_option(cli, argc, argv, "", options)) != -1) {
		if (option != 'r')
			return ERROR_USAGE;
		replace = true;
	}
	what = optind < argc ? argv[optind] : "";
	left = argc - optind - 1;
	first = left > 0 ? argv[optind + 1] : NULL;
	second = left > 1 ? argv[optind + 2] : NULL;
	if (left == 1 && !strcmp(what, "save"))
		return save(cli, first, replace);
	if (left == 1 && !strcmp(what, "restore"))
		return restore(cli, first);
	if (left == 0 && !strcmp(what, "list"))
		return list(cli);
	if (left == 1 && !strcmp(what, "delete"))
		return delete (cli, first);
	if (left == 2 && !strcmp(what, "export"))
		return snapshot_archive_export(cli, first, second, replace);
	if ((left == 1 || left == 2) && !strcmp(what, "import"))
		return snapshot_archive_import(cli, first, second, replace);
	return cli_usage(cli, "\"save NAME\", \"restore NAME\", \"list\", \"delete NAME\", \"export NAME FILE\" or "
			      "\"import FILE [NAME]\" is needed");
}
