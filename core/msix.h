/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_MSIX_H
#define CORE_MSIX_H 1

/* MSI-X (PCI Local Bus 3.0, 6.8.2)
 * ================================
 *
 * A device's table of interrupt vectors, in its BAR.  The guest sets each vector's message and mask through MMIO; the
 * device raises a vector from any thread with msix_notify(), which writes an eventfd that KVM turns into the message.
 *
 * Thread-safety: msix_notify() may be called by any thread.  The rest is for vCPU threads under the machine's bus lock,
 * or before they run.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

struct interrupts;
struct pci_device;
struct state;

/* A NIC has three: configuration changes, receive, transmit. */
#define MSIX_VECTORS_MAX 16

#define MSIX_ENTRY_SIZE 16

struct msix_vector {
	int gsi;
	int event_fd;
	uint8_t entry[MSIX_ENTRY_SIZE]; /* As the guest wrote it. */
	_Atomic bool masked;            /* By its own bit, the function's, or because MSI-X is off. */
	_Atomic bool pending;
};

struct msix {
	struct pci_device *device;
	struct interrupts *interrupts;
	unsigned int capability; /* Offset in configuration space. */
	unsigned int count;
	struct msix_vector vectors[MSIX_VECTORS_MAX];
};

/* Adds the capability to 'device', with 'count' vectors, the table at 'table_offset' of BAR 0 and the pending bits at
 * 'pending_offset'.  Returns 0 or a negative errno value with 'error' set. */
int msix_init(struct msix *msix, struct pci_device *device, struct interrupts *interrupts, unsigned int count,
	      uint32_t table_offset, uint32_t pending_offset, struct error *error);
void msix_release(struct msix *msix);

/* Accesses within the table and the pending bits, by offset from their beginning. */
void msix_table_access(struct msix *msix, uint64_t offset, void *data, unsigned int size, bool is_write);
void msix_pending_read(const struct msix *msix, uint64_t offset, void *data, unsigned int size);

/* The guest may have changed the enable and mask bits in the capability. */
void msix_config_written(struct msix *msix);

/* The table and the pending bits; the capability is in configuration space, and restored before. */
void msix_save(const struct msix *msix, struct state *state);
void msix_restore(struct msix *msix, struct state *state);

/* Interrupts the guest with a vector, or remembers it while that is masked.  Vectors out of range are ignored. */
void msix_notify(struct msix *msix, unsigned int vector);

#endif /* msix.h */
