/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <string.h>

#define IN_LAB TOPOLOGY_IN_LAB
#define IN_DEFAULTS TOPOLOGY_IN_DEFAULTS
#define IN_NODE TOPOLOGY_IN_NODE
#define IN_NETWORK TOPOLOGY_IN_NETWORK
#define IN_LINK TOPOLOGY_IN_LINK
#define IN_ENDPOINT TOPOLOGY_IN_ENDPOINT
#define IN_TEST TOPOLOGY_IN_TEST
#define IN_CAPTURE TOPOLOGY_IN_CAPTURE

#define IN_LAB_CAPTURE TOPOLOGY_IN_LAB_CAPTURE
#define IN_ROTATE TOPOLOGY_IN_ROTATE
#define IN_IMPAIR TOPOLOGY_IN_IMPAIR
#define IN_GILBERT TOPOLOGY_IN_GILBERT
#define IN_EVENT TOPOLOGY_IN_EVENT

#define KEYS_MAX 160 /* At least as many as the table has. */

struct key {
	const char *name;
	unsigned int now;   /* The places where it is understood, as enum topology_place. */
	unsigned int later; /* The places where it is not supported yet. */
};

static const struct key keys[] = {
	{"name", IN_LAB | IN_ENDPOINT, 0},
	{"defaults", IN_LAB, 0},
	{"nodes", IN_LAB | IN_TEST, 0},
	{"networks", IN_LAB, 0},
	{"links", IN_LAB, 0},
	{"validate", IN_LAB, 0},

	{"image", IN_DEFAULTS | IN_NODE, 0},
	{"memory", IN_DEFAULTS | IN_NODE, 0},
	{"cpus", IN_DEFAULTS | IN_NODE, 0},
	{"cmdline", IN_DEFAULTS | IN_NODE, 0},
	{"boot", IN_DEFAULTS | IN_NODE, 0},
	{"sysctl", IN_DEFAULTS | IN_NODE, 0},
	{"routes", IN_NODE, 0},
	{"startup", IN_NODE, 0},
	{"files", IN_NODE | IN_LAB_CAPTURE | IN_ROTATE, 0},

	{"mode", IN_NETWORK, 0},
	{"mac-table", IN_NETWORK, 0},
	{"mac-aging", IN_NETWORK, 0},
	{"subnet", IN_NETWORK, 0},
	{"forward", IN_NETWORK, 0},
	{"restrict", IN_NETWORK, 0},
	{"host", IN_NETWORK, 0},
	{"dhcp", IN_NETWORK, 0},
	{"dns", IN_NETWORK, 0},
	{"tftp", IN_NETWORK, 0},
	{"bootfile", IN_NETWORK, 0},
	{"bridge", IN_NETWORK, 0},
	{"address", IN_NETWORK, 0},

	{"endpoints", IN_LINK, 0},
	{"node", IN_ENDPOINT | IN_TEST, 0},
	{"interface", IN_NETWORK | IN_ENDPOINT, 0},
	{"network", IN_ENDPOINT, 0},
	{"socket", IN_ENDPOINT, 0},
	{"connect", IN_ENDPOINT, 0},
	{"type", IN_ENDPOINT, 0},
	{"remote", IN_ENDPOINT, 0},
	{"udp", IN_ENDPOINT, 0},
	{"vxlan", IN_ENDPOINT, 0},
	{"pcap", IN_ENDPOINT, 0},
	{"speed", IN_ENDPOINT, 0},
	{"loop", IN_ENDPOINT, 0},
	{"start", IN_ENDPOINT, 0},
	{"tap", IN_NETWORK | IN_ENDPOINT, 0},
	{"netns", IN_ENDPOINT, 0},
	{"ip", IN_LINK | IN_ENDPOINT, 0},
	{"mac", IN_LINK | IN_ENDPOINT, 0},
	{"mtu", IN_DEFAULTS | IN_LINK | IN_ENDPOINT | IN_IMPAIR, 0},
	{"offload", IN_DEFAULTS | IN_NETWORK | IN_LINK, 0},

	{"hub", IN_NETWORK, 0},
	{"reserved-addresses", IN_NETWORK, 0},
	{"vlan", IN_NETWORK | IN_LINK | IN_ENDPOINT, 0},
	{"trunk", IN_NETWORK | IN_LINK | IN_ENDPOINT, 0},
	{"isolate", IN_LINK | IN_ENDPOINT, 0},
	{"storm", IN_LINK | IN_ENDPOINT, 0},
	{"guard", IN_LINK | IN_ENDPOINT, 0},
	{"mirror", IN_LINK | IN_ENDPOINT, 0},

	{"exec", IN_TEST, 0},
	{"expect", IN_TEST, 0},
	{"reject", IN_TEST, 0},
	{"status", IN_TEST, 0},
	{"timeout", IN_TEST, 0},
	{"capture", IN_LAB | IN_TEST, 0},
	{"wait", IN_TEST, 0},
	{"retry", IN_TEST, 0},
	{"interval", IN_TEST, 0},
	{"description", IN_TEST, 0},
	{"pass", IN_TEST, 0},
	{"fail", IN_TEST, 0},
	{"level", IN_TEST, 0},
	{"port", IN_CAPTURE, 0},
	{"filter", IN_CAPTURE, 0},
	{"count", IN_CAPTURE, 0},
	{"within", IN_CAPTURE, 0},

	{"snaplen", IN_LAB_CAPTURE, 0},
	{"clean", IN_LAB_CAPTURE, 0},
	{"events", IN_LAB_CAPTURE, 0},
	{"recorder", IN_LAB_CAPTURE, 0},
	{"rotate", IN_LAB_CAPTURE, 0},
	{"size", IN_ROTATE, 0},
	{"time", IN_ROTATE, 0},

	{"impair", IN_DEFAULTS | IN_NETWORK | IN_LINK | IN_ENDPOINT | IN_EVENT, 0},
	{"impair-ab", IN_LINK | IN_EVENT, 0},
	{"impair-ba", IN_LINK | IN_EVENT, 0},
	{"schedule", IN_LINK, 0},
	{"at", IN_EVENT, 0},
	{"link", IN_EVENT, 0},
	{"preset", IN_IMPAIR, 0},
	{"delay", IN_IMPAIR, 0},
	{"jitter", IN_IMPAIR, 0},
	{"distribution", IN_IMPAIR, 0},
	{"jitter-correlation", IN_IMPAIR, 0},
	{"loss", IN_IMPAIR, 0},
	{"loss-correlation", IN_IMPAIR, 0},
	{"loss-every", IN_IMPAIR, 0},
	{"loss-match", IN_IMPAIR, 0},
	{"gilbert-elliott", IN_IMPAIR, 0},
	{"to-bad", IN_GILBERT, 0},
	{"to-good", IN_GILBERT, 0},
	{"loss-bad", IN_GILBERT, 0},
	{"loss-good", IN_GILBERT, 0},
	{"duplicate", IN_IMPAIR, 0},
	{"duplicate-correlation", IN_IMPAIR, 0},
	{"corrupt", IN_IMPAIR, 0},
	{"corrupt-correlation", IN_IMPAIR, 0},
	{"reorder", IN_IMPAIR, 0},
	{"reorder-correlation", IN_IMPAIR, 0},
	{"reorder-gap", IN_IMPAIR, 0},
	{"rate", IN_IMPAIR, 0},
	{"burst", IN_IMPAIR, 0},
	{"queue", IN_IMPAIR, 0},
	{"discipline", IN_IMPAIR, 0},
	{"red-min", IN_IMPAIR, 0},
	{"red-max", IN_IMPAIR, 0},
	{"red-probability", IN_IMPAIR, 0},
	{"codel-target", IN_IMPAIR, 0},
	{"codel-interval", IN_IMPAIR, 0},
	{"seed", IN_IMPAIR, 0},

	/* Not supported yet.  When a key comes to life, its places move to the left. */
	{"disk", 0, IN_DEFAULTS | IN_NODE},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

_Static_assert(KEY_COUNT <= KEYS_MAX, "KEYS_MAX is too small");

static const char *const place_names[] = {
	"at the top level",
	"in \"defaults:\"",
	"in a node",
	"in a network",
	"in a link",
	"in an endpoint of a link",
	"in a test",
	"in \"capture:\" of a test",
	"in \"capture:\" at the top level",
	"in \"rotate:\"",
	"in \"impair:\"",
	"in \"gilbert-elliott:\"",
	"in an item of \"schedule:\"",
};

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	return NULL;
}

/* Tells where the key that has just been reported belongs. */
static void help_with_place(struct topology_reader *reader, const struct key *key)
{
	unsigned int places = key->now | key->later;
	const char *names[2] = {NULL, NULL};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(place_names) / sizeof(place_names[0]) && count < 2; i++)
		if (places & 1u << i)
			names[count++] = place_names[i];
	yaml_reader_help(&reader->yaml, "\"%s\" belongs %s%s%s", key->name, names[0], count > 1 ? " or " : "",
			 count > 1 ? names[1] : "");
}

static void report_key(struct topology_reader *reader, const struct yaml_tree_pair *pair, enum topology_place place,
		       const char *where)
{
	const struct key *key = find_key(pair->key);
	const char *known[KEYS_MAX];
	size_t count = 0;

	if (key && (key->later & place || !key->now)) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "\"%s\" is not supported yet", pair->key);
		return;
	}
	yaml_reader_error(&reader->yaml, pair->key_mark, "unknown key \"%s\" in %s", pair->key, where);
	if (key) {
		help_with_place(reader, key);
		return;
	}
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (keys[i].now & place)
			known[count++] = keys[i].name;
	yaml_reader_suggest(&reader->yaml, pair->key, known, count);
}

bool topology_check_keys(struct topology_reader *reader, const struct yaml_tree_node *map, enum topology_place place,
			 const char *where)
{
	if (map->type != YAML_TREE_MAP) {
		if (map->type != YAML_TREE_NULL)
			yaml_reader_error(&reader->yaml, map->mark, "%s must be a map of settings, not %s", where,
					  yaml_tree_type_name(map));
		return false;
	}
	for (size_t i = 0; i < map->count; i++) {
		const struct key *key = find_key(map->pairs[i].key);

		if (!key || !(key->now & place))
			report_key(reader, &map->pairs[i], place, where);
	}
	return true;
}
