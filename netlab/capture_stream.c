/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_stream.h"

#include <stdlib.h>
#include <string.h>

#include "netlab/capture_internal.h"
#include "netlab/dataplane.h"
#include "netlab/frame_filter.h"
#include "netlab/pcapng.h"

/* Theory of operation
 * -------------------
 * A section is made in steps, and the stream remembers which one is next, so that a full buffer can interrupt it
 * anywhere: the header, one interface after the other, names by the hundred, one crossing of a record after the other,
 * one interface's statistics after the other.
 *
 * Interfaces come right behind the header: editcap and mergecap of Wireshark 4.0 look no further than the first block
 * that is none to learn what a file has, and write nothing of one of which they do not know it.
 *
 * What the ring lost of a port is counted by the capture, and what a reader lost since it was too slow by the stream
 * itself; the next frame of that port says the sum (epb_dropcount), and the statistics say it again.
 *
 * An event is told by the next frame, as a comment of it, since those are what readers show, or else by a note at the
 * end.  Statistics have no comment, and so always one size: they can be written over. */

/* The longest block of a frame fits twice, whatever its comments. */
#define BUFFER_SIZE (256u << 10)

#define NAMES_PER_BLOCK 128
#define COMMENT_MAX 128
#define EVENTS_MAX PCAPNG_TEXT_MAX

#define EVENT_PREFIX "netlab: event="

struct stream_port {
	uint32_t interface; /* Its number plus 1; 0: it has none yet. */
	uint64_t told;      /* Of what the ring lost. */
	uint64_t missed;    /* Beside that, and not told yet. */
	uint64_t crossed, died, written, lost;
	uint64_t statistics;          /* Where in the section they are, plus 1; 0: there are none yet. */
	uint64_t said;                /* What changes() was when they were put there, ... */
	uint64_t said_by_ring;        /* ... and what the ring had lost. */
	uint64_t unsafe, unsafe_told; /* Frames in the buffer of this number, and losses that they tell of. */
	uint64_t buffer;
};

enum step { STEP_SECTION, STEP_INTERFACES, STEP_NAMES, STEP_RECORDS, STEP_STATISTICS };

struct capture_stream {
	const struct capture *capture;
	struct capture_stream_options options;
	struct stream_port *ports; /* CAPTURE_PORTS_MAX of them; those that are not used take no memory. */
	enum step step;
	uint32_t next; /* In this step, or the next crossing of a record. */
	const struct capture_names *names;
	uint32_t interface_count, port_count; /* Of ports that had one when the section began. */
	uint64_t begun;                       /* Time of its first record. */
	uint64_t written, lost;
	uint64_t buffers; /* That were begun. */
	uint64_t taken;   /* Bytes of the section that are in the buffer no more. */
	char events[EVENTS_MAX];
	size_t events_size;
	size_t size; /* In the buffer, from 'start' on. */
	size_t start;
	uint8_t buffer[BUFFER_SIZE];
};

struct capture_stream *capture_stream_create(const struct capture *capture,
					     const struct capture_stream_options *options)
{
	struct capture_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->capture = capture;
	stream->options = *options;
	stream->ports = calloc(CAPTURE_PORTS_MAX, sizeof(struct stream_port));
	if (!stream->ports) {
		free(stream);
		return NULL;
	}
	return stream;
}

void capture_stream_destroy(struct capture_stream *stream)
{
	if (!stream)
		return;
	free(stream->ports);
	free(stream);
}

static bool wants_port(const struct capture_stream *stream, uint32_t port)
{
	return !stream->options.ports || (port < stream->options.port_count && stream->options.ports[port]);
}

static uint64_t ring_lost(const struct capture_stream *stream, uint32_t port)
{
	return atomic_load_explicit(&stream->capture->ports[port]->lost, memory_order_relaxed);
}

void capture_stream_begin(struct capture_stream *stream)
{
	stream->step = STEP_SECTION;
	stream->next = stream->interface_count = 0;
	stream->begun = stream->written = stream->lost = stream->taken = 0;
	for (uint32_t i = 0; i < (uint32_t)atomic_load(&stream->capture->port_count); i++) {
		uint64_t told = stream->ports[i].told, missed = stream->ports[i].missed;

		stream->ports[i] = (struct stream_port){.told = told, .missed = missed};
	}
}

void capture_stream_forget_losses(struct capture_stream *stream)
{
	uint32_t count = (uint32_t)atomic_load(&stream->capture->port_count);

	for (uint32_t i = 0; i < count; i++)
		stream->ports[i].told = ring_lost(stream, i);
}

/* The buffer. */

const uint8_t *capture_stream_bytes(const struct capture_stream *stream, size_t *size)
{
	*size = stream->size;
	return stream->buffer + stream->start;
}

void capture_stream_taken(struct capture_stream *stream, size_t size)
{
	size_t aligned;

	stream->start += size;
	stream->size -= size;
	stream->taken += size;
	if (stream->size == 0) {
		stream->start = 0;
		stream->buffers++;
	} else if (stream->start >= BUFFER_SIZE / 2) {
		aligned = stream->start % 4; /* Blocks stay where numbers are aligned. */
		memmove(stream->buffer + aligned, stream->buffer + stream->start, stream->size);
		stream->start = aligned;
	}
}

/* The port, something of which is about to be in the buffer. */
static struct stream_port *use_port(struct capture_stream *stream, uint32_t number)
{
	struct stream_port *port = &stream->ports[number];

	if (port->buffer != stream->buffers) {
		port->buffer = stream->buffers;
		port->unsafe = port->unsafe_told = 0;
	}
	return port;
}

void capture_stream_give_up(struct capture_stream *stream)
{
	uint32_t count = (uint32_t)atomic_load(&stream->capture->port_count);

	for (uint32_t i = 0; i < count; i++) {
		struct stream_port *port = use_port(stream, i);

		port->missed += port->unsafe + port->unsafe_told;
		atomic_fetch_add(&stream->capture->ports[i]->given_up, port->unsafe);
		port->unsafe = port->unsafe_told = 0;
	}
	stream->size = stream->start = 0;
	stream->buffers++;
	capture_stream_begin(stream);
}

static uint8_t *room(struct capture_stream *stream, size_t *size)
{
	*size = BUFFER_SIZE - stream->start - stream->size;
	return stream->buffer + stream->start + stream->size;
}

/* Returns whether the block of 'size' bytes is in the buffer: 0 is one that did not fit. */
static bool put(struct capture_stream *stream, size_t size)
{
	stream->size += size;
	return size > 0;
}

void capture_stream_put_text(struct capture_stream *stream, const char *text)
{
	memcpy(stream->buffer + stream->size, text, strlen(text));
	stream->size += strlen(text);
}

/* The section's beginning. */

static bool put_section(struct capture_stream *stream)
{
	size_t size;
	uint8_t *to = room(stream, &size);

	/* As they are when the section is written, which may be long after it was begun. */
	stream->names = atomic_load(&stream->capture->names);
	stream->port_count = (uint32_t)atomic_load(&stream->capture->port_count);
	return put(stream, pcapng_put_section(to, size, &stream->capture->section));
}

static bool put_names(struct capture_stream *stream)
{
	const struct capture_names *names = stream->names;

	while (names && stream->next < names->count) {
		size_t size, count = names->count - stream->next;
		uint8_t *to = room(stream, &size);

		if (count > NAMES_PER_BLOCK)
			count = NAMES_PER_BLOCK;
		if (!put(stream, pcapng_put_names(to, size, names->names + stream->next, count)))
			return false;
		stream->next += (uint32_t)count;
	}
	return true;
}

static bool put_interface(struct capture_stream *stream, uint32_t number)
{
	const struct capture_port *port = stream->capture->ports[number];
	struct pcapng_interface interface = {
		.name = port->name,
		.description = atomic_load(&port->description),
		.has_mac = port->has_mac,
		.speed = atomic_load(&port->speed),
		/* One for all: libpcap reads no file in which they differ. */
		.snap_len = stream->options.snap_len ? stream->options.snap_len : stream->capture->options.snap_len,
	};
	size_t size;
	uint8_t *to = room(stream, &size);

	if (stream->ports[number].interface)
		return true;
	memcpy(interface.mac, port->mac, sizeof(interface.mac));
	if (!put(stream, pcapng_put_interface(to, size, &interface)))
		return false;
	stream->ports[number].interface = ++stream->interface_count;
	return true;
}

static bool put_interfaces(struct capture_stream *stream)
{
	for (; stream->next < stream->port_count; stream->next++)
		if (wants_port(stream, stream->next) && !put_interface(stream, stream->next))
			return false;
	return true;
}

/* Goes through the steps before records. */
static bool put_beginning(struct capture_stream *stream)
{
	static bool (*const steps[])(struct capture_stream *) = {put_section, put_interfaces, put_names};

	while (stream->step < STEP_RECORDS) {
		if (!steps[stream->step](stream))
			return false;
		stream->step++;
		stream->next = 0;
	}
	return true;
}

/* Comments: no function of stdio may be called here. */

static size_t append(char *text, size_t at, size_t max, const char *what)
{
	size_t length = strlen(what);

	if (length > max - 1 - at)
		length = max - 1 - at;
	memcpy(text + at, what, length);
	text[at + length] = '\0';
	return at + length;
}

static size_t append_number(char *text, size_t at, size_t max, uint32_t number)
{
	char digits[12];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return append(text, at, max, digits + i);
}

static void describe_drop(const struct capture_record *record, const struct capture_crossing *crossing, char *text)
{
	size_t at = append(text, 0, COMMENT_MAX, "netlab: drop=");

	at = append(text, at, COMMENT_MAX, drop_reason_name((enum drop_reason)(crossing->drop - 1)));
	at = append(text, at, COMMENT_MAX, " size=");
	at = append_number(text, at, COMMENT_MAX, record->size);
	if (crossing->limit == 0)
		return;
	at = append(text, at, COMMENT_MAX, " limit=");
	append_number(text, at, COMMENT_MAX, crossing->limit);
}

/* Milliseconds with all their digits. */
static size_t append_time(char *text, size_t at, uint64_t nanoseconds)
{
	uint32_t rest = (uint32_t)(nanoseconds % 1000000);

	at = append_number(text, at, COMMENT_MAX, (uint32_t)(nanoseconds / 1000000));
	at = append(text, at, COMMENT_MAX, ".");
	for (uint32_t digit = 100000; digit > 0; digit /= 10)
		at = append_number(text, at, COMMENT_MAX, rest / digit % 10);
	return append(text, at, COMMENT_MAX, "ms");
}

static void describe_impairment(const struct capture_record *record, char *text)
{
	struct capture_impairment impairment;
	size_t at = append(text, 0, COMMENT_MAX, "netlab: delay=");

	capture_record_impairment(record, &impairment);
	at = append_time(text, at, impairment.delay);
	at = append(text, at, COMMENT_MAX, " late=");
	at = append_time(text, at, impairment.late);
	if (impairment.is_corrupted) {
		at = append(text, at, COMMENT_MAX, " corrupted-bit=");
		at = append_number(text, at, COMMENT_MAX, impairment.corrupted_bit);
	}
	if (impairment.is_duplicate)
		at = append(text, at, COMMENT_MAX, " duplicate");
	if (impairment.has_overtaken)
		append(text, at, COMMENT_MAX, " reordered");
}

/* Records. */

static bool is_wanted(const struct capture_stream *stream, const struct capture_record *record)
{
	const struct pcap_pkthdr header = {.caplen = record->captured, .len = record->size};

	return !stream->options.filter || frame_filter_passes(stream->options.filter, &header, record->bytes);
}

/* What is missing of a port, and was not told yet, when the ring had lost so much of it. */
static uint64_t untold_losses(const struct stream_port *port, uint64_t by_ring)
{
	return by_ring - port->told + port->missed;
}

/* What is missing of a port, and is told from now on. */
static uint64_t tell_losses(struct capture_stream *stream, uint32_t number, uint64_t by_ring)
{
	struct stream_port *port = use_port(stream, number);
	uint64_t lost = untold_losses(port, by_ring);

	port->told = by_ring;
	port->missed = 0;
	port->lost += lost;
	port->unsafe_told += lost;
	stream->lost += lost;
	return lost;
}

static void count(struct capture_stream *stream, const struct capture_record *record,
		  const struct capture_crossing *crossing)
{
	struct stream_port *port = use_port(stream, crossing->port);

	if (stream->begun == 0)
		stream->begun = record->time;
	port->crossed += crossing->is_on_wire;
	port->died += crossing->drop > 0;
	port->written++;
	stream->written++;
	port->unsafe++;
}

static bool put_crossing(struct capture_stream *stream, const struct capture_record *record,
			 const struct capture_crossing *crossing)
{
	uint32_t snap_len = stream->options.snap_len ? stream->options.snap_len : UINT32_MAX;
	bool is_clean = stream->options.is_clean;
	char drop[COMMENT_MAX], impairment[COMMENT_MAX];
	unsigned int comments = 0;
	struct pcapng_packet packet = {
		.interface = stream->ports[crossing->port].interface - 1,
		.time = record->time,
		.bytes = record->bytes,
		.captured = record->captured < snap_len ? record->captured : snap_len,
		.size = record->size,
		.direction = crossing->is_received ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
		.flags = (record->undone & CAPTURE_CHECKSUM ? PCAPNG_CHECKSUM_NOT_READY : 0) |
			 (record->undone & CAPTURE_SEGMENTATION ? PCAPNG_SEGMENTATION_OFFLOADED : 0),
		.id = record->id,
		.verdict = is_clean ? 0 : crossing->drop,
	};
	size_t size;
	uint8_t *to = room(stream, &size);

	/* Before anything is counted: the longest it can be. */
	if (size < packet.captured + PCAPNG_PACKET_MAX)
		return false;
	packet.lost = tell_losses(stream, crossing->port, ring_lost(stream, crossing->port));
	if (!is_clean && crossing->drop) {
		describe_drop(record, crossing, drop);
		packet.comments[comments++] = drop;
	}
	if (!is_clean && record->is_impaired) {
		describe_impairment(record, impairment);
		packet.comments[comments++] = impairment;
	}
	if (stream->events_size > 0)
		packet.comments[comments++] = stream->events;
	stream->events_size = 0;
	count(stream, record, crossing);
	return put(stream, pcapng_put_packet(to, size, &packet));
}

static bool wants_crossing(const struct capture_stream *stream, const struct capture_crossing *crossing)
{
	return wants_port(stream, crossing->port) &&
	       !(stream->options.is_clean && crossing->drop && !crossing->is_on_wire);
}

static bool put_crossings(struct capture_stream *stream, const struct capture_record *record)
{
	const struct capture_crossing *crossings = capture_record_crossings(record);

	for (; stream->next < record->crossing_count; stream->next++) {
		const struct capture_crossing *crossing = &crossings[stream->next];

		if (!wants_crossing(stream, crossing))
			continue;
		if (!put_interface(stream, crossing->port) || !put_crossing(stream, record, crossing))
			return false;
	}
	stream->next = 0;
	return true;
}

/* An event's text is not terminated. */
static void keep_event(struct capture_stream *stream, const struct capture_record *record)
{
	const char *prefix = stream->events_size > 0 ? "; event=" : EVENT_PREFIX;
	size_t at = stream->events_size, length = record->captured;

	if (!stream->options.has_events || at + strlen(prefix) + length + 1 > EVENTS_MAX)
		return;
	at = append(stream->events, at, EVENTS_MAX, prefix);
	memcpy(stream->events + at, record->bytes, length);
	stream->events[at + length] = '\0';
	stream->events_size = at + length;
}

bool capture_stream_add(struct capture_stream *stream, const struct capture_record *record)
{
	if (!put_beginning(stream))
		return false;
	if (!record)
		return true;
	if (record->kind == CAPTURE_EVENT)
		keep_event(stream, record);
	if (record->kind != CAPTURE_FRAME || (stream->next == 0 && !is_wanted(stream, record)))
		return true;
	return put_crossings(stream, record);
}

uint32_t capture_stream_next_crossing(const struct capture_stream *stream)
{
	return stream->step == STEP_RECORDS ? stream->next : 0;
}

void capture_stream_skip(struct capture_stream *stream)
{
	if (stream->step == STEP_RECORDS)
		stream->next = 0;
}

void capture_stream_give_up_record(struct capture_stream *stream, const struct capture_record *record, uint32_t from)
{
	const struct capture_crossing *crossings = capture_record_crossings(record);

	if (record->kind == CAPTURE_EVENT)
		keep_event(stream, record); /* The next frame tells. */
	if (record->kind != CAPTURE_FRAME || !is_wanted(stream, record))
		return;
	for (; from < record->crossing_count; from++) {
		uint32_t port = crossings[from].port;

		if (!wants_crossing(stream, &crossings[from]))
			continue;
		stream->ports[port].missed++;
		atomic_fetch_add(&stream->capture->ports[port]->given_up, 1);
	}
}

void capture_stream_miss(struct capture_stream *stream, uint32_t port, uint64_t count)
{
	if (wants_port(stream, port))
		stream->ports[port].missed += count;
}

/* Statistics. */

/* Is another number whenever the port's statistics are others. */
static uint64_t changes(const struct stream_port *port, uint64_t by_ring)
{
	return port->written + port->lost + untold_losses(port, by_ring);
}

/* Losses are told here as well as by the next frame. */
static size_t make_statistics(const struct capture_stream *stream, const struct stream_port *port, uint64_t by_ring,
			      uint64_t time, uint8_t *to, size_t size)
{
	const struct pcapng_statistics statistics = {
		.interface = port->interface - 1,
		.time = time,
		.start = stream->begun ? stream->begun : time,
		.end = time,
		.received = port->crossed,
		.dropped = port->died,
		.lost = port->lost + untold_losses(port, by_ring),
		.delivered = port->written,
	};

	return pcapng_put_statistics(to, size, &statistics);
}

static void note_said(struct stream_port *port, uint64_t by_ring)
{
	port->said = changes(port, by_ring);
	port->said_by_ring = by_ring;
}

static bool put_statistics(struct capture_stream *stream, uint32_t number, uint64_t time)
{
	struct stream_port *port = &stream->ports[number];
	size_t size;
	uint8_t *to = room(stream, &size);
	uint64_t position = stream->taken + stream->size, by_ring = ring_lost(stream, number);

	if (size < PCAPNG_BLOCK_MAX)
		return false;
	port->statistics = position + 1;
	note_said(port, by_ring);
	return put(stream, make_statistics(stream, port, by_ring, time, to, size));
}

bool capture_stream_put_statistics(struct capture_stream *stream, uint64_t time)
{
	uint32_t count = (uint32_t)atomic_load(&stream->capture->port_count);

	if (!put_beginning(stream))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct stream_port *port = &stream->ports[i];

		if (port->interface && !port->statistics && changes(port, ring_lost(stream, i)) > 0 &&
		    !put_statistics(stream, i, time))
			return false;
	}
	return true;
}

void capture_stream_renew_statistics(struct capture_stream *stream, uint64_t time, capture_stream_renew *renew,
				     void *opaque)
{
	uint32_t count = (uint32_t)atomic_load(&stream->capture->port_count);
	uint8_t block[PCAPNG_BLOCK_MAX];

	for (uint32_t i = 0; i < count; i++) {
		struct stream_port *port = &stream->ports[i];
		uint64_t by_ring = ring_lost(stream, i);
		size_t size;

		if (!port->statistics || port->said == changes(port, by_ring))
			continue;
		size = make_statistics(stream, port, by_ring, time, block, sizeof(block));
		if (port->statistics - 1 + size <= stream->taken && renew(opaque, port->statistics - 1, block, size))
			note_said(port, by_ring);
	}
}

/* The section's end. */

static bool end_port(struct capture_stream *stream, uint32_t number, uint64_t time)
{
	const struct stream_port *port = &stream->ports[number];

	if (!port->interface)
		return true;
	if (!port->statistics && !put_statistics(stream, number, time))
		return false;
	/* What they say no frame of the next section says again; unless they could not be written over. */
	if (port->said == changes(port, port->said_by_ring))
		tell_losses(stream, number, port->said_by_ring);
	return true;
}

/* What no frame told. */
static bool put_events(struct capture_stream *stream)
{
	size_t size;
	uint8_t *to = room(stream, &size);

	if (stream->events_size > 0 && !put(stream, pcapng_put_note(to, size, stream->events)))
		return false;
	stream->events_size = 0;
	return true;
}

bool capture_stream_end(struct capture_stream *stream, uint64_t time)
{
	if (stream->step != STEP_STATISTICS && !put_beginning(stream))
		return false;
	stream->step = STEP_STATISTICS;
	if (!put_events(stream))
		return false;
	for (; stream->next < (uint32_t)atomic_load(&stream->capture->port_count); stream->next++)
		if (!end_port(stream, stream->next, time))
			return false;
	return true;
}

uint64_t capture_stream_written(const struct capture_stream *stream)
{
	return stream->written;
}

uint64_t capture_stream_lost(const struct capture_stream *stream)
{
	return stream->lost;
}
