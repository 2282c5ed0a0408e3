/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat_configuration.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#include "netlab/nat_datagram.h"

/* RFC 2131, figure 1, and RFC 2132. */
#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_YOUR_ADDRESS 16
#define DHCP_CLIENT_MAC 28
#define DHCP_OPTIONS 240
#define DHCP_OPTION_PAD 0
#define DHCP_OPTION_NAME_SERVER 6
#define DHCP_OPTION_TYPE 53
#define DHCP_OPTION_END 255
#define DHCP_ACKNOWLEDGE 5

/* RFC 8106, 5.1. */
#define OPTION_NAME_SERVERS 25
#define OPTION_LIFETIME 4 /* Where it is in the option. */

static bool is_dhcp_answer(const struct nat_datagram *datagram)
{
	return datagram->family == AF_INET && datagram->source_port == DHCP_SERVER_PORT &&
	       datagram->destination_port == DHCP_CLIENT_PORT && datagram->size >= DHCP_OPTIONS;
}

/* Returns where the payload's option 'code' is that has at least 'length' bytes, or 0. */
static size_t find_option(const struct nat_datagram *datagram, uint8_t code, size_t length)
{
	size_t at = DHCP_OPTIONS;

	while (at + 2 <= datagram->size && datagram->payload[at] != DHCP_OPTION_END) {
		size_t size = datagram->payload[at + 1];

		if (datagram->payload[at] == DHCP_OPTION_PAD) {
			at++;
			continue;
		}
		if (at + 2 + size > datagram->size)
			return 0;
		if (datagram->payload[at] == code && size >= length)
			return at;
		at += 2 + size;
	}
	return 0;
}

bool nat_configuration_read_lease(const uint8_t *frame, size_t size, struct in_addr gateway, struct nat_lease *lease)
{
	struct nat_datagram datagram;
	size_t type;

	if (!nat_datagram_read(frame, size, &datagram) || !is_dhcp_answer(&datagram) ||
	    memcmp(&datagram.source, &gateway, sizeof(gateway)) != 0)
		return false;
	type = find_option(&datagram, DHCP_OPTION_TYPE, 1);
	if (type == 0 || datagram.payload[type + 2] != DHCP_ACKNOWLEDGE)
		return false;
	memcpy(lease->mac, datagram.payload + DHCP_CLIENT_MAC, sizeof(lease->mac));
	memcpy(&lease->address, datagram.payload + DHCP_YOUR_ADDRESS, sizeof(lease->address));
	return true;
}

static void set_dhcp(uint8_t *frame, const struct nat_datagram *datagram, struct in_addr name_server)
{
	size_t start = (size_t)(datagram->payload - frame), option;
	size_t sum = start - sizeof(struct udphdr) + offsetof(struct udphdr, uh_sum);

	option = find_option(datagram, DHCP_OPTION_NAME_SERVER, sizeof(name_server));
	if (option == 0)
		return;
	if (name_server.s_addr == INADDR_ANY)
		memset(frame + start + option, DHCP_OPTION_PAD, 2 + (size_t)datagram->payload[option + 1]);
	else
		memcpy(frame + start + option + 2, &name_server, sizeof(name_server));
	memset(frame + sum, 0, sizeof(uint16_t)); /* RFC 768: there is none.  Before, it was that of other options. */
}

/* Subtracts 'size' bytes at 'at', which become zeroes, from the checksum at 'sum' (RFC 1624).  Both are at even places
 * of what it is the sum of. */
static void zero_out(uint8_t *at, size_t size, uint8_t *sum)
{
	uint32_t folded = (uint32_t)(uint16_t) ~(sum[0] << 8 | sum[1]);

	for (size_t i = 0; i < size; i += 2)
		folded += (uint16_t) ~(at[i] << 8 | at[i + 1]);
	memset(at, 0, size);
	while (folded >> 16)
		folded = (folded & 0xffff) + (folded >> 16);
	sum[0] = (uint8_t)(~folded >> 8);
	sum[1] = (uint8_t)~folded;
}

static void unset_router(uint8_t *frame, size_t size)
{
	size_t icmp = sizeof(struct ether_header) + sizeof(struct ip6_hdr);
	size_t at = icmp + sizeof(struct nd_router_advert);

	if (size < at || frame[12] != 0x86 || frame[13] != 0xdd ||
	    frame[sizeof(struct ether_header) + offsetof(struct ip6_hdr, ip6_nxt)] != IPPROTO_ICMPV6 ||
	    frame[icmp] != ND_ROUTER_ADVERT)
		return;
	while (at + 8 <= size && frame[at + 1] > 0) {
		size_t length = (size_t)frame[at + 1] * 8;

		if (frame[at] == OPTION_NAME_SERVERS)
			zero_out(frame + at + OPTION_LIFETIME, 4,
				 frame + icmp + offsetof(struct icmp6_hdr, icmp6_cksum));
		at += length;
	}
}

void nat_configuration_set_name_server(uint8_t *frame, size_t size, struct in_addr name_server)
{
	struct nat_datagram datagram;

	if (!nat_datagram_read(frame, size, &datagram))
		unset_router(frame, size);
	else if (is_dhcp_answer(&datagram))
		set_dhcp(frame, &datagram, name_server);
}
