/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PORT_RULES_H
#define NETLAB_PORT_RULES_H 1

/* Port rules
 * ==========
 *
 * What is asked of a port beside passing frames, as a managed switch has it: which VLANs it is in, whether it is
 * isolated, how much it may flood, and what its frames may say of where they come from.  The topology says it, the
 * data plane applies it (netlab/dataplane.h).
 *
 * Judged is only the private copy of a frame's first FRAME_HEADER_SIZE bytes.  A guard lets nothing pass that it would
 * have to judge and cannot, such as ARP that is cut short, or so many tags that what is behind them is not in the copy.
 *
 * Thread-safety: none needed; rules are read-only once made.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/frame.h"
#include "netlab/vlan.h"

/* What a guard judges, bits. */
enum port_guard {
	PORT_GUARD_MAC = 1, /* The source address of frames. */
	PORT_GUARD_ARP = 2, /* The sender's addresses in ARP for Ethernet and IPv4 (RFC 826). */
	PORT_GUARD_IP = 4,  /* The source address of IPv4 and IPv6. */
};

/* Frames a second that "storm" may allow. */
#define PORT_STORM_MAX 10000000u

struct port_rules {
	bool is_isolated;
	bool is_mirror;       /* It only receives, what is copied to it. */
	unsigned int guard;   /* Of enum port_guard. */
	uint32_t storm;       /* Flooded frames a second that it may send, up to PORT_STORM_MAX; 0: any number. */
	uint16_t vlan;        /* VLAN of untagged frames, which leave untagged; 0: none pass. */
	uint8_t mac[6];       /* What a guard lets pass. */
	struct in_addr *ipv4; /* The owner's of the rules. */
	size_t ipv4_count;
	struct in6_addr *ipv6;
	size_t ipv6_count;
	uint64_t trunk[VLAN_COUNT /
		       64]; /* A bit for each VLAN whose frames pass, with a tag, but for those of 'vlan'. */
};

/* A port of which nothing is said. */
extern const struct port_rules port_rules_default;

/* Has frames of the VLANs 'first' to 'last' (1 to VLAN_MAX) pass, with a tag. */
void port_rules_add_trunk(struct port_rules *rules, uint16_t first, uint16_t last);
bool port_rules_is_trunk(const struct port_rules *rules);
/* Whether the port is in the VLAN. */
bool port_rules_is_in(const struct port_rules *rules, uint16_t vlan);

/* Returns the VLAN of a frame that comes in (8.6.2: the port must be in it), or 0 when it may not: it has no tag and
 * the port has no VLAN for it, or one of a VLAN that the port is not in, or of 4095, or one that is cut short. */
uint16_t port_rules_classify(const struct port_rules *rules, const struct frame *frame);

/* Returns 0 when the guard lets the frame pass, or the first of enum port_guard that does not. */
unsigned int port_rules_judge(const struct port_rules *rules, const struct frame *frame);

/* Frees rules that were allocated, with their lists. */
void port_rules_free(struct port_rules *rules);

/* Whether both are in the same VLANs, with and without tags. */
bool port_rules_have_same_vlans(const struct port_rules *a, const struct port_rules *b);

/* The VLANs of a trunk in words: "10,20-29", "all", or ""; to be freed. */
char *port_rules_trunk_text(const struct port_rules *rules);
/* "mac", "arp", "ip". */
const char *port_guard_name(enum port_guard guard);

#endif /* port_rules.h */
