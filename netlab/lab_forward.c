/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/nat.h"
#include "netlab/topology.h"
#include "netlab/topology_units.h"

/* Forwards of a running lab, as they are typed. */

static int misread(const char *text, const char *problem, struct error *error)
{
	return error_set(error, ERROR_FAILED, EINVAL, "forward \"%.128s\" %s", text, problem);
}

/* The address of the guest that is written, on the network with this index. */
static bool find_guest(const struct lab *lab, size_t index, const char *guest, struct in_addr *address)
{
	const struct topology_network *network = &lab->topology->networks[index];
	const struct topology_node *node = topology_find_node(lab->topology, guest);

	if (!lab->networks[index]->nat)
		return false;
	if (inet_pton(AF_INET, guest, address) == 1)
		return topology_is_in_subnet(network, *address);
	return node && topology_find_guest(lab->topology, index, node, address);
}

int lab_add_forward(struct lab *lab, const char *text, struct error *error)
{
	struct topology_forward written;
	const char *problem = topology_parse_forward(text, &written);
	struct nat_forward *forward = &written.ports;
	size_t i = 0;

	if (problem)
		return misread(text, problem, error);
	if (lab_check_free(lab, error) < 0)
		return -EBUSY;
	while (i < lab->topology->network_count && !find_guest(lab, i, written.guest, &forward->guest_address))
		i++;
	if (i == lab->topology->network_count)
		return error_set(
			error, ERROR_FAILED, ENOENT,
			"no network with NAT has a guest \"%s\"; \"netlab status\" shows the nodes, and a node "
			"needs an address in the network's subnet",
			written.guest);
	return lab_network_add_forward(lab->networks[i], forward, error);
}

int lab_remove_forward(struct lab *lab, const char *text, struct error *error)
{
	struct topology_forward written;
	char whole[160];
	const char *problem = topology_parse_forward(text, &written);
	const struct nat_forward *forward = &written.ports;

	/* The host's end is enough. */
	if (problem && strlen(text) < sizeof(whole) / 2) {
		snprintf(whole, sizeof(whole), "%s:any:1", text);
		if (!topology_parse_forward(whole, &written))
			problem = NULL;
	}
	if (problem)
		return misread(text, problem, error);
	if (lab_check_free(lab, error) < 0)
		return -EBUSY;
	for (size_t i = 0; i < lab->topology->network_count; i++)
		if (lab->networks[i]->nat && lab_network_remove_forward(lab->networks[i], forward) == 0)
			return 0;
	return error_set(error, ERROR_FAILED, ENOENT,
			 "%s port %u of %s is not forwarded; \"netlab forward list\" shows what is",
			 forward->is_udp ? "UDP" : "TCP", forward->host_port, inet_ntoa(forward->host_address));
}
