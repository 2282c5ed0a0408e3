/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/dataplane.h"
#include "netlab/lab_internal.h"

/* A lab's time, which stands still while the lab does: when at least one node is paused, and all others have no machine
 * that runs.  That follows from the states of nodes alone, so it is right however they came to be: by hand, one by one
 * or all, or from a snapshot; and a node that is started, restarted or added has time go on. */

static bool stands_still(const struct lab *lab)
{
	bool is_any_paused = false;

	for (size_t i = 0; i < lab->node_count; i++) {
		switch (lab->nodes[i]->state) {
		case NODE_BOOTING:
		case NODE_CONFIGURING:
		case NODE_READY:
			return false;
		case NODE_PAUSED:
			is_any_paused = true;
			break;
		case NODE_CREATED:
		case NODE_STOPPED:
		case NODE_CRASHED:
			break;
		}
	}
	return is_any_paused;
}

uint64_t lab_time(const struct lab *lab)
{
	return held_clock_read(&lab->clock, loop_now());
}

void lab_keep_time(struct lab *lab)
{
	bool is_held = stands_still(lab);

	/* Of a lab that is being taken down nothing goes on any more. */
	if (lab->stopping || is_held == held_clock_is_held(&lab->clock))
		return;
	if (is_held)
		held_clock_hold(&lab->clock, loop_now());
	else
		held_clock_release(&lab->clock, loop_now());
	dataplane_pause(lab->context.dataplane, is_held);
	lab_links_keep_time(lab);
}
