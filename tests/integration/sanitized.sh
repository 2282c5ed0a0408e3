#!/usr/bin/env bash
# basic.sh once more, with netlab and netlabd built with AddressSanitizer and UndefinedBehaviorSanitizer: whatever they
# find in any process is a failure.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export NETLAB_BIN=$top/build/sanitize SANITIZED=yes
# shellcheck source-path=SCRIPTDIR source=basic.sh
source "$top/tests/integration/basic.sh"
