/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_SNAPSHOT_ARCHIVE_H
#define NETLAB_CLI_SNAPSHOT_ARCHIVE_H 1

/* netlab snapshot export and import
 * =================================
 *
 * A file is written under a temporary name beside the one it is to have, and gets that when it is whole.  "-" is
 * standard output or input.  What takes over a second shows how far it is, if standard error is a terminal.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>

struct cli;

/* Each returns the exit code.  'replace': what has the name already. */
int snapshot_archive_export(const struct cli *cli, const char *name, const char *file, bool replace);
/* 'name' is NULL for the one it had. */
int snapshot_archive_import(const struct cli *cli, const char *file, const char *name, bool replace);

#endif /* snapshot_archive.h */
