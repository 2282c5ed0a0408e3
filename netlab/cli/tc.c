/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/link_table.h"
#include "netlab/cli/table.h"

/* netlab tc: what frames meet on links, and what became of them. */

struct tc_command {
	const char *action, *port;
	const char *side; /* "tx", "rx", or (NULL) both. */
	json_t *impair;   /* For "set". */
};

static long long integer(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* "to-bad:1%,to-good:20%", as an object. */
static json_t *read_pairs(const char *text)
{
	json_t *pairs = json_object();
	char *copy = strdup(text), *rest = copy, *pair;

	while (copy && (pair = strsep(&rest, ","))) {
		char *colon = strchr(pair, ':');

		if (!colon) {
			json_decref(pairs);
			pairs = NULL;
			break;
		}
		*colon = '\0';
		json_object_set_new(pairs, pair, json_string(colon + 1));
	}
	free(copy);
	return pairs;
}

static int add_setting(const struct cli *cli, json_t *impair, const char *setting)
{
	const char *equals = strchr(setting, '=');
	json_t *value;
	char *key;

	if (!equals || equals == setting || !equals[1])
		return cli_usage(cli, "\"%s\" is no KEY=VALUE, such as delay=20ms", setting);
	key = strndup(setting, (size_t)(equals - setting));
	value = key && !strcmp(key, "gilbert-elliott") && strchr(equals, ':') ? read_pairs(equals + 1) :
										json_string(equals + 1);
	if (!key || !value || json_object_get(impair, key)) {
		json_decref(value);
		free(key);
		return cli_usage(cli, "\"%s\" has no value that makes sense, or its key is there twice", setting);
	}
	json_object_set_new(impair, key, value);
	free(key);
	return 0;
}

static int read_options(struct cli *cli, int argc, char **argv, struct tc_command *command)
{
	static const struct option options[] = {{"tx", no_argument, NULL, 't'},
						{"rx", no_argument, NULL, 'r'},
						{NULL, 0, NULL, 0}};
	int option;

	while ((option = cli_option(cli, argc, argv, "", options)) != -1) {
		const char *side = option == 't' ? "tx" : "rx";

		if (option != 't' && option != 'r')
			return ERROR_USAGE;
		if (command->side && strcmp(command->side, side) != 0)
			return cli_usage(cli,
					 "--tx and --rx do not go together: without either, both directions are meant");
		command->side = side;
	}
	return 0;
}

static int read_command(struct cli *cli, int argc, char **argv, struct tc_command *command)
{
	int at = optind, code = 0;

	command->action = at < argc ? argv[at++] : "show";
	command->port = at < argc ? argv[at++] : NULL;
	if (!strcmp(command->action, "show")) {
		if (at < argc)
			return cli_usage(cli, "one port at a time");
		return command->side && !command->port ? cli_usage(cli, "--tx and --rx need a port") : 0;
	}
	if (strcmp(command->action, "set") != 0 && strcmp(command->action, "clear") != 0 &&
	    strcmp(command->action, "reset") != 0)
		return cli_usage(cli, "\"%s\" is neither show nor set nor clear nor reset", command->action);
	if (!command->port)
		return cli_usage(cli, "%s needs a port", command->action);
	if (!strcmp(command->action, "set") != (at < argc))
		return cli_usage(cli, at < argc ? "%s takes a port and nothing else" : "%s needs a KEY=VALUE",
				 command->action);
	command->impair = json_object();
	while (code == 0 && at < argc)
		code = add_setting(cli, command->impair, argv[at++]);
	return code;
}

static json_t *make_request(const struct tc_command *command)
{
	json_t *request = json_pack("{s:s, s:s*, s:s*}", "command", "tc", "port", command->port, "side", command->side);

	if (!strcmp(command->action, "set"))
		json_object_set(request, "impair", command->impair);
	else if (strcmp(command->action, "show") != 0)
		json_object_set_new(request, command->action, json_true());
	return request;
}

/* Milliseconds that frames came out later than they were to, on average and at most. */
static void add_lateness(struct table *table, const json_t *wire)
{
	double out = (double)(integer(wire, "arrived") > 0 ? integer(wire, "arrived") : 1);

	table_add(table, "%.3f/%.3f ms", 1e3 * json_number_value(json_object_get(wire, "late_sum")) / out,
		  1e3 * json_number_value(json_object_get(wire, "late_max")));
}

static void add_direction(struct table *table, const json_t *direction)
{
	const json_t *wire = json_object_get(direction, "wire");
	char *text = link_table_describe(direction);

	table_add(table, "%s", cli_string(direction, "from"));
	table_add(table, "%s", cli_string(direction, "to"));
	if (json_is_object(wire)) {
		table_add(table, "%lld", integer(wire, "frames"));
		table_add(table, "%lld", integer(wire, "lost") + integer(wire, "mtu"));
		table_add(table, "%lld",
			  integer(wire, "queue_full") + integer(wire, "early") + integer(wire, "in_flight_full"));
		table_add(table, "%lld", integer(wire, "arrived"));
		table_add(table, "%lld", integer(wire, "duplicated"));
		table_add(table, "%lld", integer(wire, "corrupted"));
		table_add(table, "%lld", integer(wire, "overtaking"));
		table_add(table, "%lld", integer(wire, "waiting") + integer(wire, "in_flight"));
		add_lateness(table, wire);
	}
	for (size_t i = json_is_object(wire) ? 9 : 0; i < 9; i++)
		table_add(table, "-");
	table_add(table, "%s%s", text ? text : "?", json_is_true(json_object_get(direction, "by_hand")) ? " *" : "");
	free(text);
}

static void put_table(const struct tc_command *command, const json_t *links)
{
	static const char *const heads[] = {"FROM",       "TO",        "FRAMES",    "LOST",    "QUEUE", "DELAYED",
					    "DUPLICATED", "CORRUPTED", "REORDERED", "WAITING", "LATE",  "IMPAIRMENT"};
	struct table table = {.columns = sizeof(heads) / sizeof(heads[0]), .right = 0x7fc};
	bool is_by_hand = false;

	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < 2 * json_array_size(links); i++) {
		const json_t *link = json_array_get(links, i / 2);
		const json_t *direction = json_array_get(json_object_get(link, "directions"), i % 2);

		if (!link_table_is_meant(direction, command->port ? command->port : "", command->side))
			continue;
		is_by_hand |= json_is_true(json_object_get(direction, "by_hand"));
		add_direction(&table, direction);
	}
	table_print(&table, stdout, 0);
	if (is_by_hand)
		puts("\n* set by hand: \"netlab tc reset PORT\" makes it what the topology says");
}

static void put_warnings(const json_t *direction)
{
	const json_t *warnings = json_object_get(direction, "warnings");

	for (size_t i = 0; i < json_array_size(warnings); i++)
		fprintf(stderr, "netlab: warning: from %s to %s: %s\n", cli_string(direction, "from"),
			cli_string(direction, "to"), json_string_value(json_array_get(warnings, i)));
}

static void put_change(const struct tc_command *command, const json_t *link)
{
	const json_t *directions = json_object_get(link, "directions");

	for (size_t i = 0; i < json_array_size(directions); i++) {
		const json_t *direction = json_array_get(directions, i);

		if (!link_table_is_meant(direction, command->port, command->side))
			continue;
		printf("from %s to %s: %s\n", cli_string(direction, "from"), cli_string(direction, "to"),
		       cli_string(direction, "text"));
		put_warnings(direction);
	}
}

static void show(const struct cli *cli, const struct tc_command *command, const json_t *result)
{
	const json_t *links = json_object_get(result, "links");

	if (cli->json && command->port)
		cli_put_json(json_array_get(links, 0));
	else if (cli->json)
		cli_put_json(links);
	else if (strcmp(command->action, "show") != 0)
		put_change(command, json_array_get(links, 0));
	else if (json_array_size(links) > 0)
		put_table(command, links);
	else
		puts("The lab has no links.");
}

static int run(const struct cli *cli, const struct tc_command *command)
{
	struct error error = {0};
	char *lab = cli_find_lab(cli, NULL, &error);
	json_t *result = lab ? client_call_once(lab, make_request(command), &error) : NULL;

	free(lab);
	if (!result)
		return cli_fail(&error);
	show(cli, command, result);
	json_decref(result);
	return 0;
}

int cli_tc(struct cli *cli, int argc, char **argv)
{
	struct tc_command command = {.action = "show"};
	int code = read_options(cli, argc, argv, &command);

	if (code == 0)
		code = read_command(cli, argc, argv, &command);
	if (code == 0)
		code = run(cli, &command);
	json_decref(command.impair);
	return code;
}
