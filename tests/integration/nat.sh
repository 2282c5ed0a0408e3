#!/usr/bin/env bash
# A network with NAT: addresses by DHCP and router advertisement, the host's services from within, a guest's from
# without, and nothing of it left behind.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool busybox jq ss
need_image

# Snapshots of its own; images are where they were.
mkdir -p "$work/data/netlab-kvm"
ln -s "$(dirname "$image")" "$work/data/netlab-kvm/images"
export XDG_DATA_HOME=$work/data

inside=$(free_port)  # Of a server on the host, for guests.
forward=$(free_port) # Leads to a guest.
other=$(free_port)

# serve ADDRESS: a web server of the host's on its port $inside, until the test ends.
serve() {
	busybox httpd -f -p "$1:$inside" -h "$work/www" &
	echo $! >>"$work/servers"
	wait_for busybox wget -qO- "http://$1:$inside/"
}

stop_servers() {
	local pid
	while read -r pid; do
		kill "$pid" 2>/dev/null || true
	done <"$work/servers"
}
trap 'stop_servers; clean_up' EXIT

# topology NAME NETWORK-SETTINGS FORWARD-PORT
topology() {
	mkdir -p "$1"
	cat >"$1/topology.yaml" <<-END
		name: $1
		nodes:
		  h1: {startup: ["udhcpc -q -i eth0"]}
		  web:
		    startup: ["echo hello from $1 >/tmp/index.html; httpd -h /tmp -p 80"]
		    routes: ["default via 10.0.2.2"]
		networks:
		  uplink: {mode: nat, forward: ["tcp:$3:web:80"]$2}
		links:
		  - h1-uplink
		  - {endpoints: [web, uplink], ip: 10.0.2.10/24}
	END
}

comes_up() {
	topology one "" "$forward"
	lab_up one/topology.yaml
}

has_a_lease() {
	expect_match 'inet 10\.0\.2\.15/24' "$(in_node h1 'ip address show eth0')"
	expect_match 'default via 10\.0\.2\.2 ' "$(in_node h1 'ip route')"
	expect_match 'nameserver 10\.0\.2\.3' "$(in_node h1 'cat /etc/resolv.conf')"
}

has_an_ipv6_address() {
	wait_for in_node h1 'ip -6 address show eth0 scope global | grep fd6e:6574:6c61:2:'
}

status_tells() {
	expect_equal "$(status_of '.networks[0] | [.mode, .subnet, .gateway, .name_server, .prefix6] | join(" ")')" \
		"nat 10.0.2.0/24 10.0.2.2 10.0.2.3 fd6e:6574:6c61:2::"
	expect_equal "$(status_of '.networks[0].forwards[0] | [.protocol, .host_address, .host_port, .guest_address,
		.guest_port] | join(" ")')" "tcp 127.0.0.1 $forward 10.0.2.10 80"
}

# By the gateway's name server alone: the guests' own /etc/hosts has the names as well.
names_are_known() {
	expect_match 'Address: 10\.0\.2\.10$' "$(in_node h1 'nslookup web.lab 10.0.2.3')"
	expect_match 'Address: 10\.0\.2\.15$' "$(in_node h1 'nslookup h1.lab 10.0.2.3')"
	expect_match NXDOMAIN "$(in_node h1 'nslookup nobody.lab 10.0.2.3' 2>&1 || true)"
	expect_match '^search lab' "$(in_node h1 'cat /etc/resolv.conf')"
}

gateway_answers() {
	pings h1 10.0.2.2 1
}

# gateway COUNTER: of its port.
gateway() {
	port_status network:uplink ".$1"
}

# A frame for another, which is flooded as nobody knows where that is: the gateway must not answer in its place.
others_are_left_alone() {
	local filtered
	filtered=$(gateway rx_filtered)
	in_node h1 'ip neighbour replace 10.0.2.77 lladdr 02:00:00:00:00:77 dev eth0'
	expect_status 1 netlab exec h1 -- ping -c 2 -i 0.2 -W 1 10.0.2.77
	in_node h1 'nc 10.0.2.77 80 </dev/null & sleep 1; kill $!' || true
	[ "$(gateway rx_filtered)" -ge $((filtered + 3)) ] || fail "of $filtered frames and three $(gateway rx_filtered)"
}

hosts_server_is_reached() {
	serve 127.0.0.1
	expect_equal "$(in_node h1 "wget -qO- http://10.0.2.2:$inside/")" "hello from the host"
}

hosts_server_is_reached_v6() {
	[ -e /proc/net/if_inet6 ] || skip "no IPv6 on this host"
	serve "[::1]"
	expect_equal "$(in_node h1 "wget -qO- 'http://[fd6e:6574:6c61:2::2]:$inside/'")" "hello from the host"
}

# 2 MB, through both stacks and back, with their checksum.
large_file_arrives() {
	random_file www/large 2000000
	expect_equal "$(in_node h1 "wget -qO- http://10.0.2.2:$inside/large | md5sum")" "$(md5sum <www/large)"
}

forward_leads_in() {
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$forward/")" "hello from one"
}

# The same subnet and the same names, beside the first.
second_lab() {
	topology two "" "$other"
	lab_up two/topology.yaml
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$other/")" "hello from two"
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$forward/")" "hello from one"
	netlab down two
}

taken_port() {
	topology three "" "$forward"
	expect_status 1 netlab up three/topology.yaml 2>errors
	expect_match "TCP port $forward of 127.0.0.1 cannot be forwarded: Address already in use" "$(cat errors)"
	expect_match "help: another program, or another lab, has it" "$(cat errors)"
	expect_equal "$(netlab list --format json | jq length)" 1
}

forward_changes() {
	topology one "" "$other"
	netlab up --yes one/topology.yaml
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$other/")" "hello from one"
	if port_is_taken "$forward"; then
		fail "port $forward is still forwarded"
	fi
}

# list_forwards: each as one word.
list_forwards() {
	netlab forward list --format json |
		jq -r '.[] | [.network, .protocol, .host_address, .host_port, .guest_address, .guest_port] | join(":")'
}

forward_is_typed() {
	local extra before
	extra=$(free_port)
	before=$(list_forwards)
	expect_equal "$before" "uplink:tcp:127.0.0.1:$other:10.0.2.10:80"
	netlab forward add "tcp:$extra:web:80"
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$extra/")" "hello from one"
	expect_match "uplink +tcp +127.0.0.1:$extra +10.0.2.10:80" "$(netlab forward list)"
	netlab forward remove "tcp:$extra"
	expect_equal "$(list_forwards)" "$before"
	if port_is_taken "$extra"; then
		fail "port $extra is still forwarded"
	fi
	# Until the lab is changed.
	netlab forward add "udp:$extra:10.0.2.10:80"
	topology one "" "$other:10.0.2.10:80\", \"tcp:$extra"
	netlab up --yes one/topology.yaml
	expect_equal "$(list_forwards | grep -c udp || true)" 0
	topology one "" "$other"
	netlab up --yes one/topology.yaml
	expect_equal "$(list_forwards)" "$before"
}

# forward_fails PATTERN ARGUMENTS...
forward_fails() {
	local pattern=$1
	shift
	expect_status 1 netlab forward "$@" 2>errors
	expect_match "$pattern" "$(cat errors)"
}

bad_forwards() {
	forward_fails "Address already in use" add "tcp:$other:web:80"
	forward_fails 'no network with NAT has a guest "nobody"' add tcp:3333:nobody:80
	forward_fails 'no network with NAT has a guest "h1"' add tcp:3333:h1:80
	forward_fails 'no network with NAT has a guest "192.0.2.1"' add tcp:3333:192.0.2.1:80
	forward_fails "is not PROTOCOL" add 3333
	forward_fails "does not begin with tcp or udp" add icmp:3333:web:80
	forward_fails "TCP port 3333 of 127.0.0.1 is not forwarded" remove tcp:3333
	expect_status 2 netlab forward
	expect_status 2 netlab forward add
	expect_status 2 netlab forward list tcp:3333
}

restricted() {
	topology one ", restrict: on" "$other"
	netlab up --yes one/topology.yaml
	expect_status 1 netlab exec web -- wget -qO- "http://10.0.2.2:$inside/"
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$other/")" "hello from one"
	topology one "" "$other"
	netlab up --yes one/topology.yaml
	expect_equal "$(in_node web "wget -qO- http://10.0.2.2:$inside/")" "hello from the host"
}

restore_resets() {
	netlab snapshot save before
	in_node web "(sleep 1000 | nc 10.0.2.2 $inside; echo ended >/tmp/ended) >/dev/null 2>&1 &"
	netlab snapshot save during
	expect_match "through NAT, are not: they are reset" "$(netlab snapshot restore during)"
	expect_equal "$(in_node web "wget -qO- http://10.0.2.2:$inside/")" "hello from the host"
	expect_equal "$(busybox wget -qO- "http://127.0.0.1:$other/")" "hello from one"
}

gateway_is_captured() {
	netlab down
	expect_equal "$(frames captures/one/network-uplink.pcap 'dhcp.option.dhcp == 5' dhcp.ip.your | head -1)" 10.0.2.15
	expect_match '^/large$' "$(frames captures/one/network-uplink.pcap http.request http.request.uri)"
	# Nothing came from an address that nobody has.
	expect_equal "$(frames captures/one/network-uplink.pcap 'ip.src == 10.0.2.77' frame.number | wc -l)" 0
}

nothing_is_left() {
	wait_for no_daemons
	if port_is_taken "$other"; then
		fail "port $other is still listened on"
	fi
}

touch servers
mkdir www
echo "hello from the host" >www/index.html
check "a lab with NAT comes up" comes_up
check "a guest has an address, a route and a name server by DHCP" has_a_lease
check "and an IPv6 address by router advertisement" has_an_ipv6_address
check "the status tells subnet, gateway and forwards" status_tells
check "the lab's names are known, those of leases too" names_are_known
check "the gateway answers a ping" gateway_answers
check "what is flooded and for others is left alone by the gateway" others_are_left_alone
check "a guest reaches a server on the host's loopback" hosts_server_is_reached
check "and over IPv6" hosts_server_is_reached_v6
check "a large file arrives whole" large_file_arrives
check "a forward leads to a guest" forward_leads_in
check "a second lab has the same subnet and names" second_lab
check "a forward on a port that is taken is an error before anything starts" taken_port
check "a forward is changed while the lab runs" forward_changes
check "forwards are added, listed and removed by hand" forward_is_typed
check "forwards that cannot be are refused" bad_forwards
check "a restricted network leads nowhere, and forwards lead in" restricted
check "restoring a snapshot resets what goes through NAT, and says so" restore_resets
need_tool tshark
check "the gateway's port is captured" gateway_is_captured
check "nothing is left" nothing_is_left
finish
