#!/usr/bin/env bash
# Every topology in tests/topologies/bad is refused for its own reason, with line and column and exit status 2, and nothing
# is started.  The first line of each says what is expected:  # error: LINE:COLUMN: TEXT
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# refused FILE: by check and by up alike.
refused() {
	local file=$1 expected command output
	expected=$(head -n 1 "$file" | tr -d '\0' | sed -n 's/^# error: //p')
	[ -n "$expected" ] || fail "$file does not say what is wrong with it"
	for command in check up; do
		output=$(expect_status 2 netlab "$command" "$file" 2>&1 >/dev/null) || fail "$output"
		grep -F -- ":${expected%%: *}: error: " <<<"$output" | grep -qF -- "${expected#*: }" ||
			fail "no \"$expected\" from $command: $output"
	done
}

nothing_started() {
	no_daemons
	[ ! -e "$runtime" ] || [ -z "$(ls "$runtime")" ] || fail "left behind: $(ls "$runtime")"
	[ ! -e captures ]
}

accepted() {
	netlab check "$1"
}

warned() {
	local output
	printf '%s\n' 'nodes: [h1, h2]' 'links: [{endpoints: [h1, h2], impair: {jitter: 1ms}}]' >warned.yaml
	output=$(netlab check warned.yaml 2>&1 >/dev/null)
	grep -qF 'warned.yaml:2:40: warning: a jitter of 1ms' <<<"$output" || fail "no warning: $output"
}

no_such_file() {
	expect_status 2 netlab check there-is-no-such-file.yaml
	expect_status 2 netlab up there-is-no-such-file.yaml
}

usage() {
	expect_status 2 netlab
	expect_status 2 netlab no-such-command
	expect_status 2 netlab up --no-such-option
	expect_status 2 netlab exec
	expect_status 0 netlab help
	expect_status 0 netlab up --help
}

for file in "$top"/tests/topologies/bad/*; do
	check "$(basename "$file" .yaml) is refused" refused "$file"
done
check "nothing was started" nothing_started
for file in "$top"/tests/topologies/good/*.yaml "$top"/labs/*/topology.yaml; do
	check "${file#"$top/"} is accepted" accepted "$file"
done
check "what is warned of is accepted" warned
check "a file that is not there" no_such_file
check "wrong command lines" usage
finish
