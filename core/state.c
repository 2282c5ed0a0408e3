/* SPDX-License-Identifier: Apache-2.0 */
#include "core/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

static const char magic[8] = {'N', 'L', 's', 't', 'a', 't', 'e', '\n'};

struct file_header {
	char magic[8];
	uint32_t version;
	uint32_t reserved;
	uint64_t size;     /* Of what follows. */
	uint64_t checksum; /* XXH3 of what follows. */
};

struct section {
	uint32_t tag;
	uint32_t size;
};

void state_release(struct state *state)
{
	free(state->bytes);
	*state = (struct state){0};
}

static bool reserve(struct state *state, size_t size)
{
	size_t room = state->room ? state->room : 65536;
	uint8_t *grown;

	while (room < state->size + size)
		room *= 2;
	if (room == state->room)
		return true;
	grown = realloc(state->bytes, room);
	if (!grown)
		return false;
	state->bytes = grown;
	state->room = room;
	return true;
}

void state_put(struct state *state, uint32_t tag, const void *data, size_t size)
{
	struct section section = {.tag = tag, .size = (uint32_t)size};

	if (state->bad || !reserve(state, sizeof(section) + size)) {
		state->bad = true;
		return;
	}
	memcpy(state->bytes + state->size, &section, sizeof(section));
	if (size > 0)
		memcpy(state->bytes + state->size + sizeof(section), data, size);
	state->size += sizeof(section) + size;
}

bool state_get_up_to(struct state *state, uint32_t tag, void *data, size_t room, size_t *size)
{
	size_t left = state->size - state->at;
	struct section section;

	*size = 0;
	if (state->bad || left < sizeof(section))
		goto bad;
	memcpy(&section, state->bytes + state->at, sizeof(section));
	if (section.tag != tag || section.size > room || section.size > left - sizeof(section))
		goto bad;
	if (section.size > 0)
		memcpy(data, state->bytes + state->at + sizeof(section), section.size);
	state->at += sizeof(section) + section.size;
	*size = section.size;
	return true;
bad:
	state->bad = true;
	return false;
}

size_t state_next_size(struct state *state, uint32_t tag)
{
	size_t left = state->size - state->at;
	struct section section;

	if (!state->bad && left >= sizeof(section)) {
		memcpy(&section, state->bytes + state->at, sizeof(section));
		if (section.tag == tag && section.size <= left - sizeof(section))
			return section.size;
	}
	state->bad = true;
	return 0;
}

bool state_get(struct state *state, uint32_t tag, void *data, size_t size)
{
	size_t got;

	if (state_get_up_to(state, tag, data, size, &got) && got == size)
		return true;
	state->bad = true;
	if (size > 0)
		memset(data, 0, size);
	return false;
}

static bool write_all(int fd, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size > 0) {
		ssize_t written = write(fd, at, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		size -= (size_t)written;
	}
	return true;
}

int state_write(const struct state *state, int folder_fd, const char *name, struct error *error)
{
	struct file_header header = {.version = STATE_VERSION,
				     .size = state->size,
				     .checksum = XXH3_64bits(state->bytes, state->size)};
	int fd, result = 0;

	if (state->bad)
		return error_set(error, ERROR_FAILED, ENOMEM, "no memory for a machine's state");
	if (state->size > STATE_SIZE_MAX - sizeof(header))
		return error_set(error, ERROR_FAILED, EFBIG, "the state has %zu MiB, and at most %u can be read again",
				 state->size >> 20, STATE_SIZE_MAX >> 20);
	memcpy(header.magic, magic, sizeof(magic));
	fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0 || !write_all(fd, &header, sizeof(header)) || !write_all(fd, state->bytes, state->size) ||
	    fsync(fd) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write a machine's state: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

int state_parse(struct state *state, const void *file, size_t size, struct error *error)
{
	const uint8_t *bytes = file;
	struct file_header header;

	*state = (struct state){0};
	if (size < sizeof(header))
		return error_set(error, ERROR_FAILED, EBADMSG, "is too short");
	memcpy(&header, bytes, sizeof(header));
	if (memcmp(header.magic, magic, sizeof(magic)) != 0)
		return error_set(error, ERROR_FAILED, EBADMSG, "is no machine's state");
	if (header.version != STATE_VERSION)
		return error_set(error, ERROR_FAILED, EPROTO, "has version %u, and this netlab reads %u",
				 header.version, STATE_VERSION);
	if (header.size != size - sizeof(header))
		return error_set(error, ERROR_FAILED, EBADMSG, "is cut short");
	if (header.checksum != XXH3_64bits(bytes + sizeof(header), header.size))
		return error_set(error, ERROR_FAILED, EBADMSG, "is damaged: its checksum is wrong");
	state->bytes = malloc(header.size + 1);
	if (!state->bytes)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	memcpy(state->bytes, bytes + sizeof(header), header.size);
	state->size = state->room = header.size;
	return 0;
}

/* Reads a whole file of at most STATE_SIZE_MAX bytes. */
static int read_file(int fd, uint8_t **bytes, size_t *size, struct error *error)
{
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot be read: %s", strerror(errno));
	if (!S_ISREG(status.st_mode) || status.st_size > STATE_SIZE_MAX)
		return error_set(error, ERROR_FAILED, EBADMSG, "is no file of a sensible size");
	*size = (size_t)status.st_size;
	*bytes = malloc(*size + 1);
	if (!*bytes)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	got = pread(fd, *bytes, *size, 0);
	if (got != (ssize_t)*size)
		return error_set(error, ERROR_FAILED, got < 0 ? errno : EBADMSG, "cannot be read: %s",
				 got < 0 ? strerror(errno) : "it became shorter");
	return 0;
}

int state_read(struct state *state, int folder_fd, const char *name, struct error *error)
{
	int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint8_t *bytes = NULL;
	size_t size = 0;
	int result;

	*state = (struct state){0};
	if (fd < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot be opened: %s", strerror(errno));
	result = read_file(fd, &bytes, &size, error);
	if (result == 0)
		result = state_parse(state, bytes, size, error);
	free(bytes);
	close(fd);
	return result;
}
