/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_H
#define NETLAB_CAPTURE_H 1

/* Capture
 * =======
 *
 * Every frame that crosses a port is copied into one bounded ring by the data plane (one producer, one
 * consumer, no lock), and written by a thread of its own to one file per port: classic pcap with nanosecond
 * timestamps, through libpcap.  When the writer cannot keep up, or the disk is full, frames are lost to the
 * capture, counted per port, and never to the wire.
 *
 * Timestamps are CLOCK_REALTIME read once at creation plus CLOCK_MONOTONIC since, so they never run
 * backwards.
 *
 * The files can be read while the lab runs: what was captured is written out within some milliseconds.
 * Each ends with a whole record, even when a write failed half way.
 *
 * The part of a frame that is in a guest's memory is read at capture, after it was delivered: a guest that
 * changes a frame while it sends it can have other bytes in the capture than it got across, though never
 * other headers.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "devices/frame.h"

struct capture;

/* Bytes of the ring.  It bridges stalls of the writer of some 80 milliseconds at 750 MB/s, which is two
 * ports at 3 Gb/s each; with all processors busy, the writer waits ten or more for its turn.  All but the
 * first 8 MiB take memory only when they are used: see netlab/capture_ring.h. */
#define CAPTURE_RING_SIZE (64u << 20)

/* Makes the folder 'folder' (and its parents) for the files; files of an earlier run there are replaced.
 * Raises the process's limit of open files as far as it may.  Returns NULL with 'error' set. */
struct capture *capture_create(const char *folder, struct error *error);

/* The same with a ring of 'ring_size' bytes, rounded up to blocks of 256 KiB and at least two: for tests. */
struct capture *capture_create_sized(const char *folder, size_t ring_size, struct error *error);

/* Ports a capture can have in all its life, those that have ended among them. */
#define CAPTURE_PORTS_MAX 65536

/* Adds a port and returns its number (0, 1, ...), or a negative errno value with 'error' set.  The file, a whole
 * pcap file without records, is FOLDER/NAME.pcap with ':' and '/' in the name replaced by '-': "h1:eth0" goes
 * to h1-eth0.pcap.  A port of that name that was added before keeps its number, and that is returned; one that
 * has ended goes on in its file.  One thread at a time. */
int capture_add_port(struct capture *capture, const char *port_name, struct error *error);

/* The number of the port of that name, or a negative errno value: there is none.  The thread that adds ports. */
int capture_find_port(const struct capture *capture, const char *port_name);

/* Starts the writer.  What was captured before is kept.  Does nothing when it was started. */
int capture_start(struct capture *capture, struct error *error);

/* Producer's side, the data plane's thread.  capture_frame() copies the frame.  'time' is from
 * capture_time(), and should not be less than that of the port's frame before.  No port has a negative
 * number: such frames are ignored. */
void capture_frame(struct capture *capture, int port, const struct frame *frame, uint64_t time);
/* The port's last frame was captured: its file is completed and closed within some milliseconds.  When the ring
 * is full, it is closed with the others at the end. */
void capture_end_port(struct capture *capture, int port);
/* A place in the stream of captured frames: how somebody knows that all that crossed a port before an instant is in its
 * file, and where it ends there. */
struct capture_mark {
	int port;
	void (*reached)(struct capture_mark *mark); /* Called in the writer's thread; the mark is the caller's again. */
	void *opaque;
	/* When it is reached: */
	uint64_t position; /* Bytes of the port's file that hold what was captured before the mark. */
	uint64_t lost;     /* Of the frames before the mark, those lost to the capture of the port. */
};

/* Puts the mark behind the frames captured so far.  Returns 0, or a negative errno value: -ENOENT (there is no such
 * port), or -EAGAIN, when the ring is full; then it is not reached. */
int capture_put_mark(struct capture *capture, struct capture_mark *mark);
/* Wakes the writer if it sleeps and there is something to write.  Once per turn of the loop. */
void capture_wake(struct capture *capture);

/* Any thread. */
/* Nanoseconds since the epoch at the instant 'monotonic' of loop_now(). */
uint64_t capture_time(const struct capture *capture, uint64_t monotonic);
uint64_t capture_lost(const struct capture *capture, int port);    /* Frames lost to the capture of this port. */
const char *capture_file(const struct capture *capture, int port); /* Path. */

/* Writes out what the ring holds, closes the files and joins the thread; the producer must have stopped. */
void capture_destroy(struct capture *capture);

#endif /* capture.h */
