/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat_sockets.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/loop.h"

/* Theory of operation
 * -------------------
 * A round of questions has a number, and a socket that it did not bring up is not watched then.  libslirp says when it
 * closes a socket, which is forgotten at once, since its number may be another's in a moment; until then it counts,
 * watched or not. */

struct nat_socket {
	struct nat_sockets *sockets;
	struct loop_watch watch;
	uint32_t events;  /* epoll's, as watched. */
	uint32_t revents; /* Since libslirp was told. */
	bool is_listening;
	uint64_t round; /* When libslirp last asked for it ... */
	size_t asked;   /* ... and as which. */
	LIST_ENTRY(nat_socket) next;
};

static void forget_socket(struct nat_socket *socket)
{
	struct nat_sockets *sockets = socket->sockets;

	loop_watch_remove(sockets->loop, &socket->watch);
	LIST_REMOVE(socket, next);
	sockets->count--;
	sockets->by_fd[socket->watch.fd] = NULL;
	if (socket->asked < sockets->asked_count && sockets->asked[socket->asked] == socket)
		sockets->asked[socket->asked] = NULL;
	free(socket);
}

static void on_ready(void *opaque, uint32_t events)
{
	struct nat_socket *socket = opaque;

	socket->revents |= events;
	loop_task_queue(socket->sockets->loop, socket->sockets->ready);
}

static struct nat_socket *find_socket(struct nat_sockets *sockets, int fd)
{
	return fd >= 0 && (size_t)fd < sockets->by_fd_room ? sockets->by_fd[fd] : NULL;
}

static bool make_room(struct nat_sockets *sockets, int fd)
{
	size_t room = 2 * (size_t)fd + 64;
	struct nat_socket **larger;

	if (fd < 0 || (size_t)fd < sockets->by_fd_room)
		return fd >= 0;
	larger = reallocarray(sockets->by_fd, room, sizeof(struct nat_socket *));
	if (!larger)
		return false;
	memset(larger + sockets->by_fd_room, 0, (room - sockets->by_fd_room) * sizeof(struct nat_socket *));
	sockets->by_fd = larger;
	sockets->by_fd_room = room;
	return true;
}

static struct nat_socket *add_socket(struct nat_sockets *sockets, int fd)
{
	struct nat_socket *socket = make_room(sockets, fd) ? calloc(1, sizeof(*socket)) : NULL;
	socklen_t length = sizeof(int);
	int is_listening;

	if (!socket)
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length) == 0)
		socket->is_listening = is_listening != 0;
	sockets->by_fd[fd] = socket;
	socket->sockets = sockets;
	socket->watch = (struct loop_watch){.fd = fd, .ready = on_ready, .opaque = socket};
	LIST_INSERT_HEAD(&sockets->list, socket, next);
	sockets->count++;
	return socket;
}

static const struct {
	uint32_t epoll;
	int slirp;
} event_names[] = {
	{EPOLLIN, SLIRP_POLL_IN},   {EPOLLOUT, SLIRP_POLL_OUT}, {EPOLLPRI, SLIRP_POLL_PRI},
	{EPOLLERR, SLIRP_POLL_ERR}, {EPOLLHUP, SLIRP_POLL_HUP},
};

static uint32_t to_epoll(int events)
{
	uint32_t result = 0;

	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		result |= events & event_names[i].slirp ? event_names[i].epoll : 0;
	return result;
}

static int to_slirp(uint32_t events)
{
	int result = 0;

	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		result |= events & event_names[i].epoll ? event_names[i].slirp : 0;
	return result;
}

static void watch(struct nat_socket *socket, uint32_t events)
{
	int result = 0;

	if (!socket->watch.added)
		result = loop_watch_add(socket->sockets->loop, &socket->watch, events);
	else if (socket->events != events)
		result = loop_watch_change(socket->sockets->loop, &socket->watch, events);
	socket->events = events;
	if (result < 0)
		log_limited(&socket->sockets->log_limit, "%s: a socket cannot be watched: %s", socket->sockets->name,
			    strerror(-result));
}

/* libslirp's questions and what it is told.  An index of -1 is a socket of which nothing is ever said. */

static int add_poll(int fd, int events, void *opaque)
{
	struct nat_sockets *sockets = opaque;
	struct nat_socket *socket = find_socket(sockets, fd);
	bool is_held;

	if (sockets->asked_count == sockets->asked_room) {
		size_t room = 2 * sockets->asked_room + 16;
		struct nat_socket **larger = reallocarray(sockets->asked, room, sizeof(struct nat_socket *));

		if (!larger)
			return -1;
		sockets->asked = larger;
		sockets->asked_room = room;
	}
	if (!socket)
		socket = add_socket(sockets, fd);
	if (!socket)
		return -1;
	socket->round = sockets->round;
	socket->asked = sockets->asked_count;
	/* Connections that nobody accepts wait at the host, and are refused by it when they are many. */
	is_held = socket->is_listening && sockets->count >= sockets->count_max;
	watch(socket, is_held ? 0 : to_epoll(events));
	sockets->asked[sockets->asked_count] = socket;
	return (int)sockets->asked_count++;
}

static int get_revents(int index, void *opaque)
{
	struct nat_sockets *sockets = opaque;
	struct nat_socket *socket;
	uint32_t events;

	if (index < 0 || (size_t)index >= sockets->asked_count || !sockets->asked[index])
		return 0;
	socket = sockets->asked[index];
	events = socket->revents;
	socket->revents = 0;
	return to_slirp(events);
}

void nat_sockets_tell(struct nat_sockets *sockets, Slirp *slirp)
{
	slirp_pollfds_poll(slirp, 0, get_revents, sockets);
}

uint32_t nat_sockets_ask(struct nat_sockets *sockets, Slirp *slirp)
{
	uint32_t milliseconds = UINT32_MAX;
	struct nat_socket *socket;

	sockets->round++;
	sockets->asked_count = 0;
	slirp_pollfds_fill(slirp, &milliseconds, add_poll, sockets);
	LIST_FOREACH(socket, &sockets->list, next) {
		if (socket->round == sockets->round)
			continue;
		loop_watch_remove(sockets->loop, &socket->watch);
		socket->revents = 0;
	}
	return milliseconds;
}

void nat_sockets_forget(struct nat_sockets *sockets, int fd)
{
	struct nat_socket *socket = find_socket(sockets, fd);

	if (socket)
		forget_socket(socket);
}

void nat_sockets_clear(struct nat_sockets *sockets)
{
	struct nat_socket *socket;

	while ((socket = LIST_FIRST(&sockets->list)))
		forget_socket(socket);
	free(sockets->asked);
	free(sockets->by_fd);
	sockets->asked = sockets->by_fd = NULL;
	sockets->asked_count = sockets->asked_room = sockets->by_fd_room = 0;
}
