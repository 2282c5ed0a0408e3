/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_CAPTURE_SOURCE_H
#define NETLAB_CLI_CAPTURE_SOURCE_H 1

/* A capture of a lab, as a stream of pcapng from its netlabd (command "capture" of docs/control-protocol.md).
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

struct capture_source_options {
	const char *const *ports; /* "h1:eth0"; NULL: all of the lab. */
	size_t port_count;
	const char *filter;   /* pcap-filter(7), or NULL. */
	uint32_t snap_len;    /* 0: whole frames. */
	bool has_events;      /* With what else happened in the lab, as comments of frames. */
	bool is_clean;        /* Without frames that were dropped, and without comments. */
	bool has_last;        /* Only what was recorded, ... */
	double last;          /* ... of so many seconds; 0: all there is.  The stream ends with it. */
	const char *trigger;  /* A filter that the first frame passes around which the stream is, or NULL. */
	double before, after; /* Seconds. */
};

/* Connects to 'lab' and asks.  Returns a socket that carries pcapng from its first byte on and ends when netlabd has no
 * more; shutdown(fd, SHUT_WR) asks it to write what was captured so far and end.  Returns a negative errno value with
 * 'error' set. */
int capture_source_open(const char *lab, const struct capture_source_options *options, struct error *error);

#endif /* capture_source.h */
