/* SPDX-License-Identifier: Apache-2.0 */

/* The kernel loader: the input is a kernel file, as it is, or behind a header that makes it a likely ELF file or
 * bzImage. What is accepted must lie in memory, above the first MiB. */

#include <asm/bootparam.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/boot.h"
#include "core/memory.h"
#include "core/platform.h"
#include "stand_in.h"

#define MEMORY_SIZE ((1u << 20) + (128u << 10))
#define SETUP_HEADER 0x1f1
#define IMAGE_ROOM 0x4000

struct image {
	uint8_t *bytes;
	size_t size;
};

/* An ELF header and up to 4 program headers, with sizes and offsets of the input's choice. */
static void put_elf(struct image *image, struct input *input)
{
	Elf64_Ehdr header = {.e_machine = EM_X86_64, .e_phoff = sizeof(header), .e_phentsize = sizeof(Elf64_Phdr)};
	size_t at = sizeof(header);

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_phnum = input_8(input) % 5;
	header.e_entry = PLATFORM_HIGH_START + input_16(input);
	memcpy(image->bytes, &header, sizeof(header));
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		uint8_t kind = input_8(input);
		Elf64_Phdr segment = {.p_type = PT_LOAD, .p_offset = input_16(input), .p_filesz = input_16(input)};

		segment.p_paddr = PLATFORM_HIGH_START + (kind & 1 ? input_32(input) : input_16(input));
		segment.p_memsz = segment.p_filesz + (kind & 2 ? input_32(input) : 0);
		if (kind & 4)
			segment.p_memsz = (uint64_t)input_32(input) << 32 | segment.p_memsz;
		if (kind & 8)
			segment.p_offset = ~0ull - input_8(input);
		memcpy(image->bytes + at, &segment, sizeof(segment));
		at += sizeof(segment);
	}
	image->size = at;
}

static void put_bzimage(struct image *image, struct input *input)
{
	struct setup_header header = {.header = 0x53726448, .version = 0x20c, .xloadflags = XLF_KERNEL_64};

	header.setup_sects = input_8(input) % 32;
	header.payload_offset = input_16(input);
	header.payload_length = input_32(input);
	header.pref_address = PLATFORM_HIGH_START + input_32(input);
	header.init_size = input_32(input);
	memcpy(image->bytes + SETUP_HEADER, &header, sizeof(header));
	image->size = (header.setup_sects ? header.setup_sects + 1u : 5u) * 512u;
	if (input_8(input) & 1) { /* With something that could be LZ4. */
		static const uint8_t magic[] = {0x02, 0x21, 0x4c, 0x18};

		header.payload_offset = 0;
		header.payload_length = (uint32_t)input->size + sizeof(magic);
		memcpy(image->bytes + SETUP_HEADER, &header, sizeof(header));
		memcpy(image->bytes + image->size, magic, sizeof(magic));
		image->size += sizeof(magic);
	}
}

static void load(const uint8_t *image, size_t size)
{
	struct guest_memory memory = {.base = calloc(1, MEMORY_SIZE), .size = MEMORY_SIZE, .fd = -1, .base_fd = -1};
	const struct boot_kernel kernel = {.image = image, .size = size, .name = "fuzz"};
	struct setup_header setup = {0};
	uint64_t entry = 0, end = 0;
	struct error error = {.class = ERROR_NONE};

	stand_in_check(memory.base);
	if (boot_load_kernel(&memory, &kernel, &setup, &entry, &end, &error) == 0)
		stand_in_check(entry >= PLATFORM_HIGH_START && end > PLATFORM_HIGH_START && end <= MEMORY_SIZE);
	else
		stand_in_check(error.class != ERROR_NONE && error.text[0]);
	free(memory.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	struct image image = {0};
	uint8_t kind = input_8(&input), *exact;

	image.bytes = calloc(1, IMAGE_ROOM + 33 * 512 + size);
	stand_in_check(image.bytes);
	if (kind % 3 == 1)
		put_elf(&image, &input);
	else if (kind % 3 == 2)
		put_bzimage(&image, &input);
	if (input.size > 0)
		memcpy(image.bytes + image.size, input.data, input.size);
	image.size += input.size;
	/* A block of exactly its size, so that a read beyond the file is seen. */
	exact = malloc(image.size ? image.size : 1);
	stand_in_check(exact);
	memcpy(exact, image.bytes, image.size);
	free(image.bytes);
	load(exact, image.size);
	free(exact);
	return 0;
}
