/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>

#include "core/state.h"
#include "netlab/allocate.h"
#include "netlab/snapshot_archive_internal.h"
#include "netlab/topology_units.h"

/* An archive becomes a snapshot.  Its first entry says of which lab it is, under which name and how big; then it is
 * decided whether it is wanted and there is room, and a folder made, into which all other entries go as they come. The
 * folder becomes the snapshot when the checksum has been right and topology and state could be read.
 *
 * Unpacking and reading the tar are two archives to libarchive, so that what is between them can be counted: it keeps
 * in memory where the holes of an entry are, and a few kilobytes could unpack to a list without end. */

#define BUFFER_SIZE 65536u
/* Bytes of all that describes one entry: enough for the holes of memory of which every second page is one. */
#define HEADER_SIZE_MAX (16u << 20)
#define NO_NUMBER (-1l)

struct import {
	struct archive *packed;  /* The file: one stream of bytes, */
	struct archive *archive; /* in which there are entries. */
	struct snapshot_stream stream;
	bool in_header;     /* An entry's header is being read, */
	size_t header_left; /* which may take so many bytes more. */
	struct snapshot_checksum *checksum;
	const struct snapshot_import *wanted;
	struct snapshot_imported *imported;
	int folder;              /* Of the new snapshot; -1: not made yet. */
	uint64_t done, total;    /* Bytes of data. */
	unsigned int entries;    /* That were read. */
	long last_source;        /* The highest N of file-N, or NO_NUMBER. */
	long last_memory;        /* The same of memory-N. */
	bool has_topology;       /* That was read. */
	bool has_state;          /* The same. */
	bool checksum_was_right; /* And nothing may follow. */
	uint8_t buffer[BUFFER_SIZE];
};

/* archive_read_callback of what is packed. */
static la_ssize_t read_stream(struct archive *archive, void *opaque, const void **data)
{
	struct import *import = opaque;
	ssize_t got = -1;
	bool goes_on;

	do {
		goes_on = snapshot_stream_wait(&import->stream, POLLIN);
		if (goes_on)
			got = read(import->stream.fd, import->buffer, BUFFER_SIZE);
	} while (goes_on && got < 0 && (errno == EINTR || errno == EAGAIN));
	if (got < 0)
		archive_set_error(archive, errno, "%s", strerror(errno));
	*data = import->buffer;
	return got;
}

/* archive_read_callback of the entries. */
static la_ssize_t read_unpacked(struct archive *archive, void *opaque, const void **data)
{
	struct import *import = opaque;
	la_int64_t offset;
	size_t size = 0;
	int result = archive_read_data_block(import->packed, data, &size, &offset);

	if (result == ARCHIVE_EOF)
		return 0;
	if (result != ARCHIVE_OK) {
		archive_copy_error(archive, import->packed);
		return -1;
	}
	if (import->in_header && size > import->header_left) {
		archive_set_error(archive, EFBIG, "an entry's description is too long");
		return -1;
	}
	import->header_left -= import->in_header ? size : 0;
	return (la_ssize_t)size;
}

static int refuse(struct error *error, const char *name, const char *why)
{
	return error_set(error, ERROR_FAILED, EBADMSG, "refused: \"%.64s\" in it %s", name, why);
}

static int archive_failed(const struct import *import, struct error *error)
{
	const char *why = archive_error_string(import->archive);

	if (import->stream.stopped)
		return error_set(error, ERROR_FAILED, EINTR, "interrupted");
	return error_set(error, ERROR_FAILED, EBADMSG, "%s: %.200s",
			 import->entries == 0 ? "this is no exported snapshot" : "it is damaged or cut short",
			 why ? why : "it ends too early");
}

/* Entries. */

static const char *type_name(struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry))
		return "is a hard link";
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return archive_entry_symlink(entry) ? "is a link" : NULL;
	case AE_IFLNK:
		return "is a symbolic link";
	case AE_IFDIR:
		return "is a folder";
	case AE_IFBLK:
	case AE_IFCHR:
		return "is a device";
	case AE_IFIFO:
		return "is a pipe";
	default:
		return "is no file";
	}
}

static const char *size_problem(struct archive_entry *entry, enum snapshot_entry_kind kind)
{
	if (!archive_entry_size_is_set(entry))
		return "has no size";
	if (archive_entry_size(entry) < 0 || (uint64_t)archive_entry_size(entry) > snapshot_entry_size_max(kind))
		return "is bigger than it can be";
	return NULL;
}

/* Reads the header of the next entry.  Returns 1, 0 at the end of the archive, or a negative errno value. */
static int next_entry(struct import *import, struct archive_entry **entry, struct error *error)
{
	enum snapshot_entry_kind kind;
	const char *name, *problem;
	int result;

	import->in_header = true;
	import->header_left = HEADER_SIZE_MAX;
	result = archive_read_next_header(import->archive, entry);
	import->in_header = false;
	if (result == ARCHIVE_EOF && import->entries > 0)
		return 0;
	if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
		return archive_failed(import, error);
	name = archive_entry_pathname(*entry);
	if (!name)
		return refuse(error, "", "has a name that cannot be read");
	if (import->checksum_was_right)
		return refuse(error, name, "comes after the checksum");
	if (import->entries == SNAPSHOT_ENTRIES_MAX)
		return refuse(error, name, "is one more than there can be");
	import->entries++;
	problem = type_name(*entry);
	if (problem)
		return refuse(error, name, problem);
	kind = snapshot_entry_parse(name).kind;
	if (kind == SNAPSHOT_ENTRY_UNKNOWN)
		return refuse(error, name, "is no name of a file that a snapshot has");
	problem = size_problem(*entry, kind);
	return problem ? refuse(error, name, problem) : 1;
}

/* Reads a small entry as text.  Returns its length or a negative errno value. */
static la_ssize_t read_text(struct import *import, char *text, size_t room, struct error *error)
{
	size_t length = 0;

	while (length < room) {
		la_ssize_t got = archive_read_data(import->archive, text + length, room - length);

		if (got < 0)
			return archive_failed(import, error);
		if (got == 0)
			break;
		length += (size_t)got;
	}
	return (la_ssize_t)length;
}

/* The first entry. */

static const char *text_of(const json_t *about, const char *key)
{
	const char *text = json_string_value(json_object_get(about, key));

	return text ? text : "";
}

static int check_format(const json_t *about, struct error *error)
{
	const json_t *format = json_object_get(about, "format");

	if (!json_is_integer(format))
		return error_set(error, ERROR_FAILED, EBADMSG,
				 "this is no exported snapshot: \"about\" says no format");
	if (json_integer_value(format) != SNAPSHOT_ARCHIVE_FORMAT)
		return error_set(error, ERROR_FAILED, EPROTO,
				 "it has format %lld, and this netlab (see \"netlab --version\") reads format %d",
				 (long long)json_integer_value(format), SNAPSHOT_ARCHIVE_FORMAT);
	return 0;
}

/* Of what lab, under what name, and whether that is wanted. */
static int check_names(struct import *import, const json_t *about, struct error *error)
{
	const struct snapshot_import *wanted = import->wanted;
	const char *lab = text_of(about, "lab");
	const char *name = wanted->name ? wanted->name : text_of(about, "name");

	if (topology_check_name(lab))
		return error_set(error, ERROR_FAILED, EBADMSG, "refused: \"%.64s\" in it, the lab's name, %s", lab,
				 topology_check_name(lab));
	if (!snapshot_name_is_valid(name))
		return error_set(error, wanted->name ? ERROR_USAGE : ERROR_FAILED, EINVAL,
				 "\"%.64s\" cannot be a snapshot's name", name);
	if (wanted->lab && strcmp(wanted->lab, lab) != 0)
		return error_set(error, ERROR_FAILED, EINVAL,
				 "it is of lab %s, and cannot become a snapshot of another lab", lab);
	if (!wanted->replace && snapshot_exists(lab, name))
		return error_set(
			error, ERROR_FAILED, EEXIST,
			"lab %s has a snapshot \"%s\" already; import it under another name, or with --replace", lab,
			name);
	strcpy(import->imported->lab, lab);
	strcpy(import->imported->name, name);
	return 0;
}

static int check_room(struct import *import, const json_t *about, struct error *error)
{
	const json_t *bytes = json_object_get(about, "bytes");
	struct statvfs status;
	uint64_t room;

	if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
		return refuse(error, "about", "does not say how big it is");
	import->total = (uint64_t)json_integer_value(bytes);
	if (fstatvfs(import->folder, &status) < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot find out how much room there is: %s",
				 strerror(errno));
	room = (uint64_t)status.f_bavail * status.f_frsize;
	if (import->total <= room)
		return 0;
	return error_set(error, ERROR_FAILED, ENOSPC, "it takes %llu MiB, and there is room for %llu MiB",
			 (unsigned long long)(import->total >> 20) + 1, (unsigned long long)(room >> 20));
}

static int write_about(const struct import *import, json_t *about, struct error *error)
{
	int fd = openat(import->folder, "about", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char *text;
	int result = 0;

	json_object_del(about, "format");
	json_object_del(about, "bytes");
	json_object_del(about, "lab");
	json_object_del(about, "name");
	json_object_del(about, "topology"); /* A file of another machine. */
	text = json_dumps(about, JSON_COMPACT);
	if (fd < 0 || !text || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write about: %s", strerror(errno));
	free(text);
	if (fd >= 0)
		close(fd);
	return result;
}

static int take_about(struct import *import, json_t *about, struct error *error)
{
	int result = json_is_object(about) ? check_format(about, error) :
					     refuse(error, "about", "is not what it should be");

	if (result == 0)
		result = check_names(import, about, error);
	if (result == 0) {
		import->folder = snapshot_create(import->imported->lab, import->imported->name, error);
		result = import->folder < 0 ? import->folder : 0;
	}
	if (result == 0)
		result = check_room(import, about, error);
	return result == 0 ? write_about(import, about, error) : result;
}

/* Reads the first entry, and makes the folder. */
static int begin(struct import *import, struct error *error)
{
	char text[SNAPSHOT_ABOUT_SIZE_MAX];
	struct archive_entry *entry;
	int result = next_entry(import, &entry, error);
	la_ssize_t length;
	json_t *about;

	if (result < 0)
		return result;
	if (snapshot_entry_parse(archive_entry_pathname(entry)).kind != SNAPSHOT_ENTRY_ABOUT)
		return error_set(error, ERROR_FAILED, EBADMSG,
				 "this is no exported snapshot: it does not begin with \"about\"");
	length = read_text(import, text, sizeof(text), error);
	if (length < 0)
		return (int)length;
	about = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
	result = take_about(import, about, error);
	json_decref(about);
	return result;
}

/* The files. */

static int write_all(int fd, const void *data, size_t size, off_t offset)
{
	const uint8_t *at = data;

	while (size > 0) {
		ssize_t written = pwrite(fd, at, size, offset);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written < 0)
			continue;
		at += written;
		offset += written;
		size -= (size_t)written;
	}
	return 0;
}

struct block {
	const void *data;
	size_t size;
	la_int64_t offset;
};

/* 'end' is that of the block before it. */
static int take_block(struct import *import, const char *name, int fd, const struct block *block, uint64_t end,
		      uint64_t file_size, struct error *error)
{
	const struct snapshot_watch *watch = import->stream.watch;
	uint64_t start = (uint64_t)block->offset;
	int result;

	if (block->offset < 0 || start < end || start > file_size || block->size > file_size - start)
		return refuse(error, name, "has data where there can be none");
	if (block->size > import->total - import->done)
		return refuse(error, name, "makes it bigger than it says it is");
	result = write_all(fd, block->data, block->size, block->offset);
	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "cannot write %s: %s", name, strerror(-result));
	snapshot_checksum_data(import->checksum, start, block->data, block->size);
	import->done += block->size;
	if (watch && watch->progress)
		watch->progress(watch->opaque, import->done, import->total);
	return 0;
}

/* Holes are what is not written. */
static int take_data(struct import *import, const char *name, int fd, uint64_t file_size, struct error *error)
{
	struct block block;
	uint64_t end = 0;
	int result;

	if (ftruncate(fd, (off_t)file_size) < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot write %s: %s", name, strerror(errno));
	while ((result = archive_read_data_block(import->archive, &block.data, &block.size, &block.offset)) ==
	       ARCHIVE_OK) {
		if (block.size == 0)
			continue;
		result = take_block(import, name, fd, &block, end, file_size, error);
		if (result < 0)
			return result;
		end = (uint64_t)block.offset + block.size;
	}
	return result == ARCHIVE_EOF ? 0 : archive_failed(import, error);
}

static int take_file(struct import *import, const char *name, struct archive_entry *entry, struct error *error)
{
	int fd = openat(import->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	uint64_t size = (uint64_t)archive_entry_size(entry);
	int result;

	if (fd < 0 && errno == EEXIST)
		return refuse(error, name, "is there twice");
	if (fd < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot write %s: %s", name, strerror(errno));
	snapshot_checksum_entry(import->checksum, name, size);
	result = take_data(import, name, fd, size, error);
	/* The guest's file gets the mode of the host's. */
	if (result == 0 && snapshot_entry_parse(name).kind == SNAPSHOT_ENTRY_SOURCE &&
	    fchmod(fd, archive_entry_perm(entry) & 0777) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write %s: %s", name, strerror(errno));
	if (result == 0 && fsync(fd) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write %s: %s", name, strerror(errno));
	close(fd);
	return result;
}

static int take_checksum(struct import *import, struct error *error)
{
	char expected[SNAPSHOT_CHECKSUM_SIZE + 1], text[SNAPSHOT_CHECKSUM_SIZE];
	la_ssize_t length = read_text(import, text, sizeof(text), error);

	if (length < 0)
		return (int)length;
	snapshot_checksum_text(import->checksum, expected);
	if (length != (la_ssize_t)sizeof(text) || memcmp(text, expected, sizeof(text)) != 0)
		return error_set(error, ERROR_FAILED, EBADMSG, "it is damaged: its checksum is wrong");
	import->checksum_was_right = true;
	return 0;
}

static int check_state(const struct import *import, struct error *error)
{
	struct error reason = {.class = ERROR_NONE};
	struct state state;
	int result = state_read(&state, import->folder, "state", &reason);

	state_release(&state);
	return result == 0 ? 0 : error_set(error, ERROR_FAILED, -result, "the state in it %s", reason.text);
}

static int take_entry(struct import *import, struct archive_entry *entry, struct error *error)
{
	char *name = allocate_copy(archive_entry_pathname(entry));
	struct snapshot_entry parsed = snapshot_entry_parse(name);
	int result;

	if (parsed.kind == SNAPSHOT_ENTRY_CHECKSUM)
		result = take_checksum(import, error);
	else
		result = take_file(import, name, entry, error);
	free(name);
	if (result < 0)
		return result;
	if (parsed.kind == SNAPSHOT_ENTRY_SOURCE && (long)parsed.number > import->last_source)
		import->last_source = (long)parsed.number;
	if (parsed.kind == SNAPSHOT_ENTRY_MEMORY && (long)parsed.number > import->last_memory)
		import->last_memory = (long)parsed.number;
	import->has_topology = import->has_topology || parsed.kind == SNAPSHOT_ENTRY_TOPOLOGY;
	import->has_state = import->has_state || parsed.kind == SNAPSHOT_ENTRY_STATE;
	/* Now, since what comes after it is big. */
	return parsed.kind == SNAPSHOT_ENTRY_STATE ? check_state(import, error) : 0;
}

/* All of it. */

static int check_numbers(const struct import *import, const struct topology *topology, struct error *error)
{
	if (import->last_source >= (long)topology->source_count)
		return error_set(error, ERROR_FAILED, EBADMSG,
				 "refused: it has file-%ld, and the topology in it %zu files", import->last_source,
				 topology->source_count);
	if (import->last_memory >= (long)topology->node_count)
		return error_set(error, ERROR_FAILED, EBADMSG,
				 "refused: it has memory-%ld, and the topology in it %zu nodes", import->last_memory,
				 topology->node_count);
	return 0;
}

static int check_topology(const struct import *import, struct error *error)
{
	char *folder = allocate_text("/proc/self/fd/%d", import->folder), *text = NULL;
	size_t size;
	FILE *errors = open_memstream(&text, &size);
	struct topology *topology = errors ? topology_read_kept(folder, NULL, import->imported->lab, errors) : NULL;
	int result;

	if (errors)
		fclose(errors);
	if (topology)
		result = check_numbers(import, topology, error);
	else
		result = error_set(error, ERROR_FAILED, EBADMSG, "the topology in it cannot be read:\n%.800s",
				   text ? text : "");
	topology_free(topology);
	free(text);
	free(folder);
	return result;
}

static int check_all(const struct import *import, struct error *error)
{
	if (!import->checksum_was_right)
		return error_set(error, ERROR_FAILED, EBADMSG, "it is cut short: it has no checksum");
	if (!import->has_topology)
		return error_set(error, ERROR_FAILED, EBADMSG, "it is incomplete: there is no topology.yaml in it");
	if (!import->has_state)
		return error_set(error, ERROR_FAILED, EBADMSG, "it is incomplete: there is no state in it");
	return check_topology(import, error);
}

static int open_archive(struct import *import, struct error *error)
{
	struct archive_entry *all;

	if (!import->packed || !import->archive || !import->checksum)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (archive_read_support_filter_zstd(import->packed) != ARCHIVE_OK ||
	    archive_read_support_format_raw(import->packed) != ARCHIVE_OK ||
	    archive_read_open(import->packed, import, NULL, read_stream, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(import->packed, &all) != ARCHIVE_OK) {
		archive_copy_error(import->archive, import->packed);
		return archive_failed(import, error);
	}
	if (archive_read_support_format_tar(import->archive) != ARCHIVE_OK ||
	    archive_read_open(import->archive, import, NULL, read_unpacked, NULL) != ARCHIVE_OK)
		return archive_failed(import, error);
	return 0;
}

static int read_all(struct import *import, struct error *error)
{
	struct archive_entry *entry;
	int result = open_archive(import, error);

	if (result == 0)
		result = begin(import, error);
	while (result == 0 && (result = next_entry(import, &entry, error)) > 0)
		result = take_entry(import, entry, error);
	if (result == 0)
		result = check_all(import, error);
	if (result == 0 && fsync(import->folder) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write the snapshot: %s", strerror(errno));
	if (result == 0)
		result = snapshot_commit(import->imported->lab, import->imported->name, error);
	return result;
}

int snapshot_import(int fd, const struct snapshot_import *wanted, const struct snapshot_watch *watch,
		    struct snapshot_imported *imported, struct error *error)
{
	struct import *import = allocate_zeroed(1, sizeof(*import));
	int result;

	import->packed = archive_read_new();
	import->archive = archive_read_new();
	import->checksum = snapshot_checksum_create();
	import->stream = (struct snapshot_stream){.fd = fd, .watch = watch};
	import->wanted = wanted;
	import->imported = imported;
	import->folder = -1;
	import->last_source = import->last_memory = NO_NUMBER;
	result = read_all(import, error);
	imported->size = import->done;
	if (result < 0 && import->folder >= 0)
		snapshot_abandon(imported->lab, imported->name);
	if (import->folder >= 0)
		close(import->folder);
	archive_read_free(import->archive);
	archive_read_free(import->packed);
	snapshot_checksum_destroy(import->checksum);
	result = import->stream.stopped ? -EINTR : result;
	free(import);
	return result;
}
