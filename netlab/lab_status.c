/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/memory.h"
#include "core/memory_usage.h"
#include "devices/virtio_balloon.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/json_text.h"
#include "netlab/lab_attachment.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/tap.h"

/* lab_status(): a lab as JSON, in the form docs/control-protocol.md gives. */

static json_t *host_status(const struct host_profile *host)
{
	static const char *const kinds[] = {[HOST_VMX] = "vmx", [HOST_SVM] = "svm", [HOST_PAGETABLE] = "pagetable"};

	return json_pack("{s:s, s:s}", "backend", host->backend_name, "kind", kinds[host->backend]);
}

static void add_device(json_t *devices, const char *name, const char *reason)
{
	json_array_append_new(devices, json_pack("{s:s, s:b, s:s}", "name", name, "quarantined", reason != NULL,
						 "reason", reason ? reason : ""));
}

static json_t *devices_status(const struct node *node)
{
	json_t *devices = json_array();

	if (node->guest) {
		add_device(devices, "console", virtio_console_quarantine_reason(node->guest->console));
		add_device(devices, "rng", virtio_rng_quarantine_reason(node->guest->rng));
		add_device(devices, "balloon", virtio_balloon_quarantine_reason(node->guest->balloon));
	}
	if (node->guest && node->guest->disk)
		add_device(devices, "disk", virtio_blk_quarantine_reason(node->guest->disk));
	for (size_t i = 0; i < node->topology->interface_count; i++) {
		const struct node_interface *interface = &node->interfaces[i];

		if (interface->net)
			add_device(devices, interface->topology->name, virtio_net_quarantine_reason(interface->net));
	}
	return devices;
}

const char *lab_endpoint_name(const struct lab *lab, const struct topology_endpoint *endpoint)
{
	switch (endpoint->kind) {
	case TOPOLOGY_END_NETWORK:
		return lab->topology->networks[endpoint->network].name;
	case TOPOLOGY_END_ATTACHMENT:
		return lab->topology->attachments[endpoint->attachment].name;
	default:
		return lab->nodes[endpoint->node]->interfaces[endpoint->interface].port_name;
	}
}

/* What is at the other end of the link of the port called 'name'. */
static json_t *link_status(const struct lab *lab, size_t link, const char *name)
{
	const struct topology_endpoint *ends = lab->topology->links[link].endpoints;
	const char *first = lab_endpoint_name(lab, &ends[0]);

	return json_string(strcmp(first, name) ? first : lab_endpoint_name(lab, &ends[1]));
}

static json_t *interfaces_status(const struct lab *lab, const struct node *node)
{
	json_t *interfaces = json_array();

	for (size_t i = 0; i < node->topology->interface_count; i++) {
		const struct node_interface *interface = &node->interfaces[i];
		const uint8_t *mac = interface->topology->mac;
		json_t *addresses = json_array();
		char text[18];

		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
			 mac[5]);
		for (size_t j = 0; j < interface->topology->address_count; j++)
			json_array_append_new(addresses, json_string(interface->topology->addresses[j]));
		json_array_append_new(interfaces,
				      json_pack("{s:s, s:s, s:s, s:i, s:b, s:o, s:o}", "name",
						interface->topology->name, "port", interface->port_name, "mac", text,
						"mtu", (int)interface->topology->mtu, "offload",
						(int)interface->topology->has_offload, "addresses", addresses, "link",
						link_status(lab, interface->topology->link, interface->port_name)));
	}
	return interfaces;
}

static void add_register(json_t *registers, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	json_object_set_new(registers, name, json_string(text));
}

static json_t *registers_status(const struct vcpu_registers *from)
{
	const struct kvm_regs *general = &from->general;
	const struct kvm_sregs *special = &from->special;
	json_t *registers = json_object();
	char code[3 * sizeof(from->code) + 1] = "";

	add_register(registers, "rip", general->rip);
	add_register(registers, "rsp", general->rsp);
	add_register(registers, "rflags", general->rflags);
	add_register(registers, "rax", general->rax);
	add_register(registers, "rbx", general->rbx);
	add_register(registers, "rcx", general->rcx);
	add_register(registers, "rdx", general->rdx);
	add_register(registers, "rsi", general->rsi);
	add_register(registers, "rdi", general->rdi);
	add_register(registers, "rbp", general->rbp);
	add_register(registers, "r8", general->r8);
	add_register(registers, "r9", general->r9);
	add_register(registers, "r10", general->r10);
	add_register(registers, "r11", general->r11);
	add_register(registers, "r12", general->r12);
	add_register(registers, "r13", general->r13);
	add_register(registers, "r14", general->r14);
	add_register(registers, "r15", general->r15);
	add_register(registers, "cs", special->cs.selector);
	add_register(registers, "cr0", special->cr0);
	add_register(registers, "cr2", special->cr2);
	add_register(registers, "cr3", special->cr3);
	add_register(registers, "cr4", special->cr4);
	add_register(registers, "efer", special->efer);
	for (unsigned int i = 0; i < from->code_size; i++)
		snprintf(code + 3 * i, sizeof(code) - 3 * i, "%02x ", from->code[i]);
	json_object_set_new(registers, "code", json_string(code));
	return registers;
}

static json_t *node_status(const struct lab *lab, const struct node *node)
{
	json_t *status = json_pack("{s:s, s:s, s:f, s:f, s:o, s:b, s:s, s:I, s:i, s:o, s:o}", "name",
				   node->topology->name, "state", node_state_name(node->state), "since", node->since,
				   "seconds", node->seconds, "reason", json_text(node->reason), "clone", node->is_clone,
				   "image", node->image->name, "memory", (json_int_t)node->memory, "cpus",
				   (int)node->cpus, "devices", devices_status(node), "interfaces",
				   interfaces_status(lab, node));
	struct machine_exits exits;

	if (node->guest) {
		machine_read_exits(node->guest->machine, &exits);
		json_object_set_new(status, "exits",
				    json_pack("{s:I, s:I, s:I, s:I, s:I}", "port", (json_int_t)exits.port, "memory",
					      (json_int_t)exits.memory, "completed", (json_int_t)exits.completed,
					      "interrupted", (json_int_t)exits.interrupted, "other",
					      (json_int_t)exits.other));
	}
	if (node->state == NODE_CRASHED && node->has_registers)
		json_object_set_new(status, "registers", registers_status(&node->registers));
	return status;
}

json_t *lab_port_status(const struct lab *lab, const struct port *port)
{
	struct port_counters counters;
	json_t *drops = json_object(), *file = json_null(), *cuts = json_array();

	port_read_counters(port, &counters);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
		if (counters.dropped[reason] > 0)
			json_object_set_new(drops, drop_reason_name(reason),
					    json_integer((json_int_t)counters.dropped[reason]));
	}
	if (port_is_cut(port, PORT_SENDS))
		json_array_append_new(cuts, json_string("tx"));
	if (port_is_cut(port, PORT_RECEIVES))
		json_array_append_new(cuts, json_string("rx"));
	if (lab->capture) {
		int number = capture_find_port(lab->capture, port_name(port));

		if (number >= 0)
			file = json_text(capture_file(lab->capture, number));
	}
	return json_pack("{s:s, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o}", "name", port_name(port), "carrier",
			 port_has_carrier(port), "cut", cuts, "tx_frames", (json_int_t)counters.transmitted_frames,
			 "tx_bytes", (json_int_t)counters.transmitted_bytes, "rx_frames",
			 (json_int_t)counters.received_frames, "rx_bytes", (json_int_t)counters.received_bytes,
			 "rx_filtered", (json_int_t)counters.filtered_frames, "drops", drops, "capture_lost",
			 (json_int_t)counters.capture_lost, "capture_file", file);
}

static json_t *address_status(int family, const void *address)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(family, address, text, sizeof(text));
	return json_string(text);
}

static json_t *forward_status(const struct nat_forward *forward)
{
	return json_pack("{s:s, s:o, s:i, s:o, s:i}", "protocol", forward->is_udp ? "udp" : "tcp", "host_address",
			 address_status(AF_INET, &forward->host_address), "host_port", forward->host_port,
			 "guest_address", address_status(AF_INET, &forward->guest_address), "guest_port",
			 forward->guest_port);
}

static json_t *forwards_status(struct lab_network *network)
{
	json_t *status = json_array();
	size_t count;
	struct nat_forward *forwards = lab_network_forwards(network, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(status, forward_status(&forwards[i]));
	free(forwards);
	return status;
}

static void add_nat(json_t *status, const struct topology_network *network, struct lab_network *running)
{
	const struct in_addr gateway = nat_host_address(network->subnet, NAT_HOST_GATEWAY);
	const struct in_addr own = nat_host_address(network->subnet, NAT_HOST_NAME_SERVER);
	const struct in_addr *name_server = topology_has_name_server(network) ? &own : &network->resolver;

	json_object_set_new(status, "subnet",
			    json_sprintf("%s/%u", inet_ntoa(network->subnet), network->prefix_length));
	json_object_set_new(status, "prefix6", address_status(AF_INET6, &network->prefix6));
	json_object_set_new(status, "gateway", address_status(AF_INET, &gateway));
	json_object_set_new(status, "name_server",
			    network->is_dns_off ? json_null() : address_status(AF_INET, name_server));
	json_object_set_new(status, "first_lease",
			    network->is_dhcp_off ? json_null() : address_status(AF_INET, &network->first_lease));
	json_object_set_new(status, "restricted", json_boolean(network->is_restricted));
	json_object_set_new(status, "forwards", forwards_status(running));
}

/* What of this host a network is plugged into. */
static void add_host(json_t *status, const struct topology_network *network, const struct lab_network *running)
{
	if (network->host_bridge)
		json_object_set_new(status, "bridge", json_string(network->host_bridge));
	if (network->host_interface)
		json_object_set_new(status, "interface", json_string(network->host_interface));
	if (running->tap)
		json_object_set_new(status, "tap", json_string(tap_device(running->tap)));
}

static json_t *network_status(const struct lab *lab, size_t index)
{
	const struct topology_network *network = &lab->topology->networks[index];
	json_t *status = json_pack("{s:s, s:s, s:I}", "name", network->name, "mode", topology_mode_name(network->mode),
				   "macs", (json_int_t)network_mac_count(lab->networks[index]->network));

	if (network->mode == TOPOLOGY_NAT)
		add_nat(status, network, lab->networks[index]);
	add_host(status, network, lab->networks[index]);
	return status;
}

static json_t *attachment_status(const struct lab *lab, size_t index)
{
	const struct topology_attachment *topology = &lab->topology->attachments[index];
	char *target = topology_attachment_target(topology);
	struct attachment_status status;
	json_t *json;

	lab_attachment_describe(lab->attachments[index], &status);
	json = json_pack("{s:s, s:s, s:o, s:s, s:o, s:I, s:o}", "name", topology->name, "kind",
			 topology_attachment_word(topology->kind), "target", json_text(target), "state", status.state,
			 "detail", json_text(status.detail), "queued", (json_int_t)status.queued, "link",
			 link_status(lab, topology->link, topology->name));
	free(target);
	return json;
}

/* Adds what memory the nodes and the lab take to their status.  What cannot be learned is left out. */
static void add_memory(const struct lab *lab, json_t *status)
{
	const size_t captures = lab->node_count, count = captures + CAPTURE_MEMORY_RANGES;
	struct memory_range *ranges = calloc(count, sizeof(*ranges));
	struct memory_usage total = {.private = 0}, rest;
	uint64_t captured = 0;

	for (size_t i = 0; ranges && i < lab->node_count; i++) {
		const struct guest_memory *memory;

		if (!lab->nodes[i]->guest)
			continue; /* Its range is empty. */
		memory = machine_memory(lab->nodes[i]->guest->machine);
		ranges[i].base = memory->base;
		ranges[i].size = memory->size;
	}
	if (ranges && lab->capture)
		capture_memory(lab->capture, ranges + captures);
	if (!ranges || memory_usage_read_own(ranges, count, &rest) < 0)
		goto out;
	for (size_t i = captures; i < count; i++)
		captured += ranges[i].usage.private + ranges[i].usage.proportional;
	for (size_t i = 0; i < lab->node_count; i++) {
		json_t *node = json_array_get(json_object_get(status, "nodes"), i);
		const struct memory_usage *usage = &ranges[i].usage;

		if (!lab->nodes[i]->guest)
			continue;
		json_object_set_new(node, "memory_private", json_integer((json_int_t)usage->private));
		json_object_set_new(node, "memory_shared", json_integer((json_int_t)usage->shared));
		total.private += usage->private;
		total.proportional += usage->proportional;
	}
	json_object_set_new(status, "memory",
			    json_pack("{s:I, s:I, s:I, s:I, s:I}", "private", (json_int_t)total.private, "shared",
				      (json_int_t)total.proportional, "netlabd",
				      (json_int_t)captured + (json_int_t)rest.private + (json_int_t)rest.proportional,
				      "captures", (json_int_t)captured, "in_flight",
				      (json_int_t)dataplane_wires_memory(lab->context.dataplane)));
out:
	free(ranges);
}

/* loop_function: in the data plane's thread. */
static void look_at_rings(void *opaque)
{
	const struct lab *lab = opaque;

	for (size_t i = 0; i < lab->node_count; i++)
		node_look_at_rings(lab->nodes[i]);
}

static json_t *ring_status(const struct node_interface *interface)
{
	if (!interface->has_ring)
		return json_null();
	return json_pack("{s:i, s:i}", "size", (int)interface->ring_size, "free", (int)interface->ring_free);
}

static json_t *interface_port_status(const struct lab *lab, const struct node_interface *interface)
{
	json_t *status = lab_port_status(lab, interface->port);

	json_object_set_new(status, "rx_ring", ring_status(interface));
	return status;
}

json_t *lab_status(struct lab *lab, bool with_memory)
{
	json_t *nodes = json_array(), *ports = json_array(), *networks = json_array(), *attachments = json_array();
	int failure = lab->capture ? capture_failure(lab->capture) : 0;
	json_t *status;

	dataplane_call(lab->context.dataplane, look_at_rings, lab);
	for (size_t i = 0; i < lab->node_count; i++) {
		struct node *node = lab->nodes[i];

		json_array_append_new(nodes, node_status(lab, node));
		for (size_t j = 0; j < node->topology->interface_count; j++)
			json_array_append_new(ports, interface_port_status(lab, &node->interfaces[j]));
	}
	for (size_t i = 0; i < lab->topology->network_count; i++) {
		json_array_append_new(networks, network_status(lab, i));
		if (lab->networks[i]->outer)
			json_array_append_new(ports, lab_port_status(lab, lab->networks[i]->outer));
	}
	for (size_t i = 0; i < lab->topology->attachment_count; i++) {
		json_array_append_new(attachments, attachment_status(lab, i));
		json_array_append_new(ports, lab_port_status(lab, lab->attachments[i]->port));
	}
	status = json_pack("{s:s, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o}", "lab", lab->topology->name,
			   "topology", json_text(lab->topology->path), "captures", json_text(lab->captures),
			   "capture_file", json_text(lab->capture ? capture_lab_path(lab->capture) : NULL),
			   "capture_error", json_text(failure ? strerror(failure) : NULL), "uptime",
			   (double)(loop_now() - lab->created) / 1e9, "host", host_status(&lab->host), "nodes", nodes,
			   "networks", networks, "attachments", attachments, "ports", ports, "links",
			   lab_links_status(lab));
	if (with_memory)
		add_memory(lab, status);
	return status;
}
