/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's bridge with two TAPs, in a network namespace, and a capture by tcpdump at one of them. */
#include "ends.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static ssize_t send_tap(void *end, const void *frame, size_t size)
{
	return write(*(int *)end, frame, size);
}

static ssize_t receive_tap(void *end, void *frame, size_t size)
{
	return read(*(int *)end, frame, size);
}

static int open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool run(const char *command)
{
	return system(command) == 0; /* NOLINT(cert-env33-c): these are ours, and it is a benchmark. */
}

static bool set_up_bridge(void)
{
	(void)run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 2>/dev/null");
	return run("ip link add bench-br type bridge stp_state 0 mcast_snooping 0 2>/dev/null") &&
	       run("ip link set bench0 master bench-br up && ip link set bench1 master bench-br up && "
		   "ip link set bench-br up");
}

/* A capture by tcpdump. */
struct dump {
	pid_t pid;
	FILE *report; /* What it writes to stderr. */
	char path[64];
};

static bool wait_for_text(FILE *report, const char *text)
{
	char line[256];

	while (fgets(line, sizeof(line), report))
		if (strstr(line, text))
			return true;
	return false;
}

/* Starts it, and returns when it captures. */
static bool start_dump(struct dump *dump)
{
	int report[2], file;

	strcpy(dump->path, "/tmp/bench-tcpdump-XXXXXX");
	file = mkstemp(dump->path);
	if (file < 0 || pipe2(report, O_CLOEXEC) < 0)
		return false;
	close(file);
	dump->pid = fork();
	if (dump->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(report[1], STDERR_FILENO);
		execlp("tcpdump", "tcpdump", "-ni", "bench0", "-w", dump->path, (char *)NULL);
		_exit(127);
	}
	close(report[1]);
	dump->report = fdopen(report[0], "r");
	return dump->pid > 0 && dump->report && wait_for_text(dump->report, "listening on");
}

/* Ends it.  Returns the part that it says it lost. */
static double end_dump(struct dump *dump)
{
	unsigned long captured = 0, lost = 0;
	char line[256];

	kill(dump->pid, SIGINT);
	while (fgets(line, sizeof(line), dump->report)) {
		if (strstr(line, "packets captured"))
			captured = strtoul(line, NULL, 10);
		else if (strstr(line, "dropped by kernel"))
			lost = strtoul(line, NULL, 10);
	}
	waitpid(dump->pid, NULL, 0);
	fclose(dump->report);
	unlink(dump->path);
	return captured + lost ? (double)lost / (double)(captured + lost) : 1;
}

static void measure_dumped(const struct ends *ends, uint32_t size, struct outcome *outcome, unsigned int rounds,
			   uint64_t nanoseconds)
{
	struct dump dump;

	if (!start_dump(&dump)) {
		unlink(dump.path);
		fail(outcome, "no tcpdump");
		return;
	}
	measure_rounds(ends, size, outcome, rounds, nanoseconds);
	outcome->lost = end_dump(&dump);
}

typedef void measuring(const struct ends *ends, uint32_t size, struct outcome *outcome, unsigned int rounds,
		       uint64_t nanoseconds);

static void measure_bridge_by(measuring *by, uint32_t size, struct outcome *outcome, unsigned int rounds,
			      uint64_t nanoseconds)
{
	int taps[2];
	struct ends ends = {.ends = {&taps[0], &taps[1]}, .send = send_tap, .receive = receive_tap};

	if (unshare(CLONE_NEWNET) < 0) {
		fail(outcome, "no network namespaces without root");
		return;
	}
	taps[0] = open_tap("bench0");
	taps[1] = open_tap("bench1");
	if (taps[0] < 0 || taps[1] < 0)
		fail(outcome, "no TAPs: /dev/net/tun");
	else if (!set_up_bridge())
		fail(outcome, "no bridges here");
	else
		by(&ends, size, outcome, rounds, nanoseconds);
}

void measure_bridge(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_bridge_by(measure_rounds, size, outcome, rounds, nanoseconds);
}

void measure_bridge_dumped(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_bridge_by(measure_dumped, size, outcome, rounds, nanoseconds);
}
