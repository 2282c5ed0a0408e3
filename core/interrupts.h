/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INTERRUPTS_H
#define CORE_INTERRUPTS_H 1

/* Interrupts: GSIs of the in-kernel irqchip and who raises them
 * =============================================================
 *
 * Every interrupt source is an eventfd bound to a GSI (KVM_IRQFD): writing it interrupts the guest without a
 * further system call into KVM.  GSIs 0 to 23 are the IOAPIC's pins; the rest are messages (MSI), whose address and
 * data are set by the guest through MSI-X tables.
 *
 * Thread-safety: any thread; a mutex guards the routing table.
 */

#include <stdint.h>

#include "core/error.h"

struct interrupts;

/* For the VM 'vm_fd', which has an irqchip. */
struct interrupts *interrupts_create(int vm_fd, struct error *error);
void interrupts_destroy(struct interrupts *interrupts);

/* Binds an eventfd to an IOAPIC pin (0 to 23), edge-triggered.  Returns 0 or a negative errno value. */
int interrupts_bind_pin(struct interrupts *interrupts, unsigned int pin, int event_fd);

/* Allocates a GSI for messages, unrouted as yet.  Returns it or a negative errno value. */
int interrupts_add_message(struct interrupts *interrupts);

/* Sets the message of a GSI and binds 'event_fd' to it when it was not.  Returns 0 or a negative errno value. */
int interrupts_route_message(struct interrupts *interrupts, int gsi, uint64_t address, uint32_t data, int event_fd);

#endif /* interrupts.h */
