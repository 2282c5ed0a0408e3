/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_STREAM_H
#define NETLAB_CLI_STREAM_H 1

/* Joins a stream of the control protocol to local file descriptors
 * ================================================================
 *
 * stream_run() passes what is read from 'input' to the daemon and what comes back to 'output' and
 * 'error_output', until the stream ends.  It is binary clean, reads input only while the daemon's window
 * allows, writes output only when that does not block, and reads no more from the daemon while output waits,
 * so that a slow reader of our output slows the command in the guest and nothing else, and signals are seen
 * at any time.
 *
 * SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGWINCH are taken by a signalfd meanwhile, and SIGPIPE is ignored.
 *
 * Thread-safety: one thread. */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/cli/client.h"

/* What became of it, other than an answer from the daemon. */
enum stream_end {
	STREAM_RUNNING,
	STREAM_FINISHED, /* 'result' is the daemon's. */
	STREAM_FAILED,   /* The daemon sent an error, or went away: 'error' is set. */
	STREAM_LEFT,     /* stream_leave() was called. */
	STREAM_BROKEN,   /* Nobody reads our output any more (EPIPE), or it cannot be written: 'error' is set. */
};

/* What to do when there is no more input. */
enum stream_input_end {
	STREAM_STAYS,  /* Nothing. */
	STREAM_TELLS,  /* Send "end-input". */
	STREAM_LEAVES, /* Leave when no output has come for some seconds. */
};

struct stream {
	/* The caller fills these. */
	struct client *client;
	int input;                /* -1: none; it has ended at once. */
	int output, error_output; /* -1: dropped. */
	enum stream_input_end input_end;
	/* May change what was read before it is sent; returns how many bytes of it to send.  May be NULL. */
	size_t (*filter)(struct stream *stream, uint8_t *data, size_t size);
	/* A signal arrived.  May be NULL: SIGINT, SIGTERM, SIGHUP and SIGQUIT then leave. */
	void (*signalled)(struct stream *stream, int signal_number);
	/* The event "mode".  May be NULL. */
	bool (*mode)(struct stream *stream, int mode);
	void *opaque;

	/* What came of it. */
	enum stream_end end;
	int end_signal; /* The signal that made us leave, or 0. */
	json_t *result;
	struct error error;

	/* stream.c's own. */
	json_int_t id;
	size_t window;
	bool input_open;
	long long leave_at;    /* Milliseconds; 0: never. */
	long long quiet_since; /* Milliseconds; 0: does not matter. */
	uint8_t *waiting;      /* Output not written yet. */
	size_t waiting_size, waiting_start;
	int waiting_fd;
	int signal_fd;
	sigset_t mask_before;
};

/* Sends 'request', whose reference it takes, and runs the stream to its end.  Free with stream_free(). */
void stream_run(struct stream *stream, json_t *request);
void stream_free(struct stream *stream);

/* Sends a request for the stream: {"id":..., "command":command, ...members}.  Takes the reference 'members'
 * (may be NULL). */
void stream_request(struct stream *stream, const char *command, json_t *members);

/* Ends stream_run(), at once or, unless the stream ends by itself, after some time. */
void stream_leave(struct stream *stream, int signal_number);
void stream_leave_after(struct stream *stream, int signal_number, long long milliseconds);

#endif /* stream.h */
