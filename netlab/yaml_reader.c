/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/yaml_reader.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netlab/yaml_tree.h"

#define MESSAGE_MAX 1000     /* Bytes of one message; what is longer ends in "...". */
#define WORD_MAX 64          /* Longer words are no misspellings of ours. */
#define KNOWN_WORDS_SHOWN 12 /* A longer list helps nobody. */

/* Writes 'text' with control characters as escapes: C0, DEL, and C1, which in UTF-8 is 0xc2 and 0x80 to 0x9f. */
static void write_safely(FILE *stream, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (*at == '\n')
			fputs("\\n", stream);
		else if (*at == '\t')
			fputs("\\t", stream);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(stream, "\\x%02x", *at);
		else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
			fprintf(stream, "\\u%04x", *++at);
		else
			fputc(*at, stream);
	}
}

static void write_format(FILE *stream, const char *format, va_list arguments)
{
	char text[MESSAGE_MAX + 4];
	int length = vsnprintf(text, MESSAGE_MAX, format, arguments);

	if (length < 0)
		return;
	if (length >= MESSAGE_MAX) {
		size_t end = MESSAGE_MAX - 1;

		/* Not in the middle of a character. */
		while (end && ((unsigned char)text[end - 1] & 0xc0) == 0x80)
			end--;
		if (end && (unsigned char)text[end - 1] >= 0xc0)
			end--;
		strcpy(text + end, "...");
	}
	write_safely(stream, text);
}

/* What stands before a message. */
static void write_place(const struct yaml_reader *reader, struct yaml_mark mark, const char *kind)
{
	if (!reader->file)
		return;
	write_safely(reader->errors, reader->file);
	if (mark.line)
		fprintf(reader->errors, ":%u:%u", mark.line, mark.column);
	fprintf(reader->errors, ": %s: ", kind);
}

/* Writes the message that is 'kind', "error" or "warning", and the 'number'th of that. */
static void report(struct yaml_reader *reader, struct yaml_mark mark, const char *kind, unsigned int number,
		   const char *format, va_list arguments)
{
	reader->is_silent = number > YAML_READER_ERRORS_MAX;
	if (reader->is_silent) {
		if (number == YAML_READER_ERRORS_MAX + 1) {
			write_place(reader, (struct yaml_mark){0}, kind);
			fprintf(reader->errors, "more %ss than are shown here\n", kind);
		}
		return;
	}
	write_place(reader, mark, kind);
	write_format(reader->errors, format, arguments);
	fputc('\n', reader->errors);
}

void yaml_reader_error(struct yaml_reader *reader, struct yaml_mark mark, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report(reader, mark, "error", ++reader->error_count, format, arguments);
	va_end(arguments);
}

void yaml_reader_warning(struct yaml_reader *reader, struct yaml_mark mark, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report(reader, mark, "warning", ++reader->warning_count, format, arguments);
	va_end(arguments);
}

void yaml_reader_help(struct yaml_reader *reader, const char *format, ...)
{
	va_list arguments;

	if (reader->is_silent)
		return;
	fputs("  help: ", reader->errors);
	va_start(arguments, format);
	write_format(reader->errors, format, arguments);
	va_end(arguments);
	fputc('\n', reader->errors);
}

unsigned int yaml_reader_distance(const char *a, const char *b, unsigned int limit)
{
	size_t a_length = strlen(a), b_length = strlen(b);
	unsigned int rows[3][WORD_MAX + 1];

	if (a_length > WORD_MAX || b_length > WORD_MAX)
		return limit + 1;
	if ((a_length > b_length ? a_length - b_length : b_length - a_length) > limit)
		return limit + 1;
	/* Optimal string alignment: rows[i % 3][j] is the distance of a's first i to b's first j characters. */
	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned int *row = rows[i % 3], *above = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			int from = tolower((unsigned char)a[i - 1]), to = tolower((unsigned char)b[j - 1]);
			unsigned int best = above[j - 1] + (from != to);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && from == tolower((unsigned char)b[j - 2]) &&
			    to == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[a_length % 3][b_length];
}

void yaml_reader_suggest(struct yaml_reader *reader, const char *word, const char *const *known, size_t count)
{
	/* A third of the word may be wrong; one letter of a short one. */
	size_t length = strlen(word);
	unsigned int best = length < 6 ? 1 : length < 9 ? 2 : 3;
	const char *suggestion = NULL;
	char list[KNOWN_WORDS_SHOWN * (WORD_MAX + 4)] = "";

	/* Nobody would see it, and a file may have many thousand errors. */
	if (reader->is_silent)
		return;
	for (size_t i = 0; i < count && best; i++) {
		unsigned int distance = yaml_reader_distance(word, known[i], best);

		if (distance < best || (distance == best && !suggestion)) {
			suggestion = known[i];
			best = distance;
		}
	}
	if (suggestion) {
		yaml_reader_help(reader, "did you mean \"%s\"?", suggestion);
		return;
	}
	if (!count || count > KNOWN_WORDS_SHOWN)
		return;
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", known[i]);
	}
	yaml_reader_help(reader, "known here: %s", list);
}

bool yaml_reader_check_keys(struct yaml_reader *reader, const struct yaml_tree_node *map, const char *where,
			    const char *const *known, size_t count)
{
	bool all_known = true;

	for (size_t i = 0; map->type == YAML_TREE_MAP && i < map->count; i++) {
		size_t j = 0;

		while (j < count && strcmp(map->pairs[i].key, known[j]))
			j++;
		if (j < count)
			continue;
		all_known = false;
		yaml_reader_error(reader, map->pairs[i].key_mark, "unknown key \"%s\" in %s", map->pairs[i].key, where);
		yaml_reader_suggest(reader, map->pairs[i].key, known, count);
	}
	return all_known;
}

const char *yaml_reader_text(struct yaml_reader *reader, const struct yaml_tree_node *node, const char *what)
{
	if (node->type == YAML_TREE_NULL) {
		yaml_reader_error(reader, node->mark, "%s has no value", what);
		return NULL;
	}
	if (node->type != YAML_TREE_SCALAR) {
		yaml_reader_error(reader, node->mark, "%s must be text, not %s", what, yaml_tree_type_name(node));
		return NULL;
	}
	for (const unsigned char *at = (const unsigned char *)node->text; *at; at++) {
		if (*at < 0x20 || *at == 0x7f) {
			yaml_reader_error(reader, node->mark, "%s holds a line break or another control character",
					  what);
			return NULL;
		}
	}
	return node->text;
}

bool yaml_reader_number(struct yaml_reader *reader, const struct yaml_tree_node *node, const char *what,
			unsigned long minimum, unsigned long maximum, unsigned long *number)
{
	const char *text = yaml_reader_text(reader, node, what);
	unsigned long value;

	if (!text)
		return false;
	if (!*text || text[strspn(text, "0123456789")]) {
		yaml_reader_error(reader, node->mark, "%s must be a whole number from %lu to %lu, not \"%s\"", what,
				  minimum, maximum, text);
		return false;
	}
	errno = 0;
	value = strtoul(text, NULL, 10);
	if (errno || value < minimum || value > maximum) {
		yaml_reader_error(reader, node->mark, "%s must be from %lu to %lu, not %s", what, minimum, maximum,
				  text);
		return false;
	}
	*number = value;
	return true;
}

bool yaml_reader_switch(struct yaml_reader *reader, const struct yaml_tree_node *node, const char *what, bool *on)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes"};
	const char *text = yaml_reader_text(reader, node, what);

	if (!text)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(text, words[i])) {
			*on = i % 2;
			return true;
		}
	}
	yaml_reader_error(reader, node->mark, "%s must be on or off, not \"%s\"", what, text);
	return false;
}
