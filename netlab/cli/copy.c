/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/copy_folder.h"
#include "netlab/cli/stream.h"

/* netlab cp: copies a file, or with -r a folder, into a node or out of it.  This file parses the command line
 * and copies files; copy_folder.c copies folders. */

/* Returns the part after "NODE:", or NULL if 'argument' is a local path: one without a colon, or with a '/'
 * before it that does not make it LAB/NODE. */
static const char *path_in_node(const char *argument)
{
	const char *colon = strchr(argument, ':');
	const char *slash = strchr(argument, '/');

	if (!colon || colon == argument || argument[0] == '.' || argument[0] == '/')
		return NULL;
	if (slash && slash < colon && memchr(slash + 1, '/', (size_t)(colon - slash - 1)))
		return NULL;
	return colon + 1;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : slash ? "" : path;
}

static int finish(struct stream *stream)
{
	int code = 0;

	if (stream->end == STREAM_LEFT || (stream->end == STREAM_BROKEN && stream->end_signal))
		code = 128 + stream->end_signal;
	else if (stream->end != STREAM_FINISHED)
		code = cli_fail(&stream->error);
	stream_free(stream);
	return code;
}

/* Into a node. */

static int write_to_node(struct client *client, const char *node, int fd, int mode, const char *path)
{
	struct stream stream = {.client = client,
				.input = fd,
				.output = -1,
				.error_output = -1,
				.input_end = STREAM_TELLS};

	stream_run(&stream, json_pack("{s:s, s:s, s:s, s:i}", "command", "write-file", "node", node, "path", path,
				      "mode", mode & 0777));
	return finish(&stream);
}

static int copy_in(struct client *client, const char *node, const char *source, const char *path)
{
	bool is_input = !strcmp(source, "-");
	int fd = is_input ? STDIN_FILENO : open(source, O_RDONLY | O_CLOEXEC);
	struct stat status = {0};
	char *target;
	int code;

	if (fd < 0 || fstat(fd, &status) < 0) {
		cli_error("%s: %s", source, strerror(errno));
		return ERROR_FAILED;
	}
	if (S_ISDIR(status.st_mode)) {
		cli_error("%s is a folder; copy it with \"netlab cp -r\"", source);
		close(fd);
		return ERROR_FAILED;
	}
	if (is_input && !base_name(path)[0]) {
		cli_error("%s is a folder; name the file that standard input is to become", path);
		return ERROR_FAILED;
	}
	target = !is_input && copy_is_folder(client, node, path) ? allocate_text("%s/%s", path, base_name(source)) :
								   allocate_copy(path);
	code = write_to_node(client, node, fd, is_input ? 0644 : (int)status.st_mode, target);
	free(target);
	if (!is_input)
		close(fd);
	return code;
}

/* Out of a node. */

struct target {
	const char *path;
	char *temporary; /* Where the file is until it is whole; NULL if it is written in place. */
	int fd;
};

/* The file is made when its first event has come, so that one that is not there in the guest leaves nothing
 * here. */
static bool open_target(struct stream *stream, int mode)
{
	struct target *target = stream->opaque;
	struct stat status;
	mode_t mask = umask(077); /* It cannot be asked for otherwise. */

	umask(mask);
	if (stat(target->path, &status) == 0 && !S_ISREG(status.st_mode)) {
		target->fd = open(target->path, O_WRONLY | O_CLOEXEC);
	} else {
		target->temporary = allocate_text("%s.XXXXXX", target->path);
		target->fd = mkostemp(target->temporary, O_CLOEXEC);
		if (target->fd >= 0)
			fchmod(target->fd, (mode_t)mode & 0777 & ~mask);
	}
	stream->output = target->fd;
	if (target->fd >= 0)
		return true;
	error_set(&stream->error, ERROR_FAILED, errno, "cannot write %s: %s", target->path, strerror(errno));
	free(target->temporary);
	target->temporary = NULL;
	return false;
}

static int copy_out_to_file(struct client *client, const char *node, const char *path, const char *to)
{
	struct target target = {.path = to, .fd = -1};
	struct stream stream = {.client = client,
				.input = -1,
				.output = -1,
				.error_output = -1,
				.mode = open_target,
				.opaque = &target};
	int code;

	stream_run(&stream, json_pack("{s:s, s:s, s:s}", "command", "read-file", "node", node, "path", path));
	if (stream.end == STREAM_FINISHED && target.fd < 0) /* An agent that gives no mode. */
		open_target(&stream, 0644);
	code = finish(&stream);
	if (target.fd >= 0 && close(target.fd) < 0 && !code) {
		cli_error("cannot write %s: %s", to, strerror(errno));
		code = ERROR_FAILED;
	}
	if (target.temporary && !code && rename(target.temporary, to) < 0) {
		cli_error("cannot write %s: %s", to, strerror(errno));
		code = ERROR_FAILED;
	}
	if (target.temporary && code)
		unlink(target.temporary);
	free(target.temporary);
	return code;
}

static int copy_out(struct client *client, const char *node, const char *path, const char *to)
{
	struct stat status;
	char *target;
	int code;

	if (!strcmp(to, "-")) {
		struct stream stream = {.client = client, .input = -1, .output = STDOUT_FILENO, .error_output = -1};

		stream_run(&stream, json_pack("{s:s, s:s, s:s}", "command", "read-file", "node", node, "path", path));
		return finish(&stream);
	}
	target = stat(to, &status) == 0 && S_ISDIR(status.st_mode) ? allocate_text("%s/%s", to, base_name(path)) :
								     allocate_copy(to);
	code = copy_out_to_file(client, node, path, target);
	free(target);
	return code;
}

static int copy(struct client *client, const char *node, const char *source, const char *destination, bool recursive)
{
	const char *from = path_in_node(source);
	const char *to = path_in_node(destination);
	const char *path = from ? from : to;

	if (path[0] != '/') {
		cli_error("\"%s\" is not an absolute path; in a node paths begin with /", path);
		return ERROR_USAGE;
	}
	if (recursive)
		return from ? copy_folder_out(client, node, from, destination) :
			      copy_folder_in(client, node, source, to);
	return from ? copy_out(client, node, from, destination) : copy_in(client, node, source, to);
}

static int find_and_copy(struct cli *cli, const char *source, const char *destination, bool recursive)
{
	const char *inside = path_in_node(source) ? source : destination;
	char *name = allocate_copy_part(inside, (size_t)(path_in_node(inside) - inside) - 1);
	struct error error = {0};
	struct client client;
	const char *node;
	char *lab = cli_find_lab_of_node(cli, name, &node, &error);
	int code;

	if (lab && client_open(&client, lab, &error) == 0) {
		code = copy(&client, node, source, destination, recursive);
		client_close(&client);
	} else {
		code = cli_fail(&error);
	}
	free(name);
	free(lab);
	return code;
}

int cli_copy(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"recursive", no_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	bool recursive = false;
	int option;

	while ((option = cli_option(cli, argc, argv, "r", options)) != -1) {
		if (option != 'r')
			return ERROR_USAGE;
		recursive = true;
	}
	if (argc - optind != 2)
		return cli_usage(cli, "a source and a destination are needed");
	if (!path_in_node(argv[optind]) == !path_in_node(argv[optind + 1]))
		return cli_usage(cli, "one of the two, and only one, is NODE:PATH");
	return find_and_copy(cli, argv[optind], argv[optind + 1], recursive);
}
