#!/usr/bin/env bash
# What the image "lab" has for networks works, and what a topology says of a node has its effect in the guest.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

cat >tools.yaml <<'Y'
name: tools
nodes:
  a: {cpus: 2, memory: 96M, cmdline: netlab.test=word}
  b:
links:
  - endpoints:
      - {node: a, interface: eth0, ip: [10.0.0.1/24, "fd00::1/64"], mac: "52:54:00:00:00:07", mtu: 9000}
      - {node: b, ip: 10.0.0.2/24, mtu: 9000}
  - {endpoints: ["a:eth5", "b:eth3"], ip: [~, 192.168.50.1/24], mac: [~, 52-54-00-AB-CD-EF], mtu: 1400}
Y

is_cached() {
	local before output
	"$top/scripts/image-build" lab --check || skip "the recipe has changed since the image was built"
	before=$(stat -c '%i %Y' "$image" "$image"/*)
	output=$("$top/build/netlab" image build lab)
	echo "$output"
	expect_match 'up to date' "$output"
	expect_equal "$(stat -c '%i %Y' "$image" "$image"/*)" "$before"
}

# An image that is based on this one.
shares_the_kernel() {
	has_image router || skip "the image router is not built"
	"$top/scripts/image-build" router --check || skip "the recipe has changed since the image was built"
	cmp "$image/vmlinux" "$(dirname "$image")/router/vmlinux"
}

# ---- What the topology says ------------------------------------------------------------------------------------------

machine_is_as_said() {
	local a b
	a=$(in_node a 'nproc; cat /proc/meminfo /proc/cmdline')
	b=$(in_node b 'nproc; cat /proc/cmdline')
	expect_match '^2$' "$a"
	expect_match '^1$' "$b"
	[ "$(sed -n 's/MemTotal: *\([0-9]*\) kB/\1/p' <<<"$a")" -gt 65536 ]
	expect_match '(^| )netlab\.test=word( |$)' "$a"
	expect_no_match 'netlab\.test' "$b"
}

# interfaces NODE: "NAME MTU MAC" of each that is no loopback.
interfaces() {
	# shellcheck disable=SC2016 # For the guest.
	in_node "$1" 'cd /sys/class/net && for name in eth*; do
		read -r mtu <$name/mtu && read -r mac <$name/address && echo $name $mtu $mac; done'
}

interfaces_are_as_said() {
	local a b
	a=$(interfaces a)
	b=$(interfaces b)
	expect_match '^eth0 9000 52:54:00:00:00:07$' "$a"
	expect_match '^eth5 1400 52:54:00:' "$a"
	expect_match '^eth0 9000 52:54:00:' "$b"
	expect_match '^eth3 1400 52:54:00:ab:cd:ef$' "$b"
	expect_equal "$(wc -l <<<"$a"$'\n'"$b")" 4
}

addresses_are_as_said() {
	local addresses
	addresses=$(netlab exec a -- ip -o address)
	expect_match 'eth0 +inet 10\.0\.0\.1/24' "$addresses"
	expect_match 'eth0 +inet6 fd00::1/64' "$addresses"
	expect_no_match 'eth5 +inet ' "$addresses"
}

large_frames_pass() {
	netlab exec a -- ping -c 1 -W 60 -M 'do' -s 8972 10.0.0.2
	expect_status 1 netlab exec a -- ping -c 1 -W 2 -M 'do' -s 8973 10.0.0.2
}

# ---- What the image has ----------------------------------------------------------------------------------------------

tools_are_there() {
	in_node a 'traceroute --version && iperf3 --version && ss -V'
}

arping() {
	netlab exec a -- arping -c 2 -w 60 -I eth0 10.0.0.2
}

tcpdump_sees() {
	local pid status=0
	netlab exec b -- tcpdump -l -n -i eth0 -c 1 icmp >dump &
	pid=$!
	# Until it has begun to look, pings pass unseen.
	wait_for ping_is_seen
	wait "$pid" || status=$?
	expect_equal "$status" 0
}

ping_is_seen() {
	pings a 10.0.0.2 1
	grep 'IP 10.0.0.1 > 10.0.0.2: ICMP echo request' dump
}

http() {
	netlab exec b -- httpd -h /var/www
	wait_for listens b 80
	expect_match 'It works' "$(netlab exec a -- wget -q -O - http://10.0.0.2/)"
}

# With the image's own configuration and script.
dhcp() {
	in_node b 'sed -i "s/10\.0\.0\./192.168.50./; s/eth0/eth3/" /etc/udhcpd.conf && udhcpd /etc/udhcpd.conf'
	netlab exec a -- udhcpc -i eth5 -n -q -t 20 -T 3
	expect_match '192\.168\.50\.1[0-9][0-9]/24' "$(in_node a 'ip -4 -o address show dev eth5')"
	pings a 192.168.50.1 1
	in_node a 'ip address flush dev eth5; ip link set eth5 down'
}

# A namespace behind a veth pair reaches b, which has no way back, so only by NAT.
nat() {
	in_node a 'set -e
		ip netns add inner
		ip link add v0 type veth peer name v1 netns inner
		ip address add 192.168.9.1/24 dev v0
		ip link set v0 up
		ip -n inner address add 192.168.9.2/24 dev v1
		ip -n inner link set v1 up
		ip -n inner route add default via 192.168.9.1
		echo 1 >/proc/sys/net/ipv4/ip_forward'
	expect_status 1 in_node a 'ip netns exec inner ping -c 1 -W 2 10.0.0.2'
	in_node a 'nft -f -' <<-'N'
		table ip nat {
			chain post {
				type nat hook postrouting priority srcnat
				oifname "eth0" ip saddr 192.168.9.0/24 counter masquerade
			}
		}
	N
	in_node a 'ip netns exec inner ping -c 1 -W 60 10.0.0.2'
	expect_match 'counter packets [1-9].* masquerade' "$(netlab exec a -- nft list ruleset)"
}

queues() {
	local output
	in_node b 'tc qdisc replace dev eth0 root netem delay 300ms'
	output=$(netlab exec a -- ping -c 1 -W 60 10.0.0.2)
	expect_match 'time=([3-9][0-9]{2}|[0-9]{4,})' "$output"
	in_node b 'tc qdisc replace dev eth0 root tbf rate 10mbit burst 32kbit latency 400ms'
	expect_match '^qdisc tbf .* rate 10Mbit' "$(netlab exec b -- tc qdisc show dev eth0)"
	in_node b 'tc qdisc replace dev eth0 root fq_codel'
	expect_match '^qdisc fq_codel ' "$(netlab exec b -- tc qdisc show dev eth0)"
	pings a 10.0.0.2 1
	in_node b 'tc qdisc del dev eth0 root'
}

# join NODE OWN OTHER: a VLAN and a VXLAN over eth0, the last byte of their addresses being OWN.
join() {
	in_node "$1" "set -e
		ip link add link eth0 name eth0.7 type vlan id 7
		ip address add 10.7.0.$2/24 dev eth0.7
		ip link set eth0.7 up
		ip link add vx0 type vxlan id 42 remote 10.0.0.$3 dstport 4789 dev eth0
		ip address add 10.42.0.$2/24 dev vx0
		ip link set vx0 up"
}

vlan_and_vxlan() {
	join a 1 2
	join b 2 1
	pings a 10.7.0.2 1
	pings a 10.42.0.2 1
	have tshark || return 0
	wait_for was_seen 'vlan.id == 7 && icmp'
	wait_for was_seen 'vxlan.vni == 42 && icmp'
}

was_seen() {
	[ -n "$(frames captures/tools/b-eth0.pcap "$1" frame.number)" ]
}

bridge_and_tun() {
	in_node b 'set -e
		ip link add br0 type bridge vlan_filtering 1
		ip link add d0 type dummy
		ip link set d0 master br0
		bridge vlan add dev d0 vid 5
		ip tuntap add dev tun0 mode tun
		ip tuntap add dev tap0 mode tap'
	expect_match 'd0: .* master br0' "$(netlab exec b -- bridge link show)"
	expect_match '^ +5$' "$(netlab exec b -- bridge vlan show dev d0)"
	expect_equal "$(netlab exec b -- ip tuntap show | cut -d ' ' -f 1-2 | sort | paste -sd ' ')" "tap0: tap tun0: tun"
}

mounts() {
	expect_equal "$(in_node a 'set -e
		mkdir /tmp/m && mount -t tmpfs none /tmp/m && cd /tmp/m
		mkdir lower upper work merged && echo below >lower/file
		mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged
		echo above >merged/file
		cat lower/file upper/file')" below$'\n'above
}

policy_routing() {
	in_node a 'ip rule add fwmark 7 table 100 && ip route add default via 10.0.0.2 table 100'
	expect_match 'via 10\.0\.0\.2 dev eth0 table 100' "$(netlab exec a -- ip route get 203.0.113.1 mark 7)"
	expect_match 'unreachable' "$(netlab exec a -- ip route get 203.0.113.1 2>&1 || true)"
}

check "an image that is up to date is not built again" is_cached
check "the image router has the same kernel" shares_the_kernel
check "two hosts come up" lab_up tools.yaml
check "processors, memory and command line are the topology's" machine_is_as_said
check "interfaces, MTUs and MAC addresses are the topology's" interfaces_are_as_said
check "addresses are the topology's" addresses_are_as_said
check "frames of 9,000 bytes pass" large_frames_pass
check "traceroute, iperf3 and ss" tools_are_there
check "arping" arping
check "tcpdump" tcpdump_sees
check "httpd and wget" http
check "udhcpd and udhcpc" dhcp
check "network namespace, veth, nftables with NAT" nat
check "tc: netem, tbf, fq_codel" queues
check "VLAN and VXLAN" vlan_and_vxlan
check "bridge, dummy, tun and tap" bridge_and_tun
check "tmpfs and overlay" mounts
check "rules and tables for routes" policy_routing
check "down" netlab down
finish
