/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "core/state.h"
#include "netlab/capture.h"
#include "netlab/capture_record.h"
#include "netlab/dataplane_internal.h"
#include "netlab/impairment.h"
#include "netlab/wire.h"

/* Theory of operation
 * -------------------
 * A port has a wire in a direction once it has impairments there.  All wires with something to do are in one heap, by
 * when that is; one timer of the loop waits for the first.  A frame that comes out of a wire goes on as if it had just
 * been sent, as a record of its own in the capture, with the id it had.
 *
 * Wires have a clock of their own, which is held while the lab is saved or restored, and while it is paused: what is on
 * its way then is as far from its end when the lab goes on. */

/* Bytes of frames that wait in the wires of a lab, at most. */
#define POOL_SIZE (256u << 20)

/* Frames that come out of a wire before others have their turn, and of all wires in one turn of the loop. */
#define WIRE_BATCH 32
#define TURN_BATCH 256

#define TAG_WIRES STATE_TAG('w', 'r', 'e', 's')

static uint64_t wire_time(const struct dataplane *dataplane)
{
	return dataplane_time(dataplane, loop_now());
}

static void arm_timer(struct dataplane *dataplane)
{
	const struct deadline *first = deadline_heap_first(&dataplane->wires);
	struct loop_timer *timer = &dataplane->wires_due;

	if (!first || held_clock_is_held(&dataplane->clock))
		loop_timer_cancel(dataplane->loop, timer);
	else if (!timer->armed || timer->deadline != held_clock_when(&dataplane->clock, first->time))
		loop_timer_set(dataplane->loop, timer, held_clock_when(&dataplane->clock, first->time));
}

/* Goes on in the next turn of the loop: what is due now would be due in this one too. */
static void put_off(struct dataplane *dataplane)
{
	loop_timer_set(dataplane->loop, &dataplane->wires_due, loop_now() + 1);
}

/* Puts the wire where it belongs in the heap. */
static void place(struct port_wire *wire)
{
	struct deadline_heap *heap = &wire->port->dataplane->wires;
	uint64_t deadline = wire_deadline(wire->wire);

	if (wire->deadline.place > 0 && wire->deadline.time == deadline)
		return;
	deadline_heap_remove(heap, &wire->deadline);
	/* There is room: see port_impair(). */
	if (deadline != UINT64_MAX)
		(void)deadline_heap_add(heap, &wire->deadline, deadline);
	arm_timer(wire->port->dataplane);
}

static void run_wires(void *opaque)
{
	struct dataplane *dataplane = opaque;
	uint64_t now = wire_time(dataplane);
	struct deadline *first;

	if (held_clock_is_held(&dataplane->clock))
		return;
	for (unsigned int i = 0; i < TURN_BATCH / WIRE_BATCH; i++) {
		first = deadline_heap_first(&dataplane->wires);
		if (!first || first->time > now) {
			arm_timer(dataplane);
			return;
		}
		wire_run(((struct port_wire *)first)->wire, now, WIRE_BATCH);
		place((struct port_wire *)first);
	}
	put_off(dataplane);
}

int dataplane_create_wires(struct dataplane *dataplane)
{
	dataplane->pool = buffer_pool_create(POOL_SIZE);
	dataplane->wires_due = (struct loop_timer){.function = run_wires, .opaque = dataplane, .is_precise = true};
	return dataplane->pool ? 0 : -ENOMEM;
}

void dataplane_destroy_wires(struct dataplane *dataplane)
{
	buffer_pool_destroy(dataplane->pool);
	deadline_heap_release(&dataplane->wires);
}

struct memory_request {
	const struct dataplane *dataplane;
	uint64_t bytes;
};

/* loop_function */
static void read_memory(void *opaque)
{
	struct memory_request *request = opaque;

	request->bytes = buffer_pool_memory(request->dataplane->pool);
}

uint64_t dataplane_wires_memory(struct dataplane *dataplane)
{
	struct memory_request request = {.dataplane = dataplane};

	dataplane_call(dataplane, read_memory, &request);
	return request.bytes;
}

void dataplane_keep_time(struct dataplane *dataplane)
{
	if (dataplane->is_held || dataplane->is_paused)
		held_clock_hold(&dataplane->clock, loop_now());
	else
		held_clock_release(&dataplane->clock, loop_now());
	arm_timer(dataplane);
}

static enum drop_reason reason_of(enum wire_death death)
{
	switch (death) {
	case WIRE_MTU:
		return DROP_MTU;
	case WIRE_QUEUE_FULL:
		return DROP_LINK_QUEUE_FULL;
	case WIRE_EARLY:
		return DROP_EARLY;
	case WIRE_IN_FLIGHT_FULL:
		return DROP_IN_FLIGHT_FULL;
	case WIRE_CUT:
		return DROP_LINK_DOWN;
	default:
		return DROP_LOSS;
	}
}

static void drop(struct port *port, enum port_direction direction, const struct frame *frame, enum wire_death death,
		 uint32_t limit)
{
	if (direction == PORT_SENDS)
		port_drop_sent(port, reason_of(death), limit);
	else
		port_drop_received(port, frame, reason_of(death), limit);
}

bool port_wire_passes(struct port *port, enum port_direction direction, const struct frame *frame, uint64_t now)
{
	struct dataplane *dataplane = port->dataplane;
	struct port_wire *wire = port->wires[direction];
	enum wire_death death;
	uint32_t limit;

	now = dataplane_time(dataplane, now > 0 ? now : loop_now());
	switch (wire_send(wire->wire, frame, dataplane->current, now, &death, &limit)) {
	case WIRE_PASSES:
		return true;
	case WIRE_DIED:
		drop(port, direction, frame, death, limit);
		return false;
	default:
		place(wire);
		return false;
	}
}

bool port_is_impaired(const struct port *port, enum port_direction direction)
{
	const struct port_wire *wire = port->wires[direction];

	return wire && (impairment_is_any(wire_impairment(wire->wire)) || wire_deadline(wire->wire) != UINT64_MAX);
}

/* The capture of a frame that has come out. */
static void resume_capture(const struct port_wire *wire, const struct wire_frame *out, uint64_t now)
{
	struct capture *capture = wire->port->dataplane->capture;
	const uint64_t clock = held_clock_read(&wire->port->dataplane->clock, now);
	const struct capture_impairment impairment = {
		.delay = clock - out->sent,
		.late = clock > out->due ? clock - out->due : 0,
		.corrupted_bit = out->corrupted_bit,
		.is_corrupted = out->is_corrupted,
		.is_duplicate = out->is_duplicate,
		.has_overtaken = out->has_overtaken,
	};

	if (capture)
		capture_resume(capture, out->frame, out->id, capture_time(capture, now),
			       wire->direction == PORT_SENDS ? wire->port->capture_port : -1, &impairment);
}

static void end_capture(const struct dataplane *dataplane)
{
	if (dataplane->capture)
		capture_end(dataplane->capture);
}

/* wire_ops.arrive */
static void arrive(void *opaque, const struct wire_frame *out)
{
	struct port_wire *wire = opaque;
	struct dataplane *dataplane = wire->port->dataplane;
	uint64_t now = loop_now();

	dataplane->forwarding = true;
	dataplane->current = out->id;
	resume_capture(wire, out, now);
	if (wire->direction == PORT_SENDS)
		port_pass_on(wire->port, out->frame, now);
	else
		port_deliver(wire->port, out->frame, now);
	end_capture(dataplane);
	dataplane_forward_answers(dataplane);
	dataplane->forwarding = false;
}

/* wire_ops.die */
static void die(void *opaque, const struct wire_frame *out, enum wire_death death)
{
	struct port_wire *wire = opaque;

	resume_capture(wire, out, loop_now());
	drop(wire->port, wire->direction, out->frame, death, 0);
	end_capture(wire->port->dataplane);
}

static const struct wire_ops wire_ops = {.arrive = arrive, .die = die};

static void free_wire(struct port_wire *wire)
{
	if (!wire)
		return;
	deadline_heap_remove(&wire->port->dataplane->wires, &wire->deadline);
	wire->port->dataplane->wire_count--;
	wire_destroy(wire->wire);
	free(wire);
}

static struct port_wire *make_wire(struct port *port, enum port_direction direction)
{
	struct dataplane *dataplane = port->dataplane;
	struct port_wire *wire = calloc(1, sizeof(*wire));

	if (!wire)
		return NULL;
	dataplane->wire_count++;
	wire->port = port;
	wire->direction = direction;
	wire->wire = wire_create(dataplane->pool, &wire_ops, wire);
	if (wire->wire && deadline_heap_reserve(&dataplane->wires, dataplane->wire_count) == 0)
		return wire;
	free_wire(wire);
	return NULL;
}

/* A wire stays once there is one, with its counters; what goes through it unimpaired is not touched. */
static int use_wire(struct port *port, enum port_direction direction)
{
	if (!port->wires[direction])
		port->wires[direction] = make_wire(port, direction);
	return port->wires[direction] ? 0 : -ENOMEM;
}

void port_tell_speed(const struct port *port)
{
	const struct impairment *impairment = port_impairment(port, PORT_SENDS);

	if (impairment && port->dataplane->capture)
		capture_set_speed(port->dataplane->capture, port->capture_port, impairment->rate);
}

int port_impair(struct port *port, enum port_direction direction, const struct impairment *impairment, uint64_t seed)
{
	int result;

	if (!port->wires[direction] && !impairment_is_any(impairment))
		return 0;
	result = use_wire(port, direction);
	if (result < 0)
		return result;
	wire_set(port->wires[direction]->wire, impairment, seed, wire_time(port->dataplane));
	place(port->wires[direction]);
	port_tell_speed(port);
	return 0;
}

void port_set_loss_filter(struct port *port, enum port_direction direction, struct frame_filter *filter)
{
	if (port->wires[direction])
		wire_set_filter(port->wires[direction]->wire, filter);
}

const struct impairment *port_impairment(const struct port *port, enum port_direction direction)
{
	return port->wires[direction] ? wire_impairment(port->wires[direction]->wire) : NULL;
}

bool port_read_wire(const struct port *port, enum port_direction direction, struct wire_counters *counters)
{
	if (port->wires[direction])
		wire_read_counters(port->wires[direction]->wire, counters);
	return port->wires[direction] != NULL;
}

void port_lose_in_flight(struct port *port, enum port_direction direction)
{
	if (!port->wires[direction])
		return;
	wire_lose_all(port->wires[direction]->wire, wire_time(port->dataplane));
	place(port->wires[direction]);
}

void port_free_wires(struct port *port)
{
	free_wire(port->wires[PORT_SENDS]);
	free_wire(port->wires[PORT_RECEIVES]);
}

void port_save_wires(const struct port *port, struct state *state)
{
	uint32_t wires = 0;

	for (int direction = 0; direction < 2; direction++)
		wires |= port->wires[direction] ? 1u << direction : 0;
	state_put(state, TAG_WIRES, &wires, sizeof(wires));
	for (int direction = 0; direction < 2; direction++)
		if (port->wires[direction])
			wire_save(port->wires[direction]->wire, state, wire_time(port->dataplane));
}

bool port_restore_wires(struct port *port, struct state *state)
{
	uint32_t wires;

	if (!state_get(state, TAG_WIRES, &wires, sizeof(wires)) || wires > 3)
		return false;
	for (int direction = 0; direction < 2; direction++) {
		if (!(wires & 1u << direction)) {
			free_wire(port->wires[direction]);
			port->wires[direction] = NULL;
			continue;
		}
		if (use_wire(port, (enum port_direction)direction) < 0)
			return false;
		wire_restore(port->wires[direction]->wire, state, wire_time(port->dataplane));
		place(port->wires[direction]);
	}
	return !state->bad;
}
