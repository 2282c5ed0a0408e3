/* SPDX-License-Identifier: Apache-2.0 */
/* Links of a running lab: what users and schedules change of them, and what stays when the lab is changed. */
#include "tests/unit/link_lab.h"

/* Directions. */

static void a_direction_is_impaired_where_its_sender_is(void **state)
{
	struct fixture *fixture = *state;

	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "delay: 20ms, loss: 5%");
	assert_string_equal(met(fixture, 0, PORT_RECEIVES), "none");
	/* The network sends. */
	assert_string_equal(met(fixture, 2, PORT_SENDS), "none");
	assert_string_equal(met(fixture, 2, PORT_RECEIVES), "loss: 100%");
}

static void impairments_are_changed_by_key_and_side(void **state)
{
	struct fixture *fixture = *state;
	struct lab *lab = &fixture->lab;
	struct error error;

	assert_int_equal(lab_impair(lab, "h1:eth0", LAB_TX, LAB_IMPAIR_SET, "{\"loss\":\"1%\"}", &error), 0);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms, loss: 1%");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "delay: 20ms, loss: 5%");
	assert_int_equal(lab_impair(lab, "h1:eth0", LAB_RX, LAB_IMPAIR_SET, "{delay: 5ms}", &error), 0);
	assert_string_equal(met(fixture, 1, PORT_SENDS), "delay: 5ms, loss: 5%");
	assert_int_equal(lab_impair(lab, "r1", LAB_TX, LAB_IMPAIR_SET, "{delay: 1ms}", &error), 0);
	assert_string_equal(met(fixture, 2, PORT_SENDS), "delay: 1ms");
	assert_int_equal(lab_impair(lab, "h2:eth0", LAB_BOTH, LAB_IMPAIR_CLEAR, NULL, &error), 0);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "none");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "none");
	assert_int_equal(lab_impair(lab, "h1:eth0", LAB_RX, LAB_IMPAIR_RESET, NULL, &error), 0);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "none");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "delay: 20ms, loss: 5%");
	assert_int_equal(lab_impair(lab, "network:uplink", LAB_TX, LAB_IMPAIR_SET, "{delay: 3ms}", &error), 0);
	assert_int_equal(port_impairment(fixture->networks[1].outer, PORT_SENDS)->delay, 3 * MILLISECOND);
}

static void what_makes_no_sense_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"{dealy: 1ms}", "{delay: 1}",          "{loss: 101%}",   "{preset: adsl}", "[]", "delay", "{", "",
		"{rate: 0}",    "{loss-match: \"x\"}", "{jitter: -1ms}",
	};
	struct fixture *fixture = *state;
	struct error error;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(lab_impair(&fixture->lab, "h1:eth0", LAB_BOTH, LAB_IMPAIR_SET, texts[i], &error),
				 -EINVAL);
		assert_true(strlen(error.text) > 0);
		assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms");
	}
}

/* Ports. */

static void expect_unknown(struct fixture *fixture, const char *port, const char *text)
{
	struct error error;

	assert_int_equal(lab_set_link(&fixture->lab, port, LAB_BOTH, false, &error), -ENOENT);
	assert_non_null(strstr(error.text, text));
}

static void ports_are_found_by_name(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	assert_int_equal(lab_set_link(&fixture->lab, "r1", LAB_BOTH, false, &error), 0);
	assert_false(port_has_carrier(port_of_node(fixture, 2)));
	assert_int_equal(lab_set_link(&fixture->lab, "network:uplink", LAB_BOTH, false, &error), 0);
	assert_false(port_has_carrier(fixture->networks[1].outer));
	assert_true(port_has_carrier(fixture->nodes[1].interfaces[1].port));
	expect_unknown(fixture, "h1:eht0", "did you mean h1:eth0?");
	expect_unknown(fixture, "nothing of the kind", "netlab link");
	expect_unknown(fixture, "", "");
	expect_unknown(fixture, "lan", "");
	expect_unknown(fixture, "uplink", "");
	expect_unknown(fixture, "h2", "several");
}

/* Carrier and cuts. */

static void carrier_is_of_both_ends(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	assert_int_equal(lab_set_link(&fixture->lab, "h2:eth0", LAB_BOTH, false, &error), 0);
	assert_false(port_has_carrier(port_of_node(fixture, 0)) || port_has_carrier(port_of_node(fixture, 1)));
	assert_int_equal(lab_set_link(&fixture->lab, "h1:eth0", LAB_BOTH, true, &error), 0);
	assert_true(port_has_carrier(port_of_node(fixture, 0)) && port_has_carrier(port_of_node(fixture, 1)));
}

static void cuts_are_of_one_direction_from_either_end(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	assert_int_equal(lab_set_link(&fixture->lab, "h2:eth0", LAB_RX, false, &error), 0);
	assert_true(port_is_cut(port_of_node(fixture, 0), PORT_SENDS));
	assert_false(port_is_cut(port_of_node(fixture, 1), PORT_SENDS));
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
	assert_int_equal(lab_set_link(&fixture->lab, "h1:eth0", LAB_TX, true, &error), 0);
	assert_false(port_is_cut(port_of_node(fixture, 0), PORT_SENDS));
	assert_int_equal(lab_set_link(&fixture->lab, "r1:eth0", LAB_RX, false, &error), 0);
	assert_true(port_is_cut(port_of_node(fixture, 2), PORT_RECEIVES));
	assert_int_equal(lab_set_link(&fixture->lab, "r1:eth0", LAB_BOTH, true, &error), 0);
	assert_false(port_is_cut(port_of_node(fixture, 2), PORT_RECEIVES));
}

/* Telling. */

static void links_are_told_of(void **state)
{
	struct fixture *fixture = *state;
	json_t *all = lab_links(&fixture->lab, NULL, NULL), *one, *status, *direction;
	struct error error;

	assert_int_equal(json_array_size(json_object_get(all, "links")), 4);
	json_decref(all);
	assert_null(lab_links(&fixture->lab, "h9:eth0", &error));
	lab_impair(&fixture->lab, "h2:eth0", LAB_RX, LAB_IMPAIR_SET, "{gilbert-elliott: {to-bad: 1%, to-good: 20%}}",
		   &error);
	lab_set_link(&fixture->lab, "h1:eth0", LAB_RX, false, &error);
	one = lab_links(&fixture->lab, "h2:eth0", &error);
	direction = json_array_get(json_object_get(json_array_get(json_object_get(one, "links"), 0), "directions"), 0);
	assert_true(json_is_true(json_object_get(direction, "by_hand")));
	assert_false(json_is_true(json_object_get(direction, "cut")));
	status = json_pack("{s:s, s:{s:s, s:s, s:s, s:s}}", "delay", "20ms", "gilbert-elliott", "to-bad", "1%",
			   "to-good", "20%", "loss-bad", "100%", "loss-good", "0%");
	assert_true(json_equal(json_object_get(direction, "impairment"), status));
	json_decref(status);
	direction = json_array_get(json_object_get(json_array_get(json_object_get(one, "links"), 0), "directions"), 1);
	assert_false(json_is_true(json_object_get(direction, "by_hand")));
	assert_true(json_is_true(json_object_get(direction, "cut")));
	json_decref(one);
	status = lab_links_status(&fixture->lab); /* The third one is as usual, and so is the outer port's. */
	assert_int_equal(json_array_size(status), 2);
	json_decref(status);
}

/* Seeds. */

static void lose_half(struct fixture *fixture, uint8_t fates[FRAMES])
{
	struct error error;

	assert_int_equal(lab_impair(&fixture->lab, "h1:eth0", LAB_BOTH, LAB_IMPAIR_CLEAR, NULL, &error), 0);
	assert_int_equal(lab_impair(&fixture->lab, "h1:eth0", LAB_BOTH, LAB_IMPAIR_SET, "{loss: 50%}", &error), 0);
	memset(fixture->fates, 0, sizeof(fixture->fates));
	for (unsigned int i = 0; i < FRAMES; i++)
		transmit(fixture, 0, 1, i);
	memcpy(fates, fixture->fates, FRAMES);
}

/* The same frames are lost in each run, and others in the other direction. */
static void fates_are_the_labs_own(void **state)
{
	struct fixture *other = make_lab(TOPOLOGY), *fixture = *state;
	uint8_t first[FRAMES], second[FRAMES], third[FRAMES];

	lose_half(fixture, first);
	lose_half(fixture, second);
	lose_half(other, third);
	assert_memory_equal(first, second, FRAMES);
	assert_memory_equal(first, third, FRAMES);
	memset(fixture->fates, 0, sizeof(fixture->fates));
	for (unsigned int i = 0; i < FRAMES; i++)
		transmit(fixture, 1, 0, i);
	assert_memory_not_equal(first, fixture->fates, FRAMES);
	free_lab(other);
}

/* Flapping. */

static void note_flap(void *opaque, bool is_up, uint32_t number)
{
	struct fixture *fixture = opaque;
	size_t length = strlen(fixture->told);

	assert_int_equal(port_has_carrier(port_of_node(fixture, 0)), is_up);
	snprintf(fixture->told + length, sizeof(fixture->told) - length, "%s%u ", is_up ? "up" : "down", number);
}

static void note_end(void *opaque, const char *failure, json_t *result)
{
	struct fixture *fixture = opaque;
	size_t length = strlen(fixture->told);

	snprintf(fixture->told + length, sizeof(fixture->told) - length, "end %s %d", failure,
		 (int)json_integer_value(json_object_get(result, "flaps")));
}

static int start_flap(struct fixture *fixture, uint32_t count, uint64_t down)
{
	const struct lab_flap_options options = {.count = count, .down = down, .up = MILLISECOND};
	struct error error;

	fixture->told[0] = '\0';
	return lab_flap(&fixture->lab, "h1:eth0", &options, note_flap, note_end, fixture, &error);
}

static void a_link_flaps(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(start_flap(fixture, 3, MILLISECOND), 0);
	while (!strstr(fixture->told, "end"))
		loop_turn(fixture->loop);
	assert_string_equal(fixture->told, "down1 up1 down2 up2 down3 up3 end  3");
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
}

static void flapping_ends_in_many_ways(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	assert_int_equal(start_flap(fixture, 3, 3600000 * MILLISECOND), 0);
	turn_until(fixture, loop_now() + MILLISECOND);
	assert_int_equal(start_flap(fixture, 1, 1), -EBUSY);
	lab_forget(&fixture->lab, fixture);
	assert_string_equal(fixture->told, "");
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
	assert_int_equal(start_flap(fixture, 3, 3600000 * MILLISECOND), 0);
	turn_until(fixture, loop_now() + MILLISECOND);
	lab_set_link(&fixture->lab, "h2:eth0", LAB_BOTH, false, &error);
	assert_string_equal(fixture->told, "down1 end the link was set down 0");
	assert_false(port_has_carrier(port_of_node(fixture, 0)));
	assert_int_equal(start_flap(fixture, 3, 3600000 * MILLISECOND), 0);
	turn_until(fixture, loop_now() + MILLISECOND);
	lab_links_quiet(&fixture->lab, "it was changed");
	assert_string_equal(fixture->told, "down1 end it was changed 0");
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
}

/* Schedules. */

static void schedules_are_carried_out(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));
	uint64_t begin;
	struct error error;

	(void)unused;
	turn_until(fixture, loop_now() + 3 * MILLISECOND);
	assert_true(port_has_carrier(port_of_node(fixture, 0))); /* It has not begun. */
	begin = loop_now();
	lab_links_start(&fixture->lab);
	loop_turn(fixture->loop);
	if (loop_now() < begin + MILLISECOND)
		assert_false(port_has_carrier(port_of_node(fixture, 0)));
	turn_until(fixture, begin + 10 * MILLISECOND);
	lab_links_start(&fixture->lab); /* Once is enough. */
	turn_until(fixture, begin + 20 * MILLISECOND);
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "loss: 5%");
	/* What the file says now. */
	lab_impair(&fixture->lab, "h1:eth0", LAB_BOTH, LAB_IMPAIR_CLEAR, NULL, &error);
	lab_impair(&fixture->lab, "h1:eth0", LAB_BOTH, LAB_IMPAIR_RESET, NULL, &error);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms");
	free_lab(fixture);
}

static void schedules_go_on_when_others_change(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));
	uint64_t zero;

	(void)unused;
	lab_links_start(&fixture->lab);
	turn_until(fixture, loop_now() + 10 * MILLISECOND);
	zero = fixture->lab.links[0]->zero;
	change_lab(fixture, SCHEDULED(", impair: {loss: 1%}"));
	assert_true(fixture->lab.links[0]->has_begun);
	assert_int_equal(fixture->lab.links[0]->zero, zero);
	assert_int_equal(fixture->lab.links[0]->next_event, 3);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms");
	assert_string_equal(met(fixture, 2, PORT_SENDS), "loss: 1%");
	free_lab(fixture);
}

static void another_schedule_begins_anew(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));

	(void)unused;
	lab_links_start(&fixture->lab);
	turn_until(fixture, loop_now() + 10 * MILLISECOND);
	change_lab(fixture, NODES_TEXT "links:\n"
				       "  - {endpoints: [h1, h2], schedule: [{at: 1ms, link: down}]}\n"
				       "  - {endpoints: [r1, lan]}\n"
				       "  - {endpoints: [\"h2:eth1\", uplink]}\n");
	assert_false(fixture->lab.links[0]->has_begun);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "none");
	lab_links_start(&fixture->lab);
	turn_until(fixture, loop_now() + 5 * MILLISECOND);
	assert_false(port_has_carrier(port_of_node(fixture, 0)));
	free_lab(fixture);
}

/* Pausing. */

static void time_stands_still_while_all_that_run_are_paused(void **state)
{
	static const struct {
		enum node_state states[NODES];
		bool goes_on;
	} cases[] = {
		{{NODE_PAUSED, NODE_READY, NODE_STOPPED}, true},
		{{NODE_PAUSED, NODE_STOPPED, NODE_CRASHED}, false},
		{{NODE_PAUSED, NODE_BOOTING, NODE_PAUSED}, true},
		{{NODE_PAUSED, NODE_CREATED, NODE_PAUSED}, false},
		{{NODE_PAUSED, NODE_CONFIGURING, NODE_PAUSED}, true},
		{{NODE_STOPPED, NODE_STOPPED, NODE_CRASHED}, true},
	};
	struct fixture *fixture = *state;
	uint64_t before;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t j = 0; j < NODES; j++)
			fixture->nodes[j].state = cases[i].states[j];
		lab_keep_time(&fixture->lab);
		before = lab_time(&fixture->lab);
		turn_until(fixture, loop_now() + MILLISECOND);
		assert_int_equal(lab_time(&fixture->lab) > before, cases[i].goes_on);
	}
}

static void paused_schedules_stand_still(void **unused)
{
	struct fixture *fixture = make_lab(LATER(""));
	uint64_t begin;

	(void)unused;
	set_states(fixture, NODE_READY);
	lab_links_start(&fixture->lab);
	begin = lab_time(&fixture->lab);
	set_states(fixture, NODE_PAUSED);
	turn_until(fixture, loop_now() + 30 * MILLISECOND);
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
	change_lab(fixture, LATER(", impair: {loss: 1%}"));
	turn_until(fixture, loop_now() + 30 * MILLISECOND);
	assert_true(port_has_carrier(port_of_node(fixture, 0)));
	set_states(fixture, NODE_READY);
	await_down(fixture);
	assert_true(lab_time(&fixture->lab) >= begin + 20 * MILLISECOND);
	free_lab(fixture);
}

static void paused_flapping_stands_still(void **state)
{
	struct fixture *fixture = *state;

	set_states(fixture, NODE_PAUSED);
	assert_int_equal(start_flap(fixture, 2, 20 * MILLISECOND), 0);
	turn_until(fixture, loop_now() + 5 * MILLISECOND);
	assert_string_equal(fixture->told, "");
	set_states(fixture, NODE_READY);
	while (!strstr(fixture->told, "down1"))
		loop_turn(fixture->loop);
	set_states(fixture, NODE_PAUSED);
	turn_until(fixture, loop_now() + 5 * MILLISECOND);
	assert_null(strstr(fixture->told, "end"));
	set_states(fixture, NODE_READY);
	while (!strstr(fixture->told, "end"))
		loop_turn(fixture->loop);
	assert_string_equal(fixture->told, "down1 up1 down2 up2 end  2");
}

/* Another topology. */

static void what_stays_keeps_its_carrier(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	lab_set_link(&fixture->lab, "h1:eth0", LAB_BOTH, false, &error);
	lab_set_link(&fixture->lab, "h1:eth0", LAB_TX, false, &error);
	lab_impair(&fixture->lab, "h1:eth0", LAB_TX, LAB_IMPAIR_SET, "{delay: 7ms}", &error);
	lab_impair(&fixture->lab, "network:uplink", LAB_BOTH, LAB_IMPAIR_SET, "{delay: 7ms}", &error);
	/* The first link's ends have changed places. */
	change_lab(fixture, NODES_TEXT "links:\n"
				       "  - {endpoints: [h2, h1], impair-ab: {loss: 5%}, impair-ba: {delay: 30ms}}\n"
				       "  - {endpoints: [r1, lan], impair-ba: {loss: 100%}}\n"
				       "  - {endpoints: [\"h2:eth1\", uplink]}\n");
	assert_false(port_has_carrier(port_of_node(fixture, 0)));
	assert_true(port_is_cut(port_of_node(fixture, 0), PORT_SENDS));
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 30ms");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "loss: 5%");
	assert_string_equal(met(fixture, 2, PORT_RECEIVES), "loss: 100%");
	assert_int_equal(port_impairment(fixture->networks[1].outer, PORT_SENDS)->delay, 0);
}

static void what_is_new_has_nothing_of_the_old(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	lab_set_link(&fixture->lab, "r1:eth0", LAB_BOTH, false, &error);
	lab_set_link(&fixture->lab, "r1:eth0", LAB_RX, false, &error);
	change_lab(fixture, NODES_TEXT "links:\n"
				       "  - {endpoints: [h1, r1], impair: {delay: 1ms}}\n"
				       "  - {endpoints: [h2, lan]}\n"
				       "  - {endpoints: [\"h2:eth1\", uplink]}\n");
	assert_true(port_has_carrier(port_of_node(fixture, 2)));
	assert_false(port_is_cut(port_of_node(fixture, 2), PORT_RECEIVES));
	assert_string_equal(met(fixture, 2, PORT_RECEIVES), "none");
	assert_string_equal(met(fixture, 2, PORT_SENDS), "delay: 1ms");
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 1ms");
	assert_string_equal(met(fixture, 1, PORT_SENDS), "none");
}

/* What "netlab up" compares with. */
static void what_was_set_by_hand_is_described(void **state)
{
	struct fixture *fixture = *state;
	struct topology copy = *fixture->lab.topology;
	struct topology_link links[3];
	struct topology_network networks[2];
	struct error error;

	memcpy(links, copy.links, sizeof(links));
	memcpy(networks, copy.networks, sizeof(networks));
	copy.links = links;
	copy.networks = networks;
	lab_impair(&fixture->lab, "h1:eth0", LAB_TX, LAB_IMPAIR_SET, "{delay: 7ms}", &error);
	lab_impair(&fixture->lab, "network:uplink", LAB_RX, LAB_IMPAIR_SET, "{delay: 8ms}", &error);
	lab_links_describe(&fixture->lab, &copy);
	assert_int_equal(links[0].impairments[0].delay, 7 * MILLISECOND);
	assert_int_equal(links[0].impairments[1].delay, 20 * MILLISECOND);
	assert_int_equal(networks[1].impairments[0].delay, 0);
	assert_int_equal(networks[1].impairments[1].delay, 8 * MILLISECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_direction_is_impaired_where_its_sender_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(impairments_are_changed_by_key_and_side, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_makes_no_sense_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ports_are_found_by_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(carrier_is_of_both_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cuts_are_of_one_direction_from_either_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_are_told_of, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fates_are_the_labs_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_link_flaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flapping_ends_in_many_ways, set_up, tear_down),
		cmocka_unit_test(schedules_are_carried_out),
		cmocka_unit_test(schedules_go_on_when_others_change),
		cmocka_unit_test(another_schedule_begins_anew),
		cmocka_unit_test_setup_teardown(time_stands_still_while_all_that_run_are_paused, set_up, tear_down),
		cmocka_unit_test(paused_schedules_stand_still),
		cmocka_unit_test_setup_teardown(paused_flapping_stands_still, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_stays_keeps_its_carrier, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_new_has_nothing_of_the_old, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_set_by_hand_is_described, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("lab_link", tests, NULL, NULL);
}
