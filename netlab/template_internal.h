/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TEMPLATE_INTERNAL_H
#define NETLAB_TEMPLATE_INTERNAL_H 1

/* What netlab/template.c (keys, opening, starting), netlab/template_maker.c and netlab/template_store.c (the folder
 * they are in) share.  Thread-safety: the control loop's. */

#include <stdbool.h>

#include "core/error.h"
#include "core/state.h"

#define TEMPLATE_TAG_NICS STATE_TAG('n', 'i', 'c', 's')
#define TEMPLATE_TAG_GREETING STATE_TAG('g', 'r', 'e', 't')
#define TEMPLATE_TAG_LOG STATE_TAG('t', 'l', 'o', 'g')
#define TEMPLATE_GREETING_MAX 512
/* Bytes of the boot log that are kept, the first ones. */
#define TEMPLATE_LOG_MAX 65536

/* Seconds an image has to greet in.  One that does not has no agent, or one that does not work, and has its nodes boot
 * from then on; "netlab image prune" forgets that. */
#define TEMPLATE_PATIENCE 120

/* Opens the folder templates are in, made if need be.  Returns a descriptor, or a negative errno value with 'error'
 * set. */
int template_folder(struct error *error);

/* Removes the folder 'name', which has only a template's files in it, from the folder 'folder'.  Returns 0 or a
 * negative errno value. */
int template_remove_folder(int folder, const char *name);

/* Notes that this template cannot be made, and says whether that was noted. */
void template_set_hopeless(int folder, const char *key);
bool template_is_hopeless(int folder, const char *key);

/* Removes what makers that died have left, and those longest unused until the rest has at most TEMPLATES_SIZE_MAX
 * bytes. */
void template_tidy(int folder);

#endif /* template_internal.h */
