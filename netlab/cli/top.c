/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/top_screen.h"
#include "netlab/port_rates.h"
#include "netlab/topology_units.h"

/* netlab top: asks for the status again and again, and shows what crossed the ports in between.  It waits for the
 * answer, for keys and for signals at once, so that keys work even if netlabd does not. */

#define INTERVAL_MINIMUM 100     /* Milliseconds. */
#define INTERVAL_MAXIMUM 3600000 /* The same. */

struct top {
	struct cli *cli;
	long long interval; /* Milliseconds. */
	long left;          /* Intervals to go; 0: without end. */
	char **wanted;      /* Ports and nodes; none: all ports. */
	int wanted_count;

	struct client client;
	json_int_t request; /* The one that is not answered, or 0. */
	long long next;     /* When to ask again. */
	json_t *status;     /* The last one, */
	json_t *rates;      /* and what it tells of the time before. */

	bool is_live; /* On a terminal. */
	struct top_screen screen;
	bool has_keys;
	int signal_fd;

	bool is_over;
	int code; /* To exit with. */
};

static void end(struct top *top, int code)
{
	top->is_over = true;
	top->code = code;
}

/* "h1:eth0" is wanted by that name, and by "h1". */
static bool is_named(const char *port, const char *name)
{
	size_t length = strlen(name);

	return !strncmp(port, name, length) && (!port[length] || (port[length] == ':' && !strchr(name, ':')));
}

static bool is_wanted(const struct top *top, const json_t *port)
{
	for (int i = 0; i < top->wanted_count; i++)
		if (is_named(cli_string(port, "name"), top->wanted[i]))
			return true;
	return top->wanted_count == 0;
}

/* Returns a name that no port has, or NULL. */
static const char *find_unknown(const struct top *top, const json_t *ports)
{
	for (int i = 0; i < top->wanted_count; i++) {
		bool is_known = false;

		for (size_t j = 0; j < json_array_size(ports); j++)
			is_known |= is_named(cli_string(json_array_get(ports, j), "name"), top->wanted[i]);
		if (!is_known)
			return top->wanted[i];
	}
	return NULL;
}

static void show(struct top *top)
{
	if (top->is_live)
		top_screen_draw(&top->screen, top->rates);
	else if (!top->cli->json)
		top_print(top->rates);
	else if (json_dumpf(top->rates, stdout, JSON_COMPACT | JSON_REAL_PRECISION(13)) < 0 || puts("") < 0 ||
		 fflush(stdout))
		end(top, ERROR_FAILED); /* main() says so. */
}

/* The first one has no rates: a terminal shows what there is, all else waits for the next. */
static void take_status(struct top *top, json_t *status)
{
	bool is_first = !top->status;
	json_t *ports;

	json_decref(top->rates);
	top->rates = port_rates(top->status, status);
	json_decref(top->status);
	top->status = json_incref(status);
	ports = json_object_get(top->rates, "ports");
	for (size_t i = json_array_size(ports); i-- > 0;)
		if (!is_wanted(top, json_array_get(ports, i)))
			json_array_remove(ports, i);
	if (!is_first || top->is_live)
		show(top);
	if (!is_first && top->left > 0 && --top->left == 0)
		end(top, 0);
}

static void ask(struct top *top, long long now)
{
	top->request = client_new_id(&top->client);
	client_send(&top->client, json_pack("{s:I, s:s}", "id", top->request, "command", "status"));
	top->next = top->next + top->interval > now ? top->next + top->interval : now + top->interval;
}

/* netlabd has ended, or makes no sense. */
static void lose(struct top *top, const json_t *message, struct error *error)
{
	client_set_error(&top->client, message, error);
	end(top, ERROR_FAILED);
}

static void take_messages(struct top *top, struct error *error)
{
	json_t *message;

	client_fill(&top->client);
	while (!top->is_over && (message = client_next(&top->client))) {
		json_t *status = json_object_get(message, "result");

		if (json_integer_value(json_object_get(message, "id")) == top->request) {
			top->request = 0;
			if (status)
				take_status(top, status);
			else
				lose(top, message, error);
		}
		json_decref(message);
	}
	if (!top->is_over && top->client.ended)
		lose(top, NULL, error);
}

static void take_keys(struct top *top)
{
	char keys[64];
	ssize_t size = read(STDIN_FILENO, keys, sizeof(keys));

	if (size <= 0)
		top->has_keys = size < 0 && errno == EINTR;
	else if (!top_screen_type(&top->screen, keys, (size_t)size))
		end(top, 0);
	else if (top->rates)
		show(top);
}

static void take_signal(struct top *top)
{
	struct signalfd_siginfo info;

	if (read(top->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo != SIGWINCH)
		end(top, 128 + (int)info.ssi_signo);
	else if (top->rates)
		show(top);
}

static void run(struct top *top, struct error *error)
{
	while (!top->is_over) {
		struct pollfd fds[3] = {{.fd = top->client.fd, .events = POLLIN},
					{.fd = top->has_keys ? STDIN_FILENO : -1, .events = POLLIN},
					{.fd = top->signal_fd, .events = POLLIN}};
		long long now = cli_milliseconds();

		if (!top->request && now >= top->next)
			ask(top, now);
		if (poll(fds, 3, top->request ? -1 : (int)(top->next - now)) <= 0)
			continue;
		if (fds[1].revents)
			take_keys(top);
		if (fds[2].revents)
			take_signal(top);
		if (fds[0].revents && !top->is_over)
			take_messages(top, error);
	}
}

/* What would end the program is read instead, or the terminal would stay as it is. */
static void open_screen(struct top *top)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGWINCH};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	top->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	top->has_keys = isatty(STDIN_FILENO);
	top_screen_open(&top->screen);
}

static int run_in(struct top *top, const char *lab)
{
	struct error error = {0};
	const char *unknown;
	json_t *status;

	if (client_open(&top->client, lab, &error) < 0)
		return cli_fail(&error);
	top->next = cli_milliseconds();
	/* Complaints are best made before the terminal is another. */
	status = client_call(&top->client, json_pack("{s:s}", "command", "status"), &error);
	unknown = find_unknown(top, json_object_get(status, "ports"));
	if (!status || unknown) {
		if (unknown)
			error_set(&error, ERROR_USAGE, ENOENT,
				  "lab %s has no port or node \"%s\"; \"netlab status\" shows them", lab, unknown);
		json_decref(status);
		client_close(&top->client);
		return cli_fail(&error);
	}
	if (top->is_live)
		open_screen(top);
	take_status(top, status);
	json_decref(status);
	top->next += top->interval;
	run(top, &error);
	if (top->is_live)
		top_screen_close(&top->screen);
	client_close(&top->client);
	return error.class ? cli_fail(&error) : top->code;
}

static int set_interval(struct top *top, const char *text)
{
	uint64_t nanoseconds = 0;
	const char *problem = topology_parse_time(text, &nanoseconds);

	if (!problem && (nanoseconds < INTERVAL_MINIMUM * 1000000ull || nanoseconds > INTERVAL_MAXIMUM * 1000000ull))
		problem = "is not between 100ms and 1h";
	if (problem)
		return cli_usage(top->cli, "--interval \"%s\" %s", text, problem);
	top->interval = (long long)(nanoseconds / 1000000);
	return 0;
}

static int set_iterations(struct top *top, const char *text)
{
	char *after;

	errno = 0;
	top->left = strtol(text, &after, 10);
	if (!isdigit((unsigned char)text[0]) || *after || errno || top->left == 0)
		return cli_usage(top->cli, "--iterations takes a number, at least 1, not \"%s\"", text);
	return 0;
}

static int parse(struct top *top, int argc, char **argv)
{
	static const struct option options[] = {
		{"interval", required_argument, NULL, 'i'},
		{"iterations", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	int option, code;

	while ((option = cli_option(top->cli, argc, argv, "i:n:", options)) != -1) {
		if (option == '?')
			return ERROR_USAGE;
		code = option == 'i' ? set_interval(top, optarg) : set_iterations(top, optarg);
		if (code)
			return code;
	}
	return 0;
}

/* Whether the word is the name of a lab that runs, rather than of a port or a node. */
static bool is_lab(const char *word)
{
	struct error error = {0};
	bool is = false;
	size_t count;
	char **labs;

	if (cli_running_labs(&labs, &count, false, &error) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		is |= !strcmp(labs[i], word);
	cli_free_labs(labs, count);
	return is;
}

int cli_top(struct cli *cli, int argc, char **argv)
{
	struct top top = {.cli = cli, .interval = 1000, .signal_fd = -1};
	struct error error = {0};
	const char *name = NULL;
	char *lab;
	int code = parse(&top, argc, argv);

	if (code)
		return code;
	if (!cli->lab && optind < argc && is_lab(argv[optind]))
		name = argv[optind++];
	top.wanted = argv + optind;
	top.wanted_count = argc - optind;
	top.is_live = !cli->json && top_screen_possible();
	lab = cli_find_lab(cli, name, &error);
	code = lab ? run_in(&top, lab) : cli_fail(&error);
	json_decref(top.status);
	json_decref(top.rates);
	free(lab);
	return code;
}
