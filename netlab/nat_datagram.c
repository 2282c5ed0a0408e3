/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat_datagram.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#define TTL 64

/* Headers are copied out of the frame, in which nothing is aligned. */

/* Reads the UDP header at 'at', in the frame's 'left' bytes from there on. */
static bool read_udp(const uint8_t *at, size_t left, struct nat_datagram *datagram)
{
	struct udphdr udp;
	size_t length;

	if (left < sizeof(udp))
		return false;
	memcpy(&udp, at, sizeof(udp));
	length = ntohs(udp.uh_ulen);
	if (length < sizeof(udp) || length > left)
		return false;
	datagram->source_port = ntohs(udp.uh_sport);
	datagram->destination_port = ntohs(udp.uh_dport);
	datagram->payload = at + sizeof(udp);
	datagram->size = length - sizeof(udp);
	return true;
}

static bool read_ipv4(const uint8_t *at, size_t left, struct nat_datagram *datagram)
{
	struct ip ip;
	size_t header, length;

	if (left < sizeof(ip))
		return false;
	memcpy(&ip, at, sizeof(ip));
	header = (size_t)ip.ip_hl * 4;
	length = ntohs(ip.ip_len);
	if (ip.ip_v != 4 || ip.ip_p != IPPROTO_UDP || (ntohs(ip.ip_off) & (IP_MF | IP_OFFMASK)) ||
	    header < sizeof(ip) || length < header || length > left)
		return false;
	datagram->family = AF_INET;
	memcpy(&datagram->source, &ip.ip_src, sizeof(ip.ip_src));
	memcpy(&datagram->destination, &ip.ip_dst, sizeof(ip.ip_dst));
	return read_udp(at + header, length - header, datagram);
}

static bool read_ipv6(const uint8_t *at, size_t left, struct nat_datagram *datagram)
{
	struct ip6_hdr ip;
	size_t length;

	if (left < sizeof(ip))
		return false;
	memcpy(&ip, at, sizeof(ip));
	length = ntohs(ip.ip6_plen);
	if (ip.ip6_vfc >> 4 != 6 || ip.ip6_nxt != IPPROTO_UDP || length > left - sizeof(ip))
		return false;
	datagram->family = AF_INET6;
	datagram->source = ip.ip6_src;
	datagram->destination = ip.ip6_dst;
	return read_udp(at + sizeof(ip), length, datagram);
}

bool nat_datagram_read(const uint8_t *frame, size_t size, struct nat_datagram *datagram)
{
	struct ether_header ethernet;

	memset(datagram, 0, sizeof(*datagram));
	if (size < sizeof(ethernet))
		return false;
	memcpy(&ethernet, frame, sizeof(ethernet));
	memcpy(datagram->destination_mac, ethernet.ether_dhost, sizeof(datagram->destination_mac));
	memcpy(datagram->source_mac, ethernet.ether_shost, sizeof(datagram->source_mac));
	if (ethernet.ether_type == htons(ETHERTYPE_IP))
		return read_ipv4(frame + sizeof(ethernet), size - sizeof(ethernet), datagram);
	return ethernet.ether_type == htons(ETHERTYPE_IPV6) &&
	       read_ipv6(frame + sizeof(ethernet), size - sizeof(ethernet), datagram);
}

/* The ones' complement sum of RFC 1071, not yet folded; only the last part may have an odd size. */
static uint32_t add_up(uint32_t sum, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (; size > 1; at += 2, size -= 2)
		sum += (uint32_t)(at[0] << 8 | at[1]);
	return size > 0 ? sum + (uint32_t)(at[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static size_t address_size(const struct nat_datagram *datagram)
{
	return datagram->family == AF_INET ? 4 : 16;
}

static struct udphdr make_udp(const struct nat_datagram *question, const uint8_t *payload, size_t size)
{
	uint16_t length = (uint16_t)(sizeof(struct udphdr) + size);
	struct udphdr udp = {
		.uh_sport = htons(question->destination_port),
		.uh_dport = htons(question->source_port),
		.uh_ulen = htons(length),
	};
	uint32_t sum = add_up(0, &question->source, address_size(question));

	/* Pseudo-header (RFC 768; RFC 8200, 8.1): addresses, length, protocol. */
	sum = add_up(sum, &question->destination, address_size(question)) + length + IPPROTO_UDP;
	sum = add_up(add_up(sum, &udp, sizeof(udp)), payload, size);
	udp.uh_sum = fold(sum);
	if (udp.uh_sum == 0)
		udp.uh_sum = 0xffff;
	return udp;
}

static size_t put_ipv4(const struct nat_datagram *question, size_t length, uint8_t *at)
{
	struct ip ip = {
		.ip_v = 4,
		.ip_hl = sizeof(ip) / 4,
		.ip_len = htons((uint16_t)(sizeof(ip) + length)),
		.ip_off = htons(IP_DF),
		.ip_ttl = TTL,
		.ip_p = IPPROTO_UDP,
	};

	memcpy(&ip.ip_src, &question->destination, sizeof(ip.ip_src));
	memcpy(&ip.ip_dst, &question->source, sizeof(ip.ip_dst));
	ip.ip_sum = fold(add_up(0, &ip, sizeof(ip)));
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static size_t put_ipv6(const struct nat_datagram *question, size_t length, uint8_t *at)
{
	struct ip6_hdr ip = {.ip6_src = question->destination, .ip6_dst = question->source};

	ip.ip6_flow = htonl(6u << 28);
	ip.ip6_plen = htons((uint16_t)length);
	ip.ip6_nxt = IPPROTO_UDP;
	ip.ip6_hlim = TTL;
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

size_t nat_datagram_answer(const struct nat_datagram *question, const uint8_t *payload, size_t size, uint8_t *frame)
{
	struct udphdr udp = make_udp(question, payload, size);
	struct ether_header ethernet;
	size_t at = sizeof(ethernet);

	memcpy(ethernet.ether_dhost, question->source_mac, sizeof(ethernet.ether_dhost));
	memcpy(ethernet.ether_shost, question->destination_mac, sizeof(ethernet.ether_shost));
	ethernet.ether_type = htons(question->family == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	memcpy(frame, &ethernet, sizeof(ethernet));
	at += question->family == AF_INET ? put_ipv4(question, sizeof(udp) + size, frame + at) :
					    put_ipv6(question, sizeof(udp) + size, frame + at);
	memcpy(frame + at, &udp, sizeof(udp));
	memcpy(frame + at + sizeof(udp), payload, size);
	return at + sizeof(udp) + size;
}
