/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/queue_discipline.h"

#include "netlab/random.h"

#define RED_WEIGHT (1.0 / 512) /* Of the newest length in the average. */

/* One frame of the usual size: a queue that has no more is not too long (RFC 8289, 4.4). */
#define CODEL_BYTES_MIN 1514

/* The average fades while nothing comes: as if frames had found the queue empty all the time. */
static void fade(struct red *red, uint64_t now, uint64_t pause)
{
	uint64_t missed = pause > 0 && now > red->idle_since ? (now - red->idle_since) / pause : 0;

	if (missed > 100000)
		red->average = 0;
	for (double factor = 1 - RED_WEIGHT; missed > 0; missed /= 2, factor *= factor) {
		if (missed & 1)
			red->average *= factor;
	}
	red->idle_since = 0;
}

bool red_drops(struct red *red, const struct impairment *impairment, uint32_t waiting, uint32_t room, uint64_t now,
	       uint64_t pause, double chance)
{
	double min = impairment->red_min ? impairment->red_min : room / 4.0;
	double max = impairment->red_max ? impairment->red_max : room * 3 / 4.0;
	double most = impairment->red_probability ? (double)impairment->red_probability / IMPAIRMENT_ALL : 1 / 50.0;
	double likely;

	if (red->idle_since > 0)
		fade(red, now, pause);
	red->average += RED_WEIGHT * (waiting - red->average);
	if (red->average < min || min >= max) {
		red->since = -1;
		return red->average >= max;
	}
	if (red->average >= max) {
		red->since = 0;
		return true;
	}
	red->since++;
	likely = most * (red->average - min) / (max - min);
	/* So that drops are spread evenly, and not in clusters. */
	likely = (double)red->since * likely < 1 ? likely / (1 - (double)red->since * likely) : 1;
	if (chance >= likely)
		return false;
	red->since = 0;
	return true;
}

void red_idle(struct red *red, uint64_t now)
{
	if (red->idle_since == 0)
		red->idle_since = now > 0 ? now : 1;
}

static uint64_t interval_of(const struct impairment *impairment)
{
	return impairment->codel_interval ? impairment->codel_interval : IMPAIRMENT_CODEL_INTERVAL;
}

/* Whether it has been too long for an interval (RFC 8289, 5.5, dodequeue). */
static bool is_too_long(struct codel *codel, const struct impairment *impairment, uint64_t since, uint64_t now,
			uint64_t left)
{
	uint64_t target = impairment->codel_target ? impairment->codel_target : IMPAIRMENT_CODEL_TARGET;

	if (now - since < target || left <= CODEL_BYTES_MIN) {
		codel->first_above = 0;
		return false;
	}
	if (codel->first_above == 0)
		codel->first_above = now + interval_of(impairment);
	return now >= codel->first_above;
}

static uint64_t next_after(const struct codel *codel, const struct impairment *impairment, uint64_t time)
{
	return time + (uint64_t)((double)interval_of(impairment) / random_square_root(codel->count));
}

/* RFC 8289, 5.6. */
bool codel_drops(struct codel *codel, const struct impairment *impairment, uint64_t since, uint64_t now, uint64_t left)
{
	uint64_t interval = interval_of(impairment);
	uint32_t delta;

	if (!is_too_long(codel, impairment, since, now, left)) {
		codel->is_dropping = false;
		return false;
	}
	if (codel->is_dropping) {
		if (now < codel->drop_next)
			return false;
		codel->count++;
		codel->drop_next = next_after(codel, impairment, codel->drop_next);
		return true;
	}
	delta = codel->count - codel->last_count;
	codel->count = delta > 1 && now - codel->drop_next < 16 * interval ? delta : 1;
	codel->last_count = codel->count;
	codel->drop_next = next_after(codel, impairment, now);
	codel->is_dropping = true;
	return true;
}

void codel_idle(struct codel *codel)
{
	codel->first_above = 0;
	codel->is_dropping = false;
}
