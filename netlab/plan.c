/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/plan.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/json_text.h"
#include "netlab/plan_internal.h"
#include "netlab/test_json.h"

void plan_note(struct difference *difference, const char *format, ...)
{
	char *before = difference->text, *words = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&words, format, args) < 0)
		words = NULL;
	va_end(args);
	difference->text = allocate_text("%s%s%s", before ? before : "", before ? ", " : "", words ? words : "?");
	free(before);
	free(words);
}

void plan_add(struct plan *plan, enum plan_kind kind, enum plan_action action, char *name, char *reason)
{
	plan->changes = allocate_grow(plan->changes, plan->count, sizeof(plan->changes[0]));
	plan->changes[plan->count++] = (struct plan_change){kind, action, name, reason};
}

/* Nodes. */

static bool same_texts(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
	for (size_t i = 0; a_count == b_count && i < a_count; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return a_count == b_count;
}

static bool has_text(char *const *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i], text))
			return true;
	return false;
}

static bool same_files(const struct topology_node *a, const struct topology_node *b)
{
	for (size_t i = 0; a->file_count == b->file_count && i < a->file_count; i++)
		if (strcmp(a->files[i].guest_path, b->files[i].guest_path) ||
		    strcmp(a->files[i].source, b->files[i].source))
			return false;
	return a->file_count == b->file_count;
}

const struct topology_interface *plan_find_interface(const struct topology_node *node, const char *name)
{
	for (size_t i = 0; i < node->interface_count; i++)
		if (!strcmp(node->interfaces[i].name, name))
			return &node->interfaces[i];
	return NULL;
}

/* NULL if there is none. */
static const char *find_sysctl(const struct topology_node *node, const char *key)
{
	for (size_t i = 0; i < node->sysctl_count; i++)
		if (!strcmp(node->sysctls[i].key, key))
			return node->sysctls[i].value;
	return NULL;
}

static const char *memory_text(uint64_t bytes, char text[32])
{
	if (!bytes)
		return "the image's";
	snprintf(text, 32, "%lluM", (unsigned long long)bytes >> 20);
	return text;
}

static const char *cpus_text(unsigned int cpus, char text[32])
{
	if (!cpus)
		return "the image's";
	snprintf(text, 32, "%u", cpus);
	return text;
}

static void compare_machines(struct difference *difference, const struct topology_node *from,
			     const struct topology_node *to)
{
	const char *from_cmdline = from->cmdline ? from->cmdline : "", *to_cmdline = to->cmdline ? to->cmdline : "";
	char before[32], after[32];

	if (strcmp(from->image, to->image))
		plan_note(difference, "image %s -> %s", from->image, to->image);
	if (from->memory != to->memory)
		plan_note(difference, "memory %s -> %s", memory_text(from->memory, before),
			  memory_text(to->memory, after));
	if (from->cpus != to->cpus)
		plan_note(difference, "cpus %s -> %s", cpus_text(from->cpus, before), cpus_text(to->cpus, after));
	if (strcmp(from_cmdline, to_cmdline))
		plan_note(difference, "cmdline");
	if (from->boots != to->boots)
		plan_note(difference, "boot %s -> %s", from->boots ? "cold" : "clone", to->boots ? "cold" : "clone");
}

static void compare_lists(struct difference *difference, const struct topology_node *from,
			  const struct topology_node *to)
{
	if (!same_texts(from->routes, from->route_count, to->routes, to->route_count))
		plan_note(difference, "routes");
	if (!same_texts(from->startup, from->startup_count, to->startup, to->startup_count))
		plan_note(difference, "startup");
	if (!same_files(from, to))
		plan_note(difference, "files");
	for (size_t i = 0; i < from->sysctl_count; i++)
		if (!find_sysctl(to, from->sysctls[i].key))
			plan_note(difference, "sysctl %s removed", from->sysctls[i].key);
}

static void compare_interface(struct difference *difference, const struct topology_interface *from,
			      const struct topology_interface *to)
{
	if (memcmp(from->mac, to->mac, sizeof(to->mac)))
		plan_note(difference, "%s mac", to->name);
	if (from->mtu != to->mtu)
		plan_note(difference, "%s mtu %u -> %u", to->name, from->mtu, to->mtu);
	if (from->has_offload != to->has_offload)
		plan_note(difference, "%s offload %s", to->name, to->has_offload ? "off -> on" : "on -> off");
	for (size_t i = 0; i < from->address_count; i++)
		if (!has_text(to->addresses, to->address_count, from->addresses[i]))
			plan_note(difference, "%s without %s", to->name, from->addresses[i]);
}

static void compare_interfaces(struct difference *difference, const struct topology_node *from,
			       const struct topology_node *to)
{
	for (size_t i = 0; i < to->interface_count; i++) {
		const struct topology_interface *before = plan_find_interface(from, to->interfaces[i].name);

		if (before)
			compare_interface(difference, before, &to->interfaces[i]);
		else
			plan_note(difference, "%s added", to->interfaces[i].name);
	}
	for (size_t i = 0; i < from->interface_count; i++)
		if (!plan_find_interface(to, from->interfaces[i].name))
			plan_note(difference, "%s removed", from->interfaces[i].name);
}

/* An address of an interface, or, without an interface, a value of a sysctl. */
typedef void give_function(void *opaque, const char *interface, const char *key, const char *value);

/* Calls 'give' for each address and sysctl of 'to' that 'from' does not have: what a running guest can be given. */
static void for_each_addition(const struct topology_node *from, const struct topology_node *to, give_function *give,
			      void *opaque)
{
	for (size_t i = 0; i < to->interface_count; i++) {
		const struct topology_interface *after = &to->interfaces[i],
						*before = plan_find_interface(from, after->name);

		for (size_t j = 0; before && j < after->address_count; j++)
			if (!has_text(before->addresses, before->address_count, after->addresses[j]))
				give(opaque, after->name, NULL, after->addresses[j]);
	}
	for (size_t i = 0; i < to->sysctl_count; i++) {
		const char *before = find_sysctl(from, to->sysctls[i].key);

		if (!before || strcmp(before, to->sysctls[i].value))
			give(opaque, NULL, to->sysctls[i].key, to->sysctls[i].value);
	}
}

static void note_addition(void *opaque, const char *interface, const char *key, const char *value)
{
	if (interface)
		plan_note(opaque, "%s with %s", interface, value);
	else
		plan_note(opaque, "sysctl %s = %s", key, value);
}

static struct difference compare_nodes(const struct topology_node *from, const struct topology_node *to)
{
	struct difference difference = {.text = NULL};

	compare_machines(&difference, from, to);
	compare_interfaces(&difference, from, to);
	compare_lists(&difference, from, to);
	difference.restarts = difference.text != NULL;
	for_each_addition(from, to, note_addition, &difference);
	return difference;
}

static void print_line(void *opaque, const char *interface, const char *key, const char *value)
{
	if (interface)
		fprintf(opaque, "address %s %s\n", interface, value);
	else
		fprintf(opaque, "sysctl %s %s\n", key, value);
}

char *plan_node_lines(const struct topology_node *from, const struct topology_node *to)
{
	char *text = NULL;
	size_t size;
	FILE *lines = open_memstream(&text, &size);

	if (!lines)
		return allocate_copy("");
	for_each_addition(from, to, print_line, lines);
	fclose(lines);
	return text;
}

static void plan_nodes(struct plan *plan, const struct topology *from, const struct topology *to)
{
	static const enum plan_action actions[] = {PLAN_RESTART, PLAN_CHANGE};

	for (size_t i = 0; i < to->node_count; i++)
		if (!topology_find_node(from, to->nodes[i].name))
			plan_add(plan, PLAN_NODE, PLAN_ADD, allocate_copy(to->nodes[i].name), allocate_copy(""));
	for (size_t i = 0; i < from->node_count; i++)
		if (!topology_find_node(to, from->nodes[i].name))
			plan_add(plan, PLAN_NODE, PLAN_REMOVE, allocate_copy(from->nodes[i].name), allocate_copy(""));
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < to->node_count; i++) {
			const struct topology_node *node = topology_find_node(from, to->nodes[i].name);
			struct difference difference = {.text = NULL};

			if (node)
				difference = compare_nodes(node, &to->nodes[i]);
			if (difference.text && difference.restarts == (actions[pass] == PLAN_RESTART))
				plan_add(plan, PLAN_NODE, actions[pass], allocate_copy(node->name), difference.text);
			else
				free(difference.text);
		}
	}
}

/* Networks. */

static const struct topology_network *find_network(const struct topology *topology, const char *name)
{
	for (size_t i = 0; i < topology->network_count; i++)
		if (!strcmp(topology->networks[i].name, name))
			return &topology->networks[i];
	return NULL;
}

static const char *describe_forward(const struct nat_forward *forward, char text[64])
{
	char host[INET_ADDRSTRLEN] = "", guest[INET_ADDRSTRLEN] = "";

	inet_ntop(AF_INET, &forward->host_address, host, sizeof(host));
	inet_ntop(AF_INET, &forward->guest_address, guest, sizeof(guest));
	snprintf(text, 64, "%s:%s:%u:%s:%u", forward->is_udp ? "udp" : "tcp", host, forward->host_port, guest,
		 forward->guest_port);
	return text;
}

static void compare_forwards(struct difference *difference, const struct topology_network *from,
			     const struct topology_network *to)
{
	char text[64];

	for (size_t i = 0; i < to->forward_count; i++)
		if (!nat_has_forward(from->forwards, from->forward_count, &to->forwards[i]))
			plan_note(difference, "forward %s added", describe_forward(&to->forwards[i], text));
	for (size_t i = 0; i < from->forward_count; i++)
		if (!nat_has_forward(to->forwards, to->forward_count, &from->forwards[i]))
			plan_note(difference, "forward %s removed", describe_forward(&from->forwards[i], text));
}

static void note_text(struct difference *difference, const char *key, const char *before, const char *after)
{
	if (strcmp(before, after))
		plan_note(difference, "%s %s -> %s", key, before, after);
}

/* What "dns" or "dhcp: first" says, as one word. */
static const char *describe_service(bool is_off, struct in_addr address, char text[INET_ADDRSTRLEN])
{
	if (is_off)
		return "off";
	return address.s_addr ? inet_ntop(AF_INET, &address, text, INET_ADDRSTRLEN) : "on";
}

static bool has_host(const struct topology_network *network, const struct topology_host *host)
{
	for (size_t i = 0; i < network->host_count; i++) {
		const struct topology_host *has = &network->hosts[i];

		if (!strcmp(has->name, host->name) && has->family == host->family &&
		    !memcmp(has->address, host->address, sizeof(has->address)))
			return true;
	}
	return false;
}

static void compare_hosts(struct difference *difference, const struct topology_network *from,
			  const struct topology_network *to, const char *what)
{
	for (size_t i = 0; i < from->host_count; i++) {
		const struct topology_host *host = &from->hosts[i];
		char address[INET6_ADDRSTRLEN] = "";

		if (has_host(to, host))
			continue;
		inet_ntop(host->family, host->address, address, sizeof(address));
		plan_note(difference, "host %s %s %s", host->name, address, what);
	}
}

static void compare_services(struct difference *difference, const struct topology_network *from,
			     const struct topology_network *to)
{
	char before[INET_ADDRSTRLEN], after[INET_ADDRSTRLEN];

	note_text(difference, "dhcp", describe_service(from->is_dhcp_off, from->first_lease, before),
		  describe_service(to->is_dhcp_off, to->first_lease, after));
	note_text(difference, "dns", describe_service(from->is_dns_off, from->resolver, before),
		  describe_service(to->is_dns_off, to->resolver, after));
	note_text(difference, "tftp", from->tftp ? from->tftp : "off", to->tftp ? to->tftp : "off");
	note_text(difference, "bootfile", from->bootfile ? from->bootfile : "none",
		  to->bootfile ? to->bootfile : "none");
	if (!topology_same_search(from, to))
		plan_note(difference, "search is another");
	compare_hosts(difference, from, to, "removed");
	compare_hosts(difference, to, from, "added");
}

static void compare_nat(struct difference *difference, const struct topology_network *from,
			const struct topology_network *to)
{
	char before[INET6_ADDRSTRLEN] = "", after[INET6_ADDRSTRLEN] = "";

	if (from->mode != to->mode)
		plan_note(difference, "mode %s -> %s", topology_mode_name(from->mode), topology_mode_name(to->mode));
	if (from->mode != TOPOLOGY_NAT || to->mode != TOPOLOGY_NAT)
		return;
	inet_ntop(AF_INET, &from->subnet, before, sizeof(before));
	inet_ntop(AF_INET, &to->subnet, after, sizeof(after));
	if (strcmp(before, after) || from->prefix_length != to->prefix_length)
		plan_note(difference, "subnet %s/%u -> %s/%u", before, from->prefix_length, after, to->prefix_length);
	inet_ntop(AF_INET6, &from->prefix6, before, sizeof(before));
	inet_ntop(AF_INET6, &to->prefix6, after, sizeof(after));
	if (strcmp(before, after))
		plan_note(difference, "subnet %s/64 -> %s/64", before, after);
	if (from->is_restricted != to->is_restricted)
		plan_note(difference, "restrict %s", to->is_restricted ? "on" : "off");
	compare_services(difference, from, to);
	compare_forwards(difference, from, to);
}

static void compare_device(struct difference *difference, const char *what, const char *from, const char *to)
{
	if (strcmp(from ? from : "", to ? to : "") != 0)
		plan_note(difference, "%s %s -> %s", what, from ? from : "none", to ? to : "none");
}

/* What a network has to do with the host. */
static void compare_host(struct difference *difference, const struct topology_network *from,
			 const struct topology_network *to)
{
	compare_device(difference, "bridge", from->host_bridge, to->host_bridge);
	compare_device(difference, "interface", from->host_interface, to->host_interface);
	compare_device(difference, "tap", from->host_tap, to->host_tap);
	if (from->host_address_count != to->host_address_count ||
	    (to->host_address_count > 0 && memcmp(from->host_addresses, to->host_addresses,
						  to->host_address_count * sizeof(to->host_addresses[0])) != 0))
		plan_note(difference, "address");
	if (from->mode == to->mode && from->host_mtu != to->host_mtu)
		plan_note(difference, "mtu %u -> %u", from->host_mtu, to->host_mtu);
}

static void compare_switches(struct difference *difference, const struct topology_network *from,
			     const struct topology_network *to)
{
	char *before = topology_vlans_text(from->rules ? from->rules : &port_rules_default);
	char *after = topology_vlans_text(to->rules ? to->rules : &port_rules_default);

	if (from->mac_table_size != to->mac_table_size)
		plan_note(difference, "mac-table %zu -> %zu", from->mac_table_size, to->mac_table_size);
	if (from->mac_aging != to->mac_aging)
		plan_note(difference, "mac-aging %us -> %us", from->mac_aging, to->mac_aging);
	if (from->is_hub != to->is_hub)
		plan_note(difference, "hub %s", to->is_hub ? "on" : "off");
	else if (from->passes_reserved != to->passes_reserved)
		plan_note(difference, "reserved-addresses %s", to->passes_reserved ? "pass" : "drop");
	if (from->has_vlans != to->has_vlans)
		plan_note(difference, to->has_vlans ? "with VLANs" : "without VLANs");
	if (strcmp(before, after))
		plan_note(difference, "outer port: %s -> %s", *before ? before : "no rules",
			  *after ? after : "no rules");
	free(before);
	free(after);
}

static void compare_outer_wires(struct difference *difference, const struct topology_network *from,
				const struct topology_network *to)
{
	static const char *const names[] = {"outside", "the lab"};
	const struct impairment *before[2] = {&from->impairments[0], &from->impairments[1]};
	const struct impairment *after[2] = {&to->impairments[0], &to->impairments[1]};

	plan_compare_impairments(difference, names, before, after);
}

static void plan_networks(struct plan *plan, const struct topology *from, const struct topology *to)
{
	for (size_t i = 0; i < to->network_count; i++)
		if (!find_network(from, to->networks[i].name))
			plan_add(plan, PLAN_NETWORK, PLAN_ADD, allocate_copy(to->networks[i].name), allocate_copy(""));
	for (size_t i = 0; i < from->network_count; i++)
		if (!find_network(to, from->networks[i].name))
			plan_add(plan, PLAN_NETWORK, PLAN_REMOVE, allocate_copy(from->networks[i].name),
				 allocate_copy(""));
	for (size_t i = 0; i < to->network_count; i++) {
		const struct topology_network *after = &to->networks[i], *before = find_network(from, after->name);
		struct difference difference = {.text = NULL};

		if (before) {
			compare_switches(&difference, before, after);
			compare_nat(&difference, before, after);
			compare_host(&difference, before, after);
			compare_outer_wires(&difference, before, after);
		}
		if (difference.text)
			plan_add(plan, PLAN_NETWORK, PLAN_CHANGE, allocate_copy(after->name), difference.text);
	}
}

/* Attachments. */

static void compare_attachments(struct difference *difference, const struct topology_attachment *from,
				const struct topology_attachment *to)
{
	char *before = topology_attachment_target(from), *after = topology_attachment_target(to);

	if (strcmp(before, after))
		plan_note(difference, "%s -> %s", before, after);
	else
		plan_note(difference, "settings");
	free(before);
	free(after);
}

static void plan_attachments(struct plan *plan, const struct topology *from, const struct topology *to)
{
	for (size_t i = 0; i < to->attachment_count; i++)
		if (!topology_find_attachment(from, to->attachments[i].name))
			plan_add(plan, PLAN_ATTACHMENT, PLAN_ADD, allocate_copy(to->attachments[i].name),
				 allocate_copy(""));
	for (size_t i = 0; i < from->attachment_count; i++)
		if (!topology_find_attachment(to, from->attachments[i].name))
			plan_add(plan, PLAN_ATTACHMENT, PLAN_REMOVE, allocate_copy(from->attachments[i].name),
				 allocate_copy(""));
	for (size_t i = 0; i < to->attachment_count; i++) {
		const struct topology_attachment *after = &to->attachments[i];
		const struct topology_attachment *before = topology_find_attachment(from, after->name);
		struct difference difference = {.text = NULL};

		if (!before || topology_attachment_is_same(before, after))
			continue;
		compare_attachments(&difference, before, after);
		plan_add(plan, PLAN_ATTACHMENT, PLAN_CHANGE, allocate_copy(after->name), difference.text);
	}
}

/* Tests. */

static const struct topology_test *find_test(const struct topology *topology, const char *name)
{
	for (size_t i = 0; i < topology->test_count; i++)
		if (!strcmp(topology->tests[i].name, name))
			return &topology->tests[i];
	return NULL;
}

static bool same_test(const struct topology *a, const struct topology_test *a_test, const struct topology *b,
		      const struct topology_test *b_test)
{
	json_t *a_json = test_json(a, a_test), *b_json = test_json(b, b_test);
	bool is_same = json_equal(a_json, b_json);

	json_decref(a_json);
	json_decref(b_json);
	return is_same;
}

/* The first of the tests in 'to' whose place among those in both is another than in 'from', or NULL. */
static const struct topology_test *find_moved(const struct topology *from, const struct topology *to)
{
	size_t at = 0;

	for (size_t i = 0; i < to->test_count; i++) {
		if (!find_test(from, to->tests[i].name))
			continue;
		while (!find_test(to, from->tests[at].name))
			at++;
		if (strcmp(from->tests[at++].name, to->tests[i].name))
			return &to->tests[i];
	}
	return NULL;
}

static void plan_tests(struct plan *plan, const struct topology *from, const struct topology *to)
{
	const struct topology_test *moved = find_moved(from, to);

	for (size_t i = 0; i < to->test_count; i++)
		if (!find_test(from, to->tests[i].name))
			plan_add(plan, PLAN_TEST, PLAN_ADD, allocate_copy(to->tests[i].name), allocate_copy(""));
	for (size_t i = 0; i < from->test_count; i++)
		if (!find_test(to, from->tests[i].name))
			plan_add(plan, PLAN_TEST, PLAN_REMOVE, allocate_copy(from->tests[i].name), allocate_copy(""));
	for (size_t i = 0; i < to->test_count; i++) {
		const struct topology_test *after = &to->tests[i], *before = find_test(from, after->name);
		struct difference difference = {.text = NULL};

		if (before && !same_test(from, before, to, after))
			plan_note(&difference, "it tests something else");
		if (after == moved)
			plan_note(&difference, "the order of tests");
		if (difference.text)
			plan_add(plan, PLAN_TEST, PLAN_CHANGE, allocate_copy(after->name), difference.text);
	}
}

struct plan *plan_create(const struct topology *from, const struct topology *to)
{
	static const struct topology nothing;
	const struct topology *before = from ? from : &nothing;
	struct plan *plan = allocate_zeroed(1, sizeof(*plan));

	plan_nodes(plan, before, to);
	plan_networks(plan, before, to);
	plan_attachments(plan, before, to);
	plan_links(plan, before, to);
	plan_tests(plan, before, to);
	if (from)
		plan_capture(plan, from, to);
	return plan;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->changes[i].name);
		free(plan->changes[i].reason);
	}
	free(plan->changes);
	free(plan);
}

struct plan_change *plan_find_node(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count && plan->changes[i].kind == PLAN_NODE; i++)
		if (!strcmp(plan->changes[i].name, name))
			return &plan->changes[i];
	return NULL;
}

/* Adds a change after those of its kind. */
static void insert(struct plan *plan, enum plan_kind kind, enum plan_action action, const char *name,
		   const char *reason)
{
	struct plan_change added;
	size_t at = 0;

	plan_add(plan, kind, action, allocate_copy(name), allocate_copy(reason));
	added = plan->changes[plan->count - 1];
	while (at < plan->count - 1 && plan->changes[at].kind <= kind)
		at++;
	memmove(&plan->changes[at + 1], &plan->changes[at], (plan->count - 1 - at) * sizeof(plan->changes[0]));
	plan->changes[at] = added;
}

bool plan_frees_attachment(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->changes[i].kind == PLAN_ATTACHMENT && plan->changes[i].action != PLAN_ADD)
			return true;
	return false;
}

void plan_restart_node(struct plan *plan, const char *name, const char *reason)
{
	struct plan_change *change = plan_find_node(plan, name);
	struct difference difference = {.text = NULL};

	if (change) {
		change->action = PLAN_RESTART;
		difference.text = change->reason;
		plan_note(&difference, "%s", reason);
		change->reason = difference.text;
		return;
	}
	insert(plan, PLAN_NODE, PLAN_RESTART, name, reason);
}

void plan_try_again(struct plan *plan, enum plan_kind kind, const char *name)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->changes[i].kind == kind && !strcmp(plan->changes[i].name, name))
			return;
	insert(plan, kind, PLAN_CHANGE, name, "it has failed");
}

json_t *plan_json(const struct plan *plan)
{
	static const char *const kinds[] =
		{[PLAN_NODE] = "node", [PLAN_NETWORK] = "network", [PLAN_ATTACHMENT] = "attachment",
		 [PLAN_LINK] = "link", [PLAN_TEST] = "test",       [PLAN_CAPTURE] = "capture"};
	static const char *const actions[] = {[PLAN_ADD] = "add",
					      [PLAN_REMOVE] = "remove",
					      [PLAN_RESTART] = "restart",
					      [PLAN_CHANGE] = "change",
					      [PLAN_LATER] = "later"};
	json_t *changes = json_array();

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_change *change = &plan->changes[i];

		json_array_append_new(changes, json_pack("{s:s, s:s, s:o, s:o}", "kind", kinds[change->kind], "action",
							 actions[change->action], "name", json_text(change->name),
							 "reason", json_text(change->reason)));
	}
	return changes;
}
