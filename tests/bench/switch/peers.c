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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
	double lost;
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

static void measure_bridge(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_bridge_by(measure_rounds, size, outcome, rounds, nanoseconds);
}

static void measure_bridge_dumped(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_bridge_by(measure_dumped, size, outcome, rounds, nanoseconds);
}

/* QEMU without a machine: its hub, and two sockets in a folder, "0" and "1", that belong to "qemu0" and "qemu1". */

static ssize_t send_socket(void *end, const void *frame, size_t size)
{
	return send(*(int *)end, frame, size, MSG_DONTWAIT);
}

static ssize_t receive_socket(void *end, void *frame, size_t size)
{
	return recv(*(int *)end, frame, size, MSG_DONTWAIT);
}

static pid_t start_qemu(const char *folder, bool dumps)
{
	char netdevs[2][256], dump[128];
	pid_t pid;

	for (int i = 0; i < 2; i++)
		snprintf(netdevs[i], sizeof(netdevs[i]),
			 "dgram,id=end%d,local.type=unix,local.path=%s/qemu%d,remote.type=unix,remote.path=%s/%d", i,
			 folder, i, folder, i);
	snprintf(dump, sizeof(dump), "filter-dump,id=dump,netdev=end0,file=%s/dump", folder);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		pin(0);
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* It warns of what has no machine. */
		execlp("qemu-system-x86_64", "qemu-system-x86_64", "-machine", "none", "-nodefaults", "-nographic",
		       "-serial", "null", "-monitor", "null", "-netdev", netdevs[0], "-netdev", netdevs[1], "-netdev",
		       "hubport,id=port0,hubid=0,netdev=end0", "-netdev", "hubport,id=port1,hubid=0,netdev=end1",
		       dumps ? "-object" : (char *)NULL, dump, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static struct sockaddr_un address_of(const char *folder, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
	return address;
}

static int bind_socket(const char *folder, const char *name)
{
	const struct sockaddr_un address = address_of(folder, name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : fd;
}

/* Tries until QEMU has made its socket, or is not there. */
static bool connect_socket(int fd, const char *folder, const char *name, pid_t child)
{
	const struct sockaddr_un address = address_of(folder, name);
	bool is_connected = false;

	for (int i = 0; i < 1000 && !is_connected && waitpid(child, NULL, WNOHANG) == 0; i++) {
		is_connected = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
		if (!is_connected)
			usleep(10000);
	}
	return is_connected;
}

static void remove_folder(const char *folder)
{
	static const char *const names[] = {"0", "1", "qemu0", "qemu1", "dump"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(address_of(folder, names[i]).sun_path);
	rmdir(folder);
}

static void measure_qemu_by(bool dumps, uint32_t size, struct outcome *outcome, unsigned int rounds,
			    uint64_t nanoseconds)
{
	char folder[] = "/tmp/bench-qemu-XXXXXX";
	int sockets[2];
	struct ends ends = {.ends = {&sockets[0], &sockets[1]}, .send = send_socket, .receive = receive_socket};
	pid_t child;

	if (!mkdtemp(folder))
		return;
	sockets[0] = bind_socket(folder, "0");
	sockets[1] = bind_socket(folder, "1");
	child = start_qemu(folder, dumps);
	pin((int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
	if (child > 0 && connect_socket(sockets[0], folder, "qemu0", child) &&
	    connect_socket(sockets[1], folder, "qemu1", child))
		measure_rounds(&ends, size, outcome, rounds, nanoseconds);
	else
		fail(outcome, "no qemu-system-x86 (7.2 or later)");
	if (child > 0) {
		kill(child, SIGTERM);
		waitpid(child, NULL, 0);
	}
	remove_folder(folder);
}

static void measure_qemu(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_qemu_by(false, size, outcome, rounds, nanoseconds);
}

static void measure_qemu_dumped(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_qemu_by(true, size, outcome, rounds, nanoseconds);
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
} peers[PEER_COUNT_CAPTURED] = {
	[PEER_VDE] = {"vde_switch", measure_vde},
	[PEER_BRIDGE] = {"Linux bridge, two TAPs", measure_bridge},
	[PEER_DPDK] = {"DPDK testpmd, both ways", measure_dpdk},
	[PEER_BRIDGE_TCPDUMP] = {"tcpdump -w at a TAP", measure_bridge_dumped},
	[PEER_QEMU] = {"QEMU's hub, two sockets", measure_qemu},
	[PEER_QEMU_DUMP] = {"QEMU's filter-dump", measure_qemu_dumped},
};

const char *peer_name(enum peer peer)
{
	return peers[peer].name;
}

const char *peer_measure(enum peer peer, uint32_t size, double *rates, unsigned int rounds, uint64_t nanoseconds,
			 double *lost)
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
	if (lost)
		*lost = outcome.lost;
	return outcome.failure[0] ? outcome.failure : NULL;
}
