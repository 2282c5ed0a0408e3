/* SPDX-License-Identifier: Apache-2.0 */
/* The boot loader, with kernels made here: what it puts where, and what it refuses.
 *
 * The ELF kernel has two segments at 1 MiB and 3 MiB, the second with 4 KiB of it in memory alone; the bzImage has one
 * sector of setup code and a payload, either that ELF file packed or something nobody knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <asm/bootparam.h>
#include <elf.h>
#include <lz4.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/boot.h"
#include "core/memory.h"
#include "core/pci.h"
#include "core/platform.h"

#define MIB (1u << 20)
#define MEMORY_SIZE (16 * MIB)
#define TEXT_ADDRESS (1ull * MIB)
#define DATA_ADDRESS (3ull * MIB)
#define TEXT_OFFSET 0x1000
#define TEXT_SIZE 0x800
#define DATA_OFFSET 0x1800
#define DATA_SIZE 0x400
#define BSS_SIZE 0x1000
#define KERNEL_END (DATA_ADDRESS + DATA_SIZE + BSS_SIZE)
#define ENTRY (TEXT_ADDRESS + 0x10)

#define SETUP_OFFSET 0x1f1
#define SETUP_SIZE 1024 /* Boot sector and one of setup code. */
#define PREFERRED (2ull * MIB)
#define INIT_SIZE (4u * MIB)

struct elf {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
	uint8_t rest[0x1c00 - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
};

struct fixture {
	struct guest_memory memory;
	struct elf elf;
	uint8_t bzimage[SETUP_SIZE + sizeof(struct elf) + 64];
	char folder[32];
	struct error error;
	struct setup_header setup;
	uint64_t entry, end;
};

static void make_elf(struct elf *elf)
{
	uint8_t *bytes = (uint8_t *)elf;

	*elf = (struct elf){
		.header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			   .e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_entry = ENTRY,
			   .e_phoff = offsetof(struct elf, segments),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 3},
		.segments = {{.p_type = PT_LOAD,
			      .p_offset = TEXT_OFFSET,
			      .p_vaddr = 0xffffffff81000000,
			      .p_paddr = TEXT_ADDRESS,
			      .p_filesz = TEXT_SIZE,
			      .p_memsz = TEXT_SIZE},
			     {.p_type = PT_NOTE, .p_offset = ~0ull, .p_filesz = ~0ull}, /* Nobody loads it. */
			     {.p_type = PT_LOAD,
			      .p_offset = DATA_OFFSET,
			      .p_paddr = DATA_ADDRESS,
			      .p_filesz = DATA_SIZE,
			      .p_memsz = DATA_SIZE + BSS_SIZE}},
	};
	memset(bytes + TEXT_OFFSET, 0x11, TEXT_SIZE);
	memset(bytes + DATA_OFFSET, 0x22, DATA_SIZE);
}

static struct setup_header *setup_of(struct fixture *fixture)
{
	return (struct setup_header *)(void *)(fixture->bzimage + SETUP_OFFSET);
}

/* A bzImage whose payload is 'size' bytes behind the setup code, put there by the caller. */
static void make_bzimage(struct fixture *fixture, uint32_t size)
{
	const struct setup_header setup = {
		.setup_sects = 1,
		.boot_flag = 0xaa55,
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.kernel_alignment = 0x200000,
		.xloadflags = XLF_KERNEL_64,
		.payload_length = size,
		.pref_address = PREFERRED,
		.init_size = INIT_SIZE,
	};

	memset(fixture->bzimage, 0, SETUP_SIZE);
	memcpy(fixture->bzimage + SETUP_OFFSET, &setup, sizeof(setup));
}

/* The payload: the ELF file as the kernel's build packs it, in two blocks, with the unpacked size at the end. */
static uint32_t pack_elf(struct fixture *fixture)
{
	const uint32_t magic = 0x184c2102, unpacked = sizeof(fixture->elf), half = sizeof(fixture->elf) / 2;
	uint8_t *at = fixture->bzimage + SETUP_SIZE;
	uint32_t size = sizeof(magic);

	memcpy(at, &magic, sizeof(magic));
	for (uint32_t from = 0; from < unpacked; from += half) {
		int packed = LZ4_compress_default((const char *)&fixture->elf + from, (char *)at + size + 4, (int)half,
						  4096);

		assert_true(packed > 0);
		memcpy(at + size, &packed, 4);
		size += 4 + (uint32_t)packed;
	}
	memcpy(at + size, &unpacked, sizeof(unpacked));
	return size + sizeof(unpacked);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	*state = fixture;
	make_elf(&fixture->elf);
	strcpy(fixture->folder, "/tmp/netlab-boot-XXXXXX");
	if (!mkdtemp(fixture->folder))
		return -1;
	return guest_memory_init(&fixture->memory, MEMORY_SIZE, NULL);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"kernel", "one", "two"};
	struct fixture *fixture = *state;
	char path[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->folder, names[i]);
		unlink(path);
	}
	rmdir(fixture->folder);
	guest_memory_release(&fixture->memory);
	free(fixture);
	return 0;
}

static int load(struct fixture *fixture, const void *image, size_t size)
{
	/* Of exactly that size, so that the sanitizers see a byte too far. */
	uint8_t *copy = malloc(size ? size : 1);
	struct boot_kernel kernel = {.image = copy, .size = size, .name = "KERNEL"};
	int result;

	assert_non_null(copy);
	memcpy(copy, image, size);
	fixture->error = (struct error){.class = ERROR_NONE};
	result = boot_load_kernel(&fixture->memory, &kernel, &fixture->setup, &fixture->entry, &fixture->end,
				  &fixture->error);
	free(copy);
	return result;
}

static void expect_refused(struct fixture *fixture, const void *image, size_t size, const char *what)
{
	assert_true(load(fixture, image, size) < 0);
	assert_non_null(strstr(fixture->error.text, "KERNEL"));
	if (!strstr(fixture->error.text, what))
		fail_msg("\"%s\" does not say \"%s\"", fixture->error.text, what);
}

static void expect_elf_loaded(const struct fixture *fixture)
{
	const uint8_t *memory = fixture->memory.base;

	assert_int_equal(fixture->entry, ENTRY);
	assert_int_equal(fixture->end, KERNEL_END);
	assert_memory_equal(memory + TEXT_ADDRESS, (const uint8_t *)&fixture->elf + TEXT_OFFSET, TEXT_SIZE);
	assert_int_equal(memory[TEXT_ADDRESS + TEXT_SIZE], 0);
	assert_memory_equal(memory + DATA_ADDRESS, (const uint8_t *)&fixture->elf + DATA_OFFSET, DATA_SIZE);
	for (unsigned int i = 0; i < BSS_SIZE; i++)
		assert_int_equal(memory[DATA_ADDRESS + DATA_SIZE + i], 0);
}

static void elf_is_loaded(void **state)
{
	struct fixture *fixture = *state;
	struct setup_header untouched = {0};

	assert_int_equal(load(fixture, &fixture->elf, sizeof(fixture->elf)), 0);
	expect_elf_loaded(fixture);
	assert_memory_equal(&fixture->setup, &untouched, sizeof(untouched));
}

static void elf_of_others_is_refused(void **state)
{
	struct fixture *fixture = *state;

	fixture->elf.header.e_machine = EM_AARCH64;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "not an x86-64 kernel");
	fixture->elf.header.e_machine = EM_X86_64;
	fixture->elf.header.e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "not an x86-64 kernel");
}

static void elf_headers_lie(void **state)
{
	struct fixture *fixture = *state;
	Elf64_Ehdr *header = &fixture->elf.header;
	const Elf64_Ehdr good = *header;

	expect_refused(fixture, &fixture->elf, SELFMAG, "cut off");
	expect_refused(fixture, &fixture->elf, sizeof(*header) - 1, "cut off");
	expect_refused(fixture, &fixture->elf, sizeof(*header) + 8, "beyond the end");
	header->e_phoff = ~0ull;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end");
	header->e_phoff = sizeof(fixture->elf);
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end");
	*header = good;
	header->e_phnum = 0xffff;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end");
	*header = good;
	header->e_phentsize = 32;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end");
	*header = good;
	header->e_entry = 0;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "entry point");
	header->e_entry = KERNEL_END;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "entry point");
	*header = good;
	header->e_phnum = 0;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "entry point");
}

static void elf_segments_lie(void **state)
{
	struct fixture *fixture = *state;
	Elf64_Phdr *segment = &fixture->elf.segments[2];
	const Elf64_Phdr good = *segment;

	segment->p_filesz = segment->p_memsz + 1;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "larger in the file");
	*segment = good;
	segment->p_offset = ~0ull;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end of the file");
	segment->p_offset = sizeof(fixture->elf) - DATA_SIZE + 1;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end of the file");
	*segment = good;
	segment->p_filesz = segment->p_memsz = ~0ull;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "beyond the end of the file");
	*segment = good;
	segment->p_paddr = PLATFORM_HIGH_START - 1;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "below 1 MiB");
	segment->p_paddr = 0xffffffff81000000;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "does not fit");
	segment->p_paddr = ~0ull;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "does not fit");
	segment->p_paddr = MEMORY_SIZE - DATA_SIZE - BSS_SIZE + 1;
	expect_refused(fixture, &fixture->elf, sizeof(fixture->elf), "needs 17 MiB");
	assert_int_equal(fixture->error.class, ERROR_USAGE);
	segment->p_paddr = MEMORY_SIZE - DATA_SIZE - BSS_SIZE;
	assert_int_equal(load(fixture, &fixture->elf, sizeof(fixture->elf)), 0);
}

static void bzimage_is_unpacked(void **state)
{
	struct fixture *fixture = *state;
	struct setup_header untouched = {0};
	uint32_t size = pack_elf(fixture);

	make_bzimage(fixture, size);
	assert_int_equal(load(fixture, fixture->bzimage, SETUP_SIZE + size), 0);
	expect_elf_loaded(fixture);
	assert_memory_equal(&fixture->setup, &untouched, sizeof(untouched));
}

static void bzimage_is_entered(void **state)
{
	struct fixture *fixture = *state;

	make_bzimage(fixture, 1024);
	memset(fixture->bzimage + SETUP_SIZE, 0x33, 4096);
	assert_int_equal(load(fixture, fixture->bzimage, SETUP_SIZE + 4096), 0);
	assert_int_equal(fixture->entry, PREFERRED + 0x200);
	assert_int_equal(fixture->end, PREFERRED + INIT_SIZE);
	assert_memory_equal(fixture->memory.base + PREFERRED, fixture->bzimage + SETUP_SIZE, 4096);
	assert_memory_equal(&fixture->setup, setup_of(fixture), sizeof(fixture->setup));
}

/* Four sectors, where the header says 0: as in the kernels of long ago. */
static void bzimage_with_default_setup_size(void **state)
{
	struct fixture *fixture = *state;

	make_bzimage(fixture, 64);
	setup_of(fixture)->setup_sects = 0;
	memset(fixture->bzimage + SETUP_SIZE, 0x44, 4096);
	assert_int_equal(load(fixture, fixture->bzimage, SETUP_SIZE + 4096), 0);
	assert_int_equal(fixture->memory.base[PREFERRED + 4096 - 1536 - 1], 0x44);
	assert_int_equal(fixture->memory.base[PREFERRED + 4096 - 1536], 0);
}

static void bzimage_headers_lie(void **state)
{
	struct fixture *fixture = *state;
	struct setup_header *setup = setup_of(fixture);
	const size_t size = SETUP_SIZE + 4096;

	make_bzimage(fixture, 64);
	setup->version = 0x020b;
	expect_refused(fixture, fixture->bzimage, size, "too old");
	make_bzimage(fixture, 64);
	setup->xloadflags = 0;
	expect_refused(fixture, fixture->bzimage, size, "64-bit");
	make_bzimage(fixture, 64);
	setup->setup_sects = 255;
	expect_refused(fixture, fixture->bzimage, size, "ends before");
	make_bzimage(fixture, 4097);
	expect_refused(fixture, fixture->bzimage, size, "payload lies beyond");
	make_bzimage(fixture, ~0u);
	expect_refused(fixture, fixture->bzimage, size, "payload lies beyond");
	make_bzimage(fixture, 64);
	setup->payload_offset = ~0u;
	expect_refused(fixture, fixture->bzimage, size, "payload lies beyond");
	make_bzimage(fixture, 64);
	setup->pref_address = PLATFORM_HIGH_START - 1;
	expect_refused(fixture, fixture->bzimage, size, "damaged");
	make_bzimage(fixture, 64);
	setup->init_size = 4095;
	expect_refused(fixture, fixture->bzimage, size, "damaged");
	make_bzimage(fixture, 64);
	setup->init_size = ~0u;
	expect_refused(fixture, fixture->bzimage, size, "does not fit");
	make_bzimage(fixture, 64);
	setup->pref_address = ~0ull;
	expect_refused(fixture, fixture->bzimage, size, "does not fit");
}

/* A damaged payload is refused or happens to unpack, but never more. */
static void damaged_payloads(void **state)
{
	struct fixture *fixture = *state;
	uint32_t size = pack_elf(fixture), block = 0x00800000;
	uint8_t *payload = fixture->bzimage + SETUP_SIZE;

	for (uint32_t at = 4; at < size; at++) {
		uint8_t before = payload[at];

		for (unsigned int bit = 0; bit < 8; bit += 3) {
			payload[at] = (uint8_t)(before ^ 1u << bit);
			make_bzimage(fixture, size);
			load(fixture, fixture->bzimage, SETUP_SIZE + size);
		}
		payload[at] = before;
	}
	for (uint32_t cut = 4; cut < size - 8; cut++) {
		make_bzimage(fixture, cut);
		assert_true(load(fixture, fixture->bzimage, SETUP_SIZE + cut) < 0);
	}
	make_bzimage(fixture, size);
	memcpy(payload + 4, &block, sizeof(block)); /* More than there is. */
	assert_true(load(fixture, fixture->bzimage, SETUP_SIZE + size) < 0);
}

static void other_files_are_refused(void **state)
{
	struct fixture *fixture = *state;
	static const char text[4096] = "#!/bin/sh\n";

	expect_refused(fixture, text, sizeof(text), "neither");
	expect_refused(fixture, text, 3, "neither");
	make_bzimage(fixture, 64);
	expect_refused(fixture, fixture->bzimage, SETUP_OFFSET + 20, "neither");
}

/* ---- All of it, from files ---- */

static const char *write_file(const struct fixture *fixture, const char *name, char path[64], const void *data,
			      size_t size)
{
	FILE *file;

	snprintf(path, 64, "%s/%s", fixture->folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}

static const struct boot_params *params_of(const struct fixture *fixture)
{
	return guest_memory_slice(&fixture->memory, PLATFORM_BOOT_PARAMS, sizeof(struct boot_params));
}

static int boot(struct fixture *fixture, const char *kernel, const char *const *initramfs, size_t count,
		const char *cmdline)
{
	const struct boot_options options = {.kernel = kernel,
					     .initramfs = initramfs,
					     .initramfs_count = count,
					     .cmdline = cmdline};

	return boot_load(&fixture->memory, &options, &fixture->entry, &fixture->error);
}

static void boot_params_are_filled_in(void **state)
{
	struct fixture *fixture = *state;
	const struct boot_params *params = params_of(fixture);
	char kernel[64], one[64], two[64];
	const char *initramfs[2];
	uint64_t address;

	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	initramfs[0] = write_file(fixture, "one", one, "first", 5);
	initramfs[1] = write_file(fixture, "two", two, "second", 6);
	assert_int_equal(boot(fixture, kernel, initramfs, 2, "quiet root=/dev/none"), 0);
	expect_elf_loaded(&(struct fixture){.memory = fixture->memory,
					    .elf = fixture->elf,
					    .entry = fixture->entry,
					    .end = KERNEL_END});

	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.boot_flag, 0xaa55);
	assert_int_equal(params->hdr.header, 0x53726448);
	assert_int_equal(params->sentinel, 0); /* Else the kernel forgets what it does not expect. */
	assert_int_equal(params->acpi_rsdp_addr, PLATFORM_ACPI);
	assert_int_equal(params->hdr.cmd_line_ptr, PLATFORM_CMDLINE);
	assert_string_equal((const char *)fixture->memory.base + PLATFORM_CMDLINE, "quiet root=/dev/none");

	/* One behind the other, each at a multiple of 4. */
	address = params->hdr.ramdisk_image;
	assert_int_equal(params->hdr.ramdisk_size, 16);
	assert_int_equal(address % 4096, 0);
	assert_in_range(address, KERNEL_END, MEMORY_SIZE - 16);
	assert_memory_equal(fixture->memory.base + address, "first\0\0\0second\0\0", 16);
}

/* However much memory there is, the kernel's header says where its initramfs may end at most. */
static void initramfs_is_below_2_gib(void **state)
{
	struct fixture *fixture = *state;
	const struct boot_params *params;
	char kernel[64], one[64];
	const char *initramfs[1];

	guest_memory_release(&fixture->memory);
	assert_int_equal(guest_memory_init(&fixture->memory, GUEST_MEMORY_MAX, NULL), 0);
	params = params_of(fixture);
	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	initramfs[0] = write_file(fixture, "one", one, "first", 5);
	assert_int_equal(boot(fixture, kernel, initramfs, 1, ""), 0);
	assert_true(params->hdr.ramdisk_image + (uint64_t)params->hdr.ramdisk_size <= 1ull << 31);
}

/* Entries are in order, do not overlap, and no RAM is where anything of the platform is. */
static void memory_map(void **state)
{
	struct fixture *fixture = *state;
	const struct boot_params *params = params_of(fixture);
	char kernel[64];
	uint64_t end = 0, ram = 0;

	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	assert_int_equal(boot(fixture, kernel, NULL, 0, ""), 0);
	assert_int_equal(params->hdr.ramdisk_size, 0);
	for (unsigned int i = 0; i < params->e820_entries; i++) {
		struct boot_e820_entry entry = params->e820_table[i];

		assert_true(entry.addr >= end && entry.size > 0);
		end = entry.addr + entry.size;
		if (entry.type != 1)
			continue;
		assert_true(end <= PLATFORM_LOW_END || entry.addr >= PLATFORM_HIGH_START);
		assert_true(end <= MEMORY_SIZE);
		ram += entry.size;
	}
	assert_int_equal(ram, MEMORY_SIZE - PLATFORM_HIGH_START + PLATFORM_LOW_END);
	assert_int_equal(end, PCI_ECAM_BASE + (uint64_t)PCI_ECAM_SIZE); /* Reserved, or Linux does not use it. */
}

/* What long mode needs: 4 GiB mapped 1:1, and segments that say what the registers will. */
static void page_tables_map_all(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t *gdt = guest_memory_slice(&fixture->memory, PLATFORM_GDT, 32);
	char kernel[64];

	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	assert_int_equal(boot(fixture, kernel, NULL, 0, ""), 0);
	for (uint64_t address = 0; address < 1ull << 32; address += 1 << 21) {
		const uint64_t *table = guest_memory_slice(&fixture->memory, PLATFORM_PAGE_TABLES, 4096);

		for (unsigned int shift = 39; shift > 21; shift -= 9) {
			uint64_t entry = table[address >> shift & 511];

			assert_int_equal(entry & 0x83, 0x03); /* Present, writable, a table. */
			table = guest_memory_slice(&fixture->memory, entry & ~4095ull, 4096);
			assert_non_null(table);
		}
		assert_int_equal(table[address >> 21 & 511], address | 0x83);
	}
	assert_int_equal(gdt[0], 0);
	assert_int_equal(gdt[2] >> 40 & 0xff, 0x9b); /* Code, accessed, present. */
	assert_int_equal(gdt[2] >> 52 & 0xf, 0xa);   /* 64-bit. */
	assert_int_equal(gdt[3] >> 40 & 0xff, 0x93);
}

static void bzimage_header_is_passed_on(void **state)
{
	struct fixture *fixture = *state;
	const struct boot_params *params = params_of(fixture);
	char kernel[64];

	make_bzimage(fixture, 64);
	write_file(fixture, "kernel", kernel, fixture->bzimage, SETUP_SIZE + 4096);
	assert_int_equal(boot(fixture, kernel, NULL, 0, ""), 0);
	assert_int_equal(params->hdr.version, 0x020f);
	assert_int_equal(params->hdr.init_size, INIT_SIZE);
	assert_int_equal(params->hdr.kernel_alignment, 0x200000);
	assert_int_equal(params->hdr.loadflags & LOADED_HIGH, LOADED_HIGH);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
}

/* The packed payload is read from the file, and nothing else of it. */
static void bzimage_file_is_unpacked(void **state)
{
	struct fixture *fixture = *state;
	uint32_t size = pack_elf(fixture);
	char kernel[64];

	make_bzimage(fixture, size);
	write_file(fixture, "kernel", kernel, fixture->bzimage, SETUP_SIZE + size);
	assert_int_equal(boot(fixture, kernel, NULL, 0, ""), 0);
	fixture->end = KERNEL_END; /* Not told by boot_load(). */
	expect_elf_loaded(fixture);
}

/* The files end before what is in them does: as from memory, and with their names. */
static void files_that_are_cut_off(void **state)
{
	struct fixture *fixture = *state;
	uint32_t size = pack_elf(fixture);
	char kernel[64];

	make_bzimage(fixture, size);
	for (size_t cut = 1; cut < sizeof(fixture->elf); cut += 100) {
		write_file(fixture, "kernel", kernel, &fixture->elf, cut);
		assert_true(boot(fixture, kernel, NULL, 0, "") < 0);
		assert_non_null(strstr(fixture->error.text, kernel));
	}
	for (size_t cut = 1; cut < SETUP_SIZE + size; cut += 100) {
		write_file(fixture, "kernel", kernel, fixture->bzimage, cut);
		assert_true(boot(fixture, kernel, NULL, 0, "") < 0);
		assert_non_null(strstr(fixture->error.text, kernel));
	}
}

/* Each fits, and there are as many as may be; the ninth is refused before it is looked for. */
static void number_of_archives_is_limited(void **state)
{
	struct fixture *fixture = *state;
	const struct boot_params *params = params_of(fixture);
	char kernel[64], one[64];
	const char *initramfs[9];

	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	write_file(fixture, "one", one, "first", 5);
	for (size_t i = 0; i < 8; i++)
		initramfs[i] = one;
	initramfs[8] = "/nowhere/initramfs";
	assert_int_equal(boot(fixture, kernel, initramfs, 8, ""), 0);
	assert_int_equal(params->hdr.ramdisk_size, 8 * 8);
	assert_true(boot(fixture, kernel, initramfs, 9, "") < 0);
	assert_non_null(strstr(fixture->error.text, "more than 8"));
}

static void what_does_not_fit(void **state)
{
	struct fixture *fixture = *state;
	char kernel[64], one[64], cmdline[PLATFORM_CMDLINE_SIZE + 1];
	const char *initramfs[1];
	uint8_t *large = calloc(1, MEMORY_SIZE);

	assert_non_null(large);
	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	/* Up to the end of the kernel, to the page. */
	initramfs[0] = write_file(fixture, "one", one, large, MEMORY_SIZE - 0x302000);
	assert_int_equal(boot(fixture, kernel, initramfs, 1, ""), 0);
	write_file(fixture, "one", one, large, MEMORY_SIZE - 0x302000 + 4096);
	assert_true(boot(fixture, kernel, initramfs, 1, "") < 0);
	assert_int_equal(fixture->error.class, ERROR_USAGE);
	assert_non_null(strstr(fixture->error.text, "more memory"));
	write_file(fixture, "one", one, large, MEMORY_SIZE);
	assert_true(boot(fixture, kernel, initramfs, 1, "") < 0);
	free(large);

	memset(cmdline, 'a', sizeof(cmdline));
	cmdline[PLATFORM_CMDLINE_SIZE - 1] = '\0';
	assert_int_equal(boot(fixture, kernel, NULL, 0, cmdline), 0);
	cmdline[PLATFORM_CMDLINE_SIZE - 1] = 'a';
	cmdline[PLATFORM_CMDLINE_SIZE] = '\0';
	assert_true(boot(fixture, kernel, NULL, 0, cmdline) < 0);
	assert_non_null(strstr(fixture->error.text, "command line"));
}

static void files_that_are_not_there(void **state)
{
	struct fixture *fixture = *state;
	char kernel[64], one[64];
	const char *missing[1] = {"/nowhere/initramfs"}, *empty[1];

	assert_true(boot(fixture, "/nowhere/kernel", NULL, 0, "") < 0);
	assert_int_equal(fixture->error.class, ERROR_HOST);
	assert_non_null(strstr(fixture->error.text, "/nowhere/kernel"));
	assert_true(boot(fixture, fixture->folder, NULL, 0, "") < 0);
	write_file(fixture, "kernel", kernel, &fixture->elf, sizeof(fixture->elf));
	assert_true(boot(fixture, kernel, missing, 1, "") < 0);
	assert_non_null(strstr(fixture->error.text, "/nowhere/initramfs"));
	empty[0] = write_file(fixture, "one", one, "", 0);
	assert_true(boot(fixture, kernel, empty, 1, "") < 0);
	assert_non_null(strstr(fixture->error.text, "empty"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(elf_is_loaded),
		TEST(elf_of_others_is_refused),
		TEST(elf_headers_lie),
		TEST(elf_segments_lie),
		TEST(bzimage_is_unpacked),
		TEST(bzimage_is_entered),
		TEST(bzimage_with_default_setup_size),
		TEST(bzimage_headers_lie),
		TEST(damaged_payloads),
		TEST(other_files_are_refused),
		TEST(boot_params_are_filled_in),
		TEST(initramfs_is_below_2_gib),
		TEST(memory_map),
		TEST(page_tables_map_all),
		TEST(bzimage_header_is_passed_on),
		TEST(bzimage_file_is_unpacked),
		TEST(files_that_are_cut_off),
		TEST(number_of_archives_is_limited),
		TEST(what_does_not_fit),
		TEST(files_that_are_not_there),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
