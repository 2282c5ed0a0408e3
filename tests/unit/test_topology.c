/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netlab/topology.h"
#include "netlab/topology_units.h"
#include "netlab/yaml_reader.h"
#include "netlab/yaml_tree.h"

/* Tests run in the repository's root. */
#define GOOD "tests/topologies/good/*.yaml"
#define BAD "tests/topologies/bad/*.yaml"
#define LABS "labs/*/topology.yaml"
#define BAD_AT_LEAST 100
#define PATH_IN_TESTS "/nowhere/office/topology.yaml"

/* Reads 'text' and returns the topology; 'messages', to be freed, gets what was written. */
static struct topology *read_text(const char *text, size_t size, const char *name, char **messages)
{
	size_t length;
	FILE *stream = open_memstream(messages, &length);
	struct topology *topology;

	assert_non_null(stream);
	topology = topology_read_text(text, size, PATH_IN_TESTS, name, stream);
	fclose(stream);
	return topology;
}

static struct topology *read_good(const char *text)
{
	char *messages = NULL;
	struct topology *topology = read_text(text, strlen(text), NULL, &messages);

	assert_string_equal(messages, "");
	assert_non_null(topology);
	free(messages);
	return topology;
}

/* Checks that the messages about 'text' begin with 'expected' after the path. */
static void check_bad(const char *text, const char *expected)
{
	char *messages = NULL;
	struct topology *topology = read_text(text, strlen(text), NULL, &messages);

	assert_null(topology);
	assert_memory_equal(messages, PATH_IN_TESTS ":", strlen(PATH_IN_TESTS ":"));
	if (strncmp(messages + strlen(PATH_IN_TESTS ":"), expected, strlen(expected)))
		assert_string_equal(messages + strlen(PATH_IN_TESTS ":"), expected);
	free(messages);
}

/* Every file under good/ and labs/ is read without a word. */
static void test_good_files(void **state)
{
	glob_t files;

	(void)state;
	assert_int_equal(glob(GOOD, 0, NULL, &files), 0);
	assert_int_equal(glob(LABS, GLOB_APPEND, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		struct topology *topology = topology_read(files.gl_pathv[i], NULL, stderr);

		if (!topology)
			fail_msg("%s is refused", files.gl_pathv[i]);
		topology_free(topology);
	}
	globfree(&files);
}

/* Reads "# error: LINE:COLUMN: TEXT" from the first line of 'path'. */
static void read_expectation(const char *path, char *place, size_t place_size, char *text, size_t text_size)
{
	FILE *file = fopen(path, "r");
	char line[512] = "", *end;
	const char *start = line + strlen("# error: ");

	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	assert_memory_equal(line, "# error: ", strlen("# error: "));
	end = strstr(start, ": ");
	assert_non_null(end);
	snprintf(place, place_size, "%s:%.*s: error: ", path, (int)(end - start), start);
	snprintf(text, text_size, "%s", end + 2);
}

static void check_bad_file(const char *path)
{
	char place[600], expected[512], *messages = NULL, *line_end;
	size_t length;
	FILE *stream = open_memstream(&messages, &length);

	read_expectation(path, place, sizeof(place), expected, sizeof(expected));
	if (topology_read(path, NULL, stream))
		fail_msg("%s is accepted", path);
	fclose(stream);
	line_end = strchr(messages, '\n');
	assert_non_null(line_end);
	*line_end = '\0';
	if (strncmp(messages, place, strlen(place)) || !strstr(messages + strlen(place), expected))
		fail_msg("expected \"%s...%s\", got \"%s\"", place, expected, messages);
	free(messages);
}

/* Every file under bad/ gives the first error it names in its first line. */
static void test_bad_files(void **state)
{
	glob_t files;

	(void)state;
	assert_int_equal(glob(BAD, 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= BAD_AT_LEAST);
	for (size_t i = 0; i < files.gl_pathc; i++)
		check_bad_file(files.gl_pathv[i]);
	globfree(&files);
}

static void test_defaults_are_merged(void **state)
{
	struct topology *topology = read_good(
		"defaults: {memory: 64M, cpus: 2, cmdline: quiet, sysctl: {a.b: 1, c.d: 2}}\n"
		"nodes:\n"
		"  h1: {memory: 1G, sysctl: {c.d: 3, e.f: 4}}\n"
		"  h2:\n");
	const struct topology_node *h1 = topology_find_node(topology, "h1"), *h2 = topology_find_node(topology, "h2");

	(void)state;
	assert_string_equal(topology->name, "office");
	assert_string_equal(topology->path, PATH_IN_TESTS);
	assert_string_equal(h1->image, "lab");
	assert_int_equal(h1->memory, 1u << 30);
	assert_int_equal(h1->cpus, 2);
	assert_int_equal(h1->sysctl_count, 3);
	assert_string_equal(h1->sysctls[1].key, "c.d");
	assert_string_equal(h1->sysctls[1].value, "3");
	assert_int_equal(h2->memory, 64u << 20);
	assert_int_equal(h2->sysctl_count, 2);
	assert_string_equal(h2->sysctls[1].value, "2");
	assert_string_equal(h2->cmdline, "quiet");
	assert_null(topology_find_node(topology, "h3"));
	topology_free(topology);
}

/* Interfaces with a number keep it; the others get the lowest free one in file order. */
static void test_interfaces_are_numbered(void **state)
{
	struct topology *topology = read_good("nodes: [h1, h2]\n"
					      "networks: {lan: }\n"
					      "links:\n"
					      "- h1-h2\n"
					      "- h1-lan\n"
					      "- h1:eth1-h2:eth7\n"
					      "- {endpoints: [h2, 'h1:eth0'], mtu: 9000}\n");
	const struct topology_node *h1 = &topology->nodes[0];
	static const size_t links[] = {3, 2, 0, 1};
	const struct topology_link *last = &topology->links[3];

	(void)state;
	assert_int_equal(h1->interface_count, 4);
	for (size_t i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "eth%zu", i);
		assert_string_equal(h1->interfaces[i].name, name);
		assert_int_equal(h1->interfaces[i].link, links[i]);
	}
	assert_int_equal(h1->interfaces[0].mtu, 9000);
	assert_int_equal(h1->interfaces[1].mtu, 1500);
	assert_int_equal(last->endpoints[0].node, 1);
	assert_string_equal(topology->nodes[1].interfaces[last->endpoints[0].interface].name, "eth1");
	assert_int_equal(last->endpoints[1].node, 0);
	assert_int_equal(last->endpoints[1].interface, 0);
	assert_int_equal(topology->links[1].endpoints[0].kind, TOPOLOGY_END_NODE);
	assert_int_equal(topology->links[1].endpoints[1].kind, TOPOLOGY_END_NETWORK);
	topology_free(topology);
}

/* That of the link, else that of its network, else that of all. */
static void test_offload(void **state)
{
	struct topology *topology = read_good("defaults: {offload: on}\n"
					      "nodes: [a, b]\n"
					      "networks: {lan: {offload: off}, wan: }\n"
					      "links:\n"
					      "- a-b\n"
					      "- a-lan\n"
					      "- {endpoints: [wan, a]}\n"
					      "- {endpoints: [a, lan], offload: on}\n"
					      "- {endpoints: [a, b], offload: off}\n");
	static const bool expected[] = {true, false, true, true, false};

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(topology->nodes[0].interfaces[i].has_offload, expected[i]);
	assert_true(topology->nodes[1].interfaces[0].has_offload);
	assert_false(topology->nodes[1].interfaces[1].has_offload);
	topology_free(topology);
	topology = read_good("nodes: [a, b]\nlinks: [a-b]\n");
	assert_false(topology->nodes[0].interfaces[0].has_offload);
	topology_free(topology);
}

/* Names with dashes are split where both sides are known. */
static void test_names_with_dashes(void **state)
{
	struct topology *topology = read_good("nodes: [web-1, web-2, a]\nlinks: [web-1-web-2, a-web-1:eth9]\n");

	(void)state;
	assert_int_equal(topology->links[0].endpoints[0].node, 0);
	assert_int_equal(topology->links[0].endpoints[1].node, 1);
	assert_int_equal(topology->links[1].endpoints[0].node, 2);
	assert_int_equal(topology->links[1].endpoints[1].node, 0);
	topology_free(topology);
}

static void test_addresses(void **state)
{
	struct topology *topology = read_good(
		"nodes: [h1, h2]\nnetworks: {lan: }\nlinks:\n"
		"- {endpoints: [h1, h2], ip: [[10.0.0.1/24, 'FD00:0::01/64'], 10.0.0.2/31]}\n"
		"- {endpoints: [lan, h1], ip: 192.0.2.1/32, mac: '52-54-00-AA-bb-CC'}\n"
		"- {endpoints: [lan, h2], ip: [[192.0.2.2/32, 'fe80::1/64']]}\n");
	static const uint8_t mac[] = {0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc};
	const struct topology_interface *h1 = topology->nodes[0].interfaces, *h2 = topology->nodes[1].interfaces;

	(void)state;
	assert_int_equal(h1[0].address_count, 2);
	assert_string_equal(h1[0].addresses[0], "10.0.0.1/24");
	assert_string_equal(h1[0].addresses[1], "fd00::1/64");
	assert_string_equal(h2[0].addresses[0], "10.0.0.2/31");
	assert_string_equal(h1[1].addresses[0], "192.0.2.1/32");
	assert_memory_equal(h1[1].mac, mac, sizeof(mac));
	assert_int_equal(h2[1].address_count, 2);
	topology_free(topology);
}

/* Ends of links that lead out of the lab: what is not written, and what their ports are called. */
static void test_attachments(void **state)
{
	struct topology *topology = topology_read("tests/topologies/good/outside.yaml", NULL, stderr);
	static const char *const names[] = {"socket:qemu1",    "socket:other", "socket:a", "udp:192.0.2.7",
					    "udp:2001-db8--7", "vxlan:42",     "vxlan:0",  "pcap:frames",
					    "pcap:frames-2",   "pcap:slow",    "tap:tap0", "netns:web",
					    "netns:db"};
	const struct topology_attachment *attachments = topology->attachments;
	const struct sockaddr_in *local = (const struct sockaddr_in *)&attachments[3].local;
	const struct sockaddr_in6 *local6 = (const struct sockaddr_in6 *)&attachments[4].local;

	(void)state;
	assert_int_equal(topology->attachment_count, sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < topology->attachment_count; i++) {
		assert_string_equal(attachments[i].name, names[i]);
		assert_int_equal(attachments[i].link, i);
	}
	assert_int_equal(topology->links[1].endpoints[0].kind, TOPOLOGY_END_ATTACHMENT);
	assert_int_equal(topology->links[1].endpoints[0].attachment, 1);
	assert_true(attachments[1].connects && !attachments[0].connects);
	assert_string_equal(attachments[1].path, "/tmp/qemu2.sock");
	assert_int_equal(attachments[0].path[0], '/');
	assert_string_equal(strrchr(attachments[2].remote_path, '/'), "/b.sock");
	assert_int_equal(attachments[3].kind, TOPOLOGY_UDP);
	assert_int_equal(local->sin_addr.s_addr, INADDR_ANY);
	assert_int_equal(ntohs(local->sin_port), 5000);
	assert_int_equal(ntohs(local6->sin6_port), 6000);
	assert_int_equal(attachments[5].vni, 42);
	assert_int_equal(ntohs(((const struct sockaddr_in *)&attachments[5].local)->sin_port), 4789);
	assert_int_equal(ntohs(((const struct sockaddr_in6 *)&attachments[6].remote)->sin6_port), 8472);
	assert_int_equal(attachments[7].speed, 1000);
	assert_int_equal(attachments[7].rounds, 1);
	assert_false(attachments[7].is_immediate);
	assert_int_equal(attachments[8].speed, 0);
	assert_int_equal(attachments[8].rounds, 0);
	assert_true(attachments[8].is_immediate);
	assert_int_equal(attachments[9].speed, 500);
	assert_int_equal(attachments[9].rounds, 3);
	assert_int_equal(attachments[9].delay, 500000000);
	assert_int_equal(topology->source_count, 3);
	assert_string_equal(attachments[10].interface.name, "tap0");
	assert_string_equal(attachments[11].namespace, "web");
	assert_string_equal(attachments[11].interface.name, "eth0");
	assert_int_equal(attachments[11].interface.address_count, 2);
	assert_int_equal(attachments[11].interface.mac[0], 0x52); /* Derived. */
	assert_int_equal(attachments[11].interface.mtu, 1500);
	assert_string_equal(attachments[12].interface.name, "office0");
	assert_int_equal(attachments[12].interface.mac[5], 0x99);
	/* The node's end has what the link says, and the other end none of it. */
	assert_string_equal(topology->nodes[1].interfaces[0].addresses[0], "10.0.1.1/24");
	assert_int_equal(topology->nodes[1].interfaces[0].mtu, 1400);
	topology_free(topology);
}

static void check_label(const char *path, const char *expected)
{
	char text[512];
	struct topology *topology;

	snprintf(text, sizeof(text), "nodes: [h1]\nlinks: [{endpoints: [h1, {socket: \"%s\"}]}]\n", path);
	topology = read_good(text);
	assert_string_equal(topology->attachments[0].name, expected);
	topology_free(topology);
}

/* Ports' names can be file names whatever the path is, and are never those of an interface. */
static void test_labels(void **state)
{
	(void)state;
	check_label("/tmp/qemu.sock", "socket:qemu");
	check_label("/tmp/.hidden", "socket:hidden");
	check_label("/tmp/a b:c*", "socket:a-b-c-");
	check_label("/tmp/a..b.sock", "socket:a-.b");
	check_label("/tmp/...", "socket:1");
	check_label("/tmp/\u00e4", "socket:1");
	check_label("/tmp/", "socket:1");
	check_label("/tmp/eth0.sock", "socket:eth0-2");
	check_label("/tmp/h1-eth0.sock", "socket:h1-eth0-2");
	check_label("/tmp/0123456789012345678901234567890123456789", "socket:0123456789012345678901234567");
}

/* Derived MAC addresses depend on the lab's name, the node and the interface, and on nothing else. */
/* Checks where the leases of network 0 begin: 16 addresses that no node on it was given. */
static void check_leases(const char *network, const char *links, const char *expected)
{
	char text[512], address[INET_ADDRSTRLEN] = "";
	struct topology *topology;

	snprintf(text, sizeof(text), "nodes: [a, b, c]\nnetworks: {n: {mode: nat, %s}, m: }\nlinks: [%s]\n", network,
		 links);
	topology = read_good(text);
	inet_ntop(AF_INET, &topology->networks[0].first_lease, address, sizeof(address));
	assert_string_equal(address, expected);
	topology_free(topology);
}

static void test_leases_are_free_addresses(void **state)
{
	(void)state;
	check_leases("", "a-n", "10.0.2.15");
	check_leases("", "{endpoints: [a, n], ip: 10.0.2.14/24}, {endpoints: [b, n], ip: 10.0.2.31/24}", "10.0.2.15");
	check_leases("", "{endpoints: [a, n], ip: 10.0.2.30/24}", "10.0.2.31");
	check_leases("", "{endpoints: [a, n], ip: 10.0.2.46/24}, {endpoints: [b, n], ip: 10.0.2.15/24}", "10.0.2.16");
	check_leases("", "{endpoints: [a, n], ip: 10.0.2.45/24}, {endpoints: [b, n], ip: 10.0.2.25/24}", "10.0.2.26");
	/* Elsewhere, and in another subnet. */
	check_leases("", "{endpoints: [a, m], ip: 10.0.2.20/24}, {endpoints: [b, n], ip: 10.0.3.20/24}", "10.0.2.15");
	check_leases("subnet: 10.0.0.0/27", "{endpoints: [a, n], ip: 10.0.0.30/27}", "10.0.0.4");
	check_leases("dhcp: {first: 10.0.2.239}", "{endpoints: [a, n], ip: 10.0.2.15/24}", "10.0.2.239");
	check_leases("dhcp: off", "{endpoints: [a, n], ip: 10.0.2.15/24}", "0.0.0.0");
}

static void test_macs_stay(void **state)
{
	struct topology *first = read_good("nodes: [h1, h2]\nlinks: [h1-h2]\n");
	struct topology *second = read_good("nodes: [x, h2, h1]\nlinks: [x-h1:eth1, h1-h2]\n");
	const char *text = "nodes: [h1, h2]\nlinks: [h1-h2]\n";
	char *messages = NULL;
	struct topology *third = read_text(text, strlen(text), "other", &messages);
	static const uint8_t prefix[] = {0x52, 0x54, 0x00};
	const uint8_t *mac = topology_find_node(first, "h1")->interfaces[0].mac;

	(void)state;
	assert_memory_equal(mac, prefix, sizeof(prefix));
	assert_memory_equal(mac, topology_find_node(second, "h1")->interfaces[0].mac, 6);
	assert_string_equal(third->name, "other");
	assert_memory_not_equal(mac, topology_find_node(third, "h1")->interfaces[0].mac, 6);
	assert_memory_not_equal(mac, topology_find_node(first, "h2")->interfaces[0].mac, 6);
	free(messages);
	topology_free(first);
	topology_free(second);
	topology_free(third);
}

static int compare_macs(const void *left, const void *right)
{
	return memcmp(left, right, 6);
}

/* The biggest lab: so many MAC addresses that some hashes are the same; all addresses differ nevertheless.  Read in
 * under a second. */
static void test_biggest_lab(void **state)
{
	char *text = NULL, *messages = NULL;
	size_t size, count = 0;
	FILE *stream = open_memstream(&text, &size);
	struct timespec start, end;
	struct topology *topology;
	uint8_t(*macs)[6];

	(void)state;
	fputs("nodes:\n", stream);
	for (unsigned int i = 0; i < TOPOLOGY_NODES_MAX; i++)
		fprintf(stream, "- node-%u\n", i);
	fputs("links:\n", stream);
	for (unsigned int i = 0; i < TOPOLOGY_NODES_MAX; i++)
		for (unsigned int j = 1; j <= TOPOLOGY_INTERFACES_MAX / 2; j++)
			fprintf(stream, "- node-%u-node-%u\n", i, (i + j) % TOPOLOGY_NODES_MAX);
	fclose(stream);
	clock_gettime(CLOCK_MONOTONIC, &start);
	topology = read_text(text, size, NULL, &messages);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_string_equal(messages, "");
	macs = calloc((size_t)TOPOLOGY_NODES_MAX * TOPOLOGY_INTERFACES_MAX, sizeof(macs[0]));
	for (size_t i = 0; i < topology->node_count; i++) {
		assert_int_equal(topology->nodes[i].interface_count, TOPOLOGY_INTERFACES_MAX);
		for (size_t j = 0; j < topology->nodes[i].interface_count; j++)
			memcpy(macs[count++], topology->nodes[i].interfaces[j].mac, 6);
	}
	qsort(macs, count, sizeof(macs[0]), compare_macs);
	for (size_t i = 1; i < count; i++)
		assert_memory_not_equal(macs[i - 1], macs[i], 6);
	print_message("%zu links in %.0f ms\n", topology->link_count,
		      (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6);
	free(macs);
	free(text);
	free(messages);
	topology_free(topology);
}

static void test_too_many_nodes(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fputs("nodes:\n", stream);
	for (unsigned int i = 0; i <= TOPOLOGY_NODES_MAX + 5; i++)
		fprintf(stream, "- n%u\n", i);
	fclose(stream);
	check_bad(text, "1026:3: error: more than 1024 nodes\n");
	free(text);
}

/* Several errors in one run, each with its help, and no more than YAML_READER_ERRORS_MAX. */
static void test_several_errors(void **state)
{
	char *text = NULL, *messages = NULL;
	size_t size, lines = 0;
	FILE *stream;
	struct topology *topology;

	(void)state;
	check_bad("nodes: {h1: {memroy: 64M, cpus: 99}}\nlinks: [h1-h3]\n",
		  "1:14: error: unknown key \"memroy\" in node \"h1\"\n  help: did you mean \"memory\"?\n" PATH_IN_TESTS
		  ":1:33: error: cpus must be from 1 to 16, not 99\n" PATH_IN_TESTS
		  ":2:9: error: there is no node or network \"h3\"\n  help: did you mean \"h1\"?\n");
	stream = open_memstream(&text, &size);
	fputs("nodes: [h1]\nlinks:\n", stream);
	for (unsigned int i = 0; i < 100; i++)
		fputs("- h1\n", stream);
	fclose(stream);
	topology = read_text(text, size, NULL, &messages);
	assert_null(topology);
	for (const char *at = messages; (at = strstr(at, ": error: ")); at++)
		lines++;
	assert_int_equal(lines, YAML_READER_ERRORS_MAX + 1);
	free(text);
	free(messages);
}

static void test_texts(void **state)
{
	char *messages = NULL;
	char *big = calloc(1, TOPOLOGY_FILE_SIZE_MAX + 1);

	(void)state;
	check_bad("", "1:1: error: the file is empty\n");
	check_bad("nodes: [h1]\r\nlinks: [h1-h2]\r\n", "2:9: error: there is no node or network \"h2\"\n");
	check_bad("nodes: [\"h1\\e[31m\"]\n", "1:9: error: node name \"h1\\x1b[31m\" holds a character");
	check_bad("links: [h1-h2]\n", "1:1: error: the topology has no \"nodes:\"\n");
	check_bad("nodes: [\303\251, h\303\274, h1, h1]\n", "1:9: error: node name \"\303\251\" holds");
	memset(big, '#', TOPOLOGY_FILE_SIZE_MAX + 1);
	assert_null(read_text(big, TOPOLOGY_FILE_SIZE_MAX + 1, NULL, &messages));
	assert_non_null(strstr(messages, ":1:1: error: the file is bigger than 4 MiB\n"));
	free(messages);
	free(big);
}

static void test_lab_names(void **state)
{
	char *messages = NULL;
	const char *text = "nodes: [h1]\n";
	struct topology *topology = topology_read_text(text, strlen(text), "/nowhere/ring.yaml", NULL, stderr);
	size_t length;
	FILE *stream;

	(void)state;
	assert_string_equal(topology->name, "ring");
	topology_free(topology);
	assert_null(read_text(text, strlen(text), "../x", &messages));
	assert_string_equal(messages, PATH_IN_TESTS ": error: the given lab name \"../x\" holds a slash\n");
	free(messages);
	stream = open_memstream(&messages, &length);
	assert_null(topology_read_text(text, strlen(text), "/my labs/topology.yml", NULL, stream));
	assert_null(topology_read("/nowhere/topology.yaml", NULL, stream));
	assert_null(topology_read("/", NULL, stream));
	fclose(stream);
	assert_string_equal(messages, "/my labs/topology.yml:1:1: error: lab name \"my labs\", taken from the path, "
				      "holds a character other than letters, digits, '.', '-' and '_'\n"
				      "  help: give the lab a name, as in \"name: office\"\n"
				      "/nowhere/topology.yaml: error: cannot be opened: No such file or directory\n"
				      "/: error: is a folder, not a topology file\n");
	free(messages);
}

static void test_units(void **state)
{
	struct topology_address address;
	uint64_t value = 0;

	(void)state;
	assert_null(topology_parse_size("64M", &value));
	assert_int_equal(value, 64u << 20);
	assert_null(topology_parse_size("2g", &value));
	assert_int_equal(value, 2ull << 30);
	assert_non_null(topology_parse_size("", &value));
	assert_non_null(topology_parse_size("M", &value));
	assert_null(topology_parse_time("20ms", &value));
	assert_int_equal(value, 20000000);
	assert_null(topology_parse_time("1.25s", &value));
	assert_int_equal(value, 1250000000);
	assert_null(topology_parse_time("0ns", &value));
	assert_int_equal(value, 0);
	assert_non_null(topology_parse_time("1.s", &value));
	assert_non_null(topology_parse_time("-1s", &value));
	assert_non_null(topology_parse_time("999999999999h", &value));
	assert_null(topology_parse_prefix("::ffff:10.0.0.1", &address));
	assert_int_equal(address.prefix, 128);
	assert_null(topology_parse_prefix("10.0.0.0/8", &address));
	assert_false(topology_has_host_bits(&address));
	assert_null(topology_check_route("default via inet6 fe80::1 dev eth0"));
	assert_null(topology_check_route("unreachable 10.0.0.0/8"));
	assert_null(topology_check_route("10.0.0.0/8 nexthop via 10.1.0.1 nexthop via 10.2.0.1"));
	assert_non_null(topology_check_route("default via"));
	assert_non_null(topology_check_route(""));
	assert_non_null(topology_check_sysctl("a..b"));
	assert_non_null(topology_check_sysctl("a."));
	assert_non_null(topology_check_sysctl(".a"));
	assert_non_null(topology_check_sysctl("a.//.b"));
	assert_null(topology_check_node_name("a-b.c"));
	assert_non_null(topology_check_node_name("a-.b"));
	assert_non_null(topology_check_node_name("a.-b"));
	assert_non_null(topology_check_node_name("0x7f"));
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(yaml_reader_distance("memory", "memory", 3), 0);
	assert_int_equal(yaml_reader_distance("memroy", "memory", 3), 1);
	assert_int_equal(yaml_reader_distance("Memory", "memory", 3), 0);
	assert_int_equal(yaml_reader_distance("mmory", "memory", 3), 1);
	assert_int_equal(yaml_reader_distance("image", "images", 3), 1);
	assert_true(yaml_reader_distance("a", "memory", 3) > 3);
}

/* The tree as image.yaml uses it. */
static void test_tree(void **state)
{
	static const char text[] = "a: &x [1, 'null', ~]\nb: *x\n\"c\": {d: \"e\"}\n";
	static const char *const known[] = {"a", "b"};
	char *messages = NULL;
	size_t length;
	struct yaml_reader reader = {.file = "f", .errors = open_memstream(&messages, &length)};
	struct yaml_tree *tree = yaml_tree_read(text, sizeof(text) - 1, &reader);
	const struct yaml_tree_node *root = yaml_tree_root(tree);
	const struct yaml_tree_pair *b = yaml_tree_find(root, "b"), *c = yaml_tree_find(root, "c");

	(void)state;
	assert_int_equal(root->count, 3);
	assert_ptr_equal(b->value, yaml_tree_find(root, "a")->value);
	assert_int_equal(b->value->items[1]->type, YAML_TREE_SCALAR);
	assert_int_equal(b->value->items[2]->type, YAML_TREE_NULL);
	assert_false(yaml_tree_find(c->value, "d")->value->plain);
	assert_null(yaml_tree_find(b->value, "a"));
	assert_false(yaml_reader_check_keys(&reader, root, "here", known, 2));
	fclose(reader.errors);
	assert_string_equal(messages, "f:3:1: error: unknown key \"c\" in here\n  help: did you mean \"a\"?\n");
	free(messages);
	yaml_tree_free(tree);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_files),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_defaults_are_merged),
		cmocka_unit_test(test_interfaces_are_numbered),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_names_with_dashes),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_attachments),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_macs_stay),
		cmocka_unit_test(test_biggest_lab),
		cmocka_unit_test(test_too_many_nodes),
		cmocka_unit_test(test_several_errors),
		cmocka_unit_test(test_leases_are_free_addresses),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_lab_names),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
