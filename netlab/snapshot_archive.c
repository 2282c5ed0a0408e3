/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/snapshot_archive.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "core/memory.h"
#include "core/state.h"
#include "netlab/snapshot_archive_internal.h"
#include "netlab/topology_units.h"

/* Bytes of the largest disk, or file of a node: what is far beyond any, and as an offset far from overflow. */
#define FILE_SIZE_MAX (1ull << 40)
#define NUMBER_DIGITS_MAX 5

enum suffix { SUFFIX_NONE, SUFFIX_NUMBER, SUFFIX_NAME };

static const struct {
	const char *name;
	enum suffix suffix;
	uint64_t size_max;
} kinds[SNAPSHOT_ENTRY_UNKNOWN] = {
	[SNAPSHOT_ENTRY_ABOUT] = {"about", SUFFIX_NONE, SNAPSHOT_ABOUT_SIZE_MAX},
	[SNAPSHOT_ENTRY_TOPOLOGY] = {"topology.yaml", SUFFIX_NONE, TOPOLOGY_FILE_SIZE_MAX},
	[SNAPSHOT_ENTRY_STATE] = {"state", SUFFIX_NONE, STATE_SIZE_MAX},
	[SNAPSHOT_ENTRY_SOURCE] = {"file-", SUFFIX_NUMBER, FILE_SIZE_MAX},
	[SNAPSHOT_ENTRY_DISK] = {"disk-", SUFFIX_NAME, FILE_SIZE_MAX},
	[SNAPSHOT_ENTRY_MEMORY] = {"memory-", SUFFIX_NUMBER, GUEST_MEMORY_MAX},
	[SNAPSHOT_ENTRY_CHECKSUM] = {"checksum", SUFFIX_NONE, SNAPSHOT_CHECKSUM_SIZE},
};

/* One way to write a number, so that no two names mean the same. */
static bool parse_number(const char *text, unsigned int *number)
{
	size_t length = strlen(text);

	if (length == 0 || length > NUMBER_DIGITS_MAX || strspn(text, "0123456789") != length ||
	    (text[0] == '0' && length > 1))
		return false;
	*number = (unsigned int)strtoul(text, NULL, 10);
	return true;
}

static bool suffix_is_good(enum suffix suffix, const char *text, unsigned int *number)
{
	switch (suffix) {
	case SUFFIX_NUMBER:
		return parse_number(text, number);
	case SUFFIX_NAME:
		return topology_check_name(text) == NULL;
	default:
		return text[0] == '\0';
	}
}

struct snapshot_entry snapshot_entry_parse(const char *name)
{
	struct snapshot_entry entry = {.kind = SNAPSHOT_ENTRY_ABOUT};

	for (; entry.kind < SNAPSHOT_ENTRY_UNKNOWN; entry.kind++) {
		size_t length = strlen(kinds[entry.kind].name);

		if (strncmp(name, kinds[entry.kind].name, length) == 0 &&
		    suffix_is_good(kinds[entry.kind].suffix, name + length, &entry.number))
			break;
	}
	return entry;
}

uint64_t snapshot_entry_size_max(enum snapshot_entry_kind kind)
{
	return kind < SNAPSHOT_ENTRY_UNKNOWN ? kinds[kind].size_max : 0;
}

/* Checksum. */

struct snapshot_checksum {
	XXH3_state_t *state;
	uint64_t end; /* Of the data that came last. */
};

struct snapshot_checksum *snapshot_checksum_create(void)
{
	struct snapshot_checksum *checksum = calloc(1, sizeof(*checksum));

	if (!checksum)
		return NULL;
	checksum->state = XXH3_createState();
	if (checksum->state) {
		XXH3_64bits_reset(checksum->state);
		return checksum;
	}
	free(checksum);
	return NULL;
}

void snapshot_checksum_destroy(struct snapshot_checksum *checksum)
{
	if (!checksum)
		return;
	XXH3_freeState(checksum->state);
	free(checksum);
}

static void add_number(struct snapshot_checksum *checksum, uint64_t number)
{
	number = htole64(number);
	XXH3_64bits_update(checksum->state, &number, sizeof(number));
}

void snapshot_checksum_entry(struct snapshot_checksum *checksum, const char *name, uint64_t size)
{
	XXH3_64bits_update(checksum->state, name, strlen(name) + 1);
	add_number(checksum, size);
	checksum->end = 0;
}

void snapshot_checksum_data(struct snapshot_checksum *checksum, uint64_t offset, const void *data, size_t size)
{
	if (offset != checksum->end)
		add_number(checksum, offset);
	XXH3_64bits_update(checksum->state, data, size);
	checksum->end = offset + size;
}

void snapshot_checksum_text(const struct snapshot_checksum *checksum, char text[SNAPSHOT_CHECKSUM_SIZE + 1])
{
	snprintf(text, SNAPSHOT_CHECKSUM_SIZE + 1, "%016" PRIx64 "\n", (uint64_t)XXH3_64bits_digest(checksum->state));
}

/* Streams. */

bool snapshot_stream_wait(struct snapshot_stream *stream, short events)
{
	struct pollfd fds[2] = {{.fd = stream->fd, .events = events},
				{.fd = stream->watch ? stream->watch->stop_fd : -1, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0) {
		if (errno != EINTR)
			return false;
	}
	if (fds[1].revents)
		errno = EINTR;
	stream->stopped = fds[1].revents != 0;
	return !stream->stopped;
}
