/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_summary.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "netlab/frame_headers.h"

/* The text so far. */
struct summary {
	char *text;
	size_t size;
};

struct name {
	unsigned int number;
	const char *name;
};

static void add(struct summary *summary, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct summary *summary, const char *format, ...)
{
	size_t room = FRAME_SUMMARY_MAX - summary->size;
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(summary->text + summary->size, room, format, arguments);
	va_end(arguments);
	if (size > 0)
		summary->size += (size_t)size < room ? (size_t)size : room - 1;
}

/* Returns NULL if the number has no name. */
static const char *find_name(const struct name *names, size_t count, unsigned int number)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}

#define NAME_OF(names, number) find_name(names, sizeof(names) / sizeof((names)[0]), number)

/* Addresses. */

static void add_mac(struct summary *summary, const uint8_t *mac)
{
	add(summary, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void add_address(struct summary *summary, int family, const void *address)
{
	char text[INET6_ADDRSTRLEN];

	add(summary, "%s", inet_ntop(family, address, text, sizeof(text)) ? text : "?");
}

static void add_addresses(struct summary *summary, const struct frame_headers *headers)
{
	add_address(summary, headers->family, &headers->source);
	add(summary, " > ");
	add_address(summary, headers->family, &headers->destination);
}

static void add_with_port(struct summary *summary, int family, const struct in6_addr *address, unsigned int port)
{
	add(summary, "%s", family == AF_INET6 ? "[" : "");
	add_address(summary, family, address);
	add(summary, "%s:%u", family == AF_INET6 ? "]" : "", port);
}

static void add_with_ports(struct summary *summary, const struct frame_headers *headers)
{
	add_with_port(summary, headers->family, &headers->source, frame_headers_16(headers->upper));
	add(summary, " > ");
	add_with_port(summary, headers->family, &headers->destination, frame_headers_16(headers->upper + 2));
}

/* Protocols.  Each says whether there was enough of it to say something. */

/* RFC 826. */
static bool add_arp(struct summary *summary, const struct frame_headers *headers)
{
	if (headers->family != AF_INET)
		return false;
	switch (headers->arp_operation) {
	case 1:
		add(summary, "ARP who-has ");
		add_address(summary, AF_INET, &headers->destination);
		add(summary, " tell ");
		add_address(summary, AF_INET, &headers->source);
		break;
	case 2:
		add(summary, "ARP ");
		add_address(summary, AF_INET, &headers->source);
		add(summary, " is-at ");
		add_mac(summary, headers->payload + 8);
		break;
	default:
		add(summary, "ARP operation %u", headers->arp_operation);
	}
	return true;
}

static void add_echo(struct summary *summary, const struct frame_headers *headers)
{
	if (headers->upper_size >= 8)
		add(summary, " id %u seq %u", frame_headers_16(headers->upper + 4),
		    frame_headers_16(headers->upper + 6));
}

/* RFC 792. */
static bool add_icmp(struct summary *summary, const struct frame_headers *headers)
{
	static const struct name names[] = {
		{ICMP_ECHOREPLY, "echo reply"},        {ICMP_DEST_UNREACH, "unreachable"},
		{ICMP_REDIRECT, "redirect"},           {ICMP_ECHO, "echo request"},
		{ICMP_TIME_EXCEEDED, "time exceeded"}, {ICMP_PARAMETERPROB, "parameter problem"},
	};
	const char *name;

	if (headers->upper_size < 2)
		return false;
	name = NAME_OF(names, headers->upper[0]);
	add(summary, name ? "ICMP %s " : "ICMP ", name);
	add_addresses(summary, headers);
	if (headers->upper[0] == ICMP_ECHO || headers->upper[0] == ICMP_ECHOREPLY)
		add_echo(summary, headers);
	else if (!name)
		add(summary, " type %u code %u", headers->upper[0], headers->upper[1]);
	else
		add(summary, " code %u", headers->upper[1]);
	return true;
}

/* RFC 4443, RFC 4861, RFC 3810. */
static bool add_icmp6(struct summary *summary, const struct frame_headers *headers)
{
	static const struct name names[] = {
		{ICMP6_DST_UNREACH, "unreachable"},
		{ICMP6_PACKET_TOO_BIG, "packet too big"},
		{ICMP6_TIME_EXCEEDED, "time exceeded"},
		{ICMP6_PARAM_PROB, "parameter problem"},
		{ICMP6_ECHO_REQUEST, "echo request"},
		{ICMP6_ECHO_REPLY, "echo reply"},
		{MLD_LISTENER_QUERY, "multicast listener query"},
		{MLD_LISTENER_REPORT, "multicast listener report"},
		{143, "multicast listener report"},
		{ND_ROUTER_SOLICIT, "router solicitation"},
		{ND_ROUTER_ADVERT, "router advertisement"},
		{ND_NEIGHBOR_SOLICIT, "neighbour solicitation"},
		{ND_NEIGHBOR_ADVERT, "neighbour advertisement"},
		{ND_REDIRECT, "redirect"},
	};
	const uint8_t *upper = headers->upper;
	const char *name;

	if (headers->upper_size < 2)
		return false;
	name = NAME_OF(names, upper[0]);
	add(summary, name ? "ICMPv6 %s " : "ICMPv6 ", name);
	add_addresses(summary, headers);
	if (!name) {
		add(summary, " type %u code %u", upper[0], upper[1]);
	} else if (upper[0] == ICMP6_ECHO_REQUEST || upper[0] == ICMP6_ECHO_REPLY) {
		add_echo(summary, headers);
	} else if ((upper[0] == ND_NEIGHBOR_SOLICIT || upper[0] == ND_NEIGHBOR_ADVERT) && headers->upper_size >= 24) {
		add(summary, " for ");
		add_address(summary, AF_INET6, upper + 8);
	}
	return true;
}

/* RFC 9293. */
static bool add_tcp(struct summary *summary, const struct frame_headers *headers)
{
	static const struct name flags[] = {{TH_SYN, "SYN"},  {TH_FIN, "FIN"}, {TH_RST, "RST"},
					    {TH_PUSH, "PSH"}, {TH_ACK, "ACK"}, {TH_URG, "URG"}};
	const uint8_t *tcp = headers->upper;
	size_t header_size;

	if (headers->upper_size < 20)
		return false;
	header_size = (size_t)(tcp[12] >> 4) * 4;
	add(summary, "TCP ");
	add_with_ports(summary, headers);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (tcp[13] & flags[i].number)
			add(summary, " %s", flags[i].name);
	add(summary, " seq %u", frame_headers_32(tcp + 4));
	if (tcp[13] & TH_ACK)
		add(summary, " ack %u", frame_headers_32(tcp + 8));
	if (header_size <= headers->upper_length && !headers->is_fragment)
		add(summary, " length %zu", headers->upper_length - header_size);
	return true;
}

/* RFC 768. */
static bool add_udp(struct summary *summary, const struct frame_headers *headers)
{
	if (headers->upper_size < 8)
		return false;
	add(summary, "UDP ");
	add_with_ports(summary, headers);
	if (frame_headers_16(headers->upper + 4) >= 8)
		add(summary, " length %u", frame_headers_16(headers->upper + 4) - 8u);
	return true;
}

static void add_other_ip(struct summary *summary, const struct frame_headers *headers)
{
	/* From IANA's registry of protocol numbers. */
	static const struct name names[] = {
		{1, "ICMP"},  {2, "IGMP"},   {4, "IPv4 in IP"}, {6, "TCP"},     {17, "UDP"},   {41, "IPv6 in IP"},
		{47, "GRE"},  {50, "ESP"},   {51, "AH"},        {58, "ICMPv6"}, {88, "EIGRP"}, {89, "OSPF"},
		{103, "PIM"}, {112, "VRRP"}, {115, "L2TP"},     {132, "SCTP"},
	};
	const char *name = NAME_OF(names, headers->protocol);

	if (name)
		add(summary, "%s ", name);
	else
		add(summary, "%s protocol %u ", headers->family == AF_INET ? "IPv4" : "IPv6", headers->protocol);
	add_addresses(summary, headers);
}

static void add_ip(struct summary *summary, const struct frame_headers *headers)
{
	bool is_done = false;

	if (headers->fragment_offset == 0) {
		switch (headers->protocol) {
		case IPPROTO_ICMP:
			is_done = headers->family == AF_INET && add_icmp(summary, headers);
			break;
		case IPPROTO_ICMPV6:
			is_done = headers->family == AF_INET6 && add_icmp6(summary, headers);
			break;
		case IPPROTO_TCP:
			is_done = add_tcp(summary, headers);
			break;
		case IPPROTO_UDP:
			is_done = add_udp(summary, headers);
			break;
		}
	}
	if (!is_done)
		add_other_ip(summary, headers);
	if (headers->is_fragment)
		add(summary, ", fragment at %u", headers->fragment_offset);
}

static void add_other(struct summary *summary, const struct frame_headers *headers)
{
	static const struct name types[] = {
		{ETHERTYPE_IP, "IPv4, malformed or cut short"},
		{ETHERTYPE_IPV6, "IPv6, malformed or cut short"},
		{ETHERTYPE_ARP, "ARP, malformed or cut short"},
		{0x8847, "MPLS"},
		{0x8863, "PPPoE discovery"},
		{0x8864, "PPPoE"},
		{0x888e, "EAPOL"},
		{0x88cc, "LLDP"},
		{0x88e5, "MACsec"},
	};
	/* The group of spanning tree (IEEE Std 802.1Q-2018, Table 8-1). */
	static const uint8_t bridges[] = {0x01, 0x80, 0xc2, 0, 0, 0};
	const char *name = NAME_OF(types, headers->type);

	if (name)
		add(summary, "%s ", name);
	else if (headers->type >= 0x600)
		add(summary, "EtherType 0x%04x ", headers->type);
	else if (!memcmp(headers->destination_mac, bridges, sizeof(bridges)))
		add(summary, "STP ");
	else
		add(summary, "LLC ");
	add_mac(summary, headers->source_mac);
	add(summary, " > ");
	add_mac(summary, headers->destination_mac);
}

const char *frame_summary(const uint8_t *frame, size_t size, char text[FRAME_SUMMARY_MAX])
{
	struct summary summary = {.text = text};
	struct frame_headers headers;

	text[0] = '\0';
	if (!frame_headers_read(frame, size, &headers)) {
		add(&summary, size > 0 ? "less than an Ethernet header" : "no bytes");
		return text;
	}
	if (headers.has_vlan)
		add(&summary, "VLAN %u ", headers.vlan);
	if (headers.type == ETHERTYPE_ARP && add_arp(&summary, &headers))
		return text;
	if (headers.type != ETHERTYPE_ARP && headers.family)
		add_ip(&summary, &headers);
	else
		add_other(&summary, &headers);
	return text;
}
