#!/usr/bin/env bash
# Templates, and nodes that go on from them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

# Templates of its own, so that it sees how they are made and may damage them.
export XDG_CACHE_HOME=$work/cache
folder_of_templates=$XDG_CACHE_HOME/netlab-kvm/templates
topology=$top/labs/two-hosts/topology.yaml

# A node whose only neighbour is the gateway.
mkdir alone
cat >alone/topology.yaml <<'EOF'
nodes: [h1]
networks: {uplink: {mode: nat, subnet: 10.0.0.0/24}}
links: [{endpoints: [h1, uplink], ip: 10.0.0.10/24}]
EOF

up() {
	lab_up --no-capture "$topology"
}

all_are_clones() {
	expect_equal "$(status_of '[.nodes[].clone] | all' "$@")" true
}

none_is_a_clone() {
	expect_equal "$(status_of '[.nodes[].clone] | any')" false
}

# templates FILTER: jq's answer from the array of all templates.
templates() {
	netlab image list --format json | jq -r "[.[].templates[]] | $1"
}

first_lab() {
	up >output
	all_are_clones
	expect_match 'created: a template of image lab is being made, once' "$(cat output)"
	expect_equal "$(templates '[.[].nics] | sort | join(" ")')" "0 1" # That with a NIC went on from that without.
	expect_equal "$(templates '.[0] | "\(.image) \(.memory) \(.cpus) \(.stale)"')" "lab 67108864 1 false"
	# Far fewer bytes than the guest's memory: pages of zeroes are holes.
	[ "$(templates '.[0].size')" -lt 40000000 ]
}

network_is_there() {
	netlab exec h1 -- ping -c 2 -W 60 10.0.0.2
	netlab exec h2 -- ping -c 2 -W 60 10.0.0.1
	expect_match 'eth0' "$(netlab exec h1 -- ip -br link show eth0)"
}

# All that tells a guest from others, one a line: what it is, and its value.  Few programs: each takes an emulated guest
# half a second.
# shellcheck disable=SC2016 # For the guest.
identity='
	known() { read -r value <$2 && echo $1 $value; }
	echo random $(od -An -v -tx1 -N 32 /dev/urandom)
	known uuid /proc/sys/kernel/random/uuid
	known boot /proc/sys/kernel/random/boot_id
	known machine /etc/machine-id
	known name /proc/sys/kernel/hostname
	known address /sys/class/net/eth0/address
	# Bytes that no program asked for: where the kernel puts the stack of a new program.
	echo stack $(grep -F "[stack]" /proc/self/maps)'

strangers() {
	local what in_both
	in_node h1 "$identity" >identity-of-h1
	in_node h2 "$identity" >identity-of-h2
	for what in random uuid boot machine name address stack; do
		grep -q "^$what ." identity-of-h1 || fail "h1 has no $what: $(cat identity-of-h1)"
		grep -q "^$what ." identity-of-h2 || fail "h2 has no $what: $(cat identity-of-h2)"
	done
	in_both=$(sort identity-of-h1 identity-of-h2 | uniq -d)
	expect_equal "$in_both" ""
}

# The clocks went on from where the template was saved, the one on the wall from now.
clock_is_right() {
	local before there after
	before=$(date +%s)
	there=$(netlab exec h1 -- date +%s)
	after=$(date +%s)
	if [ "$there" -lt $((before - 2)) ] || [ "$there" -gt $((after + 2)) ]; then
		fail "$there is not in $before..$after"
	fi
	netlab exec h1 -- sleep 1
}

log_says_so() {
	expect_match 'goes on from a template' "$(netlab logs h1)"
}

restart_is_a_clone() {
	in_node h1 'touch /root/mark'
	netlab restart --timeout "$patience" h1
	all_are_clones
	expect_status 1 netlab exec h1 -- test -e /root/mark
	netlab exec h1 -- ping -c 1 -W 60 10.0.0.2
}

second_lab() {
	netlab down
	up >output
	all_are_clones
	expect_no_match 'is being made' "$(cat output)"
	expect_equal "$(templates length)" 2
}

warm() {
	netlab image warm lab
	expect_match 'are there' "$(netlab image warm lab)"
	expect_equal "$(netlab image warm --format json | jq '[.[].made] | any')" false
	expect_status 2 netlab image warm --memory 64
	expect_status 2 netlab image warm --cpus 0
	expect_status 3 netlab image warm no-such-image
}

# A guest that boots takes its time, so those below boot no more of them than they need.
alone() {
	lab_up --no-capture "$@" alone
}

cold() {
	netlab down
	alone --cold
	none_is_a_clone
	pings h1 10.0.0.2 1
	netlab down
}

own_boot() {
	mkdir -p other
	cat >other/topology.yaml <<-EOF
		nodes: {h1: {cmdline: "netlab.test=1"}, h2: {boot: cold}, h3: {boot: clone}}
	EOF
	lab_up --no-capture other
	expect_equal "$(status_of '[.nodes[] | select(.clone) | .name] | join(" ")')" h3
	netlab exec h1 -- grep netlab.test=1 /proc/cmdline
	netlab down
}

# Two pairs of hosts with the same addresses: all that TCP could tell its connections apart by is chance, and the time.
twins_come_up() {
	mkdir twins
	cat >twins/topology.yaml <<-EOF
		nodes:
		  h1: &host {startup: ["ip address add 10.0.0.1/24 dev eth0"]}
		  h2: *host
		  s1: &server {startup: ["ip address add 10.0.0.2/24 dev eth0"]}
		  s2: *server
		links: [h1-s1, h2-s2]
	EOF
	lab_up --captures twins/captures twins
	all_are_clones
}

# connects NODE: three times from ports that are the kernel's choice, and then from three where it has none.  Nobody
# listens, and nobody has to.
connects() {
	# shellcheck disable=SC2016
	in_node "$1" 'for i in 1 2 3; do nc -w 60 10.0.0.2 99; done 2>/dev/null
		for port in 5001 5002 5003; do
			echo $port $port >/proc/sys/net/ipv4/ip_local_port_range
			nc -w 60 10.0.0.2 99
		done 2>/dev/null
		true'
}

# beginnings NODE FILTER: the requests to connect: time, source port and sequence number.
beginnings() {
	frames "$(find twins/captures -name "$1-eth0.pcap")" "tcp.flags.syn == 1 && tcp.flags.ack == 0 && $2" \
		frame.time_epoch tcp.srcport tcp.seq_raw
}

# Linux adds a clock of 64 ns to what it makes of the addresses and a secret.  With the same secret in both the numbers
# are as far apart as the times are (and a few seconds, for their clocks); one may be so by chance, but not all.
twins_differ() {
	local node
	have tshark || skip "no tshark"
	twins_come_up
	connects h1
	connects h2
	netlab down
	for node in h1 h2; do
		beginnings "$node" 'tcp.srcport > 5003' | cut -f 2 >"ports-of-$node"
		beginnings "$node" 'tcp.srcport <= 5003' >"sequence-of-$node"
		expect_equal "$(wc -l <"ports-of-$node")" 3
		expect_equal "$(cut -f 2 "sequence-of-$node" | tr '\n' ' ')" "5001 5002 5003 "
	done
	! cmp ports-of-h1 ports-of-h2 || fail "both chose the ports $(tr '\n' ' ' <ports-of-h1)"
	paste sequence-of-h1 sequence-of-h2 | awk '
		{
			apart = $6 - $3 - ($4 - $1) * 1e9 / 64
			apart -= 2 ^ 32 * int(apart / 2 ^ 32)
			if (apart > 2 ^ 31) apart -= 2 ^ 32
			if (apart < -2 ^ 31) apart += 2 ^ 32
			print "apart by", apart * 64 / 1e9, "seconds"
			if (apart < 4e9 / 64 && apart > -4e9 / 64) near++
		}
		END { exit (near == 3) }'
}

# The one these hosts go on from.
our_template() {
	local key
	key=$(templates '.[] | select(.nics == 1 and .memory == 67108864) | .key')
	[ "${#key}" -eq 32 ] || fail "$key"
	printf '%s/%s' "$folder_of_templates" "$key"
}

# A byte in the middle of the state: the checksum sees it.
damaged_state() {
	local folder
	folder=$(our_template)
	chmod 600 "$folder/state"
	printf '\377\376' | dd of="$folder/state" bs=1 seek=5000 conv=notrunc status=none
	up >output
	all_are_clones # Of one that was made anew.
	expect_match 'is being made' "$(cat output)"
	expect_match 'damaged' "$(cat "$runtime/two-hosts/netlabd.log")"
	netlab down
}

# Nothing of the memory is read before a guest asks for it, so it is its size that tells.
truncated_memory() {
	local folder
	folder=$(our_template)
	chmod 600 "$folder/memory"
	truncate -s 1M "$folder/memory"
	up >output
	all_are_clones
	expect_match 'is being made' "$(cat output)"
	expect_match 'its memory has another size' "$(cat "$runtime/two-hosts/netlabd.log")"
	netlab down
}

# A good state, but of another machine: this is only seen when a guest is to go on from it.
state_of_another() {
	local folder state
	folder=$(our_template)
	netlab image warm lab --memory 96M
	state=$folder_of_templates/$(templates '.[] | select(.memory == 100663296 and .nics == 1) | .key')/state
	cp -f "$state" "$folder/state"
	alone
	none_is_a_clone
	expect_match 'its template is of no use: the state is of a machine with 1 CPUs and 96 MiB' "$(netlab logs h1)"
	pings h1 10.0.0.2 1
	[ ! -e "$folder" ] || fail "it is still there" # The next lab makes a new one.
	netlab down
	rm -rf "$folder_of_templates"
}

being_made() {
	[ -e "$runtime/killed/pid" ] && [ "$(status_of '.nodes[0].reason' killed)" != "" ]
}

# Whatever is there after a kill in the middle of it is not taken for a template.
killed_while_making() {
	local pid
	expect_equal "$(templates length)" 0
	netlab up --no-capture --name killed "$topology" >/dev/null 2>&1 &
	pid=$!
	wait_for being_made
	kill -KILL "$(daemon_pid killed)"
	wait "$pid" && fail "up succeeded"
	expect_equal "$(templates length)" 0
}

# One of the two makes it, the other waits.
two_at_once() {
	local pid
	lab_up --no-capture --name one "$topology" >output-of-one &
	pid=$!
	lab_up --no-capture --name two "$topology" >output-of-two
	wait "$pid"
	all_are_clones one
	all_are_clones two
	expect_equal "$(templates length)" 2
	[ -z "$(find "$folder_of_templates" -name '*.new')" ] || fail "something unfinished is left"
	netlab down --all
}

prune() {
	local folder
	expect_match 'No template is stale' "$(netlab image prune)"
	folder=$(our_template)
	mv "$folder" "$folder_of_templates/00000000000000000000000000000000"
	expect_equal "$(templates '[.[].stale] | sort | join(" ")')" "false true"
	expect_equal "$(netlab image prune --format json | jq length)" 1
	expect_equal "$(templates length)" 1
}

check "the first lab makes a template, and its nodes go on from it" first_lab
check "clones have their network" network_is_there
check "clones have nothing in common that is random" strangers
check "clones know what time it is, and it passes" clock_is_right
check "the log of a clone says that it is one" log_says_so
check "a node that restarts is a clone again" restart_is_a_clone
check "the second lab finds the template" second_lab
check "image warm" warm
check "up --cold boots" cold
check "nodes with a command line of their own, or boot: cold, boot" own_boot
check "clones choose their own TCP ports and sequence numbers" twins_differ
check "a damaged state is refused, and the template made anew" damaged_state
check "a memory that was cut short is refused, and the template made anew" truncated_memory
check "a template that cannot be started from is dropped, and its nodes boot" state_of_another
check "kill -9 while a template is made leaves none" killed_while_making
check "two labs at once make one template" two_at_once
check "image prune removes what is of no use" prune
finish
