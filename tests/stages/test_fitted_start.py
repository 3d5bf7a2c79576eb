"""A stage that is killed while it fits its student."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import PROJECT
from tests.helpers.one_process import run_recipe

KILLED_IN_THE_FIT = """
import os, signal, sys
from pathlib import Path
from pipeline.models import fitted_start
from tests.helpers.one_process import run_recipe

solve, left = fitted_start.ridge, 4

def struck(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return solve(*arguments, **options)

fitted_start.ridge = struck
run_recipe(Path(sys.argv[1]), "--run.artifacts", *sys.argv[2:], last="distill_general")
"""


def published(recipe: Path, *overrides: str) -> Path:
    return run_recipe(recipe, *overrides, last="distill_general").stages["distill_general"].artifact.folder


@pytest.mark.slow
def test_killed_inside_a_fit_it_starts_with_the_same_bytes(world: Path) -> None:
    recipe, upstream, killed, whole = world / "recipe.yaml", world / "upstream", world / "killed", world / "whole"
    fitted = ["--student.start", "fitted", "--distill_general.epochs", "0"]
    run_recipe(recipe, *fitted, "--run.artifacts", str(upstream), last="finetune_teacher")
    for copy in (killed, whole):
        shutil.copytree(upstream, copy)
    command = [sys.executable, "-c", KILLED_IN_THE_FIT, str(recipe), str(killed), *fitted]
    assert subprocess.run(command, cwd=PROJECT, check=False, capture_output=True).returncode == -signal.SIGKILL
    again, once = (published(recipe, *fitted, "--run.artifacts", str(folder)) for folder in (killed, whole))
    files = sorted(path.relative_to(once) for path in once.rglob("*.safetensors"))
    assert files
    assert all((again / file).read_bytes() == (once / file).read_bytes() for file in files)
