/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/validate.h"

#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/table.h"
#include "netlab/junit.h"

/* netlab validate: the tests of a lab's topology. */

struct validate_options {
	bool list;
	bool fail_fast;
	char **names; /* Of tests; none: all. */
	size_t name_count;
};

static bool is_wanted(const struct validate_options *options, const char *name)
{
	for (size_t i = 0; i < options->name_count; i++)
		if (!strcmp(options->names[i], name))
			return true;
	return !options->name_count;
}

static const json_t *find_test(const json_t *tests, const char *name)
{
	for (size_t i = 0; i < json_array_size(tests); i++)
		if (!strcmp(cli_string(json_array_get(tests, i), "name"), name))
			return json_array_get(tests, i);
	return NULL;
}

/* The tests that are asked for, in their order (a new reference), or NULL after a complaint. */
static json_t *select_tests(const json_t *tests, const struct validate_options *options, const char *lab)
{
	json_t *selected;

	for (size_t i = 0; i < options->name_count; i++)
		if (!find_test(tests, options->names[i])) {
			cli_error("lab %s has no test \"%s\"; \"netlab validate --list\" lists them", lab,
				  options->names[i]);
			return NULL;
		}
	selected = json_array();
	for (size_t i = 0; i < json_array_size(tests); i++) {
		json_t *test = json_array_get(tests, i);

		if (is_wanted(options, cli_string(test, "name")))
			json_array_append(selected, test);
	}
	return selected;
}

/* What it tests, in its author's words or in ours. */
static void add_description(struct table *table, const json_t *test)
{
	const json_t *capture = json_object_get(test, "capture");

	if (*cli_string(test, "description"))
		table_add(table, "%s", cli_string(test, "description"));
	else if (json_object_get(test, "exec"))
		table_add(table, "%s", cli_string(test, "exec"));
	else
		table_add(table, "%s: %s %s", cli_string(capture, "port"), cli_string(capture, "count"),
			  *cli_string(capture, "filter") ? cli_string(capture, "filter") : "frames");
}

static void list(const struct cli *cli, const json_t *tests)
{
	struct table table = {.columns = 2};

	if (cli->json) {
		cli_put_json(tests);
		return;
	}
	for (size_t i = 0; i < json_array_size(tests); i++) {
		table_add(&table, "%s", cli_string(json_array_get(tests, i), "name"));
		add_description(&table, json_array_get(tests, i));
	}
	table_print(&table, stdout, 0);
}

static void count(json_t *run, const char *member)
{
	json_object_set_new(run, member, json_integer(json_integer_value(json_object_get(run, member)) + 1));
}

static void add_result(json_t *run, json_t *result)
{
	const char *outcome = cli_string(result, "result");

	count(run, !strcmp(outcome, "warning") ? "warnings" : outcome);
	json_array_append_new(json_object_get(run, "tests"), result);
}

/* Runs the tests.  Returns what JSON shows of it. */
static json_t *run_tests(const json_t *tests, struct client *client, struct validate_report *report, bool fail_fast)
{
	json_t *run = json_pack("{s:s, s:i, s:i, s:i, s:i, s:[]}", "lab", client->lab, "passed", 0, "failed", 0,
				"warnings", 0, "skipped", 0, "tests");
	long long started = cli_milliseconds();
	bool goes_on = true, ends_runs = false;

	for (size_t i = 0; i < json_array_size(tests); i++) {
		const json_t *test = json_array_get(tests, i);
		json_t *result = goes_on ? validate_test_run(test, client, report, &ends_runs) :
					   validate_test_skip(test);

		validate_report_result(report, test, result);
		add_result(run, result);
		if (ends_runs || (fail_fast && json_integer_value(json_object_get(run, "failed"))))
			goes_on = false;
	}
	json_object_set_new(run, "seconds", json_real((double)(cli_milliseconds() - started) / 1000));
	return run;
}

static int run_and_report(const struct cli *cli, struct client *client, const json_t *tests, bool fail_fast)
{
	bool is_for_programs = cli->json || cli->other_format;
	struct validate_report report;
	json_t *run;
	int code;

	/* The document goes to standard output; who has it written to a file still sees what goes on. */
	validate_report_begin(&report, is_for_programs ? stderr : stdout, is_for_programs);
	run = run_tests(tests, client, &report, fail_fast);
	validate_report_summary(&report, run);
	if (cli->other_format)
		junit_write(stdout, run);
	else if (cli->json)
		cli_put_json(run);
	code = json_integer_value(json_object_get(run, "failed")) ? ERROR_FAILED : 0;
	json_decref(run);
	return code;
}

static int validate(const struct cli *cli, struct client *client, const struct validate_options *options)
{
	struct error error = {.class = ERROR_NONE};
	json_t *answer = client_call(client, json_pack("{s:s}", "command", "tests"), &error);
	const json_t *tests = json_object_get(answer, "tests");
	json_t *selected = answer ? select_tests(tests, options, client->lab) : NULL;
	int code = 0;

	if (!answer)
		code = cli_fail(&error);
	else if (!selected)
		code = ERROR_USAGE;
	else if (options->list)
		list(cli, selected);
	else if (!json_array_size(tests)) {
		cli_error(
			"lab %s has no tests; \"validate:\" in its topology is for them, and \"netlab up\" takes them on",
			client->lab);
		code = ERROR_FAILED;
	} else {
		code = run_and_report(cli, client, selected, options->fail_fast);
	}
	json_decref(selected);
	json_decref(answer);
	return code;
}

int cli_validate(struct cli *cli, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"list", no_argument, NULL, 'l'},
		{"fail-fast", no_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	struct validate_options options = {.list = false};
	struct error error = {.class = ERROR_NONE};
	struct client client;
	int option, code;
	char *lab;

	while ((option = cli_option(cli, argc, argv, "", long_options)) != -1) {
		if (option == '?')
			return ERROR_USAGE;
		options.list |= option == 'l';
		options.fail_fast |= option == 'f';
	}
	if (options.list && cli->other_format)
		return cli_usage(cli, "--list is printed as text or json");
	options.names = argv + optind;
	options.name_count = (size_t)(argc - optind);
	lab = cli_find_lab(cli, NULL, &error);
	if (!lab || client_open(&client, lab, &error) < 0) {
		free(lab);
		return cli_fail(&error);
	}
	code = validate(cli, &client, &options);
	client_close(&client);
	free(lab);
	return code;
}
