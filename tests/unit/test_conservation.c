/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is lost without a reason: random labs, with random rules, stations that take frames, filter them or have no
 * room, links that go down and come up, and random frames, good and bad.  Then the capture of the lab and the ports'
 * counters are compared.
 *
 * CONSERVATION_SEED chooses other labs than the usual ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"
#include "netlab/port_rules.h"
#include "netlab/wire.h"
#include "recording.h"
#include "tcp_frame.h"

#define LABS 60
#define FRAMES 400u
#define ANSWERS 5000u
#define CHANGES 1000u
#define PORTS_MAX 24
#define NETWORKS_MAX 3
#define IDS_MAX 2000000u

/* Stands for a NIC. */
struct station {
	struct lab *lab;
	struct port *port;
	unsigned int answers; /* One frame in so many, 0: none. */
	uint8_t address[6];
	struct port_rules rules;
	struct in_addr ipv4;
	uint64_t lost; /* To the capture: answers to answers, of which there were too many. */
};

struct lab {
	uint64_t random;
	struct dataplane *dataplane;
	struct recording recording;
	struct network *networks[NETWORKS_MAX];
	struct station stations[PORTS_MAX];
	unsigned int port_count, network_count;
	unsigned int flaps; /* Links that are to go down and come up. */
	bool is_impaired;
	unsigned int answers_left; /* Answers that are flooded and answered would go on for ever. */
	unsigned int impairments;  /* Times that what frames meet is to be changed. */
};

static uint32_t choose(struct lab *lab, uint32_t below)
{
	lab->random = lab->random * 6364136223846793005ull + 1442695040888963407ull;
	return below > 0 ? (uint32_t)(lab->random >> 33) % below : 0;
}

static void transmit(struct station *station, size_t size)
{
	static const uint16_t types[] = {0x0800, 0x0806, 0x86dd, 0x8100, 0x88cc};
	struct lab *lab = station->lab;
	uint8_t *bytes = calloc(1, size + FRAME_HEADER_SIZE);
	const struct station *to = &lab->stations[choose(lab, lab->port_count)];
	uint16_t type = types[choose(lab, 5)];
	struct frame_offload offload = {0};
	struct frame frame;
	struct iovec rest;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)choose(lab, 256);
	memcpy(bytes, to->address, 6);
	if (choose(lab, 4) == 0)
		memset(bytes, 0xff, 6);
	else if (choose(lab, 20) == 0)
		memcpy(bytes, (const uint8_t[]){0x01, 0x80, 0xc2, 0, 0, 0}, 6);
	if (choose(lab, 10) > 0)
		memcpy(bytes + 6, station->address, 6);
	bytes[12] = (uint8_t)(type >> 8);
	bytes[13] = (uint8_t)type;
	if (type == 0x8100) {
		bytes[14] = 0;
		bytes[15] = (uint8_t)(10 * choose(lab, 4));
	}
	if (size > TCP_FRAME_HEADERS && choose(lab, 6) == 0)
		tcp_frame_make(bytes, size, choose(lab, 3) ? (uint16_t)(50 + choose(lab, 1400)) : 0, &offload);
	frame_set(&frame, &rest, bytes, size);
	frame.offload = offload;
	port_transmit(station->port, &frame);
	free(bytes);
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	static const enum port_result others[] = {PORT_FILTERED, PORT_RING_FULL, PORT_NOT_READY,
						  PORT_TOO_LONG, PORT_MTU,       PORT_QUEUE_FULL};
	struct station *station = opaque;
	struct lab *lab = station->lab;

	(void)frame;
	if (station->answers > 0 && lab->answers_left > 0 && choose(lab, station->answers) == 0) {
		lab->answers_left--;
		transmit(station, 60 + choose(lab, 40));
	}
	return choose(lab, 4) ? PORT_DELIVERED : others[choose(lab, 6)];
}

/* Some take what is undone at times. */
static bool takes(void *opaque, const struct frame *frame)
{
	struct station *station = opaque;

	assert_true(frame_is_offloaded(frame));
	return choose(station->lab, 2);
}

static uint32_t limit(void *opaque, enum port_result result)
{
	(void)opaque;
	return (uint32_t)result;
}

static const struct port_ops ops = {.deliver = deliver, .takes = takes, .limit = limit};

static void choose_rules(struct lab *lab, struct station *station)
{
	struct port_rules *rules = &station->rules;

	*rules = port_rules_default;
	memcpy(rules->mac, station->address, 6);
	rules->ipv4 = &station->ipv4;
	rules->ipv4_count = 1;
	rules->is_isolated = choose(lab, 5) == 0;
	rules->is_mirror = choose(lab, 12) == 0;
	if (choose(lab, 6) == 0)
		rules->guard = choose(lab, 8);
	if (choose(lab, 6) == 0)
		rules->storm = 1 + choose(lab, 50);
	rules->vlan = (uint16_t)(10 * choose(lab, 4));
	if (choose(lab, 3) == 0)
		port_rules_add_trunk(rules, 10, (uint16_t)(10 + 10 * choose(lab, 3)));
	port_set_rules(station->port, rules);
}

static void add_ports(struct lab *lab)
{
	for (unsigned int i = 0; i < lab->port_count; i++) {
		struct station *station = &lab->stations[i];
		char name[24];

		snprintf(name, sizeof(name), "h%u:eth0", i);
		*station = (struct station){.lab = lab, .address = {0x52, 0x54, 0, 0, 0, (uint8_t)i}};
		station->port = dataplane_add_port(lab->dataplane, name);
		station->answers = choose(lab, 3) ? 0 : 2 + choose(lab, 6);
		choose_rules(lab, station);
		if (choose(lab, 12) > 0)
			port_plug(station->port, &ops, station);
	}
}

/* Links between neighbours, networks, and ports on nothing. */
static void join_ports(struct lab *lab)
{
	for (unsigned int i = 0; i < lab->port_count; i++) {
		struct station *station = &lab->stations[i];
		uint32_t kind = choose(lab, 8);

		if (station->rules.is_mirror)
			for (unsigned int j = 0; j < 3; j++)
				port_add_mirror(lab->stations[choose(lab, lab->port_count)].port, station->port);
		else if (kind == 0 && i > 0 && !lab->stations[i - 1].rules.is_mirror)
			port_join_port(station->port, lab->stations[i - 1].port);
		else if (kind > 1)
			port_join_network(station->port, lab->networks[choose(lab, lab->network_count)]);
	}
}

static void make_lab(struct lab *lab, uint64_t seed)
{
	*lab = (struct lab){.random = seed * 2 + 1, .answers_left = ANSWERS};
	lab->dataplane = dataplane_create(NULL);
	lab->is_impaired = choose(lab, 2);
	lab->port_count = 2 + choose(lab, PORTS_MAX - 1);
	lab->network_count = 1 + choose(lab, NETWORKS_MAX);
	for (unsigned int i = 0; i < lab->network_count; i++) {
		const struct network_options network = {.has_vlans = choose(lab, 2),
							.is_hub = choose(lab, 5) == 0,
							.passes_reserved = choose(lab, 2)};

		lab->networks[i] = dataplane_add_network(lab->dataplane, "lan", 8, 300);
		network_set_options(lab->networks[i], &network);
	}
	add_ports(lab);
	join_ports(lab);
	recording_begin(&lab->recording, lab->dataplane, 100);
}

/* A link loses its carrier or has it again, or a direction is cut or mended. */
static void change_a_link(struct lab *lab)
{
	struct port *port = lab->stations[choose(lab, lab->port_count)].port;
	enum port_direction direction = choose(lab, 2) ? PORT_SENDS : PORT_RECEIVES;

	if (choose(lab, 2))
		port_set_carrier(port, !port_has_carrier(port));
	else
		port_cut(port, direction, !port_is_cut(port, direction));
}

/* Down, some frames, and up. */
static void flap(struct lab *lab)
{
	struct port *port = lab->stations[choose(lab, lab->port_count)].port;

	port_set_carrier(port, false);
	for (unsigned int i = choose(lab, 4); i > 0; i--)
		transmit(&lab->stations[choose(lab, lab->port_count)], 60);
	port_set_carrier(port, true);
}

/* Something bad, of times that a test can wait for. */
static struct impairment choose_impairment(struct lab *lab)
{
	const struct impairment one = {
		.delay = choose(lab, 2) ? choose(lab, 2000000) : 0,
		.jitter = choose(lab, 1000000),
		.distribution = (enum impairment_distribution)choose(lab, 3),
		.loss = choose(lab, 3) ? 0 : choose(lab, IMPAIRMENT_ALL / 4),
		.loss_every = choose(lab, 4) ? 0 : 1 + choose(lab, 10),
		.gilbert_elliott = {.to_bad = choose(lab, 2) ? 0 : IMPAIRMENT_ALL / 10,
				    .to_good = IMPAIRMENT_ALL / 4,
				    .loss_bad = IMPAIRMENT_ALL / 2},
		.duplicate = choose(lab, 2) ? 0 : IMPAIRMENT_ALL / 8,
		.corrupt = choose(lab, 2) ? 0 : IMPAIRMENT_ALL / 8,
		.reorder = choose(lab, 2) ? 0 : IMPAIRMENT_ALL / 8,
		.mtu = choose(lab, 4) ? 0 : 1000,
		.rate = choose(lab, 2) ? 0 : 100000000 + choose(lab, 2000000000),
		.queue_frames = choose(lab, 20),
		.discipline = (enum impairment_discipline)choose(lab, 3),
	};

	return choose(lab, 4) ? one : (struct impairment){.delay = 0};
}

static void impair_one(struct lab *lab)
{
	struct port *port = lab->stations[choose(lab, lab->port_count)].port;
	const struct impairment impairment = choose_impairment(lab);

	assert_int_equal(port_impair(port, choose(lab, 2) ? PORT_SENDS : PORT_RECEIVES, &impairment, lab->random), 0);
}

/* Changes what frames meet, and sends some. */
static void impair(struct lab *lab)
{
	impair_one(lab);
	for (unsigned int i = choose(lab, 8); i > 0; i--)
		transmit(&lab->stations[choose(lab, lab->port_count)], 60 + choose(lab, 1400));
	if (choose(lab, 8) == 0)
		change_a_link(lab);
	if (choose(lab, 4) == 0)
		loop_turn(dataplane_loop(lab->dataplane));
}

static bool is_on_its_way(const struct lab *lab)
{
	for (unsigned int i = 0; i < 2 * lab->port_count; i++) {
		struct wire_counters counters;

		if (port_read_wire(lab->stations[i / 2].port, i % 2 ? PORT_SENDS : PORT_RECEIVES, &counters) &&
		    counters.waiting + counters.in_flight > 0)
			return true;
	}
	return false;
}

static void let_all_arrive(struct lab *lab)
{
	while (is_on_its_way(lab))
		loop_turn(dataplane_loop(lab->dataplane));
	dataplane_end_turn(lab->dataplane);
}

/* With what is on its way on them. */
static void lose_links(struct lab *lab)
{
	for (unsigned int i = 0; i < lab->port_count; i++)
		port_part(lab->stations[i].port);
}

static void send_frames(struct lab *lab)
{
	for (; lab->flaps > 0; lab->flaps--)
		flap(lab);
	for (; lab->impairments > 0; lab->impairments--)
		impair(lab);
	for (unsigned int i = 0; i < FRAMES; i++) {
		struct station *station = &lab->stations[choose(lab, lab->port_count)];

		if (choose(lab, 20) == 0)
			transmit(station, choose(lab, 14)); /* Too short. */
		else if (choose(lab, 20) == 0)
			port_refused(station->port, NULL, choose(lab, 100000));
		else
			transmit(station, 14 + choose(lab, choose(lab, 30) ? 1500 : 65000));
		if (choose(lab, 30) == 0) {
			dataplane_hold(lab->dataplane, true);
			transmit(station, 60);
			dataplane_hold(lab->dataplane, false);
		}
		if (choose(lab, 16) == 0)
			change_a_link(lab);
		if (lab->is_impaired && choose(lab, 16) == 0)
			impair_one(lab);
		if (choose(lab, 16) == 0)
			loop_turn(dataplane_loop(lab->dataplane));
	}
	if (choose(lab, 2))
		lose_links(lab);
	let_all_arrive(lab);
}

/* What the capture has of a port, and of a frame. */
struct seen {
	uint64_t sent, received, dropped[DROP_REASON_COUNT];
};

struct fate {
	uint16_t entered, left, died_sent, died_received;
};

static int reason_of(const char *comment)
{
	static const char prefix[] = "netlab: drop=";

	if (!comment || strncmp(comment, prefix, sizeof(prefix) - 1) != 0)
		return -1;
	comment += sizeof(prefix) - 1;
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
		const char *name = drop_reason_name(reason);

		if (!strncmp(comment, name, strlen(name)) && comment[strlen(name)] == ' ')
			return reason;
	}
	fail_msg("%s is no reason", comment);
	return -1;
}

/* Whether a frame that died at its sender was never on the wire. */
static bool is_before_wire(int reason)
{
	return reason == DROP_MALFORMED || reason == DROP_QUEUE_FULL || reason == DROP_NOT_READY;
}

static void look_at(const struct pcapng_reader_packet *packet, struct seen *seen, struct fate *fate)
{
	int reason = reason_of(packet->comments[0]);

	if (packet->direction == 2 && fate->entered > 0) {
		assert_true(reason >= 0); /* It died in the wire behind that port. */
		fate->died_sent++;
	} else if (packet->direction == 2) {
		fate->entered++;
		fate->died_sent += reason >= 0;
		seen->sent += reason < 0 || !is_before_wire(reason);
	} else {
		assert_int_equal(packet->direction, 1);
		fate->left += reason < 0;
		fate->died_received += reason >= 0;
		seen->received += reason < 0;
	}
	if (reason >= 0) {
		seen->dropped[reason]++;
		assert_int_equal(packet->verdict, reason + 1);
	}
}

/* Every frame entered once, and left, or died: at a receiver, or at its sender and then reached nobody but mirrors. */
static void check_fates(const struct lab *lab, const struct fate *fates, uint64_t count)
{
	bool is_lossy = false;

	for (unsigned int i = 0; i < lab->port_count; i++)
		is_lossy |= lab->stations[i].lost > 0;
	for (uint64_t id = 1; id <= count; id++) {
		assert_in_range(fates[id].entered, is_lossy ? 0 : 1, 1);
		assert_true(fates[id].entered == 0 ||
			    fates[id].left + fates[id].died_received + fates[id].died_sent > 0);
	}
}

static void check_port(const struct station *station, const struct seen *seen)
{
	struct port_counters counters;

	port_read_counters(station->port, &counters);
	assert_int_equal(seen->sent, counters.transmitted_frames);
	assert_int_equal(seen->received, counters.received_frames);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		assert_int_equal(seen->dropped[reason] + (reason == DROP_QUEUE_FULL ? station->lost : 0),
				 counters.dropped[reason]);
}

/* What went into a wire came out of it. */
static void check_wires(const struct lab *lab)
{
	for (unsigned int i = 0; i < 2 * lab->port_count; i++) {
		struct wire_counters is;
		uint64_t out;

		if (!port_read_wire(lab->stations[i / 2].port, i % 2 ? PORT_SENDS : PORT_RECEIVES, &is))
			continue;
		assert_int_equal(is.waiting + is.in_flight, 0);
		out = is.passed + is.arrived + is.lost + is.mtu + is.queue_full + is.early + is.no_room + is.cut;
		/* What died before it arrived for the second time is no duplicate. */
		assert_in_range(out - is.frames - is.duplicated, 0, is.no_room + is.cut);
	}
}

static void read_capture(const struct lab *lab)
{
	struct seen seen[PORTS_MAX] = {0};
	struct fate *fates = calloc(IDS_MAX, sizeof(*fates));
	struct pcapng_reader_packet packet;
	uint64_t last = 0, before = 0;
	unsigned int port;
	int result;

	while ((result = pcapng_reader_next(lab->recording.reader, &packet)) == 1) {
		assert_true(packet.time >= before && packet.id < IDS_MAX);
		before = packet.time;
		last = packet.id > last ? packet.id : last;
		assert_int_equal(sscanf(packet.interface->name, "h%u:eth0", &port), 1);
		look_at(&packet, &seen[port], &fates[packet.id]);
	}
	assert_int_equal(result, 0);
	check_fates(lab, fates, last);
	for (unsigned int i = 0; i < lab->port_count; i++)
		check_port(&lab->stations[i], &seen[i]);
	free(fates);
}

static void conserve(uint64_t seed, unsigned int flaps, unsigned int impairments)
{
	struct lab lab = {0};

	make_lab(&lab, seed);
	lab.flaps = flaps;
	lab.impairments = impairments;
	send_frames(&lab);
	for (unsigned int i = 0; i < lab.port_count; i++)
		lab.stations[i].lost = capture_lost(lab.recording.capture, (int)i);
	/* The counters are looked at afterwards. */
	recording_end(&lab.recording);
	read_capture(&lab);
	recording_release(&lab.recording);
	check_wires(&lab);
	dataplane_destroy(lab.dataplane);
}

static uint64_t first_seed(void)
{
	const char *given = getenv("CONSERVATION_SEED");

	return given ? strtoull(given, NULL, 10) : 1;
}

static void frames_are_delivered_or_explained(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < LABS; i++)
		conserve(first_seed() + i, 0, 0);
}

static void so_they_are_while_links_flap(void **state)
{
	(void)state;
	conserve(first_seed() + LABS, CHANGES, 0);
}

static void so_they_are_while_impairments_change(void **state)
{
	(void)state;
	conserve(first_seed() + LABS + 1, 0, CHANGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(frames_are_delivered_or_explained),
					   cmocka_unit_test(so_they_are_while_links_flap),
					   cmocka_unit_test(so_they_are_while_impairments_change)};

	return cmocka_run_group_tests_name("conservation", tests, NULL, NULL);
}
