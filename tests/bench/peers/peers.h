/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_PEERS_PEERS_H
#define TESTS_BENCH_PEERS_PEERS_H 1

/* Other switches on this machine, with the same frames
 * ====================================================
 *
 * Frames go from one port to another and are counted there.  The two ends are one thread, which has no more than a
 * window of them on their way, so that nothing is lost.  Each is measured in a process of its own, with which all goes
 * that was made for it.
 *
 * Thread-safety: one thread.
 */

#include <stdint.h>

enum peer {
	PEER_VDE,    /* vde_switch of Debian's vde2, two ports of libvdeplug. */
	PEER_BRIDGE, /* Linux's bridge with two TAPs, in a network namespace. */
	PEER_DPDK,   /* testpmd between two vhost ports (tests/bench/peers/dpdk): both ways, and nothing is learnt. */
	PEER_COUNT,
	/* The others are there to be captured. */
	PEER_BRIDGE_TCPDUMP = PEER_COUNT, /* The bridge, and tcpdump at one of its ports. */
	PEER_QEMU,                        /* QEMU's hub with two sockets, which learns nothing. */
	PEER_QEMU_DUMP,                   /* The same, with its filter-dump at one of them. */
	PEER_COUNT_CAPTURED,
};

const char *peer_name(enum peer peer);

/* Measures 'rounds' times for 'nanoseconds' each, with frames of 'size' bytes, and fills in 'rates', frames a second,
 * and '*lost', the part of all frames that is not in the capture (0 to 1), which may be NULL.  Returns NULL, or why it
 * cannot be measured here: a text that lasts until the next call. */
const char *peer_measure(enum peer peer, uint32_t size, double *rates, unsigned int rounds, uint64_t nanoseconds,
			 double *lost);

#endif /* peers.h */
