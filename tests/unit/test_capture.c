/* SPDX-License-Identifier: Apache-2.0 */
/* Captures: what is in the files, in which order, and what is said of what is not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <pcap/pcap.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/capture_file.h"
#include "netlab/dataplane.h"

#define TIME 1700000000123456789ull /* Nanoseconds since the epoch. */
#define PATH_SIZE 256

/* A folder that each test has to itself; the captures go to a folder in it. */
struct fixture {
	char root[PATH_SIZE];
	char folder[2 * PATH_SIZE];
};

static int set_up(void **state)
{
	const char *temporary = getenv("TMPDIR");
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	snprintf(fixture->root, sizeof(fixture->root), "%s/test-capture-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(fixture->root))
		return -1;
	snprintf(fixture->folder, sizeof(fixture->folder), "%s/captures", fixture->root);
	*state = fixture;
	return 0;
}

static void remove_files(const char *folder)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(folder);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	remove_files(fixture->folder);
	remove_files(fixture->root);
	free(fixture);
	return 0;
}

/* The bytes of frame 'number': no two are alike, and they say whether they are whole. */
static void fill(uint8_t *bytes, size_t size, uint32_t number)
{
	for (size_t i = 0; i < size; i++) {
		number = number * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(number >> 24);
	}
}

static void capture_bytes(struct capture *capture, int port, uint32_t number, size_t size, uint64_t time)
{
	static uint8_t bytes[FRAME_SIZE_MAX];
	struct frame frame = {.size = size};
	struct iovec rest;

	fill(bytes, size, number);
	frame.header_size = size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE;
	memcpy(frame.header, bytes, frame.header_size);
	rest = (struct iovec){bytes + frame.header_size, size - frame.header_size};
	frame.rest = &rest;
	frame.rest_count = 1;
	capture_begin(capture, &frame, number, time);
	capture_send(capture, port);
	capture_end(capture);
}

static pcap_t *open_file(const char *path)
{
	char text[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, text);

	if (!pcap)
		fail_msg("%s", text);
	assert_int_equal(pcap_datalink(pcap), DLT_EN10MB);
	return pcap;
}

static void check_next(pcap_t *pcap, uint32_t number, size_t size, uint64_t time)
{
	static uint8_t expected[FRAME_SIZE_MAX];
	struct pcap_pkthdr *header;
	const u_char *bytes;

	assert_int_equal(pcap_next_ex(pcap, &header, &bytes), 1);
	assert_int_equal((uint64_t)header->ts.tv_sec * 1000000000 + (uint64_t)header->ts.tv_usec, time);
	assert_int_equal(header->caplen, size);
	assert_int_equal(header->len, size);
	fill(expected, size, number);
	assert_memory_equal(bytes, expected, size);
}

static void check_end(pcap_t *pcap)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;

	assert_int_equal(pcap_next_ex(pcap, &header, &bytes), PCAP_ERROR_BREAK);
	pcap_close(pcap);
}

static unsigned int count_records(const char *path)
{
	pcap_t *pcap = open_file(path);
	struct pcap_pkthdr *header;
	unsigned int records = 0;
	const u_char *bytes;
	int result;

	while ((result = pcap_next_ex(pcap, &header, &bytes)) == 1)
		records++;
	assert_int_equal(result, PCAP_ERROR_BREAK); /* No record is cut short. */
	pcap_close(pcap);
	return records;
}

static char *path_of(const struct fixture *fixture, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", fixture->folder, name) > 0);
	return path;
}

static struct capture *create_in(const char *folder, struct error *error)
{
	const struct capture_options options = {.folder = folder, .has_port_files = true};

	return capture_create(&options, error);
}

static struct capture *create(const struct fixture *fixture, size_t ring_size)
{
	const struct capture_options options = {.folder = fixture->folder,
						.has_port_files = true,
						.ring_size = ring_size};
	struct capture *capture = capture_create(&options, NULL);

	assert_non_null(capture);
	return capture;
}

static void files_hold_frames_byte_for_byte(void **state)
{
	static const size_t sizes[] = {14, 15, 60, 63, 64, 65, 1514, 9014, 65535, FRAME_SIZE_MAX};
	const struct fixture *fixture = *state;
	struct capture *capture = create(fixture, CAPTURE_RING_SIZE);
	int a = capture_add_port(capture, "h1:eth0", NULL);
	int b = capture_add_port(capture, "network:lan", NULL);
	char *path_a = path_of(fixture, "h1-eth0.pcap");
	char *path_b = path_of(fixture, "network-lan.pcap");
	const uint32_t count = sizeof(sizes) / sizeof(sizes[0]);
	pcap_t *pcap;

	assert_int_equal(a, 0);
	assert_int_equal(b, 1);
	assert_string_equal(capture_file(capture, a), path_a);
	assert_string_equal(capture_file(capture, b), path_b);
	assert_int_equal(capture_start(capture, NULL), 0);
	for (uint32_t i = 0; i < count; i++) {
		capture_bytes(capture, a, i, sizes[i], TIME + i);
		capture_bytes(capture, b, 100 + i, sizes[count - 1 - i], TIME + 1000000000ull * i);
		capture_wake(capture);
	}
	assert_int_equal(capture_lost(capture, a), 0);
	capture_destroy(capture);
	pcap = open_file(path_a);
	for (uint32_t i = 0; i < count; i++)
		check_next(pcap, i, sizes[i], TIME + i);
	check_end(pcap);
	pcap = open_file(path_b);
	for (uint32_t i = 0; i < count; i++)
		check_next(pcap, 100 + i, sizes[count - 1 - i], TIME + 1000000000ull * i);
	check_end(pcap);
	free(path_a);
	free(path_b);
}

static void file_is_whole_as_soon_as_it_is_added(void **state)
{
	const struct fixture *fixture = *state;
	struct capture *capture = create(fixture, CAPTURE_RING_SIZE);
	char *path = path_of(fixture, "h1-eth0.pcap");
	struct stat status;

	assert_int_equal(capture_add_port(capture, "h1:eth0", NULL), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 24);
	assert_int_equal(count_records(path), 0);
	capture_destroy(capture);
	assert_int_equal(count_records(path), 0);
	free(path);
}

static void earlier_files_are_replaced(void **state)
{
	const struct fixture *fixture = *state;
	char *path = path_of(fixture, "h1-eth0.pcap");

	for (uint32_t frames = 3; frames > 0; frames--) {
		struct capture *capture = create(fixture, CAPTURE_RING_SIZE);

		capture_add_port(capture, "h1:eth0", NULL);
		for (uint32_t i = 0; i < frames; i++)
			capture_bytes(capture, 0, i, 100, TIME);
		capture_destroy(capture);
		assert_int_equal(count_records(path), frames);
	}
	free(path);
}

static void folders_are_made_with_parents(void **state)
{
	struct fixture *fixture = *state;
	char *deep;
	struct capture *capture;
	struct stat status;

	assert_true(asprintf(&deep, "%s/a/b//c/", fixture->folder) > 0);
	capture = create_in(deep, NULL);
	assert_non_null(capture);
	assert_int_equal(capture_add_port(capture, "h1:eth0", NULL), 0);
	assert_int_equal(stat(capture_file(capture, 0), &status), 0);
	unlink(capture_file(capture, 0));
	capture_destroy(capture);
	for (int i = 0; i < 3; i++) {
		static const char *const parts[] = {"a/b/c", "a/b", "a"};
		char *path = path_of(fixture, parts[i]);

		assert_int_equal(rmdir(path), 0);
		free(path);
	}
	free(deep);
}

static void what_is_no_folder_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct error error = {0};
	int fd = open(fixture->folder, O_WRONLY | O_CREAT, 0600);
	char *below = path_of(fixture, "below");

	assert_true(fd >= 0);
	close(fd);
	assert_null(create_in(fixture->folder, &error));
	assert_int_equal(error.class, ERROR_FAILED);
	assert_non_null(strstr(error.text, fixture->folder));
	assert_null(create_in(below, NULL));
	assert_null(create_in("", NULL));
	unlink(fixture->folder);
	free(below);
}

static void what_is_no_file_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct capture *capture = create(fixture, CAPTURE_RING_SIZE);
	char *link = path_of(fixture, "h1-eth0.pcap");
	char *fifo = path_of(fixture, "h2-eth0.pcap");
	struct error error = {0};

	assert_int_equal(symlink("/dev/null", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), -ELOOP);
	assert_non_null(strstr(error.text, link));
	assert_int_equal(capture_add_port(capture, "h2:eth0", &error), -ENXIO);
	assert_int_equal(capture_add_port(capture, "h3:eth0", &error), 0);
	capture_destroy(capture);
	free(link);
	free(fifo);
}

/* Two labs that were given the same folder: the first one's files stay whole. */
static void files_another_lab_writes_are_refused(void **state)
{
	struct capture *first = create(*state, CAPTURE_RING_SIZE), *second = create(*state, CAPTURE_RING_SIZE);
	struct error error = {0};
	struct stat status;

	assert_int_equal(capture_add_port(first, "h1:eth0", &error), 0);
	assert_int_equal(capture_add_port(second, "h1:eth0", &error), -EBUSY);
	assert_non_null(strstr(error.text, "another lab"));
	assert_int_equal(stat(capture_file(first, 0), &status), 0);
	assert_int_equal(status.st_size, 24); /* The file's header is still there. */
	capture_destroy(first);
	assert_int_equal(capture_add_port(second, "h1:eth0", &error), 0);
	capture_destroy(second);
}

static void ports_are_added_once(void **state)
{
	struct capture *capture = create(*state, CAPTURE_RING_SIZE);
	struct error error = {0};

	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), 0);
	assert_int_equal(capture_add_port(capture, "h2:eth0", &error), 1);
	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), 0);
	/* Another port whose file would be the same. */
	assert_int_equal(capture_add_port(capture, "h1/eth0", &error), -EEXIST);
	assert_int_equal(capture_start(capture, &error), 0);
	assert_int_equal(capture_start(capture, &error), 0);
	assert_int_equal(capture_add_port(capture, "h2:eth0", &error), 1);
	assert_int_equal(capture_find_port(capture, "h2:eth0"), 1);
	assert_int_equal(capture_find_port(capture, "h3:eth0"), -ENOENT);
	capture_bytes(capture, -1, 1, 60, TIME);
	capture_bytes(capture, 2, 1, 60, TIME);
	capture_end_port(capture, -1);
	capture_end_port(capture, 2);
	assert_int_equal(capture_lost(capture, 2), 0);
	assert_null(capture_file(capture, 2));
	capture_destroy(capture);
}

static bool is_open(const char *path)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	bool found = false;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		char target[4 * PATH_SIZE];
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		found = found || !strcmp(target, path);
	}
	closedir(folder);
	return found;
}

/* Ends a port while the writer runs, and waits until its file is closed. */
static void end_port(struct capture *capture, int port)
{
	capture_end_port(capture, port);
	capture_wake(capture);
	for (int i = 0; is_open(capture_file(capture, port)); i++) {
		assert_true(i < 10000);
		usleep(1000);
	}
	usleep(10000); /* The writer says so after it has closed the file. */
}

static void ports_are_added_while_it_runs(void **state)
{
	struct capture *capture = create(*state, CAPTURE_RING_SIZE);
	struct error error = {0};
	char *path;
	int a, b;

	a = capture_add_port(capture, "h1:eth0", &error);
	assert_int_equal(capture_start(capture, &error), 0);
	capture_bytes(capture, a, 1, 60, TIME);
	capture_wake(capture);
	b = capture_add_port(capture, "h2:eth0", &error);
	assert_int_equal(b, 1);
	capture_bytes(capture, b, 2, 60, TIME);
	capture_bytes(capture, a, 3, 60, TIME);
	path = strdup(capture_file(capture, b));
	capture_destroy(capture);
	assert_int_equal(count_records(path), 1);
	free(path);
}

/* The file is whole at once, others go on, and one that comes back goes on in its file. */
static void ports_end_and_come_back(void **state)
{
	struct capture *capture = create(*state, CAPTURE_RING_SIZE);
	struct error error = {0};
	char *path;
	pcap_t *pcap;
	int a, b;

	a = capture_add_port(capture, "h1:eth0", &error);
	b = capture_add_port(capture, "h2:eth0", &error);
	assert_int_equal(capture_start(capture, &error), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		capture_bytes(capture, a, i, 100, TIME + i);
		capture_bytes(capture, b, i, 100, TIME + i);
	}
	end_port(capture, b);
	path = strdup(capture_file(capture, b));
	assert_int_equal(count_records(path), 1000);
	capture_bytes(capture, a, 1000, 100, TIME + 1000);
	assert_int_equal(capture_add_port(capture, "h2:eth0", &error), b);
	capture_bytes(capture, b, 1000, 100, TIME + 2000);
	assert_int_equal(capture_lost(capture, b), 0);
	end_port(capture, b);
	pcap = open_file(path);
	for (uint32_t i = 0; i < 1000; i++)
		check_next(pcap, i, 100, TIME + i);
	check_next(pcap, 1000, 100, TIME + 2000);
	check_end(pcap);
	free(path);
	path = strdup(capture_file(capture, a));
	capture_destroy(capture);
	assert_int_equal(count_records(path), 1001);
	free(path);
}

/* What happened to the file meanwhile is the user's will. */
static void moved_files_are_left_alone(void **state)
{
	struct capture *capture = create(*state, CAPTURE_RING_SIZE);
	char moved[4 * PATH_SIZE];
	struct error error = {0};
	char *path;
	int file;

	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), 0);
	assert_int_equal(capture_start(capture, &error), 0);
	path = strdup(capture_file(capture, 0));
	snprintf(moved, sizeof(moved), "%s.1", path);
	capture_bytes(capture, 0, 1, 100, TIME);
	end_port(capture, 0);
	/* Moved away: it begins anew. */
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), 0);
	capture_bytes(capture, 0, 2, 100, TIME);
	capture_bytes(capture, 0, 3, 100, TIME);
	end_port(capture, 0);
	assert_int_equal(count_records(moved), 1);
	assert_int_equal(count_records(path), 2);
	/* Replaced by something else: that is not touched, and said. */
	file = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(file, "precious", 8), 8);
	close(file);
	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), -EEXIST);
	assert_non_null(strstr(error.text, path));
	/* Emptied: it begins anew as well. */
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(capture_add_port(capture, "h1:eth0", &error), 0);
	capture_bytes(capture, 0, 4, 100, TIME);
	capture_destroy(capture);
	assert_int_equal(count_records(path), 1);
	unlink(moved);
	free(path);
}

static void times_follow_the_clock(void **state)
{
	struct capture *capture = create(*state, CAPTURE_RING_SIZE);
	struct timespec before, after;
	uint64_t time;

	clock_gettime(CLOCK_REALTIME, &before);
	time = capture_time(capture, loop_now());
	clock_gettime(CLOCK_REALTIME, &after);
	/* A second to each side, for a clock that is being set. */
	assert_in_range(time / 1000000000, before.tv_sec - 1, after.tv_sec + 1);
	assert_int_equal(capture_time(capture, 2000) - capture_time(capture, 1000), 1000);
	capture_destroy(capture);
}

/* The writer is not started, so the ring fills; what did not fit is counted where it belongs. */
static void frames_lost_to_a_full_ring_are_counted(void **state)
{
	const struct fixture *fixture = *state;
	struct capture *capture = create(fixture, 1);
	char *path = path_of(fixture, "h1-eth0.pcap");
	uint32_t kept = 0;
	pcap_t *pcap;

	capture_add_port(capture, "h1:eth0", NULL);
	capture_add_port(capture, "h2:eth0", NULL);
	while (capture_lost(capture, 0) == 0) {
		capture_bytes(capture, 0, kept, 1514, TIME + kept);
		kept++;
	}
	kept--;
	assert_in_range(kept, 100, 1000);
	for (int i = 0; i < 4; i++)
		capture_bytes(capture, 1, 0, 1514, TIME);
	assert_int_equal(capture_lost(capture, 0), 1);
	assert_int_equal(capture_lost(capture, 1), 4);
	capture_destroy(capture);
	pcap = open_file(path);
	for (uint32_t i = 0; i < kept; i++)
		check_next(pcap, i, 1514, TIME + i);
	check_end(pcap);
	free(path);
}

static void write_records(struct capture_file *file, uint32_t from, uint32_t to)
{
	struct capture_files unflushed = TAILQ_HEAD_INITIALIZER(unflushed);
	uint8_t bytes[1514];

	for (uint32_t i = from; i < to; i++) {
		fill(bytes, sizeof(bytes), i);
		capture_file_write(file, TIME + i, bytes, sizeof(bytes), sizeof(bytes), &unflushed);
	}
	capture_files_flush(&unflushed);
	assert_true(TAILQ_EMPTY(&unflushed));
}

/* A disk that is full, then not any more: the limit of a file's size stands for it. */
static void full_disk_is_survived(void **state)
{
	const struct fixture *fixture = *state;
	pcap_t *format = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 262144, PCAP_TSTAMP_PRECISION_NANO);
	struct capture_file *file = capture_file_create(fixture->root, "h1:eth0");
	struct rlimit unlimited, limited;
	uint32_t kept;
	pcap_t *pcap;

	assert_int_equal(capture_file_open(file, format, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	limited = unlimited;
	limited.rlim_cur = 300000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
	write_records(file, 0, 1000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	kept = count_records(capture_file_path(file));
	assert_in_range(kept, 100, 196); /* 196 records make 299904 bytes. */
	assert_int_equal(capture_file_lost(file), 1000 - kept);
	write_records(file, 1000, 1500);
	assert_int_equal(capture_file_lost(file), 1000 - kept);
	pcap = open_file(capture_file_path(file));
	for (uint32_t i = 0; i < kept; i++)
		check_next(pcap, i, 1514, TIME + i);
	for (uint32_t i = 1000; i < 1500; i++)
		check_next(pcap, i, 1514, TIME + i);
	check_end(pcap);
	signal(SIGXFSZ, SIG_DFL);
	capture_file_close(file);
	pcap_close(format);
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	(void)frame;
	return *(enum port_result *)opaque;
}

/* Both ends have the same frame with the same time; a frame that was dropped is in the sender's file alone. */
static void data_plane_captures_both_ends(void **state)
{
	static const struct port_ops ops = {.deliver = deliver};
	enum port_result result = PORT_DELIVERED;
	const struct fixture *fixture = *state;
	struct capture *capture = create(fixture, CAPTURE_RING_SIZE);
	struct dataplane *dataplane = dataplane_create(NULL);
	struct port *a = dataplane_add_port(dataplane, "h1:eth0");
	struct port *b = dataplane_add_port(dataplane, "h2:eth0");
	char *paths[] = {path_of(fixture, "h1-eth0.pcap"), path_of(fixture, "h2-eth0.pcap")};
	struct frame frame = {.header_size = 60, .size = 60};
	struct pcap_pkthdr *header_a, *header_b;
	const u_char *bytes_a, *bytes_b;
	pcap_t *pcaps[2];

	dataplane_set_capture(dataplane, capture);
	port_join_port(a, b);
	port_plug(b, &ops, &result);
	/* The thread only adds the ports to the capture and starts it: frames are then sent from here. */
	assert_int_equal(dataplane_start(dataplane, NULL), 0);
	dataplane_stop(dataplane);
	fill(frame.header, 60, 1);
	port_transmit(a, &frame);
	result = PORT_RING_FULL;
	port_transmit(a, &frame);
	dataplane_end_turn(dataplane);
	dataplane_destroy(dataplane);
	capture_destroy(capture);
	assert_int_equal(count_records(paths[0]), 2);
	assert_int_equal(count_records(paths[1]), 1);
	for (int i = 0; i < 2; i++)
		pcaps[i] = open_file(paths[i]);
	assert_int_equal(pcap_next_ex(pcaps[0], &header_a, &bytes_a), 1);
	assert_int_equal(pcap_next_ex(pcaps[1], &header_b, &bytes_b), 1);
	assert_memory_equal(header_a, header_b, sizeof(*header_a));
	assert_memory_equal(bytes_a, frame.header, 60);
	assert_memory_equal(bytes_b, frame.header, 60);
	for (int i = 0; i < 2; i++) {
		pcap_close(pcaps[i]);
		free(paths[i]);
	}
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(files_hold_frames_byte_for_byte),
		test(file_is_whole_as_soon_as_it_is_added),
		test(earlier_files_are_replaced),
		test(folders_are_made_with_parents),
		test(what_is_no_folder_is_refused),
		test(what_is_no_file_is_refused),
		test(files_another_lab_writes_are_refused),
		test(ports_are_added_once),
		test(ports_are_added_while_it_runs),
		test(ports_end_and_come_back),
		test(moved_files_are_left_alone),
		test(times_follow_the_clock),
		test(frames_lost_to_a_full_ring_are_counted),
		test(full_disk_is_survived),
		test(data_plane_captures_both_ends),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
