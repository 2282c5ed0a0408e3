/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/node_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "netlab/guest.h"
#include "netlab/node.h"
#include "netlab/template.h"

/* Theory of operation
 * -------------------
 * Steps are counted through: configure messages (the text is cut at line ends to fit), files, routes, start-up
 * commands. Each is one channel of the agent; when that ends, the next begins. */

#define ENTROPY_SIZE 64
#define ROUTE_WORDS_MAX 32
#define FAILURE_SIZE 512

struct node_setup {
	struct node *node;
	char *text;     /* All lines for AGENT_CONFIGURE. */
	size_t text_at; /* Where the next message begins. */
	size_t file, route, command;
	int file_fd;   /* The file being sent, or -1. */
	off_t file_at; /* What of it was sent. */
	char description[160];
	char step_error[FAILURE_SIZE]; /* What the step said on standard error. */
	size_t step_error_size;
	bool step_failed;
	char failure[FAILURE_SIZE];
	struct agent_channel *channel;
};

static void next_step(struct node_setup *setup);

static void put_hex(FILE *out, const char *word, size_t size)
{
	uint8_t bytes[ENTROPY_SIZE];

	if (getrandom(bytes, size, 0) != (ssize_t)size)
		return;
	fprintf(out, "%s ", word);
	for (size_t i = 0; i < size; i++)
		fprintf(out, "%02x", bytes[i]);
	fputc('\n', out);
}

static void put_mac(FILE *out, const uint8_t *mac)
{
	fprintf(out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* Those the guest has found already still have the addresses of its template's. */
static void put_interfaces(FILE *out, const struct topology_node *topology, unsigned int found)
{
	for (size_t i = 0; i < topology->interface_count; i++) {
		const struct topology_interface *interface = &topology->interfaces[i];
		uint8_t present[6];

		fputs("interface ", out);
		put_mac(out, interface->mac);
		fprintf(out, " %s %u", interface->name, interface->mtu);
		if (i < found) {
			template_mac((unsigned int)i, present);
			fputc(' ', out);
			put_mac(out, present);
		}
		fputc('\n', out);
	}
	for (size_t i = 0; i < topology->interface_count; i++) {
		const struct topology_interface *interface = &topology->interfaces[i];

		for (size_t j = 0; j < interface->address_count; j++)
			fprintf(out, "address %s %s\n", interface->name, interface->addresses[j]);
	}
}

void node_setup_put_hosts(FILE *out, const struct topology *topology)
{
	for (size_t n = 0; n < topology->node_count; n++) {
		const struct topology_node *node = &topology->nodes[n];
		bool done[2] = {false, false};

		for (size_t i = 0; i < node->interface_count; i++) {
			const struct topology_interface *interface = &node->interfaces[i];

			for (size_t j = 0; j < interface->address_count; j++) {
				const char *address = interface->addresses[j];
				bool six = strchr(address, ':') != NULL;

				if (!done[six])
					fprintf(out, "host %.*s %s\n", (int)strcspn(address, "/"), address, node->name);
				done[six] = true;
			}
		}
	}
}

static char *configure_text(const struct node *node)
{
	const struct topology_node *topology = node->topology;
	struct timespec now;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(out, "hostname %s\ntime %lld.%09ld\n", topology->name, (long long)now.tv_sec, now.tv_nsec);
	put_hex(out, "machine-id", 16);
	put_hex(out, "entropy", ENTROPY_SIZE);
	/* Its kernel looked for devices when there were no NICs yet. */
	if (node->is_clone && node->found_nics < topology->interface_count)
		fprintf(out, "rescan\n");
	put_interfaces(out, topology, node->found_nics);
	for (size_t i = 0; i < topology->sysctl_count; i++)
		fprintf(out, "sysctl %s %s\n", topology->sysctls[i].key, topology->sysctls[i].value);
	node_setup_put_hosts(out, lab_topology(node->lab));
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Notes the failure of the present step, as "what: what it said". */
static void fail(struct node_setup *setup, const char *how)
{
	char line[2 * FAILURE_SIZE];
	size_t said = setup->step_error_size;

	setup->step_failed = true;
	while (said > 0 && setup->step_error[said - 1] == '\n')
		said--;
	snprintf(line, sizeof(line), "[netlab: %s failed (%s)%s%.*s]\n", setup->description, how, said ? ": " : "",
		 (int)said, setup->step_error);
	lab_node_logged(setup->node->lab, setup->node, line, strlen(line));
	if (setup->failure[0] == '\0')
		snprintf(setup->failure, sizeof(setup->failure), "%s failed (%s)%s%.*s", setup->description, how,
			 said ? ": " : "", (int)(said < 300 ? said : 300), setup->step_error);
}

static void on_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct node_setup *setup = opaque;
	size_t room = sizeof(setup->step_error) - setup->step_error_size;

	(void)is_error; /* Start-up commands that fail often say why on standard output. */
	agent_channel_consumed(setup->channel, size);
	if (size > room)
		size = room;
	memcpy(setup->step_error + setup->step_error_size, data, size);
	setup->step_error_size += size;
}

static void close_file(struct node_setup *setup)
{
	if (setup->file_fd >= 0)
		close(setup->file_fd);
	setup->file_fd = -1;
}

/* Sends what the guest takes.  When the file cannot be read to its end, the guest is not to have part of it: the
 * channel is abandoned, and setup->channel NULL. */
static void send_file(struct node_setup *setup)
{
	uint8_t bytes[AGENT_MESSAGE_MAX];
	ssize_t size;

	while ((size = pread(setup->file_fd, bytes, sizeof(bytes), setup->file_at)) > 0) {
		size_t taken = agent_channel_write(setup->channel, bytes, (size_t)size);

		setup->file_at += (off_t)taken;
		if (taken < (size_t)size)
			return; /* Goes on when the guest has taken some. */
	}
	if (size < 0) {
		fail(setup, strerror(errno));
		agent_channel_abandon(setup->channel);
		setup->channel = NULL;
	} else {
		agent_channel_end_input(setup->channel);
	}
	close_file(setup);
}

static void on_writable(void *opaque)
{
	struct node_setup *setup = opaque;

	if (setup->file_fd < 0)
		return;
	send_file(setup);
	if (!setup->channel)
		next_step(setup);
}

static void on_ended(void *opaque, int status, int signal)
{
	struct node_setup *setup = opaque;
	char how[32];

	setup->channel = NULL;
	close_file(setup);
	if (status == AGENT_LOST)
		return; /* The agent is gone; when it comes back, all is set up anew. */
	setup->node->greeted = true;
	if (!setup->node->has_network && (!setup->text || setup->text[setup->text_at] == '\0'))
		node_has_network(setup->node);
	if (signal != 0)
		snprintf(how, sizeof(how), "signal %d", signal);
	else
		snprintf(how, sizeof(how), "status %d", status);
	if (status != 0 || signal != 0)
		fail(setup, how);
	next_step(setup);
}

static const struct agent_channel_ops channel_ops = {.output = on_output, .writable = on_writable, .ended = on_ended};

__attribute__((format(printf, 2, 3))) static void describe(struct node_setup *setup, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(setup->description, sizeof(setup->description), format, args);
	va_end(args);
	setup->step_error_size = 0;
	setup->step_failed = false;
}

/* Sends as many lines as fit into one message. */
static void configure(struct node_setup *setup)
{
	const char *from = setup->text + setup->text_at;
	size_t length = strlen(from);
	char *part;

	describe(setup, "setting up interfaces");
	if (length > AGENT_MESSAGE_MAX) {
		const char *end = memrchr(from, '\n', AGENT_MESSAGE_MAX);

		length = end ? (size_t)(end + 1 - from) : AGENT_MESSAGE_MAX;
	}
	setup->text_at += length;
	part = strndup(from, length);
	if (part)
		setup->channel = agent_configure(setup->node->guest->agent, part, &channel_ops, setup);
	free(part);
}

static void write_file(struct node_setup *setup)
{
	const struct topology_file *file = &setup->node->topology->files[setup->file++];
	struct stat status;

	describe(setup, "copying %s", file->guest_path);
	setup->file_at = 0;
	/* It was a regular file when the topology was read; should it have become a pipe, nobody waits for its writer.
	 */
	setup->file_fd = open(file->source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (setup->file_fd < 0 || fstat(setup->file_fd, &status) < 0) {
		fail(setup, strerror(errno));
		close_file(setup);
		return;
	}
	setup->channel = agent_write_file(setup->node->guest->agent, file->guest_path, status.st_mode & 0777,
					  &channel_ops, setup);
	if (setup->channel)
		send_file(setup);
	else
		close_file(setup);
}

static void add_route(struct node_setup *setup)
{
	const char *route = setup->node->topology->routes[setup->route++];
	const char *argv[ROUTE_WORDS_MAX + 5] = {"ip", strchr(route, ':') ? "-6" : "-4", "route", "add"};
	char *copy = strdup(route), *position = NULL;
	size_t count = 4;

	describe(setup, "route \"%s\"", route);
	for (char *word = copy ? strtok_r(copy, " \t", &position) : NULL; word && count < ROUTE_WORDS_MAX + 4;
	     word = strtok_r(NULL, " \t", &position))
		argv[count++] = word;
	argv[count] = NULL;
	setup->channel = agent_exec(setup->node->guest->agent, argv, NULL, NULL, &channel_ops, setup);
	if (setup->channel)
		agent_channel_end_input(setup->channel);
	free(copy);
}

static void run_command(struct node_setup *setup)
{
	const char *command = setup->node->topology->startup[setup->command++];
	const char *argv[] = {"sh", "-c", command, NULL};

	describe(setup, "startup command \"%.100s\"", command);
	setup->channel = agent_exec(setup->node->guest->agent, argv, NULL, NULL, &channel_ops, setup);
	if (setup->channel)
		agent_channel_end_input(setup->channel);
}

/* Begins the next step.  Returns false when there is none. */
static bool begin_step(struct node_setup *setup)
{
	const struct topology_node *topology = setup->node->topology;

	if (setup->text && setup->text[setup->text_at] != '\0')
		configure(setup);
	else if (setup->file < topology->file_count)
		write_file(setup);
	else if (setup->route < topology->route_count)
		add_route(setup);
	else if (setup->command < topology->startup_count)
		run_command(setup);
	else
		return false;
	return true;
}

static void next_step(struct node_setup *setup)
{
	while (begin_step(setup)) {
		if (setup->channel)
			return; /* on_ended() goes on. */
		if (!setup->step_failed)
			fail(setup, "the agent could not be asked");
	}
	node_setup_done(setup->node, setup->failure);
}

/* With 'text' for the agent, which becomes its own.  Returns NULL when out of memory, which the node has been told. */
static struct node_setup *create(struct node *node, char *text)
{
	struct node_setup *setup = calloc(1, sizeof(*setup));

	if (!setup) {
		free(text);
		node_setup_done(node, "out of memory");
		return NULL;
	}
	setup->node = node;
	setup->file_fd = -1;
	setup->text = text;
	node->setup = setup;
	return setup;
}

void node_setup_start(struct node *node)
{
	struct node_setup *setup = create(node, configure_text(node));

	if (setup)
		next_step(setup);
}

void node_setup_start_more(struct node *node, char *lines)
{
	struct node_setup *setup = create(node, lines);

	if (!setup)
		return;
	setup->file = node->topology->file_count;
	setup->route = node->topology->route_count;
	setup->command = node->topology->startup_count;
	next_step(setup);
}

void node_setup_destroy(struct node_setup *setup)
{
	if (!setup)
		return;
	if (setup->channel)
		agent_channel_abandon(setup->channel);
	close_file(setup);
	free(setup->text);
	free(setup);
}
