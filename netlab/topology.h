/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TOPOLOGY_H
#define NETLAB_TOPOLOGY_H 1

/* Topology
 * ========
 *
 * One YAML file describes one lab: nodes, networks and links.  topology_read() turns it into the plain structures
 * below, in which everything is resolved: defaults are merged into nodes, every link endpoint is an index, every
 * interface has a name, a MAC address and an MTU.  docs/topology.md is the user's reference.
 *
 * Errors carry file:line:column and a way out; reading goes on after an error where that makes sense, so that one
 * run shows several.  Nothing outside the file is touched, save that the existence of files named under "files:" is
 * checked.
 *
 * Thread-safety: none needed; a struct topology is read-only once read.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/error.h"
#include "netlab/bridge/request.h"
#include "netlab/impairment.h"
#include "netlab/nat.h"
#include "netlab/port_rules.h"
#include "netlab/topology_units.h"

/* Limits, each an error with its number in the message. */
#define TOPOLOGY_NODES_MAX 1024           /* Nodes in a lab. */
#define TOPOLOGY_NETWORKS_MAX 1024        /* Networks in a lab. */
#define TOPOLOGY_ATTACHMENTS_MAX 256      /* Ends of links that lead out of a lab. */
#define TOPOLOGY_INTERFACES_MAX 24        /* Interfaces of a node: the slots of one PCI bus less the fixed devices. */
#define TOPOLOGY_CPUS_MAX 16              /* vCPUs of a node. */
#define TOPOLOGY_NAME_MAX 32              /* Characters of a node's, network's or lab's name. */
#define TOPOLOGY_MEMORY_MIN (32ull << 20) /* Bytes; a smaller guest cannot boot. */
#define TOPOLOGY_MEMORY_MAX (3ull << 30)  /* Bytes; RAM ends below the PCI hole. */
#define TOPOLOGY_FILE_SIZE_MAX (4u << 20) /* Bytes of YAML. */
#define TOPOLOGY_TESTS_MAX 1024           /* Items of "validate:". */
#define TOPOLOGY_COMMAND_MAX 8192         /* Bytes of a test's command. */
#define TOPOLOGY_EVENTS_MAX 1024          /* Items of a "schedule:", */
#define TOPOLOGY_LAB_EVENTS_MAX 16384     /* and of all of them. */

struct topology_text { /* A key and value, in file order. */
	char *key;
	char *value;
};

struct topology_file {    /* "files: {PATH-IN-GUEST: SOURCE}". */
	char *guest_path; /* Absolute. */
	char *source;     /* Absolute path on the host, resolved against the topology's folder. */
};

struct topology_interface {
	char name[16];    /* "eth0". */
	uint8_t mac[6];   /* Given, or 52:54:00 and a hash of lab, node and interface. */
	unsigned int mtu; /* 68 to 65535; 1500 unless given. */
	bool has_offload; /* "offload" of its link, or its network, or all. */
	char **addresses; /* CIDR strings, normalised: "10.0.9.1/24", "fd00::1/64". */
	size_t address_count;
	size_t link; /* Index into topology.links. */
};

struct topology_node {
	char *name;
	char *image;
	uint64_t memory;                       /* Bytes, 0: the image's default. */
	unsigned int cpus;                     /* 0: the image's default. */
	char *cmdline;                         /* Words appended to the kernel command line, or NULL. */
	bool boots;                            /* "boot: cold": it is no clone (netlab/template.h). */
	struct topology_interface *interfaces; /* Ascending by number in the name. */
	size_t interface_count;
	char **routes; /* Arguments for "ip route add", checked for form only. */
	size_t route_count;
	struct topology_text *sysctls;
	size_t sysctl_count;
	char **startup; /* Shell commands, run in order after addresses are set. */
	size_t startup_count;
	struct topology_file *files;
	size_t file_count;
};

enum topology_mode {
	TOPOLOGY_ISOLATED,
	TOPOLOGY_NAT,
	TOPOLOGY_BRIDGE,
	TOPOLOGY_MACVTAP,
};

struct topology_host { /* "host: {NAME: ADDRESS}"; a name with several addresses is there several times. */
	char *name;
	int family; /* AF_INET or AF_INET6. */
	uint8_t address[16];
};

struct topology_network {
	char *name;
	enum topology_mode mode;
	size_t mac_table_size;    /* "mac-table": addresses remembered, 1 to 65536, default 4096. */
	unsigned int mac_aging;   /* "mac-aging": seconds, 1 to 86400, default 300. */
	bool has_offload;         /* "offload": that of links to it which say nothing. */
	bool has_vlans;           /* Some port of it has "vlan" or "trunk". */
	bool is_hub;              /* "hub". */
	bool passes_reserved;     /* "reserved-addresses: pass". */
	struct port_rules *rules; /* Of its outer port, or NULL: it has none. */
	/* "impair": of frames that the outer port sends into the lab, and of those it takes out of it. */
	struct impairment impairments[2];
	/* With "mode: nat". */
	struct in_addr subnet; /* "subnet"; default 10.0.2.0/24, the next such network with 10.0.3.0/24, and so on. */
	unsigned int prefix_length;
	struct in6_addr prefix6; /* Of 64 bits; default fd6e:6574:6c61:2::/64, and so on. */
	bool is_restricted;      /* "restrict". */
	struct nat_forward *forwards;
	size_t forward_count;
	/* With "mode: bridge", or, of the host's interface alone, "mode: macvtap". */
	char *host_bridge;                     /* "bridge": its name, or NULL where there is a TAP. */
	char *host_interface;                  /* "interface", or NULL. */
	char *host_tap;                        /* "tap": one that the user has already, or NULL. */
	struct bridge_address *host_addresses; /* "address": of a bridge that is made. */
	size_t host_address_count;
	unsigned int host_mtu;      /* The largest on the network. */
	uint8_t host_mac[6];        /* That of the node on a network with "mode: macvtap". */
	bool is_dhcp_off;           /* "dhcp: off". */
	struct in_addr first_lease; /* "first"; 16 addresses from here on, by default ones that no node was given. */
	char **search;              /* "search": domains; none: the lab's. */
	size_t search_count;
	bool is_dns_off;         /* "dns: off". */
	struct in_addr resolver; /* "dns"; 0.0.0.0: the host's. */
	struct topology_host *hosts;
	size_t host_count;
	char *tftp;     /* Absolute path of a folder, or NULL. */
	char *bootfile; /* Or NULL. */
};

/* What an end of a link that leads out of the lab is (netlab/attachment.h). */
enum topology_attachment_kind {
	TOPOLOGY_STREAM,   /* "socket": of type stream, or */
	TOPOLOGY_DATAGRAM, /* dgram. */
	TOPOLOGY_UDP,
	TOPOLOGY_VXLAN,
	TOPOLOGY_PCAP,
	TOPOLOGY_TAP,
	TOPOLOGY_NETNS,
};

struct topology_attachment {
	enum topology_attachment_kind kind;
	char *name; /* Of its port: "socket:qemu1". */
	size_t link;
	/* A socket's, where the lab or, with 'connects', the peer listens; or a capture's.  Absolute. */
	char *path;
	bool connects;     /* TOPOLOGY_STREAM */
	char *remote_path; /* TOPOLOGY_DATAGRAM: where the peer is.  Absolute. */
	/* TOPOLOGY_UDP and TOPOLOGY_VXLAN: both of one family. */
	struct sockaddr_storage local, remote;
	uint32_t vni; /* TOPOLOGY_VXLAN */
	/* TOPOLOGY_PCAP */
	unsigned int speed;  /* Thousandths of the capture's own; 0: as fast as it goes. */
	unsigned int rounds; /* 0: without end. */
	bool is_immediate;   /* It begins with the lab; else when all nodes are ready, and, */
	uint64_t delay;      /* nanoseconds, after that. */
	/* TOPOLOGY_TAP has a name, TOPOLOGY_NETNS all of it, in the namespace. */
	struct topology_interface interface;
	char *namespace; /* TOPOLOGY_NETNS */
};

enum topology_end_kind { TOPOLOGY_END_NODE, TOPOLOGY_END_NETWORK, TOPOLOGY_END_ATTACHMENT };

struct topology_endpoint {
	enum topology_end_kind kind;
	size_t node;       /* Index into nodes, or, */
	size_t interface;  /* with node, index into its interfaces. */
	size_t network;    /* Index into networks. */
	size_t attachment; /* Index into attachments. */
	/* Of the port, where it is no network. */
	struct port_rules *rules; /* NULL: it has none. */
	char **mirrored;          /* "mirror": ports ("h1:eth0", "network:uplink") and networks, copied to this port. */
	size_t mirrored_count;
};

enum topology_carrier { TOPOLOGY_CARRIER_STAYS, TOPOLOGY_CARRIER_DOWN, TOPOLOGY_CARRIER_UP };

/* An item of "schedule:": what becomes of a link at that time. */
struct topology_event {
	uint64_t at; /* Nanoseconds after all nodes are ready. */
	enum topology_carrier carrier;
	bool is_impaired[2]; /* Whether the link is given, in this direction, */
	struct impairment impairments[2];
};

struct topology_link {
	struct topology_endpoint endpoints[2]; /* Neither two networks nor two attachments. */
	/* Of frames that the first endpoint sends, and of those that the second one does. */
	struct impairment impairments[2];
	struct topology_event *events; /* In the order of their times. */
	size_t event_count;
};

/* "capture:" of a test: how many frames that match a filter cross a port. */
struct topology_test_capture {
	char *port;   /* "h1:eth0" or "network:uplink"; NULL: the test has none. */
	char *filter; /* In libpcap's language, known to compile; "" for all frames. */
	struct topology_count count;
	uint64_t within; /* Nanoseconds from the beginning of the attempt. */
};

#define TOPOLOGY_STATUS_ANY (-1)

/* An item of "validate:".  It has a command, a capture or both, and passes when all it says is so. */
struct topology_test {
	char *name;
	char *description, *pass, *fail; /* For people; "" if not given. */
	bool is_warning;                 /* "level: warning". */
	size_t *nodes;                   /* Where the command runs: indices into topology.nodes. */
	size_t node_count;
	char *command;  /* For sh(1), or NULL. */
	char **expects; /* What its output must match (netlab/output_match.h), */
	size_t expect_count;
	char **rejects; /* and what it must not. */
	size_t reject_count;
	int status;       /* 0 to 255, or TOPOLOGY_STATUS_ANY. */
	uint64_t timeout; /* Nanoseconds the command may take. */
	struct topology_test_capture capture;
	uint64_t wait;         /* Nanoseconds in which a new attempt may begin; 0: no limit, but then, */
	unsigned int attempts; /* the most attempts there are; 0: no limit, but then 'wait' is one. */
	uint64_t interval;     /* Nanoseconds between two attempts. */
};

/* "capture:", what is captured of the lab. */
struct topology_capture {
	bool has_port_files, has_lab_file; /* "files" */
	uint32_t snap_len;                 /* Bytes; 0: whole frames. */
	bool is_clean, has_events;
	uint64_t recorder_size;               /* Bytes. */
	uint64_t rotate_size, rotate_seconds; /* 0: never. */
	uint32_t rotate_files;                /* 0: any number. */
};

struct topology {
	char *name;      /* "name:", else the folder's name; checked, lower-cased never. */
	char *path;      /* Absolute path of the file. */
	bool is_foreign; /* It came with a snapshot from another machine. */
	char *text;      /* The file, as it was read. */
	char **sources;  /* Of all files, in the order in which they were read. */
	size_t source_count;
	unsigned int nodes_line; /* Where "nodes" is, for errors about all of them. */
	unsigned int nodes_column;
	struct topology_node *nodes;
	size_t node_count;
	struct topology_network *networks;
	size_t network_count;
	struct topology_attachment *attachments;
	size_t attachment_count;
	struct topology_link *links;
	size_t link_count;
	struct topology_capture capture;
	struct topology_test *tests; /* In the file's order. */
	size_t test_count;
};

/* Reads the topology in 'path'.  'name' replaces the lab's name when not NULL (the MAC addresses follow the name).
 * Writes every error to 'errors' as "FILE:LINE:COLUMN: error: TEXT" with a further indented line of help where there
 * is one; an error of the whole file, such as one that cannot be opened, has no line and column.  Returns the
 * topology, to be freed with topology_free(), or NULL when there was an error. */
struct topology *topology_read(const char *path, const char *name, FILE *errors);

/* The same for text in memory; 'path' is used in messages and to resolve relative files. */
struct topology *topology_read_text(const char *text, size_t size, const char *path, const char *name, FILE *errors);

/* One that was kept in 'folder' as topology.yaml, with the sources of files beside it as file-0, file-1 and so on, in
 * the order in which topology_read() found them.  Sockets are where they were: 'origin' is the path of the file it was
 * read from then, or NULL. */
struct topology *topology_read_kept(const char *folder, const char *origin, const char *name, FILE *errors);

void topology_free(struct topology *topology);

/* Whether the other end of the interface's link is the network with this index. */
bool topology_is_on(const struct topology *topology, const struct topology_interface *interface, size_t network);
/* Whether the address is in the subnet of the network, which has NAT. */
bool topology_is_in_subnet(const struct topology_network *network, struct in_addr address);
/* Whether the network, which has NAT, has a name server of its own in the subnet. */
bool topology_has_name_server(const struct topology_network *network);
/* Whether guests of both networks look for names in the same domains. */
bool topology_same_search(const struct topology_network *a, const struct topology_network *b);
/* Finds the address in that subnet that the node has on the network with this index.  Returns false when it has
 * none. */
bool topology_find_guest(const struct topology *topology, size_t network, const struct topology_node *node,
			 struct in_addr *found);

/* The word for it in a topology: "socket", "udp", "vxlan", "pcap", "tap" or "netns". */
const char *topology_attachment_word(enum topology_attachment_kind kind);
/* Where it leads: a path, an address and port, a namespace and interface; to be freed with free(). */
char *topology_attachment_target(const struct topology_attachment *attachment);
/* Returns the attachment whose port has that name, or NULL. */
const struct topology_attachment *topology_find_attachment(const struct topology *topology, const char *name);
/* Whether one can stay in place of the other: all but where its link leads is the same. */
bool topology_attachment_is_same(const struct topology_attachment *a, const struct topology_attachment *b);

/* Changes what the text, a YAML map as it stands under "impair:", names, and leaves the rest of 'impairment'.  Any text
 * will do, whoever wrote it.  Returns 0; or -EINVAL, with the first error and its help in 'error', and changes
 * nothing. */
int topology_read_impairment_text(const char *text, struct impairment *impairment, struct error *error);
/* What of an impairment can be done and is hardly meant, one a line, to be freed with free(); empty: nothing. */
char *topology_doubt_impairment(const struct impairment *impairment);

/* "isolated", "nat", "bridge", "macvtap". */
const char *topology_mode_name(enum topology_mode mode);

/* What the end of a link asks of its port, in words, to be freed: "trunk 10,20-29, isolate", or "no rules". */
char *topology_rules_text(const struct topology_endpoint *endpoint);
/* The VLANs of a port in words, to be freed: "vlan 10", "trunk 10,20-29, vlan 1", or "": that of all others. */
char *topology_vlans_text(const struct port_rules *rules);

/* Returns the node of that name, or NULL. */
const struct topology_node *topology_find_node(const struct topology *topology, const char *name);

#endif /* topology.h */
