/* SPDX-License-Identifier: Apache-2.0 */
/* The control server's streams: commands, files, events, consoles and logs, with a lab that has no machines. */
#include "tests/unit/control_fixture.h"

/* Streams. */

static void test_exec(void **state)
{
	struct fixture *fixture = *state;
	struct agent_channel *channel;

	start_exec(fixture);
	channel = fixture->lab.channels;
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"aGVsbG8=\"}");
	expect(fixture, "{'id':1,'event':'credit','bytes':5}");
	assert_memory_equal(channel->input, "hello", 5);
	say(fixture, "{\"id\":1,\"command\":\"signal\",\"signal\":15}");
	say(fixture, "{\"id\":1,\"command\":\"resize\",\"rows\":50,\"columns\":132}");
	say(fixture, "{\"id\":1,\"command\":\"end-input\"}");
	expect_nothing(fixture);
	assert_int_equal(channel->signal, 15);
	assert_int_equal(channel->terminal.columns, 132);
	assert_true(channel->input_ended);
	channel->ops->output(channel->opaque, true, (const uint8_t *)"\0\xff", 2);
	expect(fixture, "{'id':1,'event':'output','stream':'stderr','data':'AP8='}");
	assert_int_equal(channel->consumed, 2);
	standin_end(&fixture->lab, channel, 7, 0);
	expect(fixture, "{'id':1,'result':{'status':7,'signal':0}}");
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"aGVsbG8=\"}"); /* It crossed with the end. */
	expect_nothing(fixture);
}

static void test_input_in_parts(void **state)
{
	struct fixture *fixture = *state;
	struct agent_channel *channel;

	fixture->lab.input_limit = 2;
	start_exec(fixture);
	channel = fixture->lab.channels;
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"aGVsbG8=\"}");
	expect(fixture, "{'id':1,'event':'credit','bytes':2}");
	say(fixture, "{\"id\":1,\"command\":\"end-input\"}");
	assert_false(channel->input_ended); /* Not before all of it is there. */
	channel->ops->writable(channel->opaque);
	expect(fixture, "{'id':1,'event':'credit','bytes':2}");
	channel->ops->writable(channel->opaque);
	expect(fixture, "{'id':1,'event':'credit','bytes':1}");
	assert_true(channel->input_ended);
	assert_memory_equal(channel->input, "hello", 5);
}

static void test_window(void **state)
{
	struct fixture *fixture = *state;
	size_t size = CONTROL_WINDOW;
	uint8_t *data = calloc(1, size + 3);
	char *text = calloc(1, BASE64_SIZE(size + 3) + 64);
	char *at = text + sprintf(text, "{\"id\":1,\"command\":\"input\",\"data\":\"");

	fixture->lab.input_limit = 0;
	start_exec(fixture);
	base64_encode(data, size - 1, at);
	strcpy(at + BASE64_SIZE(size - 1), "\"}");
	say(fixture, text);
	expect_nothing(fixture);
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"AAAA\"}");
	expect_error(fixture, 1, "window");
	assert_true(fixture->lab.channels->abandoned);
	free(text);
	free(data);
}

static void test_wrong_stream_requests(void **state)
{
	static const char *const lines[] = {
		"{\"id\":1,\"command\":\"input\"}",
		"{\"id\":1,\"command\":\"input\",\"data\":5}",
		"{\"id\":1,\"command\":\"input\",\"data\":\"a\"}",
		"{\"id\":1,\"command\":\"input\",\"data\":\"a===\"}",
		"{\"id\":1,\"command\":\"input\",\"data\":\"ab==cdef\"}",
		"{\"id\":1,\"command\":\"input\",\"data\":\"aG\\nsb\"}",
		"{\"id\":1,\"command\":\"signal\"}",
		"{\"id\":1,\"command\":\"signal\",\"signal\":65}",
		"{\"id\":1,\"command\":\"signal\",\"signal\":\"INT\"}",
		"{\"id\":1,\"command\":\"resize\",\"rows\":24}",
		"{\"id\":1,\"command\":\"resize\",\"rows\":24,\"columns\":65536}",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		start_exec(fixture);
		say(fixture, lines[i]);
		expect_error(fixture, 1, "bad-request");
		assert_true(fixture->lab.channels->abandoned);
	}
	say(fixture, "{\"id\":1,\"command\":\"events\"}");
	assert_non_null(fixture->control->clients->streams);
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"AAAA\"}");
	assert_null(fixture->control->clients->streams);
}

static void test_ends_of_exec(void **state)
{
	struct fixture *fixture = *state;

	start_exec(fixture);
	say(fixture, "{\"id\":1,\"command\":\"cancel\"}");
	expect(fixture, "{'id':1,'result':{'cancelled':true}}");
	assert_true(fixture->lab.channels->abandoned);

	start_exec(fixture);
	standin_end(&fixture->lab, fixture->lab.channels, AGENT_LOST, 0);
	expect_error(fixture, 1, "lost");

	start_exec(fixture);
	standin_end(&fixture->lab, fixture->lab.channels, 0, 9);
	expect(fixture, "{'id':1,'result':{'status':0,'signal':9}}");

	fixture->lab.refuses = true;
	say(fixture, "{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"x\"]}");
	expect_error(fixture, 1, "not-ready");
}

static void test_client_goes_away(void **state)
{
	struct fixture *fixture = *state;

	start_exec(fixture);
	close(fixture->fd);
	spin(fixture);
	assert_true(fixture->lab.channels->abandoned);
	assert_null(fixture->control->clients);
	fixture->fd = connect_client(fixture);
	expect_alive(fixture);
}

static void test_half_closed_client(void **state)
{
	struct fixture *fixture = *state;

	start_exec(fixture);
	say(fixture, "{\"id\":2,\"command\":\"ping\"}");
	shutdown(fixture->fd, SHUT_WR);
	expect(fixture, "{'id':2,'result':{}}");
	assert_true(receive(fixture)); /* Kept, for the command still runs. */
	standin_end(&fixture->lab, fixture->lab.channels, 3, 0);
	expect(fixture, "{'id':1,'result':{'status':3,'signal':0}}");
	assert_false(receive(fixture));
	assert_null(fixture->control->clients);
}

static void test_ids(void **state)
{
	struct fixture *fixture = *state;
	char line[64];

	start_exec(fixture);
	say(fixture, "{\"id\":1,\"command\":\"events\"}");
	expect_error(fixture, -1, "id-in-use");
	for (int i = 2; i <= CONTROL_STREAMS_MAX; i++) {
		snprintf(line, sizeof(line), "{\"id\":%d,\"command\":\"logs\",\"node\":\"h1\",\"follow\":true}", i);
		say(fixture, line);
	}
	for (int i = 2; i <= CONTROL_STREAMS_MAX; i++)
		json_decref(hear(fixture));
	say(fixture, "{\"id\":50,\"command\":\"events\"}");
	expect_error(fixture, 50, "too-many");
	expect_alive(fixture);
}

/* "sh" and the long one, each with its NUL, are 32756 bytes at most. */
static void say_command_of(struct fixture *fixture, size_t size)
{
	static const char start[] = "{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"sh\",\"";
	char line[40000] = "";

	memcpy(line, start, sizeof(start));
	memset(line + sizeof(start) - 1, 'x', size - 3 - 1);
	strcat(line, "\"]}");
	say(fixture, line);
}

static void test_command_too_long(void **state)
{
	struct fixture *fixture = *state;

	say_command_of(fixture, 32757);
	expect_error(fixture, 1, "too-long");
	assert_null(fixture->lab.channels);
	say_command_of(fixture, 32756);
	expect(fixture, "{'id':1,'event':'started','window':262144}");
}

static void test_files(void **state)
{
	struct fixture *fixture = *state;
	struct agent_channel *channel;

	say(fixture, "{\"id\":1,\"command\":\"read-file\",\"node\":\"h1\",\"path\":\"/etc/motd\"}");
	expect(fixture, "{'id':1,'event':'started'}");
	channel = fixture->lab.channels;
	assert_string_equal(channel->what, "read /etc/motd");
	channel->ops->file_mode(channel->opaque, 0640);
	expect(fixture, "{'id':1,'event':'mode','mode':416}");
	channel->ops->output(channel->opaque, false, (const uint8_t *)"hi", 2);
	expect(fixture, "{'id':1,'event':'output','stream':'stdout','data':'aGk='}");
	standin_end(&fixture->lab, channel, 0, 0);
	expect(fixture, "{'id':1,'result':{}}");

	say(fixture, "{\"id\":1,\"command\":\"write-file\",\"node\":\"h1\",\"path\":\"/x\",\"mode\":420}");
	expect(fixture, "{'id':1,'event':'started','window':262144}");
	channel = fixture->lab.channels;
	assert_int_equal(channel->mode, 0644);
	channel->ops->output(channel->opaque, true, (const uint8_t *)"no\x1b[2J room\n", 12);
	expect_nothing(fixture);
	standin_end(&fixture->lab, channel, 1, 0);
	expect(fixture, "{'id':1,'error':{'code':'guest','message':'h1: no?[2J room'}}");
}

static void test_long_guest_error(void **state)
{
	struct fixture *fixture = *state;
	struct agent_channel *channel;

	say(fixture, "{\"id\":1,\"command\":\"read-file\",\"node\":\"h1\",\"path\":\"/x\"}");
	expect(fixture, "{'id':1,'event':'started'}");
	channel = fixture->lab.channels;
	for (int i = 0; i < 3; i++) {
		uint8_t text[400];

		memset(text, 0xff, sizeof(text)); /* No UTF-8 either. */
		channel->ops->output(channel->opaque, true, text, sizeof(text));
	}
	standin_end(&fixture->lab, channel, 1, 0);
	expect_error(fixture, 1, "guest");
}

static void test_events(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"events\"}");
	expect(fixture, "{'id':1,'event':'started','nodes':2}");
	expect(fixture,
	       "{'id':1,'event':'node','node':'h1','state':'ready','seconds':1.25,'reason':'','present':true}");
	expect(fixture,
	       "{'id':1,'event':'node','node':'h2','state':'booting','seconds':0.0,'reason':'','present':true}");
	fixture->lab.nodes[1].state = NODE_CRASHED;
	fixture->lab.nodes[1].reason = "tri\xffple";
	fixture->lab.listener->changed(fixture->lab.listener->opaque, &fixture->lab.nodes[1]);
	expect(fixture,
	       "{'id':1,'event':'node','node':'h2','state':'crashed','seconds':0.0,'reason':'tri?ple','present':false}");
}

static void test_console(void **state)
{
	struct fixture *fixture = *state;
	struct lab_listener *listener = fixture->lab.listener;
	struct node *node = &fixture->lab.nodes[0];

	say(fixture, "{\"id\":1,\"command\":\"console\",\"node\":\"h1\",\"rows\":24,\"columns\":80}");
	say(fixture, "{\"id\":2,\"command\":\"console\",\"node\":\"h1\"}");
	expect(fixture, "{'id':1,'event':'started','window':262144}");
	expect(fixture, "{'id':1,'event':'output','stream':'stdout','data':'bG9naW4='}");
	expect(fixture, "{'id':2,'event':'started','window':262144}");
	expect(fixture, "{'id':2,'event':'output','stream':'stdout','data':'bG9naW4='}");
	assert_int_equal(node->columns, 80);
	listener->console(listener->opaque, &fixture->lab.nodes[1], (const uint8_t *)"no", 2);
	listener->console(listener->opaque, node, (const uint8_t *)"hi", 2);
	expect(fixture, "{'id':2,'event':'output','stream':'stdout','data':'aGk='}");
	expect(fixture, "{'id':1,'event':'output','stream':'stdout','data':'aGk='}");
	node->console_limit = 3;
	say(fixture, "{\"id\":1,\"command\":\"input\",\"data\":\"aGVsbG8=\"}");
	expect(fixture, "{'id':1,'event':'credit','bytes':3}");
	usleep(30000); /* It is asked again. */
	expect(fixture, "{'id':1,'event':'credit','bytes':2}");
	assert_int_equal(node->console_size, 5);
	assert_memory_equal(node->console, "hello", 5);
}

static void write_log(struct fixture *fixture, const char *text, int flags)
{
	int fd = open(fixture->log_path, O_WRONLY | flags);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	fixture->lab.listener->logged(fixture->lab.listener->opaque, &fixture->lab.nodes[0], text, strlen(text));
}

static void test_logs(void **state)
{
	struct fixture *fixture = *state;

	write_log(fixture, "one\ntwo\nthree\n", O_APPEND);
	say(fixture, "{\"id\":1,\"command\":\"logs\",\"node\":\"h1\"}");
	expect(fixture, "{'id':1,'event':'started'}");
	expect(fixture, "{'id':1,'event':'output','stream':'stdout','data':'b25lCnR3bwp0aHJlZQo='}");
	expect(fixture, "{'id':1,'result':{}}");
	say(fixture, "{\"id\":2,\"command\":\"logs\",\"node\":\"h1\",\"follow\":true,\"tail\":8}");
	expect(fixture, "{'id':2,'event':'started'}");
	expect(fixture, "{'id':2,'event':'output','stream':'stdout','data':'dGhyZWUK'}");
	expect_nothing(fixture);
	write_log(fixture, "four\n", O_APPEND);
	expect(fixture, "{'id':2,'event':'output','stream':'stdout','data':'Zm91cgo='}");
	write_log(fixture, "new\n", O_TRUNC);
	expect(fixture, "{'id':2,'event':'output','stream':'stdout','data':'bmV3Cg=='}");
	fixture->lab.nodes[0].log_path = "/nowhere";
	say(fixture, "{\"id\":3,\"command\":\"logs\",\"node\":\"h1\"}");
	expect_error(fixture, 3, "failed");
}

/* The end of the log, from the start of a line where there is one. */
static void test_tail(void **state)
{
	static const struct {
		const char *log;
		unsigned int tail;
		const char *expected; /* Base64, or NULL for nothing. */
	} cases[] = {
		{"one\ntwo\n", 0, NULL},
		{"one\ntwo\n", 1, "Cg=="},
		{"one\ntwo\n", 3, "d28K"},
		{"one\ntwo\n", 4, "dHdvCg=="},
		{"one\ntwo\n", 5, "dHdvCg=="},
		{"one\ntwo\n", 7, "dHdvCg=="},
		{"one\ntwo\n", 8, "b25lCnR3bwo="},
		{"one\ntwo\n", 9, "b25lCnR3bwo="},
		{"one\ntwo", 2, "d28="},
		{"one\ntwo", 4, "dHdv"},
		{"", 5, NULL},
	};
	struct fixture *fixture = *state;

	for (int i = 0; i < (int)(sizeof(cases) / sizeof(cases[0])); i++) {
		char text[128];

		write_log(fixture, cases[i].log, O_TRUNC);
		snprintf(text, sizeof(text), "{\"id\":%d,\"command\":\"logs\",\"node\":\"h1\",\"tail\":%u}", i,
			 cases[i].tail);
		say(fixture, text);
		snprintf(text, sizeof(text), "{'id':%d,'event':'started'}", i);
		expect(fixture, text);
		snprintf(text, sizeof(text), "{'id':%d,'event':'output','stream':'stdout','data':'%s'}", i,
			 cases[i].expected ? cases[i].expected : "");
		if (cases[i].expected)
			expect(fixture, text);
		snprintf(text, sizeof(text), "{'id':%d,'result':{}}", i);
		expect(fixture, text);
	}
}

static void test_long_log_to_slow_reader(void **state)
{
	struct fixture *fixture = *state;
	size_t size = 3u << 20, heard = 0;
	char *text = calloc(1, size + 1);
	json_t *message;

	memset(text, 'x', size);
	write_log(fixture, text, O_APPEND);
	say(fixture, "{\"id\":1,\"command\":\"logs\",\"node\":\"h1\"}");
	for (int i = 0; i < 50; i++)
		spin(fixture);
	assert_true(fixture->control->clients->output_size < CONTROL_OUTPUT_PAUSE + 65536);
	while ((message = hear(fixture))) {
		const char *data = json_string_value(json_object_get(message, "data"));

		if (data)
			heard += strlen(data) / 4 * 3 - (data[strlen(data) - 1] == '=') -
				 (data[strlen(data) - 2] == '=');
		json_decref(message);
	}
	assert_int_equal(heard, size);
	free(text);
}

/* The lab. */

static void test_switch(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"switch\"}");
	expect(fixture, "{'id':1,'result':{'networks':[]}}");
	say(fixture, "{\"id\":2,\"command\":\"switch\",\"network\":\"lan\"}");
	expect(fixture, "{'id':2,'result':{'networks':[]}}");
	say(fixture, "{\"id\":3,\"command\":\"flush\",\"network\":\"lan\"}");
	expect(fixture, "{'id':3,'result':{'flushed':4}}");
	say(fixture, "{\"id\":4,\"command\":\"switch\",\"network\":\"wan\"}");
	expect_error(fixture, 4, "failed");
	say(fixture, "{\"id\":5,\"command\":\"flush\",\"network\":\"wan\"}");
	expect_error(fixture, 5, "failed");
	say(fixture, "{\"id\":6,\"command\":\"flush\",\"network\":7}");
	expect_error(fixture, 6, "bad-request");
	say(fixture, "{\"id\":7,\"command\":\"switch\",\"network\":null}");
	expect_error(fixture, 7, "bad-request");
}

static void test_restart(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, "{\"id\":1,\"command\":\"restart\",\"node\":\"h2\"}");
	expect(fixture, "{'id':1,'result':{}}");
	assert_int_equal(fixture->lab.nodes[1].restarts, 1);
	fixture->lab.nodes[1].restart_fails = true;
	say(fixture, "{\"id\":2,\"command\":\"restart\",\"node\":\"h2\"}");
	expect_error(fixture, 2, "failed");
}

static void test_down(void **state)
{
	struct fixture *fixture = *state;

	start_exec(fixture);
	say(fixture, "{\"id\":2,\"command\":\"down\"}");
	say(fixture, "{\"id\":3,\"command\":\"down\"}");
	expect_error(fixture, 3, "stopping");
	say(fixture, "{\"id\":4,\"command\":\"events\"}");
	expect_error(fixture, 4, "stopping");
	expect_nothing(fixture); /* Not before all is stopped. */
	assert_int_equal(fixture->stops, 1);
	control_stopped(fixture->control);
	expect_error(fixture, 1, "stopping");
	expect(fixture, "{'id':2,'result':{}}");
}

static void test_base64(void **state)
{
	static const char *const wrong[] = {"A",    "AA",   "AAA",      "A===", "====", "AA=A",
					    "AB==", "AAB=", "AA==AAAA", "A A=", "AA-_"};
	uint8_t data[64], back[64];
	char text[BASE64_SIZE(64)];

	(void)state;
	for (size_t size = 0; size <= sizeof(data); size++) {
		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)(i * 37 + size * 101);
		base64_encode(data, size, text);
		assert_int_equal(base64_decode(text, BASE64_SIZE(size), back), size);
		assert_memory_equal(back, data, size);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(base64_decode(wrong[i], strlen(wrong[i]), back), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exec),
		TEST(test_input_in_parts),
		TEST(test_window),
		TEST(test_wrong_stream_requests),
		TEST(test_ends_of_exec),
		TEST(test_client_goes_away),
		TEST(test_half_closed_client),
		TEST(test_ids),
		TEST(test_command_too_long),
		TEST(test_files),
		TEST(test_long_guest_error),
		TEST(test_events),
		TEST(test_console),
		TEST(test_logs),
		TEST(test_tail),
		TEST(test_long_log_to_slow_reader),
		TEST(test_restart),
		TEST(test_switch),
		TEST(test_down),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
