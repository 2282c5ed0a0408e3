/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_BENCH_H
#define TESTS_HOSTILE_BENCH_H 1

/* The bench on which hostile drivers are tried
 * ============================================
 *
 * Two real machines on /dev/kvm, and two loops in threads of their own, as in netlabd: the control loop (consoles,
 * entropy) and the data plane's (NICs).  The first machine is the enemy's; the second is a bystander, which must not
 * notice anything.  Their vCPUs never run, but for the tests of the machine itself.
 *
 * Nothing here depends on time: bench_settle() returns when both loops have done all that was due.
 */

#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/machine.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "driver.h"
#include "netlab/dataplane.h"

#define BENCH_MACHINES 2
/* As many times as a chain has buffers, it is more than 32 bits hold. */
#define BENCH_MEMORY (32ull << 20)
#define BENCH_MTU 9000
#define BENCH_SLOT_CONSOLE 1
#define BENCH_SLOT_RNG 2
#define BENCH_SLOT_NET 8
#define BENCH_STREAM_NAME "test.stream"

#define NET_RECEIVE 0
#define NET_TRANSMIT 1
#define NET_CONTROL 2 /* Only with the feature. */
#define NET_HAS_CONTROL (1ull << VIRTIO_NET_F_CTRL_VQ)
#define NET_HEADER 12

/* What a NIC sent.  Belongs to the data plane's thread; read it when the bench is settled. */
struct wire {
	uint8_t frame[FRAME_SIZE_MAX]; /* The last one, or what was to be seen of one that was refused. */
	size_t size;
	struct frame_offload offload;
	unsigned int frames;
	unsigned int refused[VIRTIO_NET_OFFLOAD + 1];
	size_t refused_size; /* What the last one was to be. */
	bool answers; /* Gives each frame back to its sender before it returns, as a gateway's answer may come. */
	/* Posted at the tenth frame to the data plane's loop, which runs it later in the same turn. */
	loop_function *at_tenth;
	void *opaque;
};

/* What came out of the console and the UART, and what the console's ports are.  Of the control loop. */
struct heard {
	char text[65536];
	size_t size; /* All bytes, kept or not. */
	size_t lost;
	unsigned int calls;
	unsigned int writable;
	bool open;
	const char *answer; /* Written back from within each output of the stream, when set. */
};

struct guest {
	struct bench *bench;
	unsigned int index, cpus;
	struct machine *machine;
	struct virtio_net *net;
	struct virtio_console *console;
	struct virtio_rng *rng;
	struct wire wire;
	struct port *port; /* Where what the NIC sends goes, too, if there is one. */
	struct heard ports[VIRTIO_CONSOLE_PORTS];
	struct heard uart;
	struct driver nic;
	/* Of a machine that runs.  The control loop's. */
	bool started, ended;
	enum machine_end end;
};

struct bench {
	int kvm_fd;
	struct host_profile host;
	struct dataplane *dataplane;
	struct loop *control, *plane;
	pthread_t control_thread, plane_thread;
	struct guest guests[BENCH_MACHINES];
};

#define ENEMY(bench) (&(bench)->guests[0])
#define BYSTANDER(bench) (&(bench)->guests[1])

/* cmocka's set-up and tear-down.  Without /dev/kvm there is no bench, and bench_of() skips the test. */
int bench_set_up(void **state);
int bench_tear_down(void **state);
struct bench *bench_of(void **state);

void bench_settle(struct bench *bench);

/* Makes the guest's machine anew, with 'cpus' CPUs and the memory in a file, or new memory when 'memory_fd' is 0.  The
 * one before, if there is one, has ended or never started. */
void guest_build(struct guest *guest, unsigned int cpus, int memory_fd);
/* Plugs the NIC into a port of the bench's data plane. */
void guest_plug(struct guest *guest, struct port *port);

/* Looks at a number in each turn of the control loop, from bench_watch() until the number is 'until'. */
struct turns {
	struct loop *loop;
	struct loop_task task;
	size_t (*read)(void *opaque);
	void *opaque;
	size_t until;
	_Atomic size_t last;
	size_t growth;      /* Most in one turn. */
	unsigned int count; /* Of turns. */
};
void bench_watch(struct bench *bench, struct turns *turns);
/* Waits until then.  Returns false when the number stays behind. */
bool bench_watch_end(struct bench *bench, struct turns *turns);

/* Starts the guest's NIC as a well-behaved driver does. */
void net_start(struct guest *guest, uint64_t features);
/* Offers one transmit chain: 'header' (NULL: zeroes) and frame in one buffer, and kicks. */
void net_send(struct guest *guest, const void *header, const void *frame, size_t size);
/* Posts the receive buffer 'index' with 'size' bytes. */
void net_post(struct guest *guest, unsigned int index, uint32_t size);
/* Hands the NIC a frame of 'size' bytes, each with the value 'fill', as the switch would. */
enum virtio_net_result net_deliver(struct guest *guest, uint8_t fill, size_t size);
enum virtio_net_result net_deliver_bytes(struct guest *guest, const uint8_t *bytes, size_t size);
/* The same with work left undone; VIRTIO_NET_DELIVERED only if the NIC says it takes that. */
enum virtio_net_result net_deliver_offloaded(struct guest *guest, const uint8_t *bytes, size_t size,
					     const struct frame_offload *offload);
/* Sends and receives a frame, and checks both. */
void net_check_works(struct guest *guest);

/* The enemy's NIC is quarantined with this reason and says so; the bystander's goes on; a reset ends it. */
void bench_expect_quarantine(struct bench *bench, const char *reason);
/* The enemy's NIC took it, and both go on. */
void bench_expect_tolerated(struct bench *bench);
/* The driver is told of the quarantine: status, interrupt, ISR. */
void driver_expect_needs_reset(struct driver *driver);

#endif /* bench.h */
