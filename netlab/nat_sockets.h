/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_SOCKETS_H
#define NETLAB_NAT_SOCKETS_H 1

/* libslirp's sockets in an event loop
 * ===================================
 *
 * libslirp wants to be asked for its sockets before each sleep and told after it which are ready, with poll(2) in
 * mind.  Here they stay in the loop's epoll, and a task is queued when one is ready; that task is to call
 * nat_sockets_tell() and then nat_sockets_ask().
 *
 * Thread-safety: the loop's thread.
 */

#include <slirp/libslirp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/log.h"

struct loop;
struct loop_task;
struct nat_socket;

/* Zero-initialise it and set the first four. */
struct nat_sockets {
	struct loop *loop;
	struct loop_task *ready; /* Queued when a socket is ready. */
	const char *name;        /* Of the gateway, for the log. */
	size_t count_max;        /* When there are so many, no connection is accepted. */
	size_t count;
	LIST_HEAD(, nat_socket) list;
	struct nat_socket **by_fd; /* The same, by descriptor. */
	size_t by_fd_room;
	struct nat_socket **asked; /* Of this round, by the index libslirp was given. */
	size_t asked_count, asked_room;
	uint64_t round;
	struct log_limit log_limit;
};

/* Tells libslirp which of its sockets are ready. */
void nat_sockets_tell(struct nat_sockets *sockets, Slirp *slirp);
/* Asks libslirp which sockets are to be watched.  Returns after how many milliseconds it wants to be told again at the
 * latest, or UINT32_MAX for no such time. */
uint32_t nat_sockets_ask(struct nat_sockets *sockets, Slirp *slirp);
/* libslirp closes this one; nothing is done when it is not known. */
void nat_sockets_forget(struct nat_sockets *sockets, int fd);
/* Forgets all.  It may be used again then, but need not be freed. */
void nat_sockets_clear(struct nat_sockets *sockets);

#endif /* nat_sockets.h */
