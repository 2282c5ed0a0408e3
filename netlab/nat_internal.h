/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_INTERNAL_H
#define NETLAB_NAT_INTERNAL_H 1

/* What netlab/nat.c and netlab/nat_forward.c (ports that lead to guests) share.  Thread-safety: as netlab/nat.h. */

#include <slirp/libslirp.h>
#include <sys/queue.h>

#include "core/log.h"
#include "core/loop.h"
#include "netlab/nat.h"
#include "netlab/nat_names.h"
#include "netlab/nat_sockets.h"

/* Bytes of frames that wait for libslirp, each in one piece after its size, as libslirp wants it. */
#define NAT_QUEUE_SIZE (512u << 10)

struct nat_forward_entry {
	struct nat_forward forward;
	TAILQ_ENTRY(nat_forward_entry) next;
};

struct nat {
	struct loop *loop;
	struct port *port;
	char *name;
	struct nat_options options; /* Without the strings, which libslirp has copied. */
	Slirp *slirp;
	struct loop_task work;
	struct loop_timer timeout; /* Of libslirp's own retransmissions. */
	struct nat_sockets sockets;
	struct nat_name_table names;
	struct nat_tftp *tftp; /* Or NULL. */
	TAILQ_HEAD(, nat_forward_entry) forwards;
	struct log_limit log_limit;
	size_t queued; /* Bytes in the queue. */
	uint8_t queue[NAT_QUEUE_SIZE];
};

/* Has a libslirp that is new begin all forwards.  Returns 0 or the negative errno value of the first that could not be,
 * with 'error' set. */
int nat_start_forwards(struct nat *nat, struct error *error);
void nat_free_forwards(struct nat *nat);

#endif /* nat_internal.h */
