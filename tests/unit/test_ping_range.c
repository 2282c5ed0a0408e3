/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ping, by the kernel's range of groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netlab/ping_range.h"

static void groups_in_the_range(void **state)
{
	const gid_t groups[] = {1000, 27};

	(void)state;
	assert_true(ping_range_has("0\t2147483647\n", groups, 2));
	assert_true(ping_range_has("1000\t1000\n", groups, 2));
	assert_true(ping_range_has("20\t30\n", groups, 2));
	assert_true(ping_range_has("0 4294967294", groups, 2));
}

static void groups_outside(void **state)
{
	const gid_t groups[] = {1000, 27};

	(void)state;
	assert_false(ping_range_has("1\t0\n", groups, 2)); /* As a network namespace begins. */
	assert_false(ping_range_has("28\t999\n", groups, 2));
	assert_false(ping_range_has("1001\t2147483647\n", groups, 2));
	assert_false(ping_range_has("20\t30\n", groups, 1));
	assert_false(ping_range_has("0\t2147483647\n", groups, 0));
}

static void what_is_no_range(void **state)
{
	const gid_t group = 0;

	(void)state;
	assert_false(ping_range_has("", &group, 1));
	assert_false(ping_range_has("0", &group, 1));
	assert_false(ping_range_has("all\n", &group, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_in_the_range),
		cmocka_unit_test(groups_outside),
		cmocka_unit_test(what_is_no_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
