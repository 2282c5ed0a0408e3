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

# With a mask that takes nothing away, so that what is closed to others is so by netlab's doing.
up() {
	umask 0
	lab_up "$topology"
}

# A record may be half written whenever a file is read, so that is tried again.
readable_while_running() {
	wait_for has_echo "$h1"
	wait_for has_echo "$h2"
}

has_echo() {
	[ "$(frames "$1" icmp.type==0 frame.number | wc -l)" -ge 3 ]
}

files_are_said() {
	expect_equal "$(status_of .captures)" "$PWD/captures/two-hosts"
	expect_equal "$(status_of '.ports[0].capture_file')" "$PWD/$h1"
	expect_equal "$(status_of '[.ports[].capture_lost] | add')" 0
}

bulk_data() {
	in_node h2 'iperf3 -s -D'
	wait_for listens h2 5201
	netlab exec h1 -- iperf3 -c 10.0.0.2 -n 100K
}

nanoseconds() {
	local file times
	for file in "$h1" "$h2"; do
		# The magic number of pcap files with nanoseconds, in this machine's byte order.
		expect_equal "$(od -An -tx1 -N4 "$file" | tr -d ' ')" 4d3cb2a1
		# Not all times are whole microseconds.
		times=$(frames "$file" 'arp || icmp' frame.time_epoch)
		grep -vq '000$' <<<"$times" || fail "$times"
	done
}

# A guest's kernel looks for doubles of its address, and tells groups that it joins them, before anybody can log in.
from_the_beginning() {
	local host file first
	for host in h1 h2; do
		file=captures/two-hosts/$host-eth0.pcap
		first=$(frames "$file" 'arp || icmp' frame.number | sed -n 1p)
		expect_match '^(135|143)$' \
			"$(frames "$file" "frame.number < $first && ipv6.src == :: && eth.src == $(mac_of "$host")" icmpv6.type)"
	done
}

# mac_of HOST: whose pings are answered, or who answers.
mac_of() {
	local type=8
	[ "$1" = h1 ] || type=0
	frames "$h1" "icmp.type == $type" eth.src | sort -u
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
		expect_equal "$(frames "$file" 'icmp.type == 8 && ip.src == 10.0.0.1' icmp.seq | paste -sd ' ')" "1 2 3"
		expect_equal "$(frames "$file" 'icmp.type == 0 && ip.src == 10.0.0.2' icmp.seq | paste -sd ' ')" "1 2 3"
	done
}

# Those of the pings: at its own times a guest asks whether a neighbour is still there, perhaps while the other goes off.
same_frames() {
	local fields=(frame.len eth.src eth.dst arp.opcode icmp.type icmp.seq icmp.checksum data.data)
	local filter='icmp || (arp && eth.dst == ff:ff:ff:ff:ff:ff)'
	frames "$h1" "$filter" "${fields[@]}" >of-h1
	frames "$h2" "$filter" "${fields[@]}" >of-h2
	[ -s of-h1 ]
	diff of-h1 of-h2
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
	first=$(frames "$h1" icmp frame.time_epoch | sed -n 1p)
	first=${first%.*}
	[ $(($(date +%s) - first)) -lt 3600 ] && [ "$first" -le "$(date +%s)" ]
}

checksums_are_true() {
	local file
	for file in "$h1" "$h2"; do
		[ -n "$(frames "$file" tcp frame.number)" ]
		tshark -n -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -r "$file" \
			-Y 'tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"' 2>/dev/null >bad
		[ ! -s bad ] || fail "$(head bad)"
		expect_equal "$(frames "$file" 'frame.len > 1514' frame.number)" ""
	done
}

owner_only() {
	local path
	for path in "$h1" "$h2" captures/two-hosts captures; do
		[ -O "$path" ]
		expect_equal "$path $(find "$path" -maxdepth 0 -perm /022)" "$path "
	done
}

without_capture() {
	rm -rf captures
	lab_up --no-capture "$topology"
	pings h1 10.0.0.2 1
	expect_equal "$(status_of .captures)" null
	expect_equal "$(status_of '.ports[0].capture_file')" null
	netlab down
	[ ! -e captures ]
}

captures_elsewhere() {
	lab_up --captures "else where" "$topology"
	expect_equal "$(status_of .captures)" "$PWD/else where"
	pings h1 10.0.0.2 1
	netlab down
	expect_equal "$(find "else where" -type f -printf "%f\n" | sort | paste -sd " ")" "h1-eth0.pcap h2-eth0.pcap lab.pcapng"
	[ -n "$(frames "else where/h1-eth0.pcap" icmp frame.number)" ]
	[ ! -e captures ]
}

check "two hosts come up" up
check "ping" pings h1 10.0.0.2
check "captures can be read while the lab runs" readable_while_running
check "status names the files" files_are_said
check "bulk data" bulk_data
check "down" lab_down
check "times have nanoseconds" nanoseconds
check "captures begin with the guest's first frames" from_the_beginning
check "ARP request and reply are on both ports" arp_exchange
check "ICMP echo and reply are on both ports" icmp_exchange
check "both ports saw the same frames in the same order" same_frames
check "times never run backwards" in_order
check "times are the wall clock's" time_is_now
check "frames are as on a wire: true checksums, no longer than the MTU" checksums_are_true
check "files belong to the user, and nobody else may write them" owner_only
check "--no-capture leaves no file" without_capture
check "--captures puts them elsewhere" captures_elsewhere
finish
