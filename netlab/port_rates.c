/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/port_rates.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static json_int_t integer(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

static const char *name_of(const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "name"));

	return name ? name : "";
}

/* What is in an array, by the string that it has as 'member'; each entry is borrowed from the array. */
static json_t *index_by(const json_t *array, const char *member)
{
	json_t *index = json_object();

	for (size_t i = 0; i < json_array_size(array); i++) {
		json_t *entry = json_array_get(array, i);
		const char *key = json_string_value(json_object_get(entry, member));

		if (key)
			json_object_set(index, key, entry);
	}
	return index;
}

/* States of ports: of the node a port is of, or of what leads out of the lab there. */
static json_t *index_states(const json_t *status)
{
	const json_t *nodes = json_object_get(status, "nodes"), *attachments = json_object_get(status, "attachments");
	json_t *states = json_object();

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *node = json_array_get(nodes, i), *interfaces = json_object_get(node, "interfaces");

		for (size_t j = 0; j < json_array_size(interfaces); j++) {
			const json_t *port = json_object_get(json_array_get(interfaces, j), "port");

			if (json_is_string(port))
				json_object_set(states, json_string_value(port), json_object_get(node, "state"));
		}
	}
	for (size_t i = 0; i < json_array_size(attachments); i++) {
		const json_t *attachment = json_array_get(attachments, i);

		json_object_set(states, name_of(attachment), json_object_get(attachment, "state"));
	}
	return states;
}

static bool any_fell(json_t *before, json_t *now)
{
	const char *name;
	json_t *value;

	json_object_foreach(before, name, value) {
		const json_t *later = json_object_get(now, name);

		if (json_is_integer(value) && json_integer_value(later) < json_integer_value(value))
			return true;
	}
	return false;
}

static bool has_restarted(json_t *port, json_t *before)
{
	return any_fell(before, port) || any_fell(json_object_get(before, "drops"), json_object_get(port, "drops"));
}

/* Returns how long the interval was, in seconds, or 0 if nothing is known of it. */
static double known_seconds(const json_t *before, const json_t *status, const json_t *earlier)
{
	const json_t *ports = json_object_get(status, "ports");

	if (!before)
		return 0;
	for (size_t i = 0; i < json_array_size(ports); i++) {
		json_t *port = json_array_get(ports, i);

		if (has_restarted(port, json_object_get(earlier, name_of(port))))
			return 0;
	}
	return json_number_value(json_object_get(status, "uptime")) -
	       json_number_value(json_object_get(before, "uptime"));
}

static json_int_t rise(const json_t *port, const json_t *before, const char *member)
{
	return integer(port, member) - integer(before, member);
}

/* The reasons there were in the interval. */
static json_t *drops_between(json_t *before, json_t *now, json_int_t *sum)
{
	json_t *drops = json_object(), *value;
	const char *reason;

	*sum = 0;
	json_object_foreach(now, reason, value) {
		json_int_t count = json_integer_value(value) - integer(before, reason);

		if (count > 0)
			json_object_set_new(drops, reason, json_integer(count));
		*sum += count;
	}
	return drops;
}

static void add_unknown(json_t *rates)
{
	static const char *const members[] = {
		"tx_frames_per_second", "tx_bits_per_second", "rx_frames_per_second",
		"rx_bits_per_second",   "drops_per_second",   "drops",
		"capture_lost",
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_set_new(rates, members[i], json_null());
}

static void add_known(json_t *rates, const json_t *port, const json_t *before, double seconds)
{
	json_int_t sum;
	json_t *drops = drops_between(json_object_get(before, "drops"), json_object_get(port, "drops"), &sum);

	json_object_update_new(rates,
			       json_pack("{s:f, s:f, s:f, s:f, s:f, s:o, s:I}", "tx_frames_per_second",
					 (double)rise(port, before, "tx_frames") / seconds, "tx_bits_per_second",
					 8 * (double)rise(port, before, "tx_bytes") / seconds, "rx_frames_per_second",
					 (double)rise(port, before, "rx_frames") / seconds, "rx_bits_per_second",
					 8 * (double)rise(port, before, "rx_bytes") / seconds, "drops_per_second",
					 (double)sum / seconds, "drops", drops, "capture_lost",
					 rise(port, before, "capture_lost")));
}

json_t *port_rates(const json_t *before, const json_t *status)
{
	const json_t *ports = json_object_get(status, "ports");
	json_t *earlier = index_by(json_object_get(before, "ports"), "name");
	json_t *attachments = index_by(json_object_get(status, "attachments"), "name");
	json_t *states = index_states(status), *list = json_array();
	double seconds = known_seconds(before, status, earlier);

	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		const char *name = name_of(port);
		json_t *queued = json_object_get(json_object_get(attachments, name), "queued");
		json_t *ring = json_object_get(port, "rx_ring");
		json_t *rates = json_pack("{s:s, s:O?}", "name", name, "state", json_object_get(states, name));

		if (seconds > 0)
			add_known(rates, port, json_object_get(earlier, name), seconds);
		else
			add_unknown(rates);
		json_object_set_new(rates, "queued", queued ? json_incref(queued) : json_null());
		json_object_set_new(rates, "rx_ring", ring ? json_incref(ring) : json_null());
		json_array_append_new(list, rates);
	}
	json_decref(earlier);
	json_decref(attachments);
	json_decref(states);
	return json_pack("{s:O?, s:O?, s:o, s:o}", "lab", json_object_get(status, "lab"), "uptime",
			 json_object_get(status, "uptime"), "interval", seconds > 0 ? json_real(seconds) : json_null(),
			 "ports", list);
}

/* A port and what it is sorted by. */
struct sorted {
	json_t *port;
	double rate;
};

/* Those of which nothing is known come last. */
static double rate_of(const json_t *port, enum port_rates_order order)
{
	static const char *const members[PORT_RATES_ORDERS][2] = {
		[PORT_RATES_BY_BITS] = {"tx_bits_per_second", "rx_bits_per_second"},
		[PORT_RATES_BY_FRAMES] = {"tx_frames_per_second", "rx_frames_per_second"},
		[PORT_RATES_BY_DROPS] = {"drops_per_second"},
	};
	double rate = 0;

	for (size_t i = 0; i < 2 && members[order][i]; i++) {
		const json_t *value = json_object_get(port, members[order][i]);

		rate += json_is_null(value) ? -1 : json_number_value(value);
	}
	return rate;
}

static int compare(const void *left, const void *right)
{
	const struct sorted *one = left, *other = right;

	if (one->rate != other->rate)
		return one->rate < other->rate ? 1 : -1;
	return strverscmp(name_of(one->port), name_of(other->port));
}

void port_rates_sort(json_t *rates, enum port_rates_order order)
{
	json_t *ports = json_object_get(rates, "ports"), *list = json_array();
	size_t count = json_array_size(ports);
	struct sorted *sorted = calloc(count + 1, sizeof(*sorted));

	if (!sorted || !list)
		goto out;
	for (size_t i = 0; i < count; i++) {
		sorted[i].port = json_array_get(ports, i);
		sorted[i].rate = rate_of(sorted[i].port, order);
	}
	qsort(sorted, count, sizeof(*sorted), compare);
	for (size_t i = 0; i < count; i++)
		json_array_append(list, sorted[i].port);
	json_object_set(rates, "ports", list);
out:
	json_decref(list);
	free(sorted);
}
