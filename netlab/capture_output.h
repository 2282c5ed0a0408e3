/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_OUTPUT_H
#define NETLAB_CAPTURE_OUTPUT_H 1

/* Where a capture goes that is taken from a running lab
 * =====================================================
 *
 * A file, a series of files, a FIFO, or standard output.  Writing to a file waits until it is written; writing to a
 * pipe or socket never waits, so that its reader can be slow, and go.
 *
 * A series is named as dumpcap names one: of "bug.pcapng" the first is "bug_00001_20250131120000.pcapng", the number
 * and the local time at which it was begun.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "core/error.h"

struct capture_output_options {
	const char *path;       /* NULL: standard output. */
	uint64_t rotate_size;   /* Bytes that a file of a series has at most, unless one block is longer; 0: any. */
	uint64_t rotate_time;   /* Nanoseconds after which the next frame begins another; 0: any. */
	unsigned int files_max; /* Of a series, the oldest are removed when there would be more; 0: any number. */
};

struct capture_output {
	struct capture_output_options options;
	int fd;       /* -1: not open. */
	bool is_file; /* What is written can be cut off again. */
	bool is_socket;
	bool can_block;      /* A pipe that could not be opened once more. */
	char *path;          /* Of the file that is open, or "standard output". */
	uint64_t size;       /* What was put into it. */
	uint64_t begun;      /* Nanoseconds of CLOCK_MONOTONIC. */
	unsigned int number; /* Of the file in its series, from 1 on; how many there were. */
	char **names;        /* The last 'files_max' of them, at number % files_max. */
};

/* Opens the output; a file that is there is replaced, and a FIFO waits for its reader.  'options->path' must stay.
 * Returns 0 or a negative errno value with 'error' set.  Close it in any case; closing returns 0, or a negative
 * errno value when a file turned out not to be written. */
int capture_output_open(struct capture_output *output, const struct capture_output_options *options,
			struct error *error);
int capture_output_close(struct capture_output *output);

/* Writes.  Returns how many bytes were written; -EAGAIN when the reader must read first; -EPIPE when it has gone; or
 * another negative errno value. */
ssize_t capture_output_write(struct capture_output *output, const uint8_t *bytes, size_t size);

/* Takes the last 'size' bytes that were written to a file off again. */
void capture_output_cut(struct capture_output *output, size_t size);

/* Whether a frame whose block has 'size' bytes belongs into the next file of the series, after 'pending' bytes that
 * are yet to be written to this one, which has a frame already. */
bool capture_output_is_full(const struct capture_output *output, size_t pending, size_t size);

/* Begins the next file of the series.  Returns 0 or a negative errno value with 'error' set. */
int capture_output_rotate(struct capture_output *output, struct error *error);

/* Returns the name of file 'number' of the series that is called 'path', to be freed with free(); 'time' is seconds
 * since the epoch. */
char *capture_output_name(const char *path, unsigned int number, time_t time);

#endif /* capture_output.h */
