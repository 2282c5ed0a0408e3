/* SPDX-License-Identifier: Apache-2.0 */
/* Links in a snapshot of a lab, and filters, which such a one has as text. */
#include "tests/state_bytes.h"
#include "tests/unit/link_lab.h"

static void save(struct fixture *fixture, struct state *state)
{
	dataplane_save(fixture->lab.context.dataplane, state);
	lab_links_save(&fixture->lab, state);
}

static void restore(struct fixture *fixture, struct state *state)
{
	state->at = 0;
	state->bad = false;
	lab_links_quiet(&fixture->lab, "the lab was restored");
	dataplane_restore(fixture->lab.context.dataplane, state);
	lab_links_restore(&fixture->lab, state);
}

static void snapshots_have_links(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));
	struct state state = {0};
	struct error error;
	uint64_t zero;

	(void)unused;
	save(fixture, &state);
	lab_links_start(&fixture->lab);
	turn_until(fixture, loop_now() + 10 * MILLISECOND);
	restore(fixture, &state); /* To before it began. */
	assert_false(state.bad);
	assert_false(fixture->lab.links[0]->has_begun);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "none");
	lab_links_start(&fixture->lab);
	turn_until(fixture, loop_now() + 10 * MILLISECOND);
	lab_impair(&fixture->lab, "r1", LAB_TX, LAB_IMPAIR_SET, "{delay: 7ms}", &error);
	state_release(&state);
	save(fixture, &state);
	zero = fixture->lab.links[0]->zero;
	lab_impair(&fixture->lab, "r1", LAB_TX, LAB_IMPAIR_CLEAR, NULL, &error);
	lab_impair(&fixture->lab, "h1:eth0", LAB_TX, LAB_IMPAIR_CLEAR, NULL, &error);
	turn_until(fixture, loop_now() + 5 * MILLISECOND);
	restore(fixture, &state);
	assert_false(state.bad);
	assert_string_equal(met(fixture, 0, PORT_SENDS), "delay: 20ms");
	assert_string_equal(met(fixture, 2, PORT_SENDS), "delay: 7ms");
	assert_int_equal(fixture->lab.links[1]->now[0].delay, 7 * MILLISECOND);
	assert_int_equal(fixture->lab.links[0]->next_event, 3);
	assert_true(fixture->lab.links[0]->zero > zero); /* As much later as it was restored. */
	state_release(&state);
	free_lab(fixture);
}

/* Whether it is restored into a lab that is paused or not. */
static void paused_labs_are_saved(void **unused)
{
	struct fixture *fixture = make_lab(LATER(""));
	struct state state = {0};
	uint64_t elapsed;

	(void)unused;
	set_states(fixture, NODE_READY);
	lab_links_start(&fixture->lab);
	set_states(fixture, NODE_PAUSED);
	elapsed = lab_time(&fixture->lab) - fixture->lab.links[0]->zero;
	turn_until(fixture, loop_now() + 30 * MILLISECOND);
	save(fixture, &state);
	set_states(fixture, NODE_READY);
	await_down(fixture);
	for (unsigned int i = 0; i < 2; i++) {
		set_states(fixture, i == 0 ? NODE_PAUSED : NODE_STOPPED);
		restore(fixture, &state);
		set_states(fixture, NODE_PAUSED);
		assert_false(state.bad);
		turn_until(fixture, loop_now() + 30 * MILLISECOND);
		assert_true(port_has_carrier(port_of_node(fixture, 0)));
		assert_true(lab_time(&fixture->lab) - fixture->lab.links[0]->zero >= elapsed);
		assert_int_equal(fixture->lab.links[0]->next_event, 0);
		set_states(fixture, NODE_READY);
		await_down(fixture);
	}
	state_release(&state);
	free_lab(fixture);
}

static void put(uint8_t *at, uint64_t number)
{
	memcpy(at, &number, sizeof(number));
}

/* Whether a frame of ARP gets from h1 to h2. */
static bool arp_passes(struct fixture *fixture)
{
	struct frame frame = {.header_size = 60, .size = 60};

	fixture->frames[1] = 0;
	memset(frame.header, 0, sizeof(frame.header));
	frame.header[5] = 1;
	frame.header[12] = 0x08;
	frame.header[13] = 0x06;
	port_transmit(port_of_node(fixture, 0), &frame);
	return fixture->frames[1] > 0;
}

static int lose(struct fixture *fixture, const char *text)
{
	struct error error;

	return lab_impair(&fixture->lab, "h1:eth0", LAB_TX, LAB_IMPAIR_SET, text, &error);
}

static void what_matches_is_lost(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));
	struct impairment bad = {.loss_match = "arp and and"};
	struct state state = {0};
	struct error error;
	uint8_t *saved;

	(void)unused;
	assert_true(arp_passes(fixture));
	assert_int_equal(lose(fixture, "{loss-match: arp}"), 0);
	assert_false(arp_passes(fixture));
	assert_int_equal(lab_link_impair(fixture->lab.links[0], 0, &bad, &error), -EINVAL);
	assert_string_equal(error.text, "loss-match \"arp and and\" is no filter");
	assert_string_equal(met(fixture, 0, PORT_SENDS), "loss-match: \"arp\"");
	assert_false(arp_passes(fixture));
	save(fixture, &state);
	assert_int_equal(lose(fixture, "{loss-match: ip}"), 0);
	assert_true(arp_passes(fixture));
	restore(fixture, &state);
	assert_false(state.bad);
	assert_false(arp_passes(fixture));
	assert_int_equal(lose(fixture, "off"), 0);
	assert_true(arp_passes(fixture));
	saved = state_section(&state, STATE_TAG('w', 'i', 'r', 'e'), 0, NULL);
	memcpy(saved + offsetof(struct impairment, loss_match), "and", sizeof("and"));
	restore(fixture, &state);
	assert_true(state.bad);
	state_release(&state);
	free_lab(fixture);
}

/* What a link meets is told in words, and what is restored may be a word that is none. */
static void impairments_of_damaged_states_can_be_told(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));
	const uint32_t word = 0x7fffffff;
	struct state state = {0};
	uint8_t *saved;
	json_t *links;

	(void)unused;
	assert_int_equal(lose(fixture, "{delay: 1ms, rate: 1gbit}"), 0);
	save(fixture, &state);
	saved = state_section(&state, STATE_TAG('w', 'i', 'r', 'e'), 0, NULL);
	memcpy(saved + offsetof(struct impairment, distribution), &word, sizeof(word));
	memcpy(saved + offsetof(struct impairment, discipline), &word, sizeof(word));
	restore(fixture, &state);
	links = lab_links(&fixture->lab, NULL, NULL);
	assert_non_null(links);
	json_decref(links);
	assert_string_equal(met(fixture, 0, PORT_SENDS),
			    "delay: 1ms, distribution: pareto, rate: 1gbit, discipline: codel");
	state_release(&state);
	free_lab(fixture);
}

static void states_of_others_are_bad(void **unused)
{
	struct fixture *fixture = make_lab(SCHEDULED(""));
	struct state state = {0};
	uint8_t *saved; /* Two numbers of 64 bits, where a state has no alignment. */

	(void)unused;
	save(fixture, &state);
	saved = state_section(&state, STATE_TAG('l', 'i', 'n', 'k'), 0, NULL);
	put(saved, 2);
	restore(fixture, &state);
	assert_true(state.bad);
	put(saved, 1);
	put(saved + 8, UINT64_MAX);
	restore(fixture, &state);
	assert_true(state.bad);
	put(saved + 8, 0);
	state.size -= 8;
	restore(fixture, &state);
	assert_true(state.bad);
	state_release(&state);
	free_lab(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshots_have_links),     cmocka_unit_test(paused_labs_are_saved),
		cmocka_unit_test(what_matches_is_lost),     cmocka_unit_test(impairments_of_damaged_states_can_be_told),
		cmocka_unit_test(states_of_others_are_bad),
	};

	return cmocka_run_group_tests_name("lab_link_state", tests, NULL, NULL);
}
