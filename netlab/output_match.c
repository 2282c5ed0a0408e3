/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/output_match.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Steps of a match, about a second of them, and KiB of memory for it. */
#define STEPS_MAX 10000000
#define HEAP_MAX 65536

/* Whether the pattern is an expression, between slashes. */
static bool is_expression(const char *pattern, size_t length)
{
	return length >= 2 && pattern[0] == '/' && pattern[length - 1] == '/';
}

/* Returns the compiled expression, to be freed with pcre2_code_free(), or NULL with '*error' set. */
static pcre2_code *compile(const char *pattern, size_t length, int *error)
{
	/* The output need not be UTF-8, and the pattern is not to ask for it. */
	const uint32_t options = PCRE2_MULTILINE | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code = NULL;
	PCRE2_SIZE offset;

	*error = PCRE2_ERROR_NOMEMORY;
	if (!context)
		return NULL;
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	code = pcre2_compile((PCRE2_SPTR)pattern + 1, length - 2, options, error, &offset, context);
	pcre2_compile_context_free(context);
	return code;
}

const char *output_check_pattern(const char *pattern, char problem[OUTPUT_PROBLEM_MAX])
{
	size_t length = strlen(pattern);
	unsigned char reason[OUTPUT_PROBLEM_MAX / 2];
	pcre2_code *code;
	int error;

	if (length == 0 || !strcmp(pattern, "//"))
		return "is empty, which any output has";
	if (length > OUTPUT_PATTERN_MAX)
		return "is too long";
	if (!is_expression(pattern, length))
		return NULL;
	code = compile(pattern, length, &error);
	if (code) {
		pcre2_code_free(code);
		return NULL;
	}
	pcre2_get_error_message(error, reason, sizeof(reason));
	snprintf(problem, OUTPUT_PROBLEM_MAX, "is not a regular expression: %s", (const char *)reason);
	return problem;
}

/* As pcre2_match(), with limits. */
static int match(const pcre2_code *code, const char *output, size_t size)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	int result = PCRE2_ERROR_NOMEMORY;

	if (data && context) {
		pcre2_set_match_limit(context, STEPS_MAX);
		pcre2_set_heap_limit(context, HEAP_MAX);
		result = pcre2_match(code, (PCRE2_SPTR)output, size, 0, 0, data, context);
	}
	pcre2_match_context_free(context);
	pcre2_match_data_free(data);
	return result;
}

int output_matches(const char *pattern, const char *output, size_t size)
{
	size_t length = strlen(pattern);
	pcre2_code *code;
	int result;

	if (!is_expression(pattern, length))
		return memmem(output, size, pattern, length) != NULL;
	code = compile(pattern, length, &result);
	if (code)
		result = match(code, output, size);
	pcre2_code_free(code);
	if (result == PCRE2_ERROR_NOMATCH)
		return 0;
	return result >= 0 ? 1 : -E2BIG;
}
