/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/table.h"

/* netlab switch: the ports of networks and what they ask, and which stations are behind them. */

static long long integer(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void add_word(FILE *to, const char *before, const char *word)
{
	fprintf(to, "%s%s%s", ftell(to) > 0 ? ", " : "", before, word);
}

/* "isolated, guard arp": to be freed. */
static char *describe_rules(const json_t *port)
{
	const json_t *guard = json_object_get(port, "guard"), *mirror = json_object_get(port, "mirror");
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	if (json_is_true(json_object_get(port, "isolated")))
		add_word(to, "isolated", "");
	if (integer(port, "storm") > 0)
		fprintf(to, "%sstorm %lldpps", ftell(to) > 0 ? ", " : "", integer(port, "storm"));
	if (json_array_size(guard) > 0)
		add_word(to, "guard", "");
	for (size_t i = 0; i < json_array_size(guard); i++)
		fprintf(to, " %s", json_string_value(json_array_get(guard, i)));
	for (size_t i = 0; i < json_array_size(mirror); i++)
		add_word(to, "mirror of ", json_string_value(json_array_get(mirror, i)));
	fclose(to);
	return text;
}

static void add_port(struct table *table, const json_t *port)
{
	char *rules = describe_rules(port), *drops = cli_describe_drops(json_object_get(port, "drops"));
	const char *trunk = cli_string(port, "trunk");

	table_add(table, "%s", cli_string(port, "name"));
	table_add(table, "%s", json_is_true(json_object_get(port, "up")) ? "up" : "down");
	if (json_is_integer(json_object_get(port, "vlan")))
		table_add(table, "%lld", integer(port, "vlan"));
	else
		table_add(table, "-");
	table_add(table, "%s", *trunk ? trunk : "-");
	table_add(table, "%s", rules && *rules ? rules : "-");
	table_add(table, "%lld", integer(port, "tx_frames"));
	table_add(table, "%lld", integer(port, "rx_frames"));
	table_add(table, "%s", drops ? drops : "");
	free(rules);
	free(drops);
}

static void put_ports(const json_t *ports)
{
	static const char *const heads[] = {"PORT",  "STATE",     "VLAN",      "TRUNK",
					    "RULES", "TX FRAMES", "RX FRAMES", "DROPPED"};
	struct table table = {.columns = sizeof(heads) / sizeof(heads[0]), .right = 0x60};

	if (!json_array_size(ports))
		return;
	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(ports); i++)
		add_port(&table, json_array_get(ports, i));
	table_print(&table, stdout, 2);
}

static void put_stations(const json_t *stations)
{
	static const char *const heads[] = {"VLAN", "MAC", "PORT", "AGE"};
	struct table table = {.columns = sizeof(heads) / sizeof(heads[0]), .right = 0x8};

	if (!json_array_size(stations)) {
		puts("  no addresses have been learnt");
		return;
	}
	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(stations); i++) {
		const json_t *station = json_array_get(stations, i);

		if (json_is_integer(json_object_get(station, "vlan")))
			table_add(&table, "%lld", integer(station, "vlan"));
		else
			table_add(&table, "-");
		table_add(&table, "%s", cli_string(station, "mac"));
		table_add(&table, "%s", cli_string(station, "port"));
		table_add(&table, "%.0f s", json_real_value(json_object_get(station, "age")));
	}
	table_print(&table, stdout, 2);
}

static void put_network(const json_t *network)
{
	bool is_hub = json_is_true(json_object_get(network, "hub"));

	printf("%s: %s%s%s\n", cli_string(network, "name"), cli_string(network, "mode"),
	       json_is_true(json_object_get(network, "vlans")) ? ", VLANs" : "",
	       is_hub                                                     ? ", hub" :
	       !strcmp(cli_string(network, "reserved_addresses"), "pass") ? ", passes reserved addresses" :
									    "");
	put_ports(json_object_get(network, "ports"));
	putchar('\n');
	if (is_hub)
		puts("  a hub learns no addresses");
	else
		put_stations(json_object_get(network, "macs"));
}

static int show(const struct cli *cli, const json_t *result)
{
	const json_t *networks = json_object_get(result, "networks");

	if (cli->json) {
		cli_put_json(networks);
		return 0;
	}
	if (!json_array_size(networks))
		puts("The lab has no networks.");
	for (size_t i = 0; i < json_array_size(networks); i++) {
		if (i > 0)
			putchar('\n');
		put_network(json_array_get(networks, i));
	}
	return 0;
}

static int forgot(const struct cli *cli, const json_t *result)
{
	if (cli->json)
		cli_put_json(result);
	else
		printf("%lld addresses forgotten\n", integer(result, "flushed"));
	return 0;
}

int cli_switch(struct cli *cli, int argc, char **argv)
{
	struct error error = {0};
	const char *network = NULL, *what = "show";
	json_t *request, *result;
	bool is_flush;
	char *lab;
	int code;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind > 2)
		return cli_usage(cli, "a network, and show or flush");
	if (optind < argc &&
	    (argc - optind == 2 || (strcmp(argv[argc - 1], "show") && strcmp(argv[argc - 1], "flush"))))
		network = argv[optind];
	if (optind < argc && (argc - optind == 2 || !network))
		what = argv[argc - 1];
	is_flush = !strcmp(what, "flush");
	if (!is_flush && strcmp(what, "show") != 0)
		return cli_usage(cli, "\"%s\" is neither show nor flush", what);
	lab = cli_find_lab(cli, NULL, &error);
	if (!lab)
		return cli_fail(&error);
	request = json_pack("{s:s}", "command", is_flush ? "flush" : "switch");
	if (network)
		json_object_set_new(request, "network", json_string(network));
	result = client_call_once(lab, request, &error);
	free(lab);
	if (!result)
		return cli_fail(&error);
	code = is_flush ? forgot(cli, result) : show(cli, result);
	json_decref(result);
	return code;
}
