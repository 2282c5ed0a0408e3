/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/dataplane.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/loop.h"
#include "core/state.h"
#include "netlab/capture.h"
#include "netlab/switch.h"

/* Theory of operation
 * -------------------
 * port_transmit() runs a frame through to its receivers before it returns: there are no queues on the way,
 * and the frame is read where the sender left it.  What is best done once for many frames (interrupting a
 * guest, waking the capture's writer) waits for the end of the loop's turn, for which receivers are put on
 * a list.
 *
 * The one queue there is holds answers given from within a deliver function.  Forwarding these at once
 * would nest without bound, and show a flooded frame's later receivers the answer first.
 *
 * Counters have one writer, so they are atomic only in that readers never see half a value: a plain load,
 * addition and store each.
 */

#define TAG_PORT STATE_TAG('p', 'o', 'r', 't')
#define TAG_NETWORK STATE_TAG('n', 'e', 't', 'w')
#define TAG_ADDRESS STATE_TAG('m', 'a', 'c', ' ')
#define TAG_DATAPLANE STATE_TAG('d', 'a', 't', 'a')

/* Shortest time between two rounds of ageing of a network's addresses. */
#define AGEING_INTERVAL 1000000000ull

struct counter {
	_Atomic uint64_t value;
};

struct port {
	struct dataplane *dataplane;
	char *name;
	const struct port_ops *ops;
	void *opaque;
	struct port *peer;       /* The other end of its link, or NULL. */
	struct network *network; /* Or its network. */
	struct switch_port learnt;
	int capture_port; /* Its number in the capture, or negative. */
	bool unflushed;   /* It is on that list. */
	TAILQ_ENTRY(port) next, next_in_network, next_unflushed;
	struct counter transmitted_frames, transmitted_bytes;
	struct counter received_frames, received_bytes;
	struct counter dropped[DROP_REASON_COUNT];
};

TAILQ_HEAD(ports, port);

struct network {
	struct dataplane *dataplane;
	char *name;
	struct switch_table *table;
	struct ports ports;
	struct loop_timer ageing; /* Armed while the table has addresses. */
	SLIST_ENTRY(network) next;
};

/* A frame that was transmitted while another was being delivered. */
struct answer {
	struct port *from;
	STAILQ_ENTRY(answer) next;
	size_t size;
	uint8_t bytes[];
};

struct dataplane {
	struct loop *loop;
	struct capture *capture;
	struct ports ports, unflushed;
	SLIST_HEAD(networks, network) networks;
	STAILQ_HEAD(answers, answer) answers;
	unsigned int answer_count; /* Since the last frame from outside. */
	bool forwarding;
	pthread_t thread;
	bool running;
};

static void count(struct counter *counter, uint64_t number)
{
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	atomic_store_explicit(&counter->value, value + number, memory_order_relaxed);
}

static uint64_t read_counter(const struct counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static void drop(struct port *port, enum drop_reason reason)
{
	count(&port->dropped[reason], 1);
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
	dataplane->loop = loop_create(error);
	if (!dataplane->loop) {
		free(dataplane);
		return NULL;
	}
	loop_set_turn_end(dataplane->loop, run_turn_end, dataplane);
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

static int start_capture(struct dataplane *dataplane, struct error *error)
{
	struct port *port;

	if (!dataplane->capture)
		return 0;
	TAILQ_FOREACH(port, &dataplane->ports, next) {
		port->capture_port = capture_add_port(dataplane->capture, port->name, error);
		if (port->capture_port < 0)
			return port->capture_port;
	}
	return capture_start(dataplane->capture, error);
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
	sigset_t all, before;
	int result = start_capture(dataplane, error);

	if (result < 0)
		return result;
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&dataplane->thread, NULL, run, dataplane);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return error_set(error, ERROR_FAILED, result, "cannot start the data plane's thread: %s",
				 strerror(result));
	pthread_setname_np(dataplane->thread, "netlab-data");
	dataplane->running = true;
	return 0;
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
	free(port->name);
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
	loop_destroy(dataplane->loop);
	while ((port = TAILQ_FIRST(&dataplane->ports))) {
		TAILQ_REMOVE(&dataplane->ports, port, next);
		free_port(port);
	}
	while ((network = SLIST_FIRST(&dataplane->networks))) {
		SLIST_REMOVE_HEAD(&dataplane->networks, next);
		free_network(network);
	}
	free(dataplane);
}

void dataplane_end_turn(struct dataplane *dataplane)
{
	struct port *port;

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
	uint64_t now = loop_now();
	uint64_t again = switch_expire(network->table, now);

	if (again == 0)
		return;
	if (again > now && again < now + AGEING_INTERVAL)
		again = now + AGEING_INTERVAL;
	loop_timer_set(network->dataplane->loop, &network->ageing, again);
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
	SLIST_INSERT_HEAD(&dataplane->networks, network, next);
	return network;
}

struct port *dataplane_add_port(struct dataplane *dataplane, const char *name)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->dataplane = dataplane;
	port->capture_port = -1;
	switch_port_init(&port->learnt);
	port->name = strdup(name);
	if (!port->name) {
		free_port(port);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&dataplane->ports, port, next);
	return port;
}

void port_join_port(struct port *a, struct port *b)
{
	a->peer = b;
	b->peer = a;
}

void port_join_network(struct port *port, struct network *network)
{
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
}

static void capture(struct port *port, const struct frame *frame, uint64_t now)
{
	struct capture *capture = port->dataplane->capture;

	if (capture && port->capture_port >= 0)
		capture_frame(capture, port->capture_port, frame, capture_time(capture, now));
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
	default:
		return DROP_NOT_READY;
	}
}

static void deliver(struct port *port, const struct frame *frame, uint64_t now)
{
	enum port_result result = port->ops ? port->ops->deliver(port->opaque, frame) : PORT_NOT_READY;

	if (result != PORT_DELIVERED) {
		drop(port, reason_of(result));
		return;
	}
	count(&port->received_frames, 1);
	count(&port->received_bytes, frame->size);
	capture(port, frame, now);
	if (!port->unflushed && port->ops->flush) {
		TAILQ_INSERT_TAIL(&port->dataplane->unflushed, port, next_unflushed);
		port->unflushed = true;
	}
}

static void flood(struct port *from, const struct frame *frame, uint64_t now)
{
	struct ports *ports = &from->network->ports;
	struct port *port;

	if (TAILQ_FIRST(ports) == TAILQ_LAST(ports, ports)) {
		drop(from, DROP_NO_DESTINATION);
		return;
	}
	TAILQ_FOREACH(port, ports, next_in_network) {
		if (port != from)
			deliver(port, frame, now);
	}
}

static struct port *port_of(struct switch_port *learnt)
{
	return (struct port *)((char *)learnt - offsetof(struct port, learnt));
}

static void forward_in_network(struct port *from, const struct frame *frame, uint64_t now)
{
	struct network *network = from->network;
	struct switch_port *to;

	switch (switch_frame(network->table, &from->learnt, frame->header, now, &to)) {
	case SWITCH_FORWARD:
		deliver(port_of(to), frame, now);
		break;
	case SWITCH_FLOOD:
		flood(from, frame, now);
		break;
	case SWITCH_SAME_PORT:
		drop(from, DROP_SAME_PORT);
		break;
	case SWITCH_RESERVED:
		drop(from, DROP_RESERVED_ADDRESS);
		break;
	}
	if (!network->ageing.armed && switch_count(network->table) > 0)
		loop_timer_set(network->dataplane->loop, &network->ageing, now + AGEING_INTERVAL);
}

static void forward(struct port *from, const struct frame *frame)
{
	/* A link that is not captured needs no clock. */
	uint64_t now = from->network || from->dataplane->capture ? loop_now() : 0;

	count(&from->transmitted_frames, 1);
	count(&from->transmitted_bytes, frame->size);
	capture(from, frame, now);
	if (from->peer)
		deliver(from->peer, frame, now);
	else if (from->network)
		forward_in_network(from, frame, now);
	else
		drop(from, DROP_NO_DESTINATION);
}

static void keep_answer(struct port *from, const struct frame *frame)
{
	struct dataplane *dataplane = from->dataplane;
	struct answer *answer = NULL;

	if (dataplane->answer_count < PORT_ANSWERS_MAX)
		answer = malloc(sizeof(*answer) + frame->size);
	if (!answer) {
		drop(from, DROP_QUEUE_FULL);
		return;
	}
	dataplane->answer_count++;
	answer->from = from;
	answer->size = frame->size;
	frame_copy(frame, answer->bytes, frame->size);
	STAILQ_INSERT_TAIL(&dataplane->answers, answer, next);
}

static void forward_answer(const struct answer *answer)
{
	struct frame frame = {.size = answer->size, .rest_count = 1};
	struct iovec rest;

	frame.header_size = answer->size < FRAME_HEADER_SIZE ? answer->size : FRAME_HEADER_SIZE;
	memcpy(frame.header, answer->bytes, frame.header_size);
	rest.iov_base = (void *)(answer->bytes + frame.header_size);
	rest.iov_len = answer->size - frame.header_size;
	frame.rest = &rest;
	forward(answer->from, &frame);
}

static void forward_answers(struct dataplane *dataplane)
{
	struct answer *answer;

	while ((answer = STAILQ_FIRST(&dataplane->answers))) {
		STAILQ_REMOVE_HEAD(&dataplane->answers, next);
		forward_answer(answer);
		free(answer);
	}
	dataplane->answer_count = 0;
}

void port_transmit(struct port *port, const struct frame *frame)
{
	struct dataplane *dataplane = port->dataplane;

	if (frame->size < FRAME_SIZE_MIN || frame->size > FRAME_SIZE_MAX) {
		port_refused(port, frame->size);
		return;
	}
	if (dataplane->forwarding) {
		keep_answer(port, frame);
		return;
	}
	dataplane->forwarding = true;
	forward(port, frame);
	forward_answers(dataplane);
	dataplane->forwarding = false;
}

void port_refused(struct port *port, size_t size)
{
	(void)size; /* Nothing of it reached the wire. */
	drop(port, DROP_MALFORMED);
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
	};

	return (unsigned int)reason < DROP_REASON_COUNT ? names[reason] : "unknown";
}

const char *network_name(const struct network *network)
{
	return network->name;
}

size_t network_mac_count(const struct network *network)
{
	return switch_count(network->table);
}

/* Saving. */

#define SAVED_NAME_SIZE 96

struct port_state {
	char name[SAVED_NAME_SIZE];
	uint64_t transmitted_frames, transmitted_bytes, received_frames, received_bytes;
	uint64_t dropped[DROP_REASON_COUNT];
};

struct network_state {
	char name[SAVED_NAME_SIZE];
	uint64_t addresses;
};

struct address_state {
	uint64_t address;
	uint64_t age; /* Nanoseconds since it was seen. */
	char port[SAVED_NAME_SIZE];
};

struct dataplane_state {
	uint32_t ports, networks;
};

static void save_port(const struct port *port, struct state *state)
{
	struct port_state saved = {
		.transmitted_frames = read_counter(&port->transmitted_frames),
		.transmitted_bytes = read_counter(&port->transmitted_bytes),
		.received_frames = read_counter(&port->received_frames),
		.received_bytes = read_counter(&port->received_bytes),
	};

	snprintf(saved.name, sizeof(saved.name), "%s", port->name);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		saved.dropped[reason] = read_counter(&port->dropped[reason]);
	state_put(state, TAG_PORT, &saved, sizeof(saved));
}

struct saving {
	struct state *state;
	uint64_t now;
};

static void save_address(void *opaque, uint64_t address, struct switch_port *learnt, uint64_t seen)
{
	const struct saving *saving = opaque;
	struct address_state saved = {.address = address, .age = saving->now - seen};

	snprintf(saved.port, sizeof(saved.port), "%s", port_of(learnt)->name);
	state_put(saving->state, TAG_ADDRESS, &saved, sizeof(saved));
}

static void save_network(const struct network *network, struct state *state)
{
	struct network_state saved = {.addresses = switch_count(network->table)};
	struct saving saving = {.state = state, .now = loop_now()};

	snprintf(saved.name, sizeof(saved.name), "%s", network->name);
	state_put(state, TAG_NETWORK, &saved, sizeof(saved));
	switch_for_each(network->table, save_address, &saving);
}

void dataplane_save(struct dataplane *dataplane, struct state *state)
{
	struct dataplane_state saved = {0};
	const struct network *network;
	const struct port *port;

	TAILQ_FOREACH(port, &dataplane->ports, next)
		saved.ports++;
	SLIST_FOREACH(network, &dataplane->networks, next)
		saved.networks++;
	state_put(state, TAG_DATAPLANE, &saved, sizeof(saved));
	TAILQ_FOREACH(port, &dataplane->ports, next)
		save_port(port, state);
	SLIST_FOREACH(network, &dataplane->networks, next)
		save_network(network, state);
}

static struct port *find_port(struct dataplane *dataplane, char name[SAVED_NAME_SIZE])
{
	struct port *port;

	name[SAVED_NAME_SIZE - 1] = '\0';
	TAILQ_FOREACH(port, &dataplane->ports, next) {
		if (strcmp(port->name, name) == 0)
			break;
	}
	return port;
}

static void set_counter(struct counter *counter, uint64_t value)
{
	atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static bool restore_port(struct dataplane *dataplane, struct state *state)
{
	struct port_state saved;
	struct port *port;

	if (!state_get(state, TAG_PORT, &saved, sizeof(saved)) || !(port = find_port(dataplane, saved.name)))
		return false;
	set_counter(&port->transmitted_frames, saved.transmitted_frames);
	set_counter(&port->transmitted_bytes, saved.transmitted_bytes);
	set_counter(&port->received_frames, saved.received_frames);
	set_counter(&port->received_bytes, saved.received_bytes);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		set_counter(&port->dropped[reason], saved.dropped[reason]);
	return true;
}

static struct network *find_network(struct dataplane *dataplane, char name[SAVED_NAME_SIZE])
{
	struct network *network;

	name[SAVED_NAME_SIZE - 1] = '\0';
	SLIST_FOREACH(network, &dataplane->networks, next) {
		if (strcmp(network->name, name) == 0)
			break;
	}
	return network;
}

/* '*age' is that of the one before, which is no younger: the switch counts on that. */
static bool restore_address(struct network *network, struct state *state, uint64_t now, uint64_t *age)
{
	struct address_state saved;
	struct port *port;

	if (!state_get(state, TAG_ADDRESS, &saved, sizeof(saved)))
		return false;
	port = find_port(network->dataplane, saved.port);
	if (!port || port->network != network || saved.address >> 48 != 0 || saved.age > *age)
		return false;
	*age = saved.age;
	switch_learn(network->table, &port->learnt, saved.address, saved.age < now ? now - saved.age : 0);
	return true;
}

static bool restore_network(struct dataplane *dataplane, struct state *state)
{
	struct network_state saved;
	struct network *network;
	uint64_t now = loop_now(), age = UINT64_MAX;
	struct port *port;

	if (!state_get(state, TAG_NETWORK, &saved, sizeof(saved)) || saved.addresses > SWITCH_TABLE_SIZE_MAX ||
	    !(network = find_network(dataplane, saved.name)))
		return false;
	TAILQ_FOREACH(port, &network->ports, next_in_network)
		switch_forget_port(network->table, &port->learnt);
	for (uint64_t i = 0; i < saved.addresses; i++) {
		if (!restore_address(network, state, now, &age))
			return false;
	}
	if (saved.addresses > 0)
		loop_timer_set(dataplane->loop, &network->ageing, now + AGEING_INTERVAL);
	return true;
}

void dataplane_restore(struct dataplane *dataplane, struct state *state)
{
	struct dataplane_state saved;
	bool good = state_get(state, TAG_DATAPLANE, &saved, sizeof(saved));

	for (uint32_t i = 0; good && i < saved.ports; i++)
		good = restore_port(dataplane, state);
	for (uint32_t i = 0; good && i < saved.networks; i++)
		good = restore_network(dataplane, state);
	state->bad = state->bad || !good;
}
