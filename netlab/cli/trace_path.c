/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/table.h"
#include "netlab/cli/trace.h"
#include "netlab/drop_meaning.h"
#include "netlab/json_text.h"

/* Of what a capture says of one packet; a packet that is flooded in a large network is at hundreds of ports. */
#define FRAMES_MAX 1024
#define CROSSINGS_MAX 65536

/* What is being answered. */
struct path {
	const struct trace *trace;
	uint64_t begun; /* Time of the first crossing. */
	size_t crossings;
	json_t *delivered, *dropped;
	json_t *receivers; /* Those in 'delivered', each once though it had the frame in pieces or twice. */
};

static json_t *pack_port(const struct path *path, uint32_t port)
{
	return json_text(frame_index_port_name(path->trace->index, port));
}

/* Whether a node that received the frame at this port sent it on. */
static bool was_passed_on(const struct path *path, uint32_t number, uint32_t port)
{
	const struct frame_index *index = path->trace->index;

	for (uint32_t i = frame_links_child(path->trace->links, number); i != FRAME_INDEX_NONE;
	     i = frame_links_next(path->trace->links, i)) {
		uint32_t sender = frame_index_crossing(index, frame_index_get(index, i)->first)->port;

		if (frame_index_owner(index, sender) == frame_index_owner(index, port))
			return true;
	}
	return false;
}

static void add_receiver(struct path *path, uint32_t port)
{
	json_t *name = pack_port(path, port);

	if (!json_object_get(path->receivers, json_string_value(name))) {
		json_object_set_new(path->receivers, json_string_value(name), json_true());
		json_array_append(path->delivered, name);
	}
	json_decref(name);
}

static json_t *pack_drop(const struct path *path, const struct frame_index_crossing *crossing)
{
	const struct frame_index *index = path->trace->index;

	return json_pack("{s:o, s:s, s:s, s:s?}", "port", pack_port(path, crossing->port), "reason",
			 frame_index_text(index, crossing->reason), "detail", frame_index_text(index, crossing->detail),
			 "meaning", drop_meaning(frame_index_text(index, crossing->reason)));
}

static json_t *pack_crossing(struct path *path, uint32_t number, const struct frame_index_crossing *crossing)
{
	json_t *drop = crossing->reason == FRAME_INDEX_NONE ? json_null() : pack_drop(path, crossing);

	if (crossing->reason != FRAME_INDEX_NONE)
		json_array_append(path->dropped, drop);
	else if (crossing->is_received && !was_passed_on(path, number, crossing->port))
		add_receiver(path, crossing->port);
	return json_pack("{s:o, s:s, s:I, s:o, s:s?}", "port", pack_port(path, crossing->port), "direction",
			 crossing->is_received ? "in" : "out", "after", (json_int_t)(crossing->time - path->begun),
			 "drop", drop, "impairment",
			 crossing->wire == FRAME_INDEX_NONE ? NULL :
							      frame_index_text(path->trace->index, crossing->wire));
}

static json_t *pack_frame(struct path *path, uint32_t number)
{
	const struct frame_index *index = path->trace->index;
	const struct frame_index_frame *frame = frame_index_get(index, number);
	uint32_t parent = frame_links_parent(path->trace->links, number);
	json_t *answer = trace_describe(path->trace, number), *crossings = json_array(), *by = json_null();
	const struct frame_index_crossing *crossing = frame_index_crossing(index, frame->first);

	if (parent != FRAME_INDEX_NONE)
		by = json_text(frame_index_owner_name(index, frame_index_owner(index, crossing->port)));
	for (uint32_t i = frame->first; i != FRAME_INDEX_NONE && path->crossings < CROSSINGS_MAX; i = crossing->next) {
		crossing = frame_index_crossing(index, i);
		json_array_append_new(crossings, pack_crossing(path, number, crossing));
		path->crossings++;
	}
	json_object_set_new(answer, "of",
			    parent == FRAME_INDEX_NONE ? json_null() :
							 json_integer((json_int_t)frame_index_get(index, parent)->id));
	json_object_set_new(answer, "by", by);
	json_object_set_new(answer, "crossings", crossings);
	return answer;
}

json_t *trace_path(const struct trace *trace, uint32_t number)
{
	const struct frame_index *index = trace->index;
	uint32_t *frames = calloc(FRAMES_MAX, sizeof(*frames)), root = frame_links_root(trace->links, number);
	size_t count = frames ? frame_links_collect(trace->links, root, frames, FRAMES_MAX) : 0;
	struct path path = {
		.trace = trace,
		.begun = frame_index_crossing(index, frame_index_get(index, root)->first)->time,
		.delivered = json_array(),
		.dropped = json_array(),
		.receivers = json_object(),
	};
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, pack_frame(&path, frames[i]));
	free(frames);
	json_decref(path.receivers);
	return json_pack("{s:I, s:o, s:o, s:o, s:b}", "frame", (json_int_t)frame_index_get(index, number)->id, "frames",
			 list, "delivered", path.delivered, "dropped", path.dropped, "cut",
			 path.crossings == CROSSINGS_MAX || count == FRAMES_MAX);
}

/* As text. */

static void put_head(const json_t *answer)
{
	const json_t *first = json_array_get(json_object_get(answer, "frames"), 0);
	json_int_t id = json_integer_value(json_object_get(answer, "frame"));
	json_int_t began = json_integer_value(json_object_get(first, "id"));
	char time[64];

	printf("Frame %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT " bytes, at %s: %s\n", began,
	       json_integer_value(json_object_get(first, "size")), trace_local_time(first, true, time),
	       cli_string(first, "summary"));
	if (id != began)
		printf("Frame %" JSON_INTEGER_FORMAT " is what a router made of it.\n", id);
	putchar('\n');
}

static void add_event(struct table *table, const json_t *frame, const json_t *crossing, bool is_first)
{
	const char *by = cli_string(frame, "by");
	const json_t *drop = json_object_get(crossing, "drop");
	const char *wire = cli_string(crossing, "impairment");
	bool is_in = !strcmp(cli_string(crossing, "direction"), "in");

	if (json_is_object(drop))
		table_add(table, "%sdropped: %s", is_in || *wire ? "" : "sent, ", cli_string(drop, "reason"));
	else if (is_first && *by)
		table_add(table, "forwarded by %s (as far as addresses, identification and payload tell)", by);
	else
		table_add(table, "%s%s%s%s", is_in ? "received" : "sent", *wire ? " (" : "", wire, *wire ? ")" : "");
}

static void put_crossings(const json_t *frames)
{
	struct table table = {.columns = 4, .right = 3};

	table_add(&table, "AFTER");
	table_add(&table, "FRAME");
	table_add(&table, "PORT");
	table_add(&table, "WHAT");
	for (size_t i = 0; i < json_array_size(frames); i++) {
		const json_t *frame = json_array_get(frames, i), *crossings = json_object_get(frame, "crossings");

		for (size_t j = 0; j < json_array_size(crossings); j++) {
			const json_t *crossing = json_array_get(crossings, j);

			table_add(&table, "%" JSON_INTEGER_FORMAT " ns",
				  json_integer_value(json_object_get(crossing, "after")));
			table_add(&table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(frame, "id")));
			table_add(&table, "%s", cli_string(crossing, "port"));
			add_event(&table, frame, crossing, j == 0);
		}
	}
	table_print(&table, stdout, 2);
}

static void put_end(const json_t *answer)
{
	const json_t *delivered = json_object_get(answer, "delivered"), *dropped = json_object_get(answer, "dropped");
	size_t count = json_array_size(delivered);

	putchar('\n');
	for (size_t i = 0; i < count; i++) {
		fputs(i > 0 ? ", " : "Delivered to ", stdout);
		cli_put_text(stdout, json_string_value(json_array_get(delivered, i)));
	}
	if (count > 0)
		puts(".");
	for (size_t i = 0; i < json_array_size(dropped); i++) {
		const json_t *drop = json_array_get(dropped, i);
		const char *meaning = cli_string(drop, "meaning"), *detail = cli_string(drop, "detail");

		printf("Dropped at ");
		cli_put_text(stdout, cli_string(drop, "port"));
		printf(": %s%s%s%s%s%s\n", cli_string(drop, "reason"), *meaning ? ", it " : "", meaning,
		       *detail ? " (" : "", detail, *detail ? ")" : "");
	}
	if (count == 0 && json_array_size(dropped) == 0)
		puts("It is not known what became of it.");
	if (json_is_true(json_object_get(answer, "cut")))
		puts("There is more than is shown.");
}

void trace_path_put(const json_t *answer)
{
	put_head(answer);
	put_crossings(json_object_get(answer, "frames"));
	put_end(answer);
}
