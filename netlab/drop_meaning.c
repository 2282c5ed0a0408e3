/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/drop_meaning.h"

#include <string.h>

#include "netlab/dataplane.h"

const char *drop_meaning(const char *reason)
{
	static const char *const meanings[DROP_REASON_COUNT] = {
		[DROP_RECEIVE_RING_FULL] = "found no free buffer in the receiving NIC: the guest is too slow, or busy",
		[DROP_NOT_READY] = "came to a port where nobody listens: the node is not up, or its NIC is not",
		[DROP_TOO_LONG] = "did not fit into the receive buffers of the guest's driver",
		[DROP_NO_DESTINATION] = "had nobody to go to: the port is joined to nothing, or alone on its network",
		[DROP_SAME_PORT] = "was for a station behind the port it came from",
		[DROP_RESERVED_ADDRESS] = "was for an address that bridges do not forward, 01-80-C2-00-00-00 to -0F",
		[DROP_MALFORMED] = "was no frame: too short, too long, or asking for an offload it cannot have",
		[DROP_MTU] = "was longer than the MTU of the interface it came to",
		[DROP_QUEUE_FULL] =
			"was one too many of those waiting for their turn, or for a peer outside of the lab",
		[DROP_VLAN] = "was of a VLAN that a port is not in, or had no VLAN at all",
		[DROP_ISOLATED] = "came from an isolated port and was for another one",
		[DROP_MIRROR] = "came from a port that only receives copies of others' frames",
		[DROP_STORM] = "would have been flooded, of which its port had sent as much as it may",
		[DROP_SPOOFED_MAC] = "had a source address that is not its port's, which has a guard",
		[DROP_SPOOFED_ARP] = "said of its sender in ARP what is not so, and its port has a guard",
		[DROP_SPOOFED_IP] = "had a packet whose source is not an address of its port, which has a guard",
		[DROP_LINK_DOWN] = "was on a link without carrier, or cut in that direction",
		[DROP_LOSS] = "was lost, as the link's impairments have it",
		[DROP_LINK_QUEUE_FULL] = "found the queue full in which frames wait for their turn at the link's rate",
		[DROP_EARLY] = "was dropped by RED or CoDel, which keep the queue of the link short",
		[DROP_IN_FLIGHT_FULL] = "was more than can be on its way on the link, for its delay",
	};

	for (int i = 0; i < DROP_REASON_COUNT; i++)
		if (!strcmp(reason, drop_reason_name((enum drop_reason)i)))
			return meanings[i];
	return NULL;
}
