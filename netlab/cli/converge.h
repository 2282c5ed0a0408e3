/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_CONVERGE_H
#define NETLAB_CLI_CONVERGE_H 1

/* Making a running lab what a topology's file says: shows the plan, asks, and has it done.
 * Thread-safety: one thread. */

#include <stdbool.h>

#include "netlab/cli/client.h"

struct cli;
struct topology;

struct converge {
	/* The caller fills these. */
	const struct cli *cli;
	const char *lab;
	const char *file;     /* As the user knows it. */
	const char *topology; /* Its absolute path. */
	const char *captures; /* What was asked for beside it: an absolute path, or NULL. */
	bool no_capture, cold;
	bool yes;       /* Do not ask. */
	bool plan_only; /* Change nothing. */

	bool has_failed; /* Something could not be put in place, and the user knows. */
	bool has_later;  /* The file asks for something that is settled when a lab starts. */
	json_t *nodes;   /* Names of those that come, restart or change, as far as there are any. */
};

/* Returns -1 when the lab is as it should be, and nodes may be on their way; or the exit code, when there is nothing
 * more to do. */
int converge_run(struct converge *converge, struct client *client);
void converge_free(struct converge *converge);

/* The plan for a lab that does not run: everything comes.  Returns the exit code. */
int converge_put_start(const struct converge *converge, const struct topology *topology);

#endif /* converge.h */
