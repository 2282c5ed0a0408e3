/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_TRACE_H
#define NETLAB_CLI_TRACE_H 1

/* netlab trace: where frames went.  trace.c reads the capture, trace_path.c and trace_flow.c answer as JSON
 * (docs/control-protocol.md), of which they make text.
 *
 * Thread-safety: one thread. */

#include <jansson.h>

#include "netlab/cli/trace_source.h"
#include "netlab/frame_links.h"

struct trace {
	const struct frame_index *index;
	const struct frame_links *links;
};

/* The path of a frame, of which there is one with this number.  A new reference; NULL when out of memory. */
json_t *trace_path(const struct trace *trace, uint32_t number);
void trace_path_put(const json_t *answer);

/* The last 'count' packets between two owners.  NULL when out of memory. */
json_t *trace_flow(const struct trace *trace, uint32_t a, uint32_t b, size_t count);
void trace_flow_put(const json_t *answer);

/* What of a frame is in both answers: its "time", "size" and "summary". */
json_t *trace_describe(const struct trace *trace, uint32_t number);

/* A member "time" as local time, with the date if it is wanted, into 'text', which it returns. */
const char *trace_local_time(const json_t *object, bool has_date, char text[64]);

/* Nanoseconds since the epoch as "1763833260.123456789": more digits than JSON's reals have. */
json_t *trace_pack_time(uint64_t nanoseconds);

#endif /* trace.h */
