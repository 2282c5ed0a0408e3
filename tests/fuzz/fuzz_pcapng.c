/* SPDX-License-Identifier: Apache-2.0 */
/* A capture from anybody is read.  Each packet that is in it is written, with its interface, and must be the same when
 * that is read again, and be one frame to those who only pass it on. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/pcapng.h"
#include "netlab/pcapng_blocks.h"
#include "netlab/pcapng_reader.h"

#define COMMENTS 3

static void check(bool condition)
{
	if (!condition)
		abort();
}

/* What the writer takes of it. */
static struct pcapng_packet to_write(const struct pcapng_reader_packet *packet)
{
	return (struct pcapng_packet){
		.time = packet->time,
		.bytes = packet->bytes,
		.captured = packet->captured,
		.size = packet->size,
		.direction = (enum pcapng_direction)packet->direction,
		.id = packet->id,
		.lost = packet->lost,
		.verdict = (uint8_t)packet->verdict,
		.comments = {packet->comments[0], packet->comments[1], packet->comments[2]},
	};
}

static size_t write_file(uint8_t *file, size_t room, const struct pcapng_reader_packet *packet)
{
	const struct pcapng_section section = {.application = packet->interface->description};
	const struct pcapng_interface interface = {.name = packet->interface->name,
						   .description = packet->interface->description};
	const struct pcapng_packet written = to_write(packet);
	size_t size = pcapng_put_section(file, room, &section), packet_size;

	size += pcapng_put_interface(file + size, room - size, &interface);
	packet_size = pcapng_put_packet(file + size, room - size, &written);
	check(packet_size > 0 && packet_size <= packet->captured + PCAPNG_PACKET_MAX);
	return size + packet_size;
}

/* Long ones are cut. */
static void check_comment(const char *comment, const char *expected)
{
	check(!comment == !expected);
	if (!comment)
		return;
	check(strlen(comment) <= PCAPNG_TEXT_MAX && strncmp(comment, expected, strlen(comment)) == 0);
	check(strlen(comment) == strlen(expected) || strlen(comment) > PCAPNG_TEXT_MAX - 4);
}

static void check_same(const struct pcapng_reader_packet *packet, const struct pcapng_reader_packet *expected)
{
	check(!strcmp(packet->interface->name, expected->interface->name));
	check(!strcmp(packet->interface->description, expected->interface->description));
	check(packet->time == expected->time && packet->direction == expected->direction);
	check(packet->captured == expected->captured && packet->size == expected->size);
	check(memcmp(packet->bytes, expected->bytes, packet->captured) == 0);
	check(packet->has_id && packet->id == expected->id);
	check(packet->lost == expected->lost && packet->verdict == expected->verdict);
	check(packet->interface->lost == packet->lost);
	for (size_t i = 0; i < COMMENTS; i++)
		check_comment(packet->comments[i], expected->comments[i]);
}

static void check_count(const uint8_t *file, size_t size, const struct pcapng_reader_packet *expected)
{
	struct pcapng_blocks blocks = pcapng_blocks_count(file, size);

	check(blocks.size == size && blocks.frames == 1 && pcapng_blocks_lost(&blocks) == expected->lost);
}

static void write_and_read_again(const struct pcapng_reader_packet *packet)
{
	const size_t room = 2 * PCAPNG_BLOCK_MAX + packet->captured + PCAPNG_PACKET_MAX;
	uint8_t *file = malloc(room);
	struct pcapng_reader_packet again;
	struct pcapng_reader *reader;
	FILE *stream;
	size_t size;

	check(file != NULL);
	size = write_file(file, room, packet);
	check_count(file, size, packet);
	stream = fmemopen(file, size, "r");
	check(stream != NULL);
	reader = pcapng_reader_create(stream);
	check(reader != NULL);
	check(pcapng_reader_next(reader, &again) == 1);
	check_same(&again, packet);
	check(pcapng_reader_next(reader, &again) == 0);
	check(pcapng_reader_position(reader) == size);
	pcapng_reader_destroy(reader);
	fclose(stream);
	free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pcapng_reader_packet packet;
	struct pcapng_reader *reader;
	FILE *stream;
	int result;

	if (size == 0)
		return 0;
	check(pcapng_blocks_count(data, size).size <= size);
	stream = fmemopen((void *)(uintptr_t)data, size, "r");
	check(stream != NULL);
	reader = pcapng_reader_create(stream);
	check(reader != NULL);
	while ((result = pcapng_reader_next(reader, &packet)) > 0) {
		check(packet.captured <= packet.size && packet.captured <= size && packet.direction <= 3);
		write_and_read_again(&packet);
	}
	check(pcapng_reader_position(reader) <= size);
	check(result < 0 ? *pcapng_reader_problem(reader) != '\0' : pcapng_reader_position(reader) == size);
	pcapng_reader_destroy(reader);
	fclose(stream);
	return 0;
}
