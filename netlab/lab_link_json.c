/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/impairment_json.h"
#include "netlab/lab_link_internal.h"
#include "netlab/topology.h"
#include "netlab/wire.h"

/* Links as JSON, in the form docs/control-protocol.md gives. */

#define NANOSECONDS 1e9

/* Null where nothing was ever impaired. */
static json_t *counters_json(const struct lab_wire *wire)
{
	struct wire_counters counters;

	if (!wire->port || !port_read_wire(wire->port, wire->direction, &counters))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "frames",
			 (json_int_t)counters.frames, "passed", (json_int_t)counters.passed, "lost",
			 (json_int_t)counters.lost, "mtu", (json_int_t)counters.mtu, "queue_full",
			 (json_int_t)counters.queue_full, "early", (json_int_t)counters.early, "in_flight_full",
			 (json_int_t)counters.no_room, "cut", (json_int_t)counters.cut, "arrived",
			 (json_int_t)counters.arrived, "duplicated", (json_int_t)counters.duplicated, "corrupted",
			 (json_int_t)counters.corrupted, "overtaking", (json_int_t)counters.overtaking, "waiting",
			 (json_int_t)counters.waiting, "in_flight", (json_int_t)counters.in_flight, "late_sum",
			 (double)counters.late_sum / NANOSECONDS, "late_max", (double)counters.late_max / NANOSECONDS);
}

static json_t *warnings_json(const struct impairment *impairment)
{
	char *text = topology_doubt_impairment(impairment), *rest = text, *line;
	json_t *warnings = json_array();

	while ((line = strsep(&rest, "\n")))
		if (*line)
			json_array_append_new(warnings, json_string(line));
	free(text);
	return warnings;
}

static json_t *direction_json(const struct lab_link *link, unsigned int direction)
{
	const struct lab_wire wire = lab_link_wire(link, direction);
	const struct impairment *now = &link->now[direction];
	char *text = impairment_text(now);
	json_t *json =
		json_pack("{s:s, s:s, s:b, s:o, s:s, s:o, s:b, s:o}", "from", lab_link_end(link, direction), "to",
			  lab_link_end(link, 1 - direction), "cut", wire.port && port_is_cut(wire.port, wire.direction),
			  "impairment", impairment_json(now), "text", text ? text : "", "warnings", warnings_json(now),
			  "by_hand", !impairment_is_equal(now, link->wanted[direction]), "wire", counters_json(&wire));

	free(text);
	return json;
}

static json_t *link_json(const struct lab_link *link)
{
	size_t events = link->topology ? link->topology->event_count : 0;

	return json_pack("{s:[s, s], s:b, s:b, s:I, s:[o, o]}", "ends", lab_link_end(link, 0), lab_link_end(link, 1),
			 "carrier", lab_link_has_carrier(link), "flapping", link->flap.done != NULL, "events_left",
			 (json_int_t)(events - link->next_event), "directions", direction_json(link, 0),
			 direction_json(link, 1));
}

json_t *lab_links(const struct lab *lab, const char *port, struct error *error)
{
	const struct lab_link *only = NULL;
	json_t *links = json_array();
	unsigned int end;

	if (port)
		only = lab_find_link(lab, port, &end, error);
	for (size_t i = 0; i < lab->link_count; i++)
		if (!port || lab->links[i] == only)
			json_array_append_new(links, link_json(lab->links[i]));
	if (!port || only)
		return json_pack("{s:o}", "links", links);
	json_decref(links);
	return NULL;
}

static bool is_usual(const struct lab_link *link)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct lab_wire wire = lab_link_wire(link, i);

		if (impairment_is_any(&link->now[i]) || (wire.port && port_is_cut(wire.port, wire.direction)))
			return false;
	}
	return lab_link_has_carrier(link) && !link->flap.done;
}

json_t *lab_links_status(const struct lab *lab)
{
	json_t *links = json_array();

	for (size_t i = 0; i < lab->link_count; i++)
		if (!is_usual(lab->links[i]))
			json_array_append_new(links, link_json(lab->links[i]));
	return links;
}
