/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/converge.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/plan.h"
#include "netlab/topology.h"

#define ANSWER_SIZE 64

/* "+ node h3", "~ node r1 (restarts: memory 64M -> 96M)" */
static void put_change(FILE *to, const json_t *change)
{
	const char *action = cli_string(change, "action"), *reason = cli_string(change, "reason");
	bool is_later = !strcmp(action, "later");

	fprintf(to, "  %c %s ",
		!strcmp(action, "add")    ? '+' :
		!strcmp(action, "remove") ? '-' :
		is_later                  ? '!' :
					    '~',
		cli_string(change, "kind"));
	cli_put_text(to, cli_string(change, "name"));
	if (reason[0]) {
		fputs(!strcmp(action, "restart") ? " (restarts: " : " (", to);
		cli_put_text(to, reason);
		fputs(is_later ? ": takes effect when the lab is started anew, netlab down && netlab up)" : ")", to);
	}
	fputc('\n', to);
}

static void put_changes(FILE *to, const json_t *plan)
{
	const json_t *changes = json_object_get(plan, "changes");

	for (size_t i = 0; i < json_array_size(changes); i++)
		put_change(to, json_array_get(changes, i));
}

static void put_plan(const struct converge *converge, FILE *to, const json_t *plan)
{
	const char *running = cli_string(plan, "running");

	fprintf(to, "Lab %s is running", converge->lab);
	if (strcmp(running, cli_string(plan, "topology"))) {
		fputs(" from ", to);
		cli_put_text(to, running);
	}
	fputs("; to make it as ", to);
	cli_put_text(to, converge->file);
	fputs(" says:\n", to);
	put_changes(to, plan);
	fflush(to);
}

/* Whether there is something to do now; notes whether there is something that is not done. */
static bool has_work(struct converge *converge, const json_t *plan)
{
	const json_t *changes = json_object_get(plan, "changes");
	size_t later = 0;

	for (size_t i = 0; i < json_array_size(changes); i++)
		later += !strcmp(cli_string(json_array_get(changes, i), "action"), "later");
	converge->has_later = later > 0;
	return json_array_size(changes) > later;
}

/* What else was asked for must be as it is already: it is settled when a lab starts. */
static bool check_options(const struct converge *converge, const json_t *plan)
{
	const char *captures = cli_string(plan, "captures"), *option = NULL;

	if (converge->captures && strcmp(converge->captures, captures))
		option = "--captures";
	else if (converge->no_capture && captures[0])
		option = "--no-capture";
	else if (converge->cold && !json_is_true(json_object_get(plan, "cold")))
		option = "--cold";
	if (option)
		cli_error(
			"lab %s is running, and %s cannot be changed then; take it down first with \"netlab down %s\"",
			converge->lab, option, converge->lab);
	return !option;
}

/* Returns -1 to go on, or the exit code. */
static int ask(const struct converge *converge, FILE *to)
{
	char answer[ANSWER_SIZE];

	if (converge->yes)
		return -1;
	if (!isatty(STDIN_FILENO)) {
		cli_error("lab %s is running; nobody can be asked whether to change it, since standard input is no "
			  "terminal\n  help: --yes changes it without asking, --plan only shows what would change",
			  converge->lab);
		return ERROR_USAGE;
	}
	fputs("Go on? [y/N] ", to);
	fflush(to);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return -1;
	fputs("Nothing was changed.\n", to);
	return ERROR_FAILED;
}

/* What is wrong with a topology has its own form. */
static int fail(const struct error *error)
{
	if (error->class != ERROR_USAGE)
		return cli_fail(error);
	cli_put_text(stderr, error->text);
	fputc('\n', stderr);
	return ERROR_USAGE;
}

static void put_failures(struct converge *converge, const json_t *failures)
{
	for (size_t i = 0; i < json_array_size(failures); i++) {
		const char *text = json_string_value(json_array_get(failures, i));

		cli_error("%s", text ? text : "");
		converge->has_failed = true;
	}
}

static int apply(struct converge *converge, struct client *client, const json_t *plan)
{
	const json_t *changes = json_object_get(plan, "changes");
	struct error error = {.class = ERROR_NONE};
	json_t *answer = client_call(client,
				     json_pack("{s:s, s:s, s:s}", "command", "converge", "path", converge->topology,
					       "token", cli_string(plan, "token")),
				     &error);

	if (!answer)
		return fail(&error);
	put_failures(converge, json_object_get(answer, "failures"));
	json_decref(answer);
	converge->nodes = json_array();
	for (size_t i = 0; i < json_array_size(changes); i++) {
		const json_t *change = json_array_get(changes, i);

		if (!strcmp(cli_string(change, "kind"), "node") && strcmp(cli_string(change, "action"), "remove"))
			json_array_append(converge->nodes, json_object_get(change, "name"));
	}
	return -1;
}

static int show_and_apply(struct converge *converge, struct client *client, const json_t *plan)
{
	FILE *to = converge->cli->json ? stderr : stdout;
	bool is_idle = !has_work(converge, plan);
	int code;

	if (!check_options(converge, plan))
		return ERROR_USAGE;
	if (converge->plan_only && converge->cli->json) {
		cli_put_json(plan);
		return 0;
	}
	if (is_idle && !converge->has_later) {
		fprintf(to, "Lab %s is as ", converge->lab);
		cli_put_text(to, converge->file);
		fputs(" says; nothing to do.\n", to);
		return converge->cli->json ? -1 : 0;
	}
	put_plan(converge, to, plan);
	if (converge->plan_only)
		return 0;
	if (is_idle) {
		fputs("Nothing else is to be done.\n", to);
		return converge->cli->json ? -1 : 0;
	}
	code = ask(converge, to);
	return code < 0 ? apply(converge, client, plan) : code;
}

int converge_run(struct converge *converge, struct client *client)
{
	struct error error = {.class = ERROR_NONE};
	json_t *plan = client_call(client, json_pack("{s:s, s:s}", "command", "plan", "path", converge->topology),
				   &error);
	int code;

	if (!plan)
		return fail(&error);
	code = show_and_apply(converge, client, plan);
	json_decref(plan);
	return code;
}

void converge_free(struct converge *converge)
{
	json_decref(converge->nodes);
	converge->nodes = NULL;
}

int converge_put_start(const struct converge *converge, const struct topology *topology)
{
	struct plan *plan = plan_create(NULL, topology);
	json_t *json = json_pack("{s:s, s:s, s:n, s:o}", "lab", converge->lab, "topology", converge->topology,
				 "running", "changes", plan_json(plan));

	plan_free(plan);
	if (converge->cli->json) {
		cli_put_json(json);
	} else {
		printf("Lab %s is not running; \"netlab up\" starts:\n", converge->lab);
		put_changes(stdout, json);
	}
	json_decref(json);
	return 0;
}
