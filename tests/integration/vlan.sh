#!/usr/bin/env bash
# VLANs and rules of ports: what a frame meets in a switch, seen in captures, and changed while the lab runs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# topology H1 H2 PROBE: what their ends of links have beside addresses.
topology() {
	cat >topology.yaml <<-END
		name: vlan
		nodes:
		  h1: {routes: ["default via 10.0.10.254"]}
		  h2: {routes: ["default via 10.0.20.254"]}
		  r1:
		    sysctl: {net.ipv4.ip_forward: 1}
		    startup:
		      - ip link add link eth0 name eth0.10 type vlan id 10
		      - ip link add link eth0 name eth0.20 type vlan id 20
		      - ip address add 10.0.10.254/24 dev eth0.10
		      - ip address add 10.0.20.254/24 dev eth0.20
		      - ip link set eth0.10 up
		      - ip link set eth0.20 up
		  probe:
		networks: [lan]
		links:
		  - {endpoints: [h1, lan], ip: [[10.0.10.1/24, 10.0.0.1/24]]$1}
		  - {endpoints: [h2, lan], ip: [[10.0.20.2/24, 10.0.0.2/24]]$2}
		  - {endpoints: [r1, lan], trunk: [10, 20-29]}
		  - {endpoints: [probe, lan]$3}
	END
}

comes_up() {
	topology ", vlan: 10" ", vlan: 20" ", mirror: \"r1:eth0\""
	lab_up topology.yaml
	# Who restarts loses it.
	local node
	for node in h1 h2 r1 probe; do
		in_node "$node" 'touch /tmp/here'
	done
}

# asks NODE ADDRESS: whether one ARP request of so many is answered, however late.
asks() {
	in_node "$1" "arping -f -c 5 -w 60 -I eth0 $2"
}

is_silent() {
	expect_status 1 in_node "$1" "arping -f -c 2 -w 2 -I eth0 $2"
}

# stations FILTER: "VLAN PORT" of what has been learnt.
stations() {
	netlab switch lan show --format json | jq -r '.[0].macs[] | "\(.vlan) \(.port)"' | sort
}

routed() {
	pings h1 10.0.20.2
	pings h2 10.0.10.1
}

apart() {
	is_silent h1 10.0.0.2
	is_silent h2 10.0.0.1
}

# drops PORT REASON
drops() {
	netlab switch lan --format json |
		jq -r ".[0].ports[] | select(.name == \"$1\") | .drops.\"$2\" // 0"
}

shown() {
	local output
	expect_equal "$(stations)" $'10 h1:eth0\n10 r1:eth0\n20 h2:eth0\n20 r1:eth0'
	output=$(netlab switch)
	expect_match 'h1:eth0 +up +10 +- ' "$output"
	expect_match 'r1:eth0 +up +- +10,20-29 ' "$output"
	expect_match 'probe:eth0 +up +.*mirror of r1:eth0' "$output"
}

forgotten() {
	expect_match '^4 addresses forgotten$' "$(netlab switch lan flush)"
	# Guests may speak of themselves; who has not is not there.
	[ "$(stations | wc -l)" -lt 4 ] || fail "all is still known: $(stations)"
	asks h1 10.0.10.254
	expect_match '^10 r1:eth0$' "$(stations)"
	expect_status 1 netlab switch nowhere 2>errors
	expect_match 'there is no network "nowhere"' "$(cat errors)"
	expect_status 2 netlab switch lan forget 2>errors
	expect_status 2 netlab switch lan show more 2>errors
}

foreign_tag_is_dropped() {
	local before
	before=$(drops h1:eth0 vlan)
	in_node h1 'ip link add link eth0 name eth0.20 type vlan id 20
		ip address add 10.0.20.77/24 dev eth0.20
		ip link set eth0.20 up'
	expect_status 1 in_node h1 'arping -f -c 2 -w 2 -I eth0.20 10.0.20.2'
	in_node h1 'ip link delete eth0.20'
	[ "$(drops h1:eth0 vlan)" -ge $((before + 2)) ] || fail "of $before frames and two more $(drops h1:eth0 vlan) were dropped"
}

mirror_only_hears() {
	in_node probe 'ip address add 10.0.10.9/24 dev eth0'
	is_silent probe 10.0.10.1
	[ "$(drops probe:eth0 mirror)" -ge 2 ] || fail "what a mirror sent was not dropped"
	in_node probe 'ip address delete 10.0.10.9/24 dev eth0'
}

nobody_restarted() {
	local node
	for node in h1 h2 r1 probe; do
		in_node "$node" 'test -e /tmp/here' || fail "$node was restarted"
	done
}

# changed TOPOLOGY-ARGUMENTS...: in place; what is said of it is in 'said'.
changed() {
	topology "$@"
	netlab up --plan >said
	netlab up --yes
	nobody_restarted
}

same_vlan() {
	changed ", vlan: 10" ", vlan: 10" ""
	expect_match '~ link h2:eth0 - lan \(vlan 20 -> vlan 10\)' "$(cat said)"
	expect_match '~ link probe:eth0 - lan \(mirror of r1:eth0 -> no rules\)' "$(cat said)"
	asks h1 10.0.0.2
	asks h2 10.0.0.1
}

isolated() {
	changed ", vlan: 10, isolate: on" ", vlan: 10, isolate: on" ", vlan: 10"
	is_silent h1 10.0.0.2
	asks h1 10.0.10.254
	in_node probe 'ip address add 10.0.0.9/24 dev eth0'
	asks h2 10.0.0.9
	asks probe 10.0.0.1
}

guarded() {
	local before
	changed ", vlan: 10, guard: on" ", vlan: 10" ", vlan: 10"
	asks h1 10.0.0.2
	pings h1 10.0.0.2 1
	before=$(in_node h2 'ip neighbour show 10.0.0.9; ip neighbour show 10.0.0.1')
	expect_match lladdr "$before"
	in_node h1 'ip address add 10.0.0.9/32 dev eth0 && arping -c 2 -U -I eth0 10.0.0.9'
	expect_equal "$(drops h1:eth0 spoofed-arp)" 2
	expect_status 1 in_node h1 'ping -c 1 -W 2 -I 10.0.0.9 10.0.0.2'
	[ "$(drops h1:eth0 spoofed-ip)" -ge 1 ] || fail "a packet with another's address went through"
	in_node h1 'ip address delete 10.0.0.9/32 dev eth0'
	pings h1 10.0.0.2 1
	in_node h1 'ip link set eth0 address 02:00:00:00:00:99'
	is_silent h1 10.0.0.2
	[ "$(drops h1:eth0 spoofed-mac)" -ge 2 ] || fail "another MAC address went through"
}

limited() {
	changed "" "" ", storm: 1pps"
	in_node probe 'ping -c 30 -i 0.01 -W 1 -b 10.0.0.255 >/dev/null 2>&1 || true'
	[ "$(drops probe:eth0 storm)" -ge 1 ] || fail "a storm was not limited"
}

# counts NODE FILTER: how many frames of its capture.
counts() {
	frames "captures/vlan/$1-eth0.pcap" "$2" frame.number | wc -l
}

tags_are_on_the_trunk_alone() {
	[ "$(counts r1 'vlan.id == 10 and icmp')" -ge 6 ] || fail "no pings of VLAN 10 at the router"
	[ "$(counts r1 'vlan.id == 20 and icmp')" -ge 6 ] || fail "no pings of VLAN 20 at the router"
	expect_equal "$(counts r1 'icmp and !vlan')" 0
	expect_equal "$(counts h1 'vlan and vlan.id != 20')" 0
	expect_equal "$(counts h2 vlan)" 0
}

# Of h1's questions for 10.0.0.2 while h2 was in VLAN 20, the first two, none came there before it was put into VLAN 10.
broadcasts_stay() {
	local first in_the_same
	first=$(frames captures/vlan/h1-eth0.pcap 'arp.opcode == 1 && arp.dst.proto_ipv4 == 10.0.0.2 && arp.src.proto_ipv4 == 10.0.0.1' \
		frame.time_epoch | sed -n 2p)
	in_the_same=$(frames captures/vlan/h2-eth0.pcap "arp.src.hw_mac == $(mac_of h1) && frame.time_epoch <= $first" \
		frame.number | wc -l)
	expect_equal "$in_the_same" 0
	[ "$(counts r1 'vlan.id == 10 && arp.dst.proto_ipv4 == 10.0.0.2')" -ge 2 ] || fail "the trunk had none of them"
}

# mac_of NODE: from the first frame of its capture that it sent itself.
mac_of() {
	frames "captures/vlan/$1-eth0.pcap" 'ipv6.src == :: || arp.src.proto_ipv4 == 10.0.10.1' eth.src | head -n 1
}

# Each ping has the same id and sequence number in both captures, coming and going.
mirror_had_all() {
	local filter='vlan && icmp' fields=(vlan.id icmp.ident icmp.seq icmp.type)
	frames captures/vlan/r1-eth0.pcap "$filter" "${fields[@]}" | head -n 24 >router
	frames captures/vlan/probe-eth0.pcap "$filter" "${fields[@]}" | head -n 24 >mirror
	expect_equal "$(wc -l <mirror)" 24
	diff router mirror
}

check "two hosts, a router on a trunk, and a mirror of it come up" comes_up
check "the router leads from VLAN to VLAN" routed
check "hosts of different VLANs do not hear each other" apart
check "the switch is shown with its ports and what it learnt" shown
check "it forgets when told to" forgotten
check "a tag of another VLAN does not come in" foreign_tag_is_dropped
check "a mirror sends nothing" mirror_only_hears
check "a host changes its VLAN in place" same_vlan
check "isolated ports do not hear each other" isolated
check "a guard stops what is not the port's own" guarded
check "a storm is limited" limited
check "down" lab_down
need_tool tshark
check "only the trunk's capture has tags" tags_are_on_the_trunk_alone
check "broadcasts stay in their VLAN" broadcasts_stay
check "the mirror had all that the router had" mirror_had_all
finish
