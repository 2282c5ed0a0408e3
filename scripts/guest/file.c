/* SPDX-License-Identifier: Apache-2.0 */
/* AGENT_READ_FILE and AGENT_WRITE_FILE.
 *
 * A regular file is written under another name beside its own and renamed when it is whole, so that a lost
 * connection, or a copy that is given up, leaves the old one.  Its mode and owner stay, as when cp(1) writes over a
 * file.  What a symbolic link names is replaced, not the link. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PERMISSIONS 07777

/* Gives the path at the end of a message, or NULL if it is not a terminated string. */
static const char *parse_path(const uint8_t *payload, size_t length, size_t offset)
{
	if (length < offset + 2 || memchr(payload + offset, '\0', length - offset) != payload + length - 1)
		return NULL;
	return (const char *)payload + offset;
}

bool open_reader(struct agent *agent, struct channel *channel, const uint8_t *payload, size_t length)
{
	const char *path = parse_path(payload, length, 0);
	struct stat status;
	uint32_t mode;
	int fd;

	channel->kind = CHANNEL_READER;
	if (!path)
		return false;
	channel->path = strdup(path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	channel->output[0].fd = fd;
	if (!channel->path || fd < 0 || fstat(fd, &status)) {
		fail_channel(channel, 1, "%.400s: %s", path, strerror(errno));
		return true;
	}
	if (S_ISDIR(status.st_mode)) {
		fail_channel(channel, 1, "%.400s: %s", path, strerror(EISDIR));
		return true;
	}
	mode = status.st_mode & PERMISSIONS;
	put_message(&agent->stream, channel->id, AGENT_FILE_MODE, &mode, sizeof(mode));
	return true;
}

/* Makes the folders above the path that are missing; what fails shows when the file is opened. */
static void make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

/* Opens a new file that is to replace 'old', or NULL for none; gives -1 and errno. */
static int open_temporary(struct channel *channel, const struct stat *old)
{
	int fd;

	if (asprintf(&channel->temporary, "%s.netlab-%d-%u", channel->path, (int)getpid(), channel->id) < 0) {
		channel->temporary = NULL;
		return -1;
	}
	fd = open(channel->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && old && fchown(fd, old->st_uid, old->st_gid)) {
		int reason = errno;

		close(fd);
		errno = reason;
		return -1;
	}
	if (old)
		channel->mode = old->st_mode;
	return fd;
}

/* Opens what takes the data; gives -1 and errno. */
static int open_target(struct channel *channel)
{
	struct stat status;
	char *real;

	if (!stat(channel->path, &status)) {
		if (S_ISDIR(status.st_mode)) {
			errno = EISDIR;
			return -1;
		}
		if (!S_ISREG(status.st_mode))
			return open(channel->path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		real = realpath(channel->path, NULL);
		if (!real)
			return -1;
		free(channel->path);
		channel->path = real;
		return open_temporary(channel, &status);
	}
	if (errno == ENOENT)
		make_folders(channel->path);
	return open_temporary(channel, NULL);
}

bool open_writer(struct channel *channel, const uint8_t *payload, size_t length)
{
	const char *path = parse_path(payload, length, sizeof(channel->mode));

	channel->kind = CHANNEL_WRITER;
	if (!path)
		return false;
	memcpy(&channel->mode, payload, sizeof(channel->mode));
	channel->path = strdup(path);
	if (channel->path)
		channel->input.fd = open_target(channel);
	if (channel->input.fd < 0)
		fail_channel(channel, 1, "%.400s: %s", path, strerror(errno));
	return true;
}

/* All data came: the file takes its name. */
void finish_writer(struct channel *channel)
{
	channel->finished = true;
	if (!channel->temporary)
		return;
	if (fchmod(channel->input.fd, channel->mode & PERMISSIONS) || rename(channel->temporary, channel->path)) {
		fail_channel(channel, 1, "%.400s: %s", channel->path, strerror(errno));
		return;
	}
	free(channel->temporary);
	channel->temporary = NULL;
}
