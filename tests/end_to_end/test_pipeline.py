"""The whole pipeline on a tiny model, through the commands a user types."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from pipeline import PROJECT
from pipeline.launch.launch_command import CPU_ENVIRONMENT, launch_command
from pipeline.plan.stages import STAGES
from tests import tiny
from tests.faults import differing, draw, kill_and_resume, work_seconds
from tests.helpers.commands import copy_artifacts, run_all
from tests.helpers.decoders import decoder_recipe, write_decoder
from tests.helpers.once import once
from tests.helpers.one_process import metrics, run_recipe

pytestmark = pytest.mark.slow


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time of change."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def weights(run: Path, stage: str) -> dict[str, np.ndarray]:
    found = [path for path in (run / stage).rglob("*.safetensors") if "projections" not in path.name]
    assert len(found) == 1
    return load_file(found[0])


@pytest.fixture
def world(run_world: Path) -> Path:
    """The one that all of these share."""
    return run_world


def test_a_clean_clone_runs_end_to_end(finished: Path):
    results = json.loads((finished / "results.json").read_text())
    keys = {"task", "metric", "split", "teacher", "student", "kept", "kept_interval", "agreement", "times_smaller",
            "encoder_times_smaller", "times_faster", "seed", "seconds"}  # fmt: skip
    side = {"score", "parameters", "encoder_parameters", "disk_bytes", "latency_ms", "examples_per_s"}
    assert keys <= results.keys()
    assert side <= results["teacher"].keys()
    assert side <= results["student"].keys()
    assert results["split"] == "test"
    assert list(results["seconds"]) == list(STAGES)
    assert all(0 < seconds < 600 for seconds in results["start_seconds"].values())  # since the launcher began
    assert results["kept"] == pytest.approx(results["student"]["score"] / results["teacher"]["score"])


def test_a_second_run_launches_nothing_and_changes_no_file(finished: Path, world: Path):
    before = files_of(world)
    again = run_all(world / "recipe.yaml")
    assert again.returncode == 0
    assert "nothing was launched" in again.stderr
    assert files_of(world) == before


def test_the_student_loads_with_nothing_of_ours_installed(finished: Path, tmp_path: Path):
    program = (
        "import sys; from transformers import AutoModelForSequenceClassification, pipeline\n"
        "AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "print(pipeline('text-classification', model=sys.argv[1])('The film is great .')[0]['label'])\n"
        "print('pipeline.runtime.stage' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-c", program, str(finished / "distill_predictions")],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    label, ours = answer.stdout.split()
    assert label in ("fresh", "rotten")
    assert ours == "False"


def test_every_form_of_the_exported_student_gives_the_same_label(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.predict.__main__ import main

    folder = finished / "export_student"
    for words in ([], ["--onnx"]):
        assert main([str(folder), "The film is great and the cast was very warm .", *words]) == 0
    one, other = capsys.readouterr().out.splitlines()
    assert one.split()[0] == other.split()[0]
    forms = json.loads((folder / "stage.json").read_text())["metrics"]["forms"]
    assert {name: (folder / name).stat().st_size for name in forms} == {
        name: form["bytes"] for name, form in forms.items()
    }
    assert all(form["latency_ms"] > 0 and form["examples_per_s"] > 0 for form in forms.values())


def test_the_augmented_dataset_is_read_by_datasets_and_pandas(finished: Path, tmp_path: Path):
    from datasets import load_dataset

    folder = finished / "augment_data"
    rows = load_dataset(str(folder), cache_dir=str(tmp_path))["train"]
    assert rows.features["label"].names == ["fresh", "rotten"]
    frame = pd.read_parquet(folder / "data")
    assert len(frame) == len(rows)
    assert set(frame["variant"]) == {0, 1, 2}


@pytest.fixture
def each_alone(world: Path, shared: Path) -> Path:
    """The folder of a run whose stages had a process each."""

    def run(folder: Path) -> None:
        folder.mkdir()
        command = [sys.executable, "-m", "tests.helpers.each_alone", str(world / "recipe.yaml"), str(folder)]
        done = subprocess.run(
            command, cwd=PROJECT, env=os.environ | CPU_ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    return once(shared / "each alone", run) / "r" / "recipe"


def test_one_launch_publishes_what_each_stage_publishes_alone(finished: Path, each_alone: Path):
    known = ("version", "settings", "inputs", "packages", "machine", "processes")
    for stage in STAGES:
        one, other = ((run / stage).resolve() for run in (finished, each_alone))
        assert set(differing(one, other)) <= ({"README.md"} if stage == "export_student" else set()), stage
        ours, theirs = (json.loads((folder / "stage.json").read_text()) for folder in (one, other))
        assert {name: ours[name] for name in known} == {name: theirs[name] for name in known}
        assert ours["metrics"].get("curve") == theirs["metrics"].get("curve")


TRAINED = ("pretrain_teacher", "finetune_teacher", "distill_general", "distill_layers", "distill_predictions")


def recipe_of_decoder(folder: Path) -> Path:
    """A Llama that is trained and distilled."""
    world = folder / "of decoders"
    world.mkdir()
    backbone = write_decoder(world / "llama", "llama", tiny.write_text(world / "text.txt", lines=40))
    few = {"epochs": 1, "batch_size": 16, "micro_batch_tokens": 128, "held_out": 0.1, "learning_rate": 1e-3}
    return decoder_recipe(world, backbone, pretrain_teacher=few)


@pytest.fixture
def two_processes(finished: Path, world: Path, shared: Path) -> Path:
    """The runs of all stages on one pair of processes, each from the artifacts of the finished run: STAGE/r/recipe."""

    def launch(folder: Path) -> None:
        for stage in STAGES:
            copy_artifacts(finished, folder / stage / "a", until=stage, copy=os.link)
        words = [str(world / "recipe.yaml"), str(folder), str(recipe_of_decoder(folder))]
        command, changes = launch_command(["NAME"], words, ["--num_processes", "2"])
        place = command.index("stages")
        command[place : place + 2] = ["tests.helpers.every_stage"]
        both = subprocess.run(
            command, cwd=PROJECT, env=os.environ | changes, capture_output=True, text=True, check=False, timeout=600
        )
        assert both.returncode == 0, both.stderr[-3000:]

    return once(shared / "two processes", launch)


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_do_what_one_does(finished: Path, two_processes: Path, stage: str) -> None:
    run = two_processes / stage / "r" / "recipe"
    one, other = ((each / stage).resolve() for each in (finished, run))
    manifests = [json.loads((folder / "stage.json").read_text()) for folder in (one, other)]
    assert [manifest["processes"] for manifest in manifests] == [1, 2]
    if stage not in TRAINED:
        assert list(differing(one, other)) == []
        return
    losses, same = (manifest["metrics"]["curve"] for manifest in manifests)
    assert [point["step"] for point in same] == list(range(1, len(losses) + 1))
    for point, again in zip(losses, same, strict=True):
        assert again == pytest.approx(point, rel=1e-5)
    ours, theirs = weights(finished, stage), weights(run, stage)
    for name in ours:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0, atol=1e-4, err_msg=name)


def test_two_processes_do_with_a_decoder_what_one_does(two_processes: Path, tmp_path: Path) -> None:
    places = ["--run.artifacts", str(tmp_path / "a"), "--run.runs", str(tmp_path / "r")]
    plan = run_recipe(two_processes / "of decoders" / "recipe.yaml", *places, last="distill_general")
    for stage in ("pretrain_teacher", "distill_general"):
        (manifest,) = two_processes.glob(f"decoder/a/{stage}/*/stage.json")
        found = json.loads(manifest.read_text())
        assert (found["processes"], found["fingerprint"]) == (2, plan.stages[stage].artifact.fingerprint)
        one, two = metrics(plan, stage)["curve"], found["metrics"]["curve"]
        assert len(one) == len(two) > 2
        for point, again in zip(one, two, strict=True):
            assert again == pytest.approx(point, rel=1e-4)


@pytest.mark.parametrize(
    ("start_from", "stages"),
    [("backbone", ["distill_general"]), ("task_teacher", ["distill_layers", "distill_predictions"])],
)
def test_a_fit_has_the_same_bytes_whatever_the_number_of_processes(
    finished: Path, world: Path, tmp_path: Path, start_from: str, stages: list[str]
) -> None:
    """Of one process in this one, of two as they are launched; of the layers, and of the task's head."""
    runs, plain = [], ["--student.start_from", start_from]
    for stage in {"distill_general", *stages}:
        plain += [f"--{stage}.epochs", "0"]
    for name in ("one", "two"):
        copy_artifacts(finished, tmp_path / name / "a", until=stages[0], copy=os.link)
        words = ["--run.artifacts", str(tmp_path / name / "a"), "--run.runs", str(tmp_path / name / "r"), *plain]
        if name == "one":
            run_recipe(world / "recipe.yaml", *words, last=stages[-1])
        else:
            run = run_all(world / "recipe.yaml", *words, "--until", stages[-1], "--", "--num_processes", "2")
            assert run.returncode == 0, run.stderr
            assert "fitting layers 1 to 2 of the teacher, on" in run.stderr
            assert ("fitting the student's head to the teacher's outputs" in run.stderr) == (len(stages) > 1)
        runs.append(tmp_path / name / "r" / "recipe")
    for stage in stages:
        one, two = ((run / stage).resolve() for run in runs)
        assert json.loads((two / "stage.json").read_text())["processes"] == 2
        assert list(differing(one, two)) == []


KILLS = 2  # `python -m tests.faults` strikes as often as it is told


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_killed_at_a_random_instant_ends_with_the_same_bytes(
    finished: Path, world: Path, tmp_path: Path, number: int
):
    source = random.Random(number)
    while True:  # an instant after the stage's end is drawn again
        kill = draw(source, {1: work_seconds(finished)})
        folder = tmp_path / str(kill)
        left, differ = kill_and_resume(kill, recipe=world / "recipe.yaml", whole=finished, folder=folder)
        assert differ == [], (kill, left)
        if left[0] != "ended before":
            return


def test_a_teacher_that_learns_nothing_ends_the_run(finished: Path, world: Path, tmp_path: Path):
    copy_artifacts(finished, tmp_path / "a", until="finetune_teacher")
    words = ["--run.artifacts", tmp_path / "a", "--run.runs", tmp_path / "r", "--until", "finetune_teacher",
             "--finetune_teacher.learning_rate", "1e-9"]  # fmt: skip
    stopped = run_all(world / "recipe.yaml", *words)
    assert stopped.returncode == 1
    assert "no better on dev than always giving the most frequent label" in stopped.stderr
    assert "finetune_teacher.log" in stopped.stderr
    assert "resume: ./run_all.sh" in stopped.stderr
