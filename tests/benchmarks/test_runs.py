"""What benchmarks read of finished runs: the artifacts of the plan's own settings, whatever ran last."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import export, pages, results, runs, serve, tasks
from pipeline.artifacts.store import Artifact
from pipeline.errors import BAD_INPUT, UserError, status_of
from pipeline.export.onnx_session import FLOAT32, INT8
from tests.helpers.published import MEASURED


def plan_of(root: Path, **fingerprints: str) -> Any:
    """A plan with an artifact a stage."""
    artifacts = {stage: Artifact(root, stage, found) for stage, found in fingerprints.items()}
    return SimpleNamespace(stages={stage: SimpleNamespace(artifact=each) for stage, each in artifacts.items()})


def publish(plan: Any, stage: str, **manifest: Any) -> None:
    artifact = plan.stages[stage].artifact
    artifact.output.mkdir(parents=True)
    artifact.publish({"stage": stage} | manifest)


def test_another_seed_has_another_student(tmp_path: Path) -> None:
    zero, one = (plan_of(tmp_path, export_student=fingerprint) for fingerprint in ("0" * 16, "1" * 16))
    publish(zero, "export_student")
    assert runs.published(zero, "export_student") == tmp_path / "export_student" / ("0" * 16)
    with pytest.raises(UserError, match="--until export_student"):
        runs.published(one, "export_student")


def test_what_ships_is_not_measured_where_its_run_is_not_there(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, finetune_teacher="a" * 16, distill_predictions="b" * 16, export_student="c" * 16)
    with pytest.raises(UserError, match="finetune_teacher of these settings is not there"):
        export.of_recipe(plan, rounds=1)


def test_the_server_of_no_run_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "make_plan", lambda *_, **__: plan_of(tmp_path, export_student="c" * 16))
    monkeypatch.setattr("sys.argv", ["serve"])
    assert status_of(serve.main) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def manifest(commit: str | None, threads: int) -> dict[str, Any]:
    return {"git_commit": commit, "machine": f"x86_64, {threads} threads, cpu"}


@pytest.fixture
def own_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit is one of the product."""
    monkeypatch.setattr(results, "commit", lambda at: at)


@pytest.mark.usefixtures("own_commits")
def test_a_note_says_with_what_the_published_stages_were_made(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, finetune_teacher="a" * 16, distill_layers="b" * 16, evaluate_student="c" * 16)
    publish(plan, "finetune_teacher", **manifest("3cadc14", 2))
    publish(plan, "evaluate_student", **manifest("fcc08ec", 1))
    commits = {"finetune_teacher": ["3cadc14"], "evaluate_student": ["fcc08ec"]}
    assert runs.made_by(plan) == {"commits": commits, "threads": [1, 2]}
    assert runs.made_by(plan, until="distill_layers") == {"commits": {"finetune_teacher": ["3cadc14"]}, "threads": [2]}


@pytest.mark.usefixtures("own_commits")
def test_rows_are_said_in_one_sentence() -> None:
    seeds = [("3cadc14", "fcc08ec"), ("f9326b4", "fcc08ec"), ("3cadc14", None)]
    rows = [
        {"stages": runs.note({"distill_layers": manifest(made, 1), "export_student": manifest(measured, 2)})}
        for made, measured in seeds
    ]
    said = "The stages ran at commits 3cadc14, f9326b4; evaluation and export ran at fcc08ec, unknown."
    assert runs.sentence(rows) == runs.sentence({"rows": rows, "mean": {}}) == said
    assert runs.note_of(rows)["threads"] == [1, 2]
    same = runs.note({"distill_layers": manifest("3cadc14", 1), "export_student": manifest("3cadc14", 1)})
    assert runs.sentence({"stages": same}) == "The stages ran at commit 3cadc14."
    assert [runs.sentence(older) for older in ({}, [{"seed": 0}], "# Evidence")] == [""] * 3


@pytest.mark.parametrize(("threads", "seconds"), [((2, 2), 25), ((2, 1), None)])
def test_the_times_of_stages_with_other_threads_do_not_add_up(
    threads: tuple[int, int], seconds: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="50% fresh"))
    stages = ("distill_layers", "export_student")
    for stage, number in zip(stages, threads, strict=True):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "stage.json").write_text(json.dumps(manifest(None, number)))
    kept = dict.fromkeys(("kept", "kept_interval", "agreement", "rows", "seed", "metric", "task", "split"))
    sides = {role: MEASURED.copy() for role in ("teacher", "student")}
    form = {"test_score": 0.8, "bytes": 10, "latency_ms": 1.0, "examples_per_s": 9.0}
    exported = {FLOAT32: form, INT8: form}
    made = manifest(None, threads[1]) | {"metrics": {"forms": exported}}
    (tmp_path / "export_student" / "stage.json").write_text(json.dumps(made))
    shipped = {"teacher_latency_ms": 1.5, "disk_bytes": 12, "file": INT8}
    found = kept | sides | {"shipped": shipped, "seconds": dict.fromkeys(stages, 10.0)}
    found["start_seconds"] = dict.fromkeys(stages, 2.5)
    (tmp_path / "results.json").write_text(json.dumps(found))
    figures = pages.figures_of(tmp_path)
    assert (figures["seconds"], figures["float32_onnx"]["disk_bytes"]) == (seconds, 12)  # with the tokenizer
    assert pages.commit_of(tmp_path) == "unknown"
