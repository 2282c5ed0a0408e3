/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/drop_legend.h"

#include "netlab/cli/cli.h"
#include "netlab/cli/table.h"
#include "netlab/drop_meaning.h"

void drop_legend_put(const json_t *list)
{
	struct table table = {.columns = 2};
	json_t *seen = json_object();

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *reason = cli_string(json_array_get(list, i), "reason"), *meaning = drop_meaning(reason);

		if (!meaning || json_object_get(seen, reason))
			continue;
		json_object_set_new(seen, reason, json_true());
		table_add(&table, "%s:", reason);
		table_add(&table, "the frame %s", meaning);
	}
	if (table.count > 0)
		putchar('\n');
	table_print(&table, stdout, 0);
	json_decref(seen);
}
