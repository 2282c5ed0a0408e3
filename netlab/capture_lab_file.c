/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_lab_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "netlab/capture_internal.h"
#include "netlab/capture_stream.h"

#define NAME "lab.pcapng"
#define SECOND 1000000000ull
#define MILLISECOND 1000000ull

struct capture_lab_file {
	const struct capture *capture;
	struct capture_stream *stream;
	char *path;
	int fd;              /* -1: it could not be opened again; nothing is written. */
	uint64_t written;    /* Bytes of the file, all of them whole blocks. */
	uint64_t section;    /* Where the last section begins. */
	bool is_behind;      /* Frames came since statistics were written, ... */
	uint64_t said;       /* ... which was then, or it is when the first of them came. */
	uint64_t begun;      /* When it was opened, nanoseconds since the epoch; 0: with the first frame. */
	uint32_t number;     /* Of the last one that was completed. */
	_Atomic int failure; /* Why the last write failed (errno); 0: it did not. */
	bool gave_up;        /* A write failed for the sake of a record: no other is tried before the next flush. */
	struct log_limit limit;
};

/* "lab-00001.pcapng", whatever the number of digits. */
static bool is_numbered(const char *name)
{
	size_t digits;

	if (strncmp(name, "lab-", 4) != 0)
		return false;
	digits = strspn(name + 4, "0123456789");
	return digits >= 5 && !strcmp(name + 4 + digits, ".pcapng");
}

static void remove_numbered(const char *folder)
{
	DIR *directory = opendir(folder);
	const struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (is_numbered(entry->d_name))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

static char *numbered_path(const struct capture_lab_file *file, uint32_t number)
{
	char *path;

	return asprintf(&path, "%s/lab-%05u.pcapng", file->capture->folder, number) < 0 ? NULL : path;
}

static int open_file(struct capture_lab_file *file)
{
	file->fd = capture_file_open_regular(file->path, O_WRONLY);
	if (file->fd < 0)
		return file->fd;
	if (ftruncate(file->fd, 0) < 0) {
		int result = -errno;

		close(file->fd);
		file->fd = -1;
		return result;
	}
	file->written = file->section = file->begun = file->said = 0;
	file->is_behind = false;
	capture_stream_begin(file->stream);
	return 0;
}

struct capture_lab_file *capture_lab_file_open(const struct capture *capture, struct error *error)
{
	const struct capture_stream_options options = {.is_clean = capture->options.is_clean, .has_events = true};
	struct capture_lab_file *file = calloc(1, sizeof(*file));
	int result = -ENOMEM;

	if (file) {
		file->capture = capture;
		file->fd = -1;
		file->stream = capture_stream_create(capture, &options);
		if (file->stream && asprintf(&file->path, "%s/" NAME, capture->folder) >= 0)
			result = open_file(file);
	}
	if (result == 0) {
		remove_numbered(capture->folder);
		return file;
	}
	capture_file_cannot_open(file && file->path ? file->path : NAME, -result, error);
	capture_lab_file_close(file, 0);
	return NULL;
}

/* Takes back what is in the file of a write that failed.  The next one begins with the lab's ports and names again,
 * which may be more than the buffer holds; so not each record should try. */
static void give_up(struct capture_lab_file *file, int errnum)
{
	if (file->failure == 0)
		log_limited(&file->limit, "%s: frames are lost to the capture: %s", file->path, strerror(errnum));
	file->failure = errnum;
	capture_stream_give_up(file->stream);
	file->section = file->written;
	if (ftruncate(file->fd, (off_t)file->written) == 0)
		return;
	log_limited(&file->limit, "%s: the capture ends, it cannot be cut back: %s", file->path, strerror(errno));
	close(file->fd);
	file->fd = -1;
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t count = write(fd, bytes, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -EIO;
		bytes += count;
		size -= (size_t)count;
	}
	return 0;
}

/* Returns false when it could not be written, and is given up. */
static bool write_out(struct capture_lab_file *file)
{
	size_t size;
	const uint8_t *bytes = capture_stream_bytes(file->stream, &size);
	int result;

	if (size == 0)
		return true;
	result = write_all(file->fd, bytes, size);
	if (result < 0) {
		give_up(file, -result);
		return false;
	}
	file->written += size;
	if (file->failure != 0)
		log_limited(&file->limit, "%s: the capture goes on", file->path);
	file->failure = 0;
	capture_stream_taken(file->stream, size);
	return true;
}

void capture_lab_file_add(struct capture_lab_file *file, const struct capture_record *record)
{
	uint32_t next;

	if (record->kind == CAPTURE_EVENT && !atomic_load_explicit(&file->capture->has_events, memory_order_relaxed))
		return;
	if (file->fd < 0 || file->gave_up) {
		capture_stream_give_up_record(file->stream, record, 0);
		return;
	}
	if (file->begun == 0)
		file->begun = record->time;
	if (file->said == 0)
		file->said = record->time;
	file->is_behind = true;
	while (!capture_stream_add(file->stream, record)) {
		next = capture_stream_next_crossing(file->stream);
		if (write_out(file))
			continue;
		capture_stream_give_up_record(file->stream, record, next);
		file->gave_up = true;
		return;
	}
}

static bool write_over(void *opaque, uint64_t position, const uint8_t *block, size_t size)
{
	const struct capture_lab_file *file = opaque;

	return pwrite(file->fd, block, size, (off_t)(file->section + position)) == (ssize_t)size;
}

/* What cannot be written over is so the next time. */
static void renew_statistics(struct capture_lab_file *file, uint64_t time)
{
	int flags = file->fd < 0 ? -1 : fcntl(file->fd, F_GETFL);

	/* With O_APPEND, pwrite() goes to the end, whatever it is told. */
	if (flags < 0 || fcntl(file->fd, F_SETFL, flags & ~O_APPEND) < 0)
		return;
	capture_stream_renew_statistics(file->stream, time, write_over, file);
	(void)fcntl(file->fd, F_SETFL, flags);
}

static void write_statistics(struct capture_lab_file *file, uint64_t time)
{
	bool is_written = true;

	renew_statistics(file, time);
	while (is_written && !capture_stream_put_statistics(file->stream, time))
		is_written = write_out(file);
	if (is_written)
		is_written = write_out(file);
	file->said = time;
	file->is_behind = !is_written;
}

int capture_lab_file_turn(struct capture_lab_file *file, uint64_t time)
{
	uint64_t interval = file->capture->options.statistics_interval;

	if (interval == 0)
		interval = CAPTURE_STATISTICS_INTERVAL;
	if (file->is_behind && file->fd >= 0 && time >= file->said + interval)
		write_statistics(file, time);
	if (!file->is_behind || file->fd < 0)
		return -1;
	return (int)((file->said + interval - time) / MILLISECOND) + 1;
}

static void complete(struct capture_lab_file *file, uint64_t time)
{
	bool is_written = write_out(file);

	renew_statistics(file, time);
	while (is_written && !capture_stream_end(file->stream, time))
		is_written = write_out(file);
	if (is_written)
		write_out(file);
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* The one that is too many, and those before it, which are there if more were allowed until now. */
static void remove_oldest(const struct capture_lab_file *file)
{
	uint32_t files = atomic_load(&file->capture->rotation)->files;
	bool is_there = files > 0 && file->number >= files;

	for (uint32_t number = file->number - files + 1; is_there && number > 0; number--) {
		char *path = numbered_path(file, number);

		is_there = path && unlink(path) == 0;
		free(path);
	}
}

static void rotate(struct capture_lab_file *file, uint64_t time)
{
	char *path;
	int result;

	complete(file, time);
	file->number++;
	path = numbered_path(file, file->number);
	result = path && rename(file->path, path) == 0 ? 0 : -errno;
	free(path);
	if (result == 0) {
		remove_oldest(file);
		result = open_file(file);
	}
	if (result < 0) {
		log_line("%s: the capture ends, no new file can be begun: %s", file->path, strerror(-result));
		file->failure = -result;
	}
}

static bool is_full(const struct capture_lab_file *file, uint64_t time)
{
	const struct capture_rotation *rotation = atomic_load(&file->capture->rotation);

	if (file->fd < 0)
		return false;
	return (rotation->size > 0 && file->written >= rotation->size) ||
	       (rotation->seconds > 0 && file->begun > 0 && time > file->begun &&
		time - file->begun >= rotation->seconds * SECOND);
}

void capture_lab_file_flush(struct capture_lab_file *file, uint64_t time)
{
	if (file->fd < 0)
		return;
	if (!file->gave_up) {
		(void)capture_stream_add(file->stream, NULL); /* Interfaces of a lab in which nothing was sent yet. */
		write_out(file);
	}
	file->gave_up = false;
	if (is_full(file, time))
		rotate(file, time);
}

void capture_lab_file_close(struct capture_lab_file *file, uint64_t time)
{
	if (!file)
		return;
	if (file->fd >= 0)
		complete(file, time);
	capture_stream_destroy(file->stream);
	free(file->path);
	free(file);
}

const char *capture_lab_file_path(const struct capture_lab_file *file)
{
	return file->path;
}

int capture_lab_file_failure(const struct capture_lab_file *file)
{
	return file->failure;
}
