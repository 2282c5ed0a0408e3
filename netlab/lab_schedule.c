/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "netlab/lab_link_internal.h"

/* What happens to links by itself: the events of their schedules, and flapping.
 *
 * The time of a schedule begins when all nodes are ready for the first time since it was there.  All times are the
 * lab's, which may stand still (netlab/lab_clock.c); timers are the control loop's: an event is late by what that is
 * busy with, which is why when it happened is told in captures. */

/* Has the timer fire at that time of the lab. */
static void arm(const struct lab *lab, struct loop_timer *timer, uint64_t time)
{
	if (held_clock_is_held(&lab->clock))
		loop_timer_cancel(lab->context.control, timer);
	else
		loop_timer_set(lab->context.control, timer, held_clock_when(&lab->clock, time));
}

/* Schedules. */

const struct impairment *lab_link_wanted(const struct lab_link *link, unsigned int direction)
{
	const struct topology_link *topology = link->topology;
	const struct impairment *wanted;

	if (!topology)
		return &link->lab->topology->networks[link->network].impairments[direction];
	wanted = &topology->impairments[direction];
	for (size_t i = 0; i < link->next_event; i++)
		if (topology->events[i].is_impaired[direction])
			wanted = &topology->events[i].impairments[direction];
	return wanted;
}

static void run_event(struct lab_link *link, const struct topology_event *event)
{
	if (event->carrier != TOPOLOGY_CARRIER_STAYS)
		lab_link_set_carrier(link, event->carrier == TOPOLOGY_CARRIER_UP, "as scheduled");
	for (unsigned int i = 0; i < 2; i++) {
		struct error error = {.class = ERROR_NONE};

		if (!event->is_impaired[i])
			continue;
		link->wanted[i] = &event->impairments[i];
		if (lab_link_impair(link, i, &event->impairments[i], &error) < 0)
			log_line("schedule of %s - %s: %s", lab_link_end(link, 0), lab_link_end(link, 1), error.text);
	}
}

static bool has_more_events(const struct lab_link *link)
{
	return link->topology && link->next_event < link->topology->event_count;
}

void lab_link_go_on(struct lab_link *link)
{
	if (has_more_events(link))
		arm(link->lab, &link->event_timer, link->zero + link->topology->events[link->next_event].at);
}

/* loop_function */
static void on_event(void *opaque)
{
	struct lab_link *link = opaque;
	uint64_t now = lab_time(link->lab);

	while (has_more_events(link) && link->zero + link->topology->events[link->next_event].at <= now)
		run_event(link, &link->topology->events[link->next_event++]);
	lab_link_go_on(link);
}

void lab_links_start(struct lab *lab)
{
	for (size_t i = 0; i < lab->link_count; i++) {
		struct lab_link *link = lab->links[i];

		if (link->has_begun || !has_more_events(link))
			continue;
		link->has_begun = true;
		link->zero = lab_time(lab);
		lab_link_go_on(link);
	}
}

/* Flapping. */

/* It goes up or down at that time of the lab. */
static void await_flap(struct lab_link *link, uint64_t due)
{
	link->flap.due = due;
	arm(link->lab, &link->flap.timer, due);
}

/* Forgets the flapping first: who is told may begin another. */
static void end_flap(struct lab_link *link, const char *failure, json_t *result)
{
	const struct lab_flap flap = link->flap;

	loop_timer_cancel(link->lab->context.control, &link->flap.timer);
	link->flap.done = NULL;
	if (flap.done)
		flap.done(flap.opaque, failure, result);
}

void lab_link_stop_flap(struct lab_link *link, const char *failure)
{
	end_flap(link, failure, NULL);
}

/* Gives it up: the link is up. */
static void give_up_flap(struct lab_link *link, const char *failure)
{
	if (!link->flap.done)
		return;
	lab_link_set_carrier(link, true, "no longer flapping");
	end_flap(link, failure, NULL);
}

/* loop_function */
static void on_flap(void *opaque)
{
	struct lab_link *link = opaque;
	struct lab_flap *flap = &link->flap;
	bool is_up = !flap->is_up;
	json_t *result;

	flap->is_up = is_up;
	flap->number += !is_up;
	lab_link_set_carrier(link, is_up, "flapping");
	flap->flapped(flap->opaque, is_up, flap->number);
	if (!flap->done) /* Who was told had enough of it. */
		return;
	if (!is_up || flap->number < flap->options.count) {
		await_flap(link, lab_time(link->lab) + (is_up ? flap->options.up : flap->options.down));
		return;
	}
	result = json_pack("{s:I}", "flaps", (json_int_t)flap->number);
	end_flap(link, "", result);
	json_decref(result);
}

int lab_flap(struct lab *lab, const char *port, const struct lab_flap_options *options, lab_flapped *flapped,
	     lab_done *done, void *opaque, struct error *error)
{
	unsigned int end;
	struct lab_link *link = lab_find_link(lab, port, &end, error);

	if (!link)
		return -ENOENT;
	if (link->flap.done)
		return error_set(error, ERROR_FAILED, EBUSY, "the link of %s flaps already", port);
	link->flap = (struct lab_flap){.options = *options,
				       .is_up = true,
				       .timer = link->flap.timer,
				       .flapped = flapped,
				       .done = done,
				       .opaque = opaque};
	await_flap(link, lab_time(lab));
	return 0;
}

void lab_forget_flap(struct lab *lab, const void *opaque)
{
	for (size_t i = 0; i < lab->link_count; i++) {
		struct lab_link *link = lab->links[i];

		if (!link->flap.done || link->flap.opaque != opaque)
			continue;
		link->flap.done = NULL;
		loop_timer_cancel(lab->context.control, &link->flap.timer);
		lab_link_set_carrier(link, true, "no longer flapping");
	}
}

/* Both. */

void lab_link_prepare(struct lab_link *link)
{
	link->event_timer = (struct loop_timer){.function = on_event, .opaque = link};
	link->flap.timer = (struct loop_timer){.function = on_flap, .opaque = link};
}

void lab_links_keep_time(struct lab *lab)
{
	for (size_t i = 0; i < lab->link_count; i++) {
		struct lab_link *link = lab->links[i];

		if (link->has_begun)
			lab_link_go_on(link);
		if (link->flap.done)
			await_flap(link, link->flap.due);
	}
}

void lab_links_quiet(struct lab *lab, const char *failure)
{
	for (size_t i = 0; i < lab->link_count; i++) {
		loop_timer_cancel(lab->context.control, &lab->links[i]->event_timer);
		give_up_flap(lab->links[i], failure);
	}
}
