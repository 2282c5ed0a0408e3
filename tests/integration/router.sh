#!/usr/bin/env bash
# Two subnets and a Linux router between them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

forwards_v4() {
	local output
	output=$(netlab exec h1 -- ping -c 3 10.0.2.1)
	echo "$output"
	# One hop took one off the 64.
	expect_match 'ttl=63' "$output"
}

forwards_v6() {
	netlab exec h1 -- ping -c 3 fd00:2::1
}

back_again() {
	netlab exec h2 -- ping -c 1 10.0.1.1
	netlab exec h2 -- ping -c 1 fd00:1::1
}

shows_the_hop() {
	local output
	output=$(netlab exec h1 -- traceroute -n 10.0.2.1)
	echo "$output"
	expect_match '^ *1 +10\.0\.1\.254' "$output"
	expect_match '^ *2 +10\.0\.2\.1' "$output"
}

time_exceeded() {
	have tshark || skip "no tshark"
	wait_for saw_time_exceeded captures/router/h1-eth0.pcap
	wait_for saw_time_exceeded captures/router/r1-eth0.pcap
}

saw_time_exceeded() {
	[ -n "$(frames "$1" 'icmp.type == 11 && ip.src == 10.0.1.254' frame.number)" ]
}

mac_changes_at_the_router() {
	local before after
	have tshark || skip "no tshark"
	before=$(frames captures/router/r1-eth0.pcap 'icmp.type == 8 && ip.src == 10.0.1.1 && ip.dst == 10.0.2.1 && icmp.seq <= 3' eth.src ip.ttl | sort -u)
	after=$(frames captures/router/r1-eth1.pcap 'icmp.type == 8 && ip.src == 10.0.1.1 && ip.dst == 10.0.2.1 && icmp.seq <= 3' eth.src ip.ttl | sort -u)
	expect_equal "$before" "$(status_of '.nodes[] | select(.name == "h1") | .interfaces[0].mac')"$'\t'64
	expect_equal "$after" "$(status_of '.nodes[] | select(.name == "r1") | .interfaces[1].mac')"$'\t'63
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

check "two hosts and a router come up" lab_up "$top/labs/router/topology.yaml"
check "the sysctls of the topology are set" sysctls_are_set
check "the router forwards IPv4" forwards_v4
check "the router forwards IPv6" forwards_v6
check "and the other way" back_again
check "at the router MAC addresses and TTL change" mac_changes_at_the_router
check "traceroute shows the hop" shows_the_hop
check "time exceeded is in the captures" time_exceeded
check "with forwarding off nothing comes back" no_forwarding_no_answer
check "down" netlab down
finish
