#!/usr/bin/env bash
# What the gateway of a network with NAT does beside passing on: names, leases, files by TFTP; how all that changes
# while the lab runs; and what is said of a host that does not let users ping.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# topology NETWORK-SETTINGS
topology() {
	mkdir -p services
	cat >services/topology.yaml <<-END
		name: services
		nodes: {h1: {startup: ["udhcpc -q -i eth0"]}}
		networks:
		  uplink: {mode: nat, $1}
		links: [h1-uplink]
	END
}

change() {
	topology "$1"
	netlab up --yes services/topology.yaml
}

# As an ordinary user without groups, in a network namespace of its own, where nobody may ping yet.
as_nobody() {
	unshare -n setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$work" XDG_RUNTIME_DIR="$work/nobody" "$@"
}

ping_is_warned_of() {
	local status=0
	[ "$(id -u)" -eq 0 ] || skip "needs root, to be somebody else"
	as_nobody true || skip "no network namespaces here"
	chmod 711 "$work"
	chmod -R a+rX bin
	mkdir -p warned
	install -d -m 700 -o 65534 -g 65534 nobody
	printf 'nodes: {h1: {image: nowhere}}\nnetworks: {up: {mode: nat}}\nlinks: [h1-up]\n' >warned/topology.yaml
	as_nobody "$bin/netlab" up warned/topology.yaml 2>errors || status=$?
	[ "$status" -ne 0 ] || fail "a lab without its image came up"
	expect_match 'warning: on network "up" no ping gets beyond the gateway' "$(cat errors)"
	expect_match 'help: sudo sysctl -w net\.ipv4\.ping_group_range="0 2147483647"' "$(cat errors)"
	expect_match '60-ping\.conf' "$(cat errors)"
	sed -i 's/nat/nat, restrict: on/' warned/topology.yaml
	as_nobody "$bin/netlab" up warned/topology.yaml 2>errors || true
	expect_no_match 'no ping gets' "$(cat errors)"
	as_nobody "$bin/netlab" doctor --format json >doctor.json || true
	expect_equal "$(jq -r '.findings[] | select(.check == "ping") | .verdict' doctor.json)" warning
	expect_match '^warning +ping ' "$(as_nobody "$bin/netlab" doctor || true)"
}

comes_up() {
	topology 'dhcp: {first: 10.0.2.50}, host: {files.example: 10.0.2.2, db: [192.0.2.1, "2001:db8::1"]}, tftp: boot,
		bootfile: pxelinux.0'
	lab_up services/topology.yaml
}

has_a_lease() {
	expect_match 'inet 10\.0\.2\.50/24' "$(in_node h1 'ip address show eth0')"
	expect_equal "$(status_of '.networks[0] | [.first_lease, .name_server] | join(" ")')" "10.0.2.50 10.0.2.3"
}

# answers NAME ADDRESS [SERVER]
answers() {
	expect_match "Address: $2\$" "$(in_node h1 "nslookup $1 ${3:-10.0.2.3}")"
}

hosts_are_known() {
	answers files.example 10.0.2.2
	answers db.lab 192.0.2.1
	answers db.lab 2001:db8::1
	answers h1.lab 10.0.2.50
}

hosts_change_in_place() {
	change 'dhcp: {first: 10.0.2.50}, host: {files.example: 10.0.2.7}, tftp: boot, bootfile: pxelinux.0'
	answers files.example 10.0.2.7
	answers h1.lab 10.0.2.50 # The lease is still known: the gateway is the same one.
	expect_match NXDOMAIN "$(in_node h1 'nslookup db.lab 10.0.2.3' 2>&1 || true)"
}

# fetch NAME [OPTION...]: by TFTP; its sum.
fetch() {
	in_node h1 "cd /tmp && tftp -g -r '$1' -l got ${*:2} 10.0.2.2 && md5sum <got; rm -f got"
}

files_are_served() {
	expect_equal "$(fetch large)" "$(md5sum <services/boot/large)"
	expect_equal "$(fetch large -b 1400)" "$(md5sum <services/boot/large)"
	expect_equal "$(fetch /menus/menu)" "$(md5sum <services/boot/menus/menu)"
	expect_equal "$(fetch inside)" "$(md5sum <services/boot/menus/menu)"
	expect_equal "$(fetch even)" "$(md5sum <services/boot/even)"
}

others_are_not() {
	local name
	for name in nothing ../topology.yaml menus/../../topology.yaml outside absolute menus pipe; do
		expect_match 'no such file' "$(fetch "$name" 2>&1 || true)"
	done
	expect_match 'can only be read' "$(in_node h1 'tftp -p -r new -l /etc/hosts 10.0.2.2' 2>&1 || true)"
	[ ! -e services/boot/new ] || fail "a guest has written a file"
	pings h1 10.0.2.2 1
}

# The rest of the change is made, the user is told, and the next "netlab up" tries again.
taken_port_while_running() {
	local server port
	port=$(free_port)
	busybox httpd -f -p "127.0.0.1:$port" -h "$work" &
	server=$!
	wait_for port_is_taken "$port"
	topology "dhcp: {first: 10.0.2.50}, tftp: boot, bootfile: pxelinux.0, host: {other.example: 10.0.2.9},
		forward: [\"tcp:$port:10.0.2.50:80\", \"tcp:$(free_port):10.0.2.50:81\"]"
	expect_status 1 netlab up --yes services/topology.yaml 2>errors
	kill "$server"
	wait "$server" 2>/dev/null || true
	expect_match "TCP port $port of 127.0.0.1 cannot be forwarded: Address already in use" "$(cat errors)"
	expect_equal "$(netlab forward list --format json | jq -r '.[].guest_port')" 81
	answers other.example 10.0.2.9
	expect_match "forward tcp:127.0.0.1:$port:10.0.2.50:80 added" "$(netlab up --plan services/topology.yaml)"
	netlab up --yes services/topology.yaml
	expect_equal "$(netlab forward list --format json | jq length)" 2
}

# ask_again: has the guest ask for a lease.
ask_again() {
	in_node h1 'udhcpc -n -q -i eth0'
}

own_resolver() {
	expect_match 'dns on -> 192\.0\.2\.53' "$(change 'dns: 192.0.2.53, host: {files.example: 10.0.2.2}')"
	ask_again
	expect_match 'nameserver 192\.0\.2\.53' "$(in_node h1 'cat /etc/resolv.conf')"
	answers files.example 10.0.2.2 192.0.2.53
	answers h1.lab 10.0.2.15 192.0.2.53
	expect_equal "$(status_of '.networks[0].name_server')" 192.0.2.53
}

no_resolver() {
	change 'dns: off'
	ask_again
	expect_status 1 netlab exec h1 -- nslookup h1.lab 10.0.2.3
	expect_equal "$(status_of '.networks[0].name_server')" null
}

no_leases() {
	change 'dhcp: off'
	expect_status 1 netlab exec h1 -- udhcpc -n -q -t 2 -T 1 -i eth0
	expect_equal "$(status_of '.networks[0].first_lease')" null
}

# told FIELD: what the leases said, one after the other.
told() {
	frames captures/services/network-uplink.pcap 'dhcp.option.dhcp == 5' "$1"
}

leases_told() {
	netlab down
	expect_equal "$(told dhcp.option.domain_name_server | tr '\n' ' ')" "10.0.2.3 192.0.2.53  "
	expect_equal "$(told dhcp.file | head -1)" pxelinux.0
	expect_equal "$(told dhcp.ip.server | head -1)" 10.0.2.2
	expect_equal "$(frames captures/services/network-uplink.pcap 'udp.checksum.status == 0' frame.number | wc -l)" 0
}

need_tool busybox jq ss unshare setpriv
check "who may not ping is told what helps, and only where it matters" ping_is_warned_of

need_image
mkdir -p services/boot/menus
random_file services/boot/large 100000
random_file services/boot/even 1024
echo "a menu" >services/boot/menus/menu
ln -s menus/menu services/boot/inside
ln -s ../topology.yaml services/boot/outside
ln -s "$work/services/topology.yaml" services/boot/absolute
mkfifo services/boot/pipe
check "a lab with services of its own comes up" comes_up
check "leases begin where the file says" has_a_lease
check "hosts of the file are known by name" hosts_are_known
check "and change while the lab runs" hosts_change_in_place
check "files are served by TFTP" files_are_served
check "but none from outside of the folder, and nothing is written" others_are_not
check "a port that is taken is told while the lab runs, and the rest is done" taken_port_while_running
check "guests are told of another resolver, and the lab's names are known even so" own_resolver
check "or of none" no_resolver
check "without DHCP there are no leases" no_leases
need_tool tshark
check "the capture shows what leases told" leases_told
finish
