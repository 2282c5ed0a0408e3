/* SPDX-License-Identifier: Apache-2.0 */
/* How long a thread polls before it sleeps: by a clock that the tests turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/polling.h"

#define MICROSECOND 1000ull
#define LONGEST (200 * MICROSECOND)

/* A polling on a machine with processors to spare. */
static void begin(struct polling *polling)
{
	polling_init(polling, LONGEST);
	if (polling->load_fd < 0)
		skip(); /* One processor. */
	polling->processors = UINT32_MAX;
	polling->since = polling->asked = 1;
	polling->is_free = true;
}

static int end(struct polling *polling)
{
	polling_release(polling);
	return polling->load_fd;
}

/* How long it polls after something happened at '*now', in microseconds.  Moves '*now' there. */
static uint64_t poll_until_it_sleeps(struct polling *polling, uint64_t *now)
{
	uint64_t start = *now;

	polling_found(polling, *now);
	while (polling_goes_on(polling, *now))
		*now += MICROSECOND;
	return (*now - start) / MICROSECOND;
}

static void nothing_is_polled_for_at_first(void **state)
{
	struct polling polling;
	uint64_t now = 1000000;

	(void)state;
	begin(&polling);
	assert_int_equal(poll_until_it_sleeps(&polling, &now), 0);
	end(&polling);
}

/* Something came soon, so it pays to poll; and as long as it comes meanwhile, that stays so. */
static void what_comes_soon_is_polled_for(void **state)
{
	struct polling polling;
	uint64_t now = 1000000;

	(void)state;
	begin(&polling);
	polling_found(&polling, now);
	now += 150 * MICROSECOND;
	polling_woken(&polling, now);
	for (int i = 0; i < 1000; i++) {
		polling_found(&polling, now);
		now += 199 * MICROSECOND;
		assert_true(polling_goes_on(&polling, now));
	}
	assert_int_equal(poll_until_it_sleeps(&polling, &now), 200);
	end(&polling);
}

static void what_comes_late_is_slept_for(void **state)
{
	struct polling polling;
	uint64_t now = 1000000, before = 200, polled, sum = 0;
	unsigned int rounds = 0;

	(void)state;
	begin(&polling);
	polling_woken(&polling, 1 + LONGEST);
	while ((polled = poll_until_it_sleeps(&polling, &now)) > 0) {
		assert_true(polled <= before);
		before = polled;
		sum += polled;
		now += 10000 * MICROSECOND;
		polling_woken(&polling, now);
		rounds++;
	}
	/* What the mistake costs, in microseconds. */
	assert_in_range(rounds, 10, 30);
	assert_in_range(sum, 200, 2000);
	end(&polling);
}

/* A request after a long silence, and its answer soon: the answers are polled for. */
static void every_second_pause_is_short(void **state)
{
	struct polling polling;
	uint64_t now = 1000000;

	(void)state;
	begin(&polling);
	for (int i = 0; i < 100; i++) {
		now += 1000000 * MICROSECOND;
		polling_woken(&polling, now);
		polling_found(&polling, now);
		now += 120 * MICROSECOND;
		if (i > 0)
			assert_true(polling_goes_on(&polling, now));
		else
			polling_woken(&polling, now);
		polling_found(&polling, now);
	}
	end(&polling);
}

static void nobody_polls_where_others_wait(void **state)
{
	struct polling polling;
	uint64_t now = 1000000;

	(void)state;
	begin(&polling);
	polling_woken(&polling, 1 + LONGEST);
	assert_int_equal(poll_until_it_sleeps(&polling, &now), 200);
	polling.processors = 0; /* This thread runs, so there are too few. */
	now += 2000 * MICROSECOND;
	assert_int_equal(poll_until_it_sleeps(&polling, &now), 0);
	polling.processors = UINT32_MAX;
	now += 10000 * MICROSECOND; /* It is not asked all the time. */
	assert_int_equal(poll_until_it_sleeps(&polling, &now), 200);
	end(&polling);
}

static void never_is_never(void **state)
{
	struct polling polling;

	(void)state;
	polling_init(&polling, 0);
	polling_found(&polling, 1000);
	polling_woken(&polling, 1000);
	assert_false(polling_goes_on(&polling, 1000));
	assert_false(polling_goes_on(&polling, 1001));
	assert_int_equal(end(&polling), -1);
	polling_release(&polling);
}

static void loads(void **state)
{
	(void)state;
	assert_int_equal(polling_read_load("0.42 0.37 0.30 3/117 9565\n"), 3);
	assert_int_equal(polling_read_load("12.00 9.10 7.01 128/4096 1\n"), 128);
	assert_int_equal(polling_read_load(""), 0);
	assert_int_equal(polling_read_load("0.42 0.37 0.30"), 0);
	assert_int_equal(polling_read_load("0.42 0.37 0.30 x/117 9565\n"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_polled_for_at_first),
		cmocka_unit_test(what_comes_soon_is_polled_for),
		cmocka_unit_test(what_comes_late_is_slept_for),
		cmocka_unit_test(every_second_pause_is_short),
		cmocka_unit_test(nobody_polls_where_others_wait),
		cmocka_unit_test(never_is_never),
		cmocka_unit_test(loads),
	};

	return cmocka_run_group_tests_name("polling", tests, NULL, NULL);
}
