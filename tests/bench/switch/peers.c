/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"

#define SECOND 1000000000ull
#define WINDOW 32
#define FRAME_MAX 2048
/* What has not arrived by then is lost, nanoseconds. */
#define PATIENCE 20000000ull
#define ROUNDS_MAX 16

/* Two ports.  Both functions do not wait, and return a negative value where they would. */
struct ends {
	void *ends[2];
	ssize_t (*send)(void *end, const void *frame, size_t size);
	ssize_t (*receive)(void *end, void *frame, size_t size);
};

/* What the process that measures has to say. */
struct outcome {
	char failure[128]; /* Empty: there are rates. */
	double rates[ROUNDS_MAX];
};

static void fail(struct outcome *outcome, const char *text)
{
	snprintf(outcome->failure, sizeof(outcome->failure), "%s", text);
}

/* Takes what there is.  Returns the number of frames. */
static unsigned int take(const struct ends *ends, unsigned int end)
{
	uint8_t frame[FRAME_MAX];
	unsigned int count = 0;

	while (count < WINDOW && ends->receive(ends->ends[end], frame, sizeof(frame)) > 0)
		count++;
	return count;
}

static double measure(const struct ends *ends, const uint8_t *frame, uint32_t size, uint64_t nanoseconds)
{
	uint64_t begin = loop_now(), now = begin, moved = begin, received = 0;
	unsigned int waiting = 0, taken;

	while (now - begin < nanoseconds) {
		while (waiting < WINDOW && ends->send(ends->ends[0], frame, size) > 0)
			waiting++;
		taken = take(ends, 1);
		received += taken;
		waiting -= taken < waiting ? taken : waiting;
		now = loop_now();
		if (taken > 0)
			moved = now;
		else if (now - moved > PATIENCE)
			waiting = 0;
	}
	return (double)received * (double)SECOND / (double)(now - begin);
}

/* The second end is learnt by a frame that it sends. */
static void measure_rounds(const struct ends *ends, uint32_t size, struct outcome *outcome, unsigned int rounds,
			   uint64_t nanoseconds)
{
	uint8_t frame[FRAME_MAX] = {0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x88, 0xb5};
	uint8_t answer[FRAME_MAX] = {0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 0x88, 0xb5};

	ends->send(ends->ends[1], answer, size);
	measure(ends, frame, size, nanoseconds);
	for (unsigned int i = 0; i < rounds; i++)
		outcome->rates[i] = measure(ends, frame, size, nanoseconds);
	if (outcome->rates[0] == 0)
		fail(outcome, "no frame arrived");
}

static void pin(int place)
{
	cpu_set_t processors;

	CPU_ZERO(&processors);
	CPU_SET(place, &processors);
	(void)sched_setaffinity(0, sizeof(processors), &processors);
}

/* vde_switch: functions of libvdeplug.h, which need not be there when this is compiled. */

struct vde {
	void *(*open)(const char *url, char *description, int version, void *arguments);
	ssize_t (*send)(void *connection, const void *frame, size_t size, int flags);
	ssize_t (*receive)(void *connection, void *frame, size_t size, int flags);
	int (*descriptor)(void *connection);
};

static struct vde vde;

#define VDE_INTERFACE_VERSION 1

static ssize_t send_vde(void *end, const void *frame, size_t size)
{
	return vde.send(end, frame, size, 0);
}

static ssize_t receive_vde(void *end, void *frame, size_t size)
{
	return vde.receive(end, frame, size, 0);
}

/* A pointer to a function and one to an object are as large here (POSIX, dlsym()). */
static bool find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static bool load_vde(void)
{
	void *library = dlopen("libvdeplug.so.2", RTLD_NOW);

	return library && find(library, "vde_open_real", &vde.open) && find(library, "vde_send", &vde.send) &&
	       find(library, "vde_recv", &vde.receive) && find(library, "vde_datafd", &vde.descriptor);
}

static pid_t start_vde_switch(char *folder)
{
	int commands[2]; /* Which nobody writes: with the end of its input the switch ends. */
	pid_t pid;

	if (pipe2(commands, 0) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		pin(0);
		dup2(commands[0], STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execlp("vde_switch", "vde_switch", "-s", folder, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* Tries until the switch listens, or is not there. */
static void *open_vde(const char *folder, pid_t child)
{
	void *connection = NULL;

	for (int i = 0; i < 1000 && !connection && waitpid(child, NULL, WNOHANG) == 0; i++) {
		char description[] = "bench";

		connection = vde.open(folder, description, VDE_INTERFACE_VERSION, NULL);
		if (!connection)
			usleep(10000);
	}
	if (connection)
		fcntl(vde.descriptor(connection), F_SETFL, O_NONBLOCK);
	return connection;
}

static void measure_vde(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	struct ends ends = {.send = send_vde, .receive = receive_vde};
	char folder[] = "/tmp/bench-vde-XXXXXX", control[sizeof(folder) + 4];
	pid_t child;

	if (!load_vde()) {
		fail(outcome, "no libvdeplug2");
		return;
	}
	if (!mkdtemp(folder))
		return;
	snprintf(control, sizeof(control), "%s/ctl", folder);
	child = start_vde_switch(control);
	pin((int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
	ends.ends[0] = child > 0 ? open_vde(control, child) : NULL;
	ends.ends[1] = ends.ends[0] ? open_vde(control, child) : NULL;
	if (ends.ends[1])
		measure_rounds(&ends, size, outcome, rounds, nanoseconds);
	else
		fail(outcome, "no vde_switch");
	if (child > 0) {
		kill(child, SIGTERM);
		waitpid(child, NULL, 0);
	}
	rmdir(folder); /* The switch has removed what was in it. */
}

/* Linux's bridge. */

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

static void measure_bridge(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
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
		measure_rounds(&ends, size, outcome, rounds, nanoseconds);
}

/* DPDK: the script measures. */

static bool measure_dpdk_once(uint32_t size, double *rate, struct outcome *outcome)
{
	char command[128], line[128] = "";
	FILE *output;
	int status;

	snprintf(command, sizeof(command), "tests/bench/switch/dpdk %" PRIu32 " 2>/dev/null", size);
	output = popen(command, "re");
	if (!output)
		return false;
	if (fgets(line, sizeof(line), output))
		line[strcspn(line, "\n")] = '\0';
	status = pclose(output);
	if (status != 0)
		fail(outcome, WIFEXITED(status) && WEXITSTATUS(status) == 3 ? line : "run it in the source's folder");
	*rate = strtod(line, NULL);
	return status == 0;
}

static void measure_dpdk(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	(void)nanoseconds; /* Some seconds each: starting takes longer. */
	for (unsigned int i = 0; i < rounds; i++)
		if (!measure_dpdk_once(size, &outcome->rates[i], outcome))
			return;
}

static const struct {
	const char *name;
	void (*measure)(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
} peers[PEER_COUNT] = {
	[PEER_VDE] = {"vde_switch", measure_vde},
	[PEER_BRIDGE] = {"Linux bridge, two TAPs", measure_bridge},
	[PEER_DPDK] = {"DPDK testpmd, both ways", measure_dpdk},
};

const char *peer_name(enum peer peer)
{
	return peers[peer].name;
}

const char *peer_measure(enum peer peer, uint32_t size, double *rates, unsigned int rounds, uint64_t nanoseconds)
{
	static struct outcome outcome;
	int pipes[2];
	pid_t child;

	if (rounds > ROUNDS_MAX || size > FRAME_MAX || pipe2(pipes, O_CLOEXEC) < 0)
		return "out of range";
	outcome = (struct outcome){0};
	fflush(stdout);
	child = fork();
	if (child == 0) {
		peers[peer].measure(size, &outcome, rounds, nanoseconds);
		_exit(write(pipes[1], &outcome, sizeof(outcome)) == (ssize_t)sizeof(outcome) ? 0 : 1);
	}
	close(pipes[1]);
	if (child < 0 || read(pipes[0], &outcome, sizeof(outcome)) != (ssize_t)sizeof(outcome))
		fail(&outcome, "it died");
	close(pipes[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	memcpy(rates, outcome.rates, rounds * sizeof(*rates));
	return outcome.failure[0] ? outcome.failure : NULL;
}
