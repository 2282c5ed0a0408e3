/* SPDX-License-Identifier: Apache-2.0 */
/* Marks in a capture: what is in the file, and what was lost, at the instant at which one was put. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "netlab/capture.h"

#define FILE_HEADER_SIZE 24
#define RECORD_HEADER_SIZE 16
#define FRAME_SIZE 100u
#define SMALL_RING (512u << 10)

struct fixture {
	char folder[64];
	struct capture *capture;
	int port, other;
	sem_t reached;
};

static void capture_frames(struct fixture *fixture, int port, unsigned int count)
{
	static const uint8_t bytes[FRAME_SIZE];
	struct iovec rest = {(void *)(uintptr_t)bytes, FRAME_SIZE - FRAME_HEADER_SIZE};
	struct frame frame = {.size = FRAME_SIZE, .header_size = FRAME_HEADER_SIZE, .rest = &rest, .rest_count = 1};

	for (unsigned int i = 0; i < count; i++) {
		capture_begin(fixture->capture, &frame, i, 1700000000000000000ull);
		capture_send(fixture->capture, port);
		capture_end(fixture->capture);
	}
}

static void reached(struct capture_mark *mark)
{
	struct fixture *fixture = mark->opaque;

	sem_post(&fixture->reached);
}

static struct capture_mark make_mark(struct fixture *fixture, int port)
{
	return (struct capture_mark){.port = port, .reached = reached, .opaque = fixture};
}

static void put(struct fixture *fixture, struct capture_mark *mark)
{
	assert_int_equal(capture_put_mark(fixture->capture, mark), 0);
	capture_wake(fixture->capture);
}

static void check_position(const struct fixture *fixture, const struct capture_mark *mark, uint64_t frames)
{
	struct stat status;

	assert_int_equal(mark->position, FILE_HEADER_SIZE + frames * (RECORD_HEADER_SIZE + FRAME_SIZE));
	/* And it is in the file, not only on its way there. */
	assert_int_equal(stat(capture_file(fixture->capture, mark->port), &status), 0);
	assert_true((uint64_t)status.st_size >= mark->position);
}

static struct capture *create(const char *folder)
{
	const struct capture_options options = {.folder = folder, .has_port_files = true, .ring_size = SMALL_RING};

	return capture_create(&options, NULL);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/test-capture-mark-XXXXXX");
	if (!mkdtemp(fixture->folder))
		return -1;
	sem_init(&fixture->reached, 0, 0);
	fixture->capture = create(fixture->folder);
	fixture->port = capture_add_port(fixture->capture, "h1:eth0", NULL);
	fixture->other = capture_add_port(fixture->capture, "h2:eth0", NULL);
	*state = fixture;
	return fixture->port == 0 && fixture->other == 1 ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 2; i++)
		unlink(capture_file(fixture->capture, i));
	capture_destroy(fixture->capture);
	rmdir(fixture->folder);
	sem_destroy(&fixture->reached);
	free(fixture);
	return 0;
}

static void marks_know_what_is_in_the_file(void **state)
{
	struct fixture *fixture = *state;
	struct capture_mark marks[4];

	for (int i = 0; i < 4; i++)
		marks[i] = make_mark(fixture, i == 3 ? fixture->other : fixture->port);
	assert_int_equal(capture_start(fixture->capture, NULL), 0);
	put(fixture, &marks[0]);
	capture_frames(fixture, fixture->port, 3);
	put(fixture, &marks[1]);
	capture_frames(fixture, fixture->other, 2);
	capture_frames(fixture, fixture->port, 1);
	put(fixture, &marks[2]);
	put(fixture, &marks[3]);
	for (int i = 0; i < 4; i++)
		sem_wait(&fixture->reached);
	check_position(fixture, &marks[0], 0);
	check_position(fixture, &marks[1], 3);
	check_position(fixture, &marks[2], 4);
	check_position(fixture, &marks[3], 2);
}

/* What is lost after a mark is not of the time before it, however late the writer comes to it. */
static void marks_know_what_was_lost_before_them(void **state)
{
	struct fixture *fixture = *state;
	struct capture_mark before = make_mark(fixture, fixture->port), after = before, during[64];
	const unsigned int frames = 2 * SMALL_RING / FRAME_SIZE;
	uint64_t lost;
	int count = 0;

	put(fixture, &before);
	capture_frames(fixture, fixture->port, frames);
	lost = capture_lost(fixture->capture, fixture->port);
	assert_true(lost > 0);
	/* Some marks may fit where no frame did; then nothing can be said, and nothing is. */
	for (during[0] = before; capture_put_mark(fixture->capture, &during[count]) == 0; during[++count] = before)
		assert_true(count < 63);
	assert_int_equal(capture_start(fixture->capture, NULL), 0);
	for (int i = 0; i <= count; i++)
		sem_wait(&fixture->reached);
	assert_int_equal(before.lost, 0);
	for (int i = 0; i < count; i++)
		assert_int_equal(during[i].lost, lost);
	while (capture_put_mark(fixture->capture, &after) == -EAGAIN)
		usleep(1000);
	capture_wake(fixture->capture);
	sem_wait(&fixture->reached);
	assert_int_equal(after.lost, lost);
	check_position(fixture, &after, frames - lost);
}

static void marks_need_a_port(void **state)
{
	struct fixture *fixture = *state;
	struct capture_mark negative = make_mark(fixture, -1), unknown = make_mark(fixture, 2);

	assert_int_equal(capture_put_mark(fixture->capture, &negative), -ENOENT);
	assert_int_equal(capture_put_mark(fixture->capture, &unknown), -ENOENT);
}

static void marks_are_reached_at_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct capture_mark mark = make_mark(fixture, fixture->port);

	capture_frames(fixture, fixture->port, 5);
	put(fixture, &mark);
	capture_end_port(fixture->capture, fixture->port);
	capture_destroy(fixture->capture);
	assert_int_equal(sem_trywait(&fixture->reached), 0);
	assert_int_equal(mark.position, FILE_HEADER_SIZE + 5 * (RECORD_HEADER_SIZE + FRAME_SIZE));
	fixture->capture = create(fixture->folder);
	capture_add_port(fixture->capture, "h1:eth0", NULL);
	capture_add_port(fixture->capture, "h2:eth0", NULL);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(marks_know_what_is_in_the_file),
		test(marks_know_what_was_lost_before_them),
		test(marks_need_a_port),
		test(marks_are_reached_at_the_end),
	};

	return cmocka_run_group_tests_name("capture_mark", tests, NULL, NULL);
}
