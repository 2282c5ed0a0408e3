/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/json_text.h"

#include <stdlib.h>
#include <string.h>

json_t *json_text(const char *text)
{
	json_t *string;
	char *copy;

	if (!text)
		return json_null();
	string = json_string(text);
	if (string)
		return string;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *character = copy; *character; character++)
		if ((unsigned char)*character >= 0x80)
			*character = '?';
	string = json_string(copy);
	free(copy);
	return string;
}
