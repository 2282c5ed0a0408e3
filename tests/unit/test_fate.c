/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/fate.h"
#include "netlab/random.h"

#define FRAMES 200000u

#define PERCENT (IMPAIRMENT_ALL / 100)

/* Within the interval in which 99.9 % of binomial counts are; these are no random tests, the seeds are fixed. */
static void check_share(uint64_t count, uint64_t all, double share)
{
	double expected = (double)all * share;
	double limit = 3.3 * random_square_root((double)all * share * (1 - share));

	if ((double)count < expected - limit || (double)count > expected + limit)
		fail_msg("%llu of %llu are not %g", (unsigned long long)count, (unsigned long long)all, share);
}

static uint64_t count_lost(const struct impairment *impairment, uint64_t seed, unsigned int *runs)
{
	struct fate_source source;
	struct fate fate;
	uint64_t lost = 0;
	bool before = false;

	*runs = 0;
	fate_begin(&source, seed);
	for (unsigned int i = 0; i < FRAMES; i++) {
		fate_next(&source, impairment, &fate);
		lost += fate.is_lost;
		*runs += fate.is_lost && !before;
		before = fate.is_lost;
	}
	return lost;
}

static void test_losses_are_as_many_as_asked_for(void **state)
{
	static const uint32_t shares[] = {PERCENT / 10, PERCENT, 10 * PERCENT, 50 * PERCENT, 99 * PERCENT};
	unsigned int runs;

	(void)state;
	for (unsigned int i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		const struct impairment impairment = {.loss = shares[i]};

		for (uint64_t seed = 0; seed < 4; seed++)
			check_share(count_lost(&impairment, seed, &runs), FRAMES, (double)shares[i] / IMPAIRMENT_ALL);
	}
}

static void test_all_or_none(void **state)
{
	const struct impairment all = {.loss = IMPAIRMENT_ALL}, none = {.loss = 0};
	unsigned int runs;

	(void)state;
	assert_int_equal(count_lost(&all, 1, &runs), FRAMES);
	assert_int_equal(count_lost(&none, 1, &runs), 0);
}

static void test_correlation_makes_bursts_and_loses_no_more(void **state)
{
	const struct impairment alone = {.loss = 10 * PERCENT};
	const struct impairment together = {.loss = 10 * PERCENT, .loss_correlation = 80 * PERCENT};
	unsigned int runs_alone, runs_together;
	uint64_t lost;

	(void)state;
	count_lost(&alone, 7, &runs_alone);
	lost = count_lost(&together, 7, &runs_together);
	/* Neighbours are alike, so the count varies as that of fewer independent ones would. */
	assert_in_range(lost, FRAMES * 95 / 1000, FRAMES * 105 / 1000);
	assert_true(runs_together * 3 < runs_alone * 2);
}

static void test_each_nth_is_lost(void **state)
{
	const struct impairment impairment = {.loss_every = 7};
	struct fate_source source;
	struct fate fate;

	(void)state;
	fate_begin(&source, 1);
	for (unsigned int i = 1; i < 1000; i++) {
		fate_next(&source, &impairment, &fate);
		assert_int_equal(fate.is_lost, i % 7 == 0);
	}
}

static void test_bursts_of_gilbert_and_elliott(void **state)
{
	/* In the bad state for 1 / 6 of the time, for 20 frames on average, and then all is lost. */
	const struct impairment impairment = {
		.gilbert_elliott = {.to_bad = PERCENT, .to_good = 5 * PERCENT, .loss_bad = IMPAIRMENT_ALL}};
	unsigned int runs;
	uint64_t lost = count_lost(&impairment, 3, &runs);

	(void)state;
	assert_in_range(lost, FRAMES / 6 * 93 / 100, FRAMES / 6 * 107 / 100);
	assert_in_range(lost / runs, 18, 22);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Kolmogorov's and Smirnov's distance of numbers from a distribution; its limit at 0.1 %. */
static void check_distribution(double *numbers, size_t count, double (*below)(double x))
{
	double distance = 0;

	qsort(numbers, count, sizeof(numbers[0]), compare);
	for (size_t i = 0; i < count; i++) {
		double p = below(numbers[i]), low = p - (double)i / (double)count;
		double high = (double)(i + 1) / (double)count - p;

		distance = low > distance ? low : distance;
		distance = high > distance ? high : distance;
	}
	if (distance > 1.95 / random_square_root((double)count))
		fail_msg("distance %g with %zu numbers", distance, count);
}

static double below_uniform(double x)
{
	return (x + 1) / 2;
}

static double below_pareto(double x)
{
	double shifted = x * 0.8660254037844386 + 1.5;

	return shifted <= 1 ? 0 : 1 - random_exp(-3 * random_log(shifted));
}

#define JITTERED 20000

static void check_jitter(enum impairment_distribution distribution, uint32_t correlation, double (*below)(double x))
{
	/* Long enough that none is cut off at 0. */
	const struct impairment impairment = {.delay = 100000000000,
					      .jitter = 1000000000,
					      .distribution = distribution,
					      .jitter_correlation = correlation};
	static double numbers[JITTERED];
	struct fate fate = {.delay = 0};
	struct fate_source source;

	fate_begin(&source, 11);
	for (size_t i = 0; i < JITTERED; i++) {
		/* Of those that are correlated, some that are far apart. */
		for (int skipped = correlation ? 20 : 1; skipped > 0; skipped--)
			fate_next(&source, &impairment, &fate);
		numbers[i] = ((double)fate.delay - (double)impairment.delay) / (double)impairment.jitter;
	}
	check_distribution(numbers, JITTERED, below);
}

static void test_jitter_has_its_distribution(void **state)
{
	(void)state;
	for (uint32_t correlation = 0; correlation <= 50 * PERCENT; correlation += 50 * PERCENT) {
		check_jitter(IMPAIRMENT_UNIFORM, correlation, below_uniform);
		check_jitter(IMPAIRMENT_NORMAL, correlation, random_normal_below);
		check_jitter(IMPAIRMENT_PARETO, correlation, below_pareto);
	}
}

static void test_jitter_is_correlated(void **state)
{
	const struct impairment impairment = {.delay = 100000000000,
					      .jitter = 1000000000,
					      .distribution = IMPAIRMENT_NORMAL,
					      .jitter_correlation = 60 * PERCENT};
	double last = 0, product = 0, square = 0, jitter;
	struct fate_source source;
	struct fate fate;

	(void)state;
	fate_begin(&source, 5);
	for (size_t i = 0; i < FRAMES; i++, last = jitter) {
		fate_next(&source, &impairment, &fate);
		jitter = ((double)fate.delay - (double)impairment.delay) / (double)impairment.jitter;
		product += jitter * last;
		square += jitter * jitter;
	}
	assert_in_range((uint64_t)(1000 * product / square), 590, 610);
}

static void test_delays_are_never_negative(void **state)
{
	const struct impairment impairment = {.delay = 1000, .jitter = 1000000, .distribution = IMPAIRMENT_NORMAL};
	struct fate_source source;
	struct fate fate;
	unsigned int none = 0;

	(void)state;
	fate_begin(&source, 5);
	for (unsigned int i = 0; i < 10000; i++) {
		fate_next(&source, &impairment, &fate);
		assert_true(fate.delay < 10000000);
		none += fate.delay == 0;
	}
	check_share(none, 10000, 0.4996);
}

static void test_shares_of_all_else(void **state)
{
	const struct impairment impairment = {.delay = 5,
					      .duplicate = 2 * PERCENT,
					      .corrupt = 3 * PERCENT,
					      .reorder = 40 * PERCENT,
					      .reorder_gap = 4};
	uint64_t duplicated = 0, corrupted = 0, overtaking = 0;
	struct fate_source source;
	struct fate fate;

	(void)state;
	fate_begin(&source, 9);
	for (unsigned int i = 1; i <= FRAMES; i++) {
		fate_next(&source, &impairment, &fate);
		duplicated += fate.is_duplicated;
		corrupted += fate.is_corrupted;
		overtaking += fate.overtakes;
		assert_true(!fate.overtakes || i % 4 == 0);
		assert_int_equal(fate.delay, fate.overtakes ? 0 : 5);
	}
	check_share(duplicated, FRAMES, 0.02);
	check_share(corrupted, FRAMES, 0.03);
	check_share(overtaking, FRAMES / 4, 0.4);
}

/* The n-th frame's jitter is the same whatever the losses are, and the other way round. */
static void test_what_is_decided_is_independent(void **state)
{
	const struct impairment a = {.delay = 1000, .jitter = 500, .loss = 5 * PERCENT};
	const struct impairment b = {.delay = 1000, .jitter = 500, .corrupt = PERCENT};
	const struct impairment c = {.loss = 5 * PERCENT, .duplicate = PERCENT};
	struct fate_source source_a, source_b, source_c;
	struct fate fate_a, fate_b, fate_c;

	(void)state;
	fate_begin(&source_a, 1);
	fate_begin(&source_b, 1);
	fate_begin(&source_c, 1);
	for (unsigned int i = 0; i < 10000; i++) {
		fate_next(&source_a, &a, &fate_a);
		fate_next(&source_b, &b, &fate_b);
		fate_next(&source_c, &c, &fate_c);
		assert_int_equal(fate_a.delay, fate_b.delay);
		assert_int_equal(fate_a.is_lost, fate_c.is_lost);
	}
}

static uint64_t digest(uint64_t before, uint64_t number)
{
	return random_bits(before, number, 0);
}

/* Numbers from the machine on which this was written: all others must have them too. */
static void test_fates_are_the_same_on_each_machine(void **state)
{
	const struct impairment impairment = {.delay = 20000000,
					      .jitter = 5000000,
					      .distribution = IMPAIRMENT_PARETO,
					      .jitter_correlation = 25 * PERCENT,
					      .loss = PERCENT,
					      .loss_correlation = 30 * PERCENT,
					      .gilbert_elliott = {.to_bad = PERCENT,
								  .to_good = 10 * PERCENT,
								  .loss_bad = 50 * PERCENT,
								  .loss_good = PERCENT},
					      .duplicate = PERCENT,
					      .corrupt = PERCENT,
					      .reorder = 5 * PERCENT};
	struct fate_source source;
	struct fate fate;
	uint64_t sum = 0;

	(void)state;
	fate_begin(&source, 42);
	for (unsigned int i = 0; i < 10000; i++) {
		fate_next(&source, &impairment, &fate);
		sum = digest(sum, fate.delay);
		sum = digest(sum, (uint64_t)fate.is_lost << 3 | (uint64_t)fate.is_duplicated << 2 |
					  (uint64_t)fate.is_corrupted << 1 | fate.overtakes);
		sum = digest(sum, fate.position);
	}
	assert_int_equal(sum, 0xd7e3bf8f08bee540ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_losses_are_as_many_as_asked_for),
		cmocka_unit_test(test_all_or_none),
		cmocka_unit_test(test_correlation_makes_bursts_and_loses_no_more),
		cmocka_unit_test(test_each_nth_is_lost),
		cmocka_unit_test(test_bursts_of_gilbert_and_elliott),
		cmocka_unit_test(test_jitter_has_its_distribution),
		cmocka_unit_test(test_jitter_is_correlated),
		cmocka_unit_test(test_delays_are_never_negative),
		cmocka_unit_test(test_shares_of_all_else),
		cmocka_unit_test(test_what_is_decided_is_independent),
		cmocka_unit_test(test_fates_are_the_same_on_each_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
