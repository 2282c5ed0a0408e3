#!/usr/bin/env bash
# make install and make uninstall.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool make pkg-config

prefix=$work/prefix
installed=$prefix/bin/netlab

# Another PREFIX is other paths in the programs, so this builds in a folder of its own.
make_there() {
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$top" --no-print-directory PACKAGES=no B="$work/build" \
		PREFIX="$prefix" "$@"
}

install_it() {
	make_there install
	[ -x "$installed" ]
	[ -s "$prefix/share/bash-completion/completions/netlab" ]
	# From here on nothing is found beside the program by chance.
	rm -rf build
}

runs_from_there() {
	expect_match netlab "$("$installed" help)"
	"$installed" check "$prefix/share/netlab-kvm/labs/two-hosts/topology.yaml"
}

finds_its_daemon() {
	need_image
	[ -z "$skip_all" ] || skip "$skip_all"
	mkdir -p lab
	echo 'nodes: [a]' >lab/topology.yaml
	timeout "$patience" "$installed" up lab
	timeout "$patience" "$installed" down lab
}

finds_an_image_beside_it() {
	mkdir -p "$prefix/share/netlab-kvm/images/other"
	echo 'kernel: vmlinux' >"$prefix/share/netlab-kvm/images/other/image.yaml"
	touch "$prefix/share/netlab-kvm/images/other/vmlinux"
	expect_match other "$("$installed" image list)"
	rm -r "$prefix/share/netlab-kvm/images"
}

can_build_images() {
	local output
	output=$("$installed" image build no-such-image 2>&1) && fail "it built no-such-image"
	# The script is there and knows its recipes, or it would have been said that it is not installed.
	expect_match 'no-such-image' "$output"
	expect_no_match 'not installed' "$output"
	[ -s "$prefix/share/netlab-kvm/scripts/images/lab/kernel.config" ]
}

uninstall_it() {
	make_there uninstall
	expect_equal "$(find "$prefix" -type f -o -type l)" ""
}

check "make install" install_it
check "the installed command runs" runs_from_there
check "the installed command brings a lab up" finds_its_daemon
check "images are found where netlab is installed" finds_an_image_beside_it
check "the installed command can build images" can_build_images
check "make uninstall leaves no file" uninstall_it
finish
