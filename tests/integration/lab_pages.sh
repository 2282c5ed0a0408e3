#!/usr/bin/env bash
# What the pages of the labs say to type works: every command under "Type", in their order, as it stands there; and what a page
# asks to find is there to be found.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_image

# In the page netlab is a program.
export PATH=$bin:$PATH
cp -r "$top/labs" .
# Root needs none, and may have none.
[ "$(id -u)" -ne 0 ] || install -m 755 /dev/stdin "$bin/sudo" <<<'#!/bin/sh
exec "$@"'

# commands LAB: a line each.
commands() {
	sed -n '/^## Type$/,/^## /s/^    //p' "labs/$1/README.md"
}

# captures LAB: the files that the page names.
captures() {
	sed -n '/^The captures are/,/^$/p' "labs/$1/README.md" | tr '`' '\n' | grep '^captures/'
}

# runs FILE: each line must succeed, and the folder changes for all that come after.  Pages that need root do what they do to a
# network of their own.
runs() {
	# shellcheck disable=SC2016 # For the inner shell.
	if grep -q '^sudo ' "$1"; then
		[ "$(id -u)" -eq 0 ] || skip "it needs root"
		unshare -nm bash -euc 'ip link set lo up; mkdir -p /run/netns; mount -t tmpfs none /run/netns; bash -euxo pipefail "$1"' \
			bash "$1" </dev/null
	else
		bash -euxo pipefail "$1" </dev/null
	fi
}

# images LAB: those that its topology names.
images() {
	sed -n 's/.*image: *\([a-z]*\).*/\1/p' "labs/$1/topology.yaml" | sort -u
}

# What was typed, and what came of it, is in the file "said".
types_all() {
	local name
	rm -f said
	while read -r name; do
		has_image "$name" || skip "the image $name is not built"
	done < <(images "$1")
	commands "$1" >typed
	[ -s typed ] || fail "the page of $1 says nothing to type"
	# Where guests wait long for a processor, BFD takes neighbours for dead that are not.
	if grep -q bfd typed && ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
		skip "BFD needs a processor with VT-x or AMD-V"
	fi
	if grep -q :8080/ typed && [ -n "$(ss -Hltn 'sport = :8080')" ]; then
		skip "port 8080 is taken"
	fi
	for name in gnuplot jq tshark; do
		! grep -qsw "^[^#]*$name" typed "labs/$1/measure" || have "$name" || skip "no $name"
	done
	# One that is left running would take its time from all that come after.
	if ! runs typed >said 2>&1; then
		(cd "labs/$1" && netlab down) || :
		fail "the page of $1 cannot be followed: $(cat said)"
	fi
	wait_for no_daemons
}

# A lab with tests has them run by who follows its page, and by this test.
tests_itself() {
	commands "$1" | grep -qxE '(sudo )?netlab validate' || fail "the page of $1 does not say to type netlab validate"
}

has_captures() {
	local file
	[ -d "labs/$1/captures" ] || skip "there was no lab"
	captures "$1" >named
	[ -s named ] || fail "the page of $1 names no captures"
	while read -r file; do
		[ -s "labs/$1/$file" ] || fail "there is no $file"
	done <named
}

# said_by COMMAND: what it said when it was typed for the first time.
said_by() {
	[ -e said ] || skip "the page was not followed"
	awk -v line="+ $1" '/^\+/ && inside { exit } inside; $0 == line { inside = 1 }' said
}

# Of labs/lost-frames: the guests reach the router, and of the rest nothing works.
all_is_wrong() {
	said_by 'netlab validate' >tests
	expect_equal "$(grep -c '^  FAIL ' tests)" 6
	expect_equal "$(sed -n 's/^  PASS  \([a-z]*\):.*/\1/p' tests)" router
}

# But for reasons that come and go while guests start.  What h3 sends without a tag, by itself, is in a VLAN where nobody else is.
each_has_its_reason() {
	said_by 'netlab drops' >drops
	expect_equal "$(awk '$1 ~ /:eth0$/ && $2 != "not-ready" && $2 != "receive-ring-full" { print $1, $2 }' drops | sort | paste -sd ,)" \
		"h2:eth0 spoofed-arp,h3:eth0 no-destination,h3:eth0 vlan,h4:eth0 isolated,h6:eth0 storm,web:eth0 mtu"
}

for page in labs/*/README.md; do
	lab=$(basename "$(dirname "$page")")
	check "labs/$lab: what its page says to type" types_all "$lab"
	check "labs/$lab: the captures its page names" has_captures "$lab"
	if grep -q '^validate:' "labs/$lab/topology.yaml"; then
		check "labs/$lab: its tests are run" tests_itself "$lab"
	fi
	if [ "$lab" = lost-frames ]; then
		check "labs/$lab: six things are wrong" all_is_wrong
		check "labs/$lab: five have a reason, each its own, and at its port" each_has_its_reason
	fi
done
finish
