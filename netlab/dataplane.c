/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/dataplane.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/loop.h"
#include "core/thread.h"
#include "devices/offload.h"
#include "netlab/capture.h"
#include "netlab/dataplane_internal.h"
#include "netlab/port_rules.h"
#include "netlab/switch.h"
#include "netlab/vlan.h"

#define SECOND 1000000000ull

/* Theory of operation
 * -------------------
 * port_transmit() runs a frame through to its receivers before it returns: there are no queues on the way,
 * and the frame is read where the sender left it.  What is best done once for many frames (interrupting a
 * guest, waking the capture's writer) waits for the end of the loop's turn, for which receivers are put on
 * a list.
 *
 * A frame in a network with VLANs is made ready in both forms, with its tag and without, before it is known which its
 * receivers want; without VLANs, both are the frame itself.
 *
 * A frame that is captured has a time of its own.  All else that is timed here counts in seconds, and has the time of
 * its turn's first frame.
 *
 * The one queue there is holds answers given from within a deliver function.  Forwarding these at once
 * would nest without bound, and show a flooded frame's later receivers the answer first.
 *
 * Counters have one writer, so they are atomic only in that readers never see half a value: a plain load,
 * addition and store each.
 */

void dataplane_count(struct counter *counter, uint64_t number)
{
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	atomic_store_explicit(&counter->value, value + number, memory_order_relaxed);
}

void port_drop_sent(struct port *port, enum drop_reason reason, uint32_t limit)
{
	struct capture *capture = port->dataplane->capture;

	dataplane_count(&port->dropped[reason], 1);
	if (capture)
		capture_drop_sent(capture, reason, limit);
}

void port_drop_received(struct port *port, const struct frame *frame, enum drop_reason reason, uint32_t limit)
{
	struct capture *capture = port->dataplane->capture;

	dataplane_count(&port->dropped[reason], 1);
	if (capture)
		capture_drop_received(capture, port->capture_port, frame, reason, limit);
}

/* A frame ends before it is on the wire. */
static void refuse(struct port *port, const struct frame *frame, size_t size, enum drop_reason reason)
{
	struct dataplane *dataplane = port->dataplane;

	dataplane_count(&port->dropped[reason], 1);
	if (dataplane->capture)
		capture_refuse(dataplane->capture, port->capture_port, frame, size, ++dataplane->frame_count,
			       capture_time(dataplane->capture, loop_now()), reason);
}

static void run_turn_end(void *opaque)
{
	dataplane_end_turn(opaque);
}

struct dataplane *dataplane_create(struct error *error)
{
	struct dataplane *dataplane = calloc(1, sizeof(*dataplane));

	if (!dataplane) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&dataplane->ports);
	TAILQ_INIT(&dataplane->unflushed);
	SLIST_INIT(&dataplane->networks);
	STAILQ_INIT(&dataplane->answers);
	STAILQ_INIT(&dataplane->spare_answers);
	dataplane->room = malloc(OFFLOAD_ROOM);
	dataplane->loop = dataplane->room ? loop_create(error) : NULL;
	if (!dataplane->loop) {
		if (!dataplane->room)
			error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		free(dataplane->room);
		free(dataplane);
		return NULL;
	}
	loop_set_turn_end(dataplane->loop, run_turn_end, dataplane);
	if (dataplane_create_wires(dataplane) < 0) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		loop_destroy(dataplane->loop);
		free(dataplane->room);
		free(dataplane);
		return NULL;
	}
	return dataplane;
}

void dataplane_set_capture(struct dataplane *dataplane, struct capture *capture)
{
	dataplane->capture = capture;
}

struct loop *dataplane_loop(struct dataplane *dataplane)
{
	return dataplane->loop;
}

static void *run(void *opaque)
{
	struct dataplane *dataplane = opaque;

	loop_run(dataplane->loop);
	dataplane_end_turn(dataplane); /* Of what was posted last. */
	return NULL;
}

int dataplane_start(struct dataplane *dataplane, struct error *error)
{
	int result = dataplane_start_capture(dataplane, error);

	if (result < 0)
		return result;
	loop_set_polling(dataplane->loop, LOOP_POLLING_MAX);
	result = thread_start(&dataplane->thread, "netlab-data", run, dataplane);
	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "cannot start the data plane's thread: %s",
				 strerror(-result));
	dataplane->running = true;
	return 0;
}

bool dataplane_is_running(const struct dataplane *dataplane)
{
	return dataplane->running;
}

void dataplane_stop(struct dataplane *dataplane)
{
	if (!dataplane->running)
		return;
	loop_stop(dataplane->loop);
	pthread_join(dataplane->thread, NULL);
	dataplane->running = false;
}

static void free_port(struct port *port)
{
	if (!port)
		return;
	port_free_wires(port);
	free(port->name);
	free(port->description);
	free(port);
}

static void free_network(struct network *network)
{
	if (!network)
		return;
	switch_destroy(network->table);
	free(network->name);
	free(network);
}

void dataplane_destroy(struct dataplane *dataplane)
{
	struct network *network;
	struct port *port;

	if (!dataplane)
		return;
	dataplane_stop(dataplane);
	while ((port = TAILQ_FIRST(&dataplane->ports))) {
		TAILQ_REMOVE(&dataplane->ports, port, next);
		free_port(port);
	}
	while ((network = SLIST_FIRST(&dataplane->networks))) {
		SLIST_REMOVE_HEAD(&dataplane->networks, next);
		free_network(network);
	}
	dataplane_destroy_wires(dataplane);
	dataplane_free_answers(dataplane);
	loop_destroy(dataplane->loop);
	free(dataplane->room);
	free(dataplane);
}

void dataplane_end_turn(struct dataplane *dataplane)
{
	struct port *port;

	dataplane->has_time = false;
	while ((port = TAILQ_FIRST(&dataplane->unflushed))) {
		TAILQ_REMOVE(&dataplane->unflushed, port, next_unflushed);
		port->unflushed = false;
		port->ops->flush(port->opaque);
	}
	if (dataplane->capture)
		capture_wake(dataplane->capture);
}

static void age(void *opaque)
{
	struct network *network = opaque;
	uint64_t now = dataplane_time(network->dataplane, loop_now());
	uint64_t again = switch_expire(network->table, now);

	if (again == 0)
		return;
	if (again > now && again < now + AGEING_INTERVAL)
		again = now + AGEING_INTERVAL;
	loop_timer_set(network->dataplane->loop, &network->ageing, loop_now() + (again - now));
}

void dataplane_call(struct dataplane *dataplane, loop_function *function, void *opaque)
{
	if (dataplane->running)
		loop_call(dataplane->loop, function, opaque);
	else
		function(opaque);
}

/* Why wires stand still, and whether they do for that. */
struct standstill {
	struct dataplane *dataplane;
	bool *reason, is_so;
};

/* loop_function */
static void stand_still(void *opaque)
{
	const struct standstill *standstill = opaque;

	*standstill->reason = standstill->is_so;
	/* Of before, when the clock may have had more. */
	standstill->dataplane->has_time = false;
	dataplane_keep_time(standstill->dataplane);
}

void dataplane_hold(struct dataplane *dataplane, bool is_held)
{
	struct standstill standstill = {.dataplane = dataplane, .reason = &dataplane->is_held, .is_so = is_held};

	dataplane_call(dataplane, stand_still, &standstill);
}

void dataplane_pause(struct dataplane *dataplane, bool is_paused)
{
	struct standstill standstill = {.dataplane = dataplane, .reason = &dataplane->is_paused, .is_so = is_paused};

	dataplane_call(dataplane, stand_still, &standstill);
}

/* loop_function */
static void insert_network(void *opaque)
{
	struct network *network = opaque;

	SLIST_INSERT_HEAD(&network->dataplane->networks, network, next);
}

/* loop_function */
static void take_network_out(void *opaque)
{
	struct network *network = opaque;

	loop_timer_cancel(network->dataplane->loop, &network->ageing);
	SLIST_REMOVE(&network->dataplane->networks, network, network, next);
}

void dataplane_remove_network(struct network *network)
{
	dataplane_call(network->dataplane, take_network_out, network);
	free_network(network);
}

struct network *dataplane_add_network(struct dataplane *dataplane, const char *name, size_t mac_table_size,
				      unsigned int mac_aging)
{
	struct network *network = calloc(1, sizeof(*network));

	if (!network)
		return NULL;
	network->dataplane = dataplane;
	network->name = strdup(name);
	network->table = switch_create(mac_table_size, mac_aging);
	if (!network->name || !network->table) {
		free_network(network);
		return NULL;
	}
	network->ageing = (struct loop_timer){.function = age, .opaque = network};
	TAILQ_INIT(&network->ports);
	dataplane_call(dataplane, insert_network, network);
	return network;
}

/* loop_function */
static void insert_port(void *opaque)
{
	struct port *port = opaque;

	TAILQ_INSERT_TAIL(&port->dataplane->ports, port, next);
}

struct port *dataplane_add_port(struct dataplane *dataplane, const char *name)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->dataplane = dataplane;
	port->capture_port = -1;
	port->rules = port_rules_default;
	switch_port_init(&port->learnt);
	port->name = strdup(name);
	if (!port->name) {
		free_port(port);
		return NULL;
	}
	dataplane_call(dataplane, insert_port, port);
	return port;
}

void port_part(struct port *port)
{
	port_lose_in_flight(port, PORT_SENDS);
	port_lose_in_flight(port, PORT_RECEIVES);
	if (port->peer) {
		port_lose_in_flight(port->peer, PORT_SENDS);
		port->peer->peer = NULL;
	}
	port->peer = NULL;
	if (!port->network)
		return;
	switch_forget_port(port->network->table, &port->learnt);
	TAILQ_REMOVE(&port->network->ports, port, next_in_network);
	port->network = NULL;
}

static void remove_mirror(struct dataplane *dataplane, const struct port *mirror)
{
	struct port *port;

	TAILQ_FOREACH(port, &dataplane->ports, next) {
		for (unsigned int i = port->mirror_count; i-- > 0;)
			if (port->mirrors[i] == mirror)
				port->mirrors[i] = port->mirrors[--port->mirror_count];
	}
}

/* loop_function */
static void take_port_out(void *opaque)
{
	struct port *port = opaque;
	struct dataplane *dataplane = port->dataplane;

	port_part(port);
	if (port->is_mirror)
		remove_mirror(dataplane, port);
	TAILQ_REMOVE(&dataplane->ports, port, next);
	if (dataplane->capture)
		capture_end_port(dataplane->capture, port->capture_port);
}

void dataplane_remove_port(struct port *port)
{
	dataplane_call(port->dataplane, take_port_out, port);
	free_port(port);
}

void port_join_port(struct port *a, struct port *b)
{
	if (a->peer == b)
		return;
	port_part(a);
	port_part(b);
	a->peer = b;
	b->peer = a;
}

void port_join_network(struct port *port, struct network *network)
{
	if (port->network == network)
		return;
	port_part(port);
	port->network = network;
	TAILQ_INSERT_TAIL(&network->ports, port, next_in_network);
}

void port_plug(struct port *port, const struct port_ops *ops, void *opaque)
{
	if (port->unflushed) {
		TAILQ_REMOVE(&port->dataplane->unflushed, port, next_unflushed);
		port->unflushed = false;
	}
	if (!ops && port->network)
		switch_forget_port(port->network->table, &port->learnt);
	port->ops = ops;
	port->opaque = opaque;
	if (ops && ops->set_carrier && !port_has_carrier(port))
		ops->set_carrier(opaque, false);
}

static enum drop_reason reason_of(enum port_result result)
{
	switch (result) {
	case PORT_RING_FULL:
		return DROP_RECEIVE_RING_FULL;
	case PORT_TOO_LONG:
		return DROP_TOO_LONG;
	case PORT_MTU:
		return DROP_MTU;
	case PORT_QUEUE_FULL:
		return DROP_QUEUE_FULL;
	default:
		return DROP_NOT_READY;
	}
}

/* A mirror has none. */
__attribute__((noinline)) static void copy_to_mirrors(const struct port *port, const struct frame *frame, uint64_t now)
{
	for (unsigned int i = 0; i < port->mirror_count; i++)
		port_deliver(port->mirrors[i], frame, now);
}

void port_deliver(struct port *port, const struct frame *frame, uint64_t now)
{
	enum port_result result;

	if (port_is_blocked(port, PORT_RECEIVES)) {
		port_drop_received(port, frame, DROP_LINK_DOWN, 0);
		return;
	}
	if (frame_is_offloaded(frame) && !port_takes(port, frame)) {
		port_finish(port, frame, now, port_deliver);
		return;
	}
	result = port->ops ? port->ops->deliver(port->opaque, frame) : PORT_NOT_READY;
	if (result != PORT_DELIVERED && result != PORT_FILTERED) {
		port_drop_received(port, frame, reason_of(result),
				   port->ops && port->ops->limit ? port->ops->limit(port->opaque, result) : 0);
		return;
	}
	dataplane_count(&port->received_frames, 1);
	dataplane_count(&port->received_bytes, frame->size);
	if (port->dataplane->capture)
		capture_receive(port->dataplane->capture, port->capture_port, frame);
	if (port->mirror_count > 0)
		copy_to_mirrors(port, frame, now);
	if (result == PORT_FILTERED) {
		dataplane_count(&port->filtered_frames, 1);
		return;
	}
	if (!port->unflushed && port->ops->flush) {
		TAILQ_INSERT_TAIL(&port->dataplane->unflushed, port, next_unflushed);
		port->unflushed = true;
	}
}

/* The same, by way of the wire to the port. */
static void deliver_by_wire(struct port *port, const struct frame *frame, uint64_t now)
{
	/* What comes to a port that is blocked dies there at once. */
	bool has_wire = port->wires[PORT_RECEIVES] && !port_is_blocked(port, PORT_RECEIVES);

	if (has_wire && frame_is_offloaded(frame) && port_is_impaired(port, PORT_RECEIVES))
		port_finish(port, frame, now, deliver_by_wire);
	else if (!has_wire || port_wire_passes(port, PORT_RECEIVES, frame, now))
		port_deliver(port, frame, now);
}

/* A frame on its way through a network. */
struct transit {
	struct port *from;
	uint64_t now;
	uint16_t vlan;                         /* 0 in a network without VLANs. */
	const struct frame *untagged, *tagged; /* Both forms of it. */
};

static bool may_reach(const struct transit *transit, const struct port *to)
{
	return !(transit->from->rules.is_isolated && to->rules.is_isolated) &&
	       (transit->vlan == 0 || port_rules_is_in(&to->rules, transit->vlan));
}

static void send_out(const struct transit *transit, struct port *to)
{
	const struct frame *frame = transit->vlan == to->rules.vlan ? transit->untagged : transit->tagged;

	if (frame->size > FRAME_SIZE_MAX)
		port_drop_received(to, frame, DROP_TOO_LONG, FRAME_SIZE_MAX); /* With its tag. */
	else
		deliver_by_wire(to, frame, transit->now);
}

/* Takes the frame out of the account of those the port may flood.  Each costs its part of a second, and a second may be
 * owed; more than that by a frame that stands for many. */
static bool may_flood(struct port *port, const struct frame *frame, uint64_t now)
{
	uint64_t price, due = port->storm_due > now ? port->storm_due : now;

	if (port->rules.storm == 0)
		return true;
	price = SECOND / port->rules.storm;
	if (due + price > now + SECOND)
		return false;
	port->storm_due = due + price * offload_count(frame);
	return true;
}

static void flood(const struct transit *transit)
{
	struct port *from = transit->from, *port;
	unsigned int reached = 0;

	if (!may_flood(from, transit->untagged, transit->now)) {
		port_drop_sent(from, DROP_STORM, from->rules.storm);
		return;
	}
	TAILQ_FOREACH(port, &from->network->ports, next_in_network) {
		if (port == from || !may_reach(transit, port))
			continue;
		send_out(transit, port);
		reached++;
	}
	if (reached == 0)
		port_drop_sent(from, DROP_NO_DESTINATION, 0);
}

static void send_to(const struct transit *transit, struct port *to)
{
	if (may_reach(transit, to))
		send_out(transit, to);
	else
		port_drop_sent(transit->from,
			       transit->from->rules.is_isolated && to->rules.is_isolated ? DROP_ISOLATED : DROP_VLAN,
			       0);
}

static void pass_network(const struct transit *transit)
{
	struct port *from = transit->from;
	struct network *network = from->network;
	struct switch_port *to;

	if (network->options.is_hub) {
		flood(transit);
		return;
	}
	switch (switch_frame(network->table, &from->learnt, transit->vlan, transit->untagged->header,
			     dataplane_time(network->dataplane, transit->now), &to)) {
	case SWITCH_FORWARD:
		send_to(transit, port_of(to));
		break;
	case SWITCH_FLOOD:
		flood(transit);
		break;
	case SWITCH_SAME_PORT:
		port_drop_sent(from, DROP_SAME_PORT, 0);
		break;
	case SWITCH_RESERVED:
		if (network->options.passes_reserved)
			flood(transit);
		else
			port_drop_sent(from, DROP_RESERVED_ADDRESS, 0);
		break;
	}
	if (!network->ageing.armed && switch_count(network->table) > 0)
		loop_timer_set(network->dataplane->loop, &network->ageing, transit->now + AGEING_INTERVAL);
}

/* A tag without a VLAN is as none, but for its priority, which goes on in the tag that the frame leaves with, if it
 * leaves with one (IEEE Std 802.1Q-2018, 6.9). */
__attribute__((noinline)) static void pass_vlans(struct port *from, const struct frame *frame, uint64_t now)
{
	struct transit transit = {.from = from, .now = now, .untagged = frame};
	struct frame untagged, tagged;
	uint16_t priority = 0;

	transit.vlan = port_rules_classify(&from->rules, frame);
	if (transit.vlan == 0) {
		port_drop_sent(from, DROP_VLAN, 0);
		return;
	}
	if (vlan_has_tag(frame)) {
		priority = (uint16_t)(vlan_control(frame) & ~VLAN_MASK);
		untagged = *frame;
		vlan_pop(&untagged);
		transit.untagged = &untagged;
	}
	tagged = *transit.untagged;
	vlan_push(&tagged, priority | transit.vlan);
	transit.tagged = &tagged;
	pass_network(&transit);
}

__attribute__((noinline)) static bool is_spoofed(struct port *port, const struct frame *frame)
{
	unsigned int guard = port_rules_judge(&port->rules, frame);

	if (guard)
		port_drop_sent(port,
			       guard == PORT_GUARD_MAC ? DROP_SPOOFED_MAC :
			       guard == PORT_GUARD_ARP ? DROP_SPOOFED_ARP :
							 DROP_SPOOFED_IP,
			       0);
	return guard != 0;
}

void port_pass_on(struct port *from, const struct frame *frame, uint64_t now)
{
	if (from->peer) {
		deliver_by_wire(from->peer, frame, now);
	} else if (!from->network) {
		port_drop_sent(from, from->rules.is_mirror ? DROP_MIRROR : DROP_NO_DESTINATION, 0);
	} else if (from->network->options.has_vlans) {
		pass_vlans(from, frame, now);
	} else {
		const struct transit transit = {.from = from, .now = now, .untagged = frame, .tagged = frame};

		pass_network(&transit);
	}
}

/* What happens to a frame from here on where it is sent. */
static void send_by_wire(struct port *from, const struct frame *frame, uint64_t now)
{
	if (port_is_blocked(from, PORT_SENDS)) {
		port_drop_sent(from, DROP_LINK_DOWN, 0);
		return;
	}
	if (from->rules.guard && is_spoofed(from, frame))
		return;
	if (!from->wires[PORT_SENDS] || port_wire_passes(from, PORT_SENDS, frame, now))
		port_pass_on(from, frame, now);
}

/* port_function */
static void forward_at(struct port *from, const struct frame *frame, uint64_t now)
{
	struct dataplane *dataplane = from->dataplane;
	struct capture *capture = dataplane->capture;

	dataplane_count(&from->transmitted_frames, 1);
	dataplane_count(&from->transmitted_bytes, frame->size);
	if (capture) {
		dataplane->current = ++dataplane->frame_count;
		capture_begin(capture, frame, dataplane->current, capture_time(capture, now));
		capture_send(capture, from->capture_port);
	}
	send_by_wire(from, frame, now);
	if (from->mirror_count > 0)
		copy_to_mirrors(from, frame, now); /* Which may have another form of it captured. */
	if (capture)
		capture_end(capture);
}

static uint64_t turn_time(struct dataplane *dataplane)
{
	if (!dataplane->has_time) {
		dataplane->time = loop_now();
		dataplane->has_time = true;
	}
	return dataplane->time;
}

void port_forward(struct port *from, const struct frame *frame)
{
	struct dataplane *dataplane = from->dataplane;
	/* A link that is not captured needs no clock. */
	uint64_t now = dataplane->capture ? loop_now() : from->network ? turn_time(dataplane) : 0;

	if (frame_is_offloaded(frame) && port_is_impaired(from, PORT_SENDS))
		port_finish(from, frame, now, forward_at);
	else
		forward_at(from, frame, now);
}

void port_transmit(struct port *port, const struct frame *frame)
{
	struct dataplane *dataplane = port->dataplane;

	if (frame->size < FRAME_SIZE_MIN || frame->size > FRAME_SIZE_MAX) {
		port_refused(port, frame->size < FRAME_SIZE_MIN ? frame : NULL, frame->size);
		return;
	}
	if (dataplane->is_held) {
		refuse(port, frame, frame->size, DROP_NOT_READY);
		return;
	}
	if (dataplane->forwarding) {
		if (!port_keep_answer(port, frame))
			refuse(port, frame, frame->size, DROP_QUEUE_FULL);
		return;
	}
	dataplane->forwarding = true;
	port_forward(port, frame);
	if (dataplane->answer_count > 0)
		dataplane_forward_answers(dataplane);
	dataplane->forwarding = false;
}

void port_refused(struct port *port, const struct frame *frame, size_t size)
{
	refuse(port, frame, size, DROP_MALFORMED);
}

const char *port_name(const struct port *port)
{
	return port->name;
}

void port_read_counters(const struct port *port, struct port_counters *counters)
{
	const struct capture *capture = port->dataplane->capture;

	*counters = (struct port_counters){
		.transmitted_frames = read_counter(&port->transmitted_frames),
		.transmitted_bytes = read_counter(&port->transmitted_bytes),
		.received_frames = read_counter(&port->received_frames),
		.received_bytes = read_counter(&port->received_bytes),
		.filtered_frames = read_counter(&port->filtered_frames),
	};
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		counters->dropped[reason] = read_counter(&port->dropped[reason]);
	if (capture && port->capture_port >= 0)
		counters->capture_lost = capture_lost(capture, port->capture_port);
}

const char *drop_reason_name(enum drop_reason reason)
{
	static const char *const names[DROP_REASON_COUNT] = {
		[DROP_RECEIVE_RING_FULL] = "receive-ring-full",
		[DROP_NOT_READY] = "not-ready",
		[DROP_TOO_LONG] = "too-long",
		[DROP_NO_DESTINATION] = "no-destination",
		[DROP_SAME_PORT] = "same-port",
		[DROP_RESERVED_ADDRESS] = "reserved-address",
		[DROP_MALFORMED] = "malformed",
		[DROP_MTU] = "mtu",
		[DROP_QUEUE_FULL] = "queue-full",
		[DROP_VLAN] = "vlan",
		[DROP_ISOLATED] = "isolated",
		[DROP_MIRROR] = "mirror",
		[DROP_STORM] = "storm",
		[DROP_SPOOFED_MAC] = "spoofed-mac",
		[DROP_SPOOFED_ARP] = "spoofed-arp",
		[DROP_SPOOFED_IP] = "spoofed-ip",
		[DROP_LINK_DOWN] = "link-down",
		[DROP_LOSS] = "loss",
		[DROP_LINK_QUEUE_FULL] = "link-queue-full",
		[DROP_EARLY] = "early",
		[DROP_IN_FLIGHT_FULL] = "in-flight-full",
	};

	return (unsigned int)reason < DROP_REASON_COUNT ? names[reason] : "unknown";
}

const char *network_name(const struct network *network)
{
	return network->name;
}
