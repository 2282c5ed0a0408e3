#!/usr/bin/env bash
# netlab capture: frames of a running lab as they cross, to files and pipes; many readers at once, slow ones, and ones that go.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq tshark
need_image

# topology [LINK]: guests that say nothing of themselves, and a recorder that a stopped reader soon falls behind.
topology() {
	cat >topology.yaml <<-END
		name: live
		capture: {recorder: 8M}
		nodes:
		  h1: {sysctl: {net.ipv6.conf.all.disable_ipv6: 1}}
		  h2: {sysctl: {net.ipv6.conf.all.disable_ipv6: 1}}
		networks: [lan]
		links:
		  - {endpoints: [h1, lan], ip: 10.0.0.1/24}
		  - {endpoints: [h2, lan], ip: 10.0.0.2/24}
		  - {endpoints: [h1, h2], ip: [10.0.1.1/24, 10.0.1.2/24]}
		$*
	END
}

# A thousand frames of 1400 bytes in one second, for a station that is not there.
make_load() {
	local i time body zeros
	printf -v zeros '%1386s' ''
	body='\x52\x54\0\x77\x77\x77\x52\x54\0\x88\x88\x88\x88\xb5'${zeros// /'\0'}
	printf '\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0'
	for ((i = 0; i < 1000000; i += 1000)); do
		printf -v time '\\x%02x\\x%02x\\x%02x\\0' $((i & 255)) $((i >> 8 & 255)) $((i >> 16))
		# shellcheck disable=SC2059 # The bytes are escapes of the format.
		printf "\\1\\0\\0\\0$time\\x78\\x05\\0\\0\\x78\\x05\\0\\0$body"
	done
}

comes_up() {
	make_load >load.pcap
	topology
	lab_up topology.yaml
}

# ---- Readers ---------------------------------------------------------------------------------------------------------

# start NAME ARGUMENTS...: netlab capture to NAME.pcapng, in the background; its number is in pid[NAME].  What is not
# finished when a check ends is killed.
declare -A pid=()
start() {
	local name=$1
	shift
	trap 'kill -KILL "${pid[@]}" 2>/dev/null || true' EXIT
	"$bin/netlab" capture "$@" -w "$name.pcapng" 2>"$name.said" &
	pid[$name]=$!
	# Opened when netlabd has said yes.
	wait_for test -e "$name.pcapng"
}

# finish_reader NAME [SAYS]: waits until it has ended, and expects that it lost nothing, and had SAYS frames.
finish_reader() {
	local status=0
	wait "${pid[$1]}" || status=$?
	unset "pid[$1]"
	[ "$status" = 0 ] || fail "$1 ended with $status: $(cat "$1.said")"
	expect_match "^${2-[0-9]+} frames?, 0 lost to this capture$" "$(cat "$1.said")"
}

# interrupt NAME [SAYS]: the same, by Ctrl-C.
interrupt() {
	kill -INT "${pid[$1]}"
	finish_reader "$@"
}

# count FILE [FILTER]: frames in it.
count() {
	frames "$1" "${2-frame}" frame.number | wc -l
}

interfaces() {
	frames "$1" frame frame.interface_name | sort -u | paste -sd ' '
}

# ---- Which frames ----------------------------------------------------------------------------------------------------

one_port() {
	start one h2:eth0
	pings h1 10.0.0.2 3
	pings h1 10.0.1.2 1
	interrupt one
	expect_equal "$(count one.pcapng icmp)" 6
	expect_equal "$(interfaces one.pcapng)" h2:eth0
	expect_equal "$(count one.pcapng 'icmp.type == 8 && frame.packet_flags_direction == 1')" 3
}

a_node_is_its_ports() {
	start node live/h2 -f icmp
	pings h1 10.0.0.2 1
	pings h1 10.0.1.2 1
	interrupt node 4
	expect_equal "$(interfaces node.pcapng)" "h2:eth0 h2:eth1"
}

all_ports() {
	start all --all --filter icmp --snaplen 60
	pings h1 10.0.0.2 1
	pings h1 10.0.1.2 1
	interrupt all 8
	expect_equal "$(interfaces all.pcapng)" "h1:eth0 h1:eth1 h2:eth0 h2:eth1"
	expect_equal "$(frames all.pcapng frame frame.cap_len | sort -u)" 60
	# A frame has one id wherever it crosses.
	expect_equal "$(frames all.pcapng frame frame.packet_id | sort | uniq -c | awk '{ print $1 }' | sort -u)" 2
	expect_match "^ *Number of stat entries = 1$" "$(capinfos all.pcapng)"
}

as_many_as_wanted() {
	start some h1:eth0 -f icmp -c 3
	pings h1 10.0.0.2 3
	finish_reader some 3
	expect_equal "$(count some.pcapng)" 3
	expect_match '^0 frames, 0 lost' "$(netlab capture --all -f 'udp port 9' -d 100ms -w none.pcapng 2>&1)"
	expect_equal "$(netlab capture h1 -d 100ms -f 'udp port 9' -w none.pcapng --format json | jq -c .)" \
		'{"file":"none.pcapng","files":1,"frames":0,"lost":0}'
}

what_was_before() {
	netlab exec h1 -- ping -c 2 -i 0.2 -W 60 -s 777 10.0.0.2
	expect_equal "$(netlab capture h1 -f 'icmp and len == 819' --last all -w last.pcapng 2>&1)" \
		"4 frames, 0 lost to this capture"
	expect_equal "$(netlab capture -f 'icmp and len == 819' --last all -w last.pcapng 2>&1)" \
		"8 frames, 0 lost to this capture"
	expect_equal "$(netlab capture h1 -f 'icmp and len == 819' --last 1h | tshark -r - -Y icmp.type==0 2>/dev/null | wc -l)" 2
}

around_a_frame() {
	start trigger h1:eth0 --trigger 'icmp[icmptype] = icmp-echo and len == 942' --before 1h --after 1s
	netlab exec h1 -- ping -c 1 -W 60 -s 900 10.0.0.2
	finish_reader trigger
	expect_equal "$(count trigger.pcapng 'icmp.type == 8 && frame.len == 942')" 1
	expect_equal "$(count trigger.pcapng 'frame.len == 819')" 4
}

# ---- Where to --------------------------------------------------------------------------------------------------------

to_a_pipe() {
	local pings
	netlab exec -n h1 -- ping -i 0.5 10.0.0.2 >/dev/null &
	pings=$!
	expect_equal "$(netlab capture h1 -f icmp -c 4 2>said | tshark -r - 2>/dev/null | wc -l)" 4
	# Who reads no more ends it, quietly, even within a block.
	netlab capture h1 2>said | head -c 500 >part
	expect_equal "${PIPESTATUS[*]}" "0 0"
	expect_equal "$(cat said)" ""
	expect_equal "$(wc -c <part)" 500
	# And when no frame comes that could not be written.
	netlab capture h1 -f 'udp port 9' 2>said | head -c 8 >part
	expect_equal "${PIPESTATUS[*]} $(cat said)" "0 0 "
	kill "$pings"
	wait "$pings" || true
}

a_series_of_files() {
	local file
	"$bin/netlab" capture h1 -f icmp -c 60 -w series.pcapng --rotate-size 3K --rotate-files 3 2>series.said &
	pid[series]=$!
	trap 'kill -KILL "${pid[@]}" 2>/dev/null || true' EXIT
	wait_for compgen -G 'series_00001_*.pcapng'
	netlab exec h1 -- ping -c 35 -i 0.05 -W 60 10.0.0.2
	finish_reader series 60
	expect_equal "$(compgen -G 'series_*.pcapng' | wc -l)" 3
	for file in series_*.pcapng; do
		[ "$(wc -c <"$file")" -le 3072 ]
		expect_equal "$(interfaces "$file")" h1:eth0
		expect_match "10\.0\.0\.2.h2|IPv4 addresses in file: [1-9]" "$(capinfos "$file")"
	done
	! compgen -G 'series_00001_*' || fail "the first is there still"
}

# A limit of the kernel stands for a disk that is full.
a_full_disk() {
	local status=0
	netlab exec h1 -- ping -c 20 -i 0.05 -W 60 10.0.0.2
	(
		ulimit -f 2
		"$bin/netlab" capture --all --last all -w full.pcapng
	) 2>said || status=$?
	expect_equal "$status" 1
	expect_match '^netlab: full\.pcapng: File too large; it has the capture up to there, [0-9]+ frames?$' "$(cat said)"
	expect_equal "$(count full.pcapng)" "$(sed 's/.*there, \([0-9]*\) frame.*/\1/' said)"
	expect_status 1 netlab capture --all --last all -w nowhere/file.pcapng 2>said
	expect_match 'nowhere/file.pcapng: No such file' "$(cat said)"
}

# ---- What is wrong ---------------------------------------------------------------------------------------------------

# says STATUS PATTERN ARGUMENTS...: netlab capture ends with it, and says so.
says() {
	local wanted=$1 pattern=$2
	shift 2
	expect_status "$wanted" netlab capture "$@" >/dev/null 2>said
	expect_match "$pattern" "$(cat said)"
}

bad_requests() {
	echo mine >precious.pcapng
	says 1 'there is no port "h1:eth4"; did you mean h1:eth[01]\?' h1:eth4 -w precious.pcapng
	says 1 'there is no port "h9"' h9
	says 2 'filter "tcp prot 80" cannot be compiled: .*syntax error' -f 'tcp prot 80' --all -w precious.pcapng
	says 2 'either ports, such as h1:eth0, or --all' --all h1
	says 2 '"30" needs a unit' --all --last 30
	says 2 'one of the two' --all --last 30s --trigger icmp
	says 2 'go with --trigger' --all --before 1s
	says 2 'needs a name: -w FILE' --all --rotate-size 1M
	says 2 'goes with --rotate-size' --all --rotate-files 3 -w x.pcapng
	says 2 'needs -w FILE' --all --format json
	says 1 'lab nowhere is not running' nowhere/h1
	expect_equal "$(cat precious.pcapng)" mine
	expect_equal "$(compgen -G 'x.pcapng*')" ""
}

not_to_a_terminal() {
	have script || skip "no script(1)"
	local status=0
	script -qec "$bin/netlab capture --all" /dev/null >said || status=$?
	expect_equal "$status" 2
	expect_match 'write it with -w FILE, or hand it on with "\| wireshark -k -i -"' "$(cat said)"
}

# ---- Many at once ----------------------------------------------------------------------------------------------------

# What a capture of all ports has of what crossed until now.
crossings() {
	status_of '[.ports[] | .tx_frames + .rx_frames + .drops["receive-ring-full"] + .drops["not-ready"] +
		.drops["too-long"] + .drops.mtu] | add'
}

load_is_over() {
	expect_equal "$(status_of '.attachments[] | select(.name == "pcap:load") | .state')" "done"
}

# between LOW NUMBER HIGH
between() {
	if [ "$2" -lt "$1" ] || [ "$2" -gt "$3" ]; then
		fail "$2 is not from $1 to $3"
	fi
}

# Frames come from a capture that is plugged in while they read, and from guests.  What comes between two lookings at
# the counters may or may not be in a capture.
ten_readers() {
	local before begun over after name frames lost said
	before=$(crossings)
	for name in {1..9} stopped gone; do
		start "$name" --all --snaplen 64
	done
	begun=$(crossings)
	kill -STOP "${pid[stopped]}" "${pid[gone]}"
	topology '  - {endpoints: [lan, {pcap: load.pcap, loop: 20}]}'
	netlab up --yes
	netlab exec h1 -- ping -c 20 -i 0.2 -W 60 10.0.1.2
	wait_for load_is_over
	kill -KILL "${pid[gone]}"
	unset 'pid[gone]'
	over=$(crossings)
	between 60000 $((over - begun)) 1000000
	kill -CONT "${pid[stopped]}"
	kill -INT "${pid[@]}"
	wait "${pid[@]}"
	pid=()
	after=$(crossings)
	for name in {1..9} stopped; do
		read -r frames _ lost _ <"$name.said"
		between $((over - begun)) $((frames + lost)) $((after - before))
		expect_equal "$(capinfos -Mc "$name.pcapng" | sed -n 's/^Number of packets: *//p')" "$frames"
		if [ "$name" = stopped ]; then
			[ "$lost" -gt 0 ] || fail "the one that was stopped lost nothing"
			# Frames say so, but for what is missing after the last one of a port.
			said=$(frames stopped.pcapng 'frame.drop_count > 0' frame.drop_count | awk '{ sum += $1 } END { print sum }')
			between 1 "$said" "$lost"
		else
			expect_equal "$lost" 0
		fi
	done
	pings h1 10.0.0.2 1
	expect_equal "$(status_of '[.ports[].capture_lost] | add')" 0
}

ends_with_the_lab() {
	start end --all
	netlab down
	finish_reader end
	count end.pcapng
}

check "the lab comes up" comes_up
check "what crosses one port" one_port
check "a node stands for its ports" a_node_is_its_ports
check "all ports, filtered and cut short" all_ports
check "so many frames, or so long" as_many_as_wanted
check "what crossed before" what_was_before
check "what is around a frame" around_a_frame
check "to a pipe, whose reader may go" to_a_pipe
check "a series of files, each whole, the oldest removed" a_series_of_files
check "a full disk, and a file that cannot be" a_full_disk
check "what is wrong is said, and costs no file" bad_requests
check "not to a terminal" not_to_a_terminal
check "ten readers, one of them stopped, one killed: the others lose nothing" ten_readers
check "a capture ends with its lab" ends_with_the_lab
finish
