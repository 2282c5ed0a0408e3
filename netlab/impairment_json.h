/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_IMPAIRMENT_JSON_H
#define NETLAB_IMPAIRMENT_JSON_H 1

/* Impairments as JSON
 * ===================
 *
 * An object with the keys of a topology, of what is not as without impairments: {"delay": "20ms", "loss": "1%"}.  As JSON
 * is YAML, what reads a topology reads it.
 *
 * Thread-safety: any thread. */

#include <jansson.h>

#include "netlab/impairment.h"

/* Returns a new reference, or NULL when out of memory. */
json_t *impairment_json(const struct impairment *impairment);

#endif /* impairment_json.h */
