/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PROMETHEUS_H
#define NETLAB_PROMETHEUS_H 1

/* Counters of a lab as Prometheus reads them
 * ==========================================
 *
 * The text-based exposition format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/): each
 * family of metrics once, with its help and its type before its samples.
 *
 * Thread-safety: any thread. */

#include <stdio.h>

#include <jansson.h>

/* Writes what a STATUS object (docs/control-protocol.md) counts.  What it does not have is left out. */
void prometheus_write(FILE *to, const json_t *status);

/* Writes text, which is UTF-8, as a label's value between its quotes: with a backslash before backslashes, quotes and,
 * as \n, line feeds. */
void prometheus_put_label(FILE *to, const char *text);

#endif /* prometheus.h */
