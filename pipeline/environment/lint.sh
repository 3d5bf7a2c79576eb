#!/usr/bin/env bash
# The linters, each even after one failed. Run by pre-commit, and by run_tests.sh beside the tests.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
set_up train,export,wikipedia,chinese,languages,serve,docs,dev
cd "$PROJECT"

failed=()

check() {
    local name=$1
    echo "== $name"
    "${@:2}" || failed+=("$name")
}

check ruff "$PYTHON" -m ruff check
check ruff-format "$PYTHON" -m ruff format --check
check pyright "$PYTHON" -m pyright --pythonpath "$PYTHON"
check import-linter "$PYTHON" -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
