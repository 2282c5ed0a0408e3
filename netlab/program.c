/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"

char *program_folder(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (length <= 0)
		return NULL;
	path[length] = '\0';
	slash = strrchr(path, '/');
	return slash ? allocate_copy_part(path, (size_t)(slash - path)) : NULL;
}

char *program_find(const char *name, struct error *error)
{
	char *folder = program_folder();
	char *beside = allocate_text("%s/%s", folder ? folder : ".", name);
	char *installed = allocate_text("%s/netlab-kvm/%s", LIBEXECDIR, name);
	char *found = NULL;

	if (access(beside, X_OK) == 0)
		found = allocate_copy(beside);
	else if (access(installed, X_OK) == 0)
		found = allocate_copy(installed);
	else
		error_set(error, ERROR_HOST, ENOENT, "there is no %s, neither %s nor %s; install netlab again", name,
			  beside, installed);
	free(folder);
	free(beside);
	free(installed);
	return found;
}
