/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_STATUS_H
#define NETLAB_CLI_STATUS_H 1

/* The status of a lab, and parts of it as text on standard output, for the commands that show them.
 * Thread-safety: one thread. */

#include <jansson.h>

struct cli;

/* For a command that takes nothing but [LAB]: reads its arguments and sets '*status' to the STATUS object of that lab,
 * with memory.  Returns 0, or what to exit with, having said why. */
int status_ask(struct cli *cli, int argc, char **argv, json_t **status);

void status_put_nodes(const json_t *nodes);
/* What the lab takes in all; nothing if 'memory' is NULL. */
void status_put_memory(const json_t *memory);
/* Nothing where the list is empty; else after an empty line. */
void status_put_ports(const json_t *ports);
void status_put_attachments(const json_t *attachments);

#endif /* status.h */
