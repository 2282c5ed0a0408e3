/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/copy_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/stream.h"

extern char **environ;

/* Runs 'argv' in the node with these descriptors.  Returns its status, or -1 after printing why there is
 * none. */
static int run_in_node(struct client *client, const char *node, const char *const *argv, int input, int output)
{
	struct stream stream = {.client = client,
				.input = input,
				.output = output,
				.error_output = STDERR_FILENO,
				.input_end = STREAM_TELLS};
	json_t *words = json_array();
	int status = -1;

	for (; *argv; argv++)
		json_array_append_new(words, json_string(*argv));
	stream_run(&stream, json_pack("{s:s, s:s, s:o}", "command", "exec", "node", node, "argv", words));
	if (stream.end == STREAM_FINISHED)
		status = json_integer_value(json_object_get(stream.result, "signal")) ?
				 1 :
				 (int)json_integer_value(json_object_get(stream.result, "status"));
	else if (stream.end == STREAM_LEFT)
		cli_error("interrupted; what has been copied so far stays");
	else if (!stream.end_signal) /* A pipe that broke is for the tar at its other end to explain. */
		cli_error("%s", stream.error.text);
	stream_free(&stream);
	return status;
}

bool copy_is_folder(struct client *client, const char *node, const char *path)
{
	const char *const argv[] = {"test", "-d", path, NULL};

	return run_in_node(client, node, argv, -1, -1) == 0;
}

/* Starts the local tar with one end of a new pipe as 'its_fd', and returns the other; or -1 after
 * complaining. */
static int start_tar(const char *const *argv, int its_fd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int fds[2], ours, its, result;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		cli_error("cannot make a pipe: %s", strerror(errno));
		return -1;
	}
	its = fds[its_fd == STDIN_FILENO ? 0 : 1];
	ours = fds[its_fd == STDIN_FILENO ? 1 : 0];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, its, its_fd);
	result = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(its);
	if (!result)
		return ours;
	cli_error("cannot run tar, which copies folders: %s", strerror(result));
	close(ours);
	return -1;
}

static int finish(pid_t pid, int status_in_node)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status_in_node == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ERROR_FAILED;
}

/* The last name of 'path', without slashes after it. */
static char *last_name(const char *path)
{
	size_t end = strlen(path);
	size_t start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	return allocate_copy_part(path + start, end - start);
}

int copy_folder_in(struct client *client, const char *node, const char *source, const char *path)
{
	const char *const pack[] = {"tar", "-c", "-f", "-", "--owner=0", "--group=0", "-C", source, ".", NULL};
	char *name = last_name(source);
	char *target = copy_is_folder(client, node, path) && strcmp(name, ".") && strcmp(name, "..") ?
			       allocate_text("%s/%s", path, name) :
			       allocate_copy(path);
	const char *const unpack[] = {"sh", "-c",   "mkdir -p -- \"$1\" && exec tar -x -f - -C \"$1\"",
				      "sh", target, NULL};
	pid_t pid;
	int fd = start_tar(pack, STDOUT_FILENO, &pid);
	int code = ERROR_FAILED;

	if (fd >= 0) {
		int status = run_in_node(client, node, unpack, fd, -1);

		close(fd);
		code = finish(pid, status);
	}
	free(target);
	free(name);
	return code;
}

/* Runs a program of this machine, and says whether it did well; it says itself why not. */
static bool run(const char *const *argv)
{
	pid_t pid;
	int result = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);

	if (result == 0)
		return finish(pid, 0) == 0;
	cli_error("cannot run %s: %s", argv[0], strerror(result));
	return false;
}

/* Moves what was unpacked beside the folder into it, if that is whole.  What is there may have come from a guest as
 * well, so no link of it is followed, as tar would. */
static bool merge(const char *unpacked, const char *folder, bool is_whole)
{
	char *from = allocate_text("%s/.", unpacked), *to = allocate_text("%s/", folder);
	const char *const copy[] = {"cp", "-a", "--no-preserve=ownership", "--remove-destination", "--", from,
				    to,   NULL};
	/* Its owner may do with it what must be done, whatever its modes were. */
	const char *const allow[] = {"chmod", "-R", "u+rwX", "--", unpacked, NULL};
	const char *const remove[] = {"rm", "-rf", "--", unpacked, NULL};
	bool is_good = run(allow) && is_whole && run(copy);

	if (!is_whole)
		cli_error("%s is as it was", folder);
	is_good = run(remove) && is_good;
	free(from);
	free(to);
	return is_good;
}

/* Unpacks what the node packs into the folder, which is new. */
static int unpack_from(struct client *client, const char *node, const char *path, const char *folder)
{
	const char *const pack[] = {"tar", "-c", "-f", "-", "-C", path, ".", NULL};
	/* The archive comes from a guest: nothing in it decides who owns files here or what runs as whom. */
	const char *const unpack[] = {"tar", "-x",   "-f", "-", "--no-same-owner", "--no-same-permissions",
				      "-C",  folder, NULL};
	pid_t pid;
	int fd = start_tar(unpack, STDIN_FILENO, &pid), status;

	if (fd < 0)
		return ERROR_FAILED;
	status = run_in_node(client, node, pack, -1, fd);
	close(fd);
	return finish(pid, status);
}

int copy_folder_out(struct client *client, const char *node, const char *path, const char *destination)
{
	struct stat status;
	char *name = last_name(path);
	bool is_folder = stat(destination, &status) == 0 && S_ISDIR(status.st_mode);
	char *target = is_folder ? allocate_text("%s/%s", destination, name) : allocate_copy(destination);
	char *beside = allocate_text("%s/.netlab-XXXXXX", target);
	int code = ERROR_FAILED;

	if (mkdir(target, 0777) == 0) {
		code = unpack_from(client, node, path, target);
	} else if (errno != EEXIST) {
		cli_error("cannot make the folder %s: %s", target, strerror(errno));
	} else if (lstat(target, &status) < 0 || !S_ISDIR(status.st_mode)) {
		cli_error("%s is there and no folder, and no link is followed that a guest may have made", target);
	} else if (!mkdtemp(beside)) {
		cli_error("cannot write into the folder %s: %s", target, strerror(errno));
	} else {
		code = unpack_from(client, node, path, beside);
		if (!merge(beside, target, code == 0))
			code = ERROR_FAILED;
	}
	free(beside);
	free(target);
	free(name);
	return code;
}
