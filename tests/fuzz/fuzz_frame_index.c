/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of a capture in any order, with any ids, are put into an index that is too small for them, linked, and asked
 * for what was between two nodes.  Each four bytes are a packet, at one of eight ports, of IPv6 or of nothing. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/frame_flow.h"

#define FRAME_SIZE 62
#define RECORD_SIZE 4

static const struct frame_index_limits limits = {.frames = 32, .crossings = 64, .bytes = 4096, .ports = 8};

static void check(bool condition)
{
	if (!condition)
		abort();
}

/* An echo request, of which the fuzzer chooses few bytes, so that frames are often alike. */
static uint32_t make_frame(uint8_t choice, uint8_t hop_limit, uint8_t frame[FRAME_SIZE])
{
	static const uint8_t begin[] = {0x52, 0x54, 0,    0,    0, 2, 0x52, 0x54, 0, 0, 0,
					1,    0x86, 0xdd, 0x60, 0, 0, 0,    0,    8, 58};

	memset(frame, 0, FRAME_SIZE);
	memcpy(frame, begin, sizeof(begin));
	frame[0] |= choice >> 7;                 /* For a group. */
	frame[21] = hop_limit;                   /* And ... */
	frame[22] = frame[38] = 0xfd;            /* ... addresses. */
	frame[37] = frame[5] = choice & 3;       /* Source. */
	frame[53] = frame[11] = choice >> 2 & 3; /* Destination. */
	frame[54] = 128;
	return choice & 0x40 ? 20 : FRAME_SIZE; /* Cut short. */
}

static void add(struct frame_index *index, const uint8_t *record)
{
	static const char *const ports[] = {"h1:eth0",     "h2:eth0", "r1:eth0",      "r1:eth1",
					    "network:lan", "h3:eth0", "socket:other", ":"};
	struct pcapng_reader_interface interface = {.name = (char *)(uintptr_t)ports[record[1] & 7]};
	uint8_t frame[FRAME_SIZE];
	struct pcapng_reader_packet packet = {
		.interface = &interface,
		.time = record[0],
		.bytes = frame,
		.captured = make_frame(record[2], record[3] >> 4, frame),
		.size = FRAME_SIZE,
		.direction = record[1] >> 3 & 3,
		.has_id = true,
		.id = record[0] ^ (record[3] & 0xf),
		.comments = {record[1] & 0x80 ? "netlab: drop=storm limit=5" : NULL},
	};
	int result;

	while ((result = frame_index_add(index, &packet)) == -ENOSPC)
		check(frame_index_forget(index) == 0);
	check(result == 1 && frame_index_find(index, packet.id) < frame_index_count(index));
}

static void check_way(const struct frame_index *index, const struct frame_flow *flow, const struct frame_fate *fate)
{
	uint32_t ports[FRAME_FLOW_PORTS_MAX];
	size_t count = frame_flow_way(flow, fate, ports);

	check(count > 0 && count <= FRAME_FLOW_PORTS_MAX && fate->frame < frame_index_count(index));
	for (size_t i = 0; i < count; i++)
		check(frame_index_port_name(index, ports[i])[0] != '\0');
}

static void check_frame(const struct frame_index *index, const struct frame_links *links, uint32_t number)
{
	uint32_t frames[32], parent = frame_links_parent(links, number);
	size_t count = frame_links_collect(links, number, frames, 32);
	const struct frame_index_frame *frame = frame_index_get(index, number);

	check(frame_index_find(index, frame->id) == number);
	check(count >= 1 && frames[0] == number && frame_links_root(links, number) <= number);
	if (parent == FRAME_INDEX_NONE)
		return;
	check(parent < number);
	check(packet_identity_follows(&frame_index_get(index, parent)->identity, &frame->identity));
}

static void check_all(const struct frame_index *index)
{
	struct frame_links *links = frame_links_create(index);
	uint32_t a = frame_index_find_owner(index, "h1"), b = frame_index_find_owner(index, "network:lan");
	struct frame_flow *flow = a < b && b != FRAME_INDEX_NONE ? frame_flow_create(index, links, a, b) : NULL;
	struct frame_fate fate;

	check(links != NULL);
	for (uint32_t i = 0; i < frame_index_count(index); i++) {
		check_frame(index, links, i);
		if (flow && frame_flow_has(flow, i, &fate))
			check_way(index, flow, &fate);
	}
	frame_flow_destroy(flow);
	frame_links_destroy(links);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_index *index = frame_index_create(&limits);

	check(index != NULL);
	for (size_t i = 0; i + RECORD_SIZE <= size; i += RECORD_SIZE)
		add(index, data + i);
	check_all(index);
	frame_index_destroy(index);
	return 0;
}
