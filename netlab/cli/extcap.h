/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_EXTCAP_H
#define NETLAB_CLI_EXTCAP_H 1

/* netlab as an extcap program of Wireshark
 * ========================================
 *
 * Wireshark runs the programs in its extcap folders to learn of interfaces that it does not know itself, and to
 * capture there (extcap(4)); "netlab wireshark --install" puts this one there.  Its interfaces are "netlab-LAB", all
 * ports of a running lab, and "netlab-LAB/PORT".  Neither a lab's nor a port's name has a '/'.
 *
 * Every start of Wireshark and of tshark asks for the interfaces, and for the options of each; so those are said
 * without asking any lab.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>

/* Whether it is Wireshark that calls. */
bool extcap_is_meant(int argc, char **argv);

/* Does what Wireshark asks for, and returns the exit code. */
int extcap_run(int argc, char **argv);

#endif /* extcap.h */
