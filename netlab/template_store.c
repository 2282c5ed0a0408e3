/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/folder.h"
#include "netlab/template.h"
#include "netlab/template_internal.h"

/* The folder with all templates: KEY for each, KEY.lock for who makes one, KEY.new while it does,
 * KEY.hopeless for one that cannot be made. */

int template_folder(struct error *error)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *path;
	int result, fd = -1;

	if (cache && cache[0] == '/')
		path = allocate_text("%s/netlab-kvm/templates", cache);
	else
		path = allocate_text("%s/.cache/netlab-kvm/templates", home && home[0] == '/' ? home : "");
	result = folder_make(path);
	if (result == 0)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = error_set(error, ERROR_HOST, result < 0 ? -result : errno, "cannot use the folder %s: %s", path,
			       strerror(result < 0 ? -result : errno));
	free(path);
	return fd;
}

int template_remove_folder(int folder, const char *name)
{
	static const char *const files[] = {"state", "about", "memory"};
	int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (inner < 0)
		return -errno;
	/* The state first: without it nobody takes the rest for a template. */
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(inner, files[i], 0);
	close(inner);
	return unlinkat(folder, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

void template_set_hopeless(int folder, const char *key)
{
	char *name = allocate_text("%s.hopeless", key);
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	free(name);
}

bool template_is_hopeless(int folder, const char *key)
{
	char *name = allocate_text("%s.hopeless", key);
	bool is = faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

	free(name);
	return is;
}

static bool is_key(const char *name, size_t length)
{
	return length == TEMPLATE_KEY_SIZE - 1 && strspn(name, "0123456789abcdef") >= length;
}

/* KEY.new of a maker that does not live any more: nobody holds its lock. */
static void remove_if_dead(int folder, const char *name)
{
	char *lock = allocate_text("%.*s.lock", TEMPLATE_KEY_SIZE - 1, name);
	int fd = openat(folder, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	free(lock);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		template_remove_folder(folder, name);
	close(fd);
}

/* Bytes on disk of a template's files. */
static uint64_t size_on_disk(int folder, const char *name)
{
	static const char *const files[] = {"state", "about", "memory"};
	int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t size = 0;
	struct stat status;

	for (size_t i = 0; inner >= 0 && i < sizeof(files) / sizeof(files[0]); i++) {
		if (fstatat(inner, files[i], &status, AT_SYMLINK_NOFOLLOW) == 0)
			size += (uint64_t)status.st_blocks * 512;
	}
	if (inner >= 0)
		close(inner);
	return size;
}

struct entry {
	char key[TEMPLATE_KEY_SIZE];
	uint64_t size;
	time_t used;
};

static int by_use(const void *a, const void *b)
{
	const struct entry *first = a, *second = b;

	return (first->used < second->used) - (first->used > second->used);
}

/* Returns all templates, the one used last first, to be freed with free(). */
static struct entry *read_entries(int folder, size_t *count)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = copy >= 0 ? fdopendir(copy) : NULL;
	struct entry *entries = NULL;
	struct dirent *file;
	struct stat status;

	*count = 0;
	while (files && (file = readdir(files))) {
		if (!is_key(file->d_name, strlen(file->d_name)) ||
		    fstatat(folder, file->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		entries = allocate_grow(entries, *count, sizeof(*entries));
		memcpy(entries[*count].key, file->d_name, TEMPLATE_KEY_SIZE);
		entries[*count].size = size_on_disk(folder, file->d_name);
		entries[(*count)++].used = status.st_mtime;
	}
	if (files)
		closedir(files);
	else if (copy >= 0)
		close(copy);
	if (*count > 0)
		qsort(entries, *count, sizeof(*entries), by_use);
	return entries;
}

/* Calls 'function' for each KEY with this ending. */
static void for_each(int folder, const char *ending, void (*function)(int folder, const char *name))
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *file;

	while (files && (file = readdir(files))) {
		size_t length = strlen(file->d_name);

		if (length > TEMPLATE_KEY_SIZE - 1 && is_key(file->d_name, TEMPLATE_KEY_SIZE - 1) &&
		    !strcmp(file->d_name + TEMPLATE_KEY_SIZE - 1, ending))
			function(folder, file->d_name);
	}
	if (files)
		closedir(files);
	else if (copy >= 0)
		close(copy);
}

void template_tidy(int folder)
{
	size_t count;
	struct entry *entries = read_entries(folder, &count);
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++) {
		size += entries[i].size;
		if (i > 0 && size > TEMPLATES_SIZE_MAX) /* The newest stays, however large it is. */
			template_remove_folder(folder, entries[i].key);
	}
	free(entries);
	for_each(folder, ".new", remove_if_dead);
}

static json_t *describe(int folder, const struct entry *entry)
{
	char *path = allocate_text("%s/about", entry->key);
	int fd = openat(folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	json_t *about = fd >= 0 ? json_loadfd(fd, 0, NULL) : NULL;

	if (fd >= 0)
		close(fd);
	free(path);
	if (!json_is_object(about)) {
		json_decref(about);
		about = json_object();
	}
	json_object_set_new(about, "key", json_string(entry->key));
	json_object_set_new(about, "size", json_integer((json_int_t)entry->size));
	json_object_set_new(about, "used", json_integer((json_int_t)entry->used));
	return about;
}

json_t *template_list(void)
{
	struct error error;
	int folder = template_folder(&error);
	json_t *list = json_array();
	size_t count = 0;
	struct entry *entries = folder >= 0 ? read_entries(folder, &count) : NULL;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, describe(folder, &entries[i]));
	free(entries);
	if (folder >= 0)
		close(folder);
	return list;
}

static void remove_file(int folder, const char *name)
{
	unlinkat(folder, name, 0);
}

void template_forget_hopeless(void)
{
	struct error error;
	int folder = template_folder(&error);

	if (folder < 0)
		return;
	for_each(folder, ".hopeless", remove_file);
	close(folder);
}

int template_remove(const char *key)
{
	struct error error;
	int folder, result;

	if (!is_key(key, strlen(key)))
		return -EINVAL;
	folder = template_folder(&error);
	if (folder < 0)
		return folder;
	result = template_remove_folder(folder, key);
	close(folder);
	return result;
}
