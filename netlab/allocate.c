/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/allocate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
	if (!memory) {
		fputs("netlab: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *allocate_zeroed(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size));
}

void *allocate_grow(void *array, size_t count, size_t size)
{
	/* Full exactly when the count is zero or a power of two. */
	if (count & (count - 1))
		return array;
	return check(reallocarray(array, count ? 2 * count : 1, size));
}

char *allocate_copy(const char *text)
{
	return check(strdup(text));
}

char *allocate_copy_part(const char *text, size_t length)
{
	char *copy = allocate_zeroed(length + 1, 1);

	memcpy(copy, text, length);
	return copy;
}

char *allocate_text(const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return check(length < 0 ? NULL : text);
}
