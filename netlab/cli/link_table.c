/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/link_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/table.h"

static const char *end_of(const json_t *link, size_t end)
{
	const char *name = json_string_value(json_array_get(json_object_get(link, "ends"), end));

	return name ? name : "";
}

static const json_t *direction_of(const json_t *link, size_t number)
{
	return json_array_get(json_object_get(link, "directions"), number);
}

static const char *state_of(const json_t *link)
{
	if (json_is_true(json_object_get(link, "flapping")))
		return "flapping";
	return json_is_true(json_object_get(link, "carrier")) ? "up" : "down";
}

char *link_table_describe(const json_t *direction)
{
	bool is_cut = json_is_true(json_object_get(direction, "cut"));
	bool is_impaired = json_object_size(json_object_get(direction, "impairment")) > 0;
	char *text = NULL;

	if (asprintf(&text, "%s%s%s", is_cut ? "cut" : "", is_cut && is_impaired ? "; " : "",
		     is_impaired ? cli_string(direction, "text") :
		     is_cut      ? "" :
				   "-") < 0)
		return NULL;
	return text;
}

void link_table_put(const json_t *links)
{
	static const char *const heads[] = {"A", "B", "STATE", "FROM A TO B", "FROM B TO A"};
	struct table table = {.columns = sizeof(heads) / sizeof(heads[0])};

	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(links); i++) {
		const json_t *link = json_array_get(links, i);

		table_add(&table, "%s", end_of(link, 0));
		table_add(&table, "%s", end_of(link, 1));
		table_add(&table, "%s", state_of(link));
		for (size_t j = 0; j < 2; j++) {
			char *text = link_table_describe(direction_of(link, j));

			table_add(&table, "%s", text ? text : "?");
			free(text);
		}
	}
	table_print(&table, stdout, 0);
}

/* A node stands for its only port. */
static bool is_end(const char *end, const char *port)
{
	size_t length = strlen(port);

	return !strcmp(end, port) || (!strncmp(end, port, length) && end[length] == ':');
}

bool link_table_is_meant(const json_t *direction, const char *port, const char *side)
{
	return !side || is_end(cli_string(direction, "from"), port) == !strcmp(side, "tx");
}
