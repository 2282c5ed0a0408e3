/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void write_line(const char *format, va_list args)
{
	char line[LINE_SIZE];
	struct timespec time;
	struct tm local;
	size_t length;
	int text;

	clock_gettime(CLOCK_REALTIME, &time);
	localtime_r(&time.tv_sec, &local);
	length = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S", &local);
	length += (size_t)snprintf(line + length, sizeof(line) - length, ".%03ld ", time.tv_nsec / 1000000);
	text = vsnprintf(line + length, sizeof(line) - length - 1, format, args);
	if (text > 0)
		length += (size_t)text;
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0)
		return; /* Nobody is left to tell. */
}

void log_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void log_limited(struct log_limit *limit, const char *format, ...)
{
	uint64_t time = now();
	va_list args;

	if (limit->window_start == 0 || time - limit->window_start >= LOG_LIMIT_SECONDS * 1000000000ull) {
		if (limit->left_out > 0)
			log_line("(%u similar lines left out)", limit->left_out);
		*limit = (struct log_limit){.window_start = time};
	}
	if (limit->lines >= LOG_LIMIT_BURST) {
		limit->left_out++;
		return;
	}
	limit->lines++;
	va_start(args, format);
	write_line(format, args);
	va_end(args);
}
