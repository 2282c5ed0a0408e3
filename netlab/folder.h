/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FOLDER_H
#define NETLAB_FOLDER_H 1

/* Folders of the user's, which nobody else may look into.  Thread-safety: any thread. */

/* Makes a folder and those it is in, unless they are there, with mode 0700.  'path' is absolute, and is what it was
 * when this returns.  Returns 0 or a negative errno value. */
int folder_make(char *path);

#endif /* folder.h */
