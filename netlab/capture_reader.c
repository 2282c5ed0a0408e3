/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_reader.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/capture_internal.h"
#include "netlab/capture_stream.h"
#include "netlab/yaml_reader.h"

/* Theory of operation
 * -------------------
 * A reader goes from one record to the next, puts it into its stream, and its stream's buffer out.  When that is
 * full and nobody takes it, the reader stays where it is; the recorder goes on.
 *
 * What a reader lost is found out by counting: the capture counts for each port what went into the recorder and what
 * was overwritten there, and the reader what it has passed.  What was overwritten and not passed is lost.
 *
 * New readers come through a list under a mutex, and are the writer's from when it takes them. */

#define CHUNKS_PER_TURN 8
#define LAST_WORDS 1000000000ull /* Nanoseconds. */
#define MILLISECOND 1000000ull
#define FOR_EVER UINT64_MAX
#define NEAR_ENOUGH 3u /* Edits between two names of which one may be meant to be the other. */

enum reader_state {
	READER_WAITING, /* For what passes the trigger. */
	READER_RUNNING,
	READER_ENDING,  /* Statistics. */
	READER_CLOSING, /* The buffer's rest. */
};

struct capture_reader {
	struct capture *capture;
	struct capture_stream *stream;
	enum reader_state state;
	int fd;
	bool is_socket;
	bool input_ended; /* The client wants no more than there is. */
	bool is_blocked;
	bool *ports;
	struct frame_filter filter, trigger;
	bool has_filter, has_trigger;
	bool has_last;
	uint64_t last, before, after;
	uint64_t position; /* In the recorder. */
	uint64_t end;      /* Where it ends, ... */
	uint64_t until;    /* ... or when. */
	uint64_t *passed;  /* Crossings before 'position', by port, ... */
	uint64_t *wanted;  /* ... and before 'end'. */
	void (*done)(void *opaque, uint64_t written, uint64_t lost, int errnum);
	void *opaque;
	int errnum;
	TAILQ_ENTRY(capture_reader) next;
};

TAILQ_HEAD(reader_list, capture_reader);

struct capture_readers {
	struct capture *capture;
	pthread_mutex_t mutex; /* Guards 'fresh' and 'count'. */
	struct reader_list fresh;
	unsigned int count;
	struct reader_list list; /* The writer's. */
};

static uint64_t now(const struct capture *capture)
{
	return capture_time(capture, loop_now());
}

/* Life. */

static void free_reader(struct capture_reader *reader)
{
	if (reader->has_filter)
		frame_filter_clear(&reader->filter);
	if (reader->has_trigger)
		frame_filter_clear(&reader->trigger);
	capture_stream_destroy(reader->stream);
	free(reader->ports);
	free(reader->passed);
	free(reader->wanted);
	free(reader);
}

static int no_such_port(const struct capture *capture, const char *name, struct error *error)
{
	unsigned int nearest = NEAR_ENOUGH + 1;
	const char *meant = NULL;

	for (int i = 0; i < atomic_load(&capture->port_count); i++) {
		unsigned int distance = yaml_reader_distance(name, capture->ports[i]->name, NEAR_ENOUGH);

		if (distance < nearest) {
			nearest = distance;
			meant = capture->ports[i]->name;
		}
	}
	if (meant)
		return error_set(error, ERROR_FAILED, ENOENT, "there is no port \"%.80s\"; did you mean %s?", name,
				 meant);
	return error_set(error, ERROR_FAILED, ENOENT,
			 "there is no port \"%.80s\"; \"netlab status\" lists them, such as %s", name,
			 atomic_load(&capture->port_count) > 0 ? capture->ports[0]->name : "h1:eth0");
}

static int set_ports(struct capture_reader *reader, const struct capture_reader_options *options, struct error *error)
{
	if (!options->ports)
		return 0;
	reader->ports = calloc(CAPTURE_PORTS_MAX, sizeof(bool));
	if (!reader->ports)
		return error_set(error, ERROR_FAILED, ENOMEM, "netlabd is out of memory");
	for (size_t i = 0; i < options->port_count; i++) {
		int number = capture_find_port(reader->capture, options->ports[i]);

		if (number < 0)
			return no_such_port(reader->capture, options->ports[i], error);
		reader->ports[number] = true;
	}
	return 0;
}

static int set_filter(struct frame_filter *filter, const char *text, bool *has, struct error *error)
{
	char problem[FRAME_FILTER_PROBLEM_MAX];
	const char *reason;

	if (!text)
		return 0;
	reason = frame_filter_compile(filter, text, problem);
	if (reason)
		return error_set(error, ERROR_USAGE, EINVAL, "filter \"%.200s\" %s", text, reason);
	*has = true;
	return 0;
}

static int set_up(struct capture_reader *reader, const struct capture_reader_options *options, struct error *error)
{
	struct capture_stream_options stream = {.port_count = CAPTURE_PORTS_MAX,
						.snap_len = options->snap_len,
						.is_clean = options->is_clean,
						.has_events = options->has_events};
	int result = set_ports(reader, options, error);

	if (result == 0)
		result = set_filter(&reader->filter, options->filter, &reader->has_filter, error);
	if (result == 0)
		result = set_filter(&reader->trigger, options->trigger, &reader->has_trigger, error);
	if (result < 0)
		return result;
	stream.ports = reader->ports;
	stream.filter = reader->has_filter ? &reader->filter : NULL;
	reader->stream = capture_stream_create(reader->capture, &stream);
	/* What is not used of them takes no memory. */
	reader->passed = calloc(CAPTURE_PORTS_MAX, sizeof(uint64_t));
	reader->wanted = calloc(CAPTURE_PORTS_MAX, sizeof(uint64_t));
	if (!reader->stream || !reader->passed || !reader->wanted)
		return error_set(error, ERROR_FAILED, ENOMEM, "netlabd is out of memory");
	if (options->preamble)
		capture_stream_put_text(reader->stream, options->preamble);
	return 0;
}

static int hand_over(struct capture_readers *readers, struct capture_reader *reader, struct error *error)
{
	bool is_full;

	pthread_mutex_lock(&readers->mutex);
	is_full = readers->count == CAPTURE_READERS_MAX;
	if (!is_full) {
		readers->count++;
		TAILQ_INSERT_TAIL(&readers->fresh, reader, next);
	}
	pthread_mutex_unlock(&readers->mutex);
	if (is_full)
		return error_set(error, ERROR_FAILED, EUSERS, "%d captures are being read already; end one of them",
				 CAPTURE_READERS_MAX);
	capture_ring_wake(reader->capture->ring);
	return 0;
}

int capture_reader_add(struct capture *capture, int fd, const struct capture_reader_options *options,
		       struct error *error)
{
	struct capture_reader *reader = calloc(1, sizeof(*reader));
	int type, result;
	socklen_t length = sizeof(type);

	if (!reader)
		return error_set(error, ERROR_FAILED, ENOMEM, "netlabd is out of memory");
	*reader = (struct capture_reader){.capture = capture,
					  .fd = fd,
					  .is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0,
					  .has_last = options->has_last,
					  .last = options->last,
					  .before = options->before,
					  .after = options->after,
					  .end = FOR_EVER,
					  .until = FOR_EVER,
					  .done = options->done,
					  .opaque = options->opaque};
	result = set_up(reader, options, error);
	if (result == 0)
		result = hand_over(capture->readers, reader, error);
	if (result < 0)
		free_reader(reader);
	return result;
}

struct capture_readers *capture_readers_create(struct capture *capture)
{
	struct capture_readers *readers = calloc(1, sizeof(*readers));

	if (!readers)
		return NULL;
	readers->capture = capture;
	pthread_mutex_init(&readers->mutex, NULL);
	TAILQ_INIT(&readers->fresh);
	TAILQ_INIT(&readers->list);
	return readers;
}

/* The cursor. */

static void pass(struct capture_reader *reader, const struct capture_record *record, uint32_t from, uint32_t to)
{
	const struct capture_crossing *crossings = capture_record_crossings(record);

	for (; from < to; from++)
		reader->passed[crossings[from].port]++;
}

/* To the recorder's end: nothing of the past. */
static void go_to_end(struct capture_reader *reader)
{
	const struct capture *capture = reader->capture;
	int count = atomic_load(&capture->port_count);

	reader->position = capture_recorder_end(capture->recorder);
	for (int i = 0; i < count; i++)
		reader->passed[i] = capture->ports[i]->added;
}

/* To the first record of 'time' or later. */
static void go_to_time(struct capture_reader *reader, uint64_t time)
{
	const struct capture *capture = reader->capture;
	int count = atomic_load(&capture->port_count);
	const struct capture_record *record;
	uint64_t next;

	for (int i = 0; i < count; i++)
		reader->passed[i] = capture->ports[i]->evicted;
	next = reader->position = capture_recorder_begin(capture->recorder);
	while ((record = capture_recorder_next(capture->recorder, &next)) && record->time < time) {
		pass(reader, record, 0, record->crossing_count);
		reader->position = next;
	}
}

/* It wants nothing that comes from now on. */
static void end_here(struct capture_reader *reader)
{
	const struct capture *capture = reader->capture;
	int count = atomic_load(&capture->port_count);

	if (reader->end != FOR_EVER)
		return;
	reader->end = capture_recorder_end(capture->recorder);
	for (int i = 0; i < count; i++)
		reader->wanted[i] = capture->ports[i]->added;
}

/* Records were overwritten before the reader came to them. */
static void catch_up(struct capture_reader *reader, bool is_told)
{
	const struct capture *capture = reader->capture;
	int count = atomic_load(&capture->port_count);

	if (reader->position >= capture_recorder_begin(capture->recorder))
		return;
	reader->position = capture_recorder_begin(capture->recorder);
	capture_stream_skip(reader->stream);
	for (int i = 0; i < count; i++) {
		uint64_t evicted = capture->ports[i]->evicted, missed = evicted;

		if (reader->end != FOR_EVER && missed > reader->wanted[i])
			missed = reader->wanted[i];
		if (is_told && missed > reader->passed[i])
			capture_stream_miss(reader->stream, (uint32_t)i, missed - reader->passed[i]);
		reader->passed[i] = evicted;
	}
}

static void start(struct capture_reader *reader)
{
	const struct capture *capture = reader->capture;
	uint64_t time = now(capture);

	capture_stream_begin(reader->stream);
	capture_stream_forget_losses(reader->stream);
	if (reader->has_last) {
		go_to_time(reader, reader->last && reader->last < time ? time - reader->last : 0);
		end_here(reader);
		reader->state = READER_RUNNING;
	} else {
		go_to_end(reader);
		reader->state = reader->has_trigger ? READER_WAITING : READER_RUNNING;
	}
}

/* States. */

static void await_trigger(struct capture_reader *reader)
{
	const struct capture_record *record;
	uint64_t next;

	for (;;) {
		catch_up(reader, false);
		next = reader->position;
		record = capture_recorder_next(reader->capture->recorder, &next);
		if (!record || next > reader->end)
			break;
		if (record->kind == CAPTURE_FRAME) {
			const struct pcap_pkthdr header = {.caplen = record->captured, .len = record->size};

			if (frame_filter_passes(&reader->trigger, &header, record->bytes)) {
				reader->until = record->time + reader->after;
				reader->state = READER_RUNNING;
				go_to_time(reader, record->time > reader->before ? record->time - reader->before : 0);
				return;
			}
		}
		pass(reader, record, 0, record->crossing_count);
		reader->position = next;
	}
	if (reader->end != FOR_EVER)
		reader->state = READER_ENDING;
}

/* Adds records to the stream until its buffer is full or there are no more. */
static void run(struct capture_reader *reader)
{
	const struct capture_record *record;
	uint64_t next;
	uint32_t before;
	bool is_whole;

	if (!capture_stream_add(reader->stream, NULL))
		return;
	for (;;) {
		catch_up(reader, true);
		next = reader->position;
		record = next < reader->end ? capture_recorder_next(reader->capture->recorder, &next) : NULL;
		if (!record || record->time > reader->until)
			break;
		before = capture_stream_next_crossing(reader->stream);
		is_whole = capture_stream_add(reader->stream, record);
		pass(reader, record, before,
		     is_whole ? record->crossing_count : capture_stream_next_crossing(reader->stream));
		if (!is_whole)
			return;
		reader->position = next;
	}
	if (record || reader->position >= reader->end || now(reader->capture) > reader->until)
		reader->state = READER_ENDING;
}

static void fill(struct capture_reader *reader)
{
	if (reader->state == READER_WAITING)
		await_trigger(reader);
	if (reader->state == READER_RUNNING)
		run(reader);
	if (reader->state == READER_ENDING && capture_stream_end(reader->stream, now(reader->capture)))
		reader->state = READER_CLOSING;
}

/* Returns whether the buffer is empty. */
static bool empty_buffer(struct capture_reader *reader)
{
	size_t size;
	const uint8_t *bytes = capture_stream_bytes(reader->stream, &size);

	reader->is_blocked = false;
	while (size > 0) {
		ssize_t count = reader->is_socket ? send(reader->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) :
						    write(reader->fd, bytes, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			reader->is_blocked = errno == EAGAIN;
			reader->errnum = reader->is_blocked ? 0 : errno;
			return false;
		}
		capture_stream_taken(reader->stream, (size_t)count);
		bytes = capture_stream_bytes(reader->stream, &size);
	}
	return true;
}

static void hear_end(struct capture_reader *reader)
{
	char ignored[4096];
	ssize_t count;

	if (!reader->is_socket || reader->input_ended)
		return;
	count = recv(reader->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
	if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	reader->input_ended = true;
	end_here(reader);
}

/* Returns false when it has ended. */
static bool turn(struct capture_reader *reader)
{
	size_t size;

	hear_end(reader);
	for (int i = 0; i < CHUNKS_PER_TURN; i++) {
		if (!empty_buffer(reader))
			return reader->errnum == 0;
		if (reader->state == READER_CLOSING)
			return false;
		fill(reader);
		capture_stream_bytes(reader->stream, &size);
		if (size == 0 && reader->state != READER_CLOSING)
			return true;
	}
	return true;
}

static void remove_reader(struct capture_readers *readers, struct capture_reader *reader)
{
	TAILQ_REMOVE(&readers->list, reader, next);
	pthread_mutex_lock(&readers->mutex);
	readers->count--;
	pthread_mutex_unlock(&readers->mutex);
	close(reader->fd);
	if (reader->done)
		reader->done(reader->opaque, capture_stream_written(reader->stream),
			     capture_stream_lost(reader->stream), reader->errnum);
	free_reader(reader);
}

static void take_fresh(struct capture_readers *readers)
{
	struct reader_list fresh = TAILQ_HEAD_INITIALIZER(fresh);
	struct capture_reader *reader;

	pthread_mutex_lock(&readers->mutex);
	TAILQ_CONCAT(&fresh, &readers->fresh, next);
	pthread_mutex_unlock(&readers->mutex);
	while ((reader = TAILQ_FIRST(&fresh))) {
		TAILQ_REMOVE(&fresh, reader, next);
		TAILQ_INSERT_TAIL(&readers->list, reader, next);
		start(reader);
	}
}

/* Milliseconds until the reader wants its turn, or -1. */
static int patience(const struct capture_reader *reader)
{
	const struct capture *capture = reader->capture;
	uint64_t time, rest;
	size_t size;

	capture_stream_bytes(reader->stream, &size);
	if (size > 0)
		return reader->is_blocked ? -1 : 0;
	if (reader->state != READER_RUNNING || reader->until == FOR_EVER)
		return reader->state == READER_ENDING || reader->state == READER_CLOSING ? 0 : -1;
	time = now(capture);
	if (time > reader->until)
		return 0;
	rest = (reader->until - time) / MILLISECOND + 1;
	return rest < INT_MAX ? (int)rest : INT_MAX;
}

int capture_readers_turn(struct capture_readers *readers)
{
	struct capture_reader *reader, *next;
	int shortest = -1;

	take_fresh(readers);
	for (reader = TAILQ_FIRST(&readers->list); reader; reader = next) {
		int milliseconds;

		next = TAILQ_NEXT(reader, next);
		if (!turn(reader)) {
			remove_reader(readers, reader);
			continue;
		}
		milliseconds = patience(reader);
		if (milliseconds >= 0 && (shortest < 0 || milliseconds < shortest))
			shortest = milliseconds;
	}
	return shortest;
}

size_t capture_readers_poll(const struct capture_readers *readers, struct pollfd *fds)
{
	const struct capture_reader *reader;
	size_t count = 0;

	TAILQ_FOREACH(reader, &readers->list, next) {
		short events = (short)((reader->is_blocked ? POLLOUT : 0) | (reader->input_ended ? 0 : POLLIN));

		if (reader->is_socket && events)
			fds[count++] = (struct pollfd){.fd = reader->fd, .events = events};
	}
	return count;
}

void capture_readers_destroy(struct capture_readers *readers)
{
	struct pollfd fds[CAPTURE_READERS_MAX];
	struct capture_reader *reader;
	uint64_t deadline = loop_now() + LAST_WORDS;

	if (!readers)
		return;
	take_fresh(readers);
	TAILQ_FOREACH(reader, &readers->list, next) {
		end_here(reader);
		reader->input_ended = true;
	}
	while (!TAILQ_EMPTY(&readers->list) && loop_now() < deadline) {
		if (capture_readers_turn(readers) < 0)
			poll(fds, capture_readers_poll(readers, fds), 10);
	}
	while ((reader = TAILQ_FIRST(&readers->list)))
		remove_reader(readers, reader);
	pthread_mutex_destroy(&readers->mutex);
	free(readers);
}
