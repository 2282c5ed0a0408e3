/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SNAPSHOT_FOLDER_H
#define TESTS_UNIT_SNAPSHOT_FOLDER_H 1

/* A store of snapshots for a test
 * ===============================
 *
 * Setup and teardown for cmocka: XDG_DATA_HOME is a folder of the test's own, in memory where that is possible, since
 * snapshots are synchronised to disk.  '*state' is its path.  Include it after cmocka.h.
 *
 * Thread-safety: one thread. */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/snapshot.h"

#define PAGE 4096u /* Bytes. */
#define MEMORY_PAGES 256u

static inline int snapshot_folder_set_up(void **state)
{
	char *root = allocate_text("%s/test-snapshot-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");

	*state = mkdtemp(root);
	return *state ? setenv("XDG_DATA_HOME", root, 1) : -1;
}

static inline int snapshot_folder_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline int snapshot_folder_tear_down(void **state)
{
	int result = nftw(*state, snapshot_folder_remove, 16, FTW_DEPTH | FTW_PHYS);

	free(*state);
	return result;
}

/* Writes a new file in a folder. */
static inline void snapshot_folder_write(int folder, const char *name, const void *data, size_t size)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/* Makes a snapshot that has one file of its own and "about". */
static inline void snapshot_folder_make(const char *lab, const char *name, const char *about, const char *content)
{
	struct error error;
	int folder = snapshot_create(lab, name, &error);

	assert_true(folder >= 0);
	snapshot_folder_write(folder, "about", about, strlen(about));
	snapshot_folder_write(folder, "state", content, strlen(content));
	assert_int_equal(snapshot_commit(lab, name, &error), 0);
	close(folder);
}

/* True if a file of a snapshot has this content. */
static inline bool snapshot_folder_has(const char *lab, const char *name, const char *file, const void *content,
				       size_t size)
{
	struct error error;
	int folder = snapshot_open(lab, name, &error);
	int fd = folder >= 0 ? openat(folder, file, O_RDONLY | O_CLOEXEC) : -1;
	uint8_t *bytes = malloc(size + 1);
	ssize_t got = fd >= 0 && bytes ? read(fd, bytes, size + 1) : -1;
	bool has = got == (ssize_t)size && memcmp(bytes, content, size) == 0;

	free(bytes);
	if (fd >= 0)
		close(fd);
	if (folder >= 0)
		close(folder);
	return has;
}

/* Every third page has something in it, some from beginning to end and some not. */
static inline void fill_memory(int folder, const char *name, unsigned int seed)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint8_t page[PAGE];

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)MEMORY_PAGES * PAGE), 0);
	for (unsigned int i = seed % 3; i < MEMORY_PAGES; i += 3) {
		for (unsigned int j = 0; j < PAGE; j++)
			page[j] = (uint8_t)(i * 31 + j * seed);
		assert_int_equal(pwrite(fd, page, PAGE - i % 2, (off_t)i * PAGE), PAGE - i % 2);
	}
	close(fd);
}

static inline void expect_same_file(int left, int right, const char *name)
{
	int fds[2] = {openat(left, name, O_RDONLY | O_CLOEXEC), openat(right, name, O_RDONLY | O_CLOEXEC)};
	struct stat status[2];
	uint8_t pages[2][PAGE];
	ssize_t got;

	assert_true(fds[0] >= 0 && fds[1] >= 0);
	fstat(fds[0], &status[0]);
	fstat(fds[1], &status[1]);
	assert_int_equal(status[0].st_size, status[1].st_size);
	assert_int_equal(status[0].st_blocks, status[1].st_blocks);
	while ((got = read(fds[0], pages[0], PAGE)) > 0) {
		assert_int_equal(read(fds[1], pages[1], PAGE), got);
		assert_memory_equal(pages[0], pages[1], got);
	}
	close(fds[0]);
	close(fds[1]);
}

static inline void expect_same(const char *left, const char *right)
{
	static const char *const names[] = {"topology.yaml", "file-0", "state", "memory-0", "memory-1", "disk-lab"};
	struct error error;
	struct stat status;
	int folders[2] = {snapshot_open("lan", left, &error), snapshot_open("lan", right, &error)};

	assert_true(folders[0] >= 0 && folders[1] >= 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect_same_file(folders[0], folders[1], names[i]);
	assert_int_equal(fstatat(folders[1], "file-0", &status, 0), 0);
	assert_int_equal(status.st_mode & 0777, 0751);
	close(folders[0]);
	close(folders[1]);
}

#endif /* snapshot_folder.h */
