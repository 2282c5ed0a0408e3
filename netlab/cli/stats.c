/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/cli.h"
#include "netlab/cli/status.h"
#include "netlab/cli/table.h"
#include "netlab/prometheus.h"

/* netlab stats: what a lab counts, for people and for programs that collect it. */

/* Only the members that are named, of each object of a list. */
static json_t *members_of(const json_t *list, const char *const members[])
{
	json_t *objects = json_array();

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *object = json_object();

		for (size_t j = 0; members[j]; j++) {
			json_t *value = json_object_get(json_array_get(list, i), members[j]);

			if (value)
				json_object_set(object, members[j], value);
		}
		json_array_append_new(objects, object);
	}
	return objects;
}

static void put_json(const json_t *status)
{
	static const char *const of_node[] = {"name", "state", "memory", "memory_private", "memory_shared", NULL};
	static const char *const of_network[] = {"name", "macs", NULL};
	static const char *const of_attachment[] = {"name", "state", "queued", NULL};
	static const char *const of_port[] = {"name",    "tx_frames",   "tx_bytes", "rx_frames",    "rx_bytes",
					      "rx_ring", "rx_filtered", "drops",    "capture_lost", NULL};
	json_t *stats = json_pack("{s:O?, s:O?, s:o, s:o, s:o, s:o}", "lab", json_object_get(status, "lab"), "uptime",
				  json_object_get(status, "uptime"), "nodes",
				  members_of(json_object_get(status, "nodes"), of_node), "networks",
				  members_of(json_object_get(status, "networks"), of_network), "attachments",
				  members_of(json_object_get(status, "attachments"), of_attachment), "ports",
				  members_of(json_object_get(status, "ports"), of_port));

	cli_put_json(stats);
	json_decref(stats);
}

static void put_networks(const json_t *networks)
{
	struct table table = {.columns = 3, .right = 1u << 2};

	if (!json_array_size(networks))
		return;
	table_add(&table, "NETWORK");
	table_add(&table, "MODE");
	table_add(&table, "MACS");
	for (size_t i = 0; i < json_array_size(networks); i++) {
		const json_t *network = json_array_get(networks, i);

		table_add(&table, "%s", cli_string(network, "name"));
		table_add(&table, "%s", cli_string(network, "mode"));
		table_add(&table, "%lld", (long long)json_integer_value(json_object_get(network, "macs")));
	}
	putchar('\n');
	table_print(&table, stdout, 0);
}

static void put_text(const json_t *status)
{
	char text[32];

	printf("Lab %s, up %s\n\n", cli_string(status, "lab"),
	       cli_duration(json_number_value(json_object_get(status, "uptime")), text));
	status_put_nodes(json_object_get(status, "nodes"));
	status_put_memory(json_object_get(status, "memory"));
	status_put_ports(json_object_get(status, "ports"));
	put_networks(json_object_get(status, "networks"));
	status_put_attachments(json_object_get(status, "attachments"));
}

int cli_stats(struct cli *cli, int argc, char **argv)
{
	json_t *status;
	int code = status_ask(cli, argc, argv, &status);

	if (code)
		return code;
	if (cli->json)
		put_json(status);
	else if (cli->other_format)
		prometheus_write(stdout, status);
	else
		put_text(status);
	json_decref(status);
	return 0;
}
