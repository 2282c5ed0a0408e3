/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/ping_range.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RANGE_FILE "/proc/sys/net/ipv4/ping_group_range"

bool ping_range_has(const char *range, const gid_t *groups, size_t count)
{
	uint64_t low, high;

	if (sscanf(range, "%" SCNu64 " %" SCNu64, &low, &high) != 2)
		return false;
	for (size_t i = 0; i < count; i++)
		if (groups[i] >= low && groups[i] <= high)
			return true;
	return false;
}

/* Reads the range.  Returns false when there is none to read. */
static bool read_range(char *range, size_t size)
{
	int fd = open(RANGE_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, range, size - 1);

	if (fd >= 0)
		close(fd);
	range[length > 0 ? length : 0] = '\0';
	return length > 0;
}

bool ping_is_allowed(void)
{
	int count = getgroups(0, NULL);
	gid_t *groups = count < 0 ? NULL : calloc((size_t)count + 1, sizeof(*groups));
	char range[64];
	bool is_allowed;

	if (geteuid() == 0 || !groups || !read_range(range, sizeof(range))) {
		free(groups);
		return true;
	}
	count = getgroups(count, groups);
	if (count < 0)
		count = 0;
	groups[count] = getegid();
	is_allowed = ping_range_has(range, groups, (size_t)count + 1);
	free(groups);
	return is_allowed;
}
