/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_TABLE_H
#define NETLAB_CLI_TABLE_H 1

/* Text in columns.  Give it cells, row by row, then print it; a column is as wide as its widest cell.
 * Thread-safety: one thread. */

#include <stddef.h>
#include <stdio.h>

struct table {
	size_t columns;     /* Set by the caller; the rest is zero at first. */
	unsigned int right; /* Bits of the columns that are set to the right. */
	char **cells;
	size_t count;
};

/* Adds the next cell.  Control characters in it are made visible. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints it, each line after 'indent' spaces, and frees its cells. */
void table_print(struct table *table, FILE *to, int indent);

#endif /* table.h */
