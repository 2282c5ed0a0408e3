/* SPDX-License-Identifier: Apache-2.0 */
/* The control server's commands for links: carrier, flapping, impairments. */
#include "tests/unit/control_fixture.h"

static void links_are_shown(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"link\"}");
	expect(fixture, "{'id':1,'result':{'links':[{'carrier':false,'text':''}]}}");
	say(fixture, "{\"id\":2,\"command\":\"tc\",\"port\":\"h1:eth0\"}");
	expect(fixture, "{'id':2,'result':{'links':[{'carrier':false,'text':''}]}}");
	say(fixture, "{\"id\":3,\"command\":\"link\",\"port\":\"h9:eth0\"}");
	expect_error(fixture, 3, "no-such-port");
	say(fixture, "{\"id\":4,\"command\":\"tc\",\"port\":\"h9:eth0\"}");
	expect_error(fixture, 4, "no-such-port");
}

static void links_go_up_and_down(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"link\",\"port\":\"h1:eth0\",\"state\":\"up\"}");
	expect(fixture, "{'id':1,'result':{'links':[{'carrier':true,'text':''}]}}");
	say(fixture, "{\"id\":2,\"command\":\"link\",\"port\":\"h1:eth0\",\"state\":\"down\",\"side\":\"tx\"}");
	expect(fixture, "{'id':2,'result':{'links':[{'carrier':true,'text':''}]}}");
	say(fixture, "{\"id\":3,\"command\":\"link\",\"port\":\"h1:eth0\",\"state\":\"down\"}");
	expect(fixture, "{'id':3,'result':{'links':[{'carrier':false,'text':''}]}}");
	say(fixture, "{\"id\":4,\"command\":\"link\",\"port\":\"h9:eth0\",\"state\":\"down\"}");
	expect_error(fixture, 4, "no-such-port");
}

static void impairments_are_set(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"tc\",\"port\":\"h1:eth0\",\"impair\":{\"delay\":\"20ms\"}}");
	expect(fixture, "{'id':1,'result':{'links':[{'carrier':false,"
			"'text':'set both {\\\"delay\\\":\\\"20ms\\\"}'}]}}");
	say(fixture, "{\"id\":2,\"command\":\"tc\",\"port\":\"h1:eth0\",\"side\":\"rx\",\"clear\":true}");
	expect(fixture, "{'id':2,'result':{'links':[{'carrier':false,'text':'clear rx '}]}}");
	say(fixture, "{\"id\":3,\"command\":\"tc\",\"port\":\"h1:eth0\",\"side\":\"tx\",\"reset\":true}");
	expect(fixture, "{'id':3,'result':{'links':[{'carrier':false,'text':'reset tx '}]}}");
	say(fixture, "{\"id\":4,\"command\":\"tc\",\"port\":\"h1:eth0\","
		     "\"impair\":{\"delay\":\"a time that nobody has ever heard of\"}}");
	expect_error(fixture, 4, "bad-impairment");
}

/* Each with what is wrong with it. */
static void bad_requests(void **state)
{
	static const char *const requests[] = {
		"'link','state':'up'",
		"'link','port':'h1:eth0','state':'sideways'",
		"'link','port':'h1:eth0','state':true",
		"'link','port':7",
		"'link','port':null",
		"'link','port':'h1:eth0','side':'left'",
		"'link','port':'h1:eth0','side':0",
		"'tc','clear':true",
		"'tc','port':'h1:eth0','clear':1",
		"'tc','port':'h1:eth0','reset':'yes'",
		"'tc','port':'h1:eth0','clear':true,'reset':true",
		"'tc','port':'h1:eth0','impair':'delay'",
		"'tc','port':'h1:eth0','impair':[]",
		"'tc','impair':{}",
		"'tc','port':[],'impair':{}",
		"'tc','port':'h1:eth0','impair':{},'side':'both'",
		"'flap'",
		"'flap','port':'h1:eth0','count':0",
		"'flap','port':'h1:eth0','count':1000001",
		"'flap','port':'h1:eth0','count':'3'",
		"'flap','port':'h1:eth0','down':0",
		"'flap','port':'h1:eth0','down':-1",
		"'flap','port':'h1:eth0','up':'1s'",
		"'flap','port':'h1:eth0','up':1e300",
		"'flap','port':'h1:eth0','up':86401",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		char line[256];

		snprintf(line, sizeof(line), "{'id':1,'command':%s}", requests[i]);
		for (char *at = line; (at = strchr(at, '\''));)
			*at = '"';
		say(fixture, line);
		expect_error(fixture, 1, "bad-request");
	}
	assert_string_equal(fixture->lab.impairment, "");
	assert_string_equal(fixture->lab.task, "");
}

static void too_much_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char line[LAB_IMPAIR_TEXT_MAX + 256], filler[LAB_IMPAIR_TEXT_MAX + 1];

	memset(filler, 'x', LAB_IMPAIR_TEXT_MAX);
	filler[LAB_IMPAIR_TEXT_MAX] = '\0';
	snprintf(line, sizeof(line), "{\"id\":1,\"command\":\"tc\",\"port\":\"h1:eth0\",\"impair\":{\"%s\":1}}",
		 filler);
	say(fixture, line);
	expect_error(fixture, 1, "too-long");
}

static void start_flapping(struct fixture *fixture)
{
	say(fixture, "{\"id\":1,\"command\":\"flap\",\"port\":\"h1:eth0\",\"count\":2,\"down\":0.5,\"up\":3}");
	expect(fixture, "{'id':1,'event':'started'}");
	assert_string_equal(fixture->lab.task, "flap 2 500 3000");
}

static void flapping_is_a_stream(void **state)
{
	struct fixture *fixture = *state;

	start_flapping(fixture);
	fixture->lab.flapped(fixture->lab.done_opaque, false, 1);
	expect(fixture, "{'id':1,'event':'down','number':1}");
	fixture->lab.flapped(fixture->lab.done_opaque, true, 1);
	expect(fixture, "{'id':1,'event':'up','number':1}");
	standin_finish(&fixture->lab, "");
	expect(fixture, "{'id':1,'result':{'pause':0.5}}");
	start_flapping(fixture);
	standin_finish(&fixture->lab, "the link was set down");
	expect_error(fixture, 1, "failed");
}

static void flapping_ends_with_its_client(void **state)
{
	struct fixture *fixture = *state;

	start_flapping(fixture);
	say(fixture, "{\"id\":1,\"command\":\"cancel\"}");
	expect(fixture, "{'id':1,'result':{'cancelled':true}}");
	assert_null(fixture->lab.done);
}

static void flapping_may_be_refused(void **state)
{
	struct fixture *fixture = *state;

	fixture->lab.occupied = "it flaps already";
	say(fixture, "{\"id\":1,\"command\":\"flap\",\"port\":\"h1:eth0\"}");
	expect_error(fixture, 1, "busy");
	say(fixture, "{\"id\":2,\"command\":\"flap\",\"port\":\"h9:eth0\"}");
	expect_error(fixture, 2, "no-such-port");
	expect_alive(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(links_are_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_go_up_and_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(impairments_are_set, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_much_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flapping_is_a_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flapping_ends_with_its_client, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flapping_may_be_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("control_link", tests, NULL, NULL);
}
