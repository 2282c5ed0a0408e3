/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/socket_path.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int socket_path_address(const char *path, struct sockaddr_un *address, struct error *error)
{
	size_t length = strlen(path);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (length >= sizeof(address->sun_path))
		return error_set(error, ERROR_FAILED, ENAMETOOLONG, "%s has more than %zu bytes", path,
				 sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, length + 1);
	return 0;
}

/* Whether a socket is there that no process has any more. */
static bool is_stale(const struct sockaddr_un *address, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool is_refused = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
			  errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return is_refused;
}

/* Removes what is in the way, if it is a socket that has been left behind. */
static int make_way(const struct sockaddr_un *address, int type, struct error *error)
{
	const char *path = address->sun_path;
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ?
			       0 :
			       error_set(error, ERROR_FAILED, errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, ERROR_FAILED, EEXIST,
				 "%s is there, and is no socket\n"
				 "  help: remove it, or give the socket another path",
				 path);
	if (!is_stale(address, type))
		return error_set(error, ERROR_FAILED, EADDRINUSE,
				 "another program, or another lab, has the socket %s\n"
				 "  help: \"ss -xlp\" tells which",
				 path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(error, ERROR_FAILED, errno, "cannot remove %s, which was left behind: %s", path,
				 strerror(errno));
	return 0;
}

int socket_path_bind(struct socket_path *bound, int fd, int type, const char *path, struct error *error)
{
	struct sockaddr_un address;
	struct stat status;
	int result = socket_path_address(path, &address, error);

	if (result == 0)
		result = make_way(&address, type, error);
	if (result < 0)
		return result;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot make the socket %s: %s", path, strerror(errno));
	if (lstat(path, &status) < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot look at %s: %s", path, strerror(errno));
	*bound = (struct socket_path){.is_bound = true, .device = status.st_dev, .inode = status.st_ino};
	return 0;
}

void socket_path_remove(struct socket_path *bound, const char *path)
{
	struct stat status;

	if (bound->is_bound && lstat(path, &status) == 0 && status.st_dev == bound->device &&
	    status.st_ino == bound->inode)
		unlink(path);
	bound->is_bound = false;
}
