/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio_console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "core/state.h"
#include "devices/virtio_pci.h"

/* Theory of operation
 * -------------------
 * Queues (5.3.2): receive and transmit of port 0, receive and transmit of control, receive and transmit of port 1.
 *
 * What is to be said to the guest on the control queue is kept as one set of bits per port, in the order of their
 * numbers, rather than as a list of messages: a guest that asks without end cannot make it grow.
 *
 * The control loop has others to serve, so what one run takes from the guest is limited in chains and in bytes, and
 * what one write looks for room in is limited in descriptors.  A task goes on in the next turn: with the output, or by
 * saying that the port is writable. */

#define TAG_PORT STATE_TAG('c', 'p', 'r', 't')
#define TAG_SIZE STATE_TAG('c', 's', 'i', 'z')

#define DEVICE_ID_CONSOLE 3
#define QUEUE_CONTROL_RECEIVE 2
#define QUEUE_CONTROL_TRANSMIT 3
#define QUEUE_COUNT 6

#define FEATURE(bit) (1ull << (bit))
/* Chains of one queue in a row before others have their turn. */
#define BATCH 32
/* Bytes of output passed on at a time. */
#define OUTPUT_SIZE 4096
/* And of one port in a run.  A longer chain (the same page many times, for gigabytes) is cut off. */
#define OUTPUT_MAX (16 * OUTPUT_SIZE)
/* Descriptors in which one write looks for room: 1 MiB with Linux, which has a page behind each. */
#define INPUT_PIECES_MAX VIRTQUEUE_SIZE_MAX

/* What is to be said of a port, lowest bit first. */
enum {
	SAY_ADD = 1 << 0,
	SAY_CONSOLE = 1 << 1,
	SAY_RESIZE = 1 << 2,
	SAY_NAME = 1 << 3,
	SAY_OPEN = 1 << 4,
	SAY_END = 1 << 5,
};

struct port {
	unsigned int say;
	bool guest_open;
	bool input_waits; /* For its turn, though there may be buffers. */
};

struct virtio_console {
	struct virtio_device device; /* First. */
	const struct virtio_console_ops *console_ops;
	void *opaque;
	const char *stream_name;
	uint16_t rows, columns;
	struct port ports[VIRTIO_CONSOLE_PORTS];
	struct loop_task more;
	/* Two, as who is given output may answer with input before it returns. */
	struct virtqueue_chain input, output;
};

static struct virtio_console *from_device(struct virtio_device *device)
{
	return (struct virtio_console *)device; /* The first member. */
}

static unsigned int receive_queue(enum virtio_console_port port)
{
	return port == VIRTIO_CONSOLE_TERMINAL ? 0 : 4;
}

static unsigned int transmit_queue(enum virtio_console_port port)
{
	return receive_queue(port) + 1;
}

/* Pops a chain whose buffers all have the direction wanted: to console->input when they are writable, else to
 * console->output.  A driver that gives others has its device quarantined. */
static bool pop(struct virtio_console *console, unsigned int queue_number, bool writable)
{
	struct virtqueue *queue = virtio_device_queue(&console->device, queue_number);
	struct virtqueue_chain *chain = writable ? &console->input : &console->output;
	enum virtqueue_result result;

	if (!virtio_device_is_running(&console->device) || !queue->started)
		return false;
	result = virtqueue_pop(queue, chain);
	if (result == VIRTQUEUE_BROKEN)
		virtio_device_quarantine(&console->device, virtqueue_error(queue));
	if (result != VIRTQUEUE_OK)
		return false;
	if (writable && (chain->readable_count > 0 || chain->writable_size == 0)) {
		virtio_device_quarantine(&console->device, "receive chain is readable or has no room");
		return false;
	}
	if (!writable && chain->writable_count > 0) {
		virtio_device_quarantine(&console->device, "transmit chain is writable");
		return false;
	}
	return true;
}

/* Appends what goes with the message; returns the bytes. */
static size_t message_body(const struct virtio_console *console, unsigned int what, uint8_t *to, size_t room)
{
	struct {
		uint16_t columns, rows;
	} size = {.columns = console->columns, .rows = console->rows};
	size_t length;

	switch (what) {
	case SAY_RESIZE:
		/* Columns first (5.3.6.2).  Linux read rows first before 6.15 and, of the stable series, 6.1.160 and
		 * 6.12.65; such a guest takes one for the other, and nothing tells which kind it is. */
		memcpy(to, &size, sizeof(size));
		return sizeof(size);
	case SAY_NAME:
		length = strlen(console->stream_name);
		if (length > room)
			length = room;
		memcpy(to, console->stream_name, length);
		return length;
	default:
		return 0;
	}
}

/* Says one thing, given a buffer in console->input. */
static void say(struct virtio_console *console, unsigned int port, unsigned int what)
{
	struct iov_cursor to = {.buffers = console->input.buffers, .count = console->input.writable_count};
	struct virtio_console_control control = {.id = port, .value = 1};
	uint8_t message[sizeof(control) + 64];
	size_t size = sizeof(control);

	switch (what) {
	case SAY_ADD:
		control.event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case SAY_CONSOLE:
		control.event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case SAY_RESIZE:
		control.event = VIRTIO_CONSOLE_RESIZE;
		break;
	case SAY_NAME:
		control.event = VIRTIO_CONSOLE_PORT_NAME;
		break;
	default:
		control.event = VIRTIO_CONSOLE_PORT_OPEN;
		break;
	}
	memcpy(message, &control, sizeof(control));
	size += message_body(console, what, message + size, sizeof(message) - size);
	size = iov_write(&to, message, size);
	virtqueue_push(virtio_device_queue(&console->device, QUEUE_CONTROL_RECEIVE), console->input.head,
		       (uint32_t)size);
}

/* Takes a buffer for what is to be said.  Where there is none, the guest will kick when it has posted one. */
static bool pop_for_message(struct virtio_console *console)
{
	struct virtqueue *queue = virtio_device_queue(&console->device, QUEUE_CONTROL_RECEIVE);

	if (pop(console, QUEUE_CONTROL_RECEIVE, true))
		return true;
	return virtqueue_enable_notify(queue) && pop(console, QUEUE_CONTROL_RECEIVE, true);
}

static void say_pending(struct virtio_console *console)
{
	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		for (unsigned int what = SAY_ADD; what < SAY_END; what <<= 1) {
			if (!(console->ports[port].say & what))
				continue;
			if (!pop_for_message(console))
				goto out;
			console->ports[port].say &= ~what;
			say(console, port, what);
		}
	}
out:
	virtio_device_publish(&console->device, QUEUE_CONTROL_RECEIVE);
}

static void set_open(struct virtio_console *console, unsigned int port, bool open)
{
	if (console->ports[port].guest_open == open)
		return;
	console->ports[port].guest_open = open;
	console->console_ops->opened(console->opaque, port, open);
}

/* A program closed the port: what it said and nobody took yet is not for whoever opens it next.  The driver waits for
 * us to have taken the message that it is closed, so nothing of a new program can be in the queue. */
static void drop_output(struct virtio_console *console, enum virtio_console_port port)
{
	for (unsigned int i = 0; i < VIRTQUEUE_SIZE_MAX && pop(console, transmit_queue(port), false); i++)
		virtqueue_push(virtio_device_queue(&console->device, transmit_queue(port)), console->output.head, 0);
}

static void handle_control(struct virtio_console *console, const struct virtio_console_control *control)
{
	if (control->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++)
			console->ports[port].say |= control->value == 1 ? SAY_ADD : 0;
		return;
	}
	if (control->id >= VIRTIO_CONSOLE_PORTS)
		return; /* Not a port we have: nothing to break, and nothing to do. */
	switch (control->event) {
	case VIRTIO_CONSOLE_PORT_READY:
		if (control->value != 1)
			break;
		console->ports[control->id].say |= control->id == VIRTIO_CONSOLE_TERMINAL ?
							   SAY_CONSOLE | SAY_RESIZE | SAY_OPEN :
							   SAY_NAME | SAY_OPEN;
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		if (control->value == 0)
			drop_output(console, control->id);
		set_open(console, control->id, control->value != 0);
		break;
	}
}

static bool take_control(struct virtio_console *console)
{
	struct virtqueue *queue = virtio_device_queue(&console->device, QUEUE_CONTROL_TRANSMIT);

	for (unsigned int i = 0; i < BATCH; i++) {
		struct virtio_console_control control;
		struct iov_cursor from = {.buffers = console->output.buffers};
		uint16_t head;

		if (!pop(console, QUEUE_CONTROL_TRANSMIT, false)) {
			if (!virtqueue_enable_notify(queue))
				return true;
			continue;
		}
		from.count = console->output.readable_count;
		head = console->output.head;
		if (iov_read(&from, &control, sizeof(control)) == sizeof(control))
			handle_control(console, &control);
		virtqueue_push(queue, head, 0);
	}
	return false;
}

/* Passes on up to 'limit' bytes of the chain in console->output. */
static void pass_output(struct virtio_console *console, enum virtio_console_port port, size_t limit)
{
	struct iov_cursor from = {.buffers = console->output.buffers, .count = console->output.readable_count};
	uint8_t bytes[OUTPUT_SIZE];
	size_t size;

	while (limit > 0 && (size = iov_read(&from, bytes, sizeof(bytes) < limit ? sizeof(bytes) : limit)) > 0) {
		console->console_ops->output(console->opaque, port, bytes, size);
		limit -= size;
	}
}

/* Returns true when the queue is empty and the driver will notify. */
static bool take_output(struct virtio_console *console, enum virtio_console_port port)
{
	unsigned int number = transmit_queue(port);
	struct virtqueue *queue = virtio_device_queue(&console->device, number);
	size_t left = OUTPUT_MAX;

	for (unsigned int i = 0; i < BATCH; i++) {
		size_t size;

		if (!pop(console, number, false)) {
			if (!virtqueue_enable_notify(queue))
				return true;
			continue;
		}
		size = console->output.readable_size < OUTPUT_MAX ? console->output.readable_size : OUTPUT_MAX;
		if (size > left) {
			virtqueue_unpop(queue, 1);
			return false;
		}
		left -= size;
		pass_output(console, port, size);
		virtqueue_push(queue, console->output.head, 0);
	}
	return false;
}

/* Has input that waited for its turn written. */
static void resume_input(struct virtio_console *console)
{
	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		if (!console->ports[port].input_waits)
			continue;
		console->ports[port].input_waits = false;
		console->console_ops->writable(console->opaque, port);
	}
}

/* Takes what the guest said on all queues.  Receive queues need no look: who writes finds their buffers. */
static void run(struct virtio_console *console)
{
	bool done;

	if (!virtio_device_is_running(&console->device))
		return;
	done = take_control(console);
	virtio_device_publish(&console->device, QUEUE_CONTROL_TRANSMIT);
	say_pending(console);
	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		done &= take_output(console, port);
		virtio_device_publish(&console->device, transmit_queue(port));
	}
	if (!done && virtio_device_is_running(&console->device))
		loop_task_queue(console->device.owner, &console->more);
}

static void go_on(void *opaque)
{
	struct virtio_console *console = opaque;

	resume_input(console);
	run(console);
}

static void kicked(struct virtio_device *device, unsigned int queue)
{
	struct virtio_console *console = from_device(device);

	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		if (queue == receive_queue(port)) {
			console->console_ops->writable(console->opaque, port);
			return;
		}
	}
	/* Each queue may be kicked in this turn, but there is only one run when the last one was cut short. */
	if (!console->more.queued)
		run(console);
}

static void activate(struct virtio_device *device)
{
	struct virtio_console *console = from_device(device);

	/* A driver that knows nothing of ports cannot say that it has opened the one there is. */
	if (!virtio_device_has(device, FEATURE(VIRTIO_CONSOLE_F_MULTIPORT)))
		set_open(console, VIRTIO_CONSOLE_TERMINAL, true);
	run(console);
}

static void reset(struct virtio_device *device)
{
	struct virtio_console *console = from_device(device);

	loop_task_cancel(device->owner, &console->more);
	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		console->ports[port].say = 0;
		console->ports[port].input_waits = false;
		set_open(console, port, false);
	}
}

struct port_state {
	uint8_t say, guest_open;
};

static void save(struct virtio_device *device, struct state *state)
{
	const struct virtio_console *console = from_device(device);
	const uint16_t size[2] = {console->rows, console->columns};

	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		const struct port_state saved = {.say = (uint8_t)console->ports[port].say,
						 .guest_open = console->ports[port].guest_open};

		state_put(state, TAG_PORT, &saved, sizeof(saved));
	}
	state_put(state, TAG_SIZE, size, sizeof(size));
}

/* Nobody is told of ports that are open: who restores a guest knows what it was about. */
static void restore(struct virtio_device *device, struct state *state)
{
	struct virtio_console *console = from_device(device);
	uint16_t size[2];

	for (unsigned int port = 0; port < VIRTIO_CONSOLE_PORTS; port++) {
		struct port_state saved;

		state_get(state, TAG_PORT, &saved, sizeof(saved));
		console->ports[port].say = saved.say & (SAY_END - 1);
		console->ports[port].guest_open = saved.guest_open == 1;
	}
	state_get(state, TAG_SIZE, size, sizeof(size));
	console->rows = size[0];
	console->columns = size[1];
}

static void destroy(struct virtio_device *device)
{
	virtio_device_release(device);
	free(device);
}

static const struct virtio_device_ops device_ops = {
	.activate = activate,
	.reset = reset,
	.kicked = kicked,
	.save = save,
	.restore = restore,
	.destroy = destroy,
};

struct virtio_console *virtio_console_create(struct machine *machine, struct loop *loop,
					     const struct virtio_console_options *options, struct error *error)
{
	struct virtio_console *console = calloc(1, sizeof(*console));
	char name[48];
	const struct virtio_device_options device_options = {
		.machine = machine,
		.owner = loop,
		.name = name,
		.device_id = DEVICE_ID_CONSOLE,
		.class_code = VIRTIO_CLASS_COMMUNICATION,
		.features = FEATURE(VIRTIO_CONSOLE_F_MULTIPORT) | FEATURE(VIRTIO_CONSOLE_F_SIZE),
		.queue_count = QUEUE_COUNT,
		.config_size = sizeof(struct virtio_console_config),
		.slot = options->slot,
		.ops = &device_ops,
	};
	struct virtio_console_config config = {.cols = 80, .rows = 24, .max_nr_ports = VIRTIO_CONSOLE_PORTS};

	if (!console) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	snprintf(name, sizeof(name), "%s console", machine_name(machine));
	console->console_ops = options->ops;
	console->opaque = options->opaque;
	console->stream_name = options->stream_name;
	console->rows = config.rows;
	console->columns = config.cols;
	console->more = (struct loop_task){.function = go_on, .opaque = console};
	if (virtio_device_init(&console->device, &device_options, error) < 0) {
		free(console);
		return NULL;
	}
	virtio_device_set_config(&console->device, 0, &config, sizeof(config));
	return console;
}

/* The guest has not run out of buffers, but others are to have their turn. */
static void let_input_wait(struct virtio_console *console, enum virtio_console_port port)
{
	console->ports[port].input_waits = true;
	loop_task_queue(console->device.owner, &console->more);
}

size_t virtio_console_write(struct virtio_console *console, enum virtio_console_port port, const uint8_t *data,
			    size_t size)
{
	unsigned int number = receive_queue(port), pieces = 0;
	struct virtqueue *queue = virtio_device_queue(&console->device, number);
	size_t taken = 0;

	if (!console->ports[port].guest_open || console->ports[port].input_waits)
		return 0;
	while (taken < size && pieces < INPUT_PIECES_MAX) {
		struct iov_cursor to = {.buffers = console->input.buffers};
		size_t written;

		if (!pop(console, number, true)) {
			/* Nothing posted: have the guest say when it has. */
			if (!virtio_device_is_running(&console->device) || !virtqueue_enable_notify(queue))
				break;
			pieces++;
			continue;
		}
		to.count = console->input.writable_count;
		pieces += to.count;
		written = iov_write(&to, data + taken, size - taken);
		virtqueue_push(queue, console->input.head, (uint32_t)written);
		taken += written;
	}
	if (taken < size && pieces >= INPUT_PIECES_MAX)
		let_input_wait(console, port);
	virtio_device_publish(&console->device, number);
	return taken;
}

void virtio_console_resize(struct virtio_console *console, uint16_t rows, uint16_t columns)
{
	const struct virtio_console_config config = {.cols = columns, .rows = rows};

	console->rows = rows;
	console->columns = columns;
	/* For drivers without ports; Linux takes no notice of sizes at all unless VIRTIO_CONSOLE_F_SIZE is there. */
	virtio_device_set_config(&console->device, 0, &config, offsetof(struct virtio_console_config, max_nr_ports));
	if (console->ports[VIRTIO_CONSOLE_TERMINAL].guest_open) {
		console->ports[VIRTIO_CONSOLE_TERMINAL].say |= SAY_RESIZE;
		say_pending(console);
	}
}

const char *virtio_console_quarantine_reason(const struct virtio_console *console)
{
	return virtio_device_quarantine_reason(&console->device);
}
