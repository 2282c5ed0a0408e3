/* SPDX-License-Identifier: Apache-2.0 */
#include "core/host_memory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A control group's files. */
struct cgroup_version {
	const char *mount;
	const char *limit, *usage;
	const char *caches[2]; /* Names in memory.stat of pages of files, which can be had back. */
};

static const struct cgroup_version version_1 = {
	.mount = "/sys/fs/cgroup/memory",
	.limit = "memory.limit_in_bytes",
	.usage = "memory.usage_in_bytes",
	.caches = {"total_inactive_file", "total_active_file"},
};

static const struct cgroup_version version_2 = {
	.mount = "/sys/fs/cgroup",
	.limit = "memory.max",
	.usage = "memory.current",
	.caches = {"inactive_file", "active_file"},
};

/* Finds the line "NAME NUMBER", or "NAME: NUMBER", of a file.  Returns false if there is none.  With 'name' NULL the
 * file is a number. */
static bool read_number(const char *path, const char *name, uint64_t *number)
{
	size_t length = name ? strlen(name) : 0;
	FILE *file = fopen(path, "re");
	bool is_found = false;
	char line[256];

	while (file && !is_found && fgets(line, sizeof(line), file)) {
		char *at = line + length, *end;

		if (name && (strncmp(line, name, length) != 0 || !strchr(": ", *at)))
			continue;
		at += *at == ':';
		*number = strtoull(at, &end, 10);
		is_found = end != at;
	}
	if (file)
		fclose(file);
	return is_found;
}

/* What the group in 'folder' may still use, or UINT64_MAX if it has no limit. */
static uint64_t room_in(const char *folder, const struct cgroup_version *version)
{
	uint64_t limit, usage, cache = 0, number;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, version->limit);
	if (!read_number(path, NULL, &limit)) /* "max", or the root. */
		return UINT64_MAX;
	snprintf(path, sizeof(path), "%s/%s", folder, version->usage);
	if (!read_number(path, NULL, &usage))
		return UINT64_MAX;
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	for (size_t i = 0; i < sizeof(version->caches) / sizeof(version->caches[0]); i++)
		if (read_number(path, version->caches[i], &number))
			cache += number;
	usage = usage > cache ? usage - cache : 0;
	return limit > usage ? limit - usage : 0;
}

/* The least of what the group and those it is in may still use.  In a container its own group may be mounted where the
 * root should be, so a folder that is not there is passed over. */
static uint64_t room_above(const char *root, const char *group, const struct cgroup_version *version)
{
	size_t mount = strlen(root) + strlen(version->mount);
	uint64_t least = UINT64_MAX;
	char folder[PATH_MAX - 64];

	snprintf(folder, sizeof(folder), "%s%s%s", root, version->mount, group);
	for (;;) {
		uint64_t room = room_in(folder, version);
		char *slash;

		if (room < least)
			least = room;
		slash = strrchr(folder, '/');
		if (!slash || slash < folder + mount)
			return least;
		*slash = '\0';
	}
}

static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (; list; list = strchr(list, ',')) {
		list += *list == ',';
		if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == '\0'))
			return true;
	}
	return false;
}

/* What the control groups of this process leave it, or UINT64_MAX. */
static uint64_t read_room(const char *root)
{
	uint64_t least = UINT64_MAX;
	char path[PATH_MAX], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	file = fopen(path, "re");
	while (file && getline(&line, &size, file) > 0) {
		/* NUMBER:CONTROLLER,...:/GROUP, without controllers in version 2. */
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		uint64_t room = UINT64_MAX;

		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (has_word(controllers + 1, "memory"))
			room = room_above(root, group, &version_1);
		else if (!controllers[1])
			room = room_above(root, group, &version_2);
		if (room < least)
			least = room;
	}
	free(line);
	if (file)
		fclose(file);
	return least;
}

int host_memory_read(const char *root, struct host_memory *memory)
{
	uint64_t room, kilobytes;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!read_number(path, "MemAvailable", &kilobytes))
		return -ENODATA;
	memory->available = kilobytes << 10;
	room = read_room(root);
	memory->is_limited = room < memory->available;
	if (memory->is_limited)
		memory->available = room;
	return 0;
}

uint64_t host_memory_of_process(const char *root, pid_t pid)
{
	static const char *const parts[] = {"RssAnon", "RssShmem", "VmSwap"};
	uint64_t sum = 0, kilobytes;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/proc/%d/status", root, (int)pid);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (read_number(path, parts[i], &kilobytes))
			sum += kilobytes << 10;
	return sum;
}
