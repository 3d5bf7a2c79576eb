"""Stages at work in the test's own process: on the CPU, without a launcher."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from pipeline.artifacts.store import Artifact
from pipeline.config import Recipe, Run
from pipeline.config.data import Task
from pipeline.hardware import Precision
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.launch.stage_work import stage_of, work
from pipeline.plan.plan import Plan, make_plan, reasons
from pipeline.plan.stage_specs import StageSpec
from pipeline.plan.stages import STAGES
from pipeline.runtime.stage import Stage


def make_stage(folder: Path, *, precision: Precision = "fp32", seed: int = 0, **run: Any) -> Stage:
    """A stage that works in `folder/work`; `run` are fields of the recipe's run section."""
    spec = StageSpec(
        stage="distill_general",
        version=1,
        settings={"precision": precision},
        defaults={},
        reads=(),
        files={},
        digests={},
        artifact=Artifact(folder, "distill_general", "0"),
    )
    return Stage(
        recipe=Recipe(backbone="none", task=Task(), seed=seed, run=Run(tracker="none", **run)),
        spec=spec,
        inputs=RecipeInputs(backbone=folder, teacher=None, task={}, corpus=(), vectors=None, augmented=()),
        upstream={},
        accelerator=Accelerator(cpu=True),
        work=folder / "work",
        output=folder / "output",
    )


def run_recipe(recipe: Path, *overrides: str, last: str = STAGES[-1]) -> Plan:
    """Run every unfinished stage of a recipe up to the last; returns its plan, as it was before."""
    plan = make_plan(recipe, overrides)
    wanted = [name for name in plan.why if STAGES.index(name) <= STAGES.index(last)]
    for name in wanted:
        now = replace(plan, why=reasons(plan))
        stage = stage_of(now, name, Accelerator(cpu=True))
        work(stage, now, import_module(f"stages.{name}").main, command="")
    return plan


def run_everything(recipe: Path, *overrides: str, last: str = STAGES[-1]) -> Path:
    """Run a recipe to its end, or to a last stage; returns the folder of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.training.loop.matrix_rate", lambda *_: 1e9)  # to measure it takes longer than all else
        return run_recipe(recipe, *overrides, last=last).run_folder


def metrics(plan: Plan, stage: str) -> dict[str, Any]:
    """What a published stage measured."""
    manifest = plan.stages[stage].artifact.manifest()
    assert manifest is not None
    return manifest["metrics"]
