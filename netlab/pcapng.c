/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/pcapng.h"

#include <string.h>

/* Types of blocks, section 4 of draft-ietf-opsawg-pcapng. */
#define SECTION_HEADER 0x0a0d0d0au
#define INTERFACE_DESCRIPTION 1u
#define NAME_RESOLUTION 4u
#define INTERFACE_STATISTICS 5u
#define ENHANCED_PACKET 6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINK_TYPE_ETHERNET 1
#define NANOSECONDS 9

/* Code and length before an option's value, type and length before a record's. */
#define HEAD_SIZE 4
#define END_OF_OPTIONS_SIZE HEAD_SIZE

/* Type and length before what is in a block, and the length again behind it. */
#define BLOCK_HEAD_SIZE 8
#define BLOCK_TAIL_SIZE 4

#define COMMENTS_MAX (sizeof(((struct pcapng_packet *)0)->comments) / sizeof(const char *))

/* The fixed part of an Enhanced Packet Block; of its options those that are always there: epb_flags, epb_packetid. */
#define PACKET_FIXED_SIZE (BLOCK_HEAD_SIZE + 20)
#define PACKET_OPTIONS_SIZE (HEAD_SIZE + 4 + HEAD_SIZE + 8)

#define NAME_MAX_LENGTH 255

enum { OPT_ENDOFOPT = 0, OPT_COMMENT = 1 };
enum { SHB_HARDWARE = 2, SHB_OS = 3, SHB_USERAPPL = 4 };
enum { IF_NAME = 2, IF_DESCRIPTION = 3, IF_MACADDR = 6, IF_SPEED = 8, IF_TSRESOL = 9 };
enum { NRB_RECORD_END = 0, NRB_RECORD_IPV4 = 1, NRB_RECORD_IPV6 = 2 };
enum { EPB_FLAGS = 2, EPB_DROPCOUNT = 4, EPB_PACKETID = 5, EPB_VERDICT = 7 };
enum { ISB_STARTTIME = 2, ISB_ENDTIME = 3, ISB_IFRECV = 4, ISB_IFDROP = 5, ISB_OSDROP = 7, ISB_USRDELIV = 8 };

/* An option whose value is NULL is left out. */
struct option {
	uint16_t code;
	size_t length;
	const void *value;
};

static inline size_t padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

static inline bool has_room(size_t size, size_t room)
{
	return size <= room && size <= UINT32_MAX;
}

static inline uint8_t *put_16(uint8_t *to, uint16_t value)
{
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

static inline uint8_t *put_32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

/* In two halves, the higher one first in either byte order. */
static inline uint8_t *put_time(uint8_t *to, uint64_t time)
{
	return put_32(put_32(to, (uint32_t)(time >> 32)), (uint32_t)time);
}

/* Code and length, and zeros where padding will be: the value's bytes are put next, where it returns. */
static inline uint8_t *put_head(uint8_t *to, uint16_t code, size_t length)
{
	put_32(to + padded(length), 0);
	return put_16(put_16(to, code), (uint16_t)length);
}

static inline uint8_t *put_option(uint8_t *to, uint16_t code, const void *value, size_t length)
{
	to = put_head(to, code, length);
	memcpy(to, value, length);
	return to + padded(length);
}

static inline uint8_t *put_block_head(uint8_t *to, uint32_t type, size_t size)
{
	return put_32(put_32(to, type), (uint32_t)size);
}

static inline void put_end(uint8_t *to, size_t size)
{
	put_32(put_head(to, OPT_ENDOFOPT, 0), (uint32_t)size);
}

static bool is_continuation(char byte)
{
	return ((uint8_t)byte & 0xc0) == 0x80;
}

/* How much of 'text' is used when that is at most 'max' bytes: no part of a character of UTF-8. */
static size_t text_length(const char *text, size_t max)
{
	size_t length = strnlen(text, max + 1);

	if (length <= max)
		return length;
	for (length = max; length > max - 3 && is_continuation(text[length]);)
		length--;
	return is_continuation(text[length]) ? max : length;
}

static struct option text_option(uint16_t code, const char *text)
{
	return (struct option){.code = code, .length = text ? text_length(text, PCAPNG_TEXT_MAX) : 0, .value = text};
}

/* A block of a fixed part, whose size is a multiple of 4, and options. */
static size_t put_block(uint8_t *to, size_t room, uint32_t type, const void *fixed, size_t fixed_size,
			const struct option *options, size_t count)
{
	size_t size = BLOCK_HEAD_SIZE + fixed_size + END_OF_OPTIONS_SIZE + BLOCK_TAIL_SIZE;

	for (size_t i = 0; i < count; i++)
		if (options[i].value)
			size += HEAD_SIZE + padded(options[i].length);
	if (!has_room(size, room))
		return 0;
	to = put_block_head(to, type, size);
	memcpy(to, fixed, fixed_size);
	to += fixed_size;
	for (size_t i = 0; i < count; i++)
		if (options[i].value)
			to = put_option(to, options[i].code, options[i].value, options[i].length);
	put_end(to, size);
	return size;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

size_t pcapng_put_section(uint8_t *to, size_t room, const struct pcapng_section *section)
{
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t length[2];
	} fixed = {BYTE_ORDER_MAGIC, 1, 0, {UINT32_MAX, UINT32_MAX}}; /* The section's length is not known. */
	const struct option options[] = {
		text_option(OPT_COMMENT, section->comment),
		text_option(SHB_HARDWARE, section->hardware),
		text_option(SHB_OS, section->system),
		text_option(SHB_USERAPPL, section->application),
	};

	return put_block(to, room, SECTION_HEADER, &fixed, sizeof(fixed), options, COUNT(options));
}

size_t pcapng_put_interface(uint8_t *to, size_t room, const struct pcapng_interface *interface)
{
	static const uint8_t resolution = NANOSECONDS;
	const struct {
		uint16_t link_type, reserved;
		uint32_t snap_len;
	} fixed = {LINK_TYPE_ETHERNET, 0, interface->snap_len};
	const struct option options[] = {
		text_option(IF_NAME, interface->name),
		text_option(IF_DESCRIPTION, interface->description),
		{IF_MACADDR, sizeof(interface->mac), interface->has_mac ? interface->mac : NULL},
		{IF_SPEED, sizeof(interface->speed), interface->speed ? &interface->speed : NULL},
		{IF_TSRESOL, sizeof(resolution), &resolution},
	};

	return put_block(to, room, INTERFACE_DESCRIPTION, &fixed, sizeof(fixed), options, COUNT(options));
}

static size_t address_size(const struct pcapng_name *name)
{
	return name->is_ipv6 ? 16 : 4;
}

/* Address, name, and a NUL, which is where put_head() put zeros. */
static uint8_t *put_name(uint8_t *to, const struct pcapng_name *name)
{
	size_t address = address_size(name), length = text_length(name->name, NAME_MAX_LENGTH);
	size_t size = address + length + 1;

	to = put_head(to, name->is_ipv6 ? NRB_RECORD_IPV6 : NRB_RECORD_IPV4, size);
	memcpy(to, name->address, address);
	memcpy(to + address, name->name, length);
	return to + padded(size);
}

size_t pcapng_put_names(uint8_t *to, size_t room, const struct pcapng_name *names, size_t count)
{
	size_t size = BLOCK_HEAD_SIZE + HEAD_SIZE + BLOCK_TAIL_SIZE;

	for (size_t i = 0; i < count; i++)
		size += HEAD_SIZE + padded(address_size(&names[i]) + text_length(names[i].name, NAME_MAX_LENGTH) + 1);
	if (!to)
		return size;
	if (!has_room(size, room))
		return 0;
	to = put_block_head(to, NAME_RESOLUTION, size);
	for (size_t i = 0; i < count; i++)
		to = put_name(to, &names[i]);
	/* The end of the records looks as that of options does, which are not there. */
	put_end(to, size);
	return size;
}

size_t pcapng_put_note(uint8_t *to, size_t room, const char *comment)
{
	static const uint8_t no_names[HEAD_SIZE];
	const struct option options[] = {text_option(OPT_COMMENT, comment)};

	return put_block(to, room, NAME_RESOLUTION, no_names, sizeof(no_names), options, COUNT(options));
}

/* The lengths of the packet's comments; returns the size of their options. */
static inline size_t measure_comments(const struct pcapng_packet *packet, size_t lengths[COMMENTS_MAX])
{
	size_t size = 0;

	for (size_t i = 0; i < COMMENTS_MAX && packet->comments[i]; i++) {
		lengths[i] = text_length(packet->comments[i], PCAPNG_TEXT_MAX);
		size += HEAD_SIZE + padded(lengths[i]);
	}
	return size;
}

/* The block's fixed part and the packet's bytes. */
static inline uint8_t *put_bytes(uint8_t *to, size_t size, const struct pcapng_packet *packet)
{
	size_t captured = padded(packet->captured);

	put_32(to + PACKET_FIXED_SIZE + captured - 4, 0); /* Padding, or what is put over it. */
	to = put_block_head(to, ENHANCED_PACKET, size);
	to = put_32(to, packet->interface);
	to = put_time(to, packet->time);
	to = put_32(to, packet->captured);
	to = put_32(to, packet->size);
	if (captured > 0)
		memcpy(to, packet->bytes, packet->captured);
	return to + captured;
}

/* Knows the size of each option when it is compiled, unlike put_block(): there are millions of packets. */
size_t pcapng_put_packet(uint8_t *to, size_t room, const struct pcapng_packet *packet)
{
	const uint32_t flags = packet->direction | packet->flags;
	const uint8_t verdict[2] = {0, packet->verdict}; /* Type 0, hardware, and its value. */
	size_t lengths[COMMENTS_MAX];
	size_t size = PACKET_FIXED_SIZE + padded(packet->captured) + PACKET_OPTIONS_SIZE +
		      (packet->lost ? HEAD_SIZE + sizeof(packet->lost) : 0) +
		      (packet->verdict ? HEAD_SIZE + padded(sizeof(verdict)) : 0) + measure_comments(packet, lengths) +
		      END_OF_OPTIONS_SIZE + BLOCK_TAIL_SIZE;

	if (!has_room(size, room))
		return 0;
	to = put_bytes(to, size, packet);
	to = put_option(to, EPB_FLAGS, &flags, sizeof(flags));
	if (packet->lost)
		to = put_option(to, EPB_DROPCOUNT, &packet->lost, sizeof(packet->lost));
	to = put_option(to, EPB_PACKETID, &packet->id, sizeof(packet->id));
	if (packet->verdict)
		to = put_option(to, EPB_VERDICT, verdict, sizeof(verdict));
	for (size_t i = 0; i < COMMENTS_MAX && packet->comments[i]; i++)
		to = put_option(to, OPT_COMMENT, packet->comments[i], lengths[i]);
	put_end(to, size);
	return size;
}

size_t pcapng_put_statistics(uint8_t *to, size_t room, const struct pcapng_statistics *statistics)
{
	uint8_t fixed[12], start[8], end[8];
	const struct option options[] = {
		{ISB_STARTTIME, sizeof(start), start},
		{ISB_ENDTIME, sizeof(end), end},
		{ISB_IFRECV, sizeof(statistics->received), &statistics->received},
		{ISB_IFDROP, sizeof(statistics->dropped), &statistics->dropped},
		{ISB_OSDROP, sizeof(statistics->lost), &statistics->lost},
		{ISB_USRDELIV, sizeof(statistics->delivered), &statistics->delivered},
	};

	put_time(put_32(fixed, statistics->interface), statistics->time);
	put_time(start, statistics->start);
	put_time(end, statistics->end);
	return put_block(to, room, INTERFACE_STATISTICS, fixed, sizeof(fixed), options, COUNT(options));
}

_Static_assert(BLOCK_HEAD_SIZE + 16 + 4 * (HEAD_SIZE + PCAPNG_TEXT_MAX) + END_OF_OPTIONS_SIZE + BLOCK_TAIL_SIZE <=
		       PCAPNG_BLOCK_MAX,
	       "a section's header fits");
_Static_assert(PACKET_FIXED_SIZE + 3 + PACKET_OPTIONS_SIZE + 12 + 8 + COMMENTS_MAX * (HEAD_SIZE + PCAPNG_TEXT_MAX) +
			       END_OF_OPTIONS_SIZE + BLOCK_TAIL_SIZE <=
		       PCAPNG_PACKET_MAX,
	       "a packet fits");
