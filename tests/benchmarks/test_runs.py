"""What benchmarks read of finished runs: the artifacts of the plan's own settings, whatever ran last."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import export, runs, serve
from pipeline.artifacts.store import Artifact
from pipeline.errors import BAD_INPUT, UserError, status_of


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
