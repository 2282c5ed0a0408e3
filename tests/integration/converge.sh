#!/usr/bin/env bash
# "netlab up" on a lab that runs: what the plan says, what is touched and, above all, what is not.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

mkdir office

write_first() {
	cat >office/topology.yaml <<-'END'
		nodes: [h1, h2, h3]
		networks: [lan]
		links:
		- {endpoints: [h1, lan], ip: [10.0.0.1/24]}
		- {endpoints: [h2, lan], ip: [10.0.0.2/24]}
		- {endpoints: [h3, lan], ip: [10.0.0.3/24]}
	END
}

# h2 goes, h4 comes, h3 has more memory.
write_second() {
	cat >office/topology.yaml <<-'END'
		nodes: {h1: , h3: {memory: 80M}, h4: }
		networks: [lan]
		links:
		- {endpoints: [h1, lan], ip: [10.0.0.1/24]}
		- {endpoints: [h3, lan], ip: [10.0.0.3/24]}
		- {endpoints: [h4, lan], ip: [10.0.0.4/24]}
	END
}

up() {
	lab_up office
	pings h1 10.0.0.2
	pings h2 10.0.0.3 1
}

# What would not survive if h1 were touched.
mark() {
	in_node h1 'sleep 100000 >/dev/null 2>&1 & echo $! >/root/process'
	in_node h1 'cat /proc/sys/kernel/random/boot_id' >boot-of-h1
	in_node h3 'cat /proc/sys/kernel/random/boot_id' >boot-of-h3
	transmitted h1 >transmitted-before
}

# transmitted NODE: frames.
transmitted() {
	port_status "$1:eth0" .tx_frames
}

nothing_to_do() {
	local output
	output=$(netlab up office) || fail "$output"
	expect_match 'Lab office is as office/topology.yaml says; nothing to do' "$output"
	h1_is_untouched
}

h1_is_untouched() {
	expect_equal "$(in_node h1 'cat /proc/sys/kernel/random/boot_id')" "$(cat boot-of-h1)"
	# shellcheck disable=SC2016 # The guest's.
	in_node h1 'kill -0 "$(cat /root/process)"'
	[ "$(transmitted h1)" -ge "$(cat transmitted-before)" ]
	state_is h1 ready
}

nothing_has_changed() {
	expect_equal "$(status_of '[.nodes[].name] | join(" ")')" "h1 h2 h3"
	expect_equal "$(in_node h3 'cat /proc/sys/kernel/random/boot_id')" "$(cat boot-of-h3)"
	h1_is_untouched
	pings h1 10.0.0.2 1
}

plan() {
	local output
	write_second
	output=$(netlab up --plan office) || fail "$output"
	expect_equal "$output" "$(plan_text)"
	nothing_has_changed
}

plan_text() {
	cat <<-'END'
		Lab office is running; to make it as office/topology.yaml says:
		  + node h4
		  - node h2
		  ~ node h3 (restarts: memory 64M -> 80M)
		  + link h4:eth0 - lan
		  - link h2:eth0 - lan
	END
}

plan_json() {
	netlab up --plan --format json office >plan.json
	expect_equal "$(jq -r .lab plan.json)" office
	expect_equal "$(jq -r .running plan.json)" "$PWD/office/topology.yaml"
	expect_equal "$(jq -r '[.changes[] | .action + " " + .kind + " " + .name] | join(", ")' plan.json)" \
		"add node h4, remove node h2, restart node h3, add link h4:eth0 - lan, remove link h2:eth0 - lan"
	expect_equal "$(jq -r '.changes[2].reason' plan.json)" "memory 64M -> 80M"
	nothing_has_changed
}

nobody_to_ask() {
	local output
	output=$(expect_status 2 netlab up office 2>&1) || fail "$output"
	expect_match '\+ node h4' "$output"
	expect_match 'help: .*--yes' "$output"
	nothing_has_changed
}

# answer TEXT STATUS: somebody at a terminal says so.
answer() {
	have script || skip "no script"
	printf '%s\n' "$1" >typed
	expect_status "$2" script -qec "$bin/netlab up office" /dev/null <typed >said
	cat said
	expect_match 'Go on\? \[y/N\]' "$(cat said)"
}

no() {
	answer n 1
	expect_match 'Nothing was changed' "$(cat said)"
	nothing_has_changed
}

bad_topology() {
	local output
	sed -i 's/memory: 80M/memory: 80/; s/10.0.0.4/10.0.0.1/' office/topology.yaml
	output=$(expect_status 2 netlab up --yes office 2>&1) || fail "$output"
	expect_match 'office/topology.yaml:1:[0-9]+: error:' "$output"
	expect_match 'office/topology.yaml:6:[0-9]+: error: address 10.0.0.1/24 is used twice' "$output"
	nothing_has_changed
}

too_much_memory() {
	local output
	{
		echo 'defaults: {memory: 3072M}'
		echo 'nodes:'
		seq -f '  h%g:' 1 1000
	} >office/topology.yaml
	output=$(expect_status 2 netlab up --yes office 2>&1) || fail "$output"
	expect_match 'office/topology.yaml:2:1: error: the 1000 nodes of lab office and its capture may come to need' "$output"
	nothing_has_changed
}

no_image() {
	local output
	sed 's/h4:/h4: {image: there-is-none}/' <(write_second && cat office/topology.yaml) >bad.yaml
	output=$(expect_status 3 netlab up --yes --name office bad.yaml 2>&1) || fail "$output"
	expect_match 'there-is-none' "$output"
	nothing_has_changed
}

# A file that is changed while somebody looks at its plan is another file.
stale_plan() {
	have script || skip "no script"
	write_second
	: >said
	{
		wait_for grep -q 'Go on' said
		echo '# Another one.' >>office/topology.yaml
		echo y
	} | expect_status 1 script -qefc "$bin/netlab up office" said
	expect_match 'has changed since the plan was made' "$(cat said)"
	nothing_has_changed
}

fixed_at_start() {
	local output
	output=$(expect_status 2 netlab up --yes --captures elsewhere office 2>&1) || fail "$output"
	expect_match -- '--captures cannot be changed' "$output"
	expect_status 2 netlab up --yes --no-capture office
	[ ! -e elsewhere ]
	nothing_has_changed
}

# With streams open on the node that goes.
change() {
	local output logs console
	write_second
	"$bin/netlab" logs -f h2 >followed 2>&1 &
	logs=$!
	netlab exec h2 -- sh -c 'echo started; sleep 1000' >long 2>&1 &
	console=$!
	wait_for grep -q started long
	output=$(lab_up --yes office 2>&1) || fail "$output"
	echo "$output"
	expect_match 'h3: ready' "$output"
	expect_match 'h4: ready' "$output"
	expect_no_match '^h1: ' "$output"
	expect_match 'Lab office is as office/topology.yaml says\.' "$output"
	expect_status 1 wait "$logs"
	expect_status 125 wait "$console"
	expect_match 'h2 is not a node of lab office any more' "$(cat followed)"
}

lab_is_another() {
	expect_equal "$(status_of '[.nodes[] | .name + " " + .state] | join(", ")')" "h1 ready, h3 ready, h4 ready"
	expect_equal "$(status_of '.nodes[1].memory')" 83886080
	expect_equal "$(status_of '[.ports[].name] | join(" ")')" "h1:eth0 h3:eth0 h4:eth0"
	expect_equal "$(status_of '.nodes[2].interfaces[0].link')" lan
	expect_status 125 netlab exec h2 -- true
	[ ! -e "$runtime/office/nodes/h2.log" ]
}

changed_nodes_are_new() {
	[ "$(in_node h3 'cat /proc/sys/kernel/random/boot_id')" != "$(cat boot-of-h3)" ]
	pings h1 10.0.0.4
	pings h4 10.0.0.3 1
	netlab exec h1 -- ping -c 1 -W 2 10.0.0.2 && fail "h2 still answers"
	return 0
}

# Names of nodes that came are known everywhere, and those of nodes that went nowhere.
names() {
	wait_for in_node h1 'grep -q h4 /etc/hosts && ! grep -q h2 /etc/hosts'
	pings h1 h4 1
	pings h4 h1 1
}

capture_of_gone_node() {
	have tshark || skip "no tshark"
	[ "$(frames captures/office/h2-eth0.pcap 'icmp.type == 8' frame.number | wc -l)" -ge 4 ]
	expect_equal "$(find "/proc/$(daemon_pid office)/fd" -lname '*h2-eth0.pcap')" ""
}

# One capture for both machines of h3.
capture_of_restarted_node() {
	have tshark || skip "no tshark"
	wait_for has_pings_from 10.0.0.2
	wait_for has_pings_from 10.0.0.4
}

has_pings_from() {
	[ -n "$(frames captures/office/h3-eth0.pcap "icmp.type == 8 && ip.src == $1" frame.number)" ]
}

# h2 is here again: its capture goes on where it ended.
back_again() {
	local before
	before=$(stat -c %s captures/office/h2-eth0.pcap)
	cp captures/office/h2-eth0.pcap first-life
	write_first
	lab_up --yes office
	pings h2 10.0.0.1
	expect_status 125 netlab exec h4 -- true
	h1_is_untouched
	[ "$(stat -c %s captures/office/h2-eth0.pcap)" -gt "$before" ]
	cmp -n "$before" first-life captures/office/h2-eth0.pcap
}

# A wire is moved, and a network replaced, under running nodes.
rewiring() {
	in_node h2 'cat /proc/sys/kernel/random/boot_id' >boot-of-h2
	sed -i 's/networks: .*/networks: {lan: {mac-table: 64}, dmz: }/; s/\[h3, lan\]/[h3, dmz]/' office/topology.yaml
	netlab up --yes office >said
	cat said
	expect_match '~ network lan \(mac-table 4096 -> 64\)' "$(cat said)"
	expect_match '\+ network dmz' "$(cat said)"
	expect_no_match ' node ' "$(cat said)"
	h1_is_untouched
	expect_equal "$(in_node h2 'cat /proc/sys/kernel/random/boot_id')" "$(cat boot-of-h2)"
	pings h1 10.0.0.2
	netlab exec h1 -- ping -c 1 -W 2 10.0.0.3 && fail "h3 is on another network, and answers"
	expect_equal "$(status_of '[.networks[].name] | join(" ")')" "lan dmz"
}

# What is changed of the lab's file is, and what is settled at the start is said, each time.
capture_changes() {
	local output
	cp office/topology.yaml before-capture.yaml
	echo 'capture: {events: on, snaplen: 128}' >>office/topology.yaml
	output=$(netlab up --yes office) || fail "$output"
	expect_match '~ capture office \(events on\)' "$output"
	expect_match '! capture office \(snaplen whole frames -> 128: takes effect when .* netlab down && netlab up\)' "$output"
	expect_match 'says, but for its capture, which goes on as it was started' "$output"
	pings h1 10.0.0.2
	wait_for grep -aq 'event=the lab was changed' captures/office/lab.pcapng
	output=$(netlab up office) || fail "$output"
	expect_no_match '~ capture' "$output"
	expect_match '! capture office \(snaplen whole frames -> 128' "$output"
	expect_match 'Nothing else is to be done' "$output"
	netlab up --plan --format json office >plan.json
	expect_equal "$(jq -c '.changes | map([.kind, .action, .reason])' plan.json)" \
		'[["capture","later","snaplen whole frames -> 128"]]'
	mv before-capture.yaml office/topology.yaml
	netlab up --yes office >said
	expect_match '~ capture office \(events off\)' "$(cat said)"
	h1_is_untouched
}

# Given to a running guest.
in_place() {
	sed -i 's/nodes: .*/nodes: {h1: {sysctl: {net.ipv4.ip_forward: 1}}, h2: , h3: }/' office/topology.yaml
	sed -i 's,ip: \[10.0.0.2/24,ip: [[10.0.0.2/24\, 10.0.9.2/24],' office/topology.yaml
	netlab up --yes office >said
	cat said
	expect_match '~ node h1 \(sysctl net.ipv4.ip_forward = 1\)' "$(cat said)"
	expect_match '~ node h2 \(eth0 with 10.0.9.2/24\)' "$(cat said)"
	h1_is_untouched
	expect_equal "$(in_node h1 'cat /proc/sys/net/ipv4/ip_forward')" 1
	expect_match '10\.0\.9\.2/24' "$(in_node h2 'ip address show eth0')"
	expect_match '10\.0\.0\.2/24' "$(in_node h2 'ip address show eth0')"
}

# What cannot be given is an error of that node, and of nothing else.
in_place_fails() {
	local output
	sed -i 's/net.ipv4.ip_forward: 1/&, net.there.is.none: 1/' office/topology.yaml
	output=$(expect_status 1 netlab up --yes office 2>&1) || fail "$output"
	expect_match 'h1 is not set up as it should be' "$output"
	h1_is_untouched
	sed -i 's/, net.there.is.none: 1//' office/topology.yaml
}

# One that was switched off is started again.  One that cannot be set up leaves the lab running.
node_fails() {
	local output
	netlab exec h3 -- poweroff || true
	wait_for state_is h3 stopped
	output=$(netlab up --plan office)
	expect_match '~ node h3 \(restarts: it is stopped\)' "$output"
	sed -i 's/h3: }/h3: {startup: ["exit 3"]}}/' office/topology.yaml
	output=$(expect_status 1 netlab up --yes --timeout "$patience" office 2>&1) || fail "$output"
	expect_match 'h3 is not set up as it should be: startup command "exit 3" failed' "$output"
	expect_match 'Lab office is still running' "$output"
	netlab exec h2 -- true
}

# Another file for the same lab.
other_file() {
	mkdir -p other/office
	sed 's/h3: {startup: .*/h3: }/' office/topology.yaml >other/office/topology.yaml
	netlab up --plan other/office >said
	cat said
	expect_match "Lab office is running from $PWD/office/topology.yaml; to make it as other/office" "$(cat said)"
	lab_up --yes other/office
	expect_equal "$(status_of .topology)" "$PWD/other/office/topology.yaml"
	(cd other/office && netlab exec h3 -- true)
}

not_running() {
	netlab down office
	wait_for no_daemons
	netlab up --plan other/office >said
	cat said
	expect_match 'Lab office is not running' "$(cat said)"
	expect_match '\+ node h1' "$(cat said)"
	no_daemons
}

write_first
check "three hosts come up" up
check "marks, to know them again" mark
check "up says when there is nothing to do" nothing_to_do
check "--plan shows what would change, and changes nothing" plan
check "--plan as JSON" plan_json
check "nobody to ask: refused, with the way out" nobody_to_ask
check "somebody says no" no
check "a bad topology is refused with line numbers, and the lab untouched" bad_topology
check "too much memory for all of it is refused" too_much_memory
check "an image that is not there is refused" no_image
check "a plan that is not true any more is refused" stale_plan
check "what is settled at the start cannot be changed" fixed_at_start
check "--yes changes it" change
check "the lab is what the file says" lab_is_another
check "h1 was not touched" h1_is_untouched
check "new and changed nodes are there, and can be reached" changed_nodes_are_new
check "all know who came and who went" names
check "the capture of the node that went is complete and closed" capture_of_gone_node
check "the capture of the node that restarted goes on" capture_of_restarted_node
check "a node that comes back goes on with its capture" back_again
check "wires move and networks change under running nodes" rewiring
check "captures change as far as they can, and the rest is said" capture_changes
check "addresses and sysctl are given to running nodes" in_place
check "what a running node cannot be given is said" in_place_fails
check "a node that fails leaves the lab running" node_fails
check "the lab can be another file's" other_file
check "--plan of a lab that does not run" not_running
finish
