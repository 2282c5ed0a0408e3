/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/yaml_text.h"

#include <stdint.h>

/* Decodes the character at 'at' into 'character' and returns its bytes, or 0 when it is no UTF-8: truncated, longer
 * than needed, a surrogate, or beyond Unicode. */
static size_t decode(const unsigned char *at, size_t left, uint32_t *character)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf8 ? 4 : 0;

	if (!length || length > left)
		return 0;
	*character = length == 1 ? *at : *at & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (at[i] & 0x3f);
	}
	if (*character < smallest[length] || *character > 0x10ffff || (*character >= 0xd800 && *character <= 0xdfff))
		return 0;
	return length;
}

/* As YAML's "c-printable". */
static bool is_printable(uint32_t character)
{
	if (character < 0x20)
		return character == '\t' || character == '\n' || character == '\r';
	return character < 0x7f || character == 0x85 ||
	       (character >= 0xa0 && character != 0xfffe && character != 0xffff);
}

bool yaml_text_check(const char *text, size_t size, struct yaml_reader *reader)
{
	const unsigned char *bytes = (const unsigned char *)text;
	struct yaml_mark mark = {1, 1};
	uint32_t character, before = 0;

	for (size_t at = 0; at < size;) {
		size_t length = decode(bytes + at, size - at, &character);

		if (!length) {
			yaml_reader_error(reader, mark, "byte 0x%02x is not UTF-8", bytes[at]);
			yaml_reader_help(reader, "save the file as UTF-8 text");
			return false;
		}
		if (!is_printable(character)) {
			yaml_reader_error(reader, mark, "control character U+%04X; this is not a text file",
					  (unsigned int)character);
			return false;
		}
		if (character == '\r' || (character == '\n' && before != '\r'))
			mark = (struct yaml_mark){mark.line + 1, 1};
		else if (character != '\n' && !(at == 0 && character == 0xfeff))
			mark.column++;
		before = character;
		at += length;
	}
	return true;
}

int yaml_text_byte_at(const char *text, size_t size, struct yaml_mark mark)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned int line = 1, column = 1;

	for (size_t at = 0; at < size; at++) {
		bool continues = (bytes[at] & 0xc0) == 0x80;

		if (line == mark.line && column == mark.column && !continues)
			return bytes[at];
		if (bytes[at] == '\n' || (bytes[at] == '\r' && !(at + 1 < size && bytes[at + 1] == '\n'))) {
			line++;
			column = 1;
		} else if (at + 1 < size && (bytes[at + 1] & 0xc0) != 0x80) {
			column++;
		}
	}
	return -1;
}
