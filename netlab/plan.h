/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PLAN_H
#define NETLAB_PLAN_H 1

/* Plan: what makes one topology of another
 * ========================================
 *
 * Compares two topologies and says which nodes, networks, attachments and links come, go or change, in words for
 * people and with what there is to do.  The rule is simple, so that it can be foreseen: a node whose own
 * description differs restarts, and every other is left alone.  A node's interfaces, with their addresses, are part
 * of its description; where the other end of an interface's link is, is not: that is only a wire to be moved.  Only
 * what can be added to a running guest is changed in place: addresses, and values of sysctl.  What frames meet on links
 * is no guest's business: impairments and schedules are changed in place.
 *
 * Only descriptions are looked at: neither what became of a node, nor whether a file named under "files:" has other
 * contents.  Order does not matter, save that of routes, start-up commands, files and tests.  Tests are for clients of
 * the lab: nothing in it is touched when they differ.  Of what is captured, only when the lab's file rotates, and
 * whether it has events, can be changed; the rest stays as it is, and the plan says so each time.
 *
 * Thread-safety: any thread; a struct plan belongs to one.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "netlab/topology.h"

enum plan_kind { PLAN_NODE, PLAN_NETWORK, PLAN_ATTACHMENT, PLAN_LINK, PLAN_TEST, PLAN_CAPTURE };

enum plan_action {
	PLAN_ADD,
	PLAN_REMOVE,
	PLAN_RESTART, /* Nodes only. */
	PLAN_CHANGE,  /* In place: nothing stops for it. */
	PLAN_LATER,   /* Captures only: nothing is done; it is settled when a lab is started. */
};

struct plan_change {
	enum plan_kind kind;
	enum plan_action action;
	char *name;   /* A node's, network's or test's, "socket:qemu1", "h1:eth0 - lan"; of a capture the lab's. */
	char *reason; /* What differs, "" for what comes or goes: "memory 64M -> 96M, eth1 added". */
};

struct plan {
	/* Nodes, networks, attachments, links, tests, the capture; of each what comes, goes, restarts, changes, or
	 * waits. */
	struct plan_change *changes;
	size_t count;
};

/* Returns the plan, to be freed with plan_free().  'from' may be NULL: then everything comes. */
struct plan *plan_create(const struct topology *from, const struct topology *to);
void plan_free(struct plan *plan);

/* Returns what happens to the node of that name, or NULL: nothing. */
struct plan_change *plan_find_node(const struct plan *plan, const char *name);

/* Whether an attachment goes or changes, and so gives up what it has of the host's. */
bool plan_frees_attachment(const struct plan *plan);

/* Notes that the node of that name restarts, for 'reason' beside what differs, if anything does. */
void plan_restart_node(struct plan *plan, const char *name, const char *reason);

/* Notes that the network or attachment of that name, which has failed to reach out of the lab, tries again; unless it
 * is in the plan. */
void plan_try_again(struct plan *plan, enum plan_kind kind, const char *name);

/* The link of 'other' with the same ends as that of 'topology', or NULL. */
const struct topology_link *plan_find_link(const struct topology *other, const struct topology *topology,
					   const struct topology_link *link);
/* Whether the ends of two links that have the same ones are in another order. */
bool plan_is_turned(const struct topology *from, const struct topology_link *from_link, const struct topology *to,
		    const struct topology_link *to_link);
/* Whether the links have the same events, of which those of 'b' are turned as its ends are. */
bool plan_same_schedule(const struct topology_link *a, const struct topology_link *b, bool is_turned);

/* Lines for the guest's agent (netlab/agent_protocol.h) that make what 'from' describes of a node what 'to' does, when
 * that is possible in place; to be freed with free(). */
char *plan_node_lines(const struct topology_node *from, const struct topology_node *to);

/* The changes as a JSON array (a new reference): "kind", "action", "name", "reason", in the words of
 * docs/control-protocol.md. */
json_t *plan_json(const struct plan *plan);

#endif /* plan.h */
