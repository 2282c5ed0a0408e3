/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/memory.h"
#include "netlab/agent.h"
#include "netlab/allocate.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/json_text.h"
#include "netlab/template.h"
#include "netlab/template_internal.h"

/* Theory of operation
 * -------------------
 *      lock -> boot -> greeting -> a moment's rest -> pause -> save -> rename -> stop -> made
 *
 * The lock is tried now and then, since waiting for it would hold up the loop; when it is had, another maker may have
 * made the template, which is then opened instead.  The rest lets init and agent come to where they wait for something
 * to do: what they still do when they are saved, each clone does again.
 *
 * Whatever ends the work ends the machine, and its end is where everything is told and freed. */

#define LOCK_INTERVAL 100000000ull
#define REST 150000000ull

struct template_maker {
	struct guest_options options;
	char key[TEMPLATE_KEY_SIZE];
	template_made *made;
	void *opaque;
	int folder, lock;
	struct loop_timer timer; /* The lock, then the rest. */
	struct guest *guest;
	char *log; /* TEMPLATE_LOG_MAX bytes. */
	size_t log_size;
	bool ended;  /* finish() was posted. */
	bool paused; /* Its machine is, or will be. */
	struct template *template;
	char failure[1024];
};

__attribute__((format(printf, 2, 3))) static void fail(struct template_maker *maker, const char *format, ...)
{
	va_list arguments;

	if (maker->failure[0])
		return; /* The first one is the cause of the others. */
	va_start(arguments, format);
	vsnprintf(maker->failure, sizeof(maker->failure), format, arguments);
	va_end(arguments);
}

/* loop_function: the last of it. */
static void finish(void *opaque)
{
	struct template_maker *maker = opaque;

	maker->ended = true; /* Its agent is lost as it is destroyed, which is no news. */
	guest_destroy(maker->guest);
	loop_timer_cancel(maker->options.control, &maker->timer);
	if (maker->lock >= 0)
		close(maker->lock);
	if (maker->folder >= 0)
		close(maker->folder);
	if (!maker->template)
		fail(maker, "nothing came of it");
	maker->made(maker->opaque, maker->template, maker->template ? "" : maker->failure);
	free(maker->log);
	free(maker);
}

/* Ends the machine, if there is one, and so all. */
static void end(struct template_maker *maker)
{
	if (maker->guest && !maker->ended)
		machine_stop(maker->guest->machine);
	else if (!maker->ended)
		loop_post(maker->options.control, finish, maker);
	maker->ended = maker->ended || !maker->guest;
}

void template_maker_stop(struct template_maker *maker)
{
	fail(maker, "it was stopped");
	loop_timer_cancel(maker->options.control, &maker->timer);
	end(maker);
}

/* Saving. */

static int write_memory(const struct template_maker *maker, int folder, struct error *error)
{
	int fd = openat(folder, "memory", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	int result;

	if (fd < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot write a guest's memory: %s", strerror(errno));
	result = guest_memory_write(machine_memory(maker->guest->machine), fd, error);
	if (result == 0 && fsync(fd) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write a guest's memory: %s", strerror(errno));
	close(fd);
	return result;
}

static int write_state(const struct template_maker *maker, int folder, struct error *error)
{
	const char *greeting = agent_greeting(maker->guest->agent);
	struct state state = {0};
	int result;

	state_put(&state, TEMPLATE_TAG_GREETING, greeting, strlen(greeting));
	state_put(&state, TEMPLATE_TAG_LOG, maker->log, maker->log_size);
	result = machine_save(maker->guest->machine, &state, error);
	if (result == 0)
		result = state_write(&state, folder, "state", error);
	state_release(&state);
	return result;
}

static void write_about(const struct template_maker *maker, int folder)
{
	struct utsname kernel;
	json_t *about;
	int fd = openat(folder, "about", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	uname(&kernel);
	about = json_pack("{s:o, s:I, s:i, s:o}", "image", json_text(maker->options.image->name), "memory",
			  (json_int_t)maker->options.memory, "cpus", (int)maker->options.cpus, "kernel",
			  json_text(kernel.release));
	if (fd >= 0 && about)
		json_dumpfd(about, fd, JSON_COMPACT);
	json_decref(about);
	if (fd >= 0)
		close(fd);
}

/* All of it under another name, and then under its own. */
static int save(struct template_maker *maker, struct error *error)
{
	char *name = allocate_text("%s.new", maker->key), key[TEMPLATE_KEY_SIZE];
	int folder = -1, result = template_key(&maker->options, key, error);

	if (result == 0 && strcmp(key, maker->key) != 0)
		result = error_set(error, ERROR_FAILED, ESTALE, "its image changed meanwhile");
	template_remove_folder(maker->folder, name);
	if (result == 0 && (mkdirat(maker->folder, name, 0700) < 0 ||
			    (folder = openat(maker->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0))
		result = error_set(error, ERROR_FAILED, errno, "cannot make a folder for it: %s", strerror(errno));
	if (result == 0)
		result = write_memory(maker, folder, error);
	if (result == 0)
		result = write_state(maker, folder, error);
	if (result == 0) {
		write_about(maker, folder);
		fsync(folder);
		template_remove_folder(maker->folder, maker->key); /* One that was of no use. */
		if (renameat(maker->folder, name, maker->folder, maker->key) < 0)
			result = error_set(error, ERROR_FAILED, errno, "cannot put it in its place: %s",
					   strerror(errno));
	}
	if (folder >= 0)
		close(folder);
	if (result < 0)
		template_remove_folder(maker->folder, name);
	free(name);
	return result;
}

/* In the control loop: the machine is paused. */
static void on_paused(void *opaque)
{
	struct template_maker *maker = opaque;
	struct error error = {.class = ERROR_NONE};

	/* What devices still write belongs to the memory that is saved. */
	machine_drain(maker->guest->machine);
	if (save(maker, &error) == 0) {
		template_tidy(maker->folder);
		maker->template = template_open(maker->key, maker->options.memory, &error);
	}
	if (!maker->template)
		fail(maker, "%s", error.text);
	end(maker);
}

/* loop_timer: it has rested. */
static void pause_machine(void *opaque)
{
	struct template_maker *maker = opaque;

	maker->paused = true;
	machine_pause(maker->guest->machine, on_paused, maker);
}

/* The guest. */

static void on_greeted(void *opaque)
{
	struct template_maker *maker = opaque;

	if (maker->paused)
		return;
	maker->timer.function = pause_machine;
	loop_timer_set(maker->options.control, &maker->timer, loop_now() + REST);
}

static void on_lost(void *opaque, const char *reason)
{
	struct template_maker *maker = opaque;

	if (maker->ended)
		return;
	fail(maker, "its agent was lost%s%s", reason[0] ? ": " : "", reason);
	template_maker_stop(maker);
}

static void on_logged(void *opaque, const char *text, size_t size)
{
	struct template_maker *maker = opaque;
	size_t room = TEMPLATE_LOG_MAX - maker->log_size, part = size < room ? size : room;

	memcpy(maker->log + maker->log_size, text, part);
	maker->log_size += part;
}

static void on_console(void *opaque, const uint8_t *data, size_t size)
{
	(void)opaque;
	(void)data;
	(void)size;
}

static void on_ended(void *opaque, enum machine_end machine_end, const char *reason)
{
	struct template_maker *maker = opaque;

	if (machine_end != MACHINE_STOPPED)
		fail(maker, "its machine ended while it booted%s%s", reason[0] ? ": " : "", reason);
	finish(maker);
}

static const struct guest_ops guest_ops = {.logged = on_logged,
					   .console = on_console,
					   .greeted = on_greeted,
					   .lost = on_lost,
					   .ended = on_ended};

/* loop_timer: no agent greeted. */
static void give_up(void *opaque)
{
	struct template_maker *maker = opaque;

	fail(maker, "no agent of the image greeted within %d s", TEMPLATE_PATIENCE);
	template_set_hopeless(maker->folder, maker->key);
	template_maker_stop(maker);
}

/* loop_timer: looks for the lock. */
static void begin(void *opaque)
{
	struct template_maker *maker = opaque;
	struct error error = {.class = ERROR_NONE};

	if (flock(maker->lock, LOCK_EX | LOCK_NB) < 0) {
		loop_timer_set(maker->options.control, &maker->timer, loop_now() + LOCK_INTERVAL);
		return;
	}
	maker->template = template_open(maker->key, maker->options.memory, &error);
	if (!maker->template && template_is_hopeless(maker->folder, maker->key)) {
		fail(maker, "no agent of the image greeted when another process made one");
	} else if (!maker->template) {
		maker->guest = guest_create(&maker->options, &guest_ops, maker, &error);
		if (maker->guest && guest_start(maker->guest, &error) == 0) {
			maker->timer.function = give_up;
			loop_timer_set(maker->options.control, &maker->timer,
				       loop_now() + TEMPLATE_PATIENCE * 1000000000ull);
			return;
		}
		guest_destroy(maker->guest);
		maker->guest = NULL;
		fail(maker, "%s", error.text);
	}
	end(maker);
}

struct template_maker *template_make(const struct guest_options *options, const char *key, template_made *made,
				     void *opaque, struct error *error)
{
	struct template_maker *maker = calloc(1, sizeof(*maker));
	char *lock = allocate_text("%s.lock", key);

	if (maker)
		maker->log = malloc(TEMPLATE_LOG_MAX);
	if (!maker || !maker->log) {
		free(maker);
		free(lock);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	maker->options = *options;
	maker->options.name = "template";
	maker->options.template = NULL;
	memcpy(maker->key, key, TEMPLATE_KEY_SIZE);
	maker->made = made;
	maker->opaque = opaque;
	maker->lock = -1;
	maker->timer = (struct loop_timer){.function = begin, .opaque = maker};
	maker->folder = template_folder(error);
	if (maker->folder >= 0 && template_is_hopeless(maker->folder, key))
		errno = ECANCELED;
	else if (maker->folder >= 0)
		maker->lock = openat(maker->folder, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	free(lock);
	if (maker->lock < 0) {
		if (maker->folder >= 0) {
			if (errno == ECANCELED)
				error_set(error, ERROR_HOST, errno,
					  "no agent of the image greeted when one was to be made; \"netlab image "
					  "prune\" has it tried again");
			else
				error_set(error, ERROR_HOST, errno, "cannot lock a template: %s", strerror(errno));
			close(maker->folder);
		}
		free(maker->log);
		free(maker);
		return NULL;
	}
	loop_timer_set(options->control, &maker->timer, loop_now());
	return maker;
}
