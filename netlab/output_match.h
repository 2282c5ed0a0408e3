/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_OUTPUT_MATCH_H
#define NETLAB_OUTPUT_MATCH_H 1

/* What a command's output must have
 * =================================
 *
 * A pattern is text that must be somewhere in the output, or, between slashes, a regular expression
 * (pcre2pattern(3)), in which ^ and $ are the ends of a line and a dot is any byte but a line break.
 *
 * Patterns come from topology files, which a lab reads while it runs, and outputs from guests: neither can take much
 * time or memory.  That is why it is PCRE2 and not regcomp(3), which glibc has no limits for.
 *
 * Thread-safety: any thread. */

#include <stddef.h>

#define OUTPUT_PATTERN_MAX 4096 /* Bytes. */

/* Returns NULL when 'pattern' is one, else what is wrong with it, as a phrase that continues 'expect "/[/" ...'; it may
 * be in 'problem'. */
#define OUTPUT_PROBLEM_MAX 200
const char *output_check_pattern(const char *pattern, char problem[OUTPUT_PROBLEM_MAX]);

/* Returns 1 if the 'size' bytes at 'output' match 'pattern', which output_check_pattern() has nothing against; 0 if
 * they do not; or a negative errno value: it takes too long to find out. */
int output_matches(const char *pattern, const char *output, size_t size);

#endif /* output_match.h */
