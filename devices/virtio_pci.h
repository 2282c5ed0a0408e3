/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTIO_PCI_H
#define DEVICES_VIRTIO_PCI_H 1

/* virtio over PCI, modern only (virtio 1.2, section 4.1)
 * ======================================================
 *
 * What all virtio devices have in common: a PCI function with one BAR for the common, notification, ISR and device
 * configuration structures and the MSI-X table; feature negotiation; the status state machine; queues with a
 * doorbell (ioeventfd) and an MSI-X vector (irqfd) each.
 *
 * A device embeds struct virtio_device as its first member.  Its queues belong to a loop, its owner: activation, reset
 * and kicks all run there.  The vCPU thread whose register access causes one of the first two waits for it.
 *
 * A driver that breaks the rules has its device quarantined: the queues stop, the driver is told (DEVICE_NEEDS_RESET),
 * one line is logged, and nothing else happens.  Resetting the device ends the quarantine.
 *
 * Thread-safety: virtio_device_publish() and virtio_device_quarantine() are for the owner's thread,
 * virtio_device_quarantine_reason() for any, the rest for whoever builds the machine.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/msix.h"
#include "core/pci.h"
#include "devices/virtqueue.h"

struct machine;
struct state;
struct virtio_device;

#define VIRTIO_QUEUES_MAX 8
#define VIRTIO_CONFIG_MAX 64
#define VIRTIO_FEATURE_VERSION_1 (1ull << 32)

/* PCI class codes. */
#define VIRTIO_CLASS_STORAGE 0x0180
#define VIRTIO_CLASS_NETWORK 0x0200
#define VIRTIO_CLASS_COMMUNICATION 0x0780
#define VIRTIO_CLASS_OTHER 0xff00

/* Called in the owner's thread, but for 'destroy'. */
struct virtio_device_ops {
	void (*activate)(struct virtio_device *device);                   /* DRIVER_OK; the queues are started. */
	void (*reset)(struct virtio_device *device);                      /* The queues are still there. */
	void (*kicked)(struct virtio_device *device, unsigned int queue); /* The driver notified. */
	/* Its machine is paused: ends what it is in the middle of, and begins nothing until resume(), which comes also
	 * after restore().  NULL for a device that does nothing of its own. */
	void (*drain)(struct virtio_device *device);
	void (*resume)(struct virtio_device *device);
	/* Both NULL for a device that has no state but that of its queues and its configuration. */
	void (*save)(struct virtio_device *device, struct state *state);
	void (*restore)(struct virtio_device *device, struct state *state);
	void (*destroy)(struct virtio_device *device); /* Frees it; no loop touches it any more. */
};

struct virtio_queue {
	struct virtqueue ring;
	bool enabled;
	_Atomic uint16_t vector; /* A driver may change it while the owner interrupts. */
	int kick_fd;
	bool doorbell; /* Registered with KVM at the present BAR address. */
	struct loop_watch watch;
	struct virtio_device *device;
};

struct virtio_device {
	struct pci_device pci; /* First. */
	const struct virtio_device_ops *ops;
	struct machine *machine;
	struct loop *owner;
	char name[48]; /* "h1 console" */
	uint64_t offered, negotiated;
	uint32_t offered_select, negotiated_select;
	_Atomic uint8_t status;
	_Atomic uint8_t isr;
	_Atomic uint8_t generation;
	_Atomic(const char *) quarantine_reason; /* NULL: not quarantined. */
	bool active;                             /* The owner has it. */
	_Atomic uint16_t config_vector;          /* As a queue's. */
	uint16_t queue_select;
	unsigned int queue_count;
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	struct msix msix;
	unsigned int window; /* Offset of the PCI configuration access capability. */
	_Atomic uint8_t config[VIRTIO_CONFIG_MAX];
	unsigned int config_size;
	struct log_limit log_limit;
};

struct virtio_device_options {
	struct machine *machine;
	struct loop *owner;
	const char *name;    /* For the log, with the node's name; copied. */
	uint16_t device_id;  /* virtio device type (section 5). */
	uint16_t class_code; /* VIRTIO_CLASS_* */
	uint64_t features;   /* Device-specific ones; those of the ring and VERSION_1 are added. */
	unsigned int queue_count;
	unsigned int config_size; /* Bytes of device configuration. */
	unsigned int slot;
	const struct virtio_device_ops *ops;
};

/* Initialises 'device' and puts it on the machine's PCI bus, which owns it then.  On failure returns a negative errno
 * value with 'error' set, and the caller frees it. */
int virtio_device_init(struct virtio_device *device, const struct virtio_device_options *options, struct error *error);

/* For ops->destroy: frees what virtio_device_init() made. */
void virtio_device_release(struct virtio_device *device);

/* Sets 'size' bytes of the device configuration at 'offset'; when the device is active, the driver is told. */
void virtio_device_set_config(struct virtio_device *device, unsigned int offset, const void *data, unsigned int size);

static inline struct virtqueue *virtio_device_queue(struct virtio_device *device, unsigned int queue)
{
	return &device->queues[queue].ring;
}

static inline bool virtio_device_has(const struct virtio_device *device, uint64_t feature)
{
	return (device->negotiated & feature) == feature;
}

/* True between activation and reset, unless quarantined. */
bool virtio_device_is_running(const struct virtio_device *device);

/* Publishes what was pushed to a queue, and interrupts the driver if it wants that. */
void virtio_device_publish(struct virtio_device *device, unsigned int queue);

/* 'reason' must be a string that lasts (a literal). */
void virtio_device_quarantine(struct virtio_device *device, const char *reason);
const char *virtio_device_quarantine_reason(const struct virtio_device *device);

#endif /* virtio_pci.h */
