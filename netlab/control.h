/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CONTROL_H
#define NETLAB_CONTROL_H 1

/* The control server
 * ==================
 *
 * Answers the clients of a lab's control socket, as docs/control-protocol.md describes.  What a client sends
 * is not trusted to be well-formed, and what a guest says through the agent even less: neither can make the
 * server use more memory than the limits below, or block it.
 *
 * Thread-safety: all of it belongs to the control loop.
 */

#include "core/error.h"

struct control;
struct lab;
struct loop;

#define CONTROL_PROTOCOL_VERSION 1

#define CONTROL_LINE_MAX (1u << 20) /* Bytes of a request's line. */
#define CONTROL_CLIENTS_MAX 64
#define CONTROL_STREAMS_MAX 8  /* Of one client. */
#define CONTROL_WINDOW 262144u /* Unacknowledged input of a stream, in bytes. */
/* Bytes of output that wait for a client, from which ... */
#define CONTROL_OUTPUT_PAUSE (256u << 10) /* ... commands in guests get no credit, and logs wait, */
#define CONTROL_OUTPUT_DROP (1u << 20)    /* ... event and console streams end, */
#define CONTROL_OUTPUT_STOP (4u << 20)    /* ... no more requests are read, */
#define CONTROL_OUTPUT_END (32u << 20)    /* ... the connection is ended. */

struct control_options {
	/* Someone asked for the lab to be stopped.  The owner stops it, then calls control_stopped(). */
	void (*stop)(void *opaque);
	/* The lab has been made what another topology says.  May be NULL. */
	void (*converged)(void *opaque);
	void *opaque;
};

/* Returns a new server of 'lab', or NULL with 'error' set. */
struct control *control_create(struct loop *loop, struct lab *lab, const struct control_options *options,
			       struct error *error);

/* Accepts clients from 'listener', a listening socket that does not block and becomes the server's; those who
 * are neither the user netlabd runs as nor root are turned away.  Returns 0 or a negative errno value. */
int control_listen(struct control *control, int listener);

/* Adds a connected client; 'fd' becomes the server's.  Returns 0, or a negative errno value after closing
 * 'fd'. */
int control_add_client(struct control *control, int fd);

/* The lab has stopped: ends all streams and answers those who asked for it. */
void control_stopped(struct control *control);

/* Frees the server, after giving clients up to a second to read what waits for them. */
void control_destroy(struct control *control);

#endif /* control.h */
