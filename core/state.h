/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STATE_H
#define CORE_STATE_H 1

/* State: what a machine is at an instant, less its memory, as bytes
 * =================================================================
 *
 * A state is a row of sections, each with a tag and some bytes.  Who saves puts them, who restores gets them in the
 * same order; a section that is not the one expected, or of another size, makes the state bad, and all later ones
 * missing, so a restorer may look once, at the end.  In a file a state has a header with the version of all that is in
 * it and a checksum.
 *
 * A file comes from disk, where anything may have happened to it: the checksum finds accidents, the restorers check
 * every value as if a guest had set it.
 *
 * Thread-safety: a struct state belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

/* Of the sections and what is in them.  A state with another one is not read. */
#define STATE_VERSION 4

/* Bytes of the largest state that is written to a file and read from one: that of a lab with some hundred nodes, and
 * with as many frames on their way as there may be (BUFFER_POOL_SIZE_MAX). */
#define STATE_SIZE_MAX (512u << 20)

#define STATE_TAG(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* Zero-initialise it; free it with state_release(). */
struct state {
	uint8_t *bytes;
	size_t size, room;
	size_t at; /* Where the next section is read. */
	bool bad;  /* A section was missing or of another size, or memory was. */
};

void state_release(struct state *state);

/* Appends a section. */
void state_put(struct state *state, uint32_t tag, const void *data, size_t size);

/* Takes the next section, which must have this tag and size.  On failure 'data' is zeroed, and the state bad. */
bool state_get(struct state *state, uint32_t tag, void *data, size_t size);
/* The size of the next section, which is not taken and must have this tag: 0, and the state bad, when it has not. */
size_t state_next_size(struct state *state, uint32_t tag);
/* Takes the next section, which must have this tag and at most 'room' bytes, and sets '*size'. */
bool state_get_up_to(struct state *state, uint32_t tag, void *data, size_t room, size_t *size);

/* Writes the state to the new file 'name' in the folder 'folder_fd', and has it on disk.  Returns 0 or a negative errno
 * value with 'error' set. */
int state_write(const struct state *state, int folder_fd, const char *name, struct error *error);

/* Reads a state from a file.  Returns 0, or a negative errno value with 'error' set: -EPROTO for another version,
 * -EBADMSG for what is no state, or damaged. */
int state_read(struct state *state, int folder_fd, const char *name, struct error *error);

/* The same from memory, for state_read() and for tests. */
int state_parse(struct state *state, const void *file, size_t size, struct error *error);

#endif /* state.h */
