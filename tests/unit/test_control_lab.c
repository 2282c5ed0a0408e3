/* SPDX-License-Identifier: Apache-2.0 */
/* The control server's commands for the whole lab: pausing, saving, restoring. */
#include "tests/unit/control_fixture.h"

static void test_save_is_answered_when_done(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"save\",\"name\":\"one\"}");
	expect_nothing(fixture);
	assert_string_equal(fixture->lab.task, "save one");
	standin_finish(&fixture->lab, "");
	expect(fixture, "{\"id\":1,\"result\":{\"pause\":0.5}}");
	say(fixture, "{\"id\":1,\"command\":\"save\",\"name\":\"one\",\"replace\":true}");
	expect_nothing(fixture);
	assert_string_equal(fixture->lab.task, "replace one");
	standin_finish(&fixture->lab, "the disk is full");
	expect_error(fixture, 1, "failed");
}

static void test_restore(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"restore\",\"name\":\"one\"}");
	expect_nothing(fixture);
	assert_string_equal(fixture->lab.task, "restore one");
	standin_finish(&fixture->lab, "");
	expect(fixture, "{\"id\":1,\"result\":{\"pause\":0.5}}");
}

static void test_pause_and_resume(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"pause\",\"node\":\"h1\"}");
	expect_nothing(fixture);
	assert_string_equal(fixture->lab.task, "pause h1");
	standin_finish(&fixture->lab, "");
	expect(fixture, "{\"id\":1,\"result\":{\"pause\":0.5}}");
	say(fixture, "{\"id\":2,\"command\":\"resume\"}");
	expect(fixture, "{\"id\":2,\"result\":{}}");
	assert_string_equal(fixture->lab.task, "resume");
}

static void test_tests(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"tests\"}");
	expect(fixture, "{'id':1,'result':{'tests':[{'name':'ping'}]}}");
}

static void test_capture_position(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"capture-position\",\"port\":\"h1:eth0\"}");
	expect_nothing(fixture);
	assert_string_equal(fixture->lab.task, "position h1:eth0");
	standin_finish(&fixture->lab, "");
	expect(fixture, "{'id':1,'result':{'pause':0.5}}");
	fixture->lab.occupied = "it captures nothing";
	say(fixture, "{\"id\":2,\"command\":\"capture-position\",\"port\":\"h1:eth0\"}");
	expect_error(fixture, 2, "failed");
	say(fixture, "{\"id\":3,\"command\":\"capture-position\",\"port\":7}");
	expect_error(fixture, 3, "bad-request");
	say(fixture, "{\"id\":3,\"command\":\"capture-position\"}");
	expect_error(fixture, 3, "bad-request");
}

static void test_client_does_not_wait(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"save\",\"name\":\"one\"}");
	expect_nothing(fixture);
	say(fixture, "{\"id\":1,\"command\":\"cancel\"}");
	expect(fixture, "{\"id\":1,\"result\":{\"cancelled\":true}}");
	assert_null(fixture->lab.done); /* It is saved all the same. */
}

static void test_bad_requests(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"save\"}");
	expect_error(fixture, 1, "bad-request");
	say(fixture, "{\"id\":1,\"command\":\"save\",\"name\":7}");
	expect_error(fixture, 1, "bad-request");
	say(fixture, "{\"id\":1,\"command\":\"restore\",\"name\":null}");
	expect_error(fixture, 1, "bad-request");
	say(fixture, "{\"id\":1,\"command\":\"pause\",\"node\":\"h9\"}");
	expect_error(fixture, 1, "no-such-node");
	say(fixture, "{\"command\":\"save\",\"name\":\"one\"}");
	expect_error(fixture, -1, "bad-request");
}

static void test_one_thing_at_a_time(void **state)
{
	struct fixture *fixture = *state;

	fixture->lab.occupied = "the lab is being saved";
	say(fixture, "{\"id\":1,\"command\":\"save\",\"name\":\"one\"}");
	expect_error(fixture, 1, "failed");
	say(fixture, "{\"id\":1,\"command\":\"restore\",\"name\":\"one\"}");
	expect_error(fixture, 1, "failed");
	say(fixture, "{\"id\":1,\"command\":\"pause\"}");
	expect_error(fixture, 1, "failed");
	say(fixture, "{\"id\":1,\"command\":\"resume\"}");
	expect_error(fixture, 1, "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_save_is_answered_when_done, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restore, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pause_and_resume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_capture_position, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_client_does_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_thing_at_a_time, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
