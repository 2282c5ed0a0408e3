/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PROGRAM_H
#define NETLAB_PROGRAM_H 1

/* Where netlab's programs are: beside the one that runs, as in the folder in which they are built, or where they are
 * installed.
 *
 * Thread-safety: any thread. */

#include "core/error.h"

/* Returns the absolute path of the folder this program is in, to be freed with free(), or NULL. */
char *program_folder(void);

/* Returns the path of the program 'name' that belongs to this one, to be freed with free(), or NULL with 'error'
 * set. */
char *program_find(const char *name, struct error *error);

#endif /* program.h */
