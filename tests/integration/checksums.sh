#!/usr/bin/env bash
# A capture shows what a wire carried: 100 MB between two network namespaces cross a lab, whole, and every frame of it is
# in the lab's capture, in its order and with the checksums it had.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool busybox ip jq tshark
need_image
[ "$(id -u)" -eq 0 ] || skip_rest "only root can make the network namespaces of this test"
[ -e /dev/net/tun ] || skip_rest "no /dev/net/tun"

bytes=100000000
client=nlc$$
server=nls$$

end_world() {
	clean_up
	ip netns delete "$client" 2>/dev/null || true
	ip netns delete "$server" 2>/dev/null || true
}
trap end_world EXIT

# address NAMESPACE ADDRESS
address() {
	ip netns exec "$1" ip address add "$2/24" dev eth0
	ip netns exec "$1" ip link set eth0 up
}

comes_up() {
	ip netns add "$client"
	ip netns add "$server"
	cat >topology.yaml <<-END
		name: checksums
		nodes: [h1]
		networks: [lan]
		links:
		  - {endpoints: [h1, lan], ip: 10.0.0.1/24}
		  - {endpoints: [lan, {netns: $client}]}
		  - {endpoints: [lan, {netns: $server}]}
	END
	lab_up topology.yaml
	address "$client" 10.0.0.2
	address "$server" 10.0.0.3
}

server_listens() {
	[ -n "$(ip netns exec "$server" ss -Hltn 'sport = :99')" ]
}

transfer() {
	local pid
	random_file sent "$bytes"
	mkfifo nothing # It ends when the other one does, and not for want of input of its own.
	ip netns exec "$server" busybox nc -l -p 99 >received <>nothing &
	pid=$!
	wait_for server_listens
	ip netns exec "$client" busybox nc 10.0.0.3 99 <sent
	wait "$pid"
	expect_equal "$(sum_of received)" "$(sum_of sent)"
	rm sent received
}

# ask FILTER FIELD: what tshark has of the capture's frames, one a line, after a look at all checksums.  It is not to
# follow the connection: of each segment, which is there twice, it would look for the first among all before it.
ask() {
	tshark -n -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -o tcp.analyze_sequence_numbers:FALSE \
		-o tcp.desegment_tcp_streams:FALSE -r captures/checksums/lab.pcapng -Y "$1" -T fields -e "$2" 2>said || fail "tshark: $(cat said)"
}

# What the ports of the namespaces counted, as the last status had it.
crossings() {
	jq '[.ports[] | select(.name | startswith("netns:")) | .tx_frames + .rx_frames + ([.drops[]] | add // 0)] | add' counters
}

nothing_is_missing() {
	netlab status --format json >counters
	netlab down
	expect_equal "$(jq '[.ports[].capture_lost] | add' counters)" 0
	ask 'frame.interface_name matches "^netns:"' frame.number >numbers
	# A last neighbour discovery may come after the status.
	[ "$(wc -l <numbers)" -ge "$(crossings)" ] || fail "$(wc -l <numbers) frames in the capture, $(crossings) counted"
}

# Linux writes a sum of zero as 0xffff, which is the same number in one's complement, and not to tshark.
sums_are_right() {
	ask 'tcp.checksum.status == "Good"' frame.number >good
	[ "$(wc -l <good)" -gt $((2 * bytes / 1460)) ] || fail "only $(wc -l <good) checksums were looked at"
	expect_equal "$(ask '(tcp.checksum.status == "Bad" && tcp.checksum != 0xffff) || ip.checksum.status == "Bad"' frame.number)" ""
}

time_goes_on() {
	expect_equal "$(ask 'frame.time_delta < 0' frame.number)" ""
	ask tcp frame.time_epoch >epochs
	sort -c -n epochs
}

check "two namespaces are on a network" comes_up
check "100 MB arrive whole" transfer
check "the capture lacks no frame" nothing_is_missing
check "no checksum is bad" sums_are_right
check "no frame is earlier than the one before" time_goes_on
finish
