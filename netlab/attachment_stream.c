/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/attachment_internal.h"
#include "netlab/frame_stream.h"
#include "netlab/socket_path.h"

/* Theory of operation
 * -------------------
 * A peer, such as QEMU with "-netdev stream", is at the other end of a stream socket.  We listen and it connects, or
 * we connect, and try again until it listens.  It may leave and come back:
 *
 *      waiting (listening, or a timer of ours) -> connected -> (end of file, error, nonsense) -> waiting
 *
 * While one is connected the listener is not looked at, so the next one waits in the kernel's queue until the first
 * has gone.  The port has something plugged in only while a peer is there: without one its network forgets what it
 * learnt of it, as with a cable that is pulled.
 *
 * Frames for the peer are collected and sent at the end of the turn.  What it does not read in time fills first the
 * socket's buffer, then ours, and then is dropped. */

#define RETRY_NANOSECONDS 1000000000ull
#define WAITING_MAX 1 /* Peers in the listener's queue. */

/* Bytes that are taken before others have their turn: they may be many frames. */
#define RECEIVED_AT_ONCE (32u << 10)

struct stream {
	struct attachment base;
	struct socket_path path;
	struct loop_watch listener, peer; /* Descriptors of -1: none. */
	struct loop_timer retry;
	bool is_sending; /* The socket's buffer is full. */
	struct frame_reader reader;
	struct frame_writer writer;
};

static const struct port_ops port_ops;

static struct stream *stream_of(struct attachment *attachment)
{
	return (struct stream *)attachment;
}

static int open_stream(struct attachment *attachment, struct error *error)
{
	struct stream *stream = stream_of(attachment);
	const struct topology_attachment *topology = attachment->topology;
	struct sockaddr_un address;
	int result;

	stream->listener.fd = stream->peer.fd = -1;
	if (topology->connects)
		return socket_path_address(topology->path, &address, error);
	stream->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (stream->listener.fd < 0)
		return error_set(error, ERROR_FAILED, errno, "%s: no socket: %s", topology->name, strerror(errno));
	result = socket_path_bind(&stream->path, stream->listener.fd, SOCK_STREAM, topology->path, error);
	if (result == 0 && listen(stream->listener.fd, WAITING_MAX) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot listen at %s: %s", topology->path,
				   strerror(errno));
	return result;
}

static void close_stream(struct attachment *attachment)
{
	struct stream *stream = stream_of(attachment);

	if (stream->listener.fd >= 0)
		close(stream->listener.fd);
	socket_path_remove(&stream->path, attachment->topology->path);
}

/* A peer comes and goes. */

/* Waits for the next peer. */
static void wait_for_peer(struct stream *stream)
{
	struct attachment *base = &stream->base;

	if (stream->listener.fd < 0)
		loop_timer_set(base->loop, &stream->retry, loop_now() + RETRY_NANOSECONDS);
	else if (!stream->listener.added && loop_watch_add(base->loop, &stream->listener, EPOLLIN) < 0)
		log_limited(&base->log_limit, "%s: the socket cannot be watched", base->topology->name);
}

static void part(struct stream *stream)
{
	if (stream->peer.fd < 0)
		return;
	port_plug(stream->base.port, NULL, NULL);
	loop_watch_remove(stream->base.loop, &stream->peer);
	close(stream->peer.fd);
	stream->peer.fd = -1;
	stream->is_sending = false;
	stream->reader.size = 0;
	stream->writer.begin = stream->writer.end = 0;
}

static void lose_peer(struct stream *stream, const char *reason)
{
	log_limited(&stream->base.log_limit, "%s: the peer has gone: %s", stream->base.topology->name, reason);
	part(stream);
	wait_for_peer(stream);
}

/* Takes the descriptor. */
static void meet_peer(struct stream *stream, int fd)
{
	struct attachment *base = &stream->base;

	stream->peer.fd = fd;
	if (loop_watch_add(base->loop, &stream->peer, EPOLLIN) < 0) {
		lose_peer(stream, "its socket cannot be watched");
		return;
	}
	loop_watch_remove(base->loop, &stream->listener);
	port_plug(base->port, &port_ops, stream);
	log_limited(&base->log_limit, "%s: a peer is connected", base->topology->name);
}

static void on_connection(void *opaque, uint32_t events)
{
	struct stream *stream = opaque;
	int fd = accept4(stream->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0) {
		meet_peer(stream, fd);
	} else if (errno != EAGAIN && errno != ECONNABORTED) {
		/* No descriptor is left: it would only be ready again at once. */
		loop_watch_remove(stream->base.loop, &stream->listener);
		loop_timer_set(stream->base.loop, &stream->retry, loop_now() + RETRY_NANOSECONDS);
	}
}

/* Connects, or tries again later. */
static void reach_out(struct stream *stream)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && socket_path_address(stream->base.topology->path, &address, NULL) == 0 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		meet_peer(stream, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	wait_for_peer(stream);
}

/* loop_function */
static void try_again(void *opaque)
{
	struct stream *stream = opaque;

	if (stream->listener.fd >= 0)
		wait_for_peer(stream);
	else
		reach_out(stream);
}

/* Frames. */

static void take_frame(void *opaque, const uint8_t *frame, size_t size)
{
	attachment_transmit(opaque, frame, size);
}

static void receive(struct stream *stream)
{
	size_t room;
	uint8_t *to = frame_reader_room(&stream->reader, &room);
	ssize_t got = recv(stream->peer.fd, to, room < RECEIVED_AT_ONCE ? room : RECEIVED_AT_ONCE, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		lose_peer(stream, got == 0 ? "it closed the connection" : strerror(errno));
	else if (!frame_reader_add(&stream->reader, (size_t)got, take_frame, &stream->base))
		lose_peer(stream, "it sent a frame that is longer than any can be");
}

/* Sends what there is, as far as the socket takes it. */
static void send_frames(struct stream *stream)
{
	size_t size;
	const uint8_t *bytes = frame_writer_bytes(&stream->writer, &size);
	ssize_t sent = size > 0 ? send(stream->peer.fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	bool is_sending;

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		lose_peer(stream, strerror(errno));
		return;
	}
	if (sent > 0)
		frame_writer_sent(&stream->writer, (size_t)sent);
	frame_writer_bytes(&stream->writer, &size);
	is_sending = size > 0;
	if (is_sending != stream->is_sending)
		loop_watch_change(stream->base.loop, &stream->peer, is_sending ? EPOLLIN | EPOLLOUT : EPOLLIN);
	stream->is_sending = is_sending;
}

static void on_ready(void *opaque, uint32_t events)
{
	struct stream *stream = opaque;

	if (events & EPOLLOUT)
		send_frames(stream);
	if (stream->peer.fd >= 0 && events & ~(uint32_t)EPOLLOUT)
		receive(stream);
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct stream *stream = opaque;

	return frame_writer_add(&stream->writer, frame) ? PORT_DELIVERED : PORT_QUEUE_FULL;
}

static void flush(void *opaque)
{
	struct stream *stream = opaque;

	if (!stream->is_sending)
		send_frames(stream);
}

/* Bytes that wait for the peer. */
static uint32_t limit(void *opaque, enum port_result result)
{
	const struct stream *stream = opaque;
	size_t size;

	frame_writer_bytes(&stream->writer, &size);
	return result == PORT_QUEUE_FULL ? (uint32_t)size : 0;
}

static const struct port_ops port_ops = {.deliver = deliver, .flush = flush, .limit = limit};

/* Life. */

static int plug(struct attachment *attachment)
{
	struct stream *stream = stream_of(attachment);

	stream->listener.ready = on_connection;
	stream->peer.ready = on_ready;
	stream->listener.opaque = stream->peer.opaque = stream;
	stream->retry = (struct loop_timer){.function = try_again, .opaque = stream};
	if (stream->listener.fd >= 0)
		return loop_watch_add(attachment->loop, &stream->listener, EPOLLIN);
	reach_out(stream);
	return 0;
}

static void unplug(struct attachment *attachment)
{
	struct stream *stream = stream_of(attachment);

	part(stream);
	loop_watch_remove(attachment->loop, &stream->listener);
	loop_timer_cancel(attachment->loop, &stream->retry);
}

static void describe(const struct attachment *attachment, struct attachment_status *status)
{
	const struct stream *stream = (const struct stream *)attachment;

	status->state = stream->peer.fd >= 0           ? "connected" :
			attachment->topology->connects ? "connecting" :
							 "listening";
	frame_writer_bytes(&stream->writer, &status->queued);
}

const struct attachment_ops attachment_stream_ops = {
	.size = sizeof(struct stream),
	.open = open_stream,
	.close = close_stream,
	.plug = plug,
	.unplug = unplug,
	.describe = describe,
};
