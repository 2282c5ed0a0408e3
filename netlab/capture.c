/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <pcap/pcap.h>

#include "core/log.h"
#include "core/loop.h"
#include "core/thread.h"
#include "netlab/capture_crash.h"
#include "netlab/capture_internal.h"
#include "netlab/capture_reader.h"
#include "netlab/folder.h"

/* Theory of operation
 * -------------------
 * The producer writes a record, a frame and where it crossed (netlab/capture_record.h), into the ring.  The writer
 * takes what there is, gives it to the recorder and the files, has these write out what they hold, gives readers
 * their turn, and then sleeps for WRITER_PAUSE before it looks again.  Only when it has found nothing WRITER_LOOKS
 * times does it wait to be woken.  So a busy lab costs a thousand wake-ups a second at most, and the producer's system
 * call, which takes tens of microseconds on some hosts, only when traffic starts after silence; and one who watches
 * the files waits little longer than that pause.
 *
 * The table of ports has its full size from the start, so that it never moves under the producer and the writer;
 * pages of it that are not used take no memory.  A port's end is a record without a frame: when the writer comes to
 * it, all of the port's frames are in the file.  A mark is a record of no port, with a pointer in place of a frame.
 * What passes a port's number on (a call to the producer's loop, the ring) orders what was written before it.
 *
 * What may still be read when there is something newer, a port's description, is kept until the end: it changes when
 * a user changes a lab. */

#define BLOCK_SIZE (256u << 10)

/* Longest record of the files.  More than any frame has; it is what tcpdump and Wireshark use. */
#define SNAPSHOT_LENGTH 262144

/* Nanoseconds, and how often; see above. */
#define WRITER_PAUSE 1000000
#define WRITER_LOOKS 4

/* Bytes of the ring that are in memory from the start: what waits in it when the writer is not kept from
 * its work. */
#define POPULATED_SIZE (8u << 20)

/* Records after which files are written out, even if the ring never runs empty. */
#define WRITER_BATCH 65536

#define CRASH_FILE "crash-netlabd.pcapng"

/* The smallest of some readings is the one that was interrupted least. */
static uint64_t read_epoch(void)
{
	uint64_t epoch = UINT64_MAX;
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		struct timespec time;
		uint64_t before = loop_now();
		uint64_t after;

		clock_gettime(CLOCK_REALTIME, &time);
		after = loop_now();
		if (after - before < shortest) {
			shortest = after - before;
			epoch = (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec -
				(before + shortest / 2);
		}
	}
	return epoch;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Where it may not be raised, opening a file may fail, which is told then. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Makes 'path', which is changed meanwhile, and the folders above it. */
static int make_folders(char *path)
{
	struct stat status;
	int result;

	if (*path == '\0')
		return -ENOENT;
	result = folder_make_above(path, 0777);
	if (result < 0)
		return result;
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &status) < 0)
		return -errno;
	return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static char *copy_text(const char *text, bool *failed)
{
	char *copy = text ? strdup(text) : NULL;

	*failed |= text && !copy;
	return copy;
}

/* Copies what the options point to. */
static bool copy_options(struct capture *capture, const struct capture_options *options)
{
	const struct pcapng_section *from = &options->section;
	bool failed = false;
	char **texts = capture->section_texts;

	capture->options = *options;
	atomic_store(&capture->rotation, &capture->options.rotation);
	atomic_store(&capture->has_events, options->has_events);
	capture->folder = copy_text(options->folder, &failed);
	texts[0] = copy_text(from->hardware, &failed);
	texts[1] = copy_text(from->system, &failed);
	texts[2] = copy_text(from->application, &failed);
	texts[3] = copy_text(from->comment, &failed);
	capture->section = (struct pcapng_section){.hardware = texts[0],
						   .system = texts[1],
						   .application = texts[2],
						   .comment = texts[3]};
	capture->options.section = capture->section;
	capture->options.folder = capture->folder;
	return !failed;
}

/* Called for each record that leaves the recorder. */
static void on_evicted(void *opaque, const struct capture_record *record)
{
	const struct capture *capture = opaque;
	const struct capture_crossing *crossings = capture_record_crossings(record);

	for (uint32_t i = 0; i < record->crossing_count; i++)
		capture->ports[crossings[i].port]->evicted++;
}

/* Makes what is in memory alone.  Returns false when there is not enough. */
static bool make_parts(struct capture *capture)
{
	const struct capture_options *options = &capture->options;

	capture->ports = calloc(CAPTURE_PORTS_MAX, sizeof(struct capture_port *));
	capture->readers = capture_readers_create(capture);
	capture->recorder = capture_recorder_create(options->recorder_size ? options->recorder_size :
									     CAPTURE_RECORDER_SIZE,
						    on_evicted, capture);
	capture->format = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAPSHOT_LENGTH, PCAP_TSTAMP_PRECISION_NANO);
	return capture->ports && capture->readers && capture->recorder && capture->format;
}

static int make_folder(struct capture *capture, struct error *error)
{
	int result;

	if (!capture->options.has_port_files && !capture->options.has_lab_file)
		return 0;
	result = make_folders(capture->folder);
	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "cannot make the folder for captures %s: %s",
				 capture->folder, strerror(-result));
	raise_file_limit();
	return 0;
}

static int set_up(struct capture *capture, const struct capture_options *options, struct error *error)
{
	size_t ring_size = options->ring_size ? options->ring_size : CAPTURE_RING_SIZE;
	size_t blocks = (ring_size + BLOCK_SIZE - 1) / BLOCK_SIZE;
	int result;

	if (!copy_options(capture, options) || !make_parts(capture))
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	result = make_folder(capture, error);
	if (result < 0)
		return result;
	capture->ring = capture_ring_create(BLOCK_SIZE, blocks < 2 ? 2 : blocks, error);
	if (!capture->ring)
		return -ENOMEM;
	if (!options->has_lab_file)
		return 0;
	capture->lab_file = capture_lab_file_open(capture, error);
	return capture->lab_file ? 0 : -EIO;
}

struct capture *capture_create(const struct capture_options *options, struct error *error)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	if (!capture) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&capture->unflushed);
	capture->epoch = read_epoch();
	if (set_up(capture, options, error) == 0)
		return capture;
	capture_destroy(capture);
	return NULL;
}

static void free_port(struct capture_port *port)
{
	if (!port)
		return;
	capture_file_close(port->file);
	free(port->name);
	free(port);
}

int capture_find_port(const struct capture *capture, const char *port_name)
{
	for (int i = 0; i < capture->port_count; i++) {
		if (strcmp(capture->ports[i]->name, port_name) == 0)
			return i;
	}
	return -ENOENT;
}

/* Names that differ only in what a file's name cannot have would share a file. */
static int check_file_unused(const struct capture *capture, const struct capture_port *port, struct error *error)
{
	for (int i = 0; i < capture->port_count; i++) {
		if (capture->ports[i]->file &&
		    strcmp(capture_file_path(capture->ports[i]->file), capture_file_path(port->file)) == 0)
			return error_set(error, ERROR_USAGE, EEXIST,
					 "captures of %s and %s would have the same file %s", capture->ports[i]->name,
					 port->name, capture_file_path(port->file));
	}
	return 0;
}

static int open_port(struct capture *capture, struct capture_port *port, const char *name, struct error *error)
{
	int result;

	port->name = strdup(name);
	if (!port->name)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (!capture->options.has_port_files)
		return 0;
	port->file = capture_file_create(capture->folder, name);
	if (!port->file)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	result = check_file_unused(capture, port, error);
	if (result < 0)
		return result;
	return capture_file_open(port->file, capture->format, error);
}

/* A port of that name was there before. */
static int go_on(struct capture *capture, int number, struct error *error)
{
	struct capture_port *port = capture->ports[number];
	enum capture_port_state state = atomic_load(&port->state);
	int result;

	if (state == CAPTURE_OPEN)
		return number;
	if (state == CAPTURE_ENDING)
		return error_set(error, ERROR_FAILED, EBUSY, "the capture of %s is still being written out; try again",
				 port->name);
	result = port->file ? capture_file_resume(port->file, capture->format, error) : 0;
	if (result < 0) {
		capture_file_end(port->file, NULL); /* It is in no list. */
		return result;
	}
	atomic_store(&port->state, CAPTURE_OPEN);
	return number;
}

int capture_add_port(struct capture *capture, const char *port_name, struct error *error)
{
	struct capture_port *port;
	int number = capture_find_port(capture, port_name);

	if (number >= 0)
		return go_on(capture, number, error);
	if (capture->port_count == CAPTURE_PORTS_MAX)
		return error_set(error, ERROR_FAILED, ENOSPC, "more than %d ports were captured", CAPTURE_PORTS_MAX);
	port = calloc(1, sizeof(*port));
	if (!port)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	number = open_port(capture, port, port_name, error);
	if (number < 0) {
		free_port(port);
		return number;
	}
	number = capture->port_count;
	capture->ports[number] = port;
	capture->port_count = number + 1;
	return number;
}

/* Something of 'size' bytes that lasts as long as the capture; NULL when there is no memory. */
static void *retain(struct capture *capture, size_t size)
{
	struct capture_retired *retired = malloc(sizeof(*retired) + size);

	if (!retired)
		return NULL;
	retired->next = capture->retired;
	capture->retired = retired;
	return retired->bytes;
}

int capture_describe_port(struct capture *capture, int number, const char *description, const uint8_t *mac)
{
	struct capture_port *port = capture->ports[number];
	const char *before = atomic_load(&port->description);
	char *text;

	if (before && !strcmp(before, description))
		return 0;
	text = retain(capture, strlen(description) + 1);
	if (!text)
		return -ENOMEM;
	strcpy(text, description);
	if (mac && !before) {
		memcpy(port->mac, mac, sizeof(port->mac));
		port->has_mac = true;
	}
	atomic_store(&port->description, text);
	return 0;
}

void capture_set_speed(struct capture *capture, int number, uint64_t speed)
{
	if (number >= 0 && number < capture->port_count)
		atomic_store(&capture->ports[number]->speed, speed);
}

int capture_set_names(struct capture *capture, const struct pcapng_name *names, size_t count)
{
	size_t size = sizeof(struct capture_names) + count * sizeof(*names);
	struct capture_names *copy;
	char *text;

	for (size_t i = 0; i < count; i++)
		size += strlen(names[i].name) + 1;
	copy = retain(capture, size);
	if (!copy)
		return -ENOMEM;
	copy->count = count;
	copy->names = (struct pcapng_name *)(copy + 1);
	text = (char *)(copy->names + count);
	for (size_t i = 0; i < count; i++) {
		copy->names[i] = names[i];
		copy->names[i].name = text;
		text = stpcpy(text, names[i].name) + 1;
	}
	atomic_store(&capture->names, copy);
	return 0;
}

int capture_change(struct capture *capture, const struct capture_rotation *rotation, bool has_events)
{
	struct capture_rotation *copy = retain(capture, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *rotation;
	atomic_store(&capture->rotation, copy);
	atomic_store(&capture->has_events, has_events);
	return 0;
}

/* The writer. */

static void reach_mark(struct capture *capture, const struct capture_record *record)
{
	struct capture_mark *mark = (struct capture_mark *)(uintptr_t)record->id;
	const struct capture_file *file = capture->ports[mark->port]->file;

	capture_files_flush(&capture->unflushed);
	if (file) {
		mark->position = capture_file_size(file);
		mark->lost += capture_file_lost(file);
	}
	mark->reached(mark);
}

static void end_port(struct capture *capture, const struct capture_record *record)
{
	struct capture_port *port = capture->ports[record->id];

	if (port->file)
		capture_file_end(port->file, &capture->unflushed);
	atomic_store(&port->state, CAPTURE_ENDED);
}

static void write_frame(struct capture *capture, const struct capture_record *record)
{
	const struct capture_crossing *crossings = capture_record_crossings(record);

	for (uint32_t i = 0; i < record->crossing_count; i++) {
		struct capture_port *port = capture->ports[crossings[i].port];

		port->added++;
		if (port->file && crossings[i].is_on_wire)
			capture_file_write(port->file, record->time, record->bytes, record->captured, record->size,
					   &capture->unflushed);
	}
}

static void write_record(struct capture *capture, const struct capture_record *record, size_t size)
{
	if (record->kind == CAPTURE_MARK) {
		reach_mark(capture, record);
		return;
	}
	if (record->kind == CAPTURE_END) {
		end_port(capture, record);
		return;
	}
	capture_recorder_add(capture->recorder, record, size);
	if (record->kind == CAPTURE_FRAME)
		write_frame(capture, record);
	if (capture->lab_file)
		capture_lab_file_add(capture->lab_file, record);
}

/* Writes what there is, at most WRITER_BATCH records, and has it written out. */
static void drain(struct capture *capture)
{
	const struct capture_record *record;
	size_t size;

	for (int i = 0; i < WRITER_BATCH; i++) {
		record = capture_ring_next(capture->ring, &size);
		if (!record)
			break;
		write_record(capture, record, size);
		capture_ring_release(capture->ring);
	}
	capture_files_flush(&capture->unflushed);
	if (capture->lab_file)
		capture_lab_file_flush(capture->lab_file, capture_time(capture, loop_now()));
}

/* Of two times in milliseconds, of which -1 is for ever. */
static int shorter(int a, int b)
{
	return b < 0 || (a >= 0 && a < b) ? a : b;
}

static int turn_lab_file(const struct capture *capture)
{
	return capture->lab_file ? capture_lab_file_turn(capture->lab_file, capture_time(capture, loop_now())) : -1;
}

static void pause_writer(void)
{
	const struct timespec pause = {.tv_nsec = WRITER_PAUSE};

	nanosleep(&pause, NULL);
}

/* Whether to look again soon, rather than to be woken. */
static bool looks_again(struct capture *capture)
{
	size_t size;

	if (capture->looks == 0 || capture_ring_next(capture->ring, &size))
		return false;
	capture->looks--;
	return true;
}

/* Returns false when there is nothing more, and will be nothing more. */
static bool run_turn(struct capture *capture)
{
	struct pollfd fds[1 + CAPTURE_READERS_MAX];
	int milliseconds = shorter(capture_readers_turn(capture->readers), turn_lab_file(capture));
	size_t count = capture_readers_poll(capture->readers, fds + 1);

	if (looks_again(capture)) {
		pause_writer();
		return true;
	}
	switch (capture_ring_wait(capture->ring, fds, count, milliseconds)) {
	case CAPTURE_RING_RECORD:
		drain(capture);
		capture->looks = WRITER_LOOKS;
		pause_writer();
		return true;
	case CAPTURE_RING_WOKEN:
		return true;
	default:
		return false;
	}
}

static void *run_writer(void *opaque)
{
	struct capture *capture = opaque;

	capture_ring_populate(capture->ring, POPULATED_SIZE);
	while (run_turn(capture))
		;
	return NULL;
}

static void arm_crash(struct capture *capture)
{
	char *path;

	if (!capture->folder || asprintf(&path, "%s/" CRASH_FILE, capture->folder) < 0)
		return;
	capture->crash = capture_crash_arm(capture, path);
	free(path);
}

int capture_start(struct capture *capture, struct error *error)
{
	int result;

	if (capture->started)
		return 0;
	/* SIGXFSZ must not end the process either: a file that may not grow is a full disk. */
	result = thread_start(&capture->writer, "netlab-capture", run_writer, capture);
	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "cannot start the capture's thread: %s",
				 strerror(-result));
	capture->started = true;
	arm_crash(capture);
	return 0;
}

uint64_t capture_time(const struct capture *capture, uint64_t monotonic)
{
	return capture->epoch + monotonic;
}

uint64_t capture_lost(const struct capture *capture, int number)
{
	const struct capture_port *port;
	uint64_t by_port_file, by_lab_file;

	if (number < 0 || number >= capture->port_count)
		return 0;
	port = capture->ports[number];
	by_port_file = port->file ? capture_file_lost(port->file) : 0;
	by_lab_file = atomic_load_explicit(&port->given_up, memory_order_relaxed);
	/* Of two files on one disk both lack about the same. */
	return atomic_load_explicit(&port->lost, memory_order_relaxed) +
	       (by_port_file > by_lab_file ? by_port_file : by_lab_file);
}

const char *capture_file(const struct capture *capture, int port)
{
	if (port < 0 || port >= capture->port_count || !capture->ports[port]->file)
		return NULL;
	return capture_file_path(capture->ports[port]->file);
}

void capture_memory(const struct capture *capture, struct memory_range ranges[CAPTURE_MEMORY_RANGES])
{
	ranges[0] = capture_ring_memory(capture->ring);
	ranges[1] = capture_recorder_memory(capture->recorder);
}

const char *capture_lab_path(const struct capture *capture)
{
	return capture->lab_file ? capture_lab_file_path(capture->lab_file) : NULL;
}

int capture_failure(const struct capture *capture)
{
	int count = atomic_load(&capture->port_count), failure = 0;

	/* It is written whenever one of the others is. */
	if (capture->lab_file)
		return capture_lab_file_failure(capture->lab_file);
	for (int i = 0; i < count && failure == 0; i++) {
		const struct capture_port *port = capture->ports[i];

		if (port->file && atomic_load(&port->state) != CAPTURE_ENDED)
			failure = capture_file_failure(port->file);
	}
	return failure;
}

/* Ends the writer, or writes out in its place what there is when it was never started. */
static void finish(struct capture *capture)
{
	capture_ring_close(capture->ring);
	if (capture->started)
		pthread_join(capture->writer, NULL);
	else
		while (run_turn(capture))
			;
	capture_crash_disarm(capture->crash);
	capture_readers_destroy(capture->readers);
	capture->readers = NULL;
	capture_lab_file_close(capture->lab_file, capture_time(capture, loop_now()));
	for (int i = 0; i < capture->port_count; i++) {
		uint64_t lost = capture_lost(capture, i);

		if (lost > 0)
			log_line("%s: the capture lacks %llu frames", capture->ports[i]->name,
				 (unsigned long long)lost);
	}
}

static void free_all(struct capture *capture)
{
	struct capture_retired *retired;

	for (int i = 0; capture->ports && i < capture->port_count; i++)
		free_port(capture->ports[i]);
	free(capture->ports);
	while ((retired = capture->retired)) {
		capture->retired = retired->next;
		free(retired);
	}
	for (size_t i = 0; i < sizeof(capture->section_texts) / sizeof(capture->section_texts[0]); i++)
		free(capture->section_texts[i]);
	free(capture->folder);
	free(capture);
}

void capture_destroy(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->ring)
		finish(capture);
	capture_readers_destroy(capture->readers);
	capture_recorder_destroy(capture->recorder);
	if (capture->format)
		pcap_close(capture->format);
	capture_ring_destroy(capture->ring);
	free_all(capture);
}
