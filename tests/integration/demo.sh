#!/usr/bin/env bash
# What 'make demo' shows, in a tree with only what it needs, so that the captures in this one stay as they are.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_image

runs() {
	tree/scripts/demo >said 2>&1 || fail "$(cat said)"
	cat said
}

three_replies() {
	expect_equal "$(grep -c 'bytes from 10.0.0.2' said)" 3
	expect_match '[^0-9]3 (packets )?received' "$(cat said)"
}

shows_frames() {
	if have tshark; then
		expect_match 'h2-eth0.pcap, as tshark reads it' "$(cat said)"
		expect_match 'Echo \(ping\) reply' "$(cat said)"
	else
		expect_match 'install tshark' "$(cat said)"
	fi
}

names_captures() {
	local file files
	mapfile -t files < <(sed -n 's|^ *\(/.*\.pcap\)$|\1|p' said)
	expect_equal "${#files[@]}" 2
	for file in "${files[@]}"; do
		[ -s "$file" ]
	done
}

nothing_is_left() {
	wait_for no_daemons
	expect_equal "$(ls "$runtime")" ""
}

check_host() {
	tree/scripts/demo --check-host
	expect_status 2 tree/scripts/demo --no-such-option
}

mkdir -p tree/scripts tree/labs/two-hosts
cp "$top/scripts/demo" tree/scripts/
cp "$top/labs/two-hosts/topology.yaml" tree/labs/two-hosts/
ln -s "$bin" tree/build

check "the host is looked at" check_host
check "the demo runs to its end" runs
check "three pings are answered" three_replies
check "it shows frames, or what it takes" shows_frames
check "it names two captures, and they are there" names_captures
check "nothing is left running" nothing_is_left
finish
