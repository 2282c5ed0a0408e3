/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/plan_internal.h"

/* Links: which come and go, and what differs on those that stay, rules of their ports, impairments and schedules. */

static bool same_end(const struct topology *a, const struct topology_endpoint *a_end, const struct topology *b,
		     const struct topology_endpoint *b_end)
{
	const struct topology_node *a_node, *b_node;

	if (a_end->kind != b_end->kind)
		return false;
	if (a_end->kind == TOPOLOGY_END_NETWORK)
		return !strcmp(a->networks[a_end->network].name, b->networks[b_end->network].name);
	if (a_end->kind == TOPOLOGY_END_ATTACHMENT)
		return !strcmp(a->attachments[a_end->attachment].name, b->attachments[b_end->attachment].name);
	a_node = &a->nodes[a_end->node];
	b_node = &b->nodes[b_end->node];
	return !strcmp(a_node->name, b_node->name) &&
	       !strcmp(a_node->interfaces[a_end->interface].name, b_node->interfaces[b_end->interface].name);
}

static bool same_link(const struct topology *a, const struct topology_link *a_link, const struct topology *b,
		      const struct topology_link *b_link)
{
	const struct topology_endpoint *a_ends = a_link->endpoints, *b_ends = b_link->endpoints;

	return (same_end(a, &a_ends[0], b, &b_ends[0]) && same_end(a, &a_ends[1], b, &b_ends[1])) ||
	       (same_end(a, &a_ends[0], b, &b_ends[1]) && same_end(a, &a_ends[1], b, &b_ends[0]));
}

/* The link that 'other' has at what 'end' is called in 'topology', or NULL.  The end is no network. */
static const struct topology_link *find_link_at(const struct topology *other, const struct topology *topology,
						const struct topology_endpoint *end)
{
	const struct topology_attachment *attachment;
	const struct topology_interface *interface;
	const struct topology_node *node, *its_node;

	if (end->kind == TOPOLOGY_END_ATTACHMENT) {
		attachment = topology_find_attachment(other, topology->attachments[end->attachment].name);
		return attachment ? &other->links[attachment->link] : NULL;
	}
	node = &topology->nodes[end->node];
	its_node = topology_find_node(other, node->name);
	interface = its_node ? plan_find_interface(its_node, node->interfaces[end->interface].name) : NULL;
	return interface ? &other->links[interface->link] : NULL;
}

/* It is looked for at the link's first end that is no network, since that has one link. */
const struct topology_link *plan_find_link(const struct topology *other, const struct topology *topology,
					   const struct topology_link *link)
{
	const struct topology_endpoint *ends = link->endpoints;
	const struct topology_link *its = find_link_at(other, topology, &ends[ends[0].kind == TOPOLOGY_END_NETWORK]);

	return its && same_link(topology, link, other, its) ? its : NULL;
}

static char *end_name(const struct topology *topology, const struct topology_endpoint *end)
{
	const struct topology_node *node;

	if (end->kind == TOPOLOGY_END_NETWORK)
		return allocate_copy(topology->networks[end->network].name);
	if (end->kind == TOPOLOGY_END_ATTACHMENT)
		return allocate_copy(topology->attachments[end->attachment].name);
	node = &topology->nodes[end->node];
	return allocate_text("%s:%s", node->name, node->interfaces[end->interface].name);
}

static void add_link(struct plan *plan, enum plan_action action, const struct topology *topology,
		     const struct topology_link *link, char *reason)
{
	char *a = end_name(topology, &link->endpoints[0]), *b = end_name(topology, &link->endpoints[1]);

	plan_add(plan, PLAN_LINK, action, allocate_text("%s - %s", a, b), reason);
	free(a);
	free(b);
}

bool plan_is_turned(const struct topology *from, const struct topology_link *from_link, const struct topology *to,
		    const struct topology_link *to_link)
{
	return !same_end(from, &from_link->endpoints[0], to, &to_link->endpoints[0]);
}

/* Ends are the same in both, though perhaps not in their order. */
static void compare_rules(struct difference *difference, const struct topology *from,
			  const struct topology_link *from_link, const struct topology *to,
			  const struct topology_link *to_link)
{
	bool is_turned = plan_is_turned(from, from_link, to, to_link);

	for (size_t i = 0; i < 2; i++) {
		const struct topology_endpoint *end = &to_link->endpoints[i];
		char *before = topology_rules_text(&from_link->endpoints[is_turned ? 1 - i : i]);
		char *after = topology_rules_text(end), *name = end_name(to, end);

		/* A network's end of a link has no rules. */
		if (strcmp(before, after) && to_link->endpoints[1 - i].kind == TOPOLOGY_END_NETWORK)
			plan_note(difference, "%s -> %s", before, after);
		else if (strcmp(before, after))
			plan_note(difference, "%s: %s -> %s", name, before, after);
		free(before);
		free(after);
		free(name);
	}
}

static void note_impairment(struct difference *difference, const char *name, const struct impairment *from,
			    const struct impairment *to)
{
	char *before = impairment_text(from), *after = impairment_text(to);

	plan_note(difference, "%s%s%s%s -> %s", name ? "from " : "", name ? name : "", name ? ": " : "",
		  before ? before : "?", after ? after : "?");
	free(before);
	free(after);
}

void plan_compare_impairments(struct difference *difference, const char *const names[2],
			      const struct impairment *const from[2], const struct impairment *const to[2])
{
	bool is_same[2] = {impairment_is_equal(from[0], to[0]), impairment_is_equal(from[1], to[1])};

	if (!is_same[0] && !is_same[1] && impairment_is_equal(from[0], from[1]) && impairment_is_equal(to[0], to[1])) {
		note_impairment(difference, NULL, from[0], to[0]);
		return;
	}
	for (size_t i = 0; i < 2; i++)
		if (!is_same[i])
			note_impairment(difference, names[i], from[i], to[i]);
}

static bool same_event(const struct topology_event *a, const struct topology_event *b, bool is_turned)
{
	if (a->at != b->at || a->carrier != b->carrier)
		return false;
	for (size_t i = 0; i < 2; i++) {
		size_t j = is_turned ? 1 - i : i;

		if (a->is_impaired[i] != b->is_impaired[j] ||
		    (a->is_impaired[i] && !impairment_is_equal(&a->impairments[i], &b->impairments[j])))
			return false;
	}
	return true;
}

bool plan_same_schedule(const struct topology_link *a, const struct topology_link *b, bool is_turned)
{
	for (size_t i = 0; a->event_count == b->event_count && i < a->event_count; i++)
		if (!same_event(&a->events[i], &b->events[i], is_turned))
			return false;
	return a->event_count == b->event_count;
}

static void compare_wires(struct difference *difference, const struct topology *from,
			  const struct topology_link *from_link, const struct topology *to,
			  const struct topology_link *to_link)
{
	bool is_turned = plan_is_turned(from, from_link, to, to_link);
	const struct impairment *before[2] = {&from_link->impairments[is_turned], &from_link->impairments[!is_turned]};
	const struct impairment *after[2] = {&to_link->impairments[0], &to_link->impairments[1]};
	char *a = end_name(to, &to_link->endpoints[0]), *b = end_name(to, &to_link->endpoints[1]);

	plan_compare_impairments(difference, (const char *const[]){a, b}, before, after);
	if (!plan_same_schedule(from_link, to_link, is_turned))
		plan_note(difference, from_link->event_count == 0 ? "schedule added" :
				      to_link->event_count == 0   ? "schedule removed" :
								    "schedule");
	free(a);
	free(b);
}

void plan_links(struct plan *plan, const struct topology *from, const struct topology *to)
{
	for (size_t i = 0; i < to->link_count; i++)
		if (!plan_find_link(from, to, &to->links[i]))
			add_link(plan, PLAN_ADD, to, &to->links[i], allocate_copy(""));
	for (size_t i = 0; i < from->link_count; i++)
		if (!plan_find_link(to, from, &from->links[i]))
			add_link(plan, PLAN_REMOVE, from, &from->links[i], allocate_copy(""));
	for (size_t i = 0; i < to->link_count; i++) {
		const struct topology_link *before = plan_find_link(from, to, &to->links[i]);
		struct difference difference = {.text = NULL};

		if (before) {
			compare_rules(&difference, from, before, to, &to->links[i]);
			compare_wires(&difference, from, before, to, &to->links[i]);
		}
		if (difference.text)
			add_link(plan, PLAN_CHANGE, to, &to->links[i], difference.text);
	}
}
