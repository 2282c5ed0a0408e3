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

#endif /* snapshot_folder.h */
