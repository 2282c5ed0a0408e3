/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "netlab/allocate.h"
#include "netlab/image.h"
#include "netlab/json_text.h"
#include "netlab/lab_attachment.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/nat.h"
#include "netlab/plan.h"
#include "netlab/topology.h"

/* What would make the running lab what a file says: netlab/plan.h has what differs between descriptions, and here is
 * added what became of the nodes. */

/* Bytes that must be there before a file is read, for each byte of it, and beside that: several times what the tree of
 * a file, the topology, the plan and the new tables of a lab need.  What links and schedules take does not follow from
 * the size of the file, but their number has a limit. */
#define ROOM_PER_BYTE 64
#define ROOM (64u << 20)

/* Reading ends the process when memory runs out (netlab/allocate.h), which must not happen to a lab that runs.  So all
 * of it is asked for once, and given back; pages that are not touched cost nothing. */
static int check_room(off_t size, struct error *error)
{
	size_t bytes = size < TOPOLOGY_FILE_SIZE_MAX ? (size_t)size : TOPOLOGY_FILE_SIZE_MAX;
	void *room = malloc(ROOM_PER_BYTE * bytes + ROOM);

	if (!room)
		return error_set(error, ERROR_FAILED, ENOMEM, "not enough memory to read the topology");
	free(room);
	return 0;
}

static int cannot_read(const char *path, const char *why, struct error *error)
{
	return error_set(error, ERROR_USAGE, EINVAL, "%s: error: %s", path, why);
}

/* Reads the file 'path', which is a regular one, so that nobody waits for a pipe's writer.  Sets '*text', to be freed,
 * and '*size'. */
static int read_file(const char *path, char **text, size_t *size, struct error *error)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	ssize_t got = 1;

	if (fd < 0)
		return cannot_read(path, strerror(errno), error);
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return cannot_read(path, "it is no regular file", error);
	}
	if (check_room(status.st_size, error) < 0) {
		close(fd);
		return -ENOMEM;
	}
	/* One byte more than a file may have, so that a bigger one is noticed. */
	*text = allocate_zeroed(TOPOLOGY_FILE_SIZE_MAX + 1, 1);
	for (*size = 0; got > 0 && *size <= TOPOLOGY_FILE_SIZE_MAX; *size += got > 0 ? (size_t)got : 0)
		got = read(fd, *text + *size, TOPOLOGY_FILE_SIZE_MAX + 1 - *size);
	if (got < 0)
		cannot_read(path, strerror(errno), error);
	close(fd);
	return got < 0 ? -EINVAL : 0;
}

static struct topology *parse(const char *text, size_t size, const char *path, const char *name, struct error *error)
{
	char *messages = NULL;
	size_t length;
	FILE *errors = open_memstream(&messages, &length);
	struct topology *topology;

	if (!errors) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	topology = topology_read_text(text, size, path, name, errors);
	fclose(errors);
	if (!topology) {
		error_set(error, ERROR_USAGE, EINVAL, "%.*s", (int)(length > 0 ? length - 1 : 0), messages);
	}
	free(messages);
	return topology;
}

/* Fills in what the topology leaves to the images, so that it can be compared with what runs. */
static int resolve(struct topology *topology, struct error *error)
{
	struct image *image = NULL;

	for (size_t i = 0; i < topology->node_count; i++) {
		struct topology_node *node = &topology->nodes[i];

		if (!image || strcmp(image->name, node->image) != 0) {
			image_free(image);
			image = image_load(node->image, error);
		}
		if (!image)
			return -ENOENT;
		if (node->memory == 0)
			node->memory = image->memory;
		if (node->cpus == 0)
			node->cpus = image->cpus;
	}
	image_free(image);
	return 0;
}

static struct plan *compare(const struct lab *lab, const struct topology *topology)
{
	struct topology running = *lab->topology;
	struct plan *plan;

	running.networks = allocate_zeroed(running.network_count, sizeof(running.networks[0]));
	for (size_t i = 0; i < running.network_count; i++) {
		struct topology_network *network = &running.networks[i];

		/* Some may have failed, others may have been added by hand. */
		*network = lab->topology->networks[i];
		network->forwards = lab_network_forwards(lab->networks[i], &network->forward_count);
	}
	running.links = allocate_zeroed(running.link_count, sizeof(running.links[0]));
	for (size_t i = 0; i < running.link_count; i++)
		running.links[i] = lab->topology->links[i];
	lab_links_describe(lab, &running);
	running.nodes = allocate_zeroed(running.node_count, sizeof(running.nodes[0]));
	for (size_t i = 0; i < running.node_count; i++) {
		running.nodes[i] = lab->topology->nodes[i];
		running.nodes[i].memory = lab->nodes[i]->memory;
		running.nodes[i].cpus = lab->nodes[i]->cpus;
	}
	running.capture = lab->captured;
	plan = plan_create(&running, topology);
	for (size_t i = 0; i < running.network_count; i++)
		free(running.networks[i].forwards);
	free(running.networks);
	free(running.links);
	free(running.nodes);
	return plan;
}

/* Networks and attachments that have failed to reach out of the lab, and are to be there. */
static void add_failures(const struct lab *lab, const struct topology *topology, struct plan *plan)
{
	for (size_t i = 0; i < lab->topology->network_count; i++) {
		const struct topology_network *network = &lab->topology->networks[i];

		for (size_t j = 0; j < topology->network_count; j++)
			if (!strcmp(topology->networks[j].name, network->name) &&
			    !lab_network_is_connected(lab->networks[i], network))
				plan_try_again(plan, PLAN_NETWORK, network->name);
	}
	for (size_t i = 0; i < lab->topology->attachment_count; i++) {
		const char *name = lab->topology->attachments[i].name;

		if (!lab->attachments[i]->attachment && topology_find_attachment(topology, name))
			plan_try_again(plan, PLAN_ATTACHMENT, name);
	}
}

/* A node that does not run is started again; one that is not ready cannot be given anything in place. */
static void add_states(const struct lab *lab, const struct topology *topology, struct plan *plan)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = lab->nodes[i];
		const struct plan_change *change = plan_find_node(plan, node_name(node));
		bool has_ended = node->state == NODE_STOPPED || node->state == NODE_CRASHED;
		char reason[64] = "it is not ready yet";

		if (!topology_find_node(topology, node_name(node)) || (change && change->action != PLAN_CHANGE) ||
		    (change ? node->state == NODE_READY : !has_ended))
			continue;
		if (has_ended)
			snprintf(reason, sizeof(reason), "it is %s", node_state_name(node->state));
		plan_restart_node(plan, node_name(node), reason);
	}
}

static void make_token(const char *text, size_t size, const struct plan *plan, char token[LAB_TOKEN_SIZE])
{
	json_t *changes = plan_json(plan);
	char *words = json_dumps(changes, JSON_COMPACT);
	uint64_t hash = XXH3_64bits_withSeed(text, size, words ? XXH3_64bits(words, strlen(words)) : 0);

	snprintf(token, LAB_TOKEN_SIZE, "%016llx", (unsigned long long)hash);
	free(words);
	json_decref(changes);
}

int lab_plan_read(const struct lab *lab, const char *path, struct lab_plan *plan, struct error *error)
{
	char *text = NULL;
	size_t size = 0;

	*plan = (struct lab_plan){.topology = NULL};
	if (read_file(path, &text, &size, error) == 0)
		plan->topology = parse(text, size, path, lab_name(lab), error);
	if (!plan->topology || resolve(plan->topology, error) < 0) {
		free(text);
		return -EINVAL;
	}
	plan->plan = compare(lab, plan->topology);
	add_states(lab, plan->topology, plan->plan);
	add_failures(lab, plan->topology, plan->plan);
	make_token(text, size, plan->plan, plan->token);
	free(text);
	return 0;
}

void lab_plan_release(struct lab_plan *plan)
{
	topology_free(plan->topology);
	plan_free(plan->plan);
	*plan = (struct lab_plan){.topology = NULL};
}

json_t *lab_plan(struct lab *lab, const char *path, struct error *error)
{
	struct lab_plan plan;
	json_t *json = NULL;

	if (lab_plan_read(lab, path, &plan, error) == 0)
		json = json_pack("{s:s, s:o, s:o, s:o, s:b, s:s, s:o}", "lab", lab_name(lab), "topology",
				 json_text(plan.topology->path), "running", json_text(lab->topology->path), "captures",
				 json_text(lab->captures), "cold", lab->cold, "token", plan.token, "changes",
				 plan_json(plan.plan));
	lab_plan_release(&plan);
	return json;
}
