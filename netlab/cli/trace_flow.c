/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/drop_legend.h"
#include "netlab/cli/table.h"
#include "netlab/cli/trace.h"
#include "netlab/frame_flow.h"
#include "netlab/json_text.h"

static const char *const fate_names[] = {
	[FRAME_DELIVERED] = "delivered",
	[FRAME_DROPPED] = "dropped",
	[FRAME_ENDED] = "ended",
	[FRAME_UNKNOWN] = "unknown",
};

static json_t *pack_way(const struct trace *trace, const struct frame_flow *flow, const struct frame_fate *fate)
{
	uint32_t ports[FRAME_FLOW_PORTS_MAX];
	size_t count = frame_flow_way(flow, fate, ports);
	json_t *way = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(way, json_text(frame_index_port_name(trace->index, ports[i])));
	return way;
}

/* The ids of the frames on the way. */
static json_t *pack_frames(const struct trace *trace, const struct frame_fate *fate)
{
	json_t *frames = json_array();

	for (uint32_t i = fate->frame; i != FRAME_INDEX_NONE; i = frame_links_parent(trace->links, i))
		json_array_insert_new(frames, 0, json_integer((json_int_t)frame_index_get(trace->index, i)->id));
	return frames;
}

static json_t *pack_packet(const struct trace *trace, const struct frame_flow *flow, uint32_t root,
			   const struct frame_fate *fate)
{
	const struct frame_index *index = trace->index;
	const struct frame_index_crossing *end = frame_index_crossing(index, fate->crossing);
	bool is_dropped = end->reason != FRAME_INDEX_NONE;
	json_t *answer = trace_describe(trace, root);

	json_object_set_new(answer, "frames", pack_frames(trace, fate));
	json_object_set_new(answer, "path", pack_way(trace, flow, fate));
	json_object_set_new(answer, "fate", json_string(fate_names[fate->kind]));
	json_object_set_new(answer, "port", json_text(frame_index_port_name(index, end->port)));
	json_object_set_new(answer, "reason",
			    is_dropped ? json_string(frame_index_text(index, end->reason)) : json_null());
	json_object_set_new(answer, "detail", json_string(is_dropped ? frame_index_text(index, end->detail) : ""));
	return answer;
}

json_t *trace_flow(const struct trace *trace, uint32_t a, uint32_t b, size_t count)
{
	const struct frame_index *index = trace->index;
	struct frame_flow *flow = frame_flow_create(index, trace->links, a, b);
	json_t *packets = json_array();
	struct frame_fate fate;

	if (!flow) {
		json_decref(packets);
		return NULL;
	}
	for (uint32_t i = frame_index_count(index); i-- > 0 && json_array_size(packets) < count;)
		if (frame_flow_has(flow, i, &fate))
			json_array_append_new(packets, pack_packet(trace, flow, i, &fate));
	frame_flow_destroy(flow);
	for (size_t i = 0, size = json_array_size(packets); i < size / 2; i++) {
		json_t *late = json_incref(json_array_get(packets, i));

		json_array_set(packets, i, json_array_get(packets, size - 1 - i));
		json_array_set_new(packets, size - 1 - i, late);
	}
	return json_pack("{s:[o, o], s:o}", "between", json_text(frame_index_owner_name(index, a)),
			 json_text(frame_index_owner_name(index, b)), "packets", packets);
}

/* As text. */

static void add_way(struct table *table, const json_t *way)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return;
	for (size_t i = 0; i < json_array_size(way); i++)
		fprintf(to, "%s%s", i > 0 ? " > " : "", json_string_value(json_array_get(way, i)));
	fclose(to);
	table_add(table, "%s", text);
	free(text);
}

static void add_fate(struct table *table, const json_t *packet)
{
	const char *fate = cli_string(packet, "fate"), *port = cli_string(packet, "port");

	if (!strcmp(fate, "dropped"))
		table_add(table, "dropped at %s: %s", port, cli_string(packet, "reason"));
	else if (!strcmp(fate, "ended"))
		table_add(table, "not passed on from %s", port);
	else if (!strcmp(fate, "unknown"))
		table_add(table, "not seen again");
	else
		table_add(table, "%s", fate);
}

static void add_packet(struct table *table, const json_t *packet)
{
	char time[64];

	table_add(table, "%s", trace_local_time(packet, false, time));
	table_add(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(packet, "id")));
	table_add(table, "%s", cli_string(packet, "summary"));
	add_way(table, json_object_get(packet, "path"));
	add_fate(table, packet);
}

void trace_flow_put(const json_t *answer)
{
	static const char *const heads[] = {"TIME", "FRAME", "WHAT", "PATH", "FATE"};
	struct table table = {.columns = sizeof(heads) / sizeof(heads[0]), .right = 2};
	const json_t *packets = json_object_get(answer, "packets"), *between = json_object_get(answer, "between");
	bool is_linked = false;

	if (json_array_size(packets) == 0) {
		printf("There is nothing between %s and %s.\n", json_string_value(json_array_get(between, 0)),
		       json_string_value(json_array_get(between, 1)));
		return;
	}
	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(packets); i++) {
		add_packet(&table, json_array_get(packets, i));
		is_linked |= json_array_size(json_object_get(json_array_get(packets, i), "frames")) > 1;
	}
	table_print(&table, stdout, 0);
	if (is_linked)
		puts("\nWhat routers forwarded is found as far as addresses, identification and payload tell.");
	drop_legend_put(packets);
}
