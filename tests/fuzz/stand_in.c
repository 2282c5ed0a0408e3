/* SPDX-License-Identifier: Apache-2.0 */
#include "stand_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/interrupts.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/pci.h"
#include "core/platform.h"

#define STAND_IN __attribute__((weak))
#define PORT_HANDLERS 2
#define MESSAGES 64

struct interrupts {
	int count;
};

struct machine {
	struct guest_memory memory;
	struct interrupts interrupts;
	struct pci_bus *pci;
	struct loop *loop;
	struct machine_port_handler handlers[PORT_HANDLERS];
	unsigned int handler_count;
};

uint8_t input_8(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

uint16_t input_16(struct input *input)
{
	uint16_t low = input_8(input);

	return (uint16_t)(low | input_8(input) << 8);
}

uint32_t input_32(struct input *input)
{
	uint32_t low = input_16(input);

	return low | (uint32_t)input_16(input) << 16;
}

void stand_in_check(bool condition)
{
	if (!condition)
		abort();
}

struct machine *stand_in_create(size_t memory_size)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	struct error error;

	stand_in_check(machine);
	machine->memory = (struct guest_memory){.base = aligned_alloc(4096, memory_size),
						.size = memory_size,
						.fd = -1,
						.base_fd = -1};
	stand_in_check(machine->memory.base);
	memset(machine->memory.base, 0, memory_size);
	machine->pci = pci_bus_create(&error);
	machine->loop = loop_create(&error);
	stand_in_check(machine->pci && machine->loop);
	loop_adopt(machine->loop);
	return machine;
}

void stand_in_destroy(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->handler_count; i++)
		machine->handlers[i].destroy(machine->handlers[i].opaque);
	pci_bus_destroy(machine->pci);
	loop_turn(machine->loop); /* What was posted for a device that is gone now. */
	loop_destroy(machine->loop);
	free(machine->memory.base);
	free(machine);
}

struct loop *stand_in_loop(struct machine *machine)
{
	return machine->loop;
}

uint64_t stand_in_access(struct machine *machine, uint64_t address, unsigned int size, uint64_t value, bool is_write)
{
	/* A block of its own, so that an access beyond 'size' is seen. */
	uint8_t *data = malloc(size);

	stand_in_check(data);
	memcpy(data, &value, size);
	if (address >= PCI_ECAM_BASE && address - PCI_ECAM_BASE < PCI_ECAM_SIZE)
		pci_bus_ecam(machine->pci, address - PCI_ECAM_BASE, data, size, is_write);
	else
		pci_bus_memory(machine->pci, address, data, size, is_write);
	value = 0;
	memcpy(&value, data, size);
	free(data);
	return value;
}

uint64_t stand_in_config(struct machine *machine, unsigned int slot, unsigned int offset, unsigned int size,
			 uint64_t value, bool is_write)
{
	return stand_in_access(machine, PCI_ECAM_BASE + ((uint64_t)slot << 15) + offset, size, value, is_write);
}

uint64_t stand_in_port(struct machine *machine, uint16_t port, unsigned int size, uint64_t value, bool is_write)
{
	uint8_t *data = malloc(size);

	stand_in_check(data);
	memcpy(data, &value, size);
	if (port >= PLATFORM_PORT_PCI_CONFIG && port < PLATFORM_PORT_PCI_CONFIG + 8)
		pci_bus_port(machine->pci, port - PLATFORM_PORT_PCI_CONFIG, data, size, is_write);
	for (unsigned int i = 0; i < machine->handler_count; i++) {
		const struct machine_port_handler *handler = &machine->handlers[i];

		if (port >= handler->base && port - handler->base < handler->count)
			handler->access(handler->opaque, port - handler->base, data, size, is_write);
	}
	value = 0;
	memcpy(&value, data, size);
	free(data);
	return value;
}

/* ---- core/machine.h ---- */

STAND_IN const char *machine_name(const struct machine *machine)
{
	(void)machine;
	return "fuzz";
}

STAND_IN const struct guest_memory *machine_memory(const struct machine *machine)
{
	return &machine->memory;
}

STAND_IN struct interrupts *machine_interrupts(struct machine *machine)
{
	return &machine->interrupts;
}

STAND_IN struct pci_bus *machine_pci(struct machine *machine)
{
	return machine->pci;
}

STAND_IN struct loop *machine_control(struct machine *machine)
{
	return machine->loop;
}

STAND_IN int machine_add_ports(struct machine *machine, const struct machine_port_handler *handler)
{
	if (machine->handler_count == PORT_HANDLERS)
		return -ENOSPC;
	machine->handlers[machine->handler_count++] = *handler;
	return 0;
}

STAND_IN int machine_add_doorbell(struct machine *machine, uint64_t address, int event_fd)
{
	(void)machine;
	(void)address;
	(void)event_fd;
	return -ENOSPC;
}

STAND_IN void machine_remove_doorbell(struct machine *machine, uint64_t address, int event_fd)
{
	(void)machine;
	(void)address;
	(void)event_fd;
}

/* ---- core/interrupts.h ---- */

STAND_IN struct interrupts *interrupts_create(int vm_fd, struct error *error)
{
	(void)vm_fd;
	(void)error;
	return NULL;
}

STAND_IN void interrupts_destroy(struct interrupts *interrupts)
{
	(void)interrupts;
}

STAND_IN int interrupts_bind_pin(struct interrupts *interrupts, unsigned int pin, int event_fd)
{
	(void)interrupts;
	(void)pin;
	(void)event_fd;
	return 0;
}

STAND_IN int interrupts_add_message(struct interrupts *interrupts)
{
	return interrupts->count < MESSAGES ? interrupts->count++ : -ENOSPC;
}

STAND_IN int interrupts_route_message(struct interrupts *interrupts, int gsi, uint64_t address, uint32_t data,
				      int event_fd)
{
	(void)data;
	(void)event_fd;
	stand_in_check(gsi >= 0 && gsi < interrupts->count);
	return address >> 32 ? -EINVAL : 0; /* KVM refuses some. */
}

/* ---- core/log.h ---- */

STAND_IN void log_line(const char *format, ...)
{
	(void)format;
}

STAND_IN void log_limited(struct log_limit *limit, const char *format, ...)
{
	(void)limit;
	(void)format;
}
