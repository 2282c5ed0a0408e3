/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI bus as guests see it: what is where in configuration space, what they may change, and where BARs are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pci.h"

#define SLOT 5
#define BAR_SIZE 0x4000u
#define OTHER_SLOT 31
#define OTHER_BAR_SIZE 0x1000u

/* A device that remembers what it was told. */
struct probe {
	struct pci_device device;
	uint64_t moved_from, moved_to;
	unsigned int moves, config_writes, config_reads, destroyed;
	uint64_t offset;
	uint8_t data[8];
	unsigned int size;
	bool was_write;
};

struct fixture {
	struct pci_bus *bus;
	struct probe probe, other;
};

static struct probe *probe_of(struct pci_device *device)
{
	return (struct probe *)(void *)((char *)device - offsetof(struct probe, device));
}

static void bar_read(struct pci_device *device, uint64_t offset, void *data, unsigned int size)
{
	struct probe *probe = probe_of(device);

	probe->offset = offset;
	probe->size = size;
	probe->was_write = false;
	memset(data, 0x5a, size);
}

static void bar_write(struct pci_device *device, uint64_t offset, const void *data, unsigned int size)
{
	struct probe *probe = probe_of(device);

	probe->offset = offset;
	probe->size = size;
	probe->was_write = true;
	memcpy(probe->data, data, size);
}

static void bar_moved(struct pci_device *device, uint64_t before, uint64_t address)
{
	struct probe *probe = probe_of(device);

	probe->moves++;
	probe->moved_from = before;
	probe->moved_to = address;
}

static void config_written(struct pci_device *device, unsigned int offset, unsigned int size)
{
	(void)offset;
	(void)size;
	probe_of(device)->config_writes++;
}

static void config_reading(struct pci_device *device, unsigned int offset, unsigned int size)
{
	(void)offset;
	(void)size;
	probe_of(device)->config_reads++;
}

static void destroy(struct pci_device *device)
{
	probe_of(device)->destroyed++;
}

static const struct pci_device_ops ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.bar_moved = bar_moved,
	.config_written = config_written,
	.config_reading = config_reading,
	.destroy = destroy,
};

static const struct pci_identity identity = {.vendor = 0x1af4,
					     .device = 0x1041,
					     .subsystem_vendor = 0x1af5,
					     .subsystem = 0x1042,
					     .class_code = 0x02,
					     .subclass = 0x80,
					     .revision = 7};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	*state = fixture;
	fixture->bus = pci_bus_create(NULL);
	if (!fixture->bus)
		return -1;
	pci_device_init(&fixture->probe.device, &ops, &identity, BAR_SIZE);
	pci_device_init(&fixture->other.device, &ops, &identity, OTHER_BAR_SIZE);
	if (pci_bus_add(fixture->bus, &fixture->probe.device, SLOT, NULL) < 0)
		return -1;
	return pci_bus_add(fixture->bus, &fixture->other.device, OTHER_SLOT, NULL);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	pci_bus_destroy(fixture->bus);
	free(fixture);
	return 0;
}

/* Configuration space by ECAM. */
static uint64_t ecam(unsigned int slot, unsigned int function, unsigned int offset)
{
	return (slot * 8ull + function) << 12 | offset;
}

static uint32_t config(struct fixture *fixture, unsigned int slot, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	pci_bus_ecam(fixture->bus, ecam(slot, 0, offset), &value, size, false);
	return value;
}

static void set_config(struct fixture *fixture, unsigned int slot, unsigned int offset, unsigned int size,
		       uint32_t value)
{
	pci_bus_ecam(fixture->bus, ecam(slot, 0, offset), &value, size, true);
}

static uint32_t port(struct fixture *fixture, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	pci_bus_port(fixture->bus, offset, &value, size, false);
	return value;
}

static void set_port(struct fixture *fixture, unsigned int offset, unsigned int size, uint32_t value)
{
	pci_bus_port(fixture->bus, offset, &value, size, true);
}

static bool bar_is_at(struct fixture *fixture, uint64_t address)
{
	uint32_t value;

	return pci_bus_memory(fixture->bus, address, &value, sizeof(value), false);
}

static void header_says_who_it_is(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(config(fixture, SLOT, 0x00, 4), 0x10411af4);
	assert_int_equal(config(fixture, SLOT, 0x08, 4), 0x02800007);
	assert_int_equal(config(fixture, SLOT, 0x0e, 1), 0x00); /* One function, type 0. */
	assert_int_equal(config(fixture, SLOT, 0x2c, 4), 0x10421af5);
	assert_int_equal(config(fixture, SLOT, 0x3d, 1), 0); /* No pin. */
	assert_int_equal(config(fixture, SLOT, PCI_CONFIG_COMMAND, 2), 0);
	assert_int_equal(config(fixture, SLOT, PCI_CONFIG_STATUS, 2), 0); /* No capabilities as yet. */
	assert_int_equal(config(fixture, 0, 0x0a, 2), 0x0600);            /* The host bridge. */
	assert_int_equal(config(fixture, 0, PCI_CONFIG_BAR0, 4), 0);
}

/* Ones and zeroes written to every byte change what is writable, and nothing else. */
static void masks_hold(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		uint8_t offset, mask;
	} writable[] = {{0x04, 0x06}, {0x05, 0x04}, {0x0c, 0xff}, {0x11, 0xc0},
			{0x12, 0xff}, {0x13, 0xff}, {0x3c, 0xff}};

	for (unsigned int offset = 0; offset < PCI_CONFIG_SIZE; offset++) {
		uint8_t mask = 0, before = (uint8_t)config(fixture, SLOT, offset, 1);

		for (size_t i = 0; i < sizeof(writable) / sizeof(writable[0]); i++)
			mask |= writable[i].offset == offset ? writable[i].mask : 0;
		set_config(fixture, SLOT, offset, 1, 0xff);
		assert_int_equal(config(fixture, SLOT, offset, 1), (before & ~mask) | mask);
		set_config(fixture, SLOT, offset, 1, 0x00);
		assert_int_equal(config(fixture, SLOT, offset, 1), before & ~mask);
	}
}

static void bar_tells_its_size(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(config(fixture, SLOT, PCI_CONFIG_BAR0, 4), PCI_WINDOW_BASE + SLOT * 0x10000);
	set_config(fixture, SLOT, PCI_CONFIG_BAR0, 4, 0xffffffff);
	assert_int_equal(config(fixture, SLOT, PCI_CONFIG_BAR0, 4), ~(BAR_SIZE - 1)); /* 32-bit, not prefetchable. */
	for (unsigned int offset = PCI_CONFIG_BAR0 + 4; offset < 0x28; offset += 4) {
		set_config(fixture, SLOT, offset, 4, 0xffffffff);
		assert_int_equal(config(fixture, SLOT, offset, 4), 0);
	}
	set_config(fixture, SLOT, 0x30, 4, 0xffffffff); /* No ROM. */
	assert_int_equal(config(fixture, SLOT, 0x30, 4), 0);
	assert_int_equal(fixture->probe.moves, 0); /* Decoding is off all the while. */
}

static void bars_are_laid_out_apart_and_aligned(void **state)
{
	struct fixture *fixture = *state;
	uint32_t bar = config(fixture, SLOT, PCI_CONFIG_BAR0, 4),
		 other = config(fixture, OTHER_SLOT, PCI_CONFIG_BAR0, 4);

	assert_int_equal(bar % BAR_SIZE, 0);
	assert_int_equal(other % OTHER_BAR_SIZE, 0);
	assert_true(other >= bar + BAR_SIZE || bar >= other + OTHER_BAR_SIZE);
	assert_in_range(other, PCI_WINDOW_BASE, PCI_WINDOW_BASE + PCI_WINDOW_SIZE - OTHER_BAR_SIZE);
}

static void bar_follows_command_and_address(void **state)
{
	struct fixture *fixture = *state;
	uint64_t first = PCI_WINDOW_BASE + SLOT * 0x10000, second = PCI_WINDOW_BASE + 0x800000;

	assert_false(bar_is_at(fixture, first));
	set_config(fixture, SLOT, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE);
	assert_true(bar_is_at(fixture, first));
	assert_int_equal(fixture->probe.moves, 1);
	assert_int_equal(fixture->probe.moved_from, 0);
	assert_int_equal(fixture->probe.moved_to, first);

	set_config(fixture, SLOT, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE | PCI_COMMAND_BUS_MASTER);
	assert_int_equal(fixture->probe.moves, 1); /* It did not move. */

	set_config(fixture, SLOT, PCI_CONFIG_BAR0, 4, (uint32_t)second | 0xfff); /* Bits below the size are not kept. */
	assert_int_equal(fixture->probe.moves, 2);
	assert_int_equal(fixture->probe.moved_from, first);
	assert_int_equal(fixture->probe.moved_to, second);
	assert_false(bar_is_at(fixture, first));
	assert_true(bar_is_at(fixture, second));

	set_config(fixture, SLOT, PCI_CONFIG_COMMAND, 2, 0);
	assert_int_equal(fixture->probe.moved_to, 0);
	assert_false(bar_is_at(fixture, second));
	set_config(fixture, SLOT, PCI_CONFIG_BAR0, 4, (uint32_t)first); /* Moved while off. */
	set_config(fixture, SLOT, PCI_CONFIG_COMMAND, 1, PCI_COMMAND_MEMORY_SPACE);
	assert_true(bar_is_at(fixture, first));
	assert_int_equal(fixture->probe.moves, 4);
}

static void bar_accesses_are_within(void **state)
{
	struct fixture *fixture = *state;
	struct probe *probe = &fixture->probe;
	uint64_t bar = PCI_WINDOW_BASE + SLOT * 0x10000;
	uint64_t value = 0x1122334455667788;

	set_config(fixture, SLOT, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE);
	assert_true(pci_bus_memory(fixture->bus, bar + BAR_SIZE - 8, &value, 8, true));
	assert_true(probe->was_write);
	assert_int_equal(probe->offset, BAR_SIZE - 8);
	assert_memory_equal(probe->data, &value, 8);
	assert_true(pci_bus_memory(fixture->bus, bar + 3, &value, 1, false));
	assert_false(probe->was_write);
	assert_int_equal(probe->offset, 3);
	assert_int_equal(value, 0x112233445566775a);
	/* Neither before nor behind it, nor across its end. */
	assert_false(pci_bus_memory(fixture->bus, bar - 1, &value, 1, false));
	assert_false(pci_bus_memory(fixture->bus, bar - 2, &value, 4, false));
	assert_false(pci_bus_memory(fixture->bus, bar + BAR_SIZE, &value, 1, false));
	assert_false(pci_bus_memory(fixture->bus, bar + BAR_SIZE - 2, &value, 4, false));
	assert_false(pci_bus_memory(fixture->bus, UINT64_MAX, &value, 8, false));
	assert_false(pci_bus_memory(fixture->bus, 0, &value, 4, false));
}

/* A guest may put a BAR anywhere, at the end of the address space and over another too. */
static void bars_anywhere(void **state)
{
	struct fixture *fixture = *state;
	static const uint32_t places[] = {0x4000, 0xffffc000, 0xfee00000, PCI_ECAM_BASE,
					  PCI_WINDOW_BASE + OTHER_SLOT * 0x10000};
	uint64_t value;

	set_config(fixture, SLOT, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE);
	set_config(fixture, OTHER_SLOT, PCI_CONFIG_COMMAND, 2, PCI_COMMAND_MEMORY_SPACE);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		set_config(fixture, SLOT, PCI_CONFIG_BAR0, 4, places[i]);
		assert_int_equal(fixture->probe.moved_to, places[i]);
		assert_true(bar_is_at(fixture, places[i] + (uint64_t)BAR_SIZE - 4));
		assert_false(pci_bus_memory(fixture->bus, places[i] + (uint64_t)BAR_SIZE, &value, 8, false));
	}
	set_config(fixture, SLOT, PCI_CONFIG_BAR0, 4, 0);
	assert_int_equal(fixture->probe.moved_to, 0); /* At 0 is nowhere. */
	assert_false(bar_is_at(fixture, 0));
}

static void capabilities_are_a_list(void **state)
{
	struct fixture *fixture = *state;
	struct pci_device *device = &fixture->probe.device;
	static const uint8_t body[14] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
	static const struct {
		uint8_t id;
		size_t size;
	} added[] = {{0x09, 16}, {0x09, 5}, {0x11, 12}, {0x05, 2}};
	unsigned int at[4], next;

	for (size_t i = 0; i < 4; i++)
		at[i] = pci_device_add_capability(device, added[i].id, body, added[i].size);
	assert_int_equal(config(fixture, SLOT, PCI_CONFIG_STATUS, 2), 0x10);
	next = config(fixture, SLOT, PCI_CONFIG_CAPABILITIES, 1);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(next, at[i]);
		assert_int_equal(next % 4, 0);
		assert_true(next >= 0x40);
		assert_int_equal(config(fixture, SLOT, next, 1), added[i].id);
		for (unsigned int j = 2; j < added[i].size; j++)
			assert_int_equal(config(fixture, SLOT, next + j, 1), body[j - 2]);
		if (i > 0)
			assert_true(at[i] >= at[i - 1] + added[i - 1].size);
		next = config(fixture, SLOT, next + 1, 1);
	}
	assert_int_equal(next, 0);
}

/* Configuration space filled to its last byte: nothing wraps around to the header. */
static void capabilities_fill_the_space(void **state)
{
	struct fixture *fixture = *state;
	static const uint8_t body[62];

	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(pci_device_add_capability(&fixture->probe.device, 9, body, 64), 0x40 + i * 64);
	assert_int_equal(config(fixture, SLOT, 0x00, 4), 0x10411af4);
	assert_true(fixture->probe.device.next_free == PCI_CONFIG_SIZE);
}

static void absent_devices_are_ones(void **state)
{
	struct fixture *fixture = *state;
	uint32_t value;

	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		if (slot == SLOT || slot == OTHER_SLOT)
			continue;
		assert_int_equal(config(fixture, slot, 0, 4), 0xffffffff);
		set_config(fixture, slot, PCI_CONFIG_COMMAND, 4, 0xffffffff); /* Goes nowhere. */
	}
	for (unsigned int function = 1; function < 8; function++) {
		value = 0;
		pci_bus_ecam(fixture->bus, ecam(SLOT, function, 0), &value, 4, false);
		assert_int_equal(value, 0xffffffff);
	}
	value = 0; /* Bus 1, beyond this ECAM's one. */
	pci_bus_ecam(fixture->bus, PCI_ECAM_SIZE, &value, 4, false);
	assert_int_equal(value, 0xffffffff);
}

static void space_beyond_256_bytes_is_empty(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(config(fixture, SLOT, 0x100, 4), 0);
	assert_int_equal(config(fixture, SLOT, 0xffc, 4), 0);
	set_config(fixture, SLOT, 0x100, 4, 0xffffffff);
	set_config(fixture, SLOT, 0xfe, 4, 0xffffffff); /* Across the end. */
	assert_int_equal(config(fixture, SLOT, 0xfe, 4), 0);
	assert_int_equal(config(fixture, SLOT, 0xfe, 2), 0);
	assert_int_equal(fixture->probe.config_writes, 0);
}

static void ports_reach_the_same_space(void **state)
{
	struct fixture *fixture = *state;

	set_port(fixture, 0, 4, 1u << 31 | SLOT << 11 | 0x2c);
	assert_int_equal(port(fixture, 0, 4), 1u << 31 | SLOT << 11 | 0x2c);
	assert_int_equal(port(fixture, 4, 4), 0x10421af5);
	assert_int_equal(port(fixture, 6, 2), 0x1042);
	assert_int_equal(port(fixture, 7, 1), 0x10);
	set_port(fixture, 0, 4, 1u << 31 | SLOT << 11 | PCI_CONFIG_COMMAND);
	set_port(fixture, 4, 2, PCI_COMMAND_MEMORY_SPACE);
	assert_int_equal(config(fixture, SLOT, PCI_CONFIG_COMMAND, 2), PCI_COMMAND_MEMORY_SPACE);
	assert_int_equal(fixture->probe.moves, 1);
	/* The two lowest bits of the address register do not count. */
	set_port(fixture, 0, 4, 1u << 31 | SLOT << 11 | 0x03);
	assert_int_equal(port(fixture, 4, 4), 0x10411af4);
}

static void ports_that_lead_nowhere(void **state)
{
	struct fixture *fixture = *state;
	static const uint32_t absent[] = {1u << 31 | 1 << 11, 1u << 31 | SLOT << 11 | 1 << 8,
					  1u << 31 | 1 << 16 | SLOT << 11, SLOT << 11};

	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) { /* Slot, function, bus; not enabled. */
		set_port(fixture, 0, 4, absent[i]);
		assert_int_equal(port(fixture, 4, 4), 0xffffffff);
		set_port(fixture, 4, 4, 0);
	}
	assert_int_equal(fixture->probe.config_writes, 0);
	/* Only the whole address register can be written, and a part of it is not there. */
	set_port(fixture, 0, 4, 1u << 31 | SLOT << 11);
	set_port(fixture, 0, 1, 0xff);
	set_port(fixture, 1, 2, 0xffff);
	assert_int_equal(port(fixture, 0, 4), 1u << 31 | SLOT << 11);
	assert_int_equal(port(fixture, 1, 1), 0xff);
	assert_int_equal(port(fixture, 4, 4), 0x10411af4);
	assert_int_equal(port(fixture, 6, 4), 0xffffffff); /* Beyond the last port. */
}

static void devices_are_asked_and_told(void **state)
{
	struct fixture *fixture = *state;

	config(fixture, SLOT, 0, 4);
	assert_int_equal(fixture->probe.config_reads, 1);
	set_config(fixture, SLOT, 0x3c, 1, 9);
	assert_int_equal(fixture->probe.config_writes, 1);
	assert_int_equal(fixture->other.config_reads + fixture->other.config_writes, 0);
}

static void slots_are_taken_once(void **state)
{
	struct fixture *fixture = *state;
	struct probe probe = {.moves = 0};
	struct error error;

	pci_device_init(&probe.device, &ops, &identity, 0);
	assert_true(pci_bus_add(fixture->bus, &probe.device, SLOT, &error) < 0);
	assert_true(pci_bus_add(fixture->bus, &probe.device, 0, &error) < 0);
	assert_true(pci_bus_add(fixture->bus, &probe.device, PCI_SLOTS, &error) < 0);
}

static void bus_destroys_its_devices(void **state)
{
	struct pci_bus *bus = pci_bus_create(NULL);
	struct probe probe = {.moves = 0};

	(void)state;
	pci_device_init(&probe.device, &ops, &identity, BAR_SIZE);
	assert_int_equal(pci_bus_add(bus, &probe.device, 1, NULL), 0);
	pci_bus_destroy(bus);
	assert_int_equal(probe.destroyed, 1);
	pci_bus_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(header_says_who_it_is),
		TEST(masks_hold),
		TEST(bar_tells_its_size),
		TEST(bars_are_laid_out_apart_and_aligned),
		TEST(bar_follows_command_and_address),
		TEST(bar_accesses_are_within),
		TEST(bars_anywhere),
		TEST(capabilities_are_a_list),
		TEST(capabilities_fill_the_space),
		TEST(absent_devices_are_ones),
		TEST(space_beyond_256_bytes_is_empty),
		TEST(ports_reach_the_same_space),
		TEST(ports_that_lead_nowhere),
		TEST(devices_are_asked_and_told),
		TEST(slots_are_taken_once),
		cmocka_unit_test(bus_destroys_its_devices),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
