#!/usr/bin/env bash
# What is in the captures.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq tshark
need_image

topology=$top/labs/two-hosts/topology.yaml
h1=captures/two-hosts/h1-eth0.pcap
h2=captures/two-hosts/h2-eth0.pcap

ping() {
	netlab exec h1 -- ping -c 3 10.0.0.2
}

readable_while_running() {
	wait_for has_echo "$h1"
	wait_for has_echo "$h2"
}

has_echo() {
	[ "$(frames "$1" icmp.type==0 | wc -l)" -ge 3 ]
}

files_are_said() {
	expect_equal "$(status_of .captures)" "$PWD/captures/two-hosts"
	expect_equal "$(status_of '.ports[0].capture_file')" "$PWD/$h1"
	expect_equal "$(status_of '[.ports[].capture_lost] | add')" 0
}

nanoseconds() {
	local file
	for file in "$h1" "$h2"; do
		# The magic number of pcap files with nanoseconds, in this machine's byte order.
		expect_equal "$(od -An -tx1 -N4 "$file" | tr -d ' ')" 4d3cb2a1
		# Not all times are whole microseconds.
		frames "$file" 'arp || icmp' frame.time_epoch | grep -vq '000$'
	done
}

arp_exchange() {
	local file
	for file in "$h1" "$h2"; do
		expect_match '^ff:ff:ff:ff:ff:ff	10.0.0.1	10.0.0.2$' \
			"$(frames "$file" arp.opcode==1 eth.dst arp.src.proto_ipv4 arp.dst.proto_ipv4)"
		expect_match '^10.0.0.2	10.0.0.1$' \
			"$(frames "$file" arp.opcode==2 arp.src.proto_ipv4 arp.dst.proto_ipv4)"
	done
}

icmp_exchange() {
	local file
	for file in "$h1" "$h2"; do
		expect_equal "$(frames "$file" 'icmp.type == 8 && ip.src == 10.0.0.1' frame.number | wc -l)" 3
		expect_equal "$(frames "$file" 'icmp.type == 0 && ip.src == 10.0.0.2' frame.number | wc -l)" 3
	done
}

# A guest asks for a neighbour again at times of its own, so a frame may come between the reading of the two files.
same_frames() {
	(wait_for files_agree) || {
		diff of-h1 of-h2
		return 1
	}
}

files_agree() {
	local fields=(frame.len eth.src eth.dst arp.opcode icmp.type icmp.seq icmp.checksum data.data)
	frames "$h1" 'arp || icmp' "${fields[@]}" >of-h1
	frames "$h2" 'arp || icmp' "${fields[@]}" >of-h2
	[ -s of-h1 ] && cmp of-h1 of-h2
}

in_order() {
	local file
	for file in "$h1" "$h2"; do
		frames "$file" frame frame.time_epoch >in-order
		sort -n -c in-order
	done
}

time_is_now() {
	local first
	first=$(frames "$h1" icmp frame.time_epoch | head -n 1)
	first=${first%.*}
	[ $(($(date +%s) - first)) -lt 3600 ] && [ "$first" -le "$(date +%s)" ]
}

checksums_are_true() {
	local file
	in_node h2 'iperf3 -s -D'
	netlab exec h1 -- iperf3 -c 10.0.0.2 -n 100K
	netlab down
	for file in "$h1" "$h2"; do
		expect_match '^[0-9]+$' "$(frames "$file" tcp frame.number | tail -n 1)"
		tshark -n -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -r "$file" \
			-Y 'tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"' 2>/dev/null >bad
		[ ! -s bad ] || fail "$(head bad)"
		expect_equal "$(frames "$file" 'frame.len > 1514' frame.number)" ""
	done
}

owner_only() {
	local file
	for file in "$h1" "$h2"; do
		[ -O "$file" ]
	done
}

without_capture() {
	rm -rf captures
	lab_up --no-capture "$topology"
	netlab exec h1 -- ping -c 1 10.0.0.2
	expect_equal "$(status_of .captures)" null
	expect_equal "$(status_of '.ports[0].capture_file')" null
	netlab down
	[ ! -e captures ]
}

captures_elsewhere() {
	lab_up --captures "$work/else where" "$topology"
	netlab exec h1 -- ping -c 1 10.0.0.2
	netlab down
	[ -s "else where/h1-eth0.pcap" ] || [ -s "else where/two-hosts/h1-eth0.pcap" ]
	[ ! -e captures ]
}

check "two hosts come up" lab_up "$topology"
check "ping" ping
check "captures can be read while the lab runs" readable_while_running
check "status names the files" files_are_said
check "times have nanoseconds" nanoseconds
check "ARP request and reply are on both ports" arp_exchange
check "ICMP echo and reply are on both ports" icmp_exchange
check "both ports saw the same frames in the same order" same_frames
check "times never run backwards" in_order
check "times are the wall clock's" time_is_now
check "frames are as on a wire: true checksums, no longer than the MTU" checksums_are_true
check "files belong to the user" owner_only
check "--no-capture leaves no file" without_capture
check "--captures puts them elsewhere" captures_elsewhere
finish
