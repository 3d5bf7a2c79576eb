"""A stage at work in the test's own process: on the CPU, without a plan and without a launcher."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from pipeline.artifacts import Artifact
from pipeline.config import Recipe, Run, Task
from pipeline.graph import Inputs, Spec
from pipeline.hardware import Precision
from pipeline.stage import Stage


def make_stage(folder: Path, *, precision: Precision = "fp32", seed: int = 0, **run: Any) -> Stage:
    """A stage that works in `folder/work`; `run` are fields of the recipe's run section."""
    spec = Spec(
        stage="distill_general",
        version=1,
        settings={"precision": precision},
        reads=(),
        files={},
        digests={},
        artifact=Artifact(folder, "distill_general", "0"),
    )
    return Stage(
        recipe=Recipe(backbone="none", task=Task(), seed=seed, run=Run(tracker="none", **run)),
        spec=spec,
        inputs=Inputs(backbone=folder, teacher=None, task={}, corpus=(), vectors=None, augmented=()),
        upstream={},
        accelerator=Accelerator(cpu=True),
        work=folder / "work",
        output=folder / "output",
    )
