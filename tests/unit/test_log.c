/* SPDX-License-Identifier: Apache-2.0 */
/* The log's lines and their limit.  Standard error is a file while a test runs; time passes by setting back the
 * window's start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"

struct capture {
	FILE *file;
	int before; /* Standard error as it was. */
	char text[65536];
};

static int set_up(void **state)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		return -1;
	capture->file = tmpfile();
	capture->before = dup(STDERR_FILENO);
	if (!capture->file || capture->before < 0 || dup2(fileno(capture->file), STDERR_FILENO) < 0)
		return -1;
	*state = capture;
	return 0;
}

static int tear_down(void **state)
{
	struct capture *capture = *state;

	dup2(capture->before, STDERR_FILENO);
	close(capture->before);
	fclose(capture->file);
	free(capture);
	return 0;
}

static const char *logged(struct capture *capture)
{
	ssize_t size = pread(fileno(capture->file), capture->text, sizeof(capture->text) - 1, 0);

	assert_true(size >= 0);
	capture->text[size] = '\0';
	return capture->text;
}

static unsigned int count(struct capture *capture, const char *word)
{
	unsigned int found = 0;

	for (const char *at = logged(capture); (at = strstr(at, word)); at += strlen(word))
		found++;
	return found;
}

/* 'limit' looks as if its window had begun longer ago. */
static void pass_window(struct log_limit *limit)
{
	limit->window_start -= LOG_LIMIT_SECONDS * 1000000000ull;
}

static void line_has_time_text_and_end(void **state)
{
	int year, month, day, hour, minute, second, milliseconds, length = 0;

	log_line("node %s has %d", "h1", 7);
	assert_int_equal(sscanf(logged(*state), "%4d-%2d-%2d %2d:%2d:%2d.%3d %n", &year, &month, &day, &hour, &minute,
				&second, &milliseconds, &length),
			 7);
	assert_string_equal(logged(*state) + length, "node h1 has 7\n");
}

static void long_line_is_cut(void **state)
{
	char word[5000];
	const char *text;

	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	log_line("%s", word);
	log_line("next");
	text = logged(*state);
	assert_int_equal(count(*state, "\n"), 2);
	assert_in_range(strchr(text, '\n') - text, 900, 1023);
	assert_non_null(strstr(text, "next\n"));
}

static void burst_passes_and_no_more(void **state)
{
	struct log_limit limit = {0};

	for (unsigned int i = 0; i < LOG_LIMIT_BURST + 7; i++)
		log_limited(&limit, "line %u;", i);
	assert_int_equal(count(*state, "line "), LOG_LIMIT_BURST);
	assert_non_null(strstr(logged(*state), "line 0;"));
	assert_int_equal(limit.left_out, 7);
}

static void what_was_left_out_is_said(void **state)
{
	struct log_limit limit = {0};

	for (unsigned int i = 0; i < LOG_LIMIT_BURST + 3; i++)
		log_limited(&limit, "first");
	pass_window(&limit);
	log_limited(&limit, "second");
	assert_non_null(strstr(logged(*state), "(3 similar lines left out)\n"));
	assert_int_equal(count(*state, "first"), LOG_LIMIT_BURST);
	assert_int_equal(count(*state, "second"), 1);
	/* A new window is a whole one, and the next has nothing to tell. */
	for (unsigned int i = 1; i < LOG_LIMIT_BURST; i++)
		log_limited(&limit, "second");
	pass_window(&limit);
	log_limited(&limit, "third");
	assert_int_equal(count(*state, "second"), LOG_LIMIT_BURST);
	assert_int_equal(count(*state, "left out"), 1);
}

static void limits_are_apart(void **state)
{
	struct log_limit one = {0}, other = {0};

	for (unsigned int i = 0; i < 2 * LOG_LIMIT_BURST; i++)
		log_limited(&one, "one");
	log_limited(&other, "other");
	log_line("unlimited");
	assert_int_equal(count(*state, "one"), LOG_LIMIT_BURST);
	assert_int_equal(count(*state, "other"), 1);
	assert_int_equal(count(*state, "unlimited"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(line_has_time_text_and_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_line_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(burst_passes_and_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_left_out_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits_are_apart, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
