/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PCI_H
#define CORE_PCI_H 1

/* PCI bus
 * =======
 *
 * One bus of 32 slots, one function each, slot 0 the host bridge.  A device has a 256-byte configuration space in which
 * each bit is writable by the guest or not, one 32-bit memory BAR (BAR 0), and no interrupt pin: interrupts are MSI-X.
 * Configuration space is reached through ECAM and through ports 0xcf8/0xcfc (PCI Local Bus 3.0, 3.2.2.3.2).
 *
 * BARs are assigned here, as firmware would; the guest may move them.
 *
 * Thread-safety: the bus is used by vCPU threads, one at a time (the machine's bus lock), and built before they run.
 * Device callbacks run in the vCPU's thread under that lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define PCI_SLOTS 32
#define PCI_CONFIG_SIZE 256

/* Where BARs are; the host bridge's window in the DSDT. */
#define PCI_WINDOW_BASE 0xc0000000u
#define PCI_WINDOW_SIZE 0x10000000u
/* ECAM for bus 0 alone: 32 slots of 8 functions of 4 KiB. */
#define PCI_ECAM_BASE 0xe0000000u
#define PCI_ECAM_SIZE 0x100000u

/* Configuration space offsets (PCI Local Bus 3.0, 6.1). */
#define PCI_CONFIG_COMMAND 0x04
#define PCI_CONFIG_STATUS 0x06
#define PCI_CONFIG_BAR0 0x10
#define PCI_CONFIG_CAPABILITIES 0x34
#define PCI_COMMAND_IO 0x1
#define PCI_COMMAND_MEMORY_SPACE 0x2
#define PCI_COMMAND_BUS_MASTER 0x4

struct pci_bus;
struct pci_device;
struct state;

struct pci_device_ops {
	/* Access of 1, 2, 4 or 8 bytes within BAR 0.  'data' is little-endian; a read fills all 'size' bytes. */
	void (*bar_read)(struct pci_device *device, uint64_t offset, void *data, unsigned int size);
	void (*bar_write)(struct pci_device *device, uint64_t offset, const void *data, unsigned int size);
	/* BAR 0 was at 'before' and is at 'address' now; 0: memory decoding is off. */
	void (*bar_moved)(struct pci_device *device, uint64_t before, uint64_t address);
	/* The guest wrote to configuration space, which has the new value.  May be NULL. */
	void (*config_written)(struct pci_device *device, unsigned int offset, unsigned int size);
	/* Before the bytes are read: an access window may fill them in.  May be NULL. */
	void (*config_reading)(struct pci_device *device, unsigned int offset, unsigned int size);
	/* While its machine is paused: ends what it is in the middle of.  NULL for a device that never is. */
	void (*drain)(struct pci_device *device);
	/* Goes on after drain() or restore().  May be NULL. */
	void (*resume)(struct pci_device *device);
	/* The device's own state, while its machine is paused or before it starts; configuration space has been
	 * restored.  What is wrong in it makes the state bad.  NULL for a device without. */
	void (*save)(struct pci_device *device, struct state *state);
	void (*restore)(struct pci_device *device, struct state *state);
	/* Frees the device; its machine's vCPUs have ended. */
	void (*destroy)(struct pci_device *device);
};

struct pci_device {
	const struct pci_device_ops *ops;
	struct pci_bus *bus;
	unsigned int slot;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* Bits the guest may change. */
	uint32_t bar_size;                 /* Bytes of BAR 0, a power of two of at least 4096, or 0 for none. */
	uint64_t bar_address;              /* 0 while memory decoding is off. */
	uint8_t last_capability;           /* Offset of the last one in the list, 0 for none. */
	uint16_t next_free;                /* Where the next capability goes. */
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t class_code, subclass, revision;
};

struct pci_bus *pci_bus_create(struct error *error);
/* Destroys all devices too. */
void pci_bus_destroy(struct pci_bus *bus);

/* Fills in the configuration space's header. */
void pci_device_init(struct pci_device *device, const struct pci_device_ops *ops, const struct pci_identity *identity,
		     uint32_t bar_size);

/* Adds a capability of 'size' bytes, header included, and returns its offset; 'body' is what follows the two header
 * bytes.  Configuration space has room for those the devices here need; it is a bug to add more. */
unsigned int pci_device_add_capability(struct pci_device *device, uint8_t id, const void *body, size_t size);

/* Puts a device into a slot (1 to 31) and assigns its BAR.  Returns 0, or -EEXIST with 'error' set. */
int pci_bus_add(struct pci_bus *bus, struct pci_device *device, unsigned int slot, struct error *error);

/* Drains all devices, and has all go on. */
void pci_bus_drain(struct pci_bus *bus);
void pci_bus_resume(struct pci_bus *bus);
/* States of all devices, in the order of slots.  A slot that had none when the state was saved is left as it is. */
void pci_bus_save(const struct pci_bus *bus, struct state *state);
void pci_bus_restore(struct pci_bus *bus, struct state *state);

/* Guest accesses: ECAM by offset from its base, ports by offset from 0xcf8, BARs by address (false: no BAR there). */
void pci_bus_ecam(struct pci_bus *bus, uint64_t offset, void *data, unsigned int size, bool is_write);
void pci_bus_port(struct pci_bus *bus, unsigned int offset, void *data, unsigned int size, bool is_write);
bool pci_bus_memory(struct pci_bus *bus, uint64_t address, void *data, unsigned int size, bool is_write);

#endif /* pci.h */
