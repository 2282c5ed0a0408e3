/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_SWITCH_H
#define NETLAB_SWITCH_H 1

/* Learning switch
 * ===============
 *
 * The filtering database and forwarding decision of a MAC bridge (IEEE Std 802.1D-2004, 7.6 to 7.9),
 * without spanning tree.  Each VLAN learns for itself (independent learning, IEEE Std 802.1Q-2018, 8.8.8): one
 * address may be behind different ports in different VLANs.  Which VLAN a frame is in, and whether it may leave by
 * a port, is for the caller to say (netlab/port_rules.h); a network without VLANs has one, VLAN 0.  This module
 * says where a frame goes; netlab/dataplane.c takes it there.
 *
 *   - The source of every frame is learnt, unless it is a group address or all zeroes, which no station
 *     has.  A station that appears behind another port is moved there at once.
 *   - A destination that is known goes to its port; a group address, and one that is not known, to all
 *     ports.
 *   - An address not seen for the ageing time is forgotten.
 *
 * The table is bounded, all of its memory is taken at creation, and what a guest can do to it is limited:
 * the hash is seeded at random, so that addresses cannot be chosen to collide, and a new address for which
 * there is no room takes the place of the one longest unseen at the port that has most.  So a station that
 * sends from more addresses than fit (macof) soon pushes out its own, and never those of ports that have
 * their fair share.  (An evil station can still claim another's address, as on any switch without port
 * security.)
 *
 * Time is a parameter, in nanoseconds of a clock that never runs backwards; the module reads no clock.  Only
 * differences count, so a time before the clock's beginning may be given as what it wraps around to.
 *
 * Thread-safety: one thread at a time; switch_count() any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct switch_entry;
struct switch_table;

/* Addresses a table may have room for. */
#define SWITCH_TABLE_SIZE_MAX 65536

/* What the table keeps for each port; the port embeds it.  The members are the switch's. */
struct switch_port {
	TAILQ_HEAD(switch_port_entries, switch_entry) entries; /* Longest unseen first. */
	size_t count;                                          /* Of entries. */
	LIST_ENTRY(switch_port) same_count;                    /* Ports with as many entries. */
	struct switch_entry *towards; /* Where its last frame was for, or NULL; it may be another's by now. */
};

enum switch_decision {
	SWITCH_FORWARD,   /* To one port. */
	SWITCH_FLOOD,     /* To all ports but the one it came from. */
	SWITCH_SAME_PORT, /* Nowhere: the destination is behind the port it came from (7.7). */
	SWITCH_RESERVED,  /* Nowhere: 01-80-C2-00-00-00 to -0F are for the next bridge, never beyond (7.12.6). */
};

/* Returns a table for 'size' addresses (0, a hub that floods all, to SWITCH_TABLE_SIZE_MAX) that are
 * forgotten when not seen for 'ageing' seconds (at least 1), or NULL when there is not enough memory or an
 * argument is out of its range. */
struct switch_table *switch_create(size_t size, unsigned int ageing);

/* Frees the table.  Its ports are not touched. */
void switch_destroy(struct switch_table *table);

void switch_port_init(struct switch_port *port);

/* Learns the source of a frame that came from 'from' in VLAN 'vlan' (0 to 4095) at time 'now', and decides where the
 * frame goes.  'header' has the destination's and source's addresses, 12 bytes.  Sets '*to' for SWITCH_FORWARD. */
enum switch_decision switch_frame(struct switch_table *table, struct switch_port *from, uint16_t vlan,
				  const uint8_t *header, uint64_t now, struct switch_port **to);

/* The port behind which 'address' (6 bytes) is in that VLAN, or NULL. */
struct switch_port *switch_lookup(const struct switch_table *table, uint16_t vlan, const uint8_t *address,
				  uint64_t now);

/* A station that was learnt. */
struct switch_station {
	uint64_t address; /* As a number, the first byte on the wire the highest of six. */
	uint16_t vlan;
	struct switch_port *port;
	uint64_t seen; /* When it last sent. */
};

/* Calls 'function' for each station, the longest unseen first. */
void switch_for_each(const struct switch_table *table,
		     void (*function)(void *opaque, const struct switch_station *station), void *opaque);
/* Learns a station as switch_for_each() gave it.  It must have been seen no earlier than those that were learnt
 * before. */
void switch_learn(struct switch_table *table, const struct switch_station *station);

/* Forgets all addresses behind 'port': nothing is plugged in any more. */
void switch_forget_port(struct switch_table *table, struct switch_port *port);

/* Whether an address that was not seen for 'age' nanoseconds is as good as forgotten. */
bool switch_has_aged(const struct switch_table *table, uint64_t age);

/* Forgets all addresses. */
void switch_flush(struct switch_table *table);

/* Forgets addresses that have aged, a bounded number of them.  Returns the time at which to call again,
 * which is 'now' when there are more, or 0 when the table is empty. */
uint64_t switch_expire(struct switch_table *table, uint64_t now);

/* Addresses in the table, among them those that have aged and were not yet reached by switch_expire(). */
size_t switch_count(const struct switch_table *table);

#endif /* switch.h */
