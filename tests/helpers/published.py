"""Fake artifacts: what a stage publishes, without its work. As a command it stands in for launched stages.

python -m tests.helpers.published STAGE STAGE --recipe R [--section.field value ...]
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts.atomic import checksum
from pipeline.artifacts.store import MANIFEST, OWN_SUM, Artifact, _sum_of
from pipeline.launch import cli
from pipeline.launch.stage_logs import StageLogs, mark
from pipeline.plan.plan import Plan, make_plan
from pipeline.plan.run_folder import RESULTS

MEASURED = {
    "score": 0.9,
    "scores": {"test": 0.9},
    "parts": {"accuracy": 0.9},
    "parameters": 1000,
    "encoder_parameters": 500,
    "disk_bytes": 4000,
    "latency_ms": 1.5,
    "examples_per_s": 700.0,
}
EVALUATION = {
    "task": "rows",
    "metric": "accuracy",
    "split": "test",
    "teacher": MEASURED,
    "student": MEASURED,
    "kept": 1.0,
    "kept_interval": [0.95, 1.05],
    "agreement": 0.98,
    "times_smaller": 1.0,
    "encoder_times_smaller": 1.0,
    "times_faster": 1.0,
    "vocabulary": {"teacher": 30_522, "student": 1_000, "texts_changed": 0.125},
    "seed": 0,
}

EXPORTED = {
    "metric": "accuracy",
    "score_before": 0.88,
    "forms": {
        "model.safetensors": {
            "score": 0.88,
            "test_score": 0.9,
            "bytes": 3_000_000,
            "largest_difference": 0.0,
            "parameters": 800,
            "latency_ms": 1.25,
            "examples_per_s": 1_000.0,
        },
        "onnx/model_int8.onnx": {
            "score": 0.875,
            "test_score": 0.885,
            "bytes": 2_000_000,
            "largest_difference": 0.02,
            "parameters": 800,
            "latency_ms": 0.25,
            "examples_per_s": 3_000.0,
        },
    },
    "shipped": {
        "file": "onnx/model_int8.onnx",
        "score": 0.885,
        "kept": 0.9833,
        "kept_interval": [0.94, 1.02],
        "disk_bytes": 2_500_000,
        "latency_ms": 0.25,
        "teacher_latency_ms": 1.75,
        "examples_per_s": 3_000.0,
        "times_smaller": 36.6,
        "times_faster": 6.0,
        "machine": "aarch64, 8 threads, cpu",
    },
}


def plan_of(world: Path, *overrides: str) -> Plan:
    """The plan of a world's recipe, its inputs unchecked."""
    return make_plan(world / "recipe.yaml", overrides, checked=False)


def started(world: Path, *words: str) -> int:
    """The status of `./run_all.sh` on a world's recipe."""
    return cli.main([str(world / "recipe.yaml"), *words])


def publish(plan: Plan, *stages: str) -> None:
    """Publish a fake artifact of some stages (all of the plan's unless named), whose upstream is published."""
    for stage in stages or plan.stages:
        spec = plan.stages[stage]
        spec.artifact.output.mkdir(parents=True)
        (spec.artifact.output / "weights").write_text(f"what {stage} learnt", encoding="utf-8")
        if stage == "evaluate_student":
            (spec.artifact.output / RESULTS).write_text(json.dumps(EVALUATION), encoding="utf-8")
        spec.artifact.publish(
            {
                "stage": stage,
                "version": spec.version,
                "fingerprint": spec.artifact.fingerprint,
                "settings": spec.settings,
                "upstream": {up: _reference(artifact) for up, artifact in plan.upstream(stage).items()},
                "inputs": spec.digests,
                "started": time.time_ns(),  # no two have one identity
                "seconds": 1.5,
                "start_seconds": 0.5,
            }
        )


def launches(patch: pytest.MonkeyPatch) -> list[str]:
    """From now on the command line launches nothing: each stage publishes a fake artifact, in this process.

    Returns: the stages that were launched instead, in order, with the launcher's words.
    """
    launched: list[str] = []

    def command(stages: list[str], arguments: list[str], launcher: list[str]) -> tuple[list[str], dict[str, str]]:
        launched.extend(" ".join([stage, *launcher]) for stage in stages)
        return [*stages, *arguments], {}

    def run(words: list[str], changes: dict[str, str], logs: StageLogs, machines: int) -> tuple[int, str]:
        publish_launched(words, logs.turn_to)
        return 0, ""

    patch.setattr(cli, "launch_command", command)
    patch.setattr(cli, "run_launched", run)
    return launched


def publish_launched(words: list[str], begins: Callable[[str], object]) -> None:
    """What launched stages publish, each with a plan of its own.

    Args: words: stages, --recipe R, overrides, --planned P.
    """
    for stage in words[: words.index("--recipe")]:
        begins(stage)
        publish(make_plan(Path(words[-1]), checked=False), stage)


def write_stage(run: Path, name: str, metrics: dict[str, Any], *, reads: str | None = None, **settings: Any) -> Path:
    """One finished stage of a run's folder, as its link shows it, for those who read no further."""
    folder = run / name
    folder.mkdir(parents=True)
    upstream = {reads: {"fingerprint": "f" * 16, "identity": checksum(run / reads / "stage.json")}} if reads else {}
    manifest = {"stage": name, "version": 1, "fingerprint": f"{name[:4]}0123456789ab", "settings": settings}
    manifest |= {"upstream": upstream, "inputs": {"task.train/rows.csv": "ab" * 32}, "seconds": 2.5, "metrics": metrics}
    manifest |= {"peak_memory_bytes": {"host": 2_500_000_000, "gpu": 0}, "command": "./run_all.sh recipe.yaml"}
    write_manifest(folder, **manifest)
    return folder


def write_manifest(folder: Path, **values: Any) -> None:
    """Write a stage's manifest, or it with other values, as it is published: with its checksum, and the files there."""
    path, paths = folder / MANIFEST, [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    manifest.pop(OWN_SUM, None)
    files = {p.relative_to(folder).as_posix(): {"sha256": checksum(p), "bytes": p.stat().st_size} for p in paths}
    manifest |= {**values, "files": files}
    path.write_text(json.dumps({**manifest, OWN_SUM: _sum_of(manifest)}), encoding="utf-8")


def _reference(artifact: Artifact) -> dict[str, Any]:
    return {"fingerprint": artifact.fingerprint, "identity": artifact.identity()}


def _say(stage: str) -> None:
    mark(stage)
    print(f"working on {stage}", flush=True)


if __name__ == "__main__":
    publish_launched(sys.argv[1:], _say)
