/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_AGENT_PROTOCOL_H
#define NETLAB_AGENT_PROTOCOL_H 1

/* The agent protocol
 * ==================
 *
 * netlabd and the netlab-agent of a guest talk over one virtio-console port, named AGENT_PORT_NAME.  The
 * port is a reliable byte stream in both directions; it works when the node's network does not.  This header
 * is shared by both sides and includes nothing of the host's, so that the agent can be built against musl.
 *
 * Each message is a struct agent_header, little-endian, followed by 'length' bytes of payload.
 *
 * Everything but AGENT_HELLO happens on a channel, a number the host chooses (1 to 2^32-1) and may use again
 * once the agent has ended it with AGENT_EXIT.  A channel is opened by AGENT_CONFIGURE, AGENT_EXEC,
 * AGENT_READ_FILE or AGENT_WRITE_FILE, and always ends with exactly one AGENT_EXIT from the agent.  Messages
 * on a channel that is not open are ignored by the agent (the host may still be sending to one that ended).
 *
 * Flow control: AGENT_STDIN payload bytes (host to agent), and AGENT_STDOUT plus AGENT_STDERR payload bytes
 * (agent to host) may be outstanding up to AGENT_WINDOW bytes per channel and direction.  The receiver returns
 * AGENT_CREDIT as it consumes them.  So a reader that stops stalls its own channel and no other.
 *
 * Either side that receives a message breaking these rules treats the connection as lost: the agent closes
 * and reopens the port, and greets again; the host forgets all channels when the port closes.
 */

#include <stdint.h>

#define AGENT_PORT_NAME "org.netlab.agent"
#define AGENT_PROTOCOL_VERSION 1u

/* Longest payload of one message, in bytes. */
#define AGENT_MESSAGE_MAX 32768u

/* Bytes of stream data that may be unacknowledged on one channel in one direction. */
#define AGENT_WINDOW 262144u

struct agent_header {
	uint32_t length;  /* Bytes of payload that follow, at most AGENT_MESSAGE_MAX. */
	uint32_t channel; /* 0 for AGENT_HELLO only. */
	uint16_t type;    /* enum agent_message_type. */
	uint16_t reserved;
};

enum agent_message_type {
	/* Agent to host, once, when the agent has opened the port.  Payload: text lines "KEY VALUE\n":
	 * "version 1", "uptime SECONDS.FRACTION" (CLOCK_BOOTTIME), "kernel RELEASE", "init SECONDS.FRACTION"
	 * (CLOCK_BOOTTIME at which init started).  Unknown keys are ignored. */
	AGENT_HELLO = 1,

	/* Host to agent, opens a channel.  Payload: text lines, done in order; the agent answers failures as
	 * AGENT_STDERR text, one line each, goes on with the next line, and ends the channel with status 0
	 * when all lines were done and 1 otherwise.
	 *   hostname NAME
	 *   machine-id HEX32              writes /etc/machine-id
	 *   time SECONDS.NANOSECONDS      sets CLOCK_REALTIME
	 *   entropy HEX                   RNDADDENTROPY and RNDRESEEDCRNG
	 *   rescan                        PCI bus rescan
	 *   park MAC                      waits a moment for a link with this MAC, and sets it up without IPv6, so that
	 *                                 nothing is sent on it
	 *   interface MAC NAME MTU [NOW]  finds the link with this MAC, renames it NAME, sets MTU, sets it up; or one
	 *                                 that was parked with MAC NOW, which it gives MAC and IPv6 as well
	 *   address NAME CIDR             adds an IPv4 or IPv6 address (IPv6 without duplicate detection)
	 *   sysctl KEY VALUE              KEY with dots (a '/' stands for a dot within a name, as
	 *                                 sysctl(8) has it), VALUE to the end of the line
	 *   host ADDRESS NAME             adds a line to /etc/hosts
	 *   console                       somebody is at the console: has init start a shell there.  Only where the
	 *                                 greeting has "init"
	 * All "interface" lines of one message are renamed together, so that names may be swapped. */
	AGENT_CONFIGURE = 2,

	/* Host to agent, opens a channel.  Payload: u32 flags (AGENT_EXEC_*), u16 rows, u16 columns, u32
	 * number of arguments, then NUL-terminated strings: argv[0], argv[1], ... as many as that, then environment
	 * "KEY=VALUE" strings up to the end; whatever fits into a message.  The command is looked for in PATH and runs
	 * in its own session, in $HOME. */
	AGENT_EXEC = 3,

	/* Host to agent, opens a channel.  Payload: NUL-terminated path.  The file comes as AGENT_STDOUT, its
	 * mode (octal permission bits) as the payload of AGENT_FILE_MODE before that; errors as AGENT_STDERR
	 * text and a status of 1. */
	AGENT_READ_FILE = 4,

	/* Host to agent, opens a channel.  Payload: u32 mode (permission bits of a new file; one that is there keeps
	 * its mode and owner), NUL-terminated path.  Missing parent folders are made.  Data come as AGENT_STDIN, ended
	 * by AGENT_STDIN_END; the file is replaced by rename when all came, unless it is not a regular file, which is
	 * then written to. */
	AGENT_WRITE_FILE = 5,

	AGENT_STDIN = 6,     /* Host to agent.  Payload: bytes. */
	AGENT_STDIN_END = 7, /* Host to agent.  End of file on standard input; said again it means nothing. */
	AGENT_STDOUT = 8,    /* Agent to host.  Payload: bytes, at least one. */
	AGENT_STDERR = 9,    /* Agent to host.  Payload: bytes, at least one. */
	AGENT_CREDIT = 10,   /* Both ways.  Payload: u32 bytes consumed. */

	/* Host to agent.  Payload: u32 signal number, for the command's process group.  A file being read or written is
	 * given up at any signal: the channel ends with a status of 1, and a file that was to be replaced stays. */
	AGENT_SIGNAL = 11,

	AGENT_RESIZE = 12,    /* Host to agent.  Payload: u16 rows, u16 columns of the terminal. */
	AGENT_FILE_MODE = 13, /* Agent to host.  Payload: u32 mode.  Once, for AGENT_READ_FILE only. */

	/* Agent to host, ends the channel.  Payload: u32 exit status, u32 number of the signal that killed the
	 * command or 0.  A command that could not be started: AGENT_STDERR text and status 127 (not found) or 126. */
	AGENT_EXIT = 14,
};

/* Run the command on a pseudo-terminal of the given size; its output is all AGENT_STDOUT. */
#define AGENT_EXEC_TERMINAL 1u

#endif /* agent_protocol.h */
