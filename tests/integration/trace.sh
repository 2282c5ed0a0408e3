#!/usr/bin/env bash
# Where frames went, over a router and to where they died, asked on the command line.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

file=captures/trace/lab.pcapng

up() {
	cat >topology.yaml <<-END
		name: trace
		nodes:
		  h1: {routes: [default via 10.0.1.254]}
		  r1:
		    sysctl: {net.ipv4.ip_forward: 1}
		  h2: {routes: [default via 10.0.2.254]}
		networks: [lan, alone]
		links:
		  - {endpoints: [h1, r1], ip: [10.0.1.1/24, 10.0.1.254/24]}
		  - {endpoints: [r1, lan], ip: 10.0.2.254/24}
		  - {endpoints: [h2, lan], ip: 10.0.2.1/24, mtu: 1400, guard: mac}
		  - {endpoints: [h1, alone], ip: 10.0.3.1/24}
	END
	lab_up topology.yaml
}

# trace ARGUMENTS...: as JSON.
trace() {
	netlab trace --format json "$@"
}

# packet SIZE FILTER: of the last packets between h1 and h2 those of SIZE bytes, through jq.
packet() {
	trace --flow h1 h2 -n 1000 | jq -r ".packets[] | select(.size == $1) | $2"
}

way=h1:eth0,r1:eth0,r1:eth1,h2:eth0

# A ping of a size that nobody else uses: 77 bytes and headers.
flow_over_the_router() {
	local output
	netlab exec h1 -- ping -c 1 -s 77 -W 60 10.0.2.1
	expect_equal "$(packet 119 '"\(.fate) \(.path | join(","))"')" \
		"delivered $way"$'\n'"delivered $(tr , '\n' <<<"$way" | tac | paste -sd ,)"
	expect_match '^ICMP echo request 10.0.1.1 > 10.0.2.1 id [0-9]+ seq 1$' "$(packet 119 .summary | head -n 1)"
	expect_match '^ICMP echo reply 10.0.2.1 > 10.0.1.1 id [0-9]+ seq 1$' "$(packet 119 .summary | tail -n 1)"
	output=$(netlab trace --flow h1 h2)
	expect_match "ICMP echo request .* h1:eth0 > r1:eth0 > r1:eth1 > h2:eth0 +delivered$" "$output"
	expect_match 'as far as addresses, identification and payload tell' "$output"
}

path_over_the_router() {
	local id forwarded output
	id=$(packet 119 .id | head -n 1)
	forwarded=$(packet 119 '.frames[1]' | head -n 1)
	[ "$forwarded" -gt "$id" ]
	trace "$id" >path.json
	expect_equal "$(jq -r '[.frames[] | .id] | join(" ")' path.json)" "$id $forwarded"
	expect_equal "$(jq -r '.frames[1] | "\(.of) \(.by)"' path.json)" "$id r1"
	expect_equal "$(jq -r '[.frames[].crossings[] | "\(.port) \(.direction)"] | join(",")' path.json)" \
		"h1:eth0 out,r1:eth0 in,r1:eth1 out,h2:eth0 in"
	jq -e '[.frames[].crossings[].after] | .[0] == 0 and . == sort and .[3] > 0' path.json
	expect_equal "$(jq -c '[.delivered, .dropped]' path.json)" '[["h2:eth0"],[]]'
	# Its other half leads to the same.
	expect_equal "$(trace "$forwarded" | jq -c .frames)" "$(jq -c .frames path.json)"
	output=$(netlab trace "$forwarded")
	expect_match "^Frame $id, 119 bytes, .*ICMP echo request" "$output"
	expect_match 'r1:eth1 +forwarded by r1 \(as far as addresses, identification and payload tell\)$' "$output"
	expect_match '^Delivered to h2:eth0\.$' "$output"
}

# has_echo FILE: with the same id at both ends of the link.
has_echo() {
	frames "$file" 'icmp.type == 8 && frame.len == 119 && ip.ttl == 64' frame.interface_name frame.packet_id >seen
	expect_equal "$(cut -f 1 seen | paste -sd ,)" "h1:eth0,r1:eth0"
}

ids_are_wiresharks() {
	have tshark || skip "no tshark"
	wait_for has_echo
	expect_equal "$(cut -f 2 seen | sort -u)" "$(packet 119 .id | head -n 1)"
	expect_equal "$(frames "$file" 'icmp.type == 8 && frame.len == 119 && ip.ttl == 64' frame.time_epoch | head -n 1)" \
		"$(packet 119 .time | head -n 1)"
}

too_long_for_h2() {
	local output
	expect_status 1 netlab exec h1 -- ping -c 1 -s 1450 -W 2 10.0.2.1
	expect_equal "$(packet 1492 '"\(.fate) \(.port) \(.reason) \(.path | join(","))"')" "dropped h2:eth0 mtu $way"
	output=$(netlab trace "$(packet 1492 .id)")
	expect_match 'h2:eth0 +dropped: mtu$' "$output"
	expect_match '^Dropped at h2:eth0: mtu, it was longer than the MTU of the interface it came to \(.*limit=14[0-9]+\)$' "$output"
	expect_no_match 'Delivered' "$output"
	expect_match '^mtu: +the frame was longer' "$(netlab trace --flow h1 h2)"
}

alone() {
	expect_status 1 in_node h1 'arping -c 2 -w 2 -I eth1 10.0.3.9'
	netlab drops --since all h1:eth1 --format json >alone.json
	jq -e '.drops | length == 1 and .[0].reason == "no-destination" and .[0].count >= 2' alone.json
	trace "$(jq -r '.drops[0].last.frame' alone.json)" >last.json
	jq -e '.delivered == [] and .dropped[0].reason == "no-destination" and .dropped[0].port == "h1:eth1"' last.json
}

# For a while h2 uses another MAC address.
spoofed() {
	local mac
	mac=$(in_node h2 'cat /sys/class/net/eth0/address')
	in_node h2 "ip link set eth0 address 02:00:00:00:00:99; arping -c 2 -w 2 -I eth0 10.0.2.254
		ip link set eth0 address $mac; true"
	netlab drops --since all h2 --format json >spoofed.json
	jq -e '.drops[] | select(.reason == "spoofed-mac") | .count >= 2 and .port == "h2:eth0"' spoofed.json
	trace "$(jq -r '.drops[] | select(.reason == "spoofed-mac") | .last.frame' spoofed.json)" >last.json
	expect_equal "$(jq -c '[.frames[0].crossings[] | [.port, .direction, .drop.reason]]' last.json)" \
		'[["h2:eth0","out","spoofed-mac"]]'
}

# Lines "PORT REASON COUNT" of netlab drops.
drop_lines() {
	netlab drops "$@" --format json | jq -r '.drops[] | "\(.port) \(.reason) \(.count)"' | sort
}

# The same of a status.
status_lines() {
	jq -r '.ports[] | .name as $port | .drops | to_entries[] | "\($port) \(.key) \(.value)"' "$1" | sort
}

# Now and then a guest sends one more.
agree() {
	netlab status --format json >status.json
	expect_equal "$(drop_lines)" "$(status_lines status.json)"
	expect_equal "$(drop_lines --since all)" "$(status_lines status.json)"
}

counts_are_those_of_the_status() {
	local output
	wait_for agree
	expect_match '^h1:eth1 no-destination ' "$(drop_lines)"
	output=$(netlab drops --since all)
	expect_match '^h2:eth0 +mtu +1 +20[0-9-]+ [0-9:.]+ +[0-9]+$' "$output"
	expect_match '^spoofed-mac: +the frame had a source address' "$output"
	expect_equal "$(drop_lines h2:eth0 | cut -d ' ' -f 1 | sort -u)" h2:eth0
	expect_match '^h2:eth0 +mtu +1$' "$(netlab drops h2)"
}

bad_questions() {
	expect_status 2 netlab trace 2>errors
	expect_status 2 netlab trace first 2>errors
	expect_match '"first" is no frame' "$(cat errors)"
	expect_status 2 netlab trace --flow h1 2>errors
	expect_status 2 netlab trace --flow h1 h1 2>errors
	expect_status 2 netlab trace -n 5 1 2>errors
	expect_status 2 netlab trace --last soon 1 2>errors
	expect_status 1 netlab trace 999999999 2>errors
	expect_match 'there is no frame 999999999 in what is recorded of lab trace' "$(cat errors)"
	expect_status 1 netlab trace --flow h1 h9 2>errors
	expect_match 'there is no frame of "h9"' "$(cat errors)"
	expect_status 1 netlab drops h9 2>errors
	expect_status 1 netlab drops --since 10s h2:eth7 2>errors
	expect_match 'no port and no node "h2:eth7"' "$(cat errors)"
	expect_status 1 netlab trace -r topology.yaml 1 2>errors
	expect_match 'topology.yaml is no pcapng file' "$(cat errors)"
	expect_status 1 netlab drops -r nowhere 2>errors
	expect_match 'nowhere: No such file' "$(cat errors)"
}

down() {
	netlab status --format json >status.json
	lab_down
}

# Of what is dropped without anybody's doing there may be more in the file: when nodes stop one after the other.
file_says_the_same() {
	local id
	id=$(jq -r .frame path.json)
	expect_equal "$(trace -r "$file" "$id" | jq -c .frames)" "$(jq -c .frames path.json)"
	expect_equal "$(trace -r - "$id" <"$file" | jq -c .frames)" "$(jq -c .frames path.json)"
	expect_match '^h2:eth0 mtu 1$' "$(drop_lines -r "$file" h2)"
	expect_equal "$(drop_lines -r "$file" | grep -E 'mtu|spoofed-mac')" "$(status_lines status.json | grep -E 'mtu|spoofed-mac')"
	netlab drops -r "$file" --since 1ns --format json | jq -e '.since > 0 and .since < 0.001 and (.drops | length) <= 1'
	expect_status 1 netlab trace -r "$file" --last 1ns "$id" 2>errors
	expect_match "there is no frame $id in" "$(cat errors)"
}

# As one that is still being written.
half_a_file() {
	local size
	size=$(stat -c %s "$file")
	head -c $((size - 2)) "$file" >half.pcapng
	expect_match 'ends within' "$(netlab trace -r half.pcapng "$(jq -r .frame path.json)")"
}

check "hosts, a router, and a network with nobody else come up" up
check "what there was between two hosts is found, over the router" flow_over_the_router
check "a frame's path is told from either half" path_over_the_router
check "frames have the ids and times that Wireshark shows" ids_are_wiresharks
check "a frame that dies behind the router is followed to there" too_long_for_h2
check "a frame that goes nowhere" alone
check "a frame with another's MAC address" spoofed
check "what was dropped is what status has counted" counts_are_those_of_the_status
check "bad questions get an answer that helps" bad_questions
check "down" down
check "the lab's file says the same" file_says_the_same
check "a file that is cut off is read up to there" half_a_file
finish
