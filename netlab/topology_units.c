/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_units.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netlab/topology.h"

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define HOST_NAME_LENGTH_MAX 253 /* RFC 1035, 2.3.4. */
#define HOST_NAME_PART_MAX 63
#define SYSCTL_LENGTH_MAX 128
#define ROUTE_LENGTH_MAX 256

const char *topology_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	size_t digits = strspn(text, DIGITS);
	const char *unit;
	uint64_t value;

	if (!digits)
		return "is not a size, which is digits and a unit, as in 64M";
	if (!text[digits])
		return strspn(text, "0") == digits ? "must be more than nothing" : "needs a unit: K, M or G, as in 64M";
	unit = strchr(units, toupper((unsigned char)text[digits]));
	if (!unit || text[digits + 1])
		return "is not a size, which is digits and one of K, M and G, as in 64M";
	if (digits > 9)
		return "is too big";
	value = strtoull(text, NULL, 10);
	*bytes = value << (10 * (unit - units + 1));
	return NULL;
}

const char *topology_parse_time(const char *text, uint64_t *nanoseconds)
{
	static const struct {
		const char *name;
		uint64_t nanoseconds;
	} units[] = {
		{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
	};
	size_t digits = strspn(text, DIGITS), fraction = 0;
	const char *unit = text + digits;
	uint64_t scale;

	if (*unit == '.') {
		fraction = strspn(unit + 1, DIGITS);
		unit += 1 + fraction;
	}
	if (!digits || (text[digits] == '.' && !fraction))
		return "is not a time, which is a number and a unit, as in 20ms";
	if (!*unit)
		return "needs a unit: ns, us, ms, s, m or h, as in 20ms";
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t value;

		if (strcmp(unit, units[i].name))
			continue;
		if (digits > 18)
			return "is too long";
		scale = units[i].nanoseconds;
		value = strtoull(text, NULL, 10);
		if (value > 1000000000000000000u / scale)
			return "is too long";
		value *= scale;
		for (size_t j = 0; j < fraction; j++) {
			scale /= 10;
			value += (uint64_t)(text[digits + 1 + j] - '0') * scale;
		}
		*nanoseconds = value;
		return NULL;
	}
	return "has an unknown unit; there are ns, us, ms, s, m and h";
}

/* Reads digits, perhaps with a fraction, in units of which one is 'scale', a power of ten, and sets '*unit' to what
 * follows; what is too much becomes UINT64_MAX.  Returns false when there is no number, or one that is too fine. */
static bool parse_decimal(const char *text, uint64_t scale, uint64_t *value, const char **unit)
{
	size_t digits = strspn(text, DIGITS), fraction = text[digits] == '.' ? strspn(text + digits + 1, DIGITS) : 0;

	*unit = text + digits + (text[digits] == '.') + fraction;
	if (!digits || (text[digits] == '.' && !fraction))
		return false;
	/* strtoull() gives ULLONG_MAX for what is too much for it. */
	if (__builtin_mul_overflow(strtoull(text, NULL, 10), scale, value))
		*value = UINT64_MAX;
	for (size_t i = 0; i < fraction; i++) {
		unsigned int digit = (unsigned int)(text[digits + 1 + i] - '0');

		if (scale == 1 && digit)
			return false;
		scale /= scale > 1 ? 10 : 1;
		if (__builtin_add_overflow(*value, scale * digit, value))
			*value = UINT64_MAX;
	}
	return true;
}

const char *topology_parse_share(const char *text, uint32_t *share)
{
	const char *unit;
	uint64_t value;

	if (!parse_decimal(text, IMPAIRMENT_ALL / 100, &value, &unit) || (*unit && strcmp(unit, "%") != 0))
		return "is not a share, which is a number of at most seven decimals and %, as in 0.5%";
	if (!*unit)
		return "needs the unit %, as in 0.5%";
	if (value > IMPAIRMENT_ALL)
		return "is more than 100%";
	*share = (uint32_t)value;
	return NULL;
}

const char *topology_parse_rate(const char *text, uint64_t *rate)
{
	static const struct {
		const char *name;
		uint64_t bits;
	} units[] = {{"bit", 1}, {"kbit", 1000}, {"mbit", 1000000}, {"gbit", 1000000000}};
	static const char *const form = "is not a rate, which is a number and bit, kbit, mbit or gbit, as in 10mbit";
	const char *unit;
	uint64_t value;

	if (!parse_decimal(text, 1000000000, &value, &unit))
		return form;
	if (!*unit)
		return "needs a unit: bit, kbit, mbit or gbit, as in 10mbit";
	if (strchr("kKmMgG", *unit) && !unit[1])
		return "could be bits or bytes, of 1000 or 1024; write kbit, mbit or gbit";
	if (strlen(unit) > 2 && !strcasecmp(unit + strlen(unit) - 2, "ps"))
		return "is in a unit that some take for bits and tc for bytes a second; write kbit, mbit or gbit";
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(unit, units[i].name) != 0)
			continue;
		if (!parse_decimal(text, units[i].bits, &value, &unit))
			return form;
		if (value < IMPAIRMENT_RATE_MIN || value > IMPAIRMENT_RATE_MAX)
			return "must be from 1kbit to 400gbit";
		*rate = value;
		return NULL;
	}
	return form;
}

const char *topology_parse_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "BKMG";
	size_t digits = strspn(text, DIGITS);
	const char *unit = digits && text[digits] ? strchr(units, toupper((unsigned char)text[digits])) : NULL;

	if (digits && !text[digits])
		return "needs a unit: b, K or M, as in 1500b or 15K";
	if (!unit || text[digits + 1])
		return "is not a number of bytes, which is digits and b, K or M, as in 1500b or 15K";
	if (digits > 9)
		return "is too big";
	*bytes = strtoull(text, NULL, 10) << (10 * (unit - units));
	return NULL;
}

const char *topology_parse_frame_rate(const char *text, uint32_t *rate)
{
	size_t digits = strspn(text, DIGITS);
	unsigned long value;

	if (!digits || (text[digits] && strcmp(text + digits, "pps")))
		return "is not a rate, which is frames a second, as in 100pps";
	if (!text[digits])
		return "needs the unit pps, frames a second, as in 100pps";
	value = digits > 9 ? ULONG_MAX : strtoul(text, NULL, 10);
	if (value < 1 || value > PORT_STORM_MAX)
		return "must be from 1pps to 10000000pps";
	*rate = (uint32_t)value;
	return NULL;
}

/* Reads digits from '*at', and sets it to what follows them. */
static const char *parse_vlan(const char **at, uint16_t *vlan)
{
	size_t digits = strspn(*at, DIGITS);
	unsigned long value;

	if (!digits)
		return "is not a VLAN, such as 10, nor a range of them, such as 20-29";
	value = digits > 4 ? ULONG_MAX : strtoul(*at, NULL, 10);
	if (value < 1 || value > VLAN_MAX)
		return "is no VLAN: they are from 1 to 4094";
	*at += digits;
	*vlan = (uint16_t)value;
	return NULL;
}

const char *topology_parse_vlans(const char *text, uint16_t *first, uint16_t *last)
{
	uint16_t low = 0, high;
	const char *problem = parse_vlan(&text, &low);

	high = low;
	if (!problem && *text == '-') {
		text++;
		problem = parse_vlan(&text, &high);
	}
	if (problem)
		return problem;
	if (*text)
		return "is not a VLAN, such as 10, nor a range of them, such as 20-29";
	if (high < low)
		return "is a range that ends before it begins";
	*first = low;
	*last = high;
	return NULL;
}

const char *topology_parse_mac(const char *text, uint8_t mac[6])
{
	static const uint8_t zero[6];
	uint8_t value[6];

	for (size_t i = 0; i < 6; i++) {
		const char *at = text + 3 * i;
		char pair[3] = "";

		/* Left to right, so that nothing beyond the end is looked at. */
		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]) ||
		    (i < 5 ? at[2] != ':' && at[2] != '-' : at[2] != '\0'))
			return "is not a MAC address, which is written as 52:54:00:12:34:56";
		memcpy(pair, at, 2);
		value[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	if (value[0] & 1)
		return "is a multicast address; an interface's is unicast, its first byte even";
	if (!memcmp(value, zero, 6))
		return "is all zero, which no interface can have";
	memcpy(mac, value, 6);
	return NULL;
}

const char *topology_parse_interface(const char *text, unsigned int *number)
{
	const char *digits = text + 3;
	size_t length;

	if (strncmp(text, "eth", 3) || !*digits || digits[strspn(digits, DIGITS)])
		return "is not an interface; they are named eth0, eth1, ...";
	length = strlen(digits);
	if (length > 1 && *digits == '0')
		return "has a leading zero";
	if (length > 3)
		return "is too high; eth999 is the last";
	*number = (unsigned int)strtoul(digits, NULL, 10);
	return NULL;
}

/* Parses 'text', which may hold "/LENGTH"; sets 'has_prefix'. */
static const char *parse_any(const char *text, struct topology_address *address, bool *has_prefix)
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct topology_address result = {.prefix = 0};
	char host[INET6_ADDRSTRLEN] = "";
	unsigned int bits;

	if (length >= sizeof(host))
		return "is not an IP address";
	memcpy(host, text, length);
	result.family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(result.family, host, result.bytes) != 1)
		return "is not an IP address";
	bits = result.family == AF_INET ? 32 : 128;
	*has_prefix = slash != NULL;
	result.prefix = bits;
	if (slash) {
		size_t digits = strspn(slash + 1, DIGITS);

		if (!digits || digits > 3 || slash[1 + digits] || (digits > 1 && slash[1] == '0'))
			return "has no number after the slash";
		result.prefix = (unsigned int)strtoul(slash + 1, NULL, 10);
		if (result.prefix > bits)
			return bits == 32 ? "has a prefix longer than 32 bits" : "has a prefix longer than 128 bits";
	}
	inet_ntop(result.family, result.bytes, host, sizeof(host));
	snprintf(result.text, sizeof(result.text), "%s/%u", host, result.prefix);
	*address = result;
	return NULL;
}

const char *topology_parse_prefix(const char *text, struct topology_address *address)
{
	bool has_prefix;

	return parse_any(text, address, &has_prefix);
}

/* Returns whether all bits beyond the prefix are 'bit'. */
static bool host_bits_are(const struct topology_address *address, unsigned int bit)
{
	unsigned int bits = address->family == AF_INET ? 32 : 128;

	for (unsigned int i = address->prefix; i < bits; i++)
		if ((address->bytes[i / 8] >> (7 - i % 8) & 1) != bit)
			return false;
	return true;
}

bool topology_has_host_bits(const struct topology_address *address)
{
	return !host_bits_are(address, 0);
}

/* What stands against 'address' as an interface's. */
static const char *check_host(const struct topology_address *address)
{
	static const uint8_t unspecified[16], loopback[16] = {[15] = 1};
	uint8_t first = address->bytes[0];

	if (!address->prefix)
		return "has a prefix of 0 bits, which is the whole Internet";
	if (!memcmp(address->bytes, unspecified, sizeof(unspecified)) || (address->family == AF_INET && !first))
		return "is no address a host can have";
	if (address->family == AF_INET ? first >= 224 : first == 0xff)
		return "is a multicast or reserved address";
	if (address->family == AF_INET ? first == 127 : !memcmp(address->bytes, loopback, sizeof(loopback)))
		return "is a loopback address";
	if (address->family == AF_INET && address->prefix < 31 && host_bits_are(address, 0))
		return "is the address of the subnet itself, not of a host in it";
	if (address->family == AF_INET && address->prefix < 31 && host_bits_are(address, 1))
		return "is the broadcast address of its subnet, not a host in it";
	return NULL;
}

const char *topology_parse_address(const char *text, struct topology_address *address)
{
	struct topology_address result;
	bool has_prefix = false;
	const char *problem = parse_any(text, &result, &has_prefix);

	if (!problem && !has_prefix)
		problem = "needs a prefix length, as in 10.0.0.1/24 or fd00::1/64";
	if (!problem)
		problem = check_host(&result);
	if (!problem)
		*address = result;
	return problem;
}

/* Reads a port, which ends where the text does. */
static const char *parse_port(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, DIGITS);
	unsigned long number;

	if (!digits || digits > 5 || text[digits])
		return "has a port that is not a number";
	number = strtoul(text, NULL, 10);
	if (number < 1 || number > 65535)
		return "has a port that is not from 1 to 65535";
	*port = (uint16_t)number;
	return NULL;
}

const char *topology_parse_forward(const char *text, struct topology_forward *forward)
{
	static const char *const form = "is not PROTOCOL:[ADDRESS:]PORT:GUEST:PORT, as in tcp:127.0.0.1:2222:r1:22";
	struct topology_forward result = {.ports.host_address.s_addr = htonl(INADDR_LOOPBACK)};
	char copy[128], *parts[5], *rest = copy;
	const char *problem;
	size_t count = 0;

	if (strlen(text) >= sizeof(copy))
		return form;
	memcpy(copy, text, strlen(text) + 1);
	for (char *part; (part = strsep(&rest, ":")); count++) {
		if (count == 5)
			return form;
		parts[count] = part;
	}
	if (count < 4)
		return form;
	if (strcmp(parts[0], "tcp") && strcmp(parts[0], "udp"))
		return "does not begin with tcp or udp";
	result.ports.is_udp = parts[0][0] == 'u';
	if (count == 5 && inet_pton(AF_INET, parts[1], &result.ports.host_address) != 1)
		return "has a host address that is not an IPv4 address";
	if (!*parts[count - 2] || strlen(parts[count - 2]) > TOPOLOGY_GUEST_MAX)
		return "has no guest that is a node's name or an IPv4 address";
	memcpy(result.guest, parts[count - 2], strlen(parts[count - 2]) + 1);
	problem = parse_port(parts[count - 3], &result.ports.host_port);
	if (!problem)
		problem = parse_port(parts[count - 1], &result.ports.guest_port);
	if (!problem)
		*forward = result;
	return problem;
}

/* Reads the port after the last colon of "ADDRESS:PORT", if there is one, and sets '*length' to what is before it. */
static const char *parse_address_port(const char *text, uint16_t *port, size_t *length)
{
	const char *colon = strrchr(text, ':');
	bool is_bare = text[0] != '[' && colon && strchr(text, ':') != colon; /* IPv6 without brackets. */
	const char *end = strrchr(text, ']');
	unsigned long number;

	*length = strlen(text);
	if (!colon || is_bare || (end && colon < end))
		return *port ? NULL : "has no port, as in 192.0.2.7:5000 or [2001:db8::7]:5000";
	*length = (size_t)(colon - text);
	colon++;
	number = strspn(colon, DIGITS) == strlen(colon) && *colon && strlen(colon) <= 5 ? strtoul(colon, NULL, 10) : 0;
	if (!number || number > UINT16_MAX)
		return "has a port that is not a number from 1 to 65535";
	*port = (uint16_t)number;
	return NULL;
}

const char *topology_parse_socket_address(const char *text, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
	char host[INET6_ADDRSTRLEN] = "";
	size_t length;
	const char *problem = parse_address_port(text, &port, &length);

	if (problem)
		return problem;
	if (length > 1 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length >= sizeof(host))
		return "is not an IP address with a port";
	memcpy(host, text, length);
	ipv4.sin_port = ipv6.sin6_port = htons(port);
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host, &ipv4.sin_addr) == 1)
		memcpy(address, &ipv4, sizeof(ipv4));
	else if (inet_pton(AF_INET6, host, &ipv6.sin6_addr) == 1)
		memcpy(address, &ipv6, sizeof(ipv6));
	else
		return "is not an IP address with a port, as in 192.0.2.7:5000 or [2001:db8::7]:5000";
	return NULL;
}

void topology_format_socket_address(const struct sockaddr_storage *address, char text[TOPOLOGY_SOCKET_ADDRESS_SIZE])
{
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
	char host[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &ipv4->sin_addr, host, sizeof(host));
		snprintf(text, TOPOLOGY_SOCKET_ADDRESS_SIZE, "%s:%u", host, ntohs(ipv4->sin_port));
	} else {
		inet_ntop(AF_INET6, &ipv6->sin6_addr, host, sizeof(host));
		snprintf(text, TOPOLOGY_SOCKET_ADDRESS_SIZE, "[%s]:%u", host, ntohs(ipv6->sin6_port));
	}
}

const char *topology_parse_speed(const char *text, unsigned int *speed)
{
	size_t digits = strspn(text, DIGITS), fraction = text[digits] == '.' ? strspn(text + digits + 1, DIGITS) : 0;
	const char *unit = text + digits + (text[digits] == '.') + fraction;
	unsigned int scale = 1000, value;

	if (!strcmp(text, "max")) {
		*speed = 0;
		return NULL;
	}
	if (!digits || strcmp(unit, "x") || (text[digits] == '.' && !fraction))
		return "is not a speed, which is written as 2x, 0.5x or max";
	if (digits > 4 || fraction > 3)
		return "must be from 0.001x to 1000x, or max";
	value = scale * (unsigned int)strtoul(text, NULL, 10);
	for (size_t i = 0; i < fraction; i++) {
		scale /= 10;
		value += scale * (unsigned int)(text[digits + 1 + i] - '0');
	}
	if (!value || value > 1000 * 1000)
		return "must be from 0.001x to 1000x, or max";
	*speed = value;
	return NULL;
}

#define COUNT_MAX 999999999

/* Reads a number of one to nine digits, 0 to COUNT_MAX, that stands at '*at', and moves '*at' behind it. */
static bool read_number(const char **at, uint64_t *number)
{
	size_t digits = strspn(*at, DIGITS);

	if (!digits || digits > 9)
		return false;
	*number = strtoull(*at, NULL, 10);
	*at += digits;
	return true;
}

const char *topology_parse_count(const char *text, struct topology_count *count)
{
	static const char *const form = "is not a count, which is written as 3, >=3, <=3, >3, <3 or 3..5";
	static const char *const operators[] = {">=", "<=", ">", "<", ""};
	struct topology_count result = {.maximum = TOPOLOGY_COUNT_NO_MAXIMUM};
	const char *operator, * at;
	uint64_t number;
	size_t i = 0;

	while (strncmp(text, operators[i], strlen(operators[i])))
		i++;
	operator= operators[i];
	at = text + strlen(operator);
	if (*operator)
		at += strspn(at, " ");
	if (!read_number(&at, &number))
		return form;
	if (*operator!= '<')
		result.minimum = strcmp(operator, ">") ? number : number + 1;
	if (!strcmp(operator, "<") && !number)
		return "can never be: nothing is less than none";
	if (*operator!= '>')
		result.maximum = strcmp(operator, "<") ? number : number - 1;
	if (!*operator&& !strncmp(at, "..", 2)) {
		at += 2;
		if (!read_number(&at, &result.maximum))
			return form;
	}
	if (*at)
		return form;
	if (result.minimum > COUNT_MAX)
		return "is more than can be counted; the largest is >=999999999";
	if (result.minimum > result.maximum)
		return "can never be: its second number is the smaller one";
	if (!result.minimum && result.maximum == TOPOLOGY_COUNT_NO_MAXIMUM)
		return "says nothing: any number is that";
	*count = result;
	return NULL;
}

const char *topology_print_count(const struct topology_count *count, char text[TOPOLOGY_COUNT_TEXT_MAX])
{
	unsigned long long minimum = count->minimum, maximum = count->maximum;

	if (count->maximum == TOPOLOGY_COUNT_NO_MAXIMUM)
		snprintf(text, TOPOLOGY_COUNT_TEXT_MAX, ">=%llu", minimum);
	else if (!minimum && maximum)
		snprintf(text, TOPOLOGY_COUNT_TEXT_MAX, "<=%llu", maximum);
	else if (minimum == maximum)
		snprintf(text, TOPOLOGY_COUNT_TEXT_MAX, "%llu", minimum);
	else
		snprintf(text, TOPOLOGY_COUNT_TEXT_MAX, "%llu..%llu", minimum, maximum);
	return text;
}

const char *topology_check_name(const char *text)
{
	if (!*text)
		return "is empty";
	if (strlen(text) > TOPOLOGY_NAME_MAX)
		return "is longer than 32 characters";
	if (strchr(text, '/'))
		return "holds a slash";
	if (text[strspn(text, LETTERS DIGITS "_.-")])
		return "holds a character other than letters, digits, '.', '-' and '_'";
	if (!isalnum((unsigned char)*text))
		return "does not begin with a letter or a digit";
	if (strstr(text, ".."))
		return "holds two dots in a row";
	return NULL;
}

const char *topology_check_node_name(const char *text)
{
	const char *problem = topology_check_name(text);
	struct in_addr address;

	if (problem)
		return problem;
	if (strchr(text, '_'))
		return "holds an underscore, which host names cannot have";
	for (const char *at = text; *at; at++)
		if ((*at == '-' || *at == '.') && (!at[1] || at[1] == '.' || (*at == '.' && at[1] == '-')))
			return "is not a host name: each part must begin and end with a letter or a digit";
	if (inet_aton(text, &address))
		return "would be taken for an address; begin it with a letter";
	if (!strcasecmp(text, "localhost"))
		return "means the node itself in every node";
	if (!strcasecmp(text, "network"))
		return "is reserved for the ports of networks";
	return NULL;
}

const char *topology_check_host_name(const char *text)
{
	struct in_addr address;
	size_t part;

	if (strlen(text) > HOST_NAME_LENGTH_MAX)
		return "is longer than 253 characters";
	for (const char *at = text;; at += part + 1) {
		part = strcspn(at, ".");
		if (part == 0 || part > HOST_NAME_PART_MAX)
			return "has a part that is empty or longer than 63 characters";
		if (strspn(at, LETTERS DIGITS "_-") < part)
			return "holds a character that names of hosts do not have";
		if (!at[part])
			break;
	}
	return inet_aton(text, &address) ? "would be taken for an address" : NULL;
}

const char *topology_check_sysctl(const char *text)
{
	bool has_dot = false;

	if (strlen(text) > SYSCTL_LENGTH_MAX)
		return "is too long";
	if (text[strspn(text, LETTERS DIGITS "_-./")])
		return "holds a character that sysctl keys do not have";
	for (const char *at = text; *at; at++) {
		bool is_edge = at == text || !at[1] || at[1] == '.' || at[1] == '/';

		if (*at == '.')
			has_dot = true;
		if ((*at == '.' || *at == '/') && is_edge)
			return "has an empty part; keys look like net.ipv4.ip_forward";
	}
	return has_dot ? NULL : "is not a sysctl key; they look like net.ipv4.ip_forward";
}

static bool is_word_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

static const char *check_route_words(char *text)
{
	static const char *const types[] = {"unicast", "local",       "broadcast", "multicast",
					    "throw",   "unreachable", "prohibit",  "blackhole"};
	const size_t lost = 4; /* From here on a route that needs no next hop. */
	struct topology_address address;
	char *rest = text, *word = strtok_r(text, " ", &rest);
	bool leads_somewhere = false;

	if (word && is_word_of(word, types, sizeof(types) / sizeof(types[0]))) {
		leads_somewhere = is_word_of(word, types + lost, sizeof(types) / sizeof(types[0]) - lost);
		word = strtok_r(NULL, " ", &rest);
	}
	if (!word)
		return "has no destination; write \"default via 10.0.0.1\" or \"10.0.1.0/24 via 10.0.0.1\"";
	if (strcmp(word, "default")) {
		if (topology_parse_prefix(word, &address))
			return "does not begin with \"default\" or a prefix such as 10.0.1.0/24";
		if (topology_has_host_bits(&address))
			return "has a destination with bits set beyond its prefix length";
	}
	while ((word = strtok_r(NULL, " ", &rest))) {
		bool is_via = !strcmp(word, "via");

		if (!is_via && strcmp(word, "dev") && strcmp(word, "nexthop"))
			continue;
		leads_somewhere = true;
		word = strtok_r(NULL, " ", &rest);
		if (word && is_via && (!strcmp(word, "inet") || !strcmp(word, "inet6")))
			word = strtok_r(NULL, " ", &rest);
		if (!word)
			return "ends where an address or interface should follow";
		if (is_via && (strchr(word, '/') || topology_parse_prefix(word, &address)))
			return "has no IP address after \"via\"";
	}
	return leads_somewhere ? NULL : "leads nowhere; add \"via ADDRESS\" or \"dev ethN\"";
}

const char *topology_check_route(const char *text)
{
	char words[ROUTE_LENGTH_MAX + 1];

	if (strlen(text) > ROUTE_LENGTH_MAX)
		return "is too long";
	if (text[strspn(text, LETTERS DIGITS " _.:/@%-")])
		return "holds a character that no route has";
	strcpy(words, text);
	return check_route_words(words);
}
