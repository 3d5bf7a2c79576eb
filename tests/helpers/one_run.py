"""Every stage of a recipe, launched as a user launches them."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from pipeline import PROJECT


def run_everything(recipe: Path, *overrides: str) -> Path:
    """Run a recipe to its end; returns the folder of the run."""
    command = [sys.executable, "-m", "pipeline", str(recipe), *overrides]
    done = subprocess.run(
        command, cwd=PROJECT, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Path(yaml.safe_load(recipe.read_text(encoding="utf-8"))["run"]["runs"]) / recipe.stem
