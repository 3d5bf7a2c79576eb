"""What a stage does when another run is at work on the same artifacts."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from pipeline.artifacts.store import MANIFEST, Artifact
from pipeline.errors import UserError
from pipeline.launch import stage_runner
from pipeline.launch.stage_runner import stage_of, work
from pipeline.plan.plan import Plan, make_plan, reasons
from pipeline.runtime import processes
from pipeline.runtime.stage import Stage
from stages import prepare_corpus
from tests.helpers.one_process import run_recipe


def published_again(artifact: Artifact) -> None:
    """What `--force` of another run does: the same content, made once more."""
    shutil.copytree(artifact.folder, artifact.output)
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
    assert stage_runner._git_commit() is None


def test_what_another_run_published_meanwhile_is_not_made_again(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, make = world / "recipe.yaml", processes.make_accelerator

    def slowly(**settings: Any) -> Accelerator:
        run_recipe(recipe, last="prepare_corpus")
        return make(**settings)

    monkeypatch.setattr(processes, "make_accelerator", slowly)
    monkeypatch.setattr(sys, "argv", ["stages.prepare_corpus"])
    stage_runner._run("prepare_corpus", prepare_corpus.main, recipe, ["--run.tracker", "none"])
    plan: Plan = make_plan(recipe)
    assert "prepare_corpus" not in plan.why
    folder = plan.stages["prepare_corpus"].artifact.folder
    assert f"done meanwhile: {folder}" in capsys.readouterr().err
    assert [path.name for path in folder.parent.iterdir() if "aside" in path.name] == []
