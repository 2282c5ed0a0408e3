/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/port_rules.h"

#include <net/ethernet.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"

/* Where the sources are in the headers (RFC 791, RFC 8200), and fields of ARP (RFC 826). */
#define IPV4_SOURCE 12
#define IPV6_SOURCE 8
#define ARP_SENDER_MAC 8
#define ARP_SENDER_IP 14

const struct port_rules port_rules_default = {.vlan = VLAN_DEFAULT};

bool port_rules_is_trunk(const struct port_rules *rules)
{
	for (size_t i = 0; i < VLAN_COUNT / 64; i++)
		if (rules->trunk[i])
			return true;
	return false;
}

void port_rules_add_trunk(struct port_rules *rules, uint16_t first, uint16_t last)
{
	const uint64_t all = UINT64_MAX;

	for (unsigned int word = first / 64; word <= last / 64u; word++) {
		uint64_t from = word == first / 64u ? all << first % 64 : all;
		uint64_t to = word == last / 64u ? all >> (63 - last % 64) : all;

		rules->trunk[word] |= from & to;
	}
}

static bool is_in_trunk(const struct port_rules *rules, uint16_t vlan)
{
	return rules->trunk[vlan / 64] >> vlan % 64 & 1;
}

bool port_rules_is_in(const struct port_rules *rules, uint16_t vlan)
{
	return vlan != 0 && (rules->vlan == vlan || is_in_trunk(rules, vlan));
}

uint16_t port_rules_classify(const struct port_rules *rules, const struct frame *frame)
{
	uint16_t vlan = rules->vlan;

	if (vlan_has_tag(frame)) {
		if (!vlan_is_whole(frame))
			return 0;
		if ((vlan_control(frame) & VLAN_MASK) != VLAN_PRIORITY_ONLY)
			vlan = vlan_control(frame) & VLAN_MASK;
	}
	return port_rules_is_in(rules, vlan) ? vlan : 0;
}

/* Guards. */

/* What is behind the tags of a frame: its EtherType, and of the bytes that follow those that are known. */
struct payload {
	uint16_t type;
	const uint8_t *bytes;
	size_t size;
};

/* Returns false when the tags go on beyond what is known of the frame. */
static bool find_payload(const struct frame *frame, struct payload *payload)
{
	size_t at = frame_find_packet(frame->header, frame->header_size, &payload->type);

	payload->bytes = frame->header + at;
	payload->size = frame->header_size - at;
	return !frame_is_tag(payload->type);
}

/* 0.0.0.0 says nothing: who asks for an address, or whether one is taken (RFC 5227), has none. */
static bool may_use_ipv4(const struct port_rules *rules, const uint8_t *address)
{
	static const uint8_t none[4];

	for (size_t i = 0; i < rules->ipv4_count; i++)
		if (!memcmp(&rules->ipv4[i], address, sizeof(rules->ipv4[i])))
			return true;
	return !memcmp(address, none, sizeof(none));
}

/* fe80::/64 and the identifier made of the MAC address (RFC 4291, appendix A). */
static bool is_own_link_local(const struct port_rules *rules, const uint8_t *address)
{
	const uint8_t *mac = rules->mac;
	const uint8_t own[16] = {0xfe,       0x80,   0,      0,    0,    0,      0,      0,
				 mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};

	return !memcmp(address, own, sizeof(own));
}

static bool may_use_ipv6(const struct port_rules *rules, const uint8_t *address)
{
	for (size_t i = 0; i < rules->ipv6_count; i++)
		if (!memcmp(&rules->ipv6[i], address, sizeof(rules->ipv6[i])))
			return true;
	return is_own_link_local(rules, address) || !memcmp(address, &in6addr_any, sizeof(in6addr_any));
}

static bool is_good_arp(const struct port_rules *rules, const struct payload *arp)
{
	/* Ethernet, IPv4, and the lengths of their addresses. */
	static const uint8_t kind[] = {0, ARPHRD_ETHER, ETHERTYPE_IP >> 8, ETHERTYPE_IP & 0xff, 6, 4};

	return arp->size >= ARP_SENDER_IP + sizeof(struct in_addr) && !memcmp(arp->bytes, kind, sizeof(kind)) &&
	       !memcmp(arp->bytes + ARP_SENDER_MAC, rules->mac, sizeof(rules->mac)) &&
	       may_use_ipv4(rules, arp->bytes + ARP_SENDER_IP);
}

static bool is_good_ip(const struct port_rules *rules, const struct payload *ip)
{
	if (ip->type == ETHERTYPE_IP)
		return ip->size >= IPV4_SOURCE + sizeof(struct in_addr) && may_use_ipv4(rules, ip->bytes + IPV4_SOURCE);
	if (ip->type == ETHERTYPE_IPV6)
		return ip->size >= IPV6_SOURCE + sizeof(struct in6_addr) &&
		       may_use_ipv6(rules, ip->bytes + IPV6_SOURCE);
	return true;
}

unsigned int port_rules_judge(const struct port_rules *rules, const struct frame *frame)
{
	bool is_known;
	struct payload payload;

	if (rules->guard & PORT_GUARD_MAC && memcmp(frame->header + sizeof(rules->mac), rules->mac, sizeof(rules->mac)))
		return PORT_GUARD_MAC;
	is_known = find_payload(frame, &payload);
	if (rules->guard & PORT_GUARD_ARP &&
	    (!is_known || (payload.type == ETHERTYPE_ARP && !is_good_arp(rules, &payload))))
		return PORT_GUARD_ARP;
	if (rules->guard & PORT_GUARD_IP && (!is_known || !is_good_ip(rules, &payload)))
		return PORT_GUARD_IP;
	return 0;
}

/* Comparing and telling. */

bool port_rules_have_same_vlans(const struct port_rules *a, const struct port_rules *b)
{
	return a->vlan == b->vlan && !memcmp(a->trunk, b->trunk, sizeof(a->trunk));
}

void port_rules_free(struct port_rules *rules)
{
	if (!rules)
		return;
	free(rules->ipv4);
	free(rules->ipv6);
	free(rules);
}

char *port_rules_trunk_text(const struct port_rules *rules)
{
	char *text = allocate_copy("");

	for (uint16_t first = 1, last; first <= VLAN_MAX; first = (uint16_t)(last + 1)) {
		char *before = text;

		last = first;
		if (!is_in_trunk(rules, first))
			continue;
		while (last < VLAN_MAX && is_in_trunk(rules, (uint16_t)(last + 1)))
			last++;
		if (first == 1 && last == VLAN_MAX)
			text = allocate_copy("all");
		else
			text = allocate_text(last > first ? "%s%s%u-%u" : "%s%s%u", before, *before ? "," : "", first,
					     last);
		free(before);
	}
	return text;
}

const char *port_guard_name(enum port_guard guard)
{
	return guard == PORT_GUARD_MAC ? "mac" : guard == PORT_GUARD_ARP ? "arp" : "ip";
}
