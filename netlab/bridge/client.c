/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/bridge/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "netlab/program.h"

extern char **environ;

#define HELPER "netlab-bridge-helper"

/* What it does takes milliseconds, on a busy machine some more. */
#define ANSWER_MILLISECONDS 30000
#define END_MILLISECONDS 10000
#define END_STEP_MILLISECONDS 5

void bridge_client_init(struct bridge_client *client, const char *lab, const char *marker)
{
	*client = (struct bridge_client){.lab = lab, .marker = marker, .socket = -1};
}

/* Starts 'path' with one argument and, unless it is negative, 'input' as its standard input. */
static int spawn(const char *path, const char *argument, int input, pid_t *process)
{
	char *const argv[] = {HELPER, (char *)argument, NULL};
	posix_spawn_file_actions_t actions;
	int result;

	posix_spawn_file_actions_init(&actions);
	if (input >= 0)
		posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	result = posix_spawn(process, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -result;
}

static void leave_marker(const struct bridge_client *client)
{
	int fd = open(client->marker, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static int start(struct bridge_client *client, struct error *error)
{
	char *path = program_find(HELPER, error);
	int ends[2], result;

	if (!path)
		return -ENOENT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		result = error_set(error, ERROR_FAILED, errno, "no socket for %s: %s", HELPER, strerror(errno));
		free(path);
		return result;
	}
	leave_marker(client);
	result = spawn(path, client->lab, ends[1], &client->process);
	close(ends[1]);
	if (result < 0) {
		close(ends[0]);
		error_set(error, ERROR_HOST, -result, "%s cannot be run: %s", path, strerror(-result));
	} else {
		client->socket = ends[0];
	}
	free(path);
	return result;
}

/* Returns the size of the answer, and the descriptor that came with it or -1. */
static ssize_t receive(int socket, struct bridge_reply *reply, int *descriptor)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = ""};
	struct iovec part = {.iov_base = reply, .iov_len = sizeof(*reply)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = size < 0 ? NULL : CMSG_FIRSTHDR(&message);

	*descriptor = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(descriptor, CMSG_DATA(header), sizeof(*descriptor));
	return size;
}

static int converse(struct bridge_client *client, const struct bridge_request *request, struct bridge_reply *reply,
		    int *descriptor)
{
	struct pollfd answer = {.fd = client->socket, .events = POLLIN};

	*descriptor = -1;
	if (send(client->socket, request, sizeof(*request), MSG_NOSIGNAL) != (ssize_t)sizeof(*request))
		return -EPIPE;
	if (poll(&answer, 1, ANSWER_MILLISECONDS) <= 0)
		return -ETIMEDOUT;
	if (receive(client->socket, reply, descriptor) != (ssize_t)sizeof(*reply)) {
		if (*descriptor >= 0)
			close(*descriptor);
		return -EPIPE;
	}
	return 0;
}

/* Waits for its end; when that does not come it is left alone, to end when it can.  Returns false when it did not end
 * by itself. */
static bool await_end(pid_t process)
{
	const struct timespec step = {.tv_nsec = END_STEP_MILLISECONDS * 1000000};
	int status;

	for (int waited = 0; waited < END_MILLISECONDS; waited += END_STEP_MILLISECONDS) {
		if (waitpid(process, &status, WNOHANG) == process)
			return WIFEXITED(status);
		nanosleep(&step, NULL);
	}
	return true;
}

static void let_go(struct bridge_client *client)
{
	if (client->socket < 0)
		return;
	close(client->socket);
	client->socket = -1;
	client->has_lost_one |= !await_end(client->process);
}

int bridge_client_ask(struct bridge_client *client, struct bridge_request *request, struct bridge_reply *reply,
		      struct error *error)
{
	int descriptor, result = client->socket < 0 ? start(client, error) : 0;

	if (result < 0)
		return result;
	request->protocol = BRIDGE_PROTOCOL;
	result = converse(client, request, reply, &descriptor);
	if (result < 0) {
		let_go(client);
		return error_set(error, ERROR_FAILED, -result, "%s does not answer: %s", HELPER, strerror(-result));
	}
	if (reply->result < 0) {
		reply->text[sizeof(reply->text) - 1] = '\0';
		return error_set(error, reply->class == ERROR_HOST ? ERROR_HOST : ERROR_FAILED, -reply->result, "%s",
				 reply->text);
	}
	return descriptor >= 0 ? descriptor : 0;
}

void bridge_client_close(struct bridge_client *client)
{
	let_go(client);
	if (client->has_lost_one)
		bridge_clean();
	client->has_lost_one = false;
}

void bridge_clean(void)
{
	char *path = program_find(HELPER, NULL);
	pid_t process;

	if (path && spawn(path, "--clean", -1, &process) == 0)
		await_end(process);
	free(path);
}
