/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/wireshark.h"
#include "netlab/folder.h"
#include "netlab/program.h"

#define LINK_NAME "netlab-kvm"
#define PROGRAM_NAME "netlab"
#define FOLDERS_SIZE 65536

/* The folder after "NAME:" in what "-G folders" prints, or NULL. */
static char *named_folder(const char *text, const char *name)
{
	for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *value = line + strlen(name) + 1;

		if (strncmp(line, name, strlen(name)) != 0 || line[strlen(name)] != ':')
			continue;
		value += strspn(value, " \t");
		return *value == '/' ? allocate_copy_part(value, strcspn(value, "\r\n")) : NULL;
	}
	return NULL;
}

/* Wireshark 4.2 and later have a folder of its own for this, and name it; before it was within the configuration's. */
static char *personal_folder(struct error *error)
{
	FILE *stream = popen("tshark -G folders 2>/dev/null || wireshark -G folders 2>/dev/null", "re");
	char text[FOLDERS_SIZE] = "";
	size_t size = stream ? fread(text, 1, sizeof(text) - 1, stream) : 0;
	char *folder, *configuration;

	text[size] = '\0';
	if (stream)
		pclose(stream);
	folder = named_folder(text, "Personal Extcap path");
	configuration = named_folder(text, "Personal configuration");
	if (!folder && configuration)
		folder = allocate_text("%s/extcap", configuration);
	free(configuration);
	if (!folder)
		error_set(
			error, ERROR_HOST, ENOENT,
			"neither tshark nor wireshark says where its extcap folder is; install one (\"sudo apt install "
			"wireshark\"), or name the folder with --folder");
	return folder;
}

static char *link_path(const char *given, struct error *error)
{
	char *folder = given ? realpath(given, NULL) : personal_folder(error), *path;

	/* One that is not there yet. */
	if (!folder && given && given[0] == '/')
		folder = allocate_copy(given);
	else if (!folder && given)
		error_set(error, ERROR_USAGE, errno, "%s: %s", given, strerror(errno));
	path = folder ? allocate_text("%s/" LINK_NAME, folder) : NULL;
	free(folder);
	return path;
}

/* Whether what is there is a link of ours, wherever that netlab is or was.  Returns 1, 0 when nothing is there, or a
 * negative errno value with 'error' set. */
static int is_ours(const char *path, struct error *error)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	const char *slash;

	if (length < 0 && errno == ENOENT)
		return 0;
	target[length < 0 ? 0 : length] = '\0';
	slash = strrchr(target, '/');
	if (slash && !strcmp(slash + 1, PROGRAM_NAME))
		return 1;
	return error_set(error, ERROR_FAILED, EEXIST, "%s is not netlab's; move it away first", path);
}

/* In one step: Wireshark may be looking. */
static int put_link(const char *path, const char *program, struct error *error)
{
	char *temporary = allocate_text("%s.%d", path, (int)getpid());
	int result = 0;

	if (symlink(program, temporary) < 0 || rename(temporary, path) < 0) {
		result = error_set(error, ERROR_FAILED, errno, "%s: %s", path, strerror(errno));
		unlink(temporary);
	}
	free(temporary);
	return result;
}

static int install(char *path, struct error *error)
{
	char *slash = strrchr(path, '/'), *program;
	int result;

	*slash = '\0';
	result = folder_make(path);
	if (result < 0)
		error_set(error, ERROR_FAILED, -result, "%s: %s", path, strerror(-result));
	*slash = '/';
	if (result == 0)
		result = is_ours(path, error);
	program = result < 0 ? NULL : program_find(PROGRAM_NAME, error);
	result = program ? put_link(path, program, error) : -ENOENT;
	free(program);
	return result;
}

static int uninstall(char *path, struct error *error)
{
	int result = is_ours(path, error);

	if (result > 0 && unlink(path) < 0)
		return error_set(error, ERROR_FAILED, errno, "%s: %s", path, strerror(errno));
	return result < 0 ? result : 0;
}

static char *change(const char *folder, int (*how)(char *path, struct error *error), struct error *error)
{
	char *path = link_path(folder, error);

	if (path && how(path, error) == 0)
		return path;
	free(path);
	return NULL;
}

char *wireshark_install(const char *folder, struct error *error)
{
	return change(folder, install, error);
}

char *wireshark_uninstall(const char *folder, struct error *error)
{
	return change(folder, uninstall, error);
}
