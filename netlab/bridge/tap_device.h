/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_BRIDGE_TAP_DEVICE_H
#define NETLAB_BRIDGE_TAP_DEVICE_H 1

/* TAPs as Linux has them (tun(4), Documentation/networking/tuntap.rst): a network device whose wire is a descriptor.
 * A frame that is read or written has a virtio-net header of TAP_HEADER_SIZE bytes before it.
 *
 * Thread-safety: any thread. */

#include <stdint.h>

#include "core/error.h"

#define TAP_HEADER_SIZE 12 /* struct virtio_net_hdr_v1. */

/* Opens the TAP 'name', which is made if there is none and may have one "%d" for a number; 'device' (IF_NAMESIZE bytes)
 * gets its name.  Returns a descriptor that does not block, or a negative errno value with 'error' set. */
int tap_device_open(const char *name, char *device, struct error *error);

/* Sets up the open character device of a macvtap, which must be that of the device 'name' (-EBUSY).  Returns 0 or a
 * negative errno value with 'error' set. */
int tap_device_adopt(int fd, const char *name, struct error *error);

/* Opens a TAP that the user has already, which needs no privilege, and sets '*mtu' to its MTU.  Returns as above. */
int tap_device_open_own(const char *name, char *device, uint32_t *mtu, struct error *error);

#endif /* bridge/tap_device.h */
