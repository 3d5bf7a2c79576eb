"""Finished runs of the pipeline, as benchmarks read them: the artifacts, and what the stages were made with.

A stage is not run again while its result would be the same, so the stages behind a figure may be older than it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import results
from pipeline.artifacts.store import MANIFEST
from pipeline.errors import UserError
from pipeline.plan.plan import Plan

MEASURING = ("evaluate_student", "export_student")  # the stages that measure; the others train, or make data


def published(plan: Plan, stage: str) -> Path:
    """The folder of a stage's artifact. Raises: UserError, which says what to run, where it is not there."""
    artifact = plan.stages[stage].artifact
    if artifact.manifest() is None:
        raise UserError(
            f"{artifact.folder}: {stage} of these settings is not there; run `./run_all.sh RECIPE --until {stage}` with"
            " the same settings first"
        )
    return artifact.folder


def made_by(plan: Plan, *, until: str | None = None) -> dict[str, Any]:
    """The note of a run's stages that are published. Args: until: the last stage that counts."""
    stages = list(plan.stages)[: list(plan.stages).index(until) + 1 if until else None]
    paths = {stage: plan.stages[stage].artifact.folder / MANIFEST for stage in stages}
    return note(read(paths))


def read(paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """The manifests of those stages that have one, each given by its path."""
    return {stage: json.loads(path.read_text(encoding="utf-8")) for stage, path in paths.items() if path.is_file()}


def note(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What stages were made with: {"commits": {stage: [commit of the product]}, "threads": [numbers of threads]}."""
    commits, threads = {}, set()
    for stage, manifest in manifests.items():
        full = manifest.get("git_commit")  # None: that machine had no git
        commits[stage] = [results.commit(full) if full else results.UNKNOWN]
        said = re.search(r"(\d+) threads", manifest.get("machine", ""))
        threads |= {int(said[1])} if said else set()
    return {"commits": commits, "threads": sorted(threads)}


def note_of(figures: Any) -> dict[str, Any]:
    """The note of a part's figures, or those of its rows as one."""
    rows = figures if isinstance(figures, list) else [figures]
    if isinstance(figures, dict) and isinstance(figures.get("rows"), list):  # else a run's number of test rows
        rows = figures["rows"]
    notes = [row["stages"] for row in rows if isinstance(row, dict) and "stages" in row]  # older figures have none
    commits: dict[str, list[str]] = {}
    for each in notes:
        for stage, found in each["commits"].items():
            commits[stage] = list(dict.fromkeys([*commits.get(stage, []), *found]))
    return {"commits": commits, "threads": sorted({number for each in notes for number in each["threads"]})}


def sentence(figures: Any) -> str:
    """With which commits the stages behind some figures were made; '' where that was not noted."""
    commits = note_of(figures)["commits"]
    made = dict.fromkeys(commit for stage, found in commits.items() if stage not in MEASURING for commit in found)
    measured = dict.fromkeys(commit for stage in MEASURING for commit in commits.get(stage, ()))
    if not made:
        return ""
    other = f"; evaluation and export ran at {', '.join(measured)}" if measured and measured != made else ""
    return f"The stages ran at commit{'s' * (len(made) > 1)} {', '.join(made)}{other}."
