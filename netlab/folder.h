/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FOLDER_H
#define NETLAB_FOLDER_H 1

/* Folders that are made with all that is above them.  Thread-safety: any thread. */

#include <sys/types.h>

/* Makes the folders that 'path' is in, unless they are there.  'path' is absolute, and is what it was when this
 * returns. Returns 0 or a negative errno value.  A signal handler may call it. */
int folder_make_above(char *path, mode_t mode);

/* Of the user's, which nobody else may look into: makes a folder and those it is in, unless they are there, with
 * mode 0700.  'path' is absolute, and is what it was when this returns.  Returns 0 or a negative errno value. */
int folder_make(char *path);

#endif /* folder.h */
