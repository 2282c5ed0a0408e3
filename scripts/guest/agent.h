/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_GUEST_AGENT_H
#define NETLAB_GUEST_AGENT_H 1

/* netlab-agent, the host's hand in a guest: it speaks the protocol of netlab/agent_protocol.h.
 *
 * agent.c      the poll loop
 * port.c       finds and opens the virtio port, waits for the host
 * stream.c     messages from and to bytes, in two buffers of fixed size
 * channel.c    channels: opening, flow control, moving data, ending
 * command.c    AGENT_EXEC: pipes, terminals, starting and ending processes
 * file.c       AGENT_READ_FILE and AGENT_WRITE_FILE
 * configure.c  AGENT_CONFIGURE, with the network half in netlink.c
 *
 * One process, one thread, one loop.  Nothing is queued without a bound: the agent reads from the host only
 * while its output buffer has room for the answers, and from a command only while the channel's window and
 * the output buffer have room.  System calls are few, as they are dear where ring 0 is emulated. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent_protocol.h"

#define CHANNELS_MAX 64
#define INPUT_SIZE (2 * (AGENT_MESSAGE_MAX + sizeof(struct agent_header)))
#define OUTPUT_SIZE (128 * 1024)

/* Room in the output buffer that only answers may use, never data of commands and files. */
#define OUTPUT_RESERVE (24 * 1024)

/* Longest text of the errors of one AGENT_CONFIGURE message. */
#define ERRORS_SIZE (16 * 1024)

struct stream {
	int fd;
	bool lost; /* The connection ended, or a message broke the rules: to be closed and opened again. */
	size_t input_start, input_end;
	size_t output_start, output_end;
	uint8_t input[INPUT_SIZE];
	uint8_t output[OUTPUT_SIZE];
};

/* Where the agent's port is. */
struct port {
	const char *socket_path; /* A Unix socket in place of the virtio port, for tests; or NULL. */
	const char *init_time;   /* CLOCK_BOOTTIME at which init started, or NULL when it was not init that did. */
	char device[64];         /* The virtio port's device file, once found. */
};

enum channel_kind {
	CHANNEL_COMMAND = 1,
	CHANNEL_READER,
	CHANNEL_WRITER,
};

/* Data from the host on the way to a command's standard input or a file. */
struct channel_input {
	int fd;            /* -1 when closed. */
	uint8_t *data;     /* What the descriptor did not take yet. */
	size_t start, end; /* Of the data. */
	size_t size;       /* Of the allocation. */
	uint32_t consumed; /* Taken, and not yet given back as credit. */
	bool ended;        /* AGENT_STDIN_END came. */
	bool refused;      /* Nobody reads any more: what comes is dropped. */
};

/* Data of a command or a file on the way to the host. */
struct channel_output {
	int fd;     /* -1 when closed. */
	int unread; /* What the command had left here when it ended, and was not sent yet. */
};

struct channel {
	uint32_t id; /* 0: free. */
	enum channel_kind kind;
	uint32_t window; /* Bytes that may be sent to the host. */
	struct channel_input input;
	struct channel_output output[2]; /* AGENT_STDOUT and AGENT_STDERR. */

	pid_t pid; /* The command's process and group, 0 when it has ended. */
	bool terminal;
	long long ended; /* When the command ended, milliseconds of CLOCK_MONOTONIC. */

	char *path; /* The file written, and the one it is written to until it is whole. */
	char *temporary;
	uint32_t mode;

	bool finished; /* Only the error text and AGENT_EXIT are left to send. */
	uint32_t status, signal;
	char error[512];
};

struct agent {
	struct port port;
	struct stream stream;
	struct channel channels[CHANNELS_MAX];
	int child_fd; /* signalfd for SIGCHLD. */
};

/* port.c */
int open_port(struct port *port);
bool wait_port_connected(const struct port *port, int fd);

/* stream.c */
void reset_stream(struct stream *stream, int fd);
void read_stream(struct stream *stream);
void flush_stream(struct stream *stream);
bool next_message(struct stream *stream, struct agent_header *header, const uint8_t **payload);
size_t get_output_room(const struct stream *stream);
uint8_t *begin_message(struct stream *stream, size_t length);
void commit_message(struct stream *stream, uint32_t channel, uint16_t type, size_t length);
void put_message(struct stream *stream, uint32_t channel, uint16_t type, const void *payload, size_t length);

/* channel.c */
void handle_message(struct agent *agent, const struct agent_header *header, const uint8_t *payload);
void write_channel_input(struct channel *channel);
void read_channel_output(struct agent *agent, struct channel *channel, unsigned int which);
void advance_channel(struct agent *agent, struct channel *channel);
void drop_channels(struct agent *agent);
bool can_read_output(const struct agent *agent, const struct channel *channel, unsigned int which);
void fail_channel(struct channel *channel, uint32_t status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* command.c */
bool open_command(struct channel *channel, const uint8_t *payload, size_t length);
void reap_commands(struct agent *agent);
bool is_command_done(const struct channel *channel, long long now);
int get_command_timeout(const struct channel *channel, long long now);
void signal_command(const struct channel *channel, uint32_t number);
void resize_command(const struct channel *channel, uint16_t rows, uint16_t columns);
long long read_clock(void);

/* file.c */
bool open_reader(struct agent *agent, struct channel *channel, const uint8_t *payload, size_t length);
bool open_writer(struct channel *channel, const uint8_t *payload, size_t length);
void finish_writer(struct channel *channel);

/* configure.c */
struct errors {
	size_t length;
	char text[ERRORS_SIZE];
};

void add_error(struct errors *errors, const char *format, ...) __attribute__((format(printf, 2, 3)));
void configure(const char *text, size_t length, struct errors *errors);

/* netlink.c */
struct interface_request {
	uint8_t mac[6];
	uint8_t present[6]; /* What it has until it is given that. */
	char name[16];
	uint32_t mtu;
};

int open_netlink(void);
int park_link(int fd, const uint8_t *mac);
void apply_interfaces(int fd, const struct interface_request *requests, size_t count, bool may_wait,
		      struct errors *errors);
int add_address(int fd, const char *name, int family, const void *address, unsigned int prefix);

#endif /* agent.h */
