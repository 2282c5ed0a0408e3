/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int make_one(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

int folder_make_above(char *path, mode_t mode)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int result;

		*slash = '\0';
		result = make_one(path, mode);
		*slash = '/';
		if (result < 0)
			return result;
	}
	return 0;
}

int folder_make(char *path)
{
	int result = folder_make_above(path, 0700);

	return result < 0 ? result : make_one(path, 0700);
}
