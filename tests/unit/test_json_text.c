/* SPDX-License-Identifier: Apache-2.0 */
/* Text of unknown origin as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netlab/json_text.h"

static void expect(const char *text, const char *wanted)
{
	json_t *string = json_text(text);

	assert_string_equal(json_string_value(string), wanted);
	json_decref(string);
}

static void utf8_is_kept(void **state)
{
	(void)state;
	expect("", "");
	expect("labs/Übung 1", "labs/Übung 1");
	expect("a\nb\x01", "a\nb\x01");
}

static void what_is_not_utf8_becomes_question_marks(void **state)
{
	(void)state;
	expect("labs/\xdc"
	       "bung",
	       "labs/?bung");
	expect("\xc3", "?");
	expect("\xed\xa0\x80", "???"); /* Half of a surrogate pair. */
}

static void nothing_is_null(void **state)
{
	json_t *null = json_text(NULL);

	(void)state;
	assert_true(json_is_null(null));
	json_decref(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_is_kept),
		cmocka_unit_test(what_is_not_utf8_becomes_question_marks),
		cmocka_unit_test(nothing_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
