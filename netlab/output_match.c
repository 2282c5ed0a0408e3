/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/output_match.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"

/* Parentheses within each other. */
#define NESTING_MAX 32

/* Returns the expression between the slashes, to be freed with free(), or NULL: the pattern is text. */
static char *expression_of(const char *pattern)
{
	size_t length = strlen(pattern);

	if (length < 2 || pattern[0] != '/' || pattern[length - 1] != '/')
		return NULL;
	return allocate_copy_part(pattern + 1, length - 2);
}

/* Where a bracket expression ends, which begins at 'at'. */
static const char *bracket_end(const char *at)
{
	at++;
	at += *at == '^';
	at += *at == ']'; /* The first one stands for itself. */
	while (*at && *at != ']') {
		char kind = at[0] == '[' ? at[1] : '\0';
		const char close[] = {kind, ']', '\0'};
		const char *end = kind && strchr(":.=", kind) ? strstr(at + 2, close) : NULL;

		at = end ? end + 2 : at + 1;
	}
	return *at ? at + 1 : at;
}

/* The largest number of the repetition "{...}" that begins at '*at', plus one.  Moves '*at' to its brace, or the end. */
static size_t read_repetition(const char **at)
{
	size_t largest = 1, number = 0;

	for (; **at && **at != '}'; ++*at) {
		number = isdigit((unsigned char)**at) ? 10 * number + (size_t)(**at - '0') : 0;
		if (number > OUTPUT_PATTERN_MAX)
			number = OUTPUT_PATTERN_MAX;
		if (number + 1 > largest)
			largest = number + 1;
	}
	return largest;
}

/* How often what stands before '*at' is written out.  Moves '*at' behind its repetitions. */
static size_t read_repetitions(const char **at)
{
	size_t factor = 1;

	while (**at && strchr("*+?{", **at)) {
		if (**at == '{')
			factor *= read_repetition(at);
		else if (**at == '+')
			factor *= 2;
		if (factor > OUTPUT_PATTERN_MAX)
			factor = OUTPUT_PATTERN_MAX + 1;
		*at += **at != '\0';
	}
	return factor;
}

/* Whether the expression, written out, is larger than OUTPUT_PATTERN_MAX, or nested too deep. */
static bool is_too_large(const char *expression)
{
	size_t sizes[NESTING_MAX + 1] = {0};
	size_t depth = 0;

	for (const char *at = expression; *at;) {
		size_t size = 1;

		if (*at == '(' && depth == NESTING_MAX)
			return true;
		if (*at == '(') {
			sizes[++depth] = 0;
			at++;
			continue;
		}
		if (*at == ')' && depth)
			size += sizes[depth--];
		if (*at == '[')
			at = bracket_end(at);
		else
			at += at[0] == '\\' && at[1] ? 2 : 1;
		sizes[depth] += size * read_repetitions(&at);
		if (sizes[depth] > OUTPUT_PATTERN_MAX)
			return true;
	}
	return false;
}

static int compile(const char *expression, regex_t *regex)
{
	return regcomp(regex, expression, REG_EXTENDED | REG_NOSUB | REG_NEWLINE);
}

const char *output_check_pattern(const char *pattern, char problem[OUTPUT_PROBLEM_MAX])
{
	char *expression = expression_of(pattern);
	const char *result = NULL;
	char reason[96];
	regex_t regex;
	int code;

	if (!*pattern || (expression && !*expression)) {
		result = "is empty, which any output holds";
	} else if (strlen(pattern) > OUTPUT_PATTERN_MAX || (expression && is_too_large(expression))) {
		result = "is too long, or its repetitions are";
	} else if (expression) {
		code = compile(expression, &regex);
		if (code) {
			regerror(code, &regex, reason, sizeof(reason));
			snprintf(problem, OUTPUT_PROBLEM_MAX, "is not a POSIX extended regular expression: %s", reason);
			result = problem;
		} else {
			regfree(&regex);
		}
	}
	free(expression);
	return result;
}

bool output_matches(const char *pattern, const char *output)
{
	char *expression = expression_of(pattern);
	regex_t regex;
	bool matches;

	if (!expression)
		return strstr(output, pattern) != NULL;
	matches = compile(expression, &regex) == 0;
	if (matches) {
		matches = regexec(&regex, output, 0, NULL, 0) == 0;
		regfree(&regex);
	}
	free(expression);
	return matches;
}
