#!/usr/bin/env bash
# The linters. Run by pre-commit, and sourced by run_tests.sh: then `lint` adds the names of those that fail to `failed`.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
set_up train,export,wikipedia,chinese,languages,serve,docs,dev
cd "$PROJECT"

lint() {
    check ruff "$PYTHON" -m ruff check
    check ruff-format "$PYTHON" -m ruff format --check
    check pyright "$PYTHON" -m pyright --pythonpath "$PYTHON"
    check import-linter "$PYTHON" -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
}

check() {
    local name=$1
    echo "== $name"
    "${@:2}" || failed+=("$name")
}

if [ "$0" = "${BASH_SOURCE[0]}" ]; then
    failed=()
    lint
    [ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
fi
