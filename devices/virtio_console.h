/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_H 1

/* virtio-console with two ports (virtio 1.2, section 5.3)
 * =======================================================
 *
 * Port 0 is a console (hvc0 in Linux), the other a named byte stream for programs (/dev/vport0p1).  Output of the guest
 * goes to a callback, which must take it; input goes straight into the buffers the guest has posted, as far as there
 * are any.  A driver without VIRTIO_CONSOLE_F_MULTIPORT has the terminal alone, which is open from the beginning.
 *
 * Thread-safety: the device belongs to the loop given, and so do all functions but create.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

struct loop;
struct machine;
struct virtio_console;

enum virtio_console_port {
	VIRTIO_CONSOLE_TERMINAL,
	VIRTIO_CONSOLE_STREAM,
	VIRTIO_CONSOLE_PORTS,
};

struct virtio_console_ops {
	/* The guest wrote. */
	void (*output)(void *opaque, enum virtio_console_port port, const uint8_t *data, size_t size);
	/* virtio_console_write() may take more than before: the guest has posted buffers, or it is our turn again. */
	void (*writable)(void *opaque, enum virtio_console_port port);
	/* A program in the guest opened or closed the port. */
	void (*opened)(void *opaque, enum virtio_console_port port, bool open);
};

struct virtio_console_options {
	unsigned int slot;
	const char *stream_name; /* Of the second port, in /sys/class/virtio-ports/.../name; must last. */
	const struct virtio_console_ops *ops;
	void *opaque;
};

/* Puts the device on the machine's PCI bus, which destroys it. */
struct virtio_console *virtio_console_create(struct machine *machine, struct loop *loop,
					     const struct virtio_console_options *options, struct error *error);

/* Gives input to the guest; returns how many bytes were taken: what it has room for, and no more than fits into a turn.
 * For the rest ops->writable says when to try again.  0 for a port that is not open. */
size_t virtio_console_write(struct virtio_console *console, enum virtio_console_port port, const uint8_t *data,
			    size_t size);

/* Tells the guest the terminal's size. */
void virtio_console_resize(struct virtio_console *console, uint16_t rows, uint16_t columns);

/* Why the device is quarantined (virtio_pci.h), or NULL.  Any thread. */
const char *virtio_console_quarantine_reason(const struct virtio_console *console);

#endif /* virtio_console.h */
