/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables as a guest finds them: from the RSDP by pointers and checksums alone, offsets by ACPI 6.4, chapter 5.
 * The AML is for iasl to judge, where that is installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/acpi.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/pci.h"
#include "core/platform.h"

#define HEADER_SIZE 36
#define MEMORY_SIZE (2u << 20)

struct table {
	const uint8_t *at;
	uint32_t size;
};

static int set_up(void **state)
{
	struct guest_memory *memory = calloc(1, sizeof(*memory));

	*state = memory;
	return memory ? guest_memory_init(memory, MEMORY_SIZE, NULL) : -1;
}

static int tear_down(void **state)
{
	guest_memory_release(*state);
	free(*state);
	return 0;
}

static uint64_t number(const uint8_t *at, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static uint8_t sum(const uint8_t *at, uint32_t size)
{
	uint8_t total = 0;

	while (size-- > 0)
		total = (uint8_t)(total + *at++);
	return total;
}

static const uint8_t *slice(const struct guest_memory *memory, uint64_t address, uint32_t size)
{
	const uint8_t *at = guest_memory_slice(memory, address, size);

	if (!at) {
		fail_msg("%#llx is no RAM", (unsigned long long)address);
		abort(); /* For the analyzer, which does not know that fail_msg() never returns. */
	}
	return at;
}

/* Reads the table at a guest-physical address, which must be whole. */
static struct table table_at(const struct guest_memory *memory, uint64_t address)
{
	struct table table = {.at = slice(memory, address, HEADER_SIZE)};

	table.size = (uint32_t)number(table.at + 4, 4);
	assert_true(table.size >= HEADER_SIZE);
	assert_in_range(address, PLATFORM_ACPI, PLATFORM_ACPI + PLATFORM_ACPI_SIZE - table.size);
	assert_int_equal(sum(table.at, table.size), 0);
	return table;
}

static struct table xsdt(const struct guest_memory *memory)
{
	const uint8_t *rsdp = slice(memory, PLATFORM_ACPI, 36);
	struct table table;

	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(rsdp[15], 2);
	assert_int_equal(number(rsdp + 16, 4), 0); /* No RSDT. */
	assert_int_equal(number(rsdp + 20, 4), 36);
	table = table_at(memory, number(rsdp + 24, 8));
	assert_memory_equal(table.at, "XSDT", 4);
	return table;
}

static struct table find_table(const struct guest_memory *memory, const char *signature)
{
	struct table tables = xsdt(memory), found = {.at = NULL};

	assert_int_equal((tables.size - HEADER_SIZE) % 8, 0);
	for (uint32_t at = HEADER_SIZE; at < tables.size; at += 8) {
		struct table table = table_at(memory, number(tables.at + at, 8));

		if (memcmp(table.at, signature, 4) != 0)
			continue;
		assert_null(found.at); /* There is one of each. */
		found = table;
	}
	if (!found.at) {
		fail_msg("there is no %s", signature);
		abort();
	}
	return found;
}

static struct table find_dsdt(const struct guest_memory *memory)
{
	struct table table = table_at(memory, number(find_table(memory, "FACP").at + 140, 8));

	assert_memory_equal(table.at, "DSDT", 4);
	return table;
}

static void write_tables(const struct guest_memory *memory, unsigned int cpus)
{
	struct error error = {.class = ERROR_NONE};

	assert_int_equal(acpi_write(memory, cpus, &error), 0);
}

static void tables_are_found(void **state)
{
	const struct guest_memory *memory = *state;

	write_tables(memory, 1);
	assert_int_equal(xsdt(memory).size, HEADER_SIZE + 3 * 8);
	assert_int_equal(find_table(memory, "FACP").at[8], 6);
	assert_int_equal(find_table(memory, "APIC").at[8], 5);
	assert_int_equal(find_table(memory, "MCFG").at[8], 1);
	assert_int_equal(find_dsdt(memory).at[8], 2);
}

static void expect_port(const uint8_t *at, uint64_t port)
{
	assert_int_equal(at[0], 1); /* System I/O. */
	assert_int_equal(at[1], 8); /* Bits. */
	assert_int_equal(at[2], 0);
	assert_int_equal(at[3], 1); /* Byte access. */
	assert_int_equal(number(at + 4, 8), port);
}

static void fixed_description(void **state)
{
	const struct guest_memory *memory = *state;
	struct table fadt;

	write_tables(memory, 1);
	fadt = find_table(memory, "FACP");
	assert_int_equal(fadt.size, 276);
	assert_int_equal(number(fadt.at + 36, 4), 0); /* No FACS, and the DSDT by its 64-bit pointer. */
	assert_int_equal(number(fadt.at + 40, 4), 0);
	assert_int_equal(number(fadt.at + 132, 8), 0);
	assert_int_equal(number(fadt.at + 109, 2), 0x24); /* Neither VGA nor RTC; nor 8042, nor legacy devices. */
	/* WBINVD, no buttons, reset register, hardware-reduced. */
	assert_int_equal(number(fadt.at + 112, 4), 1 << 0 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20);
	expect_port(fadt.at + 116, PLATFORM_PORT_ACPI_RESET);
	assert_int_equal(fadt.at[128], PLATFORM_ACPI_RESET_VALUE);
	assert_int_equal(fadt.at[131], 4);
	for (unsigned int offset = 148; offset < 244; offset++) /* No fixed hardware. */
		assert_int_equal(fadt.at[offset], 0);
	expect_port(fadt.at + 244, PLATFORM_PORT_SLEEP_CONTROL);
	expect_port(fadt.at + 256, PLATFORM_PORT_SLEEP_STATUS);
}

static void expect_processors(const struct guest_memory *memory, unsigned int cpus)
{
	struct table madt;
	unsigned int found = 0, io_apics = 0;

	write_tables(memory, cpus);
	madt = find_table(memory, "APIC");
	assert_int_equal(number(madt.at + 36, 4), 0xfee00000);
	assert_int_equal(number(madt.at + 40, 4), 0); /* No 8259. */
	for (uint32_t at = 44; at < madt.size; at += madt.at[at + 1]) {
		const uint8_t *entry = madt.at + at;

		assert_true(entry[1] >= 2 && at + entry[1] <= madt.size);
		if (entry[0] == 0) {
			assert_int_equal(entry[1], 8);
			assert_int_equal(entry[2], found);
			assert_int_equal(entry[3], found++);
			assert_int_equal(number(entry + 4, 4), 1);
		} else {
			assert_int_equal(entry[0], 1);
			assert_int_equal(entry[1], 12);
			assert_int_equal(number(entry + 4, 4), 0xfec00000);
			assert_int_equal(number(entry + 8, 4), 0); /* Its first GSI. */
			io_apics++;
		}
	}
	assert_int_equal(found, cpus);
	assert_int_equal(io_apics, 1);
}

static void processors(void **state)
{
	for (unsigned int cpus = 1; cpus <= MACHINE_CPUS_MAX; cpus++)
		expect_processors(*state, cpus);
}

static void configuration_space(void **state)
{
	const struct guest_memory *memory = *state;
	struct table mcfg;

	write_tables(memory, 1);
	mcfg = find_table(memory, "MCFG");
	assert_int_equal(mcfg.size, HEADER_SIZE + 8 + 16);
	assert_int_equal(number(mcfg.at + 44, 8), PCI_ECAM_BASE);
	assert_int_equal(number(mcfg.at + 52, 2), 0); /* Segment. */
	assert_int_equal(mcfg.at[54], 0);             /* First and last bus. */
	assert_int_equal(mcfg.at[55], PCI_ECAM_SIZE / (PCI_SLOTS * 8 * 4096) - 1);
}

static void too_many_processors(void **state)
{
	const struct guest_memory *memory = *state;
	struct error error = {.class = ERROR_NONE};
	const uint8_t *behind = slice(memory, PLATFORM_ACPI + PLATFORM_ACPI_SIZE, 4096);

	assert_true(acpi_write(memory, PLATFORM_ACPI_SIZE / 8, &error) < 0);
	assert_int_not_equal(error.class, ERROR_NONE);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(behind[i], 0);
}

static void too_little_memory(void **state)
{
	struct guest_memory memory;
	struct error error;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, PLATFORM_ACPI + 4096, &error), 0);
	assert_true(acpi_write(&memory, 1, &error) < 0);
	guest_memory_release(&memory);
}

static void save(const char *name, struct table table)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(table.at, 1, table.size, file), table.size);
	assert_int_equal(fclose(file), 0);
}

/* Runs a command in the current folder and prints what it said if it failed. */
static void expect_success(const char *command)
{
	int status = system(command); /* NOLINT(cert-env33-c): the command is a constant. */

	if (status != 0)
		(void)!system("cat output >&2"); /* NOLINT(cert-env33-c) */
	assert_int_equal(status, 0);
}

static void remove_folder(const char *path)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;

	assert_non_null(folder);
	while ((entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
	rmdir(path);
}

/* What iasl takes apart it must be able to put together again, without an error. */
static void iasl_reads_them(void **state)
{
	const struct guest_memory *memory = *state;
	char folder[] = "/tmp/netlab-acpi-XXXXXX", before[4096];

	if (system("command -v iasl >/dev/null") != 0) /* NOLINT(cert-env33-c) */
		skip();
	write_tables(memory, 2);
	assert_non_null(getcwd(before, sizeof(before)));
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	save("dsdt.dat", find_dsdt(memory));
	save("facp.dat", find_table(memory, "FACP"));
	save("apic.dat", find_table(memory, "APIC"));
	save("mcfg.dat", find_table(memory, "MCFG"));
	save("xsdt.dat", xsdt(memory));
	expect_success("iasl -d dsdt.dat facp.dat apic.dat mcfg.dat xsdt.dat >output 2>&1");
	expect_success("! grep -iE 'error|invalid|warning|unknown' output");
	expect_success("iasl -p again dsdt.dsl >output 2>&1");
	expect_success("grep -q ' 0 Errors, 0 Warnings' output");
	assert_int_equal(chdir(before), 0);
	remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tables_are_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fixed_description, set_up, tear_down),
		cmocka_unit_test_setup_teardown(processors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(configuration_space, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_processors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_little_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(iasl_reads_them, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
