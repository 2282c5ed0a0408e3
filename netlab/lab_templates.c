/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/lab_internal.h"

/* Which node goes on from which template, and what is done while there is none. */

/* Not one that is said to boot, and a kernel command line of its own wants a boot of its own. */
static bool wants_template(const struct lab *lab, const struct node *node)
{
	return !lab->cold && !node->topology->boots && !node->topology->cmdline;
}

/* Such nodes go on from the same template. */
static bool are_alike(const struct node *a, const struct node *b)
{
	struct guest_options first, second;

	node_describe(a, &first);
	node_describe(b, &second);
	return first.memory == second.memory && first.cpus == second.cpus && first.nics == second.nics &&
	       strcmp(first.image->name, second.image->name) == 0;
}

static struct lab_template *find(const struct lab *lab, const struct node *node)
{
	if (!wants_template(lab, node))
		return NULL;
	for (size_t i = 0; i < lab->template_count; i++) {
		assert(lab->templates[i].node); /* Each is for some node. */
		if (are_alike(lab->templates[i].node, node))
			return &lab->templates[i];
	}
	return NULL;
}

/* An image that was built anew meanwhile has another disk than the template's guest knows. */
static void let_go_if_old(struct lab_template *entry)
{
	if (!entry->template || template_stamp(entry->node->image) == entry->stamp)
		return;
	log_line("image %s has changed: its nodes boot from now on", entry->node->image->name);
	template_close(entry->template);
	entry->template = NULL;
}

struct template *lab_node_template(struct lab *lab, const struct node *node)
{
	struct lab_template *entry = find(lab, node);

	if (entry)
		let_go_if_old(entry);
	return entry ? entry->template : NULL;
}

void lab_drop_template(struct lab *lab, const struct node *node)
{
	struct lab_template *entry = find(lab, node);

	if (!entry || !entry->template)
		return;
	log_line("template %s of image %s is of no use, and removed", entry->key, entry->node->image->name);
	template_close(entry->template);
	entry->template = NULL;
	template_remove(entry->key);
}

bool lab_awaits_template(const struct lab *lab, const struct node *node)
{
	const struct lab_template *entry = find(lab, node);

	return entry && entry->maker;
}

unsigned int lab_templates_in_work(const struct lab *lab)
{
	unsigned int count = 0;

	for (size_t i = 0; i < lab->template_count; i++)
		count += lab->templates[i].maker != NULL;
	return count;
}

/* Nodes that are not clones start all the same, only later; so this is told and goes on. */
static void tell(struct lab *lab, const struct lab_template *entry, const char *what)
{
	char line[1200];
	int length = snprintf(line, sizeof(line), "[netlab: it boots, without a template: %s]\n", what);

	log_line("no template of image %s: %s", entry->node->image->name, what);
	for (size_t i = 0; i < lab->node_count; i++) {
		if (find(lab, &lab->nodes[i]) == entry)
			lab_node_logged(lab, &lab->nodes[i], line,
					(size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
	}
}

static void made(void *opaque, struct template *template, const char *failure)
{
	struct lab_template *entry = opaque;
	struct lab *lab = entry->lab;

	entry->maker = NULL;
	entry->template = template;
	if (lab->stopping) {
		lab_guest_ended(lab);
		return;
	}
	if (!template)
		tell(lab, entry, failure);
	lab_start_more(lab);
}

static void wait_for(struct lab *lab, const struct lab_template *entry)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		if (find(lab, &lab->nodes[i]) == entry)
			snprintf(lab->nodes[i].reason, sizeof(lab->nodes[i].reason),
				 "a template of image %s is being made, once", entry->node->image->name);
	}
}

/* Opens the template, or has it made. */
static void fill(struct lab *lab, struct lab_template *entry)
{
	struct error error = {.class = ERROR_NONE};
	struct guest_options options;

	node_describe(entry->node, &options);
	entry->stamp = template_stamp(entry->node->image);
	if (template_key(&options, entry->key, &error) < 0) {
		tell(lab, entry, error.text);
		return;
	}
	entry->template = template_open(entry->key, options.memory, &error);
	if (entry->template)
		return;
	if (lab->from)
		return; /* Its nodes go on from elsewhere, and one that restarts boots. */
	if (error.class != ERROR_NONE)
		log_line("%s; it is made anew", error.text);
	entry->maker = template_make(&options, entry->key, made, entry, &error);
	if (entry->maker)
		wait_for(lab, entry);
	else
		tell(lab, entry, error.text);
}

int lab_find_templates(struct lab *lab, struct error *error)
{
	lab->templates = calloc(lab->node_count + 1, sizeof(*lab->templates));
	if (!lab->templates)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = &lab->nodes[i];
		struct lab_template *entry = &lab->templates[lab->template_count];

		if (!wants_template(lab, node) || find(lab, node))
			continue;
		*entry = (struct lab_template){.lab = lab, .node = node};
		lab->template_count++;
		fill(lab, entry);
	}
	return 0;
}

size_t lab_stop_templates(struct lab *lab)
{
	size_t count = 0;

	for (size_t i = 0; i < lab->template_count; i++) {
		if (!lab->templates[i].maker)
			continue;
		template_maker_stop(lab->templates[i].maker);
		count++;
	}
	return count;
}

void lab_close_templates(struct lab *lab)
{
	for (size_t i = 0; i < lab->template_count; i++)
		template_close(lab->templates[i].template);
	free(lab->templates);
}
