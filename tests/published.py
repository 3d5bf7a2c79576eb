"""Fake artifacts: what a stage publishes, without its work. As a command it stands in for a launched stage.

python -m tests.published STAGE --recipe R [--section.field value ...]
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact
from pipeline.plan import Plan, make_plan
from pipeline.runs import RESULTS

MEASURED = {
    "score": 0.9,
    "scores": {"test": 0.9},
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
    "seed": 0,
}


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
            }
        )


def _reference(artifact: Artifact) -> dict[str, Any]:
    return {"fingerprint": artifact.fingerprint, "identity": artifact.identity()}


if __name__ == "__main__":
    name, _, recipe, *overrides = sys.argv[1:]
    print(f"working on {name}")
    publish(make_plan(Path(recipe), overrides, checked=False), name)
