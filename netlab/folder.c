/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int make_one(const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int folder_make(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int result;

		*slash = '\0';
		result = make_one(path);
		*slash = '/';
		if (result < 0)
			return result;
	}
	return make_one(path);
}
