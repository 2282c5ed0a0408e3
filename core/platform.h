/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLATFORM_H
#define CORE_PLATFORM_H 1

/* The machine model: addresses that the loader, the ACPI tables and the port dispatch must agree on.
 *
 *      0x00000000  RAM, less the pages below
 *      0xc0000000  BARs                        (core/pci.h)
 *      0xe0000000  ECAM of bus 0               (core/pci.h)
 *      0xfec00000  IOAPIC, 0xfee00000 local APIC (in KVM)
 *
 * A change here that a running guest could see makes PLATFORM_VERSION another. */

#define PLATFORM_VERSION 3

/* Low memory, filled in by core/boot.c and core/acpi.c. */
#define PLATFORM_GDT 0x500ull
#define PLATFORM_BOOT_PARAMS 0x7000ull
#define PLATFORM_BOOT_STACK 0x8ff0ull
#define PLATFORM_PAGE_TABLES 0x9000ull /* Six pages: PML4, PDPT, four PDs. */
#define PLATFORM_CMDLINE 0x20000ull
#define PLATFORM_CMDLINE_SIZE 2048u /* With the final NUL; Linux takes no more. */
#define PLATFORM_LOW_END 0x9fc00ull /* RAM the guest may use ends here; the rest to 1 MiB is reserved. */
#define PLATFORM_ACPI 0xe0000ull    /* RSDP first. */
#define PLATFORM_ACPI_SIZE 0x8000ull
#define PLATFORM_RESET_STUB 0xffff0ull /* Where a CPU reset lands in real mode. */
#define PLATFORM_HIGH_START 0x100000ull

/* KVM keeps these pages to itself. */
#define PLATFORM_KVM_IDENTITY_MAP 0xfffbc000ull
#define PLATFORM_KVM_TSS 0xfffbd000ull

/* Ports. */
#define PLATFORM_PORT_KEYBOARD_COMMAND 0x64 /* 0xfe written here resets. */
#define PLATFORM_KEYBOARD_RESET 0xfe
#define PLATFORM_PORT_UART 0x3f8
#define PLATFORM_PORT_RESET_CONTROL 0xcf9
#define PLATFORM_PORT_PCI_CONFIG 0xcf8 /* Eight ports; 0xcf9 as a byte is reset control. */
#define PLATFORM_PORT_ACPI_RESET 0x600 /* FADT RESET_REG. */
#define PLATFORM_ACPI_RESET_VALUE 1
#define PLATFORM_PORT_SLEEP_CONTROL 0x601
#define PLATFORM_PORT_SLEEP_STATUS 0x602
#define PLATFORM_SLEEP_ENABLE 0x20 /* SLP_EN in SLEEP_CONTROL_REG (ACPI 6.4, 4.8.3.7). */

#define PLATFORM_IRQ_UART 4

#endif /* platform.h */
