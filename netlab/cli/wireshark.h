/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_WIRESHARK_H
#define NETLAB_CLI_WIRESHARK_H 1

/* netlab among the extcap programs of Wireshark (netlab/cli/extcap.h): a symbolic link to this program in a folder in
 * which Wireshark looks for them.
 *
 * Thread-safety: one thread. */

#include "core/error.h"

/* Makes the link in 'folder', which is made if need be, or with NULL in the user's own folder as Wireshark or tshark
 * names it.  Returns the link's path, to be freed with free(), or NULL with 'error' set. */
char *wireshark_install(const char *folder, struct error *error);

/* Removes it, if it is there.  Returns the same. */
char *wireshark_uninstall(const char *folder, struct error *error);

#endif /* wireshark.h */
