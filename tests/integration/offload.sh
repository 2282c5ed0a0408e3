#!/usr/bin/env bash
# offload: on.  Guests whose links have it pass on what they left undone, and everybody else gets what a wire would carry.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq tshark busybox
need_image

lab=captures/offload/lab.pcapng
size=$(seq 20000 | wc -c)
inside=$(free_port)

# A segment of TCP with the usual MTU, and what is longer.
wire=1514

comes_up() {
	cat >topology.yaml <<-END
		name: offload
		nodes:
		  a: {startup: ["seq 20000 >/tmp/data", "httpd -h /tmp -p 8000"]}
		  b:
		  c:
		networks:
		  lan: {offload: on}
		  up: {mode: nat, subnet: 10.0.2.0/24, forward: ["tcp:127.0.0.1:$inside:a:8000"]}
		links:
		  - {endpoints: [a, lan], ip: [[10.0.0.1/24, "fd00::1/64"]]}
		  - {endpoints: [b, lan], ip: [[10.0.0.2/24, "fd00::2/64"]]}
		  - {endpoints: [c, lan], ip: [[10.0.0.3/24, "fd00::3/64"]], offload: off}
		  - {endpoints: [a, up], ip: [10.0.2.15/24], offload: on}
		  - {endpoints: [a, b], ip: [10.0.9.1/30, 10.0.9.2/30], offload: on}
	END
	lab_up topology.yaml
}

# What a serves: httpd hands whole files to the kernel.
sum=$(seq 20000 | sha256sum)

# fetch NODE ADDRESS: NODE gets all from there.
fetch() {
	wait_for listens a 8000
	expect_equal "$(in_node "$1" "wget -qO- 'http://$2:8000/data' | sha256sum")" "$sum"
}

# lab_frames FILTER FIELD...
lab_frames() {
	frames "$lab" "$@"
}

# longest PORT DIRECTION FILTER: of the frames there in that direction (1: in, 2: out).
longest() {
	lab_frames "frame.interface_name == \"$1\" && frame.packet_flags_direction == $2 && ($3)" frame.len |
		sort -n | tail -n 1
}

# bytes_at PORT FILTER: of TCP, that came in there.
bytes_at() {
	lab_frames "frame.interface_name == \"$1\" && frame.packet_flags_direction == 1 && ($2)" tcp.len |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# has_all PORT FILTER: the capture has all bytes of TCP that came there.
has_all() {
	[ "$(bytes_at "$1" "$2")" -ge "$size" ]
}

# is_true FILE FILTER: the frames that match are what a wire would carry, and there are some.
is_true() {
	local options=(-o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE)
	local all bad
	all=$(tshark -n -r "$1" "${options[@]}" -Y "$2" -T fields -e frame.len -e tcp.checksum.status -e ip.checksum.status \
		2>/dev/null)
	[ -n "$all" ] || fail "nothing in $1 matches $2"
	bad=$(awk -v most="$wire" '$1 > most || $2 != 1 || ($3 != "" && $3 != 1)' <<<"$all")
	expect_equal "$bad" ""
}

ports_say_so() {
	local said
	said=$(lab_frames 'frame.interface_name == "a:eth0"' frame.interface_description | head -n 1)
	expect_equal "$said" "network lan, offload: on"
	said=$(lab_frames 'frame.interface_name == "c:eth0"' frame.interface_description | head -n 1)
	expect_equal "$said" "network lan"
	expect_equal "$(status_of '[.nodes[] | select(.name == "a" or .name == "c") | .interfaces[].offload] | @csv')" \
		'true,true,true,false'
}

# The frames that left are those that came, each with the bits that say what is missing.
both_take_them() {
	fetch b 10.0.0.1
	local flow='ip.addr == 10.0.0.2 && tcp.srcport == 8000'
	wait_for has_all b:eth0 "$flow"
	[ "$(longest a:eth0 2 "$flow")" -gt "$wire" ] || fail "no long frame left"
	expect_equal "$(longest b:eth0 1 "$flow")" "$(longest a:eth0 2 "$flow")"
	lab_frames "$flow && frame.len > $wire" frame.packet_flags | sort -u >flags
	expect_equal "$(cat flags)" "$(printf '0x00000a01\n0x00000a02')"
	# And those of one segment have none of segmentation.
	lab_frames "$flow && frame.len <= 1000 && tcp.len > 0" frame.packet_flags | sort -u >flags
	expect_no_match '0x000008|0x00000a' "$(cat flags)"
}

takes_ipv6() {
	fetch b '[fd00::1]'
	local flow='ipv6.addr == fd00::2 && tcp.srcport == 8000'
	wait_for has_all b:eth0 "$flow"
	[ "$(longest b:eth0 1 "$flow")" -gt "$wire" ] || fail "no long frame came"
}

# The one with "offload: off" on the same network.
one_gets_segments() {
	fetch c 10.0.0.1
	local flow='ip.addr == 10.0.0.3 && tcp.srcport == 8000'
	wait_for has_all c:eth0 "$flow"
	[ "$(longest a:eth0 2 "$flow")" -gt "$wire" ] || fail "no long frame left"
	expect_equal "$(longest c:eth0 1 "$flow")" "$wire"
	is_true "$lab" "frame.interface_name == \"c:eth0\" && $flow"
	is_true captures/offload/c-eth0.pcap "$flow"
	# All of one frame have its id.
	local id
	id=$(lab_frames "frame.interface_name == \"a:eth0\" && $flow && frame.len > $wire" frame.packet_id | head -n 1)
	[ "$(lab_frames "frame.interface_name == \"c:eth0\" && frame.packet_id == $id" frame.number | wc -l)" -ge 2 ]
}

ipv6_segments() {
	fetch c '[fd00::1]'
	local flow='ipv6.addr == fd00::3 && tcp.srcport == 8000'
	wait_for has_all c:eth0 "$flow"
	expect_equal "$(longest c:eth0 1 "$flow")" "$wire"
	is_true "$lab" "frame.interface_name == \"c:eth0\" && $flow"
}

gateway_gets_segments() {
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$inside/data" | sha256sum)" "$sum"
	wait_for has_all network:up 'tcp.srcport == 8000'
	[ "$(longest a:eth1 2 'tcp.srcport == 8000')" -gt "$wire" ] || fail "no long frame left"
	is_true captures/offload/network-up.pcap 'tcp.srcport == 8000'
}

# Each segment is a frame of its own on such a wire, from where it is sent on.
impaired_link_has_segments() {
	netlab tc set a:eth2 --tx delay=1ms
	fetch b 10.0.9.1
	local flow='ip.addr == 10.0.9.2 && tcp.srcport == 8000'
	wait_for has_all b:eth1 "$flow"
	expect_equal "$(longest a:eth2 2 "$flow")" "$wire"
	is_true "$lab" "frame.interface_name == \"a:eth2\" && $flow"
	expect_equal "$(lab_frames "frame.interface_name == \"a:eth2\" && $flow" frame.packet_id | sort | uniq -d)" ""
	netlab tc clear a:eth2
	fetch b 10.0.9.1
	[ "$(longest b:eth1 1 "$flow")" -gt "$wire" ] || fail "no long frame came"
}

# To turn it off is to give the node another machine.
turned_off() {
	sed -i 's/  lan: .*/  lan:/' topology.yaml
	netlab up --yes --timeout "$patience" topology.yaml >said
	expect_match 'eth0 offload on -> off' "$(cat said)"
	local since
	since=$(date +%s)
	fetch b 10.0.0.1
	is_true captures/offload/b-eth0.pcap "ip.addr == 10.0.0.2 && tcp && frame.time_epoch > $since"
}

check "a lab with offloads comes up" comes_up
check "captures and status say where offloads are" ports_say_so
check "long frames go from guest to guest as they are" both_take_them
check "with IPv6 too" takes_ipv6
check "a guest without offloads gets segments with true checksums" one_gets_segments
check "with IPv6 too, the same" ipv6_segments
check "so does a gateway" gateway_gets_segments
check "so does a link with impairments" impaired_link_has_segments
check "it is turned off while the lab runs" turned_off
finish
