/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TEMPLATE_H
#define NETLAB_TEMPLATE_H 1

/* Template: a booted guest that others go on from
 * ===============================================
 *
 * A guest is the same for every node until its network appears.  So one without NICs is booted once, stopped when
 * its agent has greeted, and saved; a node's guest then goes on where that one was (a clone), gets its NICs by a rescan
 * of the PCI bus, and all that makes it itself from its agent: name, addresses, time, entropy.
 *
 * A rescan takes a guest longer than all the rest.  So there are templates with NICs too: a clone of the one without
 * that has found so many of them and parked them (netlab/agent_protocol.h).  Its clones have NICs in the same slots,
 * and give each its own address in place of template_mac()'s.  Their MTU is TEMPLATE_MTU, and those offer offloads that
 * are to offer them.
 *
 *     $XDG_CACHE_HOME/netlab-kvm/templates/KEY/memory   the guest's memory; clones map it, copy-on-write
 *                                              state    the machine's state (core/state.h), and the greeting
 *                                              about    JSON, for "netlab image list"
 *
 * KEY is a hash of all that went into it: the image's files, command line, memory, CPUs, NICs, the machine's version,
 * the CPU as guests see it, KVM's backend and the host's kernel.  So a template is never wrong, only of no use any
 * more.  A folder gets its name when all of it is on disk.  Who makes one holds a lock, KEY.lock; others wait for it.
 *
 * Thread-safety: the control loop's.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/error.h"

struct guest;
struct guest_options;
struct image;
struct template;
struct template_maker;

#define TEMPLATE_KEY_SIZE 33 /* With the final NUL. */

/* Templates are removed, those longest unused first, when they have more bytes on disk than this. */
#define TEMPLATES_SIZE_MAX (4ull << 30)

/* Computes the key of the template for guests with these options; name and template do not matter.  Returns 0 or a
 * negative errno value with 'error' set. */
int template_key(const struct guest_options *options, char key[TEMPLATE_KEY_SIZE], struct error *error);

/* The part of it that is about the processor and the machine: a guest that was saved goes on only where it is the same.
 */
int template_processor_key(const struct guest_options *options, char key[TEMPLATE_KEY_SIZE], struct error *error);

/* Whether an image's files are still those a key was computed of, at the price of looking at their names. */
uint64_t template_stamp(const struct image *image);

/* Opens the template with this key, for guests with so much memory.  Returns NULL with 'error' set: ERROR_NONE when
 * there is none, else what is wrong with it. */
struct template *template_open(const char *key, uint64_t memory, struct error *error);
void template_close(struct template *template);

/* A descriptor of the memory; it stays the template's. */
int template_memory(const struct template *template);
/* The NICs its guest has found, from GUEST_SLOT_FIRST_NIC on. */
unsigned int template_nics(const struct template *template);
/* The address of the NIC 'index' of a template. */
void template_mac(unsigned int index, uint8_t mac[6]);
#define TEMPLATE_MTU 1500
/* For guest_start(): restores the guest's machine, starts it, tells of the boot log, and has the agent greet. */
int template_start(struct template *template, struct guest *guest, struct error *error);

/* Makes the template: boots a guest with these options, or has one go on from the template without NICs, or waits for
 * another process that does so; and then calls 'made' with the template, which becomes the caller's, or with NULL and
 * what failed; never from within.  Where the guest does not find its NICs, it is the template without.  What 'options'
 * points to must last until then.  Returns NULL with 'error' set, at once for an image whose agent did not greet
 * before. */
typedef void template_made(void *opaque, struct template *template, const char *failure);
struct template_maker *template_make(const struct guest_options *options, const char *key, template_made *made,
				     void *opaque, struct error *error);
/* Gives up: 'made' is called soon, with NULL. */
void template_maker_stop(struct template_maker *maker);

/* All templates as a JSON array, newest first: "key", "image", "memory", "cpus", "nics", "size" (bytes on disk), "used"
 * (seconds since the epoch), "kernel" (the host's, when it was made).  For the command line. */
json_t *template_list(void);
/* Removes the template with this key.  Returns 0 or a negative errno value. */
int template_remove(const char *key);
/* Has images whose agent did not greet tried again. */
void template_forget_hopeless(void);

#endif /* template.h */
