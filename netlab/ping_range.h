/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PING_RANGE_H
#define NETLAB_PING_RANGE_H 1

/* Who may ping
 * ============
 *
 * A guest's ping gets beyond a NAT gateway by a socket of ours for ICMP echo (ping sockets, Linux 3.0).  The kernel
 * gives one to those who have a group in the range net.ipv4.ping_group_range, which each network namespace has for
 * itself, and which is empty ("1 0") to begin with.  Who may open raw sockets does not need it.
 *
 * Thread-safety: any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What helps, now and from the next start of the host on. */
#define PING_RANGE_FIX "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\""
#define PING_RANGE_FIX_FOR_GOOD "echo 'net.ipv4.ping_group_range = 0 2147483647' | sudo tee /etc/sysctl.d/60-ping.conf"

/* Whether one of the groups is in 'range', which has the file's two numbers: "0\t2147483647\n". */
bool ping_range_has(const char *range, const gid_t *groups, size_t count);

/* Whether this process may ping.  Also true when that cannot be learnt. */
bool ping_is_allowed(void);

#endif /* ping_range.h */
