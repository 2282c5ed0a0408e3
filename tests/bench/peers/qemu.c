/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU without a machine: its hub, and two sockets in a folder, "0" and "1", that belong to "qemu0" and "qemu1". */
#include "ends.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

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
	end_switch(child);
	remove_folder(folder);
}

void measure_qemu(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_qemu_by(false, size, outcome, rounds, nanoseconds);
}

void measure_qemu_dumped(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	measure_qemu_by(true, size, outcome, rounds, nanoseconds);
}
