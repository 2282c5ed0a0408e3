/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/host.h"
#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/converge.h"
#include "netlab/cli/launch.h"
#include "netlab/cli/log_tail.h"
#include "netlab/cli/progress.h"
#include "netlab/image.h"
#include "netlab/lab.h"
#include "netlab/ping_range.h"
#include "netlab/runtime.h"
#include "netlab/snapshot.h"
#include "netlab/topology.h"

/* netlab up: checks all that can be checked first, so that nothing is started that could not run; then starts
 * netlabd and shows how the nodes come up.
 *
 * Until that is over the lab is ours, and Ctrl-C takes it down; afterwards it runs on without us.  One that runs
 * already is made what the file says (netlab/cli/converge.h), and runs on whatever becomes of us. */

#define TIMEOUT_SECONDS 300
#define LOG_LINES 10

struct up {
	struct cli *cli;
	const char *name;   /* --name, or NULL. */
	const char *folder; /* --captures, or NULL. */
	const char *from;   /* --from, or NULL. */
	bool no_capture;
	bool cold;
	bool overcommit;
	bool yes;         /* Change a lab that runs without asking. */
	bool plan_only;   /* Change and start nothing. */
	bool is_running;  /* The lab was there before us. */
	bool has_failed;  /* It could not be made all that the file says. */
	bool has_later;   /* It is not, since a part of that is settled when a lab starts. */
	long timeout;     /* Seconds; 0: none. */
	char *path;       /* Of the topology, as found. */
	const char *file; /* The same as one speaks of it. */
	struct topology *topology;
	char *captures; /* Absolute path. */
	struct launch launch;
	struct progress progress;
};

static bool check_images(const struct topology *topology, struct error *error)
{
	for (size_t i = 0; i < topology->node_count; i++) {
		const char *name = topology->nodes[i].image;
		bool is_new = true;
		struct image *image;

		for (size_t j = 0; j < i; j++)
			if (!strcmp(topology->nodes[j].image, name))
				is_new = false;
		image = is_new ? image_load(name, error) : NULL;
		if (is_new && !image)
			return false;
		image_free(image);
	}
	return true;
}

static char *absolute_path(const char *path)
{
	char *folder = path[0] == '/' ? NULL : realpath(".", NULL);
	char *result = allocate_text("%s%s%s", folder ? folder : "", folder ? "/" : "", path);

	free(folder);
	return result;
}

static void set_captures(struct up *up)
{
	char *usual = allocate_text("captures/%s", up->topology->name);
	up->captures = absolute_path(up->folder ? up->folder : usual);
	free(usual);
}

/* Of the snapshot's lab, as it was then.  Returns 0 or the exit code. */
static int read_saved_topology(struct up *up)
{
	struct error error = {0};
	char *lab = up->name ? allocate_copy(up->name) : snapshot_find_lab(up->from, &error);
	int folder = lab ? snapshot_open(lab, up->from, &error) : -1;
	char *path;

	if (folder < 0) {
		free(lab);
		return cli_fail(&error);
	}
	close(folder);
	path = snapshot_path(lab, up->from);
	up->topology = topology_read_kept(path, NULL, lab, stderr);
	free(path);
	free(lab);
	return up->topology ? 0 : ERROR_USAGE;
}

static int read_topology(struct up *up, const char *given)
{
	struct error error = {0};

	up->path = cli_find_topology(given, &error);
	if (!up->path)
		return cli_fail(&error);
	up->file = !strncmp(up->path, "./", 2) ? up->path + 2 : up->path;
	up->topology = topology_read(up->path, up->name, stderr);
	return up->topology ? 0 : ERROR_USAGE;
}

/* What a lab that is to be started needs of this machine.  Returns 0 or the exit code. */
static int prepare_host(const struct up *up)
{
	struct host_profile profile;
	struct error error = {0};
	int kvm = host_probe(&profile, &error);
	int memory;

	if (kvm < 0)
		return cli_fail(&error);
	close(kvm);
	if (!check_images(up->topology, &error))
		return cli_fail(&error);
	memory = lab_check_memory(up->topology, up->overcommit, &error);
	if (memory != 0) {
		cli_put_text(stderr, error.text); /* In the form of the topology's other errors. */
		fputc('\n', stderr);
	}
	if (memory < 0)
		return (int)error.class;
	runtime_clean(up->topology->name);
	return 0;
}

/* A lab without ping is one that most can live with. */
static void warn_of_ping(const struct up *up)
{
	for (size_t i = 0; i < up->topology->network_count; i++) {
		const struct topology_network *network = &up->topology->networks[i];

		if (network->mode != TOPOLOGY_NAT || network->is_restricted || ping_is_allowed())
			continue;
		fprintf(stderr,
			"warning: on network \"%s\" no ping gets beyond the gateway: the kernel lets none of your groups "
			"ping\n"
			"  help: " PING_RANGE_FIX "\n"
			"  help: to keep it: " PING_RANGE_FIX_FOR_GOOD "\n",
			network->name);
		return;
	}
}

/* All that can go wrong before anything is started.  Returns 0 or the exit code. */
static int prepare(struct up *up, const char *given)
{
	struct error error = {0};
	int code = up->from ? read_saved_topology(up) : read_topology(up, given);

	if (code || !up->topology)
		return code;
	set_captures(up);
	if (!up->plan_only)
		warn_of_ping(up);
	up->is_running = runtime_probe(up->topology->name, NULL) == RUNTIME_RUNNING;
	if (up->is_running && up->from) {
		cli_error("lab %s is running; \"netlab snapshot restore %s\" has it be what it was then",
			  up->topology->name, up->from);
		return ERROR_FAILED;
	}
	if (up->is_running)
		return check_images(up->topology, &error) ? 0 : cli_fail(&error);
	return up->plan_only ? 0 : prepare_host(up);
}

static int take_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int interrupted(struct up *up)
{
	struct signalfd_siginfo info = {.ssi_signo = SIGINT};

	if (read(up->launch.signal_fd, &info, sizeof(info)) < 0)
		info.ssi_signo = SIGINT;
	fprintf(stderr, "\nInterrupted; taking lab %s down.\n", up->topology->name);
	launch_stop(&up->launch);
	return 128 + (int)info.ssi_signo;
}

static const char *first_node(const struct up *up)
{
	return up->topology->node_count ? up->topology->nodes[0].name : "NODE";
}

/* A command's words for this lab: "--lab NAME " where the current folder would not find it. */
static const char *lab_words(const struct up *up, char text[64])
{
	char *folder = realpath(".", NULL);
	size_t length = folder ? strlen(folder) : 0;
	bool is_here = folder && !strncmp(up->topology->path, folder, length) && up->topology->path[length] == '/' &&
		       !strncmp(up->topology->path + length + 1, "topology.y", 10) && !up->name;

	free(folder);
	text[0] = '\0';
	if (!is_here)
		snprintf(text, 64, "--lab %s ", up->topology->name);
	return text;
}

static void put_success(const struct up *up)
{
	char duration[32], words[64];
	double slowest = 0;

	for (size_t i = 0; i < up->progress.count; i++)
		if (up->progress.nodes[i].seconds > slowest)
			slowest = up->progress.nodes[i].seconds;
	if (up->from) {
		printf("Lab %s goes on where it was when %s was saved.\n", up->topology->name, up->from);
	} else if (up->is_running) {
		printf("\nLab %s is as ", up->topology->name);
		cli_put_text(stdout, up->file);
		puts(up->has_failed ? " says, but for what failed; \"netlab up\" tries that again." :
		     up->has_later  ? " says, but for its capture, which goes on as it was started." :
				      " says.");
		return;
	} else {
		printf("\nLab %s is up: %zu node%s ready in %s.\n", up->topology->name, up->progress.count,
		       up->progress.count == 1 ? "" : "s", cli_duration(slowest, duration));
	}
	printf("  captures  ");
	cli_put_text(stdout, up->no_capture ? "none (--no-capture)" : up->captures);
	lab_words(up, words);
	printf("\n  next      netlab %sexec %s -- ip address\n"
	       "            netlab %sconnect %s\n",
	       words, first_node(up), words, first_node(up));
	if (up->topology->test_count)
		printf("            netlab %svalidate\n", words);
	printf("            netlab %sdown\n", words);
}

static int put_failures(const struct up *up, struct client *client)
{
	char words[64];

	lab_words(up, words);
	fflush(stdout);
	for (size_t i = 0; i < up->progress.count; i++) {
		const struct progress_node *node = &up->progress.nodes[i];

		if (!progress_node_failed(node))
			continue;
		cli_error("%s %s: %s", node->name,
			  strcmp(node->state, "ready") ? node->state : "is not set up as it should be",
			  node->reason[0] ? node->reason : "it did not say why");
		log_tail_print(client, node->name, LOG_LINES);
	}
	fprintf(stderr,
		"Lab %s is still running, so that you can look: \"netlab %sstatus\", \"netlab %slogs NODE\";\n"
		"\"netlab %sdown\" takes it down.\n",
		up->topology->name, words, words, words);
	return ERROR_FAILED;
}

static int put_timeout(const struct up *up)
{
	char words[64];

	lab_words(up, words);
	for (size_t i = 0; i < up->progress.count; i++)
		if (!progress_node_settled(&up->progress.nodes[i]))
			cli_error("%s is still %s after %ld s", up->progress.nodes[i].name, up->progress.nodes[i].state,
				  up->timeout);
	fprintf(stderr,
		"Lab %s is still running: \"netlab %slogs -f NODE\" shows what a node is at, \"netlab %sdown\" takes it\n"
		"down. \"netlab up --timeout SECONDS\" waits longer.\n",
		up->topology->name, words, words);
	return ERROR_FAILED;
}

static int finish(const struct up *up, struct client *client)
{
	struct error error = {0};
	json_t *status;
	bool failed = false;

	for (size_t i = 0; i < up->progress.count; i++)
		failed = failed || (!up->from && progress_node_failed(&up->progress.nodes[i]));
	if (up->cli->json) {
		status = client_call(client, json_pack("{s:s}", "command", "status"), &error);
		if (!status)
			return cli_fail(&error);
		cli_put_json(status);
		json_decref(status);
	} else if (!failed) {
		put_success(up);
	}
	return failed ? put_failures(up, client) : 0;
}

static int follow(struct up *up, struct client *client)
{
	struct error error = {0};
	long long deadline = up->timeout ? cli_milliseconds() + up->timeout * 1000 : 0;

	if (!up->cli->json && !up->from && !up->is_running)
		printf("Lab %s: %zu node%s\n", up->topology->name, up->topology->node_count,
		       up->topology->node_count == 1 ? "" : "s");
	fflush(stdout);
	up->progress.quiet = up->cli->json || up->from; /* Its nodes became ready long ago. */
	progress_begin(&up->progress, client);
	switch (progress_wait(&up->progress, client, up->launch.signal_fd, deadline, &error)) {
	case PROGRESS_SETTLED:
		return finish(up, client);
	case PROGRESS_TIMEOUT:
		return put_timeout(up);
	case PROGRESS_SIGNAL:
		return interrupted(up);
	default:
		launch_explain_death(&up->launch, &error);
		return cli_fail(&error);
	}
}

static int start_and_follow(struct up *up)
{
	struct error error = {0};
	struct client client;
	int code;

	up->launch = (struct launch){
		.lab = up->topology->name,
		.topology = up->topology->path,
		.captures = up->captures,
		.no_capture = up->no_capture,
		.from = up->from,
		.cold = up->cold,
		.overcommit = up->overcommit,
		.signal_fd = take_signals(),
	};
	switch (launch_start(&up->launch, &error)) {
	case LAUNCH_STARTED:
		break;
	case LAUNCH_INTERRUPTED:
		return interrupted(up);
	default:
		return cli_fail(&error);
	}
	if (client_open(&client, up->topology->name, &error) < 0) {
		if (runtime_probe(up->topology->name, NULL) != RUNTIME_RUNNING)
			launch_explain_death(&up->launch, &error);
		return cli_fail(&error);
	}
	code = follow(up, &client);
	client_close(&client);
	return code;
}

static int converge_and_follow(struct up *up, struct converge *converge)
{
	struct error error = {0};
	struct client client;
	int code;

	if (client_open(&client, up->topology->name, &error) < 0)
		return cli_fail(&error);
	up->launch = (struct launch){.lab = up->topology->name, .signal_fd = -1};
	code = converge_run(converge, &client);
	up->progress.among = converge->nodes;
	up->has_failed = converge->has_failed;
	up->has_later = converge->has_later;
	if (code < 0)
		code = json_array_size(converge->nodes) ? follow(up, &client) : finish(up, &client);
	client_close(&client);
	return code == 0 && up->has_failed ? ERROR_FAILED : code;
}

static int run(struct up *up)
{
	struct converge converge = {
		.cli = up->cli,
		.lab = up->topology->name,
		.file = up->file,
		.topology = up->topology->path,
		.captures = up->folder ? up->captures : NULL,
		.no_capture = up->no_capture,
		.cold = up->cold,
		.yes = up->yes,
		.plan_only = up->plan_only,
	};
	int code;

	if (!up->is_running)
		return up->plan_only ? converge_put_start(&converge, up->topology) : start_and_follow(up);
	code = converge_and_follow(up, &converge);
	converge_free(&converge);
	return code;
}

/* Returns -1, or the exit code. */
static int parse(struct up *up, int argc, char **argv)
{
	static const struct option options[] = {
		{"name", required_argument, NULL, 'n'},    {"captures", required_argument, NULL, 'c'},
		{"no-capture", no_argument, NULL, 'C'},    {"cold", no_argument, NULL, 'b'},
		{"from", required_argument, NULL, 'f'},    {"overcommit", no_argument, NULL, 'o'},
		{"timeout", required_argument, NULL, 't'}, {"yes", no_argument, NULL, 'y'},
		{"plan", no_argument, NULL, 'p'},          {NULL, 0, NULL, 0},
	};
	char *end;
	int option;

	while ((option = cli_option(up->cli, argc, argv, "y", options)) != -1) {
		if (option == 'n')
			up->name = optarg;
		else if (option == 'c')
			up->folder = optarg;
		else if (option == 'C')
			up->no_capture = true;
		else if (option == 'f')
			up->from = optarg;
		else if (option == 'b')
			up->cold = true;
		else if (option == 'o')
			up->overcommit = true;
		else if (option == 'y')
			up->yes = true;
		else if (option == 'p')
			up->plan_only = true;
		else if (option != 't')
			return ERROR_USAGE;
		else {
			up->timeout = strtol(optarg, &end, 10);
			if (*end || end == optarg || up->timeout < 0 || up->timeout > 1000000)
				return cli_usage(up->cli, "--timeout takes seconds, not \"%s\"", optarg);
		}
	}
	if (up->folder && (up->no_capture || !up->folder[0]))
		return cli_usage(up->cli, "--captures needs a folder, and does not go with --no-capture");
	if (argc - optind > 1)
		return cli_usage(up->cli, "one topology at a time");
	if (up->from && (argc > optind || up->cold))
		return cli_usage(up->cli, "--from goes without a topology, which the snapshot has, and without --cold");
	if (!up->name)
		up->name = up->cli->lab;
	return -1;
}

int cli_up(struct cli *cli, int argc, char **argv)
{
	struct up up = {.cli = cli, .timeout = TIMEOUT_SECONDS};
	int code = parse(&up, argc, argv);

	if (code >= 0)
		return code;
	code = prepare(&up, argv[optind]);
	if (code == 0 && up.topology)
		code = run(&up);
	if (up.launch.signal_fd > 0)
		close(up.launch.signal_fd);
	progress_free(&up.progress);
	topology_free(up.topology);
	free(up.captures);
	free(up.path);
	return code;
}
