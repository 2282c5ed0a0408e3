/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/buffer_pool.h"

#include <stdlib.h>

/* A small frame, one of the usual size, a jumbo frame and the longest, each with what its owner puts before it. */
static const size_t sizes[] = {512, 2048, 10240, BUFFER_POOL_SIZE_MAX};

#define SIZE_COUNT (sizeof(sizes) / sizeof(sizes[0]))

/* Bytes of free buffers that are kept. */
#define KEPT_MAX (8u << 20)

struct free_buffer {
	struct free_buffer *next;
};

struct buffer_pool {
	size_t limit, used, kept;
	struct free_buffer *free[SIZE_COUNT];
};

struct buffer_pool *buffer_pool_create(size_t limit)
{
	struct buffer_pool *pool = calloc(1, sizeof(*pool));

	if (pool)
		pool->limit = limit;
	return pool;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
	struct free_buffer *buffer;

	if (!pool)
		return;
	for (size_t i = 0; i < SIZE_COUNT; i++) {
		while ((buffer = pool->free[i])) {
			pool->free[i] = buffer->next;
			free(buffer);
		}
	}
	free(pool);
}

size_t buffer_pool_memory(const struct buffer_pool *pool)
{
	return pool->used + pool->kept;
}

/* Returns SIZE_COUNT when there is none. */
static size_t class_of(size_t size)
{
	size_t class = 0;

	while (class < SIZE_COUNT && sizes[class] < size)
		class ++;
	return class;
}

size_t buffer_pool_room(size_t size)
{
	size_t class = class_of(size);

	return class < SIZE_COUNT ? sizes[class] : size;
}

void *buffer_pool_take(struct buffer_pool *pool, size_t size)
{
	size_t class = class_of(size);
	struct free_buffer *buffer;

	if (class == SIZE_COUNT || pool->used + sizes[class] > pool->limit)
		return NULL;
	buffer = pool->free[class];
	if (buffer) {
		pool->free[class] = buffer->next;
		pool->kept -= sizes[class];
	} else {
		buffer = malloc(sizes[class]);
	}
	if (buffer)
		pool->used += sizes[class];
	return buffer;
}

void buffer_pool_give(struct buffer_pool *pool, void *memory, size_t size)
{
	struct free_buffer *buffer = memory;
	size_t class = class_of(size);

	pool->used -= sizes[class];
	if (pool->kept + sizes[class] > KEPT_MAX) {
		free(buffer);
		return;
	}
	buffer->next = pool->free[class];
	pool->free[class] = buffer;
	pool->kept += sizes[class];
}
