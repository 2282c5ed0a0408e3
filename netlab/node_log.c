/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/node_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct node_log {
	int fd;
	size_t size;
	char *path;
};

struct node_log *node_log_create(const char *folder, const char *name, struct error *error)
{
	struct node_log *log = calloc(1, sizeof(*log));

	if (!log || asprintf(&log->path, "%s/%s.log", folder, name) < 0) {
		free(log);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log->fd < 0) {
		error_set(error, ERROR_HOST, errno, "cannot make %s: %s", log->path, strerror(errno));
		node_log_destroy(log);
		return NULL;
	}
	return log;
}

void node_log_destroy(struct node_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		close(log->fd);
	free(log->path);
	free(log);
}

const char *node_log_file(const struct node_log *log)
{
	return log->path;
}

void node_log_write(struct node_log *log, const char *text, size_t size)
{
	static const char cut[] = "[netlab: the log grew too large and begins again here]\n";

	if (log->size + size > NODE_LOG_SIZE_MAX && ftruncate(log->fd, 0) == 0) {
		log->size = sizeof(cut) - 1;
		if (write(log->fd, cut, sizeof(cut) - 1) < 0)
			return;
	}
	if (write(log->fd, text, size) > 0) /* A full disk loses the log, not the lab. */
		log->size += size;
}

size_t node_log_tail(const struct node_log *log, char *to, size_t size)
{
	size_t kept = log->size < size ? log->size : size;
	int fd = open(log->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = fd >= 0 ? pread(fd, to, kept, (off_t)(log->size - kept)) : 0;

	if (fd >= 0)
		close(fd);
	return got > 0 ? (size_t)got : 0;
}

bool node_log_is_empty(const struct node_log *log)
{
	return log->size == 0;
}
