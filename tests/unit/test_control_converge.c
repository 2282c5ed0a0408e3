/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a lab over the control socket: what clients say and leave unsaid, and what becomes of streams about nodes
 * that go. */
#include "tests/unit/control_fixture.h"

#define PLAN "\"command\":\"plan\",\"path\":\"/office/topology.yaml\"}"
#define CONVERGE "\"command\":\"converge\",\"path\":\"/office/topology.yaml\",\"token\":\"0123\"}"

static void test_plan(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1," PLAN);
	expect(fixture, "{'id':1,'result':{'lab':'office','topology':'/office/topology.yaml','token':'0123',"
			"'changes':[]}}");
	say(fixture, "{" PLAN); /* As any request that is no stream. */
	expect(fixture, "{'result':{'lab':'office','topology':'/office/topology.yaml','token':'0123','changes':[]}}");
	assert_null(fixture->lab.converged);
}

/* The errors of a topology come as they are, many lines and any bytes. */
static void test_bad_topology(void **state)
{
	struct fixture *fixture = *state;

	error_set(&fixture->lab.plan_error, ERROR_USAGE, EINVAL, "/x:1:2: error: no\n  help: \xff\n/x:3:4: error: no");
	say(fixture, "{\"id\":1," PLAN);
	expect(fixture, "{'id':1,'error':{'code':'bad-topology','message':"
			"'/x:1:2: error: no\\n  help: ?\\n/x:3:4: error: no'}}");
	fixture->lab.plan_error.class = ERROR_HOST;
	say(fixture, "{\"id\":2," PLAN);
	expect_error(fixture, 2, "failed");
	expect_alive(fixture);
}

static void test_converge(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1," CONVERGE);
	expect(fixture, "{'id':1,'event':'started'}");
	say(fixture, "{\"id\":2," CONVERGE);
	expect_error(fixture, 2, "busy");
	say(fixture, "{\"id\":1,\"command\":\"ping\"}"); /* No stream, so it may have its id. */
	expect(fixture, "{'id':1,'result':{}}");
	assert_int_equal(fixture->converges, 0);
	standin_converged(&fixture->lab);
	expect(fixture, "{'id':1,'result':{'failures':['port 80 is taken']}}");
	assert_int_equal(fixture->converges, 1);
	say(fixture, "{\"id\":1," CONVERGE);
	expect(fixture, "{'id':1,'event':'started'}");
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"\"}");
	expect_error(fixture, 1, "bad-request");
	standin_converged(&fixture->lab);
	expect_nothing(fixture);
	assert_int_equal(fixture->converges, 2);
}

static void test_refusals(void **state)
{
	static const struct {
		int result;
		enum error_class class;
		const char *code;
	} cases[] = {
		{-EALREADY, ERROR_FAILED, "busy"},      {-ESTALE, ERROR_FAILED, "changed"},
		{-ESHUTDOWN, ERROR_FAILED, "stopping"}, {-EINVAL, ERROR_USAGE, "bad-topology"},
		{-ENOMEM, ERROR_USAGE, "bad-topology"}, {-ENOENT, ERROR_HOST, "failed"},
		{-ENOSPC, ERROR_FAILED, "failed"},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture->lab.converge_result = cases[i].result;
		fixture->lab.plan_error.class = cases[i].class;
		say(fixture, "{\"id\":1," CONVERGE);
		expect_error(fixture, 1, cases[i].code);
		assert_null(fixture->control->clients->streams);
	}
	expect_alive(fixture);
}

/* One who leaves does not stop it, and another can wait for nothing but the next change. */
static void test_leaving(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1," CONVERGE);
	expect(fixture, "{'id':1,'event':'started'}");
	say(fixture, "{\"id\":1,\"command\":\"cancel\"}");
	expect(fixture, "{'id':1,'result':{'cancelled':true}}");
	say(fixture, "{\"id\":2," CONVERGE);
	expect_error(fixture, 2, "busy");
	standin_converged(&fixture->lab);
	expect_nothing(fixture);
	say(fixture, "{\"id\":3," CONVERGE);
	expect(fixture, "{'id':3,'event':'started'}");
	close(fixture->fd);
	spin(fixture);
	assert_null(fixture->control->clients);
	standin_converged(&fixture->lab);
	assert_int_equal(fixture->converges, 2);
	fixture->fd = connect_client(fixture);
	expect_alive(fixture);
}

/* The lab is taken down: it is never done. */
static void test_stopping(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1," CONVERGE);
	expect(fixture, "{'id':1,'event':'started'}");
	say(fixture, "{\"id\":2,\"command\":\"down\"}");
	assert_int_equal(fixture->stops, 1);
	say(fixture, "{\"id\":3," CONVERGE);
	expect_error(fixture, 3, "stopping");
	control_stopped(fixture->control);
	expect_error(fixture, 1, "stopping");
	expect(fixture, "{'id':2,'result':{}}");
}

/* Streams about a node that goes end, those that watch all hear of it, and others go on. */
static void test_removed_node(void **state)
{
	struct fixture *fixture = *state;
	struct lab_listener *listener = fixture->lab.listener;
	json_t *message;

	say(fixture, "{\"id\":1,\"command\":\"console\",\"node\":\"h1\"}");
	say(fixture, "{\"id\":2,\"command\":\"console\",\"node\":\"h2\"}");
	say(fixture, "{\"id\":3,\"command\":\"logs\",\"node\":\"h1\",\"follow\":true}");
	say(fixture, "{\"id\":4,\"command\":\"events\"}");
	/* Input that the console has not taken yet is asked for again by a timer. */
	fixture->lab.nodes[0].console_limit = 0;
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"aGVsbG8=\"}");
	while ((message = hear(fixture)))
		json_decref(message);
	listener->removed(listener->opaque, &fixture->lab.nodes[0]);
	expect(fixture, "{'id':4,'event':'removed','node':'h1'}");
	expect_error(fixture, 3, "no-such-node");
	expect_error(fixture, 1, "no-such-node");
	usleep(30000);
	expect_nothing(fixture);
	listener->console(listener->opaque, &fixture->lab.nodes[1], (const uint8_t *)"hi", 2);
	expect(fixture, "{'id':2,'event':'output','stream':'stdout','data':'aGk='}");
	assert_int_equal(fixture->control->clients->stream_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plan),    TEST(test_bad_topology), TEST(test_converge),     TEST(test_refusals),
		TEST(test_leaving), TEST(test_stopping),     TEST(test_removed_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
