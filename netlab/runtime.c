/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/bridge/client.h"
#include "netlab/topology.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static void sleep_milliseconds(long milliseconds)
{
	struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static bool is_our_folder(const char *path)
{
	struct stat status;

	return path && path[0] == '/' && stat(path, &status) == 0 && S_ISDIR(status.st_mode) &&
	       status.st_uid == geteuid();
}

static char *base_path(void)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char run[64];

	if (is_our_folder(xdg))
		return allocate_text("%s/netlab-kvm", xdg);
	snprintf(run, sizeof(run), "/run/user/%u", (unsigned int)geteuid());
	if (is_our_folder(run))
		return allocate_text("%s/netlab-kvm", run);
	return allocate_text("/tmp/netlab-kvm-%u", (unsigned int)geteuid());
}

/* Opens the user's runtime folder and gives its path.  /tmp is everybody's, so the folder is used only
 * if it is a real folder, ours, and closed to others. */
static int open_base(char **path, struct error *error)
{
	char *base = base_path();
	struct stat status;
	int fd, result;

	if (mkdir(base, 0700) < 0 && errno != EEXIST) {
		result = error_set(error, ERROR_HOST, errno, "cannot make the runtime folder %s: %s", base,
				   strerror(errno));
		goto fail;
	}
	fd = open(base, FOLDER_FLAGS);
	if (fd < 0 || fstat(fd, &status) < 0) {
		result = error_set(error, ERROR_HOST, errno, "cannot open the runtime folder %s: %s", base,
				   strerror(errno));
		goto fail_close;
	}
	if (status.st_uid != geteuid() || status.st_mode & 077) {
		result = error_set(error, ERROR_HOST, EPERM,
				   "the runtime folder %s is not only ours (owner %u, mode %04o)\n"
				   "Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
				   base, (unsigned int)status.st_uid, (unsigned int)status.st_mode & 07777);
		goto fail_close;
	}
	*path = base;
	return fd;
fail_close:
	if (fd >= 0)
		close(fd);
fail:
	free(base);
	return result;
}

char *runtime_base(struct error *error)
{
	char *path = NULL;
	int fd = open_base(&path, error);

	if (fd < 0)
		return NULL;
	close(fd);
	return path;
}

bool runtime_name_is_valid(const char *lab)
{
	return lab[0] && lab[0] != '.' && !strchr(lab, '/') && strlen(lab) <= TOPOLOGY_NAME_MAX;
}

/* Returns the lab's folder, or a negative errno value. */
static int open_folder(const char *lab)
{
	char *path = NULL;
	int base, folder;

	if (!runtime_name_is_valid(lab))
		return -EINVAL;
	base = open_base(&path, NULL);
	if (base < 0)
		return base;
	folder = openat(base, lab, FOLDER_FLAGS);
	if (folder < 0)
		folder = -errno;
	close(base);
	free(path);
	return folder;
}

static int lock_file(int fd, int command)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, command, &lock) < 0)
		return -errno;
	return command == F_OFD_GETLK && lock.l_type != F_UNLCK ? -EAGAIN : 0;
}

static bool is_same_file(int fd, int folder, const char *name)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && fstatat(folder, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* Removes all in 'folder' except the pid file; folders one level deep only, for there are no deeper ones. */
static void empty_folder(int folder, bool is_inner)
{
	int copy = openat(folder, ".", FOLDER_FLAGS);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!entries) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(entries))) {
		const char *name = entry->d_name;
		int inner;

		if (!strcmp(name, ".") || !strcmp(name, "..") || (!is_inner && !strcmp(name, "pid")))
			continue;
		if (unlinkat(folder, name, 0) == 0 || is_inner)
			continue;
		inner = openat(folder, name, FOLDER_FLAGS);
		if (inner >= 0) {
			empty_folder(inner, true);
			close(inner);
			unlinkat(folder, name, AT_REMOVEDIR);
		}
	}
	closedir(entries);
}

static void release(struct runtime *runtime)
{
	if (runtime->lock >= 0)
		close(runtime->lock);
	if (runtime->folder >= 0)
		close(runtime->folder);
	if (runtime->base >= 0)
		close(runtime->base);
	free(runtime->path);
	free(runtime->lab);
	*runtime = (struct runtime){.base = -1, .folder = -1, .lock = -1};
}

/* Opens and locks once.  Returns -EAGAIN when the lock is another's, -ESTALE when the folder went away
 * meanwhile. */
static int try_lock(struct runtime *runtime, bool make)
{
	int result;

	if (make && mkdirat(runtime->base, runtime->lab, 0700) < 0 && errno != EEXIST)
		return -errno;
	runtime->folder = openat(runtime->base, runtime->lab, FOLDER_FLAGS);
	if (runtime->folder < 0)
		return errno == ENOENT && make ? -ESTALE : -errno;
	runtime->lock = openat(runtime->folder, "pid", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (runtime->lock < 0) {
		result = errno == ENOENT ? -ESTALE : -errno;
	} else {
		result = lock_file(runtime->lock, F_OFD_SETLK);
		if (!result && is_same_file(runtime->lock, runtime->folder, "pid") &&
		    is_same_file(runtime->folder, runtime->base, runtime->lab))
			return 0;
		if (!result)
			result = -ESTALE;
		close(runtime->lock);
	}
	close(runtime->folder);
	runtime->folder = runtime->lock = -1;
	return result;
}

static int lock_lab(struct runtime *runtime, const char *lab, bool make, struct error *error)
{
	char *base = NULL;
	int result;

	*runtime = (struct runtime){.base = -1, .folder = -1, .lock = -1};
	if (!runtime_name_is_valid(lab))
		return error_set(error, ERROR_USAGE, EINVAL, "\"%s\" cannot be a lab's name", lab);
	runtime->base = open_base(&base, error);
	if (runtime->base < 0)
		return runtime->base;
	runtime->lab = allocate_copy(lab);
	runtime->path = allocate_text("%s/%s", base, lab);
	free(base);
	for (int i = 0; (result = try_lock(runtime, make)) == -ESTALE && i < 100; i++)
		sleep_milliseconds(10);
	if (result == -EAGAIN || result == -EACCES)
		result = error_set(error, ERROR_FAILED, EBUSY, "lab %s is running", lab);
	else if (result < 0)
		error_set(error, ERROR_HOST, -result, "cannot use the runtime folder %s: %s", runtime->path,
			  strerror(-result));
	if (result < 0)
		release(runtime);
	return result;
}

/* What is there was left by one who died: on the host's network as well, if he was ever there. */
static void clean_up_after_dead(const struct runtime *runtime)
{
	if (faccessat(runtime->folder, BRIDGE_MARKER, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		bridge_clean();
}

int runtime_claim(struct runtime *runtime, const char *lab, struct error *error)
{
	char pid[32];
	int length;
	int result = lock_lab(runtime, lab, true, error);

	if (result < 0)
		return result;
	clean_up_after_dead(runtime);
	empty_folder(runtime->folder, false);
	length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(runtime->lock, 0) < 0 || pwrite(runtime->lock, pid, (size_t)length, 0) != length ||
	    mkdirat(runtime->folder, "nodes", 0700) < 0) {
		result = error_set(error, ERROR_HOST, errno, "cannot write to %s: %s", runtime->path, strerror(errno));
		runtime_remove(runtime);
	}
	return result;
}

void runtime_remove(struct runtime *runtime)
{
	if (runtime->lock < 0)
		return;
	empty_folder(runtime->folder, false);
	if (is_same_file(runtime->folder, runtime->base, runtime->lab)) {
		unlinkat(runtime->folder, "pid", 0);
		unlinkat(runtime->base, runtime->lab, AT_REMOVEDIR);
	}
	release(runtime);
}

bool runtime_is_there(const struct runtime *runtime)
{
	struct stat status;

	/* By path: the user's runtime folder as a whole may be what has gone. */
	return is_same_file(runtime->folder, AT_FDCWD, runtime->path) &&
	       fstatat(runtime->folder, "control.sock", &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct sockaddr_un socket_address(int folder)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control.sock", folder);
	return address;
}

int runtime_listen(struct runtime *runtime, struct error *error)
{
	struct sockaddr_un address = socket_address(runtime->folder);
	mode_t mask = umask(0177);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0) {
		int result = error_set(error, ERROR_HOST, errno, "cannot listen on %s/control.sock: %s", runtime->path,
				       strerror(errno));

		if (fd >= 0)
			close(fd);
		fd = result;
	}
	umask(mask);
	return fd;
}

int runtime_connect(const char *lab, struct error *error)
{
	int folder = open_folder(lab);
	struct sockaddr_un address;
	int fd, result;

	if (folder < 0)
		return error_set(error, ERROR_FAILED, -folder, "lab %s is not running", lab);
	address = socket_address(folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		close(folder);
		return fd;
	}
	result = errno == ECONNREFUSED || errno == ENOENT ?
			 error_set(error, ERROR_FAILED, errno, "lab %s is not running", lab) :
			 error_set(error, ERROR_FAILED, errno, "cannot reach lab %s: %s", lab, strerror(errno));
	if (fd >= 0)
		close(fd);
	close(folder);
	return result;
}

enum runtime_state runtime_probe(const char *lab, pid_t *pid)
{
	int folder = open_folder(lab);
	enum runtime_state state = RUNTIME_DEAD;
	char text[32] = "";
	int lock;

	if (pid)
		*pid = 0;
	if (folder < 0)
		return RUNTIME_ABSENT;
	lock = openat(folder, "pid", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock >= 0) {
		if (lock_file(lock, F_OFD_GETLK) < 0)
			state = RUNTIME_RUNNING;
		if (state == RUNTIME_RUNNING && pid && pread(lock, text, sizeof(text) - 1, 0) > 0)
			*pid = (pid_t)strtol(text, NULL, 10);
		close(lock);
	}
	close(folder);
	return state;
}

bool runtime_clean(const char *lab)
{
	struct runtime runtime;

	if (lock_lab(&runtime, lab, false, NULL) < 0)
		return false;
	clean_up_after_dead(&runtime);
	runtime_remove(&runtime);
	return true;
}

char *runtime_read(const char *lab, const char *file, size_t size)
{
	int folder = open_folder(lab);
	int fd = folder < 0 ? -1 : openat(folder, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char *text = NULL;
	struct stat status;

	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		off_t start = status.st_size > (off_t)size ? status.st_size - (off_t)size : 0;
		ssize_t length;

		text = allocate_zeroed(size + 1, 1);
		length = pread(fd, text, size, start);
		text[length > 0 ? length : 0] = '\0';
	}
	if (fd >= 0)
		close(fd);
	if (folder >= 0)
		close(folder);
	return text;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int runtime_labs(char ***labs, size_t *count, struct error *error)
{
	char *path = NULL;
	int base = open_base(&path, error);
	DIR *entries;
	struct dirent *entry;

	*labs = NULL;
	*count = 0;
	if (base < 0)
		return base;
	free(path);
	entries = fdopendir(base);
	if (!entries) {
		close(base);
		return error_set(error, ERROR_FAILED, ENOMEM, "cannot read the runtime folder");
	}
	while ((entry = readdir(entries))) {
		struct stat status;

		if (!runtime_name_is_valid(entry->d_name) ||
		    fstatat(base, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode))
			continue;
		*labs = allocate_grow(*labs, *count, sizeof(**labs));
		(*labs)[(*count)++] = allocate_copy(entry->d_name);
	}
	closedir(entries);
	if (*count)
		qsort(*labs, *count, sizeof(**labs), compare_names);
	return 0;
}
