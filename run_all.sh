#!/usr/bin/env bash
# Runs the pipeline: ./run_all.sh [RECIPE or TABLE] [options]. Without a recipe: recipes/rotten_tomatoes.yaml.
# The first run makes .venv and installs the project; an active environment (of conda not the base), or PYTHON=..., is
# used instead. Then --help lists the options and all settings, as docs/reference/commands.md and settings.md do.
set -euo pipefail
self=${BASH_SOURCE[0]}
[ ! -L "$self" ] || self=$(readlink -f -- "$self")
source "$(dirname -- "$self")/pipeline/environment/setup.sh"

first=${1:-}
said=" $* "

before_installing() {
    case $said in
        *' --help '* | *' -h '*) sed -n '2,4s/^# //p' "$self" && exit ;;
    esac
    case $first in
        '' | -*) ;;
        *) [ -e "$first" ] || [ -e "$PROJECT/$first" ] || fail "$first: no such recipe or table" 2 ;;
    esac
}

set_up train,export,wikipedia,chinese,languages
exec "$PYTHON" -m pipeline "$@"
