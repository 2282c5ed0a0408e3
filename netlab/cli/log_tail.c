/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/log_tail.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/base64.h"
#include "netlab/cli/cli.h"

#define TAIL_SIZE 4096
#define WAIT_MILLISECONDS 5000

/* Adds the bytes of an event to 'text', whose 'size' bytes have room for TAIL_SIZE. */
static size_t add_output(const json_t *message, char *text, size_t size)
{
	const json_t *data = json_object_get(message, "data");
	size_t length = json_string_length(data);
	uint8_t *bytes = length ? malloc(length) : NULL;
	ssize_t count = bytes ? base64_decode(json_string_value(data), length, bytes) : 0;

	for (ssize_t i = 0; i < count && size < TAIL_SIZE; i++)
		if (bytes[i] && bytes[i] != '\r')
			text[size++] = (char)bytes[i];
	free(bytes);
	return size;
}

static const char *last_lines(char *text, size_t size, unsigned int lines)
{
	while (size && text[size - 1] == '\n')
		text[--size] = '\0';
	for (size_t i = size; i > 0; i--)
		if (text[i - 1] == '\n' && --lines == 0)
			return text + i;
	return text;
}

void log_tail_print(struct client *client, const char *node, unsigned int lines)
{
	json_int_t id = client_new_id(client);
	char text[TAIL_SIZE + 1] = "";
	size_t size = 0;
	json_t *message;
	bool goes_on = true;

	client_send(client,
		    json_pack("{s:I, s:s, s:s, s:i}", "id", id, "command", "logs", "node", node, "tail", TAIL_SIZE));
	while (goes_on && (message = client_wait(client, WAIT_MILLISECONDS))) {
		if (json_integer_value(json_object_get(message, "id")) == id) {
			size = add_output(message, text, size);
			goes_on = json_object_get(message, "event") != NULL;
		}
		json_decref(message);
	}
	if (!size)
		return;
	fprintf(stderr, "The end of its log:\n");
	for (const char *line = last_lines(text, size, lines); *line;) {
		size_t length = strcspn(line, "\n");
		char copy[TAIL_SIZE + 1];

		memcpy(copy, line, length);
		copy[length] = '\0';
		fputs("  ", stderr);
		cli_put_text(stderr, copy);
		fputc('\n', stderr);
		line += length + (line[length] == '\n');
	}
}
