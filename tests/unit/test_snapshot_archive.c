/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots as one file: what is exported comes back; what a stranger made up is refused, and leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/memory.h"
#include "netlab/snapshot_archive.h"
#include "snapshot_builder.h"
#include "snapshot_folder.h"

#define BOMB_SIZE (64u << 20)
#define HOLES 1500000ull

/* Files and folders below the store's. */
static unsigned int count_entries(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	unsigned int count = 0;

	while (folder && (entry = readdir(folder))) {
		char *below = allocate_text("%s/%s", path, entry->d_name);

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			count += 1 + (entry->d_type == DT_DIR ? count_entries(below) : 0);
		free(below);
	}
	if (folder)
		closedir(folder);
	return count;
}

/* Nothing stayed of an import but the two folders that all snapshots are in. */
static void expect_nothing(const char *root)
{
	char *path = allocate_text("%s/netlab-kvm/snapshots", root);

	assert_int_equal(count_entries(path), 0);
	assert_true(count_entries(root) <= 2);
	free(path);
}

static int import_bytes(const void *bytes, size_t size, struct snapshot_imported *imported, struct error *error)
{
	const struct snapshot_import any = {.replace = false};
	int fd = builder_file(bytes, size);
	int result = snapshot_import(fd, &any, NULL, imported, error);

	close(fd);
	return result;
}

/* Ends the archive; importing it is refused with words that contain 'says'. */
static void expect_refused(void **state, struct builder *builder, const char *says)
{
	struct snapshot_imported imported;
	struct error error = {.text = ""};

	builder_finish(builder);
	assert_true(import_bytes(builder->bytes, builder->size, &imported, &error) < 0);
	if (!strstr(error.text, says))
		fail_msg("\"%s\" is not in: %s", says, error.text);
	expect_nothing(*state);
	builder_free(builder);
}

/* What is right. */

/* A snapshot "one" of lab "lan", with memory that begins and ends with a hole, or with data, or is one hole. */
static void make_snapshot(void)
{
	struct error error;
	int folder = snapshot_create("lan", "one", &error), fd;
	size_t size;
	uint8_t *state = builder_state(&size);
	const char *about = "{\"saved\": 100, \"nodes\": 2, \"topology\": \"/home/me/secret\"}";

	assert_true(folder >= 0);
	snapshot_folder_write(folder, "about", about, strlen(about));
	snapshot_folder_write(folder, "topology.yaml", BUILDER_TOPOLOGY, strlen(BUILDER_TOPOLOGY));
	snapshot_folder_write(folder, "file-0", "hello\n", 6);
	assert_int_equal(fchmodat(folder, "file-0", 0751, 0), 0);
	snapshot_folder_write(folder, "state", state, size);
	fill_memory(folder, "memory-0", 1);
	fill_memory(folder, "disk-lab", 3);
	fd = openat(folder, "memory-1", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	assert_int_equal(snapshot_commit("lan", "one", &error), 0);
	close(folder);
	free(state);
}

static int export_to_memory(void)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct error error;

	assert_true(fd >= 0);
	assert_int_equal(snapshot_export("lan", "one", fd, NULL, &error), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void round_trip(void **state)
{
	const struct snapshot_import wanted = {.name = "two", .lab = "lan"};
	struct snapshot_imported imported;
	struct error error;
	json_t *list;
	char *origin;
	int fd;

	(void)state;
	make_snapshot();
	fd = export_to_memory();
	assert_int_equal(snapshot_import(fd, &wanted, NULL, &imported, &error), 0);
	close(fd);
	assert_string_equal(imported.lab, "lan");
	assert_string_equal(imported.name, "two");
	assert_true(imported.size > MEMORY_PAGES / 3 * PAGE && imported.size < MEMORY_PAGES * PAGE);
	expect_same("one", "two");
	origin = snapshot_origin("lan", "two");
	assert_null(origin);
	list = snapshot_list("lan");
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "saved")), 100);
	assert_null(json_object_get(json_array_get(list, 1), "format"));
	json_decref(list);
}

static void round_trip_through_a_pipe(void **state)
{
	const struct snapshot_import wanted = {.name = "two"};
	struct snapshot_imported imported;
	struct error error;
	int ends[2], status;
	pid_t child;

	(void)state;
	make_snapshot();
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(snapshot_export("lan", "one", ends[1], NULL, &error) == 0 ? 0 : 1);
	}
	assert_true(child > 0);
	close(ends[1]);
	assert_int_equal(snapshot_import(ends[0], &wanted, NULL, &imported, &error), 0);
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	expect_same("one", "two");
}

static void count_progress(void *opaque, uint64_t done, uint64_t total)
{
	uint64_t *last = opaque;

	assert_true(done > *last && done <= total);
	*last = done == total ? UINT64_MAX - 1 : done;
}

static void progress_comes_to_its_end(void **state)
{
	uint64_t last = 0;
	const struct snapshot_watch watch = {.progress = count_progress, .opaque = &last, .stop_fd = -1};
	const struct snapshot_import wanted = {.name = "two"};
	struct snapshot_imported imported;
	struct error error;
	int fd = memfd_create("archive", MFD_CLOEXEC);

	(void)state;
	make_snapshot();
	assert_int_equal(snapshot_export("lan", "one", fd, &watch, &error), 0);
	assert_int_equal(last, UINT64_MAX - 1);
	last = 0;
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(snapshot_import(fd, &wanted, &watch, &imported, &error), 0);
	assert_int_equal(last, UINT64_MAX - 1);
	close(fd);
}

static void it_stops_when_it_is_told_to(void **state)
{
	const struct snapshot_watch watch = {.stop_fd = eventfd(1, EFD_CLOEXEC)};
	const struct snapshot_import wanted = {.name = "two"};
	struct snapshot_imported imported;
	struct error error;
	int ends[2];

	(void)state;
	make_snapshot();
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(snapshot_export("lan", "one", ends[1], &watch, &error), -EINTR);
	assert_int_equal(snapshot_import(ends[0], &wanted, &watch, &imported, &error), -EINTR);
	assert_false(snapshot_exists("lan", "two"));
	close(ends[0]);
	close(ends[1]);
	close(watch.stop_fd);
}

static void what_cannot_be_written_is_an_error(void **state)
{
	struct error error;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	make_snapshot();
	assert_true(snapshot_export("lan", "one", fd, NULL, &error) < 0);
	assert_non_null(strstr(error.text, "No space left"));
	assert_int_equal(snapshot_export("lan", "no-such", fd, NULL, &error), -ENOENT);
	close(fd);
}

static void import_as_built(struct snapshot_imported *imported, const struct snapshot_import *wanted, int expected,
			    struct error *error)
{
	struct builder builder;
	int fd;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_checksum(&builder);
	builder_finish(&builder);
	fd = builder_file(builder.bytes, builder.size);
	assert_int_equal(snapshot_import(fd, wanted, NULL, imported, error), expected);
	close(fd);
	builder_free(&builder);
}

static void one_of_the_name_is_only_replaced_on_demand(void **state)
{
	const struct snapshot_import plain = {.replace = false}, replacing = {.replace = true};
	const struct snapshot_import named = {.name = "other"};
	struct snapshot_imported imported;
	struct error error;

	(void)state;
	snapshot_folder_make("lan", "one", "{}", "mine");
	import_as_built(&imported, &plain, -EEXIST, &error);
	assert_true(snapshot_folder_has("lan", "one", "state", "mine", 4));
	import_as_built(&imported, &named, 0, &error);
	assert_true(snapshot_folder_has("lan", "other", "file-0", "hello\n", 6));
	import_as_built(&imported, &replacing, 0, &error);
	assert_true(snapshot_folder_has("lan", "one", "file-0", "hello\n", 6));
}

static void refused_one_replaces_nothing(void **state)
{
	const struct snapshot_import replacing = {.replace = true};
	struct snapshot_imported imported;
	struct builder builder;
	struct error error;
	int fd;

	(void)state;
	snapshot_folder_make("lan", "one", "{}", "mine");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_finish(&builder);
	fd = builder_file(builder.bytes, builder.size);
	assert_true(snapshot_import(fd, &replacing, NULL, &imported, &error) < 0);
	close(fd);
	builder_free(&builder);
	assert_true(snapshot_folder_has("lan", "one", "state", "mine", 4));
}

static void one_of_another_lab_is_not_wanted(void **state)
{
	const struct snapshot_import of_office = {.lab = "office"}, bad_name = {.name = "../one"};
	struct snapshot_imported imported;
	struct error error;

	import_as_built(&imported, &of_office, -EINVAL, &error);
	assert_string_equal(error.text, "it is of lab lan, and cannot become a snapshot of another lab");
	import_as_built(&imported, &bad_name, -EINVAL, &error);
	assert_int_equal(error.class, ERROR_USAGE);
	expect_nothing(*state);
}

/* Names. */

static void names_a_snapshot_does_not_have(void **state)
{
	static const char *const names[] = {"../x",
					    "../lan/state",
					    "/tmp/x",
					    "a/state",
					    "./state",
					    ".",
					    "..",
					    "state ",
					    "State",
					    "motd.txt",
					    "file-",
					    "file-x",
					    "file-01",
					    "file--1",
					    "file-1x",
					    "file-0/../../x",
					    "memory-",
					    "memory-123456",
					    "memory-4294967296",
					    "memory-+1",
					    "disk-",
					    "disk-..",
					    "disk-../x",
					    "disk-a/b",
					    "disk-a b",
					    "disk-\xc3\xa4",
					    ".new-one"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct builder builder;

		builder_begin(&builder, BUILDER_USUAL_ABOUT);
		builder_add(&builder, names[i], "x", 1);
		builder_add_usual(&builder);
		builder_checksum(&builder);
		expect_refused(state, &builder, "is no name of a file that a snapshot has");
	}
	assert_int_equal(access("/tmp/x", F_OK), -1);
}

static void name_that_is_longer_than_any(void **state)
{
	struct builder builder;
	char name[5000];

	memset(name, 'a', sizeof(name) - 1);
	memcpy(name, "disk-", 5);
	name[sizeof(name) - 1] = '\0';
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, name, "x", 1);
	expect_refused(state, &builder, "is no name of a file that a snapshot has");
}

static void same_name_twice(void **state)
{
	static const char *const names[] = {"memory-0", "topology.yaml", "about"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct builder builder;

		builder_begin(&builder, BUILDER_USUAL_ABOUT);
		builder_add_usual(&builder);
		builder_add(&builder, names[i], "x", 1);
		builder_checksum(&builder);
		expect_refused(state, &builder, "is there twice");
	}
}

static void more_than_the_topology_has(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_add(&builder, "memory-2", "x", 1);
	builder_checksum(&builder);
	expect_refused(state, &builder, "it has memory-2, and the topology in it 2 nodes");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_add(&builder, "file-1", "x", 1);
	builder_checksum(&builder);
	expect_refused(state, &builder, "it has file-1, and the topology in it 1 files");
}

static void too_many_entries(void **state)
{
	struct builder builder;
	char name[32];

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	for (unsigned int i = 0; i < SNAPSHOT_ENTRIES_MAX; i++) {
		snprintf(name, sizeof(name), "disk-%u", i);
		builder_add(&builder, name, "", 0);
	}
	builder_checksum(&builder);
	expect_refused(state, &builder, "is one more than there can be");
}

/* Kinds of entries. */

static void refuse_special(void **state, unsigned int type, const char *target, const char *says)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_special(&builder, "memory-1", type, target);
	expect_refused(state, &builder, says);
}

static void symbolic_links(void **state)
{
	refuse_special(state, AE_IFLNK, "/etc/passwd", "\"memory-1\" in it is a symbolic link");
	refuse_special(state, AE_IFLNK, "..", "\"memory-1\" in it is a symbolic link");
	refuse_special(state, AE_IFLNK, "state", "\"memory-1\" in it is a symbolic link");
}

/* A link first, and then what is to be written through it. */
static void file_through_a_symbolic_link(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_special(&builder, "disk-a", AE_IFLNK, "/tmp");
	builder_add(&builder, "disk-a/x", "x", 1);
	expect_refused(state, &builder, "\"disk-a\" in it is a symbolic link");
	assert_int_equal(access("/tmp/x", F_OK), -1);
}

static void hard_links(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_add_hard_link(&builder, "disk-a", "/etc/passwd");
	expect_refused(state, &builder, "\"disk-a\" in it is a hard link");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_add_hard_link(&builder, "disk-a", "state");
	expect_refused(state, &builder, "\"disk-a\" in it is a hard link");
}

static void devices_pipes_and_folders(void **state)
{
	refuse_special(state, AE_IFCHR, NULL, "\"memory-1\" in it is a device");
	refuse_special(state, AE_IFBLK, NULL, "\"memory-1\" in it is a device");
	refuse_special(state, AE_IFIFO, NULL, "\"memory-1\" in it is a pipe");
	refuse_special(state, AE_IFDIR, NULL, "in it is a folder");
}

/* Sizes. */

static void refuse_size(void **state, const char *name, uint64_t size)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_hole(&builder, name, size);
	expect_refused(state, &builder, "is bigger than it can be");
}

static void files_bigger_than_what_they_stand_for(void **state)
{
	refuse_size(state, "topology.yaml", TOPOLOGY_FILE_SIZE_MAX + 1ull);
	refuse_size(state, "state", STATE_SIZE_MAX + 1ull);
	refuse_size(state, "memory-0", GUEST_MEMORY_MAX + 1ull);
	refuse_size(state, "disk-lab", 1ull << 50);
	refuse_size(state, "file-0", INT64_MAX);
	refuse_size(state, "checksum", 1000);
}

static void about_that_is_too_big(void **state)
{
	struct builder builder;

	builder_begin(&builder, NULL);
	builder_add_hole(&builder, "about", SNAPSHOT_ABOUT_SIZE_MAX + 1ull);
	expect_refused(state, &builder, "\"about\" in it is bigger than it can be");
}

/* Of which libarchive has a list in memory. */
static void more_holes_than_memory_has(void **state)
{
	struct archive_entry *entry = builder_entry("disk-lab", AE_IFREG, HOLES * 1000);
	uint8_t zeros[1000] = {0};
	struct builder builder;

	for (unsigned int i = 0; i < HOLES; i++)
		archive_entry_sparse_add_entry(entry, (la_int64_t)i * 1000, 1);
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_header(&builder, entry);
	for (unsigned int i = 0; i < HOLES; i++)
		archive_write_data(builder.archive, zeros, sizeof(zeros));
	expect_refused(state, &builder, "an entry's description is too long");
}

/* A few kilobytes that would fill a disk. */
static void more_data_than_it_says(void **state)
{
	struct builder builder;
	uint8_t *zeros = calloc(1, BOMB_SIZE);

	assert_non_null(zeros);
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, "memory-0", zeros, BOMB_SIZE);
	expect_refused(state, &builder, "\"memory-0\" in it makes it bigger than it says it is");
	free(zeros);
}

static void more_than_there_is_room_for(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_ABOUT("1", "lan", "one", "4611686018427387904"));
	builder_add_usual(&builder);
	expect_refused(state, &builder, "it takes 4398046511105 MiB, and there is room for ");
}

static void bytes_that_are_no_number(void **state)
{
	static const char *const abouts[] = {
		BUILDER_ABOUT("1", "lan", "one", "-1"),
		BUILDER_ABOUT("1", "lan", "one", "\"many\""),
		BUILDER_ABOUT("1", "lan", "one", "1e300"),
		"{\"format\":1,\"lab\":\"lan\",\"name\":\"one\"}",
	};

	for (size_t i = 0; i < sizeof(abouts) / sizeof(abouts[0]); i++) {
		struct builder builder;

		builder_begin(&builder, abouts[i]);
		builder_add_usual(&builder);
		expect_refused(state, &builder, "does not say how big it is");
	}
}

/* The first entry. */

static void names_in_about_that_lead_elsewhere(void **state)
{
	static const struct {
		const char *about, *says;
	} cases[] = {
		{BUILDER_ABOUT("1", "..", "one", "0"), "\"..\" in it, the lab's name"},
		{BUILDER_ABOUT("1", "../..", "one", "0"), "\"../..\" in it, the lab's name"},
		{BUILDER_ABOUT("1", "/tmp", "one", "0"), "\"/tmp\" in it, the lab's name"},
		{BUILDER_ABOUT("1", "", "one", "0"), "\"\" in it, the lab's name"},
		{BUILDER_ABOUT("1", "a\\u001b[m", "one", "0"), "in it, the lab's name"},
		{BUILDER_ABOUT("1", "lan\\u0000x", "one", "0"), "\"about\" in it is not what it should be"},
		{BUILDER_ABOUT("1", "lan", "..", "0"), "\"..\" cannot be a snapshot's name"},
		{BUILDER_ABOUT("1", "lan", "../one", "0"), "\"../one\" cannot be a snapshot's name"},
		{BUILDER_ABOUT("1", "lan", "", "0"), "\"\" cannot be a snapshot's name"},
		{"{\"format\":1,\"lab\":[\"lan\"],\"name\":\"one\",\"bytes\":1}", "\"\" in it, the lab's name"},
		{"{\"format\":1,\"lab\":\"lan\",\"name\":7,\"bytes\":1}", "\"\" cannot be a snapshot's name"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct builder builder;

		builder_begin(&builder, cases[i].about);
		builder_add_usual(&builder);
		expect_refused(state, &builder, cases[i].says);
	}
}

static void about_that_is_no_json(void **state)
{
	static const char *const abouts[] = {"", "{", "[]", "7", "{\"format\":1,\"format\":1}", "\xff\xfe"};

	for (size_t i = 0; i < sizeof(abouts) / sizeof(abouts[0]); i++) {
		struct builder builder;

		builder_begin(&builder, abouts[i]);
		builder_add_usual(&builder);
		expect_refused(state, &builder, "\"about\" in it is not what it should be");
	}
}

static void another_format(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_ABOUT("2", "lan", "one", "0"));
	expect_refused(state, &builder, "it has format 2, and this netlab");
	builder_begin(&builder, "{\"lab\":\"lan\",\"name\":\"one\"}");
	expect_refused(state, &builder, "this is no exported snapshot");
}

static void archive_of_something_else(void **state)
{
	struct builder builder;

	builder_begin(&builder, NULL);
	builder_add_usual(&builder);
	expect_refused(state, &builder, "this is no exported snapshot: it does not begin with \"about\"");
	builder_begin(&builder, NULL);
	builder_add(&builder, "README", "x", 1);
	expect_refused(state, &builder, "is no name of a file that a snapshot has");
	builder_begin(&builder, NULL);
	expect_refused(state, &builder, "this is no exported snapshot");
}

static void no_archive_at_all(void **state)
{
	static const char *const files[] = {"",
					    "x",
					    "nodes: [h1, h2]\n",
					    "PK\3\4",
					    "\x28\xb5\x2f\xfd",
					    "\x28\xb5\x2f\xfd junk after the magic number of zstd"};
	struct snapshot_imported imported;
	struct error error;
	uint8_t zeros[20480] = {0};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		assert_true(import_bytes(files[i], strlen(files[i]), &imported, &error) < 0);
		assert_non_null(strstr(error.text, "this is no exported snapshot"));
	}
	assert_true(import_bytes(zeros, sizeof(zeros), &imported, &error) < 0);
	expect_nothing(*state);
}

/* Contents. */

static void topology_that_cannot_be_read(void **state)
{
	static const char *const texts[] = {"nodes: [h1, h1]\n", "", "[", "nodes: {h1: {memory: 1}}\n",
					    "nodes: {h1: {files: {/etc/motd: /etc/passwd}}}\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct builder builder;

		builder_begin(&builder, BUILDER_USUAL_ABOUT);
		builder_add(&builder, "topology.yaml", texts[i], strlen(texts[i]));
		builder_add_state(&builder);
		builder_checksum(&builder);
		expect_refused(state, &builder, "the topology in it cannot be read");
	}
}

static void state_that_cannot_be_read(void **state)
{
	struct builder builder;
	size_t size;
	uint8_t *bytes = builder_state(&size);

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, "state", bytes, size - 1);
	expect_refused(state, &builder, "the state in it is cut short");
	bytes[size - 1] ^= 1;
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, "state", bytes, size);
	expect_refused(state, &builder, "the state in it is damaged");
	bytes[8] = 99;
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, "state", bytes, size);
	expect_refused(state, &builder, "the state in it has version 99");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, "state", "x", 1);
	expect_refused(state, &builder, "the state in it is too short");
	free(bytes);
}

static void something_is_missing(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_state(&builder);
	builder_checksum(&builder);
	expect_refused(state, &builder, "there is no topology.yaml in it");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add(&builder, "topology.yaml", "nodes: [h1]\n", 12);
	builder_checksum(&builder);
	expect_refused(state, &builder, "there is no state in it");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	expect_refused(state, &builder, "it has no checksum");
}

static void wrong_checksum(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_add(&builder, "checksum", "0123456789abcdef\n", SNAPSHOT_CHECKSUM_SIZE);
	expect_refused(state, &builder, "it is damaged: its checksum is wrong");
	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_add(&builder, "checksum", "", 0);
	expect_refused(state, &builder, "it is damaged: its checksum is wrong");
}

static void something_after_the_checksum(void **state)
{
	struct builder builder;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_checksum(&builder);
	builder_add(&builder, "disk-lab", "x", 1);
	expect_refused(state, &builder, "\"disk-lab\" in it comes after the checksum");
}

/* Accidents. */

static void cut_short_anywhere(void **state)
{
	struct snapshot_imported imported;
	struct builder builder;
	struct error error;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_checksum(&builder);
	builder_finish(&builder);
	for (size_t size = 0; size < builder.size; size += size + 20 < builder.size ? 7 : 1) {
		assert_true(import_bytes(builder.bytes, size, &imported, &error) < 0);
		expect_nothing(*state);
	}
	assert_int_equal(import_bytes(builder.bytes, builder.size, &imported, &error), 0);
	builder_free(&builder);
}

/* Some bytes, such as those of a time, do not matter. */
static void changed_anywhere(void **state)
{
	struct snapshot_imported imported;
	struct builder builder;
	struct error error;
	unsigned int refused = 0;

	builder_begin(&builder, BUILDER_USUAL_ABOUT);
	builder_add_usual(&builder);
	builder_checksum(&builder);
	builder_finish(&builder);
	for (size_t at = 0; at < builder.size; at++) {
		builder.bytes[at] ^= 0x10;
		if (import_bytes(builder.bytes, builder.size, &imported, &error) == 0) {
			assert_true(snapshot_folder_has(imported.lab, imported.name, "topology.yaml", BUILDER_TOPOLOGY,
							strlen(BUILDER_TOPOLOGY)));
			assert_true(snapshot_folder_has(imported.lab, imported.name, "file-0", "hello\n", 6));
			assert_int_equal(snapshot_delete(imported.lab, imported.name, &error), 0);
		} else {
			refused++;
		}
		builder.bytes[at] ^= 0x10;
		expect_nothing(*state);
	}
	assert_true(refused > builder.size / 2);
	builder_free(&builder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, snapshot_folder_set_up, snapshot_folder_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(round_trip),
		TEST(round_trip_through_a_pipe),
		TEST(progress_comes_to_its_end),
		TEST(it_stops_when_it_is_told_to),
		TEST(what_cannot_be_written_is_an_error),
		TEST(one_of_the_name_is_only_replaced_on_demand),
		TEST(refused_one_replaces_nothing),
		TEST(one_of_another_lab_is_not_wanted),
		TEST(names_a_snapshot_does_not_have),
		TEST(name_that_is_longer_than_any),
		TEST(same_name_twice),
		TEST(more_than_the_topology_has),
		TEST(too_many_entries),
		TEST(symbolic_links),
		TEST(file_through_a_symbolic_link),
		TEST(hard_links),
		TEST(devices_pipes_and_folders),
		TEST(files_bigger_than_what_they_stand_for),
		TEST(about_that_is_too_big),
		TEST(more_holes_than_memory_has),
		TEST(more_data_than_it_says),
		TEST(more_than_there_is_room_for),
		TEST(bytes_that_are_no_number),
		TEST(names_in_about_that_lead_elsewhere),
		TEST(about_that_is_no_json),
		TEST(another_format),
		TEST(archive_of_something_else),
		TEST(no_archive_at_all),
		TEST(topology_that_cannot_be_read),
		TEST(state_that_cannot_be_read),
		TEST(something_is_missing),
		TEST(wrong_checksum),
		TEST(something_after_the_checksum),
		TEST(cut_short_anywhere),
		TEST(changed_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
