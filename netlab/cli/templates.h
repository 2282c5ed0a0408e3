/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_TEMPLATES_H
#define NETLAB_CLI_TEMPLATES_H 1

/* The templates of images (netlab/template.h), for "netlab image".  Thread-safety: one thread. */

#include <stdint.h>

#include "netlab/cli/cli.h"

/* Returns the JSON array of template_list() with a member "stale" in each: true for one that no guest would go on from
 * any more, null where that cannot be found out. */
json_t *templates_read(void);
/* Prints them as a table, if there are any. */
void templates_print(const json_t *templates);

/* Each is a command and returns its exit code. */
int templates_prune(const struct cli *cli);
int templates_warm(const struct cli *cli, const char *image, uint64_t memory, unsigned int cpus);

#endif /* templates.h */
