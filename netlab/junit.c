/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/junit.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* U+FFFE and U+FFFF, the only characters beyond the control characters that XML 1.0 (section 2.2) does not have and
 * UTF-8 can say. */
static bool is_no_character(const char *text)
{
	return !strncmp(text, "\xef\xbf\xbe", 3) || !strncmp(text, "\xef\xbf\xbf", 3);
}

void junit_put_text(FILE *to, const char *text, bool is_attribute)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '&')
			fputs("&amp;", to);
		else if (byte == '<')
			fputs("&lt;", to);
		else if (byte == '>')
			fputs("&gt;", to);
		else if (byte == '"')
			fputs("&quot;", to);
		else if (byte == '\r' || (is_attribute && (byte == '\n' || byte == '\t')))
			fprintf(to, "&#%d;", byte); /* As it is, a reader would make something else of it. */
		else if (byte < 0x20 && byte != '\n' && byte != '\t')
			fputs(REPLACEMENT, to);
		else if (is_no_character(text))
			fputs(REPLACEMENT, to), text += 2;
		else
			fputc(byte, to);
	}
}

static void put_attribute(FILE *to, const char *name, const char *value)
{
	fprintf(to, " %s=\"", name);
	junit_put_text(to, value, true);
	fputc('"', to);
}

static void put_count(FILE *to, const char *name, json_int_t count)
{
	fprintf(to, " %s=\"%lld\"", name, (long long)count);
}

static void put_reasons(FILE *to, const json_t *result)
{
	const json_t *reasons = json_object_get(result, "reasons");

	for (size_t i = 0; i < json_array_size(reasons); i++) {
		junit_put_text(to, json_string_value(json_array_get(reasons, i)), false);
		fputs("\n", to);
	}
}

static void put_output(FILE *to, const json_t *command, const char *stream)
{
	const char *text = text_of(command, stream);

	if (!*text)
		return;
	junit_put_text(to, text_of(command, "node"), false);
	fprintf(to, " %s:\n", stream);
	junit_put_text(to, text, false);
	fputs("\n", to);
}

static void put_failure(FILE *to, const json_t *result)
{
	const json_t *commands = json_object_get(result, "commands");
	const char *first = json_string_value(json_array_get(json_object_get(result, "reasons"), 0));
	const char *message = text_of(result, "message");

	fputs("      <failure type=\"netlab\"", to);
	put_attribute(to, "message", *message ? message : first ? first : "");
	fputs(">", to);
	put_reasons(to, result);
	if (json_object_get(result, "exec")) {
		fputs("command: ", to);
		junit_put_text(to, text_of(result, "exec"), false);
		fputs("\n", to);
	}
	for (size_t i = 0; i < json_array_size(commands); i++) {
		put_output(to, json_array_get(commands, i), "stdout");
		put_output(to, json_array_get(commands, i), "stderr");
	}
	fputs("</failure>\n", to);
}

static void put_skipped(FILE *to, const json_t *result)
{
	const char *first = json_string_value(json_array_get(json_object_get(result, "reasons"), 0));

	fputs("      <skipped message=\"", to);
	fputs(first ? "warning: " : "not run", to);
	junit_put_text(to, first ? first : "", true);
	fputs("\"/>\n", to);
}

static void put_case(FILE *to, const char *lab, const json_t *result)
{
	const char *outcome = text_of(result, "result");

	fputs("    <testcase", to);
	put_attribute(to, "classname", lab);
	put_attribute(to, "name", text_of(result, "name"));
	fprintf(to, " time=\"%.3f\"", json_number_value(json_object_get(result, "seconds")));
	if (!strcmp(outcome, "passed")) {
		fputs("/>\n", to);
		return;
	}
	fputs(">\n", to);
	if (!strcmp(outcome, "failed"))
		put_failure(to, result);
	else
		put_skipped(to, result);
	fputs("    </testcase>\n", to);
}

void junit_write(FILE *to, const json_t *run)
{
	const json_t *tests = json_object_get(run, "tests");
	json_int_t failed = json_integer_value(json_object_get(run, "failed"));
	json_int_t skipped = json_integer_value(json_object_get(run, "skipped")) +
			     json_integer_value(json_object_get(run, "warnings"));
	const char *lab = text_of(run, "lab");

	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite", to);
	put_attribute(to, "name", lab);
	put_count(to, "tests", (json_int_t)json_array_size(tests));
	put_count(to, "failures", failed);
	put_count(to, "errors", 0);
	put_count(to, "skipped", skipped);
	fprintf(to, " time=\"%.3f\">\n", json_number_value(json_object_get(run, "seconds")));
	for (size_t i = 0; i < json_array_size(tests); i++)
		put_case(to, lab, json_array_get(tests, i));
	fputs("  </testsuite>\n</testsuites>\n", to);
}
