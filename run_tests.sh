#!/usr/bin/env bash
# Checks the project as CI does: the linters of pipeline/environment/lint.sh, then every test.
# With pytest arguments (./run_tests.sh -k losses) it runs those tests alone. Two processes share them; `-n 8` is eight.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/pipeline/environment/lint.sh"

failed=()
[ $# -gt 0 ] || lint
"$PYTHON" -m pytest -n 2 --dist worksteal "$@" || failed+=("pytest")
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
