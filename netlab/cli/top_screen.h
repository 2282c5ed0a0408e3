/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_TOP_SCREEN_H
#define NETLAB_CLI_TOP_SCREEN_H 1

/* Rates of ports as text
 * ======================
 *
 * What "netlab top" shows: a table a time, or, on a terminal, one that is drawn again in its place and obeys keys.
 *
 * On a terminal it takes the alternate screen and has keys come as they are typed, until it is closed; who uses it sees
 * to it that no signal ends the program before.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "netlab/cli/terminal.h"
#include "netlab/port_rates.h"

struct top_screen {
	enum port_rates_order order;
	size_t first;                                                 /* Port that stands at the top. */
	size_t shown;                                                 /* Ports that fit. */
	enum { TOP_KEY_PLAIN, TOP_KEY_ESCAPE, TOP_KEY_SEQUENCE } key; /* What has come of the sequence of a key. */
	unsigned int parameter;                                       /* The number in it. */
	struct terminal terminal;
};

/* Prints what port_rates() returned as one table, and an empty line. */
void top_print(json_t *rates);

/* Standard output is a terminal that can show it. */
bool top_screen_possible(void);

void top_screen_open(struct top_screen *screen);
void top_screen_close(struct top_screen *screen);
void top_screen_draw(struct top_screen *screen, json_t *rates);

/* Does what the bytes that were typed mean, but for drawing.  Returns false if that is to end. */
bool top_screen_type(struct top_screen *screen, const char *bytes, size_t size);

#endif /* top_screen.h */
