/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/bridge/tap_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

static int fail(struct error *error, const char *name, const char *what, int result)
{
	return error_set(error, ERROR_HOST, -result, "the TAP %s cannot be %s: %s", name, what, strerror(-result));
}

/* Makes the descriptor one of the device 'name', and gives the name the kernel has for that. */
static int attach(int fd, const char *name, char *device)
{
	struct ifreq request = {.ifr_flags = TAP_FLAGS};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	memcpy(device, request.ifr_name, IF_NAMESIZE);
	return 0;
}

/* No offloads: the kernel completes checksums and cuts segments before they get here, so that captures have what a wire
 * would carry. */
static int set_header(int fd)
{
	int size = TAP_HEADER_SIZE, little_endian = 1;

	return ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &little_endian) < 0 ||
			       ioctl(fd, TUNSETOFFLOAD, 0) < 0 ?
		       -errno :
		       0;
}

int tap_device_adopt(int fd, const char *name, struct error *error)
{
	struct ifreq request = {.ifr_flags = 0};
	char device[IF_NAMESIZE];
	int result = attach(fd, name, device);

	if (result == 0 && ioctl(fd, TUNGETIFF, &request) < 0)
		result = -errno;
	if (result == 0 && strncmp(request.ifr_name, name, sizeof(request.ifr_name)) != 0)
		result = -EBUSY;
	if (result == 0)
		result = set_header(fd);
	return result == 0 ? 0 : fail(error, name, "set up", result);
}

int tap_device_open(const char *name, char *device, struct error *error)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), result;

	if (fd < 0)
		return error_set(error, ERROR_HOST, errno, "/dev/net/tun cannot be opened: %s%s", strerror(errno),
				 errno == EACCES || errno == EPERM  ? "\n  help: sudo chmod 666 /dev/net/tun" :
				 errno == ENOENT || errno == ENODEV ? "\n  help: sudo modprobe tun" :
								      "");
	result = attach(fd, name, device);
	if (result == 0)
		result = set_header(fd);
	if (result == 0)
		return fd;
	close(fd);
	return fail(error, name, "opened", result);
}

/* The device's MTU, in bytes, or a negative errno value. */
static int get_mtu(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_flags = 0};
	int result;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	result = ioctl(fd, SIOCGIFMTU, &request) < 0 ? -errno : request.ifr_mtu;
	close(fd);
	return result;
}

int tap_device_open_own(const char *name, char *device, uint32_t *mtu, struct error *error)
{
	int found = get_mtu(name);

	if (found < 0) /* To make one would need a privilege, and root would have it made down, without a use. */
		return error_set(
			error, ERROR_HOST, -found,
			"there is no TAP %s: %s\n  help: root makes it by \"ip tuntap add %s mode tap user USER; ip "
			"link set %s up\"",
			name, strerror(-found), name, name);
	*mtu = (uint32_t)found;
	return tap_device_open(name, device, error);
}
