#!/usr/bin/env bash
# A guest whose processor cannot go on: the node crashes, says why and with which registers, and the others go on.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_tool gcc
need_image

# An image whose kernel marks a register, and then executes what no processor without AVX, and no emulator, can.
make_image() {
	local folder=$1/netlab-kvm/images
	mkdir -p "$folder/broken"
	ln -s "${XDG_DATA_HOME:-$HOME/.local/share}/netlab-kvm/images/lab" "$folder/lab"
	cat >broken.S <<'S'
	.globl _start
_start:	movabs $0x6e65746c6162, %rbx
	vpaddd %ymm0, %ymm1, %ymm2
	hlt
S
	gcc -nostdlib -static -Wl,-N -Wl,-Ttext=0x1000000 -Wl,--build-id=none -o "$folder/broken/kernel" broken.S
	echo 'kernel: kernel' >"$folder/broken/image.yaml"
}

comes_up_broken() {
	local status=0
	netlab up --timeout "$patience" crash.yaml >up.log 2>&1 || status=$?
	cat up.log
	expect_equal "$status" 1
	expect_match 'h2.*crashed|crashed.*h2' "$(cat up.log)"
}

status_says_why() {
	expect_equal "$(status_of '.nodes[] | select(.name == "h2") | .state')" crashed
	expect_match 'vCPU 0: (KVM cannot emulate|triple fault)|reset before' \
		"$(status_of '.nodes[] | select(.name == "h2") | .reason')"
	netlab status
}

# After a triple fault SVM has reset the registers, and there are none to show.
registers_are_shown() {
	local reason
	reason=$(status_of '.nodes[] | select(.name == "h2") | .reason')
	case $reason in *"triple fault"*) skip "this KVM gives a triple fault, which leaves no registers" ;; esac
	expect_equal "$(status_of '.nodes[] | select(.name == "h2") | .registers.rbx')" 0x6e65746c6162
	expect_match 'rbx 00006e65746c6162' "$(netlab logs h2)"
	expect_match '6e65746c6162' "$(netlab status)"
}

recorder_is_left() {
	wait_for test -s captures/crash/crash-h2.pcapng
	have capinfos || skip "no capinfos"
	expect_match 'Name = h2:eth0' "$(capinfos -M captures/crash/crash-h2.pcapng)"
}

others_go_on() {
	netlab exec h1 -- true
}

make_image "$PWD/data"
export XDG_DATA_HOME=$PWD/data
cat >crash.yaml <<'Y'
name: crash
nodes: {h1: , h2: {image: broken}}
links: [h1-h2]
Y

check "up says that a node crashed, and leaves the lab" comes_up_broken
check "the status says why" status_says_why
check "the registers are shown" registers_are_shown
check "what was recorded before it crashed is in a file" recorder_is_left
check "the other node goes on" others_go_on
finish
