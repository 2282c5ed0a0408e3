#!/usr/bin/env bash
# An ordinary user in the group that may use /dev/kvm runs a lab.  When the tests are run by such a user, all of them
# show that; this is for when they are run by root.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq setpriv unshare
need_image
[ "$(id -u)" -eq 0 ] || skip_rest "run by an ordinary user, as all the others are"

user=47110
kvm_group=47111

# as_user COMMAND...: with a /dev/kvm that belongs to the group, as Debian sets it up, whatever it is here.
as_user() {
	# shellcheck disable=SC2016 # For the inner shell.
	unshare -m bash -euc '
		user=$1 group=$2 work=$3
		shift 3
		mount -t tmpfs none /mnt
		cp -a /dev/kvm /mnt/kvm
		chown 0:"$group" /mnt/kvm
		chmod 660 /mnt/kvm
		mount --bind /mnt/kvm /dev/kvm
		exec setpriv --reuid "$user" --regid "$user" --groups "$group" --bounding-set=-all --no-new-privs \
			env HOME="$work/home" XDG_DATA_HOME="$work/data" "$@"' \
		bash "$user" "$kvm_group" "$work" "$@"
}

netlab() {
	as_user timeout -k 10 $((patience + 60)) "$bin/netlab" "$@"
}

prepare() {
	chmod 711 "$work"
	mkdir -p data/netlab-kvm/images home
	cp -rL "$image" data/netlab-kvm/images/lab
	chmod -R a+rX bin data
	install -m 644 "$top/labs/two-hosts/topology.yaml" home/
	chown "$user:$user" home "$XDG_RUNTIME_DIR"
	as_user dd if=/dev/kvm of=/dev/null count=0 2>/dev/null || skip_rest "no namespace with a /dev/kvm of its own here"
}

owner_of() {
	stat -c %u "$1"
}

all_is_the_users() {
	local path
	for path in /proc/"$(daemon_pid two-hosts)" "$runtime/two-hosts" home/captures/two-hosts/h1-eth0.pcap; do
		expect_equal "$path $(owner_of "$path")" "$path $user"
	done
	expect_equal "$(stat -c %a "$runtime/two-hosts")" 700
	expect_equal "$(grep Groups: /proc/"$(daemon_pid two-hosts)"/status | tr -d ' ' | cut -f 2)" "$kvm_group"
}

up() {
	cd home
	lab_up .
}

copies() {
	cd home
	netlab cp h1:/etc/hostname name
	expect_equal "$(cat name) $(owner_of name)" "h1 $user"
}

down() {
	netlab down two-hosts
	wait_for no_daemons
	expect_equal "$(ls "$runtime")" ""
}

[ -n "$skip_all" ] || prepare
check "doctor finds all that labs need" netlab doctor
check "two hosts come up" up
check "all of it is the user's" all_is_the_users
check "ping" pings h1 10.0.0.2
check "cp" copies
check "down" down
finish
