#!/usr/bin/env bash
# Two hosts on a wire, and all that the command line can do with them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

topology=$top/labs/two-hosts/topology.yaml

up() {
	local output
	output=$(lab_up "$topology" 2>&1) || fail "$output"
	echo "$output"
	expect_match 'h1.*ready' "$output"
	expect_match 'h2.*ready' "$output"
}

up_again() {
	local output
	output=$(netlab up "$topology" 2>&1) || fail "$output"
	expect_match 'nothing to do' "$output"
	state_is h1 ready
}

status_json() {
	expect_equal "$(status_of '[.nodes[] | .name + " " + .state] | join(", ")')" "h1 ready, h2 ready"
	expect_equal "$(status_of .lab)" two-hosts
	expect_equal "$(status_of '[.ports[].name] | join(" ")')" "h1:eth0 h2:eth0"
	expect_equal "$(status_of '.nodes[0].interfaces[0].link')" h2:eth0
	expect_equal "$(status_of '.nodes[0].memory')" 67108864
	expect_match '^52:54:00:' "$(status_of '.nodes[0].interfaces[0].mac')"
	expect_match '^(vmx|svm|pagetable)$' "$(status_of .host.kind)"
}

status_text() {
	local output
	output=$(netlab status)
	expect_match 'h1.*ready' "$output"
	expect_match 'h2:eth0' "$output"
}

list() {
	expect_match two-hosts "$(netlab list)"
	netlab list --format json | jq -e . >/dev/null
}

ping_fails() {
	expect_status 1 netlab exec h1 -- ping -c 1 -W 2 10.0.0.77
}

exit_statuses() {
	expect_status 7 netlab exec h1 -- sh -c 'exit 7'
	expect_status 0 netlab exec h1 true
	expect_status 255 in_node h1 'exit 255'
	# shellcheck disable=SC2016 # The guest's $$.
	expect_status 137 in_node h1 'kill -9 $$'
	expect_status 127 netlab exec h1 -- there-is-no-such-command
	expect_status 126 netlab exec h1 -- /etc/passwd
}

unknown_node() {
	local output
	output=$(expect_status 125 netlab exec h9 -- true 2>&1) || fail "$output"
	expect_match 'h9' "$output"
}

streams_are_apart() {
	in_node h1 'echo to-output; echo to-error >&2' >output 2>error
	expect_equal "$(cat output)" to-output
	expect_equal "$(cat error)" to-error
}

input_arrives() {
	expect_equal "$(printf 'one\ntwo\n' | netlab exec h1 -- wc -l | tr -d ' ')" 2
	expect_equal "$(printf 'whole' | netlab exec h2 -- cat)" whole
}

arguments_arrive() {
	expect_equal "$(netlab exec h1 -- printf '<%s>' a 'b  c' '' '*' "it's" $'two\nlines')" \
		"<a><b  c><><*><it's><two"$'\n'"lines>"
}

environment_arrives() {
	# shellcheck disable=SC2016 # The guest's variable.
	expect_equal "$(netlab exec -e GREETING='good day' h1 -- sh -c 'echo $GREETING')" 'good day'
}

binary_through_exec() {
	random_file sent 1048576
	netlab exec h1 -- sh -c 'cat >/tmp/sent' <sent
	expect_equal "$(in_node h1 'sha256sum </tmp/sent' | cut -d ' ' -f 1)" "$(sum_of sent)"
	netlab exec h1 -- cat /tmp/sent >back
	cmp sent back
}

copy_in() {
	random_file in 1048576
	netlab cp in h1:/root/in
	expect_equal "$(in_node h1 'sha256sum </root/in' | cut -d ' ' -f 1)" "$(sum_of in)"
}

copy_out() {
	# From here: a guest whose kernel is emulated needs half a minute to make it.
	random_file given 1048576
	netlab exec h2 -- sh -c 'cat >/root/out' <given
	netlab cp h2:/root/out out
	cmp given out
}

copy_keeps_mode() {
	printf '#!/bin/sh\necho ran\n' >script
	chmod 755 script
	netlab cp script h1:/root/script
	expect_equal "$(netlab exec h1 -- /root/script)" ran
	netlab cp h1:/root/script back-script
	expect_equal "$(stat -c %a back-script)" 755
}

copy_folder() {
	mkdir -p folder/inner
	random_file folder/inner/data 5000
	ln -s inner/data folder/link
	netlab cp -r folder h1:/root/folder
	netlab cp -r h1:/root/folder folder-back
	diff -r folder folder-back
	# Once more, over what is there: a link that came first leads nowhere for what comes later.
	in_node h1 'rm -r folder/link; echo more >folder/more'
	netlab cp -r h1:/root/folder folder-back
	expect_equal "$(cat folder-back/folder/more)" more
	mkdir -p elsewhere
	in_node h1 "ln -s '$PWD/elsewhere' folder/away"
	netlab cp -r h1:/root/folder folder-back
	in_node h1 'rm folder/away && mkdir folder/away && echo mine >folder/away/file'
	expect_status 1 netlab cp -r h1:/root/folder folder-back 2>said
	expect_match 'away' "$(cat said)"
	in_node h1 "rm -r folder/away && mkdir outer && ln -s '$PWD/elsewhere' outer/outer && echo mine >outer/file"
	netlab cp -r h1:/root/outer outer
	expect_status 1 netlab cp -r h1:/root/outer outer 2>said
	expect_match 'no folder' "$(cat said)"
	expect_status 1 netlab cp -r h1:/root/nothing folder-back 2>said
	expect_equal "$(ls -A elsewhere)" ""
	expect_equal "$(find folder-back -name '.netlab-*')" ""
}

copy_of_nothing() {
	local output
	output=$(expect_status 1 netlab cp h1:/no/such/file here 2>&1) || fail "$output"
	expect_match '/no/such/file' "$output"
	[ ! -e here ]
}

guests_are_set_up() {
	expect_equal "$(netlab exec h1 -- hostname)" h1
	expect_equal "$(netlab exec h2 -- hostname)" h2
	expect_match '10\.0\.0\.1/24' "$(in_node h1 'ip address show eth0')"
	expect_match 'fd00::1/64' "$(in_node h1 'ip address show eth0')"
	expect_match 'mtu 1500' "$(in_node h1 'ip link show eth0')"
	expect_equal "$(in_node h1 'cat /sys/class/net/eth0/address')" "$(status_of '.nodes[0].interfaces[0].mac')"
	[ "$(in_node h1 'cat /etc/machine-id')" != "$(in_node h2 'cat /etc/machine-id')" ]
}

guest_knows_the_time() {
	local guest off
	guest=$(in_node h1 'date +%s')
	# Clocks drift and guests wait for their turn; a guest that was not told is off by decades.
	off=$((guest - $(date +%s)))
	[ "${off#-}" -lt 120 ] || fail "the guest's clock is off by $off s"
}

many_at_once() {
	local i pids=()
	for i in 1 2 3 4 5 6 7 8; do
		in_node h1 "sleep 1; echo answer $i" >"answer$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in 1 2 3 4 5 6 7 8; do
		expect_equal "$(cat "answer$i")" "answer $i"
	done
}

interrupt_reaches_the_command() {
	local pid status=0
	env --default-signal=INT "$bin/netlab" exec h1 -- sh -c 'trap "echo told; exit 9" INT; echo started; while :; do sleep 0.1; done' \
		>interrupted &
	pid=$!
	wait_for grep -q started interrupted
	kill -INT "$pid"
	wait "$pid" || status=$?
	cat interrupted
	expect_equal "$status" 9
	expect_match told "$(cat interrupted)"
}

# The guest's arithmetic: what was typed is echoed, and must not be taken for the answer.
# shellcheck disable=SC2016
console() {
	types h1 'echo answer-$((40 + 2))' answer-42
}

# The kernel says little while it boots well; what it finds urgent is in the log.
logs() {
	in_node h1 'echo "<0>something urgent" >/dev/kmsg'
	wait_for log_has 'something urgent'
	expect_no_match 'something urgent' "$(netlab logs h2)"
}

log_has() {
	local log
	log=$(netlab logs h1) && grep -q "$1" <<<"$log"
}

# The end of the log, from the start of a line.
logs_tail() {
	local tail log
	tail=$(netlab logs --tail 200 h1)
	log=$(netlab logs h1)
	expect_match 'something urgent' "$tail"
	[ "${#tail}" -le 200 ]
	[[ $'\n'$log == *$'\n'"$tail"* ]] || fail "\"$tail\" is not the end of: $log"
	# A part of the last line, which is longer.
	expect_equal "$(netlab logs --tail 5 h1 | wc -c)" 5
}

logs_follow() {
	local pid
	"$bin/netlab" logs -f h1 >followed &
	pid=$!
	in_node h1 'echo "<0>one more thing" >/dev/kmsg'
	wait_for grep -q 'one more thing' followed
	kill "$pid"
	wait "$pid" || true
}

completion() {
	netlab completion bash >script.bash
	# shellcheck source=/dev/null # What is tested.
	source ./script.bash
	complete -p netlab
	# It sets how a word is typed on, and is only there while somebody types.
	# shellcheck disable=SC2317 # The script calls it.
	compopt() { :; }
	mkdir nothing && cd nothing
	expect_equal "$(candidates ex)" exec
	expect_equal "$(candidates exec '')" "h1 h2"
	expect_equal "$(candidates exec h1 -- '')" ""
	expect_equal "$(candidates --lab two-hosts logs h)" "h1 h2"
	expect_equal "$(candidates logs -f '')" "h1 h2"
	expect_equal "$(candidates status t)" two-hosts
	expect_equal "$(candidates --lab '')" two-hosts
	expect_equal "$(candidates capture h1)" "h1 h1:eth0"
	expect_equal "$(candidates capture h1 :)" eth0
	expect_equal "$(candidates wireshark h1 : e)" eth0
	expect_equal "$(candidates capture --rotate-s)" --rotate-size
	expect_equal "$(candidates drops --since 10s h2)" "h2 h2:eth0"
	expect_equal "$(candidates trace --flow -n 5 h1 h)" "h1 h2"
	expect_equal "$(candidates trace --fl)" --flow
	expect_equal "$(candidates snapshot '')" "delete export import list restore save"
	expect_equal "$(candidates snapshot --re)" --replace
	expect_equal "$(candidates up --no)" --no-capture
	expect_equal "$(candidates up --ov)" --overcommit
	expect_equal "$(candidates up --captures t)" ""
	expect_equal "$(candidates status --format '')" "json text"
	expect_equal "$(candidates validate --format '')" "json junit text"
	expect_equal "$(candidates stats --format p)" prometheus
	expect_equal "$(candidates top t)" two-hosts
	expect_equal "$(candidates top two-hosts h2 :)" eth0
	expect_equal "$(candidates top --interval 5s --it)" --iterations
	expect_equal "$(candidates validate p)" "ping ping6"
	expect_equal "$(candidates image '')" "build list prune warm"
	expect_equal "$(candidates cp h)" "h1: h2:"
}

# candidates WORD...: what TAB offers for the last word of the command line "netlab WORD...".
candidates() {
	local COMP_WORDS=(netlab "$@") COMP_CWORD=$# COMPREPLY=()
	set +u # As where people type.
	_netlab || true
	printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | sort | paste -sd ' '
}

# An idle guest sleeps; the limit is for the daemon with both of them, in the best of three spans of ten seconds.
idle_is_idle() {
	local before permille attempt hertz
	hertz=$(getconf CLK_TCK)
	for attempt in 1 2 3; do
		before=$(cpu_ticks)
		sleep 10
		permille=$((($(cpu_ticks) - before) * 1000 / (10 * hertz)))
		echo "attempt $attempt: $((permille / 10)).$((permille % 10)) % of a core"
		[ "$permille" -gt 40 ] || return 0
	done
	return 1
}

cpu_ticks() {
	# The command's name has no spaces, so fields can be counted.
	awk '{ print $14 + $15 }' "/proc/$(daemon_pid two-hosts)/stat"
}

down() {
	netlab down two-hosts
	wait_for no_daemons
	[ ! -e "$runtime/two-hosts" ]
	expect_no_match two-hosts "$(netlab list)"
}

after_down() {
	local output
	output=$(expect_status 1 netlab down two-hosts 2>&1) || fail "$output"
	expect_match 'not running' "$output"
	expect_status 125 netlab exec two-hosts/h1 -- true
}

# What is joined to a network may go with it in one change.
network_goes_with_its_attachment() {
	printf '%s\n' 'name: plugged' 'nodes: [h1]' 'networks: [lan]' 'links:' '  - h1-lan' \
		'  - endpoints: [lan, {socket: peer.sock}]' >plugged.yaml
	netlab up plugged.yaml
	printf '%s\n' 'name: plugged' 'nodes: [h1]' 'networks: [other]' 'links:' '  - h1-other' >plugged.yaml
	netlab up --yes plugged.yaml
	expect_equal "$(netlab status --lab plugged --format json | jq -c '[.attachments, [.networks[].name]]')" '[[],["other"]]'
	netlab down plugged
}

check "two hosts come up" up
check "up on a running lab says so and changes nothing" up_again
check "status as JSON" status_json
check "status as text" status_text
check "list" list
check "ping: three answers" pings h1 10.0.0.2
check "ping: status 1 without an answer" ping_fails
check "ping by name" pings h1 h2 1
check "ping over IPv6" pings h1 fd00::2
check "exec returns the command's status" exit_statuses
check "exec in a node that is not there" unknown_node
check "exec keeps output and errors apart" streams_are_apart
check "exec passes input on" input_arrives
check "exec passes arguments as they are" arguments_arrive
check "exec passes the environment on" environment_arrives
check "exec: 1 MiB of random bytes both ways" binary_through_exec
check "cp: 1 MiB of random bytes in" copy_in
check "cp: 1 MiB of random bytes out" copy_out
check "cp keeps the mode" copy_keeps_mode
check "cp -r" copy_folder
check "cp of a file that is not there" copy_of_nothing
check "guests have their names, addresses and identities" guests_are_set_up
check "guests know the time" guest_knows_the_time
check "eight commands at once" many_at_once
check "exec passes Ctrl-C on" interrupt_reaches_the_command
check "connect with a pipe" console
check "logs" logs
check "logs --tail" logs_tail
check "logs -f" logs_follow
check "completion" completion
if [ -z "${SANITIZED-}" ]; then
	check "an idle lab takes less than 2 % of a core for each node" idle_is_idle
fi
check "a network goes, and what is joined to it" network_goes_with_its_attachment
check "down" down
check "a lab that is down is said to be down" after_down
if [ -n "${SANITIZED-}" ]; then
	check "no sanitizer has found anything in any process" no_reports
fi
finish
