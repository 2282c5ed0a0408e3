/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of ports, from one status to the next: counters that start again, ports that come and go, and their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "netlab/port_rates.h"

/* JSON with ' for ". */
static json_t *parse(const char *text)
{
	char quoted[2048];
	size_t i;
	json_t *json;

	for (i = 0; text[i]; i++) {
		assert_true(i < sizeof(quoted) - 1);
		quoted[i] = (char)(text[i] == '\'' ? '"' : text[i]);
	}
	quoted[i] = '\0';
	json = json_loads(quoted, 0, NULL);
	assert_non_null(json);
	return json;
}

static json_t *rates_between(const char *before, const char *status)
{
	json_t *one = before ? parse(before) : NULL, *other = parse(status);
	json_t *rates = port_rates(one, other);

	assert_non_null(rates);
	json_decref(one);
	json_decref(other);
	return rates;
}

/* Compares, and frees, what there is with what should be. */
static void expect_equal(json_t *rates, const char *wanted)
{
	json_t *should = parse(wanted);

	if (!json_equal(rates, should)) {
		char *is = json_dumps(rates, JSON_SORT_KEYS), *text = json_dumps(should, JSON_SORT_KEYS);

		assert_string_equal(is, text);
		fail();
	}
	json_decref(rates);
	json_decref(should);
}

#define PORT(name, tx, rx, drops) \
	"{'name': '" name "', 'tx_frames': " tx ", 'tx_bytes': " tx "00, 'rx_frames': " rx ", 'rx_bytes': " rx "00, " \
	"'rx_filtered': 0, 'capture_lost': 0, 'drops': " drops ", 'capture_file': null}"
#define STATUS(uptime, ports) "{'lab': 'office', 'uptime': " uptime ", 'ports': [" ports "]}"
#define UNKNOWN(name) \
	"{'name': '" name "', 'state': null, 'tx_frames_per_second': null, 'tx_bits_per_second': null, " \
	"'rx_frames_per_second': null, 'rx_bits_per_second': null, 'drops_per_second': null, 'drops': null, " \
	"'capture_lost': null, 'queued': null, 'rx_ring': null}"

static void rates_are_by_the_labs_clock(void **state)
{
	(void)state;
	expect_equal(rates_between(STATUS("10.0", PORT("h1:eth0", "100", "200", "{'mtu': 5}")),
				   STATUS("12.5", PORT("h1:eth0", "105", "300", "{'mtu': 5, 'vlan': 10}"))),
		     "{'lab': 'office', 'uptime': 12.5, 'interval': 2.5, 'ports': [{'name': 'h1:eth0', 'state': null, "
		     "'tx_frames_per_second': 2.0, 'tx_bits_per_second': 1600.0, 'rx_frames_per_second': 40.0, "
		     "'rx_bits_per_second': 32000.0, 'drops_per_second': 4.0, 'drops': {'vlan': 10}, "
		     "'capture_lost': 0, 'queued': null, 'rx_ring': null}]}");
}

static void states_are_of_nodes_and_attachments(void **state)
{
	json_t *rates = rates_between(NULL, "{'lab': 'office', 'uptime': 1.0, 'ports': ["
					    "{'name': 'h1:eth1'}, {'name': 'network:up'}, {'name': 'socket:vm'}], "
					    "'nodes': [{'name': 'h1', 'state': 'ready', 'interfaces': "
					    "[{'port': 'h1:eth0'}, {'port': 'h1:eth1'}]}], 'attachments': "
					    "[{'name': 'socket:vm', 'state': 'connected', 'queued': 77}]}");
	json_t *ports = json_object_get(rates, "ports");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(json_array_get(ports, 0), "state")), "ready");
	assert_true(json_is_null(json_object_get(json_array_get(ports, 0), "queued")));
	assert_true(json_is_null(json_object_get(json_array_get(ports, 1), "state")));
	assert_string_equal(json_string_value(json_object_get(json_array_get(ports, 2), "state")), "connected");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ports, 2), "queued")), 77);
	json_decref(rates);
}

/* A ring fills and empties, which is no counter that fell. */
static void rings_are_as_they_are_now(void **state)
{
	json_t *rates = rates_between(
		"{'lab': 'office', 'uptime': 1.0, 'ports': [{'name': 'h1:eth0', 'rx_ring': {'size': 256, 'free': 200}}]}",
		"{'lab': 'office', 'uptime': 2.0, 'ports': [{'name': 'h1:eth0', 'rx_ring': {'size': 256, 'free': 3}}]}");
	const json_t *port = json_array_get(json_object_get(rates, "ports"), 0);

	(void)state;
	assert_true(json_real_value(json_object_get(rates, "interval")) == 1.0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(port, "rx_ring"), "free")), 3);
	json_decref(rates);
}

static void nothing_is_known_at_first(void **state)
{
	(void)state;
	expect_equal(rates_between(NULL, STATUS("1.0", PORT("h1:eth0", "1", "2", "{}"))),
		     "{'lab': 'office', 'uptime': 1.0, 'interval': null, 'ports': [" UNKNOWN("h1:eth0") "]}");
}

static void same_instant_has_no_rates(void **state)
{
	(void)state;
	expect_equal(rates_between(STATUS("1.0", PORT("h1:eth0", "1", "2", "{}")),
				   STATUS("1.0", PORT("h1:eth0", "2", "2", "{}"))),
		     "{'lab': 'office', 'uptime': 1.0, 'interval': null, 'ports': [" UNKNOWN("h1:eth0") "]}");
}

/* All counters of a lab go back at once, and those that rose did not count frames. */
static void restored_snapshot_voids_the_interval(void **state)
{
	(void)state;
	expect_equal(rates_between(STATUS("1.0",
					  PORT("h1:eth0", "100", "2", "{}") ", " PORT("h2:eth0", "1", "2", "{}")),
				   STATUS("2.0",
					  PORT("h1:eth0", "10", "2", "{}") ", " PORT("h2:eth0", "5", "2", "{}"))),
		     "{'lab': 'office', 'uptime': 2.0, 'interval': null, 'ports': [" UNKNOWN("h1:eth0") ", " UNKNOWN(
			     "h2:eth0") "]}");
}

/* A reason that is zero is not named. */
static void drops_that_are_gone_have_fallen(void **state)
{
	(void)state;
	expect_equal(rates_between(STATUS("1.0", PORT("h1:eth0", "1", "2", "{'mtu': 1}")),
				   STATUS("2.0", PORT("h1:eth0", "1", "2", "{}"))),
		     "{'lab': 'office', 'uptime': 2.0, 'interval': null, 'ports': [" UNKNOWN("h1:eth0") "]}");
}

static void port_that_came_has_counted_all_since(void **state)
{
	(void)state;
	expect_equal(rates_between(STATUS("1.0", PORT("h1:eth0", "100", "2", "{}")),
				   STATUS("3.0", PORT("h2:eth0", "6", "4", "{'vlan': 2}"))),
		     "{'lab': 'office', 'uptime': 3.0, 'interval': 2.0, 'ports': [{'name': 'h2:eth0', 'state': null, "
		     "'tx_frames_per_second': 3.0, 'tx_bits_per_second': 2400.0, 'rx_frames_per_second': 2.0, "
		     "'rx_bits_per_second': 1600.0, 'drops_per_second': 1.0, 'drops': {'vlan': 2}, "
		     "'capture_lost': 0, 'queued': null, 'rx_ring': null}]}");
}

static void status_that_makes_no_sense_has_no_rates(void **state)
{
	json_t *rates = rates_between("{'ports': 7}", "{'ports': [7, {'name': []}, {'name': 'x', 'drops': 'y'}], "
						      "'nodes': [{'interfaces': [{'port': 1}]}], 'attachments': [3]}");

	(void)state;
	assert_int_equal(json_array_size(json_object_get(rates, "ports")), 3);
	assert_true(json_is_null(json_object_get(rates, "interval")));
	json_decref(rates);
}

static void expect_order(json_t *rates, enum port_rates_order order, const char *first, const char *second,
			 const char *third)
{
	const char *const wanted[] = {first, second, third};

	port_rates_sort(rates, order);
	for (size_t i = 0; i < 3; i++) {
		const json_t *port = json_array_get(json_object_get(rates, "ports"), i);

		assert_string_equal(json_string_value(json_object_get(port, "name")), wanted[i]);
	}
}

static void ports_are_sorted(void **state)
{
	json_t *rates = rates_between(
		STATUS("1.0", ""),
		STATUS("2.0",
		       "{'name': 'h10:eth0', 'tx_frames': 9, 'tx_bytes': 900, 'rx_frames': 0, 'rx_bytes': 0, 'drops': {}}, "
		       "{'name': 'h9:eth0', 'tx_frames': 0, 'tx_bytes': 0, 'rx_frames': 2, 'rx_bytes': 3000, 'drops': {}}, "
		       "{'name': 'h1:eth0', 'tx_frames': 0, 'tx_bytes': 0, 'rx_frames': 0, 'rx_bytes': 0, 'drops': {'mtu': 3}}"));

	(void)state;
	expect_order(rates, PORT_RATES_BY_BITS, "h9:eth0", "h10:eth0", "h1:eth0");
	expect_order(rates, PORT_RATES_BY_FRAMES, "h10:eth0", "h9:eth0", "h1:eth0");
	expect_order(rates, PORT_RATES_BY_DROPS, "h1:eth0", "h9:eth0", "h10:eth0");
	expect_order(rates, PORT_RATES_BY_NAME, "h1:eth0", "h9:eth0", "h10:eth0");
	json_decref(rates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_by_the_labs_clock),
		cmocka_unit_test(states_are_of_nodes_and_attachments),
		cmocka_unit_test(rings_are_as_they_are_now),
		cmocka_unit_test(nothing_is_known_at_first),
		cmocka_unit_test(same_instant_has_no_rates),
		cmocka_unit_test(restored_snapshot_voids_the_interval),
		cmocka_unit_test(drops_that_are_gone_have_fallen),
		cmocka_unit_test(port_that_came_has_counted_all_since),
		cmocka_unit_test(status_that_makes_no_sense_has_no_rates),
		cmocka_unit_test(ports_are_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
