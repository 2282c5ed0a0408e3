/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a capture, where each went, which are packets that routers passed on, and what became of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "frame_builder.h"
#include "netlab/frame_flow.h"

#define H1 1
#define H2 2

static struct frame_index *create(void)
{
	static const struct frame_index_limits limits = {.frames = 64, .crossings = 256, .bytes = 16384, .ports = 16};
	struct frame_index *index = frame_index_create(&limits);

	assert_non_null(index);
	return index;
}

static struct frame_links *link_frames(const struct frame_index *index)
{
	struct frame_links *links = frame_links_create(index);

	assert_non_null(links);
	return links;
}

static void assert_parent(const struct frame_index *index, const struct frame_links *links, uint64_t id,
			  uint64_t parent)
{
	uint32_t number = frame_links_parent(links, frame_index_find(index, id));

	if (parent == 0)
		assert_int_equal(number, FRAME_INDEX_NONE);
	else
		assert_int_equal(frame_index_get(index, number)->id, parent);
}

/* The index. */

static void a_frame_has_its_ports_in_order(void **state)
{
	struct frame_index *index = create();
	const struct built_frame frame = datagram(H1, H2, 7, 64);
	const struct frame_index_frame *found;
	const struct frame_index_crossing *crossing;

	(void)state;
	cross(index, 7, 100, "h1:eth0", false, &frame, NULL);
	cross(index, 8, 101, "h3:eth0", false, &frame, NULL);
	cross(index, 7, 102, "h2:eth0", true, &frame, "netlab: drop=mtu size=46 limit=40");
	assert_int_equal(frame_index_count(index), 2);
	found = frame_index_get(index, frame_index_find(index, 7));
	assert_int_equal(found->size, frame.size);
	assert_memory_equal(frame_index_bytes(index, found), frame.bytes, found->byte_count);
	crossing = frame_index_crossing(index, found->first);
	assert_string_equal(frame_index_port_name(index, crossing->port), "h1:eth0");
	assert_false(crossing->is_received);
	assert_int_equal(crossing->reason, FRAME_INDEX_NONE);
	crossing = frame_index_crossing(index, crossing->next);
	assert_string_equal(frame_index_port_name(index, crossing->port), "h2:eth0");
	assert_true(crossing->is_received);
	assert_int_equal(crossing->time, 102);
	assert_string_equal(frame_index_text(index, crossing->reason), "mtu");
	assert_string_equal(frame_index_text(index, crossing->detail), "size=46 limit=40");
	assert_int_equal(crossing->next, FRAME_INDEX_NONE);
	assert_int_equal(frame_index_find(index, 9), FRAME_INDEX_NONE);
	frame_index_destroy(index);
}

static void owners_are_nodes_and_what_leads_out(void **state)
{
	struct frame_index *index = create();
	const struct built_frame frame = datagram(H1, H2, 7, 64);

	(void)state;
	pass(index, 1, 100, "h1:eth0", "network:lan", &frame);
	pass(index, 2, 100, "h1:eth1", "socket:qemu", &frame);
	pass(index, 3, 100, "netns:web", "netns:dns", &frame);
	pass(index, 4, 100, "tap:eth0", "tap:eth1", &frame); /* A node may have such a name, its TAP's may not. */
	pass(index, 5, 100, "network:eth0", "h1:eth0", &frame);
	assert_int_not_equal(frame_index_find_owner(index, "h1"), FRAME_INDEX_NONE);
	assert_int_not_equal(frame_index_find_owner(index, "network:lan"), FRAME_INDEX_NONE);
	assert_int_not_equal(frame_index_find_owner(index, "socket:qemu"), FRAME_INDEX_NONE);
	assert_int_equal(frame_index_find_owner(index, "network"), FRAME_INDEX_NONE);
	assert_int_not_equal(frame_index_find_owner(index, "netns:web"), FRAME_INDEX_NONE);
	assert_int_not_equal(frame_index_find_owner(index, "netns:dns"), FRAME_INDEX_NONE);
	assert_int_not_equal(frame_index_find_owner(index, "tap"), FRAME_INDEX_NONE);
	assert_int_equal(frame_index_find_owner(index, "tap:eth0"), FRAME_INDEX_NONE);
	assert_int_not_equal(frame_index_find_owner(index, "network:eth0"), FRAME_INDEX_NONE);
	assert_int_equal(frame_index_find_owner(index, "h1:eth0"), FRAME_INDEX_NONE);
	assert_int_equal(frame_index_owner(index, frame_index_crossing(index, 0)->port),
			 frame_index_owner(index, frame_index_crossing(index, 2)->port));
	frame_index_destroy(index);
}

static void comments_of_others_are_no_drops(void **state)
{
	const struct pcapng_reader_packet packets[] = {
		{.comments = {"seen by h1", "netlab: event=h1 crashed", "netlab: drop=storm"}},
		{.comments = {"netlab: drop=odd\x1b[0m x\ny"}},
		{.comments = {"netlab: event=netlab: drop=storm", "netlab: drop="}},
		{.comments = {NULL}},
	};
	struct frame_drop drop;

	(void)state;
	assert_true(frame_drop_read(&packets[0], &drop));
	assert_string_equal(drop.reason, "storm");
	assert_string_equal(drop.detail, "");
	assert_true(frame_drop_read(&packets[1], &drop));
	assert_string_equal(drop.reason, "odd?[0m");
	assert_string_equal(drop.detail, "x?y");
	assert_false(frame_drop_read(&packets[2], &drop));
	assert_false(frame_drop_read(&packets[3], &drop));
}

static void a_full_index_forgets_the_older_half(void **state)
{
	struct frame_index *index = create();
	const struct built_frame frame = datagram(H1, H2, 7, 64);
	uint64_t id;
	const struct frame_index_crossing *crossing;

	(void)state;
	for (id = 1; cross(index, id, id, "h1:eth0", false, &frame, NULL) == 1; id++)
		if (cross(index, id, id, "h2:eth0", true, &frame, "netlab: drop=mtu limit=9") != 1)
			break;
	assert_int_equal(frame_index_count(index), id); /* Of the last one there was no room for the second port. */
	assert_int_equal(cross(index, id, id, "h1:eth0", false, &frame, NULL), -ENOSPC);
	assert_int_equal(frame_index_forget(index), 0);
	assert_int_equal(frame_index_count(index) + frame_index_forgotten(index), id);
	assert_int_equal(frame_index_find(index, 1), FRAME_INDEX_NONE);
	assert_int_equal(frame_index_find(index, id), frame_index_count(index) - 1);
	assert_int_equal(cross(index, id - 1, id, "h3:eth0", true, &frame, NULL), 1);
	crossing = frame_index_crossing(index, frame_index_get(index, frame_index_find(index, id - 1))->first);
	assert_string_equal(frame_index_port_name(index, crossing->port), "h1:eth0");
	crossing = frame_index_crossing(index, crossing->next);
	assert_string_equal(frame_index_text(index, crossing->detail), "limit=9");
	crossing = frame_index_crossing(index, crossing->next);
	assert_string_equal(frame_index_port_name(index, crossing->port), "h3:eth0");
	/* Until nothing is left, so that whatever fills an index can be forgotten. */
	while (frame_index_count(index) > 0)
		assert_int_equal(frame_index_forget(index), 0);
	assert_int_equal(frame_index_forgotten(index), id);
	frame_index_destroy(index);
}

/* Links. */

static void packets_are_followed_through_routers(void **state)
{
	struct frame_index *index = create();
	const struct built_frame frames[] = {datagram(H1, H2, 7, 64), datagram(H1, H2, 7, 63), datagram(H1, H2, 7, 62)};
	struct frame_links *links;
	uint32_t numbers[8];

	(void)state;
	pass(index, 1, 100, "h1:eth0", "r1:eth0", &frames[0]);
	pass(index, 2, 200, "r1:eth1", "r2:eth0", &frames[1]);
	pass(index, 3, 300, "r2:eth1", "h2:eth0", &frames[2]);
	links = link_frames(index);
	assert_parent(index, links, 1, 0);
	assert_parent(index, links, 2, 1);
	assert_parent(index, links, 3, 2);
	assert_int_equal(frame_links_root(links, 2), 0);
	assert_int_equal(frame_links_collect(links, 0, numbers, 8), 3);
	assert_int_equal(numbers[2], 2);
	assert_int_equal(frame_links_collect(links, 0, numbers, 2), 2);
	frame_links_destroy(links);
	frame_index_destroy(index);
}

static void only_who_received_it_before_passed_it_on(void **state)
{
	struct frame_index *index = create();
	const struct built_frame before = datagram(H1, H2, 7, 64), after = datagram(H1, H2, 7, 63);
	struct frame_links *links;

	(void)state;
	pass(index, 1, 100, "h1:eth0", "r1:eth0", &before);
	pass(index, 2, 200, "r2:eth1", "h2:eth0", &after); /* It never had it. */
	pass(index, 3, 50, "r1:eth1", "h2:eth0", &after);  /* Earlier. */
	cross(index, 4, 300, "h1:eth1", false, &before, NULL);
	cross(index, 4, 300, "r3:eth0", true, &before, "netlab: drop=receive-ring-full");
	pass(index, 5, 400, "r3:eth1", "h2:eth0", &after);  /* It did not get it. */
	pass(index, 6, 500, "r1:eth1", "h2:eth0", &before); /* The hop limit is the same. */
	links = link_frames(index);
	for (uint64_t id = 1; id <= 6; id++)
		assert_parent(index, links, id, 0);
	frame_links_destroy(links);
	frame_index_destroy(index);
}

/* A routing loop: each frame is made of the one just before it. */
static void the_nearest_hop_limit_is_the_parents(void **state)
{
	struct frame_index *index = create();
	struct frame_links *links;

	(void)state;
	for (uint8_t i = 0; i < 8; i++) {
		const struct built_frame frame = datagram(H1, H2, 7, 64 - i);

		pass(index, i + 1u, 100u * i, i % 2 ? "r1:eth0" : "r2:eth0", i % 2 ? "r2:eth0" : "r1:eth0", &frame);
	}
	links = link_frames(index);
	for (uint64_t id = 1; id <= 8; id++)
		assert_parent(index, links, id, id - 1);
	frame_links_destroy(links);
	frame_index_destroy(index);
}

/* A datagram sent again, and one that goes to two ports. */
static void equal_packets_are_passed_on_once_by_each_port(void **state)
{
	struct frame_index *index = create();
	const struct built_frame before = datagram(H1, H2, 0, 64), after = datagram(H1, H2, 0, 63);
	struct frame_links *links;

	(void)state;
	pass(index, 1, 100, "h1:eth0", "r1:eth0", &before);
	pass(index, 2, 200, "r1:eth1", "h2:eth0", &after);
	pass(index, 3, 200, "r1:eth2", "h3:eth0", &after);
	pass(index, 4, 300, "h1:eth0", "r1:eth0", &before);
	pass(index, 5, 400, "r1:eth1", "h2:eth0", &after);
	pass(index, 6, 500, "r1:eth1", "h2:eth0", &after);
	links = link_frames(index);
	assert_parent(index, links, 2, 1);
	assert_parent(index, links, 3, 1);
	assert_parent(index, links, 4, 0);
	assert_parent(index, links, 5, 4);
	assert_parent(index, links, 6, 0);
	frame_links_destroy(links);
	frame_index_destroy(index);
}

/* Flows. */

struct lab {
	struct frame_index *index;
	struct frame_links *links;
	struct frame_flow *flow;
};

/* After the frames are in the index. */
static void ask(struct lab *lab, const char *a, const char *b)
{
	lab->links = link_frames(lab->index);
	lab->flow = frame_flow_create(lab->index, lab->links, frame_index_find_owner(lab->index, a),
				      frame_index_find_owner(lab->index, b));
	assert_non_null(lab->flow);
}

static void free_lab(struct lab *lab)
{
	frame_flow_destroy(lab->flow);
	frame_links_destroy(lab->links);
	frame_index_destroy(lab->index);
}

static void assert_no_packet(const struct lab *lab, uint64_t id)
{
	struct frame_fate fate;

	assert_false(frame_flow_has(lab->flow, frame_index_find(lab->index, id), &fate));
}

static void assert_packet(const struct lab *lab, uint64_t id, enum frame_fate_kind kind, const char *way)
{
	uint32_t ports[FRAME_FLOW_PORTS_MAX];
	struct frame_fate fate;
	char text[256] = "";
	size_t count;

	assert_true(frame_flow_has(lab->flow, frame_index_find(lab->index, id), &fate));
	assert_int_equal(fate.kind, kind);
	count = frame_flow_way(lab->flow, &fate, ports);
	for (size_t i = 0; i < count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
			 frame_index_port_name(lab->index, ports[i]));
	assert_string_equal(text, way);
}

static void what_a_wire_did_is_kept(void **state)
{
	const struct built_frame frame = datagram(H1, H2, 7, 64);
	struct frame_index *index = create();
	const struct frame_index_crossing *sent, *received;

	(void)state;
	for (uint64_t id = 1; id <= 4; id++) {
		cross(index, id, 100 * id, "h1:eth0", false, &frame, NULL);
		cross(index, id, 100 * id + 50, "h2:eth0", true, &frame, "netlab: delay=1.5ms late=0.1ms duplicate");
	}
	assert_int_equal(frame_index_forget(index), 0); /* They move. */
	sent = frame_index_crossing(index, frame_index_get(index, frame_index_find(index, 4))->first);
	received = frame_index_crossing(index, sent->next);
	assert_int_equal(sent->wire, FRAME_INDEX_NONE);
	assert_string_equal(frame_index_text(index, received->wire), "delay=1.5ms late=0.1ms duplicate");
	assert_int_equal(received->reason, FRAME_INDEX_NONE);
	frame_index_destroy(index);
}

/* What a router forwarded may be there without what it received, which the recorder has no more. */
static void addresses_are_of_who_uses_them(void **state)
{
	struct lab lab = {.index = create()};
	const struct built_frame there = datagram(H1, H2, 7, 64), on = datagram(H1, H2, 7, 63),
				 back = datagram(H2, H1, 8, 64), on_back = datagram(H2, H1, 8, 63),
				 orphan = datagram(H1, H2, 3, 63);

	(void)state;
	pass(lab.index, 1, 100, "r1:eth1", "h2:eth0", &orphan);
	for (uint64_t id = 2; id < 18; id += 4) {
		pass(lab.index, id, 100 * id, "h1:eth0", "r1:eth0", &there);
		pass(lab.index, id + 1, 100 * id + 100, "r1:eth1", "h2:eth0", &on);
		pass(lab.index, id + 2, 100 * id + 200, "h2:eth0", "r1:eth1", &back);
		pass(lab.index, id + 3, 100 * id + 300, "r1:eth0", "h1:eth0", &on_back);
	}
	ask(&lab, "h2", "r1");
	assert_no_packet(&lab, 4);
	free_lab(&lab);
}

/* An address moves to another router, which has it for a short while. */
static void addresses_may_move(void **state)
{
	struct lab lab = {.index = create()};
	const struct built_frame from = datagram(H2, H1, 7, 64), to = datagram(H1, H2, 8, 64);

	(void)state;
	for (uint64_t id = 1; id <= 6; id++)
		pass(lab.index, id, 100 * id, "r1:eth0", "h1:eth0", &from);
	pass(lab.index, 7, 700, "r2:eth0", "h1:eth0", &from);
	pass(lab.index, 8, 800, "h1:eth0", "r2:eth0", &to);
	ask(&lab, "h1", "r2");
	assert_packet(&lab, 7, FRAME_DELIVERED, "r2:eth0 h1:eth0");
	assert_packet(&lab, 8, FRAME_DELIVERED, "h1:eth0 r2:eth0");
	free_lab(&lab);
}

/* What died on its way stands at its sender twice. */
static void a_way_that_ends_on_the_wire(void **state)
{
	struct lab lab = {.index = create()};
	const struct built_frame lost = datagram(H1, H2, 9, 64), other = datagram(H2, H1, 8, 64);

	(void)state;
	cross(lab.index, 1, 100, "h1:eth0", false, &lost, NULL);
	cross(lab.index, 1, 200, "h1:eth0", false, &lost, "netlab: drop=early size=60");
	pass(lab.index, 2, 300, "h2:eth0", "h1:eth0", &other);
	ask(&lab, "h1", "h2");
	assert_packet(&lab, 1, FRAME_DROPPED, "h1:eth0");
	free_lab(&lab);
}

static void packets_between_hosts_behind_a_router(void **state)
{
	struct lab lab = {.index = create()};
	const struct built_frame there = datagram(H1, H2, 7, 64), on = datagram(H1, H2, 7, 63),
				 back = datagram(H2, H1, 8, 64), lost = datagram(H1, H2, 9, 64);

	(void)state;
	pass(lab.index, 1, 100, "h1:eth0", "r1:eth0", &there);
	pass(lab.index, 2, 200, "r1:eth1", "h2:eth0", &on);
	pass(lab.index, 3, 300, "h2:eth0", "r1:eth1", &back);
	pass(lab.index, 4, 400, "h1:eth0", "r1:eth0", &lost);
	cross(lab.index, 5, 500, "h1:eth0", false, &lost, "netlab: drop=spoofed-ip");
	cross(lab.index, 6, 600, "h1:eth0", false, &lost, NULL);
	ask(&lab, "h1", "h2");
	assert_packet(&lab, 1, FRAME_DELIVERED, "h1:eth0 r1:eth0 r1:eth1 h2:eth0");
	assert_no_packet(&lab, 2); /* It is part of the first. */
	assert_packet(&lab, 3, FRAME_ENDED, "h2:eth0 r1:eth1");
	assert_packet(&lab, 4, FRAME_ENDED, "h1:eth0 r1:eth0");
	assert_packet(&lab, 5, FRAME_DROPPED, "h1:eth0");
	assert_packet(&lab, 6, FRAME_UNKNOWN, "h1:eth0");
	free_lab(&lab);
	/* The router sent nothing by itself. */
	lab.index = create();
	pass(lab.index, 1, 100, "h1:eth0", "r1:eth0", &there);
	pass(lab.index, 2, 200, "r1:eth1", "h2:eth0", &on);
	pass(lab.index, 3, 300, "h2:eth0", "r1:eth1", &back);
	ask(&lab, "r1", "h2");
	assert_no_packet(&lab, 1);
	assert_no_packet(&lab, 2);
	assert_no_packet(&lab, 3);
	free_lab(&lab);
}

static void what_is_flooded_is_for_whom_it_is_addressed(void **state)
{
	struct lab lab = {.index = create()};
	const struct built_frame to_h2 = datagram(H1, H2, 7, 64), of_h2 = datagram(H2, H1, 8, 64),
				 to_nobody = datagram(H1, 77, 9, 64);
	struct built_frame for_all = datagram(H1, 255, 10, 64);
	const struct built_frame who_has_h2 = frame_of(
		"ffffffffffff 525400000001 0806 0001 0800 06 04 0001 525400000001 "
		"0a000101 000000000000 0a000201");

	(void)state;
	memset(for_all.bytes, 0xff, 6);
	pass(lab.index, 1, 50, "h2:eth0", "h1:eth0", &of_h2);
	pass(lab.index, 2, 100, "h1:eth0", "h3:eth0", &to_h2);
	cross(lab.index, 2, 100, "h2:eth0", true, &to_h2, "netlab: drop=receive-ring-full");
	pass(lab.index, 3, 200, "h1:eth0", "h3:eth0", &to_nobody);
	pass(lab.index, 4, 300, "h1:eth0", "h3:eth0", &for_all);
	pass(lab.index, 5, 400, "h1:eth0", "h3:eth0", &who_has_h2);
	ask(&lab, "h1", "h2");
	assert_packet(&lab, 1, FRAME_DELIVERED, "h2:eth0 h1:eth0");
	assert_packet(&lab, 2, FRAME_DROPPED, "h1:eth0 h2:eth0");
	assert_no_packet(&lab, 3);
	assert_no_packet(&lab, 4);
	assert_packet(&lab, 5, FRAME_ENDED, "h1:eth0 h3:eth0");
	frame_flow_destroy(lab.flow);
	frame_links_destroy(lab.links);
	ask(&lab, "h1", "h3");
	assert_no_packet(&lab, 2);
	assert_packet(&lab, 3, FRAME_DELIVERED, "h1:eth0 h3:eth0");
	assert_packet(&lab, 4, FRAME_DELIVERED, "h1:eth0 h3:eth0");
	assert_no_packet(&lab, 5);
	free_lab(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_has_its_ports_in_order),
		cmocka_unit_test(owners_are_nodes_and_what_leads_out),
		cmocka_unit_test(comments_of_others_are_no_drops),
		cmocka_unit_test(a_full_index_forgets_the_older_half),
		cmocka_unit_test(packets_are_followed_through_routers),
		cmocka_unit_test(only_who_received_it_before_passed_it_on),
		cmocka_unit_test(the_nearest_hop_limit_is_the_parents),
		cmocka_unit_test(equal_packets_are_passed_on_once_by_each_port),
		cmocka_unit_test(what_a_wire_did_is_kept),
		cmocka_unit_test(addresses_are_of_who_uses_them),
		cmocka_unit_test(addresses_may_move),
		cmocka_unit_test(a_way_that_ends_on_the_wire),
		cmocka_unit_test(packets_between_hosts_behind_a_router),
		cmocka_unit_test(what_is_flooded_is_for_whom_it_is_addressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
