/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/client.h"
#include "netlab/cli/drop_legend.h"
#include "netlab/cli/table.h"
#include "netlab/cli/trace.h"
#include "netlab/drop_meaning.h"
#include "netlab/frame_index.h"
#include "netlab/json_text.h"

/* netlab drops: which frames died, by port and reason.  Of a capture they are counted here; what the lab has counted
 * since it began, it says itself. */

/* Ports and reasons that differ; a lab has fewer. */
#define KINDS_MAX 65536

struct drops {
	const struct cli *cli;
	struct trace_source source;
	bool has_capture; /* -r or --since */
	char **names;     /* Of ports and nodes; all if there are none. */
	size_t name_count;
	bool *is_seen;  /* Whether there is such a port, for each name. */
	json_t *counts; /* By port, and then by reason: objects of the answer. */
	size_t kinds;
};

/* Whether the port was asked for. */
static bool is_wanted(const struct drops *drops, const char *port)
{
	bool is_wanted = drops->name_count == 0;

	for (size_t i = 0; i < drops->name_count; i++) {
		const char *name = drops->names[i];
		bool is_node = !strchr(name, ':') && !strncmp(port, name, strlen(name)) && port[strlen(name)] == ':';

		if (!is_node && strcmp(port, name) != 0)
			continue;
		drops->is_seen[i] = true;
		is_wanted = true;
	}
	return is_wanted;
}

static int check_names(const struct drops *drops, struct error *error)
{
	char name[256];

	for (size_t i = 0; i < drops->name_count; i++)
		if (!drops->is_seen[i] && drops->source.path)
			return error_set(error, ERROR_FAILED, ENOENT, "there is no frame of \"%s\" in %s",
					 drops->names[i], trace_source_name(&drops->source, name));
		else if (!drops->is_seen[i])
			return error_set(error, ERROR_FAILED, ENOENT,
					 "there is no port and no node \"%s\"; \"netlab status\" lists them",
					 drops->names[i]);
	return 0;
}

/* Returns what is counted of a reason at a port, which may be nothing yet; NULL when there is too much. */
static json_t *find_kind(struct drops *drops, const char *port, const char *reason)
{
	json_t *key = json_text(port), *kind = NULL, *reasons;
	const char *name = json_string_value(key);

	if (!json_object_get(drops->counts, name))
		json_object_set_new(drops->counts, name, json_object());
	reasons = json_object_get(drops->counts, name);
	kind = json_object_get(reasons, reason);
	if (!kind && drops->kinds < KINDS_MAX) {
		kind = json_pack("{s:O, s:s, s:I, s:n, s:s?}", "port", key, "reason", reason, "count", (json_int_t)0,
				 "last", "meaning", drop_meaning(reason));
		json_object_set_new(reasons, reason, kind);
		drops->kinds++;
	}
	json_decref(key);
	return kind;
}

/* Counting in a capture. */

static int count(struct drops *drops, const struct pcapng_reader_packet *packet, struct error *error)
{
	struct frame_drop drop;
	json_t *kind;

	if (!is_wanted(drops, packet->interface->name) || !frame_drop_read(packet, &drop))
		return 0;
	kind = find_kind(drops, packet->interface->name, drop.reason);
	if (!kind)
		return error_set(error, ERROR_FAILED, E2BIG, "there are too many different reasons and ports");
	json_object_set_new(kind, "count", json_integer(json_integer_value(json_object_get(kind, "count")) + 1));
	json_object_set_new(kind, "last",
			    json_pack("{s:I, s:o}", "frame", (json_int_t)packet->id, "time",
				      trace_pack_time(packet->time)));
	return 0;
}

static int count_all(struct drops *drops, struct error *error)
{
	struct pcapng_reader_packet packet;
	int result = trace_source_open(&drops->source, drops->cli, error);

	while (result == 0 && (result = trace_source_next(&drops->source, &packet, error)) > 0)
		result = count(drops, &packet, error);
	return result < 0 ? result : trace_source_check(&drops->source, error);
}

/* Asking the lab. */

static void take_port(struct drops *drops, const json_t *port)
{
	json_t *reasons = json_object_get(port, "drops");

	if (!is_wanted(drops, cli_string(port, "name")) || drops->has_capture)
		return;
	for (void *at = json_object_iter(reasons); at; at = json_object_iter_next(reasons, at)) {
		json_t *kind = find_kind(drops, cli_string(port, "name"), json_object_iter_key(at));

		if (kind)
			json_object_set(kind, "count", json_object_iter_value(at));
	}
}

/* Counts, or only finds out which ports there are. */
static int ask_lab(struct drops *drops, struct error *error)
{
	char *lab = cli_find_lab(drops->cli, NULL, error);
	json_t *status = lab ? client_call_once(lab, json_pack("{s:s}", "command", "status"), error) : NULL;
	const json_t *ports = json_object_get(status, "ports");

	for (size_t i = 0; i < json_array_size(ports); i++)
		take_port(drops, json_array_get(ports, i));
	free(lab);
	if (!status)
		return -EIO;
	json_decref(status);
	return 0;
}

/* Answering. */

static json_t *make_answer(const struct drops *drops)
{
	json_t *list = json_array(), *answer;

	for (void *port = json_object_iter(drops->counts); port; port = json_object_iter_next(drops->counts, port)) {
		json_t *reasons = json_object_iter_value(port);

		for (void *at = json_object_iter(reasons); at; at = json_object_iter_next(reasons, at))
			json_array_append(list, json_object_iter_value(at));
	}
	answer = json_pack("{s:o, s:o, s:o}", "file", json_text(drops->source.path), "since",
			   drops->source.has_last ? json_real(drops->source.last) : json_null(), "drops", list);
	trace_source_add_notes(&drops->source, answer);
	return answer;
}

static void put_table(const json_t *list)
{
	static const char *const heads[] = {"PORT", "REASON", "COUNT", "LAST", "FRAME"};
	struct table table = {.right = 1u << 2 | 1u << 4};
	char time[64];

	/* Counters do not know which frames they counted. */
	table.columns = json_is_object(json_object_get(json_array_get(list, 0), "last")) ? 5 : 3;
	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *kind = json_array_get(list, i), *last = json_object_get(kind, "last");

		table_add(&table, "%s", cli_string(kind, "port"));
		table_add(&table, "%s", cli_string(kind, "reason"));
		table_add(&table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(kind, "count")));
		if (table.columns == 3)
			continue;
		table_add(&table, "%s", trace_local_time(last, true, time));
		table_add(&table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(last, "frame")));
	}
	table_print(&table, stdout, 0);
}

static void put_answer(const struct drops *drops, const json_t *answer)
{
	const json_t *list = json_object_get(answer, "drops");
	char name[256];

	if (drops->cli->json) {
		cli_put_json(answer);
		return;
	}
	if (json_array_size(list) > 0)
		put_table(list);
	else if (drops->source.path) /* Which may have been written without those that were. */
		printf("No frame that was dropped is in %s.\n", trace_source_name(&drops->source, name));
	else
		puts("No frame was dropped.");
	drop_legend_put(list);
	trace_source_put_notes(&drops->source);
}

static int run(struct drops *drops, struct error *error)
{
	bool asks_lab = !drops->source.path && (!drops->has_capture || drops->name_count > 0);
	int result = asks_lab ? ask_lab(drops, error) : 0;
	json_t *answer;

	if (result == 0 && !drops->source.path && drops->has_capture)
		result = check_names(drops, error);
	if (result == 0 && drops->has_capture)
		result = count_all(drops, error);
	if (result == 0)
		result = check_names(drops, error);
	if (result < 0)
		return result;
	answer = make_answer(drops);
	put_answer(drops, answer);
	json_decref(answer);
	return 0;
}

int cli_drops(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"read", required_argument, NULL, 'r'},
		{"since", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct drops drops = {.cli = cli};
	struct error error = {0};
	int option, result;

	while ((option = cli_option(cli, argc, argv, "r:", options)) != -1) {
		if (option == 'r')
			drops.source.path = optarg;
		else if (option == '?' || trace_source_set_last(&drops.source, cli, "--since", optarg) != 0)
			return ERROR_USAGE;
		drops.has_capture = true;
	}
	drops.names = argv + optind;
	drops.name_count = (size_t)(argc - optind);
	drops.is_seen = calloc(drops.name_count + 1, sizeof(*drops.is_seen));
	drops.counts = json_object();
	result = drops.is_seen && drops.counts ? run(&drops, &error) :
						 error_set(&error, ERROR_FAILED, ENOMEM, "out of memory");
	trace_source_close(&drops.source);
	json_decref(drops.counts);
	free(drops.is_seen);
	return result < 0 ? cli_fail(&error) : 0;
}
