/* SPDX-License-Identifier: Apache-2.0 */

/* Setting a node up, with the real host's end of the agent protocol and a guest that is played here.  What node_setup.c
 * uses of lab.c and node.c is defined here too, so that the linker takes nothing of the real ones. */

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "netlab/guest.h"
#include "netlab/node.h"
#include "netlab/node_setup.h"

#define SENT_MAX (4u << 20)
#define LOG_MAX 4096

struct lab {
	struct topology topology;
	char log[LOG_MAX];
	unsigned int done;
	char failure[1024];
};

struct fixture {
	struct lab lab;
	struct node node;
	struct guest guest; /* All there is of it is its agent. */
	struct topology_node topology;
	struct topology_file file;
	char *command;
	uint8_t sent[SENT_MAX]; /* To the guest. */
	size_t sent_size, heard;
	char path[64]; /* A file on the host. */
};

/* netlab/lab.c and netlab/node.c */

const struct topology *lab_topology(const struct lab *lab)
{
	return &lab->topology;
}

void lab_node_logged(struct lab *lab, struct node *node, const char *text, size_t size)
{
	(void)node;
	assert_true(strlen(lab->log) + size < sizeof(lab->log));
	strncat(lab->log, text, size);
}

void node_has_network(struct node *node)
{
	node->has_network = true;
}

void node_setup_done(struct node *node, const char *failure)
{
	snprintf(node->lab->failure, sizeof(node->lab->failure), "%s", failure);
	node->lab->done++;
	node_setup_destroy(node->setup);
	node->setup = NULL;
}

/* The connection. */

static size_t on_send(void *opaque, const uint8_t *data, size_t size)
{
	struct fixture *fixture = opaque;

	assert_true(fixture->sent_size + size <= SENT_MAX);
	memcpy(fixture->sent + fixture->sent_size, data, size);
	fixture->sent_size += size;
	return size;
}

static void on_greeted(void *opaque)
{
	node_setup_start(&((struct fixture *)opaque)->node);
}

static void on_lost(void *opaque, const char *reason)
{
	struct node *node = &((struct fixture *)opaque)->node;

	(void)reason;
	node_setup_destroy(node->setup);
	node->setup = NULL;
}

/* The guest. */

static void answer(struct fixture *fixture, uint32_t channel, uint16_t type, const void *payload, uint32_t size)
{
	const struct agent_header header = {.length = htole32(size),
					    .channel = htole32(channel),
					    .type = htole16(type)};

	agent_receive(fixture->guest.agent, (const uint8_t *)&header, sizeof(header));
	agent_receive(fixture->guest.agent, payload, size);
}

static void answer_exit(struct fixture *fixture, uint32_t channel, uint32_t status)
{
	const uint32_t numbers[2] = {htole32(status), 0};

	answer(fixture, channel, AGENT_EXIT, numbers, sizeof(numbers));
}

static void answer_credit(struct fixture *fixture, uint32_t channel, uint32_t bytes)
{
	bytes = htole32(bytes);
	answer(fixture, channel, AGENT_CREDIT, &bytes, sizeof(bytes));
}

/* Takes the next message; gives its type, or 0 if there is none. */
static uint16_t hear(struct fixture *fixture, uint32_t *channel, uint32_t *size)
{
	struct agent_header header;

	*channel = *size = 0;
	if (fixture->heard == fixture->sent_size)
		return 0;
	memcpy(&header, fixture->sent + fixture->heard, sizeof(header));
	*channel = le32toh(header.channel);
	*size = le32toh(header.length);
	fixture->heard += sizeof(header) + *size;
	assert_true(fixture->heard <= fixture->sent_size);
	return le16toh(header.type);
}

static void expect_message(struct fixture *fixture, uint32_t on_channel, uint16_t type)
{
	uint32_t channel, size;

	assert_int_equal(hear(fixture, &channel, &size), type);
	assert_int_equal(channel, on_channel);
}

/* Takes 'size' bytes of input that were sent to a channel. */
static void expect_input(struct fixture *fixture, uint32_t on_channel, size_t size)
{
	while (size > 0) {
		uint32_t channel, part;

		assert_int_equal(hear(fixture, &channel, &part), AGENT_STDIN);
		assert_int_equal(channel, on_channel);
		assert_in_range(part, 1, size);
		size -= part;
	}
}

static void expect_nothing(struct fixture *fixture)
{
	assert_int_equal(fixture->heard, fixture->sent_size);
}

/* Greets, and does the first step, on channel 1. */
static void greet(struct fixture *fixture)
{
	answer(fixture, 0, AGENT_HELLO, "version 1\n", 10);
	expect_message(fixture, 1, AGENT_CONFIGURE);
	expect_nothing(fixture);
	answer_exit(fixture, 1, 0);
}

static void expect_done(struct fixture *fixture, const char *failure)
{
	assert_int_equal(fixture->lab.done, 1);
	assert_string_equal(fixture->lab.failure, failure);
	assert_null(fixture->node.setup);
	expect_nothing(fixture);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct agent_transport transport = {.send = on_send,
						  .greeted = on_greeted,
						  .lost = on_lost,
						  .opaque = fixture};
	int fd;

	assert_non_null(fixture);
	strcpy(fixture->path, "/tmp/netlab-test-setup-XXXXXX");
	fd = mkstemp(fixture->path);
	if (fd < 0)
		return -1;
	close(fd);
	fixture->topology.name = "h1";
	fixture->topology.files = &fixture->file;
	fixture->topology.startup = &fixture->command;
	fixture->file = (struct topology_file){.guest_path = "/etc/motd", .source = fixture->path};
	fixture->command = "true";
	fixture->node.lab = &fixture->lab;
	fixture->node.topology = &fixture->topology;
	fixture->node.guest = &fixture->guest;
	fixture->guest.agent = agent_create(&transport);
	agent_opened(fixture->guest.agent, true);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	node_setup_destroy(fixture->node.setup);
	agent_destroy(fixture->guest.agent);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

/* The descriptor of the file that is being sent, or -1. */
static int find_descriptor(const struct fixture *fixture)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	int found = -1;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		char target[256];
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		if (!strcmp(target, fixture->path))
			found = (int)strtol(entry->d_name, NULL, 10);
	}
	closedir(folder);
	return found;
}

static void steps_follow_one_another(void **state)
{
	static char *routes[] = {"default via 10.0.0.1"};
	struct fixture *fixture = *state;

	assert_int_equal(truncate(fixture->path, 5), 0);
	fixture->topology.file_count = fixture->topology.startup_count = 1;
	fixture->topology.routes = routes;
	fixture->topology.route_count = 1;
	greet(fixture);
	expect_message(fixture, 2, AGENT_WRITE_FILE);
	expect_input(fixture, 2, 5);
	expect_message(fixture, 2, AGENT_STDIN_END);
	assert_int_equal(find_descriptor(fixture), -1);
	answer_exit(fixture, 2, 0);
	expect_message(fixture, 3, AGENT_EXEC);
	expect_message(fixture, 3, AGENT_STDIN_END);
	answer(fixture, 3, AGENT_STDERR, "no such network\n", 16);
	answer_exit(fixture, 3, 2);
	expect_message(fixture, 4, AGENT_EXEC);
	expect_message(fixture, 4, AGENT_STDIN_END);
	answer_exit(fixture, 4, 0);
	expect_done(fixture, "route \"default via 10.0.0.1\" failed (status 2): no such network");
}

static void large_file_goes_as_the_guest_takes_it(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(truncate(fixture->path, AGENT_WINDOW + 100001), 0);
	fixture->topology.file_count = 1;
	greet(fixture);
	expect_message(fixture, 2, AGENT_WRITE_FILE);
	expect_input(fixture, 2, AGENT_WINDOW);
	expect_nothing(fixture);
	answer_credit(fixture, 2, 100000);
	expect_input(fixture, 2, 100000);
	expect_nothing(fixture);
	answer_credit(fixture, 2, 100000);
	expect_input(fixture, 2, 1);
	expect_message(fixture, 2, AGENT_STDIN_END);
	answer_exit(fixture, 2, 0);
	expect_done(fixture, "");
}

static void file_that_cannot_be_read_is_given_up(void **state)
{
	/* A folder that took the file's place, and one at whose beginning the kernel gives EIO. */
	static const struct {
		char *source, *failure;
	} files[] = {{"/etc", "copying /etc/motd failed (Is a directory)"},
		     {"/proc/self/mem", "copying /etc/motd failed (Input/output error)"}};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < 2; i++) {
		uint32_t channel = (uint32_t)i * 3 + 2;

		fixture->lab.done = 0;
		fixture->file.source = files[i].source;
		fixture->topology.file_count = fixture->topology.startup_count = 1;
		if (i == 0) {
			greet(fixture);
		} else {
			node_setup_start(&fixture->node);
			expect_message(fixture, channel - 1, AGENT_CONFIGURE);
			answer_exit(fixture, channel - 1, 0);
		}
		expect_message(fixture, channel, AGENT_WRITE_FILE);
		expect_message(fixture, channel, AGENT_SIGNAL);
		expect_message(fixture, channel, AGENT_STDIN_END);
		/* The next step does not wait for the guest to agree. */
		expect_message(fixture, channel + 1, AGENT_EXEC);
		expect_message(fixture, channel + 1, AGENT_STDIN_END);
		answer(fixture, channel, AGENT_STDERR, "/etc/motd: cancelled\n", 21);
		answer_exit(fixture, channel, 1);
		answer_exit(fixture, channel + 1, 0);
		expect_done(fixture, files[i].failure);
	}
}

/* What the guest has of it does not become the file.  There is no next step: the setting-up ends within a callback. */
static void file_that_breaks_off_is_given_up(void **state)
{
	struct fixture *fixture = *state;
	int broken = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(broken >= 0);
	assert_int_equal(truncate(fixture->path, AGENT_WINDOW + 100001), 0);
	fixture->topology.file_count = 1;
	greet(fixture);
	expect_message(fixture, 2, AGENT_WRITE_FILE);
	expect_input(fixture, 2, AGENT_WINDOW);
	assert_true(dup2(broken, find_descriptor(fixture)) >= 0);
	close(broken);
	answer_credit(fixture, 2, 100000);
	expect_message(fixture, 2, AGENT_SIGNAL);
	expect_message(fixture, 2, AGENT_STDIN_END);
	expect_done(fixture, "copying /etc/motd failed (Is a directory)");
	answer_credit(fixture, 2, 100000);
	answer_exit(fixture, 2, 1);
	assert_true(agent_is_connected(fixture->guest.agent));
}

static void file_is_closed_when_the_agent_cannot_be_asked(void **state)
{
	static char long_path[AGENT_MESSAGE_MAX + 1];
	struct fixture *fixture = *state;
	struct topology_file files[2];

	memset(long_path, 'x', sizeof(long_path) - 1);
	files[0] = files[1] = (struct topology_file){.guest_path = long_path, .source = fixture->path};
	fixture->topology.files = files;
	fixture->topology.file_count = 2;
	greet(fixture);
	assert_int_equal(find_descriptor(fixture), -1);
	assert_int_equal(fixture->lab.done, 1);
	assert_non_null(strstr(fixture->lab.failure, "failed (the agent could not be asked)"));
	/* The log has both failures. */
	assert_non_null(strstr(strchr(fixture->lab.log, '\n') + 1, "failed (the agent could not be asked)"));
}

static void file_is_closed_when_the_connection_is_lost(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(truncate(fixture->path, AGENT_WINDOW + 1), 0);
	fixture->topology.file_count = 1;
	greet(fixture);
	assert_true(find_descriptor(fixture) >= 0);
	agent_opened(fixture->guest.agent, false);
	assert_int_equal(find_descriptor(fixture), -1);
	assert_null(fixture->node.setup);
	assert_int_equal(fixture->lab.done, 0);
}

/* A node that is set up already gets these lines, and nothing of what it got before. */
static void more_is_only_lines(void **state)
{
	struct fixture *fixture = *state;

	fixture->topology.file_count = fixture->topology.startup_count = 1;
	answer(fixture, 0, AGENT_HELLO, "version 1\n", 10);
	node_setup_destroy(fixture->node.setup); /* As if that were long past. */
	fixture->heard = fixture->sent_size;
	node_setup_start_more(&fixture->node, strdup("sysctl x.y 1\n"));
	expect_message(fixture, 2, AGENT_CONFIGURE);
	assert_memory_equal(fixture->sent + fixture->sent_size - 13, "sysctl x.y 1\n", 13);
	expect_nothing(fixture);
	answer(fixture, 2, AGENT_STDERR, "no such key\n", 12);
	answer_exit(fixture, 2, 1);
	expect_done(fixture, "setting up interfaces failed (status 1): no such key");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(more_is_only_lines),
		CASE(steps_follow_one_another),
		CASE(large_file_goes_as_the_guest_takes_it),
		CASE(file_that_cannot_be_read_is_given_up),
		CASE(file_that_breaks_off_is_given_up),
		CASE(file_is_closed_when_the_agent_cannot_be_asked),
		CASE(file_is_closed_when_the_connection_is_lost),
	};

	return cmocka_run_group_tests_name("unit/node_setup", tests, NULL, NULL);
}
