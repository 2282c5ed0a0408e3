/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ACPI_H
#define CORE_ACPI_H 1

/* Hardware-reduced ACPI (ACPI 6.4, 4.1): RSDP, XSDT, FADT, MADT, MCFG and a DSDT with the PCI root and the UART,
 * written to PLATFORM_ACPI.  No fixed hardware, no keyboard controller, no PIT or RTC: a guest probes for nothing that
 * is not there.
 *
 * Thread-safety: for the thread that builds the machine. */

#include "core/error.h"

struct guest_memory;

/* Writes the tables for 'cpus' processors with APIC ids 0, 1, ...  Returns 0 or a negative errno value with 'error'
 * set. */
int acpi_write(const struct guest_memory *memory, unsigned int cpus, struct error *error);

#endif /* acpi.h */
