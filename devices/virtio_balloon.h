/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTIO_BALLOON_H
#define DEVICES_VIRTIO_BALLOON_H 1

/* virtio-balloon, for free page reporting alone (virtio 1.2, sections 5.5 and 5.5.6.7)
 * ====================================================================================
 *
 * A guest reports ranges of memory that it freed, and the host has them back until the guest touches them again.  The
 * guest loses nothing by it: the balloon itself stays empty, since nobody ever asks for memory that a guest uses.
 *
 * What a guest reports is its own memory only, so a driver that reports pages it uses harms its guest and nobody else.
 * Ranges are given back a few MiB at a time, so that others who share the loop have their turns.
 *
 * Thread-safety: the device belongs to the loop given.
 */

#include "core/error.h"

struct loop;
struct machine;
struct virtio_balloon;

/* Puts a balloon on the machine's PCI bus, which destroys it.  Returns it, or NULL with 'error' set. */
struct virtio_balloon *virtio_balloon_create(struct machine *machine, struct loop *loop, unsigned int slot,
					     struct error *error);

/* Why the device is quarantined (virtio_pci.h), or NULL.  Any thread. */
const char *virtio_balloon_quarantine_reason(const struct virtio_balloon *balloon);

#endif /* virtio_balloon.h */
