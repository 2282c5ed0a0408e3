/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_COPY_FOLDER_H
#define NETLAB_CLI_COPY_FOLDER_H 1

/* Folders into and out of nodes: tar on one side, tar on the other, "exec" between them.  As cp -r does, the
 * folder becomes one in the destination where that is a folder, and else the destination itself.
 * Thread-safety: one thread. */

#include <stdbool.h>

#include "netlab/cli/client.h"

/* True if 'path' is a folder in the node.  False too if the node cannot say. */
bool copy_is_folder(struct client *client, const char *node, const char *path);

/* Return the exit code; errors have been printed. */
int copy_folder_in(struct client *client, const char *node, const char *source, const char *path);
int copy_folder_out(struct client *client, const char *node, const char *path, const char *destination);

#endif /* copy_folder.h */
