#!/usr/bin/env bash
# basic.sh once more, with netlab and netlabd built with AddressSanitizer and UndefinedBehaviorSanitizer: whatever they
# find in any process is a failure.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export NETLAB_BIN=$top/build/sanitize SANITIZED=yes

# They write to files here, since nobody sees what netlabd says.
reports=${NETLAB_TEST_KEEP:-$top/build/check}/sanitized.reports
rm -rf "$reports"
mkdir -p "$reports"
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$reports/asan
export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}log_path=$reports/ubsan:print_stacktrace=1

# Leaks are looked for when a process ends.
no_reports() {
	local file found=no
	wait_for no_daemons
	for file in "$reports"/*; do
		[ -e "$file" ] || continue
		found=yes
		echo "--- $file"
		cat "$file"
	done
	expect_equal "$found" no
}

# shellcheck source-path=SCRIPTDIR source=basic.sh
source "$top/tests/integration/basic.sh"
