/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_GUEST_H
#define NETLAB_GUEST_H 1

/* Guest: a machine of an image, with all that every such machine has
 * ==================================================================
 *
 * UART, console, entropy, a balloon, the image's disk, and the connection to its agent.  A node adds NICs to it; a
 * template (netlab/template.h) is one without.  It lives once, as its machine does: create, start, end, destroy.
 *
 * Thread-safety: the control loop's.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/machine.h"

struct agent;
struct host_profile;
struct image;
struct loop;
struct template;
struct virtio_balloon;
struct virtio_blk;
struct virtio_console;
struct virtio_rng;

/* PCI slots.  Those between are for more disks; NICs come last, in the order of their names. */
#define GUEST_SLOT_CONSOLE 1
#define GUEST_SLOT_RNG 2
#define GUEST_SLOT_DISK 3
#define GUEST_SLOT_BALLOON 4
#define GUEST_SLOT_FIRST_NIC 8

/* None may be NULL; all are called in the control loop. */
struct guest_ops {
	/* Its boot log grew. */
	void (*logged)(void *opaque, const char *text, size_t size);
	/* Its console said something. */
	void (*console)(void *opaque, const uint8_t *data, size_t size);
	/* Its agent is there, and can be asked. */
	void (*greeted)(void *opaque);
	/* Its agent is lost, for this reason ("": the guest closed the connection). */
	void (*lost)(void *opaque, const char *reason);
	/* Its machine has ended (core/machine.h).  It may be destroyed in this. */
	void (*ended)(void *opaque, enum machine_end end, const char *reason);
};

struct guest_options {
	const char *name; /* For threads and the log. */
	const struct image *image;
	const char *cmdline; /* Words to append to the image's, or NULL. */
	uint64_t memory;     /* Bytes. */
	unsigned int cpus;
	unsigned int nics;     /* That its template has (netlab/template.h). */
	uint32_t offload_nics; /* Those of them that offer offloads, the first one as bit 0. */
	int kvm_fd;
	const struct host_profile *host; /* This and kvm_fd must outlive it. */
	struct loop *control;
	/* What to start from instead of booting, or NULL.  It must outlive guest_start(). */
	struct template *template;
	/* Memory of a guest that was saved, or 0.  Its machine is then restored rather than started (core/machine.h).
	 * The descriptor stays the caller's, and may be closed once the guest is created. */
	int memory_fd;
};

struct guest {
	struct guest_options options;
	const struct guest_ops *ops;
	void *opaque;
	struct machine *machine;
	struct agent *agent;
	struct virtio_console *console;
	struct virtio_rng *rng;
	struct virtio_balloon *balloon;
	struct virtio_blk *disk; /* NULL: the image has none. */
};

/* Builds it; what 'options' points to must last until it has been started.  Returns NULL with 'error' set. */
struct guest *guest_create(const struct guest_options *options, const struct guest_ops *ops, void *opaque,
			   struct error *error);
/* Boots it, or has it go on where its template was.  Returns 0 or a negative errno value with 'error' set. */
int guest_start(struct guest *guest, struct error *error);
/* When it was never started, or has ended. */
void guest_destroy(struct guest *guest);

/* Writes the kernel's command line, without the host profile's words. */
#define GUEST_CMDLINE_MAX 4096
void guest_cmdline(const struct guest_options *options, char text[GUEST_CMDLINE_MAX]);

#endif /* guest.h */
