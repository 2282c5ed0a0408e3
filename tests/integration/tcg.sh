#!/usr/bin/env bash
# Everything once more with real ring 0: an AMD processor with SVM and nested paging, emulated by QEMU, runs Debian's kernel
# with kvm_amd; in it netlab runs labs whose guests boot the same unmodified kernel from the image lab's files.
#
# The outer machine is made of an initramfs alone: busybox, the programs under test with their libraries, labs and
# images; tests/tcg/init runs in it and says how each step ended.  Needs neither root nor KVM.
#
# NETLAB_TCG_SECONDS  how long the outer machine may run in all (default: 1500)
# NETLAB_TCG_CPUS     its processors (default: 1: with more, QEMU runs them in parallel, and guests with two processors were seen
#                     to reset out of the blue, which they never did with one)
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

limit=${NETLAB_TCG_SECONDS:-1500}
cpus=${NETLAB_TCG_CPUS:-1}
standstill=240 # Seconds without a word.
outer_modules=(irqbypass kvm kvm-amd)
# What Debian's kernel needs to see the devices of a guest; those that others need come first.
guest_modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net
	virtio_console virtio-rng)
kernel= # Folder with vmlinuz and the modules.

# ---- Debian's kernel -------------------------------------------------------------------------------------------------

find_kernel() {
	if ! kernel=$("$top/scripts/emulated-kernel" 2>"$work/.kernel"); then
		sed 's/^/# /' "$work/.kernel"
		skip_rest "$(tail -n 1 "$work/.kernel")"
	fi
}

# ---- The outer machine -----------------------------------------------------------------------------------------------

# pack FOLDER FILE: an archive for a kernel to unpack.  Names of folders that other archives may have as links are left out.
pack() {
	(cd "$1" && find . -mindepth 1 ! -path ./lib -printf '%P\n' | sort | cpio -o -H newc --owner 0:0 --quiet) >"$2"
}

# Every library a program here needs, to the same place.
add_libraries() {
	local library
	ldd "$@" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u | while read -r library; do
		mkdir -p "$outer$(dirname "$library")"
		cp -L "$library" "$outer$library"
	done
}

# The archives of the image lab, in their order, one a line.  Its tools may be on a disk, which Debian's kernel cannot
# read without modules; the image has them as usr.cpio too.
parts_of_image() {
	{
		sed -n 's/#.*//; s/^initramfs: *//p' "$image/image.yaml" | tr -d '[] ' | tr ',' '\n'
		if [ -e "$image/usr.cpio" ]; then
			echo usr.cpio
		fi
	} | awk 'NF && !seen[$0]++'
}

# add_image NAME KERNEL: the image lab with another kernel and the modules that needs.
add_image() {
	local folder=$outer/data/netlab-kvm/images/$1 part
	mkdir -p "$folder"
	cp "$2" "$folder/vmlinuz"
	{
		echo "kernel: vmlinuz"
		echo "initramfs:"
		for part in $(parts_of_image); do
			echo "  - /parts/$part"
		done
		echo "  - /parts/modules.cpio"
		echo 'cmdline: "console=ttyS0 loglevel=4 panic=-1 reboot=t"'
		echo "memory: 128M"
	} >"$folder/image.yaml"
}

add_parts() {
	local part module
	mkdir -p "$outer/parts" modules/lib/modules
	for part in $(parts_of_image); do
		cp "$image/$part" "$outer/parts/$part"
	done
	for module in "${guest_modules[@]}"; do
		cp "$kernel/$module.ko" modules/lib/modules/
		echo "$module.ko" >>modules/lib/modules/load
	done
	pack modules "$outer/parts/modules.cpio"
}

# The same bzImage with a header that points behind the beginning of its payload: netlab cannot tell what that is, and
# enters it as a bzImage, as it does with what other distributions pack.
hide_payload() {
	local offset
	offset=$(($(od -An -tu4 -j $((0x248)) -N 4 "$1") + 4))
	cp "$1" "$2"
	# shellcheck disable=SC2059  # The format is four bytes in octal.
	printf "$(printf '\\%03o' $((offset & 255)) $((offset >> 8 & 255)) $((offset >> 16 & 255)) $((offset >> 24)))" |
		dd of="$2" bs=1 seek=$((0x248)) conv=notrunc status=none
}

build_outer() {
	local module
	outer=$work/outer
	mkdir -p "$outer"/{bin,kvm,usr/local/bin,labs/two-hosts,labs/processors}
	cp "$(command -v busybox)" "$outer/bin/busybox"
	ln -s busybox "$outer/bin/sh"
	cp "$top/tests/tcg/init" "$outer/init"
	chmod 755 "$outer/init"
	cp "$bin/netlab" "$bin/netlabd" "$outer/usr/local/bin/"
	add_libraries "$bin/netlab" "$bin/netlabd"
	for module in "${outer_modules[@]}"; do
		cp "$kernel/$module.ko" "$outer/kvm/"
	done
	cp "$top/labs/two-hosts/topology.yaml" "$outer/labs/two-hosts/"
	cp "$top/tests/tcg/processors.yaml" "$outer/labs/processors/topology.yaml"
	add_parts
	add_image lab "$kernel/vmlinuz"
	hide_payload "$kernel/vmlinuz" bzimage
	add_image bzimage bzimage
	(cd "$outer" && find . -mindepth 1 -printf '%P\n' | sort | cpio -o -H newc --owner 0:0 --quiet) >outer.cpio
	rm -rf "$outer" modules bzimage
}

# Ends QEMU when its machine stands still, which says something every ten seconds.  That was seen to happen to guests with
# two processors on a busy host: the emulated processor ran on and took no interrupts.
watch_outer() {
	while sleep 5; do
		if [ $(($(date +%s) - $(stat -c %Y console))) -gt "$standstill" ]; then
			touch stood-still
			kill "$(cat qemu.pid)"
			return
		fi
	done
}

# Returns when the outer machine has powered off, stands still, or its time is over.
run_outer() {
	local watcher status=0
	rm -f stood-still
	: >console
	watch_outer &
	watcher=$!
	timeout -k 10 "$limit" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu qemu64,+svm,+npt -smp "$cpus" -m 1500 \
		-display none -nodefaults -no-reboot -monitor none -serial file:console -serial file:captures.tar \
		-pidfile qemu.pid -kernel "$kernel/vmlinuz" -initrd outer.cpio \
		-append "console=ttyS0 panic=-1 reboot=t loglevel=3 mitigations=off" >qemu 2>&1 || status=$?
	kill "$watcher" 2>/dev/null || true
	return "$status"
}

outer_runs() {
	local status=0
	run_outer || status=$?
	if [ -e stood-still ]; then
		status=0
		run_outer || status=$?
	fi
	[ ! -e stood-still ] || fail "the outer machine stood still for $standstill s, twice"
	tr -d '\r' <console >log
	cat qemu
	[ "$status" -eq 0 ] || { tail -n 60 log; fail "the outer machine did not end in $limit s (status $status)"; }
}

# ---- What the steps said ---------------------------------------------------------------------------------------------

# output_of STEP
output_of() {
	sed -n "/^netlab-tcg: begin $1\$/,/^netlab-tcg: end $1 /p" log | sed '1d;$d'
}

# passed STEP [PATTERN...]: it ended with status 0, and said what matches each extended regular expression.
passed() {
	local step=$1 output pattern
	shift
	output=$(output_of "$step")
	printf '%s\n' "$output"
	grep -qx "netlab-tcg: end $step 0" log || fail "$(grep "^netlab-tcg: end $step " log || echo "step $step did not end")"
	for pattern; do
		expect_match "$pattern" "$output"
	done
}

nodes_are_ready() {
	local output
	passed status
	have jq || return 0
	output=$(output_of status)
	expect_equal "$(jq -r '[.nodes[] | .name + " " + .state] | join(", ")' <<<"$output")" "h1 ready, h2 ready"
	expect_equal "$(jq -r '.host.kind' <<<"$output")" svm
	expect_equal "$(jq -r '[.ports[].capture_lost] | add' <<<"$output")" 0
}

# On real ring 0, with XSAVE: one guest booted, and both go on from it.
nodes_are_clones() {
	have jq || skip "no jq"
	expect_equal "$(output_of status | jq '[.nodes[].clone] | all')" true
}

# Each queue of the NIC has a vector of its own, and they were used.
vectors_are_used() {
	local output
	passed interrupts
	output=$(output_of interrupts)
	expect_match ' [1-9][0-9]* .*virtio[0-9]+-input.0' "$output"
	expect_match ' [1-9][0-9]* .*virtio[0-9]+-output.0' "$output"
}

# Nothing in the machine made an unmodified kernel complain.
kernel_is_content() {
	passed "$1"
	expect_no_match 'BUG|WARNING:|Call Trace|[Ff]irmware [Bb]ug|unchecked MSR|Spurious|nobody cared' "$(output_of "$1")"
}

captures_show() {
	local host
	have tshark || skip "no tshark"
	passed captures
	tar -xf captures.tar
	for host in h1 h2; do
		expect_equal "$(frames "captures/two-hosts/$host-eth0.pcap" 'icmp.type==8' | wc -l)" 4
		expect_equal "$(frames "captures/two-hosts/$host-eth0.pcap" 'icmp.type==0' | wc -l)" 4
	done
}

need_tool qemu-system-x86_64 cpio busybox apt-get dpkg-deb
has_image lab || skip_rest "the image lab is not built"
[ -n "$skip_all" ] || find_kernel

check "the outer machine is built" build_outer
check "the outer machine runs to its end" outer_runs
check "Debian's kernel has KVM with nested paging" passed load-kvm '^(Y|1)$'
check "netlab takes it for kvm_amd" passed doctor 'kvm_amd'
check "two guests with Debian's kernel come up" passed up
check "they are ready" nodes_are_ready
check "they are clones of one that booted" nodes_are_clones
check "it is Debian's kernel" passed kernel 'cloud-amd64'
check "they ping each other" passed ping '3 (packets )?received'
check "MSI-X: a vector for each queue" vectors_are_used
check "the guest's kernel has nothing to complain of" kernel_is_content log
check "the lab is saved, and brought back to that instant" passed snapshot '^one$' '1 (packets )?received'
check "the guest's kernel has nothing to complain of then" kernel_is_content log-after
check "down leaves nothing" passed down
check "the lab starts from what was saved" passed up-from '^one$' '1 (packets )?received'
check "down leaves nothing of that" passed down-from
check "a bzImage that unpacks itself comes up" passed up-processors
check "with two processors" passed processors '^2$'
check "and pings a guest with one" passed ping-processors '3 (packets )?received'
check "down leaves nothing again" passed down-processors
check "captures show the pings" captures_show
finish
