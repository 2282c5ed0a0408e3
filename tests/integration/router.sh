#!/usr/bin/env bash
# Two subnets and a Linux router between them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# What is compared with the captures once the lab is down.
up() {
	lab_up "$top/labs/router/topology.yaml"
	netlab status --format json >status.json
}

# mac_of NODE INTERFACE
mac_of() {
	jq -r --arg node "$1" --argjson interface "$2" \
		'.nodes[] | select(.name == $node) | .interfaces[$interface].mac' status.json
}

forwards_v4() {
	local output
	output=$(netlab exec h1 -- ping -c 3 -i 2 -W 60 10.0.2.1)
	echo "$output"
	# One hop took one off the 64.
	expect_match 'ttl=63' "$output"
}

back_again() {
	pings h2 10.0.1.1 1
	pings h2 fd00:1::1 1
}

shows_the_hop() {
	local output
	output=$(netlab exec h1 -- traceroute -n -w 30 10.0.2.1)
	echo "$output"
	# A probe that got no answer in time is a star.
	expect_match '^ *1 +(\* +)*10\.0\.1\.254' "$output"
	expect_match '^ *2 +(\* +)*10\.0\.2\.1' "$output"
}

time_exceeded() {
	local port
	have tshark || skip "no tshark"
	for port in h1-eth0 r1-eth0; do
		[ -n "$(frames "captures/router/$port.pcap" 'icmp.type == 11 && ip.src == 10.0.1.254' frame.number)" ]
	done
}

mac_changes_at_the_router() {
	local filter='icmp.type == 8 && ip.src == 10.0.1.1 && ip.dst == 10.0.2.1'
	have tshark || skip "no tshark"
	expect_equal "$(frames captures/router/r1-eth0.pcap "$filter" eth.src ip.ttl | sort -u)" "$(mac_of h1 0)"$'\t'64
	expect_equal "$(frames captures/router/r1-eth1.pcap "$filter" eth.src ip.ttl | sort -u)" "$(mac_of r1 1)"$'\t'63
}

sysctls_are_set() {
	expect_equal "$(in_node r1 'cat /proc/sys/net/ipv4/ip_forward')" 1
	expect_equal "$(in_node r1 'cat /proc/sys/net/ipv6/conf/all/forwarding')" 1
	expect_equal "$(in_node h1 'cat /proc/sys/net/ipv4/ip_forward')" 0
}

no_forwarding_no_answer() {
	in_node r1 'echo 0 >/proc/sys/net/ipv4/ip_forward'
	expect_status 1 netlab exec h1 -- ping -c 1 -W 3 10.0.2.1
}

check "two hosts and a router come up" up
check "the sysctls of the topology are set" sysctls_are_set
check "the router forwards IPv4" forwards_v4
check "the router forwards IPv6" pings h1 fd00:2::1
check "and the other way" back_again
check "traceroute shows the hop" shows_the_hop
check "with forwarding off nothing comes back" no_forwarding_no_answer
check "down" netlab down
check "at the router MAC addresses and TTL change" mac_changes_at_the_router
check "time exceeded is in the captures" time_exceeded
finish
