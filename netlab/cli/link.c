/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/link_table.h"
#include "netlab/topology_units.h"

/* netlab link: the carrier of links, and cuts of one direction. */

#define FLAPS_MAX 1000000

struct link_command {
	const char *port, *action; /* NULL: all are shown, ... */
	const char *side;          /* ... "tx", "rx", or both. */
	bool has_flap_options;
	long count;
	double down, up; /* Seconds. */
};

static int set_time(const struct cli *cli, const char *name, const char *text, double *seconds)
{
	uint64_t nanoseconds = 0;
	const char *problem = topology_parse_time(text, &nanoseconds);

	if (problem)
		return cli_usage(cli, "%s \"%s\" %s", name, text, problem);
	*seconds = (double)nanoseconds / 1e9;
	return 0;
}

static int set_count(const struct cli *cli, const char *text, long *count)
{
	char *end;

	*count = strtol(text, &end, 10);
	if (*end || end == text || *count < 1 || *count > FLAPS_MAX)
		return cli_usage(cli, "--count takes a number from 1 to %d, not \"%s\"", FLAPS_MAX, text);
	return 0;
}

static int set_side(const struct cli *cli, const char *side, const char **to)
{
	if (*to && strcmp(*to, side) != 0)
		return cli_usage(cli, "--tx and --rx do not go together: without either, both directions are meant");
	*to = side;
	return 0;
}

static int read_options(struct cli *cli, int argc, char **argv, struct link_command *command)
{
	static const struct option options[] = {
		{"tx", no_argument, NULL, 't'},          {"rx", no_argument, NULL, 'r'},
		{"count", required_argument, NULL, 'n'}, {"down", required_argument, NULL, 'd'},
		{"up", required_argument, NULL, 'u'},    {NULL, 0, NULL, 0},
	};
	int option, code = 0;

	while (code == 0 && (option = cli_option(cli, argc, argv, "n:", options)) != -1) {
		command->has_flap_options |= option == 'n' || option == 'd' || option == 'u';
		if (option == 't' || option == 'r')
			code = set_side(cli, option == 't' ? "tx" : "rx", &command->side);
		else if (option == 'n')
			code = set_count(cli, optarg, &command->count);
		else if (option == 'd')
			code = set_time(cli, "--down", optarg, &command->down);
		else if (option == 'u')
			code = set_time(cli, "--up", optarg, &command->up);
		else
			code = ERROR_USAGE;
	}
	return code;
}

static int check(const struct cli *cli, const struct link_command *command)
{
	bool is_flap = command->action && !strcmp(command->action, "flap");

	if (command->action && !is_flap && strcmp(command->action, "up") != 0 && strcmp(command->action, "down") != 0)
		return cli_usage(cli, "\"%s\" is neither up nor down nor flap", command->action);
	if (command->has_flap_options && !is_flap)
		return cli_usage(cli, "--count, --down and --up go with flap");
	if (command->side && (!command->action || is_flap))
		return cli_usage(cli, "--tx and --rx go with up and down");
	return 0;
}

/* What became of the link. */
static void put_change(const struct link_command *command, const json_t *link)
{
	const json_t *ends = json_object_get(link, "ends"), *directions = json_object_get(link, "directions");

	if (!command->side)
		printf("%s - %s is %s\n", json_string_value(json_array_get(ends, 0)),
		       json_string_value(json_array_get(ends, 1)),
		       json_is_true(json_object_get(link, "carrier")) ? "up" : "down");
	for (size_t i = 0; command->side && i < json_array_size(directions); i++) {
		const json_t *direction = json_array_get(directions, i);

		if (link_table_is_meant(direction, command->port, command->side))
			printf("from %s to %s is %s\n", cli_string(direction, "from"), cli_string(direction, "to"),
			       json_is_true(json_object_get(direction, "cut")) ? "cut" : "not cut");
	}
}

static int show(const struct cli *cli, const struct link_command *command, const json_t *result)
{
	const json_t *links = json_object_get(result, "links");

	if (cli->json && command->port)
		cli_put_json(json_array_get(links, 0));
	else if (cli->json)
		cli_put_json(links);
	else if (command->action)
		put_change(command, json_array_get(links, 0));
	else if (json_array_size(links) > 0)
		link_table_put(links);
	else
		puts("The lab has no links.");
	return 0;
}

static int ask(const struct cli *cli, const char *lab, const struct link_command *command)
{
	struct error error = {0};
	json_t *request = json_pack("{s:s, s:s*, s:s*, s:s*}", "command", "link", "port", command->port, "state",
				    command->action, "side", command->side);
	json_t *result = client_call_once(lab, request, &error);
	int code;

	if (!result)
		return cli_fail(&error);
	code = show(cli, command, result);
	json_decref(result);
	return code;
}

/* Flapping. */

static void put_event(const struct link_command *command, const json_t *message)
{
	const char *event = cli_string(message, "event");

	if (strcmp(event, "up") != 0 && strcmp(event, "down") != 0)
		return;
	printf("%s %s (%lld of %ld)\n", command->port, event,
	       (long long)json_integer_value(json_object_get(message, "number")), command->count);
	fflush(stdout);
}

static int wait_for_end(const struct cli *cli, struct client *client, const struct link_command *command)
{
	struct error error = {0};
	json_t *message;
	int code = 0;

	while ((message = client_wait(client, -1)) && json_object_get(message, "event")) {
		if (!cli->json)
			put_event(command, message);
		json_decref(message);
	}
	if (!json_object_get(message, "result")) {
		client_set_error(client, message, &error);
		code = cli_fail(&error);
	} else if (cli->json) {
		cli_put_json(json_object_get(message, "result"));
	}
	json_decref(message);
	return code;
}

/* When this program ends, by Ctrl-C too, its connection does, and with that the flapping. */
static int flap(const struct cli *cli, const char *lab, const struct link_command *command)
{
	struct error error = {0};
	struct client client;
	int code;

	if (client_open(&client, lab, &error) < 0)
		return cli_fail(&error);
	client_send(&client, json_pack("{s:s, s:I, s:s, s:I, s:f, s:f}", "command", "flap", "id",
				       client_new_id(&client), "port", command->port, "count",
				       (json_int_t)command->count, "down", command->down, "up", command->up));
	code = wait_for_end(cli, &client, command);
	client_close(&client);
	return code;
}

int cli_link(struct cli *cli, int argc, char **argv)
{
	struct link_command command = {.count = 1, .down = 1, .up = 1};
	struct error error = {0};
	char *lab;
	int code = read_options(cli, argc, argv, &command);

	if (code)
		return code;
	if (argc - optind > 2)
		return cli_usage(cli, "a port, and up, down or flap");
	command.port = argv[optind];
	command.action = command.port ? argv[optind + 1] : NULL;
	code = check(cli, &command);
	if (code)
		return code;
	lab = cli_find_lab(cli, NULL, &error);
	if (!lab)
		return cli_fail(&error);
	if (command.action && !strcmp(command.action, "flap"))
		code = flap(cli, lab, &command);
	else
		code = ask(cli, lab, &command);
	free(lab);
	return code;
}
