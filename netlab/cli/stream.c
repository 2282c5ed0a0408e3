/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "netlab/base64.h"
#include "netlab/cli/cli.h"

#define READ_SIZE 24576u
#define QUIET_MILLISECONDS 3000

void stream_request(struct stream *stream, const char *command, json_t *members)
{
	json_t *message = members ? members : json_object();

	if (message) {
		json_object_set_new(message, "id", json_integer(stream->id));
		json_object_set_new(message, "command", json_string(command));
	}
	client_send(stream->client, message);
}

void stream_leave(struct stream *stream, int signal_number)
{
	stream->end = STREAM_LEFT;
	stream->end_signal = signal_number;
}

void stream_leave_after(struct stream *stream, int signal_number, long long milliseconds)
{
	stream->leave_at = cli_milliseconds() + milliseconds;
	stream->end_signal = signal_number;
}

static void catch_signals(struct stream *stream)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, &stream->mask_before);
	stream->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
}

static void release_signals(struct stream *stream)
{
	if (stream->signal_fd >= 0)
		close(stream->signal_fd);
	sigprocmask(SIG_SETMASK, &stream->mask_before, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static void take_signal(struct stream *stream)
{
	struct signalfd_siginfo info;
	int number;

	if (read(stream->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	number = (int)info.ssi_signo;
	if (stream->signalled)
		stream->signalled(stream, number);
	else if (number != SIGWINCH)
		stream_leave(stream, number);
}

static void close_input(struct stream *stream)
{
	stream->input_open = false;
	if (stream->input_end == STREAM_TELLS)
		stream_request(stream, "end-input", NULL);
	else if (stream->input_end == STREAM_LEAVES)
		stream->quiet_since = cli_milliseconds();
}

static void read_input(struct stream *stream)
{
	uint8_t data[READ_SIZE];
	char text[BASE64_SIZE(READ_SIZE)];
	ssize_t size = read(stream->input, data, stream->window < READ_SIZE ? stream->window : READ_SIZE);
	size_t wanted;

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (size <= 0) {
		close_input(stream);
		return;
	}
	wanted = stream->filter ? stream->filter(stream, data, (size_t)size) : (size_t)size;
	if (!wanted)
		return;
	base64_encode(data, wanted, text);
	stream_request(stream, "input", json_pack("{s:s#}", "data", text, (int)BASE64_SIZE(wanted)));
	stream->window -= wanted;
}

/* Writes a piece of what waits, not more than a pipe that polled as writable takes without blocking. */
static void write_output(struct stream *stream)
{
	size_t size = stream->waiting_size - stream->waiting_start;
	ssize_t written = write(stream->waiting_fd, stream->waiting + stream->waiting_start,
				size < PIPE_BUF ? size : PIPE_BUF);

	if (written < 0 && errno != EINTR && errno != EAGAIN) {
		stream->end = STREAM_BROKEN;
		error_set(&stream->error, ERROR_FAILED, errno, "cannot write the output: %s", strerror(errno));
		stream->end_signal = errno == EPIPE ? SIGPIPE : 0;
	}
	if (written > 0)
		stream->waiting_start += (size_t)written;
	if (stream->waiting_start == stream->waiting_size)
		stream->waiting_size = stream->waiting_start = 0;
}

static void take_output(struct stream *stream, const json_t *message)
{
	const json_t *data = json_object_get(message, "data");
	size_t length = json_string_length(data);
	bool is_error = !strcmp(cli_string(message, "stream"), "stderr");
	uint8_t *larger = realloc(stream->waiting, length + 1);
	ssize_t size;

	if (!larger) {
		stream->end = STREAM_FAILED;
		error_set(&stream->error, ERROR_FAILED, ENOMEM, "out of memory");
		return;
	}
	stream->waiting = larger;
	size = length ? base64_decode(json_string_value(data), length, stream->waiting) : 0;
	stream->waiting_fd = is_error ? stream->error_output : stream->output;
	stream->waiting_start = 0;
	stream->waiting_size = size > 0 && stream->waiting_fd >= 0 ? (size_t)size : 0;
	if (stream->quiet_since)
		stream->quiet_since = cli_milliseconds();
}

static void take_event(struct stream *stream, const json_t *message)
{
	const char *event = cli_string(message, "event");

	if (!strcmp(event, "output"))
		take_output(stream, message);
	else if (!strcmp(event, "credit"))
		stream->window += (size_t)json_integer_value(json_object_get(message, "bytes"));
	else if (!strcmp(event, "started"))
		stream->window = (size_t)json_integer_value(json_object_get(message, "window"));
	else if (!strcmp(event, "mode") && stream->mode &&
		 !stream->mode(stream, (int)json_integer_value(json_object_get(message, "mode"))))
		stream->end = STREAM_BROKEN;
}

static void take_message(struct stream *stream, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");

	if (id && json_integer_value(id) != stream->id)
		return;
	if (json_object_get(message, "event")) {
		take_event(stream, message);
	} else if (json_object_get(message, "result")) {
		stream->result = json_incref(json_object_get(message, "result"));
		stream->end = STREAM_FINISHED;
	} else {
		client_set_error(stream->client, message, &stream->error);
		stream->end = STREAM_FAILED;
	}
}

static void take_messages(struct stream *stream)
{
	while (stream->end == STREAM_RUNNING && !stream->waiting_size) {
		json_t *message = client_next(stream->client);

		if (!message)
			break;
		take_message(stream, message);
		json_decref(message);
	}
	if (stream->end == STREAM_RUNNING && !stream->waiting_size && stream->client->ended) {
		client_set_error(stream->client, NULL, &stream->error);
		stream->end = STREAM_FAILED;
	}
}

/* When to leave, in milliseconds; 0: not as far as is known. */
static long long next_deadline(const struct stream *stream)
{
	if (stream->leave_at)
		return stream->leave_at;
	return stream->quiet_since && !stream->waiting_size ? stream->quiet_since + QUIET_MILLISECONDS : 0;
}

/* Waits until something can be done, and does it. */
static void turn(struct stream *stream)
{
	bool has_waiting = stream->waiting_size > 0;
	bool wants_input = stream->input_open && stream->window > 0;
	struct pollfd fds[4] = {
		{.fd = stream->signal_fd, .events = POLLIN},
		{.fd = has_waiting ? -1 : stream->client->fd, .events = POLLIN},
		{.fd = has_waiting ? stream->waiting_fd : -1, .events = POLLOUT},
		{.fd = wants_input ? stream->input : -1, .events = POLLIN},
	};
	long long deadline = next_deadline(stream);
	long long left = deadline - cli_milliseconds();

	if (deadline && left <= 0) {
		stream_leave(stream, stream->leave_at ? stream->end_signal : 0);
		return;
	}
	if (poll(fds, 4, deadline ? (int)left : -1) < 0)
		return;
	if (fds[0].revents)
		take_signal(stream);
	if (fds[2].revents && stream->end == STREAM_RUNNING)
		write_output(stream);
	if (fds[1].revents)
		client_fill(stream->client);
	if (fds[3].revents && stream->end == STREAM_RUNNING)
		read_input(stream);
}

void stream_run(struct stream *stream, json_t *request)
{
	stream->id = client_new_id(stream->client);
	stream->end = STREAM_RUNNING;
	if (!request) {
		stream->end = STREAM_FAILED;
		error_set(&stream->error, ERROR_USAGE, EILSEQ,
			  "an argument is not UTF-8, which is all the control protocol can carry");
		return;
	}
	catch_signals(stream);
	json_object_set_new(request, "id", json_integer(stream->id));
	client_send(stream->client, request);
	stream->input_open = stream->input >= 0;
	if (!stream->input_open)
		close_input(stream);
	for (;;) {
		take_messages(stream);
		if (stream->end != STREAM_RUNNING)
			break;
		turn(stream);
	}
	release_signals(stream);
}

void stream_free(struct stream *stream)
{
	json_decref(stream->result);
	free(stream->waiting);
	stream->result = NULL;
	stream->waiting = NULL;
}
