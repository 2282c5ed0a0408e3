/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory_usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Theory of operation
 * -------------------
 * smaps has a line for each mapping, "7f00-8f00 rw-p 00000000 fe:00 1234 /file", and below it lines with what it takes:
 * "Rss:   12 kB".  Of these
 *
 *      Rss         pages in RAM
 *      Anonymous   those among them that are no file's: of a private mapping of a file, the copies
 *      Pss         Rss with each page divided by the number of mappings it is in
 *      Swap        pages that were swapped out, copies or a memfd's
 *
 * Private_* and Shared_* are of no use here: they go by how often a page is mapped now, so that all the pages of a
 * template with one clone are "private", and none of them is any more once a second clone has looked at them. */

struct mapping {
	uint64_t start;
	bool is_shared; /* MAP_SHARED. */
	uint64_t rss, pss, anonymous, swap;
};

/* Returns false if the line is no mapping's. */
static bool read_start(const char *line, struct mapping *mapping)
{
	uint64_t start, end;
	char mode[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, mode) != 3 || end < start || strlen(mode) != 4)
		return false;
	*mapping = (struct mapping){.start = start, .is_shared = mode[3] == 's'};
	return true;
}

/* Returns false if the line is not in the form of smaps.  What there will be in it one day is passed over. */
static bool read_field(const char *line, struct mapping *mapping)
{
	const struct field {
		const char *name;
		uint64_t *value;
	} fields[] = {
		{"Rss:", &mapping->rss},
		{"Pss:", &mapping->pss},
		{"Anonymous:", &mapping->anonymous},
		{"Swap:", &mapping->swap},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		size_t length = strlen(fields[i].name);
		unsigned long long kilobytes;
		char *end;

		if (strncmp(line, fields[i].name, length) != 0)
			continue;
		kilobytes = strtoull(line + length, &end, 10);
		*fields[i].value = kilobytes << 10;
		return end != line + length && kilobytes <= UINT64_MAX >> 10;
	}
	return strchr(line, ':') != NULL;
}

/* Numbers of different lines may be of different moments, so none is taken to be the larger. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void add_mapping(struct memory_usage *usage, const struct mapping *mapping)
{
	usage->private += mapping->swap + (mapping->is_shared ? mapping->rss : mapping->anonymous);
	if (!mapping->is_shared) {
		usage->shared += less(mapping->rss, mapping->anonymous);
		usage->proportional += less(mapping->pss, mapping->anonymous);
	}
}

static struct memory_usage *usage_of(const struct mapping *mapping, struct memory_range *ranges, size_t count,
				     struct memory_usage *rest)
{
	for (size_t i = 0; i < count; i++)
		if (mapping->start - (uintptr_t)ranges[i].base < ranges[i].size)
			return &ranges[i].usage;
	return rest;
}

int memory_usage_read(FILE *smaps, struct memory_range *ranges, size_t count, struct memory_usage *rest)
{
	struct mapping mapping = {.start = 0}; /* Of which nothing is said, until the first line. */
	char *line = NULL;
	size_t size = 0, mappings = 0;
	bool is_good = true;

	*rest = (struct memory_usage){.private = 0};
	for (size_t i = 0; i < count; i++)
		ranges[i].usage = *rest;
	while (is_good && getline(&line, &size, smaps) > 0) {
		/* Names of fields begin with a capital, addresses do not. */
		if (line[0] >= 'A' && line[0] <= 'Z') {
			is_good = mappings > 0 && read_field(line, &mapping);
			continue;
		}
		add_mapping(usage_of(&mapping, ranges, count, rest), &mapping);
		is_good = read_start(line, &mapping);
		mappings++;
	}
	add_mapping(usage_of(&mapping, ranges, count, rest), &mapping);
	free(line);
	return is_good && mappings > 0 ? 0 : -EBADMSG;
}

int memory_usage_read_own(struct memory_range *ranges, size_t count, struct memory_usage *rest)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	int result = smaps ? memory_usage_read(smaps, ranges, count, rest) : -errno;

	if (smaps)
		fclose(smaps);
	return result;
}
