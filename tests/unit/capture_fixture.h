/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_CAPTURE_FIXTURE_H
#define TESTS_UNIT_CAPTURE_FIXTURE_H 1

/* A capture of two ports, between which a test sends frames by hand, and what there is in a capture that was read.  To
 * be included by one file of a test program, after cmocka.h. */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/capture_recorder.h"
#include "netlab/pcapng_reader.h"

#define SECOND 1000000000ull
#define FRAME_SIZE 200u

struct fixture {
	char folder[64];
	struct capture *capture;
	int ports[2];
	uint64_t time; /* Of the next frame. */
	uint64_t id;   /* Of the last one. */
};

static inline void create(struct fixture *fixture, const struct capture_options *options)
{
	fixture->capture = capture_create(options, NULL);
	assert_non_null(fixture->capture);
	fixture->ports[0] = capture_add_port(fixture->capture, "h1:eth0", NULL);
	fixture->ports[1] = capture_add_port(fixture->capture, "h2:eth0", NULL);
	assert_int_equal(capture_describe_port(fixture->capture, 0, "link to h2:eth0", NULL), 0);
	assert_int_equal(capture_start(fixture->capture, NULL), 0);
	fixture->time = capture_time(fixture->capture, loop_now());
}

static inline int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/test-capture-reader-XXXXXX");
	*state = fixture;
	return mkdtemp(fixture->folder) ? 0 : -1;
}

static inline void remove_file(const struct fixture *fixture, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	unlink(path);
}

static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;

	capture_destroy(fixture->capture);
	remove_file(fixture, "lab.pcapng");
	for (int i = 1; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lab-%05d.pcapng", i);
		remove_file(fixture, name);
	}
	rmdir(fixture->folder);
	free(fixture);
	return 0;
}

/* A frame from port 0 that port 1 receives, or for 'reason' does not; the writer is not told. */
static inline void send_quietly(struct fixture *fixture, size_t size, int reason)
{
	static uint8_t bytes[65536];
	struct frame frame;
	struct iovec rest;

	memset(bytes, (int)fixture->id, 16);
	frame_set(&frame, &rest, bytes, size);
	capture_begin(fixture->capture, &frame, ++fixture->id, fixture->time++);
	capture_send(fixture->capture, fixture->ports[0]);
	if (reason < 0)
		capture_receive(fixture->capture, fixture->ports[1], &frame);
	else
		capture_drop_received(fixture->capture, fixture->ports[1], &frame, reason, 7);
	capture_end(fixture->capture);
}

static inline void send_frame(struct fixture *fixture, size_t size, int reason)
{
	send_quietly(fixture, size, reason);
	capture_wake(fixture->capture);
}

/* Has the writer come to all that was captured before. */
static inline void reached(struct capture_mark *mark)
{
	*(volatile bool *)mark->opaque = true;
}

static inline void wait_for_writer(struct fixture *fixture)
{
	volatile bool is_reached = false;
	struct capture_mark mark = {.reached = reached, .opaque = (void *)(uintptr_t)&is_reached};

	while (capture_put_mark(fixture->capture, &mark) == -EAGAIN)
		usleep(1000);
	capture_wake(fixture->capture);
	while (!is_reached)
		usleep(100);
}

/* What was read, all of it. */
struct contents {
	struct pcapng_reader *reader;
	FILE *stream;
	size_t count;
	uint64_t ids[4096];
	char names[4096][16];
	char comments[4096][64];
	uint32_t captured[4096];
	unsigned int directions[4096];
	uint64_t lost;
};

static inline struct contents *read_stream(FILE *stream)
{
	struct contents *contents = calloc(1, sizeof(*contents));
	struct pcapng_reader_packet packet;
	int result;

	assert_non_null(stream);
	contents->stream = stream;
	contents->reader = pcapng_reader_create(stream);
	while ((result = pcapng_reader_next(contents->reader, &packet)) == 1) {
		size_t i = contents->count++;

		assert_true(i < 4096);
		contents->ids[i] = packet.id;
		contents->captured[i] = packet.captured;
		contents->directions[i] = packet.direction;
		contents->lost += packet.lost;
		snprintf(contents->names[i], sizeof(contents->names[i]), "%s", packet.interface->name);
		snprintf(contents->comments[i], sizeof(contents->comments[i]), "%s",
			 packet.comments[0] ? packet.comments[0] : "");
	}
	if (result < 0)
		fail_msg("the capture %s", pcapng_reader_problem(contents->reader));
	return contents;
}

static inline void free_contents(struct contents *contents)
{
	pcapng_reader_destroy(contents->reader);
	fclose(contents->stream);
	free(contents);
}

#endif /* capture_fixture.h */
