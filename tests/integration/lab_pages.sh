#!/usr/bin/env bash
# What the pages of the labs say to type works: every command under "Type", in their order, as it stands there.
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

types_all() {
	local name
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
	runs typed || { (cd "labs/$1" && netlab down) || :; fail "the page of $1 cannot be followed"; }
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

for page in labs/*/README.md; do
	lab=$(basename "$(dirname "$page")")
	check "labs/$lab: what its page says to type" types_all "$lab"
	check "labs/$lab: the captures its page names" has_captures "$lab"
	if grep -q '^validate:' "labs/$lab/topology.yaml"; then
		check "labs/$lab: its tests are run" tests_itself "$lab"
	fi
done
finish
