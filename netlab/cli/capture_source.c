/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/capture_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlab/cli/client.h"
#include "netlab/json_text.h"

#define ANSWER_SIZE_MAX 65536u

static json_t *pack_ports(const struct capture_source_options *options)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < options->port_count; i++)
		json_array_append_new(ports, json_text(options->ports[i]));
	return ports;
}

static json_t *make_request(struct client *client, const struct capture_source_options *options)
{
	json_t *request = json_pack("{s:I, s:s}", "id", client_new_id(client), "command", "capture");

	if (options->ports)
		json_object_set_new(request, "ports", pack_ports(options));
	if (options->filter)
		json_object_set_new(request, "filter", json_text(options->filter));
	if (options->snap_len)
		json_object_set_new(request, "snaplen", json_integer(options->snap_len));
	if (options->is_clean)
		json_object_set_new(request, "clean", json_true());
	if (options->has_events)
		json_object_set_new(request, "events", json_true());
	if (options->has_last)
		json_object_set_new(request, "last", json_real(options->last));
	if (options->trigger) {
		json_object_set_new(request, "trigger", json_text(options->trigger));
		json_object_set_new(request, "before", json_real(options->before));
		json_object_set_new(request, "after", json_real(options->after));
	}
	return request;
}

/* Waits for what comes, up to the end of a line, and adds it to 'text'.  Returns how many bytes that were; 0 when
 * nothing more comes, or there is no room. */
static size_t receive_part(int fd, char *text, size_t size)
{
	ssize_t seen = recv(fd, text + size, ANSWER_SIZE_MAX - size, MSG_PEEK);
	char *end;

	if (seen < 0 && errno == EINTR)
		return receive_part(fd, text, size);
	if (seen <= 0)
		return 0;
	end = memchr(text + size, '\n', (size_t)seen);
	if (end)
		seen = end + 1 - (text + size);
	return recv(fd, text + size, (size_t)seen, 0) == seen ? (size_t)seen : 0;
}

/* Reads the one line that answers the request, and no byte of the capture that follows it.  NULL: there is none. */
static json_t *receive_answer(int fd)
{
	char text[ANSWER_SIZE_MAX];
	size_t size = 0, part;

	do {
		part = receive_part(fd, text, size);
		size += part;
	} while (part && text[size - 1] != '\n');
	return part ? json_loadb(text, size, 0, NULL) : NULL;
}

int capture_source_open(const char *lab, const struct capture_source_options *options, struct error *error)
{
	struct client client;
	json_t *answer;
	int result = client_open(&client, lab, error);
	int fd;

	if (result < 0)
		return result;
	client_send(&client, make_request(&client, options));
	answer = receive_answer(client.fd);
	if (json_object_get(answer, "result")) {
		fd = client.fd; /* The client gives it up. */
		client.fd = -1;
	} else {
		client_set_error(&client, answer, error);
		fd = -EIO;
	}
	json_decref(answer);
	client_close(&client);
	return fd;
}
