/* SPDX-License-Identifier: Apache-2.0 */
/* A capture that is passed on: blocks, however they arrive, series of files, readers that go, disks that are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "netlab/allocate.h"
#include "netlab/capture_pump.h"
#include "netlab/pcapng_blocks.h"

#define STREAM_SIZE 65536
#define HEADER_SIZE (28u + 24u + 20u)

/* A stream of pcapng, as netlabd sends one. */
struct stream {
	uint8_t bytes[STREAM_SIZE];
	size_t size;
};

struct fixture {
	char folder[32];
	char *path; /* Of a file in it. */
	struct capture_output_options to;
	struct capture_pump pump;
	int peer; /* netlabd's end. */
	struct stream stream;
	struct error error;
};

static void put(struct stream *stream, const void *bytes, size_t size)
{
	assert_true(stream->size + size <= STREAM_SIZE);
	memcpy(stream->bytes + stream->size, bytes, size);
	stream->size += size;
}

/* A block of 'type' with a body whose size is a multiple of 4. */
static void put_block(struct stream *stream, uint32_t type, const void *body, size_t size)
{
	uint32_t total = (uint32_t)size + 12;

	put(stream, &type, 4);
	put(stream, &total, 4);
	put(stream, body, size);
	put(stream, &total, 4);
}

/* Section, names and one interface: HEADER_SIZE bytes. */
static void put_header(struct stream *stream)
{
	static const uint32_t section[] = {0x1a2b3c4d, 1, 0xffffffff, 0xffffffff};
	static const uint32_t names[] = {0, 0, 0};
	static const uint32_t interface[] = {1, 0};

	put_block(stream, PCAPNG_BLOCK_SECTION, section, sizeof(section));
	put_block(stream, PCAPNG_BLOCK_NAMES, names, sizeof(names));
	put_block(stream, PCAPNG_BLOCK_INTERFACE, interface, sizeof(interface));
	assert_int_equal(stream->size, HEADER_SIZE);
}

/* A frame of 'size' bytes, after 'lost' that are missing: 32 bytes and the frame, padded, and 16 more with 'lost'. */
static void put_frame(struct stream *stream, uint32_t size, uint64_t lost)
{
	uint32_t body[512] = {0, 0, 0, size, size};
	size_t words = 5 + (size + 3) / 4;

	assert_true(size <= 1800);
	if (lost) {
		body[words++] = 1 | 2u << 16; /* A comment, "ab", */
		body[words++] = 'a' | 'b' << 8;
		body[words++] = 4 | 8u << 16; /* epb_dropcount, */
		memcpy(body + words, &lost, sizeof(lost));
		words += 2;
		body[words++] = 0; /* and the end. */
	}
	put_block(stream, PCAPNG_BLOCK_PACKET, body, 4 * words);
}

/* That of the interface so many frames are missing in all. */
static void put_statistics(struct stream *stream, uint32_t lost)
{
	const uint32_t statistics[] = {0, 0, 0, 7 | 8u << 16, lost, 0, 0};

	put_block(stream, PCAPNG_BLOCK_STATISTICS, statistics, sizeof(statistics));
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int fds[2];

	assert_non_null(fixture);
	strcpy(fixture->folder, "/tmp/netlab-pump-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->path = allocate_text("%s/office.pcapng", fixture->folder);
	fixture->to.path = fixture->path;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fixture->pump.source = fds[0];
	fixture->peer = fds[1];
	put_header(&fixture->stream);
	*state = fixture;
	return 0;
}

/* Calls 'see' with the path of each file in the folder, in no order, and returns how many there are. */
static unsigned int each_file(const char *folder, void (*see)(const char *path))
{
	DIR *stream = opendir(folder);
	struct dirent *entry;
	unsigned int count = 0;

	assert_non_null(stream);
	while ((entry = readdir(stream))) {
		char *path = allocate_text("%s/%s", folder, entry->d_name);

		if (entry->d_name[0] != '.') {
			count++;
			if (see)
				see(path);
		}
		free(path);
	}
	closedir(stream);
	return count;
}

static void remove_file(const char *path)
{
	unlink(path);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	each_file(fixture->folder, remove_file);
	rmdir(fixture->folder);
	close(fixture->pump.source);
	if (fixture->peer >= 0)
		close(fixture->peer);
	free(fixture->path);
	free(fixture);
	return 0;
}

static void send_all(struct fixture *fixture, size_t size)
{
	assert_int_equal(send(fixture->peer, fixture->stream.bytes, size, 0), size);
}

static void end(struct fixture *fixture)
{
	close(fixture->peer);
	fixture->peer = -1;
}

static int pass_on(struct fixture *fixture)
{
	struct capture_output output;
	int result;

	assert_int_equal(capture_output_open(&output, &fixture->to, &fixture->error), 0);
	fixture->pump.output = &output;
	result = capture_pump_run(&fixture->pump, &fixture->error);
	assert_int_equal(capture_output_close(&output), 0);
	return result;
}

static size_t read_file(const char *path, uint8_t *bytes, size_t room)
{
	FILE *file = fopen(path, "re");
	size_t size;

	assert_non_null(file);
	size = fread(bytes, 1, room, file);
	fclose(file);
	return size;
}

/* The file has the first 'size' bytes of the stream, and nothing else. */
static void expect_file(struct fixture *fixture, size_t size)
{
	uint8_t *bytes = malloc(STREAM_SIZE);
	size_t length = read_file(fixture->path, bytes, STREAM_SIZE);

	assert_int_equal(length, size);
	assert_memory_equal(bytes, fixture->stream.bytes, size);
	free(bytes);
}

/* Blocks. */

static void test_what_begins_a_block(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *bytes = fixture->stream.bytes;

	assert_int_equal(pcapng_block_size(bytes, 0), 0);
	assert_int_equal(pcapng_block_size(bytes, 7), 0);
	assert_int_equal(pcapng_block_size(bytes, 11), 0); /* The magic number is not there yet. */
	assert_int_equal(pcapng_block_size(bytes, 12), 28);
	bytes[8] ^= 1;
	assert_int_equal(pcapng_block_size(bytes, 12), -EINVAL);
	bytes[8] ^= 1;
	bytes[24] ^= 1; /* The length at its end is another. */
	assert_int_equal(pcapng_block_size(bytes, 27), 28);
	assert_int_equal(pcapng_block_size(bytes, 28), -EINVAL);
	assert_int_equal(pcapng_block_size((const uint8_t *)"\x06\0\0\0\x08\0\0\0", 8), -EINVAL);
	assert_int_equal(pcapng_block_size((const uint8_t *)"\x06\0\0\0\x0e\0\0\0", 8), -EINVAL);
	assert_int_equal(pcapng_block_size((const uint8_t *)"\x06\0\0\0\0\0\0\x7f", 8), -EINVAL);
}

static void test_frames_are_counted(void **state)
{
	struct fixture *fixture = *state;
	struct stream *stream = &fixture->stream;
	struct pcapng_blocks blocks;
	size_t size;

	put_frame(stream, 61, 0);
	put_frame(stream, 62, 7);
	put_frame(stream, 0, 1ull << 40);
	put_statistics(stream, 0);
	blocks = pcapng_blocks_count(stream->bytes, stream->size);
	assert_int_equal(blocks.size, stream->size);
	assert_int_equal(blocks.frames, 3);
	assert_int_equal(pcapng_blocks_lost(&blocks), 7 + (1ull << 40));
	size = stream->size;
	put_frame(stream, 60, 0);
	assert_int_equal(pcapng_blocks_count(stream->bytes, stream->size - 1).size, size);
	assert_int_equal(pcapng_blocks_count(stream->bytes, stream->size - 1).frames, 3);
}

/* Lengths within a block that lead out of it. */
static void test_options_end_with_the_block(void **state)
{
	struct fixture *fixture = *state;
	struct stream *stream = &fixture->stream;
	uint8_t *block = stream->bytes + stream->size;

	put_frame(stream, 60, 9);
	assert_int_equal(pcapng_blocks_count(stream->bytes, stream->size).lost, 9);
	block[20] = 0xff; /* Captured bytes. */
	block[23] = 0xff;
	assert_int_equal(pcapng_blocks_count(stream->bytes, stream->size).lost, 0);
	block[20] = 60;
	block[23] = 0;
	block[28 + 60 + 3] = 0x7f; /* The comment's length. */
	assert_int_equal(pcapng_blocks_count(stream->bytes, stream->size).lost, 0);
}

/* Frames that are missing after an interface's last one. */
static void test_statistics_have_what_no_frame_says(void **state)
{
	struct fixture *fixture = *state;
	struct stream *stream = &fixture->stream;

	put_frame(stream, 60, 7);
	put_statistics(stream, 9);
	put_statistics(stream, 1);
	send_all(fixture, stream->size);
	end(fixture);
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(fixture->pump.lost, 10);
}

/* Passing on. */

static void test_what_comes_is_in_the_file(void **state)
{
	struct fixture *fixture = *state;

	put_frame(&fixture->stream, 60, 0);
	put_frame(&fixture->stream, 1500, 3);
	put_statistics(&fixture->stream, 0);
	send_all(fixture, fixture->stream.size);
	end(fixture);
	assert_int_equal(pass_on(fixture), 0);
	expect_file(fixture, fixture->stream.size);
	assert_int_equal(fixture->pump.frames, 2);
	assert_int_equal(fixture->pump.lost, 3);
}

/* Calls 'act' in another process, which then ends; returns its number. */
static pid_t meanwhile(struct fixture *fixture, void (*act)(struct fixture *fixture))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		act(fixture);
		_exit(0);
	}
	close(fixture->peer);
	fixture->peer = -1;
	return pid;
}

static void send_byte_by_byte(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->stream.size; i++)
		while (send(fixture->peer, fixture->stream.bytes + i, 1, 0) != 1)
			;
}

static void test_blocks_come_in_pieces(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid;

	put_frame(&fixture->stream, 61, 1);
	put_frame(&fixture->stream, 300, 1);
	pid = meanwhile(fixture, send_byte_by_byte);
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	expect_file(fixture, fixture->stream.size);
	assert_int_equal(fixture->pump.frames, 2);
	assert_int_equal(fixture->pump.lost, 2);
}

static void test_a_block_that_is_cut_short_is_left_out(void **state)
{
	struct fixture *fixture = *state;
	size_t whole;

	put_frame(&fixture->stream, 60, 0);
	whole = fixture->stream.size;
	put_frame(&fixture->stream, 60, 0);
	send_all(fixture, fixture->stream.size - 1);
	end(fixture);
	assert_int_equal(pass_on(fixture), -EPROTO);
	assert_non_null(strstr(fixture->error.text, "with 1 frame"));
	expect_file(fixture, whole);
}

static void test_what_is_no_capture_is_refused(void **state)
{
	struct fixture *fixture = *state;

	put_frame(&fixture->stream, 60, 0);
	send_all(fixture, fixture->stream.size);
	assert_int_equal(send(fixture->peer, "{\"id\":1}\n", 9, 0), 9);
	assert_int_equal(pass_on(fixture), -EPROTO);
	assert_non_null(strstr(fixture->error.text, "is no capture"));
	expect_file(fixture, fixture->stream.size);
}

static void test_no_more_frames_than_wanted(void **state)
{
	struct fixture *fixture = *state;
	size_t wanted;

	put_frame(&fixture->stream, 60, 0);
	put_frame(&fixture->stream, 60, 0);
	wanted = fixture->stream.size;
	put_frame(&fixture->stream, 60, 0);
	send_all(fixture, fixture->stream.size);
	fixture->pump.frames_max = 2;
	assert_int_equal(pass_on(fixture), 0); /* Though netlabd is there still. */
	expect_file(fixture, wanted);
	assert_int_equal(fixture->pump.frames, 2);
}

/* What netlabd does: sends, and when it is told to end, sends what is left. */
static void send_until_told(struct fixture *fixture)
{
	struct stream *stream = &fixture->stream;
	char byte;

	close(fixture->pump.source);
	send(fixture->peer, stream->bytes, HEADER_SIZE, 0);
	kill(getppid(), SIGTERM);
	if (recv(fixture->peer, &byte, 1, 0) == 0)
		send(fixture->peer, stream->bytes + HEADER_SIZE, stream->size - HEADER_SIZE, 0);
}

static void test_a_signal_lets_netlabd_finish(void **state)
{
	struct fixture *fixture = *state;
	sigset_t mask, before;
	pid_t pid;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &before); /* It may come before the pump waits for it. */
	put_frame(&fixture->stream, 60, 0);
	put_statistics(&fixture->stream, 0);
	pid = meanwhile(fixture, send_until_told);
	assert_int_equal(pass_on(fixture), 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	expect_file(fixture, fixture->stream.size);
}

static void send_when_told(struct fixture *fixture)
{
	char byte;

	close(fixture->pump.source);
	if (recv(fixture->peer, &byte, 1, 0) == 0)
		send(fixture->peer, fixture->stream.bytes, fixture->stream.size, 0);
}

static void test_its_time_is_over(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid;

	put_frame(&fixture->stream, 60, 0);
	pid = meanwhile(fixture, send_when_told);
	fixture->pump.milliseconds = 1;
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	expect_file(fixture, fixture->stream.size);
}

/* Outputs. */

/* Has 'capture_output_open()' find a pipe as standard output, and returns its other end. */
static int make_standard_output_a_pipe(int *before)
{
	int fds[2];

	fflush(stdout);
	*before = dup(STDOUT_FILENO);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(dup2(fds[1], STDOUT_FILENO) >= 0);
	close(fds[1]);
	return fds[0];
}

static void restore_standard_output(int before)
{
	dup2(before, STDOUT_FILENO);
	close(before);
}

static void test_a_reader_that_goes_ends_it(void **state)
{
	struct fixture *fixture = *state;
	int before, reader = make_standard_output_a_pipe(&before), result, again;

	close(reader);
	fixture->to.path = NULL;
	result = pass_on(fixture); /* Though nothing came that could not be written. */
	send_all(fixture, fixture->stream.size);
	again = pass_on(fixture);
	restore_standard_output(before);
	assert_int_equal(again, -EPIPE);
	assert_int_equal(result, -EPIPE);
}

/* The one end of a pipe that is standard output is written to, and not changed for others who have it. */
static void test_standard_output_is_left_as_it_was(void **state)
{
	struct fixture *fixture = *state;
	int before, reader = make_standard_output_a_pipe(&before), flags, result;
	uint8_t bytes[STREAM_SIZE];
	ssize_t size;

	fixture->to.path = NULL;
	put_frame(&fixture->stream, 60, 0);
	send_all(fixture, fixture->stream.size);
	end(fixture);
	result = pass_on(fixture);
	flags = fcntl(STDOUT_FILENO, F_GETFL);
	restore_standard_output(before);
	size = read(reader, bytes, sizeof(bytes));
	close(reader);
	assert_int_equal(result, 0);
	assert_false(flags & O_NONBLOCK);
	assert_int_equal(size, fixture->stream.size);
	assert_memory_equal(bytes, fixture->stream.bytes, fixture->stream.size);
}

/* The kernel's limit of a file's size stands for the disk's. */
static void test_a_full_disk_leaves_whole_blocks(void **state)
{
	struct fixture *fixture = *state;
	struct rlimit before, limit;
	size_t whole;
	int result;

	put_frame(&fixture->stream, 60, 0);
	whole = fixture->stream.size;
	put_frame(&fixture->stream, 60, 5);
	put_frame(&fixture->stream, 60, 0);
	send_all(fixture, fixture->stream.size);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){.rlim_cur = whole + 10, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	result = pass_on(fixture);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(result, -EFBIG);
	assert_non_null(
		strstr(fixture->error.text, "office.pcapng: File too large; it has the capture up to there, 1 frame"));
	expect_file(fixture, whole);
	assert_int_equal(fixture->pump.frames, 1);
	assert_int_equal(fixture->pump.lost, 0);
}

static void test_names_of_a_series(void **state)
{
	static const struct {
		const char *path, *name;
	} names[] = {
		{"bug.pcapng", "bug_00007_19700102000000.pcapng"},
		{"a.b/bug", "a.b/bug_00007_19700102000000"},
		{"a.b/c.d.pcapng", "a.b/c.d_00007_19700102000000.pcapng"},
		{"./.hidden", "./.hidden_00007_19700102000000"},
	};

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *name = capture_output_name(names[i].path, 7, 86400);

		assert_string_equal(name, names[i].name);
		free(name);
	}
}

/* Each file of the series: begins with the header, and has two frames at most. */
static void expect_readable(const char *path)
{
	struct stream header = {.size = 0};
	uint8_t bytes[STREAM_SIZE];
	size_t size = read_file(path, bytes, sizeof(bytes));
	struct pcapng_blocks blocks = pcapng_blocks_count(bytes, size);

	put_header(&header);
	assert_true(size > HEADER_SIZE);
	assert_memory_equal(bytes, header.bytes, HEADER_SIZE);
	assert_int_equal(blocks.size, size);
	assert_in_range(blocks.frames, 1, 2);
}

static void send_seven(struct fixture *fixture)
{
	for (int i = 0; i < 7; i++)
		put_frame(&fixture->stream, 60, 0);
	put_statistics(&fixture->stream, 0);
	send_all(fixture, fixture->stream.size);
	end(fixture);
	fixture->to.rotate_size = HEADER_SIZE + 2 * (32 + 60) + 10;
}

static void test_a_series(void **state)
{
	struct fixture *fixture = *state;

	send_seven(fixture);
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(fixture->pump.frames, 7);
	assert_int_equal(each_file(fixture->folder, expect_readable), 4);
}

static void expect_third_or_fourth(const char *path)
{
	assert_true(strstr(path, "/office_00003_") || strstr(path, "/office_00004_"));
	expect_readable(path);
}

static void test_the_oldest_make_room(void **state)
{
	struct fixture *fixture = *state;

	send_seven(fixture);
	fixture->to.files_max = 2;
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(each_file(fixture->folder, expect_third_or_fourth), 2);
}

/* However small files shall be, each has a frame, and there are no more files than frames. */
static void test_files_smaller_than_a_frame(void **state)
{
	struct fixture *fixture = *state;

	send_seven(fixture);
	fixture->to.rotate_size = 1;
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(each_file(fixture->folder, expect_readable), 7);
}

static void test_a_series_by_time(void **state)
{
	struct fixture *fixture = *state;

	send_seven(fixture);
	fixture->to.rotate_size = 0;
	fixture->to.rotate_time = 1; /* A nanosecond has passed whenever there is a frame. */
	assert_int_equal(pass_on(fixture), 0);
	assert_int_equal(each_file(fixture->folder, expect_readable), 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_what_begins_a_block),
		TEST(test_frames_are_counted),
		TEST(test_options_end_with_the_block),
		TEST(test_statistics_have_what_no_frame_says),
		TEST(test_what_comes_is_in_the_file),
		TEST(test_blocks_come_in_pieces),
		TEST(test_a_block_that_is_cut_short_is_left_out),
		TEST(test_what_is_no_capture_is_refused),
		TEST(test_no_more_frames_than_wanted),
		TEST(test_a_signal_lets_netlabd_finish),
		TEST(test_its_time_is_over),
		TEST(test_a_reader_that_goes_ends_it),
		TEST(test_standard_output_is_left_as_it_was),
		TEST(test_a_full_disk_leaves_whole_blocks),
		TEST(test_names_of_a_series),
		TEST(test_a_series),
		TEST(test_the_oldest_make_room),
		TEST(test_files_smaller_than_a_frame),
		TEST(test_a_series_by_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
