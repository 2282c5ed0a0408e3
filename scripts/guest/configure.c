/* SPDX-License-Identifier: Apache-2.0 */
/* AGENT_CONFIGURE: text lines, done in order, each failure reported and then gone on from.
 *
 * Everything is done by system calls directly: starting a program would take longer than all of it. */
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define INTERFACES_MAX 64
#define ENTROPY_MAX 512
#define LINE_MAX_LENGTH 4096

struct configuration {
	struct errors *errors;
	int netlink; /* -1 until it is needed. */
	bool rescanned;
	size_t interface_count;
	struct interface_request interfaces[INTERFACES_MAX];
	bool interfaces_done;
	char *hosts; /* What is to be added to /etc/hosts, a string, or NULL. */
	size_t hosts_length, hosts_room;
};

/* One word of a line of configuration, and what does it. */
struct directive {
	const char *name;
	bool (*apply)(struct configuration *configuration, char *arguments);
};

/* Adds a line; what goes beyond the buffer is left out. */
void add_error(struct errors *errors, const char *format, ...)
{
	size_t room = sizeof(errors->text) - errors->length;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(errors->text + errors->length, room, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length + 1 >= room)
		return;
	errors->length += (size_t)length;
	errors->text[errors->length++] = '\n';
}

static int get_netlink(struct configuration *configuration)
{
	if (configuration->netlink < 0)
		configuration->netlink = open_netlink();
	return configuration->netlink;
}

static bool write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	size_t length = strlen(text);
	bool good;
	int reason;

	if (fd < 0)
		return false;
	good = write(fd, text, length) == (ssize_t)length;
	reason = errno;
	close(fd);
	errno = reason;
	return good;
}

/* Splits off the first word, and gives what comes after it. */
static char *split_word(char *text)
{
	char *end = text + strcspn(text, " \t");

	if (*end)
		*end++ = '\0';
	return end + strspn(end, " \t");
}

static int get_nibble(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	if (character >= 'a' && character <= 'f')
		return character - 'a' + 10;
	if (character >= 'A' && character <= 'F')
		return character - 'A' + 10;
	return -1;
}

/* Gives the number of bytes, or 0 if the text is not pairs of hexadecimal digits that fit. */
static size_t parse_hex(const char *text, uint8_t *bytes, size_t size)
{
	size_t length = strlen(text) / 2;

	if (strlen(text) % 2 || length > size)
		return 0;
	for (size_t index = 0; index < length; index++) {
		int high = get_nibble(text[2 * index]), low = get_nibble(text[2 * index + 1]);

		if (high < 0 || low < 0)
			return 0;
		bytes[index] = (uint8_t)(high << 4 | low);
	}
	return length;
}

static bool refuse(int reason)
{
	errno = reason;
	return false;
}

static bool apply_hostname(struct configuration *configuration, char *arguments)
{
	(void)configuration;
	if (!*arguments || strlen(arguments) > 64)
		return refuse(EINVAL);
	return !sethostname(arguments, strlen(arguments)) && write_file("/etc/hostname", O_CREAT | O_TRUNC, arguments);
}

static bool apply_machine_id(struct configuration *configuration, char *arguments)
{
	uint8_t bytes[16];
	char line[40];

	(void)configuration;
	if (parse_hex(arguments, bytes, sizeof(bytes)) != sizeof(bytes))
		return refuse(EINVAL);
	snprintf(line, sizeof(line), "%s\n", arguments);
	return write_file("/etc/machine-id", O_CREAT | O_TRUNC, line);
}

static bool apply_time(struct configuration *configuration, char *arguments)
{
	struct timespec now;
	char *end, *fraction;

	(void)configuration;
	now.tv_sec = strtoll(arguments, &end, 10);
	if (end == arguments || *end != '.')
		return refuse(EINVAL);
	fraction = end + 1;
	now.tv_nsec = strtol(fraction, &end, 10);
	if (end == fraction || *end)
		return refuse(EINVAL);
	return !clock_settime(CLOCK_REALTIME, &now);
}

static bool apply_entropy(struct configuration *configuration, char *arguments)
{
	struct {
		int entropy_count;
		int size;
		uint8_t bytes[ENTROPY_MAX];
	} pool;
	size_t length = parse_hex(arguments, pool.bytes, sizeof(pool.bytes));
	bool good;
	int fd;

	(void)configuration;
	if (!length)
		return refuse(EINVAL);
	pool.entropy_count = (int)length * 8;
	pool.size = (int)length;
	fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = !ioctl(fd, RNDADDENTROPY, &pool) && !ioctl(fd, RNDRESEEDCRNG);
	close(fd);
	return good;
}

static bool apply_rescan(struct configuration *configuration, char *arguments)
{
	if (*arguments)
		return refuse(EINVAL);
	configuration->rescanned = true;
	return write_file("/sys/bus/pci/rescan", 0, "1\n");
}

static bool parse_mac(const char *text, uint8_t *mac)
{
	for (int index = 0; index < 6; index++) {
		const char *digits = text + 3 * index;

		if (strlen(text) != 17 || get_nibble(digits[0]) < 0 || get_nibble(digits[1]) < 0 ||
		    (index < 5 && digits[2] != ':'))
			return false;
		mac[index] = (uint8_t)((unsigned int)get_nibble(digits[0]) << 4 | (unsigned int)get_nibble(digits[1]));
	}
	return true;
}

static bool apply_park(struct configuration *configuration, char *arguments)
{
	int fd = get_netlink(configuration), reason;
	uint8_t mac[6];

	if (!parse_mac(arguments, mac))
		return refuse(EINVAL);
	if (fd < 0)
		return false;
	reason = park_link(fd, mac);
	return reason ? refuse(reason) : true;
}

static bool parse_interface(char *arguments, struct interface_request *request)
{
	char *name = split_word(arguments), *mtu = split_word(name), *present = split_word(mtu), *end;
	unsigned long number = strtoul(mtu, &end, 10);

	if (!parse_mac(arguments, request->mac) || !parse_mac(*present ? present : arguments, request->present))
		return false;
	if (!*name || strlen(name) >= sizeof(request->name) || end == mtu || *end || number > 65535)
		return false;
	snprintf(request->name, sizeof(request->name), "%s", name);
	request->mtu = (uint32_t)number;
	return true;
}

/* All are applied at the first one, together, so that names can be swapped. */
static bool apply_interface(struct configuration *configuration, char *arguments)
{
	int fd;

	(void)arguments;
	if (configuration->interfaces_done)
		return true;
	configuration->interfaces_done = true;
	if (!configuration->interface_count)
		return true;
	fd = get_netlink(configuration);
	if (fd < 0)
		return false;
	apply_interfaces(fd, configuration->interfaces, configuration->interface_count, configuration->rescanned,
			 configuration->errors);
	return true;
}

static bool apply_address(struct configuration *configuration, char *arguments)
{
	char *address = split_word(arguments), *slash = strchr(address, '/'), *end;
	uint8_t bytes[16];
	unsigned long prefix;
	int family, reason, fd;

	if (!slash)
		return refuse(EINVAL);
	*slash = '\0';
	family = strchr(address, ':') ? AF_INET6 : AF_INET;
	prefix = strtoul(slash + 1, &end, 10);
	if (end == slash + 1 || *end || prefix > (family == AF_INET ? 32 : 128) ||
	    inet_pton(family, address, bytes) != 1)
		return refuse(EINVAL);
	*slash = '/';
	fd = get_netlink(configuration);
	if (fd < 0)
		return false;
	reason = add_address(fd, arguments, family, bytes, (unsigned int)prefix);
	return reason ? refuse(reason) : true;
}

/* Dots of the key become folders; a slash stands for a dot within a name, as in "net.ipv4.conf.eth0/7.mtu". */
static bool apply_sysctl(struct configuration *configuration, char *arguments)
{
	static const char root[] = "/proc/sys/";
	char *value = split_word(arguments);
	char path[512];
	size_t used = sizeof(root) - 1;

	(void)configuration;
	if (!*arguments || !*value || strlen(arguments) >= sizeof(path) - used || strstr(arguments, "//"))
		return refuse(EINVAL);
	memcpy(path, root, used);
	for (const char *next = arguments; *next; next++)
		path[used++] = *next == '.' ? '/' : *next == '/' ? '.' : *next;
	path[used] = '\0';
	return write_file(path, 0, value);
}

/* A lab of a hundred nodes has as many of these: they are written together, by write_hosts(). */
static bool apply_host(struct configuration *configuration, char *arguments)
{
	char *name = split_word(arguments), *larger;
	size_t length = strlen(arguments) + strlen(name) + 2;
	size_t room = 2 * configuration->hosts_room + length + 1;
	uint8_t bytes[16];

	if (!*name || strlen(name) > 255 ||
	    (inet_pton(AF_INET, arguments, bytes) != 1 && inet_pton(AF_INET6, arguments, bytes) != 1))
		return refuse(EINVAL);
	if (configuration->hosts_length + length >= configuration->hosts_room) {
		larger = realloc(configuration->hosts, room);
		if (!larger)
			return refuse(ENOMEM);
		configuration->hosts = larger;
		configuration->hosts_room = room;
	}
	snprintf(configuration->hosts + configuration->hosts_length, length + 1, "%s\t%s\n", arguments, name);
	configuration->hosts_length += length;
	return true;
}

static void write_hosts(struct configuration *configuration)
{
	if (configuration->hosts && !write_file("/etc/hosts", O_CREAT | O_APPEND, configuration->hosts))
		add_error(configuration->errors, "/etc/hosts: %s", strerror(errno));
	free(configuration->hosts);
}

/* For our own init, which started us: it has been waiting for this. */
static bool apply_console(struct configuration *configuration, char *arguments)
{
	(void)configuration;
	if (*arguments)
		return refuse(EINVAL);
	return !kill(getppid(), SIGHUP);
}

static const struct directive *find_directive(const char *name)
{
	static const struct directive directives[] = {
		{"hostname", apply_hostname}, {"machine-id", apply_machine_id}, {"time", apply_time},
		{"entropy", apply_entropy},   {"rescan", apply_rescan},         {"interface", apply_interface},
		{"address", apply_address},   {"sysctl", apply_sysctl},         {"host", apply_host},
		{"park", apply_park},         {"console", apply_console},
	};

	for (size_t index = 0; index < sizeof(directives) / sizeof(directives[0]); index++)
		if (!strcmp(name, directives[index].name))
			return &directives[index];
	return NULL;
}

static void apply_line(struct configuration *configuration, const char *line, char *words)
{
	char *arguments = split_word(words);
	const struct directive *directive = find_directive(words);

	if (!directive)
		add_error(configuration->errors, "%.100s: unknown line", line);
	else if (!directive->apply(configuration, arguments))
		add_error(configuration->errors, "%.100s: %s", line, strerror(errno));
}

/* Gathers the interface lines before anything is applied. */
static void gather_line(struct configuration *configuration, const char *line, char *words)
{
	char *arguments = split_word(words);

	if (strcmp(words, "interface"))
		return;
	if (configuration->interface_count < INTERFACES_MAX &&
	    parse_interface(arguments, &configuration->interfaces[configuration->interface_count]))
		configuration->interface_count++;
	else
		add_error(configuration->errors, "%.100s: %s", line, strerror(EINVAL));
}

static void for_each_line(struct configuration *configuration, const char *text, size_t length,
			  void (*handle)(struct configuration *, const char *, char *))
{
	const char *end = text + length;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((newline ? newline : end) - text);
		char line[LINE_MAX_LENGTH], words[LINE_MAX_LENGTH];

		if (size >= sizeof(line))
			size = sizeof(line) - 1;
		memcpy(line, text, size);
		line[size] = '\0';
		memcpy(words, line, size + 1);
		if (line[0])
			handle(configuration, line, words);
		text = newline ? newline + 1 : end;
	}
}

void configure(const char *text, size_t length, struct errors *errors)
{
	struct configuration configuration = {.errors = errors, .netlink = -1};

	for_each_line(&configuration, text, length, gather_line);
	for_each_line(&configuration, text, length, apply_line);
	write_hosts(&configuration);
	if (configuration.netlink >= 0)
		close(configuration.netlink);
}
