#!/usr/bin/env bash
# Ends of links that lead out of a lab: a QEMU process joins by sockets, two labs by UDP and VXLAN, a capture is replayed;
# and nothing of it is left.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq ss tshark
need_image

# Snapshots of its own; images are where they were.
mkdir -p "$work/data/netlab-kvm"
ln -s "$(dirname "$image")" "$work/data/netlab-kvm/images"
export XDG_DATA_HOME=$work/data

# free_port: a UDP port that nobody has.
free_port() {
	local port
	while port=$((20000 + RANDOM % 20000)); do
		[ -n "$(ss -Hltnu "sport = :$port")" ] || break
	done
	echo "$port"
}

# Of each lab, for UDP and for VXLAN.
udp=("$(free_port)" "$(free_port)")
vxlan=("$(free_port)" "$(free_port)")

stop_qemu() {
	local pid
	pid=$(cat "$work/qemu.pid" 2>/dev/null) || return 0
	kill -KILL "$pid" 2>/dev/null || true
	rm -f "$work/qemu.pid"
}
trap 'stop_qemu; clean_up' EXIT

# ---- A capture -------------------------------------------------------------------------------------------------------

frame_count=100

# word NUMBER: 32 bits, little endian.
word() {
	# shellcheck disable=SC2059  # The format is four bytes in octal.
	printf "$(printf '\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24)))"
}

# Frames of all lengths from 60 to 1,500 bytes for everybody, 5 ms apart, with contents at random.
make_trace() {
	local i size
	{
		word $((0xa1b2c3d4))
		word $((2 | 4 << 16))
		word 0
		word 0
		word 65535
		word 1
		for ((i = 0; i < frame_count; i++)); do
			size=$((60 + i * 1440 / frame_count))
			word 1700000000
			word $((i * 5000))
			word $size
			word $size
			printf '\377\377\377\377\377\377\002\000\000\000\000\252\210\265'
			head -c $((size - 14)) /dev/urandom
		done
	} >trace.pcap
}

# bytes_of FILE: of the frames of the trace, in their order.
bytes_of() {
	tshark -n -r "$1" -Y 'eth.src == 02:00:00:00:00:aa' -x 2>/dev/null
}

# has_the_trace FILE: all of it, and what is in the file "sent".
has_the_trace() {
	bytes_of "$1" | cmp sent -
}

# ---- Labs ------------------------------------------------------------------------------------------------------------

# one SOCKET: writes the first lab, which QEMU joins there.
one() {
	cat >one/topology.yaml <<-END
		name: one
		nodes: [h1]
		networks: {lan: }
		links:
		  - {endpoints: [h1, lan], ip: 10.0.0.1/24}
		  - endpoints: [lan, {socket: $1, name: qemu}]
		  - {endpoints: [h1, {socket: here.sock, type: dgram, remote: qemu.sock}], ip: 10.0.1.1/24}
		  - endpoints: [h1, {udp: {remote: "127.0.0.1:${udp[1]}", local: "127.0.0.1:${udp[0]}"}}]
		    ip: 10.0.2.1/24
		  - endpoints: [h1, {vxlan: {remote: 127.0.0.1, port: ${vxlan[1]}, vni: 42, local: "127.0.0.1:${vxlan[0]}"}}]
		    ip: 10.0.3.1/24
		    mtu: 1450
		  - endpoints: [h1, {pcap: ../trace.pcap, speed: 2x}]
	END
}

two() {
	cat >two/topology.yaml <<-END
		name: two
		nodes: [h1]
		links:
		  - endpoints: [h1, {udp: {remote: "127.0.0.1:${udp[0]}", local: "127.0.0.1:${udp[1]}"}}]
		    ip: 10.0.2.2/24
		  - endpoints: [h1, {vxlan: {remote: 127.0.0.1, port: ${vxlan[0]}, vni: 42, local: "127.0.0.1:${vxlan[1]}"}}]
		    ip: 10.0.3.2/24
		    mtu: 1450
	END
}

# state_of PORT [LAB]
state_of() {
	status_of ".attachments[] | select(.name == \"$1\") | .state" "${2-one}"
}

is_in_state() {
	expect_equal "$(state_of "$1")" "$2"
}

comes_up() {
	mkdir one two
	make_trace
	one lab.sock
	two
	lab_up one/topology.yaml
	expect_equal "$(state_of socket:qemu)" listening
	expect_equal "$(state_of udp:127.0.0.1)" open
	expect_match "^socket:qemu +listening +lan +$work/one/lab\.sock$" "$(netlab status)"
	expect_match '^socket:qemu +0 ' "$(netlab status)"
	[ -S one/lab.sock ] && [ -S one/here.sock ]
}

trace_arrives() {
	wait_for is_in_state pcap:trace "done"
	expect_equal "$(status_of '.attachments[] | select(.kind == "pcap") | .detail')" "$frame_count/$frame_count"
	expect_equal "$(port_status pcap:trace .tx_frames)" "$frame_count"
	bytes_of trace.pcap >sent
	[ -s sent ]
	wait_for has_the_trace captures/one/h1-eth4.pcap
	wait_for has_the_trace captures/one/pcap-trace.pcap
}

# ---- QEMU ------------------------------------------------------------------------------------------------------------

need_qemu() {
	local tool
	for tool in qemu-system-x86_64 cpio busybox; do
		have "$tool" || skip "no $tool"
	done
}

# A guest that is nothing but busybox, with an address on each of its two wires.
make_guest() {
	mkdir -p guest/bin
	cp "$(command -v busybox)" guest/bin/busybox
	cat >guest/init <<-'END'
		#!/bin/busybox sh
		/bin/busybox ip link set lo up
		/bin/busybox ip address add 10.0.0.9/24 dev eth0
		/bin/busybox ip address add 10.0.1.9/24 dev eth1
		/bin/busybox ip link set eth0 up
		/bin/busybox ip link set eth1 up
		echo "the guest of QEMU is up"
		while :; do /bin/busybox sleep 1000; done
	END
	chmod 755 guest/init
	(cd guest && find . -mindepth 1 -printf '%P\n' | sort | cpio -o -H newc --quiet) >guest.cpio
}

# start_qemu SOCKET: docs/topology.md has these options.
start_qemu() {
	qemu-system-x86_64 -accel tcg -m 96 -nographic -no-reboot -nodefaults -serial "file:$work/console" \
		-kernel "$image/$(sed -n 's/^kernel: *//p' "$image/image.yaml")" -initrd guest.cpio \
		-append "console=ttyS0 loglevel=4 panic=-1" \
		-netdev "stream,id=n0,server=off,addr.type=unix,addr.path=$1" \
		-device virtio-net-pci,netdev=n0,romfile= \
		-netdev "dgram,id=n1,local.type=unix,local.path=$work/one/qemu.sock,remote.type=unix,remote.path=$work/one/here.sock" \
		-device virtio-net-pci,netdev=n1,romfile= </dev/null >"$work/qemu.log" 2>&1 &
	echo $! >"$work/qemu.pid"
	wait_for is_in_state socket:qemu connected
}

guest_is_up() {
	kill -0 "$(cat "$work/qemu.pid")" || fail "$(cat "$work/qemu.log")"
	grep -q "the guest of QEMU is up" "$work/console"
}

qemu_joins() {
	need_qemu
	make_guest
	start_qemu "$work/one/lab.sock"
	wait_for guest_is_up
	pings h1 10.0.0.9 1
}

qemu_joins_by_datagrams() {
	need_qemu
	pings h1 10.0.1.9 1
}

qemu_is_killed() {
	need_qemu
	stop_qemu
	wait_for is_in_state socket:qemu listening
}

# Its network is what it was, the node does not notice, and QEMU finds the new path.
socket_moves() {
	local since
	since=$(status_of '.nodes[0].since' one)
	one moved.sock
	expect_match 'attachment socket:qemu \(.*/lab.sock -> .*/moved.sock\)' "$(netlab up --yes one/topology.yaml)"
	expect_equal "$(status_of '.nodes[0].since' one)" "$since"
	[ -S one/moved.sock ] && [ ! -e one/lab.sock ]
}

qemu_comes_back() {
	need_qemu
	rm -f console
	start_qemu "$work/one/moved.sock"
	wait_for guest_is_up
	pings h1 10.0.0.9 1
	stop_qemu
}

# ---- Two labs --------------------------------------------------------------------------------------------------------

udp_joins_labs() {
	lab_up two/topology.yaml
	expect_match '1 (packets )?received' "$(netlab exec --lab two h1 -- ping -c 1 -W 60 -s 1472 10.0.2.1)"
}

vxlan_joins_labs() {
	expect_match '1 (packets )?received' "$(netlab exec --lab two h1 -- ping -c 1 -W 60 -s 1422 10.0.3.1)"
	netlab down two
}

# ---- The end ---------------------------------------------------------------------------------------------------------

# up_fails PATTERN: a lab with the socket "taken" cannot be started, and nothing is left of the attempt.
up_fails() {
	mkdir -p three
	cat >three/topology.yaml <<-END
		name: three
		nodes: [h1]
		links: [{endpoints: [h1, {socket: ../taken}]}]
	END
	expect_status 1 netlab up three/topology.yaml 2>errors
	expect_match "$1" "$(cat errors)"
	expect_equal "$(netlab list --format json | jq length)" 1
}

taken_paths() {
	echo mine >taken
	up_fails "is there, and is no socket"
	expect_equal "$(cat taken)" mine
	rm taken
	ln -s one/moved.sock taken
	up_fails "is there, and is no socket"
	rm taken
	ln one/moved.sock taken
	up_fails "another program, or another lab, has the socket"
	rm taken
}

# What cannot be opened while the lab runs is told, and tried again.
fails_and_is_tried_again() {
	echo mine >one/blocked.sock
	one blocked.sock
	expect_status 1 netlab up --yes one/topology.yaml
	expect_equal "$(state_of socket:qemu)" failed
	expect_match '^socket:qemu +failed .*/blocked.sock is there, and is no socket' "$(netlab status)"
	rm one/blocked.sock
	expect_match 'attachment socket:qemu \(it has failed\)' "$(netlab up --yes one/topology.yaml)"
	expect_equal "$(state_of socket:qemu)" listening
}

# The new one has what the old one had.
is_renamed() {
	one moved.sock
	netlab up --yes one/topology.yaml
	sed -i 's/name: qemu/name: vmm/' one/topology.yaml
	netlab up --yes one/topology.yaml
	expect_equal "$(status_of '[.attachments[] | select(.kind == "socket") | .name + " " + .state] | join(", ")')" \
		"socket:vmm listening, socket:here open"
	one moved.sock
	netlab up --yes one/topology.yaml
}

# A snapshot has the capture in it, and its sockets are where they were.
goes_on_from_a_snapshot() {
	netlab snapshot save before
	netlab down
	[ ! -e one/moved.sock ] && [ ! -e one/here.sock ]
	mv trace.pcap away.pcap
	lab_up --from before
	[ -S one/moved.sock ] && [ -S one/here.sock ]
	wait_for is_in_state pcap:trace "done"
	mv away.pcap trace.pcap
}

is_replaced_after_a_kill() {
	local pid
	pid=$(daemon_pid one)
	kill -KILL "$pid"
	wait_for no_daemons
	[ -S one/moved.sock ]
	lab_up one/topology.yaml
	expect_equal "$(state_of socket:qemu)" listening
}

nothing_is_left() {
	netlab down
	wait_for no_daemons
	[ ! -e one/moved.sock ] && [ ! -e one/here.sock ]
	expect_equal "$(ss -Hlun "sport = :${udp[0]} or sport = :${vxlan[0]}")" ""
}

check "a lab with ends that lead out comes up" comes_up
check "a capture is replayed frame for frame" trace_arrives
check "a QEMU guest joins by a stream socket" qemu_joins
check "and by a datagram socket" qemu_joins_by_datagrams
check "its end is noticed" qemu_is_killed
check "the socket is moved while the lab runs" socket_moves
check "and QEMU comes back" qemu_comes_back
check "two labs are joined by UDP" udp_joins_labs
check "and by VXLAN" vxlan_joins_labs
check "paths that are taken are an error before anything starts" taken_paths
check "an end that cannot be opened is told, and tried again" fails_and_is_tried_again
check "an end is renamed" is_renamed
check "a lab goes on from a snapshot" goes_on_from_a_snapshot
check "a socket that a killed netlabd left behind is replaced" is_replaced_after_a_kill
check "nothing is left" nothing_is_left
finish
