/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_DRIVER_H
#define TESTS_HOSTILE_DRIVER_H 1

/* A virtio driver that runs in the test
 * =====================================
 *
 * It does to a device what a guest's kernel does, with the same means: configuration space through ECAM, registers
 * through the BAR, rings and buffers in guest memory.  No vCPU takes part.  Every step can be taken alone and with any
 * value, which is how a driver breaks the rules.
 *
 * Guest memory: each queue has its rings, its buffers and room for an indirect table at addresses of its own.
 */

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

#define DRIVER_QUEUES 8
#define DRIVER_RING_SIZE 64

/* Areas of a queue, within DRIVER_QUEUE_STEP bytes. */
#define DRIVER_BASE 0x100000ull
#define DRIVER_QUEUE_STEP 0x100000ull
#define DRIVER_TABLE 0x8000ull    /* An indirect table. */
#define DRIVER_BUFFERS 0x10000ull /* One for each descriptor. */
#define DRIVER_BUFFER_SIZE 0x800ull

/* BAR 0 (devices/virtio_pci.c). */
#define BAR_ISR 0x1000
#define BAR_DEVICE 0x2000
#define BAR_NOTIFY 0x3000
#define BAR_MSIX_TABLE 0x4000
#define BAR_MSIX_PENDING 0x5000

/* MSI-X vectors the driver uses: all masked, so that what is raised stays to be seen. */
#define DRIVER_VECTOR_CONFIG 0

struct driver_queue {
	uint16_t size;
	uint64_t descriptors, available, used; /* Guest-physical. */
	uint16_t next_available, last_used;
};

struct driver {
	struct machine *machine;
	unsigned int slot;
	uint64_t bar;
	uint64_t features;
	struct driver_queue queues[DRIVER_QUEUES];
};

/* Finds the device in 'slot', switches memory decoding and MSI-X on. */
void driver_attach(struct driver *driver, struct machine *machine, unsigned int slot);

/* Registers of the BAR, and configuration space. */
uint32_t driver_read(struct driver *driver, uint64_t offset, unsigned int size);
void driver_write(struct driver *driver, uint64_t offset, unsigned int size, uint64_t value);
uint32_t driver_config_read(struct driver *driver, unsigned int offset, unsigned int size);
void driver_config_write(struct driver *driver, unsigned int offset, unsigned int size, uint64_t value);

uint8_t driver_status(struct driver *driver);
void driver_add_status(struct driver *driver, uint8_t bits);
void driver_reset(struct driver *driver);
uint64_t driver_offered(struct driver *driver);
void driver_write_features(struct driver *driver, uint64_t features);

/* Reset, ACKNOWLEDGE, DRIVER, features (VERSION_1 is added), FEATURES_OK.  Returns false if the device refuses. */
bool driver_negotiate(struct driver *driver, uint64_t features);
/* Writes the addresses and size in queues[index] to the registers, without enabling it. */
void driver_write_queue(struct driver *driver, unsigned int index);
void driver_enable_queue(struct driver *driver, unsigned int index);
/* Chooses the usual addresses, clears the rings, and does both. */
void driver_set_up_queue(struct driver *driver, unsigned int index, uint16_t size);
/* All of it, up to DRIVER_OK, with 'count' queues of DRIVER_RING_SIZE. */
void driver_start(struct driver *driver, uint64_t features, unsigned int count);

/* Guest memory; the test fails where there is none. */
void *driver_memory(struct driver *driver, uint64_t address, uint64_t size);
uint64_t driver_buffer(unsigned int queue, unsigned int index);
uint64_t driver_table(unsigned int queue);

/* Writes descriptor 'index' of the queue, or of its indirect table. */
void driver_describe(struct driver *driver, unsigned int queue, unsigned int index, struct vring_desc descriptor);
void driver_describe_indirect(struct driver *driver, unsigned int queue, unsigned int index,
			      struct vring_desc descriptor);
/* Puts a head into the available ring and moves its index. */
void driver_offer(struct driver *driver, unsigned int queue, uint16_t head);
/* Moves the index to any value. */
void driver_set_available(struct driver *driver, unsigned int queue, uint16_t index);
void driver_kick(struct driver *driver, unsigned int queue);
/* Whether the device wants a kick for what was offered since 'before', by flags or by avail_event. */
bool driver_kick_wanted(struct driver *driver, unsigned int queue, uint16_t before);

uint16_t driver_used_index(struct driver *driver, unsigned int queue);
/* Takes the next used element.  Returns false if there is none. */
bool driver_take_used(struct driver *driver, unsigned int queue, struct vring_used_elem *element);

/* Whether the vector is pending; it stays so until it is unmasked for a moment. */
bool driver_is_pending(struct driver *driver, unsigned int vector);
void driver_clear_pending(struct driver *driver, unsigned int vector);

#endif /* driver.h */
