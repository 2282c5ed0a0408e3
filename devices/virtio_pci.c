/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio_pci.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/machine.h"
#include "core/state.h"

/* Theory of operation
 * -------------------
 * BAR 0, one page for each structure:
 *
 *      0x0000  common configuration      0x3000  doorbells, 4 bytes per queue
 *      0x1000  ISR status                0x4000  MSI-X table
 *      0x2000  device configuration      0x5000  MSI-X pending bits
 *
 * Registers are read from an image of struct virtio_pci_common_cfg made for the occasion; writes must match a
 * register's offset and size exactly (4.1.3.1) and are ignored otherwise.
 *
 * Who owns what: register state belongs to vCPU threads under the bus lock.  The rings belong to the owner's loop while
 * 'active'; the vCPU thread hands them over and takes them back with loop_call(), and touches them in between only to
 * say no.  Doorbells are KVM's; those that cannot be registered arrive as ordinary writes. */

#define BAR_SIZE 0x8000u
#define PAGE 0x1000u
#define OFFSET_ISR 0x1000u
#define OFFSET_DEVICE 0x2000u
#define OFFSET_NOTIFY 0x3000u
#define OFFSET_MSIX_TABLE 0x4000u
#define OFFSET_MSIX_PENDING 0x5000u
#define NOTIFY_MULTIPLIER 4u

#define VENDOR_ID 0x1af4
#define DEVICE_ID_BASE 0x1040
#define CAPABILITY_VENDOR 0x09

#define TAG_DEVICE STATE_TAG('v', 'd', 'e', 'v')
#define TAG_DEVICE_CONFIG STATE_TAG('v', 'c', 'f', 'g')
#define TAG_DEVICE_QUEUE STATE_TAG('v', 'd', 'e', 'q')

#define NO_VECTOR VIRTIO_MSI_NO_VECTOR
#define ISR_QUEUE 1
#define ISR_CONFIG 2

static struct virtio_device *from_pci(struct pci_device *pci)
{
	return (struct virtio_device *)pci; /* The first member. */
}

bool virtio_device_is_running(const struct virtio_device *device)
{
	return device->active && !device->quarantine_reason;
}

const char *virtio_device_quarantine_reason(const struct virtio_device *device)
{
	return device->quarantine_reason;
}

static void interrupt(struct virtio_device *device, uint16_t vector, uint8_t isr)
{
	atomic_fetch_or(&device->isr, isr);
	msix_notify(&device->msix, vector); /* VIRTIO_MSI_NO_VECTOR is out of range, and so ignored. */
}

void virtio_device_publish(struct virtio_device *device, unsigned int queue)
{
	if (virtio_device_is_running(device) && virtqueue_publish(&device->queues[queue].ring))
		interrupt(device, device->queues[queue].vector, ISR_QUEUE);
}

void virtio_device_set_config(struct virtio_device *device, unsigned int offset, const void *data, unsigned int size)
{
	const uint8_t *bytes = data;

	for (unsigned int i = 0; i < size && offset + i < device->config_size; i++)
		device->config[offset + i] = bytes[i];
	device->generation++;
	if (virtio_device_is_running(device))
		interrupt(device, device->config_vector, ISR_CONFIG);
}

static void stop_watches(struct virtio_device *device)
{
	for (unsigned int i = 0; i < device->queue_count; i++)
		loop_watch_remove(device->owner, &device->queues[i].watch);
}

void virtio_device_quarantine(struct virtio_device *device, const char *reason)
{
	if (device->quarantine_reason)
		return;
	device->quarantine_reason = reason;
	stop_watches(device);
	atomic_fetch_or(&device->status, VIRTIO_CONFIG_S_NEEDS_RESET);
	interrupt(device, device->config_vector, ISR_CONFIG);
	log_limited(&device->log_limit, "%s: quarantined: %s", device->name, reason);
}

static void on_kick(void *opaque, uint32_t events)
{
	struct virtio_queue *queue = opaque;
	eventfd_t value;

	(void)events;
	if (eventfd_read(queue->kick_fd, &value) == 0)
		queue->device->ops->kicked(queue->device, (unsigned int)(queue - queue->device->queues));
}

typedef bool start_function(struct virtqueue *queue, const struct guest_memory *memory, uint64_t features);

/* Takes the rings over.  Returns false, with the device quarantined, where that fails. */
static bool take_rings(struct virtio_device *device, start_function *start)
{
	device->active = true;
	for (unsigned int i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];

		if (!queue->enabled)
			continue;
		if (!start(&queue->ring, machine_memory(device->machine), device->negotiated)) {
			virtio_device_quarantine(device, virtqueue_error(&queue->ring));
			return false;
		}
		queue->watch = (struct loop_watch){.fd = queue->kick_fd, .ready = on_kick, .opaque = queue};
		if (loop_watch_add(device->owner, &queue->watch, EPOLLIN) < 0) {
			virtio_device_quarantine(device, "the host cannot watch its doorbell");
			return false;
		}
	}
	return true;
}

/* In the owner's thread. */
static void activate(void *opaque)
{
	struct virtio_device *device = opaque;

	if (take_rings(device, virtqueue_start))
		device->ops->activate(device);
}

/* In the owner's thread: goes on where a saved device was.  Kicks that it had not yet heard are not in its state, so it
 * hears one of every queue, which finds nothing to do at worst. */
static void resume(void *opaque)
{
	struct virtio_device *device = opaque;

	if (!take_rings(device, virtqueue_resume))
		return;
	for (unsigned int i = 0; i < device->queue_count; i++) {
		if (device->queues[i].enabled)
			eventfd_write(device->queues[i].kick_fd, 1);
	}
}

/* In the owner's thread: gives the rings back. */
static void deactivate(void *opaque)
{
	struct virtio_device *device = opaque;

	stop_watches(device);
	device->ops->reset(device);
	for (unsigned int i = 0; i < device->queue_count; i++)
		virtqueue_reset(&device->queues[i].ring);
	device->active = false;
	device->quarantine_reason = NULL;
}

static void remove_doorbells(struct virtio_device *device, uint64_t bar)
{
	for (unsigned int i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];

		if (queue->doorbell)
			machine_remove_doorbell(device->machine, bar + OFFSET_NOTIFY + i * NOTIFY_MULTIPLIER,
						queue->kick_fd);
		queue->doorbell = false;
	}
}

static void add_doorbells(struct virtio_device *device)
{
	uint64_t bar = device->pci.bar_address;

	for (unsigned int i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];

		if (bar != 0 && queue->enabled && !queue->doorbell)
			queue->doorbell = machine_add_doorbell(device->machine,
							       bar + OFFSET_NOTIFY + i * NOTIFY_MULTIPLIER,
							       queue->kick_fd) == 0;
	}
}

static void reset(struct virtio_device *device)
{
	if (device->active)
		loop_call(device->owner, deactivate, device);
	remove_doorbells(device, device->pci.bar_address);
	for (unsigned int i = 0; i < device->queue_count; i++) {
		virtqueue_reset(&device->queues[i].ring);
		device->queues[i].enabled = false;
		device->queues[i].vector = NO_VECTOR;
	}
	device->status = 0;
	device->isr = 0;
	device->negotiated = 0;
	device->offered_select = device->negotiated_select = 0;
	device->config_vector = NO_VECTOR;
	device->queue_select = 0;
}

/* The status state machine (2.1, 3.1.1): bits are only added; FEATURES_OK only with features we offered, the version
 * among them; DRIVER_OK only after that. */
static void write_status(struct virtio_device *device, uint8_t value)
{
	uint8_t status = device->status;
	uint8_t added = value & (uint8_t)~status;

	if (value == 0) {
		reset(device);
		return;
	}
	added &= (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET; /* Ours to set. */
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ((device->negotiated & ~device->offered) || !(device->negotiated & VIRTIO_FEATURE_VERSION_1)))
		added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && !((status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	atomic_fetch_or(&device->status, added);
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && !device->active) {
		loop_call(device->owner, activate, device);
		add_doorbells(device);
	}
}

static struct virtio_queue *selected(struct virtio_device *device)
{
	return device->queue_select < device->queue_count ? &device->queues[device->queue_select] : NULL;
}

static uint16_t valid_vector(const struct virtio_device *device, uint16_t vector)
{
	return vector < device->msix.count ? vector : NO_VECTOR;
}

static uint32_t half(uint64_t value, uint32_t select)
{
	return select == 0 ? (uint32_t)value : select == 1 ? (uint32_t)(value >> 32) : 0;
}

static void set_half(uint64_t *value, uint32_t select, uint32_t to)
{
	if (select == 0)
		*value = (*value & 0xffffffff00000000ull) | to;
	else if (select == 1)
		*value = (*value & 0xffffffffull) | (uint64_t)to << 32;
}

static void common_read(struct virtio_device *device, uint64_t offset, void *data, unsigned int size)
{
	const struct virtio_queue *queue = selected(device);
	struct virtio_pci_common_cfg image = {
		.device_feature_select = device->offered_select,
		.device_feature = half(device->offered, device->offered_select),
		.guest_feature_select = device->negotiated_select,
		.guest_feature = half(device->negotiated, device->negotiated_select),
		.msix_config = device->config_vector,
		.num_queues = (uint16_t)device->queue_count,
		.device_status = device->status,
		.config_generation = device->generation,
		.queue_select = device->queue_select,
	};

	if (queue) {
		image.queue_size = queue->ring.size;
		image.queue_msix_vector = queue->vector;
		image.queue_enable = queue->enabled;
		image.queue_notify_off = device->queue_select;
		image.queue_desc_lo = (uint32_t)queue->ring.descriptor_area;
		image.queue_desc_hi = (uint32_t)(queue->ring.descriptor_area >> 32);
		image.queue_avail_lo = (uint32_t)queue->ring.driver_area;
		image.queue_avail_hi = (uint32_t)(queue->ring.driver_area >> 32);
		image.queue_used_lo = (uint32_t)queue->ring.device_area;
		image.queue_used_hi = (uint32_t)(queue->ring.device_area >> 32);
	}
	memset(data, 0, size);
	if (offset < sizeof(image))
		memcpy(data, (const uint8_t *)&image + offset,
		       size < sizeof(image) - offset ? size : sizeof(image) - offset);
}

/* Registers of the selected queue, writable between FEATURES_OK and DRIVER_OK while the queue is not enabled.  Its
 * vector is no part of the ring: NetBSD, OpenBSD and Windows write it when they have enabled the queue. */
static void queue_write(struct virtio_device *device, uint64_t offset, uint32_t value)
{
	struct virtio_queue *queue = selected(device);

	if (queue && offset == VIRTIO_PCI_COMMON_Q_MSIX)
		queue->vector = valid_vector(device, (uint16_t)value);
	if (!queue || device->active || queue->enabled || !(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		queue->ring.size = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		queue->enabled = value == 1;
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&queue->ring.descriptor_area, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&queue->ring.driver_area, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&queue->ring.device_area, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	}
}

/* The size of a register that can be written, 0 for none. */
static unsigned int register_size(uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_STATUS:
		return 1;
	case VIRTIO_PCI_COMMON_MSIX:
	case VIRTIO_PCI_COMMON_Q_SELECT:
	case VIRTIO_PCI_COMMON_Q_SIZE:
	case VIRTIO_PCI_COMMON_Q_MSIX:
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return 2;
	case VIRTIO_PCI_COMMON_DFSELECT:
	case VIRTIO_PCI_COMMON_GFSELECT:
	case VIRTIO_PCI_COMMON_GF:
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return 4;
	default:
		return 0;
	}
}

static void common_write(struct virtio_device *device, uint64_t offset, const void *data, unsigned int size)
{
	uint32_t value = 0;

	if (size == 0 || size != register_size(offset))
		return;
	memcpy(&value, data, size);
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		device->offered_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		device->negotiated_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		if (!(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&device->negotiated, device->negotiated_select, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		device->config_vector = valid_vector(device, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		write_status(device, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		device->queue_select = (uint16_t)value;
		break;
	default:
		queue_write(device, offset, value);
	}
}

static void config_read(const struct virtio_device *device, uint64_t offset, uint8_t *data, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		data[i] = offset + i < device->config_size ? device->config[offset + i] : 0;
}

static void bar_read(struct pci_device *pci, uint64_t offset, void *data, unsigned int size)
{
	struct virtio_device *device = from_pci(pci);
	uint8_t isr;

	switch (offset & ~(uint64_t)(PAGE - 1)) {
	case 0:
		common_read(device, offset, data, size);
		return;
	case OFFSET_ISR:
		isr = offset == OFFSET_ISR ? atomic_exchange(&device->isr, 0) : 0; /* Reading clears it. */
		memset(data, 0, size);
		memcpy(data, &isr, 1);
		return;
	case OFFSET_DEVICE:
		config_read(device, offset - OFFSET_DEVICE, data, size);
		return;
	case OFFSET_MSIX_TABLE:
		msix_table_access(&device->msix, offset - OFFSET_MSIX_TABLE, data, size, false);
		return;
	case OFFSET_MSIX_PENDING:
		msix_pending_read(&device->msix, offset - OFFSET_MSIX_PENDING, data, size);
		return;
	default:
		memset(data, 0, size);
	}
}

/* A notification KVM passed on instead of ringing the doorbell. */
static void notify(struct virtio_device *device, uint64_t offset)
{
	uint64_t queue = offset / NOTIFY_MULTIPLIER;

	if (device->active && queue < device->queue_count && device->queues[queue].enabled)
		eventfd_write(device->queues[queue].kick_fd, 1);
}

static void bar_write(struct pci_device *pci, uint64_t offset, const void *data, unsigned int size)
{
	struct virtio_device *device = from_pci(pci);
	uint8_t copy[8];

	switch (offset & ~(uint64_t)(PAGE - 1)) {
	case 0:
		common_write(device, offset, data, size);
		return;
	case OFFSET_NOTIFY:
		notify(device, offset - OFFSET_NOTIFY);
		return;
	case OFFSET_MSIX_TABLE:
		memcpy(copy, data, size);
		msix_table_access(&device->msix, offset - OFFSET_MSIX_TABLE, copy, size, true);
		return;
	default:
		return; /* Device configuration of the devices here is read-only, and so is the rest. */
	}
}

static void bar_moved(struct pci_device *pci, uint64_t before, uint64_t address)
{
	struct virtio_device *device = from_pci(pci);

	(void)address;
	remove_doorbells(device, before);
	if (device->active)
		add_doorbells(device);
}

/* The PCI configuration access window (4.1.4.9): another way to BAR 0.  Returns false if it does not point to a valid
 * access. */
static bool window_target(const struct virtio_device *device, uint32_t *offset, uint32_t *size)
{
	struct virtio_pci_cap capability;

	memcpy(&capability, device->pci.config + device->window, sizeof(capability));
	*offset = capability.offset;
	*size = capability.length;
	return capability.bar == 0 && (*size == 1 || *size == 2 || *size == 4) && *offset % *size == 0 &&
	       *offset <= BAR_SIZE - *size;
}

static bool touches_window(const struct virtio_device *device, unsigned int offset, unsigned int size)
{
	unsigned int data = device->window + sizeof(struct virtio_pci_cap);

	return offset < data + 4 && offset + size > data;
}

static void pci_config_reading(struct pci_device *pci, unsigned int offset, unsigned int size)
{
	struct virtio_device *device = from_pci(pci);
	uint32_t from, count;

	if (touches_window(device, offset, size) && window_target(device, &from, &count))
		bar_read(pci, from, pci->config + device->window + sizeof(struct virtio_pci_cap), count);
}

static void pci_config_written(struct pci_device *pci, unsigned int offset, unsigned int size)
{
	struct virtio_device *device = from_pci(pci);
	uint32_t to, count;

	msix_config_written(&device->msix);
	if (touches_window(device, offset, size) && window_target(device, &to, &count))
		bar_write(pci, to, pci->config + device->window + sizeof(struct virtio_pci_cap), count);
}

struct device_state {
	uint64_t negotiated;
	uint32_t offered_select, negotiated_select;
	uint16_t config_vector, queue_select;
	uint8_t status, isr, generation, active;
	uint8_t quarantined;
	uint8_t reserved[7];
};

struct device_queue_state {
	uint16_t vector;
	uint8_t enabled;
	uint8_t reserved;
};

/* In the owner's thread. */
struct device_and_state {
	struct virtio_device *device;
	struct state *state;
};

static void save_device(void *opaque)
{
	const struct device_and_state *both = opaque;
	struct virtio_device *device = both->device;
	const struct device_state saved = {
		.negotiated = device->negotiated,
		.offered_select = device->offered_select,
		.negotiated_select = device->negotiated_select,
		.config_vector = device->config_vector,
		.queue_select = device->queue_select,
		.status = device->status,
		.isr = device->isr,
		.generation = device->generation,
		.active = device->active,
		.quarantined = device->quarantine_reason != NULL,
	};
	uint8_t config[VIRTIO_CONFIG_MAX];

	for (unsigned int i = 0; i < device->config_size; i++)
		config[i] = device->config[i];
	state_put(both->state, TAG_DEVICE, &saved, sizeof(saved));
	state_put(both->state, TAG_DEVICE_CONFIG, config, device->config_size);
	for (unsigned int i = 0; i < device->queue_count; i++) {
		const struct virtio_queue *queue = &device->queues[i];
		const struct device_queue_state queue_saved = {.vector = queue->vector, .enabled = queue->enabled};

		state_put(both->state, TAG_DEVICE_QUEUE, &queue_saved, sizeof(queue_saved));
		virtqueue_save(&queue->ring, both->state);
	}
	msix_save(&device->msix, both->state);
	if (device->ops->save)
		device->ops->save(device, both->state);
}

/* loop_function, in the owner's thread. */
static void drain_device(void *opaque)
{
	struct virtio_device *device = opaque;

	if (device->ops->drain && virtio_device_is_running(device))
		device->ops->drain(device);
}

static void pci_drain(struct pci_device *pci)
{
	struct virtio_device *device = from_pci(pci);

	loop_call(device->owner, drain_device, device);
}

/* loop_function, in the owner's thread. */
static void resume_device(void *opaque)
{
	struct virtio_device *device = opaque;

	device->ops->resume(device);
}

static void pci_resume(struct pci_device *pci)
{
	struct virtio_device *device = from_pci(pci);

	if (device->ops->resume)
		loop_call(device->owner, resume_device, device);
}

static void pci_save(struct pci_device *pci, struct state *state)
{
	struct device_and_state both = {.device = from_pci(pci), .state = state};

	loop_call(both.device->owner, save_device, &both);
}

static void restore_queues(struct virtio_device *device, struct state *state)
{
	for (unsigned int i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];
		struct device_queue_state saved;

		if (!state_get(state, TAG_DEVICE_QUEUE, &saved, sizeof(saved)))
			return;
		queue->vector = valid_vector(device, saved.vector);
		queue->enabled = saved.enabled == 1;
		virtqueue_restore(&queue->ring, state);
	}
}

/* loop_function */
static void quarantine_again(void *opaque)
{
	virtio_device_quarantine(opaque, "it was quarantined when its state was saved");
}

/* The device was just made and its machine has not run, so nobody else looks at it before resume(). */
static void pci_restore(struct pci_device *pci, struct state *state)
{
	struct virtio_device *device = from_pci(pci);
	struct device_state saved;
	uint8_t config[VIRTIO_CONFIG_MAX];

	state_get(state, TAG_DEVICE, &saved, sizeof(saved));
	if (!state_get(state, TAG_DEVICE_CONFIG, config, device->config_size) ||
	    (saved.negotiated & ~device->offered)) {
		state->bad = true;
		return;
	}
	device->negotiated = saved.negotiated;
	device->offered_select = saved.offered_select;
	device->negotiated_select = saved.negotiated_select;
	device->config_vector = valid_vector(device, saved.config_vector);
	device->queue_select = saved.queue_select;
	device->status = saved.status;
	device->isr = saved.isr;
	device->generation = saved.generation;
	for (unsigned int i = 0; i < device->config_size; i++)
		device->config[i] = config[i];
	restore_queues(device, state);
	msix_restore(&device->msix, state);
	if (!state->bad && device->ops->restore)
		device->ops->restore(device, state);
	if (state->bad || !saved.active)
		return;
	loop_call(device->owner, resume, device);
	if (saved.quarantined)
		loop_call(device->owner, quarantine_again, device);
	add_doorbells(device);
}

static void pci_destroy(struct pci_device *pci)
{
	from_pci(pci)->ops->destroy(from_pci(pci));
}

static const struct pci_device_ops pci_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.bar_moved = bar_moved,
	.config_reading = pci_config_reading,
	.config_written = pci_config_written,
	.drain = pci_drain,
	.resume = pci_resume,
	.save = pci_save,
	.restore = pci_restore,
	.destroy = pci_destroy,
};

static unsigned int add_capability(struct virtio_device *device, uint8_t type, uint32_t offset, uint32_t length,
				   unsigned int extra)
{
	struct {
		struct virtio_pci_cap capability;
		uint32_t extra; /* The notification multiplier, or the access window's data. */
	} body = {
		.capability =
			{
				.cap_len = (uint8_t)(sizeof(struct virtio_pci_cap) + extra),
				.cfg_type = type,
				.offset = offset,
				.length = length,
			},
		.extra = NOTIFY_MULTIPLIER,
	};

	return pci_device_add_capability(&device->pci, CAPABILITY_VENDOR, (const uint8_t *)&body + 2,
					 sizeof(struct virtio_pci_cap) + extra);
}

static void add_capabilities(struct virtio_device *device)
{
	uint8_t *writable;

	add_capability(device, VIRTIO_PCI_CAP_COMMON_CFG, 0, sizeof(struct virtio_pci_common_cfg), 0);
	add_capability(device, VIRTIO_PCI_CAP_ISR_CFG, OFFSET_ISR, 1, 0);
	add_capability(device, VIRTIO_PCI_CAP_NOTIFY_CFG, OFFSET_NOTIFY, device->queue_count * NOTIFY_MULTIPLIER, 4);
	if (device->config_size > 0)
		add_capability(device, VIRTIO_PCI_CAP_DEVICE_CFG, OFFSET_DEVICE, device->config_size, 0);
	device->window = add_capability(device, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4);
	writable = device->pci.writable + device->window;
	writable[VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(writable + VIRTIO_PCI_CAP_OFFSET, 0xff, 12); /* Offset, length, data. */
}

static int init_queues(struct virtio_device *device, struct error *error)
{
	for (unsigned int i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];

		virtqueue_reset(&queue->ring);
		queue->device = device;
		queue->vector = NO_VECTOR;
		queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->kick_fd < 0)
			return error_set(error, ERROR_FAILED, errno,
					 "cannot make an eventfd: %s\n"
					 "  help: raise the limit of open files (ulimit -n)",
					 strerror(errno));
	}
	return 0;
}

int virtio_device_init(struct virtio_device *device, const struct virtio_device_options *options, struct error *error)
{
	const struct pci_identity identity = {
		.vendor = VENDOR_ID,
		.device = (uint16_t)(DEVICE_ID_BASE + options->device_id),
		.subsystem_vendor = VENDOR_ID,
		.subsystem = (uint16_t)(DEVICE_ID_BASE + options->device_id),
		.class_code = (uint8_t)(options->class_code >> 8),
		.subclass = (uint8_t)options->class_code,
		.revision = 1, /* Modern (4.1.2.1). */
	};
	int result;

	if (options->queue_count > VIRTIO_QUEUES_MAX || options->config_size > VIRTIO_CONFIG_MAX)
		abort(); /* A device here that was written wrong, not a guest's doing. */
	pci_device_init(&device->pci, &pci_ops, &identity, BAR_SIZE);
	device->ops = options->ops;
	device->machine = options->machine;
	device->owner = options->owner;
	snprintf(device->name, sizeof(device->name), "%s", options->name);
	device->offered = options->features | VIRTIO_FEATURE_VERSION_1 | VIRTIO_FEATURE_INDIRECT_DESC |
			  VIRTIO_FEATURE_EVENT_IDX;
	device->config_vector = NO_VECTOR;
	device->config_size = options->config_size;
	device->queue_count = options->queue_count;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		device->queues[i].kick_fd = -1;
	result = init_queues(device, error);
	if (result == 0)
		result = msix_init(&device->msix, &device->pci, machine_interrupts(options->machine),
				   device->queue_count + 1, OFFSET_MSIX_TABLE, OFFSET_MSIX_PENDING, error);
	if (result == 0) {
		add_capabilities(device);
		result = pci_bus_add(machine_pci(options->machine), &device->pci, options->slot, error);
	}
	if (result < 0)
		virtio_device_release(device);
	return result;
}

/* The guest's last word on a device may have been "go on": the owner must let go of it before it is freed. */
void virtio_device_release(struct virtio_device *device)
{
	if (device->active)
		loop_call(device->owner, deactivate, device);
	for (unsigned int i = 0; i < device->queue_count; i++) {
		if (device->queues[i].kick_fd >= 0)
			close(device->queues[i].kick_fd);
	}
	msix_release(&device->msix);
}
