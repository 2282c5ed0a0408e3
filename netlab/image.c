/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/image.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/topology.h"
#include "netlab/topology_units.h"
#include "netlab/yaml_tree.h"

static const char *const image_keys[] = {"description", "kernel", "initramfs", "disk", "cmdline", "memory", "cpus"};

size_t image_folders(char *folders[IMAGE_FOLDERS_MAX])
{
	static const char *const system_folders[] = {
#ifdef DATADIR
		DATADIR,
#endif
		"/usr/local/share",
		"/usr/share",
	};
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	size_t count = 0;

	if (data && data[0] == '/')
		folders[count++] = allocate_text("%s/netlab-kvm/images", data);
	else if (home && home[0])
		folders[count++] = allocate_text("%s/.local/share/netlab-kvm/images", home);
	for (size_t i = 0; i < sizeof(system_folders) / sizeof(system_folders[0]); i++) {
		char *folder = allocate_text("%s/netlab-kvm/images", system_folders[i]);
		bool is_new = true;

		for (size_t j = 0; j < count; j++)
			if (!strcmp(folders[j], folder))
				is_new = false;
		if (is_new)
			folders[count++] = folder;
		else
			free(folder);
	}
	return count;
}

static void set_missing(const char *name, char *const *folders, size_t count, struct error *error)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return;
	fprintf(stream, "there is no image \"%s\"; looked in", name);
	for (size_t i = 0; i < count; i++)
		fprintf(stream, "\n  %s", folders[i]);
	if (!strcmp(name, "lab"))
		fprintf(stream, "\nBuild it with \"netlab image build lab\" (or \"make image\" in netlab's source).");
	else
		fprintf(stream,
			"\n\"netlab image build %s\" builds it, if it is one of netlab's; else make a folder %s/%s with "
			"an image.yaml.",
			name, count ? folders[0] : "...", name);
	fclose(stream);
	error_set(error, ERROR_HOST, ENOENT, "%s", text);
	free(text);
}

/* Returns the path that 'node' says, relative to the image's folder, or NULL after reporting an error. */
static char *read_path(struct yaml_reader *reader, const struct image *image, const struct yaml_tree_node *node,
		       const char *what)
{
	const char *text = yaml_reader_text(reader, node, what);
	char *path;

	if (!text)
		return NULL;
	if (!text[0]) {
		yaml_reader_error(reader, node->mark, "%s is empty", what);
		return NULL;
	}
	path = text[0] == '/' ? allocate_copy(text) : allocate_text("%s/%s", image->folder, text);
	if (access(path, R_OK) < 0) {
		yaml_reader_error(reader, node->mark, "cannot read the %s %s: %s", what, path, strerror(errno));
		free(path);
		return NULL;
	}
	return path;
}

static void read_initramfs(struct yaml_reader *reader, struct image *image, const struct yaml_tree_node *value)
{
	const struct yaml_tree_node *const *items = value->type == YAML_TREE_LIST ? value->items : &value;
	size_t count = value->type == YAML_TREE_LIST ? value->count : 1;

	if (count > IMAGE_INITRAMFS_MAX) {
		yaml_reader_error(reader, value->mark, "an initramfs has at most %u parts", IMAGE_INITRAMFS_MAX);
		return;
	}
	image->initramfs = allocate_zeroed(count, sizeof(*image->initramfs));
	for (size_t i = 0; i < count; i++) {
		char *path = read_path(reader, image, items[i], "initramfs");

		if (path)
			image->initramfs[image->initramfs_count++] = path;
	}
}

static void read_memory(struct yaml_reader *reader, struct image *image, const struct yaml_tree_node *value)
{
	const char *text = yaml_reader_text(reader, value, "memory");
	const char *wrong;

	if (!text)
		return;
	wrong = topology_parse_size(text, &image->memory);
	if (wrong)
		yaml_reader_error(reader, value->mark, "memory \"%s\" %s", text, wrong);
	else if (image->memory < TOPOLOGY_MEMORY_MIN || image->memory > TOPOLOGY_MEMORY_MAX)
		yaml_reader_error(reader, value->mark, "memory must be from %lluM to %lluM",
				  (unsigned long long)TOPOLOGY_MEMORY_MIN >> 20,
				  (unsigned long long)TOPOLOGY_MEMORY_MAX >> 20);
}

static void read_text(struct yaml_reader *reader, const struct yaml_tree_node *root, const char *key, char **to)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(root, key);
	const char *text = pair && pair->value->type != YAML_TREE_NULL ? yaml_reader_text(reader, pair->value, key) :
									 NULL;

	*to = allocate_copy(text ? text : "");
}

static void read_image(struct yaml_reader *reader, struct image *image, const struct yaml_tree_node *root)
{
	struct yaml_mark start = {1, 1};
	const struct yaml_tree_pair *pair;
	unsigned long cpus;

	if (root->type != YAML_TREE_MAP) {
		yaml_reader_error(reader, start, "an image.yaml is a map, with at least the key \"kernel\"");
		return;
	}
	yaml_reader_check_keys(reader, root, "image.yaml", image_keys, sizeof(image_keys) / sizeof(image_keys[0]));
	pair = yaml_tree_find(root, "kernel");
	if (pair)
		image->kernel = read_path(reader, image, pair->value, "kernel");
	else
		yaml_reader_error(reader, start, "the key \"kernel\" is missing");
	pair = yaml_tree_find(root, "initramfs");
	if (pair && pair->value->type != YAML_TREE_NULL)
		read_initramfs(reader, image, pair->value);
	pair = yaml_tree_find(root, "disk");
	if (pair && pair->value->type != YAML_TREE_NULL)
		image->disk = read_path(reader, image, pair->value, "disk");
	pair = yaml_tree_find(root, "memory");
	if (pair)
		read_memory(reader, image, pair->value);
	pair = yaml_tree_find(root, "cpus");
	if (pair && yaml_reader_number(reader, pair->value, "cpus", 1, TOPOLOGY_CPUS_MAX, &cpus))
		image->cpus = (unsigned int)cpus;
	read_text(reader, root, "description", &image->description);
	read_text(reader, root, "cmdline", &image->cmdline);
}

/* Reads and parses the file, with errors as text to 'errors'.  Returns false if there were any. */
static bool read_file(struct image *image, FILE *file, const char *path, FILE *errors)
{
	struct yaml_reader reader = {.file = path, .errors = errors};
	char *text = allocate_zeroed(IMAGE_FILE_SIZE_MAX + 1, 1);
	size_t size = fread(text, 1, IMAGE_FILE_SIZE_MAX + 1, file);
	struct yaml_tree *tree = NULL;

	if (ferror(file))
		yaml_reader_error(&reader, (struct yaml_mark){0, 0}, "cannot read the file");
	else if (size > IMAGE_FILE_SIZE_MAX)
		yaml_reader_error(&reader, (struct yaml_mark){0, 0}, "larger than %u bytes", IMAGE_FILE_SIZE_MAX);
	else
		tree = yaml_tree_read(text, size, &reader);
	if (tree)
		read_image(&reader, image, yaml_tree_root(tree));
	yaml_tree_free(tree);
	free(text);
	return reader.error_count == 0;
}

/* Reads the image in 'folder'; '*found' says whether there is one. */
static struct image *load_from(const char *folder, const char *name, bool *found, struct error *error)
{
	char *path = allocate_text("%s/%s/image.yaml", folder, name);
	FILE *file = fopen(path, "re");
	struct image *image = NULL;
	char *text = NULL;
	size_t size;
	FILE *errors;

	*found = file || (errno != ENOENT && errno != ENOTDIR);
	if (!file) {
		error_set(error, ERROR_HOST, errno, "cannot open %s: %s", path, strerror(errno));
		free(path);
		return NULL;
	}
	image = allocate_zeroed(1, sizeof(*image));
	image->name = allocate_copy(name);
	image->folder = allocate_text("%s/%s", folder, name);
	image->memory = IMAGE_DEFAULT_MEMORY;
	image->cpus = IMAGE_DEFAULT_CPUS;
	errors = open_memstream(&text, &size);
	if (!errors || !read_file(image, file, path, errors)) {
		if (errors)
			fclose(errors);
		error_set(error, ERROR_HOST, EINVAL, "image \"%s\" is broken:\n%s%s", name, text ? text : "",
			  strcmp(name, "lab") ? "" : "Build it anew with \"netlab image build lab\".");
		image_free(image);
		image = NULL;
	} else {
		fclose(errors);
	}
	free(text);
	fclose(file);
	free(path);
	return image;
}

struct image *image_load(const char *name, struct error *error)
{
	char *folders[IMAGE_FOLDERS_MAX];
	const char *wrong = topology_check_name(name);
	struct image *image = NULL;
	bool found = false;
	size_t count;

	if (wrong) {
		error_set(error, ERROR_USAGE, EINVAL, "image \"%s\" %s", name, wrong);
		return NULL;
	}
	count = image_folders(folders);
	for (size_t i = 0; i < count && !found; i++)
		image = load_from(folders[i], name, &found, error);
	if (!found)
		set_missing(name, folders, count, error);
	for (size_t i = 0; i < count; i++)
		free(folders[i]);
	return image;
}

void image_free(struct image *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < image->initramfs_count; i++)
		free(image->initramfs[i]);
	free(image->initramfs);
	free(image->disk);
	free(image->name);
	free(image->folder);
	free(image->description);
	free(image->kernel);
	free(image->cmdline);
	free(image);
}
