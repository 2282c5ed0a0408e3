/* SPDX-License-Identifier: Apache-2.0 */
/* No reason that a frame is dropped for is left without words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "netlab/dataplane.h"
#include "netlab/drop_meaning.h"

static void each_reason_has_a_meaning(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_REASON_COUNT; i++) {
		const char *meaning = drop_meaning(drop_reason_name((enum drop_reason)i));

		if (!meaning || strlen(meaning) < 10)
			fail_msg("%s has none", drop_reason_name((enum drop_reason)i));
	}
	assert_null(drop_meaning("nothing"));
	assert_null(drop_meaning(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_reason_has_a_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
