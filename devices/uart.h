/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H 1

/* 16550A UART, output only: the guest's boot log.
 *
 * Bytes are gathered in a bounded buffer and handed to the control loop; a guest that floods it loses bytes, and the
 * log says how many.
 *
 * Thread-safety: registers are for vCPU threads under the bus lock; the callback runs in the control loop. */

#include <stddef.h>

#include "core/error.h"

struct machine;

struct uart_ops {
	/* In the control loop.  'lost': bytes that were lost after these, and before those of the next call. */
	void (*output)(void *opaque, const char *data, size_t size, size_t lost);
};

/* Puts a UART at PLATFORM_PORT_UART; it is destroyed with the machine.  Returns 0 or a negative errno value with
 * 'error' set. */
int uart_create(struct machine *machine, const struct uart_ops *ops, void *opaque, struct error *error);

#endif /* uart.h */
