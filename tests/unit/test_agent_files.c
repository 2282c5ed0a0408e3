/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's agent: files that are read and written. */
#include <dirent.h>

#include "tests/unit/agent_session.h"

static void send_write(struct session *session, uint32_t channel, uint32_t mode, const char *path)
{
	uint8_t payload[512];

	memcpy(payload, &mode, sizeof(mode));
	strcpy((char *)payload + sizeof(mode), path);
	send_message(session, channel, AGENT_WRITE_FILE, payload, sizeof(mode) + strlen(path) + 1);
}

static void test_files(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	const size_t length = 3u << 20;
	uint8_t *input = malloc(length);
	char path[128];

	assert_non_null(input);
	fill(input, length);
	snprintf(path, sizeof(path), "%s/new/folder/file", session->folder);
	send_write(session, 7, 0640, path);
	finish(session, 7, input, length, result);
	assert_int_equal(result->status, 0);
	send_message(session, 7, AGENT_READ_FILE, path, strlen(path) + 1);
	finish(session, 7, NULL, 0, result);
	assert_int_equal(result->status, 0);
	assert_int_equal(result->mode, 0640);
	assert_int_equal(result->output_length, length);
	assert_memory_equal(result->output, input, length);
	send_write(session, 7, 0644, "/dev/null");
	finish(session, 7, input, length, result);
	assert_int_equal(result->status, 0);
	free(input);
}

static void make_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void expect_file(const char *path, const char *text)
{
	char content[64] = {0};
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_int_equal(fread(content, 1, sizeof(content) - 1, file), strlen(text));
	fclose(file);
	assert_string_equal(content, text);
}

static size_t count_entries(const char *path)
{
	DIR *folder = opendir(path);
	size_t count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2; /* "." and "..". */
}

/* As netlabd does with a copy that is interrupted. */
static void test_file_given_up_stays_as_it_was(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	char folder[128], old[160], new[160];

	snprintf(folder, sizeof(folder), "%s/given-up", session->folder);
	snprintf(old, sizeof(old), "%s/old", folder);
	snprintf(new, sizeof(new), "%s/new", folder);
	assert_int_equal(mkdir(folder, 0755), 0);
	make_file(old, "old", 0644);
	for (int try = 0; try < 2; try++) {
		send_write(session, 12, 0644, try ? new : old);
		send_message(session, 12, AGENT_STDIN, "part", 4);
		send_signal(session, 12, SIGHUP);
		send_message(session, 12, AGENT_STDIN_END, NULL, 0);
		finish(session, 12, NULL, 0, result);
		assert_int_equal(result->status, 1);
		assert_non_null(strstr(result->error, ": cancelled\n"));
	}
	expect_file(old, "old");
	assert_int_equal(count_entries(folder), 1);
}

/* A signal that comes after the end does not undo it. */
static void test_file_that_came_is_not_given_up(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	char path[128];

	snprintf(path, sizeof(path), "%s/came", session->folder);
	send_write(session, 13, 0644, path);
	send_message(session, 13, AGENT_STDIN, "whole", 5);
	send_message(session, 13, AGENT_STDIN_END, NULL, 0);
	send_signal(session, 13, SIGHUP);
	finish(session, 13, NULL, 0, result);
	assert_int_equal(result->status, 0);
	expect_file(path, "whole");
}

static void test_file_without_end_is_given_up(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	struct message message;

	for (int stalled = 0; stalled < 2; stalled++) {
		size_t got = 0;

		send_message(session, 14, AGENT_READ_FILE, "/dev/zero", 10);
		receive_message(session, &message);
		assert_int_equal(message.header.type, AGENT_FILE_MODE);
		while (got < AGENT_WINDOW) {
			receive_message(session, &message);
			assert_int_equal(message.header.type, AGENT_STDOUT);
			got += message.header.length;
		}
		if (!stalled)
			send_credit(session, 14, AGENT_WINDOW);
		send_signal(session, 14, SIGHUP);
		send_message(session, 14, AGENT_STDIN_END, NULL, 0);
		finish(session, 14, NULL, 0, result);
		assert_int_equal(result->status, 1);
	}
}

/* A pipe with a writer who says nothing gives EAGAIN. */
static void test_file_that_says_nothing_is_given_up(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	struct message message;
	char path[128];
	int writer;

	snprintf(path, sizeof(path), "%s/pipe", session->folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	writer = open(path, O_RDWR | O_CLOEXEC);
	assert_true(writer >= 0);
	send_message(session, 15, AGENT_READ_FILE, path, strlen(path) + 1);
	receive_message(session, &message);
	assert_int_equal(message.header.type, AGENT_FILE_MODE);
	assert_int_equal(write(writer, "said", 4), 4);
	receive_message(session, &message);
	assert_string_equal((char *)message.payload, "said");
	send_signal(session, 15, SIGHUP);
	finish(session, 15, NULL, 0, result);
	assert_int_equal(result->status, 1);
	close(writer);
}

static void test_file_keeps_mode_and_owner(void **state)
{
	const bool is_root = geteuid() == 0;
	const uid_t owner = is_root ? 1234 : geteuid();
	const gid_t group = is_root ? 2345 : getegid();
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	char path[128], link[128];
	struct stat status;

	snprintf(path, sizeof(path), "%s/owned", session->folder);
	snprintf(link, sizeof(link), "%s/link", session->folder);
	make_file(path, "longer than the new one", 0600);
	assert_int_equal(chown(path, owner, group), 0);
	assert_int_equal(chmod(path, 02710), 0);
	assert_int_equal(symlink(path, link), 0);
	send_write(session, 16, 0644, link);
	finish(session, 16, (const uint8_t *)"new", 3, result);
	assert_int_equal(result->status, 0);
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(status.st_mode, S_IFREG | 02710);
	assert_int_equal(status.st_uid, owner);
	assert_int_equal(status.st_gid, group);
	expect_file(path, "new");
}

static void test_files_that_cannot(void **state)
{
	static const char *const unreadable[] = {"/no/such/file", "/etc"};
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	for (size_t index = 0; index < 2; index++) {
		send_message(session, 8, AGENT_READ_FILE, unreadable[index], strlen(unreadable[index]) + 1);
		finish(session, 8, NULL, 0, result);
		assert_int_equal(result->status, 1);
		assert_non_null(strstr(result->error, unreadable[index]));
	}
	send_write(session, 8, 0644, "/proc/no/such/file");
	finish(session, 8, (const uint8_t *)"x", 1, result);
	assert_int_equal(result->status, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_file_given_up_stays_as_it_was),
		cmocka_unit_test(test_file_that_came_is_not_given_up),
		cmocka_unit_test(test_file_without_end_is_given_up),
		cmocka_unit_test(test_file_that_says_nothing_is_given_up),
		cmocka_unit_test(test_file_keeps_mode_and_owner),
		cmocka_unit_test(test_files_that_cannot),
	};

	return cmocka_run_group_tests_name("unit/agent_files", tests, set_up, tear_down);
}
