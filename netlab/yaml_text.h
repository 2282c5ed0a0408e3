/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_YAML_TEXT_H
#define NETLAB_YAML_TEXT_H 1

/* The characters of a YAML file, before anything is parsed: what libyaml would refuse without saying where.
 *
 * Thread-safety: as struct yaml_reader. */

#include <stdbool.h>
#include <stddef.h>

#include "netlab/yaml_reader.h"

/* Checks that the 'size' bytes at 'text' are UTF-8 and hold no character that YAML forbids.  Returns false after
 * reporting the first one that is not. */
bool yaml_text_check(const char *text, size_t size, struct yaml_reader *reader);

/* Returns the byte that begins the character at 'mark', or -1 where there is none. */
int yaml_text_byte_at(const char *text, size_t size, struct yaml_mark mark);

#endif /* yaml_text.h */
