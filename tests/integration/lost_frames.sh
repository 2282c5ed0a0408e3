#!/usr/bin/env bash
# labs/lost-frames: what its page asks to find is there to be found, each thing at its port and for its reason; and it goes away
# with what is said to mend it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

cp -r "$top/labs/lost-frames" lab

# The guests reach the router, and of the rest nothing works.
all_is_wrong() {
	expect_status 1 netlab validate --format json >result
	jq -e '[.tests[] | select(.result == "passed") | .name] == ["router"]' result || fail "$(cat result)"
}

# Reasons of drops, without those that come and go while guests start.
reasons() {
	netlab drops --since all --format json >dropped
	jq -r '.drops[] | select(.reason != "not-ready" and .reason != "receive-ring-full") | "\(.port) \(.reason)"' dropped | sort
}

# What h3 sends without a tag, by itself, is in a VLAN where nobody else is.
each_has_its_reason() {
	expect_equal "$(reasons | paste -sd ,)" \
		"h2:eth0 spoofed-arp,h3:eth0 no-destination,h3:eth0 vlan,h4:eth0 isolated,h6:eth0 storm,web:eth0 mtu"
}

is_mended() {
	sed -i -f lab/solution.sed lab/topology.yaml
	netlab up --yes --timeout "$patience" lab
	netlab validate
}

check "the lab comes up" lab_up lab
check "six things are wrong" all_is_wrong
check "five have a reason, each its own, and at its port" each_has_its_reason
check "the solution mends all" is_mended
check "down" netlab down lost-frames
finish
