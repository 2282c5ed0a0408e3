/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"

#define COLUMNS_MAX 16

void table_add(struct table *table, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = allocate_copy("");
	va_end(arguments);
	for (char *character = text; *character; character++)
		if (cli_is_control(character))
			*character = '?';
	table->cells = allocate_grow(table->cells, table->count, sizeof(*table->cells));
	table->cells[table->count++] = text;
}

/* Characters, not bytes, of UTF-8. */
static int width(const char *text)
{
	int characters = 0;

	for (; *text; text++)
		characters += ((unsigned char)*text & 0xc0) != 0x80;
	return characters;
}

void table_print(struct table *table, FILE *to, int indent)
{
	int widths[COLUMNS_MAX] = {0};
	int spaces = 0;

	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;

		if (column < COLUMNS_MAX && width(table->cells[i]) > widths[column])
			widths[column] = width(table->cells[i]);
	}
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		int padding = column < COLUMNS_MAX ? widths[column] - width(table->cells[i]) : 0;
		bool is_right = table->right >> column & 1;

		/* Spaces are owed until something follows them, so that none are at the end of a line. */
		spaces = column ? spaces + 2 : indent;
		if (is_right)
			spaces += padding;
		if (table->cells[i][0]) {
			fprintf(to, "%*s%s", spaces, "", table->cells[i]);
			spaces = 0;
		}
		if (!is_right)
			spaces += padding;
		if (column + 1 == table->columns)
			fputc('\n', to);
		free(table->cells[i]);
	}
	free(table->cells);
	table->cells = NULL;
	table->count = 0;
}
