#!/usr/bin/env bash
# netlab in Wireshark: as an extcap program, in a folder of the test's own, and started by "netlab wireshark".
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool dumpcap jq tshark
need_image

mkdir home
# Wireshark's own tools, as a user who has nothing else.
shark() {
	local program=$1
	shift
	env -u XDG_CONFIG_HOME HOME="$work/home" timeout -k 10 "$patience" "$program" "$@"
}

# What is asked of an extcap program, of the link in Wireshark's folder.
asked() {
	"$(cat link)" "$@"
}

installs() {
	local folder=$work/home/extcap
	env -u XDG_CONFIG_HOME HOME="$work/home" "$bin/netlab" wireshark --install --format json | jq -r .link >"$work/link"
	expect_match "^$work/home/.*/extcap/netlab-kvm$" "$(cat link)"
	expect_equal "$(readlink "$(cat link)")" "$bin/netlab"
	# Again, elsewhere, and not in place of what is not ours.
	shark "$bin/netlab" wireshark --install
	expect_match "$folder/netlab-kvm" "$(netlab wireshark --install --folder "$folder")"
	expect_match "is gone" "$(netlab wireshark --uninstall --folder "$folder")"
	[ ! -e "$folder/netlab-kvm" ]
	echo mine >"$folder/netlab-kvm"
	expect_status 1 netlab wireshark --install --folder "$folder" 2>said
	expect_match "$folder/netlab-kvm is not netlab's" "$(cat said)"
	expect_status 1 netlab wireshark --uninstall --folder "$folder" 2>said
	expect_equal "$(cat "$folder/netlab-kvm")" mine
	mkdir tools
	expect_status 3 env PATH="$work/tools" "$bin/netlab" wireshark --install 2>said
	expect_match 'install one .*, or name the folder with --folder' "$(cat said)"
}

# The folder that Wireshark 4.2 and later name.
newer_folder() {
	printf '#!/bin/sh\nprintf "Personal configuration:\\t%s\\nPersonal Extcap path:\\t%s\\n"\n' \
		"$work/old" "$work/new/extcap" >tools/tshark
	chmod +x tools/tshark
	PATH=$work/tools:$PATH netlab wireshark --install
	expect_equal "$(readlink new/extcap/netlab-kvm)" "$bin/netlab"
	PATH=$work/tools:$PATH netlab wireshark --uninstall
	expect_equal "$(ls new/extcap)" ""
}

without_labs() {
	expect_equal "$(asked --extcap-interfaces --extcap-version=4.0 | grep -c '^interface')" 0
	expect_no_match netlab "$(shark tshark -D 2>/dev/null)"
}

comes_up() {
	cat >topology.yaml <<-END
		name: office
		nodes: [h1, r1]
		networks: {lan: , uplink: {mode: nat}}
		links:
		  - {endpoints: [h1, lan], ip: 10.0.0.1/24}
		  - {endpoints: [r1, lan], ip: 10.0.0.2/24}
		  - {endpoints: [h1, r1], ip: [10.0.1.1/24, 10.0.1.2/24]}
		  - {endpoints: [r1, uplink]}
	END
	lab_up topology.yaml
}

listed() {
	local list
	list=$(shark tshark -D 2>/dev/null)
	expect_match '^[0-9]+\. netlab-office \(all ports of lab office\)$' "$list"
	expect_match '^[0-9]+\. netlab-office/h1:eth0 \(h1:eth0 \(lab office, network lan\)\)$' "$list"
	expect_match '^[0-9]+\. netlab-office/h1:eth1 \(h1:eth1 \(lab office, link to r1:eth1\)\)$' "$list"
	expect_match '^[0-9]+\. netlab-office/network:uplink \(.*\)$' "$list"
	expect_equal "$(grep -c '\. netlab-office/' <<<"$list")" "$(status_of '.ports | length')"
	expect_match 'EN10MB' "$(shark tshark -L -i netlab-office 2>/dev/null)"
}

told_of_filters() {
	expect_equal "$(asked --extcap-capture-filter 'tcp port 80' --extcap-interface netlab-office)" ""
	expect_match '^The filter cannot be compiled: .*syntax error' \
		"$(asked --extcap-capture-filter 'tcp prot 80' --extcap-interface netlab-office)"
	expect_match '^arg .*\{call=--snaplen\}.*\{type=unsigned\}' \
		"$(asked --extcap-config --extcap-interface netlab-office/h1:eth0)"
	expect_status 2 asked --capture --extcap-interface eth0 --fifo nowhere 2>said
}

# pinging COMMAND...: while h1 pings r1 over both of their links.
pinging() {
	local pings status=0
	netlab exec -n h1 -- sh -c 'ping -i 0.5 10.0.1.2 & ping -i 0.5 10.0.0.2' >/dev/null &
	pings=$!
	"$@" || status=$?
	kill "$pings"
	wait "$pings" || true
	[ "$status" = 0 ]
}

captures_a_port() {
	pinging shark tshark -n -i netlab-office/h1:eth1 -f icmp -c 5 -T fields -e frame.interface_name -e icmp.type >seen
	expect_equal "$(wc -l <seen)" 5
	expect_equal "$(cut -f 1 seen | sort -u)" h1:eth1
	expect_equal "$(cut -f 2 seen | sort -u | paste -sd ' ')" "0 8"
}

captures_a_lab() {
	pinging shark tshark -n -i netlab-office -f 'icmp[icmptype] = icmp-echo' -c 12 -w lab.pcapng
	expect_equal "$(frames lab.pcapng icmp.type==8 frame.interface_name | sort -u | paste -sd ' ')" \
		"h1:eth0 h1:eth1 r1:eth0 r1:eth1"
}

# Until Wireshark has enough, which tells the extcap program by a signal.
captures_for_a_while() {
	local count
	pinging shark tshark -n -i netlab-office/r1:eth0 -a duration:5 -w while.pcapng
	count=$(frames while.pcapng icmp frame.number | wc -l)
	[ "$count" -gt 0 ] || fail "nothing was captured"
	wait_for nobody_captures
}

nobody_captures() {
	! grep -qsaF -- "$(cat link)" /proc/[0-9]*/cmdline || fail "an extcap program still runs"
}

# dumpcap does not ask extcap programs; it is given what it is to read.
passed_to_dumpcap() {
	netlab capture --all -f 'icmp[icmptype] = icmp-echo' -c 12 | shark dumpcap -q -i - -w dumped.pcapng
}

captures_by_dumpcap() {
	pinging passed_to_dumpcap
	expect_equal "$(frames dumped.pcapng icmp.type==8 frame.interface_name | wc -l)" 12
	expect_equal "$(frames dumped.pcapng icmp frame.interface_name | sort -u | paste -sd ' ')" \
		"h1:eth0 h1:eth1 r1:eth0 r1:eth1"
}

what_is_wrong_is_said() {
	expect_status 1 shark tshark -i netlab-office -f 'icmp[' -c 1 2>said
	expect_match 'filter "icmp\[" cannot be compiled' "$(cat said)"
}

# A program that is called wireshark shows what a capture begins with.
starts_wireshark() {
	# shellcheck disable=SC2016 # What it has is its own.
	printf '#!/bin/sh\necho "$*" >%s/arguments\nhead -c 4 >%s/magic\n' "$work" "$work" >tools/wireshark
	chmod +x tools/wireshark
	PATH=$work/tools:$PATH DISPLAY=:0 netlab wireshark h1 --filter icmp
	wait_for test -s magic
	expect_equal "$(cat arguments)" "-k -i -"
	expect_equal "$(od -An -tx1 magic | tr -d ' ')" 0a0d0d0a
	expect_status 1 env PATH="$work/tools:$PATH" DISPLAY=:0 "$bin/netlab" wireshark h1:eth9 2>said
	expect_match 'there is no port "h1:eth9"' "$(cat said)"
	expect_status 3 env DISPLAY=:0 PATH="$work/new" "$bin/netlab" wireshark --all 2>said
	expect_match 'there is no wireshark here; install it' "$(cat said)"
	expect_status 3 env -u DISPLAY -u WAYLAND_DISPLAY -u QT_QPA_PLATFORM "$bin/netlab" wireshark --all 2>said
	expect_match 'no screen for Wireshark' "$(cat said)"
}

uninstalls() {
	shark "$bin/netlab" wireshark --uninstall
	expect_no_match netlab "$(shark tshark -D 2>/dev/null)"
}

check "netlab is put into Wireshark's folder" installs
check "the folder of newer versions" newer_folder
check "no labs, no interfaces" without_labs
check "the lab comes up" comes_up
check "its ports are listed" listed
check "filters and options" told_of_filters
check "tshark captures on a port" captures_a_port
check "tshark captures on a whole lab" captures_a_lab
check "tshark captures for a while" captures_for_a_while
check "dumpcap is given a lab" captures_by_dumpcap
check "tshark says what is wrong" what_is_wrong_is_said
check "netlab wireshark starts it" starts_wireshark
check "netlab is taken out of Wireshark's folder" uninstalls
finish
