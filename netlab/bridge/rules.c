/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/bridge/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Theory of operation
 * -------------------
 * A request is taken apart into rights, one for each thing it names, and each must be allowed.  The whole file is read
 * for each of them: it is short, and read before a lab starts, never while frames pass. */

#define LINE_MAX_BYTES 1024
#define RIGHTS_MAX (BRIDGE_ADDRESSES_MAX + 2)

/* One thing that is asked for: "bridge nlbr0". */
struct right {
	const char *what; /* As the third word of a rule. */
	const char *name; /* Or, for an address: */
	const struct bridge_address *address;
};

struct rule {
	bool allows;
	const char *who, *what, *pattern;
};

int bridge_asker_get(struct bridge_asker *asker, struct error *error)
{
	int count = getgroups(BRIDGE_GROUPS_MAX - 1, asker->groups);

	/* One that was left out could be one that is denied something. */
	if (count < 0)
		return error_set(error, ERROR_HOST, errno, "your groups are not known: %s", strerror(errno));
	asker->user = getuid();
	asker->group_count = (size_t)count;
	asker->groups[asker->group_count++] = getgid();
	return 0;
}

static size_t take_apart(const struct bridge_request *request, struct right *rights)
{
	size_t count = 0;

	if (request->kind == BRIDGE_JOIN) {
		rights[count++] = (struct right){.what = "bridge", .name = request->bridge};
		if (request->interface[0])
			rights[count++] = (struct right){.what = "interface", .name = request->interface};
		for (size_t i = 0; i < request->address_count; i++)
			rights[count++] = (struct right){.what = "address", .address = &request->addresses[i]};
	} else if (request->kind == BRIDGE_MACVTAP) {
		rights[count++] = (struct right){.what = "macvtap", .name = request->interface};
	}
	return count;
}

/* A number, if it is one and nothing but one; otherwise -1, which is no user's and no group's. */
static unsigned int read_number(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && number < UINT32_MAX ? (unsigned int)number : UINT32_MAX;
}

static bool is_group_of(const struct bridge_asker *asker, const char *name)
{
	const struct group *group = getgrnam(name);
	gid_t number = group ? group->gr_gid : read_number(name);

	for (size_t i = 0; number != UINT32_MAX && i < asker->group_count; i++)
		if (asker->groups[i] == number)
			return true;
	return false;
}

static bool fits_asker(const char *who, const struct bridge_asker *asker)
{
	const struct passwd *user;

	if (!strcmp(who, "*"))
		return true;
	if (who[0] == '@')
		return is_group_of(asker, who + 1);
	user = getpwnam(who);
	return (user ? user->pw_uid : read_number(who)) == asker->user;
}

/* Reads "192.0.2.0/24". */
static bool read_prefix(const char *text, struct bridge_address *prefix)
{
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN] = "";
	size_t length = slash ? (size_t)(slash - text) : sizeof(address);

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	prefix->family = strchr(address, ':') ? AF_INET6 : AF_INET;
	prefix->prefix_length = read_number(slash + 1);
	return inet_pton(prefix->family, address, prefix->bytes) == 1 &&
	       prefix->prefix_length <= (prefix->family == AF_INET ? 32u : 128u);
}

/* Whether all addresses of the subnet of 'address' are in 'prefix': a host with such an address takes the whole subnet
 * for its own. */
static bool is_within(const struct bridge_address *address, const struct bridge_address *prefix)
{
	unsigned int whole = prefix->prefix_length / 8, rest = prefix->prefix_length % 8;

	return address->family == prefix->family && address->prefix_length >= prefix->prefix_length &&
	       !memcmp(address->bytes, prefix->bytes, whole) &&
	       (rest == 0 || (address->bytes[whole] ^ prefix->bytes[whole]) >> (8 - rest) == 0);
}

static bool fits_right(const struct rule *rule, const struct right *right)
{
	struct bridge_address prefix;

	if (strcmp(rule->what, right->what) != 0)
		return false;
	if (right->address)
		return read_prefix(rule->pattern, &prefix) && is_within(right->address, &prefix);
	return fnmatch(rule->pattern, right->name, 0) == 0;
}

/* Splits a line.  Returns NULL for a rule or an empty line, which has no 'who', or what is wrong with it. */
static const char *read_rule(char *line, struct rule *rule)
{
	static const char space[] = " \t\r\n";
	static const char *const rights[] = {"bridge", "interface", "macvtap", "address"};
	struct bridge_address prefix;
	const char *verb, *rest;
	char *state = NULL;

	line[strcspn(line, "#")] = '\0';
	verb = strtok_r(line, space, &state);
	rule->who = strtok_r(NULL, space, &state);
	rule->what = strtok_r(NULL, space, &state);
	rule->pattern = strtok_r(NULL, space, &state);
	rest = strtok_r(NULL, space, &state);
	if (!verb)
		return NULL;
	if (!rule->pattern || rest)
		return "a rule has four words: allow alice bridge nlbr0";
	rule->allows = !strcmp(verb, "allow");
	if (!rule->allows && strcmp(verb, "deny") != 0)
		return "a rule begins with \"allow\" or \"deny\"";
	for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++)
		if (!strcmp(rule->what, rights[i]))
			return strcmp(rule->what, "address") || read_prefix(rule->pattern, &prefix) ?
				       NULL :
				       "an address is allowed by a prefix, such as 192.0.2.0/24";
	return "the third word is \"bridge\", \"interface\", \"macvtap\" or \"address\"";
}

static int refuse(const char *path, const struct bridge_asker *asker, const struct right *right, struct error *error)
{
	const struct passwd *user = getpwuid(asker->user);
	char who[64], name[64];

	snprintf(who, sizeof(who), "%u", (unsigned int)asker->user);
	snprintf(name, sizeof(name), "%s", right->name ? right->name : "");
	if (right->address)
		bridge_address_text(right->address, name, sizeof(name));
	return error_set(error, ERROR_HOST, EACCES,
			 "%s does not allow %s %s to you\n  help: root may allow it by the line \"allow %s %s %s\" "
			 "there, or use sudo",
			 path, right->what, name, user ? user->pw_name : who, right->what, name);
}

/* Whether 'right' is allowed: 0, -EACCES, or -EINVAL. */
static int judge_right(FILE *file, const char *path, const struct bridge_asker *asker, const struct right *right,
		       struct error *error)
{
	char line[LINE_MAX_BYTES];
	bool is_decided = false, is_allowed = false;

	rewind(file);
	for (unsigned int number = 1; fgets(line, sizeof(line), file); number++) {
		struct rule rule = {.who = NULL};
		const char *problem = strchr(line, '\n') || feof(file) ? read_rule(line, &rule) :
									 "the line is too long";

		if (problem)
			return error_set(error, ERROR_HOST, EINVAL, "%s:%u: %s", path, number, problem);
		if (is_decided || !rule.who || !fits_right(&rule, right) || !fits_asker(rule.who, asker))
			continue;
		is_decided = true;
		is_allowed = rule.allows;
	}
	return is_allowed ? 0 : refuse(path, asker, right, error);
}

int bridge_rules_judge(FILE *file, const char *path, const struct bridge_asker *asker,
		       const struct bridge_request *request, struct error *error)
{
	struct right rights[RIGHTS_MAX];
	size_t count = take_apart(request, rights);
	int result = 0;

	if (request->kind == BRIDGE_NAMESPACE)
		return error_set(error, ERROR_HOST, EPERM,
				 "only root may plug a lab into the network namespace %s\n  help: use sudo",
				 request->namespace);
	for (size_t i = 0; result == 0 && i < count; i++)
		result = judge_right(file, path, asker, &rights[i], error);
	return result;
}

int bridge_rules_check(const char *path, const struct bridge_asker *asker, const struct bridge_request *request,
		       struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 && errno == ENOENT ? fopen("/dev/null", "re") : fd < 0 ? NULL : fdopen(fd, "r");
	struct stat status;
	int result;

	if (!file) {
		result = error_set(error, ERROR_HOST, errno, "%s cannot be read: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return result;
	}
	if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != 0 ||
			status.st_mode & (S_IWGRP | S_IWOTH)))
		result = error_set(
			error, ERROR_HOST, EPERM,
			"%s must be root's, and nobody else's to write\n  help: sudo chown root %s; sudo chmod "
			"644 %s",
			path, path, path);
	else
		result = bridge_rules_judge(file, path, asker, request, error);
	fclose(file);
	return result;
}
