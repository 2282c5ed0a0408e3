/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/bridge/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool bridge_name_is_valid(const char *text)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@";
	size_t length = strnlen(text, IF_NAMESIZE);

	return length > 0 && length < IF_NAMESIZE && strspn(text, good) == length && text[0] != '-' &&
	       strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool is_terminated(const char *text, size_t room)
{
	return memchr(text, '\0', room) != NULL;
}

static bool addresses_are_valid(const struct bridge_request *request)
{
	if (request->address_count > BRIDGE_ADDRESSES_MAX)
		return false;
	for (size_t i = 0; i < request->address_count; i++) {
		const struct bridge_address *address = &request->addresses[i];
		unsigned int bits = address->family == AF_INET ? 32 : 128;

		if ((address->family != AF_INET && address->family != AF_INET6) || address->prefix_length > bits)
			return false;
	}
	return true;
}

/* An address of one station that is not all zeroes. */
static bool mac_is_valid(const uint8_t *mac)
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

static const char *find_problem(const struct bridge_request *request)
{
	if (request->protocol != BRIDGE_PROTOCOL)
		return "it is of another version of netlab; install netlab again";
	if (!is_terminated(request->bridge, sizeof(request->bridge)) ||
	    !is_terminated(request->interface, sizeof(request->interface)) ||
	    !is_terminated(request->namespace, sizeof(request->namespace)))
		return "a name does not end";
	if (!addresses_are_valid(request))
		return "an address is none";
	if ((request->bridge[0] && !bridge_name_is_valid(request->bridge)) ||
	    (request->interface[0] && !bridge_name_is_valid(request->interface)))
		return "a name cannot be a device's";
	if (request->kind == BRIDGE_RELEASE)
		return request->bridge[0] || request->interface[0] ? NULL : "it names nothing";
	if (request->mtu < BRIDGE_MTU_MIN || request->mtu > BRIDGE_MTU_MAX)
		return "the MTU is out of range";
	switch (request->kind) {
	case BRIDGE_JOIN:
		return request->bridge[0] ? NULL : "it lacks a bridge";
	case BRIDGE_MACVTAP:
	case BRIDGE_NAMESPACE:
		if (!request->interface[0] || !mac_is_valid(request->mac))
			return "it lacks an interface or its MAC address";
		return request->kind == BRIDGE_MACVTAP || request->namespace[0] ? NULL : "it names no namespace";
	default:
		return "nobody knows what it asks for";
	}
}

int bridge_request_check(const struct bridge_request *request, struct error *error)
{
	const char *problem = find_problem(request);

	return problem ? error_set(error, ERROR_FAILED, EINVAL, "netlab-bridge-helper refused a request: %s", problem) :
			 0;
}

void bridge_address_text(const struct bridge_address *address, char *to, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(address->family, address->bytes, text, sizeof(text));
	snprintf(to, size, "%s/%u", text, address->prefix_length);
}
