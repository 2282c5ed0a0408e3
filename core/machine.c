/* SPDX-License-Identifier: Apache-2.0 */
#include "core/machine.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/acpi.h"
#include "core/boot.h"
#include "core/interrupts.h"
#include "core/loop.h"
#include "core/memory.h"
#include "core/pci.h"
#include "core/platform.h"
#include "core/state.h"
#include "core/vcpu.h"

/* Theory of operation
 * -------------------
 * The first thread that ends the machine sets 'end' and the reason, and kicks all vCPUs.  Each vCPU thread counts
 * itself out as its last act; the one that is last posts to the control loop, which joins them all and tells the owner.
 *
 * Pausing is the same with a barrier: each vCPU thread comes to machine_vcpu_paused() and waits there, and the last
 * posts.  When they are to pause again before any of them has left, it is machine_pause() that posts.
 *
 * The threads of a machine that was restored start when it is resumed.  Until then there is nothing to end. */

#define PORT_HANDLERS_MAX 8
#define IRQCHIPS 3 /* Two PICs and the IOAPIC. */

#define TAG_MACHINE STATE_TAG('m', 'a', 'c', 'h')
#define TAG_CLOCK STATE_TAG('c', 'l', 'c', 'k')
#define TAG_IRQCHIP STATE_TAG('i', 'r', 'q', 'c')
#define TAG_END STATE_TAG('e', 'n', 'd', ' ')

/* What must be the same where a state is restored. */
struct machine_shape {
	uint32_t platform_version;
	uint32_t cpus;
	uint64_t memory; /* Bytes. */
};

struct machine {
	char *name;
	const struct host_profile *host;
	int kvm_fd;
	int vm_fd;
	struct loop *control;
	const struct machine_ops *ops;
	void *opaque;
	struct guest_memory memory;
	struct interrupts *interrupts;
	struct pci_bus *pci;
	unsigned int cpu_count;
	struct vcpu *vcpus[MACHINE_CPUS_MAX];
	pthread_mutex_t bus_lock; /* Held during accesses of vCPUs to ports and PCI devices. */
	struct machine_port_handler handlers[PORT_HANDLERS_MAX];
	unsigned int handler_count;
	pthread_mutex_t end_lock; /* Guards 'reason' until 'end' is set. */
	_Atomic int end;          /* enum machine_end */
	char reason[320];
	_Atomic unsigned int running; /* vCPU threads that have not ended, and one for machine_start(). */
	pthread_mutex_t pause_lock;   /* Guards what follows, for writing. */
	pthread_cond_t pause_changed;
	_Atomic bool pausing;
	unsigned int paused_count;
	void (*paused)(void *opaque);
	void *paused_opaque;
	_Atomic bool held; /* Restored, and not resumed or ended yet: there are no threads. */
};

static int init_vm(struct machine *machine, struct error *error)
{
	uint64_t identity_map = PLATFORM_KVM_IDENTITY_MAP;

	machine->vm_fd = ioctl(machine->kvm_fd, KVM_CREATE_VM, 0);
	if (machine->vm_fd < 0)
		return error_set(error, ERROR_HOST, errno, "KVM cannot create a machine: %s", strerror(errno));
	if (ioctl(machine->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    ioctl(machine->vm_fd, KVM_SET_TSS_ADDR, PLATFORM_KVM_TSS) < 0)
		return error_set(error, ERROR_HOST, errno, "KVM refuses its own pages: %s", strerror(errno));
	if (ioctl(machine->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_set(error, ERROR_HOST, errno, "KVM cannot make an irqchip: %s", strerror(errno));
	return 0;
}

static int init_memory(struct machine *machine, const struct machine_options *options, struct error *error)
{
	struct kvm_userspace_memory_region region = {.slot = 0};
	int result;

	if (options->memory_fd > 0)
		result = guest_memory_map(&machine->memory, options->memory_fd, options->memory, error);
	else
		result = guest_memory_init(&machine->memory, options->memory, error);

	if (result < 0)
		return result;
	region.memory_size = machine->memory.size;
	region.userspace_addr = (uint64_t)(uintptr_t)machine->memory.base;
	if (ioctl(machine->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return error_set(error, ERROR_HOST, errno, "KVM refuses the guest's memory: %s", strerror(errno));
	return 0;
}

struct machine *machine_create(int kvm_fd, const struct host_profile *host, const struct machine_options *options,
			       struct loop *control, const struct machine_ops *ops, void *opaque, struct error *error)
{
	struct machine *machine;

	if (options->cpus == 0 || options->cpus > MACHINE_CPUS_MAX) {
		error_set(error, ERROR_USAGE, EINVAL, "a guest has 1 to %d CPUs", MACHINE_CPUS_MAX);
		return NULL;
	}
	machine = calloc(1, sizeof(*machine));
	if (!machine || !(machine->name = strdup(options->name))) {
		free(machine);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	machine->kvm_fd = kvm_fd;
	machine->vm_fd = -1;
	machine->memory.fd = machine->memory.base_fd = -1;
	machine->host = host;
	machine->control = control;
	machine->ops = ops;
	machine->opaque = opaque;
	machine->cpu_count = options->cpus;
	pthread_mutex_init(&machine->bus_lock, NULL);
	pthread_mutex_init(&machine->end_lock, NULL);
	pthread_mutex_init(&machine->pause_lock, NULL);
	pthread_cond_init(&machine->pause_changed, NULL);
	if (init_vm(machine, error) < 0 || init_memory(machine, options, error) < 0)
		goto failed;
	machine->interrupts = interrupts_create(machine->vm_fd, error);
	machine->pci = pci_bus_create(error);
	if (!machine->interrupts || !machine->pci)
		goto failed;
	return machine;
failed:
	machine_destroy(machine);
	return NULL;
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	for (unsigned int i = 0; i < machine->cpu_count; i++) {
		vcpu_destroy(machine->vcpus[i]);
		machine->vcpus[i] = NULL;
	}
	for (unsigned int i = 0; i < machine->handler_count; i++) {
		if (machine->handlers[i].destroy)
			machine->handlers[i].destroy(machine->handlers[i].opaque);
	}
	pci_bus_destroy(machine->pci);
	interrupts_destroy(machine->interrupts);
	if (machine->vm_fd >= 0)
		close(machine->vm_fd);
	guest_memory_release(&machine->memory);
	pthread_mutex_destroy(&machine->bus_lock);
	pthread_mutex_destroy(&machine->end_lock);
	pthread_mutex_destroy(&machine->pause_lock);
	pthread_cond_destroy(&machine->pause_changed);
	free(machine->name);
	free(machine);
}

static int load(struct machine *machine, const struct machine_options *options, uint64_t *entry, struct error *error)
{
	char cmdline[2 * PLATFORM_CMDLINE_SIZE];
	struct boot_options boot = {
		.kernel = options->kernel,
		.initramfs = options->initramfs,
		.initramfs_count = options->initramfs_count,
		.cmdline = cmdline,
	};
	int result;

	snprintf(cmdline, sizeof(cmdline), "%s%s%s", options->cmdline, machine->host->cmdline[0] ? " " : "",
		 machine->host->cmdline);
	result = boot_load(&machine->memory, &boot, entry, error);
	return result < 0 ? result : acpi_write(&machine->memory, machine->cpu_count, error);
}

static int create_vcpus(struct machine *machine, struct error *error)
{
	struct vcpu_options options = {
		.machine = machine,
		.host = machine->host,
		.kvm_fd = machine->kvm_fd,
		.vm_fd = machine->vm_fd,
		.count = machine->cpu_count,
	};

	for (unsigned int i = 0; i < machine->cpu_count; i++) {
		options.index = i;
		machine->vcpus[i] = vcpu_create(&options, error);
		if (!machine->vcpus[i])
			return -EIO;
	}
	return 0;
}

static void kick_all(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->cpu_count; i++) {
		if (machine->vcpus[i])
			vcpu_kick(machine->vcpus[i]);
	}
}

static void start_threads(struct machine *machine)
{
	struct error error;

	/* One more than there are: 'ended' is not called while threads are still being started. */
	machine->running = 1;
	for (unsigned int i = 0; i < machine->cpu_count; i++) {
		machine->running++;
		if (vcpu_start(machine->vcpus[i], &error) < 0) {
			machine->running--;
			machine_end(machine, MACHINE_CRASHED, "vCPU %u: its thread could not be started", i);
			break;
		}
	}
	/* One that ended the machine could not kick those that were only being started. */
	if (machine_is_ending(machine))
		kick_all(machine);
	machine_vcpu_ended(machine);
}

int machine_start(struct machine *machine, const struct machine_options *options, struct error *error)
{
	uint64_t entry = 0;
	int result = load(machine, options, &entry, error);

	if (result == 0)
		result = create_vcpus(machine, error);
	if (result == 0)
		result = vcpu_set_entry(machine->vcpus[0], entry, error);
	if (result == 0)
		start_threads(machine);
	return result;
}

/* loop_function */
static void all_paused(void *opaque)
{
	struct machine *machine = opaque;
	void (*paused)(void *opaque) = NULL;

	pthread_mutex_lock(&machine->pause_lock);
	if (machine->pausing && machine->paused_count == machine->cpu_count && !machine_is_ending(machine)) {
		paused = machine->paused;
		machine->paused = NULL;
	}
	pthread_mutex_unlock(&machine->pause_lock);
	if (paused)
		paused(machine->paused_opaque);
}

void machine_pause(struct machine *machine, void (*paused)(void *opaque), void *opaque)
{
	pthread_mutex_lock(&machine->pause_lock);
	machine->paused = paused;
	machine->paused_opaque = opaque;
	machine->pausing = true;
	if (machine->paused_count == machine->cpu_count)
		loop_post(machine->control, all_paused, machine);
	pthread_mutex_unlock(&machine->pause_lock);
	kick_all(machine);
}

void machine_resume(struct machine *machine)
{
	pci_bus_resume(machine->pci);
	if (atomic_exchange(&machine->held, false)) {
		start_threads(machine);
		return;
	}
	pthread_mutex_lock(&machine->pause_lock);
	machine->pausing = false;
	pthread_cond_broadcast(&machine->pause_changed);
	pthread_mutex_unlock(&machine->pause_lock);
}

bool machine_is_pausing(const struct machine *machine)
{
	return machine->pausing;
}

void machine_vcpu_paused(struct machine *machine)
{
	pthread_mutex_lock(&machine->pause_lock);
	if (++machine->paused_count == machine->cpu_count)
		loop_post(machine->control, all_paused, machine);
	while (machine->pausing && !machine_is_ending(machine))
		pthread_cond_wait(&machine->pause_changed, &machine->pause_lock);
	machine->paused_count--;
	pthread_mutex_unlock(&machine->pause_lock);
}

static void all_ended(void *opaque)
{
	struct machine *machine = opaque;

	for (unsigned int i = 0; i < machine->cpu_count; i++)
		vcpu_join(machine->vcpus[i]);
	machine->ops->ended(machine->opaque, machine->end, machine->reason);
}

void machine_vcpu_ended(struct machine *machine)
{
	if (atomic_fetch_sub(&machine->running, 1) == 1)
		loop_post(machine->control, all_ended, machine);
}

bool machine_is_ending(const struct machine *machine)
{
	return machine->end != MACHINE_RUNNING;
}

void machine_end(struct machine *machine, enum machine_end end, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&machine->end_lock);
	if (machine->end == MACHINE_RUNNING) {
		va_start(args, format);
		vsnprintf(machine->reason, sizeof(machine->reason), format, args);
		va_end(args);
		machine->end = end;
	}
	pthread_mutex_unlock(&machine->end_lock);
	pthread_mutex_lock(&machine->pause_lock);
	pthread_cond_broadcast(&machine->pause_changed);
	pthread_mutex_unlock(&machine->pause_lock);
	if (atomic_exchange(&machine->held, false))
		loop_post(machine->control, all_ended, machine);
	kick_all(machine);
}

void machine_stop(struct machine *machine)
{
	machine_end(machine, MACHINE_STOPPED, "%s", "");
}

const char *machine_name(const struct machine *machine)
{
	return machine->name;
}

const struct guest_memory *machine_memory(const struct machine *machine)
{
	return &machine->memory;
}

struct interrupts *machine_interrupts(struct machine *machine)
{
	return machine->interrupts;
}

struct pci_bus *machine_pci(struct machine *machine)
{
	return machine->pci;
}

struct loop *machine_control(struct machine *machine)
{
	return machine->control;
}

int machine_add_ports(struct machine *machine, const struct machine_port_handler *handler)
{
	if (machine->handler_count == PORT_HANDLERS_MAX)
		return -ENOSPC;
	machine->handlers[machine->handler_count++] = *handler;
	return 0;
}

static int doorbell(struct machine *machine, uint64_t address, int event_fd, uint32_t flags)
{
	/* A length of 0: writes of any size, without looking at the value. */
	struct kvm_ioeventfd ioeventfd = {.addr = address, .len = 0, .fd = event_fd, .flags = flags};

	return ioctl(machine->vm_fd, KVM_IOEVENTFD, &ioeventfd) < 0 ? -errno : 0;
}

int machine_add_doorbell(struct machine *machine, uint64_t address, int event_fd)
{
	return doorbell(machine, address, event_fd, 0);
}

void machine_remove_doorbell(struct machine *machine, uint64_t address, int event_fd)
{
	doorbell(machine, address, event_fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

/* Ports of the machine itself.  Returns false for others. */
static bool platform_port(struct machine *machine, uint16_t port, void *data, unsigned int size, bool is_write)
{
	uint8_t value;

	memcpy(&value, data, 1);
	switch (port) {
	case PLATFORM_PORT_KEYBOARD_COMMAND:
		if (is_write && value == PLATFORM_KEYBOARD_RESET)
			machine_end(machine, MACHINE_RESET, "%s", "");
		break;
	case PLATFORM_PORT_RESET_CONTROL:
		if (size != 1)
			return false;          /* The middle of the PCI address register. */
		if (is_write && (value & 0x4)) /* RST_CPU */
			machine_end(machine, MACHINE_RESET, "%s", "");
		break;
	case PLATFORM_PORT_ACPI_RESET:
		if (is_write && value == PLATFORM_ACPI_RESET_VALUE)
			machine_end(machine, MACHINE_RESET, "%s", "");
		break;
	case PLATFORM_PORT_SLEEP_CONTROL:
		if (is_write && (value & PLATFORM_SLEEP_ENABLE))
			machine_end(machine, MACHINE_POWERED_OFF, "%s", "");
		break;
	case PLATFORM_PORT_SLEEP_STATUS:
		break;
	default:
		return false;
	}
	if (!is_write)
		memset(data, 0, size);
	return true;
}

static void port_access(struct machine *machine, uint16_t port, void *data, unsigned int size, bool is_write)
{
	if (platform_port(machine, port, data, size, is_write))
		return;
	if (port >= PLATFORM_PORT_PCI_CONFIG && port < PLATFORM_PORT_PCI_CONFIG + 8) {
		pci_bus_port(machine->pci, port - PLATFORM_PORT_PCI_CONFIG, data, size, is_write);
		return;
	}
	for (unsigned int i = 0; i < machine->handler_count; i++) {
		const struct machine_port_handler *handler = &machine->handlers[i];

		if (port >= handler->base && port - handler->base < handler->count) {
			handler->access(handler->opaque, port - handler->base, data, size, is_write);
			return;
		}
	}
	if (!is_write)
		memset(data, 0xff, size);
}

void machine_port_access(struct machine *machine, uint16_t port, void *data, unsigned int size, bool is_write)
{
	pthread_mutex_lock(&machine->bus_lock);
	port_access(machine, port, data, size, is_write);
	pthread_mutex_unlock(&machine->bus_lock);
}

void machine_memory_access(struct machine *machine, uint64_t address, void *data, unsigned int size, bool is_write)
{
	pthread_mutex_lock(&machine->bus_lock);
	if (address >= PCI_ECAM_BASE && address - PCI_ECAM_BASE < PCI_ECAM_SIZE)
		pci_bus_ecam(machine->pci, address - PCI_ECAM_BASE, data, size, is_write);
	else if (!pci_bus_memory(machine->pci, address, data, size, is_write) && !is_write)
		memset(data, 0xff, size);
	pthread_mutex_unlock(&machine->bus_lock);
}

const struct vcpu_registers *machine_crash_registers(const struct machine *machine)
{
	for (unsigned int i = 0; i < machine->cpu_count; i++) {
		const struct vcpu_registers *registers = machine->vcpus[i] ? vcpu_crash_registers(machine->vcpus[i]) :
									     NULL;

		if (registers)
			return registers;
	}
	return NULL;
}

void machine_read_exits(const struct machine *machine, struct machine_exits *exits)
{
	*exits = (struct machine_exits){0};
	for (unsigned int i = 0; i < machine->cpu_count; i++) {
		if (machine->vcpus[i])
			vcpu_add_exits(machine->vcpus[i], exits);
	}
}

uint64_t machine_sample(struct machine *machine)
{
	if (!machine->vcpus[0])
		return 0;
	vcpu_kick(machine->vcpus[0]);
	return vcpu_sampled_rip(machine->vcpus[0]);
}

static int save_chips(struct machine *machine, struct state *state, struct error *error)
{
	struct kvm_clock_data clock;

	if (ioctl(machine->vm_fd, KVM_GET_CLOCK, &clock) < 0)
		return error_set(error, ERROR_FAILED, errno, "KVM does not tell a machine's clock: %s",
				 strerror(errno));
	clock.flags = 0; /* Else KVM would add the time that has passed since, and the guest's clock jump. */
	state_put(state, TAG_CLOCK, &clock, sizeof(clock));
	for (uint32_t i = 0; i < IRQCHIPS; i++) {
		struct kvm_irqchip chip = {.chip_id = i};

		if (ioctl(machine->vm_fd, KVM_GET_IRQCHIP, &chip) < 0)
			return error_set(error, ERROR_FAILED, errno, "KVM does not tell of its irqchip: %s",
					 strerror(errno));
		state_put(state, TAG_IRQCHIP, &chip, sizeof(chip));
	}
	return 0;
}

void machine_drain(struct machine *machine)
{
	pci_bus_drain(machine->pci);
}

int machine_save(struct machine *machine, struct state *state, struct error *error)
{
	const struct machine_shape shape = {.platform_version = PLATFORM_VERSION,
					    .cpus = machine->cpu_count,
					    .memory = machine->memory.size};
	int result;

	state_put(state, TAG_MACHINE, &shape, sizeof(shape));
	result = save_chips(machine, state, error);
	for (unsigned int i = 0; result == 0 && i < machine->cpu_count; i++)
		result = vcpu_save(machine->vcpus[i], state, error);
	if (result < 0)
		return result;
	for (unsigned int i = 0; i < machine->handler_count; i++) {
		if (machine->handlers[i].save)
			machine->handlers[i].save(machine->handlers[i].opaque, state);
	}
	pci_bus_save(machine->pci, state);
	state_put(state, TAG_END, NULL, 0);
	return state->bad ? error_set(error, ERROR_FAILED, ENOMEM, "no memory for a machine's state") : 0;
}

static int restore_chips(struct machine *machine, struct state *state, struct error *error)
{
	struct kvm_clock_data clock;

	if (state_get(state, TAG_CLOCK, &clock, sizeof(clock))) {
		clock = (struct kvm_clock_data){.clock = clock.clock};
		if (ioctl(machine->vm_fd, KVM_SET_CLOCK, &clock) < 0)
			return error_set(error, ERROR_FAILED, errno, "KVM does not take a machine's clock: %s",
					 strerror(errno));
	}
	for (uint32_t i = 0; i < IRQCHIPS; i++) {
		struct kvm_irqchip chip;

		if (!state_get(state, TAG_IRQCHIP, &chip, sizeof(chip)))
			break;
		chip.chip_id = i;
		if (ioctl(machine->vm_fd, KVM_SET_IRQCHIP, &chip) < 0)
			return error_set(error, ERROR_FAILED, errno, "KVM does not take an irqchip's state: %s",
					 strerror(errno));
	}
	return 0;
}

static int check_shape(const struct machine *machine, struct state *state, struct error *error)
{
	struct machine_shape shape;

	if (!state_get(state, TAG_MACHINE, &shape, sizeof(shape)) || shape.platform_version != PLATFORM_VERSION)
		return error_set(error, ERROR_FAILED, EPROTO, "the state is of another version of the machine");
	if (shape.cpus != machine->cpu_count || shape.memory != machine->memory.size)
		return error_set(error, ERROR_FAILED, EINVAL, "the state is of a machine with %u CPUs and %llu MiB",
				 shape.cpus, (unsigned long long)shape.memory >> 20);
	return 0;
}

int machine_restore(struct machine *machine, struct state *state, struct error *error)
{
	int result = check_shape(machine, state, error);

	if (result == 0)
		result = create_vcpus(machine, error);
	if (result == 0)
		result = restore_chips(machine, state, error);
	for (unsigned int i = 0; result == 0 && i < machine->cpu_count; i++)
		result = vcpu_restore(machine->vcpus[i], state, error);
	if (result < 0)
		return result;
	for (unsigned int i = 0; i < machine->handler_count; i++) {
		if (machine->handlers[i].restore)
			machine->handlers[i].restore(machine->handlers[i].opaque, state);
	}
	pci_bus_restore(machine->pci, state);
	state_get(state, TAG_END, NULL, 0);
	if (state->bad)
		return error_set(error, ERROR_FAILED, EBADMSG, "the state is not that of a machine with these devices");
	machine->held = true;
	return 0;
}
