#!/usr/bin/env bash
# Bulk data between guests: TCP through a link arrives whole.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

iperf() {
	local output bits
	in_node h2 'iperf3 -s -D'
	wait_for listens h2 5201
	output=$(netlab exec h1 -- iperf3 -c 10.0.0.2 -t 10 -J)
	bits=$(jq .end.sum_received.bits_per_second <<<"$output") || fail "$output"
	echo "$bits bit/s"
	jq -e '.end.sum_received.seconds >= 9 and .end.sum_received.bytes > 0' <<<"$output" >/dev/null
}

http() {
	# From here: making 20 MB takes minutes in a guest whose kernel is emulated.
	random_file file 20971520
	netlab exec h1 -- mkdir /tmp/www
	netlab cp file h1:/tmp/www/file
	netlab exec h1 -- httpd -h /tmp/www
	wait_for listens h1 80
	expect_equal "$(in_node h2 'wget -q -O - http://10.0.0.1/file | sha256sum' | cut -d ' ' -f 1)" "$(sum_of file)"
}

fragments() {
	in_node h1 'ping -c 3 -i 2 -W 60 -s 8000 10.0.0.2'
	in_node h1 'ping -c 3 -i 2 -W 60 -s 8000 fd00::2'
}

# Frames may be on their way while the status is made.
counters() {
	wait_for all_accounted_for
	[ "$(port_status h1:eth0 .tx_bytes)" -gt 20971520 ]
}

# Whatever did not get from one end to the other was dropped at a port, and counted there.
all_accounted_for() {
	netlab status --format json >counters
	jq .ports counters
	jq -e '.ports |
		(.[0].tx_frames == .[1].rx_frames + ([.[1].drops[]?] | add // 0)) and
		(.[1].tx_frames == .[0].rx_frames + ([.[0].drops[]?] | add // 0))' counters
}

captures_are_whole() {
	local port file lost frames
	have capinfos || skip "no capinfos"
	for port in h1-eth0 h2-eth0; do
		file=captures/bulk/$port.pcap
		lost=$(jq -r --arg name "${port/-/:}" '.ports[] | select(.name == $name) | .capture_lost' before-down)
		frames=$(jq -r --arg name "${port/-/:}" '.ports[] | select(.name == $name) | .tx_frames + .rx_frames' before-down)
		echo "$port: $frames frames, $lost lost"
		# The guests may have sent a last frame between the status and the end.
		[ "$(capinfos -Mc "$file" | awk '/Number of packets/ { print $NF }')" -ge $((frames - lost)) ]
	done
}

down() {
	netlab status --format json >before-down
	lab_down
}

# The initramfs and the file live in the guest's memory, twice where it is sent.
cat >bulk.yaml <<'Y'
name: bulk
defaults: {memory: 192M}
nodes: [h1, h2]
links:
  - endpoints: [h1, h2]
    ip: [[10.0.0.1/24, "fd00::1/64"], [10.0.0.2/24, "fd00::2/64"]]
Y

check "two hosts come up" lab_up bulk.yaml
check "iperf3 runs 10 s through a link" iperf
check "20 MB over HTTP arrive whole" http
check "pings larger than the wire" fragments
check "every frame is accounted for" counters
check "down" down
check "the captures hold what the counters say" captures_are_whole
finish
