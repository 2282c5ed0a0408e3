/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/validate.h"
#include "netlab/json_text.h"
#include "netlab/output_match.h"
#include "netlab/topology_units.h"

#define OUTPUT_SHOWN 4096 /* Bytes of what a command said, the last ones. */

/* One attempt at a test. */
struct attempt {
	const json_t *test;
	struct client *client;
	struct validate_report *report;
	json_t *reasons;  /* Why it failed; empty if it did not. */
	json_t *commands; /* What was run. */
	json_t *capture;  /* What was counted, or NULL. */
	bool is_final;    /* Another attempt would come to the same. */
	bool ends_runs;
};

__attribute__((format(printf, 2, 3))) static void add_reason(struct attempt *attempt, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) >= 0) {
		json_array_append_new(attempt->reasons, json_text(text));
		free(text);
	}
	va_end(arguments);
}

/* A command in a node. */

/* The last bytes of an output, from the start of a character. */
static json_t *shown_output(const struct validate_output *output)
{
	const char *from = output->text ? output->text : "";

	if (output->size > OUTPUT_SHOWN)
		from += output->size - OUTPUT_SHOWN;
	while (output->size > OUTPUT_SHOWN && ((unsigned char)*from & 0xc0) == 0x80)
		from++;
	return json_text(from);
}

static void check_status(struct attempt *attempt, const char *node, int status)
{
	const json_t *wanted = json_object_get(attempt->test, "status");

	if (json_is_null(wanted) || status == (int)json_integer_value(wanted))
		return;
	if (status > 128)
		add_reason(attempt, "%s: exit status %d (signal %d), not %lld", node, status, status - 128,
			   (long long)json_integer_value(wanted));
	else
		add_reason(attempt, "%s: exit status %d, not %lld", node, status,
			   (long long)json_integer_value(wanted));
}

/* Each of the patterns must be in the output, or must not. */
static void check_patterns(struct attempt *attempt, const char *node, const struct validate_output *output,
			   const json_t *patterns, bool wanted)
{
	for (size_t i = 0; i < json_array_size(patterns); i++) {
		const char *pattern = json_string_value(json_array_get(patterns, i));
		int result = output_matches(pattern, output->text ? output->text : "", output->size);

		if (result < 0)
			add_reason(attempt, "%s: looking for \"%s\" in its output takes too long", node, pattern);
		else if (result && !wanted)
			add_reason(attempt, "%s: its output has \"%s\", which it must not", node, pattern);
		else if (!result && wanted)
			add_reason(attempt, "%s: its output does not have \"%s\"", node, pattern);
	}
}

static void check_output(struct attempt *attempt, const char *node, const struct validate_output *output)
{
	const json_t *expects = json_object_get(attempt->test, "expect");
	const json_t *rejects = json_object_get(attempt->test, "reject");

	if (output->is_cut && json_array_size(expects) + json_array_size(rejects)) {
		add_reason(attempt, "%s: it said more than %u bytes, which is too much to look through", node,
			   VALIDATE_OUTPUT_MAX);
		return;
	}
	check_patterns(attempt, node, output, expects, true);
	check_patterns(attempt, node, output, rejects, false);
}

static void run_in_node(struct attempt *attempt, const char *node)
{
	double timeout = json_number_value(json_object_get(attempt->test, "timeout"));
	size_t reasons_before = json_array_size(attempt->reasons);
	struct validate_command command;
	json_t *json;

	validate_command_run(&command, attempt->client, attempt->report, node, cli_string(attempt->test, "exec"),
			     timeout);
	if (command.problem) {
		add_reason(attempt, "%s: %s", node, command.problem);
	} else {
		check_status(attempt, node, command.status);
		check_output(attempt, node, &command.output);
	}
	json = json_pack("{s:s, s:o, s:o, s:o, s:b}", "node", node, "status",
			 command.problem ? json_null() : json_integer(command.status), "stdout",
			 shown_output(&command.output), "stderr", shown_output(&command.error_output), "passed",
			 json_array_size(attempt->reasons) == reasons_before);
	json_array_append_new(attempt->commands, json);
	attempt->ends_runs |= command.ends_runs;
	validate_command_clear(&command);
}

static void run_commands(struct attempt *attempt)
{
	const json_t *nodes = json_object_get(attempt->test, "nodes");

	for (size_t i = 0; i < json_array_size(nodes) && !attempt->ends_runs; i++)
		run_in_node(attempt, json_string_value(json_array_get(nodes, i)));
}

/* Frames. */

static bool is_decided(const struct topology_count *wanted, uint64_t count)
{
	return count > wanted->maximum || (wanted->maximum == TOPOLOGY_COUNT_NO_MAXIMUM && count >= wanted->minimum);
}

static void pause_a_tick(const struct attempt *attempt, long long deadline)
{
	long long left = deadline - cli_milliseconds();

	if (left > 0)
		poll(NULL, 0, left < VALIDATE_TICK ? (int)left : VALIDATE_TICK);
	validate_report_tick(attempt->report);
}

/* Counts until it is known whether it is as wanted.  Returns false when it cannot be known. */
static bool count_until(struct attempt *attempt, struct validate_count *count, const struct topology_count *wanted,
			long long deadline)
{
	for (;;) {
		bool is_last = cli_milliseconds() >= deadline;

		if (!validate_count_update(count))
			return false;
		if (is_last || is_decided(wanted, count->matched))
			return true;
		pause_a_tick(attempt, deadline);
	}
}

static void judge_count(struct attempt *attempt, const json_t *capture, const struct topology_count *wanted,
			uint64_t count)
{
	const char *filter = cli_string(capture, "filter");
	char text[TOPOLOGY_COUNT_TEXT_MAX];

	if (count >= wanted->minimum && count <= wanted->maximum)
		return;
	add_reason(attempt, "%llu frame%s%s%s%s crossed %s, not %s", (unsigned long long)count, count == 1 ? "" : "s",
		   *filter ? " of \"" : "", filter, *filter ? "\"" : "", cli_string(capture, "port"),
		   topology_print_count(wanted, text));
}

static void run_with_capture(struct attempt *attempt, const json_t *capture)
{
	long long deadline = cli_milliseconds() +
			     (long long)(json_number_value(json_object_get(capture, "within")) * 1000);
	struct topology_count wanted = {.minimum = 1, .maximum = TOPOLOGY_COUNT_NO_MAXIMUM};
	struct validate_count count;
	bool is_known;

	topology_parse_count(cli_string(capture, "count"), &wanted);
	is_known = validate_count_begin(&count, attempt->client, cli_string(capture, "port"),
					cli_string(capture, "filter"));
	attempt->is_final = !is_known;
	if (is_known) {
		run_commands(attempt);
		is_known = !attempt->ends_runs && count_until(attempt, &count, &wanted, deadline);
	}
	attempt->capture = json_copy((json_t *)capture);
	json_object_set_new(attempt->capture, "frames",
			    is_known ? json_integer((json_int_t)count.matched) : json_null());
	if (is_known)
		judge_count(attempt, capture, &wanted, count.matched);
	else if (count.error.class != ERROR_NONE)
		add_reason(attempt, "%s", count.error.text);
	attempt->ends_runs |= attempt->client->ended;
	validate_count_end(&count);
}

/* A test. */

static void attempt_begin(struct attempt *attempt)
{
	json_decref(attempt->reasons);
	json_decref(attempt->commands);
	json_decref(attempt->capture);
	attempt->reasons = json_array();
	attempt->commands = json_array();
	attempt->capture = NULL;
}

static void attempt_run(struct attempt *attempt)
{
	const json_t *capture = json_object_get(attempt->test, "capture");

	attempt_begin(attempt);
	if (capture)
		run_with_capture(attempt, capture);
	else
		run_commands(attempt);
}

/* Waits for the time of the next attempt.  Returns false when there is none. */
static bool wait_for_next(const struct attempt *attempt, unsigned int count, long long started)
{
	json_int_t attempts = json_integer_value(json_object_get(attempt->test, "attempts"));
	long long wait = (long long)(json_number_value(json_object_get(attempt->test, "wait")) * 1000);
	long long next = cli_milliseconds() +
			 (long long)(json_number_value(json_object_get(attempt->test, "interval")) * 1000);
	long long last = started + wait;

	if (attempt->is_final || attempt->ends_runs || (attempts && count >= attempts) ||
	    (wait && cli_milliseconds() >= last))
		return false;
	/* The last attempt begins when the time is over. */
	if (wait && next > last)
		next = last;
	while (cli_milliseconds() < next)
		pause_a_tick(attempt, next);
	return true;
}

static const char *result_of(const struct attempt *attempt)
{
	if (!json_array_size(attempt->reasons))
		return "passed";
	return json_is_true(json_object_get(attempt->test, "warning")) ? "warning" : "failed";
}

static json_t *make_result(const json_t *test, const char *result, long long milliseconds, unsigned int attempts)
{
	const char *message = cli_string(test, !strcmp(result, "passed") ? "pass" : "fail");

	if (!*message || !strcmp(result, "skipped"))
		message = cli_string(test, "description");
	return json_pack("{s:s, s:s, s:s, s:f, s:i}", "name", cli_string(test, "name"), "result", result, "message",
			 message, "seconds", (double)milliseconds / 1000, "attempts", (int)attempts);
}

json_t *validate_test_run(const json_t *test, struct client *client, struct validate_report *report, bool *ends_runs)
{
	struct attempt attempt = {.test = test, .client = client, .report = report};
	long long started = cli_milliseconds();
	unsigned int count = 0;
	json_t *result;

	validate_report_start(report, test);
	do {
		report->attempt = ++count;
		attempt_run(&attempt);
	} while (json_array_size(attempt.reasons) && wait_for_next(&attempt, count, started));
	result = make_result(test, result_of(&attempt), cli_milliseconds() - started, count);
	json_object_set_new(result, "reasons", attempt.reasons);
	if (json_object_get(test, "exec")) {
		json_object_set(result, "exec", json_object_get(test, "exec"));
		json_object_set_new(result, "commands", attempt.commands);
	} else {
		json_decref(attempt.commands);
	}
	if (attempt.capture)
		json_object_set_new(result, "capture", attempt.capture);
	*ends_runs = attempt.ends_runs;
	return result;
}

json_t *validate_test_skip(const json_t *test)
{
	json_t *result = make_result(test, "skipped", 0, 0);

	json_object_set_new(result, "reasons", json_array());
	return result;
}
