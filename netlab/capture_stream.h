/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_STREAM_H
#define NETLAB_CAPTURE_STREAM_H 1

/* Records as pcapng
 * =================
 *
 * A stream makes one section of a pcapng file of records: its header, each port's interface before its first frame,
 * the names of addresses, frames as they cross ports, and in the end statistics.  It fills a buffer; whoever owns it
 * empties that to wherever it goes, and then calls again.
 *
 * Nothing is allocated after creation, and nothing is called that may not be called in a signal handler, so a
 * process that dies can still write one (netlab/capture_crash.h).
 *
 * Thread-safety: one thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/capture_record.h"

struct capture;
struct frame_filter;

struct capture_stream_options {
	const bool *ports;                 /* Whether the port of that number is wanted; NULL: all are. */
	size_t port_count;                 /* Of 'ports'. */
	const struct frame_filter *filter; /* NULL: all frames. */
	uint32_t snap_len;                 /* Bytes of a frame, at most; 0: all that were captured. */
	bool is_clean;                     /* Without frames that were dropped, and without comments. */
	bool has_events;
};

struct capture_stream;

/* What 'options' points to must last as long as the stream.  Returns NULL when out of memory. */
struct capture_stream *capture_stream_create(const struct capture *capture,
					     const struct capture_stream_options *options);
void capture_stream_destroy(struct capture_stream *stream);

/* Puts a text, which is short, into the buffer before anything else. */
void capture_stream_put_text(struct capture_stream *stream, const char *text);

/* Begins a new section: counts start at 0. */
void capture_stream_begin(struct capture_stream *stream);

/* What the capture lost until now was before the stream's first frame, and is nothing to it. */
void capture_stream_forget_losses(struct capture_stream *stream);

/* Adds what is due, the header first, and then the record, which may be NULL: only the header.  Returns false when the
 * buffer is full before that is done: empty it, and call again with the same record. */
bool capture_stream_add(struct capture_stream *stream, const struct capture_record *record);

/* Which crossing of the record comes next when capture_stream_add() has returned false: those before it are in the
 * buffer.  capture_stream_skip() gives up the rest of the record. */
uint32_t capture_stream_next_crossing(const struct capture_stream *stream);
void capture_stream_skip(struct capture_stream *stream);

/* Statistics that a section has before its end, for whoever can write over what is written already: an interface has
 * them once, since Wireshark shows none of one that has two.  capture_stream_put_statistics() adds those of interfaces
 * that have something to tell and none yet, and returns as capture_stream_add(); between two records.
 * capture_stream_renew_statistics() calls 'renew' for those that were taken from the buffer and are not true any more,
 * with what they are now and where they are in the section; it returns whether it could be done. */
bool capture_stream_put_statistics(struct capture_stream *stream, uint64_t time);
typedef bool capture_stream_renew(void *opaque, uint64_t position, const uint8_t *block, size_t size);
void capture_stream_renew_statistics(struct capture_stream *stream, uint64_t time, capture_stream_renew *renew,
				     void *opaque);

/* As capture_stream_add() for the section's end: statistics of interfaces that have none.  It may be a beginning
 * afterwards. */
bool capture_stream_end(struct capture_stream *stream, uint64_t time);

/* So many crossings of a port came that this stream never saw, and will be told of them. */
void capture_stream_miss(struct capture_stream *stream, uint32_t port, uint64_t count);

/* The buffer: 'size' bytes from the returned address on wait to be taken. */
const uint8_t *capture_stream_bytes(const struct capture_stream *stream, size_t *size);
void capture_stream_taken(struct capture_stream *stream, size_t size);

/* Throws the buffer away, of which nothing was taken yet: its frames are counted as lost, and what comes next is a new
 * section.  capture_stream_give_up_record() counts a record's crossings from that number on as lost, and keeps an
 * event. */
void capture_stream_give_up(struct capture_stream *stream);
void capture_stream_give_up_record(struct capture_stream *stream, const struct capture_record *record, uint32_t from);

/* Frames of this section so far, and those it lacks. */
uint64_t capture_stream_written(const struct capture_stream *stream);
uint64_t capture_stream_lost(const struct capture_stream *stream);

#endif /* capture_stream.h */
