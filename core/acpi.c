/* SPDX-License-Identifier: Apache-2.0 */
#include "core/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/memory.h"
#include "core/pci.h"
#include "core/platform.h"

/* Theory of operation
 * -------------------
 * Tables are appended to one buffer, little-endian, each beginning with the 36-byte header whose length and
 * checksum are filled in when it is complete.  A buffer that overflows is noted and reported once at the end.
 *
 * AML (ACPI 6.4, chapter 20) is written by hand: a package's length field is always the three-byte form, kept free and
 * filled in at the end. */

#define AML_NAME 0x08
#define AML_BYTE 0x0a
#define AML_WORD 0x0b
#define AML_DWORD 0x0c
#define AML_STRING 0x0d
#define AML_SCOPE 0x10
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_EXTENDED 0x5b
#define AML_DEVICE 0x82 /* After AML_EXTENDED. */

#define HEADER_SIZE 36
#define TABLE_ALIGNMENT 16

#define ADDRESS_SPACE_IO 1

#define FADT_SIZE 276
#define FADT_WBINVD (1u << 0)
#define FADT_POWER_BUTTON (1u << 4) /* Set: there is no fixed one. */
#define FADT_SLEEP_BUTTON (1u << 5)
#define FADT_RESET_REGISTER (1u << 10)
#define FADT_HARDWARE_REDUCED (1u << 20)
#define FADT_NO_VGA (1u << 2) /* IAPC_BOOT_ARCH. */
#define FADT_NO_CMOS_RTC (1u << 5)

struct tables {
	uint8_t *at;   /* Guest memory at PLATFORM_ACPI. */
	uint32_t size; /* Bytes written. */
	bool overflow;
};

static void put(struct tables *tables, const void *data, uint32_t size)
{
	if (size > PLATFORM_ACPI_SIZE - tables->size) {
		tables->overflow = true;
		return;
	}
	memcpy(tables->at + tables->size, data, size);
	tables->size += size;
}

static void put_8(struct tables *tables, uint8_t value)
{
	put(tables, &value, sizeof(value));
}

static void put_16(struct tables *tables, uint16_t value)
{
	put(tables, &value, sizeof(value));
}

static void put_32(struct tables *tables, uint32_t value)
{
	put(tables, &value, sizeof(value));
}

static void put_64(struct tables *tables, uint64_t value)
{
	put(tables, &value, sizeof(value));
}

static void put_zeroes(struct tables *tables, unsigned int count)
{
	while (count-- > 0)
		put_8(tables, 0);
}

/* The Generic Address Structure (5.2.3.2) of a byte-wide port. */
static void put_port(struct tables *tables, uint16_t port)
{
	put_8(tables, ADDRESS_SPACE_IO);
	put_8(tables, 8); /* Width in bits. */
	put_8(tables, 0);
	put_8(tables, 1); /* Byte access. */
	put_64(tables, port);
}

static uint8_t checksum(const uint8_t *at, uint32_t size)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + at[i]);
	return (uint8_t)-sum;
}

/* Returns the table's offset. */
static uint32_t table_begin(struct tables *tables, const char *signature, uint8_t revision)
{
	uint32_t start;

	while (tables->size % TABLE_ALIGNMENT != 0 && !tables->overflow)
		put_8(tables, 0);
	start = tables->size;
	put(tables, signature, 4);
	put_32(tables, 0);
	put_8(tables, revision);
	put_8(tables, 0);
	put(tables, "NETLAB", 6);
	put(tables, "NETLABVM", 8);
	put_32(tables, PLATFORM_VERSION);
	put(tables, "NLAB", 4);
	put_32(tables, PLATFORM_VERSION);
	return start;
}

/* Returns the table's guest-physical address. */
static uint64_t table_end(struct tables *tables, uint32_t start)
{
	uint32_t size = tables->size - start;

	if (!tables->overflow) {
		memcpy(tables->at + start + 4, &size, sizeof(size));
		tables->at[start + 9] = checksum(tables->at + start, size);
	}
	return PLATFORM_ACPI + start;
}

static uint32_t package_begin(struct tables *tables)
{
	uint32_t start = tables->size;

	put_zeroes(tables, 3);
	return start;
}

static void package_end(struct tables *tables, uint32_t start)
{
	uint32_t size = tables->size - start;

	if (tables->overflow)
		return;
	tables->at[start] = (uint8_t)(0x80 | (size & 0x0f));
	tables->at[start + 1] = (uint8_t)(size >> 4);
	tables->at[start + 2] = (uint8_t)(size >> 12);
}

static void put_name(struct tables *tables, const char *name)
{
	put_8(tables, AML_NAME);
	put(tables, name, 4);
}

static uint32_t device_begin(struct tables *tables, const char *name)
{
	uint32_t start;

	put_8(tables, AML_EXTENDED);
	put_8(tables, AML_DEVICE);
	start = package_begin(tables);
	put(tables, name, 4);
	return start;
}

/* A compressed EISA id (6.1.5), "PNP0A08". */
static void put_eisa_id(struct tables *tables, const char *name, const char *id)
{
	uint32_t number = 0;

	for (int i = 3; i < 7; i++)
		number = number << 4 | (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
	number |= (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 | (uint32_t)(id[2] - '@') << 16;
	put_name(tables, name);
	put_8(tables, AML_DWORD);
	put_32(tables, __builtin_bswap32(number));
}

static void put_named_byte(struct tables *tables, const char *name, uint8_t value)
{
	put_name(tables, name);
	put_8(tables, AML_BYTE);
	put_8(tables, value);
}

struct resources {
	uint32_t package, length;
};

/* _CRS: a buffer of resource descriptors (6.4). */
static struct resources resources_begin(struct tables *tables)
{
	struct resources resources;

	put_name(tables, "_CRS");
	put_8(tables, AML_BUFFER);
	resources.package = package_begin(tables);
	put_8(tables, AML_WORD);
	resources.length = tables->size;
	put_16(tables, 0);
	return resources;
}

static void resources_end(struct tables *tables, struct resources resources)
{
	uint16_t size;

	put_8(tables, 0x79); /* End tag, checksum not used. */
	put_8(tables, 0);
	size = (uint16_t)(tables->size - resources.length - sizeof(size));
	if (!tables->overflow)
		memcpy(tables->at + resources.length, &size, sizeof(size));
	package_end(tables, resources.package);
}

static void put_io_ports(struct tables *tables, uint16_t port, uint8_t count)
{
	put_8(tables, 0x47);
	put_8(tables, 1); /* Decodes 16 bits. */
	put_16(tables, port);
	put_16(tables, port);
	put_8(tables, 1);
	put_8(tables, count);
}

static void put_interrupt(struct tables *tables, uint32_t gsi)
{
	put_8(tables, 0x89);
	put_16(tables, 6);
	put_8(tables, 0x03); /* Consumer, edge-triggered, active high. */
	put_8(tables, 1);
	put_32(tables, gsi);
}

static void put_fixed_memory(struct tables *tables, uint32_t address, uint32_t size)
{
	put_8(tables, 0x86);
	put_16(tables, 9);
	put_8(tables, 1); /* Writable. */
	put_32(tables, address);
	put_32(tables, size);
}

static void put_bus_numbers(struct tables *tables)
{
	put_8(tables, 0x88); /* Word address space. */
	put_16(tables, 13);
	put_8(tables, 2);    /* Bus numbers. */
	put_8(tables, 0x0c); /* Fixed minimum and maximum. */
	put_8(tables, 0);
	put_16(tables, 0);
	put_16(tables, 0);
	put_16(tables, 0);
	put_16(tables, 0);
	put_16(tables, 1);
}

static void put_memory_window(struct tables *tables, uint32_t address, uint32_t size)
{
	put_8(tables, 0x87); /* Double word address space. */
	put_16(tables, 23);
	put_8(tables, 0); /* Memory. */
	put_8(tables, 0x0c);
	put_8(tables, 1); /* Read and write, not cacheable. */
	put_32(tables, 0);
	put_32(tables, address);
	put_32(tables, address + size - 1);
	put_32(tables, 0);
	put_32(tables, size);
}

static void put_uart(struct tables *tables)
{
	uint32_t device = device_begin(tables, "COM1");
	struct resources resources;

	put_eisa_id(tables, "_HID", "PNP0501");
	put_named_byte(tables, "_UID", 0);
	resources = resources_begin(tables);
	put_interrupt(tables, PLATFORM_IRQ_UART);
	put_io_ports(tables, PLATFORM_PORT_UART, 8);
	resources_end(tables, resources);
	package_end(tables, device);
}

static void put_pci_root(struct tables *tables)
{
	uint32_t device = device_begin(tables, "PCI0");
	struct resources resources;

	put_eisa_id(tables, "_HID", "PNP0A08");
	put_eisa_id(tables, "_CID", "PNP0A03");
	put_named_byte(tables, "_SEG", 0);
	put_named_byte(tables, "_UID", 0);
	resources = resources_begin(tables);
	put_bus_numbers(tables);
	put_io_ports(tables, PLATFORM_PORT_PCI_CONFIG, 8);
	put_memory_window(tables, PCI_WINDOW_BASE, PCI_WINDOW_SIZE);
	resources_end(tables, resources);
	package_end(tables, device);

	/* Linux uses ECAM only where ACPI reserves it (PCI Firmware 3.2, 4.1.2). */
	device = device_begin(tables, "MRES");
	put_eisa_id(tables, "_HID", "PNP0C02");
	resources = resources_begin(tables);
	put_fixed_memory(tables, PCI_ECAM_BASE, PCI_ECAM_SIZE);
	resources_end(tables, resources);
	package_end(tables, device);
}

static uint64_t put_dsdt(struct tables *tables)
{
	uint32_t start = table_begin(tables, "DSDT", 2);
	uint32_t package;

	put_8(tables, AML_SCOPE);
	package = package_begin(tables);
	put(tables, "\\_SB_", 5);
	put_uart(tables);
	put_pci_root(tables);
	package_end(tables, package);

	/* \_S5: soft-off has sleep type 5. */
	put_name(tables, "_S5_");
	put_8(tables, AML_PACKAGE);
	package = package_begin(tables);
	put_8(tables, 1);
	put_8(tables, AML_BYTE);
	put_8(tables, 5);
	package_end(tables, package);
	return table_end(tables, start);
}

static uint64_t put_fadt(struct tables *tables, uint64_t dsdt)
{
	uint32_t start = table_begin(tables, "FACP", 6);

	put_zeroes(tables, 109 - HEADER_SIZE);
	put_16(tables, FADT_NO_VGA | FADT_NO_CMOS_RTC);
	put_8(tables, 0);
	put_32(tables,
	       FADT_WBINVD | FADT_POWER_BUTTON | FADT_SLEEP_BUTTON | FADT_RESET_REGISTER | FADT_HARDWARE_REDUCED);
	put_port(tables, PLATFORM_PORT_ACPI_RESET);
	put_8(tables, PLATFORM_ACPI_RESET_VALUE);
	put_zeroes(tables, 2);
	put_8(tables, 4); /* Minor version. */
	put_64(tables, 0);
	put_64(tables, dsdt);
	put_zeroes(tables, 244 - 148); /* Fixed hardware: none. */
	put_port(tables, PLATFORM_PORT_SLEEP_CONTROL);
	put_port(tables, PLATFORM_PORT_SLEEP_STATUS);
	put(tables, "NETLABVM", 8);
	return table_end(tables, start);
}

static uint64_t put_madt(struct tables *tables, unsigned int cpus)
{
	uint32_t start = table_begin(tables, "APIC", 5);

	put_32(tables, 0xfee00000);
	put_32(tables, 0); /* No 8259 pair to be disabled. */
	for (unsigned int i = 0; i < cpus; i++) {
		put_8(tables, 0); /* Processor local APIC. */
		put_8(tables, 8);
		put_8(tables, (uint8_t)i);
		put_8(tables, (uint8_t)i);
		put_32(tables, 1); /* Enabled. */
	}
	put_8(tables, 1); /* IOAPIC. */
	put_8(tables, 12);
	put_8(tables, 0);
	put_8(tables, 0);
	put_32(tables, 0xfec00000);
	put_32(tables, 0);
	return table_end(tables, start);
}

static uint64_t put_mcfg(struct tables *tables)
{
	uint32_t start = table_begin(tables, "MCFG", 1);

	put_64(tables, 0);
	put_64(tables, PCI_ECAM_BASE);
	put_zeroes(tables, 8); /* Segment 0, buses 0 to 0. */
	return table_end(tables, start);
}

static void put_rsdp(uint8_t *at, uint64_t xsdt)
{
	const uint32_t size = 36;

	memset(at, 0, size);
	memcpy(at, "RSD PTR ", 8);
	memcpy(at + 9, "NETLAB", 6);
	at[15] = 2;
	memcpy(at + 20, &size, sizeof(size));
	memcpy(at + 24, &xsdt, sizeof(xsdt));
	at[8] = checksum(at, 20);
	at[32] = checksum(at, size);
}

int acpi_write(const struct guest_memory *memory, unsigned int cpus, struct error *error)
{
	struct tables tables = {.at = guest_memory_slice(memory, PLATFORM_ACPI, PLATFORM_ACPI_SIZE)};
	uint64_t entries[3];
	uint32_t start;

	if (!tables.at)
		return error_set(error, ERROR_USAGE, EINVAL, "too little memory for the ACPI tables");
	put_zeroes(&tables, 64); /* The RSDP's place. */
	entries[0] = put_fadt(&tables, put_dsdt(&tables));
	entries[1] = put_madt(&tables, cpus);
	entries[2] = put_mcfg(&tables);
	start = table_begin(&tables, "XSDT", 1);
	put(&tables, entries, sizeof(entries));
	put_rsdp(tables.at, table_end(&tables, start));
	if (tables.overflow)
		return error_set(error, ERROR_FAILED, ENOSPC, "the ACPI tables of %u processors do not fit", cpus);
	return 0;
}
