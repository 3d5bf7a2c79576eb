"""The benchmark of speed on a tiny model: the pipeline and the paper-literal reference agree, and it can tell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.recipes import PROJECT
from tests.tiny import make

KEYS = {"reference", "ours", "ratio", "unit", "memory_ratio", "share_of_peak", "data_wait_share"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tiny"))


def speed(what: str, recipe: Path, *options: str) -> subprocess.CompletedProcess[str]:
    sizes = ["--models", "recipe", "--length", "16", "--batch-size", "4", "--examples", "16"]
    command = [sys.executable, "-m", "benchmarks.speed", what, "--recipe", str(recipe), *sizes, *options]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("what", ["general", "layers", "predictions"])
def test_losses_and_gradients_are_those_of_the_reference(recipe: Path, what: str) -> None:
    answer = speed(what, recipe, "--check")
    assert answer.returncode == 0, answer.stderr
    assert "gradient of" in answer.stdout


def test_another_loss_is_found_to_differ(recipe: Path) -> None:
    answer = speed("layers", recipe, "--check", "--distill_layers.hidden", "1.001")
    assert answer.returncode == 1
    assert "DIFFERS" in answer.stdout


@pytest.mark.parametrize("what", ["layers", "predictions"])
def test_a_measurement_writes_its_figures(recipe: Path, tmp_path: Path, what: str) -> None:
    answer = speed(what, recipe, "--rounds", "1", "--steps", "2", "--json", str(tmp_path / "figures.json"))
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures.keys() >= KEYS
    assert figures["ratio"] == pytest.approx(figures["ours"] / figures["reference"])
