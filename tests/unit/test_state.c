/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's state as bytes: sections come back as they were put, and everything else is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/state.h"

#define TAG_A STATE_TAG('a', 'a', 'a', 'a')
#define TAG_B STATE_TAG('b', 'b', 'b', 'b')
#define FILE_MAX 4096

struct folder {
	char path[64];
	int fd;
};

static int set_up(void **state)
{
	struct folder *folder = calloc(1, sizeof(*folder));

	if (!folder)
		return -1;
	strcpy(folder->path, "/tmp/test-state-XXXXXX");
	if (!mkdtemp(folder->path))
		return -1;
	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = folder;
	return folder->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct folder *folder = *state;

	unlinkat(folder->fd, "state", 0);
	close(folder->fd);
	rmdir(folder->path);
	free(folder);
	return 0;
}

static void put_some(struct state *state)
{
	const uint64_t number = 0x123456789abcdefull;

	state_put(state, TAG_A, &number, sizeof(number));
	state_put(state, TAG_B, "seven..", 7);
	state_put(state, TAG_A, NULL, 0);
}

static void expect_some(struct state *state)
{
	uint64_t number;
	char text[16];
	size_t size;

	assert_true(state_get(state, TAG_A, &number, sizeof(number)));
	assert_true(number == 0x123456789abcdefull);
	assert_true(state_get_up_to(state, TAG_B, text, sizeof(text), &size));
	assert_int_equal(size, 7);
	assert_memory_equal(text, "seven..", 7);
	assert_true(state_get(state, TAG_A, NULL, 0));
	assert_false(state->bad);
	assert_false(state_get(state, TAG_A, NULL, 0)); /* There is no more. */
	assert_true(state->bad);
}

static void sections_come_back_in_order(void **unused)
{
	struct state state = {0};

	(void)unused;
	put_some(&state);
	expect_some(&state);
	state_release(&state);
}

static void a_large_state_grows(void **unused)
{
	static uint8_t bytes[100000];
	struct state state = {0};

	(void)unused;
	for (unsigned int i = 0; i < 50; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		state_put(&state, TAG_A, bytes, sizeof(bytes));
	}
	for (unsigned int i = 0; i < 50; i++) {
		assert_true(state_get(&state, TAG_A, bytes, sizeof(bytes)));
		assert_int_equal(bytes[0], i);
		assert_int_equal(bytes[sizeof(bytes) - 1], i);
	}
	state_release(&state);
}

static void what_is_not_there_is_zero_and_makes_it_bad(void **unused)
{
	uint32_t wrong_size = 1;
	uint64_t number = 1;
	struct state state = {0};

	(void)unused;
	put_some(&state);
	assert_false(state_get(&state, TAG_B, &number, sizeof(number)));
	assert_true(number == 0);
	assert_true(state.bad);
	assert_false(state_get(&state, TAG_A, &number, sizeof(number))); /* And stays so. */
	state.bad = false;
	state.at = 0;
	assert_false(state_get(&state, TAG_A, &wrong_size, sizeof(wrong_size)));
	assert_int_equal(wrong_size, 0);
	state_release(&state);
}

static void files_come_back(void **state_of_test)
{
	const struct folder *folder = *state_of_test;
	struct state state = {0};
	struct error error = {0};
	struct stat status;

	put_some(&state);
	assert_int_equal(state_write(&state, folder->fd, "state", &error), 0);
	assert_int_equal(state_write(&state, folder->fd, "state", &error), -EEXIST); /* Never over another. */
	state_release(&state);
	assert_int_equal(fstatat(folder->fd, "state", &status, 0), 0);
	assert_int_equal(status.st_mode & 0777, 0400);
	assert_int_equal(state_read(&state, folder->fd, "state", &error), 0);
	expect_some(&state);
	state_release(&state);
}

static size_t read_bytes(const struct folder *folder, uint8_t *bytes)
{
	int fd = openat(folder->fd, "state", O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, bytes, FILE_MAX);

	close(fd);
	assert_true(size > 0 && size < FILE_MAX);
	return (size_t)size;
}

/* Every byte matters, and every length. */
static void damaged_files_are_refused(void **state_of_test)
{
	const struct folder *folder = *state_of_test;
	uint8_t bytes[FILE_MAX];
	struct state state = {0};
	struct error error = {0};
	size_t size;

	put_some(&state);
	assert_int_equal(state_write(&state, folder->fd, "state", &error), 0);
	state_release(&state);
	size = read_bytes(folder, bytes);
	assert_int_equal(state_parse(&state, bytes, size, &error), 0);
	state_release(&state);
	for (size_t i = 0; i < size; i++) {
		if (i >= 12 && i < 16) /* Reserved. */
			continue;
		bytes[i] ^= 0x10;
		assert_true(state_parse(&state, bytes, size, &error) < 0);
		assert_null(state.bytes);
		assert_true(error.text[0] != '\0');
		bytes[i] ^= 0x10;
	}
	for (size_t i = 0; i < size; i++)
		assert_int_equal(state_parse(&state, bytes, i, &error), -EBADMSG);
	assert_int_equal(state_parse(&state, bytes, size + 1, &error), -EBADMSG);
}

static void another_version_is_refused_by_its_number(void **state_of_test)
{
	const struct folder *folder = *state_of_test;
	uint8_t bytes[FILE_MAX];
	struct state state = {0};
	struct error error = {0};
	size_t size;

	put_some(&state);
	assert_int_equal(state_write(&state, folder->fd, "state", &error), 0);
	state_release(&state);
	size = read_bytes(folder, bytes);
	bytes[8] = 77;
	assert_int_equal(state_parse(&state, bytes, size, &error), -EPROTO);
	assert_non_null(strstr(error.text, "version 77"));
}

static void what_is_no_file_is_refused(void **state_of_test)
{
	const struct folder *folder = *state_of_test;
	struct state state;
	struct error error = {0};

	assert_int_equal(state_read(&state, folder->fd, "state", &error), -ENOENT);
	assert_int_equal(symlinkat("/dev/zero", folder->fd, "state"), 0);
	assert_int_equal(state_read(&state, folder->fd, "state", &error), -ELOOP);
	unlinkat(folder->fd, "state", 0);
	assert_int_equal(mkfifoat(folder->fd, "state", 0600), 0); /* Nobody writes: it must not wait. */
	assert_int_equal(state_read(&state, folder->fd, "state", &error), -EBADMSG);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_come_back_in_order),
		cmocka_unit_test(a_large_state_grows),
		cmocka_unit_test(what_is_not_there_is_zero_and_makes_it_bad),
		TEST(files_come_back),
		TEST(damaged_files_are_refused),
		TEST(another_version_is_refused_by_its_number),
		TEST(what_is_no_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
