#!/usr/bin/env bash
# --format json: every command that has it prints one document, with the members that docs/control-protocol.md names.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq

mkdir lab
cat >lab/topology.yaml <<'Y'
name: machine
nodes: {a: , b: }
networks: {lan: }
links:
  - {endpoints: [a, lan], ip: 10.0.0.1/24}
  - {endpoints: [b, lan], ip: 10.0.0.2/24}
Y

# says FILTER COMMAND...: the filter holds for the only document that the command prints.
says() {
	local filter=$1
	shift
	"$@" --format json >document
	cat document
	expect_equal "$(jq -s length document)" 1
	jq -e "$filter" document >/dev/null || fail "not so: $filter"
}

# shellcheck disable=SC2016 # jq's variables.
types='def has_types(types): . as $object | all(types | to_entries[]; .value == ($object[.key] | type));'

status_object="$types"'
	has_types({lab: "string", topology: "string", captures: "string", uptime: "number"}) and
	(.host | has_types({backend: "string", kind: "string"})) and
	(.nodes | length == 2) and
	all(.nodes[]; has_types({name: "string", state: "string", since: "number", seconds: "number", reason: "string",
		image: "string", memory: "number", cpus: "number", exits: "object"})) and
	all(.nodes[].exits; has_types({port: "number", memory: "number", completed: "number", interrupted: "number",
		other: "number"})) and
	all(.nodes[].devices[]; has_types({name: "string", quarantined: "boolean", reason: "string"})) and
	all(.nodes[]; .interfaces | length == 1) and
	all(.nodes[].interfaces[]; has_types({name: "string", port: "string", mac: "string", mtu: "number",
		addresses: "array", link: "string"})) and
	(.networks | length == 1) and
	all(.networks[]; has_types({name: "string", macs: "number"})) and
	(.ports | length == 2) and
	all(.ports[]; has_types({name: "string", tx_frames: "number", tx_bytes: "number", rx_frames: "number",
		rx_bytes: "number", drops: "object", capture_lost: "number", capture_file: "string", rx_ring: "object"})) and
	all(.ports[].rx_ring; has_types({size: "number", free: "number"}) and .free > 0 and .free <= .size)'

# Only "netlab status" asks for what takes the daemon time to find out.
memory_too="$status_object"'
	and (.memory | has_types({private: "number", shared: "number", netlabd: "number", captures: "number", in_flight: "number"})) and
	all(.nodes[]; has_types({memory_private: "number", memory_shared: "number"}))'

checks() {
	says "$types"'has_types({topology: "string"}) and
		.lab == "machine" and .nodes == 2 and .networks == 1 and .links == 2' netlab check lab
}

# What is wrong is said to people, on standard error.
checks_bad() {
	echo 'nodes: {}' >bad.yaml
	expect_equal "$(expect_status 2 netlab check --format json bad.yaml 2>/dev/null)" ""
}

lists_images() {
	says "$types"'length > 0 and all(.[]; has_types({name: "string"})) and
		(.[] | select(.name == "lab") | has_types({description: "string", folder: "string", kernel: "string",
			memory: "number", cpus: "number"}))' netlab image list
}

comes_up() {
	says "$status_object and .lab == \"machine\" and all(.nodes[]; .state == \"ready\" and .reason == \"\")" \
		lab_up lab
}

lists() {
	says "$types"'length == 1 and (.[0] | has_types({pid: "number", uptime: "number", topology: "string"}) and
		.lab == "machine" and .ready == 2 and .nodes == 2)' netlab list
}

restarts() {
	says "$types"'has_types({seconds: "number"}) and .node == "a" and .state == "ready"' \
		netlab restart --timeout "$patience" a
}

check "check" checks
check "check of what is wrong" checks_bad
need_image
check "image list" lists_images
check "up prints the status" comes_up
check "status" says "$memory_too" netlab status
check "list" lists
check "restart" restarts
check "down" says '. == {lab: "machine", state: "down"}' netlab down
check "list, of nothing" says '. == []' netlab list
check "down --all, of nothing" says '. == []' netlab down --all
finish
