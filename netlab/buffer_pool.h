/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BUFFER_POOL_H
#define NETLAB_BUFFER_POOL_H 1

/* Memory for frames that must wait, of a bounded sum.  Buffers come in a few sizes, and some that are given back are
 * kept for the next frame, so that a frame costs no allocation in the long run.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stddef.h>

struct buffer_pool;

/* Bytes that a buffer can have. */
#define BUFFER_POOL_SIZE_MAX (68u << 10)

/* Hands out at most 'limit' bytes at a time.  Returns NULL when out of memory. */
struct buffer_pool *buffer_pool_create(size_t limit);
void buffer_pool_destroy(struct buffer_pool *pool); /* All buffers must be back. */

/* Bytes of all buffers, those that are kept among them. */
size_t buffer_pool_memory(const struct buffer_pool *pool);
/* Bytes that a buffer for so many takes of the pool. */
size_t buffer_pool_room(size_t size);
/* Returns a buffer of at least 'size' bytes, aligned as malloc(3) does, or NULL: the pool is at its limit, there is no
 * memory, or that is more than BUFFER_POOL_SIZE_MAX. */
void *buffer_pool_take(struct buffer_pool *pool, size_t size);
/* Takes back a buffer that was taken for 'size' bytes. */
void buffer_pool_give(struct buffer_pool *pool, void *buffer, size_t size);

#endif /* buffer_pool.h */
