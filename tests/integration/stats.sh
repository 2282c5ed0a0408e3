#!/usr/bin/env bash
# netlab stats and netlab top: what they say agrees with the status, whoever it is said to.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq script
need_image

# Snapshots of its own; images are where they were.
mkdir -p "$work/data/netlab-kvm"
ln -s "$(dirname "$image")" "$work/data/netlab-kvm/images"
export XDG_DATA_HOME=$work/data
export TERM=xterm

# h2 is alone on a network, so what it sends there is dropped.
mkdir lab
cat >lab/topology.yaml <<Y
name: office
nodes: [h1, h2]
networks: [lan, alone]
links:
  - {endpoints: [h1, lan], ip: 10.0.0.1/24}
  - {endpoints: [h2, lan], ip: 10.0.0.2/24}
  - {endpoints: [h2, alone], ip: 10.0.1.2/24}
  - endpoints: [{network: lan}, {socket: $work/peer.sock}]
Y

# ---- Statistics ------------------------------------------------------------------------------------------------------

drops_some() {
	expect_status 1 netlab exec h2 -- ping -c 1 -W 1 10.0.1.9
	[ "$(port_status h2:eth1 '.drops["no-destination"] // 0')" -gt 0 ]
}

# Held, nothing is counted while one is compared with another.
json_agrees() {
	netlab pause
	status_of . >was
	netlab stats --format json >is
	jq -e -s '
		def only(names): with_entries(select(.key | IN(names[])));
		.[0] as $status | .[1]
		| .lab == "office" and .uptime >= $status.uptime
		and .ports == [$status.ports[] | del(.capture_file, .carrier, .cut)]
		and .networks == [$status.networks[] | only(["name", "macs"])]
		and .attachments == [$status.attachments[] | only(["name", "state", "queued"])]
		and [.nodes[] | .name, .state, .memory] == [$status.nodes[] | .name, .state, .memory]
		and all(.nodes[]; .state == "paused" and .memory_private > 0)' was is >/dev/null || {
		cat was is
		fail "they differ"
	}
}

# The exposition format as its description has it, and no more than netlab writes of it: each line must be right.  The result is
# its samples.
# shellcheck disable=SC2016 # jq's variables.
exposition='
	def must(condition; what): if condition then . else error("not right: \(what)") end;
	def name: "[a-zA-Z_:][a-zA-Z0-9_:]*";
	def pair: "[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\\]|\\\\[\\\\\"n])*\"";
	def labels: [scan("([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\\]|\\\\.)*)\"") | {key: .[0], value: .[1]}] | from_entries;
	reduce inputs as $line ({families: {}, samples: []};
		if $line | test("^# HELP \(name) [^\\\\]+$") then
			($line | split(" ")[2]) as $family
			| must(.families[$family] | not; $line)
			| .families[$family] = "none" | .family = $family
		elif $line | test("^# TYPE \(name) (counter|gauge)$") then
			($line | split(" ")) as $words
			| must($words[2] == .family and .families[.family] == "none"; $line)
			| must(($words[3] == "counter") == ($words[2] | endswith("_total")); $line)
			| .families[.family] = $words[3]
		elif $line | test("^\(name)\\{\(pair)(,\(pair))*\\} [0-9]+(\\.[0-9]+)?$") then
			must(.family == ($line | split("{")[0]) and .families[.family] != "none"; $line)
			| .samples += [{name: .family, labels: ($line | labels), value: ($line | split(" ")[-1] | tonumber)}]
		else
			error("not right: \($line)")
		end)
	| must([.samples[] | [.name, .labels]] | length == (unique | length); "twice")
	| .samples'

prometheus_agrees() {
	netlab stats --format prometheus >text
	expect_equal "$(tail -c 1 text | od -An -c | tr -d ' ')" '\n'
	jq -n -R "$exposition" text >samples
	jq -e -s '
		.[0] as $status | .[1] as $samples
		| def values(name; key): [$samples[] | select(.name == name) | [.labels[key], .value]];
		all($samples[]; .labels.lab == "office")
		and values("netlab_port_transmit_frames_total"; "port") == [$status.ports[] | [.name, .tx_frames]]
		and values("netlab_port_transmit_bytes_total"; "port") == [$status.ports[] | [.name, .tx_bytes]]
		and values("netlab_port_receive_frames_total"; "port") == [$status.ports[] | [.name, .rx_frames]]
		and values("netlab_port_receive_bytes_total"; "port") == [$status.ports[] | [.name, .rx_bytes]]
		and values("netlab_port_filtered_frames_total"; "port") == [$status.ports[] | [.name, .rx_filtered]]
		and values("netlab_port_receive_ring_buffers"; "port")
			== [$status.ports[] | select(.rx_ring) | [.name, .rx_ring.size]]
		and values("netlab_port_receive_ring_free_buffers"; "port")
			== [$status.ports[] | select(.rx_ring) | [.name, .rx_ring.free]]
		and ([$status.ports[] | select(.rx_ring)] | length == 3)
		and values("netlab_network_mac_addresses"; "network") == [$status.networks[] | [.name, .macs]]
		and values("netlab_attachment_queued_bytes"; "attachment") == [["socket:\($peer)", 0]]
		and values("netlab_node_memory_limit_bytes"; "node") == [$status.nodes[] | [.name, .memory]]
		and [$samples[] | select(.name == "netlab_node_state" and .value == 1) | .labels.state] == ["paused", "paused"]
		and [$samples[] | select(.name == "netlab_port_dropped_frames_total" and .value > 0)
			| [.labels.port, .labels.reason, .value]]
			== [$status.ports[] | .name as $port | .drops | to_entries[] | [$port, .key, .value]]
		and values("netlab_lab_uptime_seconds"; "lab")[0][1] >= $status.uptime' \
		--arg peer "$(jq -r '.attachments[0].name | ltrimstr("socket:")' was)" was samples >/dev/null || {
		cat text was samples
		fail "they differ"
	}
}

as_text() {
	local text
	text=$(netlab stats)
	expect_match '^Lab office, up ' "$text"
	expect_match '^h2:eth1 .* [1-9][0-9]* no-destination' "$text"
	expect_match '^lan +isolated +2$' "$text"
}

# ---- Rates -----------------------------------------------------------------------------------------------------------

# Nothing crosses the ports of nodes that are held.
held_has_no_rates() {
	netlab top -n 2 -i 100ms --format json >rates
	netlab resume
	jq -e -s 'length == 2 and all(.[]; .lab == "office" and .interval > 0 and (.ports | length == 4)
		and all(.ports[]; .tx_bits_per_second == 0 and .rx_frames_per_second == 0 and .drops == {} and .capture_lost == 0)
		and [.ports[] | select(.queued != null) | .state] == ["listening"]
		and [.ports[] | select(.name == "h1:eth0") | .state] == ["paused"])' rates || fail "$(cat rates)"
}

# Intervals follow each other without a gap.
rates_follow() {
	in_node h1 'ping -i 0.2 10.0.0.2 >/dev/null 2>&1 &'
	wait_for has_rates
	in_node h1 'killall ping'
	jq -e -s 'length == 3 and all(.[]; [.ports[].name] | sort == ["h1:eth0", "h2:eth0"])
		and ([.[1:], .[:-1]] | transpose | all(.[0].uptime - .[0].interval - .[1].uptime | fabs < 0.001))' rates ||
		fail "$(cat rates)"
}

# Of both pings and answers, at both ports, in each interval.
has_rates() {
	netlab top h1 h2:eth0 -i 500ms -n 3 --format json >rates
	jq -e -s 'all(.[].ports[]; .tx_frames_per_second > 0 and .rx_frames_per_second > 0
		and .tx_bits_per_second >= 8 * 60 * .tx_frames_per_second and .drops_per_second == 0)' rates
}

in_a_pipe() {
	netlab top office -n 2 -i 200ms | cat >shown
	expect_equal "$(grep -c '^PORT  *STATE  *TX FRAMES.*RX FREE' shown)" 2
	expect_equal "$(grep -cE '^h2:eth0 .* [1-9][0-9]*/256 ' shown)" 2
	expect_equal "$(grep -c '^h2:eth1 ' shown)" 2
	expect_no_match $'\e' "$(cat shown)"
}

# Counters that went back tell nothing of the time between; the next interval is known again.
snapshot_is_restored() {
	local watching
	netlab snapshot save before
	pings h1 10.0.0.2 1
	netlab top -i 200ms --format json >rates &
	watching=$!
	wait_for test -s rates
	netlab snapshot restore before
	wait_for grep -q '"interval":null.*"tx_bits_per_second":null' rates
	wait_for known_again
	kill "$watching"
	wait "$watching" || true
}

known_again() {
	tail -n 1 rates | grep -q '"interval":0'
}

says_what_is_wrong() {
	local said
	said=$(expect_status 2 netlab top h1:eth7 2>&1)
	expect_match 'lab office has no port or node "h1:eth7"' "$said"
	said=$(expect_status 2 netlab top --interval 5 2>&1)
	expect_match 'interval "5" needs a unit' "$said"
	expect_status 2 netlab top --interval 1ms 2>/dev/null
	expect_status 2 netlab top -n 0 2>/dev/null
	expect_status 2 netlab stats --format junit 2>/dev/null
	expect_status 1 netlab stats nothing 2>/dev/null
}

# ---- On a terminal ---------------------------------------------------------------------------------------------------

# starts FILE: top, on a terminal; its process is in the file pid.
starts() {
	begin "sh -c 'echo \$\$ >pid; exec $bin/netlab top -i 200ms'; echo left with \$?; stty -a" "$1"
	wait_for grep -q 'TX BITS' "$1"
}

# left_with STATUS FILE: top has ended, and the terminal is as it was.
left_with() {
	wait_for grep -q "left with $1" "$2"
	exec 9>&-
	wait "$pid" || true
	expect_match $'\e\\[\\?25h\e\\[\\?1049l' "$(cat "$2")"
	expect_match '[^-]icanon' "$(cat "$2")"
	expect_match '[^-]echo ' "$(cat "$2")"
}

obeys_keys() {
	starts shown
	wait_for grep -q 'by bits' shown
	printf 'n' >&9
	wait_for grep -q 'by name' shown
	printf '\e[D' >&9
	wait_for grep -q 'by drops' shown
	printf 'q' >&9
	left_with 0 shown
	# Lines are drawn over each other, and none is longer than the terminal is wide.
	expect_match $'\e\\[H' "$(cat shown)"
}

is_ended_by_a_signal() {
	starts shown
	kill -TERM "$(cat pid)"
	left_with 143 shown
}

is_ended_by_the_lab() {
	starts shown
	netlab down office
	left_with 1 shown
	expect_match 'lab office ended the connection' "$(cat shown)"
}

check "the lab comes up" lab_up lab
check "h1 pings h2" pings h1 10.0.0.2
check "what is sent to nobody is dropped" drops_some
check "stats: JSON agrees with the status" json_agrees
check "stats: so does what Prometheus reads, and all of it is right" prometheus_agrees
check "stats: text" as_text
check "top: nothing crosses ports of nodes that are held" held_has_no_rates
check "top: intervals follow each other" rates_follow
check "top: tables in a pipe" in_a_pipe
check "top: a snapshot that is restored makes no rates" snapshot_is_restored
check "mistakes are named" says_what_is_wrong
check "top on a terminal: keys, and the terminal is as it was" obeys_keys
check "top on a terminal: a signal ends it, and the terminal is as it was" is_ended_by_a_signal
check "top on a terminal: the lab ends, and the terminal is as it was" is_ended_by_the_lab
finish
