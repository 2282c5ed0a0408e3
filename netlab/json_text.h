/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_JSON_TEXT_H
#define NETLAB_JSON_TEXT_H 1

/* Text of unknown origin as JSON
 * ==============================
 *
 * Paths, and what guests said, may be any bytes; JSON is UTF-8, and Jansson makes nothing of what is not.
 *
 * Thread-safety: any thread. */

#include <jansson.h>

/* Returns a JSON string of 'text', in which all bytes above 0x7f have become '?' if it is not UTF-8; JSON's null
 * if 'text' is NULL; or NULL when out of memory. */
json_t *json_text(const char *text);

#endif /* json_text.h */
