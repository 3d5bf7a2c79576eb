"""The benchmark of speed on a tiny model: the pipeline and the paper-literal reference agree, and it can tell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cases import make_stage
from benchmarks.proposals import proposals
from pipeline import PROJECT
from pipeline.plan.plan import make_plan
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


AUGMENT = ["--steps", "1", "--pretrain_teacher.epochs", "0"]  # the tiny model proposes as it is


def test_candidates_are_those_of_the_reference(recipe: Path) -> None:
    answer = speed("augment", recipe, "--check", *AUGMENT)
    assert "with another list" in answer.stdout, answer.stderr
    assert "0.0e+00 (at most 0e+00)" in answer.stdout


def test_other_candidates_are_found_to_differ(recipe: Path, tmp_path: Path) -> None:
    plan = make_plan(recipe, AUGMENT[2:], checked=False)
    case = proposals(make_stage(plan, "propose_candidates", tmp_path), plan, models="recipe", examples=4)
    assert case.gaps(1)[0].value == 0
    case.found["reference"] = {key: found[1:] for key, found in case.found["reference"].items()}
    assert case.gaps(1)[0].value == 1


def test_without_the_masked_lm_it_says_how_to_make_it(recipe: Path) -> None:
    answer = speed("augment", recipe)
    assert answer.returncode == 2
    assert "run ./run_all.sh RECIPE --until pretrain_teacher first" in answer.stderr


def test_another_loss_is_found_to_differ(recipe: Path) -> None:
    answer = speed("layers", recipe, "--check", "--distill_layers.hidden", "1.001")
    assert answer.returncode == 1
    assert "DIFFERS" in answer.stdout


@pytest.mark.parametrize(("what", "options"), [("layers", ["--steps", "2"]), ("predictions", []), ("augment", AUGMENT)])
def test_a_measurement_writes_its_figures(recipe: Path, tmp_path: Path, what: str, options: list[str]) -> None:
    answer = speed(what, recipe, "--rounds", "1", *options, "--json", str(tmp_path / "figures.json"))
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures.keys() >= KEYS
    assert figures["ratio"] == pytest.approx(figures["ours"] / figures["reference"])
