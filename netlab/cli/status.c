/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/link_table.h"
#include "netlab/cli/status.h"
#include "netlab/cli/table.h"

/* netlab status: a lab as its netlabd sees it. */

static long long integer(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static void put_head(const json_t *status)
{
	char text[32];
	const char *captures = cli_string(status, "captures"), *problem = cli_string(status, "capture_error");

	printf("Lab %s, up %s, on %s\n", cli_string(status, "lab"),
	       cli_duration(json_number_value(json_object_get(status, "uptime")), text),
	       cli_string(json_object_get(status, "host"), "backend"));
	printf("Topology: ");
	cli_put_text(stdout, cli_string(status, "topology"));
	printf("\nCaptures: ");
	cli_put_text(stdout, captures[0] ? captures : "none");
	if (problem[0])
		printf("\n          the last frames could not be written: %s; UNCAPTURED counts what is missing",
		       problem);
	printf("\n\n");
}

/* A size that is not known of every node. */
static void add_size(struct table *table, const json_t *node, const char *name)
{
	char text[32];

	table_add(table, "%s", json_object_get(node, name) ? cli_size(integer(node, name), text) : "-");
}

void status_put_nodes(const json_t *nodes)
{
	struct table table = {.columns = 8, .right = 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6};
	static const char *const heads[] = {"NODE", "STATE", "AFTER", "MEMORY", "PRIVATE", "SHARED", "CPUS", "REASON"};
	char seconds[32], memory[32];

	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *node = json_array_get(nodes, i);

		table_add(&table, "%s", cli_string(node, "name"));
		table_add(&table, "%s", cli_string(node, "state"));
		table_add(&table, "%s", cli_duration(json_number_value(json_object_get(node, "seconds")), seconds));
		table_add(&table, "%s", cli_size(integer(node, "memory"), memory));
		add_size(&table, node, "memory_private");
		add_size(&table, node, "memory_shared");
		table_add(&table, "%lld", integer(node, "cpus"));
		table_add(&table, "%s", cli_string(node, "reason"));
	}
	table_print(&table, stdout, 0);
}

void status_put_memory(const json_t *memory)
{
	char private[32], shared[32], netlabd[32], captures[32], in_flight[32];

	if (!memory)
		return;
	printf("\nMemory: %s private to nodes, %s for what they share, %s for netlabd itself, of which %s for captures\n"
	       "        and %s for frames on their way\n",
	       cli_size(integer(memory, "private"), private), cli_size(integer(memory, "shared"), shared),
	       cli_size(integer(memory, "netlabd"), netlabd), cli_size(integer(memory, "captures"), captures),
	       cli_size(integer(memory, "in_flight"), in_flight));
}

char *cli_describe_drops(json_t *drops)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	for (void *at = json_object_iter(drops); at; at = json_object_iter_next(drops, at)) {
		json_int_t count = json_integer_value(json_object_iter_value(at));

		if (count)
			fprintf(stream, "%s%lld %s", ftell(stream) > 0 ? ", " : "", (long long)count,
				json_object_iter_key(at));
	}
	fclose(stream);
	return text;
}

void status_put_ports(const json_t *ports)
{
	static const char *const heads[] = {"PORT",     "TX FRAMES", "TX BYTES",   "RX FRAMES",
					    "RX BYTES", "FILTERED",  "UNCAPTURED", "DROPPED"};
	const size_t columns = sizeof(heads) / sizeof(heads[0]);
	struct table table = {.columns = columns, .right = 0x7e};

	if (!json_array_size(ports))
		return;
	for (size_t i = 0; i < columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		char *drops = cli_describe_drops(json_object_get(port, "drops"));

		table_add(&table, "%s", cli_string(port, "name"));
		table_add(&table, "%lld", integer(port, "tx_frames"));
		table_add(&table, "%lld", integer(port, "tx_bytes"));
		table_add(&table, "%lld", integer(port, "rx_frames"));
		table_add(&table, "%lld", integer(port, "rx_bytes"));
		table_add(&table, "%lld", integer(port, "rx_filtered"));
		table_add(&table, "%lld", integer(port, "capture_lost"));
		table_add(&table, "%s", drops ? drops : "");
		free(drops);
	}
	putchar('\n');
	table_print(&table, stdout, 0);
}

void status_put_attachments(const json_t *attachments)
{
	static const char *const heads[] = {"ATTACHMENT", "STATE", "LINK", "TO"};
	const size_t columns = sizeof(heads) / sizeof(heads[0]);
	struct table table = {.columns = columns};

	if (!json_array_size(attachments))
		return;
	for (size_t i = 0; i < columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(attachments); i++) {
		const json_t *attachment = json_array_get(attachments, i);
		const char *detail = cli_string(attachment, "detail");

		table_add(&table, "%s", cli_string(attachment, "name"));
		table_add(&table, "%s%s%s", cli_string(attachment, "state"), detail[0] ? " " : "", detail);
		table_add(&table, "%s", cli_string(attachment, "link"));
		table_add(&table, "%s", cli_string(attachment, "target"));
	}
	putchar('\n');
	table_print(&table, stdout, 0);
}

/* Those that are not as a cable is. */
static void put_links(const json_t *links)
{
	if (json_array_size(links) == 0)
		return;
	puts("\nLinks that are down, cut or impaired:");
	link_table_put(links);
}

static void put_registers(json_t *registers)
{
	struct table table = {.columns = 4};

	for (void *at = json_object_iter(registers); at; at = json_object_iter_next(registers, at))
		table_add(&table, "%-7s %s", json_object_iter_key(at), json_string_value(json_object_iter_value(at)));
	while (table.count % table.columns)
		table_add(&table, "%s", "");
	table_print(&table, stdout, 2);
}

/* What went wrong, in full. */
static void put_troubles(const json_t *nodes)
{
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *node = json_array_get(nodes, i);
		json_t *registers = json_object_get(node, "registers");

		if (registers) {
			printf("\nRegisters of %s when it crashed:\n", cli_string(node, "name"));
			put_registers(registers);
		}
		for (size_t j = 0; j < json_array_size(json_object_get(node, "devices")); j++) {
			const json_t *device = json_array_get(json_object_get(node, "devices"), j);

			if (!json_is_true(json_object_get(device, "quarantined")))
				continue;
			printf("\n%s: %s is quarantined: ", cli_string(node, "name"), cli_string(device, "name"));
			cli_put_text(stdout, cli_string(device, "reason"));
			putchar('\n');
		}
	}
}

int status_ask(struct cli *cli, int argc, char **argv, json_t **status)
{
	struct error error = {0};
	char *lab;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind > 1)
		return cli_usage(cli, "one lab at a time");
	*status = NULL;
	lab = cli_find_lab(cli, argv[optind], &error);
	if (lab)
		*status = client_call_once(lab, json_pack("{s:s, s:b}", "command", "status", "memory", 1), &error);
	free(lab);
	return *status ? 0 : cli_fail(&error);
}

int cli_status(struct cli *cli, int argc, char **argv)
{
	json_t *status = NULL;
	int code = status_ask(cli, argc, argv, &status);

	if (code)
		return code;
	if (cli->json) {
		cli_put_json(status);
	} else {
		put_head(status);
		status_put_nodes(json_object_get(status, "nodes"));
		status_put_memory(json_object_get(status, "memory"));
		status_put_ports(json_object_get(status, "ports"));
		status_put_attachments(json_object_get(status, "attachments"));
		put_links(json_object_get(status, "links"));
		put_troubles(json_object_get(status, "nodes"));
	}
	json_decref(status);
	return 0;
}
