/* SPDX-License-Identifier: Apache-2.0 */
/* Counters as Prometheus reads them: families, labels, and what must be escaped in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/prometheus.h"

/* What is written of a status, which is JSON; to be freed. */
static char *written(const char *json)
{
	json_t *status = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(status);
	assert_non_null(to);
	prometheus_write(to, status);
	assert_int_equal(fclose(to), 0);
	json_decref(status);
	return text;
}

/* The text has this line, once. */
static void expect_line(const char *text, const char *line)
{
	size_t length = strlen(line), found = 0;

	for (const char *at = text; (at = strstr(at, line)); at++)
		found += (at == text || at[-1] == '\n') && at[length] == '\n';
	if (found != 1)
		fail_msg("%zu times instead of once: %s\n%s", found, line, text);
}

static void counters_have_help_type_and_labels(void **state)
{
	char *text = written(
		"{\"lab\": \"office\", \"uptime\": 75.25, \"ports\": [{\"name\": \"h1:eth0\", \"tx_frames\": 12, "
		"\"tx_bytes\": 9007199254740993, \"drops\": {\"mtu\": 3}, "
		"\"rx_ring\": {\"size\": 256, \"free\": 7}}, {\"name\": \"h2:eth0\", \"rx_ring\": null}]}");

	(void)state;
	expect_line(text, "netlab_port_receive_ring_buffers{lab=\"office\",port=\"h1:eth0\"} 256");
	expect_line(text, "netlab_port_receive_ring_free_buffers{lab=\"office\",port=\"h1:eth0\"} 7");
	assert_null(strstr(text, "netlab_port_receive_ring_buffers{lab=\"office\",port=\"h2:eth0\"}"));
	expect_line(text, "# TYPE netlab_lab_uptime_seconds gauge");
	expect_line(text, "netlab_lab_uptime_seconds{lab=\"office\"} 75.250");
	expect_line(text, "# HELP netlab_port_transmit_frames_total Frames sent from the port onto the wire.");
	expect_line(text, "# TYPE netlab_port_transmit_frames_total counter");
	expect_line(text, "netlab_port_transmit_frames_total{lab=\"office\",port=\"h1:eth0\"} 12");
	/* More than a double has digits for. */
	expect_line(text, "netlab_port_transmit_bytes_total{lab=\"office\",port=\"h1:eth0\"} 9007199254740993");
	expect_line(text, "netlab_port_dropped_frames_total{lab=\"office\",port=\"h1:eth0\",reason=\"mtu\"} 3");
	expect_line(text, "netlab_port_dropped_frames_total{lab=\"office\",port=\"h1:eth0\",reason=\"vlan\"} 0");
	/* What the status does not have has no sample. */
	assert_null(strstr(text, "netlab_port_receive_frames_total{"));
	free(text);
}

static void one_state_is_1(void **state)
{
	char *text = written("{\"lab\": \"office\", \"uptime\": 1, "
			     "\"nodes\": [{\"name\": \"h1\", \"state\": \"crashed\", \"memory\": 67108864}]}");

	(void)state;
	expect_line(text, "netlab_node_state{lab=\"office\",node=\"h1\",state=\"crashed\"} 1");
	expect_line(text, "netlab_node_state{lab=\"office\",node=\"h1\",state=\"ready\"} 0");
	expect_line(text, "netlab_node_memory_limit_bytes{lab=\"office\",node=\"h1\"} 67108864");
	free(text);
}

static void labels_are_escaped(void **state)
{
	char *text = written("{\"lab\": \"a\\\"b\\\\c\\nd\", \"uptime\": 1}");

	(void)state;
	expect_line(text, "netlab_lab_uptime_seconds{lab=\"a\\\"b\\\\c\\nd\"} 1.000");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_have_help_type_and_labels),
		cmocka_unit_test(one_state_is_1),
		cmocka_unit_test(labels_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
