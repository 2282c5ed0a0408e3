/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/control.h"
#include "netlab/runtime.h"
#include "netlab/version.h"

#define RECEIVE_SIZE 65536u
#define HELLO_MILLISECONDS 10000

static int check_protocol(struct client *client, struct error *error)
{
	json_t *message, *result;
	json_int_t protocol;
	pid_t pid;

	client_send(client, json_pack("{s:I, s:s}", "id", client_new_id(client), "command", "hello"));
	message = client_wait(client, HELLO_MILLISECONDS);
	if (!message && !client->ended) {
		runtime_probe(client->lab, &pid);
		return error_set(error, ERROR_FAILED, ETIMEDOUT,
				 "lab %s does not answer; \"kill -9 %d\" ends its netlabd, and the lab with it",
				 client->lab, (int)pid);
	}
	result = json_object_get(message, "result");
	protocol = json_integer_value(json_object_get(result, "protocol"));
	if (!result)
		client_set_error(client, message, error);
	else if (protocol != CONTROL_PROTOCOL_VERSION)
		error_set(error, ERROR_FAILED, EPROTO,
			  "lab %s was started by netlab %s, this is %s, and they do not understand each other\n"
			  "Take the lab down with \"netlab down %s\" and start it again.",
			  client->lab, cli_string(result, "version"), NETLAB_VERSION, client->lab);
	json_decref(message);
	return result && protocol == CONTROL_PROTOCOL_VERSION ? 0 : -EPROTO;
}

int client_connect(struct client *client, const char *lab, struct error *error)
{
	*client = (struct client){.fd = runtime_connect(lab, error)};
	if (client->fd < 0)
		return client->fd;
	client->lab = allocate_copy(lab);
	return 0;
}

int client_open(struct client *client, const char *lab, struct error *error)
{
	int result = client_connect(client, lab, error);

	if (result < 0)
		return result;
	result = check_protocol(client, error);
	if (result < 0)
		client_close(client);
	return result;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->lab);
	free(client->buffer);
	*client = (struct client){.fd = -1, .ended = true};
}

int client_open_process(const struct client *client)
{
	struct ucred peer; /* Of the process that listens, its number being as seen from here. */
	socklen_t size = sizeof(peer);
	int process;

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	process = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	return process < 0 ? -errno : process;
}

json_int_t client_new_id(struct client *client)
{
	return ++client->last_id;
}

void client_send(struct client *client, json_t *message)
{
	char *line = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t length = line ? strlen(line) : 0;
	size_t sent = 0;

	if (!line)
		client->ended = true;
	else
		line[length++] = '\n'; /* In place of the NUL. */
	while (sent < length && !client->ended) {
		ssize_t result = send(client->fd, line + sent, length - sent, MSG_NOSIGNAL);

		if (result > 0)
			sent += (size_t)result;
		else if (errno != EINTR)
			client->ended = true;
	}
	free(line);
	json_decref(message);
}

bool client_fill(struct client *client)
{
	ssize_t received;

	if (client->start) {
		memmove(client->buffer, client->buffer + client->start, client->size - client->start);
		client->size -= client->start;
		client->scanned -= client->start;
		client->start = 0;
	}
	if (client->capacity - client->size < RECEIVE_SIZE) {
		size_t capacity = client->capacity ? 2 * client->capacity : 2 * RECEIVE_SIZE;
		char *buffer = realloc(client->buffer, capacity);

		if (!buffer) {
			client->ended = true;
			return false;
		}
		client->buffer = buffer;
		client->capacity = capacity;
	}
	do
		received = recv(client->fd, client->buffer + client->size, RECEIVE_SIZE, 0);
	while (received < 0 && errno == EINTR);
	if (received <= 0)
		client->ended = true;
	else
		client->size += (size_t)received;
	return received > 0;
}

json_t *client_next(struct client *client)
{
	char *from = client->buffer ? client->buffer + client->scanned : NULL;
	char *end = from ? memchr(from, '\n', client->size - client->scanned) : NULL;
	json_t *message;

	if (!end) {
		client->scanned = client->size;
		return NULL;
	}
	message = json_loadb(client->buffer + client->start, (size_t)(end - client->buffer) - client->start, 0, NULL);
	client->start = client->scanned = (size_t)(end - client->buffer) + 1;
	if (!message)
		client->ended = true;
	return message;
}

json_t *client_wait(struct client *client, int milliseconds)
{
	long long deadline = cli_milliseconds() + milliseconds;
	json_t *message;

	while (!(message = client_next(client)) && !client->ended) {
		struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
		long long left = milliseconds < 0 ? -1 : deadline - cli_milliseconds();

		if (milliseconds >= 0 && left <= 0)
			return NULL;
		if (poll(&poll_fd, 1, (int)left) > 0)
			client_fill(client);
	}
	return message;
}

void client_set_error(const struct client *client, const json_t *message, struct error *error)
{
	const json_t *told = json_object_get(message, "error");
	const char *text = cli_string(told, "message");
	bool is_usage = !strcmp(cli_string(told, "code"), "bad-topology") ||
			!strcmp(cli_string(told, "code"), "bad-impairment");

	if (message)
		error_set(error, is_usage ? ERROR_USAGE : ERROR_FAILED, EIO, "%s",
			  text[0] ? text : "netlabd gave no answer that makes sense");
	else
		error_set(error, ERROR_FAILED, EIO,
			  "lab %s ended the connection; \"netlab list\" says whether it still runs", client->lab);
}

json_t *client_call(struct client *client, json_t *request, struct error *error)
{
	json_int_t id = client_new_id(client);
	json_t *message, *result;

	if (request)
		json_object_set_new(request, "id", json_integer(id));
	client_send(client, request);
	for (;;) {
		message = client_wait(client, -1);
		if (!message)
			break;
		if (json_integer_value(json_object_get(message, "id")) == id && !json_object_get(message, "event"))
			break;
		json_decref(message);
	}
	result = json_incref(json_object_get(message, "result"));
	if (!result)
		client_set_error(client, message, error);
	json_decref(message);
	return result;
}

json_t *client_call_once(const char *lab, json_t *request, struct error *error)
{
	struct client client;
	json_t *result;

	if (client_open(&client, lab, error) < 0) {
		json_decref(request);
		return NULL;
	}
	result = client_call(&client, request, error);
	client_close(&client);
	return result;
}

int client_do(const struct cli *cli, const char *lab, json_t *request)
{
	struct error error = {0};
	json_t *result = client_call_once(lab, request, &error);

	if (!result)
		return cli_fail(&error);
	if (cli->json)
		cli_put_json(result);
	json_decref(result);
	return 0;
}
