/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_DROP_LEGEND_H
#define NETLAB_CLI_DROP_LEGEND_H 1

/* Explains the reasons below a table that has them.  Thread-safety: one thread. */

#include <jansson.h>

/* Prints an empty line and then, for each string "reason" that is in the objects of the array 'list', what it means;
 * nothing if there is none. */
void drop_legend_put(const json_t *list);

#endif /* drop_legend.h */
