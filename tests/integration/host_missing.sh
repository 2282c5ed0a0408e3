#!/usr/bin/env bash
# A host that lacks something is told what, and the command that helps, with exit status 3; nothing is started.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

topology=$top/labs/two-hosts/topology.yaml

# refused PATTERN COMMAND...: exit status 3, and a message with the pattern.
refused() {
	local pattern=$1 output
	shift
	output=$(expect_status 3 "$@" 2>&1) || fail "$output"
	echo "$output"
	expect_match "$pattern" "$output"
	wait_for no_daemons
	[ ! -e "$runtime/two-hosts" ]
}

no_image() {
	local folder
	[ -w /dev/kvm ] || skip "no /dev/kvm"
	for folder in /usr/local/share /usr/share; do
		[ ! -e "$folder/netlab-kvm/images/lab" ] || skip "the image is installed in $folder"
	done
	export XDG_DATA_HOME=$work/empty
	refused 'netlab image build lab|make image' netlab up "$topology"
	echo 'nodes: {a: {image: router}}' >routers.yaml
	refused '"netlab image build router" builds it' netlab up routers.yaml
}

# without_kvm COMMAND...: in a namespace whose /dev has only the most needed.
without_kvm() {
	local flags=-m
	[ "$(id -u)" -eq 0 ] || flags=-rm
	unshare "$flags" true 2>/dev/null || skip "no mount namespaces here"
	# shellcheck disable=SC2016 # For the inner shell.
	unshare "$flags" bash -euc '
		mount -t tmpfs none /mnt
		for device in null zero full random urandom tty; do
			[ -e "/dev/$device" ] || continue
			touch "/mnt/$device"
			mount --bind "/dev/$device" "/mnt/$device"
		done
		ln -s /proc/self/fd /mnt/fd
		mkdir /mnt/shm
		mount --move /mnt /dev
		exec "$@"' bash "$@"
}

no_kvm() {
	refused 'modprobe' without_kvm "$bin/netlab" up "$topology"
	refused '/dev/kvm' without_kvm "$bin/netlab" doctor
}

check_needs_no_kvm() {
	without_kvm "$bin/netlab" check "$topology"
}

# What user nobody can reach, beside the programs: a topology, an image that is none, and a runtime folder of its own.
prepare_for_nobody() {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to become somebody else"
	[ -e /dev/kvm ] || skip "no /dev/kvm"
	have setpriv || skip "no setpriv"
	chmod 711 "$work"
	mkdir -p data/netlab-kvm/images/lab nobody lab
	install -m 644 "$topology" lab/topology.yaml
	echo 'kernel: vmlinux' >data/netlab-kvm/images/lab/image.yaml
	echo nothing >data/netlab-kvm/images/lab/vmlinux
	chmod -R a+rX bin data lab
	chmod 700 nobody
	chown 65534:65534 nobody
}

as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups \
		env XDG_RUNTIME_DIR="$work/nobody" XDG_DATA_HOME="$work/data" HOME="$work/nobody" "$@"
}

no_permission() {
	prepare_for_nobody
	as_nobody test -r /dev/kvm && skip "everybody may use /dev/kvm here"
	cd nobody
	refused 'adduser|usermod|gpasswd' as_nobody "$bin/netlab" up "$work/lab/topology.yaml"
	cd ..
	rm -rf nobody
}

# The exit status is what the findings say, in both forms.
doctor() {
	local status=0
	have jq || skip "no jq"
	netlab doctor --format json >doctor.json || status=$?
	jq . doctor.json
	jq -e '(.findings | length > 0) and
		all(.findings[]; (.check | length > 0) and (.text | length > 0) and (.verdict | IN("ok", "warning", "missing"))) and
		all(.findings[] | select(.verdict != "ok"); .fix | length > 0) and
		.ok == all(.findings[]; .verdict != "missing")' doctor.json
	expect_equal "$status" "$(jq 'if .ok then 0 else 3 end' doctor.json)"
	expect_status "$status" netlab doctor >doctor.txt
	cat doctor.txt
	expect_equal "$(grep -c '^missing' doctor.txt)" "$(jq '[.findings[] | select(.verdict == "missing")] | length' doctor.json)"
}

# Refused for where the topology says it, before anything is started.
too_many_nodes() {
	local output
	[ -w /dev/kvm ] || skip "no /dev/kvm"
	has_image lab || skip "the image lab is not built"
	{
		echo "name: many"
		echo "defaults: {memory: 3G}"
		echo "nodes: [$(seq -s ', ' -f 'n%g' 1 1000)]"
	} >many.yaml
	netlab check many.yaml
	output=$(expect_status 2 netlab up many.yaml 2>&1) || fail "$output"
	echo "$output"
	expect_match '(^|/)many\.yaml:3:1: error: .*1000 nodes.*memory' "$output"
	no_daemons
	[ ! -e "$runtime/many" ]
	[ ! -e captures ]
}

no_room_for_captures() {
	[ -w /dev/kvm ] || skip "no /dev/kvm"
	touch in-the-way
	local output status=0
	output=$(netlab up --captures "$work/in-the-way/folder" "$topology" 2>&1) || status=$?
	[ "$status" -ne 0 ]
	expect_match 'in-the-way' "$output"
	wait_for no_daemons
}

check "no image: the command that builds it" no_image
check "no /dev/kvm: what helps" no_kvm
check "check works without /dev/kvm" check_needs_no_kvm
check "no permission for /dev/kvm: what helps" no_permission
check "doctor" doctor
check "1,000 nodes of 3 GiB each" too_many_nodes
check "no folder for captures" no_room_for_captures
finish
