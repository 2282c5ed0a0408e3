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
			pings "h$from" "10.0.0.$to" 1
		done
	done
}

all_ping_all_v6() {
	local from to
	for from in 1 3; do
		for to in 2 4; do
			pings "h$from" "fd00::$to" 1
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

# Frames that can be told from all others in the captures: requests for an address that nobody has or asks for ...
broadcast() {
	expect_status 1 netlab exec h1 -- arping -c 3 -I eth0 10.0.0.99
}

# ... and pings of a size of their own, from when both addresses have just been learnt.
unicast() {
	pings h1 10.0.0.2 1
	in_node h1 'ping -c 20 -i 0.1 -W 60 -s 77 10.0.0.2'
}

# filtered HOST: how many frames its NIC has kept from it.
filtered() {
	port_status "$1:eth0" .rx_filtered
}

# A group that none of the others has joined.
to_a_group() {
	local before
	before=$(filtered h2)
	expect_status 1 netlab exec h1 -- ping -c 3 -i 0.1 -W 1 -s 78 -I eth0 239.1.2.3
	[ "$(filtered h2)" -ge $((before + 3)) ] || fail "of $before frames and three for others $(filtered h2) were kept"
}

tcpdump_has_begun() {
	in_node h2 'grep -q listening /tmp/tcpdump.log'
}

# As with any NIC, tcpdump has it hear everything.
promiscuous() {
	in_node h2 'tcpdump -n -i eth0 -c 3 "icmp and host 239.1.2.3" >/tmp/tcpdump.out 2>/tmp/tcpdump.log &'
	wait_for tcpdump_has_begun
	expect_status 1 netlab exec h1 -- ping -c 3 -i 0.1 -W 1 -I eth0 239.1.2.3
	wait_for in_node h2 'grep -q "3 packets captured" /tmp/tcpdump.log'
	expect_equal "$(in_node h2 'grep -c 239.1.2.3 /tmp/tcpdump.out')" 3
}

other_address() {
	in_node h3 'ip link set eth0 address 02:00:00:00:77:77'
	pings h3 10.0.0.4 1
	expect_match 02:00:00:00:77:77 "$(in_node h4 'ip neighbour show 10.0.0.3')"
}

broadcast_reached_all() {
	local host
	for host in h1 h2 h3 h4; do
		expect_equal "$host $(frames "captures/lan/$host-eth0.pcap" \
			'arp.opcode == 1 && arp.src.proto_ipv4 == 10.0.0.1 && arp.dst.proto_ipv4 == 10.0.0.99' \
			frame.number | wc -l)" "$host 3"
	done
}

# pings_of_our_size HOST: how many requests are in its capture.
pings_of_our_size() {
	frames "captures/lan/$1-eth0.pcap" 'icmp.type == 8 && ip.len == 105' frame.number | wc -l
}

unicast_reached_one() {
	expect_equal "$(pings_of_our_size h1)" 20
	expect_equal "$(pings_of_our_size h2)" 20
	expect_equal "$(pings_of_our_size h3)" 0
	expect_equal "$(pings_of_our_size h4)" 0
}

group_is_in_captures() {
	local host
	for host in h1 h2 h3 h4; do
		expect_equal "$host $(frames "captures/lan/$host-eth0.pcap" 'icmp.type == 8 && ip.len == 106' frame.number | wc -l)" \
			"$host 3"
	done
}

check "four hosts come up" lab_up "$top/labs/lan/topology.yaml"
check "each has its own MAC address" macs_differ
check "all ping all" all_ping_all
check "the same over IPv6" all_ping_all_v6
check "the network knows four addresses" learnt
check "one asks all" broadcast
check "one pings one" unicast
check "a NIC keeps to itself what is for others" to_a_group
check "tcpdump in a guest hears it all the same" promiscuous
check "a guest may change its address" other_address
check "down" lab_down
need_tool tshark
check "a broadcast reached all" broadcast_reached_all
check "what was for one reached nobody else" unicast_reached_one
check "a capture has what the NIC kept from its guest" group_is_in_captures
finish
