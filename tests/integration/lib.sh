# shellcheck shell=bash
# What the tests in this folder have in common: TAP output, a world of their own, and the cleaning up.
#
#	#!/usr/bin/env bash
#	set -euo pipefail
#	source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#	need_image
#	check "the lab comes up" lab_up "$top/labs/two-hosts/topology.yaml"
#	knows_its_name() { expect_equal "$(netlab exec h1 -- hostname)" h1; }
#	check "h1 knows its name" knows_its_name
#	check "h1 pings h2" pings h1 10.0.0.2
#	finish
#
# Each check runs in a subshell with 'set -e', in the folder $work; what it prints is shown when it fails.  The test
# has its own XDG_RUNTIME_DIR, so that it neither sees nor disturbs the labs of others.
#
# Nothing here depends on how fast the machine is: whatever is waited for is waited for with a limit of minutes.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
test_name=$(basename "$0" .sh)
# Where what explains a failure is kept.
keep=${NETLAB_TEST_KEEP:-$top/build/check}/$test_name.kept

# Seconds that anything may take on the slowest machine, many guests at once, before it counts as hanging.
patience=${NETLAB_TEST_PATIENCE:-600}

work=$(cd "$(mktemp -d)" && pwd -P)
# The programs to test: a copy, so that building again meanwhile does no harm.
bin=$work/bin
mkdir "$bin"
for program in netlab netlabd netlab-bridge-helper; do
	cp "${NETLAB_BIN:-$top/build}/$program" "$bin/"
done
export XDG_RUNTIME_DIR=$work/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"
runtime=$XDG_RUNTIME_DIR/netlab-kvm
image=${XDG_DATA_HOME:-$HOME/.local/share}/netlab-kvm/images/lab
cd "$work" || exit 1

checks_run=0
checks_failed=0
skip_all=

# ---- TAP -------------------------------------------------------------------------------------------------------------

# check NAME COMMAND...: one line of TAP.
check() {
	local name=$1 status=0
	shift
	checks_run=$((checks_run + 1))
	if [ -n "$skip_all" ]; then
		echo "ok $checks_run - $name # SKIP $skip_all"
		return
	fi
	rm -f "$work/.skip"
	set +e
	(
		set -e
		"$@"
	) >"$work/.output" 2>&1 </dev/null
	status=$?
	set -e
	if [ -e "$work/.skip" ]; then
		echo "ok $checks_run - $name # SKIP $(cat "$work/.skip")"
	elif [ "$status" -eq 0 ]; then
		echo "ok $checks_run - $name"
	else
		checks_failed=$((checks_failed + 1))
		echo "not ok $checks_run - $name"
		echo "# exit status $status; it said:"
		tail -n 60 "$work/.output" | sed 's/^/#   /'
	fi
}

# skip REASON: ends the check that runs.
skip() {
	printf '%s\n' "$1" >"$work/.skip"
	exit 0
}

# finish: the plan.  A test that ends without it died.
finish() {
	echo "1..$checks_run"
	[ "$checks_failed" -eq 0 ]
}

# fail TEXT: ends the check that runs.
fail() {
	printf 'FAILED: %s\n' "$*"
	exit 1
}

# ---- What a test needs -----------------------------------------------------------------------------------------------

# skip_rest REASON: all checks from here on are skipped, each by its name.
skip_rest() {
	[ -n "$skip_all" ] || skip_all=$1
}

need_kvm() {
	if [ ! -e /dev/kvm ]; then
		skip_rest "no /dev/kvm"
	elif [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
		skip_rest "no permission to use /dev/kvm"
	fi
}

# has_image NAME
has_image() {
	[ -e "$(dirname "$image")/$1/image.yaml" ]
}

# Guests, that is KVM and the image "lab".
need_image() {
	need_kvm
	has_image lab || skip_rest "the image lab is not built"
}

# For a whole test; inside a check use: have tshark || skip "no tshark".
need_tool() {
	local tool
	for tool; do
		have "$tool" || skip_rest "no $tool"
	done
}

have() {
	command -v "$1" >/dev/null
}

# free_port: one that nobody listens on.
free_port() {
	local port
	while port=$((20000 + RANDOM % 20000)); do
		[ -n "$(ss -Hltnu "sport = :$port")" ] || break
	done
	echo "$port"
}

port_is_taken() {
	[ -n "$(ss -Hltn "sport = :$1")" ]
}

# ---- netlab ----------------------------------------------------------------------------------------------------------

netlab() {
	timeout -k 10 $((patience + 60)) "$bin/netlab" "$@"
}

# lab_up ARGUMENTS...: netlab up, with the state it left behind when it failed.
lab_up() {
	if ! netlab up --timeout "$patience" "$@"; then
		show_logs
		return 1
	fi
}

# lab_down: the one lab that runs ends, and so does its daemon.
lab_down() {
	netlab down
	wait_for no_daemons
}

# What the daemons and guests said.
show_logs() {
	local file
	for file in "$runtime"/*/netlabd.log "$runtime"/*/nodes/*; do
		[ -s "$file" ] || continue
		echo "--- ${file#"$runtime/"}"
		tail -n 30 "$file"
	done
}

# in_node NODE COMMAND: a shell command line in a guest of the one lab that runs.
in_node() {
	netlab exec "$1" -- sh -c "$2"
}

# pings NODE ADDRESS [COUNT]: each of the echo requests (3) is answered, however late.
pings() {
	local count=${3-3} output
	output=$(netlab exec "$1" -- ping -c "$count" -i 0.5 -W 60 "$2" 2>&1) || fail "$output"
	expect_match "(^|[^0-9])$count (packets )?received" "$output"
}

# listens NODE PORT: a program in the guest accepts TCP connections there.
listens() {
	local sockets
	sockets=$(netlab exec "$1" -- ss -Hltn "sport = :$2") && [ -n "$sockets" ]
}

# status_of FILTER [LAB]: jq's answer from the status.
status_of() {
	netlab status ${2+--lab "$2"} --format json | jq -r "$1"
}

# port_status PORT FILTER: jq's answer from what the status has of the port.
port_status() {
	status_of ".ports[] | select(.name == \"$1\") | $2"
}

# state_is NODE STATE
state_is() {
	[ "$(status_of ".nodes[] | select(.name == \"$1\") | .state")" = "$2" ]
}

# daemon_pid LAB
daemon_pid() {
	cat "$runtime/$1/pid"
}

# Process ids of the netlabd processes that belong to this test, whatever lab they run.
daemons() {
	local process
	for process in /proc/[0-9]*; do
		if [ "$(readlink "$process/exe" 2>/dev/null)" = "$bin/netlabd" ] &&
			grep -qzxF "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" "$process/environ" 2>/dev/null; then
			echo "${process#/proc/}"
		fi
	done
}

no_daemons() {
	[ -z "$(daemons)" ]
}

# ---- A terminal ------------------------------------------------------------------------------------------------------

# on_terminal COMMAND FILE: the command's status, and what a terminal of 30 rows would show.  Keys come from standard input.
on_terminal() {
	script -qfec "stty rows 30 columns 90; $1" "$2" >/dev/null
}

# types NODE LINE PATTERN: on its console, until that is seen there; what was seen is in the file "console".
types() {
	local pid
	rm -f typed
	mkfifo typed
	netlab connect "$1" <typed >console &
	pid=$!
	exec 9>typed
	printf '%s\n' "$2" >&9
	wait_for grep -q "$3" console
	exec 9>&-
	wait "$pid"
}

# begin COMMAND FILE: the same in the background, as $pid; what is written to descriptor 9 is typed.
begin() {
	rm -f keys "$2"
	mkfifo keys
	on_terminal "$1" "$2" <keys &
	pid=$!
	exec 9>keys
}

# ---- Asking and comparing --------------------------------------------------------------------------------------------

# expect_status STATUS COMMAND...: runs it, output and all.
expect_status() {
	local wanted=$1 status=0
	shift
	"$@" || status=$?
	[ "$status" -eq "$wanted" ] || fail "exit status $status instead of $wanted from: $*"
}

# expect_match PATTERN TEXT: an extended regular expression.
expect_match() {
	grep -qE -- "$1" <<<"$2" || fail "nothing matches \"$1\" in: $2"
}

expect_no_match() {
	! grep -qE -- "$1" <<<"$2" || fail "\"$1\" matches in: $2"
}

expect_equal() {
	[ "$1" = "$2" ] || fail "\"$1\" is not \"$2\""
}

# wait_for COMMAND...: until it succeeds.  It runs in a subshell, so that it may also fail().
wait_for() {
	local end=$((SECONDS + patience))
	until ("$@") >"$work/.waited" 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			cat "$work/.waited"
			fail "waited $patience seconds for: $*"
		fi
		sleep 0.2
	done
}

# random_file FILE BYTES
random_file() {
	head -c "$2" /dev/urandom >"$1"
}

sum_of() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

# frames FILE FILTER [FIELD...]: what tshark finds, one frame a line.
frames() {
	local file=$1 filter=$2 field fields=()
	shift 2
	for field; do
		fields+=(-e "$field")
	done
	tshark -n -r "$file" -Y "$filter" ${fields[@]+-T fields "${fields[@]}"} 2>"$work/.tshark" ||
		fail "tshark: $(cat "$work/.tshark")"
}

# comments LAB PATTERN: how many frames of its capture have such a comment.
comments() {
	frames "captures/$1/lab.pcapng" frame.comment frame.comment | grep -cE -- "$2"
}

# ---- Cleaning up -----------------------------------------------------------------------------------------------------

keep_logs() {
	local folder
	rm -rf "$keep"
	for folder in "$runtime"/*/; do
		[ -d "$folder" ] || continue
		mkdir -p "$keep/$(basename "$folder")"
		cp -r "$folder"/*.log "$folder"/nodes "$keep/$(basename "$folder")/" 2>/dev/null || true
	done
}

clean_up() {
	local folder pid
	if [ "$checks_failed" -gt 0 ]; then
		keep_logs
	fi
	for folder in "$runtime"/*/; do
		[ -d "$folder" ] || continue
		timeout 60 "$bin/netlab" down --lab "$(basename "$folder")" >/dev/null 2>&1 || true
	done
	for pid in $(daemons); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	cd /
	rm -rf "$work"
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
