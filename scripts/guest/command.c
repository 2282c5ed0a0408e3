/* SPDX-License-Identifier: Apache-2.0 */
/* AGENT_EXEC: runs a command on pipes or on a pseudo-terminal.
 *
 * The child is made by posix_spawn(), which copies no page tables: fork() would be the dearest thing the agent
 * does where ring 0 is emulated.  The command's session is its own, so its process group has its number.
 *
 * A command has ended when its process has, and its output is at its end.  Something it left in the background
 * may hold the output open for ever; so what lies unread at the command's end is sent, a moment is waited for
 * what helpers still write, and then the channel ends. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define GRACE_MS 100
/* Flags, rows, columns and the number of arguments. */
#define EXEC_NUMBERS_SIZE 12

/* An AGENT_EXEC message taken apart; the words point into the message. */
struct command {
	uint32_t flags;
	uint16_t rows, columns;
	size_t variable_count;
	char **variables;
	char path[1024];
	char *words[]; /* argv, NULL, environment, NULL. */
};

long long read_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Gives the number of strings in the message, or 0 if it is malformed. */
static size_t count_strings(const uint8_t *payload, size_t length)
{
	size_t count = 0;

	/* At least the numbers and one word, and a last string that ends. */
	if (length < EXEC_NUMBERS_SIZE + 2 || payload[length - 1] != '\0')
		return 0;
	for (size_t index = EXEC_NUMBERS_SIZE; index < length; index++)
		count += payload[index] == '\0';
	return count;
}

/* Fills in a command that is all zeros and has room for that many strings; false if arguments are missing. */
static bool parse_command(struct command *command, const uint8_t *payload, size_t strings)
{
	const char *next = (const char *)payload + EXEC_NUMBERS_SIZE;
	char **word = command->words;
	uint32_t words;

	memcpy(&command->flags, payload, 4);
	memcpy(&command->rows, payload + 4, 2);
	memcpy(&command->columns, payload + 6, 2);
	memcpy(&words, payload + 8, 4);
	if (words == 0 || words > strings)
		return false;
	command->variable_count = strings - words;
	command->variables = &command->words[words + 1];
	for (size_t index = 0; index < strings; index++) {
		if (index == words)
			word++; /* The NULL that ends argv. */
		*word++ = (char *)next;
		next += strlen(next) + 1;
	}
	return true;
}

static const char *get_variable(const struct command *command, const char *name)
{
	size_t length = strlen(name);

	for (size_t index = 0; index < command->variable_count; index++)
		if (!strncmp(command->variables[index], name, length) && command->variables[index][length] == '=')
			return command->variables[index] + length + 1;
	return getenv(name);
}

static bool is_overridden(const struct command *command, const char *variable)
{
	size_t length = strcspn(variable, "=") + 1;

	for (size_t index = 0; index < command->variable_count; index++)
		if (!strncmp(command->variables[index], variable, length))
			return true;
	return false;
}

/* The agent's environment, overridden and added to by the message's. */
static char **merge_environment(const struct command *command)
{
	size_t count = 0, used = 0;
	char **merged;

	while (environ[count])
		count++;
	merged = calloc(count + command->variable_count + 1, sizeof(*merged));
	if (!merged)
		return NULL;
	for (size_t index = 0; index < count; index++)
		if (!is_overridden(command, environ[index]))
			merged[used++] = environ[index];
	memcpy(merged + used, command->variables, command->variable_count * sizeof(*merged));
	return merged;
}

/* Finds the program as a shell does; gives 0, or the reason it cannot be run. */
static int search_program(struct command *command)
{
	const char *name = command->words[0], *folder = get_variable(command, "PATH");
	int reason = ENOENT;

	if (strchr(name, '/') || !folder) {
		snprintf(command->path, sizeof(command->path), "%s", name);
		return access(command->path, X_OK) ? errno : 0;
	}
	while (*folder && *name) {
		size_t length = strcspn(folder, ":");

		snprintf(command->path, sizeof(command->path), "%.*s/%s", (int)length, folder, name);
		if (!access(command->path, X_OK))
			return 0;
		if (errno == EACCES)
			reason = EACCES;
		folder += length + (folder[length] == ':');
	}
	return reason;
}

/* A small image has no links for most of busybox's applets; busybox knows them by the name it is called with. */
static int find_program(struct command *command)
{
	const char *applets = getenv("NETLAB_APPLETS");
	int reason = search_program(command);

	if (reason == ENOENT && applets && !strchr(command->words[0], '/')) {
		snprintf(command->path, sizeof(command->path), "%s", applets);
		reason = 0;
	}
	return reason;
}

static void set_size(int fd, uint16_t rows, uint16_t columns)
{
	const struct winsize size = {.ws_row = rows, .ws_col = columns};

	ioctl(fd, TIOCSWINSZ, &size);
}

/* Makes the pseudo-terminal; the child opens its side by name, which makes it the controlling terminal. */
static bool open_terminal(struct channel *channel, const struct command *command, posix_spawn_file_actions_t *actions)
{
	char name[64];
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	channel->output[0].fd = fd;
	if (fd < 0 || grantpt(fd) || unlockpt(fd) || ptsname_r(fd, name, sizeof(name)))
		return false;
	channel->input.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	channel->terminal = true;
	set_size(fd, command->rows, command->columns);
	return channel->input.fd >= 0 && !posix_spawn_file_actions_addopen(actions, 0, name, O_RDWR, 0) &&
	       !posix_spawn_file_actions_adddup2(actions, 0, 1) && !posix_spawn_file_actions_adddup2(actions, 0, 2);
}

/* Makes the three pipes; child[] gets the ends to close after the child has them. */
static bool open_pipes(struct channel *channel, posix_spawn_file_actions_t *actions, int child[3])
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return false;
	child[0] = ends[0];
	channel->input.fd = ends[1];
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	for (int which = 0; which < 2; which++) {
		if (pipe2(ends, O_CLOEXEC))
			return false;
		channel->output[which].fd = ends[0];
		child[1 + which] = ends[1];
	}
	for (int which = 0; which < 3; which++)
		if (posix_spawn_file_actions_adddup2(actions, child[which], which))
			return false;
	return true;
}

/* What the child does differently from the agent: signals as at login, a session of its own. */
static void set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t signals;

	/* Only those the agent ignores: each one is a system call of the child. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGPIPE);
	sigaddset(&signals, SIGTERM);
	posix_spawnattr_setsigdefault(attributes, &signals);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(attributes, &signals);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int spawn(struct channel *channel, struct command *command, posix_spawn_file_actions_t *actions)
{
	const char *home = get_variable(command, "HOME");
	char **environment = merge_environment(command);
	posix_spawnattr_t attributes;
	int reason;

	if (!environment)
		return ENOMEM;
	if (home && !access(home, X_OK))
		posix_spawn_file_actions_addchdir_np(actions, home);
	posix_spawnattr_init(&attributes);
	set_attributes(&attributes);
	reason = posix_spawn(&channel->pid, command->path, actions, &attributes, command->words, environment);
	posix_spawnattr_destroy(&attributes);
	free(environment);
	if (reason)
		channel->pid = 0;
	return reason;
}

/* Starts the command; gives 0, or an error number. */
static int start_command(struct channel *channel, struct command *command)
{
	int child[3] = {-1, -1, -1};
	posix_spawn_file_actions_t actions;
	int reason = find_program(command);
	bool ready;

	if (reason)
		return reason;
	posix_spawn_file_actions_init(&actions);
	if (command->flags & AGENT_EXEC_TERMINAL)
		ready = open_terminal(channel, command, &actions);
	else
		ready = open_pipes(channel, &actions, child);
	reason = ready ? spawn(channel, command, &actions) : errno;
	posix_spawn_file_actions_destroy(&actions);
	for (int which = 0; which < 3; which++)
		if (child[which] >= 0)
			close(child[which]);
	return reason;
}

bool open_command(struct channel *channel, const uint8_t *payload, size_t length)
{
	size_t strings = count_strings(payload, length);
	struct command *command;
	int reason;

	channel->kind = CHANNEL_COMMAND;
	if (strings == 0)
		return false;
	command = calloc(1, sizeof(*command) + (strings + 2) * sizeof(command->words[0]));
	if (!command) {
		fail_channel(channel, 126, "out of memory");
		return true;
	}
	if (!parse_command(command, payload, strings)) {
		free(command);
		return false;
	}
	reason = start_command(channel, command);
	if (reason == ENOENT || reason == ENOTDIR)
		fail_channel(channel, 127, "%.400s: not found", command->words[0]);
	else if (reason)
		fail_channel(channel, 126, "%.400s: %s", command->words[0], strerror(reason));
	free(command);
	return true;
}

static void note_end(struct agent *agent, pid_t pid, int status)
{
	for (size_t index = 0; index < CHANNELS_MAX; index++) {
		struct channel *channel = &agent->channels[index];

		if (!channel->id || channel->kind != CHANNEL_COMMAND || channel->pid != pid)
			continue;
		channel->pid = 0;
		channel->ended = read_clock();
		channel->signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
		channel->status = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 128 + channel->signal;
		for (int which = 0; which < 2; which++)
			if (channel->output[which].fd >= 0)
				ioctl(channel->output[which].fd, FIONREAD, &channel->output[which].unread);
	}
}

void reap_commands(struct agent *agent)
{
	struct signalfd_siginfo information;
	int status;
	pid_t pid;

	/* One read empties it: a pending SIGCHLD is kept once, however many children ended. */
	if (read(agent->child_fd, &information, sizeof(information)) < 0 && errno != EAGAIN)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_end(agent, pid, status);
}

static bool is_output_done(const struct channel_output *output, bool grace_over)
{
	return output->fd < 0 || (grace_over && output->unread == 0);
}

bool is_command_done(const struct channel *channel, long long now)
{
	bool grace_over = now >= channel->ended + GRACE_MS;

	return !channel->pid && is_output_done(&channel->output[0], grace_over) &&
	       is_output_done(&channel->output[1], grace_over);
}

/* Milliseconds until the command's grace is over, or -1 if it does not wait for that.  It may have been over before
 * anybody asked, on a busy host. */
int get_command_timeout(const struct channel *channel, long long now)
{
	long long left = channel->ended + GRACE_MS - now;

	if (channel->kind != CHANNEL_COMMAND || channel->pid || channel->finished)
		return -1;
	if (left < 0)
		return is_command_done(channel, now) ? 1 : -1;
	return (int)left;
}

void signal_command(const struct channel *channel, uint32_t number)
{
	if (channel->pid > 0 && number < 65)
		kill(-channel->pid, (int)number);
}

void resize_command(const struct channel *channel, uint16_t rows, uint16_t columns)
{
	if (channel->terminal && channel->output[0].fd >= 0)
		set_size(channel->output[0].fd, rows, columns);
}
