/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_H
#define NETLAB_CAPTURE_H 1

/* Capture
 * =======
 *
 * Every frame that crosses a port, and every one that dies on its way, is copied once into a bounded ring by the
 * data plane (one producer, one consumer, no lock), with the ports it crossed and what became of it there.  A thread
 * of its own, the writer, takes it from there
 *
 *      to the recorder, which has the last ones whether or not anything is written (netlab/capture_recorder.h),
 *      to one file per port: classic pcap with nanosecond timestamps, through libpcap,
 *      to one file for the lab: pcapng, with all that is known of a frame (netlab/capture_lab_file.h),
 *      and to those who read live (netlab/capture_reader.h).
 *
 * When the writer cannot keep up, or the disk is full, frames are lost to the capture, counted per port, and never
 * to the wire.
 *
 * Timestamps are CLOCK_REALTIME read once at creation plus CLOCK_MONOTONIC since, so they never run backwards.
 *
 * The files can be read while the lab runs: what was captured is written out within some milliseconds. Each ends
 * with a whole record, even when a write failed half way.
 *
 * The part of a frame that is in a guest's memory is read at capture, before it is delivered: a guest that changes a
 * frame while it sends it can have other bytes in the capture than it got across, though never other headers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/memory_usage.h"
#include "devices/frame.h"
#include "netlab/capture_lab_file.h"
#include "netlab/pcapng.h"

struct capture;
struct capture_impairment;

/* Bytes of the ring.  It bridges stalls of the writer of some 80 milliseconds at 750 MB/s, which is two
 * ports at 3 Gb/s each; with all processors busy, the writer waits ten or more for its turn.  All but the
 * first 8 MiB take memory only when they are used: see netlab/capture_ring.h. */
#define CAPTURE_RING_SIZE (64u << 20)

#define CAPTURE_RECORDER_SIZE (64u << 20)

#define CAPTURE_STATISTICS_INTERVAL 10000000000ull

struct capture_options {
	const char *folder; /* For files, which replace those of an earlier run; NULL: none are written. */
	bool has_port_files, has_lab_file;
	uint32_t snap_len; /* Bytes of a frame that are captured, at most; 0: all. */
	bool is_clean;     /* The lab's file is without frames that were dropped, and without comments. */
	bool has_events;   /* It tells of what else happened. */
	struct capture_rotation rotation; /* Of the lab's file. */
	uint64_t statistics_interval;     /* Nanoseconds between statistics in the lab's file; 0: the constant below. */
	size_t recorder_size;             /* Bytes; 0: CAPTURE_RECORDER_SIZE. */
	size_t ring_size; /* Bytes, rounded up to blocks of 256 KiB and at least two; 0: CAPTURE_RING_SIZE. */
	struct pcapng_section section; /* What its captures say of the lab; each text may be NULL. */
};

/* Makes the folder (and its parents).  Raises the process's limit of open files as far as it may.  What 'options'
 * points to is copied.  Returns NULL with 'error' set. */
struct capture *capture_create(const struct capture_options *options, struct error *error);

/* Ports a capture can have in all its life, those that have ended among them. */
#define CAPTURE_PORTS_MAX 65536

/* Adds a port and returns its number (0, 1, ...), or a negative errno value with 'error' set.  Its file, if it has
 * one, a whole pcap file without records, is FOLDER/NAME.pcap with ':' and '/' in the name replaced by '-':
 * "h1:eth0" goes to h1-eth0.pcap.  A port of that name that was added before keeps its number, and that is returned;
 * one that has ended goes on in its file.  One thread at a time. */
int capture_add_port(struct capture *capture, const char *port_name, struct error *error);

/* What captures that begin from now on say of a port: what it is on ("link to r1:eth1"), and its address, which may be
 * NULL.  The thread that adds ports.  Returns 0 or -ENOMEM. */
int capture_describe_port(struct capture *capture, int port, const char *description, const uint8_t *mac);

/* The same of the speed at which it sends, bits per second; 0: there is no limit.  Any thread. */
void capture_set_speed(struct capture *capture, int port, uint64_t speed);

/* The names that captures that begin from now on give to addresses, which are copied.  The thread that adds ports.
 * Returns 0 or -ENOMEM. */
int capture_set_names(struct capture *capture, const struct pcapng_name *names, size_t count);

/* From now on the lab's file is completed when 'rotation' says so, and tells of what else happened or does not.  The
 * thread that adds ports.  Returns 0 or -ENOMEM. */
int capture_change(struct capture *capture, const struct capture_rotation *rotation, bool has_events);

/* The number of the port of that name, or a negative errno value: there is none.  The thread that adds ports. */
int capture_find_port(const struct capture *capture, const char *port_name);

/* Starts the writer.  What was captured before is kept.  Does nothing when it was started. */
int capture_start(struct capture *capture, struct error *error);

/* Producer's side, the data plane's thread.  A frame is begun, crosses ports, dies here or there, and is ended; one at
 * a time.  'time' is from capture_time(), and should not be less than that of the frame before.  The frame must last
 * until capture_end().  No port has a negative number: what happens there is ignored. */
void capture_begin(struct capture *capture, const struct frame *frame, uint64_t id, uint64_t time);
/* One that was sent before, by this port, comes out of a wire, which did this to it: as capture_begin() and
 * capture_send(), but it does not cross the port again. */
void capture_resume(struct capture *capture, const struct frame *frame, uint64_t id, uint64_t time, int port,
		    const struct capture_impairment *impairment);
/* It went into the wire at this port, the first one. */
void capture_send(struct capture *capture, int port);
/* It came out of the wire at this port, and in this form: 'frame' may be another with other tags. */
void capture_receive(struct capture *capture, int port, const struct frame *frame);
/* What comes next is a form that was not seen before, even where a frame is at the same address. */
void capture_change_form(struct capture *capture);
/* It was to come out at this port, and died there for the reason 'reason' of enum drop_reason; 'limit' is the number it
 * was above, or 0. */
void capture_drop_received(struct capture *capture, int port, const struct frame *frame, int reason, uint32_t limit);
/* It died behind the port that it went in by. */
void capture_drop_sent(struct capture *capture, int reason, uint32_t limit);
void capture_end(struct capture *capture);

/* A frame that never was on the wire: it died at the port that should have sent it.  'frame' is as much of it as there
 * is, at most FRAME_SIZE_MAX bytes, or NULL, and 'size' what it would have had.  While another frame is on its way, it
 * is kept for that one's end, without its bytes. */
void capture_refuse(struct capture *capture, int port, const struct frame *frame, size_t size, uint64_t id,
		    uint64_t time, int reason);

/* Something else happened, which is told beside the frame that comes next: one line of text, of at most
 * CAPTURE_EVENT_MAX bytes.  The producer. */
#define CAPTURE_EVENT_MAX 200
void capture_event(struct capture *capture, const char *text, uint64_t time);

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
const char *capture_file(const struct capture *capture, int port); /* Path, or NULL: it has none. */
const char *capture_lab_path(const struct capture *capture);       /* The same of the lab's file. */
int capture_failure(const struct capture *capture);                /* Why it could not be written last (errno), or 0. */
/* Sets where the memory of its ring and of its recorder is. */
#define CAPTURE_MEMORY_RANGES 2
void capture_memory(const struct capture *capture, struct memory_range ranges[CAPTURE_MEMORY_RANGES]);

/* Writes out what the ring holds, closes the files and joins the thread; the producer must have stopped. */
void capture_destroy(struct capture *capture);

#endif /* capture.h */
