/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_RECORDING_H
#define TESTS_UNIT_RECORDING_H 1

/* A capture of all ports of a data plane, for tests that compare it with what they saw.  To be included by one file of
 * a test program, after cmocka.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/pcapng_reader.h"

struct recording {
	struct dataplane *dataplane;
	struct capture *capture;
	FILE *stream; /* Once it has ended. */
	struct pcapng_reader *reader;
	char folder[64];
};

/* Of all ports that there are.  Frames are sent by this thread from now on. */
static inline void recording_begin(struct recording *recording, struct dataplane *dataplane, uint32_t snap_len)
{
	struct capture_options options = {.has_lab_file = true, .snap_len = snap_len};

	*recording = (struct recording){.dataplane = dataplane, .folder = "/tmp/netlab-test-XXXXXX"};
	assert_non_null(mkdtemp(recording->folder));
	options.folder = recording->folder;
	recording->capture = capture_create(&options, NULL);
	assert_non_null(recording->capture);
	dataplane_set_capture(dataplane, recording->capture);
	/* Adds the ports. */
	assert_int_equal(dataplane_start(dataplane, NULL), 0);
	dataplane_stop(dataplane);
	loop_adopt(dataplane_loop(dataplane));
}

/* Nothing is left of it but what 'reader' reads. */
static inline void recording_end(struct recording *recording)
{
	char path[96];

	snprintf(path, sizeof(path), "%s", capture_lab_path(recording->capture));
	dataplane_set_capture(recording->dataplane, NULL);
	capture_destroy(recording->capture);
	recording->stream = fopen(path, "r");
	assert_non_null(recording->stream);
	recording->reader = pcapng_reader_create(recording->stream);
	assert_non_null(recording->reader);
	unlink(path);
	rmdir(recording->folder);
}

/* The next line is of a frame of 'size' bytes that was refused; 'captured' of them are there, 'first' to begin with. */
static inline void recording_expect_refused(struct recording *recording, uint32_t size, uint32_t captured,
					    uint8_t first)
{
	struct pcapng_reader_packet packet;

	assert_int_equal(pcapng_reader_next(recording->reader, &packet), 1);
	assert_int_equal(packet.size, size);
	assert_int_equal(packet.captured, captured);
	assert_int_equal(packet.bytes[0], first);
	assert_non_null(strstr(packet.comments[0], "drop=malformed"));
}

static inline void recording_release(struct recording *recording)
{
	pcapng_reader_destroy(recording->reader);
	fclose(recording->stream);
}

#endif /* recording.h */
