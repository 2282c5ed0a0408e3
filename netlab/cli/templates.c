/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/templates.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "core/loop.h"
#include "netlab/cli/table.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/template.h"

/* "image warm" makes templates with up to so many. */
#define WARM_NICS 2

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* Whether a guest of that image, with that memory and CPUs, would go on from it today. */
static bool is_stale(const json_t *template, int kvm, const struct host_profile *host)
{
	struct error error;
	struct image *image = image_load(cli_string(template, "image"), &error);
	struct guest_options options = {.image = image,
					.memory = (uint64_t)number(template, "memory"),
					.cpus = (unsigned int)number(template, "cpus"),
					.nics = (unsigned int)number(template, "nics"),
					.kvm_fd = kvm,
					.host = host};
	char key[TEMPLATE_KEY_SIZE];
	bool stale = !image || template_key(&options, key, &error) < 0 || strcmp(key, cli_string(template, "key")) != 0;

	image_free(image);
	return stale;
}

json_t *templates_read(void)
{
	json_t *templates = template_list();
	struct host_profile host;
	struct error error;
	int kvm = host_probe(&host, &error);

	for (size_t i = 0; i < json_array_size(templates); i++) {
		json_t *template = json_array_get(templates, i);

		json_object_set_new(template, "stale",
				    kvm < 0 ? json_null() : json_boolean(is_stale(template, kvm, &host)));
	}
	if (kvm >= 0)
		close(kvm);
	return templates;
}

void templates_print(const json_t *templates)
{
	static const char *const heads[] = {"TEMPLATE OF", "MEMORY", "CPUS", "NICS", "ON DISK", "LAST USED", ""};
	struct table table = {.columns = 7, .right = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4};
	char memory[32], size[32], used[32];

	if (json_array_size(templates) == 0)
		return;
	for (size_t i = 0; i < table.columns; i++)
		table_add(&table, "%s", heads[i]);
	for (size_t i = 0; i < json_array_size(templates); i++) {
		const json_t *template = json_array_get(templates, i);
		time_t time = (time_t)number(template, "used");
		struct tm local;

		strftime(used, sizeof(used), "%Y-%m-%d %H:%M", localtime_r(&time, &local));
		table_add(&table, "%s", cli_string(template, "image"));
		table_add(&table, "%s", cli_size(number(template, "memory"), memory));
		table_add(&table, "%lld", (long long)number(template, "cpus"));
		table_add(&table, "%lld", (long long)number(template, "nics"));
		table_add(&table, "%s", cli_size(number(template, "size"), size));
		table_add(&table, "%s", used);
		table_add(&table, "%s", json_is_true(json_object_get(template, "stale")) ? "stale" : "");
	}
	putchar('\n');
	table_print(&table, stdout, 0);
}

int templates_prune(const struct cli *cli)
{
	json_t *templates, *removed;
	struct host_profile host;
	struct error error = {.class = ERROR_NONE};
	int kvm = host_probe(&host, &error);
	json_int_t size = 0;
	char text[32];

	/* Without it nobody knows which are stale. */
	if (kvm < 0)
		return cli_fail(&error);
	close(kvm);
	templates = templates_read();
	removed = json_array();
	template_forget_hopeless();
	for (size_t i = 0; i < json_array_size(templates); i++) {
		json_t *template = json_array_get(templates, i);

		if (!json_is_true(json_object_get(template, "stale")) ||
		    template_remove(cli_string(template, "key")) < 0)
			continue;
		size += number(template, "size");
		json_array_append(removed, template);
	}
	if (cli->json)
		cli_put_json(removed);
	else if (json_array_size(removed) > 0)
		printf("%zu stale template%s removed, %s.\n", json_array_size(removed),
		       json_array_size(removed) == 1 ? "" : "s", cli_size(size, text));
	else
		puts("No template is stale.");
	json_decref(removed);
	json_decref(templates);
	return 0;
}

/* Making one. */

struct warming {
	struct loop *loop;
	bool done;
	char failure[1024];
};

static void made(void *opaque, struct template *template, const char *failure)
{
	struct warming *warming = opaque;

	warming->done = template != NULL;
	snprintf(warming->failure, sizeof(warming->failure), "%s", failure);
	template_close(template);
	loop_stop(warming->loop);
}

static int make(const struct guest_options *options, const char *key, struct error *error)
{
	struct warming warming = {.loop = options->control};

	if (!template_make(options, key, made, &warming, error))
		return -EIO;
	loop_run(warming.loop);
	return warming.done ? 0 :
			      error_set(error, ERROR_FAILED, EIO, "no template of image %s: %s", options->image->name,
					warming.failure);
}

/* Makes the template for guests with these options, unless it is there, and appends it to 'answer'. */
static int warm_one(const struct cli *cli, const struct guest_options *options, json_t *answer, struct error *error)
{
	struct template *template;
	char key[TEMPLATE_KEY_SIZE], text[32];
	long long started = cli_milliseconds();
	bool was_there;

	if (template_key(options, key, error) < 0)
		return -EIO;
	template = template_open(key, options->memory, error);
	was_there = template != NULL;
	template_close(template);
	if (!was_there && !cli->json) {
		printf("Template of image %s, %s, %u NIC%s ... ", options->image->name,
		       cli_size((json_int_t)options->memory, text), options->nics, options->nics == 1 ? "" : "s");
		fflush(stdout);
	}
	if (!was_there && make(options, key, error) < 0) {
		if (!cli->json)
			puts("failed");
		return -EIO;
	}
	if (!was_there && !cli->json)
		printf("made in %s\n", cli_duration((double)(cli_milliseconds() - started) / 1000, text));
	json_array_append_new(answer, json_pack("{s:s, s:s, s:i, s:b}", "key", key, "image", options->image->name,
						"nics", (int)options->nics, "made", !was_there));
	return 0;
}

/* Those that most nodes need. */
static int warm(const struct cli *cli, struct guest_options *options, struct error *error)
{
	json_t *answer = json_array();
	int result = 0;

	for (options->nics = 0; result == 0 && options->nics <= WARM_NICS; options->nics++)
		result = warm_one(cli, options, answer, error);
	if (result == 0 && cli->json)
		cli_put_json(answer);
	else if (result == 0)
		printf("The templates of image %s are there.\n", options->image->name);
	json_decref(answer);
	return result;
}

int templates_warm(const struct cli *cli, const char *name, uint64_t memory, unsigned int cpus)
{
	struct error error = {.class = ERROR_NONE};
	struct image *image = image_load(name, &error);
	struct host_profile host;
	struct guest_options options = {.image = image, .kvm_fd = -1, .host = &host};
	int result = -EIO;

	if (!image)
		return cli_fail(&error);
	options.memory = memory ? memory : image->memory;
	options.cpus = cpus ? cpus : image->cpus;
	options.kvm_fd = host_probe(&host, &error);
	options.control = options.kvm_fd >= 0 ? loop_create(&error) : NULL;
	if (options.control)
		result = warm(cli, &options, &error);
	loop_destroy(options.control);
	if (options.kvm_fd >= 0)
		close(options.kvm_fd);
	image_free(image);
	return result < 0 ? cli_fail(&error) : 0;
}
