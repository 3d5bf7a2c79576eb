#!/usr/bin/env bash
# Checks the project as CI does: every test, and beside them the linters of pipeline/environment/lint.sh. With pytest
# arguments (./run_tests.sh -k losses) it runs those tests alone. Three processes share the tests, since a launched
# stage spends a part of its time waiting; `-n 8` is eight.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/pipeline/environment/setup.sh"
set_up train,export,wikipedia,chinese,languages,serve,docs,dev
cd "$PROJECT"

said=$(mktemp)
[ $# -gt 0 ] || pipeline/environment/lint.sh >"$said" 2>&1 &
trap 'kill $! 2>/dev/null || true; rm -f "$said"' EXIT
failed=()
"$PYTHON" -m pytest -n 3 --dist worksteal "$@" || failed+=("tests")
wait $! || failed+=("linters")
cat "$said"
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
