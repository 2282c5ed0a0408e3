/* SPDX-License-Identifier: Apache-2.0 */

/* Kernels, initramfs archives and command lines that are damaged, lie about themselves or do not fit (case 35).  Needs
 * no KVM.  A good kernel of each kind is loaded first, so that the bad ones fail for their own reason. */

#include <asm/bootparam.h>
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/boot.h"
#include "core/memory.h"
#include "core/platform.h"

#define MEMORY (8ull << 20)
#define SETUP_HEADER 0x1f1
#define SETUP_MAGIC 0x53726448

struct loader {
	struct guest_memory memory;
	uint8_t image[16384];
	size_t size;
	Elf64_Ehdr elf;
	Elf64_Phdr segments[2];
	struct setup_header setup;
	uint64_t entry, end;
	struct error error;
};

static int set_up(void **state)
{
	struct loader *loader = calloc(1, sizeof(*loader));

	assert_non_null(loader);
	assert_int_equal(guest_memory_init(&loader->memory, MEMORY, &loader->error), 0);
	*state = loader;
	return 0;
}

static int tear_down(void **state)
{
	struct loader *loader = *state;

	guest_memory_release(&loader->memory);
	free(loader);
	return 0;
}

/* An ELF kernel of two segments, 64 bytes each from offset 4096, at 1 MiB and 2 MiB. */
static void make_elf(struct loader *loader)
{
	loader->size = 4096 + 128;
	memset(loader->image, 0x90, sizeof(loader->image));
	loader->elf = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
		.e_machine = EM_X86_64,
		.e_entry = PLATFORM_HIGH_START,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	for (unsigned int i = 0; i < 2; i++)
		loader->segments[i] = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_offset = 4096 + i * 64,
			.p_paddr = PLATFORM_HIGH_START << i,
			.p_filesz = 64,
			.p_memsz = 4096,
		};
}

static int load(struct loader *loader)
{
	const struct boot_kernel kernel = {.image = loader->image, .size = loader->size, .name = "test"};
	struct setup_header setup = {0};

	return boot_load_kernel(&loader->memory, &kernel, &setup, &loader->entry, &loader->end, &loader->error);
}

static int load_elf(struct loader *loader)
{
	memcpy(loader->image, &loader->elf, sizeof(loader->elf));
	memcpy(loader->image + sizeof(loader->elf), loader->segments, sizeof(loader->segments));
	return load(loader);
}

static void expect_error(struct loader *loader, int result, const char *words)
{
	assert_true(result < 0);
	assert_int_not_equal(loader->error.class, ERROR_NONE);
	assert_non_null(strstr(loader->error.text, words));
	loader->error = (struct error){.class = ERROR_NONE};
}

static void good_elf_is_loaded(void **state)
{
	struct loader *loader = *state;

	make_elf(loader);
	assert_int_equal(load_elf(loader), 0);
	assert_int_equal(loader->entry, PLATFORM_HIGH_START);
	assert_int_equal(loader->end, 2 * PLATFORM_HIGH_START + 4096);
	assert_int_equal(loader->memory.base[2 * PLATFORM_HIGH_START + 63], 0x90);
	assert_int_equal(loader->memory.base[2 * PLATFORM_HIGH_START + 64], 0);
}

static void case_35_elf_segment_outside_of_memory(void **state)
{
	static const uint64_t addresses[] = {MEMORY - 4095, MEMORY, 1ull << 32, ~0ull - 4095, ~0ull};
	struct loader *loader = *state;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		make_elf(loader);
		loader->segments[1].p_paddr = addresses[i];
		expect_error(loader, load_elf(loader), "does not fit");
	}
	make_elf(loader);
	loader->segments[1].p_memsz = ~0ull;
	expect_error(loader, load_elf(loader), "does not fit");
	/* The first MiB is the machine's: page tables, boot parameters, ACPI. */
	make_elf(loader);
	loader->segments[0].p_paddr = PLATFORM_PAGE_TABLES;
	expect_error(loader, load_elf(loader), "below 1 MiB");
}

static void case_35_elf_segment_larger_in_file_than_in_memory(void **state)
{
	struct loader *loader = *state;

	make_elf(loader);
	loader->segments[0].p_memsz = 63;
	expect_error(loader, load_elf(loader), "larger in the file than in memory");
}

static void case_35_elf_segment_beyond_the_file(void **state)
{
	static const uint64_t offsets[] = {4096 + 65, 4096 + 128, 1ull << 40, ~0ull - 63, ~0ull};
	struct loader *loader = *state;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		make_elf(loader);
		loader->segments[1].p_offset = offsets[i];
		expect_error(loader, load_elf(loader), "beyond the end of the file");
	}
}

static void case_35_elf_segments_overlap(void **state)
{
	struct loader *loader = *state;

	/* Nobody is harmed but the kernel: both are loaded, the later one on top. */
	make_elf(loader);
	loader->segments[1].p_paddr = PLATFORM_HIGH_START + 32;
	assert_int_equal(load_elf(loader), 0);
}

static void case_35_elf_headers_beyond_the_file(void **state)
{
	struct loader *loader = *state;

	make_elf(loader);
	loader->elf.e_phnum = 0xffff;
	expect_error(loader, load_elf(loader), "program headers");
	make_elf(loader);
	loader->elf.e_phoff = ~0ull;
	expect_error(loader, load_elf(loader), "program headers");
	make_elf(loader);
	loader->elf.e_phentsize = 1;
	expect_error(loader, load_elf(loader), "program headers");
	make_elf(loader);
	loader->size = sizeof(Elf64_Ehdr) - 1;
	expect_error(loader, load_elf(loader), "cut off");
}

static void case_35_elf_entry_outside_of_segments(void **state)
{
	struct loader *loader = *state;

	make_elf(loader);
	loader->elf.e_entry = 4 * PLATFORM_HIGH_START;
	expect_error(loader, load_elf(loader), "entry point");
	make_elf(loader);
	loader->elf.e_phnum = 0;
	expect_error(loader, load_elf(loader), "entry point");
}

static void case_35_elf_of_another_kind(void **state)
{
	struct loader *loader = *state;

	make_elf(loader);
	loader->elf.e_machine = EM_AARCH64;
	expect_error(loader, load_elf(loader), "not an x86-64 kernel");
	make_elf(loader);
	loader->elf.e_ident[EI_CLASS] = ELFCLASS32;
	expect_error(loader, load_elf(loader), "not an x86-64 kernel");
}

/* A bzImage with 4 setup sectors, whose payload is not one that is unpacked here. */
static void make_bzimage(struct loader *loader)
{
	loader->size = 8192;
	memset(loader->image, 0x90, sizeof(loader->image));
	loader->setup = (struct setup_header){
		.setup_sects = 4,
		.header = SETUP_MAGIC,
		.version = 0x20c,
		.xloadflags = XLF_KERNEL_64,
		.pref_address = 2 * PLATFORM_HIGH_START,
		.init_size = 65536,
		.payload_offset = 16,
		.payload_length = 1024,
	};
}

static int load_bzimage(struct loader *loader)
{
	memcpy(loader->image + SETUP_HEADER, &loader->setup, sizeof(loader->setup));
	return load(loader);
}

static void good_bzimage_is_loaded(void **state)
{
	struct loader *loader = *state;

	make_bzimage(loader);
	assert_int_equal(load_bzimage(loader), 0);
	assert_int_equal(loader->entry, 2 * PLATFORM_HIGH_START + 0x200);
	assert_int_equal(loader->end, 2 * PLATFORM_HIGH_START + 65536);
}

static void case_35_bzimage_cut_off(void **state)
{
	struct loader *loader = *state;

	for (size_t size = 0; size < SETUP_HEADER + sizeof(struct setup_header); size++) {
		make_bzimage(loader);
		loader->size = size;
		expect_error(loader, load_bzimage(loader), "neither an ELF file nor a bzImage");
	}
	make_bzimage(loader);
	loader->size = 5 * 512;
	expect_error(loader, load_bzimage(loader), "ends before its setup code does");
	make_bzimage(loader);
	loader->size = 5 * 512 + 100;
	expect_error(loader, load_bzimage(loader), "payload lies beyond");
}

/* Means 4, as in the old days. */
static void case_35_bzimage_without_setup_sectors(void **state)
{
	struct loader *loader = *state;

	make_bzimage(loader);
	loader->setup.setup_sects = 0;
	assert_int_equal(load_bzimage(loader), 0);
	make_bzimage(loader);
	loader->setup.setup_sects = 255;
	expect_error(loader, load_bzimage(loader), "ends before its setup code does");
}

static void case_35_bzimage_lies_about_sizes(void **state)
{
	struct loader *loader = *state;

	make_bzimage(loader);
	loader->setup.payload_offset = 0xffffffff;
	expect_error(loader, load_bzimage(loader), "payload lies beyond");
	make_bzimage(loader);
	loader->setup.payload_length = 0xffffffff;
	expect_error(loader, load_bzimage(loader), "payload lies beyond");
	make_bzimage(loader);
	loader->setup.init_size = 1;
	expect_error(loader, load_bzimage(loader), "damaged");
	make_bzimage(loader);
	loader->setup.init_size = 0xffffffff;
	expect_error(loader, load_bzimage(loader), "does not fit");
	make_bzimage(loader);
	loader->setup.pref_address = ~0ull - 100;
	expect_error(loader, load_bzimage(loader), "does not fit");
	make_bzimage(loader);
	loader->setup.pref_address = 0x1000;
	expect_error(loader, load_bzimage(loader), "damaged");
}

static void case_35_bzimage_too_old(void **state)
{
	struct loader *loader = *state;

	make_bzimage(loader);
	loader->setup.version = 0x20b;
	expect_error(loader, load_bzimage(loader), "too old");
	make_bzimage(loader);
	loader->setup.xloadflags = 0;
	expect_error(loader, load_bzimage(loader), "too old");
}

static void case_35_lz4_payload_damaged(void **state)
{
	static const uint8_t blocks[][8] = {
		{0x02, 0x21, 0x4c, 0x18, 4, 0, 0, 0},             /* A block of rubbish. */
		{0x02, 0x21, 0x4c, 0x18, 0xff, 0xff, 0xff, 0xff}, /* Longer than the file. */
		{0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0},             /* No block at all. */
	};
	struct loader *loader = *state;

	for (size_t i = 0; i < 3; i++) {
		make_bzimage(loader);
		memset(loader->image + 5 * 512 + 16, 0xff, 1024);
		memcpy(loader->image + 5 * 512 + 16, blocks[i], sizeof(blocks[i]));
		assert_true(load_bzimage(loader) < 0);
		assert_int_not_equal(loader->error.class, ERROR_NONE);
	}
}

/* ---- boot_load(): whole files ---- */

static void write_file(char *path, const void *data, size_t size, off_t length)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(ftruncate(fd, length), 0);
	close(fd);
}

static void write_elf(struct loader *loader, char *path)
{
	make_elf(loader);
	memcpy(loader->image, &loader->elf, sizeof(loader->elf));
	memcpy(loader->image + sizeof(loader->elf), loader->segments, sizeof(loader->segments));
	write_file(path, loader->image, loader->size, (off_t)loader->size);
}

static int boot(struct loader *loader, off_t initramfs_size, const char *cmdline)
{
	char kernel[] = "/tmp/test-kernel-XXXXXX", initramfs[] = "/tmp/test-initramfs-XXXXXX";
	const char *const archives[] = {initramfs, initramfs};
	const struct boot_options options = {.kernel = kernel,
					     .initramfs = archives,
					     .initramfs_count = 2,
					     .cmdline = cmdline};
	int result;

	write_elf(loader, kernel);
	write_file(initramfs, "070701", 6, initramfs_size);
	result = boot_load(&loader->memory, &options, &loader->entry, &loader->error);
	unlink(kernel);
	unlink(initramfs);
	return result;
}

static void kernel_initramfs_and_cmdline_are_loaded(void **state)
{
	struct loader *loader = *state;
	struct boot_params params;

	assert_int_equal(boot(loader, 5001, "console=hvc0"), 0);
	memcpy(&params, loader->memory.base + PLATFORM_BOOT_PARAMS, sizeof(params));
	assert_int_equal(params.hdr.ramdisk_size, 2 * 5004);
	assert_memory_equal(loader->memory.base + params.hdr.ramdisk_image, "070701", 6);
	assert_memory_equal(loader->memory.base + params.hdr.ramdisk_image + 5004, "070701", 6);
	assert_string_equal(loader->memory.base + PLATFORM_CMDLINE, "console=hvc0");
}

static void case_35_initramfs_larger_than_memory(void **state)
{
	static const off_t sizes[] = {3 << 20, 4 << 20, 8 << 20, 1ll << 33};
	struct loader *loader = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		expect_error(loader, boot(loader, sizes[i], ""), "do not fit into 8 MiB");
	expect_error(loader, boot(loader, 0, ""), "is empty or no file");
}

/* sysfs says of each of its files that it has 4096 bytes: as good as one that is cut off behind our back. */
static void case_35_files_shorter_than_they_say(void **state)
{
	static const char name[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	const char *const archives[] = {name};
	char kernel[] = "/tmp/test-kernel-XXXXXX";
	struct boot_options options = {.kernel = name, .cmdline = ""};
	struct loader *loader = *state;

	if (access(name, R_OK) != 0)
		skip();
	expect_error(loader, boot_load(&loader->memory, &options, &loader->entry, &loader->error), name);
	options = (struct boot_options){.kernel = kernel, .initramfs = archives, .initramfs_count = 1, .cmdline = ""};
	write_elf(loader, kernel);
	expect_error(loader, boot_load(&loader->memory, &options, &loader->entry, &loader->error),
		     "/enabled became shorter while it was read");
	unlink(kernel);
}

struct rewriter {
	const char *path;
	const void *contents;
	size_t size, cut;
	_Atomic bool stopped;
};

#define REWRITES 200

/* As somebody does who writes the file in place, over and over: all, and cut off again. */
static void *rewrite(void *opaque)
{
	struct rewriter *rewriter = opaque;
	int fd = open(rewriter->path, O_WRONLY | O_CLOEXEC);

	for (unsigned int i = 0; i < REWRITES; i++) {
		if (pwrite(fd, rewriter->contents, rewriter->size, 0) < 0 || ftruncate(fd, (off_t)rewriter->cut) < 0)
			break;
	}
	close(fd);
	rewriter->stopped = true;
	return NULL;
}

/* A mapping of such a file would end the lab with a SIGBUS.  Here it is loaded, or an error names it. */
static void load_while_rewritten(struct loader *loader, const struct boot_options *options, struct rewriter *rewriter)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, rewrite, rewriter), 0);
	while (!rewriter->stopped) {
		if (boot_load(&loader->memory, options, &loader->entry, &loader->error) < 0)
			assert_non_null(strstr(loader->error.text, rewriter->path));
	}
	pthread_join(thread, NULL);
}

static void case_35_files_change_while_they_are_read(void **state)
{
	static const uint8_t contents[4 << 20];
	char kernel[] = "/tmp/test-kernel-XXXXXX", initramfs[] = "/tmp/test-initramfs-XXXXXX";
	const char *const archives[] = {initramfs};
	const struct boot_options options = {.kernel = kernel,
					     .initramfs = archives,
					     .initramfs_count = 1,
					     .cmdline = ""};
	struct loader *loader = *state;
	struct rewriter archive_writer = {.path = initramfs, .contents = contents, .size = sizeof(contents), .cut = 1};
	struct rewriter kernel_writer = {.path = kernel, .contents = loader->image, .cut = 4096};

	write_elf(loader, kernel);
	write_file(initramfs, "070701", 6, 4096);
	load_while_rewritten(loader, &options, &archive_writer);
	kernel_writer.size = loader->size;
	load_while_rewritten(loader, &options, &kernel_writer);
	unlink(kernel);
	unlink(initramfs);
}

static void case_35_command_line_too_long(void **state)
{
	struct loader *loader = *state;
	char cmdline[PLATFORM_CMDLINE_SIZE + 1];

	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[PLATFORM_CMDLINE_SIZE] = '\0';
	expect_error(loader, boot(loader, 100, cmdline), "command line is longer");
	cmdline[PLATFORM_CMDLINE_SIZE - 1] = '\0';
	assert_int_equal(boot(loader, 100, cmdline), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(good_elf_is_loaded),
		CASE(case_35_elf_segment_outside_of_memory),
		CASE(case_35_elf_segment_larger_in_file_than_in_memory),
		CASE(case_35_elf_segment_beyond_the_file),
		CASE(case_35_elf_segments_overlap),
		CASE(case_35_elf_headers_beyond_the_file),
		CASE(case_35_elf_entry_outside_of_segments),
		CASE(case_35_elf_of_another_kind),
		CASE(good_bzimage_is_loaded),
		CASE(case_35_bzimage_cut_off),
		CASE(case_35_bzimage_without_setup_sectors),
		CASE(case_35_bzimage_lies_about_sizes),
		CASE(case_35_bzimage_too_old),
		CASE(case_35_lz4_payload_damaged),
		CASE(kernel_initramfs_and_cmdline_are_loaded),
		CASE(case_35_initramfs_larger_than_memory),
		CASE(case_35_files_shorter_than_they_say),
		CASE(case_35_files_change_while_they_are_read),
		CASE(case_35_command_line_too_long),
	};

	return cmocka_run_group_tests_name("hostile/loader", tests, NULL, NULL);
}
