/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the agent's virtio port by its name, and waits for the host.
 *
 * The name of a port appears in sysfs after its device file, on its own kernel event, so events and not the
 * folder /dev are waited for.  While the host has not opened its side, the port polls as hung up for ever;
 * an edge-triggered epoll sleeps until that changes. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORTS_FOLDER "/sys/class/virtio-ports"

/* Events can be missed when many come at once, so the folder is looked at once a second all the same. */
#define SEARCH_PAUSE_MS 1000
#define RETRY_PAUSE_MS 100

static bool is_named_for_agent(const char *entry)
{
	char path[320], name[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), PORTS_FOLDER "/%s/name", entry);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, name, sizeof(name) - 1);
	close(fd);
	if (got <= 0)
		return false;
	name[got] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, AGENT_PORT_NAME);
}

static bool find_device(struct port *port)
{
	DIR *folder = opendir(PORTS_FOLDER);
	struct dirent *entry;
	bool found = false;

	if (!folder)
		return false;
	while (!found && (entry = readdir(folder)))
		if (entry->d_name[0] != '.' && is_named_for_agent(entry->d_name)) {
			snprintf(port->device, sizeof(port->device), "/dev/%.32s", entry->d_name);
			found = true;
		}
	closedir(folder);
	return found;
}

static int open_events(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Waits for a kernel event, whatever it is about, or a second. */
static void wait_event(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	char event[4096];

	poll(&poller, 1, SEARCH_PAUSE_MS);
	while (fd >= 0 && recv(fd, event, sizeof(event), 0) > 0)
		;
}

/* Subscribes before it looks a second time, so that no event falls between. */
static void wait_device(struct port *port)
{
	int events;

	if (find_device(port))
		return;
	events = open_events();
	while (!find_device(port))
		wait_event(events);
	if (events >= 0)
		close(events);
}

static int connect_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Opens the port, waiting as long as it takes for it to be there. */
int open_port(struct port *port)
{
	for (;;) {
		int fd;

		if (port->socket_path) {
			fd = connect_socket(port->socket_path);
		} else {
			wait_device(port);
			fd = open(port->device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		}
		if (fd >= 0)
			return fd;
		poll(NULL, 0, RETRY_PAUSE_MS);
	}
}

/* Waits until the host has opened its side; false if the port is gone. */
bool wait_port_connected(const struct port *port, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	struct pollfd poller = {.fd = fd, .events = POLLOUT};
	int epoll;

	if (poll(&poller, 1, 0) >= 0 && !(poller.revents & (POLLHUP | POLLERR | POLLNVAL)))
		return true;
	if (port->socket_path)
		return false;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
		if (epoll >= 0)
			close(epoll);
		poll(NULL, 0, SEARCH_PAUSE_MS);
		return false;
	}
	do
		epoll_wait(epoll, &event, 1, -1);
	while (event.events & EPOLLHUP && !(event.events & EPOLLERR));
	close(epoll);
	return !(event.events & EPOLLERR);
}
