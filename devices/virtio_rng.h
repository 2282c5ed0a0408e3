/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTIO_RNG_H
#define DEVICES_VIRTIO_RNG_H 1

/* virtio-rng (virtio 1.2, section 5.4): the host's random bytes for the guest.  Belongs to the loop given. */

#include "core/error.h"

struct loop;
struct machine;
struct virtio_rng;

/* Puts an entropy device on the machine's PCI bus, which destroys it.  Returns it, or NULL with 'error' set. */
struct virtio_rng *virtio_rng_create(struct machine *machine, struct loop *loop, unsigned int slot,
				     struct error *error);

/* Why the device is quarantined (virtio_pci.h), or NULL.  Any thread. */
const char *virtio_rng_quarantine_reason(const struct virtio_rng *rng);

#endif /* virtio_rng.h */
