/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_TERMINAL_H
#define NETLAB_CLI_TERMINAL_H 1

/* The user's terminal: raw while a guest's terminal is shown on it, and as it was afterwards.
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <termios.h>

struct terminal {
	bool is_raw;
	struct termios before;
};

/* Makes standard input raw if it is a terminal. */
void terminal_make_raw(struct terminal *terminal);
void terminal_restore(struct terminal *terminal);

/* Rows and columns of the terminal on standard output or input; returns false, and 24 and 80, if there is
 * none. */
bool terminal_size(int *rows, int *columns);

#endif /* terminal.h */
