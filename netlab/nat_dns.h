/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_DNS_H
#define NETLAB_NAT_DNS_H 1

/* Name service of a NAT gateway
 * =============================
 *
 * Answers questions for names of the lab, "web.lab" (RFC 1035), which come to the gateway's name server by UDP.  All
 * other questions are none of its business, and go to the host's resolver by way of libslirp.
 *
 * The zone "lab" ends here: a name in it that nobody has does not exist, and is not asked for elsewhere.  Beside it there
 * may be names outside of the zone, which then have the addresses given here.
 *
 * Thread-safety: any thread; a zone is read-only while it is in use.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The zone all nodes are in. */
#define NAT_DNS_ZONE "lab"
/* Bytes of the largest answer by UDP (RFC 1035, 4.2.1). */
#define NAT_DNS_ANSWER_MAX 512
/* Seconds for which an answer may be remembered: addresses change as labs do. */
#define NAT_DNS_TTL 5

struct nat_dns_record {
	const char *name; /* Without the zone for a node ("web"), else whole, and is_outside is true. */
	bool is_outside;
	int family; /* AF_INET or AF_INET6. */
	uint8_t address[16];
};

struct nat_dns_zone {
	const struct nat_dns_record *records;
	size_t count;
};

/* Answers 'message' of 'size' bytes.  Returns the size of the answer, at most NAT_DNS_ANSWER_MAX, or 0 for
 * what is to be asked elsewhere, or is no question. */
size_t nat_dns_answer(const struct nat_dns_zone *zone, const uint8_t *message, size_t size,
		      uint8_t answer[NAT_DNS_ANSWER_MAX]);

#endif /* nat_dns.h */
