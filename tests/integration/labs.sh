#!/usr/bin/env bash
# Several labs side by side, all kinds of ends, and what is left of them: nothing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# One guest each, so that many boots take little time.
for name in left right; do
	mkdir "$name"
	cat >"$name/topology.yaml" <<-'Y'
		nodes: [a]
	Y
done
# Never ready, so that whatever is done while it starts comes before its end.
mkdir slow
cat >slow/topology.yaml <<'Y'
nodes:
  a: {startup: ["sleep 1000"]}
Y

# What a lab could leave on the machine, beside processes: mounts and network devices.
traces() {
	grep -iE 'netlab|kvm' /proc/self/mounts || true
	find /sys/class/net -name 'nl*' -o -name 'netlab*' -o -name 'tap*' -o -name 'tun*'
	ls "$runtime" 2>/dev/null || true
}

start_two() {
	lab_up left
	lab_up right
	expect_equal "$(netlab list --format json | jq -r '.. | .lab? // .name? // empty' | sort -u | paste -sd ' ')" "left right"
}

they_are_apart() {
	netlab exec left/a -- sh -c 'echo left >/tmp/where'
	netlab exec --lab right a -- sh -c 'echo right >/tmp/where'
	expect_equal "$(netlab exec left/a -- cat /tmp/where)" left
	expect_equal "$(netlab exec right/a -- cat /tmp/where)" right
}

folder_picks_the_lab() {
	expect_equal "$(cd left && netlab exec a -- cat /tmp/where)" left
	expect_equal "$(cd right && netlab status --format json | jq -r .lab)" right
	# From elsewhere netlab does not guess.
	local output
	output=$(expect_status 2 netlab status 2>&1) || fail "$output"
	expect_match 'left' "$output"
}

down_one() {
	netlab down left
	netlab exec right/a -- true
	netlab down right
	wait_for no_daemons
}

same_twice() {
	lab_up --name one left
	lab_up --name two left
	netlab exec one/a -- sh -c 'echo one >/tmp/where'
	netlab exec two/a -- sh -c 'echo two >/tmp/where'
	expect_equal "$(netlab exec one/a -- cat /tmp/where)" one
	expect_equal "$(netlab exec two/a -- cat /tmp/where)" two
	netlab down --all
	wait_for no_daemons
}

# interrupted_after COMMAND...: Ctrl-C during up, once the command succeeds.
interrupted_after() {
	local pid before status=0
	before=$(traces)
	# In the background a shell ignores SIGINT, and so would its children.
	: >up.log
	env --default-signal=INT "$bin/netlab" up slow >up.log 2>&1 &
	pid=$!
	# Before it runs, the signal would meet a shell.
	wait_for [ "/proc/$pid/exe" -ef "$bin/netlab" ]
	wait_for "$@"
	kill -INT "$pid"
	wait "$pid" || status=$?
	cat up.log
	expect_equal "$status" 130
	wait_for no_daemons
	expect_equal "$(traces)" "$before"
}

interrupt() {
	interrupted_after true
	interrupted_after test -e "$runtime/slow/pid"
	interrupted_after test -S "$runtime/slow/control.sock"
	interrupted_after is_starting
}

# Its machine runs.
is_starting() {
	local state
	state=$(status_of '.nodes[0].state' slow) || return
	case $state in '' | created | ready) return 1 ;; esac
}

terminate() {
	local pid before status=0
	before=$(traces)
	"$bin/netlab" up slow >up.log 2>&1 &
	pid=$!
	wait_for is_starting
	kill -TERM "$pid"
	wait "$pid" || status=$?
	cat up.log
	expect_equal "$status" 143
	wait_for no_daemons
	expect_equal "$(traces)" "$before"
}

killed() {
	local pid status=0 before
	before=$(traces)
	lab_up left
	netlab exec left/a -- sleep 1000 >exec.log 2>&1 &
	pid=$!
	wait_for in_left 'pidof sleep'
	kill -KILL "$(daemon_pid left)"
	wait_for no_daemons
	wait "$pid" || status=$?
	expect_equal "$status" 125
	expect_equal "$(traces | grep -v '^left$')" "$before"
	expect_no_match left "$(netlab list 2>/dev/null)"
	expect_equal "$(traces)" "$before"
}

in_left() {
	netlab exec left/a -- sh -c "$1"
}

after_kill() {
	lab_up left
	kill -KILL "$(daemon_pid left)"
	wait_for no_daemons
	# Nobody has cleaned up: the next up does.
	lab_up left
	netlab exec left/a -- true
	netlab down left
	wait_for no_daemons
}

killed_while_starting() {
	local pid status=0
	netlab up slow >up.log 2>&1 &
	pid=$!
	wait_for is_starting
	kill -KILL "$(daemon_pid slow)"
	wait "$pid" || status=$?
	cat up.log
	expect_equal "$status" 1
	wait_for no_daemons
	expect_no_match slow "$(netlab list 2>/dev/null)"
}

told_to_end() {
	local before
	before=$(traces)
	lab_up left
	kill -TERM "$(daemon_pid left)"
	wait_for no_daemons
	expect_equal "$(traces)" "$before"
}

startup_failure_is_said() {
	local output
	mkdir -p odd
	cat >odd/topology.yaml <<-'Y'
		nodes:
		  a: {startup: ["echo first >/tmp/order", "sh -c 'echo its reason >&2; exit 3'", "echo second >>/tmp/order"]}
	Y
	output=$(expect_status 1 netlab up --timeout "$patience" odd 2>&1) || fail "$output"
	echo "$output"
	expect_match 'failed \(status 3\): its reason' "$output"
	expect_match 'failed \(status 3\): its reason' "$(status_of '.nodes[0].reason' odd)"
	# The others were run all the same, in their order.
	expect_equal "$(netlab exec odd/a -- cat /tmp/order)" first$'\n'second
	netlab down odd
}

files_and_startup() {
	mkdir -p set
	echo "good morning" >set/motd.txt
	cat >set/topology.yaml <<-'Y'
		nodes:
		  a:
		    files: {/etc/motd: motd.txt}
		    startup: ["cat /etc/motd >/tmp/seen", "ip link add dummy1 type veth peer name dummy2"]
		    sysctl: {net.ipv4.ip_default_ttl: 33}
	Y
	lab_up set
	expect_equal "$(netlab exec a -- cat /tmp/seen)" "good morning"
	netlab exec a -- ip link show dummy2
	expect_equal "$(netlab exec a -- cat /proc/sys/net/ipv4/ip_default_ttl)" 33
	netlab down set
}

check "two labs come up" start_two
check "they are two worlds" they_are_apart
check "the folder picks the lab" folder_picks_the_lab
check "one goes down, the other goes on" down_one
check "the same topology runs twice under two names" same_twice
check "Ctrl-C during up takes everything down" interrupt
check "SIGTERM during up takes everything down" terminate
check "kill -9 of netlabd leaves no process, device or mount" killed
check "after kill -9 the next up starts cleanly" after_kill
check "kill -9 of netlabd during up" killed_while_starting
check "SIGTERM to netlabd takes everything down" told_to_end
check "a startup command that fails is said" startup_failure_is_said
check "files, startup commands and sysctls of the topology" files_and_startup
finish
