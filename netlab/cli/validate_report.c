/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/validate.h"

/* What a test says, on a terminal with a line of what goes on below what there is already. */

#define LINES_SHOWN 12 /* Of what a command said, the last ones. */
#define INDENT "        "

void validate_report_begin(struct validate_report *report, FILE *to, bool only_live)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	bool is_live = isatty(fileno(to)) && term && strcmp(term, "dumb");

	*report = (struct validate_report){.to = only_live && !is_live ? NULL : to, .is_live = is_live};
	report->has_colours = is_live && !(no_color && no_color[0]);
}

void validate_report_start(struct validate_report *report, const json_t *test)
{
	report->test = test;
	report->started = cli_milliseconds();
	report->attempt = 1;
	validate_report_tick(report);
}

void validate_report_tick(struct validate_report *report)
{
	char duration[32];

	if (!report->to || !report->is_live)
		return;
	fprintf(report->to, "\r\x1b[K  ...  %s, %s", cli_string(report->test, "name"),
		cli_duration((double)(cli_milliseconds() - report->started) / 1000, duration));
	if (report->attempt > 1)
		fprintf(report->to, ", attempt %u", report->attempt);
	fflush(report->to);
}

/* The last lines of a text, each behind 'prefix'. */
static void put_lines(FILE *to, const char *prefix, const char *text)
{
	size_t length = strlen(text), lines = 0;
	const char *from;

	while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	from = text + length;
	while (from > text && (from[-1] != '\n' || ++lines < LINES_SHOWN))
		from--;
	while (from < text + length) {
		size_t size = strcspn(from, "\n");
		char *line = allocate_copy_part(from, size);

		if (size && line[size - 1] == '\r')
			line[size - 1] = '\0';
		fputs(prefix, to);
		cli_put_text(to, line);
		fputc('\n', to);
		free(line);
		from += size + (from[size] != '\0');
	}
}

static void put_output(FILE *to, const json_t *command, const char *stream)
{
	char *prefix = allocate_text(INDENT "%s %s: ", cli_string(command, "node"), stream);

	put_lines(to, prefix, cli_string(command, stream));
	free(prefix);
}

static void put_reasons(FILE *to, const json_t *result)
{
	const json_t *reasons = json_object_get(result, "reasons"), *commands = json_object_get(result, "commands");

	for (size_t i = 0; i < json_array_size(reasons); i++) {
		fputs(INDENT, to);
		cli_put_text(to, json_string_value(json_array_get(reasons, i)));
		fputc('\n', to);
	}
	if (!json_object_get(result, "exec"))
		return;
	fputs(INDENT "command: ", to);
	cli_put_text(to, cli_string(result, "exec"));
	fputc('\n', to);
	for (size_t i = 0; i < json_array_size(commands); i++) {
		const json_t *command = json_array_get(commands, i);

		if (json_is_true(json_object_get(command, "passed")))
			continue;
		put_output(to, command, "stdout");
		put_output(to, command, "stderr");
	}
}

void validate_report_result(struct validate_report *report, const json_t *test, const json_t *result)
{
	static const struct {
		const char *result, *word, *colour;
	} words[] = {{"passed", "PASS", "32"},
		     {"failed", "FAIL", "31"},
		     {"warning", "WARN", "33"},
		     {"skipped", "SKIP", "33"}};
	const char *message = cli_string(result, "message");
	json_int_t attempts = json_integer_value(json_object_get(result, "attempts"));
	char duration[32];
	size_t i = 0;

	if (!report->to)
		return;
	while (strcmp(words[i].result, cli_string(result, "result")))
		i++;
	if (report->is_live)
		fputs("\r\x1b[K", report->to);
	if (report->has_colours)
		fprintf(report->to, "  \x1b[%sm%s\x1b[m  %s", words[i].colour, words[i].word, cli_string(test, "name"));
	else
		fprintf(report->to, "  %s  %s", words[i].word, cli_string(test, "name"));
	if (*message) {
		fputs(": ", report->to);
		cli_put_text(report->to, message);
	}
	if (attempts)
		fprintf(report->to, "  (%s",
			cli_duration(json_number_value(json_object_get(result, "seconds")), duration));
	if (attempts > 1)
		fprintf(report->to, ", %lld attempts", (long long)attempts);
	fputs(attempts ? ")\n" : "\n", report->to);
	if (json_array_size(json_object_get(result, "reasons")))
		put_reasons(report->to, result);
	fflush(report->to);
}

void validate_report_summary(struct validate_report *report, const json_t *run)
{
	static const struct {
		const char *member, *words;
	} counts[] = {{"passed", "passed"}, {"failed", "failed"}, {"warnings", "warned"}, {"skipped", "not run"}};

	if (!report->to)
		return;
	fprintf(report->to, "Lab %s:", cli_string(run, "lab"));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		json_int_t count = json_integer_value(json_object_get(run, counts[i].member));

		if (count || i < 2)
			fprintf(report->to, "%s %lld %s", i ? "," : "", (long long)count, counts[i].words);
	}
	fputc('\n', report->to);
}
