/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_ALLOCATE_H
#define NETLAB_ALLOCATE_H 1

/* Memory of start-up
 * ==================
 *
 * Allocation for code that runs before a lab starts and whose needs are bounded by the size of a file the user
 * wrote: reading topologies and images.  When memory runs out these print one line and abort(), since nothing
 * has been built yet and nothing useful can go on.  So they never return NULL, and must not be used where a
 * guest's input decides how much is asked for.  For a lab that is changed while it runs, netlab/lab_plan.c first
 * makes sure that there is enough.
 *
 * Thread-safety: any thread. */

#include <stddef.h>

/* Zeroed memory for 'count' items of 'size' bytes; a 'count' of 0 gives one item.  Freed with free(). */
void *allocate_zeroed(size_t count, size_t size) __attribute__((returns_nonnull));

/* Returns 'array' with room for at least one item of 'size' bytes more than 'count', moved if need be.  The
 * array must only ever be grown through this: its capacity is the power of two at or above its count. */
void *allocate_grow(void *array, size_t count, size_t size) __attribute__((returns_nonnull));

/* Copies of a string, and of its first 'length' bytes.  Freed with free(). */
char *allocate_copy(const char *text) __attribute__((returns_nonnull));
char *allocate_copy_part(const char *text, size_t length) __attribute__((returns_nonnull));

/* A string from printf()'s arguments.  Freed with free(). */
char *allocate_text(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#endif /* allocate.h */
