/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/folder.h"
#include "netlab/runtime.h"

#define NEW_PREFIX ".new-"

bool snapshot_name_is_valid(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t length = strlen(name);

	return length > 0 && length <= SNAPSHOT_NAME_MAX && name[0] != '.' && strspn(name, good) == length;
}

static char *base_path(void)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (data && data[0] == '/')
		return allocate_text("%s/netlab-kvm/snapshots", data);
	return allocate_text("%s/.local/share/netlab-kvm/snapshots", home && home[0] == '/' ? home : "");
}

char *snapshot_path(const char *lab, const char *name)
{
	char *base = base_path();
	char *path = allocate_text("%s/%s/%s", base, lab, name);

	free(base);
	return path;
}

static int open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd;
}

/* The folder with a lab's snapshots.  Returns a descriptor or a negative errno value. */
static int open_lab(const char *lab, bool make)
{
	char *base = base_path();
	char *path = allocate_text("%s/%s", base, lab);
	int result = runtime_name_is_valid(lab) ? 0 : -EINVAL;

	if (result == 0 && make)
		result = folder_make(path);
	if (result == 0)
		result = open_folder(AT_FDCWD, path); /* Its descriptor. */
	free(base);
	free(path);
	return result;
}

/* Only files are in it, so that a folder is not followed to where it may lead. */
static int remove_folder(int at, const char *name)
{
	int fd = open_folder(at, name);
	DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;

	/* Without its state nobody takes the rest for a snapshot. */
	if (files)
		unlinkat(fd, "state", 0);
	while (files && (file = readdir(files))) {
		if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0)
			unlinkat(fd, file->d_name, 0);
	}
	if (files)
		closedir(files);
	else if (fd >= 0)
		close(fd);
	else
		return fd;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Removes a folder nobody is making any more.  Returns -EBUSY when somebody is. */
static int remove_if_dead(int at, const char *name)
{
	int fd = open_folder(at, name), result;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	result = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -EBUSY : remove_folder(at, name);
	close(fd);
	return result;
}

static char *new_name(const char *name)
{
	return allocate_text(NEW_PREFIX "%s", name);
}

static bool is_folder(int at, const char *name)
{
	struct stat status;

	return fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

bool snapshot_exists(const char *lab, const char *name)
{
	int at = open_lab(lab, false);
	bool exists = at >= 0 && is_folder(at, name);

	if (at >= 0)
		close(at);
	return exists;
}

/* Calls 'function' for each folder in a folder. */
static void for_each(int at, void (*function)(int at, const char *name, void *opaque), void *opaque)
{
	int copy = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *file;

	while (files && (file = readdir(files))) {
		if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0 && is_folder(at, file->d_name))
			function(at, file->d_name, opaque);
	}
	if (files)
		closedir(files);
	else if (copy >= 0)
		close(copy);
}

struct names {
	char text[256];
	size_t count;
};

static void add_name(int at, const char *name, void *opaque)
{
	struct names *names = opaque;
	size_t length = strlen(names->text);

	(void)at;
	if (!snapshot_name_is_valid(name))
		return;
	if (length < sizeof(names->text))
		snprintf(names->text + length, sizeof(names->text) - length, "%s%s", length ? ", " : "", name);
	names->count++;
}

int snapshot_open(const char *lab, const char *name, struct error *error)
{
	int at = open_lab(lab, false);
	int fd = snapshot_name_is_valid(name) ? -ENOENT : -EINVAL;
	struct names names = {.count = 0};

	if (at >= 0 && fd == -ENOENT)
		fd = open_folder(at, name);
	if (fd == -ENOENT && at >= 0)
		for_each(at, add_name, &names);
	if (fd == -EINVAL)
		error_set(error, ERROR_USAGE, EINVAL, "\"%.64s\" cannot be a snapshot's name", name);
	else if (fd == -ENOENT)
		error_set(error, ERROR_FAILED, ENOENT, "lab %s has no snapshot \"%s\"%s%s", lab, name,
			  names.count > 0 ? "; it has " : "", names.text);
	else if (fd < 0)
		error_set(error, ERROR_FAILED, -fd, "cannot open snapshot %s of lab %s: %s", name, lab, strerror(-fd));
	if (at >= 0)
		close(at);
	return fd;
}

/* A lab without snapshots has no folder. */
static void remove_lab_if_empty(const char *lab)
{
	char *base = base_path();
	char *path = allocate_text("%s/%s", base, lab);

	if (runtime_name_is_valid(lab))
		rmdir(path);
	free(base);
	free(path);
}

/* Returns a descriptor of the new folder, which is locked, or a negative errno value. */
static int make_new(const char *lab, const char *temporary)
{
	int at = open_lab(lab, true), fd = -1, result = at < 0 ? at : 0;

	if (result == 0)
		result = remove_if_dead(at, temporary);
	if (result == 0 && mkdirat(at, temporary, 0700) < 0)
		result = -errno;
	if (result == 0) {
		fd = open_folder(at, temporary);
		result = fd < 0 ? fd : flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	}
	if (at >= 0)
		close(at);
	if (result == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return result;
}

int snapshot_create(const char *lab, const char *name, struct error *error)
{
	char *temporary = new_name(name);
	int fd = make_new(lab, temporary);

	/* Somebody who gave up another one took the lab's folder away meanwhile. */
	if (fd == -ENOENT)
		fd = make_new(lab, temporary);
	if (fd == -EBUSY)
		error_set(error, ERROR_FAILED, EBUSY, "snapshot %s of lab %s is being made", name, lab);
	else if (fd < 0)
		error_set(error, ERROR_FAILED, -fd, "cannot make a folder for snapshot %s of lab %s: %s", name, lab,
			  strerror(-fd));
	free(temporary);
	return fd;
}

int snapshot_commit(const char *lab, const char *name, struct error *error)
{
	int at = open_lab(lab, true);
	char *temporary = new_name(name);
	int result = at < 0 ? at : 0;

	/* One that has the name changes place with it, and is then what is left over. */
	if (result == 0 && renameat2(at, temporary, at, name, is_folder(at, name) ? RENAME_EXCHANGE : 0) < 0)
		result = -errno;
	if (result == 0) {
		fsync(at);
		remove_folder(at, temporary);
	} else {
		error_set(error, ERROR_FAILED, -result, "cannot put snapshot %s of lab %s in its place: %s", name, lab,
			  strerror(-result));
	}
	free(temporary);
	if (at >= 0)
		close(at);
	return result;
}

void snapshot_abandon(const char *lab, const char *name)
{
	int at = open_lab(lab, false);
	char *temporary = new_name(name);

	if (at >= 0) {
		remove_folder(at, temporary);
		close(at);
		remove_lab_if_empty(lab);
	}
	free(temporary);
}

int snapshot_delete(const char *lab, const char *name, struct error *error)
{
	int fd = snapshot_open(lab, name, error), at, result;

	if (fd < 0)
		return fd;
	close(fd);
	at = open_lab(lab, false);
	result = at < 0 ? at : remove_folder(at, name);
	if (at >= 0)
		close(at);
	remove_lab_if_empty(lab);
	return result == 0 ? 0 :
			     error_set(error, ERROR_FAILED, -result, "cannot delete snapshot %s of lab %s: %s", name,
				       lab, strerror(-result));
}

/* Listing. */

static void add_size(int folder, json_int_t *size)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *file;
	struct stat status;

	while (files && (file = readdir(files))) {
		/* One with another name elsewhere is there anyway. */
		if (fstatat(folder, file->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
		    status.st_nlink == 1)
			*size += (json_int_t)status.st_blocks * 512;
	}
	if (files)
		closedir(files);
	else if (copy >= 0)
		close(copy);
}

/* A new reference to what is in "about", or to an empty object. */
static json_t *read_about(int folder)
{
	int fd = openat(folder, "about", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	json_t *about = fd >= 0 ? json_loadfd(fd, 0, NULL) : NULL;

	if (fd >= 0)
		close(fd);
	if (json_is_object(about))
		return about;
	json_decref(about);
	return json_object();
}

char *snapshot_origin(const char *lab, const char *name)
{
	struct error error;
	int folder = snapshot_open(lab, name, &error);
	json_t *about;
	const char *path;
	char *origin;

	if (folder < 0)
		return NULL;
	about = read_about(folder);
	path = json_string_value(json_object_get(about, "topology"));
	origin = path ? allocate_copy(path) : NULL;
	json_decref(about);
	close(folder);
	return origin;
}

struct listing {
	const char *lab;
	json_t *list;
};

static void add_snapshot(int at, const char *name, void *opaque)
{
	struct listing *listing = opaque;
	int folder;
	json_t *about;
	json_int_t size = 0;

	if (strncmp(name, NEW_PREFIX, sizeof(NEW_PREFIX) - 1) == 0)
		remove_if_dead(at, name);
	if (!snapshot_name_is_valid(name))
		return;
	folder = open_folder(at, name);
	if (folder < 0)
		return;
	about = read_about(folder);
	add_size(folder, &size);
	json_object_set_new(about, "lab", json_string(listing->lab));
	json_object_set_new(about, "name", json_string(name));
	json_object_set_new(about, "size", json_integer(size));
	json_array_append_new(listing->list, about);
	close(folder);
}

static void add_lab(int at, const char *lab, void *opaque)
{
	struct listing listing = {.lab = lab, .list = opaque};
	int folder = open_folder(at, lab);

	if (folder < 0)
		return;
	for_each(folder, add_snapshot, &listing);
	close(folder);
}

static json_int_t saved_at(const json_t *snapshot)
{
	return json_integer_value(json_object_get(snapshot, "saved"));
}

static json_t *sort(json_t *list)
{
	json_t *sorted = json_array();

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *snapshot = json_array_get(list, i);
		size_t at = 0;

		while (at < json_array_size(sorted) && saved_at(json_array_get(sorted, at)) >= saved_at(snapshot))
			at++;
		json_array_insert(sorted, at, snapshot);
	}
	json_decref(list);
	return sorted;
}

json_t *snapshot_list(const char *lab)
{
	json_t *list = json_array();
	char *base = base_path();
	int at = open_folder(AT_FDCWD, base);

	if (at >= 0 && lab && runtime_name_is_valid(lab))
		add_lab(at, lab, list);
	else if (at >= 0 && !lab)
		for_each(at, add_lab, list);
	if (at >= 0)
		close(at);
	free(base);
	return sort(list);
}

char *snapshot_find_lab(const char *name, struct error *error)
{
	json_t *list = snapshot_list(NULL);
	char *lab = NULL;
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *snapshot = json_array_get(list, i);

		if (strcmp(json_string_value(json_object_get(snapshot, "name")), name) != 0)
			continue;
		free(lab);
		lab = allocate_copy(json_string_value(json_object_get(snapshot, "lab")));
		count++;
	}
	json_decref(list);
	if (count == 1)
		return lab;
	free(lab);
	if (count == 0)
		error_set(error, ERROR_FAILED, ENOENT, "no lab has a snapshot \"%.64s\"; see \"netlab snapshot list\"",
			  name);
	else
		error_set(error, ERROR_USAGE, EEXIST, "%zu labs have a snapshot \"%.64s\"; say which with --lab", count,
			  name);
	return NULL;
}
