/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_YAML_TREE_H
#define NETLAB_YAML_TREE_H 1

/* YAML as a tree
 * ==============
 *
 * Turns one YAML document into nodes that know their line and column, for files people write: topology.yaml and
 * image.yaml.  What is read is the part of YAML that says one thing in one way: maps with plain keys, lists and
 * scalars, in UTF-8.  Anchors and aliases work.  Errors, each with its place: duplicate keys, several documents,
 * tags, merge keys ("<<"), an alias inside its own anchor, more than YAML_TREE_ANCHORS_MAX anchors, nesting beyond
 * YAML_TREE_DEPTH_MAX, more than YAML_TREE_NODES_MAX nodes, control characters, bytes that are not UTF-8.  In the
 * number of nodes, aliases count as what they stand for, and long texts as one more for each YAML_TREE_TEXT_UNIT bytes.
 *
 * Nodes are shared: an alias is the same node as its anchor.  So walk a tree only for what you look for, or
 * know that no walk meets more than YAML_TREE_NODES_MAX nodes.
 *
 * Thread-safety: a tree is read-only once built; yaml_tree_read() may run in several threads at once with
 * different readers. */

#include <stdbool.h>
#include <stddef.h>

#include "netlab/yaml_reader.h"

#define YAML_TREE_DEPTH_MAX 32u
#define YAML_TREE_NODES_MAX 500000u
#define YAML_TREE_TEXT_UNIT 64u
#define YAML_TREE_ANCHORS_MAX 250u

enum yaml_tree_type {
	YAML_TREE_NULL, /* Nothing, "~" or "null", without quotes. */
	YAML_TREE_SCALAR,
	YAML_TREE_LIST,
	YAML_TREE_MAP,
};

struct yaml_tree_pair {
	const char *key;
	struct yaml_mark key_mark;
	const struct yaml_tree_node *value; /* Never NULL. */
};

struct yaml_tree_node {
	enum yaml_tree_type type;
	struct yaml_mark mark;               /* Of the first character; of the anchor's node for an alias. */
	const char *text;                    /* YAML_TREE_SCALAR: no NUL within; "" for YAML_TREE_NULL. */
	bool plain;                          /* YAML_TREE_SCALAR: written without quotes and not as a block. */
	size_t count;                        /* Items or pairs. */
	const struct yaml_tree_node **items; /* YAML_TREE_LIST. */
	struct yaml_tree_pair *pairs;        /* YAML_TREE_MAP, in file order, each key once. */
};

struct yaml_tree;

/* Reads the 'size' bytes at 'text', reporting errors to 'reader'.  Returns the tree, to be freed with yaml_tree_free(),
 * or NULL when the text is not acceptable YAML.  Duplicate keys alone are reported but leave a tree, in
 * which the first one stands, so that the caller can go on to find more errors. */
struct yaml_tree *yaml_tree_read(const char *text, size_t size, struct yaml_reader *reader);

void yaml_tree_free(struct yaml_tree *tree);

/* The document's outermost node; never NULL. */
const struct yaml_tree_node *yaml_tree_root(const struct yaml_tree *tree);

/* Returns the pair with 'key' in 'map', or NULL when there is none or 'map' is not a map. */
const struct yaml_tree_pair *yaml_tree_find(const struct yaml_tree_node *map, const char *key);

/* "an empty value", "text", "a list" or "a map", for messages. */
const char *yaml_tree_type_name(const struct yaml_tree_node *node);

#endif /* yaml_tree.h */
