"""The folder of one run: links to its artifacts, its whole recipe, results.json."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.store import RECIPE, intact, link, note_runs, unlink
from pipeline.config import Recipe
from pipeline.plan.plan import Plan
from pipeline.plan.stages import STAGES

RESULTS = "results.json"
PREDICTIONS = "predictions.parquet"
TEACHER_STATISTICS = "teacher_statistics.npy"


def publish_run(plan: Plan) -> None:
    """Bring runs/NAME/ up to date with what is published; what is right already is not touched."""
    note_runs(Path(plan.recipe.run.artifacts), Path(plan.recipe.run.runs))
    for stage, spec in plan.stages.items():
        if stage not in plan.why:
            link(plan.run_folder, spec.artifact)
    for stage in STAGES:
        if stage not in plan.stages:  # the recipe had it before
            unlink(plan.run_folder, stage)
    write_atomically(plan.run_folder / RECIPE, recipe_text(plan.recipe))
    if not plan.why:
        write_atomically(plan.run_folder / RESULTS, json.dumps(_results(plan), indent=1))


def recipe_text(recipe: Recipe) -> str:
    """Every setting, as a recipe that gives the same run."""
    plain = json.loads(json.dumps(dataclasses.asdict(recipe)))  # tuples become lists
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)


def _results(plan: Plan) -> dict[str, Any]:
    """What evaluate_student measured, the figures of the file that ships, and the seconds of each stage."""
    folder = plan.stages["evaluate_student"].artifact.folder
    measured = json.loads(intact(folder, RESULTS).read_text(encoding="utf-8"))
    manifests = {stage: spec.artifact.manifest() or {} for stage, spec in plan.stages.items()}
    times = ("seconds", "start_seconds")
    shipped = manifests["export_student"].get("metrics", {}).get("shipped")
    measured |= {"shipped": shipped} if shipped else {}
    return measured | {name: {stage: round(made[name], 1) for stage, made in manifests.items()} for name in times}
