/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_DATAPLANE_INTERNAL_H
#define NETLAB_DATAPLANE_INTERNAL_H 1

/* What netlab/dataplane.c, netlab/dataplane_rules.c (rules of ports, mirrors, what is learnt),
 * netlab/dataplane_link.c (carrier and cuts), netlab/dataplane_wire.c (impairments), netlab/dataplane_offload.c (work
 * left undone), netlab/dataplane_answers.c (frames that answer others), netlab/dataplane_capture.c (what the capture
 * knows of ports) and netlab/dataplane_state.c (saving and restoring) share.  Thread-safety: as netlab/dataplane.h. */

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/queue.h>

#include "core/loop.h"
#include "netlab/buffer_pool.h"
#include "netlab/dataplane.h"
#include "netlab/deadline_heap.h"
#include "netlab/held_clock.h"
#include "netlab/port_rules.h"
#include "netlab/switch.h"

struct state;
struct wire;

/* Shortest time between two rounds of ageing of a network's addresses. */
#define AGEING_INTERVAL 1000000000ull

struct counter {
	_Atomic uint64_t value;
};

/* What keeps frames from crossing a port. */
#define PORT_NO_CARRIER 1u
#define PORT_CUT(direction) (2u << (direction))
#define PORT_BLOCKED_ALL (PORT_NO_CARRIER | PORT_CUT(PORT_SENDS) | PORT_CUT(PORT_RECEIVES))

/* A wire with impairments at a port, and when it has something to do. */
struct port_wire {
	struct deadline deadline; /* First. */
	struct wire *wire;
	struct port *port;
	enum port_direction direction;
};

struct port {
	struct dataplane *dataplane;
	char *name;
	const struct port_ops *ops;
	void *opaque;
	struct port *peer;          /* The other end of its link, or NULL. */
	struct network *network;    /* Or its network. */
	struct port_wire *wires[2]; /* By enum port_direction; NULL: without impairments. */
	struct switch_port learnt;
	int capture_port;  /* Its number in the capture, or negative. */
	char *description; /* What captures say of it, or NULL. */
	bool has_mac;
	uint8_t mac[6];
	bool unflushed;          /* It is on that list. */
	bool is_mirror;          /* It is one of another's. */
	_Atomic uint8_t blocked; /* PORT_NO_CARRIER and others; 0: frames pass. */
	unsigned int mirror_count;
	struct port_rules rules; /* Its beginning is looked at for each frame, as is what stands before it. */
	struct port *mirrors[PORT_MIRRORS_MAX]; /* Which are given a copy of what crosses it. */
	TAILQ_ENTRY(port) next, next_in_network, next_unflushed;
	struct counter transmitted_frames, transmitted_bytes;
	struct counter received_frames, received_bytes, filtered_frames;
	struct counter dropped[DROP_REASON_COUNT];
	uint64_t storm_due; /* When all frames it flooded would have been allowed one by one. */
};

TAILQ_HEAD(ports, port);

struct network {
	struct dataplane *dataplane;
	char *name;
	struct switch_table *table;
	struct network_options options;
	struct ports ports;
	struct loop_timer ageing; /* Armed while the table has addresses. */
	SLIST_ENTRY(network) next;
};

/* A frame that was transmitted while another was being delivered. */
struct answer {
	struct port *from;
	STAILQ_ENTRY(answer) next;
	struct frame_offload offload;
	size_t size;
	uint8_t bytes[];
};

struct dataplane {
	struct loop *loop;
	struct capture *capture;
	struct ports ports, unflushed;
	SLIST_HEAD(networks, network) networks;
	STAILQ_HEAD(answers, answer) answers;
	struct answers spare_answers; /* Room for others, for frames of the usual size. */
	unsigned int answer_count;    /* Since the last frame from outside. */
	uint64_t frame_count;         /* That were transmitted, or refused: the last one's id. */
	uint64_t current;             /* The id of the frame that is being forwarded. */
	struct buffer_pool *pool;     /* Frames that wait in wires. */
	size_t wire_count;
	struct deadline_heap wires;  /* What is due in them ... */
	struct loop_timer wires_due; /* ... the first of which this timer waits for. */
	struct held_clock clock;     /* Of wires, and of what networks have learnt. */
	uint8_t *room;               /* Where work that was left undone is done: OFFLOAD_ROOM bytes. */
	bool has_time;               /* Of this turn. */
	uint64_t time;               /* When the first of this turn's frames came. */
	bool forwarding;
	bool is_held;   /* Nobody transmits. */
	bool is_paused; /* Nobody who is in the lab does. */
	pthread_t thread;
	bool running;
};

/* netlab/dataplane_capture.c: adds all ports to the capture, if there is one, and starts it.  Returns 0 or a negative
 * errno value with 'error' set. */
int dataplane_start_capture(struct dataplane *dataplane, struct error *error);

/* netlab/dataplane_link.c: has the port be blocked by these alone, and tells what is plugged in. */
void port_set_blocked(struct port *port, unsigned int blocked);

static inline bool port_is_blocked(const struct port *port, enum port_direction direction)
{
	return atomic_load_explicit(&port->blocked, memory_order_relaxed) & (PORT_NO_CARRIER | PORT_CUT(direction));
}

/* netlab/dataplane.c, for those frames that come out of wires. */

void dataplane_count(struct counter *counter, uint64_t number);
/* A frame ends behind the port that it came from, which captured it already. */
void port_drop_sent(struct port *port, enum drop_reason reason, uint32_t limit);
/* A frame ends at the port that was to receive it. */
void port_drop_received(struct port *port, const struct frame *frame, enum drop_reason reason, uint32_t limit);
/* The other end of its link, or its network, is given the frame. */
void port_pass_on(struct port *from, const struct frame *frame, uint64_t now);
/* What is plugged into the port is given the frame. */
void port_deliver(struct port *port, const struct frame *frame, uint64_t now);
/* A frame came from what is plugged in. */
void port_forward(struct port *from, const struct frame *frame);

/* netlab/dataplane_answers.c, for frames that are transmitted while another is being delivered. */

/* Copies it.  Returns false when it is one too many, or there is no memory. */
bool port_keep_answer(struct port *from, const struct frame *frame);
void dataplane_forward_answers(struct dataplane *dataplane);
void dataplane_free_answers(struct dataplane *dataplane);

/* netlab/dataplane_offload.c, for frames on which work was left undone. */

typedef void port_function(struct port *port, const struct frame *frame, uint64_t now);
/* Calls 'function' for each frame that a wire would carry in place of this one. */
void port_finish(struct port *port, const struct frame *frame, uint64_t now, port_function *function);
/* Whether what is plugged into the port takes the frame as it is. */
bool port_takes(const struct port *port, const struct frame *frame);

/* netlab/dataplane_wire.c */

int dataplane_create_wires(struct dataplane *dataplane);
void dataplane_destroy_wires(struct dataplane *dataplane);
/* Whether a frame goes on at once; else the wire has it, or it died, which was told. */
bool port_wire_passes(struct port *port, enum port_direction direction, const struct frame *frame, uint64_t now);
/* Whether frames that go through the wire may be touched there, and so must be such as a wire would carry. */
bool port_is_impaired(const struct port *port, enum port_direction direction);
/* All frames that are in the wire die: the link is no more. */
void port_lose_in_flight(struct port *port, enum port_direction direction);
/* The capture is told of the rate at which the port sends. */
void port_tell_speed(const struct port *port);
void port_free_wires(struct port *port);
/* Has the clock stand still, or go on, as the data plane is held or paused now. */
void dataplane_keep_time(struct dataplane *dataplane);
void port_save_wires(const struct port *port, struct state *state);
bool port_restore_wires(struct port *port, struct state *state);

/* Its clock, which stands still while the data plane is held or paused, when the loop's has 'now'. */
static inline uint64_t dataplane_time(const struct dataplane *dataplane, uint64_t now)
{
	return held_clock_read(&dataplane->clock, now);
}

static inline uint64_t read_counter(const struct counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline struct port *port_of(struct switch_port *learnt)
{
	return (struct port *)((char *)learnt - offsetof(struct port, learnt));
}

#endif /* dataplane_internal.h */
