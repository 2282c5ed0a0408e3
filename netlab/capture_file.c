/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

#define BUFFER_SIZE (256u << 10)

/* Sizes in a pcap file: of its header, and of a record's. */
#define FILE_HEADER_SIZE 24
#define RECORD_HEADER_SIZE 16

/* The first word of a pcap file with nanoseconds, in the byte order of who wrote it. */
#define MAGIC_NANOSECONDS 0xa1b23c4du

struct capture_file {
	char *path;
	char *buffer; /* The stream's. */
	FILE *stream;
	pcap_dumper_t *dumper; /* Owns the stream. */
	off_t written;         /* Bytes of the file that are whole records. */
	size_t held_bytes;     /* In the stream's buffer after those. */
	uint64_t held_records;
	_Atomic uint64_t lost;
	_Atomic int failure; /* Why the last write failed, which was logged (errno); 0: it did not. */
	bool broken;         /* It could not be cut back: nothing more is written. */
	bool listed;
	struct log_limit limit;
	TAILQ_ENTRY(capture_file) next;
};

struct capture_file *capture_file_create(const char *folder, const char *port_name)
{
	struct capture_file *file = calloc(1, sizeof(*file));
	size_t folder_length = strlen(folder);

	if (!file)
		return NULL;
	if (asprintf(&file->path, "%s/%s.pcap", folder, port_name) < 0) {
		free(file);
		return NULL;
	}
	for (char *at = file->path + folder_length + 1; *at; at++) {
		if (*at == ':' || *at == '/')
			*at = '-';
	}
	return file;
}

/* Makes sure that it is a file, and ours alone until it is closed.  On a file system without locks two labs must just
 * not be given one folder. */
static int take(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return -EBUSY;
	return 0;
}

int capture_file_open_regular(const char *path, int access)
{
	/* Appending keeps the place right when the file is cut back.  O_NONBLOCK is for what is no regular file. */
	int fd = open(path, access | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
	int result;

	if (fd < 0)
		return -errno;
	result = take(fd);
	if (result == 0)
		return fd;
	close(fd);
	return result;
}

int capture_file_cannot_open(const char *path, int errnum, struct error *error)
{
	if (errnum == EMFILE)
		return error_set(error, ERROR_HOST, errnum,
				 "cannot open the capture %s: too many open files; raise the limit: ulimit -Hn", path);
	if (errnum == EBUSY)
		return error_set(error, ERROR_FAILED, errnum,
				 "another lab is writing the capture %s; give this one a folder of its own: --captures",
				 path);
	if (errnum == EEXIST)
		return error_set(error, ERROR_FAILED, errnum,
				 "%s was this lab's capture and now is something else; move it away", path);
	return error_set(error, ERROR_FAILED, errnum, "cannot open the capture %s: %s", path,
			 errnum == EINVAL ? "it exists and is no regular file" : strerror(errnum));
}

static int cannot_open(const struct capture_file *file, int errnum, struct error *error)
{
	return capture_file_cannot_open(file->path, errnum, error);
}

/* Makes the stream of 'fd', which becomes the file's. */
static int open_stream(struct capture_file *file, int fd, struct error *error)
{
	file->stream = fdopen(fd, "a");
	if (!file->stream) {
		close(fd);
		return cannot_open(file, ENOMEM, error);
	}
	/* Given no buffer, glibc would take no notice of the size. */
	file->buffer = malloc(BUFFER_SIZE);
	if (!file->buffer || setvbuf(file->stream, file->buffer, _IOFBF, BUFFER_SIZE) != 0)
		return cannot_open(file, ENOMEM, error);
	__fsetlocking(file->stream, FSETLOCKING_BYCALLER); /* One thread at a time uses it. */
	return 0;
}

/* Begins the capture: the header is in the stream's buffer after this. */
static int open_dumper(struct capture_file *file, int fd, pcap_t *format, struct error *error)
{
	int result = open_stream(file, fd, error);

	if (result < 0)
		return result;
	file->dumper = pcap_dump_fopen(format, file->stream);
	if (file->dumper)
		return 0;
	file->stream = NULL; /* libpcap has closed it. */
	return cannot_open(file, errno, error);
}

int capture_file_open(struct capture_file *file, pcap_t *format, struct error *error)
{
	int fd = capture_file_open_regular(file->path, O_WRONLY);
	int result;

	if (fd < 0)
		return cannot_open(file, -fd, error);
	if (ftruncate(fd, 0) < 0) {
		result = errno;
		close(fd);
		return cannot_open(file, result, error);
	}
	result = open_dumper(file, fd, format, error);
	if (result < 0)
		return result;
	if (fflush(file->stream) != 0)
		return cannot_open(file, errno, error);
	file->written = FILE_HEADER_SIZE;
	return 0;
}

/* Whether what is at 'fd' is as long as we left it, at least, and begins as our captures do. */
static bool is_ours(const struct capture_file *file, int fd)
{
	uint32_t magic;
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_size >= file->written &&
	       pread(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && magic == MAGIC_NANOSECONDS;
}

int capture_file_resume(struct capture_file *file, pcap_t *format, struct error *error)
{
	int fd = capture_file_open_regular(file->path, O_RDWR);
	struct stat status;
	int result;

	if (fd < 0)
		return cannot_open(file, -fd, error);
	if (fstat(fd, &status) == 0 && status.st_size == 0) {
		close(fd);
		return capture_file_open(file, format, error);
	}
	if (!is_ours(file, fd)) {
		close(fd);
		return cannot_open(file, EEXIST, error);
	}
	result = open_dumper(file, fd, format, error);
	if (result < 0)
		return result;
	__fpurge(file->stream); /* The header is in the file. */
	file->written = status.st_size;
	file->failure = 0;
	file->broken = false;
	return 0;
}

static void count_lost(struct capture_file *file, uint64_t records)
{
	uint64_t lost = capture_file_lost(file);

	atomic_store_explicit(&file->lost, lost + records, memory_order_relaxed);
}

/* Gives up what is held after a write failed, some of which may be in the file. */
static void give_up_held(struct capture_file *file, int errnum)
{
	if (file->failure == 0)
		log_limited(&file->limit, "%s: frames are lost to the capture: %s", file->path, strerror(errnum));
	file->failure = errnum;
	count_lost(file, file->held_records);
	__fpurge(file->stream);
	clearerr(file->stream);
	if (ftruncate(fileno(file->stream), file->written) == 0)
		return;
	log_limited(&file->limit, "%s: the capture ends, it cannot be cut back: %s", file->path, strerror(errno));
	file->broken = true;
}

static void flush(struct capture_file *file)
{
	if (file->held_records == 0)
		return;
	if (fflush(file->stream) != 0 || ferror(file->stream)) {
		give_up_held(file, errno);
	} else {
		file->written += (off_t)file->held_bytes;
		if (file->failure != 0)
			log_limited(&file->limit, "%s: the capture goes on", file->path);
		file->failure = 0;
	}
	file->held_bytes = 0;
	file->held_records = 0;
}

void capture_file_write(struct capture_file *file, uint64_t time, const uint8_t *bytes, size_t captured, size_t size,
			struct capture_files *unflushed)
{
	/* With nanosecond precision libpcap has them in tv_usec. */
	struct pcap_pkthdr header = {
		.ts.tv_sec = (time_t)(time / 1000000000),
		.ts.tv_usec = (suseconds_t)(time % 1000000000),
		.caplen = (bpf_u_int32)captured,
		.len = (bpf_u_int32)size,
	};

	if (file->broken) {
		count_lost(file, 1);
		return;
	}
	/* Before the stream would do so by itself, and leave part of a record in the buffer. */
	if (file->held_bytes + RECORD_HEADER_SIZE + captured > BUFFER_SIZE)
		flush(file);
	pcap_dump((u_char *)file->dumper, &header, bytes);
	file->held_bytes += RECORD_HEADER_SIZE + captured;
	file->held_records++;
	if (!file->listed) {
		TAILQ_INSERT_TAIL(unflushed, file, next);
		file->listed = true;
	}
}

void capture_files_flush(struct capture_files *unflushed)
{
	struct capture_file *file;

	while ((file = TAILQ_FIRST(unflushed))) {
		TAILQ_REMOVE(unflushed, file, next);
		file->listed = false;
		flush(file);
	}
}

static void close_stream(struct capture_file *file)
{
	if (file->dumper) {
		flush(file);
		pcap_dump_close(file->dumper);
	} else if (file->stream) {
		fclose(file->stream);
	}
	free(file->buffer);
	file->dumper = NULL;
	file->stream = NULL;
	file->buffer = NULL;
}

void capture_file_end(struct capture_file *file, struct capture_files *unflushed)
{
	if (file->listed)
		TAILQ_REMOVE(unflushed, file, next);
	file->listed = false;
	close_stream(file);
}

void capture_file_close(struct capture_file *file)
{
	if (!file)
		return;
	close_stream(file);
	free(file->path);
	free(file);
}

uint64_t capture_file_size(const struct capture_file *file)
{
	return (uint64_t)file->written;
}

uint64_t capture_file_lost(const struct capture_file *file)
{
	return atomic_load_explicit(&file->lost, memory_order_relaxed);
}

int capture_file_failure(const struct capture_file *file)
{
	return file->failure;
}

const char *capture_file_path(const struct capture_file *file)
{
	return file->path;
}
