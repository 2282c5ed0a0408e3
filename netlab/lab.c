/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "core/loop.h"
#include "netlab/allocate.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/lab_attachment.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/node.h"
#include "netlab/node_log.h"
#include "netlab/node_shape.h"
#include "netlab/topology.h"

/* Theory of operation
 * -------------------
 * Order of start: data plane (networks, ports, links), captures, the data plane's thread, then machine after machine,
 * as many at once as the host profile allows.  So a capture is armed before the first vCPU runs.  Order of stop:
 * machines, all at once; then the data plane, then the captures; and only then is anybody told. */

/* Nanoseconds after which a node that still boots no longer keeps others from it: its image may have no agent. */
#define BOOT_PATIENCE 60000000000ull
/* And one that went on from a template.  Where ring 0 is emulated, a guest among many has hardly the time for its timer
 * interrupts, so it is better that others wait than that all try at once. */
#define CLONE_PATIENCE 30000000000ull

static int add_networks(struct lab *lab, struct error *error)
{
	const struct topology *topology = lab->topology;

	lab->networks = calloc(topology->network_count + 1, sizeof(*lab->networks));
	for (size_t i = 0; lab->networks && i < topology->network_count; i++) {
		const struct topology_network *network = &topology->networks[i];

		lab->networks[i] = lab_network_create(lab->context.dataplane, &lab->bridge_client, network, error);
		if (!lab->networks[i] || lab_network_connect(lab->networks[i], topology, i, error) < 0)
			return -EIO;
	}
	return lab->networks ? 0 : error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
}

static int add_attachments(struct lab *lab, struct error *error)
{
	const struct topology *topology = lab->topology;

	lab->attachments = calloc(topology->attachment_count + 1, sizeof(*lab->attachments));
	for (size_t i = 0; lab->attachments && i < topology->attachment_count; i++) {
		lab->attachments[i] = lab_attachment_create(lab->context.dataplane, &lab->bridge_client,
							    &topology->attachments[i], error);
		if (!lab->attachments[i] || lab_attachment_open(lab->attachments[i], error) < 0)
			return -EIO;
	}
	return lab->attachments ? 0 : error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
}

/* The port at an end that is no network. */
struct port *lab_endpoint_port(const struct lab *lab, const struct topology_endpoint *endpoint)
{
	if (endpoint->kind == TOPOLOGY_END_ATTACHMENT)
		return lab->attachments[endpoint->attachment]->port;
	return lab->nodes[endpoint->node]->interfaces[endpoint->interface].port;
}

/* A mirror is not on its network: it gets copies alone. */
static void join_network(const struct lab *lab, const struct topology_endpoint *end, size_t network)
{
	struct port *port = lab_endpoint_port(lab, end);

	if (end->rules && end->rules->is_mirror)
		port_part(port);
	else
		port_join_network(port, lab->networks[network]->network);
}

static void join(struct lab *lab, const struct topology_link *link)
{
	const struct topology_endpoint *a = &link->endpoints[0], *b = &link->endpoints[1];

	if (a->kind == TOPOLOGY_END_NETWORK)
		join_network(lab, b, a->network);
	else if (b->kind == TOPOLOGY_END_NETWORK)
		join_network(lab, a, b->network);
	else
		port_join_port(lab_endpoint_port(lab, a), lab_endpoint_port(lab, b));
}

void lab_join_all(void *opaque)
{
	struct lab *lab = opaque;

	for (size_t i = 0; i < lab->topology->link_count; i++)
		join(lab, &lab->topology->links[i]);
	lab_apply_rules(lab);
}

static int add_nodes(struct lab *lab, struct error *error)
{
	lab->nodes = calloc(lab->topology->node_count + 1, sizeof(struct node *));
	if (!lab->nodes)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	for (; lab->node_count < lab->topology->node_count; lab->node_count++) {
		struct node *node = node_create(&lab->topology->nodes[lab->node_count], &lab->context, error);

		if (!node)
			return -EIO;
		lab->nodes[lab->node_count] = node;
	}
	return 0;
}

static int build(struct lab *lab, const struct lab_options *options, struct error *error)
{
	if (!options->overcommit && lab_check_memory(lab->topology, false, error) < 0)
		return -ENOMEM;
	lab->context.kvm_fd = host_probe(&lab->host, error);
	if (lab->context.kvm_fd < 0)
		return -ENODEV;
	lab->context.dataplane = dataplane_create(error);
	if (!lab->context.dataplane)
		return -ENOMEM;
	if (lab_create_capture(lab, options, error) < 0)
		return -EIO;
	if (add_networks(lab, error) < 0 || add_nodes(lab, error) < 0 || add_attachments(lab, error) < 0)
		return -EIO;
	lab_join_all(lab);
	lab_describe_capture(lab);
	return lab_links_create(lab, error);
}

struct lab *lab_create(const struct topology *topology, const struct lab_options *options, struct loop *control,
		       struct error *error)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	if (!lab) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	lab->topology = topology;
	lab->folder = options->captures;
	lab->captures = options->no_capture ? NULL : options->captures;
	lab->cold = options->cold;
	lab->overcommit = options->overcommit;
	if (options->origin || !topology->is_foreign)
		lab->origin = strdup(options->origin ? options->origin : topology->path);
	lab->from = options->from ? strdup(options->from) : NULL;
	lab->operation.folder = -1;
	lab->runtime = strdup(options->runtime);
	lab->bridge_marker = allocate_text("%s/../" BRIDGE_MARKER, options->runtime);
	bridge_client_init(&lab->bridge_client, topology->name, lab->bridge_marker);
	lab->created = loop_now();
	lab->context = (struct node_context){.lab = lab,
					     .kvm_fd = -1,
					     .host = &lab->host,
					     .control = control,
					     .runtime = lab->runtime};
	if (!lab->runtime)
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (!lab->runtime || build(lab, options, error) < 0) {
		lab_destroy(lab);
		return NULL;
	}
	return lab;
}

/* A node that cannot be started counts as crashed. */
static int start_node(struct lab *lab, struct node *node, struct error *error)
{
	struct error node_error = {.class = ERROR_NONE};
	int result = node_start(node, lab_node_template(lab, node), &node_error);

	if (result == 0)
		return 0;
	node_fail(node, node_error.text);
	return error_set(error, node_error.class, -result, "node %s: %s", node_name(node), node_error.text);
}

static bool is_starting(const struct node *node)
{
	if (node->is_clone && node->state == NODE_CONFIGURING)
		return !node->has_network; /* Its start-up commands may take their time. */
	return node->state == NODE_BOOTING;
}

/* Counts the clones that are being set up, or else the guests that boot; and sets '*again' to when the first of them
 * has had its time, if that is earlier. */
static unsigned int count_starting(const struct lab *lab, bool clones, uint64_t *again)
{
	unsigned int count = clones ? 0 : lab_templates_in_work(lab);
	uint64_t now = loop_now();

	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = lab->nodes[i];
		uint64_t end = node->started + (clones ? CLONE_PATIENCE : BOOT_PATIENCE);

		if (node->is_clone != clones || end <= now || !is_starting(node))
			continue;
		count++;
		if (end < *again)
			*again = end;
	}
	return count;
}

/* Starts as many of the nodes that wait as the host can serve at once, up to the first that cannot be started.  Clones
 * do not wait for those that boot, but for each other: they take a moment each, and all together take longer. */
static int start_waiting(struct lab *lab, struct error *error)
{
	uint64_t again = UINT64_MAX;
	int result = 0;

	for (size_t i = 0; result == 0 && i < lab->node_count; i++) {
		struct node *node = lab->nodes[i];

		if (node->state != NODE_CREATED || node->held || lab_awaits_template(lab, node))
			continue;
		if (count_starting(lab, lab_node_template(lab, node), &again) < lab->host.boots_at_once)
			result = start_node(lab, node, error);
	}
	if (again != UINT64_MAX)
		loop_timer_set(lab->context.control, &lab->start_more, again);
	return result;
}

/* Whether all nodes are ready; those that have ended are not waited for. */
static bool is_ready(const struct lab *lab)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = lab->nodes[i];
		enum node_state state = node->state == NODE_PAUSED ? node->paused_from : node->state;

		if (state == NODE_CREATED || state == NODE_BOOTING || state == NODE_CONFIGURING)
			return false;
	}
	return true;
}

static void start_attachments(struct lab *lab)
{
	for (size_t i = 0; i < lab->topology->attachment_count; i++)
		if (lab->topology->attachments[i].is_immediate || is_ready(lab))
			lab_attachment_start(lab->attachments[i]);
}

/* loop_function */
void lab_start_more(void *opaque)
{
	struct lab *lab = opaque;

	if (lab->operation.ends_guests) /* Those that wait will be what was saved of them. */
		return;
	while (!lab->stopping && start_waiting(lab, NULL) < 0)
		; /* The next one may do better. */
	if (lab->stopping)
		return;
	start_attachments(lab);
	if (is_ready(lab))
		lab_links_start(lab);
}

int lab_start(struct lab *lab, struct error *error)
{
	int result = dataplane_start(lab->context.dataplane, error);

	lab->started = true;
	lab->start_more = (struct loop_timer){.function = lab_start_more, .opaque = lab};
	if (result == 0)
		result = lab_find_templates(lab, error);
	if (result < 0)
		return result;
	return lab->from ? lab_start_saved(lab, error) : start_waiting(lab, error);
}

/* All machines have gone, so no frame is on its way: the captures are completed before anybody hears of the end. */
static void finish_stop(void *opaque)
{
	struct lab *lab = opaque;

	dataplane_stop(lab->context.dataplane);
	dataplane_set_capture(lab->context.dataplane, NULL);
	capture_destroy(lab->capture);
	lab->capture = NULL;
	lab->stopped(lab->stopped_opaque);
}

void lab_stop(struct lab *lab, void (*stopped)(void *opaque), void *opaque)
{
	lab_operation_abandon(lab);
	lab->stopping = true;
	lab_converge_abandon(lab);
	loop_timer_cancel(lab->context.control, &lab->start_more);
	lab_links_quiet(lab, "the lab is being taken down");
	lab->stopped = stopped;
	lab->stopped_opaque = opaque;
	lab->ending = lab_stop_templates(lab);
	for (size_t i = 0; i < lab->node_count; i++)
		lab->ending += node_stop(lab->nodes[i]);
	/* Never from within: the caller may not expect it. */
	if (lab->ending == 0)
		loop_post(lab->context.control, finish_stop, lab);
}

void lab_guest_ended(struct lab *lab)
{
	if (lab->stopping && --lab->ending == 0)
		finish_stop(lab);
	else if (lab->converge) /* Not from within: the node is still ending. */
		loop_post(lab->context.control, lab_converge_go_on, lab);
	if (lab->operation.ends_guests && --lab->operation.ending == 0)
		loop_post(lab->context.control, lab_operation_check, lab);
}

void lab_node_frozen(struct lab *lab)
{
	loop_post(lab->context.control, lab_operation_check, lab);
}

const char *lab_is_occupied(const struct lab *lab)
{
	if (lab->stopping)
		return "the lab is being taken down";
	return lab->converge ? "the lab is being changed" : lab->operation.what;
}

int lab_check_free(const struct lab *lab, struct error *error)
{
	const char *what = lab_is_occupied(lab);

	return what ? error_set(error, ERROR_FAILED, EBUSY, "%s", what) : 0;
}

void lab_destroy(struct lab *lab)
{
	if (!lab)
		return;
	lab_forget_positions(lab, NULL);
	lab_links_destroy(lab);
	for (size_t i = 0; i < lab->node_count; i++) {
		node_shape_remove_ports(lab->nodes[i]);
		node_destroy(lab->nodes[i]);
	}
	free(lab->nodes);
	lab_close_templates(lab);
	for (size_t i = 0; lab->attachments && i < lab->topology->attachment_count; i++)
		lab_attachment_destroy(lab->attachments[i]);
	for (size_t i = 0; lab->networks && i < lab->topology->network_count; i++)
		lab_network_destroy(lab->networks[i]);
	bridge_client_close(&lab->bridge_client);
	dataplane_destroy(lab->context.dataplane);
	capture_destroy(lab->capture);
	if (lab->context.kvm_fd >= 0)
		close(lab->context.kvm_fd);
	free(lab->attachments);
	free(lab->networks);
	free(lab->bridge_marker);
	free(lab->origin);
	free(lab->from);
	for (size_t i = 0; i < lab->later_topology_count; i++)
		topology_free(lab->later_topologies[i]);
	free(lab->later_topologies);
	free(lab->runtime);
	free(lab);
}

void lab_listen(struct lab *lab, struct lab_listener *listener)
{
	listener->next = lab->listeners;
	lab->listeners = listener;
}

void lab_unlisten(struct lab *lab, struct lab_listener *listener)
{
	for (struct lab_listener **at = &lab->listeners; *at; at = &(*at)->next) {
		if (*at == listener) {
			*at = listener->next;
			return;
		}
	}
}

/* Each gets the next listener first: the one that is told may stop listening. */

void lab_node_changed(struct lab *lab, struct node *node)
{
	lab_keep_time(lab);
	lab_capture_node(lab, node);
	/* Not from within: this is called in the middle of a node's change. */
	if (!lab->stopping && lab->started && node->state != NODE_CREATED)
		loop_post(lab->context.control, lab_start_more, lab);
	for (struct lab_listener *listener = lab->listeners, *next; listener; listener = next) {
		next = listener->next;
		if (listener->changed)
			listener->changed(listener->opaque, node);
	}
}

void lab_node_has_network(struct lab *lab)
{
	if (!lab->stopping)
		loop_post(lab->context.control, lab_start_more, lab);
}

void lab_node_removed(struct lab *lab, struct node *node)
{
	for (struct lab_listener *listener = lab->listeners, *next; listener; listener = next) {
		next = listener->next;
		if (listener->removed)
			listener->removed(listener->opaque, node);
	}
}

void lab_node_logged(struct lab *lab, struct node *node, const char *text, size_t size)
{
	node_log_write(node->log, text, size);
	for (struct lab_listener *listener = lab->listeners, *next; listener; listener = next) {
		next = listener->next;
		if (listener->logged)
			listener->logged(listener->opaque, node, text, size);
	}
}

void lab_node_console(struct lab *lab, struct node *node, const uint8_t *data, size_t size)
{
	for (struct lab_listener *listener = lab->listeners, *next; listener; listener = next) {
		next = listener->next;
		if (listener->console)
			listener->console(listener->opaque, node, data, size);
	}
}

const struct node_context *lab_context(const struct lab *lab)
{
	return &lab->context;
}

const struct topology *lab_topology(const struct lab *lab)
{
	return lab->topology;
}

bool lab_is_stopping(const struct lab *lab)
{
	return lab->stopping || lab->operation.ends_guests;
}

const char *lab_name(const struct lab *lab)
{
	return lab->topology->name;
}

size_t lab_node_count(const struct lab *lab)
{
	return lab->node_count;
}

struct node *lab_node(struct lab *lab, size_t index)
{
	return lab->nodes[index];
}

struct node *lab_find_node(struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		if (strcmp(node_name(lab->nodes[i]), name) == 0)
			return lab->nodes[i];
	}
	return NULL;
}
