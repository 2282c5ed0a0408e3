#!/usr/bin/env bash
# Impairments of links: from the topology, set and taken back while the lab runs, seen by guests and told in captures.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

comes_up() {
	cat >topology.yaml <<-'END'
		name: tc
		nodes: [h1, h2]
		networks: {uplink: {mode: nat, subnet: 10.0.9.0/24}}
		links:
		  - {endpoints: [h1, h2], ip: [10.0.0.1/24, 10.0.0.2/24], impair: {delay: 150ms}, impair-ba: {jitter: 1ms}}
		  - {endpoints: [h1, uplink]}
	END
	lab_up topology.yaml
}

# rtt NODE ADDRESS: the shortest of three round trips, in whole milliseconds.
rtt() {
	netlab exec "$1" -- ping -c 3 -i 0.5 -W 60 "$2" | sed -n 's|^rtt min/.* = \([0-9]*\)\..*|\1|p'
}

# is_slow MILLISECONDS: the round trip takes that at least.
is_slow() {
	local took
	took=$(rtt h1 10.0.0.2)
	[ "${took:-0}" -ge "$1" ] || fail "a round trip took $took ms, not $1"
}

# of PORT FROM FILTER: jq's answer of that direction of the link.
of() {
	netlab tc show "$1" --format json | jq -r ".directions[] | select(.from == \"$2\") | $3"
}

delayed() {
	is_slow 298
	expect_equal "$(of h1:eth0 h1:eth0 .text)" "delay: 150ms"
	expect_equal "$(of h1:eth0 h2:eth0 .text)" "delay: 150ms, jitter: 1ms"
	[ "$(of h1:eth0 h1:eth0 .wire.arrived)" -ge 3 ] || fail "no frame was delayed"
	expect_equal "$(of h1:eth0 h1:eth0 .wire.lost)" 0
}

is_shown() {
	local output
	output=$(netlab tc)
	expect_match '^h1:eth0 +h2:eth0 +[0-9]+ +0 +0 +[0-9]+ .* ms +delay: 150ms$' "$output"
	expect_match '^network:uplink +uplink +- ' "$output"
	expect_equal "$(netlab tc show h1:eth0 --rx | wc -l)" 2
	expect_match '^h2:eth0 +h1:eth0 ' "$(netlab tc show h1:eth0 --rx)"
	expect_match '^h1:eth0 +h2:eth0 +up +delay: 150ms +delay: 150ms, jitter: 1ms$' "$(netlab status)"
	expect_equal "$(netlab tc --format json | jq length)" 3
}

is_set() {
	expect_equal "$(netlab tc set h1:eth0 --tx delay=400ms loss=50% seed=7)" \
		"from h1:eth0 to h2:eth0: delay: 400ms, loss: 50%, seed: 7"
	expect_equal "$(of h1:eth0 h1:eth0 '.impairment | tojson')" '{"delay":"400ms","loss":"50%","seed":"7"}'
	expect_equal "$(of h1:eth0 h2:eth0 .text)" "delay: 150ms, jitter: 1ms"
	netlab tc set h1:eth0 --tx loss=off
	is_slow 548
	expect_match ' \*$' "$(netlab tc show h1:eth0 --tx)"
}

loses() {
	local before
	before=$(of h1:eth0 h1:eth0 .wire.lost)
	netlab tc set h2:eth0 --rx 'loss-match=icmp[icmptype] = icmp-echo'
	expect_status 1 netlab exec h1 -- ping -c 2 -i 0.2 -W 1 10.0.0.2
	expect_equal "$(of h1:eth0 h1:eth0 .wire.lost)" $((before + 2))
	[ "$(port_status h1:eth0 .drops.loss)" -ge 2 ] || fail "h1:eth0 lost nothing"
}

is_cleared() {
	expect_equal "$(netlab tc clear h1:eth0)" $'from h1:eth0 to h2:eth0: none\nfrom h2:eth0 to h1:eth0: none'
	pings h1 10.0.0.2
	expect_equal "$(of h1:eth0 h1:eth0 '.impairment | tojson')" '{}'
	expect_equal "$(of h1:eth0 h1:eth0 .by_hand)" true
}

is_reset() {
	netlab tc reset h2:eth0 --tx
	expect_equal "$(of h1:eth0 h1:eth0 .text)" none
	expect_equal "$(of h1:eth0 h2:eth0 .text)" "delay: 150ms, jitter: 1ms"
	netlab tc reset h2:eth0
	expect_equal "$(of h1:eth0 h1:eth0 .text)" "delay: 150ms"
	expect_equal "$(of h1:eth0 h1:eth0 .by_hand)" false
	is_slow 298
}

presets() {
	netlab tc set h1:eth0 preset=dsl queue=50p
	expect_match 'rate: 1.5mbit' "$(of h1:eth0 h1:eth0 .text)"
	expect_match 'queue: 50p' "$(of h1:eth0 h2:eth0 .text)"
	netlab tc clear h1:eth0
	netlab tc set h1:eth0 gilbert-elliott=to-bad:1%,to-good:20%
	expect_equal "$(of h1:eth0 h1:eth0 '.impairment["gilbert-elliott"]["to-bad"]')" "1%"
	netlab tc reset h1:eth0
}

outer_ports() {
	netlab tc set network:uplink --rx delay=3s
	expect_equal "$(of network:uplink uplink .text)" "delay: 3s"
	expect_equal "$(of network:uplink network:uplink .text)" none
	netlab tc reset network:uplink
	netlab tc set h1:eth1 --rx delay=5ms
	expect_equal "$(of h1:eth1 uplink .text)" "delay: 5ms"
}

bad_input() {
	local before
	before=$(of h1:eth0 h1:eth0 .text)
	expect_status 2 netlab tc set h1:eth0 dealy=1ms 2>errors
	expect_match 'did you mean "delay"' "$(cat errors)"
	expect_status 2 netlab tc set h1:eth0 delay=20 2>errors
	expect_match 'unit' "$(cat errors)"
	expect_status 2 netlab tc set h1:eth0 loss=101% 2>errors
	expect_status 2 netlab tc set h1:eth0 preset=adsl 2>errors
	expect_match 'dsl' "$(cat errors)"
	expect_status 2 netlab tc set h1:eth0 delay=1ms loss=x 2>errors
	expect_status 2 netlab tc set h1:eth0 'loss-match=is this a filter' 2>errors
	expect_status 2 netlab tc set h1:eth0 2>errors
	expect_status 2 netlab tc set 2>errors
	expect_status 2 netlab tc set h1:eth0 delay 2>errors
	expect_status 2 netlab tc set h1:eth0 delay=1ms delay=2ms 2>errors
	expect_status 2 netlab tc set h1:eth0 --tx --rx delay=1ms 2>errors
	expect_status 2 netlab tc clear h1:eth0 delay 2>errors
	expect_status 2 netlab tc shwo 2>errors
	expect_status 2 netlab tc show --tx 2>errors
	expect_status 1 netlab tc set h1:eht0 delay=1ms 2>errors
	expect_match 'did you mean h1:eth0' "$(cat errors)"
	expect_status 1 netlab tc show h9:eth0 2>errors
	expect_equal "$(of h1:eth0 h1:eth0 .text)" "$before"
	netlab tc set h1:eth0 --tx delay=10s rate=1gbit 2>errors
	expect_match '^netlab: warning: from h1:eth0 to h2:eth0: a delay of 10000ms .* is up to 1250000000 bytes' "$(cat errors)"
	netlab tc reset h1:eth0
}

is_captured() {
	[ "$(comments tc 'netlab: delay=15')" -ge 6 ] || fail "no frame says how long it was on its way"
	[ "$(comments tc 'netlab: delay=4')" -ge 3 ] || fail "no frame was longer on its way when that was set"
	[ "$(comments tc 'netlab: drop=loss')" -ge 2 ] || fail "no frame says that it was lost"
}

check "two hosts with a slow link come up" comes_up
check "pings are as late as the topology says" delayed
check "what frames meet is shown, with what became of them" is_shown
check "keys are set in one direction" is_set
check "frames are lost by a filter, and counted" loses
check "all is taken back" is_cleared
check "it is what the topology says again" is_reset
check "presets and chains are set" presets
check "the outer port of a network is impaired" outer_ports
check "what makes no sense is refused, and changes nothing" bad_input
check "down" lab_down
need_tool tshark
check "the capture tells what frames met" is_captured
finish
