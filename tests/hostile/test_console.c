/* SPDX-License-Identifier: Apache-2.0 */

/* virtio-console: the handshake of a driver that knows ports, bytes both ways, and drivers that break the rules. */

#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "devices/virtio_pci.h"

#define TERMINAL_RECEIVE 0
#define TERMINAL_TRANSMIT 1
#define CONTROL_RECEIVE 2
#define CONTROL_TRANSMIT 3
#define STREAM_RECEIVE 4
#define STREAM_TRANSMIT 5
#define QUEUES 6

#define MULTIPORT (1ull << VIRTIO_CONSOLE_F_MULTIPORT)

struct console {
	struct bench *bench;
	struct guest *guest;
	struct driver driver;
};

static struct console start(void **state, uint64_t features)
{
	struct bench *bench = bench_of(state);
	struct console console = {.bench = bench, .guest = ENEMY(bench)};

	driver_attach(&console.driver, console.guest->machine, BENCH_SLOT_CONSOLE);
	driver_start(&console.driver, MULTIPORT | features, QUEUES);
	return console;
}

/* Offers and kicks as a driver does: only when the device wants to know. */
static void offer(struct console *console, unsigned int queue, uint16_t head)
{
	uint16_t before = console->driver.queues[queue].next_available;

	driver_offer(&console->driver, queue, head);
	if (driver_kick_wanted(&console->driver, queue, before))
		driver_kick(&console->driver, queue);
	bench_settle(console->bench);
}

static void post(struct console *console, unsigned int queue)
{
	unsigned int index = console->driver.queues[queue].next_available % DRIVER_RING_SIZE;

	driver_describe(&console->driver, queue, index,
			(struct vring_desc){.addr = driver_buffer(queue, index),
					    .len = 256,
					    .flags = VRING_DESC_F_WRITE});
	offer(console, queue, (uint16_t)index);
}

static void transmit(struct console *console, unsigned int queue, const void *data, size_t size)
{
	unsigned int index = console->driver.queues[queue].next_available % DRIVER_RING_SIZE;

	memcpy(driver_memory(&console->driver, driver_buffer(queue, index), DRIVER_BUFFER_SIZE), data, size);
	driver_describe(&console->driver, queue, index,
			(struct vring_desc){.addr = driver_buffer(queue, index), .len = (uint32_t)size});
	offer(console, queue, (uint16_t)index);
}

static void say(struct console *console, uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control control = {.id = id, .event = event, .value = value};

	transmit(console, CONTROL_TRANSMIT, &control, sizeof(control));
}

/* The next message of the device must be this one; returns what goes with it, of 'size' bytes. */
static const void *expect(struct console *console, uint32_t id, uint16_t event, size_t size)
{
	struct virtio_console_control control;
	struct vring_used_elem used;
	const uint8_t *message;

	assert_true(driver_take_used(&console->driver, CONTROL_RECEIVE, &used));
	assert_int_equal(used.len, sizeof(control) + size);
	message = driver_memory(&console->driver, driver_buffer(CONTROL_RECEIVE, used.id), used.len);
	memcpy(&control, message, sizeof(control));
	assert_int_equal(control.id, id);
	assert_int_equal(control.event, event);
	assert_int_equal(control.value, 1);
	return message + sizeof(control);
}

static void shake_hands(struct console *console)
{
	uint16_t size[2];

	for (unsigned int i = 0; i < 16; i++)
		post(console, CONTROL_RECEIVE);
	say(console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect(console, 0, VIRTIO_CONSOLE_PORT_ADD, 0);
	expect(console, 1, VIRTIO_CONSOLE_PORT_ADD, 0);
	say(console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(console, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 0);
	memcpy(size, expect(console, 0, VIRTIO_CONSOLE_RESIZE, 4), 4);
	assert_int_equal(size[0], 80);
	assert_int_equal(size[1], 24);
	expect(console, 0, VIRTIO_CONSOLE_PORT_OPEN, 0);
	say(console, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_memory_equal(expect(console, 1, VIRTIO_CONSOLE_PORT_NAME, strlen(BENCH_STREAM_NAME)), BENCH_STREAM_NAME,
			    strlen(BENCH_STREAM_NAME));
	expect(console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	say(console, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	say(console, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_true(console->guest->ports[0].open);
	assert_true(console->guest->ports[1].open);
}

struct input {
	struct virtio_console *console;
	enum virtio_console_port port;
	const uint8_t *data;
	size_t size, taken;
};

static void write_input(void *opaque)
{
	struct input *input = opaque;

	input->taken = virtio_console_write(input->console, input->port, input->data, input->size);
}

static size_t give(struct console *console, enum virtio_console_port port, const void *data, size_t size)
{
	struct input input = {.console = console->guest->console, .port = port, .data = data, .size = size};

	loop_call(console->bench->control, write_input, &input);
	return input.taken;
}

static void check_bytes_pass(struct console *console)
{
	struct heard *terminal = &console->guest->ports[0], *stream = &console->guest->ports[1];
	struct vring_used_elem used;
	char line[40];

	for (unsigned int i = 0; i < 100; i++) {
		size_t length = (size_t)snprintf(line, sizeof(line), "line %u\n", i);

		terminal->size = stream->size = 0;
		transmit(console, TERMINAL_TRANSMIT, line, length);
		transmit(console, STREAM_TRANSMIT, line, length);
		assert_int_equal(terminal->size, length);
		assert_int_equal(stream->size, length);
		assert_memory_equal(stream->text, line, length);
		post(console, STREAM_RECEIVE);
		assert_int_equal(give(console, VIRTIO_CONSOLE_STREAM, line, length), length);
		assert_true(driver_take_used(&console->driver, STREAM_RECEIVE, &used));
		assert_int_equal(used.len, length);
		assert_memory_equal(driver_memory(&console->driver, driver_buffer(STREAM_RECEIVE, used.id), length),
				    line, length);
	}
}

static void shakes_hands_and_passes_bytes(void **state)
{
	struct console console = start(state, 0);

	shake_hands(&console);
	check_bytes_pass(&console);
}

static void shakes_hands_and_passes_bytes_with_event_indices(void **state)
{
	struct console console = start(state, VIRTIO_FEATURE_EVENT_IDX);

	shake_hands(&console);
	check_bytes_pass(&console);
}

/* Whoever is given output writes input before it returns, as the agent does: both chains must end where they belong. */
static void output_is_answered_from_within(void **state)
{
	struct console console = start(state, 0);
	struct vring_used_elem used;
	uint8_t block[6000];

	shake_hands(&console);
	console.guest->ports[1].answer = "answer";
	memset(block, 'x', sizeof(block));
	for (unsigned int i = 0; i < 8; i++)
		post(&console, STREAM_RECEIVE);
	for (uint16_t i = 0; i < 3; i++) {
		memcpy(driver_memory(&console.driver, driver_buffer(STREAM_TRANSMIT, 8), sizeof(block)), block,
		       sizeof(block));
		driver_describe(&console.driver, STREAM_TRANSMIT, 7,
				(struct vring_desc){.addr = driver_buffer(STREAM_TRANSMIT, 8), .len = sizeof(block)});
		offer(&console, STREAM_TRANSMIT, 7);
		assert_int_equal(console.guest->ports[1].size, (i + 1) * sizeof(block));
		assert_memory_equal(console.guest->ports[1].text + i * sizeof(block), block, sizeof(block));
		assert_true(driver_take_used(&console.driver, STREAM_TRANSMIT, &used));
		assert_int_equal(used.id, 7);
	}
	for (unsigned int i = 0; i < 6; i++) { /* Two pieces of output each time. */
		assert_true(driver_take_used(&console.driver, STREAM_RECEIVE, &used));
		assert_int_equal(used.id, i);
		assert_int_equal(used.len, strlen("answer"));
	}
}

static void control_messages_wait_for_buffers(void **state)
{
	struct console console = start(state, VIRTIO_FEATURE_EVENT_IDX);

	say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	/* One buffer at a time: each must be asked for. */
	post(&console, CONTROL_RECEIVE);
	expect(&console, 0, VIRTIO_CONSOLE_PORT_ADD, 0);
	post(&console, CONTROL_RECEIVE);
	expect(&console, 1, VIRTIO_CONSOLE_PORT_ADD, 0);
	say(&console, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	post(&console, CONTROL_RECEIVE);
	expect(&console, 1, VIRTIO_CONSOLE_PORT_NAME, strlen(BENCH_STREAM_NAME));
	post(&console, CONTROL_RECEIVE);
	expect(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
}

static void input_waits_for_buffers(void **state)
{
	struct console console = start(state, VIRTIO_FEATURE_EVENT_IDX);
	unsigned int writable;
	uint8_t block[700] = {0};

	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, block, sizeof(block)), 0);
	shake_hands(&console);
	post(&console, STREAM_RECEIVE);
	post(&console, STREAM_RECEIVE);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, block, sizeof(block)), 512);
	writable = console.guest->ports[1].writable;
	post(&console, STREAM_RECEIVE);
	assert_int_equal(console.guest->ports[1].writable, writable + 1);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, block, 188), 188);
}

static void expect_quarantine(struct console *console, const char *reason)
{
	bench_settle(console->bench);
	assert_non_null(virtio_console_quarantine_reason(console->guest->console));
	assert_string_equal(virtio_console_quarantine_reason(console->guest->console), reason);
	driver_expect_needs_reset(&console->driver);
	assert_int_equal(give(console, VIRTIO_CONSOLE_STREAM, "x", 1), 0);
	/* The guest's other devices go on, and other guests. */
	net_start(console->guest, 0);
	bench_expect_tolerated(console->bench);
	driver_start(&console->driver, MULTIPORT, QUEUES);
	shake_hands(console);
	check_bytes_pass(console);
}

static void case_13_directions_swapped(void **state)
{
	struct console console = start(state, 0);

	driver_describe(&console.driver, TERMINAL_TRANSMIT, 0,
			(struct vring_desc){.addr = 0x1000, .len = 10, .flags = VRING_DESC_F_WRITE});
	offer(&console, TERMINAL_TRANSMIT, 0);
	expect_quarantine(&console, "transmit chain is writable");
	console = start(state, 0);
	shake_hands(&console);
	driver_describe(&console.driver, STREAM_RECEIVE, 0, (struct vring_desc){.addr = 0x1000, .len = 10});
	offer(&console, STREAM_RECEIVE, 0);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, "x", 1), 0);
	expect_quarantine(&console, "receive chain is readable or has no room");
}

static void case_11_receive_buffer_without_room(void **state)
{
	struct console console = start(state, 0);

	shake_hands(&console);
	driver_describe(&console.driver, STREAM_RECEIVE, 0,
			(struct vring_desc){.addr = 0x1000, .len = 0, .flags = VRING_DESC_F_WRITE});
	offer(&console, STREAM_RECEIVE, 0);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, "x", 1), 0);
	expect_quarantine(&console, "receive chain is readable or has no room");
}

static void case_3_loop_in_a_control_queue(void **state)
{
	struct console console = start(state, 0);

	driver_describe(&console.driver, CONTROL_TRANSMIT, 0,
			(struct vring_desc){.addr = 0x1000, .len = 8, .flags = VRING_DESC_F_NEXT});
	offer(&console, CONTROL_TRANSMIT, 0);
	expect_quarantine(&console, "descriptor chain is a loop");
}

static void nonsense_on_the_control_queue_is_ignored(void **state)
{
	struct console console = start(state, 0);

	say(&console, 2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	say(&console, 0xffffffff, VIRTIO_CONSOLE_PORT_READY, 1);
	say(&console, 1, 0xffff, 0xffff);
	say(&console, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
	say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
	transmit(&console, CONTROL_TRANSMIT, "short", 5);
	transmit(&console, CONTROL_TRANSMIT, "", 0);
	assert_null(virtio_console_quarantine_reason(console.guest->console));
	assert_false(console.guest->ports[0].open);
	shake_hands(&console);
	check_bytes_pass(&console);
}

/* A port is opened and said to be ready without end: what is to be said does not grow. */
static void case_33_flood_of_control_messages(void **state)
{
	struct console console = start(state, 0);
	struct virtio_console_control control = {.id = 1, .event = VIRTIO_CONSOLE_PORT_READY, .value = 1};
	struct vring_used_elem used;

	memcpy(driver_memory(&console.driver, driver_buffer(CONTROL_TRANSMIT, 0), 8), &control, 8);
	driver_describe(&console.driver, CONTROL_TRANSMIT, 0,
			(struct vring_desc){.addr = driver_buffer(CONTROL_TRANSMIT, 0), .len = 8});
	for (unsigned int i = 0; i < 100; i++) {
		for (unsigned int j = 0; j < DRIVER_RING_SIZE; j++)
			driver_offer(&console.driver, CONTROL_TRANSMIT, 0);
		driver_kick(&console.driver, CONTROL_TRANSMIT);
		bench_settle(console.bench);
	}
	assert_null(virtio_console_quarantine_reason(console.guest->console));
	for (unsigned int i = 0; i < 8; i++)
		post(&console, CONTROL_RECEIVE);
	expect(&console, 1, VIRTIO_CONSOLE_PORT_NAME, strlen(BENCH_STREAM_NAME));
	expect(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_false(driver_take_used(&console.driver, CONTROL_RECEIVE, &used));
}

/* One chain of the same 15 MiB, 64 times: it is cut off, and others have their turn. */
static void case_33_output_without_end(void **state)
{
	struct console console = start(state, 0);
	size_t before = console.guest->ports[0].size;

	for (uint16_t i = 0; i < DRIVER_RING_SIZE; i++)
		driver_describe(&console.driver, TERMINAL_TRANSMIT, i,
				(struct vring_desc){.addr = 0,
						    .len = 15u << 20,
						    .flags = i + 1 < DRIVER_RING_SIZE ? VRING_DESC_F_NEXT : 0,
						    .next = (uint16_t)(i + 1)});
	offer(&console, TERMINAL_TRANSMIT, 0);
	assert_in_range(console.guest->ports[0].size - before, 1, 1 << 20);
	assert_int_equal(driver_used_index(&console.driver, TERMINAL_TRANSMIT), 1);
	bench_settle(console.bench);
	net_start(console.guest, 0);
	bench_expect_tolerated(console.bench);
}

/* ---- Much at once: others have their turn in between ---- */

#define BLOCK 65536u
/* What a run takes of a port, and there are two runs in the turn of a kick: its own, and the task's. */
#define TURN_MAX (2 * VIRTIO_CONSOLE_PORTS * BLOCK)

static size_t read_output(void *opaque)
{
	const struct guest *guest = opaque;

	return guest->ports[0].size + guest->ports[1].size;
}

static void case_33_output_takes_turns(void **state)
{
	static const unsigned int queues[] = {TERMINAL_TRANSMIT, STREAM_TRANSMIT};
	struct console console = start(state, 0);
	struct turns turns = {.read = read_output, .opaque = console.guest};

	turns.until = 2 * DRIVER_RING_SIZE * BLOCK;
	bench_watch(console.bench, &turns);
	for (unsigned int i = 0; i < 2; i++) {
		for (uint16_t head = 0; head < DRIVER_RING_SIZE; head++) {
			driver_describe(&console.driver, queues[i], head,
					(struct vring_desc){.addr = 0x1800000, .len = BLOCK});
			driver_offer(&console.driver, queues[i], head);
		}
		driver_kick(&console.driver, queues[i]);
	}
	/* Not a byte is missing. */
	assert_true(bench_watch_end(console.bench, &turns));
	assert_int_equal(turns.last, turns.until);
	assert_in_range(turns.growth, 1, TURN_MAX);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(driver_used_index(&console.driver, queues[i]), DRIVER_RING_SIZE);
	assert_int_equal(console.guest->ports[0].size, console.guest->ports[1].size);
	net_start(console.guest, 0);
	bench_expect_tolerated(console.bench);
}

/* What fits into a run is passed on whole, in whatever pieces. */
static void output_of_uneven_sizes_is_whole(void **state)
{
	struct console console = start(state, 0);
	size_t size = 0;

	for (uint16_t i = 0; i < DRIVER_RING_SIZE; i++) {
		const uint32_t length = i % 2 ? BLOCK : 1000u * i + 1;

		driver_describe(&console.driver, TERMINAL_TRANSMIT, i,
				(struct vring_desc){.addr = 0x1800000, .len = length});
		driver_offer(&console.driver, TERMINAL_TRANSMIT, i);
		size += length;
	}
	driver_kick(&console.driver, TERMINAL_TRANSMIT);
	for (unsigned int i = 0; i < 10; i++)
		bench_settle(console.bench);
	assert_int_equal(console.guest->ports[0].size, size);
	assert_int_equal(driver_used_index(&console.driver, TERMINAL_TRANSMIT), DRIVER_RING_SIZE);
}

/* What a program left unread when it closed the port is not heard by whom talks to the next one. */
static void output_before_closing_is_dropped(void **state)
{
	struct console console = start(state, 0);
	uint16_t used;

	shake_hands(&console);
	transmit(&console, STREAM_TRANSMIT, "one", 3);
	assert_int_equal(console.guest->ports[1].size, 3);
	for (uint16_t i = 0; i < 8; i++) { /* Offered, and not yet kicked. */
		unsigned int index = console.driver.queues[STREAM_TRANSMIT].next_available % DRIVER_RING_SIZE;

		driver_describe(&console.driver, STREAM_TRANSMIT, index,
				(struct vring_desc){.addr = driver_buffer(STREAM_TRANSMIT, index), .len = 100});
		driver_offer(&console.driver, STREAM_TRANSMIT, (uint16_t)index);
	}
	used = driver_used_index(&console.driver, STREAM_TRANSMIT);
	say(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(console.guest->ports[1].size, 3);
	assert_int_equal(driver_used_index(&console.driver, STREAM_TRANSMIT), used + 8); /* Given back. */
	say(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	transmit(&console, STREAM_TRANSMIT, "two", 3);
	driver_kick(&console.driver, STREAM_TRANSMIT);
	bench_settle(console.bench);
	assert_int_equal(console.guest->ports[1].size, 6);
	net_start(console.guest, 0);
	bench_expect_tolerated(console.bench);
}

/* Posts a buffer of one byte behind 63 descriptors of nothing. */
static void post_pieces(struct console *console)
{
	unsigned int index = console->driver.queues[STREAM_RECEIVE].next_available % DRIVER_RING_SIZE;

	for (unsigned int i = 0; i < DRIVER_RING_SIZE; i++)
		driver_describe_indirect(&console->driver, STREAM_RECEIVE, i,
					 (struct vring_desc){
						 .addr = driver_buffer(STREAM_RECEIVE, 0),
						 .len = i + 1 == DRIVER_RING_SIZE,
						 .flags = i + 1 < DRIVER_RING_SIZE ?
								  VRING_DESC_F_WRITE | VRING_DESC_F_NEXT :
								  VRING_DESC_F_WRITE,
						 .next = (uint16_t)(i + 1),
					 });
	driver_describe(&console->driver, STREAM_RECEIVE, index,
			(struct vring_desc){.addr = driver_table(STREAM_RECEIVE),
					    .len = 16 * DRIVER_RING_SIZE,
					    .flags = VRING_DESC_F_INDIRECT});
	driver_offer(&console->driver, STREAM_RECEIVE, (uint16_t)index);
}

static void case_25_input_buffers_of_many_descriptors(void **state)
{
	struct console console = start(state, VIRTIO_FEATURE_INDIRECT_DESC);
	static const uint8_t data[DRIVER_RING_SIZE];
	unsigned int writable;
	size_t taken;

	shake_hands(&console);
	for (unsigned int i = 0; i < DRIVER_RING_SIZE; i++)
		post_pieces(&console);
	for (size_t left = sizeof(data); left > 0; left -= taken) {
		writable = console.guest->ports[VIRTIO_CONSOLE_STREAM].writable;
		taken = give(&console, VIRTIO_CONSOLE_STREAM, data, left);
		/* No more than 256 descriptors at a time; when to try again is said. */
		assert_int_equal(taken, VIRTQUEUE_SIZE_MAX / DRIVER_RING_SIZE);
		bench_settle(console.bench);
		assert_int_equal(console.guest->ports[VIRTIO_CONSOLE_STREAM].writable, writable + (left > taken));
	}
	net_start(console.guest, 0);
	bench_expect_tolerated(console.bench);
}

struct twice {
	struct input first, second;
};

static void write_twice(void *opaque)
{
	struct twice *twice = opaque;

	write_input(&twice->first);
	write_input(&twice->second);
}

/* Who does not wait for ops->writable gets no further either. */
static void case_25_input_waits_for_its_turn(void **state)
{
	struct console console = start(state, VIRTIO_FEATURE_INDIRECT_DESC);
	struct input input = {.console = console.guest->console,
			      .port = VIRTIO_CONSOLE_STREAM,
			      .data = (const uint8_t *)"0123456789",
			      .size = 10};
	struct twice twice = {.first = input, .second = input};

	shake_hands(&console);
	for (unsigned int i = 0; i < DRIVER_RING_SIZE; i++)
		post_pieces(&console);
	loop_call(console.bench->control, write_twice, &twice);
	assert_int_equal(twice.first.taken, 4);
	assert_int_equal(twice.second.taken, 0);
	bench_settle(console.bench);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, "0123", 4), 4);
	driver_reset(&console.driver);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, "0", 1), 0);
}

/* Each piece is the whole of memory. */
static void case_10_input_lengths_sum_beyond_32_bits(void **state)
{
	struct console console = {.bench = bench_of(state), .guest = ENEMY(bench_of(state))};
	struct vring_used_elem used;

	driver_attach(&console.driver, console.guest->machine, BENCH_SLOT_CONSOLE);
	assert_true(driver_negotiate(&console.driver, MULTIPORT));
	for (unsigned int i = 0; i < QUEUES; i++)
		driver_set_up_queue(&console.driver, i, i == STREAM_RECEIVE ? VIRTQUEUE_SIZE_MAX : DRIVER_RING_SIZE);
	driver_add_status(&console.driver, VIRTIO_CONFIG_S_DRIVER_OK);
	shake_hands(&console);
	_Static_assert(BENCH_MEMORY * VIRTQUEUE_SIZE_MAX >= 1ull << 32, "the sum has to be too large for 32 bits");
	for (unsigned int i = 0; i < VIRTQUEUE_SIZE_MAX; i++)
		driver_describe(&console.driver, STREAM_RECEIVE, i,
				(struct vring_desc){.len = (uint32_t)BENCH_MEMORY,
						    .flags = i + 1 < VIRTQUEUE_SIZE_MAX ?
								     VRING_DESC_F_WRITE | VRING_DESC_F_NEXT :
								     VRING_DESC_F_WRITE,
						    .next = (uint16_t)(i + 1)});
	offer(&console, STREAM_RECEIVE, 0);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, "answer", 6), 6);
	assert_true(driver_take_used(&console.driver, STREAM_RECEIVE, &used));
	assert_int_equal(used.len, 6);
	assert_memory_equal(driver_memory(&console.driver, 0, 6), "answer", 6);
	net_start(console.guest, 0);
	bench_expect_tolerated(console.bench);
}

/* As in early boot, or of another system: the terminal, open from the beginning, and nothing else. */
static void driver_without_ports_has_a_terminal(void **state)
{
	struct console console = {.bench = bench_of(state), .guest = ENEMY(bench_of(state))};
	struct vring_used_elem used;

	driver_attach(&console.driver, console.guest->machine, BENCH_SLOT_CONSOLE);
	driver_start(&console.driver, 0, 2);
	bench_settle(console.bench);
	assert_true(console.guest->ports[VIRTIO_CONSOLE_TERMINAL].open);
	assert_false(console.guest->ports[VIRTIO_CONSOLE_STREAM].open);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_TERMINAL, "ls\n", 3), 0);
	post(&console, TERMINAL_RECEIVE);
	assert_int_equal(console.guest->ports[VIRTIO_CONSOLE_TERMINAL].writable, 1);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_TERMINAL, "ls\n", 3), 3);
	assert_true(driver_take_used(&console.driver, TERMINAL_RECEIVE, &used));
	assert_int_equal(used.len, 3);
	transmit(&console, TERMINAL_TRANSMIT, "login:", 6);
	assert_int_equal(console.guest->ports[VIRTIO_CONSOLE_TERMINAL].size, 6);
	driver_reset(&console.driver);
	assert_false(console.guest->ports[VIRTIO_CONSOLE_TERMINAL].open);
	/* With ports it is for the driver to say. */
	driver_start(&console.driver, MULTIPORT, QUEUES);
	assert_false(console.guest->ports[VIRTIO_CONSOLE_TERMINAL].open);
	shake_hands(&console);
	check_bytes_pass(&console);
}

static void reset_closes_the_ports(void **state)
{
	struct console console = start(state, 0);

	shake_hands(&console);
	driver_reset(&console.driver);
	assert_false(console.guest->ports[0].open);
	assert_false(console.guest->ports[1].open);
	assert_int_equal(give(&console, VIRTIO_CONSOLE_STREAM, "x", 1), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(shakes_hands_and_passes_bytes),
		CASE(shakes_hands_and_passes_bytes_with_event_indices),
		CASE(output_is_answered_from_within),
		CASE(control_messages_wait_for_buffers),
		CASE(input_waits_for_buffers),
		CASE(output_of_uneven_sizes_is_whole),
		CASE(output_before_closing_is_dropped),
		CASE(driver_without_ports_has_a_terminal),
		CASE(case_3_loop_in_a_control_queue),
		CASE(case_10_input_lengths_sum_beyond_32_bits),
		CASE(case_11_receive_buffer_without_room),
		CASE(case_13_directions_swapped),
		CASE(case_25_input_buffers_of_many_descriptors),
		CASE(case_25_input_waits_for_its_turn),
		CASE(case_33_flood_of_control_messages),
		CASE(case_33_output_without_end),
		CASE(case_33_output_takes_turns),
		CASE(nonsense_on_the_control_queue_is_ignored),
		CASE(reset_closes_the_ports),
	};

	return cmocka_run_group_tests_name("hostile/console", tests, NULL, NULL);
}
