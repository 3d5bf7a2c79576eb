"""Stages at work: beside another run on the same artifacts, and one after the other in one process."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from pipeline.artifacts.store import MANIFEST, Artifact
from pipeline.errors import Interrupted, UserError, WorkFailed
from pipeline.launch import stage_runner, stage_work
from pipeline.launch.launcher import LAUNCHED_AT, stop_signals
from pipeline.launch.stage_work import Main, stage_of, work
from pipeline.plan.plan import Plan, make_plan, reasons
from pipeline.plan.run_folder import recipe_text
from pipeline.plan.stages import STAGES
from pipeline.runtime import processes
from pipeline.runtime.stage import Stage
from stages import prepare_corpus
from tests.helpers.one_process import run_recipe
from tests.helpers.published import publish


def published_again(artifact: Artifact, *, more: str = "") -> None:
    """What `--force` of another run does: the same content, made once more, or with a file of `more` beside it."""
    shutil.copytree(artifact.folder, artifact.output)
    if more:
        (artifact.output / "more").write_text(more)
    (artifact.output / MANIFEST).unlink()
    manifest = artifact.manifest() or {}
    artifact.publish({name: value for name, value in manifest.items() if name != "files"} | {"started": 0.0})


def test_what_was_read_is_noted_not_what_stands_there_in_the_end(world: Path) -> None:
    run_recipe(world / "recipe.yaml", last="prepare_corpus")
    plan = make_plan(world / "recipe.yaml")
    corpus = plan.stages["prepare_corpus"].artifact

    def main(stage: Stage) -> dict[str, Any]:
        published_again(corpus)
        (stage.output / "weights").write_text("of the old corpus")
        return {}

    work(stage_of(plan, "pretrain_teacher", Accelerator(cpu=True)), plan, main, command="")
    assert reasons(plan)["pretrain_teacher"] == "was built on an older prepare_corpus"


@pytest.mark.parametrize("same", [True, False])
def test_work_goes_on_only_with_what_it_began_with(world: Path, same: bool, capsys: pytest.CaptureFixture[str]) -> None:
    run_recipe(world / "recipe.yaml", last="prepare_corpus")
    plan = make_plan(world / "recipe.yaml")
    found: list[bool] = []

    def main(stage: Stage) -> dict[str, Any]:
        found.append((stage.work / "checkpoint").exists())
        (stage.work / "checkpoint").write_text("of this corpus")
        if len(found) == 1:
            raise Interrupted("stopped")
        (stage.output / "weights").write_text("")
        return {}

    with pytest.raises(Interrupted):
        work(stage_of(plan, "pretrain_teacher", Accelerator(cpu=True)), plan, main, command="")
    published_again(plan.stages["prepare_corpus"].artifact, more="" if same else "other bytes")
    work(stage_of(plan, "pretrain_teacher", Accelerator(cpu=True)), plan, main, command="")
    assert found == [False, same]
    assert ("an artifact that it reads has changed since the interruption" in capsys.readouterr().err) != same


def test_an_input_that_changed_without_a_trace_is_another_one_for_the_next_plan(world: Path) -> None:
    plan = make_plan(world / "recipe.yaml")
    plan.book.save()  # as ./run_all.sh does before the first launch

    def main(stage: Stage) -> dict[str, Any]:
        text, times = world / "text.txt", (world / "text.txt").stat()
        with text.open("r+") as file:
            file.write("And")
        os.utime(text, ns=(times.st_atime_ns, times.st_mtime_ns))
        return {}

    with pytest.raises(UserError, match=r"text\.txt .* changed while prepare_corpus read it"):
        work(stage_of(plan, "prepare_corpus", Accelerator(cpu=True)), plan, main, command="")
    again = make_plan(world / "recipe.yaml").stages["prepare_corpus"].artifact
    assert again.fingerprint != plan.stages["prepare_corpus"].artifact.fingerprint


def test_a_machine_without_git_notes_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert stage_work._git_commit() is None


def test_what_another_run_published_meanwhile_is_not_made_again(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, make = world / "recipe.yaml", processes.make_accelerator

    def slowly(**settings: Any) -> Accelerator:
        run_recipe(recipe, last="prepare_corpus")
        return make(**settings)

    monkeypatch.setattr(processes, "make_accelerator", slowly)
    stage_runner.run_in_turn(["prepare_corpus"], lambda _: prepare_corpus.main, recipe, ["--run.tracker", "none"])
    plan: Plan = make_plan(recipe)
    assert "prepare_corpus" not in plan.why
    folder = plan.stages["prepare_corpus"].artifact.folder
    assert f"done meanwhile: {folder}" in capsys.readouterr().err
    assert [path.name for path in folder.parent.iterdir() if "aside" in path.name] == []


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of signals are afterwards those from before."""
    before = {number: signal.getsignal(number) for number in stop_signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_comes_too_late_for_a_stage_stops_the_next_one(world: Path) -> None:
    began: list[str] = []

    def main_of(name: str) -> Main:
        def main(stage: Stage) -> dict[str, Any]:
            began.append(stage.name)
            os.kill(os.getpid(), signal.SIGTERM)
            return {}

        return main

    with pytest.raises(Interrupted, match="stopped before pretrain_teacher; the same command goes on"):
        stage_runner.run_in_turn(STAGES[:2], main_of, world / "recipe.yaml", ["--run.tracker", "none"])
    assert began == ["prepare_corpus"]
    assert "prepare_corpus" not in make_plan(world / "recipe.yaml").why


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_stage_runs_with_the_recipe_that_its_launch_began_with(world: Path, by_hand: bool) -> None:
    recipe, settings, planned = world / "recipe.yaml", ["--run.tracker", "none", "--seed", "3"], None
    plan = make_plan(recipe, settings, checked=False)

    def edit(stage: Stage) -> dict[str, Any]:
        recipe.write_text("seed: [\n")
        return {}

    if not by_hand:
        planned = world / "planned.yaml"
        planned.write_text(recipe_text(plan.recipe))
        recipe.write_text("seed: 7\n")
    stage_runner.run_in_turn(STAGES[:2], lambda _: edit, recipe, settings, planned=planned)
    assert not {*STAGES[:2]} & {*reasons(plan)}
    manifest = plan.stages[STAGES[1]].artifact.manifest() or {}
    assert manifest["command"] == f"./run_all.sh {recipe} --run.tracker none --seed 3"


@pytest.mark.usefixtures("handlers")
def test_too_little_memory_names_the_setting_that_makes_a_step_smaller(world: Path) -> None:
    def main(stage: Stage) -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    publish(make_plan(world / "recipe.yaml", checked=False), "prepare_corpus")
    settings = ["--run.tracker", "none", "--pretrain_teacher.micro_batch_tokens", "4096"]
    with pytest.raises(WorkFailed, match=r"than there is; set pretrain_teacher\.micro_batch_tokens: 2048, half"):
        stage_runner.run_in_turn(["pretrain_teacher"], lambda _: main, world / "recipe.yaml", settings)


@pytest.mark.usefixtures("handlers")
def test_the_start_of_a_stage_counts_from_the_end_of_the_one_before(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LAUNCHED_AT, str(time.time() - 1000))
    stage_runner.run_in_turn(STAGES[:2], lambda _: lambda stage: {}, world / "recipe.yaml", ["--run.tracker", "none"])
    first, second = (make_plan(world / "recipe.yaml").stages[name].artifact.manifest() or {} for name in STAGES[:2])
    assert first["start_seconds"] > 1000
    assert 0 < second["start_seconds"] < 100
