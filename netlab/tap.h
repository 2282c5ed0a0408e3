/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TAP_H
#define NETLAB_TAP_H 1

/* A TAP plugged into a port
 * =========================
 *
 * Joins a network of a lab to one of the host: what the host sends to the TAP is transmitted by the port, what the port
 * receives is the host's.  Where the descriptor comes from (netlab/bridge/) does not matter here, nor whether it is one
 * of a TAP or of a macvtap.
 *
 * Frames that come from the host are taken in turns of TAP_BATCH, so that a fast sender there leaves the guests their
 * share; more wait in the kernel's queue, which drops what does not fit.
 *
 * Thread-safety: the data plane's thread, or the building thread while there is none.
 */

#include "core/error.h"

struct loop;
struct port;
struct tap;

/* Frames taken in one turn of the loop. */
#define TAP_BATCH 64

/* Plugs the TAP of which 'fd' is the descriptor into the port; the descriptor is the TAP's from now on, and closed even
 * if this fails.  'mtu' is the device's: longer frames end at the port (DROP_MTU).  'device' is its name, for status
 * and log; copied.  Returns NULL with 'error' set. */
struct tap *tap_create(struct loop *loop, struct port *port, int fd, const char *device, unsigned int mtu,
		       struct error *error);

/* Unplugs it, and closes the descriptor. */
void tap_destroy(struct tap *tap);

/* Any thread, as long as the TAP is there. */
const char *tap_device(const struct tap *tap);

#endif /* tap.h */
