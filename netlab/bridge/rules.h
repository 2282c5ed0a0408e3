/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BRIDGE_RULES_H
#define NETLAB_BRIDGE_RULES_H 1

/* Who may do what to this host's network: /etc/netlab-kvm/bridge.conf
 * ===================================================================
 *
 * A line is a rule; '#' begins a comment.  The first rule that fits decides, and where none fits, or there is no such
 * file, the answer is no.  Root is never asked.
 *
 *     allow alice     bridge     nlbr*           plug labs into bridges of these names, which are made if need be
 *     allow @netlab   address    192.0.2.0/24    give a bridge that is made an address within this prefix
 *     allow alice     interface  eth1            have it be a port of such a bridge
 *     allow @netlab   macvtap    eth0            plug labs into this interface beside the host
 *     deny  *         bridge     br-lan
 *
 * The second word is a user's name or number, "@" and a group's, or "*"; the last a pattern as of the shell
 * (fnmatch(3)), and a prefix for addresses.  The file must be root's, and nobody else may be able to write to it.
 *
 * Thread-safety: one thread, as getpwnam(3) and getgrnam(3).
 */

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/error.h"
#include "netlab/bridge/request.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define BRIDGE_RULES_PATH SYSCONFDIR "/netlab-kvm/bridge.conf"

#define BRIDGE_GROUPS_MAX 1024 /* Groups that a user may be in. */

struct bridge_asker {
	uid_t user;
	gid_t groups[BRIDGE_GROUPS_MAX];
	size_t group_count;
};

/* The process's real user, its group, and its further groups.  Returns 0 or a negative errno value with 'error' set,
 * when there are too many. */
int bridge_asker_get(struct bridge_asker *asker, struct error *error);

/* Whether the rules in 'file' allow all that the request asks for.  'path' is for messages.  Returns 0; -EACCES with
 * 'error' set, saying which line would allow it; or -EINVAL for a line that is no rule, whatever comes before it. */
int bridge_rules_judge(FILE *file, const char *path, const struct bridge_asker *asker,
		       const struct bridge_request *request, struct error *error);

/* The same with the file at 'path', which must be root's own. */
int bridge_rules_check(const char *path, const struct bridge_asker *asker, const struct bridge_request *request,
		       struct error *error);

#endif /* bridge/rules.h */
