/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STATE_BYTES_H
#define TESTS_STATE_BYTES_H 1

/* A saved state from outside: for tests that look at what is in it, or change it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/state.h"

/* Where the bytes of section 'number' of those with this tag stand, after its tag and size.  The test fails where there
 * is none; 'size' may be NULL. */
static inline void *state_section(const struct state *state, uint32_t tag, unsigned int number, size_t *size)
{
	uint32_t header[2];
	size_t at = 0;

	for (;; at += sizeof(header) + header[1]) {
		assert_true(at + sizeof(header) <= state->size);
		memcpy(header, state->bytes + at, sizeof(header));
		if (header[0] == tag && number-- == 0)
			break;
	}
	if (size)
		*size = header[1];
	return state->bytes + at + sizeof(header);
}

#endif /* state_bytes.h */
