/* SPDX-License-Identifier: Apache-2.0 */
/* vde_switch: functions of libvdeplug.h, which need not be there when this is compiled. */
#include "ends.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

void measure_vde(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
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
	end_switch(child);
	rmdir(folder); /* The switch has removed what was in it. */
}
