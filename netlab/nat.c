/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "core/log.h"
#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/nat_datagram.h"

/* Theory of operation
 * -------------------
 * libslirp wants to be asked for its sockets before each sleep and told after it which are ready, with poll(2) in
 * mind.  Here the sockets stay in the loop's epoll, and this is done only when there is a reason to: a frame came from
 * a guest, a socket is ready, or one of its timers is due.
 *
 *      frame, socket ready, timer -> task -> slirp_input(), slirp_pollfds_poll(), slirp_pollfds_fill() -> watches changed
 *
 * Frames wait in a queue for the task.  So the questions are asked once for all that came in a turn of the loop, and what
 * libslirp sends at once in return goes straight to its receiver, rather than wait for the end of a delivery.
 *
 * A round of questions has a number, and a socket that it did not bring up is not watched then.  libslirp says when it
 * closes a socket, which is forgotten at once, since its number may be another's in a moment; until then it counts,
 * watched or not.
 *
 * libslirp takes a frame for what it says it is, whoever it is for and however short it may be.  So what is flooded to
 * the gateway and is for others ends here, as at the filter of any NIC, and a frame that is shorter than one on a wire
 * can be is padded. */

/* As the guests' default MTU. */
#define GATEWAY_MTU 1500

/* A guest may ask for as many connections as it likes, but not have all descriptors of this process, or its memory:
 * each has two buffers of 128 KiB. */
#define SOCKETS_MAX 1024
#define DNS_PORT 53

/* RFC 2131, figure 1, and RFC 2132. */
#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_YOUR_ADDRESS 16
#define DHCP_CLIENT_MAC 28
#define DHCP_OPTIONS 240
#define DHCP_OPTION_PAD 0
#define DHCP_OPTION_TYPE 53
#define DHCP_OPTION_END 255
#define DHCP_ACKNOWLEDGE 5

struct nat_socket {
	struct nat *nat;
	struct loop_watch watch;
	uint32_t events;  /* epoll's, as watched. */
	uint32_t revents; /* Since libslirp was told. */
	uint64_t round;   /* When libslirp last asked for it ... */
	size_t asked;     /* ... and as which. */
	LIST_ENTRY(nat_socket) next;
};

struct nat_timer {
	struct nat *nat;
	struct loop_timer timer;
	SlirpTimerId id;
	void *argument;
};

/* An address that libslirp has given to a guest.  It has as many to give. */
#define LEASES_MAX 16

struct nat_lease {
	uint8_t mac[6];
	struct in_addr address;
};

/* Bytes of frames that wait for libslirp, each in one piece after its size, as libslirp wants it. */
#define QUEUE_SIZE (512u << 10)

struct nat_forward_entry {
	struct nat_forward forward;
	TAILQ_ENTRY(nat_forward_entry) next;
};

struct nat {
	struct loop *loop;
	struct port *port;
	char *name;
	struct nat_options options;
	Slirp *slirp;
	struct loop_task work;
	struct loop_timer timeout; /* Of libslirp's own retransmissions. */
	uint64_t round;
	LIST_HEAD(, nat_socket) sockets;
	size_t socket_count;
	struct nat_socket **by_fd; /* The same, by descriptor. */
	size_t by_fd_room;
	struct nat_socket **asked; /* Of this round, by the index libslirp was given. */
	size_t asked_count, asked_room;
	TAILQ_HEAD(, nat_forward_entry) forwards;
	struct nat_dns_record *records; /* Those that were set, and then those of leases. */
	size_t record_count, set_count;
	struct nat_station *stations;
	size_t station_count;
	struct nat_lease leases[LEASES_MAX];
	size_t lease_count;
	struct log_limit log_limit;
	size_t queued; /* Bytes in the queue. */
	uint8_t queue[QUEUE_SIZE];
};

struct in_addr nat_host_address(struct in_addr subnet, uint32_t number)
{
	return (struct in_addr){.s_addr = htonl(ntohl(subnet.s_addr) + number)};
}

bool nat_has_forward(const struct nat_forward *forwards, size_t count, const struct nat_forward *forward)
{
	for (size_t i = 0; i < count; i++) {
		const struct nat_forward *has = &forwards[i];

		if (has->is_udp == forward->is_udp && has->host_port == forward->host_port &&
		    has->host_address.s_addr == forward->host_address.s_addr &&
		    has->guest_port == forward->guest_port &&
		    has->guest_address.s_addr == forward->guest_address.s_addr)
			return true;
	}
	return false;
}

static struct in6_addr host_address6(const struct in6_addr *prefix, uint8_t number)
{
	struct in6_addr address = *prefix;

	address.s6_addr[15] = number;
	return address;
}

/* Sockets. */

static void forget_socket(struct nat_socket *socket)
{
	loop_watch_remove(socket->nat->loop, &socket->watch);
	LIST_REMOVE(socket, next);
	socket->nat->socket_count--;
	socket->nat->by_fd[socket->watch.fd] = NULL;
	if (socket->asked < socket->nat->asked_count && socket->nat->asked[socket->asked] == socket)
		socket->nat->asked[socket->asked] = NULL;
	free(socket);
}

static void on_ready(void *opaque, uint32_t events)
{
	struct nat_socket *socket = opaque;

	socket->revents |= events;
	loop_task_queue(socket->nat->loop, &socket->nat->work);
}

static struct nat_socket *find_socket(struct nat *nat, int fd)
{
	return fd >= 0 && (size_t)fd < nat->by_fd_room ? nat->by_fd[fd] : NULL;
}

static bool make_room(struct nat *nat, int fd)
{
	size_t room = 2 * (size_t)fd + 64;
	struct nat_socket **larger;

	if (fd < 0 || (size_t)fd < nat->by_fd_room)
		return fd >= 0;
	larger = reallocarray(nat->by_fd, room, sizeof(struct nat_socket *));
	if (!larger)
		return false;
	memset(larger + nat->by_fd_room, 0, (room - nat->by_fd_room) * sizeof(struct nat_socket *));
	nat->by_fd = larger;
	nat->by_fd_room = room;
	return true;
}

static struct nat_socket *add_socket(struct nat *nat, int fd)
{
	struct nat_socket *socket = make_room(nat, fd) ? calloc(1, sizeof(*socket)) : NULL;

	if (!socket)
		return NULL;
	nat->by_fd[fd] = socket;
	socket->nat = nat;
	socket->watch = (struct loop_watch){.fd = fd, .ready = on_ready, .opaque = socket};
	LIST_INSERT_HEAD(&nat->sockets, socket, next);
	nat->socket_count++;
	return socket;
}

static const struct {
	uint32_t epoll;
	int slirp;
} event_names[] = {
	{EPOLLIN, SLIRP_POLL_IN},   {EPOLLOUT, SLIRP_POLL_OUT}, {EPOLLPRI, SLIRP_POLL_PRI},
	{EPOLLERR, SLIRP_POLL_ERR}, {EPOLLHUP, SLIRP_POLL_HUP},
};

static uint32_t to_epoll(int events)
{
	uint32_t result = 0;

	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		result |= events & event_names[i].slirp ? event_names[i].epoll : 0;
	return result;
}

static int to_slirp(uint32_t events)
{
	int result = 0;

	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		result |= events & event_names[i].epoll ? event_names[i].slirp : 0;
	return result;
}

static void watch(struct nat_socket *socket, uint32_t events)
{
	int result = 0;

	if (!socket->watch.added)
		result = loop_watch_add(socket->nat->loop, &socket->watch, events);
	else if (socket->events != events)
		result = loop_watch_change(socket->nat->loop, &socket->watch, events);
	socket->events = events;
	if (result < 0)
		log_limited(&socket->nat->log_limit, "%s: a socket cannot be watched: %s", socket->nat->name,
			    strerror(-result));
}

/* libslirp's questions and what it is told.  An index of -1 is a socket of which nothing is ever said. */

static int add_poll(int fd, int events, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_socket *socket = find_socket(nat, fd);

	if (nat->asked_count == nat->asked_room) {
		size_t room = 2 * nat->asked_room + 16;
		struct nat_socket **larger = reallocarray(nat->asked, room, sizeof(struct nat_socket *));

		if (!larger)
			return -1;
		nat->asked = larger;
		nat->asked_room = room;
	}
	if (!socket)
		socket = add_socket(nat, fd);
	if (!socket)
		return -1;
	socket->round = nat->round;
	socket->asked = nat->asked_count;
	watch(socket, to_epoll(events));
	nat->asked[nat->asked_count] = socket;
	return (int)nat->asked_count++;
}

static int get_revents(int index, void *opaque)
{
	struct nat *nat = opaque;
	struct nat_socket *socket;
	uint32_t events;

	if (index < 0 || (size_t)index >= nat->asked_count || !nat->asked[index])
		return 0;
	socket = nat->asked[index];
	events = socket->revents;
	socket->revents = 0;
	return to_slirp(events);
}

static void ask(struct nat *nat)
{
	uint32_t milliseconds = UINT32_MAX;
	struct nat_socket *socket;

	nat->round++;
	nat->asked_count = 0;
	slirp_pollfds_fill(nat->slirp, &milliseconds, add_poll, nat);
	LIST_FOREACH(socket, &nat->sockets, next) {
		if (socket->round == nat->round)
			continue;
		loop_watch_remove(nat->loop, &socket->watch);
		socket->revents = 0;
	}
	if (milliseconds == UINT32_MAX)
		loop_timer_cancel(nat->loop, &nat->timeout);
	else
		loop_timer_set(nat->loop, &nat->timeout, loop_now() + milliseconds * 1000000ull);
}

static void on_timeout(void *opaque)
{
	struct nat *nat = opaque;

	loop_task_queue(nat->loop, &nat->work);
}

static void send_frame(struct nat *nat, const void *bytes, size_t size)
{
	struct frame frame = {.size = size};
	struct iovec rest;

	frame.header_size = size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE;
	memcpy(frame.header, bytes, frame.header_size);
	rest.iov_base = (uint8_t *)(uintptr_t)bytes + frame.header_size;
	rest.iov_len = size - frame.header_size;
	frame.rest = &rest;
	frame.rest_count = rest.iov_len > 0;
	port_transmit(nat->port, &frame);
}

/* Names. */

static const char *find_station(const struct nat *nat, const uint8_t *mac)
{
	for (size_t i = 0; i < nat->station_count; i++)
		if (!memcmp(nat->stations[i].mac, mac, sizeof(nat->stations[i].mac)))
			return nat->stations[i].name;
	return NULL;
}

/* Makes the records that follow from leases anew; there is room for all of them. */
static void name_leases(struct nat *nat)
{
	nat->record_count = nat->set_count;
	for (size_t i = 0; nat->records && i < nat->lease_count; i++) {
		const char *name = find_station(nat, nat->leases[i].mac);
		struct nat_dns_record *record = &nat->records[nat->record_count];

		if (!name)
			continue;
		*record = (struct nat_dns_record){.name = name, .family = AF_INET};
		memcpy(record->address, &nat->leases[i].address, sizeof(nat->leases[i].address));
		nat->record_count++;
	}
}

int nat_set_names(struct nat *nat, const struct nat_names *names)
{
	struct nat_dns_record *records = calloc(names->record_count + LEASES_MAX, sizeof(*records));
	struct nat_station *stations = calloc(names->station_count + 1, sizeof(*stations));

	if (!records || !stations) {
		free(records);
		free(stations);
		return -ENOMEM;
	}
	if (names->record_count > 0)
		memcpy(records, names->records, names->record_count * sizeof(*records));
	if (names->station_count > 0)
		memcpy(stations, names->stations, names->station_count * sizeof(*stations));
	free(nat->records);
	free(nat->stations);
	nat->records = records;
	nat->set_count = names->record_count;
	nat->stations = stations;
	nat->station_count = names->station_count;
	name_leases(nat);
	return 0;
}

static void note_lease(struct nat *nat, const uint8_t *mac, const uint8_t *address)
{
	size_t i = 0;

	while (i < nat->lease_count && memcmp(nat->leases[i].mac, mac, sizeof(nat->leases[i].mac)) != 0)
		i++;
	if (i == LEASES_MAX)
		return;
	memcpy(nat->leases[i].mac, mac, sizeof(nat->leases[i].mac));
	memcpy(&nat->leases[i].address, address, sizeof(nat->leases[i].address));
	if (i == nat->lease_count)
		nat->lease_count++;
	name_leases(nat);
}

static bool is_address(const struct in6_addr *address, struct in_addr wanted)
{
	return !memcmp(address, &wanted, sizeof(wanted));
}

/* Looks at what libslirp tells a guest: an acknowledged lease (RFC 2131) gives the node a name. */
static void look_for_lease(struct nat *nat, const uint8_t *frame, size_t size)
{
	struct nat_datagram datagram;

	if (!nat_datagram_read(frame, size, &datagram) || datagram.source_port != DHCP_SERVER_PORT ||
	    datagram.destination_port != DHCP_CLIENT_PORT || datagram.size < DHCP_OPTIONS ||
	    !is_address(&datagram.source, nat_host_address(nat->options.subnet, NAT_HOST_GATEWAY)))
		return; /* A server elsewhere may have sent it, as an answer to a guest. */
	for (size_t at = DHCP_OPTIONS; at + 2 < datagram.size && datagram.payload[at] != DHCP_OPTION_END;) {
		if (datagram.payload[at] == DHCP_OPTION_PAD) {
			at++;
			continue;
		}
		if (datagram.payload[at] == DHCP_OPTION_TYPE && datagram.payload[at + 2] == DHCP_ACKNOWLEDGE)
			note_lease(nat, datagram.payload + DHCP_CLIENT_MAC, datagram.payload + DHCP_YOUR_ADDRESS);
		at += 2 + (size_t)datagram.payload[at + 1];
	}
}

static bool is_name_server(const struct nat *nat, const struct nat_datagram *datagram)
{
	const struct in_addr address = nat_host_address(nat->options.subnet, NAT_HOST_NAME_SERVER);
	const struct in6_addr address6 = host_address6(&nat->options.prefix6, NAT_HOST_NAME_SERVER);

	if (datagram->destination_port != DNS_PORT)
		return false;
	return datagram->family == AF_INET ? is_address(&datagram->destination, address) :
					     !memcmp(&datagram->destination, &address6, sizeof(address6));
}

/* Returns true when the frame was a question for a name of the lab. */
static bool answer_name(struct nat *nat, const uint8_t *frame, size_t size)
{
	const struct nat_dns_zone zone = {.records = nat->records, .count = nat->record_count};
	uint8_t answer[NAT_DNS_ANSWER_MAX], reply[NAT_DATAGRAM_HEADERS_MAX + NAT_DNS_ANSWER_MAX];
	struct nat_datagram question;
	size_t length;

	if (!nat_datagram_read(frame, size, &question) || !is_name_server(nat, &question))
		return false;
	length = nat_dns_answer(&zone, question.payload, question.size, answer);
	if (length > 0)
		send_frame(nat, reply, nat_datagram_answer(&question, answer, length, reply));
	return length > 0;
}

/* libslirp's callbacks. */

static ssize_t send_packet(const void *bytes, size_t size, void *opaque)
{
	look_for_lease(opaque, bytes, size);
	send_frame(opaque, bytes, size);
	return (ssize_t)size;
}

static void guest_error(const char *message, void *opaque)
{
	struct nat *nat = opaque;

	log_limited(&nat->log_limit, "%s: %s", nat->name, message);
}

static int64_t clock_get_ns(void *opaque)
{
	(void)opaque;
	return (int64_t)loop_now();
}

static void on_timer(void *opaque)
{
	struct nat_timer *timer = opaque;

	slirp_handle_timer(timer->nat->slirp, timer->id, timer->argument);
	loop_task_queue(timer->nat->loop, &timer->nat->work);
}

static void *timer_new(SlirpTimerId id, void *argument, void *opaque)
{
	struct nat_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return NULL; /* The timer of router advertisements: there are none then. */
	timer->nat = opaque;
	timer->timer = (struct loop_timer){.function = on_timer, .opaque = timer};
	timer->id = id;
	timer->argument = argument;
	return timer;
}

static void timer_free(void *opaque, void *nat)
{
	struct nat_timer *timer = opaque;

	(void)nat;
	if (timer)
		loop_timer_cancel(timer->nat->loop, &timer->timer);
	free(timer);
}

static void timer_mod(void *opaque, int64_t milliseconds, void *nat)
{
	struct nat_timer *timer = opaque;

	(void)nat;
	if (timer)
		loop_timer_set(timer->nat->loop, &timer->timer, (uint64_t)milliseconds * 1000000);
}

static void register_poll_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void unregister_poll_fd(int fd, void *opaque)
{
	struct nat_socket *socket = find_socket(opaque, fd);

	if (socket)
		forget_socket(socket);
}

static void notify(void *opaque)
{
	struct nat *nat = opaque;

	loop_task_queue(nat->loop, &nat->work);
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_poll_fd,
	.unregister_poll_fd = unregister_poll_fd,
	.notify = notify,
	.timer_new_opaque = timer_new,
};

/* Hands on what was delivered since.  What is delivered meanwhile, as an answer to an answer, is handed on as well, as
 * long as there is room behind the others. */
static void empty_queue(struct nat *nat)
{
	for (size_t at = 0, size; at < nat->queued; at += sizeof(size) + size) {
		const uint8_t *bytes = nat->queue + at + sizeof(size);

		memcpy(&size, nat->queue + at, sizeof(size));
		if (!answer_name(nat, bytes, size))
			slirp_input(nat->slirp, bytes, (int)size);
	}
	nat->queued = 0;
}

/* The task. */
static void work(void *opaque)
{
	struct nat *nat = opaque;

	empty_queue(nat);
	slirp_pollfds_poll(nat->slirp, 0, get_revents, nat);
	ask(nat);
}

/* The port. */

/* Whether libslirp may make a socket for the frame, which is no shorter than ETH_ZLEN.  Only how it begins is looked
 * at: libslirp checks the rest. */
static bool wants_socket(const uint8_t *frame, size_t size)
{
	bool is_ipv6 = frame[12] == 0x86;
	size_t ip = sizeof(struct ether_header), transport;

	if (frame[12] == 0x08 && frame[13] == 0x06)
		return false; /* ARP. */
	transport = ip + (is_ipv6 ? sizeof(struct ip6_hdr) : (size_t)(frame[ip] & 0xf) * 4);
	if (frame[ip + (is_ipv6 ? offsetof(struct ip6_hdr, ip6_nxt) : offsetof(struct ip, ip_p))] != IPPROTO_TCP ||
	    size < transport + sizeof(struct tcphdr))
		return true;
	return (frame[transport + 13] & (TH_SYN | TH_ACK)) == TH_SYN;
}

/* Whether it is for the gateway, by destination and by type: libslirp has the addresses 52:55 with an IPv4 address of
 * its own, and 52:56 with the end of an IPv6 address. */
static bool is_for_gateway(const struct nat *nat, const struct frame *frame)
{
	static const uint8_t numbers[] = {NAT_HOST_GATEWAY, NAT_HOST_NAME_SERVER};
	uint16_t type = (uint16_t)(frame->header[12] << 8 | frame->header[13]);
	uint8_t mac[2][ETH_ALEN] = {{0x52, 0x55}, {0x52, 0x56}};

	if (type != ETHERTYPE_ARP && type != ETHERTYPE_IP && type != ETHERTYPE_IPV6)
		return false;
	if (frame->header[0] & 1)
		return true; /* To a group. */
	for (size_t i = 0; i < sizeof(numbers); i++) {
		struct in_addr address = nat_host_address(nat->options.subnet, numbers[i]);

		memcpy(mac[0] + 2, &address, sizeof(address));
		mac[1][ETH_ALEN - 1] = numbers[i];
		if (!memcmp(frame->header, mac[0], ETH_ALEN) || !memcmp(frame->header, mac[1], ETH_ALEN))
			return true;
	}
	return false;
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct nat *nat = opaque;
	size_t size = frame->size < ETH_ZLEN ? ETH_ZLEN : frame->size;
	uint8_t *bytes = nat->queue + nat->queued + sizeof(size);

	if (!is_for_gateway(nat, frame))
		return PORT_FILTERED;
	if (sizeof(size) + size > QUEUE_SIZE - nat->queued)
		return PORT_RING_FULL;
	memset(bytes, 0, ETH_ZLEN);
	frame_copy(frame, bytes, frame->size);
	if (nat->socket_count >= SOCKETS_MAX && wants_socket(bytes, size)) {
		log_limited(&nat->log_limit, "%s: guests have %d connections; there will be no more", nat->name,
			    SOCKETS_MAX);
		return PORT_RING_FULL;
	}
	memcpy(nat->queue + nat->queued, &size, sizeof(size));
	nat->queued += sizeof(size) + size;
	loop_task_queue(nat->loop, &nat->work);
	return PORT_DELIVERED;
}

static const struct port_ops port_ops = {.deliver = deliver};

/* Life. */

static Slirp *make_slirp(struct nat *nat)
{
	const struct nat_options *options = &nat->options;
	const char *search[] = {NAT_DNS_ZONE, NULL};
	const bool has_ipv6 = !IN6_IS_ADDR_UNSPECIFIED(&options->prefix6);
	const SlirpConfig config = {
		.version = 4,
		.restricted = options->is_restricted,
		.in_enabled = true,
		.vnetwork = options->subnet,
		.vnetmask.s_addr = htonl(UINT32_MAX << (32 - options->prefix_length)),
		.vhost = nat_host_address(options->subnet, NAT_HOST_GATEWAY),
		.vdhcp_start = nat_host_address(options->subnet, NAT_HOST_FIRST_LEASE),
		.vnameserver = nat_host_address(options->subnet, NAT_HOST_NAME_SERVER),
		.in6_enabled = has_ipv6,
		.vprefix_addr6 = options->prefix6,
		.vprefix_len = NAT_PREFIX6_LENGTH,
		.vhost6 = host_address6(&options->prefix6, NAT_HOST_GATEWAY),
		.vnameserver6 = host_address6(&options->prefix6, NAT_HOST_NAME_SERVER),
		.vdomainname = NAT_DNS_ZONE,
		.vdnssearch = search,
		.if_mtu = GATEWAY_MTU,
		.if_mru = GATEWAY_MTU,
	};

	return slirp_new(&config, &callbacks, nat);
}

/* libslirp says of each socket that it closes it. */
static void unmake_slirp(struct nat *nat)
{
	struct nat_socket *socket;

	slirp_cleanup(nat->slirp);
	while ((socket = LIST_FIRST(&nat->sockets)))
		forget_socket(socket);
	nat->asked_count = 0;
}

struct nat *nat_create(struct loop *loop, struct port *port, const struct nat_options *options, struct error *error)
{
	struct nat *nat = calloc(1, sizeof(*nat));

	if (nat)
		nat->name = strdup(options->name);
	if (!nat || !nat->name) {
		free(nat);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	nat->loop = loop;
	nat->port = port;
	nat->options = *options;
	nat->options.name = nat->name;
	LIST_INIT(&nat->sockets);
	TAILQ_INIT(&nat->forwards);
	nat->work = (struct loop_task){.function = work, .opaque = nat};
	nat->timeout = (struct loop_timer){.function = on_timeout, .opaque = nat};
	nat->slirp = make_slirp(nat);
	if (!nat->slirp) {
		error_set(error, ERROR_FAILED, ENOMEM, "%s: libslirp cannot be set up", nat->name);
		nat_destroy(nat);
		return NULL;
	}
	port_plug(port, &port_ops, nat);
	loop_task_queue(loop, &nat->work);
	return nat;
}

void nat_destroy(struct nat *nat)
{
	struct nat_forward_entry *entry;

	if (!nat)
		return;
	port_plug(nat->port, NULL, NULL);
	loop_task_cancel(nat->loop, &nat->work);
	loop_timer_cancel(nat->loop, &nat->timeout);
	if (nat->slirp)
		unmake_slirp(nat);
	while ((entry = TAILQ_FIRST(&nat->forwards))) {
		TAILQ_REMOVE(&nat->forwards, entry, next);
		free(entry);
	}
	free(nat->records);
	free(nat->stations);
	free(nat->asked);
	free(nat->by_fd);
	free(nat->name);
	free(nat);
}

/* Forwards. */

static int start_forward(struct nat *nat, const struct nat_forward *forward)
{
	errno = 0;
	if (slirp_add_hostfwd(nat->slirp, forward->is_udp, forward->host_address, forward->host_port,
			      forward->guest_address, forward->guest_port) == 0)
		return 0;
	return errno > 0 ? -errno : -EIO;
}

static int fail_forward(const struct nat *nat, const struct nat_forward *forward, int reason, struct error *error)
{
	char address[INET_ADDRSTRLEN] = "";

	inet_ntop(AF_INET, &forward->host_address, address, sizeof(address));
	return error_set(error, ERROR_FAILED, -reason, "%s: %s port %u of %s cannot be forwarded: %s%s", nat->name,
			 forward->is_udp ? "UDP" : "TCP", forward->host_port, address, strerror(-reason),
			 reason == -EACCES ?
				 "\n  help: ports below 1024 are root's; take a higher one" :
			 reason == -EADDRINUSE ?
				 "\n  help: another program, or another lab, has it; \"ss -lntup\" tells which" :
				 "");
}

int nat_add_forward(struct nat *nat, const struct nat_forward *forward, struct error *error)
{
	struct nat_forward_entry *entry = malloc(sizeof(*entry));
	int result;

	if (!entry)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	result = start_forward(nat, forward);
	if (result < 0) {
		free(entry);
		return fail_forward(nat, forward, result, error);
	}
	entry->forward = *forward;
	TAILQ_INSERT_TAIL(&nat->forwards, entry, next);
	loop_task_queue(nat->loop, &nat->work);
	return 0;
}

int nat_remove_forward(struct nat *nat, const struct nat_forward *forward)
{
	struct nat_forward_entry *entry;

	TAILQ_FOREACH(entry, &nat->forwards, next) {
		const struct nat_forward *has = &entry->forward;

		if (has->is_udp == forward->is_udp && has->host_port == forward->host_port &&
		    has->host_address.s_addr == forward->host_address.s_addr)
			break;
	}
	if (!entry)
		return -ENOENT;
	slirp_remove_hostfwd(nat->slirp, forward->is_udp, forward->host_address, forward->host_port);
	TAILQ_REMOVE(&nat->forwards, entry, next);
	free(entry);
	loop_task_queue(nat->loop, &nat->work);
	return 0;
}

void nat_for_each_forward(const struct nat *nat, void (*function)(void *opaque, const struct nat_forward *forward),
			  void *opaque)
{
	const struct nat_forward_entry *entry;

	TAILQ_FOREACH(entry, &nat->forwards, next)
		function(opaque, &entry->forward);
}

int nat_reset(struct nat *nat, struct error *error)
{
	const struct nat_forward_entry *entry;
	Slirp *fresh = make_slirp(nat);
	int result = 0;

	if (!fresh)
		return error_set(error, ERROR_FAILED, ENOMEM, "%s: libslirp cannot be set up", nat->name);
	unmake_slirp(nat);
	nat->slirp = fresh;
	nat->queued = 0;
	nat->lease_count = 0;
	name_leases(nat);
	TAILQ_FOREACH(entry, &nat->forwards, next) {
		int started = start_forward(nat, &entry->forward);

		if (started < 0 && result == 0)
			result = fail_forward(nat, &entry->forward, started, error);
	}
	loop_task_queue(nat->loop, &nat->work);
	return result;
}
