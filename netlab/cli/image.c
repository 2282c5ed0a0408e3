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
#include "netlab/image.h"

/* netlab image: lists images, and has them built by scripts/image-build. */

char *cli_image_builder(void)
{
	char *folder = cli_program_folder();
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
	char *pattern = allocate_text("%.*s/images/*/kernel.config",
				      builder ? (int)(strrchr(builder, '/') - builder) : 0, builder ? builder : "");
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

static int list(const struct cli *cli)
{
	json_t *images = all_images();

	if (cli->json)
		cli_put_json(images);
	else
		put_table(images);
	json_decref(images);
	return 0;
}

int cli_image(struct cli *cli, int argc, char **argv)
{
	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind == 1 && !strcmp(argv[optind], "list"))
		return list(cli);
	if (argc - optind == 2 && !strcmp(argv[optind], "build"))
		return build(argv[optind + 1]);
	return cli_usage(cli, "\"list\" or \"build NAME\" is needed");
}
