"""The folder of one run: links to its artifacts, its whole recipe, results.json."""

import dataclasses
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.digests import READ_ONLY
from pipeline.artifacts.run_links import RECIPE, link, note_runs, unlink
from pipeline.artifacts.store import intact
from pipeline.config import Recipe
from pipeline.errors import require
from pipeline.plan.plan import Plan
from pipeline.plan.stages import STAGES

RESULTS = "results.json"
PREDICTIONS = "predictions.parquet"
TEACHER_STATISTICS = "teacher_statistics.npy"


def publish_run(plan: Plan) -> None:
    """Bring runs/NAME/ up to date with what is published; what is right already is not touched.

    Raises: UserError where folders stand in place of links.
    """
    links = [plan.run_folder / stage for stage in plan.stages if stage not in plan.why]
    copies = [path.name for path in links if path.exists() and not path.is_symlink()]
    require(
        not copies,
        f"{plan.run_folder}: {', '.join(copies)}: no links to artifacts, as in a copy that followed the links; remove"
        f" them, or the whole folder: rm -r {shlex.quote(str(plan.run_folder))}",
    )
    there = _existing(plan.run_folder)
    require(there.is_dir(), f"run.runs: {there} is no folder; give another one (--run.runs FOLDER)")
    note_runs(Path(plan.recipe.run.artifacts), Path(plan.recipe.run.runs))
    for stage, spec in plan.stages.items():
        if stage not in plan.why:
            link(plan.run_folder, spec.artifact)
    for stage in STAGES:
        if stage not in plan.stages:  # the recipe had it before
            unlink(plan.run_folder, stage)
    try:
        write_atomically(plan.run_folder / RECIPE, recipe_text(plan.recipe))
    except OSError as error:
        if plan.why or error.errno not in READ_ONLY:  # a finished run may be shown where nothing can be written
            raise
    if not plan.why:
        write_atomically(plan.run_folder / RESULTS, json.dumps(_results(plan), indent=1))


def check_writable(plan: Plan, stages: Sequence[str]) -> None:
    """Raises: UserError where a stage could not write its artifact, or the run its folder."""
    for stage in stages:
        artifact, again = plan.stages[stage].artifact, ", in which every stage is made again"
        wanted = [("artifacts", artifact.folder.parent, again), ("runs", plan.run_folder, "")]
        for setting, folder, what_then in wanted:
            there = _existing(folder)
            require(
                there.is_dir() and os.access(there, os.W_OK | os.X_OK),
                f"run.{setting}: {there} may not be written, and {stage} has to run; give another folder"
                f" (--run.{setting} FOLDER){what_then}",
            )
        for path in (artifact.lock_file, artifact.work):  # another user may have left them
            require(
                not path.exists() or os.access(path, os.W_OK),
                f"run.artifacts: {path} may not be written, and {stage} has to run; change its permissions, or give"
                f" another folder (--run.artifacts FOLDER){again}",
            )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


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
