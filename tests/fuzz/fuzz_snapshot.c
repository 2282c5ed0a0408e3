/* SPDX-License-Identifier: Apache-2.0 */
/* Import of a snapshot that a stranger made.  The input is a file as it is; or a right archive of which some bytes are
 * changed, with tar's own checksums put right again, so that it gets further; or a list of entries.  Whatever it is, an
 * import either gives a snapshot that can be listed and deleted, or leaves nothing. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "core/state.h"
#include "netlab/snapshot_archive_internal.h"
#include "stand_in.h"

#define ARCHIVE_ROOM 262144u
#define BLOCK 512u
#define CHANGES_MAX 32
#define ENTRIES_MAX 12
#define STATE_ROOM 256u

#define ABOUT "{\"saved\":1,\"nodes\":2,\"format\":1,\"lab\":\"lan\",\"name\":\"one\",\"bytes\":200000}"
#define TOPOLOGY "nodes: {h1: {files: {/etc/motd: motd.txt}}, h2: }\nlinks: [h1-h2]\n"

static char root[] = "/dev/shm/fuzz-snapshot-XXXXXX";
static uint8_t good_state[STATE_ROOM];
static size_t good_state_size;

/* Below the root, or the root itself. */
static int remove_folder(const char *below)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", root, below);
	return rmdir(path);
}

static void remove_root(void)
{
	remove_folder("/netlab-kvm/snapshots");
	remove_folder("/netlab-kvm");
	remove_folder("");
}

static void make_state(void)
{
	int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	struct state state = {0};
	struct error error;
	ssize_t got;

	state_put(&state, STATE_TAG('l', 'a', 'b', ' '), "12345678", 8);
	stand_in_check(state_write(&state, folder, "state", &error) == 0);
	state_release(&state);
	fd = openat(folder, "state", O_RDONLY | O_CLOEXEC);
	got = read(fd, good_state, sizeof(good_state));
	stand_in_check(got > 0);
	good_state_size = (size_t)got;
	close(fd);
	unlinkat(folder, "state", 0);
	close(folder);
}

static void import(const uint8_t *bytes, size_t size)
{
	const struct snapshot_import any = {.replace = false};
	struct snapshot_imported imported;
	struct error error = {.text = ""};
	int fd = memfd_create("archive", MFD_CLOEXEC);

	stand_in_check(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	if (snapshot_import(fd, &any, NULL, &imported, &error) == 0) {
		json_t *list = snapshot_list(imported.lab);

		stand_in_check(json_array_size(list) == 1 && snapshot_exists(imported.lab, imported.name));
		stand_in_check(snapshot_delete(imported.lab, imported.name, &error) == 0);
		json_decref(list);
	} else {
		stand_in_check(error.text[0] != '\0');
	}
	close(fd);
	/* Folders go only when they are empty. */
	remove_folder("/netlab-kvm/snapshots");
	remove_folder("/netlab-kvm");
	stand_in_check(remove_folder("") == 0 && mkdir(root, 0700) == 0);
}

/* Archives. */

struct builder {
	struct archive *archive;
	struct snapshot_checksum *checksum;
	uint8_t bytes[ARCHIVE_ROOM];
	size_t size;
};

static void begin(struct builder *builder, bool is_compressed)
{
	builder->archive = archive_write_new();
	builder->checksum = snapshot_checksum_create();
	builder->size = 0;
	archive_write_set_format_pax(builder->archive);
	if (is_compressed)
		archive_write_add_filter_zstd(builder->archive);
	archive_write_open_memory(builder->archive, builder->bytes, sizeof(builder->bytes), &builder->size);
}

/* Frees the entry; 'data' is all of its data, and the rest holes. */
static void add(struct builder *builder, struct archive_entry *entry, const void *data, size_t size)
{
	/* Now, since the writer may give the entry another name. */
	snapshot_checksum_entry(builder->checksum, archive_entry_pathname(entry), (uint64_t)archive_entry_size(entry));
	snapshot_checksum_data(builder->checksum, 0, data, size);
	if (archive_write_header(builder->archive, entry) >= ARCHIVE_WARN)
		archive_write_data(builder->archive, data, size);
	archive_entry_free(entry);
}

static struct archive_entry *new_entry(const char *name, uint64_t size)
{
	struct archive_entry *entry = archive_entry_new();

	stand_in_check(entry);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0640);
	archive_entry_set_size(entry, (la_int64_t)(size & INT64_MAX));
	return entry;
}

static void add_plain(struct builder *builder, const char *name, const void *data, size_t size)
{
	add(builder, new_entry(name, size), data, size);
}

/* The checksum is not part of itself. */
static void add_checksum(struct builder *builder)
{
	char text[SNAPSHOT_CHECKSUM_SIZE + 1];

	snapshot_checksum_text(builder->checksum, text);
	add_plain(builder, "checksum", text, SNAPSHOT_CHECKSUM_SIZE);
}

static void add_about(struct builder *builder)
{
	struct archive_entry *entry = new_entry("about", strlen(ABOUT));

	archive_write_header(builder->archive, entry);
	archive_write_data(builder->archive, ABOUT, strlen(ABOUT));
	archive_entry_free(entry);
}

/* A page of memory, and then a hole. */
static void add_memory(struct builder *builder, const char *name)
{
	static const uint8_t page[4096] = {1, 2, 3};
	struct archive_entry *entry = new_entry(name, 65536);

	archive_entry_sparse_add_entry(entry, 0, sizeof(page));
	add(builder, entry, page, sizeof(page));
}

static void end(struct builder *builder)
{
	archive_write_close(builder->archive);
	archive_write_free(builder->archive);
	snapshot_checksum_destroy(builder->checksum);
}

/* A right archive with changes. */

/* Tar's checksum of each block that looks like a header. */
static void mend(uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
		unsigned int sum = 0;

		if (memcmp(bytes + at + 257, "ustar", 5) != 0)
			continue;
		memset(bytes + at + 148, ' ', 8);
		for (size_t i = 0; i < BLOCK; i++)
			sum += bytes[at + i];
		snprintf((char *)bytes + at + 148, 7, "%06o", sum);
	}
}

static void import_changed(struct builder *builder, struct input *input)
{
	unsigned int count = input_8(input) % CHANGES_MAX;

	begin(builder, false);
	add_about(builder);
	add_plain(builder, "topology.yaml", TOPOLOGY, strlen(TOPOLOGY));
	add_plain(builder, "state", good_state, good_state_size);
	add_plain(builder, "file-0", "hello\n", 6);
	add_memory(builder, "memory-0");
	add_checksum(builder);
	end(builder);
	for (unsigned int i = 0; i < count && input->size > 0; i++) {
		size_t at = input_16(input) % builder->size;
		unsigned int bytes = input_8(input) % 16 + 1;

		for (unsigned int j = 0; j < bytes && at + j < builder->size; j++)
			builder->bytes[at + j] = input_8(input);
	}
	mend(builder->bytes, builder->size);
	import(builder->bytes, builder->size);
}

/* A list of entries. */

static const void *take(struct input *input, size_t *size)
{
	const void *data = input->data;

	if (*size > input->size)
		*size = input->size;
	input->data += *size;
	input->size -= *size;
	return data;
}

static void name_of(struct input *input, char name[32])
{
	static const char *const names[] = {"about",    "topology.yaml", "state",    "file-0",
					    "memory-0", "memory-1",      "disk-lab", "checksum"};
	uint8_t which = input_8(input);
	size_t size = which % 32;
	const void *own;

	if (which < 224) {
		snprintf(name, 32, "%s", names[which % 8]);
		return;
	}
	own = take(input, &size);
	memset(name, 0, 32);
	memcpy(name, own, size < 31 ? size : 31);
}

static void add_any(struct builder *builder, struct input *input)
{
	static const unsigned int types[] = {AE_IFREG, AE_IFLNK, AE_IFDIR, AE_IFCHR, AE_IFIFO};
	char name[32];
	size_t size = 0;
	uint8_t how;
	struct archive_entry *entry;
	const void *data;

	name_of(input, name);
	how = input_8(input);
	size = how & 0x80 ? input_16(input) % 1024 : how & 7;
	data = take(input, &size);
	entry = new_entry(name, how & 0x40 ? size + input_32(input) : size);
	if (how & 0x40) {
		for (unsigned int i = input_8(input) % 4; i > 0; i--)
			archive_entry_sparse_add_entry(entry, input_32(input), input_16(input));
		/* Gigabytes that are no hole take their time. */
		if (archive_entry_sparse_count(entry) == 0)
			archive_entry_set_size(entry, (la_int64_t)size);
	}
	if ((how & 0x30) == 0x30) {
		archive_entry_set_filetype(entry, types[how % 5]);
		archive_entry_set_symlink(entry, "/tmp");
	} else if ((how & 0x38) == 0x28) {
		archive_entry_set_hardlink(entry, "state");
	}
	add(builder, entry, data, size);
}

static void import_list(struct builder *builder, struct input *input)
{
	uint8_t has = input_8(input);

	begin(builder, has & 1);
	if (!(has & 2))
		add_about(builder);
	if (has & 4)
		add_plain(builder, "topology.yaml", TOPOLOGY, strlen(TOPOLOGY));
	if (has & 8)
		add_plain(builder, "state", good_state, good_state_size);
	if (has & 16)
		add_plain(builder, "file-0", "hello\n", 6);
	for (unsigned int i = 0; i < ENTRIES_MAX && input->size > 0; i++)
		add_any(builder, input);
	if (has & 32)
		add_memory(builder, "memory-1");
	if (!(has & 64))
		add_checksum(builder);
	end(builder);
	import(builder->bytes, builder->size);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (access("/dev/shm", W_OK) != 0)
		memcpy(root, "/var/tmp", 8);
	stand_in_check(mkdtemp(root) && setenv("XDG_DATA_HOME", root, 1) == 0);
	make_state();
	return atexit(remove_root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct builder builder;
	struct input input = {.data = data, .size = size};

	switch (input_8(&input) % 4) {
	case 0:
		import(input.data, input.size);
		break;
	case 1:
		import_list(&builder, &input);
		break;
	default:
		import_changed(&builder, &input);
		break;
	}
	return 0;
}
