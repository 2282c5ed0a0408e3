/* SPDX-License-Identifier: Apache-2.0 */
#include "core/boot.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/pci.h"
#include "core/platform.h"

#define SETUP_HEADER_OFFSET 0x1f1
#define SETUP_MAGIC 0x53726448u  /* "HdrS" */
#define SETUP_VERSION_MIN 0x020c /* xloadflags */
#define BOOT_FLAG 0xaa55
#define ENTRY_64_OFFSET 0x200

/* LZ4 legacy frame, as the kernel's build makes it: magic, then blocks of a 32-bit size and data, each unpacking to at
 * most 8 MiB. */
#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_LEGACY_BLOCK (8u << 20)
/* No kernel is larger unpacked. */
#define KERNEL_SIZE_MAX (256u << 20)

/* An initramfs ends below this (initrd_addr_max of every bzImage for x86-64). */
#define INITRAMFS_END_MAX 0x80000000ull

#define E820_RAM 1
#define E820_RESERVED 2

struct file {
	const char *path;
	int fd;
	size_t size;
};

/* Returns 0, or a negative number with 'error' set. */
static int file_open(struct file *file, const char *path, struct error *error)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0) {
		error_set(error, ERROR_HOST, errno, "cannot open %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	if (!S_ISREG(status.st_mode) || status.st_size == 0) {
		close(fd);
		error_set(error, ERROR_HOST, EINVAL, "%s is empty or no file", path);
		return -EINVAL;
	}
	*file = (struct file){.path = path, .fd = fd, .size = (size_t)status.st_size};
	return 0;
}

/* Reads all of 'size' bytes.  Files are read rather than mapped: one that is rewritten at this moment may have become
 * shorter, which is an error here, and would be a SIGBUS there. */
static int read_file(int fd, const char *name, void *to, size_t size, uint64_t offset, struct error *error)
{
	uint8_t *at = to;

	while (size > 0) {
		ssize_t count = pread(fd, at, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_set(error, ERROR_HOST, errno, "cannot read %s: %s", name, strerror(errno));
		if (count == 0)
			return error_set(error, ERROR_HOST, EIO,
					 "%s became shorter while it was read\n"
					 "  help: somebody is writing it; try again when it is complete",
					 name);
		at += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return 0;
}

/* The caller has checked that all of it lies within the kernel. */
static int kernel_read(const struct boot_kernel *kernel, void *to, size_t size, uint64_t offset, struct error *error)
{
	if (!kernel->image)
		return read_file(kernel->fd, kernel->name, to, size, offset, error);
	memcpy(to, kernel->image + offset, size);
	return 0;
}

static int broken(const struct boot_kernel *kernel, struct error *error, const char *what)
{
	return error_set(error, ERROR_HOST, EINVAL, "kernel %s: %s", kernel->name, what);
}

static int load_segment(const struct guest_memory *memory, const struct boot_kernel *kernel, const Elf64_Phdr *segment,
			uint64_t *end, struct error *error)
{
	uint8_t *to;

	if (segment->p_filesz > segment->p_memsz)
		return broken(kernel, error, "an ELF segment is larger in the file than in memory");
	if (segment->p_offset > kernel->size || segment->p_filesz > kernel->size - segment->p_offset)
		return broken(kernel, error, "an ELF segment lies beyond the end of the file");
	if (segment->p_paddr < PLATFORM_HIGH_START)
		return broken(kernel, error, "an ELF segment lies below 1 MiB");
	to = guest_memory_slice(memory, segment->p_paddr, segment->p_memsz);
	if (!to)
		return error_set(error, ERROR_USAGE, ENOSPC,
				 "kernel %s does not fit into %llu MiB of memory: it needs %llu MiB\n"
				 "  help: give the node more memory",
				 kernel->name, (unsigned long long)memory->size >> 20,
				 (unsigned long long)(segment->p_paddr + segment->p_memsz + (1 << 20)) >> 20);
	if (segment->p_paddr + segment->p_memsz > *end)
		*end = segment->p_paddr + segment->p_memsz;
	return kernel_read(kernel, to, segment->p_filesz, segment->p_offset, error);
}

static int load_elf(const struct guest_memory *memory, const struct boot_kernel *kernel, uint64_t *entry, uint64_t *end,
		    struct error *error)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	int result;

	if (kernel->size < sizeof(header))
		return broken(kernel, error, "the ELF header is cut off");
	result = kernel_read(kernel, &header, sizeof(header), 0, error);
	if (result < 0)
		return result;
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
		return broken(kernel, error, "not an x86-64 kernel");
	if (header.e_phentsize != sizeof(segment) || header.e_phoff > kernel->size ||
	    (kernel->size - header.e_phoff) / sizeof(segment) < header.e_phnum)
		return broken(kernel, error, "the ELF program headers lie beyond the end of the file");
	*end = 0;
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		result = kernel_read(kernel, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment), error);
		if (result < 0)
			return result;
		if (segment.p_type != PT_LOAD || segment.p_memsz == 0)
			continue;
		result = load_segment(memory, kernel, &segment, end, error);
		if (result < 0)
			return result;
	}
	if (header.e_entry < PLATFORM_HIGH_START || header.e_entry >= *end)
		return broken(kernel, error, "the ELF entry point lies outside its segments");
	*entry = header.e_entry;
	return 0;
}

/* Unpacks an LZ4 legacy frame.  Returns a buffer to be freed and its size, or NULL. */
static uint8_t *unpack_lz4(const uint8_t *data, size_t size, size_t *unpacked_size)
{
	uint8_t *unpacked = NULL, *grown;
	size_t at = 4, filled = 0;

	while (size - at >= 4) {
		uint32_t block;
		int count = -1;

		memcpy(&block, data + at, sizeof(block));
		at += 4;
		/* The payload ends with its unpacked size, which is no block. */
		if (block == 0 || block > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK) || block > size - at)
			break;
		if (KERNEL_SIZE_MAX - filled < LZ4_LEGACY_BLOCK)
			break;
		grown = realloc(unpacked, filled + LZ4_LEGACY_BLOCK);
		if (grown) {
			unpacked = grown;
			count = LZ4_decompress_safe((const char *)data + at, (char *)unpacked + filled, (int)block,
						    LZ4_LEGACY_BLOCK);
		}
		if (count < 0) {
			free(unpacked);
			return NULL;
		}
		filled += (size_t)count;
		at += block;
	}
	*unpacked_size = filled;
	return unpacked;
}

/* Reads an LZ4 payload and unpacks it.  Returns a buffer to be freed and its size, or NULL with 'error' set. */
static uint8_t *unpack_payload(const struct boot_kernel *kernel, uint64_t offset, size_t size, size_t *unpacked_size,
			       struct error *error)
{
	uint8_t *packed, *unpacked = NULL;

	if (size > KERNEL_SIZE_MAX) {
		broken(kernel, error, "its payload is larger than any kernel");
		return NULL;
	}
	packed = malloc(size);
	if (!packed) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	if (kernel_read(kernel, packed, size, offset, error) == 0) {
		unpacked = unpack_lz4(packed, size, unpacked_size);
		if (!unpacked)
			broken(kernel, error, "its LZ4 payload is damaged");
	}
	free(packed);
	return unpacked;
}

/* Loads the ELF file inside a bzImage.  Returns 1 when there is none that can be unpacked. */
static int load_payload(const struct guest_memory *memory, const struct boot_kernel *kernel,
			const struct setup_header *setup, size_t setup_size, uint64_t *entry, uint64_t *end,
			struct error *error)
{
	size_t offset = setup_size + setup->payload_offset;
	struct boot_kernel inner = {.name = kernel->name};
	uint32_t magic;
	uint8_t *unpacked;
	int result;

	if (offset > kernel->size || setup->payload_length > kernel->size - offset ||
	    setup->payload_length < sizeof(magic))
		return broken(kernel, error, "the payload lies beyond the end of the file");
	result = kernel_read(kernel, &magic, sizeof(magic), offset, error);
	if (result < 0)
		return result;
	if (magic != LZ4_LEGACY_MAGIC)
		return 1;
	unpacked = unpack_payload(kernel, offset, setup->payload_length, &inner.size, error);
	if (!unpacked)
		return -EINVAL;
	inner.image = unpacked;
	result = load_elf(memory, &inner, entry, end, error);
	free(unpacked);
	return result;
}

static int load_bzimage(const struct guest_memory *memory, const struct boot_kernel *kernel, struct setup_header *setup,
			uint64_t *entry, uint64_t *end, struct error *error)
{
	struct setup_header header;
	size_t setup_size;
	uint8_t *to;
	int result;

	result = kernel_read(kernel, &header, sizeof(header), SETUP_HEADER_OFFSET, error);
	if (result < 0)
		return result;
	if (header.version < SETUP_VERSION_MIN || !(header.xloadflags & XLF_KERNEL_64))
		return broken(kernel, error, "too old, or not 64-bit: it has no 64-bit entry point");
	setup_size = ((header.setup_sects ? header.setup_sects : 4u) + 1u) * 512u;
	if (setup_size >= kernel->size)
		return broken(kernel, error, "it ends before its setup code does");
	result = load_payload(memory, kernel, &header, setup_size, entry, end, error);
	if (result <= 0)
		return result;
	if (header.pref_address < PLATFORM_HIGH_START || header.init_size < kernel->size - setup_size)
		return broken(kernel, error, "its header is damaged");
	to = guest_memory_slice(memory, header.pref_address, header.init_size);
	if (!to)
		return error_set(error, ERROR_USAGE, ENOSPC,
				 "kernel %s does not fit into %llu MiB of memory\n"
				 "  help: give the node more memory",
				 kernel->name, (unsigned long long)memory->size >> 20);
	result = kernel_read(kernel, to, kernel->size - setup_size, setup_size, error);
	if (result < 0)
		return result;
	*entry = header.pref_address + ENTRY_64_OFFSET;
	*end = header.pref_address + header.init_size;
	*setup = header;
	return 0;
}

int boot_load_kernel(const struct guest_memory *memory, const struct boot_kernel *kernel, struct setup_header *setup,
		     uint64_t *entry, uint64_t *end, struct error *error)
{
	uint32_t elf_magic = 0, magic = 0;
	int result = 0;

	if (kernel->size >= SELFMAG)
		result = kernel_read(kernel, &elf_magic, SELFMAG, 0, error);
	if (result == 0 && kernel->size >= SETUP_HEADER_OFFSET + sizeof(*setup))
		result = kernel_read(kernel, &magic, sizeof(magic),
				     SETUP_HEADER_OFFSET + offsetof(struct setup_header, header), error);
	if (result < 0)
		return result;
	if (memcmp(&elf_magic, ELFMAG, SELFMAG) == 0)
		return load_elf(memory, kernel, entry, end, error);
	if (magic == SETUP_MAGIC)
		return load_bzimage(memory, kernel, setup, entry, end, error);
	return broken(kernel, error, "neither an ELF file nor a bzImage");
}

/* Opens archives until there are no more, or they cannot fit below 'top'.  '*count' are open in any case. */
static int open_archives(const struct boot_options *options, uint64_t top, struct file *files, size_t *count,
			 uint64_t *total, struct error *error)
{
	for (; *count < options->initramfs_count && *total < top; ++*count) {
		int result = file_open(&files[*count], options->initramfs[*count], error);

		if (result < 0)
			return result;
		*total += (files[*count].size + 3) & ~3ull; /* An archive begins at a multiple of 4. */
	}
	return 0;
}

/* Puts the archives at the top of memory, above 'kernel_end'. */
static int load_initramfs(const struct guest_memory *memory, const struct boot_options *options, uint64_t kernel_end,
			  struct setup_header *setup, struct error *error)
{
	struct file files[8];
	size_t count = 0;
	uint64_t top = memory->size < INITRAMFS_END_MAX ? memory->size : INITRAMFS_END_MAX;
	uint64_t total = 0, address;
	int result;

	if (options->initramfs_count > sizeof(files) / sizeof(files[0]))
		return error_set(error, ERROR_USAGE, E2BIG, "more than %zu initramfs archives",
				 sizeof(files) / sizeof(files[0]));
	result = open_archives(options, top, files, &count, &total, error);
	if (result < 0)
		goto out;
	address = total < top ? (top - total) & ~4095ull : 0;
	if (total > 0 && address < kernel_end) {
		result = error_set(error, ERROR_USAGE, ENOSPC,
				   "the initramfs (%llu MiB) and the kernel do not fit into %llu MiB of memory\n"
				   "  help: give the node more memory",
				   (unsigned long long)total >> 20, (unsigned long long)memory->size >> 20);
		goto out;
	}
	setup->ramdisk_image = (uint32_t)address;
	setup->ramdisk_size = (uint32_t)total;
	for (size_t i = 0; i < count && result == 0; i++) {
		result = read_file(files[i].fd, files[i].path, guest_memory_slice(memory, address, files[i].size),
				   files[i].size, 0, error);
		address += (files[i].size + 3) & ~3ull;
	}
out:
	while (count-- > 0)
		close(files[count].fd);
	return result;
}

static void add_e820(struct boot_params *params, uint64_t start, uint64_t end, uint32_t type)
{
	params->e820_table[params->e820_entries++] =
		(struct boot_e820_entry){.addr = start, .size = end - start, .type = type};
}

static void write_boot_params(const struct guest_memory *memory, const struct setup_header *setup)
{
	struct boot_params params = {.hdr = *setup};

	params.hdr.type_of_loader = 0xff; /* None of the registered ones. */
	params.hdr.boot_flag = BOOT_FLAG;
	params.hdr.header = SETUP_MAGIC;
	params.hdr.cmd_line_ptr = PLATFORM_CMDLINE;
	params.hdr.cmdline_size = PLATFORM_CMDLINE_SIZE - 1;
	if (params.hdr.kernel_alignment == 0)
		params.hdr.kernel_alignment = 0x1000000;
	params.acpi_rsdp_addr = PLATFORM_ACPI;
	add_e820(&params, 0, PLATFORM_LOW_END, E820_RAM);
	add_e820(&params, PLATFORM_LOW_END, PLATFORM_HIGH_START, E820_RESERVED);
	add_e820(&params, PLATFORM_HIGH_START, memory->size, E820_RAM);
	add_e820(&params, PCI_ECAM_BASE, PCI_ECAM_BASE + PCI_ECAM_SIZE, E820_RESERVED);
	memcpy(guest_memory_slice(memory, PLATFORM_BOOT_PARAMS, sizeof(params)), &params, sizeof(params));
}

/* Long mode needs paging: 4 GiB mapped 1:1 with pages of 2 MiB, and the GDT the segment registers are said to come
 * from. */
static void write_page_tables(const struct guest_memory *memory)
{
	uint64_t *tables = guest_memory_slice(memory, PLATFORM_PAGE_TABLES, 6 * 4096);
	uint64_t *gdt = guest_memory_slice(memory, PLATFORM_GDT, 4 * sizeof(*gdt));

	tables[0] = (PLATFORM_PAGE_TABLES + 4096) | 0x3; /* Present, writable. */
	for (uint64_t i = 0; i < 4; i++)
		tables[512 + i] = (PLATFORM_PAGE_TABLES + (2 + i) * 4096) | 0x3;
	for (uint64_t i = 0; i < 2048; i++)
		tables[1024 + i] = i << 21 | 0x83; /* And 2 MiB. */
	gdt[2] = 0x00af9b000000ffffull;            /* Selector 0x10: 64-bit code. */
	gdt[3] = 0x00cf93000000ffffull;            /* Selector 0x18: data. */
}

/* A CPU reset in hardware-reduced ACPI ends at F000:FFF0 in real mode; this asks for the reset in a way the machine
 * sees: mov al, 0xfe; out 0x64, al; hlt; jmp back. */
static void write_reset_stub(const struct guest_memory *memory)
{
	static const uint8_t stub[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd};

	memcpy(guest_memory_slice(memory, PLATFORM_RESET_STUB, sizeof(stub)), stub, sizeof(stub));
}

int boot_load(const struct guest_memory *memory, const struct boot_options *options, uint64_t *entry,
	      struct error *error)
{
	struct boot_kernel kernel = {.name = options->kernel};
	struct setup_header setup = {0};
	struct file file;
	uint64_t end = 0;
	int result;

	if (memory->size < 2 * PLATFORM_HIGH_START)
		return error_set(error, ERROR_USAGE, EINVAL, "too little memory to boot anything");
	if (strlen(options->cmdline) >= PLATFORM_CMDLINE_SIZE)
		return error_set(error, ERROR_USAGE, E2BIG, "the kernel command line is longer than %u bytes",
				 PLATFORM_CMDLINE_SIZE - 1);
	result = file_open(&file, options->kernel, error);
	if (result < 0)
		return result;
	kernel.fd = file.fd;
	kernel.size = file.size;
	result = boot_load_kernel(memory, &kernel, &setup, entry, &end, error);
	close(file.fd);
	if (result < 0)
		return result;
	result = load_initramfs(memory, options, end, &setup, error);
	if (result < 0)
		return result;
	strcpy(guest_memory_slice(memory, PLATFORM_CMDLINE, PLATFORM_CMDLINE_SIZE), options->cmdline);
	write_boot_params(memory, &setup);
	write_page_tables(memory);
	write_reset_stub(memory);
	return 0;
}
