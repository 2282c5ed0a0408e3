/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat_dns.h"

#include <string.h>
#include <strings.h>

/* Theory of operation
 * -------------------
 * A message with one question of class IN is taken apart, and its answer begins with a copy of it.  Answers name what
 * they are about by a pointer to the question's name, so the only name that is ever read is one, and compression
 * (RFC 1035, 4.1.4), which a question has no use for, is not followed. */

#define HEADER_SIZE 12
#define NAME_MAX_LENGTH 255
#define LABEL_MAX 63

#define FLAG_RESPONSE 0x8000
#define FLAGS_OPCODE 0x7800
#define FLAG_AUTHORITATIVE 0x0400
#define FLAG_RECURSION_DESIRED 0x0100
#define FLAG_RECURSION_AVAILABLE 0x0080
#define CODE_NO_SUCH_NAME 3

#define TYPE_A 1
#define TYPE_AAAA 28
#define TYPE_ANY 255
#define CLASS_IN 1

struct question {
	char name[NAME_MAX_LENGTH + 1]; /* With dots, without the last one. */
	uint16_t flags, type;
	size_t end; /* Of the question in the message. */
};

static uint16_t get_16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Reads the name at '*at' and moves there to what follows it. */
static bool read_name(const uint8_t *message, size_t size, size_t *at, char name[NAME_MAX_LENGTH + 1])
{
	size_t length = 0;

	while (*at < size && message[*at] != 0) {
		size_t label = message[*at];

		if (label > LABEL_MAX || *at + 1 + label > size || length + label + 1 > NAME_MAX_LENGTH)
			return false;
		if (length > 0)
			name[length++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t character = message[*at + 1 + i];

			/* No host has other names, and a dot within a label would be taken for one between two. */
			if (character <= ' ' || character >= 127 || character == '.')
				return false;
			name[length++] = (char)character;
		}
		*at += 1 + label;
	}
	name[length] = '\0';
	*at += 1;
	return *at <= size && length > 0;
}

static bool read_question(const uint8_t *message, size_t size, struct question *question)
{
	size_t at = HEADER_SIZE;

	if (size < HEADER_SIZE)
		return false;
	question->flags = get_16(message + 2);
	/* One question and no answer; what may follow, an OPT record as a rule, is left out of ours. */
	if ((question->flags & (FLAG_RESPONSE | FLAGS_OPCODE)) || get_16(message + 4) != 1 || get_16(message + 6) != 0)
		return false;
	if (!read_name(message, size, &at, question->name) || at + 4 > size)
		return false;
	question->type = get_16(message + at);
	question->end = at + 4;
	return get_16(message + at + 2) == CLASS_IN;
}

/* The length of a name's part before ".lab", or 0 when it is not in the zone. */
static size_t in_zone(const char *name)
{
	size_t length = strlen(name), zone = strlen("." NAT_DNS_ZONE);

	return length > zone && !strcasecmp(name + length - zone, "." NAT_DNS_ZONE) ? length - zone : 0;
}

static bool has_name(const struct nat_dns_record *record, const char *name, size_t host)
{
	if (record->is_outside)
		return !strcasecmp(record->name, name);
	return host > 0 && strlen(record->name) == host && !strncasecmp(record->name, name, host);
}

static bool is_asked_for(const struct nat_dns_record *record, uint16_t type)
{
	return type == TYPE_ANY || type == (record->family == AF_INET ? TYPE_A : TYPE_AAAA);
}

/* Returns where the answer ends then; a record for which there is no room is left out. */
static size_t put_record(uint8_t answer[NAT_DNS_ANSWER_MAX], size_t at, const struct nat_dns_record *record)
{
	size_t length = record->family == AF_INET ? 4 : 16;

	if (at + 12 + length > NAT_DNS_ANSWER_MAX)
		return at;
	put_16(answer + at, 0xc000 | HEADER_SIZE); /* The question's name. */
	put_16(answer + at + 2, record->family == AF_INET ? TYPE_A : TYPE_AAAA);
	put_16(answer + at + 4, CLASS_IN);
	put_16(answer + at + 6, 0);
	put_16(answer + at + 8, NAT_DNS_TTL);
	put_16(answer + at + 10, (uint16_t)length);
	memcpy(answer + at + 12, record->address, length);
	return at + 12 + length;
}

size_t nat_dns_answer(const struct nat_dns_zone *zone, const uint8_t *message, size_t size,
		      uint8_t answer[NAT_DNS_ANSWER_MAX])
{
	struct question question;
	uint16_t flags, answers = 0;
	bool exists = false;
	size_t host, at;

	if (!read_question(message, size, &question) || question.end > NAT_DNS_ANSWER_MAX)
		return 0;
	host = in_zone(question.name);
	memcpy(answer, message, question.end);
	at = question.end;
	for (size_t i = 0; i < zone->count; i++) {
		const struct nat_dns_record *record = &zone->records[i];
		size_t end;

		if (!has_name(record, question.name, host))
			continue;
		exists = true;
		if (!is_asked_for(record, question.type))
			continue;
		end = put_record(answer, at, record);
		answers += end > at;
		at = end;
	}
	if (!exists && host == 0 && strcasecmp(question.name, NAT_DNS_ZONE) != 0)
		return 0;
	flags = FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE |
		(question.flags & FLAG_RECURSION_DESIRED);
	if (!exists && host > 0)
		flags |= CODE_NO_SUCH_NAME;
	put_16(answer + 2, flags);
	put_16(answer + 6, answers);
	put_16(answer + 8, 0);
	put_16(answer + 10, 0);
	return at;
}
