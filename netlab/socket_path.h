/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_SOCKET_PATH_H
#define NETLAB_SOCKET_PATH_H 1

/* Paths of sockets
 * ================
 *
 * A socket of the family AF_UNIX leaves its path behind when its process is killed.  So one that nobody listens at
 * any more is replaced; one that somebody does, and whatever is no socket, is left alone.  At the end the path is
 * removed if it is still that of our socket.
 *
 * Thread-safety: any thread.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "core/error.h"

/* A path that we have bound a socket to.  Zero-initialise it. */
struct socket_path {
	bool is_bound;
	dev_t device;
	ino_t inode;
};

/* Sets 'address' to 'path'.  Returns 0, or -ENAMETOOLONG with 'error' set. */
int socket_path_address(const char *path, struct sockaddr_un *address, struct error *error);

/* Binds the socket 'fd', of 'type' SOCK_STREAM or SOCK_DGRAM, to 'path'; who may connect is for the process's umask to
 * say.  Returns 0 or a negative errno value with 'error' set. */
int socket_path_bind(struct socket_path *bound, int fd, int type, const char *path, struct error *error);

/* Removes the path if it is the socket's that was bound. */
void socket_path_remove(struct socket_path *bound, const char *path);

#endif /* socket_path.h */
