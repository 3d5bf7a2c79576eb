#!/usr/bin/env bash
# Runs the pipeline: ./run_all.sh [RECIPE] [options]; --help lists them. Without a recipe: recipes/rotten_tomatoes.yaml.
# The first run makes .venv and installs the project; an active environment, or PYTHON=..., is used instead.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/pipeline/environment/setup.sh"
set_up train,export,wikipedia,chinese,languages
exec "$PYTHON" -m pipeline "$@"
