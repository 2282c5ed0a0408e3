/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/lab_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "core/log.h"
#include "netlab/allocate.h"
#include "netlab/frame_filter.h"
#include "netlab/json_text.h"
#include "netlab/lab_link_internal.h"
#include "netlab/lab_network.h"
#include "netlab/plan.h"
#include "netlab/yaml_reader.h"

/* Theory of operation
 * -------------------
 * A direction of a link is impaired, and cut, in one place: where its sender leaves its port, or, if that is a network,
 * where its receiver takes frames.  So there is one answer to what a direction is like, whichever port is asked.
 *
 * What a link meets is kept here as well as in the data plane, since this is the only one to change it. */

/* Edits in which the name of a port may differ for it to be suggested. */
#define NEAR_ENOUGH 2u

static struct port *end_port(const struct lab_link *link, unsigned int end)
{
	const struct topology_endpoint *endpoint;

	if (!link->topology)
		return end == 0 ? link->lab->networks[link->network]->outer : NULL;
	endpoint = &link->topology->endpoints[end];
	return endpoint->kind == TOPOLOGY_END_NETWORK ? NULL : lab_endpoint_port(link->lab, endpoint);
}

const char *lab_link_end(const struct lab_link *link, unsigned int end)
{
	if (link->topology)
		return lab_endpoint_name(link->lab, &link->topology->endpoints[end]);
	return end == 0 ? link->outer_name : link->lab->topology->networks[link->network].name;
}

struct lab_wire lab_link_wire(const struct lab_link *link, unsigned int direction)
{
	struct port *sender = end_port(link, direction);

	return (struct lab_wire){.port = sender ? sender : end_port(link, 1 - direction),
				 .direction = sender ? PORT_SENDS : PORT_RECEIVES};
}

/* A port of the link, if it has any: both have carrier or none. */
static struct port *any_port(const struct lab_link *link)
{
	return lab_link_wire(link, 0).port;
}

bool lab_link_has_carrier(const struct lab_link *link)
{
	const struct port *port = any_port(link);

	return !port || port_has_carrier(port);
}

/* The same on each machine and in each run. */
static uint64_t seed_of(const struct lab *lab, const struct lab_wire *wire)
{
	const char *port = port_name(wire->port);

	return XXH3_64bits_withSeed(port, strlen(port),
				    XXH3_64bits_withSeed(lab_name(lab), strlen(lab_name(lab)), wire->direction));
}

/* Finding. */

static const char *name_of(const struct lab *lab, size_t number)
{
	return lab_link_end(lab->links[number / 2], number % 2);
}

/* Whether that end of a link is a port. */
static bool is_port(const struct lab *lab, size_t number)
{
	const struct lab_link *link = lab->links[number / 2];

	return link->topology ? link->topology->endpoints[number % 2].kind != TOPOLOGY_END_NETWORK : number % 2 == 0;
}

static const struct node *find_node(const struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab->node_count; i++)
		if (!strcmp(lab->nodes[i]->topology->name, name))
			return lab->nodes[i];
	return NULL;
}

static void report_unknown(const struct lab *lab, const char *name, struct error *error)
{
	const struct node *node = find_node(lab, name);
	unsigned int nearest = NEAR_ENOUGH + 1;
	const char *meant = NULL;

	if (node && node->topology->interface_count > 0) {
		error_set(error, ERROR_FAILED, ENOENT, "%s has several ports; name one of them, such as %s", name,
			  node->interfaces[0].port_name);
		return;
	}
	for (size_t i = 0; i < 2 * lab->link_count; i++) {
		unsigned int distance = is_port(lab, i) ? yaml_reader_distance(name, name_of(lab, i), NEAR_ENOUGH) :
							  nearest;

		if (distance >= nearest)
			continue;
		nearest = distance;
		meant = name_of(lab, i);
	}
	if (meant)
		error_set(error, ERROR_FAILED, ENOENT, "there is no port \"%.80s\"; did you mean %s?", name, meant);
	else
		error_set(error, ERROR_FAILED, ENOENT,
			  "there is no port \"%.80s\" in lab %s; \"netlab link\" shows those there are", name,
			  lab_name(lab));
}

struct lab_link *lab_find_link(const struct lab *lab, const char *port, unsigned int *end, struct error *error)
{
	const struct node *node = find_node(lab, port);
	const char *name = node && node->topology->interface_count == 1 ? node->interfaces[0].port_name : port;

	for (size_t i = 0; i < 2 * lab->link_count; i++) {
		if (!is_port(lab, i) || strcmp(name_of(lab, i), name) != 0)
			continue;
		*end = i % 2;
		return lab->links[i / 2];
	}
	report_unknown(lab, port, error);
	return NULL;
}

/* Changing: all in the data plane's thread, if there is one. */

struct change {
	struct lab_wire wire;
	bool is_on;
	const struct impairment *impairment;
	struct frame_filter filter; /* The impairment's: compiled here, and handed over. */
	uint64_t seed;
	int result;
};

/* loop_function */
static void set_carrier(void *opaque)
{
	const struct change *change = opaque;

	port_set_carrier(change->wire.port, change->is_on);
}

void lab_link_set_carrier(struct lab_link *link, bool is_up, const char *why)
{
	struct change change = {.wire.port = any_port(link), .is_on = is_up};

	if (!change.wire.port || port_has_carrier(change.wire.port) == is_up)
		return;
	lab_tell_capture(link->lab, "link %s - %s %s%s%s", lab_link_end(link, 0), lab_link_end(link, 1),
			 is_up ? "up" : "down", *why ? ", " : "", why);
	dataplane_call(link->lab->context.dataplane, set_carrier, &change);
}

/* loop_function */
static void cut(void *opaque)
{
	const struct change *change = opaque;

	port_cut(change->wire.port, change->wire.direction, change->is_on);
}

static void set_cut(struct lab_link *link, unsigned int direction, bool is_cut)
{
	struct change change = {.wire = lab_link_wire(link, direction), .is_on = is_cut};

	if (!change.wire.port || port_is_cut(change.wire.port, change.wire.direction) == is_cut)
		return;
	lab_tell_capture(link->lab, "from %s to %s %s", lab_link_end(link, direction),
			 lab_link_end(link, 1 - direction), is_cut ? "cut" : "mended");
	dataplane_call(link->lab->context.dataplane, cut, &change);
}

/* loop_function */
static void set_filter(void *opaque)
{
	struct change *change = opaque;

	port_set_loss_filter(change->wire.port, change->wire.direction, &change->filter);
}

/* loop_function */
static void impair(void *opaque)
{
	struct change *change = opaque;

	change->result = port_impair(change->wire.port, change->wire.direction, change->impairment, change->seed);
	if (change->result == 0)
		set_filter(change);
}

/* Calls 'function' in the data plane's thread with the change and its impairment's filter, which is compiled in this
 * one: that can take long, and frames would wait for it.  Returns 0, or a negative errno value; -EINVAL: it is no
 * filter. */
static int call_with_filter(const struct lab *lab, loop_function *function, struct change *change)
{
	const char *text = change->impairment->loss_match;
	char problem[FRAME_FILTER_PROBLEM_MAX];

	if (text[0] != '\0' && frame_filter_compile(&change->filter, text, problem))
		return -EINVAL;
	dataplane_call(lab->context.dataplane, function, change);
	frame_filter_clear(&change->filter); /* Unless it was taken. */
	return change->result;
}

static int impair_wire(const struct lab *lab, struct lab_wire wire, const struct impairment *impairment)
{
	struct change change = {.wire = wire, .impairment = impairment, .seed = seed_of(lab, &wire)};

	return call_with_filter(lab, impair, &change);
}

bool lab_link_restore_filter(const struct lab_link *link, unsigned int direction)
{
	struct change change = {.wire = lab_link_wire(link, direction), .impairment = &link->now[direction]};

	if (!change.wire.port || change.impairment->loss_match[0] == '\0')
		return true;
	return call_with_filter(link->lab, set_filter, &change) == 0;
}

int lab_link_impair(struct lab_link *link, unsigned int direction, const struct impairment *impairment,
		    struct error *error)
{
	const struct lab_wire wire = lab_link_wire(link, direction);
	int result;
	char *text;

	if (!wire.port)
		return error_set(error, ERROR_FAILED, ENODEV, "%s has no port now", lab_link_end(link, 0));
	result = impair_wire(link->lab, wire, impairment);
	if (result == -EINVAL)
		return error_set(error, ERROR_USAGE, EINVAL, "loss-match \"%s\" is no filter", impairment->loss_match);
	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "out of memory");
	link->now[direction] = *impairment;
	text = impairment_text(impairment);
	lab_tell_capture(link->lab, "from %s to %s: %s", lab_link_end(link, direction),
			 lab_link_end(link, 1 - direction), text ? text : "?");
	free(text);
	return 0;
}

/* Users' changes. */

static bool is_meant(enum lab_side side, unsigned int end, unsigned int direction)
{
	return side == LAB_BOTH || (side == LAB_TX) == (direction == end);
}

int lab_set_link(struct lab *lab, const char *port, enum lab_side side, bool is_up, struct error *error)
{
	unsigned int end;
	struct lab_link *link = lab_find_link(lab, port, &end, error);

	if (!link)
		return -ENOENT;
	if (!any_port(link))
		return error_set(error, ERROR_FAILED, ENODEV, "%s has no port now", lab_link_end(link, 0));
	if (side == LAB_BOTH) {
		lab_link_stop_flap(link, is_up ? "the link was set up" : "the link was set down");
		lab_link_set_carrier(link, is_up, "");
	}
	for (unsigned int direction = 0; direction < 2; direction++)
		if (is_meant(side, end, direction) && (side != LAB_BOTH || is_up))
			set_cut(link, direction, !is_up);
	return 0;
}

/* What frames are to meet in that direction. */
static int choose(const struct lab_link *link, unsigned int direction, enum lab_impair action, const char *text,
		  struct impairment *impairment, struct error *error)
{
	static const struct impairment none;

	switch (action) {
	case LAB_IMPAIR_SET:
		*impairment = link->now[direction];
		return topology_read_impairment_text(text, impairment, error);
	case LAB_IMPAIR_CLEAR:
		*impairment = none;
		break;
	case LAB_IMPAIR_RESET:
		*impairment = *link->wanted[direction];
		break;
	}
	return 0;
}

int lab_impair(struct lab *lab, const char *port, enum lab_side side, enum lab_impair action, const char *text,
	       struct error *error)
{
	struct impairment before[2], after[2];
	unsigned int end, done = 0;
	struct lab_link *link = lab_find_link(lab, port, &end, error);
	int result = link ? 0 : -ENOENT;

	for (unsigned int i = 0; result == 0 && i < 2; i++) {
		before[i] = after[i] = link->now[i];
		if (is_meant(side, end, i))
			result = choose(link, i, action, text, &after[i], error);
	}
	for (; result == 0 && done < 2; done++)
		if (is_meant(side, end, done))
			result = lab_link_impair(link, done, &after[done], error);
	/* The second one failed. */
	if (result < 0 && done == 2 && is_meant(side, end, 0))
		(void)lab_link_impair(link, 0, &before[0], NULL);
	return result;
}

/* Beginning and end. */

static struct lab_link *make_link(struct lab *lab, const struct topology_link *topology, size_t network)
{
	struct lab_link *link = allocate_zeroed(1, sizeof(*link));

	link->lab = lab;
	link->topology = topology;
	link->network = network;
	lab_link_prepare(link);
	if (!topology)
		link->outer_name = allocate_text("network:%s", lab->topology->networks[network].name);
	for (unsigned int i = 0; i < 2; i++)
		link->wanted[i] = lab_link_wanted(link, i);
	return link;
}

static void free_link(struct lab_link *link)
{
	free(link->outer_name);
	free(link);
}

/* Links of the lab's topology, in its order, then those of outer ports; sets '*count'. */
static struct lab_link **make_links(struct lab *lab, size_t *count)
{
	const struct topology *topology = lab->topology;
	struct lab_link **links = allocate_zeroed(topology->link_count + topology->network_count, sizeof(links[0]));

	*count = 0;
	for (size_t i = 0; i < topology->link_count; i++)
		links[(*count)++] = make_link(lab, &topology->links[i], 0);
	for (size_t i = 0; i < topology->network_count; i++)
		if (topology->networks[i].mode != TOPOLOGY_ISOLATED)
			links[(*count)++] = make_link(lab, NULL, i);
	return links;
}

/* Has frames meet what the link asks for. */
static int begin_link(struct lab_link *link, struct error *error)
{
	int result = 0;

	for (unsigned int i = 0; result == 0 && i < 2; i++)
		if (impairment_is_any(link->wanted[i]))
			result = lab_link_impair(link, i, link->wanted[i], error);
	return result;
}

int lab_links_create(struct lab *lab, struct error *error)
{
	int result = 0;

	lab->links = make_links(lab, &lab->link_count);
	for (size_t i = 0; result == 0 && i < lab->link_count; i++)
		result = begin_link(lab->links[i], error);
	return result;
}

void lab_links_destroy(struct lab *lab)
{
	for (size_t i = 0; i < lab->link_count; i++)
		free_link(lab->links[i]);
	free(lab->links);
	lab->links = NULL;
	lab->link_count = 0;
}

/* Another topology. */

/* The link of the lab as it was that has the same ends, or NULL. */
static struct lab_link *find_former(const struct lab *lab, const struct topology *former, const struct lab_link *link)
{
	const struct topology_link *its;

	if (link->topology) {
		its = plan_find_link(former, lab->topology, link->topology);
		return its ? lab->links[its - former->links] : NULL;
	}
	for (size_t i = former->link_count; i < lab->link_count; i++)
		if (!strcmp(lab->links[i]->outer_name, link->outer_name))
			return lab->links[i];
	return NULL;
}

/* Clears a port of what it had on another link. */
static void clear_port(const struct lab *lab, struct port *port)
{
	static const struct impairment none;
	struct change change = {.wire.port = port, .is_on = true};

	if (!port)
		return;
	if (!port_has_carrier(port))
		dataplane_call(lab->context.dataplane, set_carrier, &change);
	change.is_on = false;
	for (unsigned int i = PORT_SENDS; i <= PORT_RECEIVES; i++) {
		change.wire.direction = i;
		dataplane_call(lab->context.dataplane, cut, &change);
		(void)impair_wire(lab, change.wire, &none);
	}
}

/* Goes on as 'former', which stays its own: what was changed by hand, and, if it is the same, the schedule. */
static void succeed(struct lab_link *link, const struct topology *from, const struct lab_link *former)
{
	bool is_turned = link->topology && plan_is_turned(from, former->topology, link->lab->topology, link->topology);

	for (unsigned int i = 0; i < 2; i++)
		link->now[i] = former->now[is_turned ? 1 - i : i];
	if (!link->topology || !plan_same_schedule(former->topology, link->topology, is_turned))
		return;
	link->has_begun = former->has_begun;
	link->zero = former->zero;
	link->next_event = former->next_event;
}

/* Has it be as the file and its schedule say now. */
static void change_link(struct lab_link *link, json_t *failures)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct error error = {.class = ERROR_NONE};

		link->wanted[i] = lab_link_wanted(link, i);
		if (impairment_is_equal(&link->now[i], link->wanted[i]) ||
		    lab_link_impair(link, i, link->wanted[i], &error) == 0)
			continue;
		log_line("%s", error.text);
		json_array_append_new(failures, json_text(error.text));
	}
	if (link->has_begun)
		lab_link_go_on(link);
}

void lab_links_change(struct lab *lab, const struct topology *from, json_t *failures)
{
	size_t count;
	struct lab_link **links = make_links(lab, &count);

	for (size_t i = 0; i < count; i++) {
		const struct lab_link *former = find_former(lab, from, links[i]);

		if (former)
			succeed(links[i], from, former);
		for (unsigned int j = 0; !former && j < 2; j++)
			clear_port(lab, end_port(links[i], j));
	}
	lab_links_destroy(lab);
	lab->links = links;
	lab->link_count = count;
	for (size_t i = 0; i < count; i++)
		change_link(links[i], failures);
}

void lab_links_describe(const struct lab *lab, struct topology *topology)
{
	for (size_t i = 0; i < lab->link_count; i++) {
		const struct lab_link *link = lab->links[i];

		for (unsigned int j = 0; j < 2; j++) {
			struct impairment *to = link->topology ? &topology->links[i].impairments[j] :
								 &topology->networks[link->network].impairments[j];

			if (!impairment_is_equal(&link->now[j], link->wanted[j]))
				*to = link->now[j];
		}
	}
}
