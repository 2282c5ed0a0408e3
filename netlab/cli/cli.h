/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_CLI_H
#define NETLAB_CLI_CLI_H 1

/* The command line
 * ================
 *
 * main() finds the command in a table and calls its function with the arguments from the command's name on;
 * the function returns the exit code.  A command reads its options with cli_option(), which handles what all
 * have in common.
 *
 * What is asked for goes to standard output; errors go to standard error and say what, where and what to do
 * next.  Text that comes from guests or files is printed with cli_put_text(), which lets no control character
 * through.
 *
 * Thread-safety: none needed; the command line has one thread. */

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "core/error.h"

struct cli;

struct cli_command {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv);
	const char *summary; /* One line for "netlab help"; NULL hides the command. */
	const char *usage;   /* "netlab exec [OPTIONS] NODE [--] COMMAND [ARGUMENTS...]" */
	const char *help;    /* Options and examples. */
	const char *format;  /* What --format can be beside text and json, or NULL. */
};

struct cli {
	const char *lab;                   /* --lab, or NULL. */
	bool json;                         /* --format json. */
	bool other_format;                 /* The one that the command has beside text and json. */
	const struct cli_command *command; /* The one that runs. */
};

/* Exit codes beyond enum error_class. */
#define CLI_EXIT_NETLAB_FAILED 125 /* "exec": netlab failed, not the command. */

/* As getopt_long(), with --lab, --format and --help added to 'options' (which ends with zeros and has at most
 * 16).  Begin 'shorts' with '+' to stop at the first argument that is no option.  Returns -1 at the end, '?'
 * after complaining, and does not return for --help. */
int cli_option(struct cli *cli, int argc, char **argv, const char *shorts, const struct option *options);

/* Complains about the command line, names the help, and returns ERROR_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints "netlab: TEXT" to standard error. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints 'error' and returns its exit code. */
int cli_fail(const struct error *error);

/* Says why frames were dropped, "3 receive-ring-full, 1 not-ready"; to be freed.  NULL when there is no memory. */
char *cli_describe_drops(json_t *drops);

/* Whether a control character begins there, of ASCII or in UTF-8. */
bool cli_is_control(const char *text);

/* Prints text of which nothing is known, with control characters as escapes. */
void cli_put_text(FILE *to, const char *text);

/* Prints JSON, indented, to standard output. */
void cli_put_json(const json_t *json);

/* "12.3 s", "4 min 05 s", "3 h 02 min", "2 d 03 h" into 'text', and returns it. */
const char *cli_duration(double seconds, char text[32]);

/* "64M", "1.5G", "320" into 'text', and returns it. */
const char *cli_size(json_int_t bytes, char text[32]);

/* A member that is a string, or "" if it is missing or something else. */
const char *cli_string(const json_t *object, const char *name);

/* Milliseconds of CLOCK_MONOTONIC. */
long long cli_milliseconds(void);

/* which.c: which lab, which topology. */

/* Returns the path of the topology that 'given' (a file, a folder or NULL for the current folder) means, to
 * be freed with free(); or NULL with 'error' set. */
char *cli_find_topology(const char *given, struct error *error);

/* Returns the name of the running lab meant by --lab or 'name' (may be NULL), else by the topology in the
 * current folder, else the only one that runs; to be freed with free().  Returns NULL with 'error' set. */
char *cli_find_lab(const struct cli *cli, const char *name, struct error *error);

/* The same for "NODE" or "LAB/NODE"; sets '*node' to a part of 'argument'. */
char *cli_find_lab_of_node(const struct cli *cli, const char *argument, const char **node, struct error *error);

/* Fills '*labs' with the names of the labs that run, and '*count'.  Removes what dead ones left, if 'clean'. */
int cli_running_labs(char ***labs, size_t *count, bool clean, struct error *error);
void cli_free_labs(char **labs, size_t count);

/* image.c: prints the names of the images that can be built, one a line. */
void cli_recipe_names(void);
/* Returns the path of scripts/image-build, to be freed with free(), or NULL if it is not installed. */
char *cli_image_builder(void);

/* The table of all commands, ended by one without a name. */
extern const struct cli_command cli_commands[];

int cli_capture(struct cli *cli, int argc, char **argv);
int cli_check(struct cli *cli, int argc, char **argv);
int cli_complete(struct cli *cli, int argc, char **argv);
int cli_completion(struct cli *cli, int argc, char **argv);
int cli_connect(struct cli *cli, int argc, char **argv);
int cli_copy(struct cli *cli, int argc, char **argv);
int cli_doctor(struct cli *cli, int argc, char **argv);
int cli_down(struct cli *cli, int argc, char **argv);
int cli_drops(struct cli *cli, int argc, char **argv);
int cli_exec(struct cli *cli, int argc, char **argv);
int cli_forward(struct cli *cli, int argc, char **argv);
int cli_switch(struct cli *cli, int argc, char **argv);
int cli_help(struct cli *cli, int argc, char **argv);
int cli_image(struct cli *cli, int argc, char **argv);
int cli_link(struct cli *cli, int argc, char **argv);
int cli_list(struct cli *cli, int argc, char **argv);
int cli_logs(struct cli *cli, int argc, char **argv);
int cli_pause(struct cli *cli, int argc, char **argv);
int cli_restart(struct cli *cli, int argc, char **argv);
int cli_resume(struct cli *cli, int argc, char **argv);
int cli_snapshot(struct cli *cli, int argc, char **argv);
int cli_stats(struct cli *cli, int argc, char **argv);
int cli_status(struct cli *cli, int argc, char **argv);
int cli_tc(struct cli *cli, int argc, char **argv);
int cli_top(struct cli *cli, int argc, char **argv);
int cli_trace(struct cli *cli, int argc, char **argv);
int cli_up(struct cli *cli, int argc, char **argv);
int cli_validate(struct cli *cli, int argc, char **argv);
int cli_wireshark(struct cli *cli, int argc, char **argv);

#endif /* cli.h */
