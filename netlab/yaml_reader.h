/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_YAML_READER_H
#define NETLAB_YAML_READER_H 1

/* Errors of YAML files
 * ====================
 *
 * Where the readers of topology.yaml and image.yaml send their errors, written as
 *
 *     FILE:LINE:COLUMN: error: TEXT
 *       help: TEXT
 *
 * and warnings, of what can be done and is hardly meant, with "warning" in place of "error".  At most
 * YAML_READER_ERRORS_MAX of each are written, then one line that says so; all are counted.  Control characters that
 * come from the file are written as escapes, so that no file can play tricks with a terminal.
 *
 * Thread-safety: one thread at a time for each struct yaml_reader. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define YAML_READER_ERRORS_MAX 20u

struct yaml_mark {
	unsigned int line;   /* From 1; 0: the file as a whole. */
	unsigned int column; /* From 1, in characters. */
};

struct yaml_reader {
	const char *file;         /* The file's name as messages show it; NULL: the text alone is written. */
	FILE *errors;             /* Where errors go. */
	unsigned int error_count; /* Errors so far, shown or not. */
	unsigned int warning_count;
	bool is_silent; /* The last of either was not shown. */
};

/* Reports an error at 'mark'. */
void yaml_reader_error(struct yaml_reader *reader, struct yaml_mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a warning, for which nothing is refused. */
void yaml_reader_warning(struct yaml_reader *reader, struct yaml_mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds a line of help to the error or warning just reported. */
void yaml_reader_help(struct yaml_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds to the error just reported: the one of the 'count' words 'known' that 'word' is probably a misspelling of, else
 * the list of them when it is short. */
void yaml_reader_suggest(struct yaml_reader *reader, const char *word, const char *const *known, size_t count);

/* Reports each key of 'map' that is not one of the 'count' words 'known', with a suggestion.  'where' ends the sentence
 * 'unknown key "x" in ...'.  Returns true when all keys are known. */
struct yaml_tree_node;
bool yaml_reader_check_keys(struct yaml_reader *reader, const struct yaml_tree_node *map, const char *where,
			    const char *const *known, size_t count);

/* Returns the text of the scalar 'node', or NULL after reporting that 'what' must be text on one line. */
const char *yaml_reader_text(struct yaml_reader *reader, const struct yaml_tree_node *node, const char *what);

/* Reads 'node' as a whole number from 'minimum' to 'maximum' into 'number'.  Returns false after reporting what is
 * wrong with 'what'. */
bool yaml_reader_number(struct yaml_reader *reader, const struct yaml_tree_node *node, const char *what,
			unsigned long minimum, unsigned long maximum, unsigned long *number);

/* Reads 'node' as one of on, off, true, false, yes, no.  Returns false after reporting what is wrong. */
bool yaml_reader_switch(struct yaml_reader *reader, const struct yaml_tree_node *node, const char *what, bool *on);

/* Returns how many single-character edits (insert, delete, replace, swap of neighbours) turn 'a' into 'b', without
 * regard to case, or a number above 'limit' once it is known to be more. */
unsigned int yaml_reader_distance(const char *a, const char *b, unsigned int limit);

#endif /* yaml_reader.h */
