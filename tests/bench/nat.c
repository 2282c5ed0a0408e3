/* SPDX-License-Identifier: Apache-2.0 */
/* What a network with NAT makes of libslirp.
 *
 *      build/bench/nat [FOLDER]     FOLDER is for the captures, default /tmp; needs some 2 GB there.
 *
 * A peer in this program stands for a guest: it speaks Ethernet, ARP, IPv4, TCP and UDP with an MTU of 1500, and talks
 * to a thread of this program on the host's loopback, by way of the gateway.  It does so in three settings:
 *
 *      alone     it calls slirp_input(), and poll() is called for libslirp's sockets: nothing else is there;
 *      plane     it is plugged into a port of a data plane that runs in its own thread, on a network with a
 *                gateway;
 *      captured  the same, with both ports captured.
 *
 * In all of them the peer runs in the thread that runs libslirp, as the device of a NIC does in netlab, so none pays
 * for waking a guest.  It copies each frame it is given, acknowledges once for each batch of frames, as a kernel that
 * merges segments does, and knows the checksum of what it sends beforehand.  The host's end does not sleep in recv(),
 * but looks from time to time: being woken for each segment would take longer than all the rest.
 *
 * Settings take turns, in ROUNDS rounds.  Shown are medians, and the median of what the data plane reached of what
 * libslirp alone reached in the same round.  "ns/KiB" is what the thread that runs libslirp took of its processor, and
 * "lost" how many frames the captures lack, all rounds together.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/nat.h"

#define ROUNDS 9
#define MILLISECOND 1000000ull
#define WARM_UP (50 * MILLISECOND)
#define MEASURED (300 * MILLISECOND)
#define NAP (MILLISECOND / 10)
#define STALLED (100 * MILLISECOND) /* Nothing was acknowledged: what is missing is sent again. */
#define MTU 1500
#define SEGMENT (MTU - sizeof(struct ip) - sizeof(struct tcphdr))
#define DATAGRAM (MTU - sizeof(struct ip) - sizeof(struct udphdr))
#define BURST 64 /* Datagrams or segments of one turn. */
#define WINDOW 65535
#define GUEST_PORT 4321
#define POLL_FDS_MAX 16

enum direction { TCP_UP, TCP_DOWN, UDP_UP, DIRECTIONS };
enum setting { ALONE, PLANE, CAPTURED, SETTINGS };

static const char *const direction_names[] = {"TCP, guest to host", "TCP, host to guest", "UDP, guest to host"};

static const char *const setting_names[] = {"libslirp alone", "data plane", "captured"};

static const uint8_t guest_mac[] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t gateway_mac[] = {0x52, 0x55, 10, 0, 2, 2};
static const uint8_t guest_address[] = {10, 0, 2, 15};
static const uint8_t gateway_address[] = {10, 0, 2, 2};

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void *check(void *pointer, const struct error *error)
{
	if (!pointer)
		fail(error->text);
	return pointer;
}

/* ---- The peer on the host ---- */

struct host {
	enum direction direction;
	int socket;
	uint16_t port;
	pthread_t thread;
	_Atomic uint64_t received;
	_Atomic bool stop;
};

static void sleep_for(uint64_t nanoseconds)
{
	const struct timespec time = {.tv_nsec = (long)nanoseconds};

	nanosleep(&time, NULL);
}

/* Takes many datagrams at once, and of each only its size, so that the gateway is what takes the time. */
static ssize_t take_datagrams(int fd)
{
	static uint8_t byte;
	struct iovec iovec = {.iov_base = &byte, .iov_len = 1};
	struct mmsghdr messages[BURST];
	ssize_t sum = 0;
	int count;

	for (int i = 0; i < BURST; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iovec, .msg_iovlen = 1};
	count = recvmmsg(fd, messages, BURST, MSG_DONTWAIT | MSG_TRUNC, NULL);
	for (int i = 0; i < count; i++)
		sum += messages[i].msg_len;
	return sum;
}

static ssize_t pass(enum direction direction, int fd)
{
	static uint8_t buffer[256 * 1024]; /* One thread at a time. */

	if (direction == UDP_UP)
		return take_datagrams(fd);
	return direction == TCP_DOWN ? send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) :
				       recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
}

/* Returns the connection, or -1 when there is none until the end. */
static int await_connection(struct host *host)
{
	const struct timeval patience = {.tv_usec = 100000};
	int fd = -1;

	setsockopt(host->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (fd < 0 && !host->stop)
		fd = accept(host->socket, NULL, NULL);
	return fd;
}

static void *run_host(void *opaque)
{
	const int room = 8 << 20;
	struct host *host = opaque;
	int fd = host->direction == UDP_UP ? host->socket : await_connection(host);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)); /* As root. */
	while (!host->stop) {
		ssize_t count = pass(host->direction, fd);

		if (count > 0)
			host->received += (uint64_t)count;
		else
			sleep_for(NAP);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void start_host(struct host *host, enum direction direction)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	*host = (struct host){.direction = direction};
	host->socket = socket(AF_INET, direction == UDP_UP ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (host->socket < 0 || bind(host->socket, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockname(host->socket, (struct sockaddr *)&address, &length) < 0 ||
	    (direction != UDP_UP && listen(host->socket, 1) < 0))
		fail("no socket for the host's end");
	host->port = ntohs(address.sin_port);
	if (pthread_create(&host->thread, NULL, run_host, host) != 0)
		fail("no thread for the host's end");
}

static void stop_host(struct host *host)
{
	host->stop = true;
	pthread_join(host->thread, NULL);
	if (host->direction != UDP_UP)
		close(host->socket);
}

/* ---- The peer that stands for a guest ---- */

struct guest {
	enum direction direction;
	uint16_t port; /* Of the host's end. */
	void (*transmit)(struct guest *guest, const uint8_t *bytes, size_t size);
	bool has_begun, is_connected, owes_answer;
	uint32_t acknowledged, next; /* Sequence numbers of what it sends ... */
	uint32_t expected;           /* ... and of what it is sent. */
	uint32_t window;             /* Of the gateway. */
	uint64_t progress;           /* loop_now() when it was last acknowledged something. */
	_Atomic uint64_t received;
	uint32_t sums[2]; /* Of the payload of a segment, and of a datagram. */
	uint8_t frame[ETH_HLEN + MTU];
	uint8_t buffer[ETH_HLEN + MTU]; /* Where what is received goes. */
	/* Of the setting. */
	Slirp *slirp;
	struct port *gate;
	struct loop *loop;
	struct loop_task task;
};

static uint32_t add_up(uint32_t sum, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void begin_guest(struct guest *guest, enum direction direction, uint16_t port)
{
	*guest = (struct guest){.direction = direction, .port = port, .next = 1000, .acknowledged = 1000};
	for (size_t i = 0; i < MTU; i++)
		guest->frame[ETH_HLEN + i] = (uint8_t)i;
	memcpy(guest->frame, gateway_mac, ETH_ALEN);
	memcpy(guest->frame + ETH_ALEN, guest_mac, ETH_ALEN);
	guest->sums[0] = add_up(0, guest->frame + ETH_HLEN + MTU - SEGMENT, SEGMENT);
	guest->sums[1] = add_up(0, guest->frame + ETH_HLEN + MTU - DATAGRAM, DATAGRAM);
}

static void send_arp(struct guest *guest)
{
	uint8_t *at = guest->frame + ETH_HLEN;
	uint8_t saved[28];

	memcpy(saved, at, sizeof(saved));
	guest->frame[12] = 0x08;
	guest->frame[13] = 0x06;
	memcpy(at, (const uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
	memcpy(at + 8, guest_mac, 6);
	memcpy(at + 14, guest_address, 4);
	memset(at + 18, 0, 6);
	memcpy(at + 24, gateway_address, 4);
	guest->transmit(guest, guest->frame, ETH_ZLEN);
	memcpy(at, saved, sizeof(saved));
}

/* Puts the IPv4 header; 'size' is that of what follows it. */
static void put_ip(struct guest *guest, uint8_t protocol, size_t size)
{
	struct ip ip = {.ip_v = 4,
			.ip_hl = sizeof(ip) / 4,
			.ip_len = htons((uint16_t)(sizeof(ip) + size)),
			.ip_ttl = 64,
			.ip_p = protocol};

	memcpy(&ip.ip_src, guest_address, 4);
	memcpy(&ip.ip_dst, gateway_address, 4);
	ip.ip_sum = fold(add_up(0, &ip, sizeof(ip)));
	guest->frame[12] = 0x08;
	guest->frame[13] = 0x00;
	memcpy(guest->frame + ETH_HLEN, &ip, sizeof(ip));
}

static uint32_t sum_pseudo(uint8_t protocol, size_t size)
{
	return add_up(add_up(0, guest_address, 4), gateway_address, 4) + protocol + (uint32_t)size;
}

static void send_segment(struct guest *guest, uint8_t flags, size_t payload)
{
	struct tcphdr tcp = {.th_sport = htons(GUEST_PORT),
			     .th_dport = htons(guest->port),
			     .th_seq = htonl(guest->next),
			     .th_ack = htonl(guest->expected),
			     .th_off = sizeof(tcp) / 4,
			     .th_flags = flags,
			     .th_win = htons(WINDOW)};
	size_t size = sizeof(tcp) + payload;
	uint32_t sum = add_up(sum_pseudo(IPPROTO_TCP, size), &tcp, sizeof(tcp));

	tcp.th_sum = fold(sum + (payload > 0 ? guest->sums[0] : 0));
	put_ip(guest, IPPROTO_TCP, size);
	memcpy(guest->frame + ETH_HLEN + sizeof(struct ip), &tcp, sizeof(tcp));
	size += ETH_HLEN + sizeof(struct ip);
	guest->next += (uint32_t)payload + (flags & TH_SYN ? 1 : 0);
	guest->owes_answer = false;
	guest->transmit(guest, guest->frame, size < ETH_ZLEN ? ETH_ZLEN : size);
}

static void send_datagram(struct guest *guest)
{
	struct udphdr udp = {.uh_sport = htons(GUEST_PORT),
			     .uh_dport = htons(guest->port),
			     .uh_ulen = htons(sizeof(udp) + DATAGRAM)};

	udp.uh_sum = fold(add_up(sum_pseudo(IPPROTO_UDP, sizeof(udp) + DATAGRAM), &udp, sizeof(udp)) + guest->sums[1]);
	put_ip(guest, IPPROTO_UDP, sizeof(udp) + DATAGRAM);
	memcpy(guest->frame + ETH_HLEN + sizeof(struct ip), &udp, sizeof(udp));
	guest->transmit(guest, guest->frame, ETH_HLEN + MTU);
}

static bool has_window(const struct guest *guest)
{
	return guest->direction == TCP_UP && guest->is_connected &&
	       guest->next - guest->acknowledged + SEGMENT <= guest->window;
}

/* The guest's turn: sends what is due.  Returns whether it has more to send already. */
static bool run_guest(struct guest *guest)
{
	if (!guest->has_begun) {
		guest->has_begun = true;
		send_arp(guest);
		if (guest->direction != UDP_UP)
			send_segment(guest, TH_SYN, 0);
		return guest->direction == UDP_UP;
	}
	for (unsigned int i = 0; guest->direction == UDP_UP && i < BURST; i++)
		send_datagram(guest);
	if (guest->is_connected && guest->next != guest->acknowledged && loop_now() - guest->progress > STALLED) {
		guest->next = guest->acknowledged;
		guest->progress = loop_now();
	}
	for (unsigned int i = 0; has_window(guest) && i < BURST; i++)
		send_segment(guest, TH_ACK, SEGMENT);
	if (guest->owes_answer)
		send_segment(guest, TH_ACK, 0);
	return guest->direction == UDP_UP || guest->owes_answer || has_window(guest);
}

static void take_segment(struct guest *guest, const struct tcphdr *tcp, uint32_t payload)
{
	if (tcp->th_flags & TH_RST)
		fail("the connection was reset");
	if (tcp->th_flags & TH_SYN) {
		guest->expected = ntohl(tcp->th_seq) + 1;
		guest->is_connected = guest->owes_answer = true;
	}
	if ((int32_t)(ntohl(tcp->th_ack) - guest->acknowledged) > 0) {
		guest->acknowledged = ntohl(tcp->th_ack);
		guest->progress = loop_now();
	}
	guest->window = ntohs(tcp->th_win);
	if (payload == 0)
		return;
	guest->owes_answer = true;
	if (ntohl(tcp->th_seq) != guest->expected)
		return;
	guest->expected += payload;
	guest->received += payload;
}

/* The guest is given the frame in its buffer. */
static void take_frame(struct guest *guest)
{
	struct tcphdr tcp;
	struct ip ip;

	if (guest->buffer[12] == 0x08 && guest->buffer[13] == 0x06 && guest->buffer[ETH_HLEN + 7] == 1)
		send_arp(guest); /* It is asked who it is, which its own question says as well. */
	memcpy(&ip, guest->buffer + ETH_HLEN, sizeof(ip));
	if (guest->buffer[12] != 0x08 || guest->buffer[13] != 0x00 || ip.ip_p != IPPROTO_TCP)
		return;
	memcpy(&tcp, guest->buffer + ETH_HLEN + sizeof(ip), sizeof(tcp));
	take_segment(guest, &tcp, ntohs(ip.ip_len) - (uint32_t)sizeof(ip) - tcp.th_off * 4u);
}

/* ---- Alone ---- */

static void transmit_alone(struct guest *guest, const uint8_t *bytes, size_t size)
{
	slirp_input(guest->slirp, bytes, (int)size);
}

static ssize_t send_packet(const void *bytes, size_t size, void *opaque)
{
	struct guest *guest = opaque;

	memcpy(guest->buffer, bytes, size);
	take_frame(guest);
	return (ssize_t)size;
}

static void guest_error(const char *message, void *opaque)
{
	(void)message;
	(void)opaque;
}

static int64_t clock_get_ns(void *opaque)
{
	(void)opaque;
	return (int64_t)loop_now();
}

static void *timer_new(SlirpTimerId id, void *argument, void *opaque)
{
	(void)id;
	(void)argument;
	return opaque; /* Of router advertisements, which there are none of. */
}

static void timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void timer_mod(void *timer, int64_t milliseconds, void *opaque)
{
	(void)timer;
	(void)milliseconds;
	(void)opaque;
}

static void register_poll_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_poll_fd,
	.unregister_poll_fd = register_poll_fd,
	.notify = notify,
	.timer_new_opaque = timer_new,
};

struct poll_set {
	struct pollfd fds[POLL_FDS_MAX];
	nfds_t count;
};

static const struct {
	short poll;
	int slirp;
} event_names[] = {
	{POLLIN, SLIRP_POLL_IN},   {POLLOUT, SLIRP_POLL_OUT}, {POLLPRI, SLIRP_POLL_PRI},
	{POLLERR, SLIRP_POLL_ERR}, {POLLHUP, SLIRP_POLL_HUP},
};

static int add_poll(int fd, int events, void *opaque)
{
	struct poll_set *set = opaque;
	struct pollfd *entry = &set->fds[set->count];

	if (set->count == POLL_FDS_MAX)
		fail("too many sockets");
	*entry = (struct pollfd){.fd = fd};
	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		if (events & event_names[i].slirp)
			entry->events |= event_names[i].poll;
	return (int)set->count++;
}

static int get_revents(int index, void *opaque)
{
	const struct poll_set *set = opaque;
	int events = 0;

	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		if (set->fds[index].revents & event_names[i].poll)
			events |= event_names[i].slirp;
	return events;
}

static Slirp *make_slirp(struct guest *guest)
{
	SlirpConfig config = {.version = 4, .in_enabled = true, .if_mtu = MTU, .if_mru = MTU};

	inet_pton(AF_INET, "10.0.2.0", &config.vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &config.vnetmask);
	memcpy(&config.vhost, gateway_address, 4);
	inet_pton(AF_INET, "10.0.2.15", &config.vdhcp_start);
	inet_pton(AF_INET, "10.0.2.3", &config.vnameserver);
	return slirp_new(&config, &callbacks, guest);
}

static void turn_alone(struct guest *guest)
{
	struct poll_set set = {.count = 0};
	uint32_t milliseconds = 100;
	bool goes_on = run_guest(guest);

	slirp_pollfds_fill(guest->slirp, &milliseconds, add_poll, &set);
	slirp_pollfds_poll(guest->slirp, poll(set.fds, set.count, goes_on ? 0 : (int)milliseconds) < 0, get_revents,
			   &set);
}

/* What a setting made of its time. */
struct result {
	double rate;      /* Bits per nanosecond: Gb/s. */
	double processor; /* Nanoseconds for each KiB that arrived, of the thread that runs libslirp. */
};

static uint64_t thread_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000 * MILLISECOND + (uint64_t)time.tv_nsec;
}

/* An instant of a measurement. */
struct sample {
	const struct guest *guest;
	const struct host *host;
	uint64_t time, processor, count;
};

/* loop_function: in the thread that runs libslirp. */
static void take_sample(void *opaque)
{
	struct sample *sample = opaque;

	sample->time = loop_now();
	sample->processor = thread_time();
	sample->count = sample->guest->direction == TCP_DOWN ? sample->guest->received : sample->host->received;
}

static struct result result_of(const struct sample *from, const struct sample *to)
{
	double bytes = (double)(to->count - from->count) + 1;

	return (struct result){.rate = bytes * 8 / (double)(to->time - from->time),
			       .processor = (double)(to->processor - from->processor) * 1024 / bytes};
}

static void turn_for(struct guest *guest, uint64_t nanoseconds)
{
	for (uint64_t start = loop_now(); loop_now() - start < nanoseconds;)
		turn_alone(guest);
}

static struct result measure_alone(struct guest *guest, const struct host *host)
{
	struct sample from = {.guest = guest, .host = host}, to = from;

	guest->transmit = transmit_alone;
	guest->slirp = make_slirp(guest);
	if (!guest->slirp)
		fail("libslirp cannot be set up");
	turn_for(guest, WARM_UP);
	take_sample(&from);
	turn_for(guest, MEASURED);
	take_sample(&to);
	slirp_cleanup(guest->slirp);
	return result_of(&from, &to);
}

/* ---- In a data plane ---- */

static void transmit_plane(struct guest *guest, const uint8_t *bytes, size_t size)
{
	struct frame frame = {.size = size, .header_size = FRAME_HEADER_SIZE, .rest_count = 1};
	const struct iovec rest = {.iov_base = (uint8_t *)(uintptr_t)bytes, .iov_len = size};
	struct iovec shorter = {(uint8_t *)rest.iov_base + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE};

	if (size < FRAME_HEADER_SIZE) {
		frame.header_size = size;
		frame.rest_count = 0;
	}
	memcpy(frame.header, bytes, frame.header_size);
	frame.rest = &shorter;
	port_transmit(guest->gate, &frame);
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct guest *guest = opaque;

	if (frame->size > sizeof(guest->buffer))
		return PORT_TOO_LONG;
	frame_copy(frame, guest->buffer, frame->size);
	take_frame(guest);
	return PORT_DELIVERED;
}

static void run_task(void *opaque)
{
	struct guest *guest = opaque;

	if (run_guest(guest))
		loop_task_queue(guest->loop, &guest->task);
}

/* The turn's end, when a guest is told of what it was given.  It answers at once. */
static const struct port_ops ops = {.deliver = deliver, .flush = run_task};

/* loop_function */
static void start_task(void *opaque)
{
	struct guest *guest = opaque;

	loop_task_queue(guest->loop, &guest->task);
}

struct plane {
	struct dataplane *dataplane;
	struct capture *capture;
	struct nat *nat;
	struct port *ports[2];
};

static void make_plane(struct plane *plane, struct guest *guest, const char *captures)
{
	struct nat_options options = {.name = "network:uplink", .prefix_length = 24};
	struct error error = {.text = "out of memory"};
	struct network *network;

	*plane = (struct plane){.dataplane = check(dataplane_create(&error), &error)};
	if (captures) {
		const struct capture_options capture = {.folder = captures,
							.has_port_files = true,
							.has_lab_file = true};

		plane->capture = check(capture_create(&capture, &error), &error);
		dataplane_set_capture(plane->dataplane, plane->capture);
	}
	network = check(dataplane_add_network(plane->dataplane, "uplink", 4096, 300), &error);
	plane->ports[0] = check(dataplane_add_port(plane->dataplane, "guest:eth0"), &error);
	plane->ports[1] = check(dataplane_add_port(plane->dataplane, "network:uplink"), &error);
	inet_pton(AF_INET, "10.0.2.0", &options.subnet);
	guest->transmit = transmit_plane;
	guest->gate = plane->ports[0];
	guest->loop = dataplane_loop(plane->dataplane);
	guest->task = (struct loop_task){.function = run_task, .opaque = guest};
	plane->nat = check(nat_create(guest->loop, plane->ports[1], &options, &error), &error);
	port_plug(plane->ports[0], &ops, guest);
	for (size_t i = 0; i < 2; i++)
		port_join_network(plane->ports[i], network);
	check(dataplane_start(plane->dataplane, &error) < 0 ? NULL : plane, &error);
}

static void end_plane(struct plane *plane)
{
	nat_destroy(plane->nat);
	dataplane_destroy(plane->dataplane);
	for (int i = 0; plane->capture && i < 2; i++)
		unlink(capture_file(plane->capture, i));
	if (plane->capture)
		unlink(capture_lab_path(plane->capture));
	capture_destroy(plane->capture);
}

static struct result measure_plane(struct guest *guest, const struct host *host, const char *captures, uint64_t *lost)
{
	struct sample from = {.guest = guest, .host = host}, to = from;
	struct plane plane;

	make_plane(&plane, guest, captures);
	loop_post(guest->loop, start_task, guest);
	sleep_for(WARM_UP);
	loop_call(guest->loop, take_sample, &from);
	sleep_for(MEASURED);
	loop_call(guest->loop, take_sample, &to);
	dataplane_stop(plane.dataplane);
	for (size_t i = 0; i < 2; i++) {
		struct port_counters counters;

		port_read_counters(plane.ports[i], &counters);
		*lost += counters.capture_lost;
	}
	end_plane(&plane);
	return result_of(&from, &to);
}

/* ---- All of it ---- */

static struct result measure(enum direction direction, enum setting setting, const char *folder, uint64_t *lost)
{
	static struct guest guest;
	struct host host;
	struct result result;

	start_host(&host, direction);
	begin_guest(&guest, direction, host.port);
	if (setting == ALONE)
		result = measure_alone(&guest, &host);
	else
		result = measure_plane(&guest, &host, setting == CAPTURED ? folder : NULL, lost);
	stop_host(&host);
	return result;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double numbers[ROUNDS])
{
	qsort(numbers, ROUNDS, sizeof(double), compare);
	return numbers[ROUNDS / 2];
}

static void show_rows(const char *folder, enum direction direction)
{
	struct result results[SETTINGS][ROUNDS];
	uint64_t lost[SETTINGS] = {0};

	for (int round = 0; round < ROUNDS; round++)
		for (int setting = 0; setting < SETTINGS; setting++)
			results[setting][round] = measure(direction, setting, folder, &lost[setting]);
	for (int setting = 0; setting < SETTINGS; setting++) {
		double rates[ROUNDS], parts[ROUNDS], processor[ROUNDS];

		for (int round = 0; round < ROUNDS; round++) {
			rates[round] = results[setting][round].rate;
			parts[round] = 100 * rates[round] / results[ALONE][round].rate;
			processor[round] = results[setting][round].processor;
		}
		printf("| %-18s | %-14s | %5.2f ", direction_names[direction], setting_names[setting], median(rates));
		printf("[%.2f-%.2f] | %3.0f %% | %5.0f | %" PRIu64 " |\n", rates[0], rates[ROUNDS - 1], median(parts),
		       median(processor), lost[setting]);
	}
}

int main(int argc, char **argv)
{
	char folder[4096];

	signal(SIGPIPE, SIG_IGN); /* libslirp sends without MSG_NOSIGNAL. */
	snprintf(folder, sizeof(folder), "%s/bench-nat-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("| direction          | setting        | Gb/s, median of %d [range] | of alone | ns/KiB | lost |\n"
	       "|---|---|---|---|---|---|\n",
	       ROUNDS);
	for (int direction = 0; direction < DIRECTIONS; direction++)
		show_rows(folder, direction);
	rmdir(folder);
	return 0;
}
