#!/usr/bin/env bash
# The capture of the whole lab: what is in it, that it agrees with all counters, and what is left of it when something
# goes wrong.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq tshark capinfos editcap mergecap
need_image

file=captures/story/lab.pcapng

# Frames of more than 1500 bytes die at h2.
cat >story.yaml <<'Y'
name: story
nodes: {h1: , h2: , h3: }
networks: [lan]
capture: {events: on}
links:
  - endpoints:
      - {node: h1, ip: 10.0.0.1/24, mtu: 9000}
      - {node: h2, ip: 10.0.0.2/24}
  - endpoints: [{node: h1, ip: 10.0.1.1/24}, lan]
  - endpoints: [{node: h3, ip: 10.0.1.3/24}, lan]
Y

# readers_say COMMAND...: what it says, and fails when it warns of anything.
readers_say() {
	"$@" 2>errors || fail "$(cat errors)"
	grep -v '^Running as user' errors >warnings || true
	[ ! -s warnings ] || fail "$(cat warnings)"
}

# lab_frames FILTER FIELD...
lab_frames() {
	local filter=$1 field arguments=()
	shift
	for field; do arguments+=(-e "$field"); done
	readers_say tshark -N n -r "$file" -Y "$filter" -T fields "${arguments[@]}"
}

interfaces_have_names() {
	readers_say capinfos -M "$file" >info
	expect_match 'Capture application: netlab' "$(cat info)"
	expect_match 'Capture oper-sys: +Linux' "$(cat info)"
	expect_match 'Capture hardware: +KVM: ' "$(cat info)"
	expect_match 'lab=story' "$(cat info)"
	expect_match 'Number of interfaces in file: 4' "$(cat info)"
	expect_match 'Name = h1:eth1' "$(cat info)"
	expect_match 'Description = link to h2:eth0' "$(cat info)"
	expect_match 'Description = network lan' "$(cat info)"
}

# Of each port that has sent or received, once.
has_statistics() {
	readers_say capinfos -M "$file" >info
	[ "$(grep -c 'Number of stat entries = 1' info)" = 4 ]
}

addresses_have_names() {
	expect_equal "$(lab_frames 'icmp.type == 8 && ip.dst == 10.0.0.2' ip.src_host ip.dst_host | sort -u)" \
		"h1	h2"
}

# Out at h1 and in at h2, with one id and at one time.
frames_have_ids_and_directions() {
	lab_frames 'icmp.type == 8 && ip.dst == 10.0.0.2 && icmp.seq == 1 && frame.len < 200' \
		frame.interface_name frame.packet_flags_direction frame.packet_id frame.time_epoch >ping
	expect_equal "$(cut -f 1,2 ping | paste -sd ' ')" "h1:eth0	0x00000002 h2:eth0	0x00000001"
	expect_equal "$(cut -f 3,4 ping | sort -u | wc -l)" 1
	# No two frames have one id.
	expect_equal "$(lab_frames 'frame.packet_flags_direction == 2' frame.packet_id | sort | uniq -d)" ""
}

time_goes_on() {
	expect_equal "$(lab_frames 'frame.time_delta < 0' frame.number)" ""
}

too_long_frames_die() {
	netlab exec h1 -- ping -c 3 -i 0.2 -W 1 -s 3000 -M "do" 10.0.0.2 || true
	wait_for drops_are_told
}

drops_are_told() {
	[ "$(lab_frames 'frame.comment contains "drop=mtu"' frame.interface_name frame.packet_flags_direction | sort |
		uniq -c | tr -s ' ')" = " 3 h2:eth0	0x00000001" ]
}

drops_say_why() {
	lab_frames 'frame.comment contains "drop="' frame.comment frame.verdict.hw >why
	expect_match '^netlab: drop=mtu size=3042 limit=1500' "$(cat why)"
	expect_equal "$(cut -f 2 why | grep -c .)" "$(wc -l <why)"
}

nobody_there() {
	in_node h3 'ip neighbour replace 10.0.1.77 lladdr 02:00:00:00:00:77 dev eth0; ping -c 2 -i 0.2 -W 1 10.0.1.77 || true'
	# It is flooded, and h1 filters it: it arrived.
	[ "$(lab_frames 'eth.dst == 02:00:00:00:00:77 && frame.packet_flags_direction == 1' frame.interface_name |
		sort | uniq -c | tr -s ' ')" = " 2 h1:eth1" ]
}

bulk_data() {
	in_node h2 'iperf3 -s -D'
	wait_for listens h2 5201
	netlab exec h1 -- iperf3 -c 10.0.0.2 -n 3M
}

# Of a quiet lab: ports, files and guests count the same.
counts() {
	local port node interface
	status_of '.ports[] | [.name, .tx_frames, .rx_frames, ([.drops[]] | add // 0)] | @tsv' >by-status
	lab_frames frame frame.interface_name frame.packet_flags_direction frame.comment >all
	awk -F '\t' '
		{ died = $3 ~ /drop=/ }
		$2 ~ /2$/ { sent[$1]++ }
		$2 ~ /1$/ && !died { received[$1]++ }
		died { dropped[$1]++ }
		{ names[$1] }
		END { for (name in names) printf "%s\t%d\t%d\t%d\n", name, sent[name], received[name], dropped[name] }
	' all | sort >by-file
	sort -o by-status by-status
	while read -r port _; do
		node=${port%%:*} interface=${port#*:}
		echo "$port $(in_node "$node" "cd /sys/class/net/$interface/statistics && cat tx_packets" </dev/null)"
	done <by-status >by-guests
	awk '{ print $1, $2 }' by-status >sent-by-status
}

counts_agree() {
	counts
	diff by-status by-file && diff sent-by-status by-guests
}

nothing_is_lost() {
	expect_equal "$(status_of '[.ports[].capture_lost] | add')" 0
	expect_equal "$(lab_frames 'frame.drop_count' frame.number)" ""
}

checksums_are_true() {
	readers_say tshark -n -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -r "$file" \
		-Y 'tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"' >bad
	[ ! -s bad ] || fail "$(head bad)"
	[ -n "$(lab_frames 'tcp.len > 1000 && frame.packet_flags_direction == 1' frame.number)" ]
}

events_are_told() {
	expect_match 'event=h1 ready' "$(lab_frames 'frame.comment contains "event="' frame.comment)"
}

ends_with_statistics() {
	netlab down
	wait_for no_daemons
	readers_say capinfos -M "$file" >info
	expect_equal "$(grep -c 'Number of stat entries = 1' info)" 4
	grep -aq 'event=h1 stopped' "$file"
	expect_equal "$(find captures/story -type f -printf '%f\n' | sort | paste -sd ' ')" \
		"h1-eth0.pcap h1-eth1.pcap h2-eth0.pcap h3-eth0.pcap lab.pcapng"
}

# killed SIGNAL: netlabd, in the middle of a transfer.
killed() {
	local pid
	lab_up story.yaml
	in_node h2 'iperf3 -s -D'
	wait_for listens h2 5201
	# At a rate that leaves a file which is soon read, also where guests are fast.
	in_node h1 'iperf3 -c 10.0.0.2 -t 3600 -b 10M >/dev/null 2>&1 &'
	wait_for has_data
	pid=$(daemon_pid story)
	date +%s.%N >killed-at
	kill "-$1" "$pid"
	wait_for is_gone "$pid"
	netlab list
}

has_data() {
	[ "$(tshark -r "$file" -Y 'tcp.len > 1000' -c 20000 -T fields -e frame.number 2>/dev/null | wc -l)" -ge 500 ]
}

is_gone() {
	! kill -0 "$1" 2>/dev/null
}

# The last block may be cut short by the kill.
is_whole_up_to_kill() {
	local last
	last=$(tshark -r "$1" -T fields -e frame.time_epoch 2>/dev/null | tail -n 1)
	awk -v last="$last" -v killed="$(cat killed-at)" 'BEGIN { exit !(last > killed - 1 && last < killed + 60) }' ||
		fail "the last frame is of $last, it was killed at $(cat killed-at)"
}

survives_kill() {
	killed KILL
	is_whole_up_to_kill "$file"
	[ ! -e captures/story/crash-netlabd.pcapng ]
}

# leaves_recorder SIGNAL
leaves_recorder() {
	rm -rf captures
	killed "$1"
	readers_say tshark -r captures/story/crash-netlabd.pcapng -T fields -e frame.number >/dev/null
	is_whole_up_to_kill captures/story/crash-netlabd.pcapng
	readers_say capinfos -M captures/story/crash-netlabd.pcapng >info
	expect_equal "$(grep -c 'Number of stat entries = 1' info)" 4
}

# A file that may not grow is a full disk.
full_disk() {
	have prlimit || skip "no prlimit"
	netlab down --all
	rm -rf captures
	lab_up story.yaml
	prlimit --pid "$(daemon_pid story)" --fsize=20000:
	netlab exec h1 -- ping -c 20 -i 0.05 -W 60 -s 1400 10.0.0.2
	wait_for lacks_frames
	expect_match 'the last frames could not be written: File too large' "$(netlab status)"
	expect_equal "$(status_of .capture_error)" "File too large"
	prlimit --pid "$(daemon_pid story)" --fsize=unlimited:
	netlab exec h1 -- ping -c 1 -W 60 10.0.0.2
	wait_for captures_again
	prlimit --pid "$(daemon_pid story)" --fsize=20000:
	netlab exec h1 -- ping -c 1 -W 60 -s 1400 10.0.0.2
	netlab down
	readers_say tshark -r "$file" -T fields -e frame.number >numbers
	[ -s numbers ]
}

captures_again() {
	[ "$(status_of .capture_error)" = null ]
}

lacks_frames() {
	[ "$(port_status h1:eth0 .capture_lost)" -gt 0 ]
}

few_files() {
	netlab down --all
	sed 's/^capture:.*/capture: {files: lab, rotate: {size: 1M, files: 3}}/' story.yaml >rotate.yaml
	rm -rf captures
	lab_up rotate.yaml
	in_node h2 'iperf3 -s -D'
	wait_for listens h2 5201
	netlab exec h1 -- iperf3 -c 10.0.0.2 -n 3M
	netlab down
	find captures/story -type f -printf '%f\n' | sort >files
	expect_equal "$(wc -l <files)" 3
	expect_match '^lab-0000[0-9]\.pcapng$' "$(head -n 1 files)"
	expect_match '^lab\.pcapng$' "$(tail -n 1 files)"
	while read -r name; do
		readers_say capinfos -M "captures/story/$name" >info
		expect_match 'Name = h1:eth1' "$(cat info)"
	done <files
}

# What Wireshark's own programs make of the files: a clean one, written again, has ports, ids, directions and times as before;
# any other can become a plain pcap.  Those of Wireshark 4.0 learn of the first blocks alone what a file has.
programs_write_it_again() {
	local fields=(-T fields -e frame.interface_name -e frame.packet_id -e frame.packet_flags_direction -e frame.time_epoch)
	readers_say editcap -F nsecpcap "$file" plain.pcap
	readers_say mergecap -w merged.pcapng "$file"
	readers_say tshark -r "$file" -w again.pcapng
	readers_say tshark -r "$file" "${fields[@]}" >before
	readers_say tshark -r merged.pcapng "${fields[@]}" >merged
	readers_say tshark -r again.pcapng "${fields[@]}" >again
	[ -s before ] && diff before merged && diff before again
	expect_equal "$(readers_say tshark -r plain.pcap | wc -l)" "$(wc -l <before)"
}

# One in which frames died cannot be written again as pcapng by Wireshark 4.0, but without those.
dead_frames_can_be_left_out() {
	readers_say tshark -r "$file" -Y '!frame.verdict' -w alive.pcapng
	expect_equal "$(readers_say tshark -r alive.pcapng | wc -l)" "$(lab_frames '!frame.verdict' frame.number | wc -l)"
	readers_say editcap -F nsecpcap "$file" plain.pcap
	expect_equal "$(readers_say tshark -r plain.pcap | wc -l)" "$(lab_frames frame frame.number | wc -l)"
}

none_are_dropped() {
	netlab down --all
	sed 's/^capture:.*/capture: {files: lab, clean: on, snaplen: 256}/' story.yaml >clean.yaml
	rm -rf captures
	lab_up clean.yaml
	netlab exec h1 -- ping -c 2 -i 0.2 -W 1 -s 3000 -M "do" 10.0.0.2 || true
	expect_equal "$(port_status h2:eth0 .drops.mtu)" 2
	netlab down
	expect_equal "$(lab_frames 'frame.comment || frame.verdict.hw' frame.number)" ""
	expect_equal "$(lab_frames 'frame.cap_len > 256' frame.number)" ""
	expect_equal "$(lab_frames 'ip.len > 2000' frame.interface_name | sort | uniq -c | tr -s ' ')" " 2 h1:eth0"
}

check "the lab comes up" lab_up story.yaml
check "pings" pings h1 10.0.0.2
check "pings over the network" pings h3 10.0.1.1
check "statistics are in the file while it is written" wait_for has_statistics
check "section and interfaces say what they are" interfaces_have_names
check "addresses have the nodes' names" addresses_have_names
check "a frame has its id at each port, and a direction" frames_have_ids_and_directions
check "frames that are too long for h2 die there" too_long_frames_die
check "what died says why" drops_say_why
check "what nobody wants arrives and is filtered" nobody_there
check "bulk data" bulk_data
check "nothing is lost to the capture" nothing_is_lost
check "file, status and guests count the same" wait_for counts_agree
check "checksums are those of a wire" checksums_are_true
check "time never runs backwards" time_goes_on
check "events are told" events_are_told
check "the file ends with statistics, and nothing else was written" ends_with_statistics
check "tshark and editcap write it again without dead frames, or as a pcap" dead_frames_can_be_left_out
check "kill -9 leaves a file that can be read" survives_kill
check "a fault of netlabd leaves what was recorded" leaves_recorder SEGV
check "an abort of netlabd leaves what was recorded" leaves_recorder ABRT
check "a full disk costs frames of the capture, and not the lab" full_disk
check "rotation leaves as many files as were asked for" few_files
check "a clean capture is without what was dropped" none_are_dropped
check "Wireshark's programs write a clean capture again as it was" programs_write_it_again
finish
