"""The folder of a run: links to its artifacts, and its results."""

import json
from pathlib import Path

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
