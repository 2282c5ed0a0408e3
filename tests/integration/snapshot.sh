#!/usr/bin/env bash
# Snapshots of a whole lab, and pausing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# Snapshots of its own; images are where they were.
mkdir -p "$work/data/netlab-kvm"
ln -s "$(dirname "$image")" "$work/data/netlab-kvm/images"
export XDG_DATA_HOME=$work/data
snapshots=$XDG_DATA_HOME/netlab-kvm/snapshots/lan

bytes=1500000

mkdir lan
cp "$top/labs/lan/topology.yaml" lan/
cat >>lan/topology.yaml <<'EOF'
defaults: {startup: ["cat /etc/greeting >/tmp/greeted"]}
EOF
sed -i 's/^nodes: .*/nodes: {h1: {files: {\/etc\/greeting: greeting.txt}}, h2: , h3: , h4: }/; /^defaults/d' lan/topology.yaml
echo hello >lan/greeting.txt

starts() {
	lab_up lan
}

uptime_of() {
	in_node "$1" 'cut -d. -f1 /proc/uptime'
}

# A transfer from h3 to h4 and a ping from h1 to h2, which go on by themselves.
is_busy() {
	random_file sent "$bytes"
	netlab cp sent h3:/tmp/sent
	# It ends when the other one does, and not for want of input of its own.
	in_node h4 'mkfifo /tmp/none; nohup sh -c "nc -l -p 99 <>/tmp/none >/tmp/received; touch /tmp/all" >/dev/null 2>&1 &'
	wait_for listens h4 99
	in_node h3 'nohup sh -c "nc 10.0.0.4 99 </tmp/sent" >/dev/null 2>&1 &'
	in_node h1 'nohup ping -i 0.5 -W 60 10.0.0.2 >/tmp/ping 2>&1 &'
	in_node h1 'echo one >/tmp/what'
	wait_for in_node h4 'test -s /tmp/received'
	wait_for in_node h1 'grep -q icmp_seq=2 /tmp/ping'
}

saved() {
	local answer
	answer=$(netlab snapshot save --format json one)
	jq -e '.pause > 0 and .pause < 60' <<<"$answer"
	uptime_of h1 >uptime-when-saved
	in_node h4 '! test -e /tmp/all' || fail "the transfer was too short to be saved in the middle of it"
	expect_equal "$(netlab snapshot list --format json | jq -r '[.[] | "\(.lab) \(.name) \(.nodes)"] | join(" ")')" "lan one 4"
}

# Each reply came once, and in the order of the requests.
ping_is_in_order() {
	in_node h1 'killall -INT ping'
	wait_for in_node h1 'grep -q "packets transmitted" /tmp/ping'
	netlab exec h1 -- cat /tmp/ping >pinged
	! grep -E 'DUP|Unreachable' pinged || fail "$(cat pinged)"
	grep -o 'icmp_seq=[0-9]*' pinged | cut -d= -f2 >sequence
	sort -nc sequence || fail "$(cat pinged)"
	expect_equal "$(wc -l <sequence)" "$(tail -n 1 sequence)"
}

transfer_is_whole() {
	wait_for in_node h4 'test -e /tmp/all'
	expect_equal "$(in_node h4 'sha256sum </tmp/received' | cut -d ' ' -f 1)" "$(sum_of sent)"
}

goes_on_after_saving() {
	transfer_is_whole
	ping_is_in_order
}

is_as_it_was() {
	local now saved_uptime
	expect_equal "$(netlab exec h1 -- cat /tmp/what)" one
	saved_uptime=$(cat uptime-when-saved)
	now=$(uptime_of h1)
	# Its clock goes on from when it was saved, however long ago that is, and the one on the wall from now.
	[ "$now" -lt $((saved_uptime + ${1-30})) ] || fail "up $now s, saved after $saved_uptime s"
	now=$(in_node h1 'date +%s')
	[ "$now" -gt $(($(date +%s) - 60)) ] || fail "$now is long before $(date +%s)"
	[ "$now" -le $(($(date +%s) + 1)) ] || fail "$now is after $(date +%s)"
	transfer_is_whole
	ping_is_in_order
	pings h1 10.0.0.3 1
	pings h4 fd00::2 1
}

restored() {
	in_node h1 'echo two >/tmp/what'
	in_node h4 'rm /tmp/received'
	sleep 3
	netlab snapshot restore one
	is_as_it_was
	expect_match 'goes on from snapshot one' "$(netlab logs h2)"
}

never_twice() {
	local first
	netlab snapshot restore one
	first=$(in_node h2 'head -c 16 /dev/urandom | od -An -tx1')
	netlab snapshot restore one
	[ "$first" != "$(in_node h2 'head -c 16 /dev/urandom | od -An -tx1')" ] || fail "$first twice"
}

counters_go_back() {
	local before
	netlab snapshot restore one
	before=$(port_status h3:eth0 .tx_frames)
	wait_for in_node h4 'test -e /tmp/all'
	[ "$(port_status h3:eth0 .tx_frames)" -gt "$before" ]
	netlab snapshot restore one
	[ "$(port_status h3:eth0 .tx_frames)" -lt $((before + 500)) ]
}

# What was said on the console, and what was typed and not yet run.
# shellcheck disable=SC2016 # For the guest's shell.
console_is_kept() {
	types h2 'echo before-$((40 + 2))' before-42
	netlab snapshot save two
	types h2 'echo after-$((40 + 3))' after-43
	netlab snapshot restore two
	types h2 'echo again-$((40 + 4))' again-44
	expect_match before-42 "$(cat console)"
	expect_no_match after-43 "$(cat console)"
}

command_is_lost() {
	local status=0
	netlab exec h2 -- sleep 1000 &
	wait_for in_node h2 'pidof sleep'
	netlab snapshot save --replace two
	netlab snapshot restore two
	wait $! || status=$?
	[ "$status" -ne 0 ] || fail "the command that was lost succeeded"
	in_node h2 'pidof sleep' # In the guest it goes on.
}

paused() {
	local before
	netlab pause h2
	state_is h2 paused
	expect_status 125 netlab exec h2 -- true
	netlab exec h1 -- true
	netlab snapshot save half
	netlab resume h2
	state_is h2 ready
	before=$(uptime_of h2)
	netlab snapshot restore half
	state_is h2 paused
	netlab resume
	state_is h2 ready
	[ "$(uptime_of h2)" -le $((before + 30)) ]
	pings h2 10.0.0.1 1
	netlab pause lan
	expect_equal "$(status_of '[.nodes[].state] | unique | join(" ")')" paused
	netlab resume lan
	pings h2 10.0.0.1 1
}

stopped_node() {
	netlab exec h4 -- poweroff || true
	wait_for state_is h4 stopped
	netlab snapshot save three-of-four
	netlab restart --timeout "$patience" h4
	netlab snapshot restore three-of-four
	state_is h4 stopped
	netlab restart --timeout "$patience" h4
	pings h4 10.0.0.1 1
}

bad_requests() {
	expect_status 1 netlab snapshot save one >said 2>&1
	expect_match 'has a snapshot "one" already' "$(cat said)"
	expect_status 1 netlab snapshot save ../one 2>said
	expect_match 'cannot be a snapshot.s name' "$(cat said)"
	expect_status 1 netlab snapshot restore no-such 2>said
	expect_match 'has no snapshot "no-such"; it has .*one' "$(cat said)"
	expect_status 1 netlab snapshot delete no-such
	expect_status 2 netlab snapshot
	expect_status 2 netlab up --from one lan
	expect_status 1 netlab restart no-such-node
	netlab exec h1 -- true
}

# with_damage COMMAND...: a copy of snapshot "one" called "bad", to which that is done; restoring it fails, and
# nothing happens to the lab.
refused() {
	local says=$1
	shift
	rm -rf "$snapshots/bad"
	cp -r --sparse=always "$snapshots/one" "$snapshots/bad"
	chmod 600 "$snapshots/bad"/*
	(cd "$snapshots/bad" && "$@")
	expect_status 1 netlab snapshot restore bad 2>said
	expect_match "$says" "$(cat said)"
}

flip_byte() {
	printf '\377\376' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

damaged() {
	in_node h1 'echo alive >/tmp/what'
	refused 'is damaged' flip_byte state 5000
	refused 'is cut short|is too short' truncate -s 5000 state
	refused 'cannot be opened' rm state
	refused 'version 99' flip_version
	refused 'has another topology' sed -i 's/10.0.0.4/10.0.0.5/' topology.yaml
	expect_equal "$(netlab exec h1 -- cat /tmp/what)" alive
	# This shows when the lab's guests have gone: the node counts as crashed, and a good one brings all back.
	refused 'node h1: .*another size' truncate -s 1M memory-0
	state_is h1 crashed
	netlab snapshot restore one
	pings h1 10.0.0.2 1
	netlab snapshot delete bad
}

flip_version() {
	printf '\143' | dd of=state bs=1 seek=8 conv=notrunc status=none
}

from_a_snapshot() {
	netlab down
	expect_status 1 netlab up --from no-such 2>said
	expect_match 'no lab has a snapshot "no-such"' "$(cat said)"
	lab_up --from one
	is_as_it_was 60
	# The file it was given is there for its next start too, whatever has become of it outside.
	rm lan/greeting.txt
	netlab restart --timeout "$patience" h1
	expect_equal "$(netlab exec h1 -- cat /etc/greeting)" hello
	echo hello >lan/greeting.txt
	expect_match "lan/topology.yaml" "$(cat "$runtime/lan/topology")" # So "netlab status" finds it from that folder.
}

exported_and_imported() {
	local answer
	in_node h1 'echo step three >/tmp/what'
	netlab snapshot save step3
	answer=$(netlab snapshot export --format json step3 step3.netlab)
	jq -e --argjson size "$(stat -c %s step3.netlab)" '. == {lab: "lan", name: "step3", size: $size}' <<<"$answer"
	netlab snapshot delete step3
	in_node h1 'echo step four >/tmp/what'
	netlab down
	expect_status 1 netlab up --from step3
	netlab snapshot import step3.netlab >said
	expect_match 'netlab up --from step3 --lab lan' "$(cat said)"
	lab_up --from step3 --lab lan
	expect_equal "$(netlab exec h1 -- cat /tmp/what)" "step three"
	pings h1 10.0.0.2 1
	netlab down
}

# As somebody else, who has the image and nothing more.
handed_on_through_a_pipe() {
	mkdir -p other/netlab-kvm
	ln -s "$(dirname "$image")" other/netlab-kvm/images
	netlab snapshot export step3 - | XDG_DATA_HOME=$work/other netlab snapshot import --format json - given >answer
	jq -e '.lab == "lan" and .name == "given" and .size > 1000000' answer
	export XDG_DATA_HOME=$work/other
	lab_up --from given
	expect_equal "$(netlab exec h1 -- cat /tmp/what)" "step three"
	pings h3 10.0.0.4 1
	# The file it is given when it starts anew came along.
	netlab restart --timeout "$patience" h1
	expect_equal "$(netlab exec h1 -- cat /etc/greeting)" hello
	netlab down
	rm -r "$XDG_DATA_HOME"
}

# What there is below the folder of snapshots, and here.
inventory() {
	find "$snapshots" . -path ./runtime -prune -o ! -name 'said*' -print | sort
}

badly_exported_and_imported() {
	local before pid status=0
	head -c -1000 step3.netlab >short.netlab
	before=$(inventory)
	expect_status 1 netlab snapshot export step3 step3.netlab 2>said
	expect_match 'step3.netlab exists already; --replace' "$(cat said)"
	expect_status 1 netlab snapshot export no-such file
	expect_status 1 netlab snapshot export step3 no-such/file
	expect_status 2 netlab snapshot export step3 .
	expect_status 1 netlab snapshot export step3 /dev/full
	expect_status 2 netlab snapshot export --format json step3 -
	expect_status 2 netlab snapshot import
	expect_status 1 netlab snapshot import step3.netlab 2>said
	expect_match 'lab lan has a snapshot "step3" already' "$(cat said)"
	expect_status 1 netlab snapshot import short.netlab short 2>said
	expect_match 'short.netlab: it is damaged or cut short' "$(cat said)"
	expect_status 1 netlab snapshot import lan/topology.yaml 2>said
	expect_match 'this is no exported snapshot' "$(cat said)"
	expect_status 1 netlab snapshot import --lab office step3.netlab x
	# One that is ended while it waits for more.
	mkfifo fifo
	{ head -c 200000 step3.netlab && exec sleep 1000; } >fifo &
	pid=$!
	"$bin/netlab" snapshot import - x <fifo &
	wait_for is_saving
	kill -TERM $!
	wait $! || status=$?
	kill "$pid"
	rm fifo
	expect_equal "$status" 143
	expect_equal "$(inventory)" "$before"
	netlab snapshot export --replace step3 step3.netlab
	netlab snapshot import --replace step3.netlab
	lab_up --from step3
	expect_equal "$(netlab exec h1 -- cat /tmp/what)" "step three"
}

is_saving() {
	compgen -G "$snapshots/.new-*" >/dev/null
}

# Either there is none, or it is whole.
killed_while_saving() {
	local pid end=$((SECONDS + patience))
	netlab snapshot save killed >/dev/null 2>&1 &
	pid=$!
	until is_saving || [ "$SECONDS" -ge "$end" ]; do
		:
	done
	kill -KILL "$(daemon_pid lan)"
	wait "$pid" || true
	if netlab snapshot list | grep killed; then
		lab_up --from killed
		netlab down
	fi
	! is_saving || fail "what was half made is still there"
}

killed_while_restoring() {
	local pid
	lab_up --from one
	netlab snapshot restore one >/dev/null 2>&1 &
	pid=$!
	kill -KILL "$(daemon_pid lan)"
	wait "$pid" || true
	lab_up --from one
	pings h1 10.0.0.2 1
}

# Descriptors and threads of netlabd.
size_of_daemon() {
	local pid
	pid=$(daemon_pid lan)
	echo "$(find "/proc/$pid/fd" -type l | wc -l) $(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)"
}

# has_not_grown FD THREADS: to no more than that.
has_not_grown() {
	local now
	read -r -a now <<<"$(size_of_daemon)"
	if [ "${now[0]}" -gt "$1" ] || [ "${now[1]}" -gt "$2" ]; then
		fail "${now[*]} is more than $*"
	fi
}

many_times() {
	local before=() count
	netlab snapshot save --replace often
	netlab snapshot restore often
	# The connection of the last command may still be there, here and below.
	read -r -a before <<<"$(size_of_daemon)"
	for ((count = 0; count < 50; count++)); do
		netlab snapshot save --replace often >/dev/null
		netlab snapshot restore often >/dev/null
	done
	wait_for has_not_grown "${before[@]}"
	pings h1 10.0.0.2 2
	pings h3 10.0.0.4 2
}

check "the lab is up" starts
check "a transfer and a ping are under way" is_busy
check "the lab is saved" saved
check "all goes on after it was saved" goes_on_after_saving
check "the lab is what it was, and what was under way goes on" restored
check "what is random does not come twice" never_twice
check "counters go back" counters_go_back
check "consoles are kept" console_is_kept
check "a command whose client is elsewhere goes on in the guest" command_is_lost
check "nodes are paused and go on" paused
check "a node that is off stays off" stopped_node
check "bad requests" bad_requests
check "damaged snapshots are refused" damaged
check "a lab starts from a snapshot" from_a_snapshot
check "a snapshot is exported and imported" exported_and_imported
check "a snapshot is handed on through a pipe" handed_on_through_a_pipe
check "what cannot be exported or imported leaves nothing" badly_exported_and_imported
check "kill -9 while it is saved leaves nothing" killed_while_saving
check "kill -9 while it is restored does no harm" killed_while_restoring
check "50 times in a row" many_times
finish
