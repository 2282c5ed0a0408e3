/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/nat_configuration.h"
#include "netlab/nat_datagram.h"
#include "netlab/nat_internal.h"
#include "netlab/nat_tftp.h"

/* Theory of operation
 * -------------------
 *      frame, socket ready, timer -> task -> frames, sockets (netlab/nat_sockets.h)
 *
 * All work is done by one task, which is queued when there is a reason to: a frame came from a guest, a socket is
 * ready, or one of libslirp's timers is due.  Frames wait in a queue for it.  So libslirp is asked for its sockets once
 * for all that came in a turn of the loop, and what it sends at once in return goes straight to its receiver, rather
 * than wait for the end of a delivery.
 *
 * Services of our own, names and files, take their datagrams out before libslirp sees them.
 *
 * libslirp takes a frame for what it says it is, whoever it is for and however short it may be.  So what is flooded to
 * the gateway and is for others ends here, as at the filter of any NIC, and a frame that is shorter than one on a wire
 * can be is padded. */

/* As the guests' default MTU. */
#define GATEWAY_MTU 1500

/* A guest may ask for as many connections as it likes, but not have all descriptors of this process, or its memory:
 * each has two buffers of 128 KiB. */
#define SOCKETS_MAX 1024

/* Bytes of a DHCP answer or a router advertisement, at most. */
#define CONFIGURATION_SIZE_MAX 1024

#define DNS_PORT 53
#define DHCP_SERVER_PORT 67
#define DHCPV6_SERVER_PORT 547

struct nat_timer {
	struct nat *nat;
	struct loop_timer timer;
	SlirpTimerId id;
	void *argument;
};

struct in_addr nat_host_address(struct in_addr subnet, uint32_t number)
{
	return (struct in_addr){.s_addr = htonl(ntohl(subnet.s_addr) + number)};
}

static struct in6_addr host_address6(const struct in6_addr *prefix, uint8_t number)
{
	struct in6_addr address = *prefix;

	address.s6_addr[15] = number;
	return address;
}

static void on_timeout(void *opaque)
{
	struct nat *nat = opaque;

	loop_task_queue(nat->loop, &nat->work);
}

static void send_frame(struct nat *nat, const void *bytes, size_t size)
{
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, bytes, size);
	port_transmit(nat->port, &frame);
}

/* libslirp's callbacks. */

/* Whether guests are to use another name server than libslirp's. */
static bool has_own_name_server(const struct nat_options *options)
{
	return options->is_dns_off || options->resolver.s_addr != INADDR_ANY;
}

static ssize_t send_packet(const void *bytes, size_t size, void *opaque)
{
	struct nat *nat = opaque;
	const struct nat_options *options = &nat->options;
	uint8_t changed[CONFIGURATION_SIZE_MAX];
	struct nat_lease lease;

	if (nat_configuration_read_lease(bytes, size, nat_host_address(options->subnet, NAT_HOST_GATEWAY), &lease))
		nat_name_table_add_lease(&nat->names, &lease);
	if (has_own_name_server(options) && size <= sizeof(changed)) {
		memcpy(changed, bytes, size);
		nat_configuration_set_name_server(changed, size, options->resolver);
		bytes = changed;
	}
	send_frame(nat, bytes, size);
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
	struct nat *nat = opaque;

	nat_sockets_forget(&nat->sockets, fd);
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

/* Services of our own. */

static bool is_at(const struct in6_addr *address, struct in_addr wanted)
{
	return !memcmp(address, &wanted, sizeof(wanted));
}

static bool is_name_server(const struct nat_options *options, const struct nat_datagram *datagram)
{
	const struct in6_addr address6 = host_address6(&options->prefix6, NAT_HOST_NAME_SERVER);

	if (options->resolver.s_addr != INADDR_ANY)
		return datagram->family == AF_INET && is_at(&datagram->destination, options->resolver);
	if (datagram->family == AF_INET)
		return is_at(&datagram->destination, nat_host_address(options->subnet, NAT_HOST_NAME_SERVER));
	return !memcmp(&datagram->destination, &address6, sizeof(address6));
}

static bool is_gateway(const struct nat_options *options, const struct nat_datagram *datagram)
{
	const struct in6_addr address6 = host_address6(&options->prefix6, NAT_HOST_GATEWAY);

	if (datagram->family == AF_INET)
		return is_at(&datagram->destination, nat_host_address(options->subnet, NAT_HOST_GATEWAY));
	return !memcmp(&datagram->destination, &address6, sizeof(address6));
}

static void answer(struct nat *nat, const struct nat_datagram *question, const uint8_t *payload, size_t size)
{
	uint8_t frame[NAT_DATAGRAM_HEADERS_MAX + NAT_TFTP_ANSWER_MAX];

	if (size > 0)
		size = nat_datagram_answer(question, payload, size, frame);
	if (size > 0)
		send_frame(nat, frame, size);
}

static bool serve_names(struct nat *nat, const struct nat_datagram *question)
{
	const struct nat_dns_zone zone = {.records = nat->names.records, .count = nat->names.record_count};
	uint8_t payload[NAT_DNS_ANSWER_MAX];
	size_t size = nat_dns_answer(&zone, question->payload, question->size, payload);

	answer(nat, question, payload, size);
	return size > 0;
}

static bool serve_files(struct nat *nat, const struct nat_datagram *request)
{
	uint8_t payload[NAT_TFTP_ANSWER_MAX];

	answer(nat, request, payload, nat_tftp_answer(nat->tftp, request, loop_now(), payload));
	return true;
}

/* Returns true when the frame is none of libslirp's business. */
static bool serve(struct nat *nat, const uint8_t *frame, size_t size)
{
	const struct nat_options *options = &nat->options;
	struct nat_datagram datagram;

	if (!nat_datagram_read(frame, size, &datagram))
		return false;
	switch (datagram.destination_port) {
	case DNS_PORT:
		return !options->is_dns_off && is_name_server(options, &datagram) && serve_names(nat, &datagram);
	case NAT_TFTP_PORT:
		return nat->tftp && is_gateway(options, &datagram) && serve_files(nat, &datagram);
	case DHCPV6_SERVER_PORT:
		return has_own_name_server(options); /* It has nothing else to tell. */
	default:
		return false;
	}
}

/* The task. */

/* Whether libslirp answers the datagram of IPv4 itself, as DHCP. */
static bool is_dhcp(const struct nat_options *options, const uint8_t *ip, const uint8_t *udp)
{
	const struct in_addr gateway = nat_host_address(options->subnet, NAT_HOST_GATEWAY);
	const uint8_t *destination = ip + offsetof(struct ip, ip_dst);

	return !options->is_dhcp_off && udp[2] == 0 && udp[3] == DHCP_SERVER_PORT &&
	       (!memcmp(destination, &gateway, sizeof(gateway)) || !memcmp(destination, "\xff\xff\xff\xff", 4));
}

/* Whether libslirp may make a socket for the frame, which is no shorter than ETH_ZLEN.  Only how it begins is looked
 * at: libslirp checks the rest.  It makes none to answer ARP, neighbour discovery and DHCP, without which guests could
 * not go on with the connections they have. */
static bool wants_socket(const struct nat_options *options, const uint8_t *frame, size_t size)
{
	bool is_ipv6 = frame[12] == 0x86;
	size_t ip = sizeof(struct ether_header), transport;
	uint8_t protocol;

	if (frame[12] == 0x08 && frame[13] == 0x06)
		return false; /* ARP. */
	transport = ip + (is_ipv6 ? sizeof(struct ip6_hdr) : (size_t)(frame[ip] & 0xf) * 4);
	protocol = frame[ip + (is_ipv6 ? offsetof(struct ip6_hdr, ip6_nxt) : offsetof(struct ip, ip_p))];
	if (protocol == IPPROTO_TCP && size >= transport + sizeof(struct tcphdr))
		return (frame[transport + 13] & (TH_SYN | TH_ACK)) == TH_SYN;
	if (protocol == IPPROTO_UDP && size >= transport + sizeof(struct udphdr))
		return is_ipv6 || !is_dhcp(options, frame + ip, frame + transport);
	if (protocol == IPPROTO_ICMPV6 && is_ipv6 && size >= transport + sizeof(struct icmp6_hdr))
		return frame[transport] == ICMP6_ECHO_REQUEST;
	return true;
}

static void ask(struct nat *nat)
{
	uint32_t milliseconds = nat_sockets_ask(&nat->sockets, nat->slirp);

	if (milliseconds == UINT32_MAX)
		loop_timer_cancel(nat->loop, &nat->timeout);
	else
		loop_timer_set(nat->loop, &nat->timeout, loop_now() + milliseconds * 1000000ull);
}

/* Whether libslirp may have the frame, after 'fresh' others for which it may have made sockets that were not yet
 * counted. */
static bool has_room(struct nat *nat, const uint8_t *frame, size_t size, size_t *fresh)
{
	if (!wants_socket(&nat->options, frame, size))
		return true;
	if (nat->sockets.count + *fresh >= SOCKETS_MAX) {
		ask(nat);
		*fresh = 0;
	}
	*fresh += 1;
	if (nat->sockets.count < SOCKETS_MAX)
		return true;
	log_limited(&nat->log_limit, "%s: guests have %d connections; there will be no more", nat->name, SOCKETS_MAX);
	return false;
}

/* Hands on what was delivered since.  What is delivered meanwhile, as an answer to an answer, is handed on as well, as
 * long as there is room behind the others. */
static void empty_queue(struct nat *nat)
{
	size_t fresh = 0;

	for (size_t at = 0, size; at < nat->queued; at += sizeof(size) + size) {
		const uint8_t *bytes = nat->queue + at + sizeof(size);

		memcpy(&size, nat->queue + at, sizeof(size));
		if (!serve(nat, bytes, size) && has_room(nat, bytes, size, &fresh))
			slirp_input(nat->slirp, bytes, (int)size);
	}
	nat->queued = 0;
}

static void work(void *opaque)
{
	struct nat *nat = opaque;

	empty_queue(nat);
	nat_sockets_tell(&nat->sockets, nat->slirp);
	ask(nat);
}

/* The port. */

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
	if (sizeof(size) + size > NAT_QUEUE_SIZE - nat->queued)
		return PORT_RING_FULL;
	memset(bytes, 0, ETH_ZLEN);
	frame_copy(frame, bytes, frame->size);
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
	const bool has_ipv6 = !IN6_IS_ADDR_UNSPECIFIED(&options->prefix6), is_own = has_own_name_server(options);
	const struct in_addr gateway = nat_host_address(options->subnet, NAT_HOST_GATEWAY);
	const struct in6_addr gateway6 = host_address6(&options->prefix6, NAT_HOST_GATEWAY);
	const char *search[NAT_SEARCH_MAX + 1] = {options->search_count ? NULL : NAT_DNS_ZONE};
	const SlirpConfig config = {
		.version = 4,
		.restricted = options->is_restricted,
		.in_enabled = true,
		.vnetwork = options->subnet,
		.vnetmask.s_addr = htonl(UINT32_MAX << (32 - options->prefix_length)),
		.vhost = gateway,
		.disable_dhcp = options->is_dhcp_off,
		.vdhcp_start = options->first_lease.s_addr ? options->first_lease :
							     nat_host_address(options->subnet, NAT_HOST_FIRST_LEASE),
		/* One of ours takes this one's place in what guests are told. */
		.vnameserver = is_own ? gateway : nat_host_address(options->subnet, NAT_HOST_NAME_SERVER),
		.disable_dns = is_own,
		.in6_enabled = has_ipv6,
		.vprefix_addr6 = options->prefix6,
		.vprefix_len = NAT_PREFIX6_LENGTH,
		.vhost6 = gateway6,
		.vnameserver6 = is_own ? gateway6 : host_address6(&options->prefix6, NAT_HOST_NAME_SERVER),
		.vdomainname = options->search_count ? options->search[0] : NAT_DNS_ZONE,
		.vdnssearch = search,
		.bootfile = options->bootfile,
		.if_mtu = GATEWAY_MTU,
		.if_mru = GATEWAY_MTU,
	};

	for (size_t i = 0; i < options->search_count && i < NAT_SEARCH_MAX; i++)
		search[i] = options->search[i];
	return slirp_new(&config, &callbacks, nat);
}

/* libslirp says of each socket that it closes it. */
static void unmake_slirp(struct nat *nat)
{
	slirp_cleanup(nat->slirp);
	nat_sockets_clear(&nat->sockets);
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
	nat->sockets =
		(struct nat_sockets){.loop = loop, .ready = &nat->work, .name = nat->name, .count_max = SOCKETS_MAX};
	TAILQ_INIT(&nat->forwards);
	nat->work = (struct loop_task){.function = work, .opaque = nat};
	nat->timeout = (struct loop_timer){.function = on_timeout, .opaque = nat};
	nat->tftp = options->tftp ? nat_tftp_create(options->tftp) : NULL;
	if (nat->tftp || !options->tftp)
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
	if (!nat)
		return;
	port_plug(nat->port, NULL, NULL);
	loop_task_cancel(nat->loop, &nat->work);
	loop_timer_cancel(nat->loop, &nat->timeout);
	if (nat->slirp)
		unmake_slirp(nat);
	nat_free_forwards(nat);
	nat_name_table_clear(&nat->names);
	nat_tftp_destroy(nat->tftp);
	free(nat->name);
	free(nat);
}

int nat_set_names(struct nat *nat, const struct nat_names *names)
{
	return nat_name_table_set(&nat->names, names);
}

int nat_reset(struct nat *nat, struct error *error)
{
	Slirp *fresh = make_slirp(nat);

	if (!fresh)
		return error_set(error, ERROR_FAILED, ENOMEM, "%s: libslirp cannot be set up", nat->name);
	unmake_slirp(nat);
	nat->slirp = fresh;
	nat->queued = 0;
	nat_name_table_forget_leases(&nat->names);
	if (nat->tftp)
		nat_tftp_reset(nat->tftp);
	loop_task_queue(nat->loop, &nat->work);
	return nat_start_forwards(nat, error);
}
