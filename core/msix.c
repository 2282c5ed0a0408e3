/* SPDX-License-Identifier: Apache-2.0 */
#include "core/msix.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/interrupts.h"
#include "core/pci.h"
#include "core/state.h"

/* Theory of operation
 * -------------------
 * A notification and the unmasking of its vector may race.  The notifier first sets 'pending' and then reads 'masked';
 * who unmasks first clears 'masked' and then takes 'pending'.  With sequentially consistent atomics at least one of
 * the two sees the other, and the exchange lets only one deliver. */

#define TAG_VECTOR STATE_TAG('m', 's', 'i', 'x')

#define CAPABILITY_ID 0x11
#define CONTROL 2 /* Offset of the message control register in the capability. */
#define CONTROL_ENABLE 0x8000
#define CONTROL_MASK 0x4000
#define ENTRY_DATA 8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED 0x1

int msix_init(struct msix *msix, struct pci_device *device, struct interrupts *interrupts, unsigned int count,
	      uint32_t table_offset, uint32_t pending_offset, struct error *error)
{
	struct {
		uint16_t control;
		uint32_t table, pending;
	} __attribute__((packed))
	body = {.control = (uint16_t)(count - 1), .table = table_offset, .pending = pending_offset};

	*msix = (struct msix){.device = device, .interrupts = interrupts};
	for (unsigned int i = 0; i < count && i < MSIX_VECTORS_MAX; i++) {
		struct msix_vector *vector = &msix->vectors[i];

		vector->entry[ENTRY_CONTROL] = ENTRY_MASKED;
		vector->masked = true;
		vector->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->event_fd < 0) {
			int errnum = errno;

			msix_release(msix);
			return error_set(error, ERROR_FAILED, errnum,
					 "cannot make an eventfd: %s\n"
					 "  help: raise the limit of open files (ulimit -n)",
					 strerror(errnum));
		}
		msix->count++;
		vector->gsi = interrupts_add_message(interrupts);
		if (vector->gsi < 0) {
			msix_release(msix);
			return error_set(error, ERROR_FAILED, ENOSPC, "too many interrupt vectors in one machine");
		}
	}
	msix->capability = pci_device_add_capability(device, CAPABILITY_ID, &body, sizeof(body) + 2);
	device->writable[msix->capability + CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK) >> 8;
	return 0;
}

void msix_release(struct msix *msix)
{
	for (unsigned int i = 0; i < msix->count; i++)
		close(msix->vectors[i].event_fd);
	msix->count = 0;
}

static void deliver_pending(struct msix_vector *vector)
{
	if (atomic_exchange(&vector->pending, false))
		eventfd_write(vector->event_fd, 1);
}

static bool function_masked(const struct msix *msix)
{
	uint16_t control;

	memcpy(&control, msix->device->config + msix->capability + CONTROL, sizeof(control));
	return (control & (CONTROL_ENABLE | CONTROL_MASK)) != CONTROL_ENABLE;
}

static void update_vector(struct msix *msix, struct msix_vector *vector)
{
	bool masked = (vector->entry[ENTRY_CONTROL] & ENTRY_MASKED) || function_masked(msix);
	uint64_t address;
	uint32_t data;

	if (masked) {
		vector->masked = true;
		return;
	}
	memcpy(&address, vector->entry, sizeof(address));
	memcpy(&data, vector->entry + ENTRY_DATA, sizeof(data));
	/* A message KVM refuses is the guest's own loss: the vector stays silent. */
	if (interrupts_route_message(msix->interrupts, vector->gsi, address, data, vector->event_fd) < 0)
		return;
	vector->masked = false;
	deliver_pending(vector);
}

void msix_table_access(struct msix *msix, uint64_t offset, void *data, unsigned int size, bool is_write)
{
	uint64_t index = offset / MSIX_ENTRY_SIZE;
	unsigned int at = offset % MSIX_ENTRY_SIZE;

	if (index >= msix->count || at + size > MSIX_ENTRY_SIZE) {
		if (!is_write)
			memset(data, 0, size);
		return;
	}
	if (!is_write) {
		memcpy(data, msix->vectors[index].entry + at, size);
		return;
	}
	memcpy(msix->vectors[index].entry + at, data, size);
	update_vector(msix, &msix->vectors[index]);
}

void msix_pending_read(const struct msix *msix, uint64_t offset, void *data, unsigned int size)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < msix->count; i++)
		bits |= (uint64_t)msix->vectors[i].pending << i;
	memset(data, 0, size);
	if (offset < sizeof(bits) && size <= sizeof(bits) - offset)
		memcpy(data, (uint8_t *)&bits + offset, size);
}

void msix_config_written(struct msix *msix)
{
	for (unsigned int i = 0; i < msix->count; i++)
		update_vector(msix, &msix->vectors[i]);
}

void msix_notify(struct msix *msix, unsigned int vector)
{
	if (vector >= msix->count)
		return;
	atomic_store(&msix->vectors[vector].pending, true);
	if (!atomic_load(&msix->vectors[vector].masked))
		deliver_pending(&msix->vectors[vector]);
}

struct vector_state {
	uint8_t entry[MSIX_ENTRY_SIZE];
	uint8_t pending;
};

void msix_save(const struct msix *msix, struct state *state)
{
	for (unsigned int i = 0; i < msix->count; i++) {
		struct vector_state saved = {.pending = msix->vectors[i].pending};

		memcpy(saved.entry, msix->vectors[i].entry, sizeof(saved.entry));
		state_put(state, TAG_VECTOR, &saved, sizeof(saved));
	}
}

void msix_restore(struct msix *msix, struct state *state)
{
	for (unsigned int i = 0; i < msix->count; i++) {
		struct vector_state saved;

		if (!state_get(state, TAG_VECTOR, &saved, sizeof(saved)))
			return;
		memcpy(msix->vectors[i].entry, saved.entry, sizeof(saved.entry));
		msix->vectors[i].pending = saved.pending != 0;
		update_vector(msix, &msix->vectors[i]);
	}
}
