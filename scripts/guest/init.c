/* SPDX-License-Identifier: Apache-2.0 */
/* init: process 1 of a guest.
 *
 * It mounts the kernel's file systems, loads the modules a distribution's kernel needs (the lab kernel needs
 * none), starts the agent, and once the agent says so, a shell on the console.  Both are started again when they
 * end.  Nothing here waits for a device: what is not there yet is tried again later.
 *
 * The shell waits until somebody is at the console, for it costs a second where processors are slow, and memory.
 * The agent says so with SIGHUP.
 *
 * Power-off and reboot are asked for as from busybox's init: SIGUSR1 halts, SIGUSR2 powers off, SIGTERM and
 * SIGINT reboot.  Unknown KEY=VALUE words of the kernel's command line arrive as environment, and everything
 * inherits them; NETLAB_CONSOLE=NAME names another terminal than hvc0 for the shell. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODULE_FOLDER "/lib/modules/"
#define MODULE_LIST MODULE_FOLDER "load"
#define BUSYBOX "/bin/busybox"
#define AGENT "/netlab-agent"

/* A file system that the machine has put in memory, so that it need not be unpacked: the tools. */
#define TOOLS_DEVICE "/dev/vda"
#define TOOLS_FOLDER "/usr"

/* What is not to be started by itself is due then. */
#define NEVER LLONG_MAX
#define RESPAWN_PAUSE_MS 1000
#define CONSOLE_PAUSE_MS 2000
#define SHUTDOWN_PATIENCE_MS 1500

/* A process that is started again whenever it ends. */
struct service {
	pid_t pid;         /* 0 while it does not run. */
	long long due;     /* When to start it, in milliseconds of CLOCK_MONOTONIC. */
	long long started; /* When it was started last. */
	void (*run)(void); /* Runs in the child, and never returns. */
};

static long long read_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void report(const char *what, const char *name)
{
	fprintf(stderr, "init: %s %s: %s\n", what, name, strerror(errno));
}

static void mount_one(const char *type, const char *target, unsigned long flags, const char *options)
{
	mkdir(target, 0755);
	if (mount(type, target, type, flags, options) && errno != EBUSY)
		report("mount", target);
}

/* What is in the archive is in memory, so /run, where an image may have folders for its daemons, is left as it is. */
static void mount_all(void)
{
	const unsigned long plain = MS_NOSUID | MS_NOEXEC | MS_NODEV;

	mount_one("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount_one("proc", "/proc", plain, NULL);
	mount_one("sysfs", "/sys", plain, NULL);
	mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5");
	mount_one("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_one("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

/* The tools are in the archive, or else on the image's disk. */
static void mount_tools(void)
{
	if (access(TOOLS_FOLDER "/bin", F_OK) && !access(TOOLS_DEVICE, F_OK) &&
	    mount(TOOLS_DEVICE, TOOLS_FOLDER, "erofs", MS_RDONLY, NULL))
		report("mount", TOOLS_DEVICE);
}

/* The archive holds no device nodes, so the kernel could not open /dev/console for us. */
static void open_log(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int standard = 0; standard <= 2 && fd >= 0; standard++)
		if (fd != standard)
			dup2(fd, standard);
	if (fd > 2)
		close(fd);
}

static void set_environment(const struct timespec *start)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld.%06ld", (long long)start->tv_sec, start->tv_nsec / 1000);
	setenv("NETLAB_INIT_TIME", text, 1);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("SHELL", "/bin/sh", 1);
	setenv("USER", "root", 1);
	setenv("LOGNAME", "root", 1);
	setenv("TERM", "linux", 0);
	if (!access(BUSYBOX, X_OK))
		setenv("NETLAB_APPLETS", BUSYBOX, 0); /* See the agent's command.c. */
}

static void load_module(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? "" : MODULE_FOLDER, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
		report("module", path);
	if (fd >= 0)
		close(fd);
}

/* Loads what MODULE_LIST names, a file a line, in its order: so dependencies come first. */
static void load_modules(void)
{
	FILE *list = fopen(MODULE_LIST, "re");
	char line[256];

	if (!list)
		return;
	while (fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] != '\0' && line[0] != '#')
			load_module(line);
	}
	fclose(list);
}

static void set_loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		report("interface", "lo");
	close(fd);
}

static void run_agent(void)
{
	execl(AGENT, "netlab-agent", (char *)NULL);
	_exit(127);
}

static void open_console_path(char *path, size_t size)
{
	const char *name = getenv("NETLAB_CONSOLE");

	snprintf(path, size, "/dev/%s", name && *name ? name : "hvc0");
}

/* A session of its own with the console as controlling terminal: that gives the shell job control. */
static void run_shell(void)
{
	char path[64];
	int fd;

	open_console_path(path, sizeof(path));
	setsid();
	fd = open(path, O_RDWR);
	if (fd < 0)
		_exit(127);
	ioctl(fd, TIOCSCTTY, 0);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
	if (chdir("/root"))
		chdir("/");
	execl("/bin/ash", "-ash", (char *)NULL);
	execl("/bin/sh", "-sh", (char *)NULL);
	_exit(127);
}

static bool is_console_present(void)
{
	char path[64];

	open_console_path(path, sizeof(path));
	return !access(path, R_OK | W_OK);
}

static void start_service(struct service *service, const sigset_t *blocked)
{
	pid_t pid = fork();

	if (pid == 0) {
		sigprocmask(SIG_UNBLOCK, blocked, NULL);
		service->run();
	}
	service->started = read_milliseconds();
	if (pid > 0)
		service->pid = pid;
	else
		service->due = service->started + RESPAWN_PAUSE_MS;
}

/* A service that ended at once is given a pause, so that a broken one does not take the whole processor. */
static void note_end(struct service *service, pid_t pid)
{
	long long now = read_milliseconds();

	if (service->pid != pid)
		return;
	service->pid = 0;
	service->due = now - service->started < RESPAWN_PAUSE_MS ? now + RESPAWN_PAUSE_MS : now;
}

static void reap_children(struct service *agent, struct service *shell)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		/* Without an agent the console is all there is. */
		if (pid == agent->pid && !shell->pid)
			shell->due = 0;
		note_end(agent, pid);
		note_end(shell, pid);
	}
}

/* Starts what is due, and returns how long to wait for the next one, or -1 if nothing is. */
static long long start_due(struct service *agent, struct service *shell, const sigset_t *blocked)
{
	long long now = read_milliseconds();
	long long wait = -1;

	if (!agent->pid && agent->due <= now)
		start_service(agent, blocked);
	if (!shell->pid && shell->due <= now) {
		if (is_console_present())
			start_service(shell, blocked);
		else
			shell->due = now + CONSOLE_PAUSE_MS;
	}
	if (!agent->pid)
		wait = agent->due - now;
	if (!shell->pid && shell->due != NEVER && (wait < 0 || shell->due - now < wait))
		wait = shell->due - now;
	return wait;
}

static int wait_signal(const sigset_t *signals, long long milliseconds)
{
	struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	return sigtimedwait(signals, NULL, milliseconds < 0 ? NULL : &limit);
}

/* Ends all processes but the agent, which ignores SIGTERM so that it can still report the exit status of the
 * command that asked for this, and then the agent too. */
static void shut_down(int how, const struct service *agent, const sigset_t *signals)
{
	long long limit = read_milliseconds() + SHUTDOWN_PATIENCE_MS;
	bool others = true;

	kill(-1, SIGTERM);
	kill(-1, SIGHUP);
	kill(-1, SIGCONT);
	while (others && read_milliseconds() < limit) {
		pid_t pid;

		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			if (pid == agent->pid)
				limit = 0;
		/* Only the agent left: a process 1 cannot count them cheaply, so the agent's absence of children
		 * is not looked for; a tenth of a second without an ending process is taken for the end. */
		others = pid == 0 && wait_signal(signals, 100) == SIGCHLD;
	}
	kill(-1, SIGKILL);
	sync();
	reboot(how);
	for (;;)
		pause();
}

static void write_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* A kernel without it has no need of it. */
	if (write(fd, value, strlen(value)) < 0)
		report("write", path);
	close(fd);
}

/* What the kernel would do twice or once a second though nothing happens: an idle guest is to cost nothing. */
static void calm_kernel(void)
{
	write_sysctl("/proc/sys/vm/compaction_proactiveness", "0");
	write_sysctl("/proc/sys/vm/stat_interval", "120");
}

static void handle_signal(int number, struct service *agent, struct service *shell, const sigset_t *signals)
{
	switch (number) {
	case SIGCHLD:
		reap_children(agent, shell);
		break;
	case SIGHUP:
		if (!shell->pid)
			shell->due = 0;
		break;
	case SIGUSR1:
		shut_down(RB_HALT_SYSTEM, agent, signals);
		break;
	case SIGUSR2:
		shut_down(RB_POWER_OFF, agent, signals);
		break;
	case SIGTERM:
	case SIGINT:
		shut_down(RB_AUTOBOOT, agent, signals);
		break;
	default:
		break;
	}
}

int main(void)
{
	struct service agent = {.run = run_agent};
	struct service shell = {.run = run_shell};
	struct timespec start;
	sigset_t signals;

	clock_gettime(CLOCK_BOOTTIME, &start);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	mount_all();
	open_log();
	mount_tools();
	set_environment(&start);
	reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del becomes SIGINT. */
	load_modules();
	set_loopback_up();
	calm_kernel();

	shell.due = NEVER;
	for (;;) {
		long long wait = start_due(&agent, &shell, &signals);

		handle_signal(wait_signal(&signals, wait), &agent, &shell, &signals);
	}
}
