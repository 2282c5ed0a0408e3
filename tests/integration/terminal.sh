#!/usr/bin/env bash
# On a terminal: up shows how nodes come up, connect is the node's console, exec -t gives a command a terminal.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq script
need_image

export TERM=xterm
unset NO_COLOR

# Starts slowly enough to be seen starting.
mkdir lab
cat >lab/topology.yaml <<'Y'
name: terminal
nodes:
  h1: {startup: ["sleep 3"]}
Y

up_is_live() {
	on_terminal "$bin/netlab up --timeout $patience lab" shown || fail "$(cat shown)"
	# Lines are drawn again and again, in colours, with the time that goes by.
	expect_match $'\e\\[1A' "$(cat shown)"
	expect_match $'h1  \e\\[33mconfiguring\e\\[m, [1-9][0-9.]* s' "$(cat shown)"
	expect_match $'h1  \e\\[32mready\e\\[m in [1-9]' "$(cat shown)"
	expect_match 'Lab terminal is up' "$(cat shown)"
}

connect() {
	local status=0
	begin "$bin/netlab connect h1; echo left with \$?; stty -a" shown
	# What is typed is echoed, and must not be taken for the answer.
	wait_for grep -q 'Ctrl-\]' shown
	# shellcheck disable=SC2016 # The guest's arithmetic.
	printf 'echo answer-$((40+2))\r' >&9
	wait_for grep -q answer-42 shown
	printf '\035' >&9
	wait_for grep -q 'left with 0' shown
	exec 9>&-
	wait "$pid" || status=$?
	expect_equal "$status" 0
	# The terminal is as it was.
	expect_match '[^-]icanon' "$(cat shown)"
	expect_match '[^-]echo ' "$(cat shown)"
}

console_has_its_size() {
	local status=0
	begin "$bin/netlab connect h1" shown
	wait_for grep -q 'Ctrl-\]' shown
	wait_for size_is_said 30 90
	printf '\035' >&9
	exec 9>&-
	wait "$pid" || status=$?
	expect_equal "$status" 0
}

# size_is_said ROWS COLUMNS: some kernels read the columns where the device has written the rows.
size_is_said() {
	printf 'stty size\r' >&9
	sleep 1
	grep -qE "^($1 $2|$2 $1)" shown
}

exec_has_a_terminal() {
	# shellcheck disable=SC2016 # The guest's variable.
	on_terminal "$bin/netlab exec -t h1 -- sh -c 'test -t 0 && test -t 1 && stty size && echo TERM is \$TERM'" shown
	expect_match '30 90' "$(cat shown)"
	expect_match 'TERM is xterm' "$(cat shown)"
	expect_status 5 on_terminal "$bin/netlab exec -t h1 -- sh -c 'exit 5'" shown
}

exec_has_none() {
	expect_status 1 on_terminal "$bin/netlab exec h1 -- test -t 0" shown
}

# Ctrl-C is a key like others, and the guest's terminal makes a signal of it.
ctrl_c_is_typed() {
	local status=0
	begin "$bin/netlab exec -t h1 -- sh -c 'trap \"echo told; exit 9\" INT; echo begun; while :; do sleep 0.1; done'" shown
	wait_for grep -q begun shown
	printf '\003' >&9
	wait "$pid" || status=$?
	exec 9>&-
	expect_equal "$status" 9
	expect_match told "$(cat shown)"
}

check "up shows the node's states as they change" up_is_live
check "connect: a command, its answer, and Ctrl-] leaves" connect
check "the console is as large as the terminal" console_has_its_size
check "exec -t gives a terminal" exec_has_a_terminal
check "exec without -t gives none" exec_has_none
check "exec -t passes Ctrl-C on" ctrl_c_is_typed
check "down" netlab down terminal
finish
