/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/fate.h"

#include "netlab/random.h"

void fate_begin(struct fate_source *source, uint64_t seed)
{
	*source = (struct fate_source){.seed = seed};
}

static uint64_t draw(const struct fate_source *source, enum fate_kind kind)
{
	return random_bits(source->seed, source->count, kind);
}

double fate_chance(const struct fate_source *source, enum fate_kind kind)
{
	return random_uniform(draw(source, kind));
}

/* Moves the normal number of this kind on to the frame: an autoregressive process of first order. */
static double move_on(struct fate_source *source, enum fate_kind kind, uint32_t correlation)
{
	double rho = (double)correlation / IMPAIRMENT_ALL;
	double normal = random_normal(fate_chance(source, kind));

	if (source->count > 1)
		normal = rho * source->normal[kind] + random_square_root(1 - rho * rho) * normal;
	source->normal[kind] = normal;
	return normal;
}

/* Whether the frame is one of 'share' of IMPAIRMENT_ALL. */
static bool happens(struct fate_source *source, enum fate_kind kind, uint32_t share, uint32_t correlation)
{
	if (share == 0)
		return false;
	if (correlation == 0 || correlation >= IMPAIRMENT_ALL)
		return (draw(source, kind) >> 32) * IMPAIRMENT_ALL >> 32 < share;
	return random_normal_below(move_on(source, kind, correlation)) * IMPAIRMENT_ALL < share;
}

static bool is_lost_in_burst(struct fate_source *source, const struct impairment_gilbert_elliott *model)
{
	if (happens(source, FATE_STATE, source->is_bad ? model->to_good : model->to_bad, 0))
		source->is_bad = !source->is_bad;
	return happens(source, FATE_BURST, source->is_bad ? model->loss_bad : model->loss_good, 0);
}

static bool is_lost(struct fate_source *source, const struct impairment *impairment)
{
	bool is_nth = impairment->loss_every > 0 && source->count % impairment->loss_every == 0;
	/* All are asked, so that each goes on with its own. */
	bool by_chance = happens(source, FATE_LOSS, impairment->loss, impairment->loss_correlation);

	return is_lost_in_burst(source, &impairment->gilbert_elliott) || by_chance || is_nth;
}

static double standardised(enum impairment_distribution distribution, double p)
{
	switch (distribution) {
	case IMPAIRMENT_NORMAL:
		return random_normal(p);
	case IMPAIRMENT_PARETO:
		return random_pareto(p);
	default:
		return 2 * p - 1;
	}
}

static uint64_t delay_of(struct fate_source *source, const struct impairment *impairment)
{
	uint32_t correlation = impairment->jitter_correlation;
	double delay, p;

	if (impairment->jitter == 0)
		return impairment->delay;
	if (correlation == 0 || correlation >= IMPAIRMENT_ALL)
		p = fate_chance(source, FATE_JITTER);
	else
		p = random_normal_below(move_on(source, FATE_JITTER, correlation));
	/* Where the series of random_normal_below() ends at 1 exactly, so far out that it does not matter. */
	if (p >= 1 || p <= 0)
		p = 0.5;
	delay = (double)impairment->delay + (double)impairment->jitter * standardised(impairment->distribution, p);
	if (delay <= 0)
		return 0;
	return delay < (double)IMPAIRMENT_TIME_MAX ? (uint64_t)delay : IMPAIRMENT_TIME_MAX;
}

static bool overtakes(struct fate_source *source, const struct impairment *impairment)
{
	bool is_chosen = happens(source, FATE_REORDER, impairment->reorder, impairment->reorder_correlation);

	return is_chosen && (impairment->reorder_gap < 2 || source->count % impairment->reorder_gap == 0);
}

void fate_next(struct fate_source *source, const struct impairment *impairment, struct fate *fate)
{
	source->count++;
	*fate = (struct fate){
		.is_lost = is_lost(source, impairment),
		.is_duplicated = happens(source, FATE_DUPLICATE, impairment->duplicate,
					 impairment->duplicate_correlation),
		.is_corrupted = happens(source, FATE_CORRUPT, impairment->corrupt, impairment->corrupt_correlation),
		.overtakes = overtakes(source, impairment),
		.delay = delay_of(source, impairment),
	};
	if (fate->overtakes)
		fate->delay = 0;
	if (fate->is_corrupted)
		fate->position = draw(source, FATE_POSITION);
}
