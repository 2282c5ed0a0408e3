/* SPDX-License-Identifier: Apache-2.0 */
/* The TFTP server of a NAT gateway: transfers, options, what is lost, and what must not be read. */
#include <fcntl.h>
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

#include "netlab/nat_tftp.h"

#define SECOND 1000000000ull
#define CLIENT 4321

enum operation { READ_REQUEST = 1, WRITE_REQUEST, DATA, ACKNOWLEDGEMENT, ERROR, OPTIONS };

struct fixture {
	char folder[64]; /* That is served: "served" in a folder of the test's own. */
	struct nat_tftp *tftp;
	uint64_t now;
	uint8_t answer[NAT_TFTP_ANSWER_MAX];
	size_t size;
};

static void put_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < size; i++)
		fputc((int)(i * 7 + i / 512), file);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->folder, "/tmp/test-tftp-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	assert_int_equal(chdir(fixture->folder), 0);
	strcat(fixture->folder, "/served");
	assert_int_equal(mkdir("served", 0700), 0);
	assert_int_equal(mkdir("served/folder", 0700), 0);
	put_file("secret", 100);
	put_file("served/large", 1500);
	put_file("served/even", 1024);
	put_file("served/folder/small", 3);
	assert_int_equal(symlink("../secret", "served/out"), 0);
	assert_int_equal(symlink("/etc/passwd", "served/away"), 0);
	assert_int_equal(symlink("folder/small", "served/in"), 0);
	assert_int_equal(symlink("..", "served/folder/up"), 0);
	assert_int_equal(mkfifo("served/pipe", 0600), 0);
	fixture->tftp = nat_tftp_create(fixture->folder);
	assert_non_null(fixture->tftp);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"secret",      "served/large",  "served/even", "served/folder/small",
					    "served/out",  "served/away",   "served/in",   "served/folder/up",
					    "served/pipe", "served/folder", "served"};
	struct fixture *fixture = *state;

	nat_tftp_destroy(fixture->tftp);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		remove(files[i]);
	*strrchr(fixture->folder, '/') = '\0';
	assert_int_equal(rmdir(fixture->folder), 0);
	free(fixture);
	return 0;
}

static void say(struct fixture *fixture, uint16_t port, const void *bytes, size_t size)
{
	/* As it is within a frame, where a byte too far is another's. */
	uint8_t *payload = malloc(size);
	struct nat_datagram datagram = {.family = AF_INET, .source_port = port, .payload = payload, .size = size};

	assert_non_null(payload);
	memcpy(payload, bytes, size);
	memset(fixture->answer, 0xee, sizeof(fixture->answer));
	fixture->size = nat_tftp_answer(fixture->tftp, &datagram, fixture->now, fixture->answer);
	assert_true(fixture->size <= NAT_TFTP_ANSWER_MAX);
	free(payload);
}

/* 'rest' follows the name and its NUL: "octet", NUL, options; its last NUL is C's. */
static void ask_from(struct fixture *fixture, uint16_t port, const char *name, const char *rest, size_t size)
{
	uint8_t request[512] = {0, READ_REQUEST};

	strcpy((char *)request + 2, name);
	memcpy(request + 2 + strlen(name) + 1, rest, size);
	say(fixture, port, request, 2 + strlen(name) + 1 + size);
}

static void ask(struct fixture *fixture, const char *name)
{
	ask_from(fixture, CLIENT, name, "octet", sizeof("octet"));
}

static void acknowledge_from(struct fixture *fixture, uint16_t port, unsigned int block)
{
	say(fixture, port, (const uint8_t[]){0, ACKNOWLEDGEMENT, (uint8_t)(block >> 8), (uint8_t)block}, 4);
}

static void acknowledge(struct fixture *fixture, unsigned int block)
{
	acknowledge_from(fixture, CLIENT, block);
}

/* The answer is this block, with 'size' bytes of a file of put_file()'s from 'offset' on. */
static void expect_block(const struct fixture *fixture, unsigned int block, size_t offset, size_t size)
{
	assert_int_equal(fixture->size, 4 + size);
	assert_int_equal(fixture->answer[1], DATA);
	assert_int_equal(fixture->answer[2] << 8 | fixture->answer[3], block);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(fixture->answer[4 + i], (uint8_t)((offset + i) * 7 + (offset + i) / 512));
}

static void expect_error(const struct fixture *fixture, unsigned int code)
{
	assert_true(fixture->size > 5);
	assert_int_equal(fixture->answer[1], ERROR);
	assert_int_equal(fixture->answer[3], code);
	assert_int_equal(fixture->answer[fixture->size - 1], 0);
}

static void transfer(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "large");
	expect_block(fixture, 1, 0, 512);
	acknowledge(fixture, 1);
	expect_block(fixture, 2, 512, 512);
	acknowledge(fixture, 2);
	expect_block(fixture, 3, 1024, 476);
	acknowledge(fixture, 3);
	assert_int_equal(fixture->size, 0);
	acknowledge(fixture, 3); /* It is over. */
	assert_int_equal(fixture->size, 0);
}

static void whole_blocks_end_with_an_empty_one(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "even");
	acknowledge(fixture, 1);
	expect_block(fixture, 2, 512, 512);
	acknowledge(fixture, 2);
	expect_block(fixture, 3, 1024, 0);
}

static void options(void **state)
{
	static const char rest[] = "OCTET\0tsize\0000\0blksize\0001000\0windowsize\0004";
	static const char expected[] = "\0\6tsize\0001500\0blksize\0001000";
	struct fixture *fixture = *state;

	ask_from(fixture, CLIENT, "large", rest, sizeof(rest));
	assert_int_equal(fixture->size, sizeof(expected));
	assert_memory_equal(fixture->answer, expected, sizeof(expected));
	acknowledge(fixture, 0);
	expect_block(fixture, 1, 0, 1000);
	acknowledge(fixture, 1);
	expect_block(fixture, 2, 1000, 500);
}

static void large_blocks_are_made_smaller(void **state)
{
	static const char rest[] = "octet\0blksize\00065464";
	struct fixture *fixture = *state;

	ask_from(fixture, CLIENT, "large", rest, sizeof(rest));
	assert_string_equal((char *)fixture->answer + 10, "1428");
	acknowledge(fixture, 0);
	expect_block(fixture, 1, 0, 1428);
}

static void lost_block_is_sent_again(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "large");
	acknowledge(fixture, 1);
	expect_block(fixture, 2, 512, 512);
	acknowledge(fixture, 1); /* Late, or twice: the block is on its way. */
	assert_int_equal(fixture->size, 0);
	fixture->now += SECOND;
	acknowledge(fixture, 1);
	expect_block(fixture, 2, 512, 512);
	acknowledge(fixture, 9);
	assert_int_equal(fixture->size, 0);
}

static void nothing_outside_is_read(void **state)
{
	static const char *const names[] = {"out",
					    "away",
					    "../secret",
					    "folder/../../secret",
					    "folder/up/../secret",
					    "pipe",
					    "folder",
					    "",
					    "/",
					    ".",
					    "..",
					    "nothing",
					    "large/"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ask(fixture, names[i]);
		expect_error(fixture, 1);
	}
	ask(fixture, "in");
	expect_block(fixture, 1, 0, 3);
	ask(fixture, "//folder/small");
	expect_block(fixture, 1, 0, 3);
	ask(fixture, "folder/up/large");
	expect_block(fixture, 1, 0, 512);
}

static void folder_that_comes_later(void **state)
{
	struct fixture *fixture = *state;

	nat_tftp_destroy(fixture->tftp);
	fixture->tftp = nat_tftp_create("/tmp/test-tftp/no/such/folder");
	ask(fixture, "large");
	expect_error(fixture, 1);
}

static void bad_requests(void **state)
{
	static const uint8_t write[] = "\0\2large\0octet", mail[] = "\0\1large\0mail", unended[] = "\0\1large\0octe";
	struct fixture *fixture = *state;
	char name[300];

	say(fixture, CLIENT, write, sizeof(write));
	expect_error(fixture, 2);
	say(fixture, CLIENT, mail, sizeof(mail));
	expect_error(fixture, 0);
	for (size_t size = 2; size < sizeof(unended); size++) { /* Without its last NUL. */
		say(fixture, CLIENT, unended, size);
		expect_error(fixture, 4);
	}
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ask(fixture, name);
	expect_error(fixture, 4);
	say(fixture, CLIENT, "\0", 1);
	assert_int_equal(fixture->size, 0);
	say(fixture, CLIENT, "\0\7", 2);
	assert_int_equal(fixture->size, 0);
	say(fixture, CLIENT, "\1\1a\0octet", 10);
	assert_int_equal(fixture->size, 0);
	acknowledge(fixture, 1);
	assert_int_equal(fixture->size, 0);
}

static void options_without_end(void **state)
{
	static const char rest[] = "octet\0tsize\0000\0blksize\0";
	struct fixture *fixture = *state;

	ask_from(fixture, CLIENT, "large", rest, sizeof(rest) - 1);
	assert_string_equal((char *)fixture->answer + 2, "tsize");
}

static void error_ends_a_transfer(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "large");
	say(fixture, CLIENT, "\0\5\0\0", 5);
	assert_int_equal(fixture->size, 0);
	acknowledge(fixture, 1);
	assert_int_equal(fixture->size, 0);
}

static unsigned int open_files(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void idle_transfers_make_room(void **state)
{
	struct fixture *fixture = *state;
	unsigned int before = open_files();

	for (uint16_t i = 0; i < 3 * NAT_TFTP_TRANSFERS_MAX; i++) {
		fixture->now += SECOND;
		ask_from(fixture, (uint16_t)(CLIENT + i), "large", "octet", sizeof("octet"));
		expect_block(fixture, 1, 0, 512);
	}
	assert_int_equal(open_files(), before + NAT_TFTP_TRANSFERS_MAX);
	acknowledge(fixture, 1); /* The first has been forgotten. */
	assert_int_equal(fixture->size, 0);
	acknowledge_from(fixture, CLIENT + 3 * NAT_TFTP_TRANSFERS_MAX - 1, 1);
	expect_block(fixture, 2, 512, 512);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(transfer),
		TEST(whole_blocks_end_with_an_empty_one),
		TEST(options),
		TEST(large_blocks_are_made_smaller),
		TEST(lost_block_is_sent_again),
		TEST(nothing_outside_is_read),
		TEST(folder_that_comes_later),
		TEST(bad_requests),
		TEST(options_without_end),
		TEST(error_ends_a_transfer),
		TEST(idle_transfers_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
