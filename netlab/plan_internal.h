/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PLAN_INTERNAL_H
#define NETLAB_PLAN_INTERNAL_H 1

/* What netlab/plan.c, netlab/plan_link.c (links, and what frames meet on them) and netlab/plan_capture.c share.
 * Thread-safety: as netlab/plan.h. */

#include <stdbool.h>

#include "netlab/plan.h"

/* What differs between two descriptions of one thing. */
struct difference {
	char *text; /* In words, separated by commas; NULL: nothing. */
	bool restarts;
};

/* Adds words to what differs. */
void plan_note(struct difference *difference, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds a change, which takes the two strings. */
void plan_add(struct plan *plan, enum plan_kind kind, enum plan_action action, char *name, char *reason);
/* Returns the node's interface of that name, or NULL. */
const struct topology_interface *plan_find_interface(const struct topology_node *node, const char *name);

/* netlab/plan_link.c */

void plan_links(struct plan *plan, const struct topology *from, const struct topology *to);
/* Notes what two directions meet in place of what they met before; 'names' are those of their senders. */
void plan_compare_impairments(struct difference *difference, const char *const names[2],
			      const struct impairment *const from[2], const struct impairment *const to[2]);

/* netlab/plan_capture.c */

void plan_capture(struct plan *plan, const struct topology *from, const struct topology *to);

#endif /* plan_internal.h */
