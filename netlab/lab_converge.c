/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "netlab/allocate.h"
#include "netlab/dataplane.h"
#include "netlab/json_text.h"
#include "netlab/lab_attachment.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/node_shape.h"
#include "netlab/plan.h"
#include "netlab/topology.h"

/* Theory of operation
 * -------------------
 *      prepare -> stop what goes or restarts -> (all of that has ended) -> put in place -> start
 *
 * Preparing makes all that is new, nodes, networks, ports, files, beside what there is, and undoes it when something
 * fails; after it nothing can fail but the start of a node, which then counts as crashed, and what a network needs of
 * the host that is free only once the old networks have gone: a port that is forwarded.  That is told to who asked for
 * the change, of which the rest is done.  Nothing is in place before
 * the last guest has ended, so that there is one moment at which the lab is another.
 *
 * A node that is not touched goes on with its struct, and so with all that points to it; only its description is
 * now a part of the new topology.  Old topologies last as long as the lab, since guests know strings of them. */

/* What becomes of a node of the new topology. */
struct converge_node {
	struct node *node;
	const struct plan_change *change; /* NULL: nothing. */
	struct node_shape shape;          /* With PLAN_RESTART. */
	char *lines;                      /* With PLAN_CHANGE: for its agent. */
};

struct lab_converge {
	struct lab_plan plan;
	struct converge_node *nodes; /* In the new topology's order. */
	size_t node_count;
	struct lab_network **networks;       /* In its order as well: those that stay as they are, and new ones. */
	struct lab_attachment **attachments; /* The same; those that stay by name may yet be opened anew. */
	json_t *failures;                    /* Strings: what could not be put in place. */
	lab_converge_done *done;
	void *opaque;
};

static bool is_in(struct lab_network *const *list, size_t count, const struct lab_network *network)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == network)
			return true;
	return false;
}

/* Makes what is new. */

/* The network of the running lab that is the same, or NULL. */
static struct lab_network *same_network(const struct lab *lab, const struct topology_network *network)
{
	for (size_t i = 0; i < lab->topology->network_count; i++) {
		const struct topology_network *running = &lab->topology->networks[i];

		if (lab_network_is_same(running, network))
			return lab->networks[i];
	}
	return NULL;
}

static int prepare_networks(struct lab *lab, struct lab_converge *converge, struct error *error)
{
	const struct topology *topology = converge->plan.topology;

	for (size_t i = 0; i < topology->network_count; i++) {
		const struct topology_network *network = &topology->networks[i];

		converge->networks[i] = same_network(lab, network);
		if (!converge->networks[i])
			converge->networks[i] = lab_network_create(lab->context.dataplane, &lab->bridge_client, network,
								   error);
		if (!converge->networks[i])
			return -EIO;
	}
	return 0;
}

/* The attachment of the running lab that has the name, or NULL. */
static struct lab_attachment *same_attachment(const struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab->topology->attachment_count; i++)
		if (!strcmp(lab->topology->attachments[i].name, name))
			return lab->attachments[i];
	return NULL;
}

/* Opens what is new.  What it needs may be another's that goes: then that is left for put_in_place(). */
static int prepare_attachments(struct lab *lab, struct lab_converge *converge, struct error *error)
{
	const struct topology *topology = converge->plan.topology;

	for (size_t i = 0; i < topology->attachment_count; i++) {
		const struct topology_attachment *attachment = &topology->attachments[i];
		int result;

		converge->attachments[i] = same_attachment(lab, attachment->name);
		if (converge->attachments[i])
			continue;
		converge->attachments[i] = lab_attachment_create(lab->context.dataplane, &lab->bridge_client,
								 attachment, error);
		if (!converge->attachments[i])
			return -ENOMEM;
		result = lab_attachment_open(converge->attachments[i], error);
		if (result < 0 && (result != -EADDRINUSE || !plan_frees_attachment(converge->plan.plan)))
			return result;
	}
	return 0;
}

static int prepare_node(struct lab *lab, struct converge_node *item, const struct topology_node *topology,
			const struct plan *plan, struct error *error)
{
	struct node *node = lab_find_node(lab, topology->name);

	item->change = plan_find_node(plan, topology->name);
	if (!node) {
		item->node = node_create(topology, &lab->context, error);
		return item->node ? 0 : -EIO;
	}
	if (item->change && item->change->action == PLAN_RESTART) {
		int result = node_shape_make(&item->shape, topology, node, &lab->context, error);

		if (result < 0)
			return result;
	} else if (item->change) {
		item->lines = plan_node_lines(node->topology, topology);
	}
	item->node = node;
	return 0;
}

static bool is_new(const struct converge_node *item)
{
	return item->change && item->change->action == PLAN_ADD;
}

static int prepare(struct lab *lab, struct lab_converge *converge, struct error *error)
{
	const struct topology *topology = converge->plan.topology;
	int result = lab->overcommit ? 0 : lab_check_memory(topology, false, error);

	converge->nodes = allocate_zeroed(topology->node_count, sizeof(converge->nodes[0]));
	converge->node_count = topology->node_count;
	converge->networks = allocate_zeroed(topology->network_count, sizeof(struct lab_network *));
	converge->attachments = allocate_zeroed(topology->attachment_count, sizeof(struct lab_attachment *));
	if (result == 0)
		result = prepare_networks(lab, converge, error);
	if (result == 0)
		result = prepare_attachments(lab, converge, error);
	for (size_t i = 0; result == 0 && i < topology->node_count; i++)
		result = prepare_node(lab, &converge->nodes[i], &topology->nodes[i], converge->plan.plan, error);
	return result;
}

/* Removes a node that is in the lab no more. */
static void remove_node(struct node *node)
{
	node_shape_remove_ports(node);
	unlink(node_log_path(node));
	node_destroy(node);
}

static void undo(struct lab *lab, struct lab_converge *converge)
{
	const struct topology *topology = converge->plan.topology;

	for (size_t i = 0; i < converge->node_count; i++) {
		struct converge_node *item = &converge->nodes[i];

		if (item->node && is_new(item))
			remove_node(item->node);
		else if (item->shape.topology)
			node_shape_drop(&item->shape, item->node);
	}
	for (size_t i = 0; i < topology->network_count; i++)
		if (converge->networks[i] && !is_in(lab->networks, lab->topology->network_count, converge->networks[i]))
			lab_network_destroy(converge->networks[i]);
	for (size_t i = 0; i < topology->attachment_count; i++)
		if (converge->attachments[i] && !same_attachment(lab, topology->attachments[i].name))
			lab_attachment_destroy(converge->attachments[i]);
}

static void free_converge(struct lab_converge *converge)
{
	for (size_t i = 0; converge->nodes && i < converge->node_count; i++)
		free(converge->nodes[i].lines);
	free(converge->nodes);
	free(converge->networks);
	json_decref(converge->failures);
	free(converge->attachments);
	lab_plan_release(&converge->plan);
	free(converge);
}

/* Stops what goes and what restarts. */
static void stop_nodes(struct lab *lab, const struct plan *plan)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		const struct plan_change *change = plan_find_node(plan, node_name(lab->nodes[i]));

		if (!change || (change->action != PLAN_REMOVE && change->action != PLAN_RESTART))
			continue;
		lab->nodes[i]->held = true;
		node_stop(lab->nodes[i]);
	}
}

/* Puts it in place. */

static void change_nodes(const struct lab_converge *converge)
{
	const struct topology *topology = converge->plan.topology;

	for (size_t i = 0; i < topology->node_count; i++) {
		struct converge_node *item = &converge->nodes[i];

		if (item->shape.topology)
			node_shape_apply(&item->shape, item->node);
		else
			node_shape_repoint(item->node, &topology->nodes[i]);
	}
}

static void keep_topology(struct lab *lab, struct topology *topology)
{
	lab->later_topologies = allocate_grow(lab->later_topologies, lab->later_topology_count,
					      sizeof(struct topology *));
	lab->later_topologies[lab->later_topology_count++] = topology;
	lab->topology = topology;
	free(lab->origin);
	lab->origin = allocate_copy(topology->path);
}

/* The lab as it was, until all of it has been let go of. */
struct former {
	const struct topology *topology;
	struct node **nodes;
	struct lab_network **networks;
	struct lab_attachment **attachments;
};

static struct former replace(struct lab *lab, struct lab_converge *converge)
{
	struct former former = {.topology = lab->topology,
				.nodes = lab->nodes,
				.networks = lab->networks,
				.attachments = lab->attachments};
	struct topology *topology = converge->plan.topology;

	lab->nodes = allocate_zeroed(topology->node_count, sizeof(struct node *));
	for (size_t i = 0; i < topology->node_count; i++)
		lab->nodes[i] = converge->nodes[i].node;
	lab->node_count = topology->node_count;
	lab->networks = converge->networks;
	lab->attachments = converge->attachments;
	keep_topology(lab, topology);
	converge->networks = NULL;
	converge->attachments = NULL;
	converge->plan.topology = NULL;
	return former;
}

static void let_go(struct lab *lab, const struct former *former, const struct plan *plan)
{
	for (size_t i = 0; i < former->topology->node_count; i++) {
		struct node *node = former->nodes[i];
		const struct plan_change *change = plan_find_node(plan, node_name(node));

		if (!change || change->action != PLAN_REMOVE)
			continue;
		lab_node_removed(lab, node);
		remove_node(node);
	}
	/* Before networks, to which they are still joined. */
	for (size_t i = 0; i < former->topology->attachment_count; i++)
		if (!topology_find_attachment(lab->topology, former->topology->attachments[i].name))
			lab_attachment_destroy(former->attachments[i]);
	for (size_t i = 0; i < former->topology->network_count; i++)
		if (!is_in(lab->networks, lab->topology->network_count, former->networks[i]))
			lab_network_destroy(former->networks[i]);
	free(former->nodes);
	free(former->networks);
	free(former->attachments);
}

/* A network that takes the place of one of the same name goes on with its outer port. */
static void succeed_networks(struct lab *lab, const struct former *former)
{
	const struct topology *topology = lab->topology;

	for (size_t i = 0; i < topology->network_count; i++) {
		size_t j = 0;

		while (j < former->topology->network_count &&
		       strcmp(former->topology->networks[j].name, topology->networks[i].name) != 0)
			j++;
		if (j < former->topology->network_count && former->networks[j] != lab->networks[i] &&
		    former->networks[j]->outer && topology->networks[i].mode != TOPOLOGY_ISOLATED)
			lab_network_succeed(lab->networks[i], former->networks[j]);
	}
}

/* Once the old ones have gone, which may have the same name, or the same ports of the host. */
static void connect_networks(struct lab *lab, json_t *failures)
{
	for (size_t i = 0; i < lab->topology->network_count; i++) {
		struct error error = {.class = ERROR_NONE};

		if (lab_network_connect(lab->networks[i], lab->topology, i, &error) == 0)
			continue;
		log_line("%s", error.text);
		json_array_append_new(failures, json_text(error.text));
	}
}

/* Once the old ones have gone.  Those that changed are closed before any is opened, since one may now have what was
 * another's. */
static void renew_attachments(struct lab *lab, json_t *failures)
{
	for (size_t i = 0; i < lab->topology->attachment_count; i++) {
		const struct topology_attachment *topology = &lab->topology->attachments[i];

		if (!topology_attachment_is_same(lab->attachments[i]->topology, topology))
			lab_attachment_close(lab->attachments[i]);
		lab->attachments[i]->topology = topology;
	}
	for (size_t i = 0; i < lab->topology->attachment_count; i++) {
		struct error error = {.class = ERROR_NONE};

		if (lab_attachment_open(lab->attachments[i], &error) == 0)
			continue;
		log_line("%s", error.text);
		json_array_append_new(failures, json_text(error.text));
	}
}

/* Nodes whose template cannot be found boot: what keeps templates from being found was said already. */
static void start_nodes(struct lab *lab, struct lab_converge *converge)
{
	struct error error = {.class = ERROR_NONE};

	for (size_t i = 0; i < converge->node_count; i++) {
		struct converge_node *item = &converge->nodes[i];

		if (!item->change)
			continue;
		if (item->change->action == PLAN_ADD)
			lab_node_changed(lab, item->node);
		else if (item->change->action == PLAN_RESTART)
			node_reset(item->node);
	}
	if (lab_find_templates(lab, &error) < 0)
		log_line("%s", error.text);
	lab_start_more(lab);
}

static void set_up_more(struct lab_converge *converge)
{
	for (size_t i = 0; i < converge->node_count; i++) {
		struct converge_node *item = &converge->nodes[i];

		if (!item->lines)
			continue;
		if (item->node->state == NODE_READY && node_agent(item->node))
			node_set_up_more(item->node, item->lines);
		else
			free(item->lines); /* It has ended meanwhile, or will be set up as a whole. */
		item->lines = NULL;
	}
}

/* What was changed, and does not wait for the lab's next start. */
static size_t count_changes(const struct plan *plan)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++)
		count += plan->changes[i].action != PLAN_LATER;
	return count;
}

static void put_in_place(struct lab *lab, struct lab_converge *converge)
{
	const size_t changes = count_changes(converge->plan.plan);
	struct former former;

	lab_links_quiet(lab, "the lab was changed");
	change_nodes(converge);
	former = replace(lab, converge);
	loop_call(dataplane_loop(lab->context.dataplane), lab_join_all, lab);
	succeed_networks(lab, &former);
	let_go(lab, &former, converge->plan.plan);
	connect_networks(lab, converge->failures);
	renew_attachments(lab, converge->failures);
	lab_links_change(lab, former.topology, converge->failures);
	lab_describe_capture(lab);
	lab_change_capture(lab);
	/* Again, now that the outer ports are there. */
	loop_call(dataplane_loop(lab->context.dataplane), lab_apply_mirrors, lab);
	start_nodes(lab, converge);
	lab_update_hosts(lab, former.topology);
	set_up_more(converge);
	lab_tell_capture(lab, "the lab was changed: %zu changes", changes);
	log_line("lab %s is as %s says: %zu changes", lab_name(lab), lab->topology->path, changes);
}

static bool still_ending(const struct lab *lab)
{
	for (size_t i = 0; i < lab->node_count; i++)
		if (lab->nodes[i]->held && lab->nodes[i]->guest)
			return true;
	return false;
}

void lab_converge_go_on(void *opaque)
{
	struct lab *lab = opaque;
	struct lab_converge *converge = lab->converge;

	if (!converge || still_ending(lab))
		return;
	lab->converge = NULL;
	put_in_place(lab, converge);
	converge->done(converge->opaque, converge->failures);
	free_converge(converge);
}

void lab_converge_abandon(struct lab *lab)
{
	struct lab_converge *converge = lab->converge;

	if (!converge)
		return;
	lab->converge = NULL;
	undo(lab, converge);
	free_converge(converge);
}

int lab_converge(struct lab *lab, const char *path, const char *token, lab_converge_done *done, void *opaque,
		 struct error *error)
{
	struct lab_converge *converge;
	int result;

	if (lab_is_occupied(lab))
		return error_set(error, ERROR_FAILED, lab->stopping ? ESHUTDOWN : EALREADY, "%s", lab_is_occupied(lab));
	converge = allocate_zeroed(1, sizeof(*converge));
	converge->done = done;
	converge->opaque = opaque;
	converge->failures = json_array();
	result = lab_plan_read(lab, path, &converge->plan, error);
	if (result == 0 && strcmp(converge->plan.token, token) != 0)
		result = error_set(error, ERROR_FAILED, ESTALE, "%s or the lab has changed since the plan was made",
				   path);
	if (result == 0)
		result = prepare(lab, converge, error);
	if (result < 0) {
		if (converge->nodes)
			undo(lab, converge);
		free_converge(converge);
		return result;
	}
	lab->converge = converge;
	stop_nodes(lab, converge->plan.plan);
	loop_post(lab->context.control, lab_converge_go_on, lab);
	return 0;
}
