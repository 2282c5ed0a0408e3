/* SPDX-License-Identifier: Apache-2.0 */
/* netlab-bridge-helper's judgement: a request as an ordinary user may send it, and then the rules, which root writes
 * but may write badly.  Nothing is done: what would be is what passes here. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/bridge/request.h"
#include "netlab/bridge/rules.h"
#include "stand_in.h"

/* What links.c and work.c rely on. */
static void expect_good(const struct bridge_request *request)
{
	stand_in_check(memchr(request->bridge, 0, sizeof(request->bridge)) != NULL);
	stand_in_check(memchr(request->interface, 0, sizeof(request->interface)) != NULL);
	stand_in_check(memchr(request->namespace, 0, sizeof(request->namespace)) != NULL);
	stand_in_check(request->address_count <= BRIDGE_ADDRESSES_MAX);
	stand_in_check(!strchr(request->bridge, '/') && !strchr(request->interface, '/'));
	stand_in_check(!strchr(request->bridge, '%') && !strchr(request->interface, '%'));
	if (request->kind == BRIDGE_RELEASE)
		return;
	stand_in_check(request->mtu >= BRIDGE_MTU_MIN && request->mtu <= BRIDGE_MTU_MAX);
}

static void judge(const uint8_t *data, size_t size, const struct bridge_request *request)
{
	const struct bridge_asker asker = {.user = 4711, .groups = {4712}, .group_count = 1};
	FILE *file = fmemopen((void *)(uintptr_t)data, size, "r");
	struct error error;
	int result;

	if (!file)
		return;
	result = bridge_rules_judge(file, "bridge.conf", &asker, request, &error);
	stand_in_check(result <= 0);
	/* Nothing is allowed by rules that do not say so. */
	if (result == 0 && request->kind != BRIDGE_RELEASE)
		stand_in_check(memmem(data, size, "allow", 5) != NULL);
	fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bridge_request request;
	struct error error;

	if (size <= sizeof(request))
		return 0;
	memcpy(&request, data, sizeof(request));
	request.protocol = BRIDGE_PROTOCOL;
	request.kind %= 6;
	request.mtu %= 70000;
	request.address_count %= BRIDGE_ADDRESSES_MAX + 2;
	for (size_t i = 0; i < BRIDGE_ADDRESSES_MAX; i++) { /* Most would be of no family. */
		request.addresses[i].family = request.addresses[i].family & 1 ? AF_INET : AF_INET6;
		request.addresses[i].prefix_length %= 140;
	}
	if (bridge_request_check(&request, &error) < 0)
		return 0;
	expect_good(&request);
	judge(data + sizeof(request), size - sizeof(request), &request);
	return 0;
}
