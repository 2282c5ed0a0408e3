/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H 1

/* Machine
 * =======
 *
 * One virtual machine: memory, vCPUs, irqchip, ports, PCI bus.  Life: create, add devices, start, end, destroy; it runs
 * once, and a node that restarts gets a new one.
 *
 * A machine that is paused can be saved, and another one be started from that: with the same memory, and the same
 * devices in the same slots; slots that were empty may have more.  The guest goes on where it was.
 *
 * Several machines that talk to each other are saved as of one instant: all are paused, then all drained, then all
 * saved, and then all resumed; and restored likewise.
 *
 * It ends by the guest's doing (power-off, reset, a crash) or by machine_stop().  Either way every vCPU thread ends,
 * and then ops->ended is called in the control loop.  Before that the control loop must keep running, and never wait
 * for a vCPU: a vCPU may be waiting for it (loop_call() from a device).
 *
 * Thread-safety: machine_stop() and the event functions may be called by any thread; all else by the control loop's
 * thread. Port handlers and PCI devices run in vCPU threads, one at a time (the bus lock).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/host.h"

struct guest_memory;
struct interrupts;
struct loop;
struct machine;
struct pci_bus;
struct state;
struct vcpu_registers;

#define MACHINE_CPUS_MAX 16

enum machine_end {
	MACHINE_RUNNING,     /* It has not ended. */
	MACHINE_STOPPED,     /* machine_stop() */
	MACHINE_POWERED_OFF, /* By the guest. */
	MACHINE_RESET,       /* The guest asks for a reset. */
	MACHINE_CRASHED,     /* A vCPU cannot go on. */
};

struct machine_options {
	const char *name; /* Of the node, for threads and the log. */
	uint64_t memory;  /* Bytes. */
	unsigned int cpus;
	const char *kernel;
	const char *const *initramfs;
	size_t initramfs_count;
	const char *cmdline; /* Without the host profile's words, which are appended. */
	/* A file with the memory of a machine that was saved, which is mapped, or 0 for new memory.  The descriptor
	 * stays the caller's. */
	int memory_fd;
};

struct machine_ops {
	/* All vCPUs have ended.  'reason' is a sentence, "" where 'end' says all.  The machine may be destroyed
	 * in it. */
	void (*ended)(void *opaque, enum machine_end end, const char *reason);
};

/* Builds a machine without devices.  'kvm_fd' is host_probe()'s; it and 'host' must outlive the machine.  Returns NULL
 * with 'error' set. */
struct machine *machine_create(int kvm_fd, const struct host_profile *host, const struct machine_options *options,
			       struct loop *control, const struct machine_ops *ops, void *opaque, struct error *error);

/* Loads the kernel, makes the vCPUs and starts their threads.  The loops of all devices must be running. */
int machine_start(struct machine *machine, const struct machine_options *options, struct error *error);

/* Makes the vCPUs from a state instead of a kernel; they are paused, and so are the devices.  The loops of all devices
 * must be running, the control loop too.  Where it fails, the machine has not started; nor has it before the first
 * machine_resume(), so that it may be destroyed, or saved again, as it is. */
int machine_restore(struct machine *machine, struct state *state, struct error *error);

/* Has all vCPUs stop between two instructions, and then calls 'paused' in the control loop; not when the machine ends
 * first.  Not for one that is paused. */
void machine_pause(struct machine *machine, void (*paused)(void *opaque), void *opaque);
/* Has the devices go on, if they were drained or restored, and then the vCPUs. */
void machine_resume(struct machine *machine);

/* Has the devices of a paused machine end what they are in the middle of, and begin nothing of their own.  Before its
 * memory and its state are saved, and not in between: they write memory and interrupt. */
void machine_drain(struct machine *machine);

/* Takes the state of a paused machine and its devices, all but its memory (machine_memory()). */
int machine_save(struct machine *machine, struct state *state, struct error *error);

/* Asks the vCPUs to end.  Does nothing when they have. */
void machine_stop(struct machine *machine);

/* Frees a machine that never started or has ended, with its devices. */
void machine_destroy(struct machine *machine);

const char *machine_name(const struct machine *machine);
const struct guest_memory *machine_memory(const struct machine *machine);
struct interrupts *machine_interrupts(struct machine *machine);
struct pci_bus *machine_pci(struct machine *machine);
struct loop *machine_control(struct machine *machine);

/* For devices at ports: 'handler' gets accesses of 1, 2 or 4 bytes to 'count' ports from 'base', by offset.  'destroy'
 * (may be NULL) is called with the machine's end.  Returns 0 or -ENOSPC. */
struct machine_port_handler {
	uint16_t base, count;
	void (*access)(void *opaque, unsigned int offset, void *data, unsigned int size, bool is_write);
	void (*destroy)(void *opaque);
	void (*save)(void *opaque, struct state *state);    /* Both may be NULL. */
	void (*restore)(void *opaque, struct state *state); /* What is wrong makes the state bad. */
	void *opaque;
};
int machine_add_ports(struct machine *machine, const struct machine_port_handler *handler);

/* Has KVM write 'event_fd' when the guest writes anything to the guest-physical 'address' (KVM_IOEVENTFD), or no
 * longer.  Returns 0 or a negative errno value. */
int machine_add_doorbell(struct machine *machine, uint64_t address, int event_fd);
void machine_remove_doorbell(struct machine *machine, uint64_t address, int event_fd);

/* For vCPU threads: a guest's access that KVM passed on.  Reads of what is not there give ones. */
void machine_port_access(struct machine *machine, uint16_t port, void *data, unsigned int size, bool is_write);
void machine_memory_access(struct machine *machine, uint64_t address, void *data, unsigned int size, bool is_write);

/* For vCPU threads: the machine ends for this reason, unless it is ending already. */
void machine_end(struct machine *machine, enum machine_end end, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* True once it is ending. */
bool machine_is_ending(const struct machine *machine);
/* For vCPU threads: true while they are to stop and call machine_vcpu_paused(), which returns when they are to go on.
 */
bool machine_is_pausing(const struct machine *machine);
void machine_vcpu_paused(struct machine *machine);
/* For vCPU threads, as their last act. */
void machine_vcpu_ended(struct machine *machine);

/* The registers of the vCPU that crashed, or NULL. */
const struct vcpu_registers *machine_crash_registers(const struct machine *machine);

/* Counts of exits to user space since the start, summed over vCPUs. */
struct machine_exits {
	uint64_t port, memory, completed, interrupted, other;
};
void machine_read_exits(const struct machine *machine, struct machine_exits *exits);

/* Interrupts vCPU 0 and returns the instruction pointer it had at its last interruption (0 at first): a sampling
 * profiler's tool, for benchmarks. */
uint64_t machine_sample(struct machine *machine);

#endif /* machine.h */
