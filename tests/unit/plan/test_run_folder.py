"""The folder of a run: links to its artifacts, and its results."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.plan.run_folder import publish_run
from pipeline.plan.stages import STAGES
from tests.helpers.published import plan_of, publish


def test_the_results_name_the_seconds_of_each_stage(done: Path) -> None:
    results = json.loads((done / "runs/recipe/results.json").read_text())
    assert results["seconds"] == dict.fromkeys(STAGES, 1.5)
    assert results["start_seconds"] == dict.fromkeys(STAGES, 0.5)
    assert results["teacher"]["score"] == 0.9


def test_a_stage_that_the_recipe_no_longer_has_is_no_part_of_the_run(done: Path) -> None:
    assert (done / "runs" / "recipe" / "prepare_corpus").is_symlink()
    without = ("--pretrain_teacher.epochs=0", "--distill_general.epochs=0", "--student.start=random")
    publish_run(plan_of(done, *without))
    assert not (done / "runs" / "recipe" / "prepare_corpus").exists()
    assert plan_of(done).stages["prepare_corpus"].artifact.folder.is_dir()


def test_an_unfinished_run_links_what_is_done_and_has_no_results(world: Path) -> None:
    plan = plan_of(world)
    publish(plan, "prepare_corpus")
    publish_run(plan_of(world))
    assert {path.name for path in plan.run_folder.iterdir()} == {"prepare_corpus", "recipe.yaml"}
    assert str((plan.run_folder / "prepare_corpus").readlink()).startswith("../../artifacts/prepare_corpus/")


def test_folders_in_the_place_of_links_are_all_named(done: Path, tmp_path: Path) -> None:
    run, copy = done / "runs" / "recipe", tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(run)
    copy.rename(run)
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(UserError, match=f"{', '.join(STAGES)}: no links .* rm -r {run}$"):
        publish_run(plan_of(done))
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_finished_run_may_lie_where_nothing_can_be_written(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        if path.read_text(encoding="utf-8") != text:
            raise OSError(errno.EROFS, "Read-only file system", str(path))

    recipe = done / "runs" / "recipe" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: 0", "seed: 0  # of another place", 1))
    monkeypatch.setattr("pipeline.plan.run_folder.write_atomically", refuse)
    monkeypatch.setattr("pipeline.artifacts.run_links.write_atomically", refuse)
    publish_run(plan_of(done))
    with pytest.raises(OSError, match="Read-only"):
        publish_run(replace(plan_of(done), why={"export_student": "forced"}))


def test_a_file_in_place_of_the_folder_of_runs_is_named_and_not_noted(done: Path, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    notes = sorted((done / "artifacts/cache/runs").iterdir())
    with pytest.raises(UserError, match=r"run.runs: .*/a_file is no folder; give another one"):
        publish_run(plan_of(done, f"--run.runs={tmp_path / 'a_file'}"))
    assert sorted((done / "artifacts/cache/runs").iterdir()) == notes
