/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/impairment_json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Values that have a unit are in the words of impairment_text(), which writes them so that nothing is lost. */

/* The value of the one thing that is given, in words. */
static json_t *word_json(const struct impairment *one)
{
	char *text = impairment_text(one), *value = text ? strstr(text, ": ") : NULL;
	json_t *json = value ? json_string(value + 2) : NULL;

	free(text);
	return json;
}

static json_t *share_json(uint32_t share)
{
	return share ? word_json(&(struct impairment){.loss = share}) : json_string("0%");
}

static json_t *chain_json(const struct impairment_gilbert_elliott *chain)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "to-bad", share_json(chain->to_bad), "to-good",
			 share_json(chain->to_good), "loss-bad", share_json(chain->loss_bad), "loss-good",
			 share_json(chain->loss_good));
}

static json_t *field_json(const struct impairment *impairment, const struct impairment_field *field)
{
	struct impairment one = {.delay = 0};

	switch (field->kind) {
	case IMPAIRMENT_KIND_NUMBER:
		return json_integer(*(const uint32_t *)(const void *)((const char *)impairment + field->offset));
	case IMPAIRMENT_KIND_GILBERT:
		return chain_json(&impairment->gilbert_elliott);
	case IMPAIRMENT_KIND_FILTER:
		return json_string(impairment->loss_match);
	default:
		impairment_set(&one, field, impairment);
		return word_json(&one);
	}
}

json_t *impairment_json(const struct impairment *impairment)
{
	json_t *json = json_object();

	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++) {
		const struct impairment_field *field = &impairment_fields[i];

		if (impairment_has(impairment, field))
			json_object_set_new(json, field->name, field_json(impairment, field));
	}
	return json;
}
