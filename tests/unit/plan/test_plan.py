"""The plan: what is done, what runs, and why; made without torch."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.plan.plan import make_plan
from pipeline.plan.stages import HANDLING, READING, STAGES, TABLE
from tests.helpers.published import plan_of, publish

HEAVY = {"torch", "transformers", "datasets", "accelerate", "scipy", "sklearn", "pyarrow", "huggingface_hub"}
OF_UNFINISHED_RUNS = {"numpy", "jinja2", "matplotlib", "tokenizers", "pipeline.tasks", "pipeline.data.tables"}


@pytest.mark.parametrize("finished", [False, True])
def test_the_plan_imports_nothing_heavy(world: Path, finished: bool) -> None:
    if finished:
        publish(plan_of(world))
    code = "import sys; from pipeline.launch.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", code, str(world / "recipe.yaml"), "--list"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split()
    not_needed = HEAVY | OF_UNFINISHED_RUNS if finished else HEAVY
    assert not_needed & set(loaded) == set()


def test_nothing_has_run_yet(world: Path) -> None:
    assert plan_of(world).why == dict.fromkeys(STAGES, "not run yet")


def test_a_finished_run_has_nothing_to_do(done: Path) -> None:
    assert plan_of(done).why == {}


def test_what_one_run_published_another_need_not_run(done: Path) -> None:
    assert plan_of(done, "--name=another").why == {}


def test_a_changed_setting_is_named_with_its_old_and_new_value(done: Path) -> None:
    why = plan_of(done, "--distill_layers.epochs=2", "--task.metric=macro_f1").why
    assert why["distill_layers"] == "epochs: 1.0 -> 2.0; reads finetune_teacher, which changed"
    assert why["finetune_teacher"] == "task.metric: None -> macro_f1"
    assert "distill_general" not in why


def test_a_changed_setting_inside_a_section_is_named_in_full(done: Path) -> None:
    assert plan_of(done, "--student.width=24").why["distill_general"] == "student.width: 16 -> 24"


def test_what_the_program_does_otherwise_is_said_in_words(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HANDLING, "bert", 3)
    monkeypatch.setitem(READING, "classification", 3)
    why = plan_of(done).why
    assert why["pretrain_teacher"].startswith("the program runs models of this type otherwise; ")
    assert "the program reads rows of this kind otherwise" in why["finetune_teacher"]


def test_of_many_changes_the_first_three_are_named(done: Path) -> None:
    changes = ["batch_size=8", "clip=2", "epochs=3", "warmup=0"]
    why = plan_of(done, *(f"--distill_predictions.{change}" for change in changes)).why
    assert why["distill_predictions"] == "batch_size: 16 -> 8; clip: 1.0 -> 2.0; epochs: 2.0 -> 3.0"


def test_a_section_that_counts_no_longer_is_named_after_the_setting_that_leaves_it_out(done: Path) -> None:
    why = plan_of(done, "--prepare_corpus.task_text=false").why
    assert why["prepare_corpus"].startswith("task_text: True -> False; settings of task no longer affect this stage")


def test_in_another_store_nothing_is_said_to_have_changed(done: Path) -> None:
    assert plan_of(done, f"--run.artifacts={done / 'other'}").why["prepare_corpus"] == "not run yet"


def test_a_changed_file_is_named(done: Path) -> None:
    with (done / "vectors.txt").open("a") as file:
        file.write("late 1 2 3 4 5\n")
    why = plan_of(done).why
    assert why["propose_candidates"] == "file vectors/vectors.txt changed"
    assert why["augment_data"] == "reads propose_candidates, which changed"


def test_a_new_file_is_named(done: Path) -> None:
    (done / "more.csv").write_text("text\nThe plot is fine .\n")
    why = plan_of(done, f"--task.unlabelled={done / 'more.csv'}").why
    assert why["propose_candidates"] == "file task.unlabelled/0/more.csv changed"


def test_a_raised_version_is_a_changed_program(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE, "annotate_data", replace(TABLE["annotate_data"], version=99))
    assert plan_of(done).why["annotate_data"] == "the program's stage changed"


def test_what_reads_a_stage_that_runs_runs_too(done: Path) -> None:
    shutil.rmtree(plan_of(done).stages["annotate_data"].artifact.folder)
    why = plan_of(done).why
    assert why == {
        "annotate_data": "not run yet",
        "distill_predictions": "reads annotate_data, which runs",
        "evaluate_student": "reads distill_predictions, which runs",
        "export_student": "reads distill_predictions, which runs",
    }


def test_what_was_built_on_an_older_artifact_runs_again(done: Path) -> None:
    publish(plan_of(done), "annotate_data")
    assert plan_of(done).why["distill_predictions"] == "was built on an older annotate_data"


def test_a_file_that_is_gone_or_cut_off_is_named(done: Path) -> None:
    artifact = plan_of(done).stages["distill_layers"].artifact
    for damage in (lambda path: path.write_text("wh"), Path.unlink):
        damage(artifact.folder / "weights")
        assert plan_of(done).why["distill_layers"] == f"weights is missing or cut off in {artifact.folder}"


def test_an_artifact_without_its_manifest_is_made_again(done: Path) -> None:
    manifest = plan_of(done).stages["evaluate_student"].artifact.folder / "stage.json"
    manifest.unlink()
    assert plan_of(done).why["evaluate_student"] == f"{manifest} is missing or damaged"


def test_a_finished_run_is_planned_without_reading_its_inputs(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_of(done).book.save()
    digest, read = hashlib.file_digest, set()
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.add(Path(file.name).name) or digest(file, name))
    monkeypatch.setattr("pipeline.plan.plan.check_inputs", lambda *_: read.add("every input"))
    assert make_plan(done / "recipe.yaml").why == {}
    assert read == {"stage.json"}
