/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOG_H
#define CORE_LOG_H 1

/* The daemon's log: lines on standard error, which netlabd points at a file.  Any thread may call these; a line
 * is one write(2).  Whatever a guest can trigger goes through log_limited(), never log_line(). */

#include <stdint.h>

/* At most LOG_LIMIT_BURST lines in LOG_LIMIT_SECONDS for each struct log_limit; the next line that passes says
 * how many were left out.  Zero-initialise it, and keep it in the object the lines are about.  Threads that
 * share one must share a lock as well. */
#define LOG_LIMIT_BURST 10
#define LOG_LIMIT_SECONDS 5

struct log_limit {
	uint64_t window_start; /* Nanoseconds of CLOCK_MONOTONIC. */
	unsigned int lines;
	unsigned int left_out;
};

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_limited(struct log_limit *limit, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif /* log.h */
