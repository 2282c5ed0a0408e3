/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_CLIENT_H
#define NETLAB_CLI_CLIENT_H 1

/* A connection to a lab's netlabd, which speaks docs/control-protocol.md.
 *
 * client_call() does for commands with one answer.  For streams: client_send(), then client_fill() whenever
 * the descriptor is readable and client_next() until it has no more.
 *
 * Sending waits until all is sent.  It cannot wait for ever: the daemon stops reading only from one who
 * leaves megabytes of answers unread.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "core/error.h"

struct cli;

struct client {
	int fd;
	char *lab;
	char *buffer; /* Received, from the start of a line. */
	size_t size, capacity, scanned, start;
	json_int_t last_id;
	bool ended; /* The daemon closed the connection, or said what we cannot understand. */
};

/* Connects to 'lab' and checks that it speaks our protocol.  Returns 0 or a negative errno value with 'error'
 * set. */
int client_open(struct client *client, const char *lab, struct error *error);
/* The same without the check, for "down", which any version understands. */
int client_connect(struct client *client, const char *lab, struct error *error);
void client_close(struct client *client);

/* Returns a descriptor of netlabd's process, which polls as readable when that has ended (pidfd_open(2)), or a
 * negative errno value. */
int client_open_process(const struct client *client);

/* Returns an id that was not used on this connection. */
json_int_t client_new_id(struct client *client);

/* Sends 'message', whose reference it takes.  A connection that broke shows in client->ended. */
void client_send(struct client *client, json_t *message);

/* Receives what is there, or waits for something.  Returns false when the connection has ended. */
bool client_fill(struct client *client);

/* Returns the next message (a new reference) that was received whole, or NULL. */
json_t *client_next(struct client *client);

/* Waits for the next message, at most 'milliseconds' (-1: for ever).  Returns NULL when there is none. */
json_t *client_wait(struct client *client, int milliseconds);

/* Sends 'request', whose reference it takes and to which it adds an id, and waits for the answer.  Returns
 * the result (a new reference), or NULL with 'error' set. */
json_t *client_call(struct client *client, json_t *request, struct error *error);

/* The same, with a connection made for it. */
json_t *client_call_once(const char *lab, json_t *request, struct error *error);

/* The same for what has a result that nobody but a program looks at: reports an error, and returns the exit status. */
int client_do(const struct cli *cli, const char *lab, json_t *request);

/* Sets 'error' from an error message of the daemon, or from the connection's end if 'message' is NULL. */
void client_set_error(const struct client *client, const json_t *message, struct error *error);

#endif /* client.h */
