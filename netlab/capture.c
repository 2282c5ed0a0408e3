/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <pcap/pcap.h>

#include "core/log.h"
#include "core/loop.h"
#include "netlab/capture_file.h"
#include "netlab/capture_ring.h"

/* Theory of operation
 * -------------------
 * The producer writes a record, time, port and bytes, into the ring.  The writer takes what there is, gives
 * it to the ports' files, has these write out what they hold, and then sleeps for WRITER_PAUSE before it
 * looks again.  Only when it finds nothing then does it wait to be woken.  So a busy lab costs a thousand
 * wake-ups a second at most, and the producer's system call only when traffic starts after silence; and one
 * who watches the files waits little longer than that pause.
 *
 * The table of ports has its full size from the start, so that it never moves under the producer and the writer; pages
 * of it that are not used take no memory.  A port's end is a record without a frame: when the writer comes to it, all
 * of the port's frames are in the file.  A mark is a record of no port, with a pointer in place of a frame.  What
 * passes a port's number on (a call to the producer's loop, the ring) orders what was written before it.
 */

#define BLOCK_SIZE (256u << 10)

/* Longest record of the files.  More than any frame has; it is what tcpdump and Wireshark use. */
#define SNAPSHOT_LENGTH 262144

/* Nanoseconds; see above. */
#define WRITER_PAUSE 1000000

/* Bytes of the ring that are in memory from the start: what waits in it when the writer is not kept from
 * its work. */
#define POPULATED_SIZE (8u << 20)

/* In place of a port's number: the record is a struct capture_mark's address. */
#define MARK UINT32_MAX

/* Records after which files are written out, even if the ring never runs empty. */
#define WRITER_BATCH 65536

enum capture_port_state {
	CAPTURE_OPEN,
	CAPTURE_ENDING, /* The record that says so is in the ring. */
	CAPTURE_ENDED,  /* The file is closed. */
};

struct capture_port {
	char *name;
	struct capture_file *file;
	_Atomic enum capture_port_state state;
	_Atomic uint64_t lost; /* By the ring, counted by the producer. */
};

struct capture_record {
	uint64_t time;
	uint32_t port;   /* Or MARK. */
	uint8_t bytes[]; /* None: the port has ended. */
};

struct capture {
	char *folder;
	struct capture_ring *ring;
	pcap_t *format;              /* What all files have in common. */
	uint64_t epoch;              /* CLOCK_REALTIME less CLOCK_MONOTONIC at creation, nanoseconds. */
	struct capture_port **ports; /* CAPTURE_PORTS_MAX of them, the first port_count being there. */
	_Atomic int port_count;
	struct capture_files unflushed; /* The writer's. */
	pthread_t writer;
	bool started;
};

/* The smallest of some readings is the one that was interrupted least. */
static uint64_t read_epoch(void)
{
	uint64_t epoch = UINT64_MAX;
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		struct timespec time;
		uint64_t before = loop_now();
		uint64_t after;

		clock_gettime(CLOCK_REALTIME, &time);
		after = loop_now();
		if (after - before < shortest) {
			shortest = after - before;
			epoch = (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec -
				(before + shortest / 2);
		}
	}
	return epoch;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Where it may not be raised, opening a file may fail, which is told then. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Makes 'path', which is changed meanwhile, and the folders above it. */
static int make_folders(char *path)
{
	struct stat status;

	if (*path == '\0')
		return -ENOENT;
	for (char *at = path + 1; *at; at++) {
		int result;

		if (*at != '/')
			continue;
		*at = '\0';
		result = mkdir(path, 0777);
		*at = '/';
		if (result < 0 && errno != EEXIST)
			return -errno;
	}
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &status) < 0)
		return -errno;
	return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

struct capture *capture_create_sized(const char *folder, size_t ring_size, struct error *error)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	size_t blocks = (ring_size + BLOCK_SIZE - 1) / BLOCK_SIZE;
	int result;

	if (!capture || !(capture->folder = strdup(folder)) ||
	    !(capture->ports = calloc(CAPTURE_PORTS_MAX, sizeof(struct capture_port *)))) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		goto failed;
	}
	TAILQ_INIT(&capture->unflushed);
	result = make_folders(capture->folder);
	if (result < 0) {
		error_set(error, ERROR_FAILED, -result, "cannot make the folder for captures %s: %s", folder,
			  strerror(-result));
		goto failed;
	}
	raise_file_limit();
	capture->format = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAPSHOT_LENGTH, PCAP_TSTAMP_PRECISION_NANO);
	if (!capture->format) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		goto failed;
	}
	capture->ring = capture_ring_create(BLOCK_SIZE, blocks < 2 ? 2 : blocks, error);
	if (!capture->ring)
		goto failed;
	capture->epoch = read_epoch();
	return capture;
failed:
	capture_destroy(capture);
	return NULL;
}

struct capture *capture_create(const char *folder, struct error *error)
{
	return capture_create_sized(folder, CAPTURE_RING_SIZE, error);
}

static void free_port(struct capture_port *port)
{
	if (!port)
		return;
	capture_file_close(port->file);
	free(port->name);
	free(port);
}

int capture_find_port(const struct capture *capture, const char *port_name)
{
	for (int i = 0; i < capture->port_count; i++) {
		if (strcmp(capture->ports[i]->name, port_name) == 0)
			return i;
	}
	return -ENOENT;
}

/* Names that differ only in what a file's name cannot have would share a file. */
static int check_file_unused(const struct capture *capture, const struct capture_port *port, struct error *error)
{
	for (int i = 0; i < capture->port_count; i++) {
		if (strcmp(capture_file_path(capture->ports[i]->file), capture_file_path(port->file)) == 0)
			return error_set(error, ERROR_USAGE, EEXIST,
					 "captures of %s and %s would have the same file %s", capture->ports[i]->name,
					 port->name, capture_file_path(port->file));
	}
	return 0;
}

static int open_port(struct capture *capture, struct capture_port *port, const char *name, struct error *error)
{
	int result;

	port->name = strdup(name);
	if (!port->name)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	port->file = capture_file_create(capture->folder, name);
	if (!port->file)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	result = check_file_unused(capture, port, error);
	if (result < 0)
		return result;
	return capture_file_open(port->file, capture->format, error);
}

/* A port of that name was there before. */
static int go_on(struct capture *capture, int number, struct error *error)
{
	struct capture_port *port = capture->ports[number];
	enum capture_port_state state = atomic_load(&port->state);
	int result;

	if (state == CAPTURE_OPEN)
		return number;
	if (state == CAPTURE_ENDING)
		return error_set(error, ERROR_FAILED, EBUSY, "the capture of %s is still being written out; try again",
				 port->name);
	result = capture_file_resume(port->file, capture->format, error);
	if (result < 0) {
		capture_file_end(port->file, NULL); /* It is in no list. */
		return result;
	}
	atomic_store(&port->state, CAPTURE_OPEN);
	return number;
}

int capture_add_port(struct capture *capture, const char *port_name, struct error *error)
{
	struct capture_port *port;
	int number = capture_find_port(capture, port_name);

	if (number >= 0)
		return go_on(capture, number, error);
	if (capture->port_count == CAPTURE_PORTS_MAX)
		return error_set(error, ERROR_FAILED, ENOSPC, "more than %d ports were captured", CAPTURE_PORTS_MAX);
	port = calloc(1, sizeof(*port));
	if (!port)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	number = open_port(capture, port, port_name, error);
	if (number < 0) {
		free_port(port);
		return number;
	}
	number = capture->port_count;
	capture->ports[number] = port;
	capture->port_count = number + 1;
	return number;
}

static void reach_mark(struct capture *capture, const struct capture_record *record)
{
	struct capture_mark *mark;
	const struct capture_file *file;

	memcpy(&mark, record->bytes, sizeof(mark));
	file = capture->ports[mark->port]->file;
	capture_files_flush(&capture->unflushed);
	mark->position = capture_file_size(file);
	mark->lost += capture_file_lost(file);
	mark->reached(mark);
}

static void write_record(struct capture *capture, const struct capture_record *record, size_t size)
{
	struct capture_port *port;

	if (record->port == MARK) {
		reach_mark(capture, record);
		return;
	}
	port = capture->ports[record->port];
	if (size > sizeof(*record)) {
		capture_file_write(port->file, record->time, record->bytes, size - sizeof(*record),
				   &capture->unflushed);
		return;
	}
	capture_file_end(port->file, &capture->unflushed);
	atomic_store(&port->state, CAPTURE_ENDED);
}

/* Writes what there is, at most WRITER_BATCH records, and has it written out. */
static void drain(struct capture *capture)
{
	const struct capture_record *record;
	size_t size;

	for (int i = 0; i < WRITER_BATCH; i++) {
		record = capture_ring_next(capture->ring, &size);
		if (!record)
			break;
		write_record(capture, record, size);
		capture_ring_release(capture->ring);
	}
	capture_files_flush(&capture->unflushed);
}

static void *run_writer(void *opaque)
{
	struct capture *capture = opaque;
	const struct timespec pause = {.tv_nsec = WRITER_PAUSE};

	capture_ring_populate(capture->ring, POPULATED_SIZE);
	while (capture_ring_wait(capture->ring)) {
		drain(capture);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int capture_start(struct capture *capture, struct error *error)
{
	sigset_t all, before;
	int result;

	if (capture->started)
		return 0;
	/* Signals are the main thread's, and SIGXFSZ must not end the process: a file that may not grow is a full disk.
	 */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&capture->writer, NULL, run_writer, capture);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return error_set(error, ERROR_FAILED, result, "cannot start the capture's thread: %s",
				 strerror(result));
	pthread_setname_np(capture->writer, "netlab-capture");
	capture->started = true;
	return 0;
}

uint64_t capture_time(const struct capture *capture, uint64_t monotonic)
{
	return capture->epoch + monotonic;
}

void capture_frame(struct capture *capture, int port, const struct frame *frame, uint64_t time)
{
	struct capture_record *record;
	_Atomic uint64_t *lost;

	if (port < 0 || port >= capture->port_count || frame->size == 0)
		return;
	record = capture_ring_reserve(capture->ring, sizeof(*record) + frame->size);
	if (!record) {
		lost = &capture->ports[port]->lost;
		atomic_store_explicit(lost, atomic_load_explicit(lost, memory_order_relaxed) + 1, memory_order_relaxed);
		return;
	}
	record->time = time;
	record->port = (uint32_t)port;
	frame_copy(frame, record->bytes, frame->size);
	capture_ring_commit(capture->ring);
}

void capture_end_port(struct capture *capture, int port)
{
	struct capture_record *record;

	if (port < 0 || port >= capture->port_count)
		return;
	record = capture_ring_reserve(capture->ring, sizeof(*record));
	if (!record)
		return;
	*record = (struct capture_record){.port = (uint32_t)port};
	atomic_store(&capture->ports[port]->state, CAPTURE_ENDING);
	capture_ring_commit(capture->ring);
}

int capture_put_mark(struct capture *capture, struct capture_mark *mark)
{
	struct capture_record *record;

	if (mark->port < 0 || mark->port >= capture->port_count)
		return -ENOENT;
	record = capture_ring_reserve(capture->ring, sizeof(*record) + sizeof(mark));
	if (!record)
		return -EAGAIN;
	*record = (struct capture_record){.port = MARK};
	memcpy(record->bytes, &mark, sizeof(mark));
	/* Here and not by the writer, who may be far behind. */
	mark->lost = atomic_load_explicit(&capture->ports[mark->port]->lost, memory_order_relaxed);
	capture_ring_commit(capture->ring);
	return 0;
}

void capture_wake(struct capture *capture)
{
	capture_ring_announce(capture->ring);
}

uint64_t capture_lost(const struct capture *capture, int port)
{
	if (port < 0 || port >= capture->port_count)
		return 0;
	return atomic_load_explicit(&capture->ports[port]->lost, memory_order_relaxed) +
	       capture_file_lost(capture->ports[port]->file);
}

const char *capture_file(const struct capture *capture, int port)
{
	if (port < 0 || port >= capture->port_count)
		return NULL;
	return capture_file_path(capture->ports[port]->file);
}

/* Ends the writer, or writes out in its place what there is when it was never started. */
static void finish(struct capture *capture)
{
	capture_ring_close(capture->ring);
	if (capture->started)
		pthread_join(capture->writer, NULL);
	else
		while (capture_ring_wait(capture->ring))
			drain(capture);
	for (int i = 0; i < capture->port_count; i++) {
		uint64_t lost = capture_lost(capture, i);

		if (lost > 0)
			log_line("%s: the capture lacks %llu frames", capture->ports[i]->name,
				 (unsigned long long)lost);
	}
}

void capture_destroy(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->ring)
		finish(capture);
	for (int i = 0; capture->ports && i < capture->port_count; i++)
		free_port(capture->ports[i]);
	free(capture->ports);
	if (capture->format)
		pcap_close(capture->format);
	capture_ring_destroy(capture->ring);
	free(capture->folder);
	free(capture);
}
