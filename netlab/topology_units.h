/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TOPOLOGY_UNITS_H
#define NETLAB_TOPOLOGY_UNITS_H 1

/* Words of a topology
 * ===================
 *
 * Pure functions that turn one word of a topology file (or of a command line) into a value.  Each returns NULL
 * when the word is good, else what is wrong with it, as a constant phrase that continues 'memory "64" ...':
 * "needs a unit: K, M or G, as in 64M".  Outputs are set only when the word is good.
 *
 * Thread-safety: any thread. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "netlab/nat.h"

/* Digits and K, M, G or T, powers of 1024, in either case: "64M".  In bytes. */
const char *topology_parse_size(const char *text, uint64_t *bytes);

/* Digits, perhaps with a fraction, and ns, us, ms, s, m or h: "20ms", "0.5s".  In nanoseconds, at most 10^18. */
const char *topology_parse_time(const char *text, uint64_t *nanoseconds);

/* Digits, perhaps with a fraction, and "%": "0.5%".  Of IMPAIRMENT_ALL. */
const char *topology_parse_share(const char *text, uint32_t *share);

/* Digits, perhaps with a fraction, and bit, kbit, mbit or gbit, powers of 1000, in either case: "1.5mbit".  Bits a second,
 * IMPAIRMENT_RATE_MIN to IMPAIRMENT_RATE_MAX. */
const char *topology_parse_rate(const char *text, uint64_t *rate);

/* Digits and b, K, M or G, powers of 1024, in either case: "15K", "1500b".  At most 2^60 bytes. */
const char *topology_parse_bytes(const char *text, uint64_t *bytes);

/* Digits and "pps": "100pps".  Frames a second, 1 to PORT_STORM_MAX. */
const char *topology_parse_frame_rate(const char *text, uint32_t *rate);

/* A VLAN or a range of them, "10" or "20-29", each from 1 to VLAN_MAX. */
const char *topology_parse_vlans(const char *text, uint16_t *first, uint16_t *last);

/* Characters of the guest in a forward. */
#define TOPOLOGY_GUEST_MAX 32

/* Six bytes in hexadecimal with colons or dashes.  A source address: not a group address, not all zero. */
const char *topology_parse_mac(const char *text, uint8_t mac[6]);

/* "eth0" to "eth999", without leading zeros. */
#define TOPOLOGY_INTERFACE_NUMBERS 1000u
const char *topology_parse_interface(const char *text, unsigned int *number);

struct topology_address {
	int family;                      /* AF_INET or AF_INET6. */
	uint8_t bytes[16];               /* In network order; the first 4 for AF_INET, the others zero. */
	unsigned int prefix;             /* Bits: 0 to 32 or 128. */
	char text[INET6_ADDRSTRLEN + 4]; /* Normalised: "10.0.0.1/24". */
};

/* An address an interface can have, with its prefix length: "10.0.0.1/24". */
const char *topology_parse_address(const char *text, struct topology_address *address);

/* Any address, its prefix length perhaps left out (all bits then); nothing is said against any of them. */
const char *topology_parse_prefix(const char *text, struct topology_address *address);

/* Returns whether bits beyond the prefix are set. */
bool topology_has_host_bits(const struct topology_address *address);

/* Where UDP goes to or comes from: "192.0.2.7:5000", "[2001:db8::7]:5000"; where 'port' is not 0, the port may be left
 * out, and so may the brackets then.  The rest of 'address' is zero. */
const char *topology_parse_socket_address(const char *text, uint16_t port, struct sockaddr_storage *address);
/* Writes it in that form. */
#define TOPOLOGY_SOCKET_ADDRESS_SIZE (INET6_ADDRSTRLEN + 8)
void topology_format_socket_address(const struct sockaddr_storage *address, char text[TOPOLOGY_SOCKET_ADDRESS_SIZE]);

/* How many times as fast something goes, "2x", "0.5x", or "max".  In thousandths, 0 for max. */
const char *topology_parse_speed(const char *text, unsigned int *speed);

/* A port of the host that is forwarded, as it is written: "tcp:127.0.0.1:2222:r1:22". */
struct topology_forward {
	struct nat_forward ports;           /* But for the guest's address; the host's is 127.0.0.1 unless written. */
	char guest[TOPOLOGY_GUEST_MAX + 1]; /* A node's name or an IPv4 address. */
};

/* "PROTOCOL:[ADDRESS:]PORT:GUEST:PORT" with tcp or udp. */
const char *topology_parse_forward(const char *text, struct topology_forward *forward);

/* How many of something there may be. */
struct topology_count {
	uint64_t minimum;
	uint64_t maximum; /* TOPOLOGY_COUNT_NO_MAXIMUM: any number. */
};

#define TOPOLOGY_COUNT_NO_MAXIMUM UINT64_MAX

/* "3", ">=3", "<=3", ">3", "<3" or "3..5", with numbers of at most nine digits. */
const char *topology_parse_count(const char *text, struct topology_count *count);

/* The count as topology_parse_count() reads it, into 'text', which is returned. */
#define TOPOLOGY_COUNT_TEXT_MAX 32
const char *topology_print_count(const struct topology_count *count, char text[TOPOLOGY_COUNT_TEXT_MAX]);

/* A name: letters, digits, '_', '.', '-', beginning with a letter or digit, no "..", at most TOPOLOGY_NAME_MAX. */
const char *topology_check_name(const char *text);

/* A node's name: also a host name, that nobody takes for an address. */
const char *topology_check_node_name(const char *text);

/* A name as name servers know it: parts of letters, digits, '-' and '_' between dots, of at most 63 characters, 253 in
 * all; nothing that reads like an address. */
const char *topology_check_host_name(const char *text);

/* A key as sysctl(8) has them: "net.ipv4.ip_forward", with '/' for a dot within a name, as in
 * "net.ipv4.conf.eth0/100.rp_filter". */
const char *topology_check_sysctl(const char *text);

/* Arguments of "ip route add": the destination, then "via" with an address or "dev"; what else stands there is passed
 * on as it is. */
const char *topology_check_route(const char *text);

#endif /* topology_units.h */
