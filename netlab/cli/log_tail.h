/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_LOG_TAIL_H
#define NETLAB_CLI_LOG_TAIL_H 1

/* The last lines of a node's log, printed to standard error below an error message.
 * Thread-safety: one thread. */

#include "netlab/cli/client.h"

void log_tail_print(struct client *client, const char *node, unsigned int lines);

#endif /* log_tail.h */
