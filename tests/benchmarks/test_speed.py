"""The benchmark of speed on a tiny model: the pipeline and the paper-literal reference agree, and it can tell."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks.both_ways import forward_flops
from benchmarks.cases import make_stage, predictions, task_texts
from benchmarks.proposals import proposals
from benchmarks.speed import main, peak_memory
from pipeline.errors import status_of
from pipeline.launch.launch_command import CPU_ENVIRONMENT
from pipeline.plan.plan import make_plan
from tests.tiny import make

KEYS = {"reference", "ours", "ratio", "unit", "memory_ratio", "share_of_peak", "data_wait_share"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def as_a_stage_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the program would start again with this environment; and what the machine multiplies is not measured."""
    for name, value in CPU_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipeline.training.throughput.matrix_rate", lambda *_: 1e9)


def speed(what: str, recipe: Path, *options: str) -> int:
    """The exit status of the program."""
    sizes = ["--models", "recipe", "--length", "16", "--batch-size", "4", "--examples", "16"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["speed", what, "--recipe", str(recipe), *sizes, *options])
        return status_of(main)


@pytest.mark.parametrize("what", ["general", "layers", "predictions"])
def test_losses_and_gradients_are_those_of_the_reference(
    recipe: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert speed(what, recipe, "--check") == 0
    assert "gradient of" in capsys.readouterr().out


def test_a_training_ends_with_the_same_bytes_again(recipe: Path, tmp_path: Path) -> None:
    assert speed("layers", recipe, "--twice", "--steps", "1", "--json", str(tmp_path / "twice.json")) == 0
    found = json.loads((tmp_path / "twice.json").read_text(encoding="utf-8"))
    assert [way["same_bytes"] for way in found.values()] == [True, True]


AUGMENT = ["--steps", "1", "--pretrain_teacher.epochs", "0"]  # the tiny model proposes as it is


def test_candidates_are_those_of_the_reference(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed("augment", recipe, "--check", *AUGMENT) == 0
    said = capsys.readouterr().out
    assert "with another list" in said
    assert "0.0e+00 (at most 0e+00)" in said


def test_other_candidates_are_found_to_differ(recipe: Path, tmp_path: Path) -> None:
    plan = make_plan(recipe, AUGMENT[2:], checked=False)
    case = proposals(make_stage(plan, "propose_candidates", tmp_path), plan, models="recipe", examples=4)
    assert case.gaps(1)[0].value == 0
    case.found[None] = {key: found[1:] for key, found in case.found[None].items()}
    assert case.gaps(1)[0].value == 1


@pytest.mark.parametrize(("only", "eager"), [("ours", False), ("reference", True)])
def test_of_one_way_alone_no_other_model_is_loaded(recipe: Path, tmp_path: Path, only: str, eager: bool) -> None:
    plan = make_plan(recipe, AUGMENT[2:], checked=False)
    stage = make_stage(plan, "propose_candidates", tmp_path)
    case = proposals(stage, plan, models="recipe", examples=4, only=only)
    assert case.model is case.slow_model
    assert (case.model.config._attn_implementation == "eager") is eager


def test_without_the_masked_lm_it_says_how_to_make_it(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed("augment", recipe) == 2
    assert "run ./run_all.sh RECIPE --until pretrain_teacher first" in capsys.readouterr().err


def test_another_loss_is_found_to_differ(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed("layers", recipe, "--check", "--distill_layers.hidden", "1.001") == 1
    assert "DIFFERS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "annotations", "epochs"),
    [
        ({"variants": "1", "epochs": "2"}, 1, 2),
        ({"variants": "5", "epochs": "3"}, 2, 3),
        ({"variants": "5", "epochs": "4", "covers": "augmented"}, 0.25, 4),
    ],
)
def test_predictions_pay_for_the_annotations_that_the_recipe_needs(
    recipe: Path, tmp_path: Path, settings: dict[str, str], annotations: float, epochs: int
) -> None:
    words = ["--augment_data.variants", settings["variants"], "--distill_predictions.epochs", settings["epochs"]]
    words += ["--distill_predictions.epoch_covers", settings.get("covers", "originals")]
    plan = make_plan(recipe, words, checked=False)
    case = predictions(make_stage(plan, "distill_predictions", tmp_path), examples=16)
    assert case.annotations == annotations
    batches = case.plan(1)
    assert sum(batches.at(step).examples for step in range(batches.steps)) == 16 * epochs
    once = forward_flops(case.slow_teacher, task_texts(case.stage, 16).lengths)
    assert case.flops_before == pytest.approx(annotations * epochs * once)
    rate, found = case.run_ours(1)
    assert rate == pytest.approx(found["examples"] / found["seconds"])
    assert found["flops"] > case.flops_before


def memory_in_this_process(given: argparse.Namespace, overrides: list[str], way: str) -> int:
    return peak_memory(argparse.Namespace(**{**vars(given), "alone": way, "steps": 2}), overrides)


@pytest.mark.parametrize(("what", "options"), [("layers", ["--steps", "2"]), ("predictions", []), ("augment", AUGMENT)])
def test_a_measurement_writes_its_figures(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, options: list[str]
) -> None:
    if what != "layers":  # one that starts a process for each way's memory, as all do, is enough
        monkeypatch.setattr("benchmarks.speed.alone", memory_in_this_process)
    assert speed(what, recipe, "--rounds", "1", *options, "--json", str(tmp_path / "figures.json")) == 0
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures.keys() >= KEYS
    assert figures["ratio"] == pytest.approx(figures["ours"] / figures["reference"])


def test_a_profile_counts_the_steps(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed("layers", recipe, "--profile", "--steps", "2", "--json", str(tmp_path / "figures.json")) == 0
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["ours"]["steps"] == figures["reference"]["steps"] == 2
    assert "aten::addmm" in capsys.readouterr().out
