/* SPDX-License-Identifier: Apache-2.0 */
/* What a running lab makes of a topology's file, and what it tells guests of who came and went: a lab without
 * machines. */
#include <endian.h>
#include <errno.h>
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

#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "netlab/lab_internal.h"
#include "netlab/plan.h"

#define PATH_SIZE 128
#define SENT_MAX 65536

#define TOPOLOGY \
	"nodes: [h1, h2]\n" \
	"links: [{endpoints: [h1, h2], ip: [10.0.0.1/24, [10.0.0.2/24, \"fd00::2/64\"]]}]\n"

struct fixture {
	struct lab lab;
	struct topology *topology;
	struct node *nodes[2];
	struct guest guest; /* h1's: all there is of it is its agent. */
	uint8_t sent[SENT_MAX];
	size_t sent_size, heard;
	char folder[64];
	char path[PATH_SIZE]; /* Of the topology's file. */
};

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Calls 'function' with each path that set_up() makes, the innermost first. */
static void for_each_path(const struct fixture *fixture, int (*function)(const char *path))
{
	static const char *const names[] = {"netlab-kvm/images/lab/image.yaml",
					    "netlab-kvm/images/lab/kernel",
					    "netlab-kvm/images/lab",
					    "netlab-kvm/images",
					    "netlab-kvm",
					    "topology.yaml",
					    ""};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[PATH_SIZE];

		snprintf(path, sizeof(path), "%s/%s", fixture->folder, names[i]);
		function(path);
	}
}

/* An image "lab" of 64 MiB and one CPU, of which nothing is run. */
static void make_image(const struct fixture *fixture)
{
	static const char *const folders[] = {"netlab-kvm", "netlab-kvm/images", "netlab-kvm/images/lab"};
	char path[PATH_SIZE];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->folder, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(path, sizeof(path), "%s/netlab-kvm/images/lab/image.yaml", fixture->folder);
	write_file(path, "kernel: kernel\nmemory: 64M\n");
	snprintf(path, sizeof(path), "%s/netlab-kvm/images/lab/kernel", fixture->folder);
	write_file(path, "");
	setenv("XDG_DATA_HOME", fixture->folder, 1);
}

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
	(void)opaque;
}

static void on_lost(void *opaque, const char *reason)
{
	(void)opaque;
	(void)reason;
}

static struct topology *read_text(const char *text)
{
	struct topology *topology = topology_read_text(text, strlen(text), "/nowhere/topology.yaml", "office", stderr);

	assert_non_null(topology);
	return topology;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct agent_transport transport = {.send = on_send,
						  .greeted = on_greeted,
						  .lost = on_lost,
						  .opaque = fixture};

	assert_non_null(fixture);
	strcpy(fixture->folder, "/tmp/netlab-test-plan-XXXXXX");
	if (!mkdtemp(fixture->folder))
		return -1;
	snprintf(fixture->path, sizeof(fixture->path), "%s/topology.yaml", fixture->folder);
	make_image(fixture);
	write_file(fixture->path, TOPOLOGY);
	fixture->topology = read_text(TOPOLOGY);
	fixture->lab.topology = fixture->topology;
	fixture->lab.nodes = fixture->nodes;
	fixture->lab.node_count = 2;
	for (size_t i = 0; i < 2; i++) {
		fixture->nodes[i] = calloc(1, sizeof(*fixture->nodes[i]));
		*fixture->nodes[i] = (struct node){.topology = &fixture->topology->nodes[i],
						   .memory = 64u << 20,
						   .cpus = 1,
						   .state = NODE_READY};
	}
	fixture->guest.agent = agent_create(&transport);
	fixture->nodes[0]->guest = &fixture->guest;
	agent_opened(fixture->guest.agent, true);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	agent_destroy(fixture->guest.agent);
	for_each_path(fixture, remove);
	for (size_t i = 0; i < 2; i++)
		free(fixture->nodes[i]);
	topology_free(fixture->topology);
	free(fixture);
	return 0;
}

/* Makes a plan and gives its token and what it says of the node, "" for nothing. */
static void plan(struct fixture *fixture, const char *node, char token[LAB_TOKEN_SIZE], char reason[64])
{
	struct error error = {.class = ERROR_NONE};
	struct lab_plan made;
	const struct plan_change *change;

	assert_int_equal(lab_plan_read(&fixture->lab, fixture->path, &made, &error), 0);
	change = plan_find_node(made.plan, node);
	snprintf(reason, 64, "%s", change ? change->reason : "");
	strcpy(token, made.token);
	lab_plan_release(&made);
}

/* What the topology leaves to the image is compared with what runs. */
static void image_says_what_the_topology_does_not(void **state)
{
	struct fixture *fixture = *state;
	char token[LAB_TOKEN_SIZE], reason[64];

	plan(fixture, "h1", token, reason);
	assert_string_equal(reason, "");
	write_file(fixture->path, "defaults: {memory: 64M, cpus: 1}\n" TOPOLOGY);
	plan(fixture, "h1", token, reason);
	assert_string_equal(reason, "");
	fixture->nodes[0]->memory = 32u << 20; /* The image was another one then. */
	plan(fixture, "h1", token, reason);
	assert_string_equal(reason, "memory 32M -> 64M");
}

static void nodes_that_do_not_run_start_again(void **state)
{
	static const struct {
		enum node_state state;
		const char *unchanged, *changed;
	} cases[] = {
		{NODE_READY, "", "sysctl x.y = 1"},
		{NODE_CREATED, "", "sysctl x.y = 1, it is not ready yet"},
		{NODE_BOOTING, "", "sysctl x.y = 1, it is not ready yet"},
		{NODE_CONFIGURING, "", "sysctl x.y = 1, it is not ready yet"},
		{NODE_STOPPED, "it is stopped", "sysctl x.y = 1, it is stopped"},
		{NODE_CRASHED, "it is crashed", "sysctl x.y = 1, it is crashed"},
	};
	struct fixture *fixture = *state;
	char token[LAB_TOKEN_SIZE], reason[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture->nodes[0]->state = cases[i].state;
		write_file(fixture->path, TOPOLOGY);
		plan(fixture, "h1", token, reason);
		assert_string_equal(reason, cases[i].unchanged);
		write_file(fixture->path, "defaults: {sysctl: {x.y: 1}}\n" TOPOLOGY);
		plan(fixture, "h1", token, reason);
		assert_string_equal(reason, cases[i].changed);
	}
	/* One that goes need not start for it. */
	fixture->nodes[0]->state = NODE_CRASHED;
	write_file(fixture->path, "nodes: [h2]\n");
	plan(fixture, "h1", token, reason);
	assert_string_equal(reason, "");
}

static void token_is_of_file_and_plan(void **state)
{
	struct fixture *fixture = *state;
	char first[LAB_TOKEN_SIZE], token[LAB_TOKEN_SIZE], reason[64];

	plan(fixture, "h1", first, reason);
	assert_int_equal(strlen(first), LAB_TOKEN_SIZE - 1);
	plan(fixture, "h1", token, reason);
	assert_string_equal(token, first);
	fixture->nodes[1]->state = NODE_CRASHED;
	plan(fixture, "h1", token, reason);
	assert_string_not_equal(token, first);
	fixture->nodes[1]->state = NODE_READY;
	write_file(fixture->path, TOPOLOGY "# More.\n");
	plan(fixture, "h1", token, reason);
	assert_string_not_equal(token, first);
}

static void check_refused(struct fixture *fixture, const char *path, enum error_class class, const char *text)
{
	struct error error = {.class = ERROR_NONE};
	struct lab_plan made;

	assert_true(lab_plan_read(&fixture->lab, path, &made, &error) < 0);
	assert_int_equal(error.class, class);
	if (!strstr(error.text, text))
		assert_string_equal(error.text, text);
	lab_plan_release(&made);
	assert_null(lab_plan(&fixture->lab, path, &error));
}

/* A pipe would hold the lab up until somebody writes to it. */
static void what_is_no_topology_is_refused(void **state)
{
	struct fixture *fixture = *state;

	write_file(fixture->path, "nodes: [h1]\nlinks: [h1-h9]\n");
	check_refused(fixture, fixture->path, ERROR_USAGE, ":2:");
	write_file(fixture->path, "");
	check_refused(fixture, fixture->path, ERROR_USAGE, fixture->path);
	assert_int_equal(truncate(fixture->path, TOPOLOGY_FILE_SIZE_MAX + 1), 0);
	check_refused(fixture, fixture->path, ERROR_USAGE, "the file is bigger than 4 MiB");
	write_file(fixture->path, "nodes: {h1: {image: none}}\n");
	check_refused(fixture, fixture->path, ERROR_HOST, "none");
	unlink(fixture->path);
	check_refused(fixture, fixture->path, ERROR_USAGE, "No such file or directory");
	assert_int_equal(mkfifo(fixture->path, 0600), 0);
	check_refused(fixture, fixture->path, ERROR_USAGE, "it is no regular file");
	check_refused(fixture, fixture->folder, ERROR_USAGE, "it is no regular file");
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

static void answer_exit(struct fixture *fixture, uint32_t channel)
{
	const uint32_t numbers[2] = {0, 0};

	answer(fixture, channel, AGENT_EXIT, numbers, sizeof(numbers));
}

/* Expects a message of this type whose payload has 'text' in it. */
static void expect(struct fixture *fixture, uint32_t channel, uint16_t type, const char *text)
{
	struct agent_header header;
	const uint8_t *payload = fixture->sent + fixture->heard + sizeof(header);

	assert_true(fixture->heard + sizeof(header) <= fixture->sent_size);
	memcpy(&header, fixture->sent + fixture->heard, sizeof(header));
	assert_int_equal(le16toh(header.type), type);
	assert_int_equal(le32toh(header.channel), channel);
	assert_non_null(memmem(payload, le32toh(header.length), text, strlen(text)));
	fixture->heard += sizeof(header) + le32toh(header.length);
}

static void expect_nothing(struct fixture *fixture)
{
	assert_int_equal(fixture->heard, fixture->sent_size);
}

static void guests_learn_who_came_and_went(void **state)
{
	struct fixture *fixture = *state;
	struct topology *before = read_text("nodes: [h1, h2, h3]\nlinks: [{endpoints: [h1, h2], ip: [10.0.0.1/24, "
					    "10.0.0.9/24]}, {endpoints: [h2, h3], ip: [10.0.1.1/24, 10.0.1.3/24]}]\n");

	answer(fixture, 0, AGENT_HELLO, "version 1\n", 10);
	lab_update_hosts(&fixture->lab, before);
	expect(fixture, 1, AGENT_EXEC, "sed -i -e '/^10.0.0.9\th2$/d' -e '/^10.0.1.3\th3$/d' /etc/hosts");
	expect(fixture, 1, AGENT_STDIN_END, "");
	expect_nothing(fixture); /* Until that has been done. */
	answer(fixture, 1, AGENT_STDERR, "never mind\n", 11);
	answer_exit(fixture, 1);
	expect(fixture, 2, AGENT_CONFIGURE, "host 10.0.0.2 h2\nhost fd00::2 h2\n");
	answer_exit(fixture, 2);
	expect_nothing(fixture);
	topology_free(before);
}

static void guests_are_left_alone_when_nothing_changed_for_them(void **state)
{
	struct fixture *fixture = *state;
	struct topology *before =
		read_text("nodes: [h1]\nnetworks: [lan]\nlinks: [{endpoints: [h1, lan], ip: [10.0.0.1/24]}]\n");

	answer(fixture, 0, AGENT_HELLO, "version 1\n", 10);
	lab_update_hosts(&fixture->lab, fixture->topology);
	expect_nothing(fixture);
	/* Nor one that is not set up yet: it will hear of all. */
	fixture->nodes[0]->state = NODE_BOOTING;
	lab_update_hosts(&fixture->lab, before);
	expect_nothing(fixture);
	/* One that only hears of new ones; and goes away over it. */
	fixture->nodes[0]->state = NODE_READY;
	lab_update_hosts(&fixture->lab, before);
	expect(fixture, 1, AGENT_CONFIGURE, "host 10.0.0.2 h2\nhost fd00::2 h2\n");
	topology_free(before);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(image_says_what_the_topology_does_not),
		CASE(nodes_that_do_not_run_start_again),
		CASE(token_is_of_file_and_plan),
		CASE(what_is_no_topology_is_refused),
		CASE(guests_learn_who_came_and_went),
		CASE(guests_are_left_alone_when_nothing_changed_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
