/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BASE64_H
#define NETLAB_BASE64_H 1

/* Base64 (RFC 4648, section 4) of what the control protocol carries.  Thread-safety: any thread. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Characters that 'size' bytes become, without a final NUL. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Writes BASE64_SIZE(size) characters to 'text', and no NUL. */
void base64_encode(const uint8_t *data, size_t size, char *text);

/* Decodes 'length' characters into 'data', which must have room for length / 4 * 3 bytes; they may be the
 * same memory.  Returns the number of bytes, or -1 when the text is not base64 with padding, or not in its
 * one canonical form. */
ssize_t base64_decode(const char *text, size_t length, uint8_t *data);

#endif /* base64.h */
