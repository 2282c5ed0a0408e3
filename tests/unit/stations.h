/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_STATIONS_H
#define TESTS_UNIT_STATIONS_H 1

/* A data plane without a thread, and stations, which stand for NICs: each is plugged into a port of its own, and keeps
 * the last frame it was given.  To be included by one file of a test program, after cmocka.h, where PORTS says how many
 * stations there are. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/dataplane.h"

#define STATION_KEPT 4100 /* Bytes of a frame. */
#define UNTAGGED 0x10000u /* In place of the control information of a tag: there is none. */

/* What a station does itself of the work that a sender left undone. */
enum station_taking { TAKES_NOTHING, TAKES_CHECKSUMS, TAKES_ALL };

struct station {
	struct port *port;
	uint8_t address[6];
	enum port_result result; /* What it answers to who delivers; only what is delivered is kept and counted. */
	enum station_taking takes;
	void (*hears)(struct station *station); /* What else it does with each frame; NULL: nothing. */
	size_t payload;                         /* That it has heard, for 'hears'. */
	unsigned int frames, flushes;
	unsigned int offloaded;   /* Frames with undone work. */
	unsigned int told;        /* How often of its carrier, ... */
	bool is_up;               /* ... and what. */
	size_t size, size_before; /* Of the last frame, and the one before. */
	struct frame_offload offload;
	uint8_t bytes[STATION_KEPT];
};

struct fixture {
	struct dataplane *dataplane;
	struct network *network; /* Of all stations, or NULL. */
	struct station stations[PORTS];
};

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static inline enum port_result station_deliver(void *opaque, const struct frame *frame)
{
	struct station *station = opaque;

	assert_in_range(frame->size, FRAME_SIZE_MIN, FRAME_SIZE_MAX);
	if (station->result != PORT_DELIVERED)
		return station->result;
	station->frames++;
	station->offloaded += frame_is_offloaded(frame);
	station->size_before = station->size;
	station->size = frame->size;
	station->offload = frame->offload;
	memset(station->bytes, 0, sizeof(station->bytes));
	frame_copy(frame, station->bytes, frame->size < STATION_KEPT ? frame->size : STATION_KEPT);
	if (station->hears)
		station->hears(station);
	return PORT_DELIVERED;
}

static inline bool station_takes(void *opaque, const struct frame *frame)
{
	const struct station *station = opaque;

	assert_true(frame_is_offloaded(frame));
	return station->takes == TAKES_ALL || (station->takes == TAKES_CHECKSUMS && frame->offload.segment_size == 0);
}

static inline void station_flush(void *opaque)
{
	((struct station *)opaque)->flushes++;
}

static inline void station_set_carrier(void *opaque, bool is_up)
{
	struct station *station = opaque;

	station->told++;
	station->is_up = is_up;
}

static const struct port_ops station_ops = {.deliver = station_deliver,
					    .takes = station_takes,
					    .flush = station_flush,
					    .set_carrier = station_set_carrier};

/* As a device is made: with carrier. */
static inline void plug(struct station *station)
{
	station->told = 0;
	station->is_up = true;
	port_plug(station->port, &station_ops, station);
}

/* Station i is what h1:eth0 is, and so on, and has the address that ends with i + 1. */
static inline void set_up(struct fixture *fixture)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->dataplane = dataplane_create(NULL);
	assert_non_null(fixture->dataplane);
	for (int i = 0; i < PORTS; i++) {
		struct station *station = &fixture->stations[i];
		char name[24];

		snprintf(name, sizeof(name), "h%d:eth0", i + 1);
		memcpy(station->address, (const uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1)}, 6);
		station->port = dataplane_add_port(fixture->dataplane, name);
		assert_non_null(station->port);
		plug(station);
	}
}

/* Between the first two. */
static inline void set_up_link(struct fixture *fixture)
{
	set_up(fixture);
	port_join_port(fixture->stations[0].port, fixture->stations[1].port);
}

/* A network "lan" that forgets after 'ageing' seconds. */
static inline void set_up_ageing_network(struct fixture *fixture, unsigned int ageing)
{
	set_up(fixture);
	fixture->network = dataplane_add_network(fixture->dataplane, "lan", 64, ageing);
	assert_non_null(fixture->network);
	for (int i = 0; i < PORTS; i++)
		port_join_network(fixture->stations[i].port, fixture->network);
}

static inline void set_up_network(struct fixture *fixture)
{
	set_up_ageing_network(fixture, 300);
}

/* The bytes after the header are where a guest's memory would be, in two pieces. */
static inline void transmit_bytes(struct station *station, const uint8_t *bytes, size_t size)
{
	struct frame frame;
	struct iovec rest[2];

	frame_set(&frame, &rest[0], bytes, size);
	rest[1].iov_len = rest[0].iov_len - rest[0].iov_len / 2;
	rest[0].iov_len /= 2;
	rest[1].iov_base = (uint8_t *)rest[0].iov_base + rest[0].iov_len;
	frame.rest_count = 2;
	port_transmit(station->port, &frame);
}

/* What transmit() puts at a place behind the addresses, in a frame of that size. */
static inline uint8_t byte_of(size_t size, size_t at)
{
	return (uint8_t)(size + at);
}

static inline void transmit_tagged(struct station *station, const uint8_t *destination, unsigned int control,
				   size_t size)
{
	const uint8_t tag[] = {0x81, 0, (uint8_t)(control >> 8), (uint8_t)control};
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_of(size, i);
	memcpy(bytes, destination, 6);
	memcpy(bytes + 6, station->address, 6);
	if (control != UNTAGGED)
		memcpy(bytes + 12, tag, sizeof(tag));
	transmit_bytes(station, bytes, size);
	free(bytes);
}

static inline void transmit(struct station *station, const uint8_t *destination, size_t size)
{
	transmit_tagged(station, destination, UNTAGGED, size);
}

static inline struct port_counters counters_of(const struct station *station)
{
	struct port_counters counters;

	port_read_counters(station->port, &counters);
	return counters;
}

static inline uint64_t dropped(const struct station *station, enum drop_reason reason)
{
	return counters_of(station).dropped[reason];
}

#endif /* stations.h */
