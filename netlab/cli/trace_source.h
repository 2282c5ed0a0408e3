/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CLI_TRACE_SOURCE_H
#define NETLAB_CLI_TRACE_SOURCE_H 1

/* The packets that "netlab trace" and "netlab drops" look at: of a capture in a file, or of the recorder of a running
 * lab; all of them, or those of the last seconds.  In a file these are the ones before its last packet.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "netlab/cli/cli.h"
#include "netlab/pcapng_reader.h"

struct trace_source {
	const char *path; /* "-": standard input.  NULL: a running lab. */
	bool has_last;
	double last; /* Seconds. */

	/* And what follows: trace_source_open()'s. */
	char *lab; /* NULL with a file. */
	FILE *stream;
	struct pcapng_reader *reader;
	uint64_t from;    /* Packets before that are passed over. */
	uint64_t missing; /* Frames that the capture lacks, as it says itself. */
	bool is_cut_off;  /* It ended within a block. */
	bool has_packets, has_ids;
};

/* Takes the argument of an option that says of how long the last packets are to be; "all" is no limit.  Returns 0, or
 * ERROR_USAGE after complaining. */
int trace_source_set_last(struct trace_source *source, const struct cli *cli, const char *option, const char *argument);

/* Returns 0, or a negative errno value with 'error' set. */
int trace_source_open(struct trace_source *source, const struct cli *cli, struct error *error);

/* As pcapng_reader_next(), with 'error' set; but a capture that ends within a block has ended. */
int trace_source_next(struct trace_source *source, struct pcapng_reader_packet *packet, struct error *error);

/* Whether what was read is a lab's capture, as far as can be told.  Returns 0, or a negative errno value with 'error'
 * set. */
int trace_source_check(const struct trace_source *source, struct error *error);

/* Also of a source that was not opened. */
void trace_source_close(struct trace_source *source);

/* "office.pcapng", or "what is recorded of lab office": for messages, into 'text'. */
const char *trace_source_name(const struct trace_source *source, char text[256]);

/* Say what the answer lacks: as text, if anything, or as members of the object. */
void trace_source_put_notes(const struct trace_source *source);
void trace_source_add_notes(const struct trace_source *source, json_t *answer);

#endif /* trace_source.h */
