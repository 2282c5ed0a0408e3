/* SPDX-License-Identifier: Apache-2.0 */
/* The control server against clients that are wrong, slow or gone, with a lab that has no machines. */
#include "tests/unit/control_fixture.h"

/* Lines. */

static void test_hello(void **state)
{
	struct fixture *fixture = *state;
	json_t *message;

	say(fixture, "{\"id\":9007199254740991,\"command\":\"hello\",\"unknown\":[1]}");
	message = hear(fixture);
	assert_true(json_integer_value(json_object_get(message, "id")) == 9007199254740991);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(message, "result"), "protocol")), 1);
	json_decref(message);
	say(fixture, "{\"command\":\"ping\"}");
	expect(fixture, "{'result':{}}");
}

static void test_malformed_lines(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"nonsense",
		"[]",
		"1",
		"\"x\"",
		"null",
		"{}{}",
		"{\"id\":1,}",
		"{\"\":}",
		"\xff",
		"{\"a\":\"\xc3\x28\"}",
		"\x01",
		"{\"a\":\"\\u0000\"}",
		"{\"id\":1,\"id\":2}",
		"{\"a\":1e999}",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		say(fixture, lines[i]);
		expect_error(fixture, -1, "malformed");
	}
	say_bytes(fixture, "{\"id\":1\0}\n", 10);
	expect_error(fixture, -1, "malformed");
	expect_alive(fixture);
}

static void test_deep_nesting(void **state)
{
	struct fixture *fixture = *state;
	char *line = malloc(200001);

	memset(line, '[', 200000);
	line[200000] = '\0';
	say(fixture, line);
	expect_error(fixture, -1, "malformed");
	free(line);
	expect_alive(fixture);
}

static void test_wrong_requests(void **state)
{
	static const struct {
		const char *line;
		const char *code;
		json_int_t id;
	} cases[] = {
		{"{}", "bad-request", -1},
		{"{\"id\":1}", "bad-request", 1},
		{"{\"id\":1,\"command\":7}", "bad-request", 1},
		{"{\"id\":\"1\",\"command\":\"ping\"}", "bad-request", -1},
		{"{\"id\":1.5,\"command\":\"ping\"}", "bad-request", -1},
		{"{\"id\":-1,\"command\":\"ping\"}", "bad-request", -1},
		{"{\"id\":9007199254740992,\"command\":\"ping\"}", "bad-request", -1},
		{"{\"id\":null,\"command\":\"ping\"}", "bad-request", -1},
		{"{\"id\":1,\"command\":\"explode\"}", "unknown-command", 1},
		{"{\"id\":1,\"command\":\"\"}", "unknown-command", 1},
		{"{\"command\":\"events\"}", "bad-request", -1},
		{"{\"id\":1,\"command\":\"status\",\"memory\":1}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"restart\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"restart\",\"node\":{}}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"restart\",\"node\":\"h9\"}", "no-such-node", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h2\",\"argv\":[\"x\"]}", "not-ready", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[]}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"\"]}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":\"ls\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"ls\",1]}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"x\"],\"environment\":[\"A\"]}",
		 "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"x\"],\"environment\":[\"=A\"]}",
		 "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"x\"],\"environment\":{}}", "bad-request",
		 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"x\"],\"terminal\":1}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"x\"],\"terminal\":{\"rows\":0,\"columns\":1}}",
		 "bad-request", 1},
		{"{\"id\":1,\"command\":\"read-file\",\"node\":\"h1\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"read-file\",\"node\":\"h1\",\"path\":\"etc\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"write-file\",\"node\":\"h1\",\"path\":\"/x\",\"mode\":\"7\"}", "bad-request",
		 1},
		{"{\"id\":1,\"command\":\"write-file\",\"node\":\"h1\",\"path\":\"/x\",\"mode\":512}", "bad-request",
		 1},
		{"{\"id\":1,\"command\":\"console\",\"node\":\"h1\",\"rows\":\"x\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"logs\",\"node\":\"h1\",\"follow\":1}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"logs\",\"node\":\"h1\",\"tail\":-1}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"plan\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"plan\",\"path\":7}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"plan\",\"path\":\"topology.yaml\"}", "bad-request", 1},
		{"{\"command\":\"converge\",\"path\":\"/x\",\"token\":\"0123\"}", "bad-request", -1},
		{"{\"id\":1,\"command\":\"converge\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"converge\",\"path\":\"/x\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"converge\",\"path\":\"/x\",\"token\":{}}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"converge\",\"path\":\"x\",\"token\":\"0123\"}", "bad-request", 1},
		{"{\"id\":1,\"command\":\"converge\",\"path\":\"/x\",\"token\":\"\"}", "changed", 1},
		{"{\"id\":1,\"command\":\"converge\",\"path\":\"/x\",\"token\":\"01234\"}", "changed", 1},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(fixture, cases[i].line);
		expect_error(fixture, cases[i].id, cases[i].code);
	}
	expect_alive(fixture);
	assert_null(fixture->lab.channels);
	assert_null(fixture->control->clients->streams);
}

/* What memory the lab takes is found out only for those who ask. */
static void test_status(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"status\"}");
	expect(fixture, "{'id':1,'result':{'lab':'office','filling':''}}");
	say(fixture, "{\"id\":2,\"command\":\"status\",\"memory\":false}");
	expect(fixture, "{'id':2,'result':{'lab':'office','filling':''}}");
	say(fixture, "{\"id\":3,\"command\":\"status\",\"memory\":true}");
	expect(fixture, "{'id':3,'result':{'lab':'office','filling':'','memory':{}}}");
}

static void test_half_lines(void **state)
{
	static const char line[] = "{\"id\":1,\"command\":\"ping\"}\n";
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		expect_nothing(fixture);
		say_bytes(fixture, line + i, 1);
	}
	expect(fixture, "{'id':1,'result':{}}");
}

static void test_many_lines_at_once(void **state)
{
	struct fixture *fixture = *state;

	say(fixture,
	    "{\"id\":1,\"command\":\"ping\"}\n{\"id\":2,\"command\":\"ping\"}\nx\n{\"id\":3,\"command\":\"ping\"}\n{\"id\":");
	expect(fixture, "{'id':1,'result':{}}");
	expect(fixture, "{'id':2,'result':{}}");
	expect_error(fixture, -1, "malformed");
	expect(fixture, "{'id':3,'result':{}}");
	expect_error(fixture, -1, "malformed");
	expect_alive(fixture);
}

static void test_huge_line(void **state)
{
	struct fixture *fixture = *state;
	size_t size = 5 * CONTROL_LINE_MAX;
	char *line = malloc(size);

	memset(line, 'x', size);
	say_bytes(fixture, line, size);
	expect_error(fixture, -1, "too-long"); /* Before the line has ended. */
	expect_nothing(fixture);
	assert_true(fixture->control->clients->input_capacity <= 4 * CONTROL_LINE_MAX);
	say(fixture, "{\"id\":1,\"command\":\"ping\"}"); /* Its end. */
	expect_nothing(fixture);
	expect_alive(fixture);
	free(line);
}

static void test_longest_line(void **state)
{
	static const char start[] = "{\"id\":1,\"command\":\"ping\",\"x\":\"";
	struct fixture *fixture = *state;
	char *line = malloc(CONTROL_LINE_MAX + 1);

	memset(line, 'x', CONTROL_LINE_MAX);
	memcpy(line, start, sizeof(start) - 1);
	memcpy(line + CONTROL_LINE_MAX - 2, "\"}", 3);
	say(fixture, line);
	expect(fixture, "{'id':1,'result':{}}");
	free(line);
}

/* Clients that do not read. */

static void test_requests_without_reading(void **state)
{
	static const char line[] = "{\"id\":1,\"command\":\"status\"}\n";
	struct fixture *fixture = *state;
	struct control_client *client = fixture->control->clients;
	unsigned int sent = 0;

	fixture->lab.status_size = 100000;
	while (sent < 100000 && send(fixture->fd, line, sizeof(line) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(line) - 1) {
		sent++;
		spin(fixture);
	}
	assert_true(sent < 100000); /* The server has stopped reading. */
	assert_true(client->output_size <= CONTROL_OUTPUT_STOP + 2 * fixture->lab.status_size);
	for (unsigned int i = 0; i < sent; i++) {
		json_t *message = hear(fixture);

		assert_non_null(message);
		assert_int_equal(json_integer_value(json_object_get(message, "id")), 1);
		json_decref(message);
	}
}

static void give_output(struct agent_channel *channel, size_t size)
{
	uint8_t *data = calloc(1, size);

	channel->ops->output(channel->opaque, false, data, size);
	free(data);
}

static void test_slow_reader_gets_no_credit(void **state)
{
	struct fixture *fixture = *state;
	struct agent_channel *channel;
	size_t given = 0, heard = 0;
	json_t *message;

	start_exec(fixture);
	channel = fixture->lab.channels;
	/* As the agent does: no more than a window beyond what was consumed. */
	while (given - channel->consumed + 8192 <= CONTROL_WINDOW) {
		give_output(channel, 8192);
		given += 8192;
		spin(fixture);
		assert_true(given < 8u << 20);
	}
	assert_true(fixture->control->clients->output_size < CONTROL_OUTPUT_DROP);
	while ((message = hear(fixture))) {
		heard += json_string_length(json_object_get(message, "data"));
		json_decref(message);
	}
	assert_int_equal(heard, given / 8192 * BASE64_SIZE(8192));
	assert_int_equal(channel->consumed, given); /* All is paid once it reads. */
	standin_end(&fixture->lab, channel, 0, 0);
	expect(fixture, "{'id':1,'result':{'status':0,'signal':0}}");
}

/* An agent that says more than its window allows, in whatever way, to a client that reads nothing. */
static void test_endless_output_ends_the_connection(void **state)
{
	struct fixture *fixture = *state;
	struct control_client *client = fixture->control->clients;

	start_exec(fixture);
	for (int i = 0; i < 1000000 && !client->dead; i++)
		give_output(fixture->lab.channels, 4096);
	assert_true(client->dead);
	assert_true(client->output_size < CONTROL_OUTPUT_END + 8192);
	spin(fixture);
	assert_null(fixture->control->clients);
}

static void test_slow_watcher_is_dropped(void **state)
{
	struct fixture *fixture = *state;
	struct control_client *client = fixture->control->clients;
	json_t *message;
	bool dropped = false;

	say(fixture, "{\"id\":1,\"command\":\"events\"}");
	for (int i = 0; i < 100000 && client->streams; i++) {
		fixture->lab.listener->changed(fixture->lab.listener->opaque, &fixture->lab.nodes[0]);
		if (i % 64 == 0)
			spin(fixture);
	}
	assert_null(client->streams);
	assert_true(client->output_size < CONTROL_OUTPUT_DROP + 4096);
	while ((message = hear(fixture))) {
		const json_t *error = json_object_get(message, "error");

		dropped = error && !strcmp(json_string_value(json_object_get(error, "code")), "too-slow");
		json_decref(message);
	}
	assert_true(dropped); /* And nothing came after it. */
	expect_alive(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hello),
		TEST(test_malformed_lines),
		TEST(test_deep_nesting),
		TEST(test_wrong_requests),
		TEST(test_status),
		TEST(test_half_lines),
		TEST(test_many_lines_at_once),
		TEST(test_huge_line),
		TEST(test_longest_line),
		TEST(test_requests_without_reading),
		TEST(test_slow_reader_gets_no_credit),
		TEST(test_slow_watcher_is_dropped),
		TEST(test_endless_output_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
