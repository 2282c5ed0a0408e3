/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_LINK_TABLE_H
#define NETLAB_CLI_LINK_TABLE_H 1

/* Links of a lab for people, as netlab link, netlab tc and netlab status show them.  Thread-safety: one thread. */

#include <stdbool.h>

#include <jansson.h>

/* A line for each link: its ends, whether it has carrier, and what frames meet in each direction. */
void link_table_put(const json_t *links);

/* What frames meet in a direction: "cut", "cut; delay: 20ms", or "-". */
char *link_table_describe(const json_t *direction); /* To be freed; NULL when out of memory. */

/* Whether the direction is one of those meant: as seen from the port, "tx", "rx", or (NULL) both. */
bool link_table_is_meant(const json_t *direction, const char *port, const char *side);

#endif /* link_table.h */
