/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/pcapng_reader.h"

#include <byteswap.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Types of blocks, section 4 of draft-ietf-opsawg-pcapng. */
#define SECTION_HEADER 0x0a0d0d0au
#define INTERFACE_DESCRIPTION 1u
#define PACKET 2u
#define SIMPLE_PACKET 3u
#define INTERFACE_STATISTICS 5u
#define ENHANCED_PACKET 6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du

/* Of a block: type and length before what is in it, and the length again behind. */
#define HEAD_SIZE 8
#define TAIL_SIZE 4
#define BLOCK_MIN (HEAD_SIZE + TAIL_SIZE)

/* The fixed parts of blocks. */
#define SECTION_FIXED_SIZE 16
#define INTERFACE_FIXED_SIZE 8
#define PACKET_FIXED_SIZE 20
#define STATISTICS_FIXED_SIZE 12

enum { OPT_ENDOFOPT = 0, OPT_COMMENT = 1 };
enum { IF_NAME = 2, IF_DESCRIPTION = 3, IF_TSRESOL = 9, IF_TSOFFSET = 14 };
enum { ISB_OSDROP = 7 };
enum { EPB_FLAGS = 2, EPB_DROPCOUNT = 4, EPB_PACKETID = 5, EPB_VERDICT = 7 };

#define DEFAULT_RESOLUTION 6
#define RESOLUTION_OF_2 0x80
#define SECOND 1000000000

struct interface {
	struct pcapng_reader_interface known;
	/* Nanoseconds are (ticks * multiplier / divisor >> shift) and these seconds. */
	uint64_t multiplier, divisor;
	unsigned int shift;
	int64_t offset;
	uint64_t lost; /* In all, as its statistics say. */
};

struct pcapng_reader {
	FILE *stream;
	uint8_t *block; /* The one that was read last. */
	size_t room;    /* Bytes at 'block'. */
	size_t size;    /* Of the block. */
	bool in_section, is_swapped;
	struct interface **interfaces;
	size_t interface_count, interface_room;
	size_t section_interfaces; /* Where those of the section begin. */
	uint64_t position, skipped;
	int result; /* Of the error that ended it. */
	char problem[128];
};

/* What is between 'at' and 'end', beginning with an option or with nothing. */
struct options {
	const struct pcapng_reader *reader;
	const uint8_t *at, *end;
};

struct option {
	uint16_t code, length;
	const uint8_t *value;
};

struct pcapng_reader *pcapng_reader_create(FILE *stream)
{
	struct pcapng_reader *reader = calloc(1, sizeof(*reader));

	if (reader)
		reader->stream = stream;
	return reader;
}

static void free_interface(struct interface *interface)
{
	free(interface->known.name);
	free(interface->known.description);
	free(interface);
}

void pcapng_reader_destroy(struct pcapng_reader *reader)
{
	if (!reader)
		return;
	for (size_t i = 0; i < reader->interface_count; i++)
		free_interface(reader->interfaces[i]);
	free(reader->interfaces);
	free(reader->block);
	free(reader);
}

const char *pcapng_reader_problem(const struct pcapng_reader *reader)
{
	return reader->problem;
}

uint64_t pcapng_reader_position(const struct pcapng_reader *reader)
{
	return reader->position;
}

uint64_t pcapng_reader_skipped(const struct pcapng_reader *reader)
{
	return reader->skipped;
}

static int fail(struct pcapng_reader *reader, int result, const char *problem)
{
	snprintf(reader->problem, sizeof(reader->problem), "%s", problem);
	return result;
}

static int fail_to_read(struct pcapng_reader *reader, int errnum)
{
	snprintf(reader->problem, sizeof(reader->problem), "cannot be read: %s", strerror(errnum));
	return -errnum;
}

/* Numbers in the section's byte order. */

static uint16_t get_16(const struct pcapng_reader *reader, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return reader->is_swapped ? bswap_16(value) : value;
}

static uint32_t get_32(const struct pcapng_reader *reader, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return reader->is_swapped ? bswap_32(value) : value;
}

static uint64_t get_64(const struct pcapng_reader *reader, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return reader->is_swapped ? bswap_64(value) : value;
}

/* Returns 1, 0 when there are no more, or -EINVAL when one is longer than its block. */
static int next_option(struct options *options, struct option *option)
{
	size_t left = (size_t)(options->end - options->at), padded;

	if (left == 0)
		return 0;
	if (left < 4)
		return -EINVAL;
	option->code = get_16(options->reader, options->at);
	option->length = get_16(options->reader, options->at + 2);
	option->value = options->at + 4;
	padded = (option->length + 3u) & ~3u;
	if (option->code == OPT_ENDOFOPT)
		return 0;
	if (padded > left - 4)
		return -EINVAL;
	options->at += 4 + padded;
	return 1;
}

static int fail_of_options(struct pcapng_reader *reader, int result)
{
	return result < 0 ? fail(reader, result, "is damaged: an option has a length that cannot be") : 0;
}

/* Blocks are read. */

static int read_bytes(struct pcapng_reader *reader, uint8_t *to, size_t size, size_t *count)
{
	errno = 0;
	*count = fread(to, 1, size, reader->stream);
	if (*count < size && ferror(reader->stream))
		return fail_to_read(reader, errno > 0 ? errno : EIO);
	return 0;
}

static int make_room(struct pcapng_reader *reader, size_t size)
{
	uint8_t *block;

	if (size <= reader->room)
		return 0;
	block = realloc(reader->block, size);
	if (!block)
		return fail_to_read(reader, ENOMEM);
	reader->block = block;
	reader->room = size;
	return 0;
}

/* A section's header says at its beginning in which byte order its length is. */
static int take_byte_order(struct pcapng_reader *reader, const uint8_t *magic)
{
	reader->is_swapped = false;
	if (get_32(reader, magic) == BYTE_ORDER_MAGIC)
		return 0;
	reader->is_swapped = true;
	if (get_32(reader, magic) == BYTE_ORDER_MAGIC)
		return 0;
	return fail(reader, -EINVAL,
		    reader->in_section ? "is damaged: a section has no byte order" : "is no pcapng file");
}

static int take_size(struct pcapng_reader *reader, const uint8_t *head)
{
	reader->size = get_32(reader, head + 4);
	if (reader->size < BLOCK_MIN || reader->size % 4 > 0)
		return fail(reader, -EINVAL, "is damaged: a block has a length that cannot be");
	if (reader->size > PCAPNG_READER_BLOCK_MAX)
		return fail(reader, -E2BIG, "has a block that is too long");
	return 0;
}

/* As much as the shortest block has.  Returns 1, 0 at the end of the file, or an error. */
static int read_head(struct pcapng_reader *reader, uint8_t head[BLOCK_MIN])
{
	static const uint8_t section[4] = {0x0a, 0x0d, 0x0d, 0x0a};
	size_t count;
	int result = read_bytes(reader, head, BLOCK_MIN, &count);

	if (result < 0 || count == 0)
		return result;
	if (!reader->in_section && memcmp(head, section, count < 4 ? count : 4) != 0)
		return fail(reader, -EINVAL, "is no pcapng file");
	if (count < BLOCK_MIN)
		return fail(reader, -EPIPE, "ends within a block");
	if (memcmp(head, section, sizeof(section)) == 0)
		result = take_byte_order(reader, head + HEAD_SIZE);
	if (result == 0)
		result = take_size(reader, head);
	return result < 0 ? result : 1;
}

/* Returns 1, 0 at the end of the file, or an error. */
static int read_block(struct pcapng_reader *reader)
{
	uint8_t head[BLOCK_MIN];
	size_t rest, count;
	int result = read_head(reader, head);

	if (result <= 0)
		return result;
	rest = reader->size - BLOCK_MIN;
	result = make_room(reader, reader->size);
	if (result < 0)
		return result;
	memcpy(reader->block, head, BLOCK_MIN);
	result = read_bytes(reader, reader->block + BLOCK_MIN, rest, &count);
	if (result < 0)
		return result;
	if (count < rest)
		return fail(reader, -EPIPE, "ends within a block");
	if (get_32(reader, reader->block + reader->size - TAIL_SIZE) != reader->size)
		return fail(reader, -EINVAL, "is damaged: a block has two lengths");
	return 1;
}

/* Whether the block is as long as its fixed part. */
static bool has_fixed(const struct pcapng_reader *reader, size_t size)
{
	return reader->size - BLOCK_MIN >= size;
}

static int fail_of_block(struct pcapng_reader *reader)
{
	return fail(reader, -EINVAL, "is damaged: a block is too short");
}

/* The block's options, which begin at 'offset'. */
static struct options options_at(const struct pcapng_reader *reader, size_t offset)
{
	return (struct options){.reader = reader,
				.at = reader->block + offset,
				.end = reader->block + reader->size - TAIL_SIZE};
}

static int take_section(struct pcapng_reader *reader)
{
	if (!has_fixed(reader, SECTION_FIXED_SIZE))
		return fail_of_block(reader);
	if (get_16(reader, reader->block + HEAD_SIZE + 4) != 1)
		return fail(reader, -EINVAL, "has a version of pcapng that is not known");
	reader->in_section = true;
	reader->section_interfaces = reader->interface_count;
	return 0;
}

/* Interfaces. */

static uint64_t power_of_10(unsigned int exponent)
{
	uint64_t power = 1;

	while (exponent-- > 0)
		power *= 10;
	return power;
}

/* Ticks are 10 or 2 to the power of minus 'exponent' seconds. */
static void set_resolution(struct interface *interface, uint8_t resolution)
{
	unsigned int exponent = resolution & ~RESOLUTION_OF_2;

	interface->multiplier = interface->divisor = 1;
	interface->shift = 0;
	if (resolution & RESOLUTION_OF_2) {
		interface->multiplier = SECOND;
		interface->shift = exponent;
	} else if (exponent <= 9) {
		interface->multiplier = power_of_10(9 - exponent);
	} else if (exponent <= 9 + 19) {
		interface->divisor = power_of_10(exponent - 9);
	} else {
		interface->multiplier = 0; /* All that can be counted is less than a nanosecond. */
	}
}

static uint64_t nanoseconds(const struct interface *interface, uint64_t ticks)
{
	unsigned __int128 scaled = (unsigned __int128)ticks * interface->multiplier / interface->divisor;
	__int128 time = (__int128)(scaled >> interface->shift) + (__int128)interface->offset * SECOND;

	if (time < 0)
		return 0;
	return time > UINT64_MAX ? UINT64_MAX : (uint64_t)time;
}

static int set_text(char **text, const struct option *option)
{
	size_t length = option->length < PCAPNG_READER_TEXT_MAX ? option->length : PCAPNG_READER_TEXT_MAX;
	char *copy = strndup((const char *)option->value, length);

	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int take_interface_option(const struct pcapng_reader *reader, struct interface *interface,
				 const struct option *option)
{
	switch (option->code) {
	case IF_NAME:
		return set_text(&interface->known.name, option);
	case IF_DESCRIPTION:
		return set_text(&interface->known.description, option);
	case IF_TSRESOL:
		if (option->length != 1)
			return -EINVAL;
		set_resolution(interface, option->value[0]);
		return 0;
	case IF_TSOFFSET:
		if (option->length != 8)
			return -EINVAL;
		interface->offset = (int64_t)get_64(reader, option->value);
		return 0;
	default:
		return 0;
	}
}

static int fill_interface(struct pcapng_reader *reader, struct interface *interface)
{
	struct options options = options_at(reader, HEAD_SIZE + INTERFACE_FIXED_SIZE);
	struct option option;
	int result;

	interface->known.link_type = get_16(reader, reader->block + HEAD_SIZE);
	set_resolution(interface, DEFAULT_RESOLUTION);
	while ((result = next_option(&options, &option)) > 0) {
		result = take_interface_option(reader, interface, &option);
		if (result < 0)
			break;
	}
	if (result == 0 && !interface->known.name)
		result = (interface->known.name = strdup("")) ? 0 : -ENOMEM;
	if (result == 0 && !interface->known.description)
		result = (interface->known.description = strdup("")) ? 0 : -ENOMEM;
	return result == -ENOMEM ? fail_to_read(reader, ENOMEM) : fail_of_options(reader, result);
}

static int make_interface_room(struct pcapng_reader *reader)
{
	size_t room = reader->interface_room > 0 ? 2 * reader->interface_room : 16;
	struct interface **interfaces;

	if (reader->interface_count < reader->interface_room)
		return 0;
	interfaces = reallocarray(reader->interfaces, room, sizeof(struct interface *));
	if (!interfaces)
		return fail_to_read(reader, ENOMEM);
	reader->interfaces = interfaces;
	reader->interface_room = room;
	return 0;
}

static int take_interface(struct pcapng_reader *reader)
{
	struct interface *interface;
	int result;

	if (!has_fixed(reader, INTERFACE_FIXED_SIZE))
		return fail_of_block(reader);
	if (reader->interface_count == PCAPNG_READER_INTERFACES_MAX)
		return fail(reader, -E2BIG, "has too many interfaces");
	result = make_interface_room(reader);
	if (result < 0)
		return result;
	interface = calloc(1, sizeof(*interface));
	if (!interface)
		return fail_to_read(reader, ENOMEM);
	result = fill_interface(reader, interface);
	if (result < 0)
		free_interface(interface);
	else
		reader->interfaces[reader->interface_count++] = interface;
	return result;
}

/* The interface of that number in this section, or NULL. */
static struct interface *find_interface(const struct pcapng_reader *reader, uint32_t number)
{
	size_t count = reader->interface_count - reader->section_interfaces;

	return number < count ? reader->interfaces[reader->section_interfaces + number] : NULL;
}

static int take_statistics(struct pcapng_reader *reader)
{
	struct options options = options_at(reader, HEAD_SIZE + STATISTICS_FIXED_SIZE);
	struct interface *interface;
	struct option option;
	int result;

	if (!has_fixed(reader, STATISTICS_FIXED_SIZE))
		return fail_of_block(reader);
	interface = find_interface(reader, get_32(reader, reader->block + HEAD_SIZE));
	if (!interface)
		return fail(reader, -EINVAL, "is damaged: statistics are of an interface that is not there");
	while ((result = next_option(&options, &option)) > 0)
		if (option.code == ISB_OSDROP && option.length == 8)
			interface->lost = get_64(reader, option.value);
	return fail_of_options(reader, result);
}

uint64_t pcapng_reader_untold(const struct pcapng_reader *reader)
{
	uint64_t sum = 0;

	for (size_t i = reader->section_interfaces; i < reader->interface_count; i++) {
		const struct interface *interface = reader->interfaces[i];

		if (interface->lost > interface->known.lost)
			sum += interface->lost - interface->known.lost;
	}
	return sum;
}

/* Packets. */

static int take_packet_option(const struct pcapng_reader *reader, struct pcapng_reader_packet *packet,
			      const struct option *option)
{
	switch (option->code) {
	case EPB_FLAGS:
		if (option->length != 4)
			return -EINVAL;
		packet->flags = get_32(reader, option->value);
		packet->direction = packet->flags & 3;
		return 0;
	case EPB_DROPCOUNT:
		if (option->length != 8)
			return -EINVAL;
		packet->lost = get_64(reader, option->value);
		return 0;
	case EPB_PACKETID:
		if (option->length != 8)
			return -EINVAL;
		packet->has_id = true;
		packet->id = get_64(reader, option->value);
		return 0;
	case EPB_VERDICT:
		if (option->length < 1)
			return -EINVAL;
		if (option->value[0] == 0 && option->length > 1)
			packet->verdict = option->value[1];
		return 0;
	default:
		return 0;
	}
}

/* A comment's end may be where the next option begins, or the block's length, so it is put there when all were read. */
static int take_packet_options(struct pcapng_reader *reader, struct pcapng_reader_packet *packet, size_t offset)
{
	struct options options = options_at(reader, offset);
	size_t ends[PCAPNG_READER_COMMENTS_MAX], count = 0;
	struct option option;
	int result;

	while ((result = next_option(&options, &option)) > 0) {
		if (option.code == OPT_COMMENT && count < PCAPNG_READER_COMMENTS_MAX) {
			ends[count] = (size_t)(option.value - reader->block) + option.length;
			packet->comments[count++] = (const char *)option.value;
		}
		result = take_packet_option(reader, packet, &option);
		if (result < 0)
			break;
	}
	for (size_t i = 0; i < count; i++)
		reader->block[ends[i]] = '\0';
	return fail_of_options(reader, result);
}

static int take_packet(struct pcapng_reader *reader, struct pcapng_reader_packet *packet)
{
	const uint8_t *fixed = reader->block + HEAD_SIZE;
	struct interface *interface;
	size_t padded;
	int result;

	if (!has_fixed(reader, PACKET_FIXED_SIZE))
		return fail_of_block(reader);
	interface = find_interface(reader, get_32(reader, fixed));
	if (!interface)
		return fail(reader, -EINVAL, "is damaged: a packet is of an interface that is not there");
	*packet = (struct pcapng_reader_packet){
		.interface = &interface->known,
		.time = nanoseconds(interface, (uint64_t)get_32(reader, fixed + 4) << 32 | get_32(reader, fixed + 8)),
		.bytes = fixed + PACKET_FIXED_SIZE,
		.captured = get_32(reader, fixed + 12),
		.size = get_32(reader, fixed + 16),
	};
	padded = ((size_t)packet->captured + 3) & ~(size_t)3;
	if (packet->captured > packet->size || !has_fixed(reader, PACKET_FIXED_SIZE + padded))
		return fail(reader, -EINVAL, "is damaged: a packet has a length that cannot be");
	result = take_packet_options(reader, packet, HEAD_SIZE + PACKET_FIXED_SIZE + padded);
	if (result < 0)
		return result;
	interface->known.lost += packet->lost;
	return 1;
}

/* Returns 1 when the block was a packet's, 0 when it was another, or an error. */
static int take_block(struct pcapng_reader *reader, struct pcapng_reader_packet *packet)
{
	switch (get_32(reader, reader->block)) {
	case SECTION_HEADER:
		return take_section(reader);
	case INTERFACE_DESCRIPTION:
		return take_interface(reader);
	case ENHANCED_PACKET:
		return take_packet(reader, packet);
	case INTERFACE_STATISTICS:
		return take_statistics(reader);
	case PACKET:
	case SIMPLE_PACKET:
		reader->skipped++;
		return 0;
	default:
		return 0;
	}
}

/* Reads blocks up to the next packet's. */
static int next_packet(struct pcapng_reader *reader, struct pcapng_reader_packet *packet)
{
	for (;;) {
		int result = read_block(reader);

		if (result <= 0)
			return result;
		result = take_block(reader, packet);
		if (result < 0)
			return result;
		reader->position += reader->size;
		if (result > 0)
			return result;
	}
}

int pcapng_reader_next(struct pcapng_reader *reader, struct pcapng_reader_packet *packet)
{
	int result = reader->result;

	if (result == 0)
		result = next_packet(reader, packet);
	if (result < 0)
		reader->result = result;
	return result;
}
