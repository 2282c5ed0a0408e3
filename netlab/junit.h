/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_JUNIT_H
#define NETLAB_JUNIT_H 1

/* Results of tests as JUnit has them
 * ==================================
 *
 * XML that CI systems read.  There is no standard of it; this is the part that all of them know: a testsuite with its
 * counts, a testcase for each test with its time in seconds, and in that "failure" or "skipped".  A test whose failure is a
 * warning is "skipped", with what it warns of.
 *
 * Thread-safety: any thread. */

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* Writes the results of a run of tests, in the form that docs/control-protocol.md gives. */
void junit_write(FILE *to, const json_t *run);

/* Writes text, which is UTF-8, as XML 1.0 can have it, in an attribute's quotes or within an element.  A character that
 * XML cannot have, such as most control characters, becomes U+FFFD. */
void junit_put_text(FILE *to, const char *text, bool is_attribute);

#endif /* junit.h */
