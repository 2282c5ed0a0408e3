/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/table.h"
#include "netlab/cli/templates.h"
#include "netlab/image.h"
#include "netlab/program.h"
#include "netlab/topology.h"
#include "netlab/topology_units.h"

/* netlab image: lists images, and has them built by scripts/image-build. */

char *cli_image_builder(void)
{
	char *folder = program_folder();
	char *path = allocate_text("%s/../scripts/image-build", folder ? folder : ".");

	free(folder);
	if (access(path, X_OK) == 0)
		return path;
	free(path);
#ifdef DATADIR
	path = allocate_copy(DATADIR "/netlab-kvm/scripts/image-build");
	if (access(path, X_OK) == 0)
		return path;
	free(path);
#endif
	return NULL;
}

static int build(const char *name)
{
	char *path = cli_image_builder();

	if (!path) {
		cli_error("the script that builds images, image-build, is not installed; "
			  "run \"make image\" in netlab's source");
		return ERROR_HOST;
	}
	execl(path, path, name, (char *)NULL);
	cli_error("cannot run %s: %s", path, strerror(errno));
	free(path);
	return ERROR_FAILED;
}

static void add_image(json_t *list, const char *name)
{
	struct error error = {0};
	struct image *image = image_load(name, &error);

	/* The same name in a later folder is hidden by the first. */
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *known = json_array_get(list, i);

		if (!strcmp(cli_string(known, "name"), name))
			goto out;
	}
	if (image)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s, s:I, s:i}", "name", name, "description",
						image->description, "folder", image->folder, "kernel", image->kernel,
						"memory", (json_int_t)image->memory, "cpus", (int)image->cpus));
	else
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "error", error.text));
out:
	image_free(image);
}

static void add_folder(json_t *list, const char *folder)
{
	DIR *entries = opendir(folder);
	struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		char *path = allocate_text("%s/%s/image.yaml", folder, entry->d_name);

		if (entry->d_name[0] != '.' && access(path, F_OK) == 0)
			add_image(list, entry->d_name);
		free(path);
	}
	if (entries)
		closedir(entries);
}

static json_t *all_images(void)
{
	char *folders[IMAGE_FOLDERS_MAX];
	size_t count = image_folders(folders);
	json_t *images = json_array();

	for (size_t i = 0; i < count; i++) {
		add_folder(images, folders[i]);
		free(folders[i]);
	}
	return images;
}

void cli_recipe_names(void)
{
	char *builder = cli_image_builder();
	char *pattern = allocate_text("%.*s/images/*/packages", builder ? (int)(strrchr(builder, '/') - builder) : 0,
				      builder ? builder : "");
	glob_t found = {0};

	if (builder && glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			*strrchr(found.gl_pathv[i], '/') = '\0';
			puts(strrchr(found.gl_pathv[i], '/') + 1);
		}
	}
	globfree(&found);
	free(pattern);
	free(builder);
}

static void put_table(const json_t *list)
{
	struct table table = {.columns = 5, .right = 1u << 1 | 1u << 2};
	static const char *const heads[] = {"IMAGE", "MEMORY", "CPUS", "FOLDER", "DESCRIPTION"};
	char memory[32];

	if (!json_array_size(list)) {
		puts("There are no images yet; \"netlab image build lab\" builds the usual one.");
		return;
	}
	for (size_t i = 0; i < 5; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *image = json_array_get(list, i);
		const char *broken = cli_string(image, "error");

		table_add(&table, "%s", cli_string(image, "name"));
		table_add(&table, "%s", cli_size(json_integer_value(json_object_get(image, "memory")), memory));
		table_add(&table, "%lld", (long long)json_integer_value(json_object_get(image, "cpus")));
		table_add(&table, "%s", cli_string(image, "folder"));
		table_add(&table, "%s", broken[0] ? "broken, see below" : cli_string(image, "description"));
	}
	table_print(&table, stdout, 0);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *image = json_array_get(list, i);

		if (cli_string(image, "error")[0])
			cli_error("%s", cli_string(image, "error"));
	}
}

/* The image called 'name', or a new one that says it has gone: a template may outlive its image. */
static json_t *find_or_add(json_t *images, const char *name)
{
	json_t *image;

	for (size_t i = 0; i < json_array_size(images); i++) {
		image = json_array_get(images, i);
		if (!strcmp(cli_string(image, "name"), name))
			return image;
	}
	image = json_pack("{s:s, s:s, s:[]}", "name", name, "error", "the image has gone", "templates");
	json_array_append_new(images, image);
	return image;
}

/* Gives each image a member "templates". */
static void attach(json_t *images, const json_t *templates)
{
	for (size_t i = 0; i < json_array_size(images); i++)
		json_object_set_new(json_array_get(images, i), "templates", json_array());
	for (size_t i = 0; i < json_array_size(templates); i++) {
		json_t *template = json_array_get(templates, i);
		json_t *image = find_or_add(images, cli_string(template, "image"));

		json_array_append(json_object_get(image, "templates"), template);
	}
}

static int list(const struct cli *cli)
{
	json_t *images = all_images(), *templates = templates_read();

	if (cli->json) {
		attach(images, templates);
		cli_put_json(images);
	} else {
		put_table(images);
		templates_print(templates);
	}
	json_decref(images);
	json_decref(templates);
	return 0;
}

/* Reads --memory and --cpus.  Returns false after complaining. */
static bool read_size(const struct cli *cli, char option, const char *text, uint64_t *memory, unsigned int *cpus)
{
	const char *problem = option == 'm' ? topology_parse_size(text, memory) : NULL;
	char *end;

	if (problem) {
		cli_usage(cli, "--memory \"%s\" %s", text, problem);
		return false;
	}
	if (option == 'm')
		return true;
	*cpus = (unsigned int)strtoul(text, &end, 10);
	if (*end == '\0' && *cpus >= 1 && *cpus <= TOPOLOGY_CPUS_MAX)
		return true;
	cli_usage(cli, "--cpus takes a number from 1 to %d, not \"%s\"", TOPOLOGY_CPUS_MAX, text);
	return false;
}

int cli_image(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"memory", required_argument, NULL, 'm'},
						{"cpus", required_argument, NULL, 'c'},
						{NULL, 0, NULL, 0}};
	uint64_t memory = 0;
	unsigned int cpus = 0;
	const char *what;
	int option, left;

	while ((option = cli_option(cli, argc, argv, "", options)) != -1) {
		if (option == '?' || !read_size(cli, (char)option, optarg, &memory, &cpus))
			return ERROR_USAGE;
	}
	what = optind < argc ? argv[optind] : "";
	left = argc - optind - 1;
	if (left == 0 && !strcmp(what, "list"))
		return list(cli);
	if (left == 0 && !strcmp(what, "prune"))
		return templates_prune(cli);
	if (left == 1 && !strcmp(what, "build"))
		return build(argv[optind + 1]);
	if (left <= 1 && !strcmp(what, "warm"))
		return templates_warm(cli, left == 1 ? argv[optind + 1] : "lab", memory, cpus);
	return cli_usage(cli, "\"list\", \"build NAME\", \"warm [NAME]\" or \"prune\" is needed");
}
