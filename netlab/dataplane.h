/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_DATAPLANE_H
#define NETLAB_DATAPLANE_H 1

/* The data plane
 * ==============
 *
 * Everything a frame meets between two guests: ports, links and networks.  A port is where something is
 * plugged in (a node's interface, a NAT gateway, a socket).  Two ports joined by a link pass every frame to each
 * other; ports on a network are joined by a learning switch (netlab/switch.h).  What is asked of a port beside that,
 * VLANs among it, are its rules (netlab/port_rules.h).
 *
 * One thread runs it, in one loop that owns all virtqueues of all NICs, so there is one order of frames,
 * and a frame is copied once, from the sender's memory to the receiver's.
 *
 *      transmit of NIC A -> port_transmit(A) -> capture -> link or network -> ops->deliver of B -> capture
 *
 * Frames that arrive in one turn of the loop are published to each receiver once, at the end of the turn.
 *
 * A frame is counted as transmitted by the port it came from, then either as received or as dropped: at the
 * receiving port when that port did not take it, at the sender's when it did not get so far.  A flooded
 * frame is counted once by its sender and by each receiver.  Drops as DROP_MALFORMED, and as
 * DROP_QUEUE_FULL at a sender, come before the wire: such frames are not counted as transmitted.  What is for
 * others ends at the filter of the receiving NIC, as it does with any NIC; on its wire it was received.  Captures of
 * ports hold what was transmitted and what was received: a frame that was dropped is in its sender's and in no
 * other.  What is captured of the whole lab has the dropped ones too, where they died and why.  All ends have the same
 * time and the same id in their captures, that at which the frame was forwarded, so a frame can be found again at the
 * other end.  A frame that enters and leaves a network with VLANs by ports of different kinds
 * has its tag taken off or put on in between, and each capture what that port's wire carried.
 *
 * A port may lose its carrier, and either direction of its wire may be cut: then a frame ends at the first such port it
 * meets, at its sender or at a receiver.
 *
 * A frame on which work was left undone (struct frame_offload) goes as it is to ports that take it so.  Others get the
 * frames it stands for on a wire, one after the other: each is counted and captured there as a frame, all with the one
 * id, while a port that took the whole frame has it as one.  So a port's counters and its capture always tell the same,
 * and what crossed it.  A limit of floods counts what a wire would carry.
 *
 * A port may have mirrors, other ports that are given a copy of all its capture would have, as it would have it.
 * Copies are counted as received by the mirror, which has no mirrors itself.
 *
 * Thread-safety: one thread builds: create, add, remove, start, stop, destroy.  Once the data plane runs, adding
 * and removing wait for its thread.  All that is done with ports and networks is for the data plane's thread, or for
 * the building thread while there is none.  Counters are read from any thread with port_read_counters().
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "devices/frame.h"

struct capture;
struct frame_filter;
struct impairment;
struct loop;
struct port_rules;
struct state;
struct wire_counters;

/* Why a frame ended at a port.  Names (for JSON and captures) by drop_reason_name(), with hyphens. */
enum drop_reason {
	DROP_RECEIVE_RING_FULL, /* The receiver has no buffers. */
	DROP_NOT_READY,         /* Nothing is listening at the receiving port: no driver yet, or it is quarantined. */
	DROP_TOO_LONG,          /* Does not fit the receiver. */
	DROP_NO_DESTINATION,    /* The port is not joined to anything, or is the only one on its network. */
	DROP_SAME_PORT,         /* The destination is behind the port the frame came from. */
	DROP_RESERVED_ADDRESS,  /* To 01-80-C2-00-00-00 to -0F, which a bridge does not forward. */
	DROP_MALFORMED,         /* Not a frame: too short, too long, or it asks for an offload it cannot have. */
	DROP_MTU,               /* Longer than the MTU of the receiving interface allows. */
	DROP_QUEUE_FULL,        /* Too many frames wait for their turn. */
	DROP_VLAN,              /* Of a VLAN that the port it came from is not in, or of none. */
	DROP_ISOLATED,          /* From one isolated port to another. */
	DROP_MIRROR,            /* From a port that only receives copies. */
	DROP_STORM,             /* More than the port may flood. */
	DROP_SPOOFED_MAC,       /* Its source address, ... */
	DROP_SPOOFED_ARP,       /* ... what it says of its sender in ARP, ... */
	DROP_SPOOFED_IP,        /* ... or the source of its packet is not the port's, and that has a guard. */
	DROP_LINK_DOWN,         /* The link has no carrier, or is cut in this direction. */
	DROP_LOSS,              /* The link's impairments lose it. */
	DROP_LINK_QUEUE_FULL,   /* Too much waits for its turn at the link's rate. */
	DROP_EARLY,             /* The link's queue has RED or CoDel, which dropped it. */
	DROP_IN_FLIGHT_FULL,    /* Too much is on its way on the link. */
	DROP_REASON_COUNT,
};

/* Of the wire at a port, as seen from it. */
enum port_direction {
	PORT_SENDS,    /* From it, to the other end of its link or its network. */
	PORT_RECEIVES, /* To it. */
};

/* What the receiving end of a port did with a frame. */
enum port_result {
	PORT_DELIVERED,
	PORT_FILTERED, /* It came, and is for others: counted as received, and as filtered. */
	PORT_RING_FULL,
	PORT_NOT_READY,
	PORT_TOO_LONG,
	PORT_MTU,
	PORT_QUEUE_FULL, /* A peer outside of the lab does not keep up. */
};

/* What is plugged into a port.  Called in the data plane's thread.
 *
 * 'deliver' may answer with port_transmit() from within, as a NAT gateway does; such frames are copied, and
 * forwarded when the frame being delivered has reached all its receivers, so no receiver sees an answer
 * before its question.  At most PORT_ANSWERS_MAX wait; more are dropped at the answering port
 * (DROP_QUEUE_FULL), so two things that answer each other without end cannot hold up the lab.  Neither
 * function may plug or join ports, save that flush may unplug its own: the peer has gone. */
struct port_ops {
	enum port_result (*deliver)(void *opaque, const struct frame *frame);
	/* Whether 'deliver' takes this frame, on which work was left undone; else it is done first.  NULL: none. */
	bool (*takes)(void *opaque, const struct frame *frame);
	/* End of the turn: publish what was delivered.  Only called when something was.  May be NULL. */
	void (*flush)(void *opaque);
	/* What a frame that was not delivered was above, for this reason: an MTU, a queue's length, or 0.  May be
	 * NULL. */
	uint32_t (*limit)(void *opaque, enum port_result result);
	/* The port's carrier has come or gone.  One that is plugged in knows without being told that there is one.  May
	 * be NULL. */
	void (*set_carrier)(void *opaque, bool is_up);
};

/* Frames transmitted from within deliver functions between one frame from outside and the next. */
#define PORT_ANSWERS_MAX 1024

/* Each is right by itself and never falls; a frame may be in one counter and not yet in another. */
struct port_counters {
	uint64_t transmitted_frames, transmitted_bytes; /* From the guest, onto the wire. */
	uint64_t received_frames, received_bytes;       /* From the wire. */
	uint64_t filtered_frames;                       /* Of those, not wanted by the guest. */
	uint64_t dropped[DROP_REASON_COUNT];            /* Frames that ended at this port. */
	uint64_t capture_lost;                          /* Frames missing in the capture of this port. */
};

struct dataplane;
struct port;
struct network;

struct dataplane *dataplane_create(struct error *error);
/* Every port is captured to 'capture', which may be NULL.  Before dataplane_start(), and again, to let go of the
 * capture, after dataplane_stop(). */
void dataplane_set_capture(struct dataplane *dataplane, struct capture *capture);
/* Adds all ports to the capture, starts it, and starts the thread.  For ports that are added later there is
 * dataplane_capture_port(). */
int dataplane_start(struct dataplane *dataplane, struct error *error);
/* Runs what was posted to the loop, ends the turn, and joins the thread.  Does nothing when it does not
 * run. */
void dataplane_stop(struct dataplane *dataplane);
void dataplane_destroy(struct dataplane *dataplane); /* And all ports and networks.  Stops it first. */
/* Holds, or no longer, what comes from outside of the lab while guests that transmit nothing are being saved or
 * restored, so that nothing is written to them: such frames are dropped where they came from (DROP_NOT_READY).  What is
 * on its way in links stands still, and what networks have learnt does not age. */
void dataplane_hold(struct dataplane *dataplane, bool is_held);
/* The lab stands still, or no longer: so do frames in links and the ages of what was learnt. */
void dataplane_pause(struct dataplane *dataplane, bool is_paused);
struct loop *dataplane_loop(struct dataplane *dataplane);
/* Whether its thread runs, for the thread that starts and stops it. */
bool dataplane_is_running(const struct dataplane *dataplane);

/* Bytes of memory that are there for frames in links' queues and on their way. */
uint64_t dataplane_wires_memory(struct dataplane *dataplane);

/* Calls 'function' in its thread and waits until it has returned; or here, while there is none and this thread is the
 * one that builds. */
void dataplane_call(struct dataplane *dataplane, void (*function)(void *opaque), void *opaque);

/* Flushes receivers and wakes the capture's writer.  The loop does so at the end of each turn; for those
 * who run a data plane without a thread: tests and benchmarks. */
void dataplane_end_turn(struct dataplane *dataplane);

/* A network: 'mac_table_size' addresses (0 to 65536) are remembered for 'mac_aging' seconds (at least 1)
 * after they were last seen.  Returns NULL when out of memory or of range. */
struct network *dataplane_add_network(struct dataplane *dataplane, const char *name, size_t mac_table_size,
				      unsigned int mac_aging);
/* Frees it; no port may be on it any more. */
void dataplane_remove_network(struct network *network);

/* A port named 'name' ("h1:eth0"), with nothing plugged in.  Returns NULL when out of memory. */
struct port *dataplane_add_port(struct dataplane *dataplane, const char *name);
/* What captures that begin later say of the port: what it is on ("link to r1:eth1"), and its address, which may be
 * NULL. Returns 0 or -ENOMEM. */
int dataplane_describe_port(struct port *port, const char *description, const uint8_t *mac);
/* Something that is told in captures beside the frame that comes next, one line of text.  Any thread but the data
 * plane's. */
void dataplane_tell_capture(struct dataplane *dataplane, const char *text);
/* Has a port that was added while the data plane runs captured, if anything is.  Returns 0 or a negative errno value
 * with 'error' set. */
int dataplane_capture_port(struct port *port, struct error *error);
/* Frees it, with nothing plugged in, after taking it from what it is joined to.  Its capture ends. */
void dataplane_remove_port(struct port *port);

/* Joins a port to the other end of a link, or to a network, and parts it from what it was joined to; when that is the
 * same, nothing happens. */
void port_join_port(struct port *a, struct port *b);
void port_join_network(struct port *port, struct network *network);
void port_part(struct port *port);

/* Applies to all frames from now on; the port's network forgets what it learnt there when its VLANs are others.  The
 * lists of addresses stay the caller's, and must last as long as the port or until it has other rules. */
void port_set_rules(struct port *port, const struct port_rules *rules);
const struct port_rules *port_get_rules(const struct port *port);

/* Mirrors a port may have. */
#define PORT_MIRRORS_MAX 4

/* Has 'mirror' be given a copy of each frame that crosses 'port'.  Does nothing when it is that already, when the port
 * has PORT_MIRRORS_MAX, or when that would make a mirror of a mirror. */
void port_add_mirror(struct port *port, struct port *mirror);
/* The same for all ports that are on the network now. */
void network_add_mirror(struct network *network, struct port *mirror);
/* No port has mirrors any more. */
void dataplane_clear_mirrors(struct dataplane *dataplane);

struct network_options {
	bool has_vlans;       /* Frames are in VLANs, as the ports' rules have it; else tags pass like all else. */
	bool is_hub;          /* It learns nothing and sends every frame to all ports. */
	bool passes_reserved; /* Frames to 01-80-C2-00-00-00 to -0F are flooded. */
};

/* Forgets what was learnt if it may be otherwise now. */
void network_set_options(struct network *network, const struct network_options *options);

/* Has frames that cross the wire in this direction from now on meet this.  'seed' decides their fates if the impairment
 * has no seed of its own: the n-th frame after this has the same one each time.  Frames that are on their way stay so,
 * with the times they have.  Returns 0, or -ENOMEM and changes nothing. */
int port_impair(struct port *port, enum port_direction direction, const struct impairment *impairment, uint64_t seed);
/* Gives the wire the filter that its impairment names ('loss_match'), without which no frame is lost by it: after
 * port_impair(), and dataplane_restore().  It is compiled beforehand, by another thread.  It becomes the wire's, and
 * '*filter' none; if there is no wire, it stays the caller's. */
void port_set_loss_filter(struct port *port, enum port_direction direction, struct frame_filter *filter);
/* What it meets now, or NULL: nothing.  The data plane's thread. */
const struct impairment *port_impairment(const struct port *port, enum port_direction direction);
/* Counters of its wire since it first met something; false if it never did.  Any thread that may look at the port. */
bool port_read_wire(const struct port *port, enum port_direction direction, struct wire_counters *counters);

/* Carrier: it comes, or goes, at both ends of the port's link, or, where that is on a network or on nothing, at the
 * port alone.  Frames that meet a port without carrier die there (DROP_LINK_DOWN), and its network forgets what it
 * learnt there.  A port has carrier at first; what it is joined to later changes nothing of that. */
void port_set_carrier(struct port *port, bool is_up);
/* Cuts one direction of the wire at the port, or mends it: frames die as without carrier, and nobody is told. */
void port_cut(struct port *port, enum port_direction direction, bool is_cut);
/* Any thread. */
bool port_has_carrier(const struct port *port);
bool port_is_cut(const struct port *port, enum port_direction direction);

/* Plugs something in ('ops' NULL unplugs it, and the port's network forgets what it learnt there).  'ops'
 * and 'opaque' stay the caller's, and are not used any more once something else, or nothing, is plugged in. */
void port_plug(struct port *port, const struct port_ops *ops, void *opaque);

/* A frame came from what is plugged in.  One of an impossible size is refused. */
void port_transmit(struct port *port, const struct frame *frame);
/* It sent something that is no frame, of 'size' bytes; 'frame' is what there is to be seen of it, at most
 * FRAME_SIZE_MAX bytes, or NULL: nothing. */
void port_refused(struct port *port, const struct frame *frame, size_t size);

/* Counters, carrier and cuts of all ports, and the addresses all networks remember.  What is restored must have all
 * ports and networks that were saved, by their names; the state is bad when it has not.  Filters of wires are then to
 * be given again (port_set_loss_filter()).  In the data plane's thread.
 *
 * Saving ends the turn first: guests that are saved after it have been told of all frames they were given. */
void dataplane_save(struct dataplane *dataplane, struct state *state);
void dataplane_restore(struct dataplane *dataplane, struct state *state);

const char *port_name(const struct port *port);
/* Whether there is something that could take a frame. */
bool port_is_plugged(const struct port *port);
/* The port of that name, or NULL. */
struct port *dataplane_find_port(const struct dataplane *dataplane, const char *name);
void port_read_counters(const struct port *port, struct port_counters *counters);
const char *drop_reason_name(enum drop_reason reason);

const char *network_name(const struct network *network);
/* Addresses remembered now by the network, for status.  Any thread. */
size_t network_mac_count(const struct network *network);

/* A station that a network has learnt. */
struct network_station {
	uint64_t address; /* As a number, the first byte on the wire the highest of six. */
	uint16_t vlan;    /* 0 in a network without VLANs. */
	const struct port *port;
	uint64_t age; /* Nanoseconds since it sent. */
};

/* Calls 'function' for each, the longest unseen first; those that are as good as forgotten are left out. */
void network_for_each_station(const struct network *network,
			      void (*function)(void *opaque, const struct network_station *station), void *opaque);
/* Forgets all, and returns how many there were. */
size_t network_flush(struct network *network);

#endif /* dataplane.h */
