/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_RECORDER_H
#define NETLAB_CAPTURE_RECORDER_H 1

/* The recorder
 * ============
 *
 * The last records of a capture, frames and events, in a bounded piece of memory: a new one takes the place of the
 * oldest.  What a lab's user asks for after the bug comes from here, and so does what is read live: a reader has a
 * cursor that follows the newest record, and when it falls so far behind that records are overwritten before it has
 * come to them, it finds out which.
 *
 * Positions are bytes since the beginning, and never go back.
 *
 * Thread-safety: one thread, the capture's writer.  capture_recorder_freeze() lets a signal handler read what there
 * is. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/memory_usage.h"
#include "netlab/capture_record.h"

#define CAPTURE_RECORDER_SIZE_MIN (1u << 20)
#define CAPTURE_RECORDER_SIZE_MAX ((size_t)16 << 30)

struct capture_recorder;

/* Returns a recorder of 'size' bytes (CAPTURE_RECORDER_SIZE_MIN to CAPTURE_RECORDER_SIZE_MAX), which take memory
 * only as they are used, or NULL when there is no memory.  'evicted' is called for each record that is overwritten. */
struct capture_recorder *capture_recorder_create(size_t size,
						 void (*evicted)(void *opaque, const struct capture_record *record),
						 void *opaque);
void capture_recorder_destroy(struct capture_recorder *recorder);
/* Any thread: where its memory is. */
struct memory_range capture_recorder_memory(const struct capture_recorder *recorder);

/* Copies a record of 'size' bytes, at most CAPTURE_RECORDER_SIZE_MIN / 2. */
void capture_recorder_add(struct capture_recorder *recorder, const struct capture_record *record, size_t size);

/* Where the oldest record is, and where the next one will be. */
uint64_t capture_recorder_begin(const struct capture_recorder *recorder);
uint64_t capture_recorder_end(const struct capture_recorder *recorder);

/* Returns the record at '*position', of 'begin' or later, and moves that to the next one; NULL at the end. */
const struct capture_record *capture_recorder_next(const struct capture_recorder *recorder, uint64_t *position);

/* From a signal handler in another thread: nothing is added any more.  Returns false when the writer is in the
 * middle of adding; then it may be tried again. */
bool capture_recorder_freeze(struct capture_recorder *recorder);

#endif /* capture_recorder.h */
