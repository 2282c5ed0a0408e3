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
#include "devices/virtio_net.h"
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
 * One with NICs begins with another maker, of the one without; its guest goes on from that, and is told to find the
 * NICs before it rests.
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
	struct template_maker *base_maker;
	struct template *base; /* The one without NICs. */
	struct guest *guest;
	struct agent_channel *channel; /* That of warm(). */
	char *log;                     /* TEMPLATE_LOG_MAX bytes. */
	size_t log_size;
	bool ended;  /* finish() was posted. */
	bool paused; /* Its machine is, or will be. */
	bool stopped;
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
	if (!maker->template && !maker->stopped) {
		maker->template = maker->base;
		maker->base = NULL;
	}
	template_close(maker->base);
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

static void give_up(struct template_maker *maker)
{
	loop_timer_cancel(maker->options.control, &maker->timer);
	end(maker);
}

void template_maker_stop(struct template_maker *maker)
{
	fail(maker, "it was stopped");
	maker->stopped = true;
	if (maker->base_maker)
		template_maker_stop(maker->base_maker); /* made_base() goes on. */
	else
		give_up(maker);
}

/* Saving. */

static int write_memory(const struct template_maker *maker, int folder, struct error *error)
{
	const struct guest_memory *memory = machine_memory(maker->guest->machine);
	int fd = openat(folder, "memory", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	int result;

	if (fd < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot write a guest's memory: %s", strerror(errno));
	result = guest_memory_write_base(memory->base_fd, memory->size, fd, error);
	if (result == 0)
		result = guest_memory_write_rest(memory, fd, error);
	if (result == 0 && fsync(fd) < 0)
		result = error_set(error, ERROR_FAILED, errno, "cannot write a guest's memory: %s", strerror(errno));
	close(fd);
	return result;
}

static int write_state(const struct template_maker *maker, int folder, struct error *error)
{
	const char *greeting = agent_greeting(maker->guest->agent);
	const uint32_t nics = maker->options.nics;
	struct state state = {0};
	int result;

	state_put(&state, TEMPLATE_TAG_NICS, &nics, sizeof(nics));
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
	about = json_pack("{s:o, s:I, s:i, s:i, s:o}", "image", json_text(maker->options.image->name), "memory",
			  (json_int_t)maker->options.memory, "cpus", (int)maker->options.cpus, "nics",
			  (int)maker->options.nics, "kernel", json_text(kernel.release));
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

static void rest(struct template_maker *maker)
{
	maker->timer.function = pause_machine;
	loop_timer_set(maker->options.control, &maker->timer, loop_now() + REST);
}

static void drop_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct template_maker *maker = opaque;

	(void)is_error;
	(void)data;
	agent_channel_consumed(maker->channel, size);
}

static void on_warm(void *opaque, int status, int signal)
{
	struct template_maker *maker = opaque;

	(void)status;
	(void)signal;
	if (!maker->ended)
		rest(maker);
}

static const struct agent_channel_ops warm_ops = {.output = drop_output, .ended = on_warm};

/* Has in memory what the console's shell and the first commands of a node read from the disk: so much less for each
 * clone to read. An image that lacks one of these is not worse off. */
static void warm(struct template_maker *maker)
{
	static const char *const argv[] = {"sh", "-lc", "ip address; ip route; ls; ping; bird --version; true", NULL};

	maker->channel = agent_exec(maker->guest->agent, argv, NULL, NULL, &warm_ops, maker);
	if (maker->channel)
		agent_channel_end_input(maker->channel);
	else
		rest(maker);
}

static void on_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct template_maker *maker = opaque;

	(void)is_error;
	fail(maker, "its guest does not find its NICs: %.*s", (int)size, (const char *)data);
}

static void on_search_ended(void *opaque, int status, int signal)
{
	struct template_maker *maker = opaque;

	(void)signal;
	if (maker->ended)
		return;
	if (status == 0)
		warm(maker);
	else
		give_up(maker);
}

static const struct agent_channel_ops search_ops = {.output = on_output, .ended = on_search_ended};

/* Has the guest find its NICs.  They must be there when it is done, since nobody waits in its clones. */
static void find_nics(struct template_maker *maker)
{
	char text[64 * 32] = "rescan\n";
	uint8_t mac[6];
	size_t length = strlen(text);

	for (unsigned int i = 0; i < maker->options.nics; i++) {
		template_mac(i, mac);
		length += (size_t)snprintf(text + length, sizeof(text) - length, "park %02x:%02x:%02x:%02x:%02x:%02x\n",
					   mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	}
	if (!agent_configure(maker->guest->agent, text, &search_ops, maker))
		give_up(maker);
}

static void on_greeted(void *opaque)
{
	struct template_maker *maker = opaque;

	if (maker->paused)
		return;
	if (maker->options.nics > 0)
		find_nics(maker);
	else
		warm(maker);
}

static void on_lost(void *opaque, const char *reason)
{
	struct template_maker *maker = opaque;

	if (maker->ended)
		return;
	fail(maker, "its agent was lost%s%s", reason[0] ? ": " : "", reason);
	give_up(maker);
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
static void lose_patience(void *opaque)
{
	struct template_maker *maker = opaque;

	fail(maker, "no agent of the image %s within %d s", maker->base ? "found its NICs" : "greeted",
	     TEMPLATE_PATIENCE);
	if (!maker->base)
		template_set_hopeless(maker->folder, maker->key);
	give_up(maker);
}

/* Nobody is on the other end. */
static void on_transmit(void *opaque, const struct frame *frame)
{
	(void)opaque;
	(void)frame;
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size)
{
	(void)opaque;
	(void)reason;
	(void)frame;
	(void)size;
}

static const struct virtio_net_ops net_ops = {.transmit = on_transmit, .refused = on_refused};

static int create_nics(struct template_maker *maker, struct error *error)
{
	for (unsigned int i = 0; i < maker->options.nics; i++) {
		struct virtio_net_options options = {.mtu = TEMPLATE_MTU,
						     .has_offload = maker->options.offload_nics >> i & 1,
						     .slot = GUEST_SLOT_FIRST_NIC + i,
						     .name = "template",
						     .ops = &net_ops};

		template_mac(i, options.mac);
		if (!virtio_net_create(maker->guest->machine, maker->options.control, &options, error))
			return -EIO;
	}
	return 0;
}

static void start_guest(struct template_maker *maker)
{
	struct error error = {.class = ERROR_NONE};
	struct guest_options options = maker->options;

	options.template = maker->base;
	maker->timer.function = lose_patience;
	loop_timer_set(options.control, &maker->timer, loop_now() + TEMPLATE_PATIENCE * 1000000000ull);
	maker->guest = guest_create(&options, &guest_ops, maker, &error);
	if (maker->guest && create_nics(maker, &error) == 0 && guest_start(maker->guest, &error) == 0)
		return;
	loop_timer_cancel(options.control, &maker->timer);
	guest_destroy(maker->guest);
	maker->guest = NULL;
	fail(maker, "%s", error.text);
	end(maker);
}

static void made_base(void *opaque, struct template *base, const char *failure)
{
	struct template_maker *maker = opaque;

	maker->base_maker = NULL;
	maker->base = base;
	if (!base)
		fail(maker, "%s", failure);
	if (base && !maker->stopped)
		start_guest(maker);
	else
		end(maker);
}

static void make_base(struct template_maker *maker)
{
	struct error error = {.class = ERROR_NONE};
	struct guest_options options = maker->options;
	char key[TEMPLATE_KEY_SIZE];

	options.nics = options.offload_nics = 0;
	if (template_key(&options, key, &error) == 0)
		maker->base_maker = template_make(&options, key, made_base, maker, &error);
	if (maker->base_maker)
		return;
	fail(maker, "%s", error.text);
	end(maker);
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
	if (maker->template) {
		end(maker);
	} else if (template_is_hopeless(maker->folder, maker->key)) {
		fail(maker, "no agent of the image greeted when another process made one");
		end(maker);
	} else if (maker->options.nics > 0) {
		make_base(maker);
	} else {
		start_guest(maker);
	}
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
