/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TEST_JSON_H
#define NETLAB_TEST_JSON_H 1

/* The tests of a topology as JSON, in the form docs/control-protocol.md gives.  Thread-safety: any thread. */

#include <jansson.h>

#include "netlab/topology.h"

/* A new reference, or NULL when out of memory. */
json_t *test_json(const struct topology *topology, const struct topology_test *test);

/* All of them, as an array. */
json_t *tests_json(const struct topology *topology);

#endif /* test_json.h */
