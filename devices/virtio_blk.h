/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTIO_BLK_H
#define DEVICES_VIRTIO_BLK_H 1

/* virtio-blk, read-only (virtio 1.2, section 5.2)
 * ===============================================
 *
 * A file of the host as the guest's disk.  Reads go from the host's page cache straight to the guest's buffers, so
 * guests with the same file share it, and what a guest does not read costs nothing.  Reads may be of any length.
 *
 * Reads are done in the owner's thread and may wait for the host's disk the first time; fit for images of a few
 * megabytes that stay in the page cache.
 *
 * Thread-safety: the device belongs to the loop given.
 */

#include "core/error.h"

struct loop;
struct machine;
struct virtio_blk;

/* Puts a disk with the contents of the file 'path' (its last, incomplete sector is left out) on the machine's PCI bus,
 * which destroys it.  Returns it, or NULL with 'error' set. */
struct virtio_blk *virtio_blk_create(struct machine *machine, struct loop *loop, unsigned int slot, const char *path,
				     struct error *error);

/* A descriptor of its file, which stays the device's: the path may lead to another one by now. */
int virtio_blk_file(const struct virtio_blk *blk);

/* Why the device is quarantined (virtio_pci.h), or NULL.  Any thread. */
const char *virtio_blk_quarantine_reason(const struct virtio_blk *blk);

#endif /* virtio_blk.h */
