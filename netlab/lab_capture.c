/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "core/log.h"
#include "netlab/allocate.h"
#include "netlab/capture.h"
#include "netlab/capture_file.h"
#include "netlab/capture_reader.h"
#include "netlab/dataplane.h"
#include "netlab/folder.h"
#include "netlab/lab_attachment.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/nat.h"
#include "netlab/version.h"

/* What the lab tells its capture: where it runs, what its ports are on, whose addresses there are, and what happened.
 *
 * The capture is there even when no files are wanted, for its recorder: what that has is written to a file when a node
 * crashes. */

static const char *host_kind(enum host_backend backend)
{
	return backend == HOST_VMX ? "VMX" : backend == HOST_SVM ? "SVM" : "page tables, ring 0 is emulated";
}

int lab_create_capture(struct lab *lab, const struct lab_options *options, struct error *error)
{
	const struct topology_capture *wanted = &lab->topology->capture;
	const bool has_files = options->captures && !options->no_capture;
	struct utsname kernel;
	char hardware[128], system[512], comment[TOPOLOGY_NAME_MAX + 16];
	struct capture_options capture = {
		.folder = options->captures,
		.has_port_files = wanted->has_port_files && has_files,
		.has_lab_file = wanted->has_lab_file && has_files,
		.snap_len = wanted->snap_len,
		.is_clean = wanted->is_clean,
		.has_events = wanted->has_events,
		.rotation = {wanted->rotate_size, wanted->rotate_seconds, wanted->rotate_files},
		.recorder_size = wanted->recorder_size,
		.section = {.application = "netlab " NETLAB_VERSION},
	};

	snprintf(hardware, sizeof(hardware), "KVM: %s (%s)", lab->host.backend_name, host_kind(lab->host.backend));
	capture.section.hardware = hardware;
	if (uname(&kernel) == 0) {
		snprintf(system, sizeof(system), "%s %s %s", kernel.sysname, kernel.release, kernel.machine);
		capture.section.system = system;
	}
	snprintf(comment, sizeof(comment), "netlab: lab=%s", lab->topology->name);
	capture.section.comment = comment;
	lab->capture = capture_create(&capture, error);
	if (!lab->capture)
		return -EIO;
	lab->captured = *wanted;
	dataplane_set_capture(lab->context.dataplane, lab->capture);
	return 0;
}

void lab_change_capture(struct lab *lab)
{
	const struct topology_capture *wanted = &lab->topology->capture;
	const struct capture_rotation rotation = {wanted->rotate_size, wanted->rotate_seconds, wanted->rotate_files};

	/* When there is no memory it stays as it is, and is part of the next plan. */
	if (capture_change(lab->capture, &rotation, wanted->has_events) < 0)
		return;
	lab->captured.rotate_size = wanted->rotate_size;
	lab->captured.rotate_seconds = wanted->rotate_seconds;
	lab->captured.rotate_files = wanted->rotate_files;
	lab->captured.has_events = wanted->has_events;
}

/* What ports are on. */

static void describe_end(const struct lab *lab, const struct topology_link *link, unsigned int number)
{
	const struct topology_endpoint *end = &link->endpoints[number], *other = &link->endpoints[1 - number];
	const struct topology_interface *interface = NULL;
	char text[TOPOLOGY_NAME_MAX + 64];
	const char *offload;

	if (end->kind == TOPOLOGY_END_NETWORK)
		return;
	if (end->kind == TOPOLOGY_END_NODE)
		interface = &lab->topology->nodes[end->node].interfaces[end->interface];
	/* Frames may be longer there than on a wire, and their checksums not complete. */
	offload = interface && interface->has_offload ? ", offload: on" : "";
	if (other->kind == TOPOLOGY_END_NETWORK)
		snprintf(text, sizeof(text), "network %s%s", lab->topology->networks[other->network].name, offload);
	else
		snprintf(text, sizeof(text), "link to %s%s", port_name(lab_endpoint_port(lab, other)), offload);
	/* One that is out of memory has other worries. */
	(void)dataplane_describe_port(lab_endpoint_port(lab, end), text, interface ? interface->mac : NULL);
}

static void describe_outer_ports(const struct lab *lab)
{
	char text[TOPOLOGY_NAME_MAX + 64];

	for (size_t i = 0; i < lab->topology->network_count; i++) {
		if (!lab->networks[i]->outer)
			continue;
		snprintf(text, sizeof(text), "where network %s leads out", lab->topology->networks[i].name);
		(void)dataplane_describe_port(lab->networks[i]->outer, text, NULL);
	}
}

/* Whose addresses there are. */

struct name_list {
	struct pcapng_name *names;
	size_t count, room;
};

static void add_name(struct name_list *list, int family, const void *address, const char *name)
{
	struct pcapng_name *entry;

	if (list->count == list->room) {
		size_t room = 2 * list->room + 32;
		struct pcapng_name *larger = reallocarray(list->names, room, sizeof(*larger));

		if (!larger)
			return; /* Addresses without names are no reason to fail. */
		list->names = larger;
		list->room = room;
	}
	entry = &list->names[list->count++];
	*entry = (struct pcapng_name){.is_ipv6 = family == AF_INET6, .name = name};
	memcpy(entry->address, address, family == AF_INET6 ? 16 : 4);
}

/* 'text' is an address with a prefix length. */
static void add_address(struct name_list *list, const char *text, const char *name)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	char address[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	size_t length = strcspn(text, "/");

	if (length >= sizeof(address))
		return;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(family, address, bytes) == 1)
		add_name(list, family, bytes, name);
}

static void set_names(const struct lab *lab)
{
	const struct topology *topology = lab->topology;
	struct name_list list = {0};

	for (size_t i = 0; i < topology->node_count; i++) {
		const struct topology_node *node = &topology->nodes[i];

		for (size_t j = 0; j < node->interface_count; j++)
			for (size_t k = 0; k < node->interfaces[j].address_count; k++)
				add_address(&list, node->interfaces[j].addresses[k], node->name);
	}
	for (size_t i = 0; i < topology->network_count; i++) {
		const struct topology_network *network = &topology->networks[i];
		struct in_addr gateway = nat_host_address(network->subnet, NAT_HOST_GATEWAY);

		if (network->mode == TOPOLOGY_NAT)
			add_name(&list, AF_INET, &gateway, network->name);
	}
	(void)capture_set_names(lab->capture, list.names, list.count);
	free(list.names);
}

void lab_describe_capture(const struct lab *lab)
{
	for (size_t i = 0; i < lab->topology->link_count; i++)
		for (unsigned int number = 0; number < 2; number++)
			describe_end(lab, &lab->topology->links[i], number);
	describe_outer_ports(lab);
	set_names(lab);
}

/* Those who read. */

int lab_read_capture(struct lab *lab, int fd, const struct capture_reader_options *options, struct error *error)
{
	if (!dataplane_is_running(lab->context.dataplane))
		return error_set(error, ERROR_FAILED, EAGAIN, "lab %s does not run", lab_name(lab));
	return capture_reader_add(lab->capture, fd, options, error);
}

/* Called in the writer's thread; 'opaque' is the file's path. */
static void crash_written(void *opaque, uint64_t written, uint64_t lost, int errnum)
{
	char *path = opaque;

	(void)lost;
	if (errnum)
		log_line("%s: cannot be written: %s", path, strerror(errnum));
	else
		log_line("%s: the last %llu frames before the crash", path, (unsigned long long)written);
	free(path);
}

static void write_crash(const struct lab *lab, const struct node *node)
{
	char *path = allocate_text("%s/crash-%s.pcapng", lab->folder, node_name(node));
	const struct capture_reader_options options = {.has_last = true,
						       .has_events = true,
						       .done = crash_written,
						       .opaque = path};
	struct error error = {.text = "out of memory"};
	int fd;

	if (!path)
		return;
	folder_make_above(path, 0777); /* If one cannot be made, the file cannot either. */
	fd = capture_file_open_regular(path, O_WRONLY);
	if (fd < 0)
		capture_file_cannot_open(path, -fd, &error);
	else if (ftruncate(fd, 0) == 0 && capture_reader_add(lab->capture, fd, &options, &error) == 0)
		return;
	else
		close(fd);
	log_line("%s: what was recorded is not written: %s", node_name(node), error.text);
	free(path);
}

/* What happened. */

void lab_tell_capture(const struct lab *lab, const char *format, ...)
{
	char text[CAPTURE_EVENT_MAX + 1];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	dataplane_tell_capture(lab->context.dataplane, text);
}

void lab_capture_node(const struct lab *lab, const struct node *node)
{
	if (!dataplane_is_running(lab->context.dataplane))
		return;
	lab_tell_capture(lab, "%s %s", node_name(node), node_state_name(node_state(node)));
	if (node_state(node) == NODE_CRASHED && !lab->stopping && lab->folder)
		write_crash(lab, node);
}
