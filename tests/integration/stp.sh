#!/usr/bin/env bash
# Spanning tree is the guests' own business: two bridges in guests with two ways between them, one a link and one a network that
# passes reserved addresses, block the loop, and take the other way when one is cut.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# The times are as short as they may be: a port forwards after two forward delays.
bridge='ip link add br0 type bridge stp_state 1 forward_delay 400 hello_time 100 max_age 600'
cat >topology.yaml <<END
name: stp
nodes:
  a: &bridge
    startup:
      - $bridge
      - ip link set eth0 master br0 && ip link set eth1 master br0
      - ip link set eth0 up && ip link set eth1 up && ip link set br0 up
      - ip address add 10.0.0.\$(hostname | tr ab 12)/24 dev br0
  b: *bridge
networks: {lan: {reserved-addresses: pass}}
links: [a-b, a-lan, b-lan]
END

# Of each port "STATE NODE INTERFACE": 3 forwarding, 4 blocking (linux/if_bridge.h).
states() {
	local node
	for node in a b; do
		# shellcheck disable=SC2016 # For the guest.
		in_node "$node" 'cd /sys/class/net && read -r node </proc/sys/kernel/hostname && for port in eth0 eth1; do
			read -r state <$port/brport/state && echo $state $node $port; done'
	done
}

one_is_blocked() {
	states >settled
	cat settled
	[ "$(grep -c '^3' settled)" -eq 3 ] && [ "$(grep -c '^4' settled)" -eq 1 ]
}

settles() {
	wait_for one_is_blocked
}

# sent: frames of all ports.
sent() {
	status_of '[.ports[].tx_frames] | add'
}

# In a loop, one broadcast would go round for ever, thousands of times a second.
no_storm() {
	local before
	before=$(sent)
	in_node a 'arping -c 3 -w 10 -I br0 10.0.0.77' || true
	[ "$(sent)" -lt $((before + 200)) ] || fail "of three broadcasts there were $(($(sent) - before)) frames"
	pings a 10.0.0.2
}

other_way() {
	local interface
	# The interface of a that forwards to the other one that does.
	if grep -q '^4 . eth0' settled; then interface=eth1; else interface=eth0; fi
	in_node a "ip link set $interface down"
	# Asked again and again: what is sent before the ports have learnt of it is lost.
	wait_for in_node a 'ping -c 1 -W 2 10.0.0.2'
	expect_equal "$(states | grep -c '^4' || true)" 0
}

bpdus_crossed_both() {
	local capture
	for capture in a-eth0 a-eth1 b-eth0 b-eth1; do
		[ "$(frames "captures/stp/$capture.pcap" 'stp && eth.dst == 01:80:c2:00:00:00' frame.number | wc -l)" -gt 0 ] ||
			fail "no BPDUs on $capture"
	done
}

check "two bridges with two ways between them come up" lab_up
check "one of four ports is blocked" settles
check "no broadcast goes round" no_storm
check "the way that was blocked is taken when the other is cut" other_way
check "down" lab_down
need_tool tshark
check "BPDUs crossed the link and the network" bpdus_crossed_both
finish
