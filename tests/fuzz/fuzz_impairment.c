/* SPDX-License-Identifier: Apache-2.0 */

/* Feeds topology_read_impairment_text(), which reads what clients of a lab's control socket send, whatever comes.  What
 * is accepted is written in words and read again.  Seeds: tests/fuzz/corpus/impairment. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/topology.h"

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct impairment first = {.delay = 0}, second = {.delay = 0};
	struct error error = {0};
	char *text = strndup((const char *)data, size), *words, *map = NULL;

	if (!text)
		return 0;
	if (topology_read_impairment_text(text, &first, &error) < 0) {
		/* Refused with a word, and nothing was changed. */
		check(error.text[0] && error.class == ERROR_USAGE && impairment_is_equal(&first, &second));
		free(text);
		return 0;
	}
	words = impairment_text(&first);
	check(words && asprintf(&map, strcmp(words, "none") != 0 ? "{%s}" : "%s", words) >= 0);
	/* Unless it has a key that does nothing, since the one it needs was switched off on top of a preset. */
	if (topology_read_impairment_text(map, &second, &error) < 0)
		check(strstr(error.text, "does nothing without"));
	else
		check(impairment_is_equal(&first, &second));
	free(map);
	free(words);
	free(text);
	return 0;
}
