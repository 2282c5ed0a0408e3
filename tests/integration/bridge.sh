#!/usr/bin/env bash
# Networks that reach into the host: a bridge that is made and one that was there, a macvtap, a TAP of the user's; by
# root, and by an ordinary user through netlab-bridge-helper; and nothing of it left behind.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool busybox ip jq setcap setpriv unshare
need_image
[ "$(id -u)" -eq 0 ] || skip_rest "only root can make the network namespaces of this test"
[ -e /dev/net/tun ] || skip_rest "no /dev/net/tun"

# All of it happens in two network namespaces: 'host' is this host as far as netlab is concerned, 'peer' a machine
# beside it.
host=nlh$$
peer=nlp$$
user=47120

end_world() {
	local pid name
	while read -r pid; do
		kill "$pid" 2>/dev/null || true
	done <"$work/servers"
	clean_up
	for name in "$host" "$peer"; do
		ip netns delete "$name" 2>/dev/null || true
	done
}
: >servers
trap end_world EXIT

on_host() {
	ip netns exec "$host" "$@"
}

on_peer() {
	ip netns exec "$peer" "$@"
}

netlab() {
	on_host timeout -k 10 $((patience + 60)) "$bin/netlab" "$@"
}

# as_user COMMAND...: an ordinary user with a /dev/kvm and a /dev/net/tun as Debian sets them up, and an /etc of this
# test's own, on the same host.
as_user() {
	# shellcheck disable=SC2016 # For the inner shell.
	on_host unshare -m bash -euc '
		user=$1 work=$2
		shift 2
		mount -t tmpfs none /mnt
		cp -a /dev/kvm /dev/net/tun /mnt/
		chown 0:"$user" /mnt/kvm
		chmod 660 /mnt/kvm
		chmod 666 /mnt/tun
		mount --bind /mnt/kvm /dev/kvm
		mount --bind /mnt/tun /dev/net/tun
		cp -a /etc /mnt/etc
		mkdir -p /mnt/etc/netlab-kvm
		[ ! -e "$work/bridge.conf" ] || install -m 644 "$work/bridge.conf" /mnt/etc/netlab-kvm/bridge.conf
		mount --bind /mnt/etc /etc
		exec setpriv --reuid "$user" --regid "$user" --groups "$user" --bounding-set=-all,+net_admin \
			--inh-caps=-all env HOME="$work/home" XDG_DATA_HOME="$work/data" "$@"' \
		bash "$user" "$work" "$@"
}

# topology NAME NETWORK-SETTINGS [LINK-SETTINGS]
topology() {
	mkdir -p "$1"
	cat >"$1/topology.yaml" <<-END
		name: $1
		nodes: [h1]
		networks:
		  office: {$2}
		links:
		  - {endpoints: [h1, office], ip: 192.0.2.10/24${3-}}
	END
}

make_world() {
	ip netns add "$host"
	ip netns add "$peer"
	on_host ip link set lo up
	on_host ip link add wire0 type veth peer name wire netns "$peer"
	on_host ip link set wire0 mtu 9000 up
	on_peer ip link set wire mtu 9000 up
	on_peer ip addr add 192.0.2.2/24 dev wire
	mkdir -p www home "data/netlab-kvm/images"
	head -c 20000000 /dev/zero | tr '\0' 'x' >www/large
	on_peer busybox httpd -f -p 192.0.2.2:80 -h "$work/www" &
	echo $! >>servers
	ln -s "$image" data/netlab-kvm/images/lab
}

devices() {
	on_host ip -br link | awk '{ print $1 }' | cut -d @ -f 1 | sort | tr '\n' ' '
}

# Bridges, TAPs and macvtaps of labs.
nothing_is_left() {
	[ "$(devices)" = "lo wire0 " ]
}

down() {
	netlab down "$1"
	nothing_is_left || fail "left: $(devices)"
	expect_equal "$(on_host ip -j link show wire0 | jq -r '.[0].master // "none"')" none
}

reaches_the_peer() {
	pings h1 192.0.2.2
}

gets_20_megabytes() {
	expect_equal "$(in_node h1 'wget -qO- http://192.0.2.2/large | wc -c')" 20000000
}

bridge_is_ours() {
	local bridge
	bridge=$(on_host ip -d -j link show nlbr0)
	expect_match "^netlab-kvm 0 lab1 [0-9]+$" "$(jq -r '.[0].ifalias' <<<"$bridge")"
	expect_equal "$(on_host ip -j addr show nlbr0 | jq -r '[.[0].addr_info[].local] | join(" ")')" 192.0.2.1
	expect_equal "$(on_host ip -j link show wire0 | jq -r '.[0].master')" nlbr0
	on_host ping -c 1 -W 60 192.0.2.10
}

network_is_counted() {
	expect_equal "$(status_of '.networks[0] | .mode + " " + .bridge')" "bridge nlbr0"
	[ "$(port_status network:office .rx_frames)" -gt 0 ]
}

has_capture() {
	have tshark || skip "no tshark"
	[ -n "$(frames lab1/captures/lab1/network-office.pcap 'icmp && ip.src == 192.0.2.10')" ]
}

# The helper sees the end of netlabd, however that comes about.
removed_after_kill() {
	kill -KILL "$(daemon_pid lab1)"
	wait_for nothing_is_left
}

# And when the helper is killed as well, the next command does it.
removed_by_next_command() {
	local helper
	helper=$(pgrep -f "^netlab-bridge-helper lab1$" -P "$(daemon_pid lab1)")
	kill -KILL "$helper" "$(daemon_pid lab1)"
	wait_for no_daemons
	on_host ip link show nlbr1
	netlab list
	nothing_is_left || fail "left: $(devices)"
}

# up LAB...: from the folder of its topology.
up() {
	(cd "$1" && lab_up .)
}

changes_in_place() {
	local before
	before=$(status_of '.nodes[0].after')
	topology lab1 "mode: bridge, bridge: nlbr1, interface: wire0" ", mtu: 9000"
	(cd lab1 && netlab up --yes .)
	expect_equal "$(devices)" "lo netlab0 nlbr1 wire0 "
	expect_equal "$(status_of '.nodes[0].after')" "$before"
	reaches_the_peer
}

# A bridge that was there stays as it was, address and all.
joins_a_bridge() {
	on_host ip link add br-mine type bridge
	on_host ip link set br-mine up
	on_host ip link set wire0 master br-mine
	on_host ip addr add 192.0.2.1/24 dev br-mine
	topology lab2 "mode: bridge, bridge: br-mine"
	up lab2
	reaches_the_peer
	netlab down lab2
	expect_equal "$(devices)" "br-mine lo wire0 "
	expect_equal "$(on_host ip -j addr show br-mine | jq -r '.[0].addr_info[0].local')" 192.0.2.1
}

# refused PATTERN LAB: netlab up ends with 3, and says so.
refused() {
	local output
	output=$(cd "$2" && expect_status 3 netlab up . 2>&1) || fail "$output"
	expect_match "$1" "$output"
	no_daemons
}

refuses_what_is_anothers() {
	topology bad "mode: bridge, bridge: br-mine, address: 192.0.2.9/24"
	refused 'br-mine was there before.*' bad
	topology bad "mode: bridge, bridge: lo"
	refused 'lo is no bridge' bad
	topology bad "mode: bridge, bridge: nlbr0, interface: wire0"
	refused 'wire0 is in use by this host: it is a port of another bridge' bad
	topology bad "mode: bridge, bridge: nlbr0, interface: nothere"
	refused 'nothere cannot be put on a bridge' bad
	on_host ip link set wire0 nomaster
	on_host ip addr add 192.0.2.77/24 dev wire0
	topology bad "mode: bridge, bridge: nlbr0, interface: wire0"
	refused 'wire0 is in use by this host: it has addresses' bad
	on_host ip addr flush dev wire0
	on_host ip link delete br-mine
	topology bad "mode: bridge, tap: nothere"
	refused 'there is no TAP nothere' bad
	nothing_is_left || fail "left: $(devices)"
}

# Two labs on one bridge: it goes with the last of them.
share_a_bridge() {
	topology lab3 "mode: bridge, bridge: nlbr0, interface: wire0"
	topology lab4 "mode: bridge, bridge: nlbr0"
	up lab3
	up lab4
	netlab down lab3
	expect_match "^netlab-kvm 0 lab4 " "$(on_host ip -d -j link show nlbr0 | jq -r '.[0].ifalias')"
	reaches_the_peer
	down lab4
}

# What could not be made when a lab was changed is tried again.
tries_again() {
	topology lab10 "mode: nat"
	up lab10
	topology lab10 "mode: bridge, tap: later"
	(cd lab10 && netlab up --yes .) 2>said || true
	expect_match later "$(cat said)"
	expect_match 'network office \(it has failed\)' "$(cd lab10 && netlab up --plan . 2>&1)"
	on_host ip tuntap add later mode tap
	on_host ip link set later up
	on_host ip addr add 192.0.2.1/24 dev later
	(cd lab10 && netlab up --yes .)
	on_host ping -c 1 -W 60 192.0.2.10
	netlab down lab10
	on_host ip link delete later
}

# One that joins another lab's bridge and fails leaves nothing there.
failure_leaves_the_bridge() {
	topology lab8 "mode: bridge, bridge: nlbr0"
	topology lab9 "mode: bridge, bridge: nlbr0, address: 192.0.2.9/24, interface: busy0"
	on_host ip link add busy0 type veth peer name busy1
	on_host ip link set busy1 up
	on_host ip link set busy0 up
	on_host ip addr add 198.51.100.1/24 dev busy0
	up lab8
	(cd lab9 && expect_status 3 netlab up .) 2>said
	expect_match 'busy0 is in use' "$(cat said)"
	expect_equal "$(on_host ip -j -4 addr show nlbr0 | jq -c '[.[].addr_info[]?.local]')" "[]"
	netlab down lab8
	on_host ip link delete busy0
	nothing_is_left || fail "left: $(devices)"
}

macvtap() {
	topology lab5 "mode: macvtap, interface: wire0"
	up lab5
	reaches_the_peer
	expect_equal "$(status_of '.networks[0] | .mode + " " + .interface')" "macvtap wire0"
	down lab5
}

# link LAB END: a lab whose one link leads to that end.
link() {
	mkdir -p "$1"
	cat >"$1/topology.yaml" <<-END
		name: $1
		nodes: [h1]
		links:
		  - {endpoints: [h1, $2], ip: [198.51.100.1/24$3]}
	END
}

peer_devices() {
	on_peer ip -br link | awk '{ print $1 }' | cut -d @ -f 1 | sort | tr '\n' ' '
}

# As a container would: what is in the namespace has a NIC of the lab.
namespace_joins() {
	link lab6 "{netns: $peer, interface: lab0, mac: \"52:54:00:00:00:99\"}" ", [198.51.100.2/24, \"fd00:6::2/64\"]"
	up lab6
	on_peer ping -c 1 -W 60 198.51.100.1
	pings h1 198.51.100.2
	expect_equal "$(on_peer ip -j addr show lab0 | jq -r '.[0].address + " " + ([.[0].addr_info[] |
		select(.scope == "global") | .local] | join(" "))')" "52:54:00:00:00:99 198.51.100.2 fd00:6::2"
	expect_equal "$(status_of '.attachments[0] | .name + " " + .state')" "netns:$peer connected"
}

# Another name there: the node goes on, and sees another neighbour.
namespace_changes_in_place() {
	local before
	before=$(status_of '.nodes[0].since')
	link lab6 "{netns: $peer, interface: lab1}" ", 198.51.100.3/24"
	(cd lab6 && netlab up --yes .)
	expect_equal "$(peer_devices)" "lab1 lo wire "
	expect_equal "$(status_of '.nodes[0].since')" "$before"
	pings h1 198.51.100.3
}

namespace_is_left() {
	netlab down lab6
	expect_equal "$(peer_devices)" "lo wire "
	link lab6 "{netns: $peer, interface: wire}" ", ~"
	refused "the network namespace $peer has an interface wire already" lab6
	link lab6 "{netns: nothere$$}" ", ~"
	refused "the network namespace nothere$$ cannot be entered: No such file" lab6
}

tap_as_an_end() {
	on_host ip tuntap add mine mode tap
	on_host ip link set mine up
	on_host ip addr add 198.51.100.2/24 dev mine
	link lab7 "{tap: mine}" ", ~"
	up lab7
	on_host ping -c 1 -W 60 198.51.100.1
	netlab --lab lab7 link tap:mine down
	expect_match NO-CARRIER "$(on_host ip -o link show mine)"
	netlab --lab lab7 link tap:mine up
	expect_match LOWER_UP "$(on_host ip -o link show mine)"
	on_host ping -c 1 -W 60 198.51.100.1
	netlab down lab7
	expect_match mine "$(devices)"
	on_host ip link delete mine
	refused 'there is no TAP mine' lab7
}

# ---- An ordinary user ------------------------------------------------------------------------------------------------

netlab_as_user() {
	as_user timeout -k 10 $((patience + 60)) "$bin/netlab" "$@"
}

prepare_user() {
	chmod 711 "$work"
	rm data/netlab-kvm/images/lab
	cp -rL "$image" data/netlab-kvm/images/lab
	chmod -R a+rX bin data
	chmod 700 home "$XDG_RUNTIME_DIR"
	chown -R "$user:$user" home data "$XDG_RUNTIME_DIR"
	as_user dd if=/dev/net/tun of=/dev/null count=0
}

# refused_to_user PATTERN
refused_to_user() {
	local output
	output=$(cd home && expect_status 3 netlab_as_user up . 2>&1) || fail "$output"
	expect_match "$1" "$output"
	nothing_is_left || fail "left: $(devices)"
}

user_is_asked_for_the_capability() {
	(cd home && topology . "mode: bridge, bridge: nlbr0, interface: wire0" ", mtu: 9000")
	sed -i 's/^name: .*/name: home/' home/topology.yaml
	printf 'allow * bridge nlbr0\nallow * interface wire0\n' >bridge.conf
	refused_to_user 'help: sudo setcap cap_net_admin\+ep'
}

user_is_refused_by_rule() {
	setcap cap_net_admin+ep "$bin/netlab-bridge-helper" || skip "no file capabilities here"
	rm bridge.conf
	refused_to_user '/etc/netlab-kvm/bridge.conf does not allow bridge nlbr0'
	echo 'deny 47120 bridge nlbr0' >bridge.conf
	echo 'allow * bridge nlbr0' >>bridge.conf
	refused_to_user 'does not allow bridge nlbr0'
	echo 'allow 47120 bridge nlbr*' >bridge.conf
	refused_to_user 'does not allow interface wire0'
	echo 'allow alice' >bridge.conf
	refused_to_user 'bridge.conf:1: a rule has four words'
}

user_is_let() {
	printf 'allow 47120 bridge nlbr*\nallow @47120 interface wire0\n' >bridge.conf
	(cd home && netlab_as_user up --timeout "$patience" .)
	expect_match "^netlab-kvm $user home " "$(on_host ip -d -j link show nlbr0 | jq -r '.[0].ifalias')"
}

user_reaches_the_peer() {
	netlab_as_user exec h1 -- ping -c 1 -W 60 192.0.2.2
	expect_equal "$(netlab_as_user exec h1 -- sh -c 'wget -qO- http://192.0.2.2/large | wc -c')" 20000000
}

user_gets_no_namespace() {
	mkdir -p home/other
	(cd home/other && link . "{netns: $peer}" ", ~")
	sed -i 's/^name: .*/name: other/' home/other/topology.yaml
	chown -R "$user" home/other
	local output
	output=$(cd home/other && expect_status 3 netlab_as_user up . 2>&1) || fail "$output"
	expect_match "only root may plug a lab into the network namespace $peer" "$output"
}

user_leaves_nothing() {
	netlab_as_user down home
	nothing_is_left || fail "left: $(devices)"
}

user_has_a_tap() {
	on_host ip tuntap add mine mode tap user "$user"
	on_host ip link set mine up
	on_host ip addr add 192.0.2.1/24 dev mine
	rm -f bridge.conf
	sed -i 's/office: .*/office: {mode: bridge, tap: mine}/' home/topology.yaml
	(cd home && netlab_as_user up --timeout "$patience" .)
	on_host ping -c 1 -W 60 192.0.2.10
	netlab_as_user down home
	expect_match mine "$(devices)"
	on_host ip link delete mine
}

[ -n "$skip_all" ] || make_world
topology lab1 "mode: bridge, bridge: nlbr0, address: 192.0.2.1/24, interface: wire0" ", mtu: 9000"
check "a lab with a bridge comes up" up lab1
check "the bridge is this lab's, with the address and the interface that were asked for" bridge_is_ours
check "a guest pings a machine beside the host" reaches_the_peer
check "and gets 20 MB from it" gets_20_megabytes
check "the host's side is counted" network_is_counted
check "another bridge, without a restart" changes_in_place
check "after down nothing is left" down lab1
check "what passed to the host is captured" has_capture
check "it comes up again" up lab1
check "after kill -9 nothing is left" removed_after_kill
check "and again" up lab1
check "what a killed helper leaves the next command removes" removed_by_next_command
check "a bridge that was there is joined, and stays" joins_a_bridge
check "what others have is left alone" refuses_what_is_anothers
check "two labs share a bridge" share_a_bridge
check "a lab that fails leaves nothing on another's bridge" failure_leaves_the_bridge
check "what a network failed to reach is tried again" tries_again
check "a macvtap" macvtap
check "a network namespace has a NIC of a lab" namespace_joins
check "another NIC there, without a restart" namespace_changes_in_place
check "after down the namespace is as it was" namespace_is_left
check "a TAP as the end of a link" tap_as_an_end
[ -n "$skip_all" ] || prepare_user || skip_rest "no namespace with a /dev/net/tun of its own here"
check "an ordinary user is told of the capability" user_is_asked_for_the_capability
check "an ordinary user gets nothing that is not allowed" user_is_refused_by_rule
check "an ordinary user gets what is allowed" user_is_let
check "ping and 20 MB for an ordinary user" user_reaches_the_peer
check "an ordinary user gets into no namespace" user_gets_no_namespace
check "an ordinary user leaves nothing" user_leaves_nothing
check "a TAP of the user's own needs no helper" user_has_a_tap
finish
