/* SPDX-License-Identifier: Apache-2.0 */
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

/* Such guests go on from the same template. */
static bool are_alike(const struct guest_options *a, const struct guest_options *b)
{
	return a->memory == b->memory && a->cpus == b->cpus && a->nics == b->nics &&
	       a->offload_nics == b->offload_nics && strcmp(a->image->name, b->image->name) == 0;
}

static struct lab_template *find(const struct lab *lab, const struct node *node)
{
	struct guest_options options;
	struct lab_template *entry;

	if (!wants_template(lab, node))
		return NULL;
	node_describe(node, &options);
	for (entry = lab->templates; entry; entry = entry->next)
		if (are_alike(&entry->options, &options))
			break;
	return entry;
}

/* An image that was built anew meanwhile has another disk than the template's guest knows. */
static void let_go_if_old(struct lab_template *entry)
{
	if (!entry->template || template_stamp(entry->image) == entry->stamp)
		return;
	log_line("image %s has changed: its nodes boot from now on", entry->image->name);
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
	log_line("template %s of image %s is of no use, and removed", entry->key, entry->image->name);
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

	for (const struct lab_template *entry = lab->templates; entry; entry = entry->next)
		count += entry->maker != NULL;
	return count;
}

/* Nodes that are not clones start all the same, only later; so this is told and goes on. */
static void tell(struct lab *lab, const struct lab_template *entry, const char *what)
{
	char line[1200];
	int length = snprintf(line, sizeof(line), "[netlab: it boots, without a template: %s]\n", what);

	log_line("no template of image %s: %s", entry->image->name, what);
	for (size_t i = 0; i < lab->node_count; i++) {
		if (find(lab, lab->nodes[i]) == entry)
			lab_node_logged(lab, lab->nodes[i], line,
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
		if (find(lab, lab->nodes[i]) == entry)
			snprintf(lab->nodes[i]->reason, sizeof(lab->nodes[i]->reason),
				 "a template of image %s is being made, once", entry->image->name);
	}
}

/* Opens the template, or has it made. */
static void fill(struct lab *lab, struct lab_template *entry)
{
	struct error error = {.class = ERROR_NONE};

	entry->stamp = template_stamp(entry->image);
	if (template_key(&entry->options, entry->key, &error) < 0) {
		tell(lab, entry, error.text);
		return;
	}
	entry->template = template_open(entry->key, entry->options.memory, &error);
	if (entry->template)
		return;
	if (lab->from)
		return; /* Its nodes go on from elsewhere, and one that restarts boots. */
	if (error.class != ERROR_NONE)
		log_line("%s; it is made anew", error.text);
	entry->maker = template_make(&entry->options, entry->key, made, entry, &error);
	if (entry->maker)
		wait_for(lab, entry);
	else
		tell(lab, entry, error.text);
}

static struct lab_template *add_entry(struct lab *lab, const struct node *node, struct error *error)
{
	struct lab_template *entry = calloc(1, sizeof(*entry));

	if (!entry) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	entry->image = image_load(node->image->name, error);
	if (!entry->image) {
		free(entry);
		return NULL;
	}
	entry->lab = lab;
	node_describe(node, &entry->options);
	entry->options.image = entry->image;
	entry->options.name = entry->image->name;
	entry->next = lab->templates;
	lab->templates = entry;
	return entry;
}

int lab_find_templates(struct lab *lab, struct error *error)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = lab->nodes[i];
		struct lab_template *entry;

		if (!wants_template(lab, node) || find(lab, node))
			continue;
		entry = add_entry(lab, node, error);
		if (!entry)
			return -ENOENT;
		fill(lab, entry);
	}
	return 0;
}

size_t lab_stop_templates(struct lab *lab)
{
	size_t count = 0;

	for (struct lab_template *entry = lab->templates; entry; entry = entry->next) {
		if (!entry->maker)
			continue;
		template_maker_stop(entry->maker);
		count++;
	}
	return count;
}

void lab_close_templates(struct lab *lab)
{
	struct lab_template *entry;

	while ((entry = lab->templates)) {
		lab->templates = entry->next;
		template_close(entry->template);
		image_free(entry->image);
		free(entry);
	}
}
