#!/usr/bin/env bash
# What becomes of a node: restart, reboot, power-off, crash.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

others_go_on() {
	netlab exec h2 -- true
	state_is h2 ready
}

restart() {
	in_node h1 'touch /root/old'
	netlab restart --timeout "$patience" h1
	state_is h1 ready
	expect_status 1 in_node h1 'test -e /root/old'
	pings h1 10.0.0.2 1
	pings h2 10.0.0.1 1
	others_go_on
}

reboot() {
	in_node h1 'touch /root/old'
	netlab exec h1 -- reboot || true # The guest may be gone before the command has ended.
	wait_for is_new h1
	pings h1 10.0.0.2 1
	others_go_on
}

# Ready, and not the one that has the file.
is_new() {
	state_is "$1" ready && netlab exec "$1" -- sh -c '! test -e /root/old'
}

power_off() {
	netlab exec h1 -- poweroff || true
	wait_for state_is h1 stopped
	others_go_on
	expect_status 125 netlab exec h1 -- true
	# Frames for it are lost, and said to be.
	netlab exec h2 -- ping -c 1 -W 2 10.0.0.1 && fail "a node that is off answers"
	[ "$(port_status h1:eth0 '[.drops[]?] | add // 0')" -gt 0 ]
}

restart_after_power_off() {
	netlab restart --timeout "$patience" h1
	state_is h1 ready
	pings h1 10.0.0.2 1
}

crash() {
	# shellcheck disable=SC2016 # For the guest.
	in_node h1 'test -e /proc/sysrq-trigger' || skip "the guest's kernel has no sysrq"
	netlab exec h1 -- sh -c 'echo 1 >/proc/sys/kernel/sysrq 2>/dev/null; echo c >/proc/sysrq-trigger' || true
	wait_for state_is h1 crashed
	expect_equal "$(status_of '.nodes[] | select(.name == "h1") | .reason')" "kernel panic: sysrq triggered crash"
	others_go_on
	wait_for log_says h1 'Kernel panic'
	wait_for test -s captures/two-hosts/crash-h1.pcapng
	netlab restart --timeout "$patience" h1
	state_is h1 ready
	# And what it does then is not taken for another panic.
	reboot
}

# log_says NODE PATTERN
log_says() {
	local log
	log=$(netlab logs "$1") && grep -q "$2" <<<"$log"
}

running_commands_end() {
	local status=0
	netlab exec h1 -- sh -c 'echo started; sleep 1000' >long &
	wait_for grep -q started long
	netlab restart --timeout "$patience" h1
	wait $! || status=$?
	expect_equal "$status" 125
}

captures_go_on() {
	have tshark || skip "no tshark"
	netlab down
	[ "$(frames captures/two-hosts/h2-eth0.pcap 'icmp.type == 8' frame.number | wc -l)" -ge 4 ]
}

check "two hosts come up" lab_up "$top/labs/two-hosts/topology.yaml"
check "restart gives a new machine" restart
check "commands that run end when their node restarts" running_commands_end
check "reboot in the guest" reboot
check "poweroff in the guest" power_off
check "restart after poweroff" restart_after_power_off
check "a guest whose kernel panics has crashed, with what was captured before" crash
check "the captures went on all the while" captures_go_on
finish
