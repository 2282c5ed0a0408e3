/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/machine.h"
#include "core/memory.h"
#include "core/pci.h"
#include "devices/virtio_pci.h"

#define MSIX_CAPABILITY 0x11
#define MSIX_ENABLE 0x8000u
#define INDEX_OFFSET 2
#define RING_OFFSET 4

uint32_t driver_config_read(struct driver *driver, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	machine_memory_access(driver->machine, PCI_ECAM_BASE + ((uint64_t)driver->slot << 15) + offset, &value, size,
			      false);
	return value;
}

void driver_config_write(struct driver *driver, unsigned int offset, unsigned int size, uint64_t value)
{
	machine_memory_access(driver->machine, PCI_ECAM_BASE + ((uint64_t)driver->slot << 15) + offset, &value, size,
			      true);
}

uint32_t driver_read(struct driver *driver, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	machine_memory_access(driver->machine, driver->bar + offset, &value, size, false);
	return (uint32_t)value;
}

void driver_write(struct driver *driver, uint64_t offset, unsigned int size, uint64_t value)
{
	machine_memory_access(driver->machine, driver->bar + offset, &value, size, true);
}

static void enable_msix(struct driver *driver)
{
	unsigned int at = driver_config_read(driver, PCI_CONFIG_CAPABILITIES, 1);

	while (at != 0 && driver_config_read(driver, at, 1) != MSIX_CAPABILITY)
		at = driver_config_read(driver, at + 1, 1);
	assert_int_not_equal(at, 0);
	driver_config_write(driver, at + 2, 2, MSIX_ENABLE);
}

void driver_attach(struct driver *driver, struct machine *machine, unsigned int slot)
{
	*driver = (struct driver){.machine = machine, .slot = slot};
	assert_int_equal(driver_config_read(driver, 0, 2), 0x1af4);
	driver_config_write(driver, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE | PCI_COMMAND_BUS_MASTER);
	driver->bar = driver_config_read(driver, PCI_CONFIG_BAR0, 4) & ~0xfull;
	enable_msix(driver);
}

uint8_t driver_status(struct driver *driver)
{
	return (uint8_t)driver_read(driver, VIRTIO_PCI_COMMON_STATUS, 1);
}

void driver_add_status(struct driver *driver, uint8_t bits)
{
	driver_write(driver, VIRTIO_PCI_COMMON_STATUS, 1, driver_status(driver) | bits);
}

void driver_reset(struct driver *driver)
{
	driver_write(driver, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(driver_status(driver), 0);
}

uint64_t driver_offered(struct driver *driver)
{
	uint64_t features;

	driver_write(driver, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	features = (uint64_t)driver_read(driver, VIRTIO_PCI_COMMON_DF, 4) << 32;
	driver_write(driver, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	return features | driver_read(driver, VIRTIO_PCI_COMMON_DF, 4);
}

void driver_write_features(struct driver *driver, uint64_t features)
{
	for (unsigned int i = 0; i < 2; i++) {
		driver_write(driver, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		driver_write(driver, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> 32 * i));
	}
}

bool driver_negotiate(struct driver *driver, uint64_t features)
{
	driver_reset(driver);
	driver_add_status(driver, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_add_status(driver, VIRTIO_CONFIG_S_DRIVER);
	driver->features = features | VIRTIO_FEATURE_VERSION_1;
	driver_write_features(driver, driver->features);
	driver_add_status(driver, VIRTIO_CONFIG_S_FEATURES_OK);
	driver_write(driver, VIRTIO_PCI_COMMON_MSIX, 2, DRIVER_VECTOR_CONFIG);
	return driver_status(driver) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void write_address(struct driver *driver, uint64_t offset, uint64_t address)
{
	driver_write(driver, offset, 4, (uint32_t)address);
	driver_write(driver, offset + 4, 4, address >> 32);
}

void driver_write_queue(struct driver *driver, unsigned int index)
{
	const struct driver_queue *queue = &driver->queues[index];

	driver_write(driver, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	driver_write(driver, VIRTIO_PCI_COMMON_Q_SIZE, 2, queue->size);
	driver_write(driver, VIRTIO_PCI_COMMON_Q_MSIX, 2, index + 1);
	write_address(driver, VIRTIO_PCI_COMMON_Q_DESCLO, queue->descriptors);
	write_address(driver, VIRTIO_PCI_COMMON_Q_AVAILLO, queue->available);
	write_address(driver, VIRTIO_PCI_COMMON_Q_USEDLO, queue->used);
}

void driver_enable_queue(struct driver *driver, unsigned int index)
{
	driver_write(driver, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	driver_write(driver, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void driver_set_up_queue(struct driver *driver, unsigned int index, uint16_t size)
{
	uint64_t base = DRIVER_BASE + index * DRIVER_QUEUE_STEP;

	memset(driver_memory(driver, base, DRIVER_BUFFERS), 0, DRIVER_BUFFERS);
	driver->queues[index] = (struct driver_queue){.size = size,
						      .descriptors = base,
						      .available = base + 0x2000,
						      .used = base + 0x4000};
	driver_write_queue(driver, index);
	driver_enable_queue(driver, index);
}

void driver_start(struct driver *driver, uint64_t features, unsigned int count)
{
	assert_true(driver_negotiate(driver, features));
	for (unsigned int i = 0; i < count; i++)
		driver_set_up_queue(driver, i, DRIVER_RING_SIZE);
	driver_add_status(driver, VIRTIO_CONFIG_S_DRIVER_OK);
}

void *driver_memory(struct driver *driver, uint64_t address, uint64_t size)
{
	void *memory = guest_memory_slice(machine_memory(driver->machine), address, size);

	assert_non_null(memory);
	return memory;
}

uint64_t driver_buffer(unsigned int queue, unsigned int index)
{
	return DRIVER_BASE + queue * DRIVER_QUEUE_STEP + DRIVER_BUFFERS + index * DRIVER_BUFFER_SIZE;
}

uint64_t driver_table(unsigned int queue)
{
	return DRIVER_BASE + queue * DRIVER_QUEUE_STEP + DRIVER_TABLE;
}

void driver_describe(struct driver *driver, unsigned int queue, unsigned int index, struct vring_desc descriptor)
{
	uint64_t address = driver->queues[queue].descriptors + 16ull * index;

	memcpy(driver_memory(driver, address, sizeof(descriptor)), &descriptor, sizeof(descriptor));
}

void driver_describe_indirect(struct driver *driver, unsigned int queue, unsigned int index,
			      struct vring_desc descriptor)
{
	memcpy(driver_memory(driver, driver_table(queue) + 16ull * index, sizeof(descriptor)), &descriptor,
	       sizeof(descriptor));
}

void driver_set_available(struct driver *driver, unsigned int queue, uint16_t index)
{
	uint16_t *at = driver_memory(driver, driver->queues[queue].available + INDEX_OFFSET, 2);

	driver->queues[queue].next_available = index;
	__atomic_store_n(at, index, __ATOMIC_SEQ_CST);
}

void driver_offer(struct driver *driver, unsigned int queue, uint16_t head)
{
	const struct driver_queue *ring = &driver->queues[queue];
	uint64_t entry = ring->available + RING_OFFSET + 2ull * (ring->next_available % ring->size);

	__atomic_store_n((uint16_t *)driver_memory(driver, entry, 2), head, __ATOMIC_RELAXED);
	driver_set_available(driver, queue, (uint16_t)(ring->next_available + 1));
}

void driver_kick(struct driver *driver, unsigned int queue)
{
	driver_write(driver, BAR_NOTIFY + 4 * queue, 2, queue);
}

bool driver_kick_wanted(struct driver *driver, unsigned int queue, uint16_t before)
{
	const struct driver_queue *ring = &driver->queues[queue];
	const uint16_t *at = driver_memory(driver, ring->used, 2);

	if (!(driver->features & VIRTIO_FEATURE_EVENT_IDX))
		return !(__atomic_load_n(at, __ATOMIC_ACQUIRE) & VRING_USED_F_NO_NOTIFY);
	at = driver_memory(driver, ring->used + RING_OFFSET + 8ull * ring->size, 2);
	return vring_need_event(__atomic_load_n(at, __ATOMIC_ACQUIRE), ring->next_available, before);
}

uint16_t driver_used_index(struct driver *driver, unsigned int queue)
{
	return __atomic_load_n((uint16_t *)driver_memory(driver, driver->queues[queue].used + INDEX_OFFSET, 2),
			       __ATOMIC_ACQUIRE);
}

bool driver_take_used(struct driver *driver, unsigned int queue, struct vring_used_elem *element)
{
	struct driver_queue *ring = &driver->queues[queue];

	if (driver_used_index(driver, queue) == ring->last_used)
		return false;
	memcpy(element, driver_memory(driver, ring->used + RING_OFFSET + 8ull * (ring->last_used % ring->size), 8), 8);
	ring->last_used++;
	return true;
}

bool driver_is_pending(struct driver *driver, unsigned int vector)
{
	return driver_read(driver, BAR_MSIX_PENDING, 4) >> vector & 1;
}

void driver_clear_pending(struct driver *driver, unsigned int vector)
{
	driver_write(driver, BAR_MSIX_TABLE + 16 * vector + 12, 4, 0);
	driver_write(driver, BAR_MSIX_TABLE + 16 * vector + 12, 4, 1);
	assert_false(driver_is_pending(driver, vector));
}
