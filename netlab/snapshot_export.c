/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>

#include "netlab/allocate.h"
#include "netlab/snapshot_archive_internal.h"

/* A snapshot becomes an archive: its files are listed and measured, so that the first entry can say how much is to
 * come, and then written one after the other. */

#define BUFFER_SIZE 65536u

struct export
{
	struct archive *archive;
	struct snapshot_stream stream;
	struct snapshot_checksum *checksum;
	int folder;
	char **names;
	size_t count;
	uint64_t done, total; /* Bytes of data. */
	uint8_t buffer[BUFFER_SIZE];
};

/* A part of a file that is no hole. */
struct run {
	off_t start, end;
};

/* Finds the first run at or after 'at'.  Returns false at the end of the file, and when it cannot be looked at. */
static bool next_run(int fd, off_t at, struct run *run)
{
	run->start = lseek(fd, at, SEEK_DATA);
	run->end = run->start < 0 ? -1 : lseek(fd, run->start, SEEK_HOLE);
	return run->start >= 0 && run->end > run->start;
}

static int open_file(const struct export *export, const char *name, struct error *error)
{
	int fd = openat(export->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot read %s of the snapshot: %s", name,
				 strerror(errno));
	return fd;
}

/* Listing and measuring. */

static int compare_names(const void *left, const void *right)
{
	const char *names[2] = {*(char *const *)left, *(char *const *)right};
	struct snapshot_entry entries[2] = {snapshot_entry_parse(names[0]), snapshot_entry_parse(names[1])};

	if (entries[0].kind != entries[1].kind)
		return entries[0].kind < entries[1].kind ? -1 : 1;
	if (entries[0].number != entries[1].number)
		return entries[0].number < entries[1].number ? -1 : 1;
	return strcmp(names[0], names[1]);
}

static int list_files(struct export *export, struct error *error)
{
	int copy = openat(export->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *file;

	if (!files) {
		if (copy >= 0)
			close(copy);
		return error_set(error, ERROR_FAILED, ENOMEM, "cannot list the files of the snapshot");
	}
	while (export->count < SNAPSHOT_ENTRIES_MAX && (file = readdir(files))) {
		enum snapshot_entry_kind kind = snapshot_entry_parse(file->d_name).kind;

		if (kind == SNAPSHOT_ENTRY_UNKNOWN || kind == SNAPSHOT_ENTRY_ABOUT || kind == SNAPSHOT_ENTRY_CHECKSUM)
			continue;
		export->names = allocate_grow(export->names, export->count, sizeof(*export->names));
		export->names[export->count++] = allocate_copy(file->d_name);
	}
	closedir(files);
	if (export->count > 0)
		qsort(export->names, export->count, sizeof(*export->names), compare_names);
	/* With "about" and "checksum" that is as many as are imported. */
	return export->count > SNAPSHOT_ENTRIES_MAX - 2 ?
		       error_set(error, ERROR_FAILED, E2BIG, "the snapshot has more than %u files",
				 SNAPSHOT_ENTRIES_MAX - 2) :
		       0;
}

static int measure(struct export *export, struct error *error)
{
	for (size_t i = 0; i < export->count; i++) {
		int fd = open_file(export, export->names[i], error);
		struct run run = {.end = 0};

		if (fd < 0)
			return fd;
		while (next_run(fd, run.end, &run))
			export->total += (uint64_t)(run.end - run.start);
		close(fd);
	}
	return 0;
}

/* Writing. */

/* archive_write_callback */
static la_ssize_t write_stream(struct archive *archive, void *opaque, const void *data, size_t size)
{
	struct snapshot_stream *stream = opaque;
	ssize_t written = -1;
	bool goes_on;

	do {
		goes_on = snapshot_stream_wait(stream, POLLOUT);
		/* A pipe that has room has room for so much; more would have us wait where nobody can end it. */
		if (goes_on)
			written = write(stream->fd, data, size < PIPE_BUF ? size : PIPE_BUF);
	} while (goes_on && written < 0 && (errno == EINTR || errno == EAGAIN));
	if (written < 0)
		archive_set_error(archive, errno, "%s", strerror(errno));
	return written;
}

static int archive_failed(const struct export *export, struct error *error)
{
	const char *why = archive_error_string(export->archive);

	if (export->stream.stopped)
		return error_set(error, ERROR_FAILED, EINTR, "interrupted");
	return error_set(error, ERROR_FAILED, EIO, "cannot write the archive: %s", why ? why : "out of memory");
}

static int write_data(struct export *export, const void *data, size_t size, struct error *error)
{
	return archive_write_data(export->archive, data, size) == (la_ssize_t)size ? 0 : archive_failed(export, error);
}

/* libarchive is given the zeros of a hole, of which it writes none. */
static int write_hole(struct export *export, off_t size, struct error *error)
{
	int result = 0;

	memset(export->buffer, 0, BUFFER_SIZE);
	while (result == 0 && size > 0) {
		size_t part = size < (off_t)BUFFER_SIZE ? (size_t)size : BUFFER_SIZE;

		result = write_data(export, export->buffer, part, error);
		size -= (off_t)part;
	}
	return result;
}

static int write_run(struct export *export, int fd, struct run run, struct error *error)
{
	const struct snapshot_watch *watch = export->stream.watch;

	while (run.start < run.end) {
		off_t left = run.end - run.start;
		ssize_t got = pread(fd, export->buffer, left < (off_t)BUFFER_SIZE ? (size_t)left : BUFFER_SIZE,
				    run.start);

		if (got <= 0)
			return error_set(error, ERROR_FAILED, got < 0 ? errno : EIO, "cannot read the snapshot: %s",
					 got < 0 ? strerror(errno) : "a file shrank");
		snapshot_checksum_data(export->checksum, (uint64_t)run.start, export->buffer, (size_t)got);
		if (write_data(export, export->buffer, (size_t)got, error) < 0)
			return -EIO;
		run.start += got;
		export->done += (uint64_t)got;
		if (watch && watch->progress)
			watch->progress(watch->opaque, export->done, export->total);
	}
	return 0;
}

static int write_runs(struct export *export, int fd, off_t size, struct error *error)
{
	struct run run;
	off_t at = 0;
	int result = 0;

	while (result == 0 && at < size && next_run(fd, at, &run) && run.start < size) {
		run.end = run.end < size ? run.end : size;
		result = write_hole(export, run.start - at, error);
		if (result == 0)
			result = write_run(export, fd, run, error);
		at = run.end;
	}
	return result == 0 ? write_hole(export, size - at, error) : result;
}

static void describe_holes(struct archive_entry *entry, int fd, off_t size)
{
	struct run run = {.end = 0};
	bool has_data = false;

	while (run.end < size && next_run(fd, run.end, &run) && run.start < size) {
		if (run.start > 0 || run.end < size)
			archive_entry_sparse_add_entry(entry, run.start, (run.end < size ? run.end : size) - run.start);
		has_data = true;
	}
	if (!has_data && size > 0)
		archive_entry_sparse_add_entry(entry, size, 0);
}

static int write_header(const struct export *export, const char *name, off_t size, mode_t mode, int fd,
			struct error *error)
{
	struct archive_entry *entry = archive_entry_new();
	int result;

	if (!entry)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, mode & 0777);
	archive_entry_set_size(entry, size);
	archive_entry_set_mtime(entry, time(NULL), 0);
	if (fd >= 0)
		describe_holes(entry, fd, size);
	result = archive_write_header(export->archive, entry) == ARCHIVE_OK ? 0 : archive_failed(export, error);
	archive_entry_free(entry);
	return result;
}

static int write_text(struct export *export, const char *name, const char *text, struct error *error)
{
	int result = write_header(export, name, (off_t)strlen(text), 0600, -1, error);

	return result == 0 ? write_data(export, text, strlen(text), error) : result;
}

static int write_file(struct export *export, const char *name, struct error *error)
{
	int fd = open_file(export, name, error);
	struct stat status;
	int result;

	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	    (uint64_t)status.st_size > snapshot_entry_size_max(snapshot_entry_parse(name).kind))
		result = error_set(error, ERROR_FAILED, EFBIG, "%s of the snapshot is no file of a sensible size",
				   name);
	else
		result = write_header(export, name, status.st_size, status.st_mode, fd, error);
	if (result == 0) {
		snapshot_checksum_entry(export->checksum, name, (uint64_t)status.st_size);
		result = write_runs(export, fd, status.st_size, error);
	}
	close(fd);
	return result;
}

/* What the snapshot says of itself, less the path of its topology, which is nobody else's business. */
static int write_about(struct export *export, const char *lab, const char *name, struct error *error)
{
	int fd = open_file(export, "about", error), result;
	json_t *about = fd >= 0 ? json_loadfd(fd, 0, NULL) : NULL;
	char *text = NULL;

	if (fd >= 0)
		close(fd);
	if (json_is_object(about)) {
		json_object_del(about, "topology");
		json_object_set_new(about, "format", json_integer(SNAPSHOT_ARCHIVE_FORMAT));
		json_object_set_new(about, "lab", json_string(lab));
		json_object_set_new(about, "name", json_string(name));
		json_object_set_new(about, "bytes", json_integer((json_int_t) export->total));
		text = json_dumps(about, JSON_COMPACT);
	}
	if (text)
		result = write_text(export, "about", text, error);
	else
		result = error_set(error, ERROR_FAILED, EBADMSG, "\"about\" of the snapshot cannot be read");
	free(text);
	json_decref(about);
	return result;
}

static int write_checksum(struct export *export, struct error *error)
{
	char text[SNAPSHOT_CHECKSUM_SIZE + 1];

	snapshot_checksum_text(export->checksum, text);
	return write_text(export, "checksum", text, error);
}

static int open_archive(struct export *export, struct error *error)
{
	if (!export->archive || !export->checksum)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (archive_write_set_format_pax(export->archive) != ARCHIVE_OK ||
	    archive_write_add_filter_zstd(export->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(export->archive, BUFFER_SIZE) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(export->archive, 1) != ARCHIVE_OK ||
	    archive_write_open(export->archive, &export->stream, NULL, write_stream, NULL) != ARCHIVE_OK)
		return archive_failed(export, error);
	return 0;
}

static int write_all(struct export *export, const char *lab, const char *name, struct error *error)
{
	int result = open_archive(export, error);

	if (result == 0)
		result = list_files(export, error);
	if (result == 0)
		result = measure(export, error);
	if (result == 0)
		result = write_about(export, lab, name, error);
	for (size_t i = 0; result == 0 && i < export->count; i++)
		result = write_file(export, export->names[i], error);
	if (result == 0)
		result = write_checksum(export, error);
	if (result == 0 && archive_write_close(export->archive) != ARCHIVE_OK)
		result = archive_failed(export, error);
	return export->stream.stopped ? -EINTR : result;
}

int snapshot_export(const char *lab, const char *name, int fd, const struct snapshot_watch *watch, struct error *error)
{
	int folder = snapshot_open(lab, name, error), result;
	struct export *export;

	if (folder < 0)
		return folder;
	export = allocate_zeroed(1, sizeof(*export));
	export->archive = archive_write_new();
	export->checksum = snapshot_checksum_create();
	export->folder = folder;
	export->stream = (struct snapshot_stream){.fd = fd, .watch = watch};
	result = write_all(export, lab, name, error);
	/* What is half written is not to be ended as if it were whole. */
	if (result < 0 && export->archive)
		archive_write_fail(export->archive);
	archive_write_free(export->archive);
	snapshot_checksum_destroy(export->checksum);
	for (size_t i = 0; i < export->count; i++)
		free(export->names[i]);
	free(export->names);
	free(export);
	close(folder);
	return result;
}
