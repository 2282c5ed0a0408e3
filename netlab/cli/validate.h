/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_VALIDATE_H
#define NETLAB_CLI_VALIDATE_H 1

/* Running the tests of a lab, from inside
 * =======================================
 *
 * What the files validate*.c share: validate.c (the command), validate_test.c (a test, attempt after attempt),
 * validate_command.c (a command in a node), validate_count.c (frames in a capture) and validate_report.c (what is seen
 * meanwhile and at the end).
 *
 * A test is an object of the control protocol's command "tests", what came of it an object of the form that
 * docs/control-protocol.md gives under "Results of tests": text, JSON and JUnit are made of that.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "netlab/cli/client.h"
#include "netlab/frame_filter.h"

/* Milliseconds between two looks at whatever is waited for. */
#define VALIDATE_TICK 100

/* validate_report.c */

struct validate_report {
	FILE *to; /* NULL: nothing is shown. */
	bool is_live;
	bool has_colours;
	const json_t *test;   /* The one that runs. */
	long long started;    /* When it began, in milliseconds. */
	unsigned int attempt; /* From 1. */
};

/* Shows on 'to' what goes on; with 'only_live' only if that is a terminal. */
void validate_report_begin(struct validate_report *report, FILE *to, bool only_live);
void validate_report_start(struct validate_report *report, const json_t *test);
/* Some time has passed. */
void validate_report_tick(struct validate_report *report);
void validate_report_result(struct validate_report *report, const json_t *test, const json_t *result);
/* 'run' is what JSON shows of the whole. */
void validate_report_summary(struct validate_report *report, const json_t *run);

/* validate_command.c */

#define VALIDATE_OUTPUT_MAX (1u << 20) /* Bytes of output that can be looked through. */

struct validate_output {
	char *text; /* Ends with a NUL, and has no other: they have become question marks.  NULL: nothing was said. */
	size_t size;
	bool is_cut; /* There was more than VALIDATE_OUTPUT_MAX. */
};

/* What came of a command. */
struct validate_command {
	struct validate_output output, error_output;
	int status;     /* 128 plus the signal that killed it. */
	char *problem;  /* Why there is no status, or NULL. */
	bool ends_runs; /* The lab has gone. */
};

/* Runs a command line in a node's shell, for at most so many seconds.  Free with validate_command_clear(). */
void validate_command_run(struct validate_command *command, struct client *client, struct validate_report *report,
			  const char *node, const char *line, double seconds);
void validate_command_clear(struct validate_command *command);

/* validate_count.c */

/* Counts the frames that crossed a port since validate_count_begin() and pass a filter. */
struct validate_count {
	struct client *client;
	const char *port;
	struct frame_filter filter;
	bool has_filter;
	pcap_t *capture;  /* Reads 'file'. */
	FILE *file;       /* Owned by 'capture'. */
	uint64_t at;      /* Bytes of the file that have been read. */
	json_int_t lost;  /* What the capture had lost at the beginning. */
	uint64_t matched; /* What was counted. */
	struct error error;
};

/* Both return false with 'error' set: nothing can be said of the frames.  Free with validate_count_end() either way. */
bool validate_count_begin(struct validate_count *count, struct client *client, const char *port, const char *filter);
/* Counts what crossed the port before this call. */
bool validate_count_update(struct validate_count *count);
void validate_count_end(struct validate_count *count);

/* validate_test.c */

/* Runs the test, and returns its result.  Sets '*ends_runs' when the lab has gone. */
json_t *validate_test_run(const json_t *test, struct client *client, struct validate_report *report, bool *ends_runs);
/* The result of a test that is not run. */
json_t *validate_test_skip(const json_t *test);

#endif /* validate.h */
