#!/usr/bin/env bash
# Four hosts on a network: the switch learns and does not flood what it has learnt.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

all_ping_all() {
	local from to
	for from in 1 2 3 4; do
		for to in 1 2 3 4; do
			netlab exec "h$from" -- ping -c 1 "10.0.0.$to"
		done
	done
}

all_ping_all_v6() {
	local from to
	for from in 1 3; do
		for to in 2 4; do
			netlab exec "h$from" -- ping -c 1 "fd00::$to"
		done
	done
}

learnt() {
	expect_equal "$(status_of '.networks[] | select(.name == "lan") | .macs')" 4
	expect_equal "$(status_of '.nodes[0].interfaces[0].link')" lan
}

macs_differ() {
	expect_equal "$(status_of '.nodes[].interfaces[].mac' | sort -u | wc -l)" 4
}

broadcast_reaches_all() {
	# The neighbours are forgotten, so each is asked for again, by broadcast.
	in_node h1 'ip neigh flush dev eth0; ping -c 1 10.0.0.2'
	wait_for saw_request h3
	wait_for saw_request h4
}

saw_request() {
	[ -n "$(frames "captures/lan/$1-eth0.pcap" 'arp.opcode == 1 && arp.dst.proto_ipv4 == 10.0.0.2' frame.number)" ]
}

unicast_is_for_one() {
	in_node h1 'ping -c 20 -i 0.1 10.0.0.2'
	netlab down
	expect_equal "$(frames captures/lan/h3-eth0.pcap 'icmp && ip.addr == 10.0.0.1 && ip.addr == 10.0.0.2' frame.number)" ""
	[ "$(frames captures/lan/h2-eth0.pcap 'icmp.type == 8 && ip.src == 10.0.0.1' frame.number | wc -l)" -ge 20 ]
}

check "four hosts come up" lab_up "$top/labs/lan/topology.yaml"
check "each has its own MAC address" macs_differ
check "all ping all" all_ping_all
check "the same over IPv6" all_ping_all_v6
check "the network knows four addresses" learnt
need_tool tshark
check "a broadcast reaches all" broadcast_reaches_all
check "what is for one reaches nobody else" unicast_is_for_one
finish
