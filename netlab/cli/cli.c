/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "netlab/allocate.h"

#define OPTIONS_MAX 16

enum { OPTION_LAB = 1000, OPTION_FORMAT, OPTION_HELP };

static void put_help(const struct cli_command *command)
{
	printf("Usage: %s\n\n%s\n", command->usage, command->help);
	fputs("\nCommon options:\n"
	      "  --lab NAME           the lab, where it is not the one of the current folder's topology\n"
	      "  --format FORMAT      how to print: text, json",
	      stdout);
	printf("%s%s\n", command->format ? ", " : "", command->format ? command->format : "");
	fputs("  --help               this text\n", stdout);
}

/* Complains, and returns false, about one that the command does not have. */
static bool set_format(struct cli *cli, const char *name)
{
	const char *other = cli->command->format;

	cli->json = !strcmp(name, "json");
	cli->other_format = other && !strcmp(name, other);
	if (cli->json || cli->other_format || !strcmp(name, "text"))
		return true;
	cli_usage(cli, "--format is text%s json%s%s, not \"%s\"", other ? "," : " or", other ? " or " : "",
		  other ? other : "", name);
	return false;
}

int cli_option(struct cli *cli, int argc, char **argv, const char *shorts, const struct option *options)
{
	static const struct option common[] = {
		{"lab", required_argument, NULL, OPTION_LAB},
		{"format", required_argument, NULL, OPTION_FORMAT},
		{"help", no_argument, NULL, OPTION_HELP},
	};
	struct option all[OPTIONS_MAX + 4] = {0};
	static char name[] = "netlab"; /* For what getopt_long() has to complain of. */
	size_t count = 0;
	int option;

	argv[0] = name;
	memcpy(all, common, sizeof(common));
	for (count = 0; options && options[count].name && count < OPTIONS_MAX; count++)
		all[3 + count] = options[count];
	while ((option = getopt_long(argc, argv, shorts, all, NULL)) != -1) {
		switch (option) {
		case OPTION_LAB:
			cli->lab = optarg;
			break;
		case OPTION_FORMAT:
			if (!set_format(cli, optarg))
				return '?';
			break;
		case OPTION_HELP:
			put_help(cli->command);
			exit(0);
		case '?':
			cli_usage(cli, NULL);
			return '?';
		default:
			return option;
		}
	}
	return -1;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
	va_list arguments;

	if (format) {
		fputs("netlab: ", stderr);
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
		fputc('\n', stderr);
	}
	fprintf(stderr, "Usage: %s\n\"netlab %s --help\" explains.\n", cli->command->usage, cli->command->name);
	return ERROR_USAGE;
}

void cli_error(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) >= 0) {
		fflush(stdout);
		fputs("netlab: ", stderr);
		cli_put_text(stderr, text);
		fputc('\n', stderr);
		free(text);
	}
	va_end(arguments);
}

int cli_fail(const struct error *error)
{
	cli_error("%s", error->text);
	return error->class ? (int)error->class : ERROR_FAILED;
}

bool cli_is_control(const char *text)
{
	unsigned char character = (unsigned char)text[0], next = (unsigned char)text[1];

	/* 0xc2 0x80 to 0xc2 0x9f are control characters in UTF-8. */
	return character < 0x20 || character == 0x7f || (character == 0xc2 && next >= 0x80 && next < 0xa0);
}

void cli_put_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (cli_is_control(text) && *text != '\n' && *text != '\t')
			fprintf(to, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, to);
	}
}

void cli_put_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(13));
	putchar('\n');
}

const char *cli_duration(double seconds, char text[32])
{
	long long whole = (long long)seconds;

	if (seconds < 60)
		snprintf(text, 32, "%.1f s", seconds);
	else if (whole < 3600)
		snprintf(text, 32, "%lld min %02lld s", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(text, 32, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
	else
		snprintf(text, 32, "%lld d %02lld h", whole / 86400, whole / 3600 % 24);
	return text;
}

const char *cli_size(json_int_t bytes, char text[32])
{
	static const char units[] = {'K', 'M', 'G', 'T'};
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1024 && unit < 3) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, 32, "%lld", (long long)bytes);
	else if (value < 10 && value != (double)(int)value)
		snprintf(text, 32, "%.1f%c", value, units[unit]);
	else
		snprintf(text, 32, "%.0f%c", value, units[unit]);
	return text;
}

const char *cli_string(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

long long cli_milliseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}
