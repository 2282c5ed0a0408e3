/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_LINK_INTERNAL_H
#define NETLAB_LAB_LINK_INTERNAL_H 1

/* What netlab/lab_link.c (links, carrier, impairments), netlab/lab_link_json.c (telling of them), netlab/lab_schedule.c
 * (what happens to them by itself) and netlab/lab_link_state.c (snapshots) share.  Thread-safety: the control
 * loop's. */

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_link.h"
#include "netlab/topology.h"

struct lab_flap {
	struct lab_flap_options options;
	uint32_t number; /* Of the flap that is going on. */
	bool is_up;      /* As it made the link. */
	uint64_t due;    /* Of the lab's time: when that changes. */
	struct loop_timer timer;
	lab_flapped *flapped;
	lab_done *done; /* NULL: the link does not flap. */
	void *opaque;
};

/* Direction d is what its end d sends, as in struct topology_link; the end 0 of an outer port's link is that port. */
struct lab_link {
	struct lab *lab;
	const struct topology_link *topology; /* NULL: that of an outer port. */
	size_t network;                       /* Of which network, then. */
	char *outer_name;                     /* The port's, then; else NULL. */
	struct impairment now[2];             /* What frames meet, ... */
	const struct impairment *wanted[2];   /* ... and what they would, if it were not changed by hand. */
	bool has_begun;                       /* Its schedule, ... */
	uint64_t zero;                        /* ... at this time of the lab, ... */
	size_t next_event;                    /* ... of which this comes next. */
	struct loop_timer event_timer;
	struct lab_flap flap;
};

/* Where a direction of a link is, for the data plane. */
struct lab_wire {
	struct port *port; /* NULL: nowhere. */
	enum port_direction direction;
};

/* The name of an end: a port's, or a network's. */
const char *lab_link_end(const struct lab_link *link, unsigned int end);
struct lab_wire lab_link_wire(const struct lab_link *link, unsigned int direction);
bool lab_link_has_carrier(const struct lab_link *link);
/* Returns the link of the port of that name, and sets '*end' to which of its ends that is; or NULL with 'error' set. */
struct lab_link *lab_find_link(const struct lab *lab, const char *port, unsigned int *end, struct error *error);

void lab_link_set_carrier(struct lab_link *link, bool is_up, const char *why);
/* Has it be impaired so in one direction.  Returns 0, or a negative errno value with 'error' set. */
int lab_link_impair(struct lab_link *link, unsigned int direction, const struct impairment *impairment,
		    struct error *error);
/* Gives what was restored in one direction its filter.  Returns false if that is none. */
bool lab_link_restore_filter(const struct lab_link *link, unsigned int direction);

/* netlab/lab_schedule.c */

/* Sets up the timers of a link that is new. */
void lab_link_prepare(struct lab_link *link);
/* Ends its flapping, if it flaps, 'failure' being told to who waits for that; it stays as it is. */
void lab_link_stop_flap(struct lab_link *link, const char *failure);
/* Goes on with its schedule, which has begun. */
void lab_link_go_on(struct lab_link *link);
/* What frames should meet in that direction, by the file and the events that have been. */
const struct impairment *lab_link_wanted(const struct lab_link *link, unsigned int direction);

#endif /* lab_link_internal.h */
