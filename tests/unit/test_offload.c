/* SPDX-License-Identifier: Apache-2.0 */
/* What is left undone on a frame, and then done: each segment is taken apart again by other code than made it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/offload.h"
#include "netlab/vlan.h"
#include "tcp_frame.h"

#define SEQUENCE 0xfffffe00u /* So that it wraps. */
#define IDENTIFICATION 0xfffe
#define FLAGS 0x99 /* CWR, ACK, PSH, FIN */

/* A frame as a guest has it. */
struct sample {
	bool is_v6;
	unsigned int tags;         /* VLAN tags, the outer one of two 0x88a8. */
	unsigned int packet_extra; /* Bytes of options or extension headers, a multiple of 8. */
	unsigned int tcp_extra;    /* Of TCP's options, a multiple of 4. */
	unsigned int payload, segment_size;
	uint8_t bytes[FRAME_SIZE_MAX];
	size_t packet, tcp, header_size, size;
	struct frame frame;
	struct iovec rest[4];
};

static void put_packet_header(const struct sample *sample, uint8_t *packet)
{
	size_t length = sample->size - sample->packet;

	for (unsigned int i = 0; i < 40; i++)
		packet[i] = (uint8_t)(0x30 + i);
	if (sample->is_v6) {
		packet[0] = 0x60;
		tcp_frame_put(packet + 4, length - 40);
		packet[6] = sample->packet_extra ? 0 : 6; /* Hop-by-hop options. */
		if (sample->packet_extra) {
			packet[40] = 6;
			packet[41] = (uint8_t)(sample->packet_extra / 8 - 1);
		}
		return;
	}
	packet[0] = (uint8_t)(0x45 + sample->packet_extra / 4);
	tcp_frame_put(packet + 2, length);
	tcp_frame_put(packet + 4, IDENTIFICATION);
	packet[6] = 0x40; /* Do not fragment. */
	packet[7] = 0;
	packet[9] = 6;
	tcp_frame_put(packet + 10, 0);
	tcp_frame_put(packet + 10, ~tcp_frame_sum(packet, 20 + sample->packet_extra, 0));
}

static void put_tcp_header(const struct sample *sample, uint8_t *tcp)
{
	tcp_frame_put(tcp + 4, SEQUENCE >> 16);
	tcp_frame_put(tcp + 6, SEQUENCE & 0xffff);
	tcp[12] = (uint8_t)((20 + sample->tcp_extra) / 4 << 4);
	tcp[13] = FLAGS;
	tcp_frame_put(tcp + 16,
		      tcp_frame_pseudo_sum(sample->bytes + sample->packet, sample->is_v6, sample->size - sample->tcp));
}

/* The first bytes in the header, the rest of the headers and the payload in pieces, one of them empty. */
static void put_frame(struct sample *sample)
{
	struct frame *frame = &sample->frame;
	size_t left;

	*frame = (struct frame){.size = sample->size, .rest = sample->rest, .rest_count = 4};
	frame->header_size = sample->size < FRAME_HEADER_SIZE ? sample->size : FRAME_HEADER_SIZE;
	memcpy(frame->header, sample->bytes, frame->header_size);
	left = sample->size - frame->header_size;
	sample->rest[0] = (struct iovec){sample->bytes + frame->header_size, left / 3};
	sample->rest[1] = (struct iovec){sample->bytes, 0};
	sample->rest[2] = (struct iovec){sample->bytes + frame->header_size + left / 3, left / 2};
	sample->rest[3] = (struct iovec){sample->bytes + frame->header_size + left / 3 + left / 2,
					 left - left / 3 - left / 2};
}

/* Makes the frame of what the sample asks for, and has it checked. */
static bool build(struct sample *sample)
{
	static const uint8_t tags[2][4] = {{0x81, 0x00, 0x00, 0x0a}, {0x88, 0xa8, 0x00, 0x14}};
	struct frame_offload *offload = &sample->frame.offload;
	size_t count;

	sample->packet = 14 + 4 * sample->tags;
	sample->tcp = sample->packet + (sample->is_v6 ? 40 : 20) + sample->packet_extra;
	sample->header_size = sample->tcp + 20 + sample->tcp_extra;
	sample->size = sample->header_size + sample->payload;
	assert_in_range(sample->size, FRAME_SIZE_MIN, FRAME_SIZE_MAX);
	for (size_t i = 0; i < sample->size; i++)
		sample->bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned int i = 0; i < sample->tags; i++)
		memcpy(sample->bytes + 12 + 4 * i, tags[sample->tags - 1 - i], 4);
	tcp_frame_put(sample->bytes + sample->packet - 2, sample->is_v6 ? 0x86dd : 0x0800);
	put_packet_header(sample, sample->bytes + sample->packet);
	put_tcp_header(sample, sample->bytes + sample->tcp);
	put_frame(sample);
	*offload = (struct frame_offload){.checksum_start = (uint16_t)sample->tcp,
					  .checksum_offset = 16,
					  .segment_size = (uint16_t)sample->segment_size,
					  .segmentation = sample->is_v6 ? FRAME_TCPV6 : FRAME_TCPV4};
	count = sample->size < OFFLOAD_HEADERS_MAX ? sample->size : OFFLOAD_HEADERS_MAX;
	return offload_check(offload, sample->bytes, count, sample->size);
}

struct seen {
	const struct sample *sample;
	unsigned int count;
	size_t payload, packet, tcp; /* Bytes of payload so far, and where the headers are now. */
	size_t header_size;
};

static void check_packet(const struct seen *seen, const uint8_t *bytes, size_t size)
{
	const uint8_t *packet = bytes + seen->packet;

	if (seen->sample->is_v6) {
		assert_int_equal(tcp_frame_get(packet + 4), size - seen->packet - 40);
	} else {
		assert_int_equal(tcp_frame_get(packet + 2), size - seen->packet);
		assert_int_equal(tcp_frame_get(packet + 4), (IDENTIFICATION + seen->count) & 0xffff);
		assert_int_equal(tcp_frame_sum(packet, seen->tcp - seen->packet, 0), 0xffff);
	}
	assert_int_equal(tcp_frame_sum(bytes + seen->tcp, size - seen->tcp,
				       tcp_frame_pseudo_sum(packet, seen->sample->is_v6, size - seen->tcp)),
			 0xffff);
}

static void check_segment(void *opaque, const struct frame *frame)
{
	struct seen *seen = opaque;
	const struct sample *sample = seen->sample;
	static uint8_t bytes[FRAME_SIZE_MAX];
	size_t part = frame->size - seen->header_size;
	bool is_last = seen->payload + part == sample->payload;
	const uint8_t *tcp = bytes + seen->tcp;

	assert_false(frame_is_offloaded(frame));
	assert_true(part > 0 && (is_last || part == sample->segment_size));
	frame_copy(frame, bytes, frame->size);
	check_packet(seen, bytes, frame->size);
	assert_int_equal((uint32_t)tcp_frame_get(tcp + 4) << 16 | tcp_frame_get(tcp + 6),
			 (uint32_t)(SEQUENCE + seen->payload));
	assert_int_equal(tcp[13], 0x10 | (seen->count == 0 ? 0x80 : 0) | (is_last ? 0x09 : 0));
	assert_memory_equal(bytes + seen->header_size, sample->bytes + sample->header_size + seen->payload, part);
	/* What is the same in all of them: addresses, ports, options. */
	assert_memory_equal(bytes, sample->bytes, 12);
	assert_memory_equal(tcp, sample->bytes + sample->tcp, 4);
	assert_memory_equal(tcp + 20, sample->bytes + sample->tcp + 20, sample->tcp_extra);
	seen->payload += part;
	seen->count++;
}

/* Finishes the frame, whose headers begin 'shift' bytes behind where they were in the sample. */
static void check_segments(const struct sample *sample, const struct frame *frame, int shift)
{
	uint8_t *room = malloc(OFFLOAD_ROOM);
	struct seen seen = {.sample = sample,
			    .packet = (size_t)((int)sample->packet + shift),
			    .tcp = (size_t)((int)sample->tcp + shift),
			    .header_size = (size_t)((int)sample->header_size + shift)};

	assert_non_null(room);
	offload_finish(frame, room, check_segment, &seen);
	assert_int_equal(seen.payload, sample->payload);
	assert_int_equal(seen.count, offload_count(frame));
	assert_int_equal(seen.count, (sample->payload + sample->segment_size - 1) / sample->segment_size);
	free(room);
}

static void test_segments(void **state)
{
	static const unsigned int payloads[] = {1, 99, 100, 101, 1448, 2896, 4000, 65000};
	static const unsigned int sizes[] = {100, 101, 536, 1448, 9000};
	static struct sample sample;

	(void)state;
	for (unsigned int i = 0; i < 2 * 3 * 3 * 3 * 8 * 5; i++) {
		unsigned int rest = i / 2 / 3 / 3 / 3;

		sample = (struct sample){.is_v6 = i % 2,
					 .tags = i / 2 % 3,
					 .packet_extra = i / 2 / 3 % 3 * 8,
					 .tcp_extra = i / 2 / 3 / 3 % 3 * 12,
					 .payload = payloads[rest % 8],
					 .segment_size = sizes[rest / 8]};
		assert_true(build(&sample));
		assert_int_equal(sample.frame.offload.header_size, sample.header_size);
		check_segments(&sample, &sample.frame, 0);
	}
}

static void test_longest_headers(void **state)
{
	static struct sample v4 = {.tags = 2, .packet_extra = 40, .tcp_extra = 40, .payload = 5000, .segment_size = 99};
	static struct sample v6 = {.is_v6 = true,
				   .packet_extra = 136,
				   .tcp_extra = 40,
				   .payload = 99,
				   .segment_size = 9};

	(void)state;
	assert_true(build(&v4));
	check_segments(&v4, &v4.frame, 0);
	assert_true(build(&v6));
	check_segments(&v6, &v6.frame, 0);
	v6.tags = 2;
	assert_false(build(&v6));
	v6.packet_extra = 128;
	assert_true(build(&v6));
	check_segments(&v6, &v6.frame, 0);
}

static void test_tags_come_and_go(void **state)
{
	static struct sample sample = {.tags = 1, .tcp_extra = 12, .payload = 4000, .segment_size = 1448};
	struct frame frame;

	(void)state;
	assert_true(build(&sample));
	frame = sample.frame;
	vlan_pop(&frame);
	check_segments(&sample, &frame, -4);
	vlan_push(&frame, 20);
	check_segments(&sample, &frame, 0);
	vlan_push(&frame, 30);
	check_segments(&sample, &frame, 4);
}

static void test_size_on_a_wire(void **state)
{
	static struct sample sample = {.payload = 4000, .segment_size = 1460};

	(void)state;
	assert_true(build(&sample));
	assert_int_equal(offload_wire_size(&sample.frame), 1514);
	sample.payload = 100;
	assert_true(build(&sample));
	assert_int_equal(offload_wire_size(&sample.frame), 154);
	assert_int_equal(offload_count(&sample.frame), 1);
	sample.frame.offload = (struct frame_offload){0};
	assert_int_equal(offload_wire_size(&sample.frame), 154);
	assert_int_equal(offload_count(&sample.frame), 1);
}

/* Checksums alone. */

struct finished {
	uint8_t bytes[2048];
	size_t size;
	unsigned int count;
};

static void keep(void *opaque, const struct frame *frame)
{
	struct finished *finished = opaque;

	assert_false(frame_is_offloaded(frame));
	frame_copy(frame, finished->bytes, frame->size);
	finished->size = frame->size;
	finished->count++;
}

static struct finished finish(const struct frame *frame)
{
	struct finished finished = {.count = 0};
	uint8_t *room = malloc(OFFLOAD_ROOM);

	assert_non_null(room);
	offload_finish(frame, room, keep, &finished);
	assert_int_equal(finished.count, 1);
	free(room);
	return finished;
}

static void test_checksum_is_completed(void **state)
{
	static struct sample sample = {.is_v6 = true, .tags = 2, .payload = 701};
	struct seen seen = {.sample = &sample};
	struct finished finished;

	(void)state;
	assert_true(build(&sample));
	assert_int_equal(sample.frame.offload.header_size, 0);
	assert_int_equal(offload_count(&sample.frame), 1);
	assert_int_equal(offload_wire_size(&sample.frame), sample.size);
	finished = finish(&sample.frame);
	assert_int_equal(finished.size, sample.size);
	seen.packet = sample.packet;
	seen.tcp = sample.tcp;
	check_packet(&seen, finished.bytes, finished.size);
	memcpy(sample.bytes + sample.tcp + 16, finished.bytes + sample.tcp + 16, 2);
	assert_memory_equal(finished.bytes, sample.bytes, sample.size);
}

/* 0 would say of UDP that it has no checksum; of TCP, 0xffff is not how it is written. */
static void test_checksum_of_zero(void **state)
{
	static const struct {
		uint16_t offset, expected;
	} cases[] = {{6, 0xffff}, {16, 0}};
	struct finished finished;
	uint8_t bytes[60] = {[12] = 0x08};
	struct frame frame;
	struct iovec rest;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(bytes + 34, 0, sizeof(bytes) - 34);
		tcp_frame_put(bytes + 34 + cases[i].offset, 0xffff);
		frame_set(&frame, &rest, bytes, sizeof(bytes));
		frame.offload = (struct frame_offload){.checksum_start = 34, .checksum_offset = cases[i].offset};
		assert_true(offload_check(&frame.offload, bytes, sizeof(bytes), sizeof(bytes)));
		finished = finish(&frame);
		assert_int_equal(tcp_frame_get(finished.bytes + 34 + cases[i].offset), cases[i].expected);
	}
}

static void test_nothing_undone_is_passed_on(void **state)
{
	static struct sample sample = {.payload = 300};
	struct finished finished;

	(void)state;
	assert_true(build(&sample));
	sample.frame.offload = (struct frame_offload){0};
	finished = finish(&sample.frame);
	assert_int_equal(finished.size, sample.size);
	assert_memory_equal(finished.bytes, sample.bytes, sample.size);
}

/* What guests say that is not so. */

static bool check_again(const struct sample *sample, struct frame_offload offload)
{
	size_t count = sample->size < OFFLOAD_HEADERS_MAX ? sample->size : OFFLOAD_HEADERS_MAX;

	return offload_check(&offload, sample->bytes, count, sample->size);
}

static void test_bad_checksum_places(void **state)
{
	static struct sample sample = {.tags = 1, .payload = 10};
	const uint16_t last = 18 + 20 + 20 + 10 - 2;

	(void)state;
	assert_true(build(&sample));
	assert_true(check_again(&sample, (struct frame_offload){.checksum_start = 38}));
	assert_true(check_again(&sample, (struct frame_offload){.checksum_start = last}));
	assert_false(check_again(&sample, (struct frame_offload){.checksum_start = 37}));
	assert_false(check_again(&sample, (struct frame_offload){.checksum_start = 0}));
	assert_false(check_again(&sample, (struct frame_offload){.checksum_start = last + 1}));
	assert_false(check_again(&sample, (struct frame_offload){.checksum_start = last, .checksum_offset = 1}));
	assert_false(check_again(&sample, (struct frame_offload){.checksum_start = 0xffff, .checksum_offset = 0xffff}));
	assert_false(check_again(&sample, (struct frame_offload){.checksum_start = 38, .checksum_offset = 0xfffe}));
}

/* Nor where addresses are, which guards have looked at before a checksum is put there; and with one tag more it is
 * where it was. */
static void test_checksums_are_behind_addresses(void **state)
{
	static const struct {
		uint16_t type, first; /* Behind the EtherType; 0: nowhere. */
	} types[] = {{0x0800, 20}, {0x86dd, 40}, {0x0806, 0}, {0x88cc, 1}};
	static uint8_t bytes[FRAME_HEADER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct frame_offload offload = {.checksum_offset = 0};

		bytes[12] = (uint8_t)(types[i].type >> 8);
		bytes[13] = (uint8_t)types[i].type;
		for (uint16_t at = 0; at < 100; at++) {
			offload.checksum_start = (uint16_t)(14 + at);
			assert_int_equal(offload_check(&offload, bytes, sizeof(bytes), 1000),
					 types[i].first > 0 && at + (types[i].first == 1) >= types[i].first);
		}
	}
	assert_true(offload_check(&(struct frame_offload){.checksum_start = 65531}, bytes, sizeof(bytes), 65553));
	assert_false(offload_check(&(struct frame_offload){.checksum_start = 65532}, bytes, sizeof(bytes), 65553));
}

static void test_tags_without_end(void **state)
{
	struct frame_offload offload = {.checksum_start = 100, .checksum_offset = 0};
	uint8_t bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i % 4 == 0 ? 0x81 : 0;
	assert_false(offload_check(&offload, bytes, FRAME_HEADER_SIZE, sizeof(bytes)));
}

static void test_bad_segments(void **state)
{
	static struct sample v4, v6;
	struct frame_offload offload;
	static const struct {
		size_t at; /* From the packet on. */
		uint8_t v4, v6;
	} bytes[] = {
		{0, 0x65, 0x45}, /* Another version. */
		{0, 0x44, 0x55}, /* A header that is too short; another version. */
		{0, 0x46, 0x05}, /* One that is longer; another version. */
		{0, 0x4f, 0x75}, /* One that has no end. */
		{9, 17, 0},      /* UDP. */
		{6, 0x20, 17},   /* A fragment; UDP. */
		{7, 0x01, 0},    /* Another. */
		{6, 0x1f, 44},   /* And its like in IPv6. */
	};

	(void)state;
	v4 = (struct sample){.payload = 3000, .segment_size = 1000};
	v6 = (struct sample){.is_v6 = true, .payload = 3000, .segment_size = 1000};
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		assert_true(build(&v4));
		v4.bytes[v4.packet + bytes[i].at] = bytes[i].v4;
		assert_false(check_again(&v4, v4.frame.offload));
		if (!bytes[i].v6)
			continue;
		assert_true(build(&v6));
		v6.bytes[v6.packet + bytes[i].at] = bytes[i].v6;
		assert_false(check_again(&v6, v6.frame.offload));
	}
	for (unsigned int size = 0; size < 0x100; size += 0x10) {
		assert_true(build(&v4));
		v4.bytes[v4.tcp + 12] = (uint8_t)size;
		assert_int_equal(check_again(&v4, v4.frame.offload), size >= 0x50);
	}
	assert_true(build(&v4));
	offload = v4.frame.offload;
	offload.segmentation = FRAME_TCPV6;
	assert_false(check_again(&v4, offload));
	offload = v4.frame.offload;
	offload.checksum_offset = 6;
	assert_false(check_again(&v4, offload));
	offload.checksum_offset = 16;
	offload.checksum_start++;
	assert_false(check_again(&v4, offload));
}

static void test_bad_extension_headers(void **state)
{
	static struct sample sample = {.is_v6 = true, .packet_extra = 16, .payload = 300, .segment_size = 100};

	(void)state;
	assert_true(build(&sample));
	sample.bytes[sample.packet + 41] = 255; /* Its length. */
	assert_false(check_again(&sample, sample.frame.offload));
	assert_true(build(&sample));
	memset(sample.bytes + sample.packet + 40, 0, 210); /* Hop-by-hop options without end. */
	sample.bytes[sample.packet + 6] = 0;
	assert_false(check_again(&sample, sample.frame.offload));
}

static void test_segments_without_payload_or_number(void **state)
{
	static struct sample sample = {.segment_size = 1};

	(void)state;
	assert_false(build(&sample));
	sample.payload = 1;
	assert_true(build(&sample));
	sample.payload = OFFLOAD_SEGMENTS_MAX;
	assert_true(build(&sample));
	check_segments(&sample, &sample.frame, 0);
	sample.payload++;
	assert_false(build(&sample));
	sample.segment_size = 0xffff;
	assert_true(build(&sample));
	check_segments(&sample, &sample.frame, 0);
}

/* Bytes that are not there are not looked at: memory checkers would tell. */
static void test_headers_cut_off(void **state)
{
	static struct sample samples[] = {{.tags = 1, .tcp_extra = 12, .payload = 1, .segment_size = 1},
					  {.is_v6 = true, .packet_extra = 16, .payload = 1, .segment_size = 1}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_true(build(&samples[i]));
		for (size_t size = 0; size < samples[i].size; size++) {
			uint8_t *bytes = malloc(size + 1);
			struct frame_offload offload = samples[i].frame.offload;

			assert_non_null(bytes);
			memcpy(bytes, samples[i].bytes, size);
			assert_false(offload_check(&offload, bytes, size, size));
			free(bytes);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_longest_headers),
		cmocka_unit_test(test_tags_come_and_go),
		cmocka_unit_test(test_size_on_a_wire),
		cmocka_unit_test(test_checksum_is_completed),
		cmocka_unit_test(test_checksum_of_zero),
		cmocka_unit_test(test_nothing_undone_is_passed_on),
		cmocka_unit_test(test_bad_checksum_places),
		cmocka_unit_test(test_checksums_are_behind_addresses),
		cmocka_unit_test(test_tags_without_end),
		cmocka_unit_test(test_bad_segments),
		cmocka_unit_test(test_bad_extension_headers),
		cmocka_unit_test(test_segments_without_payload_or_number),
		cmocka_unit_test(test_headers_cut_off),
	};

	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
