/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SNAPSHOT_BUILDER_H
#define TESTS_UNIT_SNAPSHOT_BUILDER_H 1

/* Archives of snapshots, also such as no netlab writes
 * ====================================================
 *
 *     struct builder builder;
 *
 *     builder_begin(&builder, ABOUT);
 *     builder_add_usual(&builder);
 *     builder_checksum(&builder);
 *     builder_finish(&builder);        its bytes are an archive now
 *     builder_free(&builder);
 *
 * That is a right one, of which a test leaves out, adds or changes something.  Include it after cmocka.h.
 *
 * Thread-safety: one thread. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "core/state.h"
#include "netlab/snapshot_archive_internal.h"

#define BUILDER_ROOM (64u << 20) /* Bytes of the largest archive. */
#define BUILDER_MEMORY 8192u     /* Bytes of the first guest's memory; the other has half of it. */

/* A topology of two nodes, the first of which has a file. */
#define BUILDER_TOPOLOGY "nodes: {h1: {files: {/etc/motd: motd.txt}}, h2: }\nlinks: [h1-h2]\n"

/* What the first entry says, all of it as strings. */
#define BUILDER_ABOUT(format, lab, name, bytes) \
	"{\"saved\":1700000000,\"nodes\":2,\"format\":" format ",\"lab\":\"" lab "\",\"name\":\"" name \
	"\",\"bytes\":" bytes "}"
#define BUILDER_USUAL_ABOUT BUILDER_ABOUT("1", "lan", "one", "100000")

struct builder {
	struct archive *archive;
	struct snapshot_checksum *checksum;
	uint8_t *bytes;
	size_t size;
};

static inline struct archive_entry *builder_entry(const char *name, unsigned int type, uint64_t size)
{
	struct archive_entry *entry = archive_entry_new();

	assert_non_null(entry);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, type);
	archive_entry_set_perm(entry, 0640);
	archive_entry_set_size(entry, (la_int64_t)size);
	return entry;
}

/* Frees the entry. */
static inline void builder_header(struct builder *builder, struct archive_entry *entry)
{
	/* It warns of names it cannot convert. */
	assert_true(archive_write_header(builder->archive, entry) >= ARCHIVE_WARN);
	archive_entry_free(entry);
}

/* 'about' is the first entry; NULL: there is none. */
static inline void builder_begin(struct builder *builder, const char *about)
{
	*builder = (struct builder){.archive = archive_write_new(),
				    .checksum = snapshot_checksum_create(),
				    .bytes = malloc(BUILDER_ROOM)};
	assert_true(builder->archive && builder->checksum && builder->bytes);
	assert_int_equal(archive_write_set_format_pax(builder->archive), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter_zstd(builder->archive), ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(builder->archive, 1);
	assert_int_equal(archive_write_open_memory(builder->archive, builder->bytes, BUILDER_ROOM, &builder->size),
			 ARCHIVE_OK);
	if (!about)
		return;
	builder_header(builder, builder_entry("about", AE_IFREG, strlen(about)));
	archive_write_data(builder->archive, about, strlen(about));
}

static inline void builder_add(struct builder *builder, const char *name, const void *data, size_t size)
{
	builder_header(builder, builder_entry(name, AE_IFREG, size));
	assert_int_equal(archive_write_data(builder->archive, data, size), size);
	snapshot_checksum_entry(builder->checksum, name, size);
	snapshot_checksum_data(builder->checksum, 0, data, size);
}

/* One that is no file: AE_IFLNK and so on, to 'target' if it is a link. */
static inline void builder_add_special(struct builder *builder, const char *name, unsigned int type, const char *target)
{
	struct archive_entry *entry = builder_entry(name, type, 0);

	if (target)
		archive_entry_set_symlink(entry, target);
	if (type == AE_IFCHR || type == AE_IFBLK)
		archive_entry_set_rdev(entry, makedev(1, 3));
	builder_header(builder, entry);
}

static inline void builder_add_hard_link(struct builder *builder, const char *name, const char *target)
{
	struct archive_entry *entry = builder_entry(name, AE_IFREG, 0);

	archive_entry_set_hardlink(entry, target);
	builder_header(builder, entry);
}

/* One that is nothing but a hole. */
static inline void builder_add_hole(struct builder *builder, const char *name, uint64_t size)
{
	struct archive_entry *entry = builder_entry(name, AE_IFREG, size);

	archive_entry_sparse_add_entry(entry, (la_int64_t)size, 0);
	builder_header(builder, entry);
	/* The description of the hole is written before the first byte, which is none since it is in the hole. */
	archive_write_data(builder->archive, "", 1);
	snapshot_checksum_entry(builder->checksum, name, size);
}

/* The whole file of some state, to be freed with free(). */
static inline uint8_t *builder_state(size_t *size)
{
	char path[] = "/tmp/test-snapshot-XXXXXX";
	struct state state = {0};
	struct error error;
	uint8_t *bytes = malloc(4096);
	ssize_t got = -1;
	int folder, fd;

	assert_non_null(mkdtemp(path));
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	state_put(&state, STATE_TAG('a', 'b', 'c', 'd'), "some", 4);
	assert_int_equal(state_write(&state, folder, "state", &error), 0);
	fd = openat(folder, "state", O_RDONLY | O_CLOEXEC);
	if (bytes)
		got = read(fd, bytes, 4096);
	assert_true(got > 0);
	*size = (size_t)got;
	close(fd);
	unlinkat(folder, "state", 0);
	close(folder);
	rmdir(path);
	state_release(&state);
	return bytes;
}

static inline void builder_add_state(struct builder *builder)
{
	size_t size;
	uint8_t *state = builder_state(&size);

	builder_add(builder, "state", state, size);
	free(state);
}

/* All a snapshot of the topology has. */
static inline void builder_add_usual(struct builder *builder)
{
	uint8_t memory[BUILDER_MEMORY];

	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 8));
	builder_add(builder, "topology.yaml", BUILDER_TOPOLOGY, strlen(BUILDER_TOPOLOGY));
	builder_add_state(builder);
	builder_add(builder, "file-0", "hello\n", 6);
	builder_add(builder, "memory-0", memory, sizeof(memory));
	builder_add(builder, "memory-1", memory, sizeof(memory) / 2);
}

static inline void builder_checksum(struct builder *builder)
{
	char text[SNAPSHOT_CHECKSUM_SIZE + 1];

	snapshot_checksum_text(builder->checksum, text);
	builder_header(builder, builder_entry("checksum", AE_IFREG, SNAPSHOT_CHECKSUM_SIZE));
	archive_write_data(builder->archive, text, SNAPSHOT_CHECKSUM_SIZE);
}

static inline void builder_finish(struct builder *builder)
{
	assert_int_equal(archive_write_close(builder->archive), ARCHIVE_OK);
}

static inline void builder_free(struct builder *builder)
{
	archive_write_free(builder->archive);
	snapshot_checksum_destroy(builder->checksum);
	free(builder->bytes);
}

/* A descriptor of a file in memory, at its beginning. */
static inline int builder_file(const void *bytes, size_t size)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

#endif /* snapshot_builder.h */
