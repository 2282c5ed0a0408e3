#!/usr/bin/env bash
# netlab validate: tests that pass and that fail, with what is said of them in text, JSON and JUnit; commands, retries, and
# frames counted in captures; tests that change while the lab runs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq xmllint
need_image

mkdir office
cat >head.yaml <<'END'
name: office
nodes: [h1, h2]
links:
  - {endpoints: [h1, h2], ip: [10.0.9.1/24, 10.0.9.2/24]}
validate:
END

# Nothing here ends early because the machine is slow: limits of what must come are long, of what must not are short.
cat >tests.yaml <<'END'
  ping: {node: h1, exec: "ping -c 1 -W 60 10.0.9.2", expect: ["/1 (packets )?received/", 64 bytes], reject: unreachable,
         timeout: 5m, description: h2 can be reached}
  refused: {nodes: [h1, h2], exec: "nc -z 10.0.9.2 80 || exit 1", status: 1, timeout: 5m, pass: nobody listens}
  requests: {node: h1, exec: "ping -c 2 -i 0.2 -W 60 10.0.9.2", timeout: 5m,
             capture: {port: "h2:eth0", filter: "icmp[icmptype] = icmp-echo", count: 2, within: 100ms}}
  quiet: {capture: {port: "h2:eth0", filter: udp port 4242, count: 0, within: 500ms}}
  arp: {node: h2, exec: "ip neigh flush dev eth0; ping -c 1 -W 60 10.0.9.1", timeout: 5m,
        capture: {port: "h1:eth0", filter: arp, count: ">=2", within: 5m}}
  late: {node: h1, exec: "test -e /tmp/late || { (sleep 1; touch /tmp/late) >/dev/null 2>&1 & exit 1; }", wait: 5m}
  wrong: {node: h2, exec: "printf 'hello\\033[31m\\n'; echo oops >&2; exit 3", expect: bye, reject: /^hel+o/, fail: it is wrong}
  half: {nodes: [h1, h2], exec: "test $(hostname) = h1"}
  absent: {node: h1, exec: no-such-command, level: warning}
  thrice: {node: h1, exec: "echo x >>/tmp/tries; false", retry: 3, interval: 50ms}
  noisy: {node: h1, exec: "ping -c 1 -W 60 10.0.9.2", timeout: 5m, capture: {port: "h2:eth0", filter: icmp, count: 0, within: 100ms}}
  silent: {capture: {port: "h2:eth0", filter: udp port 4242, count: 1..3, within: 200ms}}
  hangs: {node: h1, exec: "sleep 98765", timeout: 1s}
  long: {node: h1, exec: "sleep 98766", timeout: 1h}
END
good="ping refused requests quiet arp late"
bad="wrong half absent thrice noisy silent hangs"

comes_up() {
	cat head.yaml tests.yaml >office/topology.yaml
	lab_up office >said
	expect_match 'netlab .*validate$' "$(cat said)"
	in_node h1 'cat /proc/sys/kernel/random/boot_id' >boot
}

lists() {
	expect_equal "$(netlab validate --list | cut -d ' ' -f 1 | paste -sd ' ')" "$good $bad long"
	expect_match '^ping +h2 can be reached$' "$(netlab validate --list)"
	expect_equal "$(netlab validate --list --format json | jq -r '.[1].exec')" "nc -z 10.0.9.2 80 || exit 1"
	expect_equal "$(netlab complete tests | paste -sd ' ')" "$good $bad long"
}

# What "late" waits for comes to be while it waits.
good_pass() {
	# shellcheck disable=SC2086 # Names.
	netlab validate $good >said
	expect_equal "$(grep -c '^  PASS  ' said)" 6
	expect_match '^  PASS  ping: h2 can be reached  \(' "$(cat said)"
	expect_match '^  PASS  refused: nobody listens  \(' "$(cat said)"
	expect_match '^  PASS  late  \(.*, [0-9]+ attempts\)' "$(cat said)"
	expect_equal "$(tail -n 1 said)" "Lab office: 6 passed, 0 failed"
	expect_no_match 'command:' "$(cat said)"
}

# In the order of the file, whatever order they are named in.
bad_fail() {
	# shellcheck disable=SC2086 # Names.
	expect_status 1 netlab validate hangs $bad >said
	cat said
	expect_equal "$(sed -n 's/^  [A-Z]\{4\}  \([a-z]*\).*/\1/p' said | paste -sd ' ')" "$bad"
	expect_equal "$(tail -n 1 said)" "Lab office: 0 passed, 6 failed, 1 warned"
	expect_match '^  FAIL  wrong: it is wrong  ' "$(cat said)"
	expect_match '^        h2: exit status 3, not 0$' "$(cat said)"
	expect_match '^        h2: its output does not have "bye"$' "$(cat said)"
	expect_match '^        h2: its output has "/\^hel\+o/", which it must not$' "$(cat said)"
	expect_match '^        h2 stdout: hello\\x1b\[31m$' "$(cat said)"
	expect_match '^        h2 stderr: oops$' "$(cat said)"
	expect_match '^        h2: exit status 1, not 0$' "$(cat said)"
	expect_no_match 'h1: exit status 1, not 0.*hostname' "$(paste -sd ' ' said)"
	expect_match '^  WARN  absent' "$(cat said)"
	expect_match '^        h1: exit status 127, not 0$' "$(cat said)"
	expect_match '^  FAIL  thrice  \(.*, 3 attempts\)$' "$(cat said)"
	expect_match '^        2 frames of "icmp" crossed h2:eth0, not 0$' "$(cat said)"
	expect_match '^        0 frames of "udp port 4242" crossed h2:eth0, not 1..3$' "$(cat said)"
	expect_match '^        h1: it did not end within 1.0 s$' "$(cat said)"
	expect_equal "$(in_node h1 'wc -l </tmp/tries')" 3
	# What took too long has been ended.
	wait_for no_process 98765
}

# processes ARGUMENT: how many in h1 have it.
processes() {
	in_node h1 "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -cx $1 || true"
}

no_process() {
	[ "$(processes "$1")" = 0 ]
}

warning_passes() {
	netlab validate absent quiet
}

fail_fast() {
	expect_status 1 netlab validate --fail-fast quiet wrong half >said
	expect_match '^  SKIP  half$' "$(cat said)"
	expect_equal "$(tail -n 1 said)" "Lab office: 1 passed, 1 failed, 1 not run"
}

as_json() {
	expect_status 1 netlab validate --format json ping wrong absent noisy >document
	jq . document
	expect_equal "$(jq -r '[.lab, .passed, .failed, .warnings, .skipped] | join(" ")' document)" "office 1 2 1 0"
	expect_equal "$(jq -r '.tests | map(.name + ":" + .result) | join(" ")' document)" \
		"ping:passed wrong:failed absent:warning noisy:failed"
	expect_equal "$(jq -r '.tests[1].commands[0] | [.node, .status, .stderr, .passed] | tostring' document)" \
		'["h2",3,"oops\n",false]'
	expect_equal "$(jq -r '.tests[1].reasons | length' document)" 3
	expect_equal "$(jq -c '.tests[3].capture | [.port, .filter, .count, .frames]' document)" '["h2:eth0","icmp","0",2]'
}

as_junit() {
	expect_status 1 netlab validate --format junit ping wrong absent >result.xml
	cat result.xml
	xmllint --noout result.xml
	expect_equal "$(xmllint --xpath 'string(/testsuites/testsuite/@name)' result.xml)" office
	expect_equal "$(xmllint --xpath 'string(//testsuite/@tests)' result.xml)" 3
	expect_equal "$(xmllint --xpath 'string(//testsuite/@failures)' result.xml)" 1
	expect_equal "$(xmllint --xpath 'count(//testcase)' result.xml)" 3
	expect_equal "$(xmllint --xpath 'string(//testcase[failure]/@name)' result.xml)" wrong
	expect_match 'exit status 3, not 0' "$(xmllint --xpath 'string(//failure)' result.xml)"
	expect_match 'warning: h1: exit status 127' "$(xmllint --xpath 'string(//skipped/@message)' result.xml)"
}

wrong_usage() {
	expect_status 2 netlab validate nobody 2>errors
	expect_match 'lab office has no test "nobody"' "$(cat errors)"
	expect_status 2 netlab validate --format yaml 2>errors
	expect_match 'text, json or junit' "$(cat errors)"
	expect_status 2 netlab validate --no-such-option 2>errors
	expect_status 2 netlab status --format junit 2>errors
}

interrupted() {
	local pid status=0
	env --default-signal=INT "$bin/netlab" validate long >/dev/null 2>&1 &
	pid=$!
	wait_for runs 98766
	kill -INT "$pid"
	wait "$pid" || status=$?
	expect_equal "$status" 130
	wait_for no_process 98766
}

runs() {
	[ "$(processes "$1")" = 1 ]
}

# The files of captures may not grow any more: as on a full disk, frames are lost.
capture_loses_frames() {
	have prlimit || skip "no prlimit"
	prlimit --pid "$(daemon_pid office)" --fsize=1:
	expect_status 1 netlab validate requests >said
	prlimit --pid "$(daemon_pid office)" --fsize=unlimited:
	cat said
	expect_match 'the capture of h2:eth0 has lost [0-9]+ frames meanwhile, so they cannot be counted' "$(cat said)"
	netlab validate requests
}

tests_change() {
	sed 's/count: 0, within: 500ms/count: 1, within: 200ms/; s/^  half:.*/  new: {node: h2, exec: hostname, expect: h2}/' \
		tests.yaml | cat head.yaml - >office/topology.yaml
	netlab up --yes office >said
	cat said
	expect_match '^  \+ test new$' "$(cat said)"
	expect_match '^  - test half$' "$(cat said)"
	expect_match '^  ~ test quiet \(it tests something else\)$' "$(cat said)"
	expect_no_match ' node | link ' "$(cat said)"
	netlab validate new
	expect_status 1 netlab validate quiet
	expect_status 2 netlab validate half
	expect_equal "$(in_node h1 'cat /proc/sys/kernel/random/boot_id')" "$(cat boot)"
	netlab up office >said
	expect_match 'nothing to do' "$(cat said)"
}

capture_is_changed_by_others() {
	: >captures/office/h2-eth0.pcap
	expect_status 1 netlab validate requests >said
	cat said
	expect_match 'the capture of h2:eth0 cannot be read' "$(cat said)"
	rm captures/office/h1-eth0.pcap
	expect_status 1 netlab validate arp >said
	expect_match 'the capture of h1:eth0 cannot be read: .*No such file' "$(cat said)"
}

node_is_gone() {
	in_node h2 poweroff || true
	wait_for state_is h2 stopped
	expect_status 1 netlab validate new >said
	expect_match '^        h2: .*stopped' "$(cat said)"
	netlab validate late
}

# One that does not capture, and has no tests at first.
no_capture() {
	netlab down
	printf '%s\n' 'nodes: [a]' 'networks: [n]' 'links: [a-n]' >alone.yaml
	lab_up --no-capture alone.yaml
	expect_status 1 netlab validate 2>errors
	expect_match 'lab alone has no tests' "$(cat errors)"
	echo 'validate: {quiet: {capture: {port: "a:eth0", count: 0, within: 1h}, wait: 1h}}' >>alone.yaml
	netlab up --yes --no-capture alone.yaml
	expect_status 1 netlab validate >said
	expect_match 'lab alone captures no ports' "$(cat said)"
	netlab down
}

no_lab() {
	expect_status 1 netlab validate 2>errors
	expect_match 'no lab is running' "$(cat errors)"
}

check "a lab with tests comes up" comes_up
check "its tests are listed" lists
check "tests that pass" good_pass
check "tests that fail say why" bad_fail
check "a warning is no failure" warning_passes
check "--fail-fast stops at the first failure" fail_fast
check "results as JSON" as_json
check "results as JUnit are XML" as_junit
check "wrong usage" wrong_usage
check "Ctrl-C ends the command in the guest" interrupted
check "a capture that loses frames fails the test" capture_loses_frames
check "tests change while the lab runs, and nothing else" tests_change
check "a capture that others have changed fails the test" capture_is_changed_by_others
check "a node that is gone fails its tests, and no others" node_is_gone
check "no tests, and no capture" no_capture
check "no lab" no_lab
finish
