/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *error, enum error_class class, int errnum, const char *format, ...)
{
	va_list args;

	if (error) {
		error->class = class;
		va_start(args, format);
		vsnprintf(error->text, sizeof(error->text), format, args);
		va_end(args);
	}
	return -errnum;
}
