#!/usr/bin/env bash
# A guest that breaks the rules of virtio: its device is quarantined, with the reason, and everything else goes on.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

cat >lan.yaml <<'Y'
name: lan
nodes: [h1, h2, bad]
networks: {lan: }
links:
  - {endpoints: [h1, lan], ip: 10.0.0.1/24}
  - {endpoints: [h2, lan], ip: 10.0.0.2/24}
  - {endpoints: [bad, lan], ip: 10.0.0.3/24}
Y

# Behind the back of its driver the NIC is reset and given a ring that lies beyond the guest's memory.  devmem knows only
# /dev/mem, and the NIC's registers are at the beginning of its BAR (virtio 1.2, 4.1.4.3).
break_rules() {
	# shellcheck disable=SC2016 # For the guest.
	in_node bad '
		set -e
		ln -s "$(realpath /sys/class/net/eth0/device/..)/resource0" /dev/mem
		put() { busybox devmem "$@"; }
		put 0x14 8 0             # device_status: reset
		put 0x14 8 3             # ACKNOWLEDGE, DRIVER
		put 0x08 32 1            # driver_feature_select
		put 0x0c 32 1            # driver_feature: VERSION_1
		put 0x14 8 11            # FEATURES_OK
		put 0x16 16 0            # queue_select
		put 0x18 16 256          # queue_size
		put 0x20 32 0xfffff000   # queue_desc
		put 0x28 32 0xfffff000   # queue_driver
		put 0x30 32 0xfffff000   # queue_device
		put 0x1c 16 1            # queue_enable
		put 0x14 8 15            # DRIVER_OK'
}

is_quarantined() {
	[ "$(status_of "$(device) | .quarantined")" = true ]
}

# device: the filter that finds the NIC in the status.
device() {
	echo '.nodes[] | select(.name == "bad") | .devices[] | select(.name == "eth0")'
}

status_says_why() {
	wait_for is_quarantined
	[ -n "$(status_of "$(device) | .reason")" ]
	expect_equal "$(status_of '[.nodes[].devices[] | select(.quarantined)] | length')" 1
	expect_match 'bad: eth0 is quarantined: .' "$(netlab status)"
}

only_its_nic_is_gone() {
	state_is bad ready
	netlab exec bad -- true
	expect_status 1 netlab exec h1 -- ping -c 1 -W 2 10.0.0.3
}

restart_mends_it() {
	netlab restart --timeout "$patience" bad
	expect_equal "$(status_of "$(device) | .quarantined")" false
	pings h1 10.0.0.3 1
}

check "three hosts come up" lab_up lan.yaml
check "all reach the one" pings h1 10.0.0.3 1
check "its kernel breaks the rules" break_rules
check "the status says that and why" status_says_why
check "the others ping on" pings h1 10.0.0.2
check "only its NIC is gone" only_its_nic_is_gone
check "a restart mends it" restart_mends_it
finish
