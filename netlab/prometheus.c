/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/prometheus.h"

#include <stdbool.h>
#include <string.h>

#include "netlab/dataplane.h"

struct label {
	const char *name, *value;
};

/* A metric that is one integer of what is in one of the status' lists. */
struct metric {
	const char *member; /* In the status. */
	const char *name;
	const char *type;
	const char *help;
};

static const struct metric port_metrics[] = {
	{"tx_frames", "netlab_port_transmit_frames_total", "counter", "Frames sent from the port onto the wire."},
	{"tx_bytes", "netlab_port_transmit_bytes_total", "counter", "Bytes of these frames, without FCS."},
	{"rx_frames", "netlab_port_receive_frames_total", "counter", "Frames that came from the wire to the port."},
	{"rx_bytes", "netlab_port_receive_bytes_total", "counter", "Bytes of these frames, without FCS."},
	{"rx_filtered", "netlab_port_filtered_frames_total", "counter",
	 "Received frames that the guest had not asked for."},
	{"capture_lost", "netlab_port_capture_lost_frames_total", "counter",
	 "Frames missing in the capture of the port."},
};

static const struct metric ring_metrics[] = {
	{"size", "netlab_port_receive_ring_buffers", "gauge", "Buffers that the NIC's receive ring can have."},
	{"free", "netlab_port_receive_ring_free_buffers", "gauge",
	 "Buffers of the NIC's receive ring that are free for frames."},
};

static const struct metric node_metrics[] = {
	{"memory", "netlab_node_memory_limit_bytes", "gauge", "Memory that the node may use."},
	{"memory_private", "netlab_node_memory_private_bytes", "gauge", "Memory that the node alone has."},
	{"memory_shared", "netlab_node_memory_shared_bytes", "gauge",
	 "Memory of its template that the node uses unchanged."},
};

static const struct metric network_metrics[] = {
	{"macs", "netlab_network_mac_addresses", "gauge", "Addresses that the switch remembers."},
};

static const struct metric attachment_metrics[] = {
	{"queued", "netlab_attachment_queued_bytes", "gauge", "Bytes that wait for the peer to take them."},
};

static const char *string(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

void prometheus_put_label(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '\\' || *text == '"')
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
}

static void put_family(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Labels without a name are none. */
static void put_name(FILE *to, const char *name, const struct label labels[3])
{
	fprintf(to, "%s{", name);
	for (size_t i = 0; i < 3; i++) {
		if (!labels[i].name)
			continue;
		fprintf(to, "%s%s=\"", i ? "," : "", labels[i].name);
		prometheus_put_label(to, labels[i].value);
		fputc('"', to);
	}
	fputs("} ", to);
}

/* A sample of each object of 'list' that has the member, by its name as label 'kind'. */
static void put_metrics(FILE *to, const char *lab, const json_t *list, const char *kind, const struct metric *metrics,
			size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct metric *metric = &metrics[i];

		put_family(to, metric->name, metric->type, metric->help);
		for (size_t j = 0; j < json_array_size(list); j++) {
			const json_t *object = json_array_get(list, j),
				     *value = json_object_get(object, metric->member);
			const struct label labels[3] = {{"lab", lab}, {kind, string(object, "name")}};

			if (!json_is_integer(value))
				continue;
			put_name(to, metric->name, labels);
			fprintf(to, "%lld\n", (long long)json_integer_value(value));
		}
	}
}

/* Reasons of which there was none are there as well: a counter that is missing until it is 1 never seems to rise. */
static void put_drops(FILE *to, const char *lab, const json_t *ports)
{
	const char *const name = "netlab_port_dropped_frames_total";

	put_family(to, name, "counter", "Frames that ended at the port, by reason.");
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);

		for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
			const char *word = drop_reason_name(reason);
			const json_t *count = json_object_get(json_object_get(port, "drops"), word);
			const struct label labels[3] = {{"lab", lab}, {"port", string(port, "name")}, {"reason", word}};

			put_name(to, name, labels);
			fprintf(to, "%lld\n", (long long)json_integer_value(count));
		}
	}
}

/* One sample for each state there can be, of which the present one is 1. */
static void put_states(FILE *to, const char *lab, const json_t *list, const char *kind, const char *const states[])
{
	char name[64];

	snprintf(name, sizeof(name), "netlab_%s_state", kind);
	put_family(to, name, "gauge", "1 for the state it is in, 0 for all others.");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *object = json_array_get(list, i);

		for (size_t j = 0; states[j]; j++) {
			const struct label labels[3] = {{"lab", lab},
							{kind, string(object, "name")},
							{"state", states[j]}};

			put_name(to, name, labels);
			fprintf(to, "%d\n", !strcmp(states[j], string(object, "state")));
		}
	}
}

/* What is known of ports' receive rings, each with its port's name. */
static json_t *rings_of(const json_t *ports)
{
	json_t *rings = json_array();

	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		json_t *ring = json_copy(json_object_get(port, "rx_ring"));

		if (json_is_object(ring)) {
			json_object_set(ring, "name", json_object_get(port, "name"));
			json_array_append(rings, ring);
		}
		json_decref(ring);
	}
	return rings;
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

void prometheus_write(FILE *to, const json_t *status)
{
	static const char *const node_states[] = {"created", "booting", "configuring", "ready",
						  "paused",  "stopped", "crashed",     NULL};
	static const char *const attachment_states[] = {"listening", "connecting", "connected", "open", "waiting",
							"replaying", "done",       "failed",    NULL};
	const json_t *nodes = json_object_get(status, "nodes"), *ports = json_object_get(status, "ports");
	const json_t *networks = json_object_get(status, "networks");
	const json_t *attachments = json_object_get(status, "attachments");
	const char *lab = string(status, "lab");
	const struct label labels[3] = {{"lab", lab}};
	json_t *rings = rings_of(ports);

	put_family(to, "netlab_lab_uptime_seconds", "gauge", "Time since the lab started.");
	put_name(to, "netlab_lab_uptime_seconds", labels);
	fprintf(to, "%.3f\n", json_number_value(json_object_get(status, "uptime")));
	put_states(to, lab, nodes, "node", node_states);
	put_metrics(to, lab, nodes, "node", node_metrics, COUNT_OF(node_metrics));
	put_metrics(to, lab, networks, "network", network_metrics, COUNT_OF(network_metrics));
	put_states(to, lab, attachments, "attachment", attachment_states);
	put_metrics(to, lab, attachments, "attachment", attachment_metrics, COUNT_OF(attachment_metrics));
	put_metrics(to, lab, ports, "port", port_metrics, COUNT_OF(port_metrics));
	put_metrics(to, lab, rings, "port", ring_metrics, COUNT_OF(ring_metrics));
	put_drops(to, lab, ports);
	json_decref(rings);
}
