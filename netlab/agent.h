/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_AGENT_H
#define NETLAB_AGENT_H 1

/* The host's end of the agent protocol
 * ====================================
 *
 * One struct agent per node speaks netlab/agent_protocol.h over a byte stream (the node's virtio-console port), and
 * offers channels: a command running in the guest, or a file being read or written.
 *
 * What comes from the guest is not trusted: a message that breaks the rules ends the connection (all channels end
 * with AGENT_LOST) until the guest's agent greets again.
 *
 * Memory is bounded: a channel holds at most AGENT_WINDOW bytes a direction, and who reads slowly stalls
 * that channel only, by calling agent_channel_consumed() late.
 *
 * Thread-safety: all of it belongs to the control loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent;
struct agent_channel;
struct state;

/* Exit status of a channel whose connection was lost. */
#define AGENT_LOST (-1)

/* Bytes that may wait for the guest to take them, beyond which it is taken for dead. */
#define AGENT_BACKLOG_MAX (64u << 20)

/* What an agent is connected to. */
struct agent_transport {
	/* Sends bytes to the guest; returns how many were taken.  agent_resume() says when more may be. */
	size_t (*send)(void *opaque, const uint8_t *data, size_t size);
	/* The guest's agent has greeted: channels may be opened. */
	void (*greeted)(void *opaque);
	/* The connection is lost; all channels have ended.  'reason' is "" when the guest closed it. */
	void (*lost)(void *opaque, const char *reason);
	void *opaque;
};

/* Returns NULL when out of memory. */
struct agent *agent_create(const struct agent_transport *transport);
/* Ends all channels (AGENT_LOST) and frees it. */
void agent_destroy(struct agent *agent);
/* Bytes came from the guest. */
void agent_receive(struct agent *agent, const uint8_t *data, size_t size);
/* The guest can take more. */
void agent_resume(struct agent *agent);
/* The guest opened or closed the port. */
void agent_opened(struct agent *agent, bool open);
/* True between greeting and loss. */
bool agent_is_connected(const struct agent *agent);
/* What the guest's agent said of itself: "uptime" (seconds its kernel had run), "init"; 0 if it did not. */
double agent_greeting_value(const struct agent *agent, const char *key);
/* The greeting as the guest's agent sent it, and one given as if it had just been sent: a guest that goes on where
 * another was does not greet again. */
const char *agent_greeting(const struct agent *agent);
void agent_greet(struct agent *agent, const char *greeting);

/* The connection as it stands, messages that are only half there included.  Channels that were open go on in the guest
 * when it is restored, but nobody hears what they say.  Nothing is told of what is restored.  An agent that is restored
 * is a new one, and stays so when the state is bad. */
void agent_save(const struct agent *agent, struct state *state);
void agent_restore(struct agent *agent, struct state *state);

struct agent_channel_ops {
	/* Bytes of standard output (or of the file), or of standard error.  The receiver owes
	 * agent_channel_consumed() for all of them, when it has passed them on. */
	void (*output)(void *opaque, bool is_error, const uint8_t *data, size_t size);
	/* agent_channel_write() can take bytes again after it took fewer than given.  May be NULL. */
	void (*writable)(void *opaque);
	/* Permission bits of the file that is read, at most once and before output.  May be NULL. */
	void (*file_mode)(void *opaque, unsigned int mode);
	/* The last call: status 0 to 255, or AGENT_LOST; 'signal' is the signal that killed the command, or 0.
	 * The channel is freed after it. */
	void (*ended)(void *opaque, int status, int signal);
};

struct agent_terminal { /* NULL where no terminal is wanted. */
	uint16_t rows, columns;
};

/* 'ops' may be NULL: then nobody hears what becomes of it, and the result only says whether it was asked for.
 *
 * Each returns a new channel, or NULL when the agent is not connected or the message would be too long.  argv and
 * environment end with NULL; 'mode' is for a file that is not there yet. */
struct agent_channel *agent_exec(struct agent *agent, const char *const *argv, const char *const *environment,
				 const struct agent_terminal *terminal, const struct agent_channel_ops *ops,
				 void *opaque);
struct agent_channel *agent_read_file(struct agent *agent, const char *path, const struct agent_channel_ops *ops,
				      void *opaque);
struct agent_channel *agent_write_file(struct agent *agent, const char *path, unsigned int mode,
				       const struct agent_channel_ops *ops, void *opaque);
struct agent_channel *agent_configure(struct agent *agent, const char *lines, const struct agent_channel_ops *ops,
				      void *opaque);

/* Sends input; returns how many bytes were taken (0 to 'size', and 0 after the end of input). */
size_t agent_channel_write(struct agent_channel *channel, const uint8_t *data, size_t size);
/* Once is enough; more do nothing. */
void agent_channel_end_input(struct agent_channel *channel);
void agent_channel_consumed(struct agent_channel *channel, size_t size);
void agent_channel_signal(struct agent_channel *channel, int signal_number);
void agent_channel_resize(struct agent_channel *channel, uint16_t rows, uint16_t columns);

/* The other end has gone: hangs up on the command, or leaves the file that was to be written as it was; drops what
 * still comes, and calls no more ops. */
void agent_channel_abandon(struct agent_channel *channel);

#endif /* agent.h */
