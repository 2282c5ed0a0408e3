/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_PCAPNG_H
#define NETLAB_PCAPNG_H 1

/* Writing pcapng
 * ==============
 *
 * Blocks of the PCAP Next Generation capture file format (draft-ietf-opsawg-pcapng), as bytes: libpcap reads the format
 * and does not write it.  Every function puts one whole block, options and padding included, at 'to', which has 'room'
 * bytes, and returns its size, a multiple of 4; or 0 when there is not enough room, and then what is at 'to' is
 * undefined.  Numbers are in this machine's byte order, as the format has it.
 *
 * All interfaces are Ethernet (LINKTYPE_ETHERNET) and count time in nanoseconds since the epoch (if_tsresol 9).  An
 * interface's number is its place among the interfaces of its section, from 0 on.
 *
 * Nothing is allocated, nothing but the arguments is read, and no function of the C library is called that may not be
 * called in a signal handler: what a process that crashes has recorded is written by the handler.
 *
 * Thread-safety: any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any block but that of a packet and of names, when its texts are no longer than PCAPNG_TEXT_MAX bytes;
 * longer ones are cut. */
#define PCAPNG_TEXT_MAX 1024
#define PCAPNG_BLOCK_MAX (4 * (PCAPNG_TEXT_MAX + 8) + 128)

/* Room for a packet's block beside its bytes. */
#define PCAPNG_PACKET_MAX (PCAPNG_BLOCK_MAX + 64)

/* Section Header Block: the file's beginning.  Each text may be NULL. */
struct pcapng_section {
	const char *hardware;    /* shb_hardware */
	const char *system;      /* shb_os */
	const char *application; /* shb_userappl */
	const char *comment;     /* opt_comment */
};

size_t pcapng_put_section(uint8_t *to, size_t room, const struct pcapng_section *section);

/* Interface Description Block. */
struct pcapng_interface {
	const char *name;        /* if_name */
	const char *description; /* if_description, or NULL. */
	bool has_mac;
	uint8_t mac[6];    /* if_MACaddr */
	uint64_t speed;    /* if_speed, bits per second; 0: none. */
	uint32_t snap_len; /* Bytes kept of a packet, at most; 0: no limit. */
};

size_t pcapng_put_interface(uint8_t *to, size_t room, const struct pcapng_interface *interface);

/* Name Resolution Block: IPv4 and IPv6 addresses and what Wireshark shows for them; of several names of one address it
 * shows the last.  Returns the size it takes when 'to' is NULL, whatever 'room' is. */
struct pcapng_name {
	bool is_ipv6;
	uint8_t address[16]; /* The first 4 bytes of it for IPv4. */
	const char *name;    /* At most 255 bytes are used. */
};

size_t pcapng_put_names(uint8_t *to, size_t room, const struct pcapng_name *names, size_t count);

/* A comment that belongs to no packet: a Name Resolution Block without names. */
size_t pcapng_put_note(uint8_t *to, size_t room, const char *comment);

/* Bits 0 and 1 of epb_flags. */
enum pcapng_direction { PCAPNG_DIRECTION_UNKNOWN = 0, PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

/* Bits 9 and 11 of it. */
#define PCAPNG_CHECKSUM_NOT_READY (1u << 9)
#define PCAPNG_SEGMENTATION_OFFLOADED (1u << 11)

/* Enhanced Packet Block. */
struct pcapng_packet {
	uint32_t interface;
	uint64_t time;        /* Nanoseconds since the epoch. */
	const uint8_t *bytes; /* Those that are kept ... */
	uint32_t captured;    /* ... which are this many ... */
	uint32_t size;        /* ... of so many. */
	enum pcapng_direction direction;
	uint32_t flags;  /* Further bits of epb_flags. */
	uint64_t id;     /* epb_packetid */
	uint64_t lost;   /* epb_dropcount, packets of the interface that are missing before this one; 0: no option. */
	uint8_t verdict; /* epb_verdict of type 0 (hardware), one byte of value; 0: no option. */
	const char *comments[3]; /* opt_comment each; NULL: no more. */
};

size_t pcapng_put_packet(uint8_t *to, size_t room, const struct pcapng_packet *packet);

/* Interface Statistics Block. */
struct pcapng_statistics {
	uint32_t interface;
	uint64_t time, start, end; /* Of the block; isb_starttime, isb_endtime.  Nanoseconds since the epoch. */
	uint64_t received;         /* isb_ifrecv: that crossed the port. */
	uint64_t dropped;          /* isb_ifdrop: that died there. */
	uint64_t lost;             /* isb_osdrop: that the capture lacks. */
	uint64_t delivered;        /* isb_usrdeliv: packets of the interface that are in this section. */
};

/* Always of one size. */
size_t pcapng_put_statistics(uint8_t *to, size_t room, const struct pcapng_statistics *statistics);

#endif /* pcapng.h */
