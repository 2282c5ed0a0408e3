/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_input.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "core/loop.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/pci.h"
#include "devices/virtio_pci.h"

/* Memory: a page for each queue, then buffers. */
#define QUEUE(index) (0x1000ull + 0x1000ull * (index))
#define RING_SIZE 16
#define AVAILABLE 0x400
#define USED 0x600
#define TABLE 0xc00
#define BUFFERS 0x8000u
#define BUFFER_SIZE 0x400u
#define NOTIFY 0x3000
#define OPERATIONS_MAX 200

static uint64_t bar(struct virtio_input *driver)
{
	return stand_in_config(driver->machine, driver->slot, PCI_CONFIG_BAR0, 4, 0, false) & ~0xfull;
}

static void write_register(struct virtio_input *driver, uint64_t offset, unsigned int size, uint64_t value)
{
	stand_in_access(driver->machine, bar(driver) + offset, size, value, true);
}

static void set_up_queue(struct virtio_input *driver, unsigned int index)
{
	uint64_t base = QUEUE(index);

	memset(driver->memory + base, 0, 0x1000);
	driver->next_available[index] = 0;
	write_register(driver, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	write_register(driver, VIRTIO_PCI_COMMON_Q_SIZE, 2, RING_SIZE);
	write_register(driver, VIRTIO_PCI_COMMON_Q_MSIX, 2, index + 1);
	write_register(driver, VIRTIO_PCI_COMMON_Q_DESCLO, 4, base);
	write_register(driver, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, base + AVAILABLE);
	write_register(driver, VIRTIO_PCI_COMMON_Q_USEDLO, 4, base + USED);
	write_register(driver, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void virtio_input_start(struct virtio_input *driver, uint64_t features)
{
	/* The input may have left the BAR anywhere, even over another one or ECAM. */
	stand_in_config(driver->machine, driver->slot, PCI_CONFIG_BAR0, 4, PCI_WINDOW_BASE + 0x800000, true);
	stand_in_config(driver->machine, driver->slot, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE, true);
	write_register(driver, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	write_register(driver, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	write_register(driver, VIRTIO_PCI_COMMON_GF, 4, features);
	write_register(driver, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	write_register(driver, VIRTIO_PCI_COMMON_GF, 4, VIRTIO_FEATURE_VERSION_1 >> 32);
	write_register(driver, VIRTIO_PCI_COMMON_STATUS, 1, 3 | VIRTIO_CONFIG_S_FEATURES_OK);
	write_register(driver, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	for (unsigned int i = 0; i < driver->queue_count; i++)
		set_up_queue(driver, i);
	write_register(driver, VIRTIO_PCI_COMMON_STATUS, 1, 0xf);
	loop_turn(stand_in_loop(driver->machine));
	stand_in_check(stand_in_access(driver->machine, bar(driver) + VIRTIO_PCI_COMMON_STATUS, 1, 0, false) == 0xf);
}

static void kick(struct virtio_input *driver, unsigned int queue)
{
	write_register(driver, NOTIFY + 4ull * queue, 2, queue);
}

static void offer_head(struct virtio_input *driver, unsigned int queue, uint16_t head)
{
	uint8_t *ring = driver->memory + QUEUE(queue) + AVAILABLE;
	uint16_t index = driver->next_available[queue]++;

	memcpy(ring + 4 + 2 * (index % RING_SIZE), &head, 2);
	memcpy(ring + 2, &driver->next_available[queue], 2);
	kick(driver, queue);
}

static void put_descriptor(struct virtio_input *driver, uint64_t table, unsigned int index,
			   const struct vring_desc *descriptor)
{
	memcpy(driver->memory + table + 16ull * (index % RING_SIZE), descriptor, sizeof(*descriptor));
}

void virtio_input_offer(struct virtio_input *driver, unsigned int queue, unsigned int count, uint32_t length)
{
	uint16_t head = driver->next_available[queue] % RING_SIZE;

	for (unsigned int i = 0; i < count; i++) {
		struct vring_desc descriptor = {
			.addr = BUFFERS + (head + i) % RING_SIZE * BUFFER_SIZE,
			.len = length,
			.flags = driver->writable_queues >> queue & 1 ? VRING_DESC_F_WRITE : 0,
			.next = (uint16_t)((head + i + 1) % RING_SIZE),
		};

		descriptor.flags |= i + 1 < count ? VRING_DESC_F_NEXT : 0;
		put_descriptor(driver, QUEUE(queue), head + i, &descriptor);
	}
	offer_head(driver, queue, head);
}

static void any_descriptor(struct virtio_input *driver)
{
	struct input *input = driver->input;
	uint8_t where = input_8(input), queue = where % driver->queue_count;
	struct vring_desc descriptor = {.flags = input_8(input), .next = input_8(input)};
	uint8_t kind = input_8(input);

	descriptor.addr = kind & 1 ? input_32(input) : input_16(input);
	descriptor.len = kind & 2 ? input_32(input) : input_8(input);
	if (kind & 4)
		descriptor.addr |= ~0ull << 32;
	if (descriptor.flags & VRING_DESC_F_INDIRECT && kind & 8) {
		descriptor.addr = QUEUE(queue) + TABLE;
		descriptor.len = 16u * (1 + kind % RING_SIZE);
	}
	put_descriptor(driver, QUEUE(queue) + (where & 0x40 ? TABLE : 0), where >> 2, &descriptor);
}

static void any_memory(struct virtio_input *driver)
{
	uint16_t address = input_16(driver->input);
	unsigned int count = input_8(driver->input) % 16 + 1u;

	for (unsigned int i = 0; i < count && address + i < VIRTIO_INPUT_MEMORY; i++)
		driver->memory[address + i] = input_8(driver->input);
}

static void any_register(struct virtio_input *driver)
{
	uint16_t offset = input_16(driver->input);
	uint8_t kind = input_8(driver->input);
	unsigned int size = kind % 8 + 1u;

	if (kind & 0x40) /* Common configuration, whole registers. */
		offset %= 0x40;
	if (kind & 0x10)
		size = 1u << size % 4;
	stand_in_access(driver->machine, bar(driver) + offset, size, kind & 0x80 ? input_32(driver->input) : 0,
			kind & 0x80);
}

static void any_config(struct virtio_input *driver)
{
	uint8_t offset = input_8(driver->input), kind = input_8(driver->input);

	stand_in_config(driver->machine, driver->slot, offset, kind % 8 + 1u, kind & 0x80 ? input_32(driver->input) : 0,
			kind & 0x80);
}

static void any_operation(struct virtio_input *driver)
{
	struct input *input = driver->input;
	uint8_t queue;

	switch (input_8(input) % 12) {
	case 0:
		any_descriptor(driver);
		break;
	case 1:
		any_memory(driver);
		break;
	case 2:
		any_register(driver);
		break;
	case 3:
		any_config(driver);
		break;
	case 4:
		queue = input_8(input) % driver->queue_count;
		offer_head(driver, queue, input_8(input));
		break;
	case 5:
		virtio_input_start(driver, input_32(input) & driver->features);
		break;
	case 6:
		kick(driver, input_8(input));
		break;
	case 7:
	case 8:
		queue = input_8(input) % driver->queue_count;
		virtio_input_offer(driver, queue, input_8(input) % RING_SIZE + 1, input_16(input) % BUFFER_SIZE);
		break;
	case 9:
		loop_turn(stand_in_loop(driver->machine));
		break;
	default:
		driver->operation(driver->opaque, input);
		break;
	}
}

void virtio_input_run(struct virtio_input *driver)
{
	driver->memory = machine_memory(driver->machine)->base;
	driver->features |= VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX;
	virtio_input_start(driver, input_32(driver->input) & driver->features);
	for (unsigned int i = 0; i < OPERATIONS_MAX && driver->input->size > 0; i++)
		any_operation(driver);
	loop_turn(stand_in_loop(driver->machine));
}
