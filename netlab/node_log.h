/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NODE_LOG_H
#define NETLAB_NODE_LOG_H 1

/* A node's log: what its UART says and what we say of it, in one file.
 *
 * The file is bounded: when a guest floods it, it begins again, with a line that says so.
 *
 * Thread-safety: the control loop's. */

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define NODE_LOG_SIZE_MAX (4u << 20)

struct node_log;

/* Makes FOLDER/NAME.log.  Returns NULL with 'error' set. */
struct node_log *node_log_create(const char *folder, const char *name, struct error *error);
void node_log_destroy(struct node_log *log);
const char *node_log_file(const struct node_log *log);
/* Copies its last bytes, at most 'size'; returns how many. */
size_t node_log_tail(const struct node_log *log, char *to, size_t size);
bool node_log_is_empty(const struct node_log *log);

void node_log_write(struct node_log *log, const char *text, size_t size);

#endif /* node_log.h */
