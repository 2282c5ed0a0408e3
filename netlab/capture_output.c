/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"

#define NANOSECONDS 1000000000ull
#define PIPE_SIZE (1 << 20)
#define NEW_FILE_MODE 0666

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

static bool is_series(const struct capture_output_options *options)
{
	return options->rotate_size || options->rotate_time;
}

char *capture_output_name(const char *path, unsigned int number, time_t time)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	const char *dot = strrchr(file, '.');
	size_t stem = dot && dot != file ? (size_t)(dot - path) : strlen(path);
	struct tm local = {0};
	char when[32];

	localtime_r(&time, &local);
	strftime(when, sizeof(when), "%Y%m%d%H%M%S", &local);
	return allocate_text("%.*s_%05u_%s%s", (int)stem, path, number, when, path + stem);
}

/* Has the output never wait, if it is a pipe or socket.  Others may have standard output open as well and must not
 * notice, so a pipe is opened once more. */
static void prepare(struct capture_output *output)
{
	struct stat status;
	char path[32];
	int again;

	if (fstat(output->fd, &status) < 0)
		return;
	output->is_file = S_ISREG(status.st_mode);
	output->is_socket = S_ISSOCK(status.st_mode);
	if (!S_ISFIFO(status.st_mode))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", output->fd);
	again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (again < 0) {
		output->can_block = true; /* It is another user's. */
		return;
	}
	close(output->fd);
	output->fd = again;
	fcntl(again, F_SETPIPE_SZ, PIPE_SIZE);
}

/* Takes the name over. */
static int open_file(struct capture_output *output, char *path, struct error *error)
{
	free(output->path);
	output->path = path;
	output->size = 0;
	output->begun = now();
	output->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, NEW_FILE_MODE);
	if (output->fd < 0)
		return error_set(error, ERROR_FAILED, errno, "%s: %s", path, strerror(errno));
	prepare(output);
	return 0;
}

/* The file that is 'files_max' older makes room. */
static void remember(struct capture_output *output)
{
	char **name;

	if (!output->options.files_max)
		return;
	name = &output->names[output->number % output->options.files_max];
	if (*name)
		unlink(*name);
	free(*name);
	*name = allocate_copy(output->path);
}

int capture_output_rotate(struct capture_output *output, struct error *error)
{
	int result;

	if (output->fd >= 0 && close(output->fd) < 0) {
		result = -errno;
		output->fd = -1;
		return error_set(error, ERROR_FAILED, -result, "%s: %s", output->path, strerror(-result));
	}
	output->number++;
	result = open_file(output, capture_output_name(output->options.path, output->number, time(NULL)), error);
	if (result == 0)
		remember(output);
	return result;
}

int capture_output_open(struct capture_output *output, const struct capture_output_options *options,
			struct error *error)
{
	*output = (struct capture_output){.options = *options, .fd = -1};
	if (options->path && is_series(options)) {
		output->names = allocate_zeroed(options->files_max, sizeof(*output->names));
		return capture_output_rotate(output, error);
	}
	output->number = 1;
	if (options->path)
		return open_file(output, allocate_copy(options->path), error);
	output->path = allocate_copy("standard output");
	output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (output->fd < 0)
		return error_set(error, ERROR_FAILED, errno, "standard output: %s", strerror(errno));
	prepare(output);
	return 0;
}

int capture_output_close(struct capture_output *output)
{
	int result = output->fd >= 0 && close(output->fd) < 0 ? -errno : 0;

	for (unsigned int i = 0; output->names && i < output->options.files_max; i++)
		free(output->names[i]);
	free(output->names);
	free(output->path);
	*output = (struct capture_output){.fd = -1};
	return result;
}

/* How much of 'size' bytes can be written without waiting: into a pipe that poll() calls writable, PIPE_BUF. */
static size_t room(const struct capture_output *output, size_t size)
{
	struct pollfd fd = {.fd = output->fd, .events = POLLOUT};

	if (!output->can_block)
		return size;
	if (poll(&fd, 1, 0) <= 0)
		return 0;
	return size < PIPE_BUF ? size : PIPE_BUF;
}

ssize_t capture_output_write(struct capture_output *output, const uint8_t *bytes, size_t size)
{
	ssize_t result;

	size = room(output, size);
	if (size == 0)
		return -EAGAIN;
	do
		result = output->is_socket ? send(output->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) :
					     write(output->fd, bytes, size);
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return -errno;
	output->size += (uint64_t)result;
	return result;
}

void capture_output_cut(struct capture_output *output, size_t size)
{
	off_t end = output->is_file ? lseek(output->fd, 0, SEEK_CUR) : -1;

	/* Who cannot cut it off has a file that ends within a block, which readers can cope with. */
	if (size && end >= (off_t)size && ftruncate(output->fd, end - (off_t)size) == 0)
		output->size -= size;
}

bool capture_output_is_full(const struct capture_output *output, size_t pending, size_t size)
{
	const struct capture_output_options *options = &output->options;

	if (options->rotate_size && output->size + pending + size > options->rotate_size)
		return true;
	return options->rotate_time && now() - output->begun >= options->rotate_time;
}
