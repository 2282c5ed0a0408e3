#!/usr/bin/env bash
# Links: carrier as guests see it, cuts of one direction, flapping, schedules, and what stays when the lab changes.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# topology FIRST SECOND: what the two links between h1 and h2 have beside addresses.
topology() {
	cat >topology.yaml <<-END
		name: link
		nodes: [h1, h2, r1]
		networks: [lan]
		capture: {events: on}
		links:
		  - {endpoints: [h1, h2], ip: [10.0.0.1/24, 10.0.0.2/24]$1}
		  - {endpoints: [h1, h2], ip: [10.0.1.1/24, 10.0.1.2/24]$2}
		  - {endpoints: [r1, lan], ip: [10.0.2.3/24]}
		  - {endpoints: [h1, lan], ip: [10.0.2.1/24]}
	END
}

comes_up() {
	topology "" ", schedule: [{at: 2s, link: down}]"
	lab_up topology.yaml
	in_node h1 'touch /tmp/here'
	in_node h2 'touch /tmp/here'
}

# has_carrier NODE INTERFACE
has_carrier() {
	in_node "$1" "ip -o link show $2" >shown
	expect_match LOWER_UP "$(cat shown)"
}

has_none() {
	in_node "$1" "ip -o link show $2" >shown
	expect_match NO-CARRIER "$(cat shown)"
}

# link_of PORT FILTER: jq's answer of the link.
link_of() {
	netlab link "$1" --format json | jq -r "$2"
}

# dropped PORT: frames that found the link down there.
dropped() {
	port_status "$1" '.drops["link-down"] // 0'
}

does_not_ping() {
	expect_status 1 netlab exec "$1" -- ping -c 2 -i 0.5 -W 2 "$2"
}

scheduled() {
	wait_for has_none h1 eth1
	wait_for has_none h2 eth1
	expect_equal "$(link_of h1:eth1 .carrier)" false
	expect_equal "$(link_of h1:eth1 .events_left)" 0
	has_carrier h1 eth0
}

goes_down() {
	pings h1 10.0.0.2
	expect_match '^h1:eth0 - h2:eth0 is down$' "$(netlab link h1:eth0 down)"
	wait_for has_none h1 eth0
	wait_for has_none h2 eth0
	has_carrier h1 eth2
	does_not_ping h1 10.0.0.2
	expect_equal "$(link_of h2:eth0 .carrier)" false
}

is_shown() {
	local output
	output=$(netlab link)
	expect_match '^h1:eth0 +h2:eth0 +down +- +-' "$output"
	expect_match '^r1:eth0 +lan +up ' "$output"
	expect_match '^h1:eth0 +h2:eth0 +down ' "$(netlab status)"
	expect_no_match '^r1:eth0 +lan +up ' "$(netlab status)"
	expect_equal "$(port_status h2:eth0 .carrier)" false
	expect_equal "$(status_of '[.links[].ends[0]] | sort | join(" ")')" "h1:eth0 h1:eth1"
	expect_equal "$(netlab link --format json | jq length)" 4
}

restarts_without_carrier() {
	netlab restart h2
	in_node h2 'touch /tmp/here'
	wait_for has_none h2 eth0
}

comes_back() {
	netlab link h2:eth0 up
	wait_for has_carrier h1 eth0
	wait_for has_carrier h2 eth0
	pings h1 10.0.0.2
}

one_way() {
	local before there
	before=$(dropped h1:eth0)
	there=$(dropped h2:eth0)
	expect_match '^from h1:eth0 to h2:eth0 is cut$' "$(netlab link h1:eth0 down --tx)"
	has_carrier h1 eth0
	has_carrier h2 eth0
	does_not_ping h1 10.0.0.2
	[ "$(dropped h1:eth0)" -gt "$before" ] || fail "nothing died at h1:eth0"
	expect_equal "$(dropped h2:eth0)" "$there"
	expect_match 'h1:eth0 +h2:eth0 +up +cut +-' "$(netlab link)"
	expect_equal "$(port_status h1:eth0 '.cut | join(" ")')" tx
	# What h2 sends still comes, though not the answer.
	before=$(port_status h1:eth0 .rx_frames)
	expect_status 1 netlab exec h2 -- ping -c 1 -W 1 10.0.0.1
	[ "$(port_status h1:eth0 .rx_frames)" -gt "$before" ] || fail "nothing came"
	expect_match 'is not cut$' "$(netlab link h2:eth0 up --rx)"
	pings h1 10.0.0.2
}

# carrier_changes NODE INTERFACE
carrier_changes() {
	in_node "$1" "cat /sys/class/net/$2/carrier_changes"
}

flaps() {
	local before output
	before=$(carrier_changes h1 eth0)
	output=$(netlab link h1:eth0 flap --count 3 --down 200ms --up 50ms)
	expect_equal "$(tr '\n' ' ' <<<"$output")" \
		"h1:eth0 down (1 of 3) h1:eth0 up (1 of 3) h1:eth0 down (2 of 3) h1:eth0 up (2 of 3) h1:eth0 down (3 of 3) h1:eth0 up (3 of 3) "
	wait_for has_carrier h1 eth0
	[ "$(carrier_changes h1 eth0)" -ge $((before + 2)) ] || fail "h1 saw no flap"
	expect_equal "$(netlab link h1:eth0 flap --down 1ms --format json | jq .flaps)" 1
	pings h1 10.0.0.2
}

is_down_and_flaps() {
	expect_equal "$(link_of h1:eth0 '"\(.carrier) \(.flapping)"')" "false true"
}

flapping_ends_with_its_command() {
	"$bin/netlab" link h1:eth0 flap --count 1000 --down 10h &
	local flapping=$!
	wait_for is_down_and_flaps
	expect_status 1 netlab link h1:eth0 flap 2>errors
	expect_match 'flaps already' "$(cat errors)"
	kill "$flapping"
	wait "$flapping" || true
	wait_for has_carrier h1 eth0
	expect_equal "$(link_of h1:eth0 '"\(.carrier) \(.flapping)"')" "true false"
	"$bin/netlab" link h1:eth0 flap --count 1000 --down 10h 2>errors &
	flapping=$!
	wait_for is_down_and_flaps
	netlab link h1:eth0 down
	expect_status 1 wait "$flapping"
	expect_match 'set down' "$(cat errors)"
	netlab link h1:eth0 up
}

networks_lose_a_port() {
	pings h1 10.0.2.3
	netlab link r1 down
	wait_for has_none r1 eth0
	has_carrier h1 eth2
	does_not_ping h1 10.0.2.3
	[ "$(dropped r1:eth0)" -ge 1 ] || fail "nothing died at r1:eth0"
	netlab link r1 up
	wait_for has_carrier r1 eth0
	pings h1 10.0.2.3
}

bad_input() {
	expect_status 1 netlab link h1:eht0 down 2>errors
	expect_match 'did you mean h1:eth0' "$(cat errors)"
	expect_status 1 netlab link h1 down 2>errors
	expect_match 'several ports' "$(cat errors)"
	expect_status 1 netlab link lan down 2>errors
	expect_status 2 netlab link h1:eth0 sideways 2>errors
	expect_status 2 netlab link h1:eth0 down --tx --rx 2>errors
	expect_status 2 netlab link h1:eth0 down --count 3 2>errors
	expect_status 2 netlab link h1:eth0 flap --count 0 2>errors
	expect_status 2 netlab link h1:eth0 flap --down 5 2>errors
	expect_match 'unit' "$(cat errors)"
	expect_status 2 netlab link h1:eth0 flap --tx 2>errors
	expect_status 2 netlab link h1:eth0 up down 2>errors
	expect_equal "$(link_of h1:eth0 .carrier)" true
}

nobody_restarted() {
	in_node h1 'test -e /tmp/here' || fail "h1 was restarted"
	in_node h2 'test -e /tmp/here' || fail "h2 was restarted"
}

changes_in_place() {
	netlab link r1:eth0 down
	topology ", impair: {delay: 40ms}" ", schedule: [{at: 1s, link: up}]"
	netlab up --plan >said && fail "a link that is up went up"
	topology ", impair: {delay: 40ms}" ", schedule: [{at: 1s, impair-ab: {loss: 100%}}]"
	netlab up --plan >said
	expect_match '~ link h1:eth0 - h2:eth0 \(none -> delay: 40ms\)' "$(cat said)"
	expect_match '~ link h1:eth1 - h2:eth1 \(schedule\)' "$(cat said)"
	netlab link h1:eth1 up
	netlab up --yes
	nobody_restarted
	expect_equal "$(link_of h1:eth0 '.directions[].text' | sort -u)" "delay: 40ms"
	# A schedule that is new begins anew; carrier is as it was.
	wait_for is_lost
	expect_equal "$(link_of h1:eth1 .carrier)" true
	expect_equal "$(link_of r1:eth0 .carrier)" false
	netlab link r1:eth0 up
}

is_lost() {
	expect_equal "$(link_of h1:eth1 '.directions[0].text')" "loss: 100%"
}

what_was_set_by_hand_goes() {
	netlab tc set h1:eth0 --tx loss=10%
	expect_equal "$(link_of h1:eth0 '.directions[0].by_hand')" true
	netlab up --plan >said
	expect_match '~ link h1:eth0 - h2:eth0 \(from h1:eth0: delay: 40ms, loss: 10% -> delay: 40ms\)' "$(cat said)"
	netlab up --yes
	expect_equal "$(link_of h1:eth0 '.directions[0].by_hand')" false
	netlab up --yes >said
	expect_match 'nothing to do' "$(cat said)"
	nobody_restarted
}

snapshots_have_it() {
	netlab tc set h1:eth0 --tx loss-match=icmp
	netlab link h1:eth0 down
	wait_for has_none h1 eth0
	netlab snapshot save cut
	netlab link h1:eth0 up
	netlab tc set h1:eth0 delay=1ms loss-match=off
	wait_for has_carrier h1 eth0
	netlab snapshot restore cut
	expect_equal "$(link_of h1:eth0 .carrier)" false
	expect_equal "$(link_of h1:eth0 '.directions[].text')" $'delay: 40ms, loss-match: "icmp"\ndelay: 40ms'
	has_none h1 eth0
	netlab link h1:eth0 up
	wait_for has_carrier h1 eth0
	does_not_ping h1 10.0.0.2
	netlab tc set h1:eth0 --tx loss-match=off
	pings h1 10.0.0.2
	netlab snapshot delete cut
}

# Frames on their way from h1:eth0, those that have arrived, and events of h1:eth1 that are to come.
under_way() {
	link_of h1:eth0 '.directions[0].wire | "\(.in_flight) \(.arrived)"' | tr '\n' ' '
	link_of h1:eth1 .events_left
}

is_under_way() {
	local in_flight events
	read -r in_flight _ events <<<"$(under_way)"
	[ "$in_flight" -gt 0 ] && [ "$events" -eq 1 ]
}

nothing_is_under_way() {
	expect_match '^0 .* 0$' "$(under_way)"
}

# paused_before SECONDS: before what takes so long has happened; else the machine was too slow.
paused_before() {
	topology ", impair-ab: {delay: ${1}s}" ", schedule: [{at: ${1}s, impair-ab: {loss: 10%}}]"
	netlab up --yes
	netlab exec h1 -- ping -c 1 -W 1 10.0.0.2 || true
	netlab pause
	is_under_way || { netlab resume && false; }
}

stands_still_while_paused() {
	local seconds before
	for seconds in 6 30 120; do
		! paused_before "$seconds" || break
	done
	before=$(under_way)
	is_under_way || fail "nothing is under way: $before"
	sleep $((seconds + 1))
	expect_equal "$(under_way)" "$before"
	netlab snapshot save paused
	netlab snapshot restore paused
	sleep $((seconds + 1))
	expect_equal "$(under_way)" "$before"
	netlab resume
	wait_for nothing_is_under_way
	netlab snapshot delete paused
	nobody_restarted
}

is_captured() {
	[ "$(comments link 'netlab: drop=link-down')" -ge 3 ] || fail "no frame died of a link that was down"
	[ "$(comments link 'link h1:eth0 - h2:eth0 down')" -ge 1 ] || fail "nothing tells that a link went down"
	[ "$(comments link 'link h1:eth1 - h2:eth1 down, as scheduled')" -ge 1 ] || fail "nothing tells of the schedule"
	[ "$(comments link 'from h1:eth0 to h2:eth0 cut')" -ge 1 ] || fail "nothing tells of the cut"
	[ "$(comments link 'from h1:eth0 to h2:eth0: delay: 40ms')" -ge 1 ] || fail "nothing tells of the delay"
}

check "two hosts, two links between them, and a network come up" comes_up
check "a schedule takes a link down" scheduled
check "a link goes down, and its guests see it" goes_down
check "links are shown" is_shown
check "a guest that restarts has no carrier" restarts_without_carrier
check "the link comes back" comes_back
check "one direction is cut" one_way
check "a link flaps" flaps
check "flapping ends with its command, or by another" flapping_ends_with_its_command
check "a network loses a port" networks_lose_a_port
check "what makes no sense is refused" bad_input
check "impairments and schedules change while the lab runs" changes_in_place
check "what was set by hand ends with netlab up" what_was_set_by_hand_goes
check "a snapshot has links as they were" snapshots_have_it
check "what is on its way, and to happen, stands still in a lab that is paused" stands_still_while_paused
check "down" lab_down
need_tool tshark
check "the capture tells what happened to links, and which frames died" is_captured
finish
