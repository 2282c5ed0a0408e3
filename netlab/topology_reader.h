/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_TOPOLOGY_READER_H
#define NETLAB_TOPOLOGY_READER_H 1

/* Reading a topology, from inside
 * ===============================
 *
 * What the files that make up topology_read() share: topology.c (the file and its outermost keys), topology_keys.c
 * (which key belongs where), topology_nodes.c, topology_nat.c, topology_nat_services.c, topology_bridge.c,
 * topology_switch.c, topology_links.c (links as they are written), topology_attachments.c (ends of links that lead
 * out of the lab), topology_impair.c, topology_schedule.c, topology_capture.c, topology_interfaces.c (numbers, MAC
 * addresses, and the checks that need the whole lab) and topology_validate.c.  Nobody else includes this.
 *
 * Every step goes on after an error, adding what it understood, so that one run shows several errors.  The result is
 * thrown away when there was any.
 *
 * Thread-safety: one thread for each struct topology_reader. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlab/topology.h"
#include "netlab/topology_units.h"
#include "netlab/yaml_reader.h"
#include "netlab/yaml_tree.h"

#define TOPOLOGY_IMAGE_DEFAULT "lab"
#define TOPOLOGY_MTU_DEFAULT 1500u

/* A node's or network's name; the two share one namespace. */
struct topology_name {
	const char *text; /* The node's or network's own. */
	struct yaml_mark mark;
	bool is_network;
	size_t index; /* Into nodes or networks. */
};

/* An address and where it is written. */
struct topology_written_address {
	struct topology_address address;
	struct yaml_mark mark;
};

/* The keys of a port. */
enum topology_rule {
	TOPOLOGY_RULE_VLAN,
	TOPOLOGY_RULE_TRUNK,
	TOPOLOGY_RULE_ISOLATE,
	TOPOLOGY_RULE_STORM,
	TOPOLOGY_RULE_GUARD,
	TOPOLOGY_RULE_MIRROR,
	TOPOLOGY_RULE_COUNT,
};

/* What is asked of a port, as written. */
struct topology_written_rules {
	struct port_rules *rules;                    /* NULL: nothing. */
	struct yaml_mark marks[TOPOLOGY_RULE_COUNT]; /* Where each key is; line 0: nowhere. */
	const struct yaml_tree_node *mirrored;       /* The value of "mirror". */
};

/* What is asked of one direction of a link, as far as it was read. */
struct topology_written_impairment {
	struct impairment values;
	struct yaml_mark mark; /* Of the last map, or of what it is in. */
	/* Where each key that made it what it is stands, by its index in impairment_fields; line 0: nowhere. */
	struct yaml_mark marks[IMPAIRMENT_FIELD_COUNT];
	bool is_own[IMPAIRMENT_FIELD_COUNT]; /* It is neither from "defaults:" nor from a preset. */
};

/* One end of a link as written. */
struct topology_end {
	struct yaml_mark mark;
	enum topology_end_kind kind;
	size_t index;        /* Into nodes, networks or attachments. */
	bool has_interface;  /* It can have addresses: a node, or a namespace. */
	bool is_numbered;    /* The interface was given, or has been chosen. */
	unsigned int number; /* N of its name "ethN". */
	unsigned int mtu;    /* 0: the link's. */
	bool has_offload;
	bool has_mac;
	uint8_t mac[6];
	struct yaml_mark mac_mark;
	struct topology_written_address *addresses;
	size_t address_count;
	struct topology_written_rules rules;
	const struct yaml_tree_pair *impair; /* Of what it sends; or NULL. */
};

/* A forward as written. */
struct topology_written_forward {
	struct yaml_mark mark;
	size_t network;
	struct topology_forward forward;
};

/* An attachment as written. */
struct topology_written_attachment {
	struct yaml_mark mark;
	const char *text; /* The value of the key that is its kind, where that is text.  The tree's. */
	char *label;      /* What follows the kind in its port's name. */
	bool is_named;
};

/* A link as written. */
struct topology_wire {
	struct yaml_mark mark;
	struct topology_end ends[2];
	struct impairment *impairments; /* Of both directions, or NULL: none. */
	struct topology_event *events;  /* Its schedule. */
	size_t event_count;
};

/* What a message was about, and where. */
struct topology_said {
	const char *what;
	struct yaml_mark mark;
};

struct topology_reader {
	struct yaml_reader yaml;
	struct topology *topology;
	char *folder;                                      /* Absolute; files are looked for from here. */
	char *socket_folder;                               /* Absolute, and so are sockets. */
	bool is_kept;                                      /* Files have been renamed to file-N. */
	struct topology_node defaults;                     /* "defaults:", as far as it is about nodes. */
	unsigned int mtu;                                  /* "mtu:" of "defaults:". */
	bool has_offload;                                  /* "offload:" of it. */
	struct topology_written_impairment impairment;     /* "impair:" of "defaults:". */
	struct topology_said said[YAML_READER_ERRORS_MAX]; /* What is not to be said again. */
	size_t said_count;
	size_t event_count;          /* Items of all schedules. */
	struct topology_name *names; /* In order of reading, then sorted by topology_sort_names(). */
	size_t name_count;
	struct topology_wire *wires;
	size_t wire_count;
	struct topology_written_forward *forwards;
	size_t forward_count;
	struct topology_written_attachment *attachments; /* In the topology's order. */
};

/* topology_keys.c */

/* The maps of a topology file in which keys stand. */
enum topology_place {
	TOPOLOGY_IN_LAB = 1,
	TOPOLOGY_IN_DEFAULTS = 2,
	TOPOLOGY_IN_NODE = 4,
	TOPOLOGY_IN_NETWORK = 8,
	TOPOLOGY_IN_LINK = 16,
	TOPOLOGY_IN_ENDPOINT = 32,
	TOPOLOGY_IN_TEST = 64,
	TOPOLOGY_IN_CAPTURE = 128, /* "capture:" of a test. */
	TOPOLOGY_IN_LAB_CAPTURE = 256,
	TOPOLOGY_IN_ROTATE = 512,
	TOPOLOGY_IN_IMPAIR = 1024,
	TOPOLOGY_IN_GILBERT = 2048, /* "gilbert-elliott:" */
	TOPOLOGY_IN_EVENT = 4096,   /* An item of "schedule:". */
};

/* Reports every key of 'map' that does not belong in 'place': keys of later versions as not supported yet, keys that
 * belong elsewhere with the place where they do, others with what may have been meant.  'where' ends a sentence:
 * 'node "h1"'.  Reports as well when 'map' is neither a map nor empty.  Returns whether it is a map. */
bool topology_check_keys(struct topology_reader *reader, const struct yaml_tree_node *map, enum topology_place place,
			 const char *where);

/* topology.c */

/* Calls 'function' for each item of 'list', which is a list of names, of one-key maps, or of both, or a map.  'what' is
 * what one item is called: "node".  Stops when it returns false. */
typedef bool topology_named_function(struct topology_reader *reader, const char *name, struct yaml_mark mark,
				     const struct yaml_tree_node *value);
void topology_for_each_named(struct topology_reader *reader, const struct yaml_tree_node *list, const char *what,
			     topology_named_function *function);

/* Sorts the names and reports those that come twice. */
void topology_sort_names(struct topology_reader *reader);

/* Returns the name that is the 'length' bytes at 'text', or NULL.  Only after topology_sort_names(). */
const struct topology_name *topology_find_name(const struct topology_reader *reader, const char *text, size_t length);

/* Where the network's name is written. */
struct yaml_mark topology_network_mark(const struct topology_reader *reader, const struct topology_network *network);

/* Reads the value 'node' of "mtu:" into 'mtu', after reporting what is wrong with it when it is not one. */
void topology_read_mtu(struct topology_reader *reader, const struct yaml_tree_node *node, unsigned int *mtu);

/* Sets 'on' to what "offload:" in 'map' says, if it is there. */
void topology_read_offload(struct topology_reader *reader, const struct yaml_tree_node *map, bool *on);

/* topology_nodes.c */

void topology_read_defaults(struct topology_reader *reader, const struct yaml_tree_node *map);
bool topology_read_node(struct topology_reader *reader, const char *name, struct yaml_mark mark,
			const struct yaml_tree_node *value);

/* Frees what 'node' holds, not 'node' itself. */
void topology_clear_node(struct topology_node *node);

/* Returns the absolute path of the file that is called 'text' at 'mark', to be freed, and keeps it as one of the
 * topology's sources; NULL after reporting that it is no regular file. */
char *topology_read_source(struct topology_reader *reader, struct yaml_mark mark, const char *text);

/* topology_links.c */

void topology_read_links(struct topology_reader *reader, const struct yaml_tree_node *list);
/* The values of "ip:" and "mac:" of an end. */
void topology_read_ip(struct topology_reader *reader, struct topology_end *end, const struct yaml_tree_node *value);
void topology_read_mac(struct topology_reader *reader, struct topology_end *end, const struct yaml_tree_node *value);

/* topology_attachments.c */

/* Whether the map describes an end that leads out of the lab; if not, reports the keys of such ends that it has. */
bool topology_is_attachment(struct topology_reader *reader, const struct yaml_tree_node *map);
/* Reads one.  Returns false after reporting what is wrong with it. */
bool topology_read_attachment(struct topology_reader *reader, const struct yaml_tree_node *map,
			      struct topology_end *end);
/* Gives all attachments the names of their ports. */
void topology_name_attachments(struct topology_reader *reader);
/* Frees what 'attachment' holds, not 'attachment' itself. */
void topology_clear_attachment(struct topology_attachment *attachment);

/* Frees what 'wire' holds, not 'wire' itself. */
void topology_clear_wire(struct topology_wire *wire);

/* topology_nat.c */

/* Reads what only a network with "mode: nat" has. */
void topology_read_nat(struct topology_reader *reader, const struct yaml_tree_node *map,
		       struct topology_network *network);
/* Chooses the subnets that were not given, and checks what needs the whole lab. */
void topology_settle_nat(struct topology_reader *reader);

/* topology_nat_services.c */

/* Reads what the gateway does beside passing on what guests send: names, leases, files. */
void topology_read_nat_services(struct topology_reader *reader, const struct yaml_tree_node *map,
				struct topology_network *network);
/* Chooses the leases of the network with this index, and checks what needs the whole lab. */
void topology_settle_nat_services(struct topology_reader *reader, size_t index);
/* Frees what topology_read_nat_services() made. */
void topology_clear_nat_services(struct topology_network *network);

/* topology_bridge.c */

/* Reads the name of a device of the host, the value of 'key' in the map, to be freed with free(); NULL if it is not
 * there, or after reporting what is wrong. */
char *topology_read_device(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key);

/* Reads what only a network with "mode: bridge" or "mode: macvtap" has. */
void topology_read_bridge(struct topology_reader *reader, const struct yaml_tree_node *map,
			  struct topology_network *network);
/* Checks what needs the whole lab, and sets what the host's devices have to fit. */
void topology_settle_bridges(struct topology_reader *reader);

/* topology_switch.c */

/* Reads the keys of a port that 'map', a link or an end of one, has, reporting those that were read before. */
void topology_read_rules(struct topology_reader *reader, const struct yaml_tree_node *map,
			 struct topology_written_rules *written);
/* Reads what is said of a network's switch, and of its outer port; its mode is known. */
void topology_read_switch(struct topology_reader *reader, const struct yaml_tree_node *map,
			  struct topology_network *network);
/* Gives the topology's links the rules of the wires' ends, and checks what needs the whole lab. */
void topology_settle_switch(struct topology_reader *reader);

/* topology_impair.c */

/* Applies what 'pair', "impair:" or one of its kind, says on top of 'written'.  Returns false after reporting what is
 * wrong with it. */
bool topology_apply_impair(struct topology_reader *reader, const struct yaml_tree_pair *pair,
			   struct topology_written_impairment *written);
/* Reports what does not fit together in the 'count' directions of one link.  'mtus' are those of their senders, or
 * NULL. */
void topology_check_impair(struct topology_reader *reader, const struct topology_written_impairment *written,
			   size_t count, const unsigned int *mtus);
/* Reads the impairments that "defaults:", a network whose mode is known, and a link have.  A link's come last: 'map',
 * which may be empty, is on top of what the defaults say, and what the wire's ends say on top of that.  Reads its
 * schedule as well. */
void topology_read_default_impair(struct topology_reader *reader, const struct yaml_tree_node *map);
void topology_read_network_impair(struct topology_reader *reader, const struct yaml_tree_node *map,
				  struct topology_network *network);
void topology_read_link_impair(struct topology_reader *reader, const struct yaml_tree_node *map,
			       struct topology_wire *wire);

/* topology_schedule.c */

/* Reads "schedule:" of a link whose impairments have been read. */
void topology_read_schedule(struct topology_reader *reader, const struct yaml_tree_pair *pair,
			    struct topology_wire *wire);

/* topology_capture.c */

/* Reads what is captured of the lab, the value of "capture:" at the top level, or NULL. */
void topology_read_capture(struct topology_reader *reader, const struct yaml_tree_node *map);

/* topology_interfaces.c */

/* What the port of the end, which is no network, is called, to be freed: "h1:eth0", "netns:web". */
char *topology_end_name(const struct topology_reader *reader, const struct topology_end *end);

/* Makes the topology's links and the nodes' interfaces from the wires. */
void topology_build_interfaces(struct topology_reader *reader);

/* topology_validate.c */

/* Reads the tests, which are about nodes and interfaces that have been read. */
void topology_read_tests(struct topology_reader *reader, const struct yaml_tree_node *map);
void topology_clear_test(struct topology_test *test);

#endif /* topology_reader.h */
