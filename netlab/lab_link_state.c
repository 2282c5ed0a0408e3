/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/lab_link_internal.h"

/* Links in a snapshot: how far their schedules are.  All else is the ports' (netlab/dataplane_state.c), which are
 * restored before.  Links are in the order of the topology, which is the one of the snapshot. */

#define TAG_LINK STATE_TAG('l', 'i', 'n', 'k')

struct link_state {
	uint64_t has_begun;
	uint64_t elapsed; /* Nanoseconds of its schedule. */
};

/* One that has an event at its very beginning has not begun before that. */
static bool has_begun(const struct lab_link *link)
{
	const struct topology_link *topology = link->topology;

	return link->has_begun &&
	       !(topology && link->next_event == 0 && topology->event_count > 0 && topology->events[0].at == 0);
}

/* How far its schedule is.  An event whose time has come and that has not been yet is to be when this is restored. */
static uint64_t elapsed(const struct lab_link *link, uint64_t now)
{
	const struct topology_link *topology = link->topology;
	uint64_t elapsed = has_begun(link) ? now - link->zero : 0;
	bool has_more = has_begun(link) && topology && link->next_event < topology->event_count;
	uint64_t next = has_more ? topology->events[link->next_event].at : UINT64_MAX;

	return elapsed < next || next == 0 ? elapsed : next - 1;
}

void lab_links_save(const struct lab *lab, struct state *state)
{
	uint64_t now = lab_time(lab);

	for (size_t i = 0; i < lab->link_count; i++) {
		const struct lab_link *link = lab->links[i];
		const struct link_state saved = {.has_begun = has_begun(link), .elapsed = elapsed(link, now)};

		state_put(state, TAG_LINK, &saved, sizeof(saved));
	}
}

/* How many events have been after that time. */
static size_t count_events(const struct lab_link *link, uint64_t elapsed)
{
	size_t count = 0;

	while (link->topology && count < link->topology->event_count && link->topology->events[count].at <= elapsed)
		count++;
	return count;
}

static bool restore_link(struct lab_link *link, struct state *state)
{
	struct link_state saved;

	if (!state_get(state, TAG_LINK, &saved, sizeof(saved)) || saved.has_begun > 1 || saved.elapsed > INT64_MAX)
		return false;
	link->has_begun = saved.has_begun;
	link->zero = lab_time(link->lab) - saved.elapsed; /* Perhaps before the clock began: the difference is right. */
	link->next_event = link->has_begun ? count_events(link, saved.elapsed) : 0;
	for (unsigned int i = 0; i < 2; i++) {
		link->wanted[i] = lab_link_wanted(link, i);
		if (!lab_link_restore_filter(link, i))
			return false;
	}
	return true;
}

/* loop_function, in the data plane's thread: what frames meet now. */
static void read_impairments(void *opaque)
{
	struct lab *lab = opaque;

	for (size_t i = 0; i < 2 * lab->link_count; i++) {
		struct lab_link *link = lab->links[i / 2];
		const struct lab_wire wire = lab_link_wire(link, i % 2);
		const struct impairment *now = wire.port ? port_impairment(wire.port, wire.direction) : NULL;

		link->now[i % 2] = now ? *now : (struct impairment){.delay = 0};
	}
}

void lab_links_restore(struct lab *lab, struct state *state)
{
	dataplane_call(lab->context.dataplane, read_impairments, lab);
	for (size_t i = 0; i < lab->link_count; i++)
		state->bad = state->bad || !restore_link(lab->links[i], state);
	for (size_t i = 0; i < lab->link_count; i++)
		if (lab->links[i]->has_begun)
			lab_link_go_on(lab->links[i]);
}
