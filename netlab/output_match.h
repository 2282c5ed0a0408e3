/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_OUTPUT_MATCH_H
#define NETLAB_OUTPUT_MATCH_H 1

/* What a command's output must hold
 * =================================
 *
 * A pattern is text that must be somewhere in the output, or, between slashes, a POSIX extended regular expression
 * (regex(7)), in which ^ and $ are the ends of a line and a dot is no line break.
 *
 * Patterns come from topology files, and glibc writes repetitions out: ((a{255}){255}){255} would take gigabytes, and so
 * would thirty pluses within each other.  So an expression, written out, has at most OUTPUT_PATTERN_MAX characters.
 *
 * Thread-safety: any thread. */

#include <stdbool.h>
#include <stddef.h>

#define OUTPUT_PATTERN_MAX 4096

/* Returns NULL when 'pattern' is one, else what is wrong with it, as a phrase that continues 'expect "/[/" ...'; it may
 * be in 'problem'. */
#define OUTPUT_PROBLEM_MAX 160
const char *output_check_pattern(const char *pattern, char problem[OUTPUT_PROBLEM_MAX]);

/* Returns whether 'output' matches 'pattern', which output_check_pattern() has nothing against. */
bool output_matches(const char *pattern, const char *output);

#endif /* output_match.h */
