/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/thread.h"
#include "devices/virtio_blk.h"
#include "netlab/agent.h"
#include "netlab/dataplane.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/json_text.h"
#include "netlab/lab_internal.h"
#include "netlab/lab_network.h"
#include "netlab/snapshot.h"
#include "netlab/topology.h"
#include "netlab/version.h"

/* Pausing, saving and restoring a lab.
 *
 * Saving: what does not change is written first, by a thread: files, and what guests still share with the template they
 * went on from; then all vCPUs are held, and when the last one is, all machines are
 * drained.  From then on nothing moves: a NIC that is drained transmits nothing, and whatever another one transmitted
 * before has reached its receivers, since a frame is forwarded in one go; what comes from outside of the lab is held
 * off.  All that is in the control loop's hands
 * (agents, consoles, disks) does not move either, since this runs in that loop.  So the states that are now taken, and
 * the memory that is now written to files, are those of one instant.  Then all go on, and a thread waits for the files
 * to be on disk and gives the snapshot its name.
 *
 * Restoring: the state is read and looked at first; then all guests end, each node is made what it was, and only when
 * all have been do they go on, and with them what is on its way between them. */

#define TAG_LAB STATE_TAG('l', 'a', 'b', ' ')
#define TAG_NAME STATE_TAG('n', 'a', 'm', 'e')
#define TAG_END STATE_TAG('e', 'n', 'd', ' ')

#define ENTROPY_SIZE 64

struct lab_record {
	uint64_t nodes;
};

/* Operations. */

static void begin(struct lab *lab, const char *what, void (*go_on)(struct lab *lab), lab_done *done, void *opaque)
{
	lab->operation = (struct lab_operation){.what = what,
						.go_on = go_on,
						.done = done,
						.opaque = opaque,
						.started = loop_now(),
						.folder = -1};
	lab_tell_capture(lab, "%s", what);
}

/* Lets go of what the operation holds; nothing is under way then. */
static void let_go(struct lab *lab)
{
	struct lab_operation *operation = &lab->operation;

	for (size_t i = 0; operation->memory && i < lab->node_count; i++) {
		if (operation->memory[i].base >= 0)
			close(operation->memory[i].base);
		if (operation->memory[i].file >= 0)
			close(operation->memory[i].file);
		if (operation->memory[i].disk >= 0)
			close(operation->memory[i].disk);
	}
	free(operation->memory);
	if (operation->folder >= 0)
		close(operation->folder);
	state_release(&operation->state);
	free(operation->name);
	*operation = (struct lab_operation){.folder = -1};
}

/* The end of it.  Takes 'result'. */
static void finish(struct lab *lab, json_t *result)
{
	const struct lab_operation operation = lab->operation;
	char failure[sizeof(operation.failure)];

	snprintf(failure, sizeof(failure), "%s", operation.failure);
	let_go(lab);
	if (operation.done)
		operation.done(operation.opaque, failure, result);
	json_decref(result);
}

static void fail(struct lab *lab, const char *node, const struct error *error)
{
	struct lab_operation *operation = &lab->operation;

	if (operation->failure[0])
		return; /* The first one counts. */
	snprintf(operation->failure, sizeof(operation->failure), "%s%s%s%.900s", node ? "node " : "", node ? node : "",
		 node ? ": " : "", error->text);
}

void lab_operation_check(void *opaque)
{
	struct lab *lab = opaque;

	if (!lab->operation.what || lab->operation.ending > 0)
		return;
	for (size_t i = 0; i < lab->node_count; i++) {
		if (lab->nodes[i]->freezing)
			return;
	}
	if (lab->operation.go_on) {
		void (*go_on)(struct lab * lab) = lab->operation.go_on;

		lab->operation.go_on = NULL;
		go_on(lab);
	}
}

static void thaw_all(struct lab *lab)
{
	for (size_t i = 0; i < lab->node_count; i++)
		node_thaw(lab->nodes[i]);
}

void lab_operation_abandon(struct lab *lab)
{
	static const struct error down = {.text = "the lab is being taken down"};
	struct lab_operation *operation = &lab->operation;

	if (!operation->what)
		return;
	if (operation->has_thread)
		pthread_join(operation->thread, NULL);
	operation->has_thread = false;
	fail(lab, NULL, &down);
	if (operation->memory)
		snapshot_abandon(lab_name(lab), operation->name);
	finish(lab, NULL);
}

void lab_forget(struct lab *lab, const void *opaque)
{
	if (lab->operation.opaque == opaque)
		lab->operation.done = NULL;
	lab_forget_positions(lab, opaque);
	lab_forget_flap(lab, opaque);
}

/* Pausing. */

static bool is_paused_one(const struct node *node, const struct node *wanted)
{
	return node->guest && (!wanted || wanted == node);
}

static void pause_frozen(struct lab *lab)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		if (lab->nodes[i]->frozen && is_paused_one(lab->nodes[i], lab->operation.node))
			node_set_paused(lab->nodes[i], true);
	}
	finish(lab, json_object());
}

int lab_pause(struct lab *lab, struct node *node, lab_done *done, void *opaque, struct error *error)
{
	if (lab_check_free(lab, error) < 0)
		return -EBUSY;
	if (node && !node->guest)
		return error_set(error, ERROR_FAILED, ESRCH, "%s is %s", node_name(node), node_state_name(node->state));
	begin(lab, "nodes of the lab are being paused", pause_frozen, done, opaque);
	lab->operation.node = node;
	for (size_t i = 0; i < lab->node_count; i++) {
		if (is_paused_one(lab->nodes[i], node))
			node_freeze(lab->nodes[i]);
	}
	loop_post(lab->context.control, lab_operation_check, lab);
	return 0;
}

static void tell_guest(struct node *node);

int lab_resume(struct lab *lab, struct node *node, struct error *error)
{
	if (lab_check_free(lab, error) < 0)
		return -EBUSY;
	for (size_t i = 0; i < lab->node_count; i++) {
		if (!is_paused_one(lab->nodes[i], node))
			continue;
		node_set_paused(lab->nodes[i], false);
		node_thaw(lab->nodes[i]);
		if (lab->nodes[i]->is_untold)
			tell_guest(lab->nodes[i]);
	}
	return 0;
}

static void save_frozen(struct lab *lab);

/* Saving: before the pause. */

static int copy_bytes(int from, int to)
{
	uint8_t bytes[65536];
	ssize_t got;

	while ((got = read(from, bytes, sizeof(bytes))) > 0) {
		for (ssize_t done = 0; done < got;) {
			ssize_t written = write(to, bytes + done, (size_t)(got - done));

			if (written < 0)
				return -errno;
			done += written;
		}
	}
	return got < 0 ? -errno : 0;
}

static int copy_file(const char *source, int folder, const char *name, struct error *error)
{
	int from = open(source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int to = from >= 0 ? openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	struct stat status;
	int result = from >= 0 && to >= 0 ? copy_bytes(from, to) : -errno;

	if (result == 0 && fstat(from, &status) == 0)
		fchmod(to, status.st_mode & 0777);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return result == 0 ? 0 :
			     error_set(error, ERROR_FAILED, -result, "cannot copy %s: %s", source, strerror(-result));
}

/* A disk is only ever replaced as a whole, so another name for it is as good as a copy; one that has been replaced
 * since the guest began has no name any more.  'earlier' is another node's of the same image, whose disk was kept, or
 * NULL. */
static int keep_disk(const struct lab *lab, size_t index, const struct lab_operation_memory *earlier,
		     struct error *error)
{
	const struct lab_operation_memory *memory = &lab->operation.memory[index];
	char name[300], source[32];
	struct stat status[2];

	if (earlier && fstat(earlier->disk, &status[0]) == 0 && fstat(memory->disk, &status[1]) == 0 &&
	    status[0].st_dev == status[1].st_dev && status[0].st_ino == status[1].st_ino)
		return 0;
	if (earlier)
		return error_set(error, ERROR_FAILED, ESTALE,
				 "image %s was built anew since some of its nodes started; \"netlab restart\" gives "
				 "them the new one",
				 lab->nodes[index]->image->name);
	snprintf(name, sizeof(name), "disk-%s", lab->nodes[index]->image->name);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", memory->disk);
	if (linkat(AT_FDCWD, source, lab->operation.folder, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return copy_file(source, lab->operation.folder, name, error);
}

/* The first node before 'index' with a disk of the same image. */
static const struct lab_operation_memory *find_earlier(const struct lab *lab, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (lab->operation.memory[i].disk >= 0 &&
		    strcmp(lab->nodes[i]->image->name, lab->nodes[index]->image->name) == 0)
			return &lab->operation.memory[i];
	}
	return NULL;
}

static int write_text(int folder, const char *name, const char *text, struct error *error)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t length = strlen(text);
	int result = 0;

	if (fd < 0 || write(fd, text, length) != (ssize_t)length)
		result = error_set(error, ERROR_FAILED, errno, "cannot write %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

static int keep_files(const struct lab *lab, struct error *error)
{
	const struct topology *topology = lab->topology;
	int folder = lab->operation.folder;
	int result = write_text(folder, "topology.yaml", topology->text, error);
	char name[32];

	for (size_t i = 0; result == 0 && i < topology->source_count; i++) {
		snprintf(name, sizeof(name), "file-%zu", i);
		result = copy_file(topology->sources[i], folder, name, error);
	}
	for (size_t i = 0; result == 0 && i < lab->node_count; i++) {
		if (lab->operation.memory[i].disk >= 0)
			result = keep_disk(lab, i, find_earlier(lab, i), error);
	}
	return result;
}

static int open_memory(struct lab *lab, struct error *error)
{
	struct lab_operation *operation = &lab->operation;
	char name[32];

	operation->memory = calloc(lab->node_count + 1, sizeof(*operation->memory));
	if (!operation->memory)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	for (size_t i = 0; i < lab->node_count; i++)
		operation->memory[i] = (struct lab_operation_memory){.base = -1, .file = -1, .disk = -1};
	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = lab->nodes[i];
		struct lab_operation_memory *memory = &operation->memory[i];

		memory->started = node->started;
		if (!node->guest)
			continue;
		snprintf(name, sizeof(name), "memory-%zu", i);
		memory->size = machine_memory(node->guest->machine)->size;
		if (node->guest->disk)
			memory->disk = fcntl(virtio_blk_file(node->guest->disk), F_DUPFD_CLOEXEC, 0);
		memory->base = fcntl(machine_memory(node->guest->machine)->base_fd, F_DUPFD_CLOEXEC, 0);
		memory->file = openat(operation->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (memory->file < 0)
			return error_set(error, ERROR_FAILED, errno, "cannot make a file for a guest's memory: %s",
					 strerror(errno));
	}
	return 0;
}

/* Threads of the operation. */

static void start_thread(struct lab *lab, void *(*function)(void *opaque))
{
	struct lab_operation *operation = &lab->operation;
	struct error error;
	int result = thread_start(&operation->thread, "netlab-snapshot", function, lab);

	operation->has_thread = result == 0;
	if (result == 0)
		return;
	error_set(&error, ERROR_FAILED, -result, "cannot start a thread: %s", strerror(-result));
	fail(lab, NULL, &error);
}

/* Returns false when the operation was given up before this was called. */
static bool join_thread(struct lab *lab)
{
	if (!lab->operation.has_thread)
		return false;
	pthread_join(lab->operation.thread, NULL);
	lab->operation.has_thread = false;
	return true;
}

static void save_failed(struct lab *lab)
{
	snapshot_abandon(lab_name(lab), lab->operation.name);
	finish(lab, NULL);
}

/* loop_function: now the guests. */
static void prepared(void *opaque)
{
	struct lab *lab = opaque;

	if (!join_thread(lab))
		return;
	if (lab->operation.failure[0]) {
		save_failed(lab);
		return;
	}
	lab->operation.go_on = save_frozen;
	lab->operation.started = loop_now();
	for (size_t i = 0; i < lab->node_count; i++)
		node_freeze(lab->nodes[i]);
	loop_post(lab->context.control, lab_operation_check, lab);
}

static void *prepare(void *opaque)
{
	struct lab *lab = opaque;
	const struct lab_operation_memory *memory = lab->operation.memory;
	struct error error = {.class = ERROR_NONE};
	int result = keep_files(lab, &error);

	for (size_t i = 0; result == 0 && i < lab->node_count; i++) {
		if (memory[i].file >= 0)
			result = guest_memory_write_base(memory[i].base, memory[i].size, memory[i].file, &error);
	}
	if (result < 0)
		fail(lab, NULL, &error);
	loop_post(lab->context.control, prepared, lab);
	return NULL;
}

/* Saving: all are frozen. */

struct dataplane_and_state {
	struct dataplane *dataplane;
	struct state *state;
};

/* loop_function, in the data plane's thread. */
static void save_dataplane(void *opaque)
{
	const struct dataplane_and_state *both = opaque;

	dataplane_save(both->dataplane, both->state);
}

static void save_states(struct lab *lab)
{
	struct state *state = &lab->operation.state;
	struct dataplane_and_state both = {.dataplane = lab->context.dataplane, .state = state};
	const struct lab_record record = {.nodes = lab->node_count};
	struct error error = {.class = ERROR_NONE};

	state_put(state, TAG_LAB, &record, sizeof(record));
	state_put(state, TAG_NAME, lab_name(lab), strlen(lab_name(lab)));
	loop_call(dataplane_loop(both.dataplane), save_dataplane, &both);
	lab_links_save(lab, state);
	for (size_t i = 0; i < lab->node_count && !lab->operation.failure[0]; i++) {
		struct node *node = lab->nodes[i];

		if (node_save(node, state, &error) < 0 ||
		    (node->guest && guest_memory_write_rest(machine_memory(node->guest->machine),
							    lab->operation.memory[i].file, &error) < 0))
			fail(lab, node_name(node), &error);
	}
	state_put(state, TAG_END, NULL, 0);
}

/* A node may have begun anew while others were being frozen. */
static int check_nodes(const struct lab *lab, struct error *error)
{
	const struct lab_operation_memory *memory = lab->operation.memory;

	for (size_t i = 0; i < lab->node_count; i++) {
		const struct node *node = lab->nodes[i];

		if (memory && node->guest && (memory[i].file < 0 || memory[i].started != node->started))
			return error_set(error, ERROR_FAILED, EAGAIN, "%s began anew meanwhile", node_name(node));

		if (node->state == NODE_CREATED || node->state == NODE_BOOTING || node->state == NODE_CONFIGURING ||
		    (node->state == NODE_PAUSED && node->paused_from != NODE_READY))
			return error_set(error, ERROR_FAILED, EAGAIN,
					 "%s is %s: a lab is saved when its nodes are ready, paused or stopped",
					 node_name(node), node_state_name(node->state));
	}
	return 0;
}

/* Saving: in a thread, when the lab has gone on. */

static int sync_memory(const struct lab *lab, struct error *error)
{
	for (size_t i = 0; i < lab->node_count; i++) {
		int file = lab->operation.memory[i].file;

		if (file >= 0 && fsync(file) < 0)
			return error_set(error, ERROR_FAILED, errno, "cannot write a guest's memory: %s",
					 strerror(errno));
	}
	return 0;
}

static int write_about(const struct lab *lab, struct error *error)
{
	struct utsname kernel;
	json_t *about;
	char *text;
	int result;

	uname(&kernel);
	about = json_pack("{s:I, s:o, s:i, s:s, s:s, s:s, s:f}", "saved", (json_int_t)time(NULL), "topology",
			  json_text(lab->origin), "nodes", (int)lab->node_count, "version", NETLAB_VERSION, "kernel",
			  kernel.release, "backend", lab->host.backend_name, "pause", lab->operation.pause);
	text = json_dumps(about, JSON_COMPACT);
	result = text ? write_text(lab->operation.folder, "about", text, error) :
			error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	free(text);
	json_decref(about);
	return result;
}

/* loop_function */
static void saved(void *opaque)
{
	struct lab *lab = opaque;

	if (!join_thread(lab))
		return;
	if (lab->operation.failure[0])
		save_failed(lab);
	else
		finish(lab, json_pack("{s:f}", "pause", lab->operation.pause));
}

static void *write_out(void *opaque)
{
	struct lab *lab = opaque;
	struct lab_operation *operation = &lab->operation;
	struct error error = {.class = ERROR_NONE};

	if (state_write(&operation->state, operation->folder, "state", &error) < 0 || sync_memory(lab, &error) < 0 ||
	    write_about(lab, &error) < 0 || fsync(operation->folder) < 0 ||
	    snapshot_commit(lab_name(lab), operation->name, &error) < 0)
		fail(lab, NULL, &error);
	loop_post(lab->context.control, saved, lab);
	return NULL;
}

static void save_frozen(struct lab *lab)
{
	struct lab_operation *operation = &lab->operation;
	struct error error = {.class = ERROR_NONE};

	if (check_nodes(lab, &error) < 0) {
		fail(lab, NULL, &error);
	} else {
		for (size_t i = 0; i < lab->node_count; i++) {
			if (lab->nodes[i]->guest)
				machine_drain(lab->nodes[i]->guest->machine);
		}
		dataplane_hold(lab->context.dataplane, true);
		save_states(lab);
		dataplane_hold(lab->context.dataplane, false);
	}
	thaw_all(lab);
	operation->pause = (double)(loop_now() - operation->started) / 1e9;
	if (!operation->failure[0])
		start_thread(lab, write_out);
	if (!operation->has_thread)
		save_failed(lab);
}

int lab_save(struct lab *lab, const char *name, bool replace, lab_done *done, void *opaque, struct error *error)
{
	int folder;

	if (lab_check_free(lab, error) < 0 || check_nodes(lab, error) < 0)
		return -EBUSY;
	if (!snapshot_name_is_valid(name))
		return error_set(error, ERROR_USAGE, EINVAL,
				 "\"%.64s\" cannot be a snapshot's name: letters, digits, "
				 "'-', '_' and '.', at most %d",
				 name, SNAPSHOT_NAME_MAX);
	if (!replace && snapshot_exists(lab_name(lab), name))
		return error_set(error, ERROR_FAILED, EEXIST, "lab %s has a snapshot \"%s\" already", lab_name(lab),
				 name);
	folder = snapshot_create(lab_name(lab), name, error);
	if (folder < 0)
		return folder;
	begin(lab, "the lab is being saved", NULL, done, opaque);
	lab->operation.folder = folder;
	lab->operation.name = strdup(name);
	if (lab->operation.name && open_memory(lab, error) == 0)
		start_thread(lab, prepare);
	if (lab->operation.has_thread)
		return 0;
	if (lab->operation.failure[0])
		error_set(error, ERROR_FAILED, EAGAIN, "%s", lab->operation.failure);
	snapshot_abandon(lab_name(lab), name);
	let_go(lab);
	return -EIO;
}

/* Restoring. */

/* loop_function, in the data plane's thread. */
static void restore_dataplane(void *opaque)
{
	const struct dataplane_and_state *both = opaque;

	dataplane_restore(both->dataplane, both->state);
}

static int restore_node(struct lab *lab, size_t index, struct error *error)
{
	struct node *node = lab->nodes[index];
	char *folder, *disk = NULL;
	struct node_saved_files files = {.memory_fd = -1};
	char name[32];
	int result;

	if (node->guest)
		return error_set(error, ERROR_FAILED, EBUSY, "%s has not ended", node_name(node));
	folder = snapshot_path(lab_name(lab), lab->operation.name);
	snprintf(name, sizeof(name), "memory-%zu", index);
	files.memory_fd = openat(lab->operation.folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (node->image->disk && asprintf(&disk, "%s/disk-%s", folder, node->image->name) < 0)
		disk = NULL;
	files.disk = disk;
	result = node_restore(node, &lab->operation.state, &files, error);
	if (files.memory_fd >= 0)
		close(files.memory_fd);
	free(disk);
	free(folder);
	return result;
}

/* Of nodes that come after one that failed nothing is known. */
static int restore_nodes(struct lab *lab, struct error *error)
{
	size_t at = 0;
	int result = 0;

	while (at < lab->node_count && (result = restore_node(lab, at, error)) == 0)
		at++;
	if (result == 0)
		return 0;
	fail(lab, node_name(lab->nodes[at]), error);
	for (; at < lab->node_count; at++)
		node_fail(lab->nodes[at], lab->operation.failure);
	return result;
}

static void log_restored(struct lab *lab, struct node *node)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "[netlab: goes on from snapshot %s]\n", lab->operation.name);

	lab_node_logged(lab, node, line, (size_t)length);
}

/* What time has passed it cannot know, and what it takes for chance must not come a second time.  One that is paused is
 * told when it goes on. */
static void tell_guest(struct node *node)
{
	uint8_t entropy[ENTROPY_SIZE];
	char text[3 * ENTROPY_SIZE + 64];
	struct timespec now;
	int length;

	node->is_untold = node->state == NODE_PAUSED;
	if (!node_agent(node) || getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	length = snprintf(text, sizeof(text), "time %lld.%09ld\nentropy ", (long long)now.tv_sec, now.tv_nsec);
	for (size_t i = 0; i < sizeof(entropy); i++)
		length += snprintf(text + length, sizeof(text) - (size_t)length, "%02x", entropy[i]);
	snprintf(text + length, sizeof(text) - (size_t)length, "\n");
	agent_configure(node_agent(node), text, NULL, NULL);
}

/* Reads the state up to where its nodes begin, and looks at what can be known of it. */
static int read_state(struct lab *lab, struct error *error)
{
	struct lab_operation *operation = &lab->operation;
	struct error reason = {.class = ERROR_NONE};
	struct lab_record record;
	char name[TOPOLOGY_NAME_MAX + 1];
	size_t size;
	int result = state_read(&operation->state, operation->folder, "state", &reason);

	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "the state of snapshot %s %s", operation->name,
				 reason.text);
	state_get(&operation->state, TAG_LAB, &record, sizeof(record));
	state_get_up_to(&operation->state, TAG_NAME, name, sizeof(name) - 1, &size);
	name[size] = '\0';
	if (operation->state.bad || strcmp(name, lab_name(lab)) != 0 || record.nodes != lab->node_count)
		return error_set(error, ERROR_FAILED, EBADMSG, "snapshot %s is not one of this lab", operation->name);
	return 0;
}

/* A running lab can only become one that was built alike. */
static int check_topology(const struct lab *lab, struct error *error)
{
	size_t length = strlen(lab->topology->text);
	int fd = openat(lab->operation.folder, "topology.yaml", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = malloc(length + 2);
	ssize_t got = fd >= 0 && text ? pread(fd, text, length + 1, 0) : -1;
	bool same = got == (ssize_t)length && memcmp(text, lab->topology->text, length) == 0;

	free(text);
	if (fd >= 0)
		close(fd);
	return same ? 0 :
		      error_set(
			      error, ERROR_FAILED, EINVAL,
			      "lab %s has another topology than when snapshot %s was made; \"netlab down %s\" and then "
			      "\"netlab up --from %s\" has the one of then",
			      lab_name(lab), lab->operation.name, lab_name(lab), lab->operation.name);
}

static void restore_ended(struct lab *lab)
{
	struct lab_operation *operation = &lab->operation;
	struct dataplane_and_state both = {.dataplane = lab->context.dataplane, .state = &operation->state};
	struct error error = {.class = ERROR_NONE};
	bool has_reset = false;

	operation->ends_guests = false;
	dataplane_hold(both.dataplane, true);
	lab_links_quiet(lab, "the lab was restored");
	loop_call(dataplane_loop(both.dataplane), restore_dataplane, &both);
	lab_links_restore(lab, &operation->state);
	for (size_t i = 0; i < lab->topology->network_count; i++)
		has_reset |= lab_network_reset(lab->networks[i]);
	if (operation->state.bad) {
		error_set(&error, ERROR_FAILED, EBADMSG,
			  "what was saved of the lab's ports, networks and links is not of them");
		fail(lab, NULL, &error);
	} else if (restore_nodes(lab, &error) == 0) {
		state_get(&operation->state, TAG_END, NULL, 0);
	}
	for (size_t i = 0; i < lab->node_count; i++) {
		if (!lab->nodes[i]->guest)
			continue;
		log_restored(lab, lab->nodes[i]);
		tell_guest(lab->nodes[i]);
	}
	dataplane_hold(both.dataplane, false);
	thaw_all(lab);
	loop_post(lab->context.control, lab_start_more, lab); /* Which was held back meanwhile. */
	finish(lab, json_pack("{s:f, s:b}", "seconds", (double)(loop_now() - operation->started) / 1e9, "nat_reset",
			      has_reset));
}

/* Opens the snapshot, as the operation that is begun here. */
static int begin_restore(struct lab *lab, const char *name, lab_done *done, void *opaque, struct error *error)
{
	int folder = snapshot_open(lab_name(lab), name, error);
	int result;

	if (folder < 0)
		return folder;
	begin(lab, "the lab is being restored", restore_ended, done, opaque);
	lab->operation.folder = folder;
	lab->operation.name = strdup(name);
	result = lab->operation.name ? read_state(lab, error) : -ENOMEM;
	if (result < 0)
		let_go(lab);
	return result;
}

int lab_restore(struct lab *lab, const char *name, lab_done *done, void *opaque, struct error *error)
{
	int result = lab_check_free(lab, error);

	if (result == 0)
		result = begin_restore(lab, name, done, opaque, error);
	if (result < 0)
		return result;
	if (check_topology(lab, error) < 0) {
		let_go(lab);
		return -EINVAL;
	}
	lab->operation.ends_guests = true;
	for (size_t i = 0; i < lab->node_count; i++)
		lab->operation.ending += node_stop(lab->nodes[i]);
	if (lab->operation.ending == 0)
		loop_post(lab->context.control, lab_operation_check, lab);
	return 0;
}

struct start {
	char failure[1024];
};

/* lab_done */
static void started(void *opaque, const char *failure, json_t *result)
{
	struct start *start = opaque;

	(void)result;
	snprintf(start->failure, sizeof(start->failure), "%s", failure);
}

int lab_start_saved(struct lab *lab, struct error *error)
{
	struct start start = {.failure = ""};

	if (begin_restore(lab, lab->from, started, &start, error) < 0)
		return -EIO;
	restore_ended(lab);
	return start.failure[0] ? error_set(error, ERROR_FAILED, EIO, "%s", start.failure) : 0;
}
