/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that may be anything, through a network whose ports have VLANs, guards, limits, isolation and mirrors, all of
 * which change on the way.  What arrives is compared with what was sent: nothing but a tag of the right VLAN may be
 * another, and nothing may arrive where it must not. */

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/port_rules.h"
#include "stand_in.h"
#include "tests/unit/tcp_frame.h"

#define PORTS 6
#define STEPS_MAX 200
#define TAG_SIZE 4u
#define TAG_AT 12u

struct target;

struct station {
	struct target *target;
	struct port *port;
	unsigned int frames;
};

struct target {
	struct dataplane *dataplane;
	struct network *network;
	struct station stations[PORTS];
	const struct port *sender; /* NULL: none sends. */
	const uint8_t *sent;
	size_t sent_size;
	struct frame_offload sent_offload;
	struct network_options options;
};

/* The VLAN that the frame being sent is in, by another way than the data plane's; 0: none. */
static unsigned int vlan_of_sent(const struct target *target, bool *has_tag)
{
	const struct port_rules *rules = port_get_rules(target->sender);
	unsigned int vlan = 0;

	*has_tag = target->sent[TAG_AT] == 0x81 && target->sent[TAG_AT + 1] == 0;
	if (*has_tag && target->sent_size >= FRAME_SIZE_MIN + TAG_SIZE)
		vlan = (target->sent[TAG_AT + 2] & 0xfu) << 8 | target->sent[TAG_AT + 3];
	else if (*has_tag)
		return 0;
	if (vlan == 0)
		vlan = rules->vlan;
	return vlan;
}

/* Writes what a receiver with these rules should get, and returns its size. */
static size_t expect(const struct target *target, const struct port_rules *rules, uint8_t *expected)
{
	bool has_tag;
	unsigned int vlan = vlan_of_sent(target, &has_tag), priority = has_tag ? target->sent[TAG_AT + 2] & 0xf0u : 0;
	size_t size = TAG_AT, skip = has_tag ? TAG_SIZE : 0;

	stand_in_check(vlan >= 1 && vlan <= VLAN_MAX);
	stand_in_check(port_rules_is_in(rules, (uint16_t)vlan));
	stand_in_check(port_rules_is_in(port_get_rules(target->sender), (uint16_t)vlan));
	memcpy(expected, target->sent, TAG_AT);
	if (rules->vlan != vlan) {
		expected[size++] = 0x81;
		expected[size++] = 0;
		expected[size++] = (uint8_t)(priority | vlan >> 8);
		expected[size++] = (uint8_t)vlan;
	}
	memcpy(expected + size, target->sent + TAG_AT + skip, target->sent_size - TAG_AT - skip);
	return size + target->sent_size - TAG_AT - skip;
}

/* What was left undone stays so, as far behind as a tag has moved it, or it is done, and all is true. */
static void check_offload(const struct target *target, const struct frame *frame, const uint8_t *got)
{
	const struct frame_offload *sent = &target->sent_offload;
	size_t moved = frame->size - target->sent_size;

	if (!frame_is_offloaded(frame)) {
		stand_in_check(tcp_frame_is_true(got, frame->size));
		return;
	}
	stand_in_check(frame->offload.checksum_start == sent->checksum_start + moved);
	stand_in_check(frame->offload.segment_size == sent->segment_size);
	stand_in_check(frame->offload.header_size == (sent->header_size > 0 ? sent->header_size + moved : 0));
}

/* Every second station takes what is undone. */
static bool takes(void *opaque, const struct frame *frame)
{
	const struct station *station = opaque;

	stand_in_check(frame_is_offloaded(frame));
	return (station - station->target->stations) % 2;
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct station *station = opaque;
	const struct target *target = station->target;
	const bool is_finished = target->sent_offload.checksum_start > 0 && !frame_is_offloaded(frame);
	const struct port_rules *rules = port_get_rules(station->port);
	static uint8_t got[FRAME_SIZE_MAX], expected[FRAME_SIZE_MAX + TAG_SIZE];

	stand_in_check(target->sender != NULL);
	stand_in_check(frame->size >= FRAME_SIZE_MIN && frame->size <= FRAME_SIZE_MAX);
	stand_in_check(frame->header_size <= frame->size && frame->header_size <= sizeof(frame->header));
	frame_copy(frame, got, frame->size);
	if (target->sent_offload.checksum_start > 0)
		check_offload(target, frame, got);
	/* A mirror may get the frame as it came, or as it left by any port. */
	if (!rules->is_mirror) {
		stand_in_check(station->port != target->sender);
		stand_in_check(!rules->is_isolated || !port_get_rules(target->sender)->is_isolated);
		if (is_finished) {
			stand_in_check(!memcmp(got, target->sent, TAG_AT));
		} else if (target->options.has_vlans) {
			stand_in_check(expect(target, rules, expected) == frame->size);
			stand_in_check(!memcmp(got, expected, frame->size));
		} else {
			stand_in_check(target->sent_size == frame->size && !memcmp(got, target->sent, frame->size));
		}
	}
	station->frames++;
	return station->frames % 13 == 0 ? PORT_RING_FULL : PORT_DELIVERED;
}

static const struct port_ops ops = {.deliver = deliver, .takes = takes};

/* Begins a frame with what is worth looking into; the rest is the input's. */
static void begin(uint8_t *bytes, size_t size, uint8_t kind)
{
	static const uint8_t tags[][4] = {{0x81, 0, 0, 0},
					  {0x81, 0, 0, 1},
					  {0x81, 0, 0xe0, 10},
					  {0x81, 0, 0x0f, 0xff},
					  {0x88, 0xa8, 0, 10}};
	static const uint8_t arp[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0, 0, 0, 0, 1, 10, 0, 0, 1};
	static const uint8_t ipv4[] = {0x08, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1};
	static const uint8_t ipv6[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 58, 255, 0xfe, 0x80, 0, 0, 0, 0, 0, 0};
	const uint8_t *payloads[] = {arp, ipv4, ipv6};
	size_t at = TAG_AT;

	if (size < 60)
		return;
	memset(bytes, kind & 1 ? 0xff : 0, 5);
	bytes[0] |= 0x52;
	memcpy(bytes + 6, "\x52\0\0\0\0", 5);
	for (unsigned int i = 0; i < (kind >> 1 & 3u); i++, at += TAG_SIZE)
		memcpy(bytes + at, tags[(kind + i) % 5], TAG_SIZE);
	if (kind >> 6 < 3)
		memcpy(bytes + at, payloads[kind >> 6], 18);
}

static void transmit(struct target *target, struct station *station, struct input *input)
{
	uint8_t kind = input_8(input);
	size_t size = FRAME_SIZE_MIN + input_16(input) % (kind & 8 ? FRAME_SIZE_MAX - FRAME_SIZE_MIN + 1 : 128);
	size_t given = size < input->size ? size : input->size;
	struct frame frame = {.size = size, .header_size = size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE};
	/* Of their sizes, so that whoever reads beyond is seen. */
	uint8_t *bytes = calloc(1, size), *rest = NULL;
	struct iovec rest_of_it;

	stand_in_check(bytes);
	if (given > 128)
		given = 128;
	memcpy(bytes, input->data, given);
	input->data += given;
	input->size -= given;
	begin(bytes, size, kind);
	target->sent_offload = (struct frame_offload){0};
	if (size > TCP_FRAME_HEADERS && size <= 0xffff && kind >> 6 == 3 && given > 40)
		tcp_frame_make(bytes, size, bytes[30] > 0 ? (uint16_t)(bytes[30] * 8u | 32) : 0, &target->sent_offload);
	frame.offload = target->sent_offload;
	memcpy(frame.header, bytes, frame.header_size);
	if (size > frame.header_size) {
		rest = malloc(size - frame.header_size);
		stand_in_check(rest);
		memcpy(rest, bytes + frame.header_size, size - frame.header_size);
		rest_of_it = (struct iovec){rest, size - frame.header_size};
		frame.rest = &rest_of_it;
		frame.rest_count = 1;
	}
	target->sender = station->port;
	target->sent = bytes;
	target->sent_size = size;
	port_transmit(station->port, &frame);
	target->sender = NULL;
	free(rest);
	free(bytes);
}

static void change_rules(struct station *station, struct input *input)
{
	static struct in_addr ipv4;
	static struct in6_addr ipv6;
	uint8_t bits = input_8(input), first = input_8(input), more = input_8(input);
	struct port_rules rules = {.is_isolated = bits & 1,
				   .guard = bits & 2 ? bits >> 2 & 7u : 0,
				   .storm = bits & 0x20 ? 3 : 0,
				   .vlan = bits & 0x40 ? first % 16u : 10,
				   .mac = {0x52, 0, 0, 0, 0, 1},
				   .ipv4 = &ipv4,
				   .ipv4_count = more & 1,
				   .ipv6 = &ipv6,
				   .ipv6_count = more >> 1 & 1u};

	inet_pton(AF_INET, "10.0.0.1", &ipv4);
	inet_pton(AF_INET6, "fe80::1", &ipv6);
	if (bits & 0x80)
		port_rules_add_trunk(&rules, (uint16_t)(1 + first),
				     more == 0xff ? VLAN_MAX : (uint16_t)(1 + first + more));
	port_set_rules(station->port, &rules);
}

static void make_mirror(struct target *target, struct station *station, uint8_t which)
{
	const struct port_rules rules = {.is_mirror = true};

	port_part(station->port);
	port_set_rules(station->port, &rules);
	if (which & 1)
		network_add_mirror(target->network, station->port);
	else
		port_add_mirror(target->stations[which / 2 % PORTS].port, station->port);
}

/* Mirrors that are ports again get no copies any more. */
static void unmake_mirrors(struct target *target)
{
	dataplane_clear_mirrors(target->dataplane);
	for (int i = 0; i < PORTS; i++) {
		if (port_get_rules(target->stations[i].port)->is_mirror)
			port_set_rules(target->stations[i].port, &port_rules_default);
		port_join_network(target->stations[i].port, target->network);
	}
}

static void count(void *opaque, const struct network_station *station)
{
	size_t *number = opaque;

	stand_in_check(station->address >> 48 == 0 && station->vlan <= VLAN_MAX && station->port);
	(*number)++;
}

static void step(struct target *target, struct input *input)
{
	uint8_t what = input_8(input);
	struct station *station = &target->stations[what % PORTS];
	size_t number = 0;

	switch (what / PORTS % 16) {
	case 0:
		/* A mirror stays one until all end. */
		if (!port_get_rules(station->port)->is_mirror)
			change_rules(station, input);
		break;
	case 1:
		make_mirror(target, station, input_8(input));
		break;
	case 2:
		unmake_mirrors(target);
		break;
	case 3:
		target->options.has_vlans = input_8(input) & 3;
		target->options.is_hub = !target->options.has_vlans;
		target->options.passes_reserved = what & 0x80;
		network_set_options(target->network, &target->options);
		break;
	case 4:
		port_plug(station->port, what & 0x80 ? NULL : &ops, station);
		break;
	case 5:
		network_for_each_station(target->network, count, &number);
		stand_in_check(number <= network_mac_count(target->network));
		stand_in_check(network_flush(target->network) >= number);
		stand_in_check(network_mac_count(target->network) == 0);
		break;
	default:
		transmit(target, station, input);
		break;
	}
}

/* Whatever was before: two ports in a VLAN hear each other. */
static void check_works(struct target *target)
{
	struct port_rules rules = {.vlan = 7};
	struct input broadcast = {.data = (const uint8_t *)"\x01\0\x40", .size = 3};
	unsigned int before, dropped = 0;

	unmake_mirrors(target);
	target->options = (struct network_options){.has_vlans = true};
	network_set_options(target->network, &target->options);
	for (int i = 0; i < 2; i++) {
		port_plug(target->stations[i].port, &ops, &target->stations[i]);
		port_set_rules(target->stations[i].port, &rules);
	}
	before = target->stations[1].frames;
	for (; dropped < 2 && target->stations[1].frames == before; dropped++)
		transmit(target, &target->stations[0], &broadcast);
	stand_in_check(target->stations[1].frames > before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[PORTS] = {"h1:eth0", "h2:eth0", "h3:eth0", "h4:eth0", "h5:eth0", "h6:eth0"};
	struct input input = {.data = data, .size = size};
	struct target target = {.dataplane = dataplane_create(NULL)};

	stand_in_check(target.dataplane);
	loop_adopt(dataplane_loop(target.dataplane));
	target.network = dataplane_add_network(target.dataplane, "lan", 8, 300);
	stand_in_check(target.network);
	target.options.has_vlans = true;
	network_set_options(target.network, &target.options);
	for (int i = 0; i < PORTS; i++) {
		target.stations[i].target = &target;
		target.stations[i].port = dataplane_add_port(target.dataplane, names[i]);
		stand_in_check(target.stations[i].port);
		port_plug(target.stations[i].port, &ops, &target.stations[i]);
		port_join_network(target.stations[i].port, target.network);
	}
	for (unsigned int i = 0; i < STEPS_MAX && input.size > 0; i++)
		step(&target, &input);
	check_works(&target);
	dataplane_destroy(target.dataplane);
	return 0;
}
