/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of a lab: how counts, patterns and filters are read and what they match, a test as JSON, results as JUnit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/frame_filter.h"
#include "netlab/junit.h"
#include "netlab/output_match.h"
#include "netlab/test_json.h"
#include "netlab/topology.h"

/* Counts. */

static void check_count(const char *text, uint64_t minimum, uint64_t maximum, const char *printed)
{
	struct topology_count count;
	char again[TOPOLOGY_COUNT_TEXT_MAX];

	assert_null(topology_parse_count(text, &count));
	assert_true(count.minimum == minimum && count.maximum == maximum);
	assert_string_equal(topology_print_count(&count, again), printed);
	/* What is printed is read as the same. */
	assert_null(topology_parse_count(again, &count));
	assert_true(count.minimum == minimum && count.maximum == maximum);
}

static void test_counts(void **state)
{
	const uint64_t any = TOPOLOGY_COUNT_NO_MAXIMUM;

	(void)state;
	check_count("0", 0, 0, "0");
	check_count("3", 3, 3, "3");
	check_count(">=1", 1, any, ">=1");
	check_count(">0", 1, any, ">=1");
	check_count(">= 12", 12, any, ">=12");
	check_count("<=3", 0, 3, "<=3");
	check_count("<=0", 0, 0, "0");
	check_count("<3", 0, 2, "<=2");
	check_count("<1", 0, 0, "0");
	check_count("3..5", 3, 5, "3..5");
	check_count("0..5", 0, 5, "<=5");
	check_count("4..4", 4, 4, "4");
	check_count(">999999998", 999999999, any, ">=999999999");
	check_count("999999999", 999999999, 999999999, "999999999");
}

static void test_bad_counts(void **state)
{
	static const char *const bad[] = {
		"",           "=1",
		"=>1",        ">",
		">=",         "-1",
		"+1",         "1.5",
		"1 ",         " 1",
		"1..",        "..1",
		"1...2",      "1..2..3",
		"5..3",       "<0",
		">=0",        "==1",
		"> =1",       ">1..2",
		"1000000000", "0..1000000000",
		"one",        "1x",
		"0x1",        "<=1 ",
		">999999999",
	};
	struct topology_count count = {.minimum = 7, .maximum = 8};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!topology_parse_count(bad[i], &count))
			fail_msg("\"%s\" is a count", bad[i]);
		assert_true(count.minimum == 7 && count.maximum == 8);
	}
}

/* Patterns. */

static int matches(const char *pattern, const char *output)
{
	char problem[OUTPUT_PROBLEM_MAX];
	const char *reason = output_check_pattern(pattern, problem);

	if (reason)
		fail_msg("\"%s\" %s", pattern, reason);
	return output_matches(pattern, output, strlen(output));
}

static void test_text_is_found_anywhere(void **state)
{
	(void)state;
	assert_true(matches("1 received", "1 packets transmitted, 1 received, 0% packet loss\n"));
	assert_false(matches("1 received", "1 packets transmitted, 0 received\n"));
	assert_false(matches("x", ""));
	/* Nothing in it means anything else. */
	assert_true(matches("a.b*[", "xa.b*[y"));
	assert_false(matches("a.b", "axb"));
	/* A slash alone, or one at one end, makes no expression. */
	assert_true(matches("/", "a/b"));
	assert_true(matches("/etc", "/etc/passwd"));
	assert_true(matches("etc/", "/etc/passwd"));
}

static void test_expressions(void **state)
{
	(void)state;
	assert_true(matches("/^b+$/", "a\nbbb\nc\n"));
	assert_false(matches("/^b+$/", "a\nbbc\n"));
	assert_false(matches("/a.b/", "a\nb"));
	assert_true(matches("/(10|172)\\.[0-9]{1,3}/", "inet 172.16.0.1"));
	assert_true(matches("/a/b/", "xa/b"));
	assert_true(matches("/[])(]+x/", "])(x"));
	assert_true(matches("/[[:alpha:](]{3}/", "a(b"));
	assert_true(matches("/\\d+ received/", "\xff\xfe 12 received"));
	assert_true(matches("/((a{25}){25}){25}|b/", "b"));
	assert_true(matches("/[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+ [a-z]+ [a-z]+ [a-z]+ [a-z]+ [a-z]+ [a-z]+/",
			    "1.2.3.4 a b c d e f"));
}

static void test_bad_patterns(void **state)
{
	static const char *const bad[] = {
		"",
		"//",
		"/[/",
		"/(/",
		"/*a/",
		"/[[:nonsense:]]/",
		"/(*UTF)a/",
		"/\\C/",
		"/a{99999999999999999999999999}/",
		"/(((a{255}){255}){255}){255}/",
	};
	char problem[OUTPUT_PROBLEM_MAX], *longest = calloc(OUTPUT_PATTERN_MAX + 2, 1);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!output_check_pattern(bad[i], problem))
			fail_msg("\"%s\" is a pattern", bad[i]);
	memset(longest, 'a', OUTPUT_PATTERN_MAX + 1);
	assert_non_null(output_check_pattern(longest, problem));
	longest[OUTPUT_PATTERN_MAX] = '\0';
	assert_null(output_check_pattern(longest, problem));
	free(longest);
}

/* A pattern that tries all there is to try ends, and nothing is said of the output. */
static void test_patterns_have_limits(void **state)
{
	(void)state;
	assert_true(matches("/^(a|aa)+$/", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab") < 0);
	assert_int_equal(matches("/^((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+$/", "aaa"), 1);
	assert_int_equal(output_matches("a\xff", "x\0a\xff", 4), 1);
}

/* Filters. */

/* An ARP request, as far as filters look. */
static const uint8_t arp[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0,
				1,    0x08, 0x06, 0,    1,    0x08, 0,    6,    4, 0, 1};

static bool passes(const char *text, const uint8_t *bytes, unsigned int size)
{
	const struct pcap_pkthdr header = {.caplen = size, .len = size};
	char problem[FRAME_FILTER_PROBLEM_MAX];
	struct frame_filter filter;
	const char *reason = frame_filter_compile(&filter, text, problem);
	bool result;

	if (reason)
		fail_msg("\"%s\" %s", text, reason);
	result = frame_filter_passes(&filter, &header, bytes);
	frame_filter_clear(&filter);
	return result;
}

static void test_filters(void **state)
{
	(void)state;
	assert_true(passes("", arp, sizeof(arp)));
	assert_true(passes("arp", arp, sizeof(arp)));
	assert_true(passes("ether src 52:54:00:00:00:01 and ether broadcast", arp, sizeof(arp)));
	assert_false(passes("icmp or port http", arp, sizeof(arp)));
	/* A frame that is too short for the filter does not pass, and nothing beyond it is read. */
	assert_false(passes("arp[6:2] = 1", arp, 14));
	assert_false(passes("ether[0] / ether[20] = 1", arp, sizeof(arp)));
}

static void test_bad_filters(void **state)
{
	static const char *const bad[] = {"arp and",         "((",        "inbound",
					  "outbound or arp", "ifindex 1", "host nobody.invalid",
					  "type data"};
	char problem[FRAME_FILTER_PROBLEM_MAX], *longest = calloc(FRAME_FILTER_LENGTH_MAX + 2, 1);
	struct frame_filter filter;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!frame_filter_compile(&filter, bad[i], problem))
			fail_msg("\"%s\" is a filter", bad[i]);
	memset(longest, ' ', FRAME_FILTER_LENGTH_MAX + 1);
	assert_string_equal(frame_filter_compile(&filter, longest, problem), "is too long");
	free(longest);
}

/* JSON. */

#define LAB \
	"nodes: [h1, h2]\n" \
	"links: [h1-h2]\n" \
	"validate:\n"

static struct topology *read_lab(const char *tests)
{
	char text[1024];
	struct topology *topology;

	snprintf(text, sizeof(text), LAB "%s", tests);
	topology = topology_read_text(text, strlen(text), "/nowhere/office/topology.yaml", NULL, stderr);
	assert_non_null(topology);
	return topology;
}

static void check_json(const char *test, const char *expected)
{
	struct topology *topology = read_lab(test);
	json_t *tests = tests_json(topology), *wanted = json_loads(expected, 0, NULL);

	assert_non_null(wanted);
	assert_int_equal(json_array_size(tests), 1);
	if (!json_equal(json_array_get(tests, 0), wanted))
		fail_msg("%s", json_dumps(json_array_get(tests, 0), 0));
	json_decref(tests);
	json_decref(wanted);
	topology_free(topology);
}

static void test_defaults(void **state)
{
	(void)state;
	check_json(
		"  a: {node: h1, exec: id}\n",
		"{\"name\": \"a\", \"description\": \"\", \"pass\": \"\", \"fail\": \"\", \"warning\": false, \"wait\": 0.0, "
		"\"attempts\": 1, \"interval\": 1.0, \"nodes\": [\"h1\"], \"exec\": \"id\", \"expect\": [], "
		"\"reject\": [], \"status\": 0, \"timeout\": 30.0}");
	check_json(
		"  a: {capture: {port: h1:eth0}}\n",
		"{\"name\": \"a\", \"description\": \"\", \"pass\": \"\", \"fail\": \"\", \"warning\": false, \"wait\": 0.0, "
		"\"attempts\": 1, \"interval\": 1.0, \"capture\": {\"port\": \"h1:eth0\", \"filter\": \"\", "
		"\"count\": \">=1\", \"within\": 5.0}}");
}

static void test_every_key(void **state)
{
	(void)state;
	check_json(
		"  a: {nodes: [h2, h1], exec: id, expect: [x, /y/], reject: z, status: any, timeout: 1m, wait: 2s, retry: 3,\n"
		"      interval: 100ms, description: d, pass: p, fail: f, level: warning,\n"
		"      capture: {port: h2:eth0, filter: arp, count: \"<5\", within: 250ms}}\n",
		"{\"name\": \"a\", \"description\": \"d\", \"pass\": \"p\", \"fail\": \"f\", \"warning\": true, \"wait\": 2.0, "
		"\"attempts\": 3, \"interval\": 0.1, \"nodes\": [\"h2\", \"h1\"], \"exec\": \"id\", "
		"\"expect\": [\"x\", \"/y/\"], \"reject\": [\"z\"], \"status\": null, \"timeout\": 60.0, "
		"\"capture\": {\"port\": \"h2:eth0\", \"filter\": \"arp\", \"count\": \"<=4\", \"within\": 0.25}}");
	/* With a time but no number there is no limit to attempts. */
	check_json(
		"  a: {node: h1, exec: id, wait: 10s}\n",
		"{\"name\": \"a\", \"description\": \"\", \"pass\": \"\", \"fail\": \"\", \"warning\": false, \"wait\": 10.0, "
		"\"attempts\": 0, \"interval\": 1.0, \"nodes\": [\"h1\"], \"exec\": \"id\", \"expect\": [], "
		"\"reject\": [], \"status\": 0, \"timeout\": 30.0}");
}

static void test_order_is_kept(void **state)
{
	struct topology *topology =
		read_lab("  z: {node: h1, exec: id}\n  a: {node: h1, exec: id}\n  m: {node: h1, exec: id}\n");

	(void)state;
	assert_int_equal(topology->test_count, 3);
	assert_string_equal(topology->tests[0].name, "z");
	assert_string_equal(topology->tests[1].name, "a");
	assert_string_equal(topology->tests[2].name, "m");
	topology_free(topology);
}

/* JUnit. */

static char *written(void (*write)(FILE *to, const void *what), const void *what)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	write(to, what);
	fclose(to);
	return text;
}

static void write_attribute(FILE *to, const void *text)
{
	junit_put_text(to, text, true);
}

static void write_element(FILE *to, const void *text)
{
	junit_put_text(to, text, false);
}

static void write_run(FILE *to, const void *run)
{
	junit_write(to, run);
}

static void check_text(const char *text, const char *attribute, const char *element)
{
	char *as_attribute = written(write_attribute, text), *as_element = written(write_element, text);

	assert_string_equal(as_attribute, attribute);
	assert_string_equal(as_element, element);
	free(as_attribute);
	free(as_element);
}

static void test_xml_text(void **state)
{
	(void)state;
	check_text("a <b> & \"c\" 'd' ]]>", "a &lt;b&gt; &amp; &quot;c&quot; 'd' ]]&gt;",
		   "a &lt;b&gt; &amp; &quot;c&quot; 'd' ]]&gt;");
	check_text("1\t2\n3\r", "1&#9;2&#10;3&#13;", "1\t2\n3&#13;");
	/* Colours of a terminal, a bell, and what is in no XML at all. */
	check_text("\x1b[31mred\x07\x01", "\xef\xbf\xbd[31mred\xef\xbf\xbd\xef\xbf\xbd",
		   "\xef\xbf\xbd[31mred\xef\xbf\xbd\xef\xbf\xbd");
	check_text("\xef\xbf\xbe.\xef\xbf\xbf.\xef\xbf\xbd", "\xef\xbf\xbd.\xef\xbf\xbd.\xef\xbf\xbd",
		   "\xef\xbf\xbd.\xef\xbf\xbd.\xef\xbf\xbd");
	check_text("gr\xc3\xbc\xc3\x9f\x65 \x7f", "gr\xc3\xbc\xc3\x9f\x65 \x7f", "gr\xc3\xbc\xc3\x9f\x65 \x7f");
}

static void check_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no %s in %s", part, text);
}

static void test_junit(void **state)
{
	json_t *run = json_loads(
		"{\"lab\": \"a&b\", \"passed\": 1, \"failed\": 2, \"warnings\": 1, \"skipped\": 1, \"seconds\": 2.5, \"tests\": ["
		"{\"name\": \"good\", \"result\": \"passed\", \"message\": \"\", \"seconds\": 0.25, \"attempts\": 1, \"reasons\": []},"
		"{\"name\": \"bad\", \"result\": \"failed\", \"message\": \"\", \"seconds\": 1.5, \"attempts\": 2, "
		" \"reasons\": [\"h1: exit status 1, not 0\"], \"exec\": \"echo '<' && false\", "
		" \"commands\": [{\"node\": \"h1\", \"status\": 1, \"stdout\": \"<\\n\", \"stderr\": \"\", \"passed\": false}]},"
		"{\"name\": \"ugly\", \"result\": \"failed\", \"message\": \"so\", \"seconds\": 0, \"attempts\": 1, \"reasons\": [\"x\"]},"
		"{\"name\": \"odd\", \"result\": \"warning\", \"message\": \"\", \"seconds\": 0, \"attempts\": 1, \"reasons\": [\"y\"]},"
		"{\"name\": \"last\", \"result\": \"skipped\", \"message\": \"\", \"seconds\": 0, \"attempts\": 0, \"reasons\": []}]}",
		0, NULL);
	char *text;

	(void)state;
	assert_non_null(run);
	text = written(write_run, run);
	check_contains(
		text,
		"<testsuite name=\"a&amp;b\" tests=\"5\" failures=\"2\" errors=\"0\" skipped=\"2\" time=\"2.500\">");
	check_contains(text, "<testcase classname=\"a&amp;b\" name=\"good\" time=\"0.250\"/>");
	check_contains(text, "<failure type=\"netlab\" message=\"h1: exit status 1, not 0\">h1: exit status 1, not 0\n"
			     "command: echo '&lt;' &amp;&amp; false\n"
			     "h1 stdout:\n&lt;\n");
	check_contains(text, "<failure type=\"netlab\" message=\"so\">x\n</failure>");
	check_contains(text, "<skipped message=\"warning: y\"/>");
	check_contains(text, "<skipped message=\"not run\"/>");
	free(text);
	json_decref(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bad_counts),
		cmocka_unit_test(test_text_is_found_anywhere),
		cmocka_unit_test(test_expressions),
		cmocka_unit_test(test_bad_patterns),
		cmocka_unit_test(test_patterns_have_limits),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_bad_filters),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_order_is_kept),
		cmocka_unit_test(test_xml_text),
		cmocka_unit_test(test_junit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
