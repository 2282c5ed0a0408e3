/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

#define TAG_BUS STATE_TAG('p', 'c', 'i', 'b')
#define TAG_ADDRESS STATE_TAG('p', 'c', 'i', 'a')
#define TAG_PLACE STATE_TAG('p', 'c', 'i', 'd')
#define TAG_CONFIG STATE_TAG('p', 'c', 'i', 'c')

#define CAPABILITIES_START 0x40
#define STATUS_CAPABILITIES 0x10 /* In the low byte of the status register. */
#define ADDRESS_ENABLE (1u << 31)

/* BARs are laid out one such step apart, by slot: room for any device here. */
#define BAR_STEP 0x10000u

struct pci_bus {
	struct pci_device *slots[PCI_SLOTS];
	uint32_t address; /* Of the port mechanism: enable, bus, device, function, register. */
	struct pci_device bridge;
};

static void put_16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint32_t get_32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void put_32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void bridge_destroy(struct pci_device *device)
{
	(void)device; /* It is part of the bus. */
}

static const struct pci_device_ops bridge_ops = {.destroy = bridge_destroy};

struct pci_bus *pci_bus_create(struct error *error)
{
	/* Any host bridge will do; guests have no quirks for this one. */
	static const struct pci_identity identity = {.vendor = 0x8086,
						     .device = 0x0d57,
						     .class_code = 0x06,
						     .subclass = 0x00};
	struct pci_bus *bus = calloc(1, sizeof(*bus));

	if (!bus) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	pci_device_init(&bus->bridge, &bridge_ops, &identity, 0);
	bus->slots[0] = &bus->bridge;
	return bus;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		if (bus->slots[slot])
			bus->slots[slot]->ops->destroy(bus->slots[slot]);
	}
	free(bus);
}

void pci_device_init(struct pci_device *device, const struct pci_device_ops *ops, const struct pci_identity *identity,
		     uint32_t bar_size)
{
	*device = (struct pci_device){.ops = ops, .bar_size = bar_size, .next_free = CAPABILITIES_START};
	put_16(device->config + 0x00, identity->vendor);
	put_16(device->config + 0x02, identity->device);
	device->config[0x08] = identity->revision;
	device->config[0x0a] = identity->subclass;
	device->config[0x0b] = identity->class_code;
	put_16(device->config + 0x2c, identity->subsystem_vendor);
	put_16(device->config + 0x2e, identity->subsystem);
	device->writable[PCI_CONFIG_COMMAND] = PCI_COMMAND_MEMORY_SPACE | PCI_COMMAND_BUS_MASTER;
	device->writable[PCI_CONFIG_COMMAND + 1] = 0x04; /* Interrupt disable: kept, though there is no pin. */
	device->writable[0x0c] = 0xff;                   /* Cache line size and interrupt line: scratch. */
	device->writable[0x3c] = 0xff;
	if (bar_size > 0) /* The size is found by writing ones: the bits below it stay 0. */
		put_32(device->writable + PCI_CONFIG_BAR0, ~(bar_size - 1));
}

unsigned int pci_device_add_capability(struct pci_device *device, uint8_t id, const void *body, size_t size)
{
	unsigned int offset = device->next_free;

	if (size < 2 || offset + size > PCI_CONFIG_SIZE)
		abort();
	device->config[offset] = id;
	memcpy(device->config + offset + 2, body, size - 2);
	if (device->last_capability)
		device->config[device->last_capability + 1] = (uint8_t)offset;
	else
		device->config[PCI_CONFIG_CAPABILITIES] = (uint8_t)offset;
	device->config[PCI_CONFIG_STATUS] |= STATUS_CAPABILITIES;
	device->last_capability = (uint8_t)offset;
	device->next_free = (uint16_t)((offset + size + 3) & ~3u);
	return offset;
}

int pci_bus_add(struct pci_bus *bus, struct pci_device *device, unsigned int slot, struct error *error)
{
	if (slot == 0 || slot >= PCI_SLOTS || bus->slots[slot])
		return error_set(error, ERROR_FAILED, EEXIST, "PCI slot %u is taken", slot);
	device->bus = bus;
	device->slot = slot;
	put_32(device->config + PCI_CONFIG_BAR0, PCI_WINDOW_BASE + slot * BAR_STEP);
	bus->slots[slot] = device;
	return 0;
}

/* Finds out where BAR 0 is after a write to the command register or to the BAR. */
static void update_bar(struct pci_device *device)
{
	uint64_t before, address = 0;

	if (device->bar_size == 0)
		return;
	if (device->config[PCI_CONFIG_COMMAND] & PCI_COMMAND_MEMORY_SPACE)
		address = get_32(device->config + PCI_CONFIG_BAR0) & ~(device->bar_size - 1);
	if (address == device->bar_address)
		return;
	before = device->bar_address;
	device->bar_address = address;
	device->ops->bar_moved(device, before, address);
}

static void config_write(struct pci_device *device, unsigned int offset, const uint8_t *data, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++) {
		uint8_t mask = device->writable[offset + i];

		device->config[offset + i] = (uint8_t)((device->config[offset + i] & ~mask) | (data[i] & mask));
	}
	update_bar(device);
	if (device->ops->config_written)
		device->ops->config_written(device, offset, size);
}

/* What a device is, and where. */
struct pci_place {
	uint32_t slot;
	uint16_t vendor, device;
};

static struct pci_place place_of(const struct pci_device *device)
{
	struct pci_place place = {.slot = device->slot};

	memcpy(&place.vendor, device->config, sizeof(place.vendor));
	memcpy(&place.device, device->config + 2, sizeof(place.device));
	return place;
}

void pci_bus_drain(struct pci_bus *bus)
{
	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		if (bus->slots[slot] && bus->slots[slot]->ops->drain)
			bus->slots[slot]->ops->drain(bus->slots[slot]);
	}
}

void pci_bus_resume(struct pci_bus *bus)
{
	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		if (bus->slots[slot] && bus->slots[slot]->ops->resume)
			bus->slots[slot]->ops->resume(bus->slots[slot]);
	}
}

void pci_bus_save(const struct pci_bus *bus, struct state *state)
{
	uint32_t count = 0;

	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++)
		count += bus->slots[slot] != NULL;
	state_put(state, TAG_BUS, &count, sizeof(count));
	state_put(state, TAG_ADDRESS, &bus->address, sizeof(bus->address));
	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		struct pci_device *device = bus->slots[slot];
		struct pci_place place;

		if (!device)
			continue;
		place = place_of(device);
		state_put(state, TAG_PLACE, &place, sizeof(place));
		state_put(state, TAG_CONFIG, device->config, sizeof(device->config));
		if (device->ops->save)
			device->ops->save(device, state);
	}
}

/* Only what a guest may write is taken from the state. */
static void restore_config(struct pci_device *device, const uint8_t *config)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++)
		device->config[i] = (uint8_t)((device->config[i] & ~device->writable[i]) |
					      (config[i] & device->writable[i]));
	update_bar(device);
}

/* 'seen' has a bit for each slot that was restored: a second time its device may be in use. */
static void restore_device(struct pci_bus *bus, struct state *state, uint32_t *seen)
{
	struct pci_place place, here;
	struct pci_device *device;
	uint8_t config[PCI_CONFIG_SIZE];

	if (!state_get(state, TAG_PLACE, &place, sizeof(place)) ||
	    !state_get(state, TAG_CONFIG, config, sizeof(config)))
		return;
	device = place.slot > 0 && place.slot < PCI_SLOTS ? bus->slots[place.slot] : NULL;
	if (device)
		here = place_of(device);
	if (!device || here.vendor != place.vendor || here.device != place.device || *seen & 1u << place.slot) {
		state->bad = true;
		return;
	}
	*seen |= 1u << place.slot;
	restore_config(device, config);
	if (device->ops->restore)
		device->ops->restore(device, state);
}

void pci_bus_restore(struct pci_bus *bus, struct state *state)
{
	uint32_t count, seen = 0;

	state_get(state, TAG_BUS, &count, sizeof(count));
	state_get(state, TAG_ADDRESS, &bus->address, sizeof(bus->address));
	for (uint32_t i = 0; i < count && !state->bad; i++)
		restore_device(bus, state, &seen);
}

/* 'number' is bus, device and function as in 0xcf8. */
static void config_access(struct pci_bus *bus, unsigned int number, unsigned int offset, void *data, unsigned int size,
			  bool is_write)
{
	struct pci_device *device = number < PCI_SLOTS * 8 && number % 8 == 0 ? bus->slots[number / 8] : NULL;

	if (!device) {
		if (!is_write)
			memset(data, 0xff, size);
		return;
	}
	if (offset + size > PCI_CONFIG_SIZE) { /* No extended capabilities. */
		if (!is_write)
			memset(data, 0, size);
		return;
	}
	if (is_write) {
		config_write(device, offset, data, size);
		return;
	}
	if (device->ops->config_reading)
		device->ops->config_reading(device, offset, size);
	memcpy(data, device->config + offset, size);
}

void pci_bus_ecam(struct pci_bus *bus, uint64_t offset, void *data, unsigned int size, bool is_write)
{
	config_access(bus, (unsigned int)(offset >> 12), offset & 0xfff, data, size, is_write);
}

void pci_bus_port(struct pci_bus *bus, unsigned int offset, void *data, unsigned int size, bool is_write)
{
	if (offset < 4) {
		if (offset != 0 || size != 4) { /* Only the whole address register exists. */
			if (!is_write)
				memset(data, 0xff, size);
		} else if (is_write) {
			memcpy(&bus->address, data, sizeof(bus->address));
		} else {
			memcpy(data, &bus->address, sizeof(bus->address));
		}
		return;
	}
	if (offset + size > 8 || !(bus->address & ADDRESS_ENABLE)) {
		if (!is_write)
			memset(data, 0xff, size);
		return;
	}
	config_access(bus, (bus->address >> 8) & 0xffff, (bus->address & 0xfc) + offset - 4, data, size, is_write);
}

bool pci_bus_memory(struct pci_bus *bus, uint64_t address, void *data, unsigned int size, bool is_write)
{
	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		struct pci_device *device = bus->slots[slot];

		if (!device || device->bar_address == 0 || address < device->bar_address ||
		    address - device->bar_address + size > device->bar_size)
			continue;
		if (is_write)
			device->ops->bar_write(device, address - device->bar_address, data, size);
		else
			device->ops->bar_read(device, address - device->bar_address, data, size);
		return true;
	}
	return false;
}
