/* SPDX-License-Identifier: Apache-2.0 */
/* netlab-agent: the poll loop.
 *
 * The loop waits for the port, for ended children, and for the descriptors of channels that could be read or
 * written.  Whatever is not possible now (no window, no room for output) is simply not waited for.
 *
 * usage: netlab-agent [--socket PATH]
 * With --socket it connects to a Unix socket in place of the virtio port, which is how it is tested. */
#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The port, ended children, and three descriptors a channel. */
#define POLLERS_MAX (2 + 3 * CHANNELS_MAX)

enum role {
	ROLE_INPUT,
	ROLE_STDOUT,
	ROLE_STDERR,
};

struct pollers {
	nfds_t count;
	int timeout;
	struct pollfd entries[POLLERS_MAX];
	struct {
		struct channel *channel;
		enum role role;
	} owners[POLLERS_MAX];
};

/* Room for the answers to any one message? */
static bool can_answer(const struct agent *agent)
{
	return get_output_room(&agent->stream) >= OUTPUT_RESERVE;
}

static void add_poller(struct pollers *pollers, int fd, int events, struct channel *channel, enum role role)
{
	pollers->entries[pollers->count] = (struct pollfd){.fd = fd, .events = (short)events};
	pollers->owners[pollers->count].channel = channel;
	pollers->owners[pollers->count].role = role;
	pollers->count++;
}

static void add_channel(struct agent *agent, struct pollers *pollers, struct channel *channel, long long now)
{
	int timeout = get_command_timeout(channel, now);

	if (channel->input.fd >= 0 && channel->input.start < channel->input.end)
		add_poller(pollers, channel->input.fd, POLLOUT, channel, ROLE_INPUT);
	if (can_read_output(agent, channel, 0))
		add_poller(pollers, channel->output[0].fd, POLLIN, channel, ROLE_STDOUT);
	if (can_read_output(agent, channel, 1))
		add_poller(pollers, channel->output[1].fd, POLLIN, channel, ROLE_STDERR);
	if (timeout >= 0 && (pollers->timeout < 0 || timeout < pollers->timeout))
		pollers->timeout = timeout;
}

static void collect_pollers(struct agent *agent, struct pollers *pollers)
{
	const struct stream *stream = &agent->stream;
	int events = can_answer(agent) ? POLLIN : 0;

	if (stream->output_start < stream->output_end)
		events |= POLLOUT;
	pollers->count = 0;
	pollers->timeout = -1;
	add_poller(pollers, stream->fd, events, NULL, ROLE_INPUT);
	add_poller(pollers, agent->child_fd, POLLIN, NULL, ROLE_INPUT);
	for (size_t index = 0; index < CHANNELS_MAX; index++)
		if (agent->channels[index].id)
			add_channel(agent, pollers, &agent->channels[index], read_clock());
}

static void handle_messages(struct agent *agent)
{
	struct agent_header header;
	const uint8_t *payload;

	while (can_answer(agent) && next_message(&agent->stream, &header, &payload))
		handle_message(agent, &header, payload);
}

static void handle_channels(struct agent *agent, const struct pollers *pollers)
{
	for (nfds_t index = 2; index < pollers->count; index++) {
		struct channel *channel = pollers->owners[index].channel;
		enum role role = pollers->owners[index].role;

		if (!pollers->entries[index].revents)
			continue;
		if (role == ROLE_INPUT)
			write_channel_input(channel);
		else if (can_read_output(agent, channel, role == ROLE_STDERR))
			read_channel_output(agent, channel, role == ROLE_STDERR);
	}
}

/* One turn.  Channels are served before messages, which may end or replace them. */
static void run_once(struct agent *agent, struct pollers *pollers)
{
	struct stream *stream = &agent->stream;

	collect_pollers(agent, pollers);
	if (poll(pollers->entries, pollers->count, pollers->timeout) < 0) {
		if (errno != EINTR)
			stream->lost = true;
		return;
	}
	handle_channels(agent, pollers);
	if (pollers->entries[1].revents)
		reap_commands(agent);
	if (pollers->entries[0].revents & POLLIN)
		read_stream(stream);
	else if (pollers->entries[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		stream->lost = true;
	handle_messages(agent);
	for (size_t index = 0; index < CHANNELS_MAX; index++)
		if (agent->channels[index].id)
			advance_channel(agent, &agent->channels[index]);
	if (!stream->lost)
		flush_stream(stream);
}

static void greet(struct agent *agent)
{
	struct timespec now;
	struct utsname name;
	char text[512];
	int length;

	clock_gettime(CLOCK_BOOTTIME, &now);
	uname(&name);
	length = snprintf(text, sizeof(text), "version %u\nuptime %lld.%06ld\nkernel %s\n", AGENT_PROTOCOL_VERSION,
			  (long long)now.tv_sec, now.tv_nsec / 1000, name.release);
	if (agent->port.init_time)
		length += snprintf(text + length, sizeof(text) - (size_t)length, "init %.32s\n", agent->port.init_time);
	put_message(&agent->stream, 0, AGENT_HELLO, text, (size_t)length);
	flush_stream(&agent->stream);
}

/* One connection, from greeting to loss. */
static void serve(struct agent *agent, struct pollers *pollers)
{
	int fd = open_port(&agent->port);

	if (wait_port_connected(&agent->port, fd)) {
		reset_stream(&agent->stream, fd);
		greet(agent);
		while (!agent->stream.lost)
			run_once(agent, pollers);
		drop_channels(agent);
	}
	close(fd);
}

static int open_child_signal(void)
{
	sigset_t signals;

	/* SIGTERM is for others when the guest shuts down: the agent reports until the end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

static char *take_init_time(void)
{
	const char *text = getenv("NETLAB_INIT_TIME");
	char *copy = text ? strdup(text) : NULL;

	unsetenv("NETLAB_INIT_TIME");
	return copy;
}

int main(int count, char **words)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	struct pollers *pollers = calloc(1, sizeof(*pollers));

	if (!agent || !pollers)
		return 1;
	if (count == 3 && !strcmp(words[1], "--socket")) {
		agent->port.socket_path = words[2];
	} else if (count != 1) {
		fprintf(stderr, "usage: netlab-agent [--socket PATH]\n");
		return 2;
	}
	agent->port.init_time = take_init_time();
	agent->child_fd = open_child_signal();
	if (agent->child_fd < 0)
		return 1;
	for (;;)
		serve(agent, pollers);
}
