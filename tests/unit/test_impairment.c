/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions of impairments: presets, comparison, words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "netlab/impairment.h"

static void expect_text(const struct impairment *impairment, const char *expected)
{
	char *text = impairment_text(impairment);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void expect_preset(const char *name, const char *expected)
{
	struct impairment impairment = {.delay = 0};

	assert_true(impairment_apply_preset(&impairment, name));
	assert_true(impairment_is_any(&impairment));
	expect_text(&impairment, expected);
}

static void presets_are_what_the_reference_says(void **state)
{
	(void)state;
	expect_preset("dsl", "delay: 25ms, jitter: 1ms, rate: 1.5mbit, queue: 64K");
	expect_preset("3g", "delay: 150ms, jitter: 30ms, distribution: normal, jitter-correlation: 25%, loss: 0.2%, "
			    "rate: 1.6mbit, queue: 200p");
	expect_preset("lte", "delay: 35ms, jitter: 10ms, distribution: normal, jitter-correlation: 25%, loss: 0.1%, "
			     "rate: 12mbit, queue: 400p");
	expect_preset("wifi", "delay: 2ms, jitter: 1ms, distribution: pareto, jitter-correlation: 25%, "
			      "gilbert-elliott: {to-bad: 0.2%, to-good: 30%, loss-bad: 30%}, rate: 40mbit, "
			      "queue: 250p");
	expect_preset("satellite", "delay: 300ms, jitter: 5ms, distribution: normal, loss: 0.1%, rate: 50mbit, "
				   "queue: 1000p");
	expect_preset("dialup", "delay: 60ms, jitter: 5ms, rate: 49kbit, queue: 10p");
	expect_preset("wan", "delay: 45ms, jitter: 1ms, distribution: normal, loss: 0.01%, rate: 100mbit, "
			     "queue: 1000p");
}

static void each_name_of_a_preset_is_one(void **state)
{
	size_t count = 0;

	(void)state;
	for (; impairment_preset_names[count]; count++) {
		struct impairment impairment = {.delay = 0};

		assert_true(impairment_apply_preset(&impairment, impairment_preset_names[count]));
	}
	assert_int_equal(count, 7);
}

static void a_preset_replaces_another_and_leaves_the_rest(void **state)
{
	struct impairment impairment = {.seed = 7, .has_seed = true, .mtu = 1400, .corrupt = 1, .loss_match = "arp"};
	struct impairment expected = impairment;

	(void)state;
	assert_true(impairment_apply_preset(&impairment, "wifi"));
	assert_true(impairment_apply_preset(&impairment, "dsl"));
	assert_true(impairment_apply_preset(&expected, "dsl"));
	assert_true(impairment_is_equal(&impairment, &expected));
	assert_string_equal(impairment.loss_match, "arp");
	assert_int_equal(impairment.mtu, 1400);
	assert_false(impairment_apply_preset(&impairment, "adsl"));
	assert_false(impairment_apply_preset(&impairment, ""));
	assert_true(impairment_is_equal(&impairment, &expected));
}

static void each_field_makes_a_difference(void **state)
{
	(void)state;
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++) {
		struct impairment a = {.delay = 0}, b = a;

		assert_true(impairment_is_equal(&a, &b));
		*((char *)&b + impairment_fields[i].offset) = 1;
		b.has_seed = impairment_fields[i].kind == IMPAIRMENT_KIND_SEED;
		assert_false(impairment_is_equal(&a, &b));
		assert_false(impairment_is_equal(&b, &a));
		a = b;
		assert_true(impairment_is_equal(&a, &b));
	}
}

static void what_is_beside_a_field_matters_when_it_is_used(void **state)
{
	struct impairment a = {.has_seed = true}, b = a;

	(void)state;
	b.queue_bytes = 1;
	assert_false(impairment_is_equal(&a, &b));
	b = a;
	b.gilbert_elliott.loss_good = 1;
	assert_false(impairment_is_equal(&a, &b));
	b = a;
	b.seed = 1;
	assert_false(impairment_is_equal(&a, &b));
	a.has_seed = b.has_seed = false; /* What it would be does not matter. */
	assert_true(impairment_is_equal(&a, &b));
	memset(a.loss_match + 1, 'x', 10); /* Nor what follows the end of a text. */
	assert_true(impairment_is_equal(&a, &b));
}

static void some_alone_do_nothing(void **state)
{
	const struct impairment nothing[] = {
		{.seed = 1, .has_seed = true},
		{.jitter_correlation = 1},
		{.distribution = IMPAIRMENT_PARETO},
		{.reorder = IMPAIRMENT_ALL},
		{.queue_frames = 1},
		{.burst = 1},
		{.red_min = 1},
		{.codel_target = 1},
		{.discipline = IMPAIRMENT_RED},
	};
	const struct impairment something[] = {
		{.delay = 1},
		{.jitter = 1},
		{.loss = 1},
		{.loss_every = 1},
		{.loss_match = "arp"},
		{.gilbert_elliott.to_bad = 1},
		{.gilbert_elliott.loss_good = 1},
		{.duplicate = 1},
		{.corrupt = 1},
		{.mtu = 1500},
		{.rate = 1000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		assert_false(impairment_is_any(&nothing[i]));
	for (size_t i = 0; i < sizeof(something) / sizeof(something[0]); i++)
		assert_true(impairment_is_any(&something[i]));
}

static void words_are_exact(void **state)
{
	const struct impairment impairment = {
		.delay = 1234567,
		.jitter = 999,
		.loss = 1,
		.loss_correlation = 333333333,
		.loss_every = 100,
		.duplicate = IMPAIRMENT_ALL,
		.reorder_gap = 5,
		.mtu = 1400,
		.rate = 1234567890,
		.burst = 1500,
		.queue_bytes = 3 << 20,
		.discipline = IMPAIRMENT_CODEL,
		.red_probability = 20000000,
		.codel_interval = 600000000000,
		.seed = UINT64_MAX,
		.has_seed = true,
		.loss_match = "ip[0] == \"\\\"",
	};
	const struct impairment none = {.delay = 0}, zero_seed = {.has_seed = true};

	(void)state;
	expect_text(&impairment, "delay: 1.234567ms, jitter: 999ns, loss: 0.0000001%, loss-correlation: 33.3333333%, "
				 "loss-every: 100, loss-match: \"ip[0] == \\\"\\\\\\\"\", duplicate: 100%, "
				 "reorder-gap: 5, rate: 1.23456789gbit, burst: 1500b, queue: 3M, discipline: codel, "
				 "red-probability: 2%, codel-interval: 600s, mtu: 1400, seed: 18446744073709551615");
	expect_text(&none, "none");
	expect_text(&zero_seed, "seed: 0");
}

/* As a damaged snapshot may have them. */
static void numbers_out_of_range_are_made_the_nearest(void **state)
{
	struct impairment impairment;
	char *text;

	(void)state;
	memset(&impairment, 0xff, sizeof(impairment));
	memset(impairment.loss_match, 'x', sizeof(impairment.loss_match));
	impairment.has_seed = true;
	impairment_limit(&impairment);
	assert_int_equal(strlen(impairment.loss_match), IMPAIRMENT_MATCH_SIZE - 1);
	impairment.loss_match[0] = '\0';
	expect_text(&impairment,
		    "delay: 600s, jitter: 600s, distribution: pareto, jitter-correlation: 99.9999999%, loss: 100%, "
		    "loss-correlation: 99.9999999%, loss-every: 1000000000, "
		    "gilbert-elliott: {to-bad: 100%, to-good: 100%, loss-good: 100%}, duplicate: 100%, "
		    "duplicate-correlation: 99.9999999%, corrupt: 100%, corrupt-correlation: 99.9999999%, "
		    "reorder: 100%, reorder-correlation: 99.9999999%, reorder-gap: 1000000000, rate: 400gbit, "
		    "burst: 64M, queue: 100000p, discipline: codel, red-min: 100000, red-max: 100000, "
		    "red-probability: 100%, codel-target: 600s, codel-interval: 600s, mtu: 65535, "
		    "seed: 18446744073709551615");
	impairment.queue_frames = 0;
	text = impairment_text(&impairment);
	assert_non_null(strstr(text, "queue: 64M"));
	free(text);
	impairment = (struct impairment){.rate = 999, .mtu = 67};
	impairment_limit(&impairment);
	expect_text(&impairment, "rate: 1kbit, mtu: 68");
}

static void what_is_in_range_stays(void **state)
{
	struct impairment impairment = {.delay = 0}, limited = impairment;

	(void)state;
	impairment_limit(&limited);
	assert_true(impairment_is_equal(&limited, &impairment));
	for (size_t i = 0; impairment_preset_names[i]; i++) {
		impairment_apply_preset(&impairment, impairment_preset_names[i]);
		limited = impairment;
		impairment_limit(&limited);
		assert_true(impairment_is_equal(&limited, &impairment));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(presets_are_what_the_reference_says),
		cmocka_unit_test(each_name_of_a_preset_is_one),
		cmocka_unit_test(a_preset_replaces_another_and_leaves_the_rest),
		cmocka_unit_test(each_field_makes_a_difference),
		cmocka_unit_test(what_is_beside_a_field_matters_when_it_is_used),
		cmocka_unit_test(some_alone_do_nothing),
		cmocka_unit_test(words_are_exact),
		cmocka_unit_test(numbers_out_of_range_are_made_the_nearest),
		cmocka_unit_test(what_is_in_range_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
