/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <string.h>

#include "netlab/allocate.h"

/* "schedule:" of a link: what becomes of it, and when.
 *
 * Each item stands for itself: what it says of impairments is on top of what the file says of the link, not of what the
 * items before said. */

#define SECOND 1000000000ull
#define TIME_MAX (7 * 24 * 3600 * SECOND) /* A week. */

/* How things are when the items so far have been carried out. */
struct progress {
	bool is_down;
	struct impairment impairments[2];
	/* What was done at the time of the last item: line 0: not yet. */
	uint64_t at;
	struct yaml_mark carrier, impaired[2];
};

static bool read_time(struct topology_reader *reader, const struct yaml_tree_node *item, uint64_t *at)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(item, "at");
	const char *text, *problem;

	if (!pair) {
		yaml_reader_error(&reader->yaml, item->mark, "an item of \"schedule:\" needs \"at:\"");
		yaml_reader_help(&reader->yaml, "write {at: 10s, link: down}");
		return false;
	}
	text = yaml_reader_text(&reader->yaml, pair->value, "at");
	problem = text ? topology_parse_time(text, at) : NULL;
	if (text && !problem && *at > TIME_MAX)
		problem = "is more than a week, 168h";
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "at \"%s\" %s", text, problem);
	return text && !problem;
}

static bool read_carrier(struct topology_reader *reader, const struct yaml_tree_pair *pair,
			 enum topology_carrier *carrier)
{
	const char *text = yaml_reader_text(&reader->yaml, pair->value, "link");

	if (text && strcmp(text, "up") != 0 && strcmp(text, "down") != 0) {
		yaml_reader_error(&reader->yaml, pair->value->mark, "link must be up or down, not \"%s\"", text);
		return false;
	}
	if (text)
		*carrier = strcmp(text, "up") != 0 ? TOPOLOGY_CARRIER_DOWN : TOPOLOGY_CARRIER_UP;
	return text != NULL;
}

/* Reads what the item says of impairments, on top of what the file says of the link. */
static bool read_impairments(struct topology_reader *reader, const struct yaml_tree_node *item,
			     const struct topology_wire *wire, struct topology_event *event)
{
	static const char *const directed[] = {"impair-ab", "impair-ba"};
	const struct yaml_tree_pair *both = yaml_tree_find(item, "impair");
	struct topology_written_impairment written[2] = {{.mark = item->mark}, {.mark = item->mark}};
	const unsigned int mtus[2] = {wire->ends[0].mtu, wire->ends[1].mtu};

	for (size_t side = 0; side < 2; side++) {
		const struct yaml_tree_pair *one = yaml_tree_find(item, directed[side]);

		if (wire->impairments)
			written[side].values = wire->impairments[side];
		event->is_impaired[side] = both || one;
		if ((both && !topology_apply_impair(reader, both, &written[side])) ||
		    (one && !topology_apply_impair(reader, one, &written[side])))
			return false;
		event->impairments[side] = written[side].values;
	}
	if (event->is_impaired[0] && event->is_impaired[1])
		topology_check_impair(reader, written, 2, mtus);
	else if (event->is_impaired[0] || event->is_impaired[1])
		topology_check_impair(reader, &written[event->is_impaired[1]], 1, &mtus[event->is_impaired[1]]);
	return true;
}

static bool read_event(struct topology_reader *reader, const struct yaml_tree_node *item,
		       const struct topology_wire *wire, struct topology_event *event)
{
	const struct yaml_tree_pair *link = yaml_tree_find(item, "link");
	unsigned int errors_before = reader->yaml.error_count;

	if (item->type != YAML_TREE_MAP) {
		yaml_reader_error(&reader->yaml, item->mark, "an item of \"schedule:\" must be a map, not %s",
				  yaml_tree_type_name(item));
		yaml_reader_help(&reader->yaml, "write {at: 10s, link: down}");
		return false;
	}
	topology_check_keys(reader, item, TOPOLOGY_IN_EVENT, "an item of \"schedule:\"");
	if (!read_time(reader, item, &event->at) || (link && !read_carrier(reader, link, &event->carrier)) ||
	    !read_impairments(reader, item, wire, event) || reader->yaml.error_count > errors_before)
		return false;
	if (link || event->is_impaired[0] || event->is_impaired[1])
		return true;
	yaml_reader_error(&reader->yaml, item->mark, "an item of \"schedule:\" that does nothing");
	yaml_reader_help(&reader->yaml, "add link: down, link: up, or impair: {loss: 50%%}");
	return false;
}

/* Notes that the item sets what 'set' is about; reports that one of the same time has done so. */
static bool take(struct topology_reader *reader, struct yaml_mark mark, struct yaml_mark *set, const char *what)
{
	if (set->line) {
		yaml_reader_error(&reader->yaml, mark, "two items of \"schedule:\" set %s at the same time", what);
		yaml_reader_help(&reader->yaml, "the other one is in line %u", set->line);
		return false;
	}
	*set = mark;
	return true;
}

/* Reports an item that does not go with those before it. */
static bool follows(struct topology_reader *reader, const struct yaml_tree_node *item,
		    const struct topology_event *event, struct progress *progress)
{
	static const char *const directions[] = {"what the first end's frames meet",
						 "what the second end's frames meet"};
	bool is_down = event->carrier == TOPOLOGY_CARRIER_DOWN, changes = false;

	if (event->at < progress->at) {
		yaml_reader_error(&reader->yaml, item->mark, "an item of \"schedule:\" is before the one above it");
		yaml_reader_help(&reader->yaml, "put them in the order of their times");
		return false;
	}
	if (event->at > progress->at)
		progress->carrier = progress->impaired[0] = progress->impaired[1] = (struct yaml_mark){0};
	progress->at = event->at;
	if (event->carrier != TOPOLOGY_CARRIER_STAYS) {
		if (!take(reader, item->mark, &progress->carrier, "the link"))
			return false;
		if (is_down == progress->is_down) {
			yaml_reader_error(&reader->yaml, item->mark, "the link is %s already at that time",
					  is_down ? "down" : "up");
			return false;
		}
		progress->is_down = is_down;
		changes = true;
	}
	for (size_t side = 0; side < 2; side++) {
		if (!event->is_impaired[side])
			continue;
		if (!take(reader, item->mark, &progress->impaired[side], directions[side]))
			return false;
		changes |= !impairment_is_equal(&event->impairments[side], &progress->impairments[side]);
		progress->impairments[side] = event->impairments[side];
	}
	if (!changes)
		yaml_reader_warning(&reader->yaml, item->mark,
				    "an item of \"schedule:\" changes nothing: the link is like that already");
	return true;
}

void topology_read_schedule(struct topology_reader *reader, const struct yaml_tree_pair *pair,
			    struct topology_wire *wire)
{
	const struct yaml_tree_node *list = pair->value;
	struct progress progress = {.at = 0};

	if (wire->impairments)
		memcpy(progress.impairments, wire->impairments, sizeof(progress.impairments));
	if (list->type == YAML_TREE_NULL)
		return;
	if (list->type != YAML_TREE_LIST) {
		yaml_reader_error(&reader->yaml, list->mark, "schedule must be a list, not %s",
				  yaml_tree_type_name(list));
		yaml_reader_help(&reader->yaml, "write schedule: [{at: 10s, link: down}, {at: 13s, link: up}]");
		return;
	}
	if (list->count > TOPOLOGY_EVENTS_MAX) {
		yaml_reader_error(&reader->yaml, list->items[TOPOLOGY_EVENTS_MAX]->mark,
				  "more than %d items in a schedule", TOPOLOGY_EVENTS_MAX);
		return;
	}
	reader->event_count += list->count;
	if (reader->event_count > TOPOLOGY_LAB_EVENTS_MAX) {
		yaml_reader_error(&reader->yaml, list->mark, "more than %d items in all schedules of a lab",
				  TOPOLOGY_LAB_EVENTS_MAX);
		return;
	}
	wire->events = allocate_zeroed(list->count, sizeof(wire->events[0]));
	for (size_t i = 0; i < list->count; i++) {
		struct topology_event *event = &wire->events[i];

		/* What follows one that is wrong is wrong for no reason of its own. */
		if (!read_event(reader, list->items[i], wire, event) ||
		    !follows(reader, list->items[i], event, &progress))
			return;
		wire->event_count++;
	}
}
