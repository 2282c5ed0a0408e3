/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ends.h"

static const struct {
	const char *name;
	void (*measure)(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
} peers[PEER_COUNT_CAPTURED] = {
	[PEER_VDE] = {"vde_switch", measure_vde},
	[PEER_BRIDGE] = {"Linux bridge, two TAPs", measure_bridge},
	[PEER_DPDK] = {"DPDK testpmd, both ways", measure_dpdk},
	[PEER_BRIDGE_TCPDUMP] = {"tcpdump -w at a TAP", measure_bridge_dumped},
	[PEER_QEMU] = {"QEMU's hub, two sockets", measure_qemu},
	[PEER_QEMU_DUMP] = {"QEMU's filter-dump", measure_qemu_dumped},
};

const char *peer_name(enum peer peer)
{
	return peers[peer].name;
}

const char *peer_measure(enum peer peer, uint32_t size, double *rates, unsigned int rounds, uint64_t nanoseconds,
			 double *lost)
{
	static struct outcome outcome;
	int pipes[2];
	pid_t child;

	if (rounds > ROUNDS_MAX || size > FRAME_MAX || pipe2(pipes, O_CLOEXEC) < 0)
		return "out of range";
	outcome = (struct outcome){0};
	fflush(stdout);
	child = fork();
	if (child == 0) {
		peers[peer].measure(size, &outcome, rounds, nanoseconds);
		_exit(write(pipes[1], &outcome, sizeof(outcome)) == (ssize_t)sizeof(outcome) ? 0 : 1);
	}
	close(pipes[1]);
	if (child < 0 || read(pipes[0], &outcome, sizeof(outcome)) != (ssize_t)sizeof(outcome))
		fail(&outcome, "it died");
	close(pipes[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	memcpy(rates, outcome.rates, rounds * sizeof(*rates));
	if (lost)
		*lost = outcome.lost;
	return outcome.failure[0] ? outcome.failure : NULL;
}
