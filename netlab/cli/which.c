/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/runtime.h"
#include "netlab/topology.h"

/* Which topology and which lab a command is about. */

static bool is_file(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

/* topology.yaml or topology.yml in 'folder', or NULL. */
static char *usual_topology(const char *folder)
{
	static const char *const names[] = {"topology.yaml", "topology.yml"};

	for (size_t i = 0; i < 2; i++) {
		char *path = allocate_text("%s/%s", folder, names[i]);

		if (is_file(path))
			return path;
		free(path);
	}
	return NULL;
}

/* The single *.yaml or *.yml in 'folder'; or NULL and how many there are. */
static char *only_yaml(const char *folder, size_t *count)
{
	char *pattern = allocate_text("%s/*.y*ml", folder);
	glob_t found = {0};
	char *path = NULL;

	*count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	if (*count == 1)
		path = allocate_copy(found.gl_pathv[0]);
	globfree(&found);
	free(pattern);
	return path;
}

char *cli_find_topology(const char *given, struct error *error)
{
	const char *folder = given ? given : ".";
	struct stat status;
	size_t count = 0;
	char *path;

	if (stat(folder, &status) < 0) {
		error_set(error, ERROR_USAGE, errno, "%s: %s", folder, strerror(errno));
		return NULL;
	}
	if (!S_ISDIR(status.st_mode))
		return allocate_copy(folder);
	path = usual_topology(folder);
	if (!path)
		path = only_yaml(folder, &count);
	if (!path && count == 0)
		error_set(error, ERROR_USAGE, ENOENT,
			  "there is no topology.yaml in %s; name the topology's file, or go to its folder",
			  given ? given : "this folder");
	else if (!path)
		error_set(error, ERROR_USAGE, ENOENT,
			  "there are %zu YAML files in %s and none is topology.yaml; say which one is meant", count,
			  given ? given : "this folder");
	return path;
}

int cli_running_labs(char ***labs, size_t *count, bool clean, struct error *error)
{
	size_t all, kept = 0;
	int result = runtime_labs(labs, &all, error);

	*count = 0;
	if (result < 0)
		return result;
	for (size_t i = 0; i < all; i++) {
		char *lab = (*labs)[i];

		if (runtime_probe(lab, NULL) == RUNTIME_RUNNING) {
			(*labs)[kept++] = lab;
			continue;
		}
		if (clean && runtime_clean(lab))
			fprintf(stderr, "netlab: removed what a dead netlabd left of lab %s\n", lab);
		free(lab);
	}
	*count = kept;
	return 0;
}

void cli_free_labs(char **labs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(labs[i]);
	free(labs);
}

static char *join(char *const *labs, size_t count)
{
	char *text = allocate_copy("");

	for (size_t i = 0; i < count; i++) {
		char *longer = allocate_text("%s%s%s", text, i ? ", " : "", labs[i]);

		free(text);
		text = longer;
	}
	return text;
}

/* True if 'lab' was started from the topology file 'path' (absolute). */
static bool is_of_topology(const char *lab, const char *path)
{
	char *its_path = runtime_read(lab, "topology", PATH_MAX);
	bool is = its_path && !strcmp(its_path, path);

	free(its_path);
	return is;
}

/* Moves the labs that were started from 'path' to the front, and returns how many there are. */
static size_t labs_of_topology(char **labs, size_t count, const char *path)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		if (is_of_topology(labs[i], path)) {
			char *lab = labs[i];

			labs[i] = labs[found];
			labs[found++] = lab;
		}
	}
	return found;
}

/* The lab among the 'count' copies of one topology whose name is the topology's own. */
static const char *lab_with_own_name(char *const *labs, size_t count, const char *path)
{
	FILE *nowhere = fopen("/dev/null", "we");
	struct topology *topology = nowhere ? topology_read(path, NULL, nowhere) : NULL;
	const char *lab = NULL;

	for (size_t i = 0; topology && i < count; i++)
		if (!strcmp(labs[i], topology->name))
			lab = labs[i];
	topology_free(topology);
	if (nowhere)
		fclose(nowhere);
	return lab;
}

/* The lab of the current folder's topology, or NULL; 'error' is set if it is an error to look further. */
static const char *lab_of_folder(char **labs, size_t count, struct error *error)
{
	size_t yaml_count;
	char *usual = usual_topology(".");
	char *found = usual ? usual : only_yaml(".", &yaml_count);
	char *path = found ? realpath(found, NULL) : NULL;
	const char *lab = NULL;

	if (path) {
		size_t copies = labs_of_topology(labs, count, path);

		lab = copies == 1 ? labs[0] : lab_with_own_name(labs, copies, path);
		if (copies > 1 && !lab) {
			char *names = join(labs, copies);

			error_set(error, ERROR_USAGE, EINVAL,
				  "this folder's topology runs more than once; say which with --lab: %s", names);
			free(names);
		} else if (!lab && usual) {
			char *names = join(labs, count);

			error_set(error, ERROR_FAILED, ENOENT,
				  "the lab of this folder's topology is not running; start it with \"netlab up\"%s%s",
				  count ? ", or say which one with --lab: " : "", names);
			free(names);
		}
	}
	free(path);
	free(found);
	return lab;
}

static char *only_lab(char *const *labs, size_t count, struct error *error)
{
	char *names;

	if (count == 1)
		return allocate_copy(labs[0]);
	if (count == 0) {
		error_set(error, ERROR_FAILED, ENOENT, "no lab is running; start one with \"netlab up\"");
		return NULL;
	}
	names = join(labs, count);
	error_set(error, ERROR_USAGE, EINVAL, "%zu labs are running; say which one with --lab: %s", count, names);
	free(names);
	return NULL;
}

static char *named_lab(const char *name, char *const *labs, size_t count, struct error *error)
{
	char *names;

	for (size_t i = 0; i < count; i++)
		if (!strcmp(labs[i], name))
			return allocate_copy(name);
	names = join(labs, count);
	error_set(error, ERROR_FAILED, ENOENT, "lab %s is not running; %s%s", name,
		  count ? "these are: " : "start it with \"netlab up\"", names);
	free(names);
	return NULL;
}

char *cli_find_lab(const struct cli *cli, const char *name, struct error *error)
{
	const char *wanted = name ? name : cli->lab;
	const char *of_folder = NULL;
	char *lab = NULL;
	char **labs;
	size_t count;

	error->class = ERROR_NONE;
	if (cli_running_labs(&labs, &count, false, error) < 0)
		return NULL;
	if (wanted) {
		lab = named_lab(wanted, labs, count, error);
	} else {
		of_folder = lab_of_folder(labs, count, error);
		if (of_folder)
			lab = allocate_copy(of_folder);
		else if (error->class == ERROR_NONE)
			lab = only_lab(labs, count, error);
	}
	cli_free_labs(labs, count);
	return lab;
}

char *cli_find_lab_of_node(const struct cli *cli, const char *argument, const char **node, struct error *error)
{
	const char *slash = strchr(argument, '/');
	char *name, *lab;

	*node = slash ? slash + 1 : argument;
	if (!slash)
		return cli_find_lab(cli, NULL, error);
	name = allocate_copy_part(argument, (size_t)(slash - argument));
	lab = cli_find_lab(cli, name, error);
	free(name);
	return lab;
}
