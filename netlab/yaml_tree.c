/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/yaml_tree.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "netlab/allocate.h"
#include "netlab/yaml_text.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* A node as it is built and owned. */
struct item {
	struct yaml_tree_node node; /* First, so that a node's address is its item's. */
	struct item *next;          /* All items of a tree, for freeing. */
	char *text;
	size_t weight; /* Size of what is here and below, aliases counted as what they stand for. */
};

struct yaml_tree {
	struct item *items;
	size_t item_count;
	const struct item *root;
};

struct anchor {
	char *name;
	struct item *item;
	bool open; /* Its node has not ended yet: an alias would be a cycle. */
};

struct builder {
	yaml_parser_t parser;
	struct yaml_reader *reader;
	struct yaml_tree *tree;
	const char *text;
	size_t size;
	struct anchor *anchors;
	size_t anchor_count;
};

static struct yaml_mark mark_of(yaml_mark_t mark)
{
	return (struct yaml_mark){(unsigned int)mark.line + 1, (unsigned int)mark.column + 1};
}

static void report_parser_error(struct builder *builder)
{
	const yaml_parser_t *parser = &builder->parser;
	struct yaml_mark mark = mark_of(parser->problem_mark), context = mark_of(parser->context_mark);

	if (parser->error == YAML_MEMORY_ERROR) {
		yaml_reader_error(builder->reader, (struct yaml_mark){0}, "out of memory");
		return;
	}
	if (yaml_text_byte_at(builder->text, builder->size, mark) == '\t') {
		yaml_reader_error(builder->reader, mark, "a tab cannot be used for indentation");
		yaml_reader_help(builder->reader, "indent with spaces");
		return;
	}
	yaml_reader_error(builder->reader, mark, "%s", parser->problem ? parser->problem : "this is not YAML");
	if (parser->context && (context.line != mark.line || context.column != mark.column))
		yaml_reader_help(builder->reader, "%s that begins in line %u, column %u", parser->context, context.line,
				 context.column);
}

static bool next_event(struct builder *builder, yaml_event_t *event)
{
	if (yaml_parser_parse(&builder->parser, event))
		return true;
	report_parser_error(builder);
	return false;
}

/* Takes 'text', which may be NULL. */
static struct item *new_item(struct builder *builder, enum yaml_tree_type type, yaml_mark_t mark, char *text)
{
	struct item *item = allocate_zeroed(1, sizeof(*item));

	item->node.type = type;
	item->node.mark = mark_of(mark);
	item->text = text;
	item->node.text = text ? text : "";
	item->weight = 1 + strlen(item->node.text) / YAML_TREE_TEXT_UNIT;
	item->next = builder->tree->items;
	builder->tree->items = item;
	builder->tree->item_count++;
	return item;
}

static struct anchor *find_anchor(struct builder *builder, const char *name)
{
	for (size_t i = 0; i < builder->anchor_count; i++)
		if (!strcmp(builder->anchors[i].name, name))
			return &builder->anchors[i];
	return NULL;
}

/* Makes 'name' stand for 'item', from now on; YAML lets a later anchor take an earlier one's name. */
static bool add_anchor(struct builder *builder, const char *name, struct item *item, bool open)
{
	struct anchor *anchor = find_anchor(builder, name);

	if (!anchor) {
		if (builder->anchor_count == YAML_TREE_ANCHORS_MAX) {
			yaml_reader_error(builder->reader, item->node.mark, "more than %u anchors",
					  YAML_TREE_ANCHORS_MAX);
			return false;
		}
		builder->anchors = allocate_grow(builder->anchors, builder->anchor_count, sizeof(builder->anchors[0]));
		anchor = &builder->anchors[builder->anchor_count++];
		anchor->name = allocate_copy(name);
	}
	anchor->item = item;
	anchor->open = open;
	return true;
}

static void close_anchor(struct builder *builder, const struct item *item)
{
	for (size_t i = 0; i < builder->anchor_count; i++)
		if (builder->anchors[i].item == item)
			builder->anchors[i].open = false;
}

static struct item *resolve_alias(struct builder *builder, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	const struct anchor *anchor = find_anchor(builder, name);

	if (!anchor) {
		yaml_reader_error(builder->reader, mark_of(event->start_mark), "no anchor \"&%s\" before this alias",
				  name);
		return NULL;
	}
	if (anchor->open) {
		yaml_reader_error(builder->reader, mark_of(event->start_mark),
				  "alias \"*%s\" stands inside its own anchor, which would never end", name);
		return NULL;
	}
	return anchor->item;
}

static bool is_null(const char *text)
{
	return !*text || !strcmp(text, "~") || !strcasecmp(text, "null");
}

static struct item *compose_scalar(struct builder *builder, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct item *item;

	if (memchr(value, '\0', event->data.scalar.length)) {
		yaml_reader_error(builder->reader, mark_of(event->start_mark), "a NUL character in a text");
		return NULL;
	}
	if (plain && is_null(value))
		item = new_item(builder, YAML_TREE_NULL, event->start_mark, NULL);
	else
		item = new_item(builder, YAML_TREE_SCALAR, event->start_mark, allocate_copy(value));
	item->node.plain = plain;
	if (event->data.scalar.anchor && !add_anchor(builder, (const char *)event->data.scalar.anchor, item, false))
		return NULL;
	return item;
}

/* Counts 'child', found at 'mark', as part of 'item'. */
static bool add_weight(struct builder *builder, struct item *item, const struct item *child, yaml_mark_t mark)
{
	item->weight += child->weight;
	if (item->weight <= YAML_TREE_NODES_MAX && builder->tree->item_count <= YAML_TREE_NODES_MAX)
		return true;
	yaml_reader_error(builder->reader, mark_of(mark), "more than %u values, aliases counted as what they stand for",
			  YAML_TREE_NODES_MAX);
	return false;
}

static struct item *compose(struct builder *builder, const yaml_event_t *event, unsigned int depth);

static bool compose_list(struct builder *builder, struct item *list, unsigned int depth)
{
	for (;;) {
		yaml_event_t event;
		struct item *child;

		if (!next_event(builder, &event))
			return false;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			return true;
		}
		child = compose(builder, &event, depth + 1);
		if (child && !add_weight(builder, list, child, event.start_mark))
			child = NULL;
		yaml_event_delete(&event);
		if (!child)
			return false;
		list->node.items = allocate_grow(list->node.items, list->node.count, sizeof(list->node.items[0]));
		list->node.items[list->node.count++] = &child->node;
	}
}

/* Reads a key's node from 'event'; returns NULL after an error. */
static struct item *compose_key(struct builder *builder, const yaml_event_t *event, unsigned int depth)
{
	struct yaml_mark mark = mark_of(event->start_mark);
	struct item *key = compose(builder, event, depth);

	if (!key)
		return NULL;
	if (key->node.type != YAML_TREE_SCALAR) {
		yaml_reader_error(builder->reader, mark, "a key must be text, not %s", yaml_tree_type_name(&key->node));
		return NULL;
	}
	if (key->node.plain && !strcmp(key->node.text, "<<")) {
		yaml_reader_error(builder->reader, mark, "merge keys (\"<<\") are not supported");
		yaml_reader_help(builder->reader, "an alias can stand for a whole value");
		return NULL;
	}
	return key;
}

static bool compose_map(struct builder *builder, struct item *map, unsigned int depth)
{
	for (;;) {
		struct item *key, *value = NULL;
		struct yaml_tree_pair *pair;
		yaml_event_t event;

		if (!next_event(builder, &event))
			return false;
		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			return true;
		}
		map->node.pairs = allocate_grow(map->node.pairs, map->node.count, sizeof(map->node.pairs[0]));
		pair = &map->node.pairs[map->node.count];
		pair->key_mark = mark_of(event.start_mark);
		key = compose_key(builder, &event, depth + 1);
		yaml_event_delete(&event);
		if (!key || !next_event(builder, &event))
			return false;
		value = compose(builder, &event, depth + 1);
		if (value && (!add_weight(builder, map, value, event.start_mark) ||
			      !add_weight(builder, map, key, event.start_mark)))
			value = NULL;
		yaml_event_delete(&event);
		if (!value)
			return false;
		pair->key = key->node.text;
		pair->value = &value->node;
		map->node.count++;
	}
}

static int compare_pairs(const void *left, const void *right)
{
	const struct yaml_tree_pair *a = *(const struct yaml_tree_pair *const *)left;
	const struct yaml_tree_pair *b = *(const struct yaml_tree_pair *const *)right;
	int order = strcmp(a->key, b->key);

	return order ? order : (a > b) - (a < b);
}

/* Reports keys that come twice and removes all but the first.  By sorting, since a map may have many thousand keys. */
static void remove_duplicates(struct builder *builder, struct yaml_tree_node *map)
{
	struct yaml_tree_pair **sorted;
	const struct yaml_tree_pair *first;
	size_t kept = 0;

	if (map->count < 2)
		return;
	sorted = allocate_zeroed(map->count, sizeof(sorted[0]));
	for (size_t i = 0; i < map->count; i++)
		sorted[i] = &map->pairs[i];
	qsort(sorted, map->count, sizeof(sorted[0]), compare_pairs);
	first = sorted[0];
	for (size_t i = 1; i < map->count; i++) {
		if (strcmp(first->key, sorted[i]->key)) {
			first = sorted[i];
			continue;
		}
		yaml_reader_error(builder->reader, sorted[i]->key_mark, "key \"%s\" is given twice", sorted[i]->key);
		yaml_reader_help(builder->reader, "it is given first in line %u", first->key_mark.line);
		sorted[i]->value = NULL;
	}
	free(sorted);
	for (size_t i = 0; i < map->count; i++)
		if (map->pairs[i].value)
			map->pairs[kept++] = map->pairs[i];
	map->count = kept;
}

static struct item *compose_collection(struct builder *builder, const yaml_event_t *event, unsigned int depth)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *anchor = is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
	struct item *item;

	if (depth == YAML_TREE_DEPTH_MAX) {
		yaml_reader_error(builder->reader, mark_of(event->start_mark), "nested more than %u deep",
				  YAML_TREE_DEPTH_MAX);
		return NULL;
	}
	item = new_item(builder, is_map ? YAML_TREE_MAP : YAML_TREE_LIST, event->start_mark, NULL);
	if (anchor && !add_anchor(builder, (const char *)anchor, item, true))
		return NULL;
	if (is_map ? !compose_map(builder, item, depth) : !compose_list(builder, item, depth))
		return NULL;
	if (anchor)
		close_anchor(builder, item);
	if (is_map)
		remove_duplicates(builder, &item->node);
	return item;
}

/* Builds the node that begins with 'event'; returns NULL after reporting an error. */
static struct item *compose(struct builder *builder, const yaml_event_t *event, unsigned int depth)
{
	const yaml_char_t *tag = NULL;

	if (event->type == YAML_ALIAS_EVENT)
		return resolve_alias(builder, event);
	if (event->type == YAML_SCALAR_EVENT)
		tag = event->data.scalar.tag;
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		tag = event->data.sequence_start.tag;
	else
		tag = event->data.mapping_start.tag;
	if (tag) {
		yaml_reader_error(builder->reader, mark_of(event->start_mark), "tags (\"%s\") are not supported", tag);
		return NULL;
	}
	if (event->type == YAML_SCALAR_EVENT)
		return compose_scalar(builder, event);
	return compose_collection(builder, event, depth);
}

/* Reads the events around the document: exactly one of them. */
static bool compose_stream(struct builder *builder)
{
	bool good = true, had_document = false;
	yaml_event_t event;
	yaml_event_type_t type;

	do {
		if (!next_event(builder, &event))
			return false;
		type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && had_document) {
			yaml_reader_error(builder->reader, mark_of(event.start_mark), "a second document in one file");
			yaml_reader_help(builder->reader, "one file holds one document; remove what follows \"---\"");
			good = false;
		} else if (type == YAML_DOCUMENT_START_EVENT) {
			had_document = true;
		} else if (type == YAML_STREAM_END_EVENT && !had_document) {
			yaml_reader_error(builder->reader, (struct yaml_mark){1, 1}, "the file is empty");
			good = false;
		} else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
			   type != YAML_DOCUMENT_END_EVENT) {
			builder->tree->root = compose(builder, &event, 0);
			good = builder->tree->root != NULL;
		}
		yaml_event_delete(&event);
	} while (good && type != YAML_STREAM_END_EVENT);
	return good;
}

struct yaml_tree *yaml_tree_read(const char *text, size_t size, struct yaml_reader *reader)
{
	struct builder builder = {.reader = reader, .text = text, .size = size};
	bool good;

	if (!yaml_text_check(text, size, reader))
		return NULL;
	/* libyaml takes the mark for a character when it is told of the encoding. */
	if (size >= strlen(BYTE_ORDER_MARK) && !memcmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK))) {
		builder.text += strlen(BYTE_ORDER_MARK);
		builder.size -= strlen(BYTE_ORDER_MARK);
	}
	if (!yaml_parser_initialize(&builder.parser)) {
		yaml_reader_error(reader, (struct yaml_mark){0}, "out of memory");
		return NULL;
	}
	builder.tree = allocate_zeroed(1, sizeof(*builder.tree));
	yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&builder.parser, (const unsigned char *)builder.text, builder.size);
	good = compose_stream(&builder);
	yaml_parser_delete(&builder.parser);
	for (size_t i = 0; i < builder.anchor_count; i++)
		free(builder.anchors[i].name);
	free(builder.anchors);
	if (good)
		return builder.tree;
	yaml_tree_free(builder.tree);
	return NULL;
}

void yaml_tree_free(struct yaml_tree *tree)
{
	if (!tree)
		return;
	while (tree->items) {
		struct item *item = tree->items;

		tree->items = item->next;
		free(item->node.items);
		free(item->node.pairs);
		free(item->text);
		free(item);
	}
	free(tree);
}

const struct yaml_tree_node *yaml_tree_root(const struct yaml_tree *tree)
{
	return &tree->root->node;
}

const struct yaml_tree_pair *yaml_tree_find(const struct yaml_tree_node *map, const char *key)
{
	for (size_t i = 0; map->type == YAML_TREE_MAP && i < map->count; i++)
		if (!strcmp(map->pairs[i].key, key))
			return &map->pairs[i];
	return NULL;
}

const char *yaml_tree_type_name(const struct yaml_tree_node *node)
{
	switch (node->type) {
	case YAML_TREE_NULL:
		return "an empty value";
	case YAML_TREE_SCALAR:
		return "text";
	case YAML_TREE_LIST:
		return "a list";
	case YAML_TREE_MAP:
		return "a map";
	}
	return "";
}
