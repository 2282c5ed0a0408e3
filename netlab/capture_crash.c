/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/thread.h"
#include "netlab/capture_internal.h"
#include "netlab/capture_stream.h"
#include "netlab/folder.h"

/* Theory of operation
 * -------------------
 * The handler runs in the thread whose fault it is.  If that is not the writer, the writer goes on, and is given a
 * moment to take what the ring still has, all that was committed to it, so that the last frames before the fault are
 * there.  Then the recorder is frozen, and read as it is.  Only functions that a handler may call are called
 * (signal-safety(7)); a second fault meanwhile kills the process at once, since the handlers are taken back first. */

#define WAIT_NANOSECONDS 1000000
#define WAITS_MAX 200
#define SIGNALS_MAX 65

struct capture_crash {
	struct capture *capture;
	struct capture_stream *stream;
	char *path;
	struct sigaction before[SIGNALS_MAX];
};

/* A handler is given nothing, so where it finds its things has to be known to the process. */
static _Atomic(struct capture_crash *) armed;

static void restore_handler(void *opaque, int signal_number)
{
	const struct capture_crash *crash = opaque;

	sigaction(signal_number, &crash->before[signal_number], NULL);
}

static void wait_a_little(void)
{
	const struct timespec time = {.tv_nsec = WAIT_NANOSECONDS};

	nanosleep(&time, NULL);
}

static void freeze(struct capture *capture)
{
	bool is_writer = capture->started && pthread_equal(pthread_self(), capture->writer);

	capture_ring_announce_last(capture->ring);
	for (int i = 0; !is_writer && i < WAITS_MAX && !capture_ring_is_drained(capture->ring); i++)
		wait_a_little();
	for (int i = 0; !capture_recorder_freeze(capture->recorder) && !is_writer && i < WAITS_MAX; i++)
		wait_a_little();
}

static void write_out(int fd, struct capture_stream *stream)
{
	size_t size;
	const uint8_t *bytes = capture_stream_bytes(stream, &size);

	while (size > 0) {
		ssize_t count = write(fd, bytes, size);

		if (count < 0 && errno == EINTR)
			continue;
		/* There is nobody left to tell of a full disk. */
		capture_stream_taken(stream, count > 0 ? (size_t)count : size);
		bytes = capture_stream_bytes(stream, &size);
	}
}

static void dump(const struct capture_crash *crash)
{
	const struct capture *capture = crash->capture;
	uint64_t position = capture_recorder_begin(capture->recorder), time = 0;
	const struct capture_record *record;
	int fd;

	folder_make_above(crash->path, 0777); /* If one cannot be made, the file cannot either. */
	fd = open(crash->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	capture_stream_begin(crash->stream);
	while ((record = capture_recorder_next(capture->recorder, &position))) {
		time = record->time;
		while (!capture_stream_add(crash->stream, record))
			write_out(fd, crash->stream);
	}
	while (!capture_stream_end(crash->stream, time))
		write_out(fd, crash->stream);
	write_out(fd, crash->stream);
	close(fd);
}

static void on_fault(int signal_number)
{
	struct capture_crash *crash = atomic_exchange(&armed, NULL);

	if (crash) {
		thread_for_each_fault(restore_handler, crash);
		freeze(crash->capture);
		dump(crash);
	}
	/* Held back until the handler returns. */
	raise(signal_number);
}

static void set_handler(void *opaque, int signal_number)
{
	struct capture_crash *crash = opaque;
	struct sigaction action = {.sa_handler = on_fault};

	sigaction(signal_number, &action, &crash->before[signal_number]);
}

struct capture_crash *capture_crash_arm(struct capture *capture, const char *path)
{
	const struct capture_stream_options options = {.has_events = true};
	struct capture_crash *crash = calloc(1, sizeof(*crash)), *none = NULL;

	if (!crash)
		return NULL;
	crash->capture = capture;
	crash->path = strdup(path);
	crash->stream = capture_stream_create(capture, &options);
	if (!crash->path || !crash->stream || !atomic_compare_exchange_strong(&armed, &none, crash)) {
		capture_stream_destroy(crash->stream);
		free(crash->path);
		free(crash);
		return NULL;
	}
	thread_for_each_fault(set_handler, crash);
	return crash;
}

void capture_crash_disarm(struct capture_crash *crash)
{
	if (!crash)
		return;
	thread_for_each_fault(restore_handler, crash);
	atomic_store(&armed, NULL);
	capture_stream_destroy(crash->stream);
	free(crash->path);
	free(crash);
}
