/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_LAB_FILE_H
#define NETLAB_CAPTURE_LAB_FILE_H 1

/* The lab's file
 * ==============
 *
 * All that a capture has, in one pcapng file, FOLDER/lab.pcapng.  When it is as large or as old as it may become, it is
 * completed, gets a number (lab-00001.pcapng), and a new one is begun; the oldest ones are removed.
 *
 * The file has whole blocks at any time: a write that fails is undone, and its frames are counted as lost.  What comes
 * after that is a section of its own.
 *
 * What it says of its ports in sum, drops and losses among it, is in the file while it is written, and not older than
 * some seconds: it is written over where it stands.
 *
 * Thread-safety: opened by the thread that creates the capture, and then the writer's. */

#include <stdint.h>

#include "core/error.h"
#include "netlab/capture_record.h"

struct capture;
struct capture_lab_file;

struct capture_rotation {
	uint64_t size;    /* Bytes from which on a file is completed; 0: any. */
	uint64_t seconds; /* How long one is written to; 0: for ever. */
	uint32_t files;   /* How many there may be, the one that is being written among them; 0: any number. */
};

/* Opens the file, and removes those that an earlier run numbered.  Returns NULL with 'error' set. */
struct capture_lab_file *capture_lab_file_open(const struct capture *capture, struct error *error);

void capture_lab_file_add(struct capture_lab_file *file, const struct capture_record *record);

/* Writes out what was added; 'time' is now, nanoseconds since the epoch. */
void capture_lab_file_flush(struct capture_lab_file *file, uint64_t time);

/* Writes what is due beside frames, and returns for how many milliseconds nothing will be: -1 is for ever. */
int capture_lab_file_turn(struct capture_lab_file *file, uint64_t time);

/* Completes it. */
void capture_lab_file_close(struct capture_lab_file *file, uint64_t time);

/* Any thread. */
const char *capture_lab_file_path(const struct capture_lab_file *file);
/* Why it was not possible to write last time (errno), or 0. */
int capture_lab_file_failure(const struct capture_lab_file *file);

#endif /* capture_lab_file.h */
