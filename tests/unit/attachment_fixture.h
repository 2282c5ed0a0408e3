/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_ATTACHMENT_FIXTURE_H
#define TESTS_UNIT_ATTACHMENT_FIXTURE_H 1

/* A data plane without a thread, with an attachment at one end of a link and a station at the other, which keeps what
 * it hears.  To be included by one file of a test program, after cmocka.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/attachment.h"
#include "netlab/dataplane.h"
#include "netlab/topology.h"

#define FIXTURE_KEPT 64
#define FIXTURE_PATIENCE 60000000000ull /* Nanoseconds that anything may take. */

struct fixture {
	struct dataplane *dataplane;
	struct port *port, *station;
	struct topology_attachment topology;
	struct attachment *attachment;
	char folder[64];
	char path[96], other_path[96]; /* In it. */
	unsigned int heard;
	size_t sizes[FIXTURE_KEPT];
	uint8_t heads[FIXTURE_KEPT][FRAME_HEADER_SIZE];
	uint64_t times[FIXTURE_KEPT];
};

static inline enum port_result fixture_hear(void *opaque, const struct frame *frame)
{
	struct fixture *fixture = opaque;

	if (fixture->heard < FIXTURE_KEPT) {
		fixture->sizes[fixture->heard] = frame->size;
		fixture->times[fixture->heard] = loop_now();
		memcpy(fixture->heads[fixture->heard], frame->header, frame->header_size);
	}
	fixture->heard++;
	return PORT_DELIVERED;
}

static const struct port_ops fixture_ops = {.deliver = fixture_hear};

static inline int fixture_set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/netlab-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/one.sock", fixture->folder);
	snprintf(fixture->other_path, sizeof(fixture->other_path), "%s/other.sock", fixture->folder);
	fixture->dataplane = dataplane_create(NULL);
	assert_non_null(fixture->dataplane);
	loop_adopt(dataplane_loop(fixture->dataplane));
	fixture->port = dataplane_add_port(fixture->dataplane, "socket:one");
	fixture->station = dataplane_add_port(fixture->dataplane, "h1:eth0");
	assert_true(fixture->port && fixture->station);
	port_join_port(fixture->port, fixture->station);
	port_plug(fixture->station, &fixture_ops, fixture);
	fixture->topology = (struct topology_attachment){.name = (char *)(uintptr_t) "socket:one",
							 .path = fixture->path};
	*state = fixture;
	return 0;
}

static inline void fixture_unplug(struct fixture *fixture)
{
	if (fixture->attachment)
		attachment_unplug(fixture->attachment);
	attachment_destroy(fixture->attachment);
	fixture->attachment = NULL;
}

static inline int fixture_tear_down(void **state)
{
	struct fixture *fixture = *state;

	fixture_unplug(fixture);
	dataplane_destroy(fixture->dataplane);
	unlink(fixture->path);
	unlink(fixture->other_path);
	assert_int_equal(rmdir(fixture->folder), 0);
	free(fixture);
	return 0;
}

/* Creates and plugs in what the fixture's topology says. */
static inline void fixture_plug(struct fixture *fixture)
{
	struct error error = {.class = ERROR_NONE};

	if (attachment_create(&fixture->topology, NULL, &fixture->attachment, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(attachment_plug(fixture->attachment, dataplane_loop(fixture->dataplane), fixture->port), 0);
}

/* Checks that it cannot be created, for a reason that has 'text' in it. */
static inline void fixture_fails(struct fixture *fixture, int result, const char *text)
{
	struct error error = {.class = ERROR_NONE};

	assert_int_equal(attachment_create(&fixture->topology, NULL, &fixture->attachment, &error), result);
	assert_null(fixture->attachment);
	if (!strstr(error.text, text))
		assert_string_equal(error.text, text);
}

static inline void fixture_turn(struct fixture *fixture)
{
	loop_turn(dataplane_loop(fixture->dataplane));
}

/* Runs the loop until the station has heard so many frames. */
static inline void fixture_await(struct fixture *fixture, unsigned int heard)
{
	uint64_t end = loop_now() + FIXTURE_PATIENCE;

	while (fixture->heard < heard) {
		assert_true(loop_now() < end);
		fixture_turn(fixture);
	}
}

static inline const char *fixture_state(const struct fixture *fixture)
{
	static struct attachment_status status;

	attachment_describe(fixture->attachment, &status);
	return status.state;
}

/* Runs the loop until the attachment is in that state. */
static inline void fixture_await_state(struct fixture *fixture, const char *state)
{
	uint64_t end = loop_now() + FIXTURE_PATIENCE;

	while (strcmp(fixture_state(fixture), state) != 0) {
		assert_true(loop_now() < end);
		fixture_turn(fixture);
	}
}

/* The station transmits a frame of 'size' bytes that begins with 'first'. */
static inline void fixture_transmit(struct fixture *fixture, uint8_t first, size_t size)
{
	uint8_t *bytes = calloc(1, size);
	struct frame frame;
	struct iovec rest;

	assert_non_null(bytes);
	bytes[0] = first;
	frame_set(&frame, &rest, bytes, size);
	port_transmit(fixture->station, &frame);
	free(bytes);
}

static inline uint64_t fixture_dropped(const struct fixture *fixture, enum drop_reason reason)
{
	struct port_counters counters;

	port_read_counters(fixture->port, &counters);
	return counters.dropped[reason];
}

#endif /* attachment_fixture.h */
