/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"

/* A kick may go unseen by the turn that serves the first call, and a device may defer work to tasks a few times. */
#define SETTLING_TURNS 12

/* How often a number that is watched may be waited for, before it counts as staying behind. */
#define SETTLINGS_MAX 1000

static void on_transmit(void *opaque, const struct frame *frame)
{
	struct guest *guest = opaque;
	struct wire *wire = &guest->wire;

	frame_copy(frame, wire->frame, frame->size);
	wire->size = frame->size;
	wire->offload = frame->offload;
	wire->frames++;
	if (wire->frames == 10 && wire->at_tenth)
		loop_post(guest->bench->plane, wire->at_tenth, wire->opaque);
	if (guest->port)
		port_transmit(guest->port, frame);
	if (wire->answers && virtio_net_takes(guest->net, frame)) {
		virtio_net_receive(guest->net, frame);
		virtio_net_flush(guest->net);
	}
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size)
{
	struct guest *guest = opaque;
	struct wire *wire = &guest->wire;

	frame_copy(frame, wire->frame, frame->size);
	wire->size = frame->size;
	wire->offload = frame->offload;
	wire->refused_size = size;
	wire->refused[reason]++;
	if (guest->port)
		port_refused(guest->port, frame, size);
}

static const struct virtio_net_ops net_ops = {.transmit = on_transmit, .refused = on_refused};

static void hear(struct heard *heard, const void *data, size_t size)
{
	if (heard->size + size <= sizeof(heard->text))
		memcpy(heard->text + heard->size, data, size);
	heard->size += size;
	heard->calls++;
}

static void on_output(void *opaque, enum virtio_console_port port, const uint8_t *data, size_t size)
{
	struct guest *guest = opaque;
	struct heard *heard = &guest->ports[port];

	hear(heard, data, size);
	if (heard->answer)
		virtio_console_write(guest->console, port, (const uint8_t *)heard->answer, strlen(heard->answer));
}

static void on_writable(void *opaque, enum virtio_console_port port)
{
	((struct guest *)opaque)->ports[port].writable++;
}

static void on_opened(void *opaque, enum virtio_console_port port, bool open)
{
	((struct guest *)opaque)->ports[port].open = open;
}

static const struct virtio_console_ops console_ops = {.output = on_output,
						      .writable = on_writable,
						      .opened = on_opened};

static void on_uart(void *opaque, const char *data, size_t size, size_t lost)
{
	struct guest *guest = opaque;

	hear(&guest->uart, data, size);
	guest->uart.lost += lost;
}

static const struct uart_ops uart_ops = {.output = on_uart};

static void on_ended(void *opaque, enum machine_end end, const char *reason)
{
	struct guest *guest = opaque;

	(void)reason;
	guest->end = end;
	guest->ended = true;
}

static const struct machine_ops machine_ops = {.ended = on_ended};

static void *run_loop(void *opaque)
{
	loop_run(opaque);
	return NULL;
}

/* loop_function */
static void destroy_machine(void *opaque)
{
	struct guest *guest = opaque;

	machine_destroy(guest->machine);
	guest->machine = NULL;
}

void guest_build(struct guest *guest, unsigned int cpus, int memory_fd)
{
	struct bench *bench = guest->bench;
	struct error error = {.class = ERROR_NONE};
	const struct machine_options options = {.name = guest->index == 0 ? "enemy" : "bystander",
						.memory = BENCH_MEMORY,
						.cpus = cpus,
						.memory_fd = memory_fd};
	const struct virtio_net_options net = {
		.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)guest->index},
		.mtu = BENCH_MTU,
		.has_offload = true,
		.slot = BENCH_SLOT_NET,
		.name = options.name,
		.ops = &net_ops,
		.opaque = guest,
	};
	const struct virtio_console_options console = {.slot = BENCH_SLOT_CONSOLE,
						       .stream_name = BENCH_STREAM_NAME,
						       .ops = &console_ops,
						       .opaque = guest};

	if (guest->machine)
		loop_call(bench->control, destroy_machine, guest);
	guest->cpus = cpus;
	guest->started = guest->ended = false;
	guest->machine = machine_create(bench->kvm_fd, &bench->host, &options, bench->control, &machine_ops, guest,
					&error);
	assert_non_null(guest->machine);
	guest->net = virtio_net_create(guest->machine, bench->plane, &net, &error);
	guest->console = virtio_console_create(guest->machine, bench->control, &console, &error);
	guest->rng = virtio_rng_create(guest->machine, bench->control, BENCH_SLOT_RNG, &error);
	assert_true(guest->net && guest->console && guest->rng);
	assert_int_equal(uart_create(guest->machine, &uart_ops, guest, &error), 0);
}

static enum port_result on_deliver(void *opaque, const struct frame *frame)
{
	struct guest *guest = opaque;

	return virtio_net_receive(guest->net, frame) == VIRTIO_NET_DELIVERED ? PORT_DELIVERED : PORT_RING_FULL;
}

static void on_flush(void *opaque)
{
	virtio_net_flush(((struct guest *)opaque)->net);
}

/* loop_function */
static void plug(void *opaque)
{
	static const struct port_ops port_ops = {.deliver = on_deliver, .flush = on_flush};
	struct guest *guest = opaque;

	port_plug(guest->port, &port_ops, guest);
}

void guest_plug(struct guest *guest, struct port *port)
{
	guest->port = port;
	loop_call(guest->bench->plane, plug, guest);
}

int bench_set_up(void **state)
{
	struct error error = {.class = ERROR_NONE};
	struct bench *bench;

	*state = NULL;
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		return 0;
	bench = calloc(1, sizeof(*bench));
	assert_non_null(bench);
	bench->kvm_fd = host_probe(&bench->host, &error);
	assert_true(bench->kvm_fd >= 0);
	bench->control = loop_create(&error);
	bench->dataplane = dataplane_create(&error);
	assert_true(bench->control && bench->dataplane);
	bench->plane = dataplane_loop(bench->dataplane);
	for (unsigned int i = 0; i < BENCH_MACHINES; i++) {
		bench->guests[i].bench = bench;
		bench->guests[i].index = i;
		guest_build(&bench->guests[i], 1, 0);
	}
	assert_int_equal(pthread_create(&bench->control_thread, NULL, run_loop, bench->control), 0);
	assert_int_equal(pthread_create(&bench->plane_thread, NULL, run_loop, bench->plane), 0);
	/* The loop says of itself that it runs only once it does. */
	bench_settle(bench);
	net_start(BYSTANDER(bench), 0);
	*state = bench;
	return 0;
}

static void stop_machines(void *opaque)
{
	struct bench *bench = opaque;

	for (unsigned int i = 0; i < BENCH_MACHINES; i++)
		machine_stop(bench->guests[i].machine);
}

static void destroy_machines(void *opaque)
{
	struct bench *bench = opaque;

	for (unsigned int i = 0; i < BENCH_MACHINES; i++)
		machine_destroy(bench->guests[i].machine);
}

/* What runs still does so only after a test that failed: it may take its time. */
static void end_machines(struct bench *bench)
{
	loop_call(bench->control, stop_machines, bench);
	for (unsigned int i = 0; i < BENCH_MACHINES; i++) {
		while (bench->guests[i].started && !bench->guests[i].ended)
			bench_settle(bench);
	}
	loop_call(bench->control, destroy_machines, bench);
}

int bench_tear_down(void **state)
{
	struct bench *bench = *state;

	if (!bench)
		return 0;
	end_machines(bench);
	loop_stop(bench->control);
	loop_stop(bench->plane);
	pthread_join(bench->control_thread, NULL);
	pthread_join(bench->plane_thread, NULL);
	loop_destroy(bench->control);
	dataplane_destroy(bench->dataplane);
	close(bench->kvm_fd);
	free(bench);
	return 0;
}

struct bench *bench_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void nothing(void *opaque)
{
	(void)opaque;
}

void bench_settle(struct bench *bench)
{
	for (unsigned int i = 0; i < SETTLING_TURNS; i++) {
		loop_call(bench->plane, nothing, NULL);
		loop_call(bench->control, nothing, NULL);
	}
}

static void look(void *opaque)
{
	struct turns *turns = opaque;
	size_t now = turns->read(turns->opaque);

	if (now - turns->last > turns->growth)
		turns->growth = now - turns->last;
	turns->last = now;
	turns->count++;
	if (now < turns->until)
		loop_task_queue(turns->loop, &turns->task);
}

static void begin_to_look(void *opaque)
{
	struct turns *turns = opaque;

	turns->last = turns->read(turns->opaque);
	loop_task_queue(turns->loop, &turns->task);
}

void bench_watch(struct bench *bench, struct turns *turns)
{
	turns->loop = bench->control;
	turns->task = (struct loop_task){.function = look, .opaque = turns};
	loop_call(bench->control, begin_to_look, turns);
}

static void stop_looking(void *opaque)
{
	struct turns *turns = opaque;

	loop_task_cancel(turns->loop, &turns->task);
}

bool bench_watch_end(struct bench *bench, struct turns *turns)
{
	for (unsigned int i = 0; i < SETTLINGS_MAX && turns->last < turns->until; i++)
		bench_settle(bench);
	loop_call(bench->control, stop_looking, turns);
	return turns->last >= turns->until;
}

void net_start(struct guest *guest, uint64_t features)
{
	driver_attach(&guest->nic, guest->machine, BENCH_SLOT_NET);
	driver_start(&guest->nic, features, features & NET_HAS_CONTROL ? 3 : 2);
	bench_settle(guest->bench);
}

void net_send(struct guest *guest, const void *header, const void *frame, size_t size)
{
	struct driver *nic = &guest->nic;
	unsigned int index = nic->queues[NET_TRANSMIT].next_available % DRIVER_RING_SIZE;
	uint64_t buffer = driver_buffer(NET_TRANSMIT, index);
	uint8_t *to = driver_memory(nic, buffer, DRIVER_BUFFER_SIZE);

	assert_in_range(size, 0, DRIVER_BUFFER_SIZE - NET_HEADER);
	memset(to, 0, NET_HEADER);
	if (header)
		memcpy(to, header, NET_HEADER);
	memcpy(to + NET_HEADER, frame, size);
	driver_describe(nic, NET_TRANSMIT, index,
			(struct vring_desc){.addr = buffer, .len = (uint32_t)(NET_HEADER + size)});
	driver_offer(nic, NET_TRANSMIT, (uint16_t)index);
	driver_kick(nic, NET_TRANSMIT);
	bench_settle(guest->bench);
}

void net_post(struct guest *guest, unsigned int index, uint32_t size)
{
	driver_describe(&guest->nic, NET_RECEIVE, index,
			(struct vring_desc){.addr = driver_buffer(NET_RECEIVE, index),
					    .len = size,
					    .flags = VRING_DESC_F_WRITE});
	driver_offer(&guest->nic, NET_RECEIVE, (uint16_t)index);
}

struct delivery {
	struct virtio_net *net;
	struct frame frame;
	enum virtio_net_result result;
};

static void deliver(void *opaque)
{
	struct delivery *delivery = opaque;

	if (!virtio_net_takes(delivery->net, &delivery->frame))
		return;
	delivery->result = virtio_net_receive(delivery->net, &delivery->frame);
	virtio_net_flush(delivery->net);
}

enum virtio_net_result net_deliver_offloaded(struct guest *guest, const uint8_t *bytes, size_t size,
					     const struct frame_offload *offload)
{
	struct delivery delivery = {.net = guest->net,
				    .frame = {.size = size, .header_size = size, .offload = *offload},
				    .result = VIRTIO_NET_NOT_READY};
	struct iovec rest;

	if (size > FRAME_HEADER_SIZE) {
		delivery.frame.header_size = FRAME_HEADER_SIZE;
		rest = (struct iovec){.iov_base = (void *)(uintptr_t)(bytes + FRAME_HEADER_SIZE),
				      .iov_len = size - FRAME_HEADER_SIZE};
		delivery.frame.rest = &rest;
		delivery.frame.rest_count = 1;
	}
	memcpy(delivery.frame.header, bytes, delivery.frame.header_size);
	loop_call(guest->bench->plane, deliver, &delivery);
	return delivery.result;
}

enum virtio_net_result net_deliver_bytes(struct guest *guest, const uint8_t *bytes, size_t size)
{
	return net_deliver_offloaded(guest, bytes, size, &(const struct frame_offload){0});
}

enum virtio_net_result net_deliver(struct guest *guest, uint8_t fill, size_t size)
{
	uint8_t bytes[FRAME_SIZE_MAX];

	memset(bytes, fill, sizeof(bytes));
	return net_deliver_bytes(guest, bytes, size);
}

static void check_transmit(struct guest *guest)
{
	unsigned int frames = guest->wire.frames;
	struct vring_used_elem used;
	uint8_t frame[200];

	memset(frame, 0x5a, sizeof(frame));
	net_send(guest, NULL, frame, sizeof(frame));
	assert_int_equal(guest->wire.frames, frames + 1);
	assert_int_equal(guest->wire.size, sizeof(frame));
	assert_memory_equal(guest->wire.frame, frame, sizeof(frame));
	assert_true(driver_take_used(&guest->nic, NET_TRANSMIT, &used));
}

static void check_receive(struct guest *guest)
{
	struct vring_used_elem used;
	unsigned int index = guest->nic.queues[NET_RECEIVE].next_available % DRIVER_RING_SIZE;
	const uint8_t *buffer = driver_memory(&guest->nic, driver_buffer(NET_RECEIVE, index), DRIVER_BUFFER_SIZE);

	net_post(guest, index, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver(guest, 0xa5, 300), VIRTIO_NET_DELIVERED);
	assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
	assert_int_equal(used.id, index);
	assert_int_equal(used.len, NET_HEADER + 300);
	assert_int_equal(buffer[NET_HEADER], 0xa5);
	assert_int_equal(buffer[NET_HEADER + 299], 0xa5);
}

void net_check_works(struct guest *guest)
{
	assert_null(virtio_net_quarantine_reason(guest->net));
	check_transmit(guest);
	check_receive(guest);
}

void driver_expect_needs_reset(struct driver *driver)
{
	assert_true(driver_status(driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(driver_is_pending(driver, DRIVER_VECTOR_CONFIG));
	assert_true(driver_read(driver, BAR_ISR, 1) & 2);
}

void bench_expect_quarantine(struct bench *bench, const char *reason)
{
	struct guest *enemy = ENEMY(bench);

	bench_settle(bench);
	assert_non_null(virtio_net_quarantine_reason(enemy->net));
	assert_string_equal(virtio_net_quarantine_reason(enemy->net), reason);
	driver_expect_needs_reset(&enemy->nic);
	assert_int_equal(net_deliver(enemy, 1, 60), VIRTIO_NET_NOT_READY);
	net_check_works(BYSTANDER(bench));
	net_start(enemy, 0);
	net_check_works(enemy);
}

void bench_expect_tolerated(struct bench *bench)
{
	bench_settle(bench);
	net_check_works(ENEMY(bench));
	net_check_works(BYSTANDER(bench));
}
