#!/usr/bin/env bash
# Three routers with BIRD in a triangle: routes appear, a router is stopped, traffic takes the other way, and comes back.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image
has_image router || skip_rest "the image router is not built"

comes_up() {
	lab_up "$top/labs/ospf/topology.yaml"
}

# neighbours ROUTER COUNT: it has as many, with the same database as its own.
neighbours() {
	[ "$(netlab exec "$1" -- birdc show ospf neighbors | grep -c Full/)" -eq "$2" ]
}

all_are_neighbours() {
	local router
	for router in r1 r2 r3; do
		wait_for neighbours "$router" 2
	done
}

# goes_via ROUTER DESTINATION GATEWAY: the kernel of the router sends it there.
goes_via() {
	expect_match " via $3 " "$(netlab exec "$1" -- ip route get "$2")"
}

# both_go GATEWAY-OF-R1 GATEWAY-OF-R3: from one network of hosts to the other.
both_go() {
	wait_for goes_via r1 10.3.0.10 "$1"
	wait_for goes_via r3 10.1.0.10 "$2"
}

routes_appear() {
	both_go 10.0.12.2 10.0.23.1
	expect_match '^10\.3\.0\.0/24 .*\(150/30\) \[10\.0\.0\.3\]' "$(netlab exec r1 -- birdc show route)"
	expect_match '^10\.0\.0\.2 via 10\.0\.12\.2 dev eth1 proto bird' "$(netlab exec r1 -- ip route)"
}

# A router takes one off the 64.  Each ping has its own size, by which the captures know it.
ping_has_ttl() {
	expect_match "ttl=$1 " "$(netlab exec h1 -- ping -c 1 -W 20 -s "$2" 10.3.0.10)"
}

three_hops() {
	wait_for ping_has_ttl 61 201
}

stops() {
	# The guest goes away, and its agent with it.
	expect_status 125 netlab exec r2 -- poweroff
	wait_for state_is r2 stopped
}

other_way() {
	both_go 10.0.13.2 10.0.13.1
	wait_for neighbours r1 1
	wait_for ping_has_ttl 62 202
}

starts_again() {
	netlab restart r2
	both_go 10.0.12.2 10.0.23.1
	wait_for ping_has_ttl 61 203
}

# requests PORT SIZE: echo requests of that size.
requests() {
	frames "captures/ospf/$1.pcap" "icmp.type == 8 && frame.len == $((42 + $2))" frame.number
}

captures_show_it() {
	netlab down
	have tshark || skip "no tshark"
	[ -n "$(requests r1-eth1 201)" ] && [ -n "$(requests r2-eth2 201)" ]
	[ -n "$(requests r1-eth2 202)" ] && [ -z "$(requests r3-eth1 202)" ]
	[ -n "$(requests r3-eth1 203)" ]
}

# What r1 says of itself, with and without r2 as neighbour.
lsas_are_captured() {
	local links
	have tshark || skip "no tshark"
	[ -n "$(frames captures/ospf/r2-eth1.pcap 'ospf.msg == 1 && ip.src == 10.0.12.1' frame.number)" ]
	links=$(frames captures/ospf/r1-eth2.pcap 'ospf.lsa.router && ospf.advrouter == 10.0.0.1' ospf.lsa.router.linkid)
	echo "$links"
	expect_match '10\.0\.0\.2' "$links"
	expect_match '10\.0\.0\.3' "$(grep -v '10\.0\.0\.2' <<<"$links")"
}

check "three routers and two hosts come up" comes_up
check "each router has two neighbours" all_are_neighbours
check "routes appear, by the way that costs less" routes_appear
check "traffic goes by three routers" three_hops
check "a router is stopped" stops
check "the others take the other way" other_way
check "and the first way again when it is back" starts_again
check "the captures show both ways" captures_show_it
check "and what the routers told each other" lsas_are_captured
finish
