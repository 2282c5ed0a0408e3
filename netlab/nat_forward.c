/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/nat_internal.h"

/* Ports of the host that lead to guests.  libslirp has them, but cannot say which it has, nor keep them when it is set
 * up anew; so they are kept here too. */

bool nat_has_forward(const struct nat_forward *forwards, size_t count, const struct nat_forward *forward)
{
	for (size_t i = 0; i < count; i++) {
		const struct nat_forward *has = &forwards[i];

		if (has->is_udp == forward->is_udp && has->host_port == forward->host_port &&
		    has->host_address.s_addr == forward->host_address.s_addr &&
		    has->guest_port == forward->guest_port &&
		    has->guest_address.s_addr == forward->guest_address.s_addr)
			return true;
	}
	return false;
}

static int start_forward(struct nat *nat, const struct nat_forward *forward)
{
	errno = 0;
	if (slirp_add_hostfwd(nat->slirp, forward->is_udp, forward->host_address, forward->host_port,
			      forward->guest_address, forward->guest_port) == 0)
		return 0;
	return errno > 0 ? -errno : -EIO;
}

static int fail_forward(const struct nat *nat, const struct nat_forward *forward, int reason, struct error *error)
{
	char address[INET_ADDRSTRLEN] = "";

	inet_ntop(AF_INET, &forward->host_address, address, sizeof(address));
	return error_set(error, ERROR_FAILED, -reason, "%s: %s port %u of %s cannot be forwarded: %s%s", nat->name,
			 forward->is_udp ? "UDP" : "TCP", forward->host_port, address, strerror(-reason),
			 reason == -EACCES ?
				 "\n  help: ports below 1024 are root's; take a higher one" :
			 reason == -EADDRINUSE ?
				 "\n  help: another program, or another lab, has it; \"ss -lntup\" tells which" :
				 "");
}

int nat_add_forward(struct nat *nat, const struct nat_forward *forward, struct error *error)
{
	struct nat_forward_entry *entry = malloc(sizeof(*entry));
	int result;

	if (!entry)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	result = start_forward(nat, forward);
	if (result < 0) {
		free(entry);
		return fail_forward(nat, forward, result, error);
	}
	entry->forward = *forward;
	TAILQ_INSERT_TAIL(&nat->forwards, entry, next);
	loop_task_queue(nat->loop, &nat->work);
	return 0;
}

int nat_remove_forward(struct nat *nat, const struct nat_forward *forward)
{
	struct nat_forward_entry *entry;

	TAILQ_FOREACH(entry, &nat->forwards, next) {
		const struct nat_forward *has = &entry->forward;

		if (has->is_udp == forward->is_udp && has->host_port == forward->host_port &&
		    has->host_address.s_addr == forward->host_address.s_addr)
			break;
	}
	if (!entry)
		return -ENOENT;
	slirp_remove_hostfwd(nat->slirp, forward->is_udp, forward->host_address, forward->host_port);
	TAILQ_REMOVE(&nat->forwards, entry, next);
	free(entry);
	loop_task_queue(nat->loop, &nat->work);
	return 0;
}

void nat_for_each_forward(const struct nat *nat, void (*function)(void *opaque, const struct nat_forward *forward),
			  void *opaque)
{
	const struct nat_forward_entry *entry;

	TAILQ_FOREACH(entry, &nat->forwards, next)
		function(opaque, &entry->forward);
}

int nat_start_forwards(struct nat *nat, struct error *error)
{
	const struct nat_forward_entry *entry;
	int result = 0;

	TAILQ_FOREACH(entry, &nat->forwards, next) {
		int started = start_forward(nat, &entry->forward);

		if (started < 0 && result == 0)
			result = fail_forward(nat, &entry->forward, started, error);
	}
	return result;
}

void nat_free_forwards(struct nat *nat)
{
	struct nat_forward_entry *entry;

	while ((entry = TAILQ_FIRST(&nat->forwards))) {
		TAILQ_REMOVE(&nat->forwards, entry, next);
		free(entry);
	}
}
