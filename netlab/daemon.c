/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "netlab/control.h"
#include "netlab/json_text.h"
#include "netlab/lab.h"
#include "netlab/runtime.h"
#include "netlab/snapshot.h"
#include "netlab/topology.h"
#include "netlab/version.h"

/* netlabd: one running lab
 * ========================
 *
 * "netlab up" starts it and reads one line of JSON from the descriptor it gave as --report-fd: {"ok":true}
 * when every node has been started, or {"class":N,"text":"..."} (enum error_class) when that failed; no line
 * at all means that netlabd died.  From then on it is spoken to over the control socket.
 *
 * It ends on SIGTERM, SIGINT, the command "down", or when its runtime folder has gone (as /run/user/UID does
 * when the user's last session ends), for nobody could reach it any more.  It leaves nothing behind then;
 * killed by SIGKILL it leaves its runtime folder, which "netlab up" and "netlab list" recognise by its free
 * lock and remove. */

#define RUNTIME_CHECK_NANOSECONDS 10000000000ull

/* Bytes of netlabd.log, as looked at with each check of the folder. */
#define LOG_SIZE_MAX (4 << 20)

struct daemon {
	const char *topology_path;
	const char *name; /* NULL: the topology's. */
	const char *captures;
	bool no_capture;
	const char *from; /* Name of a snapshot, or NULL. */
	bool cold;        /* No clones. */
	bool overcommit;  /* Too little memory is no reason not to start. */
	int report;       /* -1: none. */
	char *origin;     /* Of the snapshot's topology, or NULL. */
	struct runtime runtime;
	struct topology *topology;
	struct loop *loop;
	struct lab *lab;
	struct control *control;
	struct loop_watch signals;
	struct loop_timer runtime_check;
	bool stopping;
};

static const char usage[] = "Usage: netlabd --topology FILE [--name NAME] [OPTIONS]\n"
			    "       netlabd --from SNAPSHOT --name LAB [OPTIONS]\n"
			    "OPTIONS: [--captures FOLDER] [--no-capture] [--cold] [--overcommit] [--report-fd N]\n"
			    "Runs one lab. It is started by \"netlab up\", which \"netlab up --help\" explains.\n";

static void report(struct daemon *daemon, const struct error *error)
{
	json_t *message = error ? json_pack("{s:i, s:o}", "class", (int)error->class, "text", json_text(error->text)) :
				  json_pack("{s:b}", "ok", 1);
	char *line = message ? json_dumps(message, JSON_COMPACT) : NULL;

	if (error)
		log_line("%s", error->text);
	if (daemon->report >= 0) {
		dprintf(daemon->report, "%s\n", line ? line : "{\"class\":1,\"text\":\"netlabd failed\"}");
		close(daemon->report);
		daemon->report = -1;
	}
	free(line);
	json_decref(message);
}

/* Returns -1, or what the process is to exit with. */
static int parse_options(struct daemon *daemon, int argc, char **argv)
{
	static const struct option options[] = {
		{"topology", required_argument, NULL, 't'},
		{"name", required_argument, NULL, 'n'},
		{"captures", required_argument, NULL, 'c'},
		{"no-capture", no_argument, NULL, 'N'},
		{"cold", no_argument, NULL, 'C'},
		{"from", required_argument, NULL, 'f'},
		{"overcommit", no_argument, NULL, 'o'},
		{"report-fd", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			daemon->topology_path = optarg;
			break;
		case 'n':
			daemon->name = optarg;
			break;
		case 'c':
			daemon->captures = optarg;
			break;
		case 'N':
			daemon->no_capture = true;
			break;
		case 'C':
			daemon->cold = true;
			break;
		case 'f':
			daemon->from = optarg;
			break;
		case 'o':
			daemon->overcommit = true;
			break;
		case 'r':
			daemon->report = (int)strtol(optarg, NULL, 10);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'v':
			puts("netlabd " NETLAB_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return ERROR_USAGE;
		}
	}
	if ((daemon->from ? daemon->name && !daemon->topology_path : daemon->topology_path != NULL) && optind == argc &&
	    (!daemon->captures || daemon->captures[0] == '/'))
		return -1;
	fputs(usage, stderr);
	return ERROR_USAGE;
}

/* Leaves the terminal, the session and whatever else the caller had open. */
static void detach(struct daemon *daemon)
{
	struct rlimit files;
	sigset_t signals;
	int null;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* A file that may not grow is a full disk. */
	signal(SIGHUP, SIG_IGN);
	setsid();
	umask(077);
	if (daemon->report >= 3) {
		close_range(3, (unsigned int)daemon->report - 1, 0);
		close_range((unsigned int)daemon->report + 1, ~0u, 0);
		fcntl(daemon->report, F_SETFD, FD_CLOEXEC);
	} else {
		close_range(3, ~0u, 0);
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		/* What is opened next must not take the place of one the caller had closed. */
		for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
			if (fcntl(fd, F_GETFD) < 0)
				dup2(null, fd);
		if (null > STDERR_FILENO)
			close(null);
	}
	/* Each node needs some tens of descriptors. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Sends what netlabd says to its log; from here on the caller hears of errors by the report alone. */
static int open_log(struct daemon *daemon, struct error *error)
{
	int fd = openat(daemon->runtime.folder, "netlabd.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set(error, ERROR_HOST, errno, "cannot make %s/netlabd.log: %s", daemon->runtime.path,
				 strerror(errno));
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return 0;
}

static struct topology *read_topology(struct daemon *daemon, struct error *error)
{
	char *text = NULL;
	size_t size;
	FILE *errors = open_memstream(&text, &size);
	struct topology *topology;

	if (!errors) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	if (daemon->from) {
		char *folder = snapshot_path(daemon->name, daemon->from);

		daemon->origin = snapshot_origin(daemon->name, daemon->from);
		topology = topology_read_kept(folder, daemon->origin, daemon->name, errors);
		free(folder);
	} else {
		topology = topology_read(daemon->topology_path, daemon->name, errors);
	}
	fclose(errors);
	if (!topology)
		error_set(error, ERROR_USAGE, EINVAL, "%s", text);
	free(text);
	return topology;
}

static int write_file(struct daemon *daemon, const char *name, const char *text, struct error *error)
{
	int fd = openat(daemon->runtime.folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t length = strlen(text);
	int result = 0;

	if (fd < 0 || write(fd, text, length) != (ssize_t)length)
		result = error_set(error, ERROR_HOST, errno, "cannot write to %s: %s", daemon->runtime.path,
				   strerror(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

/* What others may want to know of the lab.  Its memory is written before it is looked for, so that of two labs that
 * start at once at least one sees the other. */
static int describe_lab(struct daemon *daemon, const struct topology *topology, const char *path, struct error *error)
{
	uint64_t memory;
	char number[24];
	int result = lab_memory_wanted(topology, &memory, error);

	if (result < 0)
		return result;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)memory);
	result = write_file(daemon, "memory", number, error);
	return result < 0 ? result : write_file(daemon, "topology", path, error);
}

static void lab_stopped(void *opaque)
{
	struct daemon *daemon = opaque;

	log_line("lab %s has stopped", lab_name(daemon->lab));
	control_stopped(daemon->control);
	loop_stop(daemon->loop);
}

static void stop(void *opaque)
{
	struct daemon *daemon = opaque;

	if (daemon->stopping)
		return;
	daemon->stopping = true;
	log_line("stopping lab %s", lab_name(daemon->lab));
	lab_stop(daemon->lab, lab_stopped, daemon);
}

/* The lab is another topology's from now on. */
static void converged(void *opaque)
{
	struct daemon *daemon = opaque;
	struct error error = {.class = ERROR_NONE};

	if (describe_lab(daemon, lab_topology(daemon->lab), lab_topology(daemon->lab)->path, &error) < 0)
		log_line("%s", error.text);
}

static void signal_arrived(void *opaque, uint32_t events)
{
	struct daemon *daemon = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(daemon->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_line("got signal %u from process %u", info.ssi_signo, info.ssi_pid);
	stop(daemon);
}

/* The log is on a small file system in memory, and guests can make it grow, if slowly (core/log.h). */
static void bound_log(void)
{
	struct stat status;

	if (fstat(STDERR_FILENO, &status) == 0 && status.st_size > LOG_SIZE_MAX && ftruncate(STDERR_FILENO, 0) == 0)
		log_line("(the log was cut: it had more than %d bytes)", LOG_SIZE_MAX);
}

static void check_runtime(void *opaque)
{
	struct daemon *daemon = opaque;

	if (!runtime_is_there(&daemon->runtime)) {
		log_line("the runtime folder has gone");
		stop(daemon);
		return;
	}
	bound_log();
	loop_timer_set(daemon->loop, &daemon->runtime_check, loop_now() + RUNTIME_CHECK_NANOSECONDS);
}

static int watch_signals(struct daemon *daemon, struct error *error)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	daemon->signals.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	daemon->signals.ready = signal_arrived;
	daemon->signals.opaque = daemon;
	if (daemon->signals.fd < 0 || loop_watch_add(daemon->loop, &daemon->signals, EPOLLIN) < 0)
		return error_set(error, ERROR_HOST, errno, "cannot watch for signals: %s", strerror(errno));
	daemon->runtime_check = (struct loop_timer){.function = check_runtime, .opaque = daemon};
	loop_timer_set(daemon->loop, &daemon->runtime_check, loop_now() + RUNTIME_CHECK_NANOSECONDS);
	return 0;
}

/* Builds everything up to a lab that could be started. */
static int build(struct daemon *daemon, struct error *error)
{
	struct control_options control_options = {.stop = stop, .converged = converged, .opaque = daemon};
	struct lab_options lab_options = {.captures = daemon->captures,
					  .no_capture = daemon->no_capture,
					  .cold = daemon->cold,
					  .overcommit = daemon->overcommit,
					  .from = daemon->from};
	char *nodes = NULL;
	int listener;

	daemon->topology = read_topology(daemon, error);
	if (!daemon->topology || runtime_claim(&daemon->runtime, daemon->topology->name, error) < 0 ||
	    open_log(daemon, error) < 0 ||
	    describe_lab(daemon, daemon->topology, daemon->origin ? daemon->origin : daemon->topology->path, error) < 0)
		return -1;
	daemon->loop = loop_create(error);
	if (!daemon->loop || watch_signals(daemon, error) < 0)
		return -1;
	if (asprintf(&nodes, "%s/nodes", daemon->runtime.path) < 0)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	lab_options.runtime = nodes;
	lab_options.origin = daemon->origin;
	daemon->lab = lab_create(daemon->topology, &lab_options, daemon->loop, error);
	free(nodes);
	if (!daemon->lab)
		return -1;
	daemon->control = control_create(daemon->loop, daemon->lab, &control_options, error);
	listener = daemon->control ? runtime_listen(&daemon->runtime, error) : -1;
	if (listener < 0)
		return -1;
	return control_listen(daemon->control, listener);
}

static void destroy(struct daemon *daemon)
{
	control_destroy(daemon->control);
	if (daemon->lab)
		lab_destroy(daemon->lab);
	if (daemon->loop && daemon->signals.fd >= 0)
		close(daemon->signals.fd);
	loop_destroy(daemon->loop);
	topology_free(daemon->topology);
	free(daemon->origin);
	runtime_remove(&daemon->runtime);
}

/* In the loop, so that what starting a lab posts to the control loop or waits for finds it running. */
static void start(void *opaque)
{
	struct daemon *daemon = opaque;
	struct error error = {0};

	if (daemon->stopping) { /* A signal came first. */
		error_set(&error, ERROR_FAILED, EINTR, "netlabd was told to end before the lab had started");
		report(daemon, &error);
		return;
	}
	if (lab_start(daemon->lab, &error) < 0) {
		report(daemon, &error);
		stop(daemon);
		return;
	}
	log_line("lab %s runs", lab_name(daemon->lab));
	report(daemon, NULL);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {
		.report = -1,
		.runtime = {.base = -1, .folder = -1, .lock = -1},
		.signals = {.fd = -1},
	};
	struct error error = {0};
	int result = parse_options(&daemon, argc, argv);

	if (result >= 0)
		return result;
	detach(&daemon);
	if (build(&daemon, &error) < 0) {
		if (!error.text[0])
			error_set(&error, ERROR_FAILED, EIO, "netlabd could not start");
		report(&daemon, &error);
		destroy(&daemon);
		return (int)error.class;
	}
	loop_post(daemon.loop, start, &daemon);
	loop_run(daemon.loop);
	destroy(&daemon);
	return 0;
}
