/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_READER_H
#define NETLAB_CAPTURE_READER_H 1

/* Readers of a capture
 * ====================
 *
 * A reader is given frames as they cross, or as they were recorded, as pcapng through a descriptor: a socket, which
 * is read by a client, or a file.  Each has a section of its own from its own start, its own filter, and a cursor in
 * the recorder.  One that does not keep up loses what is overwritten there before it came to it, is told how much,
 * and holds nobody up.
 *
 * Thread-safety: capture_reader_add() is for any thread; all else is the capture's writer's. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "netlab/frame_filter.h"

struct capture;

/* At once, those that write files included. */
#define CAPTURE_READERS_MAX 64

struct capture_reader_options {
	const char *const *ports; /* Names of ports, all of which there are or were; NULL: all. */
	size_t port_count;
	const char *filter;  /* frame_filter_compile(); NULL: all frames. */
	const char *trigger; /* The same, or NULL. */
	uint32_t snap_len;   /* Bytes of a frame, at most; 0: as they were captured. */
	bool is_clean, has_events;
	bool has_last;          /* What was recorded in ... */
	uint64_t last;          /* ... so many nanoseconds until now (0: all), and nothing that comes. */
	uint64_t before, after; /* Nanoseconds around the frame that passes the trigger. */
	const char *preamble;   /* Is written before it all, or NULL; short. */
	/* Called in the writer's thread at the end, with how many frames the section has, how many it lacks, and the
	 * errno value of what went wrong, or 0.  The descriptor is closed already.  May be NULL. */
	void (*done)(void *opaque, uint64_t written, uint64_t lost, int errnum);
	void *opaque;
};

/* Begins to write to 'fd', which becomes the capture's when 0 is returned.  A client ends the capture by shutting
 * down its sending side.  Returns a negative errno value otherwise, with 'error' set: -ENOENT (no such port),
 * -EINVAL (a filter), -EUSERS (CAPTURE_READERS_MAX), -ENOMEM. */
int capture_reader_add(struct capture *capture, int fd, const struct capture_reader_options *options,
		       struct error *error);

/* The writer's thread. */
struct capture_readers;
struct pollfd;

struct capture_readers *capture_readers_create(struct capture *capture);

/* Gives all what they can take.  Returns for how many milliseconds there is nothing to do for them but to wait for
 * their descriptors: -1 is for ever. */
int capture_readers_turn(struct capture_readers *readers);

/* Fills fds[0 .. CAPTURE_READERS_MAX - 1] with what is to be waited for, and returns how many there are. */
size_t capture_readers_poll(const struct capture_readers *readers, struct pollfd *fds);

/* The capture ends: all are given what is recorded, those that are slow for no longer than a second, and freed. */
void capture_readers_destroy(struct capture_readers *readers);

#endif /* capture_reader.h */
