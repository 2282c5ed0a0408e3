/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_headers.h"

#include <net/ethernet.h>
#include <net/if_arp.h>
#include <string.h>

#include "netlab/vlan.h"

/* RFC 791, RFC 8200, RFC 826. */
#define IPV4_HEADER_MIN 20
#define IPV6_HEADER_SIZE 40
#define ARP_SIZE 28
#define FRAGMENT_MASK 0x1fffu
#define MORE_FRAGMENTS 0x2000u

/* More extension headers than that are nobody's but an attacker's. */
#define EXTENSIONS_MAX 16
#define EXTENSION_MIN 8

static void read_arp(struct frame_headers *headers)
{
	/* Ethernet, IPv4, and the lengths of their addresses. */
	static const uint8_t kind[] = {0, ARPHRD_ETHER, ETHERTYPE_IP >> 8, ETHERTYPE_IP & 0xff, 6, 4};
	const uint8_t *arp = headers->payload;

	if (headers->payload_size < ARP_SIZE || memcmp(arp, kind, sizeof(kind)) != 0)
		return;
	headers->family = AF_INET;
	headers->arp_operation = frame_headers_16(arp + 6);
	memcpy(&headers->source, arp + 14, 4);
	memcpy(&headers->destination, arp + 24, 4);
}

/* The upper layer begins 'offset' bytes behind the beginning of the packet. */
static void set_upper(struct frame_headers *headers, size_t offset)
{
	size_t known = headers->payload_size < headers->packet_size ? headers->payload_size : headers->packet_size;

	if (offset > known)
		offset = known;
	headers->upper = headers->payload + offset;
	headers->upper_size = known - offset;
	headers->upper_length = headers->packet_size - offset;
}

static void read_ipv4(struct frame_headers *headers)
{
	const uint8_t *ip = headers->payload;
	size_t header_size;
	uint16_t fragment;

	if (headers->payload_size < IPV4_HEADER_MIN || ip[0] >> 4 != 4)
		return;
	header_size = (size_t)(ip[0] & 0xf) * 4;
	headers->packet_size = frame_headers_16(ip + 2);
	if (header_size < IPV4_HEADER_MIN || headers->packet_size < header_size)
		return;
	fragment = frame_headers_16(ip + 6);
	headers->family = AF_INET;
	headers->fragment_offset = (fragment & FRAGMENT_MASK) * 8;
	headers->is_fragment = fragment & (FRAGMENT_MASK | MORE_FRAGMENTS);
	headers->hop_limit = ip[8];
	headers->protocol = ip[9];
	memcpy(&headers->source, ip + 12, 4);
	memcpy(&headers->destination, ip + 16, 4);
	set_upper(headers, header_size);
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_FRAGMENT;
}

/* Follows extension headers, as far as they are there. */
static void skip_extensions(struct frame_headers *headers)
{
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(headers->protocol) && headers->fragment_offset == 0; i++) {
		const uint8_t *extension = headers->upper;
		size_t size = EXTENSION_MIN;

		if (headers->upper_size < EXTENSION_MIN)
			return;
		if (headers->protocol == IPPROTO_FRAGMENT) {
			headers->fragment_offset = frame_headers_16(extension + 2) & ~7u;
			headers->is_fragment = frame_headers_16(extension + 2) & ~6u;
		} else {
			size = (size_t)(extension[1] + 1) * 8;
		}
		headers->protocol = extension[0];
		set_upper(headers, (size_t)(extension - headers->payload) + size);
	}
}

static void read_ipv6(struct frame_headers *headers)
{
	const uint8_t *ip = headers->payload;

	if (headers->payload_size < IPV6_HEADER_SIZE || ip[0] >> 4 != 6)
		return;
	headers->family = AF_INET6;
	headers->packet_size = IPV6_HEADER_SIZE + (size_t)frame_headers_16(ip + 4);
	headers->protocol = ip[6];
	headers->hop_limit = ip[7];
	memcpy(&headers->source, ip + 8, 16);
	memcpy(&headers->destination, ip + 24, 16);
	set_upper(headers, IPV6_HEADER_SIZE);
	skip_extensions(headers);
}

/* Finds the EtherType behind the tags, and what follows it.  Tags that are cut short are the payload. */
static void read_type(const uint8_t *frame, size_t size, struct frame_headers *headers)
{
	size_t at = frame_find_packet(frame, size, &headers->type);

	headers->has_vlan = at > FRAME_SIZE_MIN;
	if (headers->has_vlan)
		headers->vlan = frame_headers_16(frame + FRAME_TYPE_AT + 2) & VLAN_MASK;
	headers->payload = frame + at;
	headers->payload_size = size - at;
}

bool frame_headers_read(const uint8_t *frame, size_t size, struct frame_headers *headers)
{
	*headers = (struct frame_headers){.family = 0};
	if (size < ETHER_HDR_LEN)
		return false;
	memcpy(headers->destination_mac, frame, ETHER_ADDR_LEN);
	memcpy(headers->source_mac, frame + ETHER_ADDR_LEN, ETHER_ADDR_LEN);
	read_type(frame, size, headers);
	if (headers->type == ETHERTYPE_ARP)
		read_arp(headers);
	else if (headers->type == ETHERTYPE_IP)
		read_ipv4(headers);
	else if (headers->type == ETHERTYPE_IPV6)
		read_ipv6(headers);
	return true;
}
