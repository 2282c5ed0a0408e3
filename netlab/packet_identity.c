/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/packet_identity.h"

#include <net/ethernet.h>
#include <string.h>
#include <xxhash.h>

#define FLOW_MASK 0xfffffu /* RFC 8200, section 3. */
#define IPV6_HEADER_SIZE 40

/* Of a payload that was cut short, a whole number of these: what a tag takes of it shall not matter, as a rule. */
#define CUT_SIZE 32

/* Without holes, as it is hashed as bytes. */
struct unchanged {
	struct in6_addr source, destination;
	uint64_t payload; /* Hash. */
	uint32_t family, protocol, size;
	uint32_t label; /* Identification or flow label. */
	uint32_t fragment, unused;
};

/* RFC 1071: the sum over a header with its checksum is all ones. */
static bool is_good_checksum(const uint8_t *header, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += frame_headers_16(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static uint64_t hash_payload(const struct frame_headers *headers, size_t offset)
{
	size_t size = headers->packet_size - offset, known = headers->payload_size - offset;

	if (known < size)
		size = known / CUT_SIZE * CUT_SIZE;
	return XXH3_64bits(headers->payload + offset, size);
}

struct packet_identity packet_identity(const struct frame_headers *headers)
{
	struct packet_identity identity = {.hop_limit = headers->hop_limit};
	const uint8_t *ip = headers->payload;
	struct unchanged unchanged;
	size_t header_size;

	if (!headers->family || headers->type == ETHERTYPE_ARP)
		return identity;
	header_size = headers->family == AF_INET ? (size_t)(ip[0] & 0xf) * 4 : IPV6_HEADER_SIZE;
	if (headers->payload_size < header_size || (headers->family == AF_INET && !is_good_checksum(ip, header_size)))
		return identity;
	memset(&unchanged, 0, sizeof(unchanged));
	unchanged.source = headers->source;
	unchanged.destination = headers->destination;
	unchanged.payload = hash_payload(headers, header_size);
	unchanged.family = (uint32_t)headers->family;
	unchanged.size = (uint32_t)headers->packet_size;
	if (headers->family == AF_INET) {
		unchanged.protocol = headers->protocol;
		unchanged.label = frame_headers_16(ip + 4);
		unchanged.fragment = frame_headers_16(ip + 6);
	} else {
		unchanged.protocol = ip[6];
		unchanged.label = frame_headers_32(ip) & FLOW_MASK;
	}
	identity.hash = XXH3_64bits(&unchanged, sizeof(unchanged));
	return identity;
}

bool packet_identity_follows(const struct packet_identity *before, const struct packet_identity *after)
{
	return before->hash != 0 && before->hash == after->hash && after->hop_limit < before->hop_limit;
}
