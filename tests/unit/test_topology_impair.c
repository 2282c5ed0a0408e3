/* SPDX-License-Identifier: Apache-2.0 */
/* Impairments and schedules, as the topology has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/topology.h"
#include "netlab/topology_units.h"
#include "netlab/yaml_reader.h"

#define PATH "/nowhere/office/topology.yaml"
#define NODES "nodes: [h1, h2, r1]\nnetworks: {lan: , up: {mode: nat}}\nlinks:\n"
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull

/* Reads what is good; what is written is 'messages', to be freed. */
static struct topology *read_with_warnings(const char *text, char **messages)
{
	size_t length;
	FILE *stream = open_memstream(messages, &length);
	struct topology *topology;

	assert_non_null(stream);
	topology = topology_read_text(text, strlen(text), PATH, NULL, stream);
	fclose(stream);
	if (!topology)
		fail_msg("%s", *messages);
	return topology;
}

static struct topology *read_good(const char *text)
{
	char *messages = NULL;
	struct topology *topology = read_with_warnings(text, &messages);

	assert_string_equal(messages, "");
	free(messages);
	return topology;
}

static void expect(const struct impairment *impairment, const char *expected)
{
	char *text = impairment_text(impairment);

	assert_string_equal(text, expected);
	free(text);
}

static void expect_link(const struct topology *topology, size_t link, const char *ab, const char *ba)
{
	expect(&topology->links[link].impairments[0], ab);
	expect(&topology->links[link].impairments[1], ba);
}

static void the_designs_example_is_read(void **state)
{
	struct topology *topology = read_good(
		"name: office\n"
		"defaults: {image: lab, memory: 64M, cpus: 1}\n"
		"nodes: {r1: {memory: 96M}, h1: }\n"
		"networks:\n"
		"  lan: {mode: isolated}\n"
		"  uplink: {mode: nat, subnet: 10.0.2.0/24, forward: [\"tcp:127.0.0.1:2222:r1:22\"]}\n"
		"links:\n"
		"  - h1-r1\n"
		"  - endpoints: [\"h1:eth1\", \"lan\"]\n"
		"  - endpoints: [{node: r1, interface: eth2, ip: 10.0.2.15/24, mac: \"52:54:00:00:00:07\"}, uplink]\n"
		"    impair: {delay: 20ms, jitter: 2ms, loss: 0.5%, rate: 10mbit, queue: 100p, seed: 7}\n"
		"    impair-ab: {loss: 5%}\n"
		"    offload: off\n");

	(void)state;
	expect_link(topology, 0, "none", "none");
	expect_link(topology, 2, "delay: 20ms, jitter: 2ms, loss: 5%, rate: 10mbit, queue: 100p, seed: 7",
		    "delay: 20ms, jitter: 2ms, loss: 0.5%, rate: 10mbit, queue: 100p, seed: 7");
	assert_int_equal(topology->links[2].impairments[1].delay, 20 * MILLISECOND);
	assert_int_equal(topology->links[2].impairments[1].loss, IMPAIRMENT_ALL / 200);
	assert_int_equal(topology->links[2].impairments[1].rate, 10000000);
	topology_free(topology);
}

static void maps_are_merged_key_by_key(void **state)
{
	struct topology *topology = read_good(
		"defaults: {impair: {delay: 5ms, loss: 1%, seed: 1}}\n" NODES "- h1-r1\n"
		"- {endpoints: [h1, h2], impair: {loss: 2%}}\n"
		"- {endpoints: [h1, h2], impair: {loss: 2%}, impair-ab: {delay: 6ms}, impair-ba: {loss: off}}\n"
		"- endpoints: [{node: h1, impair: {loss: 3%}}, {network: lan, impair: {loss: 4%, corrupt: 1%}}]\n"
		"  impair-ab: {loss: 50%, duplicate: 1%}\n"
		"- {endpoints: [h1, h2], impair: {}}\n"
		"- {endpoints: [h1, h2], impair: off}\n"
		"- {endpoints: [h1, h2], impair: }\n"
		"- {endpoints: [h1, h2], impair-ba: off}\n"
		"- {endpoints: [h1, {node: h2, impair: off}], impair: {mtu: 1400}}\n");

	(void)state;
	expect_link(topology, 0, "delay: 5ms, loss: 1%, seed: 1", "delay: 5ms, loss: 1%, seed: 1");
	expect_link(topology, 1, "delay: 5ms, loss: 2%, seed: 1", "delay: 5ms, loss: 2%, seed: 1");
	expect_link(topology, 2, "delay: 6ms, loss: 2%, seed: 1", "delay: 5ms, seed: 1");
	expect_link(topology, 3, "delay: 5ms, loss: 3%, duplicate: 1%, seed: 1",
		    "delay: 5ms, loss: 4%, corrupt: 1%, seed: 1");
	expect_link(topology, 4, "delay: 5ms, loss: 1%, seed: 1", "delay: 5ms, loss: 1%, seed: 1");
	expect_link(topology, 5, "none", "none");
	expect_link(topology, 6, "delay: 5ms, loss: 1%, seed: 1", "delay: 5ms, loss: 1%, seed: 1");
	expect_link(topology, 7, "delay: 5ms, loss: 1%, seed: 1", "none");
	expect_link(topology, 8, "delay: 5ms, loss: 1%, mtu: 1400, seed: 1", "none");
	topology_free(topology);
}

static void a_preset_comes_first_wherever_it_stands(void **state)
{
	struct topology *topology = read_good("defaults: {impair: {preset: wifi, mtu: 1400}}\n" NODES
					      "- {endpoints: [h1, h2], impair: {rate: 1mbit, preset: dialup}}\n"
					      "- {endpoints: [h1, h2], impair-ab: {rate: off, queue: off}}\n");

	(void)state;
	expect_link(topology, 0, "delay: 60ms, jitter: 5ms, rate: 1mbit, queue: 10p, mtu: 1400",
		    "delay: 60ms, jitter: 5ms, rate: 1mbit, queue: 10p, mtu: 1400");
	expect_link(topology, 1,
		    "delay: 2ms, jitter: 1ms, distribution: pareto, jitter-correlation: 25%, "
		    "gilbert-elliott: {to-bad: 0.2%, to-good: 30%, loss-bad: 30%}, mtu: 1400",
		    "delay: 2ms, jitter: 1ms, distribution: pareto, jitter-correlation: 25%, "
		    "gilbert-elliott: {to-bad: 0.2%, to-good: 30%, loss-bad: 30%}, rate: 40mbit, queue: 250p, "
		    "mtu: 1400");
	topology_free(topology);
}

static void outer_ports_have_their_own(void **state)
{
	struct topology *topology = read_good("defaults: {impair: {loss: 1%}}\n"
					      "nodes: [h1]\n"
					      "networks:\n"
					      "  up: {mode: nat, impair: {delay: 20ms}}\n"
					      "  office: {mode: bridge, bridge: br0, impair: {preset: wan, seed: 3}}\n"
					      "  plain: {mode: nat}\n"
					      "links: [{endpoints: [h1, up], impair: {corrupt: 1%}}]\n");

	(void)state;
	expect(&topology->networks[0].impairments[0], "delay: 20ms");
	expect(&topology->networks[0].impairments[1], "delay: 20ms");
	assert_int_equal(topology->networks[1].impairments[1].rate, 100000000);
	assert_true(topology->networks[1].impairments[1].has_seed);
	expect(&topology->networks[2].impairments[0], "none"); /* "defaults:" is for links. */
	expect_link(topology, 0, "loss: 1%, corrupt: 1%", "loss: 1%, corrupt: 1%");
	topology_free(topology);
}

static void ends_that_lead_out_have_impairments(void **state)
{
	struct topology *topology = read_good(
		NODES "- {endpoints: [lan, {socket: /tmp/q.sock, impair: {loss: 1%}}], impair-ab: {delay: 1ms}}\n");

	(void)state;
	expect_link(topology, 0, "delay: 1ms", "loss: 1%");
	topology_free(topology);
}

static void a_key_may_do_nothing_in_one_direction(void **state)
{
	struct topology *topology = read_good(
		"defaults: {impair: {queue: 100p, discipline: codel}}\n" NODES "- h1-r1\n"
		"- {endpoints: [h1, h2], impair: {delay: 20ms, reorder: 25%}, impair-ab: {delay: off}}\n"
		"- {endpoints: [h1, h2], impair: {burst: 15K}, impair-ba: {rate: 1mbit}}\n");

	(void)state;
	expect_link(topology, 0, "queue: 100p, discipline: codel", "queue: 100p, discipline: codel");
	expect_link(topology, 1, "reorder: 25%, queue: 100p, discipline: codel",
		    "delay: 20ms, reorder: 25%, queue: 100p, discipline: codel");
	assert_false(impairment_is_any(&topology->links[0].impairments[0]));
	topology_free(topology);
}

static void words_are_read_again(void **state)
{
	struct topology *topology = topology_read("tests/topologies/good/impair.yaml", NULL, stderr);

	(void)state;
	assert_non_null(topology);
	for (size_t i = 0; i < 2 * topology->link_count; i++) {
		const struct impairment *impairment = &topology->links[i / 2].impairments[i % 2];
		struct impairment again = {.delay = 0};
		char *text = impairment_text(impairment), *map = NULL;
		struct error error = {0};

		assert_true(asprintf(&map, strcmp(text, "none") != 0 ? "{%s}" : "%s", text) > 0);
		if (topology_read_impairment_text(map, &again, &error))
			fail_msg("%s: %s", map, error.text);
		assert_true(impairment_is_equal(impairment, &again));
		free(map);
		free(text);
	}
	topology_free(topology);
}

/* Warnings. */

/* Checks that a link with these settings is warned of with 'expected', after the path, and is read all the same. */
static void expect_warning(const char *settings, const char *expected)
{
	char text[512], *messages = NULL;
	struct topology *topology;

	snprintf(text, sizeof(text), "nodes: [h1, h2]\nlinks:\n- endpoints: [h1, h2]\n  %s\n", settings);
	topology = read_with_warnings(text, &messages);
	assert_memory_equal(messages, PATH ":", strlen(PATH ":"));
	if (strncmp(messages + strlen(PATH ":"), expected, strlen(expected)) != 0)
		assert_string_equal(messages + strlen(PATH ":"), expected);
	assert_int_equal(strlen(strchr(messages, '\n')), 1);
	topology_free(topology);
	free(messages);
}

static void what_is_hardly_meant_is_warned_of(void **state)
{
	(void)state;
	expect_warning("impair: {delay: 20ms, jitter: 30ms}",
		       "4:25: warning: a jitter of 30ms is more than the delay of 20ms: delays are cut off at 0");
	expect_warning("impair: {jitter: 0.5ms}", "4:12: warning: a jitter of 0.5ms is more than the delay of 0ms");
	expect_warning("impair: {delay: 600s, rate: 10mbit}",
		       "4:12: warning: a delay of 600000ms at a rate of 10mbit is up to 750000000 bytes that are on "
		       "their way, and what is beyond 67108864 is dropped");
	expect_warning("impair: {delay: 600s, rate: 400gbit}",
		       "4:12: warning: a delay of 600000ms at a rate of 400000mbit is up to 30000000000000 bytes");
	expect_warning("impair: {rate: 1mbit, burst: 1500b}",
		       "4:25: warning: a burst of 1500 bytes is less than a frame, which has up to 1514 here");
	expect_warning("impair: {rate: 1mbit, queue: 1K}",
		       "4:25: warning: a queue of 1024 bytes is less than a frame, which has up to 1514 here: longer "
		       "ones are all dropped");
	expect_warning("impair: {rate: 1mbit, queue: 100000p}",
		       "4:25: warning: a queue of 100000 frames is up to 151400000 bytes, and what is beyond 67108864 "
		       "is dropped");
	expect_warning("impair: {rate: 1mbit, queue: 50p, discipline: red, red-max: 60}",
		       "4:54: warning: red-max (60) is never reached: 50 frames fill the queue");
	expect_warning("schedule: [{at: 1s, impair-ab: {}}]",
		       "4:14: warning: an item of \"schedule:\" changes nothing: the link is like that already");
}

static void smaller_frames_need_less(void **state)
{
	struct topology *topology = read_good(
		"nodes: [h1, h2]\nlinks:\n"
		"- {endpoints: [h1, h2], mtu: 1000, impair: {rate: 1mbit, burst: 1014b, queue: 1K}}\n"
		"- {endpoints: [h1, h2], impair: {rate: 1mbit, burst: 514b, mtu: 500}}\n");

	(void)state;
	topology_free(topology);
}

/* One line for each place, however many links there are. */
static void a_warning_is_given_once(void **state)
{
	char *messages = NULL;
	struct topology *topology =
		read_with_warnings("defaults: {impair: {jitter: 1ms}}\n" NODES "- h1-r1\n- h1-r1\n"
				   "- {endpoints: [h1, h2], impair: &bad {delay: 2ms, jitter: 3ms}}\n"
				   "- {endpoints: [h1, h2], impair: *bad, schedule: [{at: 1s, impair: {loss: 1%}}]}\n",
				   &messages);

	(void)state;
	assert_string_equal(messages,
			    PATH ":1:21: warning: a jitter of 1ms is more than the delay of 0ms: delays are cut off at "
				 "0\n" PATH ":7:51: warning: a jitter of 3ms is more than the delay of 2ms: delays "
				 "are cut off at 0\n");
	topology_free(topology);
	free(messages);
}

static void warnings_end_after_some(void **state)
{
	char *text = NULL, *messages = NULL;
	struct topology *topology;
	unsigned int lines = 0;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	(void)state;
	fputs("nodes: [h1, h2]\nlinks:\n", stream);
	for (int i = 0; i < 24; i++)
		fputs("- {endpoints: [h1, h2], impair: {jitter: 1ms}}\n", stream);
	fclose(stream);
	topology = read_with_warnings(text, &messages);
	for (const char *at = messages; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, YAML_READER_ERRORS_MAX + 1);
	assert_non_null(strstr(messages, PATH ": warning: more warnings than are shown here\n"));
	topology_free(topology);
	free(messages);
	free(text);
}

/* Schedules. */

static void items_are_on_top_of_the_file(void **state)
{
	struct topology *topology = read_good(
		NODES "- endpoints: [h1, h2]\n"
		      "  impair: {delay: 20ms}\n"
		      "  impair-ba: {loss: 1%}\n"
		      "  schedule:\n"
		      "  - {at: 0s, impair: {loss: 50%}}\n"
		      "  - {at: 10s, link: down}\n"
		      "  - {at: 10s, impair-ab: {delay: 1ms}}\n"
		      "  - {at: 10s, impair-ba: off}\n"
		      "  - {at: 12.5s, link: up, impair: {}}\n"
		      "  - {at: 168h, impair: {rate: 1mbit}, impair-ab: off}\n"
		      "- {endpoints: [h1, h2], schedule: []}\n"
		      "- {endpoints: [h1, h2], schedule: }\n"
		      "- {endpoints: [h1, lan], schedule: [{at: 1ms, impair-ba: {preset: lte}}]}\n");
	const struct topology_event *events = topology->links[0].events;

	(void)state;
	assert_int_equal(topology->links[0].event_count, 6);
	assert_int_equal(events[0].at, 0);
	assert_int_equal(events[0].carrier, TOPOLOGY_CARRIER_STAYS);
	assert_true(events[0].is_impaired[0] && events[0].is_impaired[1]);
	expect(&events[0].impairments[0], "delay: 20ms, loss: 50%");
	expect(&events[0].impairments[1], "delay: 20ms, loss: 50%");
	assert_int_equal(events[1].at, 10 * SECOND);
	assert_int_equal(events[1].carrier, TOPOLOGY_CARRIER_DOWN);
	assert_false(events[1].is_impaired[0] || events[1].is_impaired[1]);
	assert_true(events[2].is_impaired[0] && !events[2].is_impaired[1]);
	expect(&events[2].impairments[0], "delay: 1ms");
	assert_true(events[3].is_impaired[1] && !events[3].is_impaired[0]);
	expect(&events[3].impairments[1], "none");
	assert_int_equal(events[4].at, 12500 * MILLISECOND);
	assert_int_equal(events[4].carrier, TOPOLOGY_CARRIER_UP);
	expect(&events[4].impairments[0], "delay: 20ms");
	expect(&events[4].impairments[1], "delay: 20ms, loss: 1%");
	assert_int_equal(events[5].at, 7 * 24 * 3600 * SECOND);
	expect(&events[5].impairments[0], "none");
	expect(&events[5].impairments[1], "delay: 20ms, loss: 1%, rate: 1mbit");
	assert_int_equal(topology->links[1].event_count, 0);
	assert_int_equal(topology->links[2].event_count, 0);
	assert_int_equal(topology->links[3].events[0].impairments[1].rate, 12000000);
	topology_free(topology);
}

/* All schedules together have a limit, since aliases make many of a few lines. */
static void schedules_have_a_limit(void **state)
{
	char *text = NULL, *messages = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length), *errors = open_memstream(&messages, &length);

	(void)state;
	fputs("nodes: [h1, h2, h3]\nlinks:\n- endpoints: [h1, h2]\n  schedule: &many\n", stream);
	for (int i = 0; i < TOPOLOGY_EVENTS_MAX; i++)
		fprintf(stream, "  - {at: %ds, link: %s}\n", i, i % 2 ? "up" : "down");
	for (int i = 0; i < TOPOLOGY_LAB_EVENTS_MAX / TOPOLOGY_EVENTS_MAX; i++)
		fputs("- {endpoints: [h1, h3], schedule: *many}\n", stream);
	fclose(stream);
	assert_null(topology_read_text(text, strlen(text), PATH, NULL, errors));
	fclose(errors);
	assert_non_null(strstr(messages, "error: more than 16384 items in all schedules of a lab\n"));
	free(messages);
	free(text);
}

/* A map by itself. */

static void a_text_changes_what_it_names(void **state)
{
	struct impairment impairment = {.delay = 5 * MILLISECOND, .loss = IMPAIRMENT_ALL};
	struct error error = {0};

	(void)state;
	assert_int_equal(topology_read_impairment_text("{loss: 1%, seed: 3}", &impairment, &error), 0);
	expect(&impairment, "delay: 5ms, loss: 1%, seed: 3");
	assert_int_equal(topology_read_impairment_text("delay: 20ms\njitter: 2ms\n", &impairment, &error), 0);
	expect(&impairment, "delay: 20ms, jitter: 2ms, loss: 1%, seed: 3");
	assert_int_equal(topology_read_impairment_text("{preset: dialup}", &impairment, &error), 0);
	expect(&impairment, "delay: 60ms, jitter: 5ms, rate: 49kbit, queue: 10p, seed: 3");
	/* What it does not name may be of no use then. */
	assert_int_equal(topology_read_impairment_text("{rate: off, seed: off}", &impairment, &error), 0);
	expect(&impairment, "delay: 60ms, jitter: 5ms, queue: 10p");
	assert_int_equal(topology_read_impairment_text("{}", &impairment, &error), 0);
	expect(&impairment, "delay: 60ms, jitter: 5ms, queue: 10p");
	assert_int_equal(topology_read_impairment_text("{jitter: 1s}", &impairment, &error), 0);
	assert_int_equal(topology_read_impairment_text("off", &impairment, &error), 0);
	expect(&impairment, "none");
	assert_string_equal(error.text, "");
}

static void expect_doubt(const char *text, const char *expected)
{
	struct impairment impairment = {0};
	struct error error;
	char *doubt;

	assert_int_equal(topology_read_impairment_text(text, &impairment, &error), 0);
	doubt = topology_doubt_impairment(&impairment);
	assert_string_equal(doubt, expected);
	free(doubt);
}

static void what_is_hardly_meant_is_said(void **state)
{
	(void)state;
	expect_doubt("{}", "");
	expect_doubt("{delay: 20ms, jitter: 2ms, rate: 10mbit, queue: 100p}", "");
	expect_doubt("{delay: 5ms, jitter: 1s}",
		     "a jitter of 1000ms is more than the delay of 5ms: delays are cut off at 0\n");
	expect_doubt(
		"{delay: 10s, rate: 1gbit, queue: 40p, discipline: red, red-max: 60}",
		"a delay of 10000ms at a rate of 1000mbit is up to 1250000000 bytes that are on their way, and what "
		"is beyond 67108864 is dropped\n"
		"red-max (60) is never reached: 40 frames fill the queue\n");
}

static void expect_refused(const char *text, const char *expected)
{
	struct impairment impairment = {.delay = 5 * MILLISECOND, .queue_frames = 7}, before = impairment;
	struct error error = {0};

	assert_int_equal(topology_read_impairment_text(text, &impairment, &error), -EINVAL);
	assert_int_equal(error.class, ERROR_USAGE);
	if (strncmp(error.text, expected, strlen(expected)) != 0)
		assert_string_equal(error.text, expected);
	assert_true(impairment_is_equal(&impairment, &before));
}

static void a_bad_text_changes_nothing(void **state)
{
	char *deep = malloc(4097), *wide = malloc(4098);

	(void)state;
	expect_refused("{loss: 1%, dely: 20ms}",
		       "unknown key \"dely\" in \"impair:\"\n  help: did you mean \"delay\"?");
	expect_refused("{loss: 1%, delay: 20}", "delay \"20\" needs a unit: ns, us, ms, s, m or h, as in 20ms");
	expect_refused("{queue: 100p}",
		       "\"queue\" does nothing without \"rate\"\n  help: add rate, as in rate: 10mbit");
	expect_refused("{rate: 0mbit}", "rate \"0mbit\" must be from 1kbit to 400gbit");
	expect_refused("{preset: dls}", "unknown preset \"dls\"\n  help: did you mean \"dsl\"?");
	expect_refused("{loss-match: \"((((\"}", "loss-match \"((((\" cannot be compiled");
	expect_refused("", "");
	expect_refused("20ms", "\"impair:\" must be a map of settings, not text");
	expect_refused("[off]", "\"impair:\" must be a map of settings, not a list");
	expect_refused("{loss: 1%, loss: 2%}", "");
	expect_refused("{loss: 1%", "");
	expect_refused("--- {loss: 1%}\n--- {loss: 2%}\n", "");
	expect_refused("{<<: {loss: 1%}}", "");
	expect_refused("{loss: !!float 1%}", "");
	expect_refused("{loss: \xff}", "");
	expect_refused("{loss: \"1%\\0\"}", "");
	expect_refused("{loss: \"a: error: b\\nc\"}", "loss holds a line break");
	expect_refused("{loss: \"a: error: b\"}", "loss \"a: error: b\" is not a share");
	expect_refused("{loss: &a {b: *a}}", "");
	expect_refused("{seed: 18446744073709551616}", "seed must be from 0 to 18446744073709551615");
	memset(deep, '[', 4096);
	deep[4096] = '\0';
	expect_refused(deep, "");
	memset(wide, ' ', 4097);
	wide[4097] = '\0';
	expect_refused(wide, "impairments of more than 4096 bytes of text");
	free(deep);
	free(wide);
}

/* Words. */

static void shares_are_exact(void **state)
{
	static const struct {
		const char *text;
		uint32_t share;
	} good[] = {{"0%", 0},         {"0.5%", 5000000},  {"100%", IMPAIRMENT_ALL},   {"100.0%", IMPAIRMENT_ALL},
		    {"0.0000001%", 1}, {"0.00000010%", 1}, {"33.3333333%", 333333333}, {"007%", 70000000}};
	static const char *const bad[] =
		{"",    "%",    "5",      "5%%", ".5%",         "5.%",       "-1%",
		 "+1%", "1e3%", "100.1%", "1 %", "0.00000001%", "5 percent", "99999999999999999999%"};
	uint32_t share = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(topology_parse_share(good[i].text, &share));
		assert_int_equal(share, good[i].share);
	}
	share = 42;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(topology_parse_share(bad[i], &share));
	assert_int_equal(share, 42);
}

static void rates_have_units_of_bits(void **state)
{
	static const struct {
		const char *text;
		uint64_t rate;
	} good[] = {{"1kbit", 1000},
		    {"1000bit", 1000},
		    {"1.5mbit", 1500000},
		    {"64kbit", 64000},
		    {"0.001mbit", 1000},
		    {"1Gbit", 1000000000},
		    {"10MBIT", 10000000},
		    {"400gbit", 400000000000},
		    {"400000000000bit", 400000000000},
		    {"1.000000001gbit", 1000000001}};
	static const char *const bad[] = {"",        "10",      "10m",
					  "10M",     "10k",     "10G",
					  "10mbps",  "10Mb/s",  "mbit",
					  "m",       "-1mbit",  "1.5bit",
					  "999bit",  "401gbit", "1e6bit",
					  "10 mbit", "10mbits", "0gbit",
					  "10mibit", "1.bit",   "99999999999999999999gbit",
					  "10kbps",  "10bps",   "1tbit"};
	uint64_t rate = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(topology_parse_rate(good[i].text, &rate));
		assert_int_equal(rate, good[i].rate);
	}
	rate = 42;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(topology_parse_rate(bad[i], &rate));
	assert_int_equal(rate, 42);
	assert_string_equal(topology_parse_rate("10M", &rate),
			    "could be bits or bytes, of 1000 or 1024; write kbit, mbit or gbit");
}

static void bytes_have_units_of_1024(void **state)
{
	static const char *const bad[] = {"", "1500", "b", "K", "15kb", "15kbit", "1.5K", "-1b", "1T", "9999999999b"};
	uint64_t bytes = 0;

	(void)state;
	assert_null(topology_parse_bytes("1500b", &bytes));
	assert_int_equal(bytes, 1500);
	assert_null(topology_parse_bytes("15k", &bytes));
	assert_int_equal(bytes, 15360);
	assert_null(topology_parse_bytes("2M", &bytes));
	assert_int_equal(bytes, 2 << 20);
	assert_null(topology_parse_bytes("999999999G", &bytes));
	assert_int_equal(bytes, 999999999ull << 30);
	bytes = 42;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(topology_parse_bytes(bad[i], &bytes));
	assert_int_equal(bytes, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_designs_example_is_read),
		cmocka_unit_test(maps_are_merged_key_by_key),
		cmocka_unit_test(a_preset_comes_first_wherever_it_stands),
		cmocka_unit_test(outer_ports_have_their_own),
		cmocka_unit_test(ends_that_lead_out_have_impairments),
		cmocka_unit_test(a_key_may_do_nothing_in_one_direction),
		cmocka_unit_test(words_are_read_again),
		cmocka_unit_test(what_is_hardly_meant_is_warned_of),
		cmocka_unit_test(smaller_frames_need_less),
		cmocka_unit_test(a_warning_is_given_once),
		cmocka_unit_test(warnings_end_after_some),
		cmocka_unit_test(items_are_on_top_of_the_file),
		cmocka_unit_test(schedules_have_a_limit),
		cmocka_unit_test(a_text_changes_what_it_names),
		cmocka_unit_test(what_is_hardly_meant_is_said),
		cmocka_unit_test(a_bad_text_changes_nothing),
		cmocka_unit_test(shares_are_exact),
		cmocka_unit_test(rates_have_units_of_bits),
		cmocka_unit_test(bytes_have_units_of_1024),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
