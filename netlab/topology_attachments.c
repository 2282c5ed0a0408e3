/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "netlab/allocate.h"

/* Theory of operation
 * -------------------
 * An end that leads out of the lab is a map with one of the keys in kinds[].  Its port is called KIND:LABEL, where the
 * label is given ("name:") or made from where the end leads, and its capture KIND-LABEL.pcap.  A label that ends like an
 * interface's name could make that a node's ("socket-h1" has "socket-h1-eth0.pcap"), so none does. */

#define VXLAN_PORT 4789          /* RFC 7348, section 5. */
#define VNI_MAX ((1u << 24) - 1) /* Ibid. */
#define ROUNDS_MAX 1000000000u
#define DELAY_MAX 86400000000000ull        /* One day, in nanoseconds. */
#define LABEL_PART (TOPOLOGY_NAME_MAX - 4) /* Characters before a number that makes it another. */
#define NETNS_INTERFACE "eth0"
#define NAMESPACE_MAX 255 /* NAME_MAX: it is a file in /run/netns. */

typedef bool read_function(struct topology_reader *reader, const struct yaml_tree_node *map,
			   const struct yaml_tree_pair *pair, struct topology_attachment *attachment);

static read_function read_socket, read_udp, read_vxlan, read_pcap, read_tap, read_netns;

static const struct kind {
	const char *word;
	read_function *read;
	const char *const settings[6]; /* Other keys of the map, beside "name". */
	bool has_interface;
} kinds[] = {
	{.word = "socket", .read = read_socket, .settings = {"connect", "type", "remote"}},
	{.word = "udp", .read = read_udp},
	{.word = "vxlan", .read = read_vxlan},
	{.word = "pcap", .read = read_pcap, .settings = {"speed", "loop", "start"}},
	{.word = "tap", .read = read_tap},
	{.word = "netns", .read = read_netns, .settings = {"interface", "ip", "mac", "mtu"}, .has_interface = true},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* The other keys of endpoints: of nodes and networks, some of which a kind may have as well, and of kinds alone. */
static const char *const node_keys[] = {"node", "network", "interface", "ip", "mac", "mtu"};
static const char *const setting_keys[] = {"connect", "type", "remote", "speed", "loop", "start"};

#define NODE_KEY_COUNT (sizeof(node_keys) / sizeof(node_keys[0]))
#define SETTING_KEY_COUNT (sizeof(setting_keys) / sizeof(setting_keys[0]))

const char *topology_attachment_word(enum topology_attachment_kind kind)
{
	static const char *const words[] = {
		[TOPOLOGY_STREAM] = "socket", [TOPOLOGY_DATAGRAM] = "socket", [TOPOLOGY_UDP] = "udp",
		[TOPOLOGY_VXLAN] = "vxlan",   [TOPOLOGY_PCAP] = "pcap",       [TOPOLOGY_TAP] = "tap",
		[TOPOLOGY_NETNS] = "netns",
	};

	return words[kind];
}

static bool has_setting(const struct kind *kind, const char *key)
{
	for (size_t i = 0; i < sizeof(kind->settings) / sizeof(kind->settings[0]) && kind->settings[i]; i++)
		if (!strcmp(kind->settings[i], key))
			return true;
	return false;
}

static const struct kind *find_kind(const struct yaml_tree_node *map)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (yaml_tree_find(map, kinds[i].word))
			return &kinds[i];
	return NULL;
}

/* The kind that has the setting. */
static const struct kind *find_owner(const char *key)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (has_setting(&kinds[i], key))
			return &kinds[i];
	return NULL;
}

bool topology_is_attachment(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	const struct yaml_tree_pair *name = yaml_tree_find(map, "name");

	if (find_kind(map))
		return true;
	for (size_t i = 0; i < SETTING_KEY_COUNT; i++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, setting_keys[i]);

		if (pair)
			yaml_reader_error(&reader->yaml, pair->key_mark, "\"%s\" is for endpoints with \"%s:\"",
					  pair->key, find_owner(pair->key)->word);
	}
	if (name) {
		yaml_reader_error(&reader->yaml, name->key_mark, "\"name\" is for endpoints that lead out of the lab");
		yaml_reader_help(&reader->yaml, "a node's end is written {node: h1, interface: eth1}");
	}
	return false;
}

/* Reports the first key that stands beside 'kind' and does not belong there. */
static bool check_settings(struct topology_reader *reader, const struct yaml_tree_node *map, const struct kind *kind)
{
	const struct yaml_tree_pair *stray = NULL;

	for (size_t i = 0; i < KIND_COUNT && !stray; i++)
		if (&kinds[i] != kind)
			stray = yaml_tree_find(map, kinds[i].word);
	for (size_t i = 0; i < NODE_KEY_COUNT && !stray; i++)
		if (!has_setting(kind, node_keys[i]))
			stray = yaml_tree_find(map, node_keys[i]);
	for (size_t i = 0; i < SETTING_KEY_COUNT && !stray; i++)
		if (!has_setting(kind, setting_keys[i]))
			stray = yaml_tree_find(map, setting_keys[i]);
	if (stray)
		yaml_reader_error(&reader->yaml, stray->key_mark, "an endpoint with \"%s\" has no \"%s\"", kind->word,
				  stray->key);
	return !stray;
}

/* Sockets. */

/* Returns the absolute path of a socket, to be freed, or NULL after reporting what is wrong. */
static char *read_socket_path(struct topology_reader *reader, const struct yaml_tree_pair *pair)
{
	const char *text = yaml_reader_text(&reader->yaml, pair->value, pair->key);
	char *path;

	if (!text)
		return NULL;
	if (!*text) {
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s is an empty path", pair->key);
		return NULL;
	}
	path = *text == '/' ? allocate_copy(text) : allocate_text("%s/%s", reader->socket_folder, text);
	/* Of a kept topology it is not known here. */
	if (strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path) || reader->is_kept)
		return path;
	yaml_reader_error(&reader->yaml, pair->value->mark, "a socket's path has at most %zu bytes; this one is %s",
			  sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1, path);
	yaml_reader_help(&reader->yaml, "give a shorter one, such as /tmp/qemu1.sock");
	free(path);
	return NULL;
}

static bool read_socket_type(struct topology_reader *reader, const struct yaml_tree_node *map,
			     struct topology_attachment *attachment)
{
	static const char *const types[] = {"stream", "dgram"};
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "type");
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, "type") : types[0];

	if (!text)
		return false;
	for (size_t i = 0; i < 2; i++) {
		attachment->kind = i ? TOPOLOGY_DATAGRAM : TOPOLOGY_STREAM;
		if (!strcmp(text, types[i]))
			return true;
	}
	yaml_reader_error(&reader->yaml, pair->value->mark, "unknown type \"%s\" of a socket", text);
	yaml_reader_suggest(&reader->yaml, text, types, 2);
	return false;
}

static bool read_socket(struct topology_reader *reader, const struct yaml_tree_node *map,
			const struct yaml_tree_pair *pair, struct topology_attachment *attachment)
{
	const struct yaml_tree_pair *connect = yaml_tree_find(map, "connect"), *remote = yaml_tree_find(map, "remote");

	if (!read_socket_type(reader, map, attachment))
		return false;
	attachment->path = read_socket_path(reader, pair);
	if (!attachment->path)
		return false;
	if (attachment->kind == TOPOLOGY_STREAM) {
		if (remote) {
			yaml_reader_error(&reader->yaml, remote->key_mark,
					  "\"remote\" is for sockets of \"type: dgram\"");
			yaml_reader_help(&reader->yaml, "with \"connect: on\" the socket's own path is the peer's");
			return false;
		}
		return !connect || yaml_reader_switch(&reader->yaml, connect->value, "connect", &attachment->connects);
	}
	if (connect || !remote) {
		yaml_reader_error(&reader->yaml, connect ? connect->key_mark : pair->key_mark,
				  connect ? "\"connect\" is for sockets of \"type: stream\"" :
					    "a socket of \"type: dgram\" needs \"remote:\", the path of the peer's");
		return false;
	}
	attachment->remote_path = read_socket_path(reader, remote);
	return attachment->remote_path != NULL;
}

/* UDP and VXLAN. */

/* Reads the address that is called 'key' in the map 'map', if it is there.  Returns false after reporting. */
static bool read_udp_address(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key,
			     uint16_t port, struct sockaddr_storage *address)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, key) : NULL;
	const char *problem = text ? topology_parse_socket_address(text, port, address) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" %s", key, text, problem);
	return !problem && (text || !pair);
}

/* Whether it is the address of one host. */
static bool is_host(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(&ipv6->sin6_addr) && !IN6_IS_ADDR_MULTICAST(&ipv6->sin6_addr);
	return ntohl(ipv4->sin_addr.s_addr) >> 24 != 0 && ntohl(ipv4->sin_addr.s_addr) >> 28 < 0xe;
}

static in_port_t *port_of(struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? &((struct sockaddr_in *)address)->sin_port :
					       &((struct sockaddr_in6 *)address)->sin6_port;
}

/* Reads "remote" and "local", whose port is 'port' where it is not written; 0: as the remote's.  Without a local address
 * it is any. */
static bool read_ends(struct topology_reader *reader, const struct yaml_tree_pair *pair, uint16_t remote_port,
		      uint16_t local_port, struct topology_attachment *attachment)
{
	const struct yaml_tree_node *map = pair->value;
	const struct yaml_tree_pair *remote = yaml_tree_find(map, "remote"), *local = yaml_tree_find(map, "local");

	if (!remote) {
		yaml_reader_error(&reader->yaml, pair->key_mark,
				  "\"%s\" needs \"remote:\", the address of the other host", pair->key);
		return false;
	}
	if (!read_udp_address(reader, map, "remote", remote_port, &attachment->remote))
		return false;
	if (!is_host(&attachment->remote)) {
		yaml_reader_error(&reader->yaml, remote->value->mark, "remote \"%s\" is not the address of one host",
				  remote->value->text);
		return false;
	}
	attachment->local.ss_family = attachment->remote.ss_family;
	*port_of(&attachment->local) = local_port ? htons(local_port) : *port_of(&attachment->remote);
	local_port = ntohs(*port_of(&attachment->local));
	if (!read_udp_address(reader, map, "local", local_port, &attachment->local))
		return false;
	if (attachment->local.ss_family == attachment->remote.ss_family)
		return true;
	yaml_reader_error(&reader->yaml, local->value->mark, "local and remote are not both IPv4 or both IPv6");
	return false;
}

static bool check_map(struct topology_reader *reader, const struct yaml_tree_pair *pair, const char *const *known,
		      size_t count, const char *example)
{
	if (pair->value->type == YAML_TREE_MAP) {
		char *where = allocate_text("\"%s:\"", pair->key);
		bool good = yaml_reader_check_keys(&reader->yaml, pair->value, where, known, count);

		free(where);
		return good;
	}
	yaml_reader_error(&reader->yaml, pair->value->mark, "%s must be a map of settings, not %s", pair->key,
			  yaml_tree_type_name(pair->value));
	yaml_reader_help(&reader->yaml, "write %s", example);
	return false;
}

static bool read_udp(struct topology_reader *reader, const struct yaml_tree_node *map,
		     const struct yaml_tree_pair *pair, struct topology_attachment *attachment)
{
	static const char *const keys[] = {"remote", "local"};

	(void)map;
	attachment->kind = TOPOLOGY_UDP;
	return check_map(reader, pair, keys, 2, "udp: {remote: \"192.0.2.7:5000\"}") &&
	       read_ends(reader, pair, 0, 0, attachment);
}

static bool read_vxlan(struct topology_reader *reader, const struct yaml_tree_node *map,
		       const struct yaml_tree_pair *pair, struct topology_attachment *attachment)
{
	static const char *const keys[] = {"remote", "local", "vni", "port"};
	const struct yaml_tree_pair *vni, *port;
	unsigned long number, remote_port = VXLAN_PORT;

	(void)map;
	attachment->kind = TOPOLOGY_VXLAN;
	if (!check_map(reader, pair, keys, 4, "vxlan: {remote: 192.0.2.7, vni: 42}"))
		return false;
	vni = yaml_tree_find(pair->value, "vni");
	port = yaml_tree_find(pair->value, "port");
	if (!vni) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "\"vxlan\" needs \"vni:\", the network's number");
		return false;
	}
	if (!yaml_reader_number(&reader->yaml, vni->value, "vni", 0, VNI_MAX, &number))
		return false;
	if (port && !yaml_reader_number(&reader->yaml, port->value, "port", 1, UINT16_MAX, &remote_port))
		return false;
	attachment->vni = (uint32_t)number;
	return read_ends(reader, pair, (uint16_t)remote_port, VXLAN_PORT, attachment);
}

/* Captures. */

static bool check_capture(struct topology_reader *reader, struct yaml_mark mark, const char *text, const char *path)
{
	char problem[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_open_offline(path, problem);
	const char *type;

	if (!pcap) {
		/* libpcap's words may begin with the path. */
		yaml_reader_error(&reader->yaml, mark, "\"%s\" is no capture: %s", text,
				  strncmp(problem, path, strlen(path)) ? problem : problem + strlen(path) + 2);
		return false;
	}
	if (pcap_datalink(pcap) != DLT_EN10MB) {
		type = pcap_datalink_val_to_name(pcap_datalink(pcap));
		yaml_reader_error(&reader->yaml, mark,
				  "\"%s\" is a capture of %s, and only those of Ethernet can be replayed", text,
				  type ? type : "an unknown link type");
		pcap_close(pcap);
		return false;
	}
	pcap_close(pcap);
	return true;
}

static bool read_speed(struct topology_reader *reader, const struct yaml_tree_node *node, unsigned int *speed)
{
	const char *text = yaml_reader_text(&reader->yaml, node, "speed");
	const char *problem = text ? topology_parse_speed(text, speed) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, node->mark, "speed \"%s\" %s", text, problem);
	return text && !problem;
}

/* A number of rounds, or a switch: without end, or once. */
static bool read_loop(struct topology_reader *reader, const struct yaml_tree_node *node, unsigned int *rounds)
{
	unsigned long number;
	bool on;

	if (node->type == YAML_TREE_SCALAR && node->text[0] >= '0' && node->text[0] <= '9') {
		if (!yaml_reader_number(&reader->yaml, node, "loop", 1, ROUNDS_MAX, &number))
			return false;
		*rounds = (unsigned int)number;
		return true;
	}
	if (!yaml_reader_switch(&reader->yaml, node, "loop", &on)) {
		yaml_reader_help(&reader->yaml, "\"loop: 3\" replays it three times, \"loop: on\" without end");
		return false;
	}
	*rounds = on ? 0 : 1;
	return true;
}

static bool read_start(struct topology_reader *reader, const struct yaml_tree_node *node,
		       struct topology_attachment *attachment)
{
	const char *text = yaml_reader_text(&reader->yaml, node, "start");
	const char *problem;

	if (!text)
		return false;
	attachment->is_immediate = !strcmp(text, "up");
	if (attachment->is_immediate || !strcmp(text, "ready"))
		return true;
	problem = topology_parse_time(text, &attachment->delay);
	if (!problem && attachment->delay > DELAY_MAX)
		problem = "must be at most 24h";
	if (problem) {
		yaml_reader_error(&reader->yaml, node->mark, "start \"%s\" %s", text, problem);
		yaml_reader_help(&reader->yaml,
				 "\"ready\" is when all nodes are, \"5s\" that long after it, \"up\" at once");
	}
	return !problem;
}

static bool read_pcap(struct topology_reader *reader, const struct yaml_tree_node *map,
		      const struct yaml_tree_pair *pair, struct topology_attachment *attachment)
{
	const struct yaml_tree_pair *speed = yaml_tree_find(map, "speed"), *loop = yaml_tree_find(map, "loop");
	const struct yaml_tree_pair *start = yaml_tree_find(map, "start");
	const char *text = yaml_reader_text(&reader->yaml, pair->value, "pcap");

	attachment->kind = TOPOLOGY_PCAP;
	attachment->speed = 1000;
	attachment->rounds = 1;
	if (!text)
		return false;
	attachment->path = topology_read_source(reader, pair->value->mark, text);
	if (!attachment->path || !check_capture(reader, pair->value->mark, text, attachment->path))
		return false;
	return (!speed || read_speed(reader, speed->value, &attachment->speed)) &&
	       (!loop || read_loop(reader, loop->value, &attachment->rounds)) &&
	       (!start || read_start(reader, start->value, attachment));
}

/* Interfaces of the host. */

/* Reads the name of the interface from 'key'. */
static bool read_device(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key,
			struct topology_interface *interface)
{
	char *name = topology_read_device(reader, map, key);

	if (!name)
		return false;
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	free(name);
	return true;
}

static bool read_tap(struct topology_reader *reader, const struct yaml_tree_node *map,
		     const struct yaml_tree_pair *pair, struct topology_attachment *attachment)
{
	attachment->kind = TOPOLOGY_TAP;
	return read_device(reader, map, pair->key, &attachment->interface);
}

static bool read_netns(struct topology_reader *reader, const struct yaml_tree_node *map,
		       const struct yaml_tree_pair *pair, struct topology_attachment *attachment)
{
	const char *text = yaml_reader_text(&reader->yaml, pair->value, "netns");

	attachment->kind = TOPOLOGY_NETNS;
	if (!text)
		return false;
	if (!*text || strchr(text, '/') || !strcmp(text, ".") || !strcmp(text, "..") || strlen(text) > NAMESPACE_MAX) {
		yaml_reader_error(&reader->yaml, pair->value->mark,
				  "netns \"%s\" is not the name of a network namespace", text);
		yaml_reader_help(&reader->yaml, "\"ip netns\" lists them");
		return false;
	}
	attachment->namespace = allocate_copy(text);
	snprintf(attachment->interface.name, sizeof(attachment->interface.name), "%s", NETNS_INTERFACE);
	return !yaml_tree_find(map, "interface") || read_device(reader, map, "interface", &attachment->interface);
}

/* Names. */

/* Whether it reads like the end of the name of an interface's capture, NODE-ethN. */
static bool ends_like_interface(const char *label)
{
	const char *dash = strrchr(label, '-');
	unsigned int number;

	return !topology_parse_interface(dash ? dash + 1 : label, &number);
}

/* Reads the label that is given in the map, if one is. */
static bool read_label(struct topology_reader *reader, const struct yaml_tree_node *map,
		       struct topology_written_attachment *written)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "name");
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, "name") : NULL;
	const char *problem = text ? topology_check_name(text) : NULL;

	if (!pair || !text)
		return !pair;
	if (!problem && ends_like_interface(text))
		problem = "ends like the name of an interface";
	if (problem) {
		yaml_reader_error(&reader->yaml, pair->value->mark, "name \"%s\" of an endpoint %s", text, problem);
		return false;
	}
	written->mark = pair->value->mark;
	written->label = allocate_copy(text);
	written->is_named = true;
	return true;
}

/* What the label is made from, to be freed: what is written, since a kept topology has its files elsewhere. */
static char *label_source(const struct topology_attachment *attachment,
			  const struct topology_written_attachment *written)
{
	char text[TOPOLOGY_SOCKET_ADDRESS_SIZE];
	const char *slash, *file, *dot;

	if (attachment->kind == TOPOLOGY_VXLAN)
		return allocate_text("%u", attachment->vni);
	if (attachment->kind == TOPOLOGY_UDP) {
		topology_format_socket_address(&attachment->remote, text);
		*strpbrk(text, attachment->remote.ss_family == AF_INET ? ":" : "]") = '\0';
		return allocate_copy(text + (text[0] == '['));
	}
	slash = strrchr(written->text, '/');
	file = slash ? slash + 1 : written->text;
	dot = strrchr(file, '.');
	return allocate_copy_part(file, dot && dot != file ? (size_t)(dot - file) : strlen(file));
}

/* As much of it as a name can have: characters that it cannot are dashes, and none begins it. */
static void make_label(const char *source, char label[LABEL_PART + 1])
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t length = 0;

	for (const char *at = source; *at && length < LABEL_PART; at++) {
		bool is_plain = strchr(good, *at) || *at == '_' || (*at == '.' && at[1] != '.');

		if (length || strchr(good, *at))
			label[length++] = *at;
		if (length && !is_plain)
			label[length - 1] = '-';
	}
	label[length] = '\0';
}

/* The first attachment before 'count' whose port would have that name, or 'count'. */
static size_t find_label(const struct topology_reader *reader, size_t count, enum topology_attachment_kind kind,
			 const char *label)
{
	const struct topology_attachment *attachments = reader->topology->attachments;

	for (size_t i = 0; i < count; i++)
		if (reader->attachments[i].label && !strcmp(reader->attachments[i].label, label) &&
		    !strcmp(topology_attachment_word(attachments[i].kind), topology_attachment_word(kind)))
			return i;
	return count;
}

static void choose_label(struct topology_reader *reader, size_t index)
{
	const struct topology_attachment *attachment = &reader->topology->attachments[index];
	char *source = label_source(attachment, &reader->attachments[index]), *label;
	char made[LABEL_PART + 1];

	make_label(source, made);
	free(source);
	label = allocate_copy(made);
	for (unsigned int number = *made ? 2 : 1;
	     !*label || ends_like_interface(label) ||
	     find_label(reader, reader->topology->attachment_count, attachment->kind, label) !=
		     reader->topology->attachment_count;
	     number++) {
		free(label);
		label = allocate_text("%s%s%u", made, *made ? "-" : "", number);
	}
	reader->attachments[index].label = label;
}

void topology_name_attachments(struct topology_reader *reader)
{
	struct topology *topology = reader->topology;

	for (size_t i = 0; i < topology->attachment_count; i++) {
		const struct topology_written_attachment *written = &reader->attachments[i];
		size_t other = written->is_named ?
				       find_label(reader, i, topology->attachments[i].kind, written->label) :
				       i;

		if (other == i)
			continue;
		yaml_reader_error(&reader->yaml, written->mark, "the name \"%s\" is given twice", written->label);
		yaml_reader_help(&reader->yaml, "the other endpoint is in line %u",
				 reader->attachments[other].mark.line);
	}
	for (size_t i = 0; i < topology->attachment_count; i++) {
		if (!reader->attachments[i].is_named)
			choose_label(reader, i);
		topology->attachments[i].name = allocate_text("%s:%s",
							      topology_attachment_word(topology->attachments[i].kind),
							      reader->attachments[i].label);
	}
}

/* The whole. */

static void read_end_settings(struct topology_reader *reader, const struct yaml_tree_node *map,
			      struct topology_end *end)
{
	const struct yaml_tree_pair *ip = yaml_tree_find(map, "ip"), *mac = yaml_tree_find(map, "mac");
	const struct yaml_tree_pair *mtu = yaml_tree_find(map, "mtu");

	if (ip)
		topology_read_ip(reader, end, ip->value);
	if (mac)
		topology_read_mac(reader, end, mac->value);
	if (mtu)
		topology_read_mtu(reader, mtu->value, &end->mtu);
}

bool topology_read_attachment(struct topology_reader *reader, const struct yaml_tree_node *map,
			      struct topology_end *end)
{
	struct topology *topology = reader->topology;
	const struct kind *kind = find_kind(map);
	const struct yaml_tree_pair *pair = yaml_tree_find(map, kind->word);
	struct topology_written_attachment written = {.mark = map->mark, .text = pair->value->text};
	struct topology_attachment attachment = {.name = NULL};

	if (topology->attachment_count == TOPOLOGY_ATTACHMENTS_MAX) {
		yaml_reader_error(&reader->yaml, map->mark, "more than %d ends of links lead out of the lab",
				  TOPOLOGY_ATTACHMENTS_MAX);
		return false;
	}
	if (!check_settings(reader, map, kind) || !kind->read(reader, map, pair, &attachment) ||
	    !read_label(reader, map, &written)) {
		topology_clear_attachment(&attachment);
		return false;
	}
	end->kind = TOPOLOGY_END_ATTACHMENT;
	end->index = topology->attachment_count;
	end->has_interface = kind->has_interface;
	read_end_settings(reader, map, end);
	reader->attachments = allocate_grow(reader->attachments, topology->attachment_count,
					    sizeof(reader->attachments[0]));
	reader->attachments[topology->attachment_count] = written;
	topology->attachments = allocate_grow(topology->attachments, topology->attachment_count,
					      sizeof(topology->attachments[0]));
	topology->attachments[topology->attachment_count++] = attachment;
	return true;
}

void topology_clear_attachment(struct topology_attachment *attachment)
{
	for (size_t i = 0; i < attachment->interface.address_count; i++)
		free(attachment->interface.addresses[i]);
	free(attachment->interface.addresses);
	free(attachment->namespace);
	free(attachment->remote_path);
	free(attachment->path);
	free(attachment->name);
}

char *topology_attachment_target(const struct topology_attachment *attachment)
{
	char text[TOPOLOGY_SOCKET_ADDRESS_SIZE];

	switch (attachment->kind) {
	case TOPOLOGY_UDP:
	case TOPOLOGY_VXLAN:
		topology_format_socket_address(&attachment->remote, text);
		return allocate_copy(text);
	case TOPOLOGY_TAP:
		return allocate_copy(attachment->interface.name);
	case TOPOLOGY_NETNS:
		return allocate_text("%s:%s", attachment->namespace, attachment->interface.name);
	case TOPOLOGY_DATAGRAM:
		return allocate_copy(attachment->remote_path);
	default:
		return allocate_copy(attachment->path);
	}
}

const struct topology_attachment *topology_find_attachment(const struct topology *topology, const char *name)
{
	for (size_t i = 0; i < topology->attachment_count; i++)
		if (!strcmp(topology->attachments[i].name, name))
			return &topology->attachments[i];
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_interface(const struct topology_interface *a, const struct topology_interface *b)
{
	for (size_t i = 0; a->address_count == b->address_count && i < a->address_count; i++)
		if (strcmp(a->addresses[i], b->addresses[i]))
			return false;
	return a->address_count == b->address_count && !strcmp(a->name, b->name) && a->mtu == b->mtu &&
	       !memcmp(a->mac, b->mac, sizeof(a->mac));
}

bool topology_attachment_is_same(const struct topology_attachment *a, const struct topology_attachment *b)
{
	bool has_interface = a->kind == TOPOLOGY_NETNS || a->kind == TOPOLOGY_TAP;

	return a->kind == b->kind && !strcmp(a->name, b->name) && same_text(a->path, b->path) &&
	       a->connects == b->connects && same_text(a->remote_path, b->remote_path) &&
	       !memcmp(&a->local, &b->local, sizeof(a->local)) && !memcmp(&a->remote, &b->remote, sizeof(a->remote)) &&
	       a->vni == b->vni && a->speed == b->speed && a->rounds == b->rounds &&
	       a->is_immediate == b->is_immediate && a->delay == b->delay && same_text(a->namespace, b->namespace) &&
	       (!has_interface || same_interface(&a->interface, &b->interface));
}
