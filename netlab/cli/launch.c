/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/program.h"
#include "netlab/runtime.h"

#define REPORT_SIZE_MAX 65536
#define LOG_TAIL_SIZE 700
#define STOP_MILLISECONDS 30000
#define DEATH_MILLISECONDS 2000
#define POLL_MILLISECONDS 20

extern char **environ;

/* Runs netlabd with the writing end of a pipe, and returns the reading end or a negative errno value. */
static int spawn(struct launch *launch, const char *netlabd, struct error *error)
{
	char number[16];
	char *argv[16] = {
		"netlabd",
		"--name",
		(char *)launch->lab,
		launch->from ? "--from" : "--topology",
		launch->from ? (char *)launch->from : (char *)launch->topology,
		"--report-fd",
		number,
	};
	size_t argc = 7;
	posix_spawn_file_actions_t actions;
	int fds[2], copy, result;

	argv[argc++] = "--captures";
	argv[argc++] = (char *)launch->captures;
	if (launch->no_capture)
		argv[argc++] = "--no-capture";
	if (launch->cold)
		argv[argc++] = "--cold";
	if (launch->overcommit)
		argv[argc++] = "--overcommit";
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(error, ERROR_FAILED, errno, "cannot make a pipe: %s", strerror(errno));
	/* A copy that outlives exec: a descriptor given to dup2 as itself may lose or keep its flag. */
	copy = fcntl(fds[1], F_DUPFD, 3);
	snprintf(number, sizeof(number), "%d", copy);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, "/");
	result = posix_spawn(&launch->pid, netlabd, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(copy);
	close(fds[1]);
	if (result) {
		close(fds[0]);
		launch->pid = 0;
		return error_set(error, ERROR_FAILED, result, "cannot run %s: %s", netlabd, strerror(result));
	}
	return fds[0];
}

/* Reads the report as far as it comes.  Returns true when there is no more. */
static bool read_report(int fd, char *text, size_t *size)
{
	ssize_t result = read(fd, text + *size, REPORT_SIZE_MAX - 1 - *size);

	if (result > 0)
		*size += (size_t)result;
	return result == 0 || (result < 0 && errno != EINTR) || *size == REPORT_SIZE_MAX - 1;
}

static enum launch_end judge_report(struct launch *launch, const char *text, size_t size, struct error *error)
{
	json_t *report = json_loadb(text, size, JSON_DISABLE_EOF_CHECK, NULL);
	const char *reason = cli_string(report, "text");
	int class = (int)json_integer_value(json_object_get(report, "class"));

	if (json_is_true(json_object_get(report, "ok"))) {
		json_decref(report);
		return LAUNCH_STARTED;
	}
	if (report) {
		error_set(error, class >= ERROR_FAILED && class <= ERROR_HOST ? (enum error_class) class : ERROR_FAILED,
			  EIO, "%s", reason);
		launch_stop(launch);
	} else {
		launch_explain_death(launch, error);
	}
	json_decref(report);
	return LAUNCH_FAILED;
}

enum launch_end launch_start(struct launch *launch, struct error *error)
{
	char *netlabd = program_find("netlabd", error);
	int fd = netlabd ? spawn(launch, netlabd, error) : -1;
	enum launch_end end = LAUNCH_FAILED;
	char *text;
	size_t size = 0;

	free(netlabd);
	if (fd < 0)
		return LAUNCH_FAILED;
	text = allocate_zeroed(REPORT_SIZE_MAX, 1);
	for (;;) {
		struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = launch->signal_fd, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents) {
			end = LAUNCH_INTERRUPTED;
			break;
		}
		if (fds[0].revents && read_report(fd, text, &size)) {
			end = judge_report(launch, text, size, error);
			break;
		}
	}
	free(text);
	close(fd);
	return end;
}

/* Waits for netlabd's end, and returns true when it has come.  A signal ends the waiting, if 'signal_fd' is
 * one. */
static bool wait_for_end(struct launch *launch, int signal_fd, long long milliseconds, int *status)
{
	long long deadline = cli_milliseconds() + milliseconds;

	while (launch->pid) {
		struct pollfd poll_fd = {.fd = signal_fd, .events = POLLIN};
		struct signalfd_siginfo info;
		pid_t result = waitpid(launch->pid, status, WNOHANG);

		if (result == launch->pid || (result < 0 && errno == ECHILD))
			launch->pid = 0;
		else if (cli_milliseconds() >= deadline ||
			 (poll(&poll_fd, 1, POLL_MILLISECONDS) > 0 && read(signal_fd, &info, sizeof(info)) > 0))
			return false;
	}
	return true;
}

void launch_stop(struct launch *launch)
{
	int status;

	if (!launch->pid)
		return;
	kill(launch->pid, SIGTERM);
	if (!wait_for_end(launch, launch->signal_fd, STOP_MILLISECONDS, &status)) {
		kill(launch->pid, SIGKILL);
		wait_for_end(launch, -1, STOP_MILLISECONDS, &status);
	}
	runtime_clean(launch->lab);
}

void launch_explain_death(struct launch *launch, struct error *error)
{
	int status = 0;
	char how[64] = "closed the connection";
	char *log;

	if (!wait_for_end(launch, -1, DEATH_MILLISECONDS, &status)) {
		error_set(error, ERROR_FAILED, EIO, "netlabd of lab %s runs but does not answer; see \"netlab list\"",
			  launch->lab);
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status))
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	log = runtime_read(launch->lab, "netlabd.log", LOG_TAIL_SIZE);
	for (size_t length = log ? strlen(log) : 0; length && log[length - 1] == '\n'; length--)
		log[length - 1] = '\0';
	error_set(error, ERROR_FAILED, EIO, "netlabd of lab %s %s, and the lab with it%s%s", launch->lab, how,
		  log && log[0] ? "; the end of its log:\n" : "", log ? log : "");
	free(log);
	runtime_clean(launch->lab);
}
